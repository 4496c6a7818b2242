"""Optimizers on the flat parameter vector.

A stochastic optimizer is a class with `step`, `settle`, `state` and `load_state` and an
entry in `OPTIMIZERS`. The penalty ``decay / 2 * ||weights||^2`` is part of the objective, so
its gradient goes through the same moments as the rest, unless decay is decoupled.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from skann.engine.memory import aligned_empty

if TYPE_CHECKING:
    from skann.engine.layers import SparseGradient

# What decoupled decay leaves of the weights at least: they shrink, but not past zero.
_LEAST_SHRINKAGE = 1e-30
# Below it the moments are multiplied by their decay, long before what they grow by instead
# makes gradients overflow.
_LEAST_DECAY = 1e-6

# Numbers of a vector that a step works on at once: the handful of vectors that it passes
# over seven times stay in the last level of cache, and the calls are few.
_BLOCK = 65_536
# SciPy's BLAS may be another than NumPy's, with threads of its own that would take the cores from
# those of the products. OpenBLAS leaves vectors of up to 10,000 numbers to the calling thread.
_BLAS_PIECE = 10_000
# Of rows that are gathered first, fewer: they are in buffers of their own.
_GATHERED_BLOCK = 32_768


class Optimizer(Protocol):
    """What training asks of a stochastic optimizer."""

    decouples_decay: bool
    """Whether each step shrinks the weights itself, in place of a penalty in the loss."""

    def step(self, rate: float, decay: float) -> None:
        """Update the parameters in place from the gradient, which is overwritten."""

    def settle(self, rows: NDArray | None = None) -> None:
        """Apply what is pending to some rows of the first weight matrix, or to everything."""

    def state(self) -> dict[str, Any]:
        """Return a copy of what must be kept to go on later."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""


class _Block(NamedTuple):
    """A stretch of the flat vectors, short enough to stay in cache while it is worked on.

    The first `n_weights` of its parameters decay.
    """

    parameters: NDArray
    gradient: NDArray
    state: list[NDArray]
    n_weights: int


