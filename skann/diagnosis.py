"""Warnings about how training ended, and the fitted attributes that tell how it went."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import entr
from sklearn.exceptions import ConvergenceWarning

from skann.engine.batches import Examples
from skann.engine.fitting import FittedRun
from skann.engine.run import Data
from skann.engine.settings import Settings
from skann.engine.stopping import Epoch
from skann.engine.validation import Validation, scores_of
from skann.scaling import measure_scaling
from skann.targets import mean_positive_weight

_REMEDY = "input_scaling='standard', or a StandardScaler in a Pipeline"
_SCALES = f"features on very different scales (try {_REMEDY})"
DIVERGED = (
    "Training diverged: the loss is no longer a finite number. The likely causes are"
    f" {_SCALES} and too high a learning_rate_init."
)

# A network has learned something if it wins at least this share of the accuracy that a constant
# prediction leaves open, or lowers the log-loss by at least this share.
_LEARNED = (0.1, 0.05)
# The same two shares for having learned well. At defaults, unscaled wine, breast cancer, credit_g,
# spambase, covertype and magic win at most 0.84 of the accuracy and keep at least 0.32 of the
# log-loss. Scaled, the first two win 0.97 and keep 0.07; unscaled iris and digits win 0.96 and
# keep 0.1.
_LEARNED_WELL = (0.9, 0.8)
# Ratio between the spread of the widest feature and that of a narrow one (the lower quartile) from
# which scaling is advised. The ratio is at least 150 in those unscaled tables, at most 12 in twelve
# scaled tables and in pixels, and 26 in word counts of texts of 200 words.
_WIDE = 100
# Number of rows that suffice for the order of magnitude of a spread.
_SPREAD_ROWS = 200
# Runs with fewer epochs are too short to judge.
_FEW_EPOCHS = 5
# Numbers of training rows used to judge whether anything was learned, and for a first look.
_SAMPLE, _FIRST_LOOK = 2000, 50
# Scores that vary by less than this across rows count as equal.
_SAME = 1e-4


def warn_of(run: FittedRun, settings: Settings, data: Data) -> None:
    """Warn, at the line that called `fit`, if training did not end as it should.

    Parameters
    ----------
    run : FittedRun
        How training ended.
    settings : Settings
        What the fit was to do.
    data : Data
        The data that it was trained on.
    """
    if run.reason == "interrupted":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif message := _what_went_wrong(run, settings, data):
        warnings.warn(message, ConvergenceWarning, stacklevel=5)


def _what_went_wrong(run: FittedRun, settings: Settings, data: Data) -> str:
    """Return a message about the most important problem; empty if there is none."""
    n_iter = len(run.history)
    if run.reason == "diverged":
        kept = "the best epoch" if settings.early_stopping else f"epoch {n_iter - 1}"
        return f"{DIVERGED} The weights of {kept} are kept."
    is_long = n_iter >= _FEW_EPOCHS
    if (is_long or settings.solver == "lbfgs") and (failure := _failure(run, settings, data)):
        return failure
    if run.reason == "max_iter":
        return (
            f"Stochastic optimizer: maximum iterations ({settings.max_iter}) reached and the"
            " optimization hasn't converged yet. Raise max_iter, or choose a learning_rate"
            " schedule with an end."
        )
    if run.message:
        return (
            f"lbfgs failed to converge after {n_iter} iterations: {run.message}. Raise"
            " max_iter or max_fun, scale the data, or use a smooth activation such as 'tanh'."
        )
    is_scaled = data.scaling is not None and data.scaling.factor is not None
    return _advice_to_scale(run, data) if is_long and not is_scaled else ""


@np.errstate(over="ignore", invalid="ignore")
def _failure(run: FittedRun, settings: Settings, data: Data) -> str:
    """Return a message for a network that has learned nothing; empty if it has learned."""
    few, sample = (data.train.spread_evenly(n_rows) for n_rows in (_FIRST_LOOK, _SAMPLE))
    scores = (scores_of(run.network, rows, data.scaling) for rows in (few, sample))
    is_constant = all((np.ptp(each, axis=1) < _SAME).all() for each in scores)
    is_constant = is_constant and bool(_varies(sample.X[sample.subset]).any())
    if not (run.blew_up or is_constant):
        return ""
    poor = _poor_figures(_LEARNED, run, data)
    if poor is None:
        return ""
    score, loss, constant_score, constant_loss = poor
    same = " The network gives all rows the same probabilities." if is_constant else ""
    rate = f"too high a learning_rate_init (here {settings.learning_rate_init:g}), "
    mean_weight = mean_positive_weight(data.train.weights)
    # The penalty is divided by the mean weight, so small weights make it stronger.
    weights = f", for weights with a mean of {mean_weight:g}" if mean_weight < 1 else ""
    return (
        f"Training failed: on the training rows the accuracy, {score:.3g}, and the log-loss,"
        f" {loss:.4g}, are hardly better than when always predicting the class frequencies,"
        f" {constant_score:.3g} and {constant_loss:.4g}.{same} The likely causes are"
        f" {'' if settings.solver == 'lbfgs' else rate}too large an alpha (here"
        f" {settings.alpha:g}{weights}), {_SCALES} and too few epochs."
    )


def _advice_to_scale(run: FittedRun, data: Data) -> str:
    """Return advice to scale the features; empty if their scales do no harm."""
    ratio = _ratio_of_spreads(data.train)
    if not ratio >= _WIDE:
        return ""
    poor = _poor_figures(_LEARNED_WELL, run, data)
    if poor is None:
        return ""
    return (
        "The features are on very different scales: the standard deviation of the widest is"
        f" {ratio:.3g} times that of a narrow one. The network does not fit the training rows well"
        f" (accuracy {poor[0]:.3g}, log-loss {poor[1]:.3g}), and this may be why. Try {_REMEDY}."
    )


def _poor_figures(
    enough: tuple[float, float], run: FittedRun, data: Data
) -> tuple[float, float, float, float] | None:
    """Return accuracy and log-loss, and those of a constant prediction; None if good enough."""
    sample, network = data.train.spread_evenly(_SAMPLE), run.network
    score, loss = Validation(sample, network, data.scaling).measure(network)
    # Measured on the same rows, because other rows have other class frequencies.
    constant_score, constant_loss = _constant_prediction(sample)
    won, lower = enough
    is_right = math.isclose(score, 1) or score > constant_score + won * (1 - constant_score)
    if is_right or loss < (1 - lower) * constant_loss:
        return None
    return score, loss, constant_score, constant_loss


def _ratio_of_spreads(examples: Examples) -> float:
    """Return the ratio between the spread of the widest feature and that of a narrow one."""
    sample = examples.spread_evenly(_SPREAD_ROWS)
    rows = sample.X[sample.subset]
    varies = _varies(rows)
    if not varies.any():
        return 1.0
    # Rare words and pixels at the edge vary little because they are mostly zero. A larger scale
    # would not help them, so their spreads are corrected for the zeros.
    filled = (rows != 0).mean(axis=0)[varies]
    factor: Any = measure_scaling("standard", sample).factor
    spreads = 1 / (factor[varies] * np.sqrt(filled))
    return float(spreads.max() / np.quantile(spreads, 0.25, method="lower"))


def _varies(rows: Any) -> NDArray:
    """Tell for each feature whether it varies."""
    varies = rows.max(axis=0) != rows.min(axis=0)
    return varies.toarray() if sparse.issparse(varies) else varies


def _constant_prediction(examples: Examples) -> tuple[float, float]:
    """Return the accuracy of the most frequent class and the log-loss of the class frequencies."""
    targets, weights = examples.targets, examples.weights
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].ravel()
    totals = np.bincount(kinds, weights)
    shares = totals / totals.sum()
    if targets.ndim == 1:
        return float(shares.max()), float(entr(shares).sum())
    of_labels = np.average(targets, axis=0, weights=weights)
    return float(shares.max()), float((entr(of_labels) + entr(1 - of_labels)).sum())


def history_attributes(history: list[Epoch], early_stopping: bool) -> dict[str, Any]:
    """Return the fitted attributes that describe how training went.

    Parameters
    ----------
    history : list of Epoch
        One record for each epoch.
    early_stopping : bool
        Whether the best epoch is the one with the highest validation score.

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
        "best_validation_score_": max(scores, default=None),
        "validation_loss_curve_": validation_losses or None,
        "history_": [
            {"epoch": number, **epoch._asdict()} for number, epoch in enumerate(history, start=1)
        ],
    }
