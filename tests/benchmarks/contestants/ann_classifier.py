"""skann's `ANNClassifier`."""

import time
from typing import Literal

import numpy as np

from skann import ANNClassifier
from tests.benchmarks.contestants import Recipe, Training
from tests.benchmarks.data import Split
from tests.benchmarks.measuring import EpochClock


class Trainer:
    """Fits `ANNClassifier`.

    Parameters
    ----------
    data : Split
        Images, float32 from 0 to 1.
    recipe : Recipe
        How to train.
    layout : {"float32", "uint8", "columns"}, default="float32"
        How the rows are given: as they are, as row-major bytes, or as column-major int64, the
        form in which `fetch_openml` returns images. Bytes and integers are scaled by
        ``input_scaling="maxabs"``.
    """

    def __init__(
        self,
        data: Split,
        recipe: Recipe,
        layout: Literal["float32", "uint8", "columns"] = "float32",
    ) -> None:
        self._recipe = recipe
        self._scaling = None if layout == "float32" else "maxabs"
        if layout == "uint8":
            X_train, X_test = (_bytes(X, np.uint8, "C") for X in (data.X_train, data.X_test))
            data = data._replace(X_train=X_train, X_test=X_test)
        elif layout == "columns":
            X_train, X_test = (_bytes(X, np.int64, "F") for X in (data.X_train, data.X_test))
            data = data._replace(X_train=X_train, X_test=X_test)
        self._data = data

    def train(self, epochs: int, seed: int) -> Training:
        """Fit a classifier."""
        recipe, data = self._recipe, self._data
        clock = EpochClock()
        classifier = ANNClassifier(
            recipe.hidden,
            alpha=recipe.alpha,
            batch_size=recipe.batch_size,
            learning_rate="one_cycle" if recipe.one_cycle else "constant",
            learning_rate_init=recipe.learning_rate,
            max_iter=epochs,
            n_iter_no_change=np.inf,
            random_state=seed,
            input_scaling=self._scaling,
            # As the other contestants have it.
            beta_2=0.999,
            dropout=0.0,
            label_smoothing=0.0,
        ).set_callbacks(clock)
        start = time.perf_counter()
        classifier.fit(data.X_train, data.y_train)
        seconds = time.perf_counter() - start
        return Training(seconds, clock.ends, classifier.score(data.X_test, data.y_test))


def _bytes(X, dtype, order):
    return np.rint(X * 255).astype(dtype, order=order)
