"""Adam for a first layer with sparse inputs, whose gradient has few nonzero rows."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.kernels import active
from skann.engine.layers import SparseGradient
from skann.engine.optimizers import Adam


class SparseAdam(Adam):
    """Adam that updates a row of the first weight matrix only when a batch touches it.

    The moments of the other rows decay meanwhile, as they would with a gradient of zero. There are
    two differences to updating every row at every step. An untouched row does not move, whereas
    its moments would move it a little. And the penalty acts only on the rows that a batch
    touches. If every batch touches every row, the result is the same.

    Decoupled weight decay is exactly that of the dense update. Rows that no batch touches shrink
    later by the product of the factors that they missed: before a batch reads them, and when
    `settle` is called.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Parameter vector, updated in place.
    gradient : ndarray of shape (n_gradient,)
        Gradient with respect to all parameters except the first weight matrix.
    n_weights : int
        Number of parameters that decay: the first ones.
    sparse_gradient : SparseGradient
        Gradient with respect to the first weight matrix.
    decouples_decay : bool
        Whether to decay weights as `AdamW` does.
    **hyperparameters : float
        Hyperparameters of `Adam`.
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
        # Logarithms of the total decoupled decay so far, and of the part applied to each row.
        self._shrinkage = 0.0
        self._shrunk = np.zeros(sparse_gradient.n_features)

    def prepare(self, inputs: NDArray | sparse.csr_array) -> None:
        """Record the rows that a batch touches, and apply the decay that they have missed."""
        self._gradient.touch(inputs)
        self.shrink(self._gradient.rows)

    def shrink(self, rows: NDArray) -> None:
        """Apply the decoupled decay that some rows have missed."""
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
        """Apply the decoupled decay that rows have missed, to all rows."""
        if self._shrinkage:
            self._matrices[0][...] *= np.exp(self._shrinkage - self._shrunk)[:, np.newaxis]
            self._shrinkage = 0.0
            self._shrunk.fill(0)
