"""Fetch the panel's data sets: ``python -m tests.benchmarks.fetch_panel``.

Each comes from a public repository on GitHub, at one commit, and is refused if its rows are not
those that the figures in the documentation were measured on. What is there already is kept.
"""

import csv
import gzip
import hashlib
import io
import re
import sys
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from tests.benchmarks import panel_data
from tests.benchmarks.writing import replace_file

_SECONDS_TO_WAIT = 60
# The address that PMLB's own reader has, which serves files in git and in git LFS.
_URL = "https://github.com/{}/raw/{}/{}"
_PMLB = "EpistasisLab/pmlb", "b7c16db7b98464782a404d75ecb305fc01922b95"
_ARFF = "renatopp/arff-datasets", "c59f172882592bb58982cc54d2d3c8a2b57e9b73"
_MAT = "minercode625/ufs_mi", "d104ac3e3dae53563de7617f8d1c9909fea18166"
_CSV = "pfandan/Forest_Cover_Type_Predictions", "af1b3d8696"
_ATTRIBUTE = re.compile(r"@attribute\s+(?:'([^']*)'|(\S+))\s+(.+)", re.IGNORECASE)

Arrays = tuple[NDArray, NDArray]


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes
    ----------
    url : str
        Address of the file.
    read : callable
        Its bytes to features and codes of the classes.
    digest : str
        What `digest` gives for the right rows.
    """

    url: str
    read: Callable[[bytes], Arrays]
    digest: str


class WrongDataError(ValueError):
    """What was fetched is not the data set."""


def read_table(content: bytes, delimiter: str, target: str, drop: str = "") -> Arrays:
    """Read numbers under a line of names, compressed by gzip or not.

    Parameters
    ----------
    content : bytes
        Of the file.
    delimiter : str
        Between columns.
    target : str
        Name of the column that has the classes.
    drop : str, default=""
        Name of a column to leave out.

    Returns
    -------
    tuple of ndarray
        Features, and codes of the classes from 0.
    """
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    lines = content.decode().splitlines()
    names = [name.strip().strip('"') for name in lines[0].split(delimiter)]
    values = np.loadtxt(lines[1:], delimiter=delimiter, ndmin=2)
    kept = [place for place, name in enumerate(names) if name not in (target, drop)]
    return values[:, kept], codes(values[:, names.index(target)])


def read_arff(content: bytes, drop: str = "") -> Arrays:
    """Read an ARFF file whose last attribute is the class, nominal attributes one-hot.

    Parameters
    ----------
    content : bytes
        Of the file.
    drop : str, default=""
        Name of an attribute to leave out.

    Returns
    -------
    tuple of ndarray
        Features in the order of the file, a column for each value that occurs, sorted, but only
        the last of two; codes of the classes from 0.
    """
    header, _, data = re.split(r"^(@data\s*)$", content.decode(), flags=re.M | re.I)
    attributes = [match.groups() for match in map(_ATTRIBUTE.match, header.splitlines()) if match]
    lines = [line for line in data.splitlines() if line.strip() and not line.startswith("%")]
    rows = np.array(list(csv.reader(lines, quotechar="'", skipinitialspace=True)))
    features = []
    for (quoted, plain, kind), values in zip(attributes[:-1], rows.T, strict=False):
        if (quoted or plain) == drop:
            continue
        if kind.startswith("{"):
            present = np.unique(values)
            shown = present[1:] if len(present) == 2 else present
            features.append(values[:, None] == shown)
        else:
            features.append(values[:, None].astype(float))
    return np.hstack(features), codes(rows[:, -1])


def read_mat(content: bytes) -> Arrays:
    """Read a MATLAB file that has the features as ``fea`` and the classes as ``gnd``."""
    arrays = loadmat(io.BytesIO(content))
    return arrays["fea"], codes(arrays["gnd"].ravel())


def codes(labels: NDArray) -> NDArray:
    """Return labels as numbers from 0, in their sorted order."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def digest(X: NDArray, y: NDArray) -> str:
    """Return the SHA-256 of the rows in sorted order: features in single precision, then class.

    Examples
    --------
    >>> import numpy as np
    >>> from tests.benchmarks.fetch_panel import digest
    >>> X, y = np.array([[1.0, 2.0], [0.0, 5.0]]), np.array([0, 1])
    >>> digest(X, y) == digest(X[::-1], y[::-1]) != digest(X, y[::-1])
    True
    """
    rows = np.column_stack([X.astype(np.float32), y]).astype("<f8") + 0.0  # no minus zeros
    rows = rows[np.lexsort(rows.T[::-1])]
    return hashlib.sha256(repr(rows.shape).encode() + rows.tobytes()).hexdigest()


