"""The data: prepared once, read by every contestant's process."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.datasets import fetch_openml, load_digits
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import train_test_split

from tests.benchmarks.base import Options

# OpenML lists the 60,000 training images first, then the 10,000 test images.
_N_TRAIN = 60_000
_DATA_HOME = Path(__file__).parents[3] / "shared" / "scikit_learn_data"


class Split(NamedTuple):
    """Rows to learn from and rows to test with."""

    X_train: NDArray | sparse.csr_array
    y_train: NDArray
    X_test: NDArray | sparse.csr_array
    y_test: NDArray


def write_images(folder: Path, options: Options) -> str:
    """Write images of digits as bytes, for `read_images`.

    Parameters
    ----------
    folder : Path
        Where to.
    options : Options
        With `quick` a few of the 8x8 digits are enough.

    Returns
    -------
    str
        What they are.
    """
    name, parts = _small_digits() if options.quick else _mnist_or_small_digits()
    for part, values in zip(Split._fields, parts, strict=True):
        np.save(folder / f"{part}.npy", values)
    return f"{name}, {'x'.join(map(str, parts.X_train.shape))} uint8."


def _mnist_or_small_digits() -> tuple[str, Split]:
    if not _DATA_HOME.is_dir() or "SCIKIT_LEARN_DATA" in os.environ:
        return _fetch()
    # A copy: scikit-learn deletes cached files that it fails to parse.
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(_DATA_HOME, home, dirs_exist_ok=True)
        return _fetch(home)


def _fetch(data_home: str | None = None) -> tuple[str, Split]:
    try:
        mnist = fetch_openml(
            "mnist_784", version=1, as_frame=False, n_retries=1, data_home=data_home
        )
    except Exception as error:  # Of the network, the parser or pandas: it is told, not lost.
        name, parts = _small_digits()
        return f"MNIST cannot be loaded ({' '.join(str(error).split())}): {name}", parts
    X, y = mnist.data.astype(np.uint8, order="C"), mnist.target.astype(np.int64)
    return "MNIST", Split(X[:_N_TRAIN], y[:_N_TRAIN], X[_N_TRAIN:], y[_N_TRAIN:])


def _small_digits() -> tuple[str, Split]:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.uint8), y, test_size=360, stratify=y, random_state=0
    )
    return "8x8 digits", Split(X_train, y_train, X_test, y_test)


def read_images(folder: Path, n_rows: int | None = None) -> Split:
    """Read images as row-major bytes, in full or only the first of them."""
    parts = (np.load(folder / f"{part}.npy") for part in Split._fields)
    split = Split(*(part[:n_rows] for part in parts))
    return split


def as_floats(split: Split) -> Split:
    """Return images as row-major float32 from 0 to 1."""
    largest = np.float32(split.X_train.max())
    return split._replace(
        X_train=split.X_train.astype(np.float32) / largest,
        X_test=split.X_test.astype(np.float32) / largest,
    )


def write_mapped_rows(
    path: Path, images: Split, gigabytes: float, block_rows: int = 20_000
) -> NDArray:
    """Write images over and over to a file to be memory-mapped, and return their labels.

    Parameters
    ----------
    path : Path
        The file, in NumPy's format.
    images : Split
        The images.
    gigabytes : float
        Size of the file.
    block_rows : int, default=20_000
        Rows to write at a time.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    n_features = images.X_train.shape[1]
    n_rows = max(int(gigabytes * 1e9) // n_features, 1)
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n_rows, n_features))
    for start in range(0, n_rows, block_rows):
        rows = np.arange(start, min(start + block_rows, n_rows)) % len(images.X_train)
        X[start : start + block_rows] = images.X_train[rows]
    X.flush()
    return np.resize(images.y_train, n_rows)


def documents(
    n_documents: int, n_words: int, words_per_document: int, n_topics: int = 10, seed: int = 0
) -> Split:
    """Draw documents as TF-IDF rows, and the topic of each.

    Most words are drawn by Zipf's law from the whole vocabulary, one in sixteen from the 200
    that a document's topic favours. A tenth of the topics is replaced at random, so that no
    classifier can be right everywhere.

    Parameters
    ----------
    n_documents, n_words : int
        Training documents and vocabulary. A quarter as many documents again are for testing.
    words_per_document : int
        Different words of a document, on average.
    n_topics : int, default=10
        Number of classes.
    seed : int, default=0
        Of everything.

    Returns
    -------
    Split
        With CSR arrays of float32.
    """
    rng = np.random.default_rng(seed)
    n_rows = n_documents + n_documents // 4
    topics = rng.integers(n_topics, size=n_rows)
    # Frequent words are drawn more than once: a quarter more draws give that many different ones.
    n_draws = words_per_document * 5 // 4
    n_topical = max(n_draws // 16, 1)
    cumulated = np.cumsum(1 / np.arange(1, n_words + 1))
    words = np.searchsorted(cumulated, rng.uniform(0, cumulated[-1], size=(n_rows, n_draws)))
    favoured = rng.integers(n_words, size=(n_topics, min(200, n_words)))
    choice = rng.integers(favoured.shape[1], size=(n_rows, n_topical))
    words[:, :n_topical] = favoured[topics[:, None], choice]
    words = np.minimum(words, n_words - 1)
    counts = sparse.csr_array(
        (np.ones(words.size, np.float32), words.ravel(), np.arange(0, words.size + 1, n_draws)),
        shape=(n_rows, n_words),
    )
    counts.sum_duplicates()
    # 32-bit indices and float32, as the vectorizers of scikit-learn make them.
    X = sparse.csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(counts))
    indices, starts = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    X = sparse.csr_array((X.data.astype(np.float32), indices, starts), shape=X.shape)
    labels = np.where(rng.random(n_rows) < 0.1, rng.integers(n_topics, size=n_rows), topics)
    return Split(X[:n_documents], labels[:n_documents], X[n_documents:], labels[n_documents:])


def blobs(n_rows: int, n_features: int, n_classes: int = 10, seed: int = 0) -> Split:
    """Draw rows around one centre for each class, which a network can tell apart.

    Parameters
    ----------
    n_rows, n_features : int
        Training rows and features; 2,000 rows more are for testing.
    n_classes : int, default=10
        Number of classes.
    seed : int, default=0
        Of everything.

    Returns
    -------
    Split
        With row-major arrays of float32.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_classes, n_features), np.float32)
    # As far apart as noise of unit variance allows nine in ten rows to be told.
    centres *= 3.3 / np.linalg.norm(centres, axis=1, keepdims=True)
    n_all = n_rows + 2_000
    y = rng.integers(n_classes, size=n_all)
    X = rng.standard_normal((n_all, n_features), np.float32)
    for start in range(0, n_all, 10_000):
        X[start : start + 10_000] += centres[y[start : start + 10_000]]
    return Split(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:])
