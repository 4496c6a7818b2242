"""Training on all rows at once by L-BFGS."""

from collections.abc import Callable

import scipy.optimize
from numpy.typing import NDArray


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
    >>> from skann.engine.lbfgs import minimize_lbfgs
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
