"""Probabilities that are as certain as they should be."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    from skann.engine.losses import Loss
    from skann.engine.network import Network

# Logarithms of the least and the greatest temperature that are tried.
_RANGE = (-4.0, 4.0)


def best_temperature(
    logits: NDArray, targets: NDArray, weights: NDArray | None, loss: "Loss"
) -> float:
    r"""Find what the logits must be divided by for the least log-loss [1]_.

    Few rows, all classified rightly, would have it go to zero. So what is minimised over T is
    the mean loss plus :math:`(\log T)^2 / n`, which fades as rows grow: a normal prior of
    :math:`\log T` with a variance of 1/2. n is the number of rows that have weight.

    Parameters
    ----------
    logits : ndarray of shape (n_outputs, n_rows)
        Raw scores of rows that were not trained on.
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Their encoded targets.
    weights : ndarray of shape (n_rows,) or None
        Their weights.
    loss : Loss
        Computing in float64, with scratch for all the rows.

    Returns
    -------
    float
        From :math:`e^{-4}` to :math:`e^4`.

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML
       2017, https://arxiv.org/abs/1706.04599

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.calibration import best_temperature
    >>> from skann.engine.losses import LogisticCrossEntropy
    >>> logits, targets = np.full((1, 4), 3.0), np.array([1, 1, 1, 0])
    >>> loss = LogisticCrossEntropy(1, 4, np.float64)
    >>> round(best_temperature(logits, targets, None, loss), 3)
    1.578
    """
    logits = np.ascontiguousarray(logits, dtype=np.float64)
    weights = np.ones(logits.shape[1]) if weights is None else weights
    total = float(weights.sum())
    n_rows = np.count_nonzero(weights)

    def value(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        loss_of_rows = loss.value_and_gradient(scaled, targets, weights, total)
        return loss_of_rows + log_temperature**2 / n_rows

    found = minimize_scalar(value, bounds=_RANGE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def divide_logits(network: "Network", temperature: float) -> tuple[NDArray, NDArray]:
    """Have all raw scores of a network divided by a temperature.

    Parameters
    ----------
    network : Network
        Its output layer is changed.
    temperature : float
        The divisor.

    Returns
    -------
    coef, intercept : ndarray
        Copies of the output layer's parameters from before.
    """
    before = network.coefs[-1].copy(), network.intercepts[-1].copy()
    network.coefs[-1] /= temperature
    network.intercepts[-1] /= temperature
    return before


def undo_division(
    network: "Network", before: tuple[NDArray, NDArray] | None, temperature: float
) -> None:
    """Take back what `divide_logits` did, unless somebody has changed the output layer since.

    Parameters
    ----------
    network : Network
        Its output layer is changed.
    before : tuple of ndarray, or None
        What `divide_logits` returned; None if it was not called.
    temperature : float
        What it was called with.
    """
    layer = network.coefs[-1], network.intercepts[-1]
    if before is None or any(
        (now != then / temperature).any() for now, then in zip(layer, before, strict=True)
    ):
        return
    for now, then in zip(layer, before, strict=True):
        now[...] = then
