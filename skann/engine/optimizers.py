"""Optimizers on the flat parameter vector.

A stochastic optimizer is a subclass of `Optimizer` with an entry in `OPTIMIZERS`. The penalty
``decay / 2 * ||weights||^2`` is part of the objective. Its gradient is therefore included in the
moments, unless the weight decay is decoupled.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray
from scipy import sparse

from skann.engine.kernels import active
from skann.engine.kernels.numpy_kernels import AdamStep
from skann.engine.memory import aligned_empty

# Lower limit of the factor of decoupled decay: weights shrink, but do not change sign.
_LEAST_SHRINKAGE = 1e-30
# A decaying sum is multiplied by its scale when the scale falls below this, long before terms
# divided by the scale overflow.
_LEAST_SCALE = 1e-6

# Numbers of a vector that a step handles at once. The few vectors that it reads several times then
# stay in the last level of cache, and the number of calls stays small.
_BLOCK = 65_536


class Optimizer:
    """Base class of the stochastic optimizers."""

    decouples_decay = False
    """Whether each step shrinks the weights directly, instead of a penalty in the loss."""

    def prepare(self, inputs: NDArray | sparse.csr_array) -> None:
        """Bring the weights that a batch reads up to date; dense updates have nothing to do."""

    def step(self, rate: float, decay: float) -> None:
        """Update the parameters in place from the gradient, which is overwritten.

        Parameters
        ----------
        rate : float
            Learning rate of this step.
        decay : float
            Factor of the weights in the gradient of the penalty, or rate of decoupled decay.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Bring all weights up to date; dense updates have nothing to do."""

    def state(self) -> dict[str, Any]:
        """Return a copy of the state from which training can continue with the same bits."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        raise NotImplementedError


class _Block(NamedTuple):
    """A section of the flat vectors, short enough to stay in cache during a step.

    `state` holds the vectors that the optimizer keeps. Only the first `n_weights` parameters
    decay.
    """

    parameters: NDArray
    gradient: NDArray
    state: list[NDArray]
    n_weights: int


