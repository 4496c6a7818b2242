"""What a user is told of how training went and ended."""

import math
import warnings
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import entr
from sklearn.exceptions import ConvergenceWarning

from skann.engine.batches import Examples
from skann.engine.fitting import FEW_EPOCHS, Outcome, Settings, measure, spread_evenly
from skann.engine.network import Network
from skann.engine.rows import Scaling
from skann.engine.stopping import Epoch
from skann.scaling import measure_scaling
from skann.targets import mean_positive_weight

DIVERGED = (
    "Training diverged: the loss is no longer a finite number. The likely causes are features on"
    " very different scales (try input_scaling='standard', or a StandardScaler in a Pipeline) and"
    " too high a learning_rate_init."
)

# What a network must have won of the accuracy that a constant prediction leaves open, or of its
# log-loss, to have learned.
_WON, _LOWER = 0.1, 0.05
# The same for having learned well. At defaults, raw wine, breast cancer, credit_g, spambase,
# covertype and magic win at most 0.84 and keep 0.32 of the log-loss; scaled, the first two win
# 0.97 and keep 0.07, and so do raw iris and digits, with 0.96 and 0.1.
_WON_WELL, _LOWER_WELL = 0.9, 0.8
# How many times the spread of a narrow feature (the lower quartile) the widest one's may be. It is
# at least 150 in those raw tables, at most 12 in twelve scaled ones and in pixels, and 26 in word
# counts of texts of 200 words.
_WIDE = 100
# Rows that tell the order of magnitude of a spread.
_SPREAD_ROWS = 200


def warn_of(
    outcome: Outcome,
    settings: Settings,
    examples: Examples,
    network: Network,
    scaling: Scaling | None,
) -> None:
    """Warn if training ended otherwise than it should, at the line that called `fit`.

    Parameters
    ----------
    outcome : Outcome
        How it ended.
    settings : Settings
        What it was to do.
    examples : Examples
        The training rows.
    network : Network
        As trained.
    scaling : Scaling or None
        Of the inputs.
    """
    stopping = outcome.stopping
    n_iter = len(stopping.history)
    message = ""
    if stopping.reason == "diverged":
        kept = "the best epoch" if settings.early_stopping else f"epoch {n_iter - 1}"
        message = f"{DIVERGED} The weights of {kept} are kept."
    elif failure := _failure(outcome, examples):
        rate = f"too high a learning_rate_init (here {settings.learning_rate_init:g}), "
        message = (
            f"{failure} The likely causes are {'' if settings.solver == 'lbfgs' else rate}too large"
            f" an alpha (here {settings.alpha:g}{_beside_weights(examples)}), features on very"
            " different scales (try input_scaling='standard', or a StandardScaler in a Pipeline)"
            " and too few epochs."
        )
    elif stopping.reason == "max_iter":
        message = (
            f"Stochastic optimizer: maximum iterations ({settings.max_iter}) reached and the"
            " optimization hasn't converged yet. Raise max_iter, or choose a learning_rate"
            " schedule with an end."
        )
    elif outcome.message:
        message = (
            f"lbfgs failed to converge after {n_iter} iterations: {outcome.message}. Raise"
            " max_iter or max_fun, scale the data, or take a smooth activation such as 'tanh'."
        )
    elif n_iter >= FEW_EPOCHS and (scaling is None or scaling.factor is None):
        message = _advice_to_scale(network, examples, scaling, settings)
    if message:
        warnings.warn(message, ConvergenceWarning, stacklevel=5)


def stop_if_interrupted(outcome: Outcome) -> None:
    """Warn if Ctrl-C has ended training, and raise it for the callers of `fit` to stop as well.

    Parameters
    ----------
    outcome : Outcome
        How training ended.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C has ended training.
    """
    if outcome.stopping.reason != "interrupted":
        return
    try:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    finally:
        raise KeyboardInterrupt  # Also where warnings are errors, which a search goes on after.


def _failure(outcome: Outcome, examples: Examples) -> str:
    """Return what is wrong with a network that has learned nothing; empty if it has."""
    if outcome.measured is None:
        return ""
    score, loss, is_constant = outcome.measured
    constant_score, constant_loss = _constant_prediction(examples)
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


def _advice_to_scale(
    network: Network, examples: Examples, scaling: Scaling | None, settings: Settings
) -> str:
    """Return what to do about features on very different scales; empty if they do no harm."""
    ratio = _ratio_of_spreads(examples)
    if not ratio >= _WIDE:
        return ""
    score, loss = measure(network, examples, scaling, settings)
    constant_score, constant_loss = _constant_prediction(examples)
    is_right = math.isclose(score, 1) or score > constant_score + _WON_WELL * (1 - constant_score)
    if is_right or loss < (1 - _LOWER_WELL) * constant_loss:
        return ""
    return (
        "The features are on very different scales: the standard deviation of the widest is"
        f" {ratio:.3g} times that of a narrow one. The training rows are not learned well (accuracy"
        f" {score:.3g}, log-loss {loss:.3g}), and this may be why. Try input_scaling='standard', or"
        " a StandardScaler in a Pipeline."
    )


def _ratio_of_spreads(examples: Examples) -> float:
    """Return how many times wider the widest feature is than a narrow one."""
    sample = spread_evenly(examples, _SPREAD_ROWS)
    factor = measure_scaling("standard", sample).factor
    assert factor is not None
    rows = sample.X[sample.subset]
    varies = rows.max(axis=0) != rows.min(axis=0)
    if sparse.issparse(varies):
        varies = varies.toarray()
    if not varies.any():
        return 1.0
    # A rare word and a pixel at the edge vary little because they are mostly zero, and a scale
    # of their own would not help.
    filled = (rows != 0).mean(axis=0)[varies]
    spreads = 1 / (factor[varies] * np.sqrt(filled))
    return float(spreads.max() / np.quantile(spreads, 0.25, method="lower"))


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
