"""Random initial weights, and the registry of their names.

Except for "orthogonal", every initializer draws each weight independently, either uniformly or
normally, with a mean of zero and the same variance for both distributions:

- "glorot" with 2 / (fan_in + fan_out), which preserves the variance of signals and gradients
  through layers that are linear around zero [1]_;
- "he" with 2 / fan_in, which compensates for the half of the signal that a rectifier drops [2]_;
- "lecun" with 1 / fan_in, which preserves the variance of the signal through linear layers [3]_.
  The self-normalizing activation SELU is designed for "lecun_normal" [4]_.

References
----------
.. [1] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
   networks", AISTATS 2010.
.. [2] He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015,
   https://arxiv.org/abs/1502.01852
.. [3] LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.
.. [4] Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks",
   NeurIPS 2017, https://arxiv.org/abs/1706.02515

Examples
--------
>>> import numpy as np
>>> from skann.engine.initializers import INITIALIZERS
>>> weights = INITIALIZERS["glorot_normal"](np.random.default_rng(0), 150, 50)
>>> round(float(weights.std()), 2)
0.1
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

Initializer = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def _uniform(
    scale: float, with_fan_out: bool, rng: np.random.Generator, fan_in: int, fan_out: int
) -> NDArray[np.float64]:
    # The variance of a uniform distribution is a third of its squared bound.
    bound = np.sqrt(3 * scale / (fan_in + with_fan_out * fan_out))
    return rng.uniform(-bound, bound, (fan_in, fan_out))


def _normal(
    scale: float, with_fan_out: bool, rng: np.random.Generator, fan_in: int, fan_out: int
) -> NDArray[np.float64]:
    deviation = np.sqrt(scale / (fan_in + with_fan_out * fan_out))
    return rng.normal(0.0, deviation, (fan_in, fan_out))


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
    "glorot_uniform": partial(_uniform, 2.0, True),
    "glorot_normal": partial(_normal, 2.0, True),
    "he_uniform": partial(_uniform, 2.0, False),
    "he_normal": partial(_normal, 2.0, False),
    "lecun_uniform": partial(_uniform, 1.0, False),
    "lecun_normal": partial(_normal, 1.0, False),
    "orthogonal": orthogonal,
}