def _blocks(
    parameters: NDArray, gradient: NDArray, n_weights: int, *state: NDArray
) -> list[_Block]:
    """Split vectors of one length into blocks; only the first `n_weights` parameters decay."""
    if not all(vector.flags.carray for vector in (parameters, gradient, *state)):
        raise ValueError("An optimizer needs vectors that are aligned, contiguous and writeable.")
    blocks = []
    for start in range(0, parameters.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        values = parameters[part]
        n_decaying = min(max(n_weights - start, 0), values.size)
        state_part = [vector[part] for vector in state]
        blocks.append(_Block(values, gradient[part], state_part, n_decaying))
    return blocks


class DecayingSum:
    """A sum of vectors that decays by a factor before each term: s = beta * s + term.

    The sum is stored divided by its accumulated decay. Adding a term then takes one pass over the
    vector (an axpy); decaying and adding separately would take two.

    Parameters
    ----------
    like : ndarray of shape (n,)
        Vector that gives the length and dtype.
    beta : float
        Decay factor, in [0, 1).

    Attributes
    ----------
    values : ndarray of shape (n,)
        The sum, divided by `scale`.
    scale : float
        Factor by which to multiply the values.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.optimizers import DecayingSum
    >>> total = DecayingSum(np.zeros(1), beta=0.5)
    >>> for term in (4.0, 1.0):
    ...     total.decay()
    ...     total.values += term / total.scale
    >>> total.values * total.scale
    array([3.])
    """

    def __init__(self, like: NDArray, beta: float) -> None:
        self.values = aligned_empty(like.size, like.dtype)
        self.values.fill(0)
        self.scale = 1.0
        self._beta = beta

    def decay(self) -> None:
        """Multiply the sum by the decay factor."""
        self.scale *= self._beta
        if self.scale < _LEAST_SCALE:
            self.values *= self.scale
            self.scale = 1.0


class Adam(Optimizer):
    r"""The Adam optimizer [1]_.

    With gradient g, moments :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g` and
    :math:`v \leftarrow \beta_2 v + (1 - \beta_2) g^2`, and their bias corrections
    :math:`\hat m = m / (1 - \beta_1^t)` and :math:`\hat v = v / (1 - \beta_2^t)`, a step is

    .. math:: -\eta \, \hat m / (\sqrt{\hat v} + \epsilon).

    The moments are kept as a `DecayingSum` of :math:`g` and of :math:`g^2`. Their scales, the
    factors :math:`1 - \beta` and the bias corrections are the same for all parameters, so they
    are included in the rate and the epsilon of each step.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Parameter vector, updated in place.
    gradient : ndarray of shape (n_gradient,)
        Gradient with respect to the last `n_gradient` parameters, usually all of them.
    n_weights : int
        Number of parameters that decay: the first ones.
    beta_1, beta_2, epsilon : float
        Hyperparameters, as in the paper.

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

    def __init__(
        self,
        parameters: NDArray,
        gradient: NDArray,
        n_weights: int,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        **_: Any,
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.n_steps = 0
        self.first = DecayingSum(parameters, beta_1)
        self.second = DecayingSum(parameters, beta_2)
        self._update = active().make_adam(parameters)
        start = parameters.size - gradient.size
        vectors = (parameters, self.first.values, self.second.values)
        values, first, second = (vector[start:] for vector in vectors)
        self._blocks = _blocks(values, gradient, n_weights - start, first, second)

    def step(self, rate: float, decay: float) -> None:
        """Update the parameters in place; see `Optimizer.step`."""
        step = self._begin_step(rate, decay)
        for values, grad, (first, second), n_weights in self._blocks:
            self._update(values, grad, first, second, n_weights, step)

    def _begin_step(self, rate: float, decay: float) -> AdamStep:
        """Decay the moments; return the coefficients of this step."""
        self.n_steps += 1
        self.first.decay()
        self.second.decay()
        corrected_first = self.first.scale * (1 - self.beta_1) / (1 - self.beta_1**self.n_steps)
        corrected_second = self.second.scale * (1 - self.beta_2) / (1 - self.beta_2**self.n_steps)
        root = math.sqrt(corrected_second)
        shrinkage = max(1 - rate * decay, _LEAST_SHRINKAGE) if self.decouples_decay else 1.0
        return AdamStep(
            rate=rate * corrected_first / root,
            epsilon=self.epsilon / root,
            first_term=1 / self.first.scale,
            second_term=1 / self.second.scale,
            penalty=0.0 if self.decouples_decay else decay,
            shrinkage=shrinkage,
        )

    def state(self) -> dict[str, Any]:
        """Return a copy of the moments with their scales, and the number of steps."""
        return {
            "n_steps": self.n_steps,
            "first": self.first.values.copy(),
            "first_scale": self.first.scale,
            "second": self.second.values.copy(),
            "second_scale": self.second.scale,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.n_steps = state["n_steps"]
        self.first.values[...] = state["first"]
        self.first.scale = state["first_scale"]
        self.second.values[...] = state["second"]
        self.second.scale = state["second_scale"]


class AdamW(Adam):
    r"""Adam with decoupled weight decay [1]_.

    Before a step of Adam on the loss without a penalty, the weights shrink:
    :math:`w \leftarrow (1 - \eta \lambda) w`, or to almost zero if the factor is negative. Biases
    and the scales and shifts of normalisation do not shrink.

    The parameters are those of `Adam`.

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


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum, by default Nesterov's [1]_.

    The velocity is :math:`u \leftarrow \mu u - \eta g`. The step is u, or with Nesterov's momentum
    :math:`\mu u - \eta g`.

    Parameters
    ----------
    parameters, gradient : ndarray of shape (n_parameters,)
        Parameter vector, which is updated in place, and its gradient.
    n_weights : int
        Number of parameters that decay: the first ones.
    momentum : float
        Momentum :math:`\mu`; 0 for plain gradient descent.
    nesterovs_momentum : bool
        Whether to use Nesterov's momentum.

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
        self._update = active().make_sgd(parameters, momentum, nesterovs_momentum)
        self.velocity = aligned_empty(parameters.size, parameters.dtype)
        self.velocity.fill(0)
        self._blocks = _blocks(parameters, gradient, n_weights, self.velocity)

    def step(self, rate: float, decay: float) -> None:
        """Update the parameters in place; see `Optimizer.step`."""
        for values, grad, (velocity,), n_weights in self._blocks:
            self._update(values, grad, velocity, n_weights, rate, decay)

    def state(self) -> dict[str, Any]:
        """Return a copy of the velocity."""
        return {"velocity": self.velocity.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.velocity[...] = state["velocity"]


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
