"""Mini-batches of rows with their targets and weights."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.augmentation import Augmentation
from skann.engine.rows import Scaling, make_rows

# Small batches are gathered several at once, up to this many numbers. This needs fewer calls, and
# the last batch is still in cache when it is used.
_GATHERED = 65_536


@dataclass(frozen=True)
class Examples:
    """Rows of X with their targets and weights.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_all, n_features)
        Rows in a layout that can be gathered from (see `laid_out_by_rows`).
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows; None for equal weights.
    subset : ndarray of shape (n_rows,), int, or None
        Indices of the rows in X; None for all rows.
    """

    X: NDArray | sparse.csr_array
    targets: NDArray
    weights: NDArray | None
    subset: NDArray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def at(self, places: NDArray) -> "Examples":
        """Return the rows at some positions; X is not copied."""
        weights = None if self.weights is None else self.weights[places]
        subset = places if self.subset is None else self.subset[places]
        return Examples(self.X, self.targets[places], weights, subset)

    def spread_evenly(self, n_rows: int) -> "Examples":
        """Return up to `n_rows` rows of nonzero weight, evenly spaced, as X may be sorted."""
        weights = self.weights
        places = np.arange(len(self)) if weights is None else np.flatnonzero(weights)
        return self.at(places[:: math.ceil(len(places) / n_rows)])


class Batch(NamedTuple):
    """The rows that one training step uses.

    Attributes
    ----------
    inputs : ndarray or CSR array of shape (n_batch, n_features)
        Rows, scaled and cast.
    targets : ndarray of shape (n_batch,) or (n_batch, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_batch,) or None
        Weights of the rows, divided by the mean weight of all rows.
    """

    inputs: NDArray | sparse.csr_array
    targets: NDArray
    weights: NDArray | None


class Batches:
    """Mini-batches of an epoch, shuffled or in order.

    Parameters
    ----------
    examples : Examples
        The rows to draw from.
    batch_size : int
        Maximum number of rows in a batch. If it does not divide the number of rows, the rows that
        are left for the last two batches of an epoch are divided evenly between them. A batch
        of very few rows would make a step as long as the others, in a direction that is mostly
        noise.
    dtype : dtype-like
        Computing dtype.
    scaling : Scaling or None
        Scaling, applied when the rows are cast.
    augmentation : Augmentation or None
        Random changes to each batch. It then scales the rows, and `scaling` is None.

    Attributes
    ----------
    n_rows : int
        Number of rows in an epoch.
    n_batches : int
        Number of batches in an epoch.
    mean_weight : float
        Mean weight of the rows; 1 without weights.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        dtype: DTypeLike,
        scaling: Scaling | None,
        augmentation: Augmentation | None = None,
    ) -> None:
        X, targets, weights = examples.X, examples.targets, examples.weights
        self.n_rows = len(examples)
        self.batch_size = batch_size
        self._bounds = _batch_bounds(self.n_rows, batch_size)
        self.n_batches = len(self._bounds) - 1
        self.mean_weight = 1.0 if weights is None else float(weights.mean(dtype=np.float64))
        self._augmentation = augmentation
        self._n_at_once = 1
        if not sparse.issparse(X) and augmentation is None:
            self._n_at_once = max(_GATHERED // (batch_size * X.shape[1]), 1)
        rows_at_once = min(self._n_at_once * batch_size, self.n_rows)
        self._rows = make_rows(X, dtype, rows_at_once, scaling, examples.subset)
        self._targets = targets
        # Relative weights, because the weights may exceed the range of the computing dtype.
        self._weights = None if weights is None else (weights / self.mean_weight).astype(dtype)
        self._gathered_targets = np.empty((rows_at_once, *targets.shape[1:]), targets.dtype)
        self._gathered_weights = np.empty(rows_at_once, dtype)

    def shuffled(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of an epoch in random order; each is valid until the next one."""
        order = rng.permutation(self.n_rows)
        for first in range(0, self.n_batches, self._n_at_once):
            bounds = self._bounds[first : first + self._n_at_once + 1]
            rows = self._gather(order[bounds[0] : bounds[-1]])
            if len(bounds) == 2:
                yield rows
                continue
            inputs, targets, weights = rows
            for start, stop in pairwise(bounds):
                part = slice(start - bounds[0], stop - bounds[0])
                yield Batch(inputs[part], targets[part], None if weights is None else weights[part])

    def _gather(self, indices: NDArray) -> Batch:
        targets = self._gathered_targets[: len(indices)]
        self._targets.take(indices, axis=0, out=targets, mode="clip")
        weights = None
        if self._weights is not None:
            weights = self._gathered_weights[: len(indices)]
            self._weights.take(indices, out=weights, mode="clip")
        inputs = self._rows.gather(indices)
        if self._augmentation is not None:
            inputs = self._augmentation.apply(inputs)
        return Batch(inputs, targets, weights)

    def in_order(self) -> Iterator[Batch]:
        """Yield the batches in the order of X; each is valid until the next one."""
        for start, stop in pairwise(self._bounds):
            if self._augmentation is not None:  # It may overwrite rows, so they must be copies.
                yield self._gather(np.arange(start, stop))
                continue
            weights = None if self._weights is None else self._weights[start:stop]
            yield Batch(self._rows.chunk(start, stop), self._targets[start:stop], weights)


def _batch_bounds(n_rows: int, batch_size: int) -> list[int]:
    """Return the first row of each batch of an epoch, followed by the number of rows."""
    bounds = [*range(0, n_rows, batch_size), n_rows]
    if len(bounds) > 2:
        bounds[-2] = (bounds[-3] + n_rows + 1) // 2
    return bounds
