"""Learning-rate schedules, and the registry of their names.

A schedule gives the factor by which the initial learning rate is multiplied. It is written as a
factory: the factory takes the number of steps of the whole run and, by name, further facts about
the run. It returns a function from the number of steps done so far to the factor. To add a
schedule, write the factory and its entry in `SCHEDULES`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

Factor = Callable[[int], float]


def constant(n_steps: int, **_: float) -> Factor:
    """Return a factor that is always 1.

    Parameters
    ----------
    n_steps : int
        Number of steps of the run.

    Returns
    -------
    callable (step) -> float

    Examples
    --------
    >>> from skann.engine.schedules import constant
    >>> constant(10)(9)
    1.0
    """
    return lambda step: 1.0


def inverse_scaling(
    n_steps: int, *, steps_per_epoch: int, rows_per_epoch: int, power_t: float
) -> Factor:
    """Return a factor ``(t + 1) ** -power_t``, where t is the number of rows in completed epochs.

    This is scikit-learn's ``"invscaling"``. The rate changes at the end of each epoch.

    Parameters
    ----------
    n_steps : int
        Number of steps of the run.
    steps_per_epoch, rows_per_epoch : int
        Number of steps and rows in an epoch.
    power_t : float
        Exponent.

    Returns
    -------
    callable (step) -> float

    Examples
    --------
    >>> from skann.engine.schedules import inverse_scaling
    >>> inverse_scaling(8, steps_per_epoch=4, rows_per_epoch=99, power_t=0.5)(4)
    0.1
    """
    return lambda step: (step // steps_per_epoch * rows_per_epoch + 1) ** -power_t


def one_cycle(n_steps: int, **_: float) -> Factor:
    """Return a factor that rises along a cosine for 30 % of the steps, then falls along one.

    The early rise allows a peak rate several times as high as a constant rate could be, and the
    fall averages out the noise [1]_. The factor starts at 1/25 and ends at 1/10,000, as in
    PyTorch's ``OneCycleLR``.

    Parameters
    ----------
    n_steps : int
        Number of steps of the whole cycle.

    Returns
    -------
    callable (step) -> float

    References
    ----------
    .. [1] Smith and Topin, "Super-convergence: very fast training of neural networks using
       large learning rates", 2018, https://arxiv.org/abs/1708.07120

    Examples
    --------
    >>> from skann.engine.schedules import one_cycle
    >>> [round(one_cycle(11)(step), 4) for step in (0, 3, 10)]
    [0.04, 1.0, 0.0001]
    """
    last = max(n_steps - 1, 1)
    top = 0.3 * last

    def factor(step: int) -> float:
        if step < top:
            return _cosine_between(1 / 25, 1.0, step / top)
        return _cosine_between(1.0, 1e-4, min((step - top) / (last - top), 1.0))

    return factor


def cosine(n_steps: int, **_: float) -> Factor:
    """Return a factor that falls along half a cosine from 1 to 0 [1]_.

    Parameters
    ----------
    n_steps : int
        Number of steps of the run.

    Returns
    -------
    callable (step) -> float

    References
    ----------
    .. [1] Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
       2017, https://arxiv.org/abs/1608.03983

    Examples
    --------
    >>> from skann.engine.schedules import cosine
    >>> [cosine(4)(step) for step in (0, 2)]
    [1.0, 0.5]
    """
    return lambda step: _cosine_between(1.0, 0.0, min(step / n_steps, 1.0))


def linear(n_steps: int, **_: float) -> Factor:
    """Return a factor that falls linearly from 1 to 0.

    Parameters
    ----------
    n_steps : int
        Number of steps of the run.

    Returns
    -------
    callable (step) -> float

    Examples
    --------
    >>> from skann.engine.schedules import linear
    >>> [linear(4)(step) for step in (0, 1, 2, 3)]
    [1.0, 0.75, 0.5, 0.25]
    """
    return lambda step: 1.0 - min(step / n_steps, 1.0)


def exponential(n_steps: int, **_: float) -> Factor:
    """Return a factor that falls from 1 to 1/100 by the same ratio at every step.

    Parameters
    ----------
    n_steps : int
        Number of steps of the run.

    Returns
    -------
    callable (step) -> float

    Examples
    --------
    >>> from skann.engine.schedules import exponential
    >>> [round(exponential(4)(step), 4) for step in (0, 2, 4)]
    [1.0, 0.1, 0.01]
    """
    return lambda step: 0.01 ** min(step / n_steps, 1.0)


def warmed_up(factor: Factor, warmup_steps: int) -> Factor:
    """Multiply a schedule's factor by a factor that first rises linearly to 1.

    Parameters
    ----------
    factor : callable (step) -> float
        The schedule.
    warmup_steps : int
        Number of steps of the rise; with 0 or 1 the schedule is unchanged.

    Returns
    -------
    callable (step) -> float

    Examples
    --------
    >>> from skann.engine.schedules import constant, warmed_up
    >>> factor = warmed_up(constant(6), 4)
    >>> [factor(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    if warmup_steps <= 1:
        return factor
    return lambda step: factor(step) * min(1.0, (step + 1) / warmup_steps)


def _cosine_between(start: float, stop: float, progress: float) -> float:
    return stop + (start - stop) * (1 + math.cos(math.pi * progress)) / 2


class Schedule(NamedTuple):
    """A schedule and how training treats it.

    Attributes
    ----------
    factory : callable
        ``factory(n_steps, steps_per_epoch=, rows_per_epoch=, power_t=)`` returns the factor as a
        function of the step.
    has_end : bool
        Whether completing the schedule counts as convergence.
    drops_on_plateau : bool
        Whether the rate is divided by five when progress stops, so that training continues.
    """

    factory: Callable[..., Factor]
    has_end: bool = False
    drops_on_plateau: bool = False


def from_callable(function: Callable[[int], Any]) -> Schedule:
    """Make a schedule from a user's function.

    Parameters
    ----------
    function : callable (step) -> float
        Takes the number of steps done so far and returns the factor.

    Returns
    -------
    Schedule
        A schedule with an end, because the function is assumed to cover the whole run. Its factory
        calls the function once for every step of the run.

    Raises
    ------
    ValueError
        Raised by the factory if `function` does not return a finite number of at least 0.

    Examples
    --------
    >>> from skann.engine.schedules import from_callable
    >>> from_callable(lambda step: 0.5 ** (step // 10)).factory(30)(20)
    0.25
    >>> from_callable(lambda step: 1 - step).factory(4)
    Traceback (most recent call last):
        ...
    ValueError: learning_rate(2) returned -1; a schedule must return a finite factor of at least 0
    """
    return Schedule(partial(_checked_schedule, function), has_end=True)


def _checked_schedule(function: Callable[[int], Any], n_steps: int, **_: float) -> Factor:
    """Return a function that checks the factors; errors are raised before training begins."""
    factor = partial(_checked_factor, function)
    for step in range(n_steps):
        factor(step)
    return factor


def _checked_factor(function: Callable[[int], Any], step: int) -> float:
    try:
        value = function(step)
    except TypeError as error:
        error.add_note(f"Raised by learning_rate={function!r}, which is called with the step.")
        raise
    try:
        # Arrays without dimensions count as numbers; NumPy's where() returns such arrays.
        factor = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        factor = math.nan
    if not 0 <= factor < math.inf:
        raise ValueError(
            f"learning_rate({step}) returned {value!r}; a schedule must return a finite factor"
            " of at least 0"
        )
    return factor


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule(constant),
    "invscaling": Schedule(inverse_scaling),
    "adaptive": Schedule(constant, drops_on_plateau=True),
    "one_cycle": Schedule(one_cycle, has_end=True),
    "cosine": Schedule(cosine, has_end=True),
    "linear": Schedule(linear, has_end=True),
    "exponential": Schedule(exponential, has_end=True),
}


def find_schedule(learning_rate: str | Callable[[int], Any]) -> Schedule:
    """Return the schedule that a `learning_rate` names or defines.

    Parameters
    ----------
    learning_rate : str or callable (step) -> float
        The parameter of `ANNClassifier`.

    Returns
    -------
    Schedule

    Examples
    --------
    >>> from skann.engine.schedules import find_schedule
    >>> find_schedule("cosine").has_end
    True
    """
    return from_callable(learning_rate) if callable(learning_rate) else SCHEDULES[learning_rate]
