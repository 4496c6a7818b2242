"""Losses with their link functions: value, gradient and probabilities from raw scores.

Raw scores (logits) are stored class by class, as arrays of shape (n_outputs, n_rows). A reduction
over a few classes then works on whole vectors of rows, which NumPy does several times faster than
many reductions of ten numbers.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.special import expit, log_expit, logsumexp

from skann.engine.kernels import active
from skann.engine.kernels.numpy_kernels import LossFunction


class Loss(NamedTuple):
    """A loss and what belongs to it, as training and prediction use it.

    Attributes
    ----------
    out_activation : str
        Name of the link function, from raw scores to probabilities.
    make : callable (n_outputs, max_rows, dtype, label_smoothing=0.0) -> callable
        Returns a function ``(logits, targets, weights, divisor) -> float``, which returns the loss
        of a batch and overwrites its logits with the gradient. Its arguments are described below.
        It has scratch arrays for batches of up to `max_rows` rows, so it belongs to one fit.
    probabilities : callable (logits) -> ndarray
        Returns the probabilities, of shape (n_rows, n_columns), clipped to the open interval
        (0, 1). There are two columns for one output, and else as many columns as outputs.
    log_probabilities : callable (logits) -> ndarray
        Returns their logarithms, more precisely than by taking them afterwards.
    average : callable (logits) -> ndarray
        Returns the raw scores whose probabilities are the means of those of several networks, from
        their raw scores, of shape (n_members, n_outputs, n_rows).

    Notes
    -----
    The function that `make` returns takes

    - the logits, a C-contiguous array of shape (n_outputs, n_rows);
    - the targets: class codes of shape (n_rows,), or zeros and ones of shape (n_rows, n_outputs);
    - the weight of each row, or None for equal weights;
    - the divisor of the weighted sum over the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.losses import LOSSES
    >>> loss = LOSSES["multiclass"].make(2, 1, np.float64)
    >>> logits = np.array([[0.0], [0.0]])
    >>> round(loss(logits, np.array([1]), None, 1.0), 4)
    0.6931
    >>> logits.ravel()
    array([ 0.5, -0.5])
    """

    out_activation: str
    make: Callable[..., LossFunction]
    probabilities: Callable[[NDArray], NDArray]
    log_probabilities: Callable[[NDArray], NDArray]
    average: Callable[[NDArray], NDArray]


def _make_softmax(
    n_outputs: int, max_rows: int, dtype: DTypeLike, label_smoothing: float = 0.0
) -> LossFunction:
    r"""Return the multinomial log-loss of integer class codes.

    .. math:: \frac{1}{d} \sum_i w_i \left(\log \sum_k e^{z_{ki}} - z_{y_i i}\right)

    With label smoothing :math:`\epsilon`, the target of a row is a distribution: every one of
    the `K` classes gets :math:`\epsilon / K`, and the true class gets the rest in addition [1]_.

    References
    ----------
    .. [1] Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception
       architecture for computer vision", CVPR 2016, https://arxiv.org/abs/1512.00567
    """
    on_each = label_smoothing / n_outputs
    on_truth = 1.0 - label_smoothing + on_each
    return active().make_softmax_cross_entropy(n_outputs, max_rows, dtype, on_each, on_truth)


def _softmax(logits: NDArray) -> NDArray:
    probabilities = np.exp(logits - np.maximum.reduce(logits, axis=0))
    probabilities /= np.add.reduce(probabilities, axis=0)
    return _inside_unit_interval(probabilities).T.copy()


def _log_softmax(logits: NDArray) -> NDArray:
    return (logits - logsumexp(logits, axis=0)).T.copy()


def _log_mean_softmax(logits: NDArray) -> NDArray:
    # The largest score would take digits from the logarithm of the sum.
    logs = logits - logits.max(axis=1, keepdims=True)
    logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
    return np.logaddexp.reduce(logs, axis=0) - math.log(len(logits))


def _make_logistic(
    n_outputs: int, max_rows: int, dtype: DTypeLike, label_smoothing: float = 0.0
) -> LossFunction:
    r"""Return the sum of binary log-losses, one for each output.

    .. math:: \frac{1}{d} \sum_i w_i \sum_k
        \left(\log(1 + e^{z_{ki}}) - y_{ik} z_{ki}\right)

    One output with codes 0 and 1 gives binary classification; several outputs with an
    indicator matrix give multilabel classification. Label smoothing :math:`\epsilon` moves
    the targets to :math:`\epsilon / 2` and :math:`1 - \epsilon / 2`.
    """
    return active().make_logistic_cross_entropy(n_outputs, max_rows, dtype, label_smoothing)


def _logistic(logits: NDArray) -> NDArray:
    return _inside_unit_interval(expit(_both_signs(logits))).T.copy()


def _log_logistic(logits: NDArray) -> NDArray:
    return log_expit(_both_signs(logits)).T.copy()


def _logit_of_mean(logits: NDArray) -> NDArray:
    log_yes, log_no = (np.logaddexp.reduce(log_expit(z), axis=0) for z in (logits, -logits))
    return log_yes - log_no


def _both_signs(logits: NDArray) -> NDArray:
    """Add the logits of the negative class as the first row, if there is a single output."""
    return np.vstack([-logits, logits]) if len(logits) == 1 else logits


def _inside_unit_interval(probabilities: NDArray) -> NDArray:
    """Replace rounded zeros and ones by the nearest number inside (0, 1), in place."""
    info = np.finfo(probabilities.dtype)
    np.maximum(probabilities, info.tiny, out=probabilities)
    return np.minimum(probabilities, 1 - info.epsneg, out=probabilities)


_SOFTMAX = Loss("softmax", _make_softmax, _softmax, _log_softmax, _log_mean_softmax)
_LOGISTIC = Loss("logistic", _make_logistic, _logistic, _log_logistic, _logit_of_mean)

LOSSES = {"binary": _LOGISTIC, "multiclass": _SOFTMAX, "multilabel-indicator": _LOGISTIC}
