"""Adam for a sparse first layer, whose gradient has few rows."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.kernels.numpy_kernels import AdamStep
from skann.engine.layers import SparseGradient
from skann.engine.memory import aligned_empty
from skann.engine.optimizers import Adam

# Numbers of the touched rows that are gathered and updated at once: three buffers of them stay in
# cache.
_GATHERED_BLOCK = 32_768


class SparseAdam(Adam):
    """Adam that updates the rows of the first weight matrix lazily: when a batch touches them.

    The moments of the other rows decay meanwhile, as they would under gradients of zero. What
    differs from updating every row at every step is that in between a row rests, where its
    moments would have moved it on a little, and that the penalty pulls only on the rows that a
    batch touches. If every batch touches every row, the two are the same.

    Decoupled decay is exactly that of the dense update: rows that no batch touches shrink later,
    by the product of what they missed, before a batch reads them and when `settle` is called.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Updated in place.
    gradient : ndarray of shape (n_gradient,)
        Of all parameters but the first weight matrix.
    n_weights : int
        The first `n_weights` parameters decay.
    sparse_gradient : SparseGradient
        Gradient with respect to the first weight matrix.
    decouples_decay : bool
        Whether to decay as `AdamW` does.
    **hyperparameters : float
        Those of `Adam`.
    """

    def __init__(
        self,
        parameters: NDArray,
        gradient: NDArray,
        n_weights: int,
        sparse_gradient: SparseGradient,
        *,
        decouples_decay: bool,
        **hyperparameters: Any,
    ) -> None:
        super().__init__(parameters, gradient, n_weights, **hyperparameters)
        self.decouples_decay = decouples_decay
        self._gradient = sparse_gradient
        n_first = parameters.size - gradient.size
        self._matrices = [
            vector[:n_first].reshape(sparse_gradient.n_features, -1)
            for vector in (parameters, self.first.values, self.second.values)
        ]
        width = self._matrices[0].shape[1]
        self._n_at_once = max(_GATHERED_BLOCK // width, 1)
        self._buffers = aligned_empty((3, self._n_at_once * width), parameters.dtype)
        # Logarithms of all decoupled decay so far, and of what each row has had of it.
        self._shrinkage = 0.0
        self._shrunk = np.zeros(sparse_gradient.n_features)

    def prepare(self, inputs: NDArray | sparse.csr_array) -> None:
        """Note the rows that a batch touches; shrink them by what they have missed."""
        self._gradient.touch(inputs)
        self.shrink(self._gradient.rows)

    def shrink(self, rows: NDArray) -> None:
        """Shrink rows by the decoupled decay that they have missed."""
        if self._shrinkage:
            weights = self._matrices[0]
            missed = np.exp(self._shrinkage - self._shrunk[rows]).astype(weights.dtype)
            weights[rows] *= missed[:, np.newaxis]
            self._shrunk[rows] = self._shrinkage

    def step(self, rate: float, decay: float) -> None:
        """Update the touched rows and all other parameters; see `Optimizer.step`."""
        step = self._begin_step(rate, decay)
        for values, grad, (first, second), n_weights in self._blocks:
            self._update(values, grad, first, second, n_weights, step)
        self._update_rows(step)

    def _update_rows(self, step: AdamStep) -> None:
        """Gather touched rows and their moments, a few at a time, update them, put them back."""
        for start in range(0, len(self._gradient.rows), self._n_at_once):
            part = slice(start, start + self._n_at_once)
            rows, grad = self._gradient.rows[part], self._gradient.values[part].ravel()
            gathered = self._buffers[:, : grad.size]
            for matrix, values in zip(self._matrices, gathered, strict=True):
                # Clipping, which never happens, spares the copy that a check would need.
                matrix.take(rows, axis=0, out=values.reshape(len(rows), -1), mode="clip")
            self._update(gathered[0], grad, gathered[1], gathered[2], grad.size, step)
            for matrix, values in zip(self._matrices, gathered, strict=True):
                matrix[rows] = values.reshape(len(rows), -1)
        self._shrinkage += math.log(step.shrinkage)
        self._shrunk[self._gradient.rows] = self._shrinkage

    def settle(self) -> None:
        """Shrink all rows by what they have missed."""
        if self._shrinkage:
            self._matrices[0][...] *= np.exp(self._shrinkage - self._shrunk)[:, np.newaxis]
            self._shrinkage = 0.0
            self._shrunk.fill(0)