def _blocks(
    parameters: NDArray, gradient: NDArray, n_weights: int, *state: NDArray
) -> list[_Block]:
    """Split vectors of one length into blocks; the first `n_weights` parameters decay."""
    if not all(vector.flags.carray for vector in (parameters, gradient, *state)):
        raise ValueError("An optimizer needs aligned, contiguous vectors that may be written to.")
    blocks = []
    for start in range(0, parameters.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        values = parameters[part]
        n_decaying = min(max(n_weights - start, 0), values.size)
        state_part = [vector[part] for vector in state]
        blocks.append(_Block(values, gradient[part], state_part, n_decaying))
    return blocks


def _vector_functions(vector: NDArray) -> tuple[Callable, Callable]:
    """Return ``y[:n] += a * x[:n]`` and ``x[:n] *= a``, as BLAS computes them in place.

    One pass instead of two, and for vectors so short that the call is all there is to it a third
    of the time of a ufunc. As `add_scaled(x, y, n, a)` and `scale(a, x, n)`, for aligned,
    contiguous vectors of the type and at most the length of `vector`: f2py would copy others, and
    the result be lost.
    """
    axpy, scal = get_blas_funcs(("axpy", "scal"), (vector,))
    if vector.size <= _BLAS_PIECE:
        return axpy, scal

    def add_scaled(x: NDArray, y: NDArray, n: int, a: float) -> None:
        start = 0
        while n - start > _BLAS_PIECE:
            axpy(x, y, _BLAS_PIECE, a, start, 1, start, 1)
            start += _BLAS_PIECE
        axpy(x, y, n - start, a, start, 1, start, 1)

    return add_scaled, scal


class Adam:
    r"""Adam [1]_.

    With gradient g, moments :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g`,
    :math:`v \leftarrow \beta_2 v + (1 - \beta_2) g^2` and their bias corrections, a step is
    :math:`-\eta \hat m / (\sqrt{\hat v} + \epsilon)`. The moments are kept without the
    factors :math:`1 - \beta` and without the powers of :math:`\beta` that they decay by, which
    saves four passes: these and both corrections go into two scalars of the step.

    With a sparse gradient, the rows of the first weight matrix are updated lazily: only when
    a batch touches them. Their moments decay meanwhile, as they would under gradients of zero.
    What differs from updating every row at every step is that in between a row rests, where its
    moments would have moved it on a little, and that the penalty pulls only on the rows that a
    batch touches. If every batch touches every row, the two are the same.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Updated in place.
    gradient : ndarray of shape (n_parameters,)
        Of the parameters; with `sparse_gradient`, without the first weight matrix.
    n_weights : int
        The first `n_weights` parameters decay.
    sparse_gradient : SparseGradient or None
        Gradient with respect to the first weight matrix (see `skann.engine.layers`).
    beta_1, beta_2, epsilon : float
        As in the paper.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.optimizers import Adam
    >>> parameters = np.array([1.0])
    >>> Adam(parameters, np.array([0.5]), 1, beta_1=0.9, beta_2=0.999, epsilon=1e-8).step(0.1, 0.0)
    >>> parameters.round(6)
    array([0.9])
    """

    decouples_decay = False

    def __init__(
        self,
        parameters: NDArray,
        gradient: NDArray,
        n_weights: int,
        sparse_gradient: "SparseGradient | None" = None,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        **_: Any,
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self._add_scaled, self._scale = _vector_functions(parameters)
        self.n_steps = 0
        self.first_moment = aligned_empty(parameters.size, parameters.dtype)
        self.second_moment = aligned_empty(parameters.size, parameters.dtype)
        self.first_moment.fill(0)
        self.second_moment.fill(0)
        # What they have yet to be multiplied by.
        self._decay_1 = self._decay_2 = 1.0
        n_sparse = parameters.size - gradient.size
        self._blocks = _blocks(
            parameters[n_sparse:],
            gradient,
            n_weights - n_sparse,
            self.first_moment[n_sparse:],
            self.second_moment[n_sparse:],
        )
        self._lazy_rows: _LazyRows | None = None
        if sparse_gradient is not None:
            self._lazy_rows = _LazyRows(
                sparse_gradient,
                parameters[:n_sparse],
                self.first_moment[:n_sparse],
                self.second_moment[:n_sparse],
                self._add_scaled,
            )

    def step(self, rate: float, decay: float) -> None:
        """Update the parameters in place.

        Parameters
        ----------
        rate : float
            Learning rate of this step.
        decay : float
            Factor of the weights in the gradient of the penalty.
        """
        self.n_steps += 1
        beta_1, beta_2 = self.beta_1, self.beta_2
        self._decay_1 *= beta_1
        self._decay_2 *= beta_2
        self._decay_moments(_LEAST_DECAY)
        growth_1, growth_2 = 1 / self._decay_1, 1 / self._decay_2
        root = math.sqrt((1 - beta_2) / (1 - beta_2**self.n_steps) / growth_2)
        length = rate * (1 - beta_1) / (1 - beta_1**self.n_steps) / growth_1 / root
        epsilon = self.epsilon / root
        shrinkage = max(1 - rate * decay, _LEAST_SHRINKAGE) if self.decouples_decay else 1.0
        coupled_decay = 0.0 if self.decouples_decay else decay
        add_scaled = self._add_scaled
        for values, grad, (first, second), n_weights in self._blocks:
            n = values.size
            if n_weights and coupled_decay:
                add_scaled(values, grad, n_weights, coupled_decay)
            if n_weights and shrinkage != 1:
                self._scale(shrinkage, values, n_weights)
            add_scaled(grad, first, n, growth_1)
            np.square(grad, out=grad)
            add_scaled(grad, second, n, growth_2)
            np.sqrt(second, out=grad)
            grad += epsilon
            np.divide(first, grad, out=grad)
            add_scaled(grad, values, n, -length)
        if self._lazy_rows is not None:
            self._lazy_rows.step(growth_1, growth_2, epsilon, length, coupled_decay, shrinkage)

    def _decay_moments(self, below: float) -> None:
        """Multiply moments by what they have yet to be multiplied by, where that is so little."""
        if self._decay_1 < below:
            self.first_moment *= self._decay_1
            self._decay_1 = 1.0
        if self._decay_2 < below:
            self.second_moment *= self._decay_2
            self._decay_2 = 1.0

    def settle(self, rows: NDArray | None = None) -> None:
        """Apply what is pending.

        Parameters
        ----------
        rows : ndarray of int or None
            Rows of the first weight matrix that are about to be read; None for all, and for the
            moments too.
        """
        if self._lazy_rows is not None:
            self._lazy_rows.shrink(rows)
        if rows is None:
            self._decay_moments(below=1.0)

    def state(self) -> dict[str, Any]:
        """Return a copy of the moments, all up to date, and the number of steps."""
        self.settle()
        return {
            "n_steps": self.n_steps,
            "first_moment": self.first_moment.copy(),
            "second_moment": self.second_moment.copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.n_steps = state["n_steps"]
        self.first_moment[...] = state["first_moment"]
        self.second_moment[...] = state["second_moment"]
        self._decay_1 = self._decay_2 = 1.0


class AdamW(Adam):
    r"""Adam with decoupled weight decay [1]_.

    Before its step, Adam's on the loss alone, the weights shrink:
    :math:`w \leftarrow (1 - \eta \lambda) w`, to nothing where that is negative. Biases and the
    scales and shifts of normalisation do not.

    With a sparse gradient, the rows of the first weight matrix that a batch does not touch
    shrink later, by the product of what they missed: when a batch touches them, before it
    reads them, and all of them when `settle` is called. So the decay is exactly that of the
    dense update; the moments are updated as Adam says.

    Parameters are those of `Adam`.

    References
    ----------
    .. [1] Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019,
       https://arxiv.org/abs/1711.05101

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.optimizers import AdamW
    >>> parameters = np.array([1.0])
    >>> AdamW(parameters, np.array([0.0]), 1, beta_1=0.9, beta_2=0.999, epsilon=1e-8).step(0.1, 0.5)
    >>> parameters
    array([0.95])
    """

    decouples_decay = True


class _LazyRows:
    """Adam in the rows of a weight matrix that have a gradient."""

    def __init__(
        self,
        gradient: "SparseGradient",
        weights: NDArray,
        first: NDArray,
        second: NDArray,
        add_scaled: Callable,
    ) -> None:
        self._gradient = gradient
        shape = gradient.n_features, -1
        self._weights, self._first, self._second = (
            vector.reshape(shape) for vector in (weights, first, second)
        )
        self._add_scaled = add_scaled
        # Logarithms of all shrinkage so far, and of what each row has had of it.
        self._shrinkage = 0.0
        self._shrunk = np.zeros(gradient.n_features)
        # Rows that are worked on at once, so that they stay in cache.
        self._n_at_once = max(_GATHERED_BLOCK // self._weights.shape[1], 1)
        self._buffers = aligned_empty(
            (3, self._n_at_once * self._weights.shape[1]), self._weights.dtype
        )

    def step(
        self,
        growth_1: float,
        growth_2: float,
        epsilon: float,
        length: float,
        decay: float,
        shrinkage: float,
    ) -> None:
        """Update the touched rows, a few at a time."""
        self._shrinkage += math.log(shrinkage)
        add_scaled = self._add_scaled
        for start in range(0, len(self._gradient.rows), self._n_at_once):
            part = slice(start, start + self._n_at_once)
            rows, grad = self._gradient.rows[part], self._gradient.values[part].ravel()
            n = grad.size
            weights, first, second = self._buffers[:, :n]
            for matrix, values in (
                (self._weights, weights),
                (self._first, first),
                (self._second, second),
            ):
                # Clipping, which never happens, spares the copy that a check would need.
                matrix.take(rows, axis=0, out=values.reshape(len(rows), -1), mode="clip")
            if decay:
                add_scaled(weights, grad, n, decay)
            if shrinkage != 1:
                weights *= shrinkage
            add_scaled(grad, first, n, growth_1)
            self._first[rows] = first.reshape(len(rows), -1)
            np.square(grad, out=grad)
            add_scaled(grad, second, n, growth_2)
            self._second[rows] = second.reshape(len(rows), -1)
            np.sqrt(second, out=second)
            second += epsilon
            first /= second
            add_scaled(first, weights, n, -length)
            self._weights[rows] = weights.reshape(len(rows), -1)
        self._shrunk[self._gradient.rows] = self._shrinkage

    def shrink(self, rows: NDArray | None) -> None:
        """Shrink rows by what they have missed; None for all."""
        if not self._shrinkage:
            return
        if rows is None:
            self._weights *= np.exp(self._shrinkage - self._shrunk)[:, np.newaxis]
            self._shrinkage = 0.0
            self._shrunk.fill(0)
        else:
            missed = np.exp(self._shrinkage - self._shrunk[rows]).astype(self._weights.dtype)
            self._weights[rows] *= missed[:, np.newaxis]
            self._shrunk[rows] = self._shrinkage


class SGD:
    r"""Stochastic gradient descent with momentum, by default Nesterov's [1]_.

    :math:`u \leftarrow \mu u - \eta g`, then the step is u, or :math:`\mu u - \eta g` for
    Nesterov's.

    Parameters
    ----------
    parameters, gradient : ndarray of shape (n_parameters,)
        Both are kept, the first is updated in place.
    n_weights : int
        The first `n_weights` parameters decay.
    momentum : float
        :math:`\mu`; 0 for none.
    nesterovs_momentum : bool
        Whether to look ahead along the velocity.

    References
    ----------
    .. [1] Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and
       momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.optimizers import SGD
    >>> parameters = np.array([1.0])
    >>> SGD(parameters, np.array([0.5]), 1, momentum=0.9, nesterovs_momentum=False).step(0.1, 0.0)
    >>> parameters
    array([0.95])
    """

    decouples_decay = False

    def __init__(
        self,
        parameters: NDArray,
        gradient: NDArray,
        n_weights: int,
        *,
        momentum: float,
        nesterovs_momentum: bool,
        **_: Any,
    ) -> None:
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self._add_scaled, self._scale = _vector_functions(parameters)
        self.velocity = aligned_empty(parameters.size, parameters.dtype)
        self.velocity.fill(0)
        self._blocks = _blocks(parameters, gradient, n_weights, self.velocity)

    def step(self, rate: float, decay: float) -> None:
        """Update the parameters in place.

        Parameters
        ----------
        rate : float
            Learning rate of this step.
        decay : float
            Factor of the weights in the gradient of the penalty.
        """
        add_scaled, momentum = self._add_scaled, self.momentum
        for values, grad, (velocity,), n_weights in self._blocks:
            n = values.size
            if n_weights and decay:
                add_scaled(values, grad, n_weights, decay)
            self._scale(momentum, velocity, n)
            add_scaled(grad, velocity, n, -rate)
            if self.nesterovs_momentum and momentum:
                add_scaled(velocity, values, n, momentum)
                add_scaled(grad, values, n, -rate)
            else:
                add_scaled(velocity, values, n, 1.0)

    def settle(self, rows: NDArray | None = None) -> None:
        """Do nothing: every step updates everything."""

    def state(self) -> dict[str, Any]:
        """Return a copy of the velocity."""
        return {"velocity": self.velocity.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.velocity[...] = state["velocity"]


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def minimize_lbfgs(
    objective: Callable[[NDArray], tuple[float, NDArray]],
    start: NDArray,
    callback: Callable[[NDArray], None],
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
) -> scipy.optimize.OptimizeResult:
    """Minimise a smooth function of a float64 vector by L-BFGS [1]_.

    Parameters
    ----------
    objective : callable (vector) -> (value, gradient)
        The function.
    start : ndarray of shape (n_parameters,)
        First point.
    callback : callable (vector) -> None
        Called after every iteration; raises StopIteration to end the search there.
    max_iter, max_fun : int
        Most iterations and most evaluations.
    tol : float
        Largest entry of the gradient at which the search ends.

    Returns
    -------
    scipy.optimize.OptimizeResult

    References
    ----------
    .. [1] Liu and Nocedal, "On the limited memory BFGS method for large scale
       optimization", Mathematical Programming 45, 1989.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.optimizers import minimize_lbfgs
    >>> result = minimize_lbfgs(lambda x: (x @ x, 2 * x), np.ones(2), lambda x: None,
    ...                         max_iter=9, max_fun=99, tol=1e-6)
    >>> result.success
    True
    """
    return scipy.optimize.minimize(
        objective,
        start,
        method="L-BFGS-B",
        jac=True,
        callback=callback,
        # Rectifiers make the objective kinked, where the gradient need not vanish: the search
        # also ends when an iteration gains less than this, relative to the loss.
        options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol, "ftol": 1e-4 * tol},
    )
