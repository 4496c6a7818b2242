"""scikit-learn's `MLPClassifier`."""

import time
from typing import Literal

import numpy as np
from sklearn.neural_network import MLPClassifier

from tests.benchmarks.contestants import Recipe, Training
from tests.benchmarks.data import Split
from tests.benchmarks.measuring import Until


class TimedMLPClassifier(MLPClassifier):
    """Notes in `ends_` when each epoch ends, and stops when there is no need to go on."""

    until = Until(None)
    test: tuple = ()

    def _update_no_improvement_count(self, *args):
        # The one method that runs once at the end of every epoch.
        super()._update_no_improvement_count(*args)
        if self.n_iter_ == 1:
            self.ends_: list[float] = []
        self.ends_.append(time.perf_counter())
        if self.until.is_reached(lambda: self.score(*self.test)):
            self._no_improvement_count = np.inf


class Trainer:
    """Fits `MLPClassifier`.

    Parameters
    ----------
    data : Split
        Dense or sparse rows.
    recipe : Recipe
        How to train.
    order : {"C", "F"}, default="C"
        Whether the rows are given row-major or column-major.
    """

    def __init__(self, data: Split, recipe: Recipe, order: Literal["C", "F"] = "C") -> None:
        if order == "F":
            data = data._replace(X_train=np.asfortranarray(data.X_train))
        self._data, self._recipe = data, recipe

    def train(self, epochs: int, seed: int, target: float | None = None) -> Training:
        """Fit a classifier."""
        recipe, data = self._recipe, self._data
        classifier = TimedMLPClassifier(
            recipe.hidden,
            alpha=recipe.alpha,
            batch_size=recipe.batch_size,
            learning_rate_init=recipe.learning_rate,
            max_iter=epochs,
            n_iter_no_change=10_000,
            random_state=seed,
        )
        classifier.until, classifier.test = Until(target), (data.X_test, data.y_test)
        start = time.perf_counter()
        classifier.fit(data.X_train, data.y_train)
        seconds = time.perf_counter() - start - classifier.until.seconds
        return Training(seconds, classifier.ends_, classifier.score(data.X_test, data.y_test))
