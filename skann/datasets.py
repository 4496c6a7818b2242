"""The images the examples learn from: MNIST, or scikit-learn's 8x8 digits without a network."""

from __future__ import annotations

import json
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from sklearn.datasets import fetch_openml, get_data_home, load_digits
from sklearn.model_selection import train_test_split

DATA_SETS = ("auto", "mnist", "digits")

N_TRAIN = 60_000  # OpenML lists the 60,000 training images first, then the 10,000 test images

# What `fetch_openml` keeps of MNIST under the data home. This is only asked in order to skip the
# probe of the network; if a later scikit-learn stores it elsewhere, the probe runs and all is well.
CACHED_FILES = (
    "api/v1/json/data/list/data_name/mnist_784/limit/2/data_version/1.gz",
    "api/v1/json/data/554.gz",
    "api/v1/json/data/features/554.gz",
    "api/v1/json/data/qualities/554.gz",
    "data/v1/download/*/mnist_784.arff.gz",
)

PROBE_URL = "https://www.openml.org/api/v1/json/data/554"
PROBE_SECONDS = 6.0  # leaves the fallback well within 10 seconds
STALL_SECONDS = 20.0  # between two packets, so that a slow download may take as long as it needs


class MnistUnavailableError(RuntimeError):
    """MNIST is neither cached nor can it be downloaded."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images to train on and to test with, one flattened image per row.

    Pixels are row-major uint8, an eighth of float64: a scaler turns them into floats where they
    are needed, and `ANNClassifier` casts batch by batch.

    Attributes
    ----------
    name : str
        What to call the data set in a title.
    X_train, X_test : ndarray of shape (n_images, height * width), dtype uint8
        The pixels.
    y_train, y_test : ndarray of shape (n_images,), dtype int64
        The digits, 0 to 9.
    image_shape : tuple of (int, int)
        Height and width of one image.
    note : str
        One line to show to the user where another data set was asked for; empty otherwise.
    """

    name: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    image_shape: tuple[int, int]
    note: str = ""


def load_images(data: str = "auto") -> ImageData:
    """Load images of handwritten digits.

    Parameters
    ----------
    data : {"auto", "mnist", "digits"}, default="auto"
        "mnist" is the 70,000 images of MNIST, from scikit-learn's data home or else from OpenML.
        "digits" is the 1,797 images of 8x8 pixels that come with scikit-learn. "auto" is MNIST
        where it can be had and the digits where not, told within about ten seconds.

    Returns
    -------
    ImageData
        Training and test images; `note` says so if "auto" fell back to the digits.

    Raises
    ------
    MnistUnavailableError
        For "mnist", if it is neither cached nor can be downloaded.

    Examples
    --------
    >>> from skann.datasets import load_images
    >>> images = load_images("digits")
    >>> images.X_train.shape, images.X_test.shape, images.image_shape
    ((1437, 64), (360, 64), (8, 8))
    """
    if data not in DATA_SETS:
        allowed = ", ".join(repr(name) for name in DATA_SETS)
        raise ValueError(f"data must be one of {allowed}, got {data!r}.")
    if data == "digits":
        return _load_digits()
    try:
        return _load_mnist()
    except MnistUnavailableError as error:
        if data == "mnist":
            raise
        return replace(_load_digits(), note=f"{error} Using scikit-learn's 8x8 digits instead.")


def _load_digits() -> ImageData:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.uint8), y.astype(np.int64), test_size=360, stratify=y, random_state=0
    )
    return ImageData("8x8 digits", X_train, X_test, y_train, y_test, image_shape=(8, 8))


def _load_mnist() -> ImageData:
    if find_spec("pandas") is None:
        raise MnistUnavailableError(
            "Reading MNIST needs pandas, which is not installed"
            " (python -m pip install 'pandas<3.1')."
        )
    if not _is_cached() and (problem := _openml_problem(PROBE_SECONDS)):
        raise MnistUnavailableError(
            f"MNIST is not cached and OpenML cannot be reached ({problem})."
        )
    X, y = _fetch_mnist()
    return ImageData(
        "MNIST", X[:N_TRAIN], X[N_TRAIN:], y[:N_TRAIN], y[N_TRAIN:], image_shape=(28, 28)
    )


def _is_cached() -> bool:
    cache = Path(get_data_home()) / "openml" / "openml.org"
    return all(any(cache.glob(name)) for name in CACHED_FILES)


def _openml_problem(seconds: float) -> str | None:
    """Say why OpenML does not answer, or None if it does.

    The request runs in a thread of its own, left behind when its time is up: a time-out of the
    socket bounds neither the look-up of the name nor the number of addresses that are tried.
    """
    answers: list[str | None] = []

    def ask() -> None:
        try:
            with urlopen(PROBE_URL, timeout=seconds) as answer:
                json.load(answer)  # the log-in page of a hotel's network is an answer, but not JSON
            answers.append(None)
        except Exception as error:  # No answer, whatever the reason: it is told, not lost.
            answers.append(_reason(error))

    thread = threading.Thread(target=ask, name="openml-probe", daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"no answer within {seconds:g} seconds"


def _fetch_mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return all 70,000 images as row-major uint8, and their labels as int64."""
    try:
        with _stalled_after(STALL_SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each retry: if all fail, the error says why
            X, y = fetch_openml(
                "mnist_784", version=1, as_frame=False, return_X_y=True, n_retries=1
            )
    except Exception as error:  # The network's, the parser's or pandas': one error for all.
        raise MnistUnavailableError(
            f"MNIST could not be loaded from OpenML ({_reason(error)})."
        ) from error
    # X is column-major int64 of 439 MB, freed on return.
    return X.astype(np.uint8, order="C"), y.astype(np.int64)


@contextmanager
def _stalled_after(seconds: float) -> Iterator[None]:
    """Give up on any new connection that is silent for so long, where no one set a time-out."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: BaseException) -> str:
    """Return the cause in one line."""
    text = " ".join(str(getattr(error, "reason", None) or error).split())
    return text or type(error).__name__
