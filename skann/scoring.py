"""The metric that decides on the validation rows."""

import math
import warnings
from collections.abc import Callable
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer

from skann.engine.batches import Examples
from skann.engine.network import Network
from skann.engine.settings import Architecture
from skann.engine.validation import Scoring
from skann.targets import Labels


def make_scoring(
    scoring: Any,
    held_out: Examples | None,
    labels: Labels,
    as_fitted: Callable[[Network], Any],
) -> Scoring | None:
    """Return a function that scores a network on the validation rows.

    Parameters
    ----------
    scoring : str, callable or None
        The `scoring` parameter of the estimator.
    held_out : Examples or None
        The validation rows, if there are any.
    labels : Labels
        Maps the class labels to integer codes.
    as_fitted : callable (network) -> estimator
        Wraps a network as a fitted estimator, which a scorer can ask for predictions.

    Returns
    -------
    callable (network, loss) -> float, or None
        Greater is better. None stands for the accuracy, which the engine computes.

    Raises
    ------
    ValueError
        If a named metric cannot be used with the weights, the labels or the classes of the
        validation rows. The returned function raises it if the metric returns no number.
    """
    if scoring is None or held_out is None:
        return None
    if isinstance(scoring, str) and scoring == "loss":
        return lambda network, loss: -loss
    rows = held_out.X if held_out.subset is None else held_out.X[held_out.subset]
    codes = held_out.targets
    y = codes if labels.kind == "multilabel-indicator" else labels.classes[codes]
    is_name = isinstance(scoring, str)
    scorer = get_scorer(scoring) if is_name else scoring
    # A callable of the user need not accept weights.
    weights = held_out.weights if is_name else None
    extra = {} if weights is None else {"sample_weight": weights}

    def measure(network: Network) -> Any:
        return scorer(as_fitted(network), rows, y, **extra)

    if is_name:
        _check_takes_weights(scoring, scorer, weights)
        scorer._kwargs = _about_classes(scorer, labels) | scorer._kwargs
        architecture = Architecture((rows.shape[1], labels.n_outputs), ())
        untrained = Network(architecture, np.zeros(architecture.n_parameters))
        _try(lambda: measure(untrained), scoring, scorer._response_method == "predict")
    return lambda network, loss: _checked(measure(network), scoring)


def _check_takes_weights(scoring: str, scorer: Any, weights: Any) -> None:
    if weights is not None and not scorer._accept_sample_weight():
        raise ValueError(
            f"scoring={scoring!r} does not accept sample weights, but the validation rows have"
            " weights, from sample_weight, sample_weight_val or class_weight. Choose another"
            f" metric, or ignore the weights with scoring=sklearn.metrics.get_scorer({scoring!r})."
        )


def _checked(value: Any, scoring: Any) -> float:
    if not isinstance(value, Real) or math.isnan(value):
        raise ValueError(
            f"scoring={scoring!r} returned {value!r} for the validation rows; it must return"
            " a number, where greater is better."
        )
    return float(value)


def _about_classes(scorer: Any, labels: Labels) -> dict[str, Any]:
    """Return arguments about the classes, because the validation rows may lack one of them."""
    if labels.kind == "multilabel-indicator":
        return {}
    parameters = signature(scorer._score_func).parameters
    classes = labels.classes.tolist()
    arguments: dict[str, Any] = {}
    # For a metric of predicted labels, `labels` selects those to average over, so leave it out.
    if "labels" in parameters and scorer._response_method != "predict":
        arguments["labels"] = labels.classes
    if "pos_label" in parameters and labels.kind == "binary":
        default = parameters["pos_label"].default
        arguments["pos_label"] = default if default in classes else classes[1]
    return arguments


def _try(measure: Callable[[], Any], scoring: str, by_labels: bool) -> None:
    """Score an untrained network, so that an unusable metric raises an error before training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = measure()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"scoring={scoring!r} cannot be used with the validation rows: {error}. Choose"
                " another metric, or pass other validation rows as X_val and y_val."
            ) from error
    # A metric of predicted labels may be undefined for some predictions and defined for others.
    if not by_labels and not math.isfinite(value):
        raise ValueError(
            f"scoring={scoring!r} is not defined for the validation rows, whatever is"
            " predicted: they may lack a class. Pass rows of every class as X_val and y_val, or"
            " choose another metric."
        )
