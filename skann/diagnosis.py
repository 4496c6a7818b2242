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
    elif n_iter >= _FEW_EPOCHS and (data.scaling is None or data.scaling.factor is None):
        message = _advice_to_scale(run, settings, data)
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
        return Measured(*_measure(network, sample, settings, data), is_constant)


def _measure(
    network: Network, sample: Examples, settings: Settings, data: Data
) -> tuple[float, float]:
    """Return accuracy and log-loss on some rows."""
    return Validation.on(sample, network, data.scaling, settings.loss).measure(network)


def _all_the_same(network: Network, examples: Examples, scaling: Scaling | None) -> bool:
    """Tell whether all rows get the same scores."""
    return bool((np.ptp(scores_of(network, examples, scaling), axis=1) < _SAME).all())


def _differ(examples: Examples) -> bool:
    """Tell whether not all rows are alike."""
    X = examples.X[examples.subset]
    return bool((X.max(axis=0) != X.min(axis=0)).sum())


def _advice_to_scale(run: FittedRun, settings: Settings, data: Data) -> str:
    """Return what to do about features on very different scales; empty if they do no harm."""
    ratio = _ratio_of_spreads(data.train)
    if not ratio >= _WIDE:
        return ""
    score, loss = _measure(run.network, data.train.spread_evenly(_SAMPLE), settings, data)
    constant_score, constant_loss = _constant_prediction(data.train)
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
    sample = examples.spread_evenly(_SPREAD_ROWS)
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
