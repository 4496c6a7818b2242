"""The panel: twelve real data sets, and how they are cut."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import get_data_home, load_breast_cancer, load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.base import CannotTakePartError, Options
from tests.benchmarks.data import Split

BESIDE = Path(__file__).parents[3] / "shared" / "panel"

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


def fetched_folder() -> Path:
    """Return the folder that `fetch_panel` writes to, in scikit-learn's data home."""
    return Path(get_data_home()) / "skann_panel"


def find_folder() -> Path | None:
    """Return the folder that has all data sets: beside the checkout, else fetched, else None."""
    if _is_complete(BESIDE):
        return BESIDE
    fetched = fetched_folder()
    return fetched if _is_complete(fetched) else None


def _is_complete(folder: Path) -> bool:
    return all((folder / f"{name}.npz").is_file() for name in NAMES)


def names(options: Options) -> tuple[str, ...]:
    """Return the names of the data sets; with `quick` two, embedded ones if need be."""
    if not options.quick:
        return NAMES
    return _QUICK if find_folder() else tuple(_EMBEDDED)


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
        If the panel is not there.
    """
    chosen = names(options)
    found = find_folder()
    if found is None and not options.quick:
        raise CannotTakePartError(
            "its data sets are not there: python -m tests.benchmarks.fetch_panel fetches them"
        )
    for name in chosen:
        if found is None:
            X, y = _EMBEDDED[name](return_X_y=True)
        else:
            with np.load(found / f"{name}.npz") as arrays:
                X, y = arrays["X"], arrays["y"]
        np.savez(folder / f"{name}.npz", X=X, y=y)
    source = "from public repositories" if found else "embedded in scikit-learn"
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
    return _standardised(*_cut(folder, data, most_rows, seed))


def read_inner_split(folder: Path, data: str, most_rows: int, seed: int) -> Split:
    """Split the training part of `read_split` with seed 0 once more, 70 to 30 %, by class.

    Its test part is not looked at. The parameters are those of `read_split`; the seed is of
    the second split.
    """
    X, _, y, _ = _cut(folder, data, most_rows, seed=0)
    # Other seeds than the first split's, whose generator would draw a like permutation.
    return _standardised(*_stratified(X, y, 1000 + seed, test_size=0.3))


def _cut(folder: Path, data: str, most_rows: int, seed: int) -> list[NDArray]:
    with np.load(folder / f"{data}.npz") as arrays:
        X, y = arrays["X"].astype(np.float32), arrays["y"]
    if len(y) > most_rows:
        X, _, y, _ = _stratified(X, y, seed, train_size=most_rows)
    return _stratified(X, y, seed, test_size=0.3)


def _standardised(X_train: NDArray, X_test: NDArray, y_train: NDArray, y_test: NDArray) -> Split:
    scaler = StandardScaler().fit(X_train)
    return Split(scaler.transform(X_train), y_train, scaler.transform(X_test), y_test)


def _stratified(X: NDArray, y: NDArray, seed: int, **sizes: float) -> list[NDArray]:
    return train_test_split(X, y, stratify=y, random_state=seed, **sizes)
