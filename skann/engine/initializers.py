"""Random initial weights, and the registry of their names."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Initializer = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def glorot_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights uniformly from +-sqrt(6 / (fan_in + fan_out)).

    Keeps the variance of signals and gradients level through layers that are linear
    around zero [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    References
    ----------
    .. [1] Glorot and Bengio, "Understanding the difficulty of training deep feedforward
       neural networks", AISTATS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import glorot_uniform
    >>> bool(abs(glorot_uniform(np.random.default_rng(0), 4, 2)).max() <= 1)
    True
    """
    bound = np.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, (fan_in, fan_out))


def he_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights uniformly from +-sqrt(6 / fan_in).

    Variance 2 / `fan_in`: makes up for the half of the signal that a rectifier drops [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    References
    ----------
    .. [1] He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015,
       https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import he_uniform
    >>> bool(abs(he_uniform(np.random.default_rng(0), 6, 2)).max() <= 1)
    True
    """
    bound = np.sqrt(6.0 / fan_in)
    return rng.uniform(-bound, bound, (fan_in, fan_out))


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform,
    "he_uniform": he_uniform,
}
