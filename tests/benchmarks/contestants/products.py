"""The floor: the matrix products of an epoch and nothing else."""

import time

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.contestants import Recipe, Training
from tests.benchmarks.data import Split


class Trainer:
    """Computes the products of training, ``np.dot`` with ``out=``, and learns nothing.

    Parameters
    ----------
    data : Split
        Only its shape matters, and its first batch.
    recipe : Recipe
        The layers and the batch size.
    """

    def __init__(self, data: Split, recipe: Recipe) -> None:
        n_rows, n_features = data.X_train.shape
        n_classes = int(data.y_train.max()) + 1
        batch = min(recipe.batch_size, n_rows)
        self._n_full, self._rest = divmod(n_rows, batch)
        self._full = Products(batch, (n_features, *recipe.hidden, n_classes), data.X_train)
        self._last = None
        if self._rest:
            sizes = (n_features, *recipe.hidden, n_classes)
            self._last = Products(self._rest, sizes, data.X_train)

    def train(self, epochs: int, seed: int) -> Training:
        """Compute the products of some epochs."""
        ends = []
        start = time.perf_counter()
        for _ in range(epochs):
            for _ in range(self._n_full):
                self._full.forward()
                self._full.backward()
            if self._last is not None:
                self._last.forward()
                self._last.backward()
            ends.append(time.perf_counter())
        return Training(ends[-1] - start, ends, float("nan"))


class Products:
    """The products of one batch, into buffers.

    Parameters
    ----------
    n_rows : int
        Rows of the batch.
    sizes : sequence of int
        Features, units of the hidden layers, classes.
    X : ndarray of shape (n_all, n_features)
        Float32 rows to take the batch from.
    """

    def __init__(self, n_rows: int, sizes: tuple[int, ...], X: NDArray) -> None:
        rng = np.random.default_rng(0)
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        # Of the size that weights have, so that no product overflows or gets denormal.
        self._weights = [
            (rng.standard_normal(pair) / np.sqrt(pair[0])).astype(np.float32) for pair in pairs
        ]
        self._gradients = [np.empty_like(weights) for weights in self._weights]
        self._values = [np.ascontiguousarray(X[:n_rows], np.float32)]
        self._values += [np.empty((n_rows, size), np.float32) for size in sizes[1:]]
        # Of the raw scores, and of each hidden layer.
        self._deltas = [
            rng.standard_normal((n_rows, size)).astype(np.float32) for size in sizes[1:]
        ]

    def forward(self) -> None:
        """Compute the products of a prediction."""
        values = self._values
        for layer, weights in enumerate(self._weights):
            np.dot(values[layer], weights, out=values[layer + 1])

    def backward(self) -> None:
        """Compute the products of the gradient, which leave out that of the inputs."""
        values, deltas = self._values, self._deltas
        for layer in range(len(self._weights) - 1, -1, -1):
            np.dot(values[layer].T, deltas[layer], out=self._gradients[layer])
            if layer:
                np.dot(deltas[layer], self._weights[layer].T, out=deltas[layer - 1])
