"""Did it learn? What a user is told of how training went and ended."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import entr
from sklearn.exceptions import ConvergenceWarning

from skann.engine.batches import Examples
from skann.engine.fitting import FittedRun
from skann.engine.network import Network
from skann.engine.rows import Scaling
from skann.engine.run import Data
from skann.engine.settings import Settings
from skann.engine.stopping import Epoch
from skann.engine.validation import Validation, scores_of
from skann.targets import mean_positive_weight

DIVERGED = (
    "Training diverged: the loss is no longer a finite number. The likely causes are features on"
    " very different scales (try input_scaling='standard', or a StandardScaler in a Pipeline) and"
    " too high a learning_rate_init."
)

# What a network must have won of the accuracy that a constant prediction leaves open, or of its
# log-loss, to have learned.
_WON, _LOWER = 0.1, 0.05
# Fewer epochs than that are too short to judge by.
_FEW_EPOCHS = 5
# Training rows that tell whether anything was learned, and rows for a first look.
_SAMPLE, _FIRST_LOOK = 2000, 50
# Scores that differ by less than this between rows are the same.
_SAME = 1e-4


class Measured(NamedTuple):
    """What a trained network does on training rows, as in prediction.

    Attributes
    ----------
    score, loss : float
        Accuracy and log-loss.
    is_constant : bool
        Whether rows that differ all get the same scores.
    """

    score: float
    loss: float
    is_constant: bool


def warn_of(run: FittedRun, settings: Settings, data: Data) -> None:
    """Warn if training ended otherwise than it should, at the line that called `fit`.

    Parameters
    ----------
    run : FittedRun
        How it ended.
    settings : Settings
        What it was to do.
    data : Data
        What it was to learn from.
    """
    n_iter = len(run.history)
    if run.reason == "interrupted":
        warnings.warn("Training interrupted by user.", stacklevel=5)
        return
    message = ""
    if run.reason == "diverged":
        kept = "the best epoch" if settings.early_stopping else f"epoch {n_iter - 1}"
        message = f"{DIVERGED} The weights of {kept} are kept."
    elif failure := _failure(run, settings, data):
        rate = f"too high a learning_rate_init (here {settings.learning_rate_init:g}), "
        message = (
            f"{failure} The likely causes are {'' if settings.solver == 'lbfgs' else rate}too large"
            f" an alpha (here {settings.alpha:g}{_beside_weights(data.train)}), features on very"
            " different scales (try input_scaling='standard', or a StandardScaler in a Pipeline)"
            " and too few epochs."
        )
    elif run.reason == "max_iter":
        message = (
            f"Stochastic optimizer: maximum iterations ({settings.max_iter}) reached and the"
            " optimization hasn't converged yet. Raise max_iter, or choose a learning_rate"
            " schedule with an end."
        )
    elif run.message:
        message = (
            f"lbfgs failed to converge after {n_iter} iterations: {run.message}. Raise"
            " max_iter or max_fun, scale the data, or take a smooth activation such as 'tanh'."
        )
    elif n_iter >= FEW_EPOCHS and (scaling is None or scaling.factor is None):
        message = _advice_to_scale(network, examples, scaling, settings)
    if message:
        warnings.warn(message, ConvergenceWarning, stacklevel=5)


def _failure(run: FittedRun, settings: Settings, data: Data) -> str:
    """Return what is wrong with a network that has learned nothing; empty if it has."""
    measured = _measured_if_doubtful(run, settings, data)
    if measured is None:
        return ""
    score, loss, is_constant = measured
    constant_score, constant_loss = _constant_prediction(data.train)
    if constant_score == 1 and math.isclose(score, 1):
        return ""  # All rows with weight are of one class: there is no more to learn.
    if is_constant:
        return (
            "Training failed: the network gives all rows the same probabilities. Unless the"
            " features tell nothing about the classes, something was wrong."
        )
    if score > constant_score + _WON * (1 - constant_score) or loss < (1 - _LOWER) * constant_loss:
        return ""
    return (
        f"Training failed: on the training rows the accuracy, {score:.3g}, and the log-loss,"
        f" {loss:.4g}, are hardly better than those of always predicting the frequencies of the"
        f" classes, {constant_score:.3g} and {constant_loss:.4g}."
    )


def _measured_if_doubtful(run: FittedRun, settings: Settings, data: Data) -> Measured | None:
    """Look at training rows if one may doubt that anything was learned."""
    if len(run.history) < _FEW_EPOCHS and settings.solver != "lbfgs":
        return None
    network, scaling = run.network, data.scaling
    with np.errstate(over="ignore", invalid="ignore"):
        few = data.train.spread_evenly(_FIRST_LOOK)
        if not run.blew_up and not _all_the_same(network, few, scaling):
            return None
        sample = data.train.spread_evenly(_SAMPLE)
        is_constant = _all_the_same(network, sample, scaling) and _differ(sample)
        if not run.blew_up and not is_constant:
            return None
        validation = Validation.on(sample, network, scaling, settings.loss)
        return Measured(*validation.measure(network), is_constant)


def _all_the_same(network: Network, examples: Examples, scaling: Scaling | None) -> bool:
    """Tell whether all rows get the same scores."""
    return bool((np.ptp(scores_of(network, examples, scaling), axis=1) < _SAME).all())


def _differ(examples: Examples) -> bool:
    """Tell whether not all rows are alike."""
    X = examples.X[examples.subset]
    return bool((X.max(axis=0) != X.min(axis=0)).sum())


def _beside_weights(examples: Examples) -> str:
    """Return what small weights make of the penalty, which is divided by them."""
    mean_weight = mean_positive_weight(examples.weights)
    return f", for weights with a mean of {mean_weight:g}" if mean_weight < 1 else ""


def _constant_prediction(examples: Examples) -> tuple[float, float]:
    """Return accuracy and log-loss of always predicting the most frequent, or the frequencies."""
    targets, weights = examples.targets, examples.weights
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].ravel()
    totals = np.bincount(kinds, weights)
    shares = totals / totals.sum()
    if targets.ndim == 1:
        return float(shares.max()), float(entr(shares).sum())
    of_labels = np.average(targets, axis=0, weights=weights)
    return float(shares.max()), float((entr(of_labels) + entr(1 - of_labels)).sum())


def history_attributes(history: list[Epoch], early_stopping: bool) -> dict[str, Any]:
    """Return the fitted attributes that tell how training went.

    Parameters
    ----------
    history : list of Epoch
        A record for each epoch.
    early_stopping : bool
        Whether the validation score decided.

    Returns
    -------
    dict
    """
    losses = [epoch.loss for epoch in history]
    scores = [e.validation_score for e in history if e.validation_score is not None]
    validation_losses = [e.validation_loss for e in history if e.validation_loss is not None]
    return {
        "n_iter_": len(history),
        "loss_": losses[-1] if losses else np.nan,
        "best_loss_": None if early_stopping else min(losses, default=None),
        "loss_curve_": losses,
        "validation_scores_": scores or None,
        "best_validation_score_": max(scores) if scores else None,
        "validation_loss_curve_": validation_losses or None,
        "history_": [
            {"epoch": number, **epoch._asdict()} for number, epoch in enumerate(history, start=1)
        ],
    }
