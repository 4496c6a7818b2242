"""Twelve real data sets: how right, how sure, how fast."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from skann import ANNClassifier
from tests.benchmarks import panel_data
from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.data import Split


def strong_classifier(seed: int, n_rows: int) -> ANNClassifier:
    """Return five networks with embedded numbers, for tables where accuracy matters more."""
    # With few rows, these settings lead to overfitting.
    for_many_rows = {"normalization": "batch", "dropout": [0.2, 0.1], "max_iter": 80}
    return ANNClassifier(
        n_members=5,
        numerical_embedding="piecewise_linear",
        input_clip=3.0,
        random_state=seed,
        **(for_many_rows if n_rows >= 2500 else {}),
    )


def strongest_classifier(seed: int, n_rows: int) -> ANNClassifier:
    """Return ten such networks."""
    return strong_classifier(seed, n_rows).set_params(n_members=10)


def _realmlp(seed: int, n_rows: int) -> ClassifierMixin:
    from pytabkit import RealMLP_TD_Classifier  # takes seconds, and only its process needs it

    return RealMLP_TD_Classifier(n_cv=1, device="cpu", random_state=seed)


def _xgboost(seed: int, n_rows: int) -> ClassifierMixin:
    from xgboost import XGBClassifier  # an optional package, which only its process needs

    return XGBClassifier(random_state=seed)


_MAKERS = {
    "skann": lambda seed, n_rows: ANNClassifier(random_state=seed),
    "skann, strong": strong_classifier,
    "skann, strongest": strongest_classifier,
    "sklearn": lambda seed, n_rows: MLPClassifier(random_state=seed),
    "logistic regression": lambda seed, n_rows: LogisticRegression(
        max_iter=1000, random_state=seed
    ),
    "hist gradient boosting": lambda seed, n_rows: HistGradientBoostingClassifier(
        random_state=seed
    ),
    "xgboost": _xgboost,
    "realmlp": _realmlp,
}


def _cases(options: Options) -> list[Case]:
    most_rows = 100 if options.quick else 10_000
    names = panel_data.names(options)
    return [Case(name, {"data": name, "most_rows": most_rows}) for name in names]


def _prepare(contestant: str, folder: Path, data: str, most_rows: int) -> Turn:
    make = _MAKERS[contestant]

    def turn(round_: int) -> dict[str, float]:
        split = panel_data.read_split(folder, data, most_rows, seed=round_)
        classifier = make(round_, len(split.y_train))
        start = time.perf_counter()
        classifier.fit(split.X_train, split.y_train)
        seconds = time.perf_counter() - start
        return {**quality(classifier, split), "seconds": seconds}

    split = panel_data.read_split(folder, data, most_rows, seed=0)
    _warm_up(make(0, len(split.y_train)), split)
    return turn


def _warm_up(classifier: ClassifierMixin, split: Split) -> None:
    """Fit for a moment: imports and thread pools are not what is measured."""
    names = {"max_iter", "n_estimators", "n_epochs"} & set(classifier.get_params())
    classifier.set_params(**dict.fromkeys(names, 2)).fit(split.X_train, split.y_train)


def quality(classifier: ClassifierMixin, split: Split) -> dict[str, float]:
    """Return what a fitted classifier reaches on the test rows.

    Parameters
    ----------
    classifier : ClassifierMixin
        Fitted to the training rows.
    split : Split
        The rows.

    Returns
    -------
    dict
        "accuracy", "log_loss" and "calibration_error".
    """
    probabilities = classifier.predict_proba(split.X_test)
    top = probabilities.max(axis=1)
    right = classifier.classes_[probabilities.argmax(axis=1)] == split.y_test
    return {
        "accuracy": classifier.score(split.X_test, split.y_test),
        "log_loss": log_loss(split.y_test, probabilities, labels=classifier.classes_),
        "calibration_error": calibration_error(top, right),
    }


def calibration_error(top: NDArray, right: NDArray, n_bins: int = 15) -> float:
    """Return the expected calibration error, in bins of equal width.

    Parameters
    ----------
    top : ndarray of shape (n_rows,)
        Probability of the class that is predicted.
    right : ndarray of shape (n_rows,)
        Whether that is the class of the row.
    n_bins : int, default=15
        Bins from 0 to 1, each with its upper end.

    Returns
    -------
    float
        How far the share of right predictions in a bin is from their mean probability, on
        average over the rows.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> round(calibration_error(np.array([0.9, 0.9]), np.array([True, False])), 2)
    0.4
    """
    bins = np.ceil(top * n_bins).astype(int) - 1
    # A bin's share of the rows times its gap: the sum of its rows' gaps over all rows.
    return float(np.abs(np.bincount(bins, weights=right - top)).sum() / len(top))


BENCHMARK = Benchmark(
    name="panel",
    title="Real data sets",
    contestants=tuple(_MAKERS),
    cases=_cases,
    prepare=_prepare,
    files=panel_data.write_sets,
    measure="log_loss",
    unit="nats",
    rounds=2,
    total=True,
    chart="front",
    notes=(
        "At most 10,000 rows of each (with --quick 100), 70 % of them to train, both drawn by"
        " class, with another seed every round; standardised features in float32.",
        "Log-loss, accuracy and the expected calibration error (15 bins of equal width of the"
        " top probability) on the other rows; seconds to fit. Total: seconds added up, the"
        " rest averaged.",
        "Default settings, but 1000 iterations for logistic regression; realmlp is RealMLP-TD"
        " of pytabkit with one network. skann, strong: five networks with embedded numbers, which"
        " are normalised and trained for longer from 2,500 rows on; strongest: ten of them.",
    ),
)