def _pmlb(name: str, sum_: str) -> Source:
    url = _URL.format(*_PMLB, f"datasets/{name}/{name}.tsv.gz")
    return Source(url, partial(read_table, delimiter="\t", target="target"), sum_)


SOURCES = {
    "vehicle": _pmlb("vehicle", "c006c25360d093e57676bbe8005ee60c111af44d607b59dddb02d06fced087c0"),
    "credit_g": Source(
        _URL.format(*_ARFF, "classification/credit.g.arff"),
        read_arff,
        "b870a12537e0f2f07e424e885e591faa912917ba3e5b9dfe0de9fdad3bc4c4eb",
    ),
    "yeast": _pmlb("yeast", "ac25a81cf5552b2f4635aa9575a38c0d6667162e6a23011ad4bebc56e9c95909"),
    "isolet1": Source(
        _URL.format(*_MAT, "data/isolet.mat"),
        read_mat,
        "582b72bb5734cce70a6cfa2045e8a171ab8b1cc0d553090b9b3440aa501e062f",
    ),
    "segmentation": _pmlb(
        "segmentation", "1051f5ed04f20a235f50c342439959082edf18c081fca969dea74eef3863a581"
    ),
    "splice": Source(
        _URL.format(*_ARFF, "classification/splice.arff"),
        partial(read_arff, drop="Instance_name"),
        "5684cde2f88562ab2004893191289e8927e8b0504cebb441ee7012ee9496ff3d",
    ),
    "spambase": _pmlb(
        "spambase", "57cd1c0102e5097fab21e2a9d98ff0665c5a4239d1f1204e4b88eb99ed389b76"
    ),
    "phoneme": _pmlb("phoneme", "c38967a1fcf59e06d9a5b5f4edc1cfb8019cd0d3b296f7d60a91abcd2925a400"),
    "satimage": _pmlb(
        "satimage", "d46f89c6f38717290bca3b0f93221ceb412f7511df417660540cffe242386aeb"
    ),
    "covtype_15k": Source(
        _URL.format(*_CSV, "train.csv"),
        partial(read_table, delimiter=",", target="Cover_Type", drop="Id"),
        "87b4650e9f793675744163eff4bc8ca95ccdc0479b265bedf9a72415b87d7e50",
    ),
    "magic": _pmlb("magic", "ec3fcc9a79832744a362f354bb47bd8559e8784ee79e282c64a17ef4aefb9264"),
    "letter": _pmlb("letter", "28ec46130afbcd7c00ba4985b4def23eaf27e5adcb2845b73527ba65a7af11bb"),
}


def fetch(name: str, folder: Path) -> None:
    """Download a data set, check it and write it to a folder.

    Parameters
    ----------
    name : str
        Of `SOURCES`.
    folder : Path
        Where to write NAME.npz, with the arrays "X" and "y".

    Raises
    ------
    WrongDataError
        If what comes is not the data set.
    OSError, HTTPException
        If nothing comes, or not all.
    """
    source = SOURCES[name]
    with urlopen(source.url, timeout=_SECONDS_TO_WAIT) as answer:
        content = answer.read()
    try:
        X, y = source.read(content)
        found = digest(X, y)
    except Exception as error:  # Whatever a page that is not the file makes a reader raise.
        raise WrongDataError(f"what came is not the data set: {error}") from error
    if found != source.digest:
        raise WrongDataError(
            f"what came has other rows: their SHA-256 is {found}, not {source.digest}"
        )
    file = io.BytesIO()
    np.savez_compressed(file, X=X.astype(np.float32), y=y)
    replace_file(folder / f"{name}.npz", file.getvalue())


def main() -> int:
    """Fetch what is not there; return 1 if something could not be had."""
    folder = panel_data.fetched_folder()
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in panel_data.NAMES:
        if (folder / f"{name}.npz").is_file():
            print(f"{name}: there already")
            continue
        try:
            fetch(name, folder)
            print(f"{name}: fetched from {SOURCES[name].url}")
        except (WrongDataError, OSError, HTTPException) as error:
            failed = True
            print(f"{name}: failed: {SOURCES[name].url}: {error}", file=sys.stderr)
    if failed:
        print("Run this again for those that failed.", file=sys.stderr)
    else:
        print(f"The data sets are in {folder}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
