"""Averages of the parameters over the training steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skann.engine.kernels import active


class Average:
    r"""Exponential moving average of a parameter vector [1]_.

    After t steps it is :math:`\frac{1 - d}{1 - d^t} \sum_{i=1}^{t} d^{t - i} \theta_i`. The
    coefficients sum to one from the first step on, so that the initial parameters have no
    influence.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Parameter vector, which gives the shape and dtype.
    decay : float
        Decay rate d of the average, in [0, 1).

    Attributes
    ----------
    values : ndarray of shape (n_parameters,)
        The average of the parameters.
    n_updates : int
        Number of steps averaged over.

    References
    ----------
    .. [1] Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM
       Journal on Control and Optimization 30, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.averaging import Average
    >>> average = Average(np.zeros(1), decay=0.5)
    >>> average.update(np.array([3.0]))
    >>> average.update(np.array([6.0]))
    >>> average.values
    array([5.])
    """

    def __init__(self, parameters: NDArray, decay: float) -> None:
        self.values = np.zeros_like(parameters)
        self.n_updates = 0
        self._decay = decay
        self._update = active().make_average(parameters)

    def update(self, parameters: NDArray) -> None:
        """Include the parameters after a step in the average."""
        self.n_updates += 1
        share = (1 - self._decay) / (1 - self._decay**self.n_updates)
        self._update(self.values, parameters, share)

    def state(self) -> dict[str, Any]:
        """Return the state to continue from; the values are shared, not copied."""
        return {"decay": self._decay, "n_updates": self.n_updates, "values": self.values}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, unless it has another decay rate."""
        if state["decay"] == self._decay:
            self.n_updates = state["n_updates"]
            self.values[...] = state["values"]

    def swap(self, parameters: NDArray) -> None:
        """Exchange the values of the average and the parameters."""
        before = parameters.copy()
        parameters[...] = self.values
        self.values[...] = before
