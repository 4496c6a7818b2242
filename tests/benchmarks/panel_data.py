"""The panel: twelve real data sets, and how they are cut."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.base import CannotTakePartError, Options
from tests.benchmarks.data import Split

FOLDER = Path(__file__).parents[3] / "shared" / "panel"

# By number of rows.
NAMES = (
    "vehicle",
    "credit_g",
    "yeast",
    "isolet1",
    "segmentation",
    "splice",
    "spambase",
    "phoneme",
    "satimage",
    "covtype_15k",
    "magic",
    "letter",
)
_QUICK = ("vehicle", "credit_g")
_EMBEDDED = {"iris": load_iris, "breast cancer": load_breast_cancer}


def names(options: Options) -> tuple[str, ...]:
    """Return the names of the data sets; with `quick` two, embedded ones if need be."""
    if not options.quick:
        return NAMES
    return _QUICK if FOLDER.is_dir() else tuple(_EMBEDDED)


def write_sets(folder: Path, options: Options) -> str:
    """Write the data sets, for `read_split`.

    Parameters
    ----------
    folder : Path
        Where to.
    options : Options
        With `quick` two are enough, and they may be those embedded in scikit-learn.

    Returns
    -------
    str
        What they are.

    Raises
    ------
    CannotTakePartError
        If the panel is not beside the checkout.
    """
    chosen = names(options)
    embedded = not FOLDER.is_dir()
    if embedded and not options.quick:
        raise CannotTakePartError(f"its data sets are not there: no folder {FOLDER}")
    for name in chosen:
        if embedded:
            X, y = _EMBEDDED[name](return_X_y=True)
        else:
            with np.load(FOLDER / f"{name}.npz") as arrays:
                X, y = arrays["X"], arrays["y"]
        np.savez(folder / f"{name}.npz", X=X, y=y)
    source = "embedded in scikit-learn" if embedded else "from public repositories"
    return f"{len(chosen)} real data sets, {source}"


def read_split(folder: Path, data: str, most_rows: int, seed: int) -> Split:
    """Read a data set, cut it and standardise it by its training rows.

    Parameters
    ----------
    folder : Path
        Where `write_sets` wrote it.
    data : str
        Its name.
    most_rows : int
        Where there are more, so many are drawn.
    seed : int
        Of this draw and of the one of 70 % to train, both by class.

    Returns
    -------
    Split
        With features in float32.
    """
    with np.load(folder / f"{data}.npz") as arrays:
        X, y = arrays["X"].astype(np.float32), arrays["y"]
    if len(y) > most_rows:
        X, _, y, _ = _stratified(X, y, seed, train_size=most_rows)
    X_train, X_test, y_train, y_test = _stratified(X, y, seed, test_size=0.3)
    scaler = StandardScaler().fit(X_train)
    return Split(scaler.transform(X_train), y_train, scaler.transform(X_test), y_test)


def _stratified(X: NDArray, y: NDArray, seed: int, **sizes: float) -> list[NDArray]:
    return train_test_split(X, y, stratify=y, random_state=seed, **sizes)
