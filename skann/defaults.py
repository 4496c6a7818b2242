"""What ``"auto"`` stands for, by solver and number of training rows."""

import math
from typing import NamedTuple

from skann.engine.schedules import SCHEDULES


class Resolved(NamedTuple):
    """Settings without an ``"auto"`` left.

    Attributes
    ----------
    alpha : float
        Strength of the penalty.
    batch_size : int
        Rows of a batch.
    learning_rate_init : float
        Rate that the schedule multiplies.
    max_iter : int
        Most epochs, or iterations of L-BFGS.
    """

    alpha: float
    batch_size: int
    learning_rate_init: float
    max_iter: int


# With mini-batches the penalty is divided by the rows of a batch, with L-BFGS by all rows.
_ALPHA_FEW_ROWS, _ALPHA_MANY_ROWS, _ALPHA_LBFGS = 0.2, 0.1, 1.0
_MANY_ROWS = 10_000

# Rates for a schedule that ends near zero, and for one that need not. The former are peaks.
_RATES = {"adam": (1e-2, 1e-3), "sgd": (0.05, 0.01), "lbfgs": (1.0, 1.0)}

# Steps after which more of them hardly raise the accuracy of small data sets, and the epochs
# that large ones need all the same.
_STEPS = 1000
_MIN_EPOCHS, _MAX_EPOCHS = 10, 60
_LBFGS_ITERATIONS = 2000


def resolve(
    solver: str,
    n_rows: int,
    schedule: str,
    alpha: float | str,
    batch_size: int | str,
    learning_rate_init: float | str,
    max_iter: int | str,
) -> Resolved:
    """Replace ``"auto"`` by the rules that the docstring of `ANNClassifier` states.

    Parameters
    ----------
    solver : {"adam", "sgd", "lbfgs"}
        The solver.
    n_rows : int
        Training rows.
    schedule : str
        Name of the learning-rate schedule.
    alpha, batch_size, learning_rate_init, max_iter : number or "auto"
        As given to the estimator.

    Returns
    -------
    Resolved

    Examples
    --------
    >>> from skann.defaults import resolve
    >>> resolve("adam", 60_000, "one_cycle", "auto", "auto", "auto", "auto")
    Resolved(alpha=0.1, batch_size=256, learning_rate_init=0.01, max_iter=10)
    """
    has_end = SCHEDULES[schedule].has_end
    if solver == "lbfgs":
        batch_size = n_rows
    elif batch_size == "auto":
        batch_size = min(max(2 ** round(math.log2(n_rows) / 2), 16), 256)
    batch_size = min(int(batch_size), n_rows)
    if alpha == "auto":
        alpha = _ALPHA_FEW_ROWS if n_rows < _MANY_ROWS else _ALPHA_MANY_ROWS
        if solver == "lbfgs":
            alpha = _ALPHA_LBFGS
    if learning_rate_init == "auto":
        learning_rate_init = _RATES[solver][0 if has_end else 1]
    if max_iter == "auto":
        max_iter = _LBFGS_ITERATIONS
        if solver != "lbfgs":
            epochs = math.ceil(_STEPS / math.ceil(n_rows / batch_size))
            max_iter = min(max(epochs, _MIN_EPOCHS), _MAX_EPOCHS)
            # Without an end of its own, a schedule runs until the loss no longer falls.
            max_iter = max_iter if has_end else 200
    return Resolved(float(alpha), batch_size, float(learning_rate_init), int(max_iter))
