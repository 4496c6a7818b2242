"""Adam for a sparse first layer, whose gradient has few rows."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.kernels import active
from skann.engine.layers import SparseGradient
from skann.engine.optimizers import Adam


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
        self._update_rows = active().make_adam_rows(self._matrices)
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
        self._update_rows(self._gradient.rows, self._gradient.values, step)
        self._shrinkage += math.log(step.shrinkage)
        self._shrunk[self._gradient.rows] = self._shrinkage

    def settle(self) -> None:
        """Shrink all rows by what they have missed."""
        if self._shrinkage:
            self._matrices[0][...] *= np.exp(self._shrinkage - self._shrunk)[:, np.newaxis]
            self._shrinkage = 0.0
            self._shrunk.fill(0)
