"""The learning-rate finder: train while the rate rises from step to step, and watch the loss."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from skann.base import BaseANN
from skann.diagnosis import DIVERGED
from skann.engine.run import Observer
from skann.inputs import Given
from skann.plotting.common import divide, ink

__all__ = ["LearningRateDisplay", "find_learning_rate"]

# Weight of the earlier batches in the smoothed loss, and the multiple of its minimum at which the
# test ends. At the minimum of the loss, steps have just become too large. A tenth of the rate at
# that point was among the best of a grid on small images and tables, with every solver.
_SMOOTHING = 0.9
_DIVERGED_FACTOR = 4.0
_SAFETY = 10.0
_MIN_STEPS = 10


def find_learning_rate(
    estimator: BaseANN,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    rates: ArrayLike | None = None,
) -> "LearningRateDisplay":
    """Suggest a `learning_rate_init` by the learning-rate range test.

    In this test [1]_, a clone of the estimator is trained from new weights, with a learning rate
    that rises from step to step. The test ends at the highest rate, or when the loss is four times
    its minimum. The suggestion is a tenth of the rate at which the smoothed loss was lowest. It is
    a peak rate, for schedules such as "one_cycle".

    Parameters
    ----------
    estimator : ANNClassifier
        Classifier with the parameters to train with; its `learning_rate_init` is ignored. It is
        not changed. ``solver="lbfgs"`` is not allowed, because it has no learning rate.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training rows, in the form in which you will pass them to `fit`.
    y : array-like of shape (n_samples,) or indicator matrix (n_samples, n_labels)
        Labels of the rows.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None for equal weights.
    rates : array-like of shape (n_steps,), default=None
        Learning rate of each step, in rising order; None for ``numpy.geomspace(1e-5, 10, 100)``.
        More steps make the result less noisy.

    Returns
    -------
    LearningRateDisplay
        Holds the rates, the losses and the suggestion. Its `plot` method draws them.

    Raises
    ------
    ValueError
        If a parameter is invalid, or if the loss is not finite from the start.

    References
    ----------
    .. [1] Smith, "Cyclical learning rates for training neural networks", WACV 2017,
       https://arxiv.org/abs/1506.01186

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skann import ANNClassifier, find_learning_rate
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = ANNClassifier(input_scaling="maxabs", random_state=0)
    >>> display = find_learning_rate(classifier, X, y)
    >>> 0.001 < display.suggested_rate < 0.1
    True
    >>> classifier = classifier.set_params(learning_rate_init=display.suggested_rate)
    >>> classifier.fit(X, y).score(X, y) > 0.99
    True
    """
    steps = np.geomspace(1e-5, 10, 100) if rates is None else np.asarray(rates, np.float64)
    _check_range_test(estimator, steps)
    test = _RangeTest(len(steps))
    model = clone(estimator)
    # Set as attributes: a subclass need not accept all of them as parameters.
    model.__dict__.update(
        learning_rate=lambda step: steps[min(step, len(steps) - 1)] / steps[0],
        learning_rate_init=steps[0],
        warmup=0.0,
        max_iter=len(steps),  # Enough: an epoch has at least one step.
        early_stopping=False,
    )
    model._train_only(Given(X, y, sample_weight), test)
    if len(test.losses) < 2:
        raise ValueError(DIVERGED)
    steps = steps[: len(test.losses)]
    return LearningRateDisplay(
        learning_rates=steps,
        losses=np.array(test.losses),
        smoothed_losses=np.array(test.smoothed),
        suggested_rate=float(steps[np.argmin(test.smoothed)] / _SAFETY),
    )


def _check_range_test(estimator: Any, rates: NDArray) -> None:
    if not isinstance(estimator, BaseANN):
        raise TypeError(
            f"find_learning_rate takes an ANNClassifier; got {type(estimator).__name__}. Pass the"
            " classifier itself, and for a Pipeline the rows as transformed by the earlier steps."
        )
    if estimator.solver == "lbfgs":
        raise ValueError("solver='lbfgs' has no learning rate. Choose another solver.")
    is_long = rates.ndim == 1 and len(rates) >= _MIN_STEPS
    if not (is_long and np.isfinite(rates).all() and (np.diff(rates, prepend=0) > 0).all()):
        raise ValueError(
            f"rates must be at least {_MIN_STEPS} positive numbers in rising order, for example"
            f" numpy.geomspace(1e-5, 10, 100); got {rates}."
        )


@dataclass(kw_only=True, eq=False, repr=False)
class LearningRateDisplay:
    """Plot of the training loss against a rising learning rate.

    Created by `find_learning_rate`.

    Parameters
    ----------
    learning_rates : ndarray of shape (n_steps,)
        Learning rate of each step.
    losses : ndarray of shape (n_steps,)
        Loss of each mini-batch, measured before its step.
    smoothed_losses : ndarray of shape (n_steps,)
        Exponential moving average of the losses.
    suggested_rate : float
        The suggested `learning_rate_init`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that `plot` has drawn on.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    See Also
    --------
    find_learning_rate : Run the range test and return a display.
    """

    learning_rates: NDArray
    losses: NDArray
    smoothed_losses: NDArray
    suggested_rate: float

    def plot(self, ax: Any = None) -> "LearningRateDisplay":
        """Draw the losses against the learning rates, and mark the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None for a new figure.

        Returns
        -------
        self : LearningRateDisplay
            The display, with `ax_` and `figure_` set.
        """
        ax, _ = divide(ax, 1, 1, (6.4, 4.8))
        (line,) = ax.semilogx(self.learning_rates, self.smoothed_losses, label="smoothed")
        color = line.get_color()
        ax.semilogx(self.learning_rates, self.losses, color=color, alpha=0.3, label="batches")
        label = f"suggested: {self.suggested_rate:.2g}"
        ax.axvline(self.suggested_rate, color=ink(), linestyle="--", label=label)
        ax.set(xlabel="Learning rate", ylabel="Training loss")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


class _RangeTest(Observer):
    """Record the loss of every mini-batch, and stop training when the test is complete."""

    def __init__(self, n_steps: int) -> None:
        self._n_steps = n_steps
        self.losses: list[float] = []
        self.smoothed: list[float] = []

    def end_step(self, loss: float) -> bool:
        """Record the loss of a mini-batch, and return whether to stop."""
        if not math.isfinite(loss):
            return True
        self.losses.append(loss)
        n_done = len(self.losses)
        weights = _SMOOTHING ** np.arange(n_done)[::-1]
        self.smoothed.append(float(np.average(self.losses, weights=weights)))
        is_enough = self.smoothed[-1] > _DIVERGED_FACTOR * min(self.smoothed)
        return is_enough or n_done == self._n_steps
