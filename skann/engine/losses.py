"""Losses with their link functions: value, gradient and probabilities from raw scores.

Raw scores (logits) are stored class by class, as arrays of shape (n_outputs, n_rows). A reduction
over a few classes then works on whole vectors of rows, which NumPy does several times faster than
many reductions of ten numbers.

A loss object holds the scratch arrays for batches of up to `max_rows` rows, so it belongs to one
fit. Probabilities need no scratch arrays: they are static methods and thread-safe.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.special import expit, log_expit, logsumexp

from skann.engine.kernels import active


class Loss(Protocol):
    """Interface of a loss, as training and prediction use it."""

    out_activation: str

    def __init__(
        self, n_outputs: int, max_rows: int, dtype: DTypeLike, label_smoothing: float = 0.0
    ) -> None: ...

    def value_and_gradient(
        self, logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float
    ) -> float:
        """Return the loss; overwrite `logits` with its gradient."""

    @staticmethod
    def probabilities(logits: NDArray) -> NDArray:
        """Return the probabilities, of shape (n_rows, n_columns)."""

    @staticmethod
    def log_probabilities(logits: NDArray) -> NDArray:
        """Return the log-probabilities, more precisely than by taking logarithms afterwards."""

    @staticmethod
    def average(logits: NDArray) -> NDArray:
        """Return the raw scores whose probabilities are the means of those of several networks."""


class SoftmaxCrossEntropy:
    r"""Multinomial log-loss of integer class codes.

    .. math:: \frac{1}{d} \sum_i w_i \left(\log \sum_k e^{z_{ki}} - z_{y_i i}\right)

    With label smoothing :math:`\epsilon`, the target of a row is a distribution: every one of
    the `K` classes gets :math:`\epsilon / K`, and the true class gets the rest in addition [1]_.

    Parameters
    ----------
    n_outputs : int
        Number of classes.
    max_rows : int
        Number of rows of the largest batch.
    dtype : dtype-like
        Computing dtype.
    label_smoothing : float, default=0.0
        Share of a target that is spread evenly over the classes, from 0 to 1.

    References
    ----------
    .. [1] Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception
       architecture for computer vision", CVPR 2016, https://arxiv.org/abs/1512.00567

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.losses import SoftmaxCrossEntropy
    >>> loss = SoftmaxCrossEntropy(2, 1, np.float64)
    >>> logits = np.array([[0.0], [0.0]])
    >>> round(loss.value_and_gradient(logits, np.array([1]), None, 1.0), 4)
    0.6931
    >>> logits.ravel()
    array([ 0.5, -0.5])
    """

    out_activation = "softmax"

    def __init__(
        self, n_outputs: int, max_rows: int, dtype: DTypeLike, label_smoothing: float = 0.0
    ) -> None:
        on_each = label_smoothing / n_outputs
        on_truth = 1.0 - label_smoothing + on_each
        make = active().make_softmax_cross_entropy
        self._function = make(n_outputs, max_rows, dtype, on_each, on_truth)

    def value_and_gradient(
        self, logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float
    ) -> float:
        """Return the loss of a batch and overwrite its logits with the gradient.

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_rows), C-contiguous
            Raw scores. On return, the gradient with respect to them.
        targets : ndarray of shape (n_rows,), intp
            Class codes.
        weights : ndarray of shape (n_rows,) or None
            Weight of each row.
        divisor : float
            Divisor of the weighted sum over the rows.

        Returns
        -------
        float
            The loss.
        """
        return self._function(logits, targets, weights, divisor)

    @staticmethod
    def probabilities(logits: NDArray) -> NDArray:
        """Return the softmax of `logits`, clipped to the open interval (0, 1).

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_rows)
            Raw scores.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
        """
        probabilities = np.exp(logits - np.maximum.reduce(logits, axis=0))
        probabilities /= np.add.reduce(probabilities, axis=0)
        return _inside_unit_interval(probabilities).T.copy()

    @staticmethod
    def log_probabilities(logits: NDArray) -> NDArray:
        """Return the log-softmax of `logits`.

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_rows)
            Raw scores.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
        """
        return (logits - logsumexp(logits, axis=0)).T.copy()

    @staticmethod
    def average(logits: NDArray) -> NDArray:
        """Return the logarithms of the mean probabilities of several networks.

        Parameters
        ----------
        logits : ndarray of shape (n_members, n_outputs, n_rows)
            Their raw scores.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows)
        """
        # The largest score would take digits from the logarithm of the sum.
        logs = logits - logits.max(axis=1, keepdims=True)
        logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
        return np.logaddexp.reduce(logs, axis=0) - math.log(len(logits))


class LogisticCrossEntropy:
    r"""Sum of binary log-losses, one for each output.

    .. math:: \frac{1}{d} \sum_i w_i \sum_k
        \left(\log(1 + e^{z_{ki}}) - y_{ik} z_{ki}\right)

    One output with codes 0 and 1 gives binary classification; several outputs with an
    indicator matrix give multilabel classification. Label smoothing :math:`\epsilon` moves
    the targets to :math:`\epsilon / 2` and :math:`1 - \epsilon / 2`.

    Parameters
    ----------
    n_outputs : int
        Number of outputs.
    max_rows : int
        Number of rows of the largest batch.
    dtype : dtype-like
        Computing dtype.
    label_smoothing : float, default=0.0
        Share of a target that is spread evenly over its two values, from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.losses import LogisticCrossEntropy
    >>> loss = LogisticCrossEntropy(1, 2, np.float64)
    >>> logits = np.array([[0.0, 0.0]])
    >>> round(loss.value_and_gradient(logits, np.array([0, 1]), None, 2.0), 4)
    0.6931
    >>> logits
    array([[ 0.25, -0.25]])
    """

    out_activation = "logistic"

    def __init__(
        self, n_outputs: int, max_rows: int, dtype: DTypeLike, label_smoothing: float = 0.0
    ) -> None:
        make = active().make_logistic_cross_entropy
        self._function = make(n_outputs, max_rows, dtype, label_smoothing)

    def value_and_gradient(
        self, logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float
    ) -> float:
        """Return the loss of a batch and overwrite its logits with the gradient.

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_rows), C-contiguous
            Raw scores. On return, the gradient with respect to them.
        targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Targets, which are zeros and ones.
        weights : ndarray of shape (n_rows,) or None
            Weight of each row.
        divisor : float
            Divisor of the weighted sum over the rows.

        Returns
        -------
        float
            The loss.
        """
        return self._function(logits, targets, weights, divisor)

    @staticmethod
    def probabilities(logits: NDArray) -> NDArray:
        """Return the logistic probabilities, clipped to the open interval (0, 1).

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_rows)
            Raw scores.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), or (n_rows, 2) for one output
        """
        return _inside_unit_interval(expit(_both_signs(logits))).T.copy()

    @staticmethod
    def log_probabilities(logits: NDArray) -> NDArray:
        """Return the logarithms of the logistic probabilities.

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_rows)
            Raw scores.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs), or (n_rows, 2) for one output
        """
        return log_expit(_both_signs(logits)).T.copy()

    @staticmethod
    def average(logits: NDArray) -> NDArray:
        """Return the logits of the mean probabilities of several networks, output by output.

        Parameters
        ----------
        logits : ndarray of shape (n_members, n_outputs, n_rows)
            Their raw scores.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows)
        """
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


LOSSES: dict[str, type[Loss]] = {
    "binary": LogisticCrossEntropy,
    "multiclass": SoftmaxCrossEntropy,
    "multilabel-indicator": LogisticCrossEntropy,
}
