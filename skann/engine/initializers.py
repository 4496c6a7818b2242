"""Random initial weights, and the registry of their names."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Initializer = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def glorot_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights uniformly from +-sqrt(6 / (fan_in + fan_out)).

    Preserves the variance of signals and gradients through layers that are linear around
    zero [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
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


def glorot_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights normally with variance 2 / (fan_in + fan_out), that of `glorot_uniform`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import glorot_normal
    >>> weights = glorot_normal(np.random.default_rng(0), 150, 50)
    >>> round(float(weights.std()), 2)
    0.1
    """
    return rng.normal(0.0, np.sqrt(2.0 / (fan_in + fan_out)), (fan_in, fan_out))


def he_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights uniformly from +-sqrt(6 / fan_in).

    The variance is 2 / `fan_in`, which compensates for the half of the signal that a rectifier
    drops [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
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


def he_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights normally with variance 2 / fan_in, that of `he_uniform`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import he_normal
    >>> weights = he_normal(np.random.default_rng(0), 200, 50)
    >>> round(float(weights.std()), 2)
    0.1
    """
    return rng.normal(0.0, np.sqrt(2.0 / fan_in), (fan_in, fan_out))


def lecun_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights uniformly from +-sqrt(3 / fan_in).

    The variance is 1 / `fan_in`, which preserves the variance of the signal through linear
    layers [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    References
    ----------
    .. [1] LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import lecun_uniform
    >>> bool(abs(lecun_uniform(np.random.default_rng(0), 3, 2)).max() <= 1)
    True
    """
    bound = np.sqrt(3.0 / fan_in)
    return rng.uniform(-bound, bound, (fan_in, fan_out))


def lecun_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw weights normally with variance 1 / fan_in, that of `lecun_uniform`.

    The self-normalizing activation SELU is designed for this initializer [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    References
    ----------
    .. [1] Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks",
       NeurIPS 2017, https://arxiv.org/abs/1706.02515

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import lecun_normal
    >>> weights = lecun_normal(np.random.default_rng(0), 100, 50)
    >>> round(float(weights.std()), 2)
    0.1
    """
    return rng.normal(0.0, np.sqrt(1.0 / fan_in), (fan_in, fan_out))


def orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Draw a matrix with orthonormal columns, or with orthonormal rows if it has fewer rows.

    The draw is uniform among all such matrices. They rotate or project signals but stretch none,
    however many layers follow one another [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    fan_in, fan_out : int
        Number of inputs and outputs of the layer.

    Returns
    -------
    ndarray of shape (fan_in, fan_out), float64

    References
    ----------
    .. [1] Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of
       learning in deep linear neural networks", ICLR 2014, https://arxiv.org/abs/1312.6120

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.initializers import orthogonal
    >>> weights = orthogonal(np.random.default_rng(0), 3, 2)
    >>> np.round(np.abs(weights.T @ weights), 6)
    array([[1., 0.],
           [0., 1.]])
    """
    tall = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    columns, triangle = np.linalg.qr(tall)
    # The distribution is uniform with the signs that make the factorisation unique.
    columns *= np.copysign(1, np.diag(triangle))
    return columns if fan_in >= fan_out else columns.T


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
}
