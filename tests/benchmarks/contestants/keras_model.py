"""Keras, on the backend that the environment variable KERAS_BACKEND names."""

import time

import keras
import numpy as np

from tests.benchmarks.contestants import Recipe, Training
from tests.benchmarks.data import Split
from tests.benchmarks.measuring import Until


class _Clock(keras.callbacks.Callback):
    def __init__(self, until: Until, data: Split) -> None:
        super().__init__()
        self.ends: list[float] = []
        self._until, self._data = until, data

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())
        if self._until.is_reached(lambda: _accuracy(self.model, self._data)):
            self.model.stop_training = True


class Trainer:
    """Fits a `Sequential` model with Adam, without a penalty.

    Parameters
    ----------
    data : Split
        Float32 rows.
    recipe : Recipe
        How to train; the rate has to be constant.
    """

    def __init__(self, data: Split, recipe: Recipe) -> None:
        recipe.require_constant_rate("Keras")
        self._data, self._recipe = data, recipe

    def train(self, epochs: int, seed: int, target: float | None = None) -> Training:
        """Fit a model."""
        recipe, data = self._recipe, self._data
        keras.utils.set_random_seed(seed)
        keras.utils.clear_session()
        n_classes = int(data.y_train.max()) + 1
        until = Until(target)
        clock = _Clock(until, data)
        start = time.perf_counter()
        model = keras.Sequential(
            [
                keras.Input(data.X_train.shape[1:]),
                *(keras.layers.Dense(size, activation="relu") for size in recipe.hidden),
                keras.layers.Dense(n_classes),
            ]
        )
        model.compile(
            optimizer=keras.optimizers.Adam(recipe.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(
            data.X_train,
            data.y_train,
            batch_size=recipe.batch_size,
            epochs=epochs,
            callbacks=[clock],
            verbose=0,
        )
        seconds = time.perf_counter() - start - until.seconds
        return Training(seconds, clock.ends, _accuracy(model, data))


def _accuracy(model: keras.Model, data: Split) -> float:
    scores = model.predict(data.X_test, batch_size=4096, verbose=0)
    return float(np.mean(scores.argmax(axis=1) == data.y_test))
