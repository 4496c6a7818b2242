"""Cross-validation of small data sets at default settings."""

import time
from pathlib import Path

from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier
from tests.benchmarks.base import Benchmark, Case, Options, Turn

_DATA = {
    "iris": load_iris,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}


def _cases(options: Options) -> list[Case]:
    names = ("iris", "wine") if options.quick else tuple(_DATA)
    return [Case(name, {"data": name, "folds": 2 if options.quick else 5}) for name in names]


def _prepare(contestant: str, folder: Path, data: str, folds: int) -> Turn:
    X, y = _DATA[data](return_X_y=True)

    def turn(round_: int) -> dict[str, float]:
        pipeline = make_pipeline(StandardScaler(), default_classifier(contestant, round_))
        parts = StratifiedKFold(folds, shuffle=True, random_state=round_)
        start = time.perf_counter()
        scores = cross_val_score(pipeline, X, y, cv=parts)
        return {"seconds": time.perf_counter() - start, "accuracy": scores.mean()}

    # Imports and thread pools are not what is measured.
    default_classifier(contestant, 0).set_params(max_iter=2).fit(X, y)
    return turn


def default_classifier(contestant: str, seed: int) -> ClassifierMixin:
    """Return the classifier of a contestant as it comes."""
    maker = MLPClassifier if contestant == "sklearn" else ANNClassifier
    return maker(random_state=seed)


BENCHMARK = Benchmark(
    name="small",
    title="Seconds to cross-validate in a pipeline with StandardScaler",
    contestants=("skann", "skann, NumPy alone", "sklearn"),
    cases=_cases,
    prepare=_prepare,
    total=True,
    notes=(
        "Default settings, stratified folds (five, with --quick two), another seed every round.",
    ),
)
