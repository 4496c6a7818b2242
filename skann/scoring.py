"""Which metric decides on the validation rows."""

import copy
import math
import warnings
from collections.abc import Callable
from inspect import signature
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import get_scorer

from skann.engine.batches import Examples
from skann.engine.network import Architecture, Network
from skann.targets import Labels

if TYPE_CHECKING:
    from skann.classifier import ANNClassifier


def make_scoring(
    estimator: "ANNClassifier", held_out: Examples | None, labels: Labels
) -> Callable[[Network, float], float] | None:
    """Return how to score a network on the validation rows.

    Parameters
    ----------
    estimator : ANNClassifier
        Its `scoring` says how.
    held_out : Examples or None
        The validation rows, if there are any.
    labels : Labels
        The labels of the codes.

    Returns
    -------
    callable (network, loss) -> float, or None
        Greater is better; None for the accuracy, which the engine computes.

    Raises
    ------
    ValueError
        If a named metric cannot be used with the weights, the labels or the classes of the
        validation rows; when the result is called, if the metric is no number.
    """
    scoring = estimator.scoring
    if scoring is None or held_out is None:
        return None
    if isinstance(scoring, str) and scoring == "loss":
        return _negative_loss
    X, codes, weights, subset = held_out
    rows = X if subset is None else X[subset]
    y = codes if labels.kind == "multilabel-indicator" else labels.classes[codes]
    is_name = isinstance(scoring, str)
    scorer = get_scorer(scoring) if is_name else scoring
    # A callable of the user's need not know of weights.
    extra = {"sample_weight": weights} if is_name and weights is not None else {}
    if extra and not scorer._accept_sample_weight():
        raise ValueError(
            f"scoring={scoring!r} takes no sample weights, but the validation rows have some, by"
            " sample_weight, sample_weight_val or class_weight. Choose another metric, or give"
            f" scoring=sklearn.metrics.get_scorer({scoring!r}), which leaves them out."
        )

    def measure(fitted: Any) -> Any:
        try:
            return scorer(fitted, rows, y, **extra)
        except (TypeError, ValueError) as error:
            error.add_note(f"Raised by scoring={scoring!r} on the validation rows.")
            raise

    if is_name:
        scorer._kwargs = _about_classes(scorer, labels) | scorer._kwargs
        _try_untrained(measure, estimator, labels, by_labels=scorer._response_method == "predict")

    def score(network: Network, loss: float) -> float:
        value = measure(_fitted(estimator, network))
        if not isinstance(value, Real) or math.isnan(value):
            raise ValueError(
                f"scoring={scoring!r} returned {value!r} for the validation rows; it must return"
                " a number, greater being better."
            )
        return float(value)

    return score


def _about_classes(scorer: Any, labels: Labels) -> dict[str, Any]:
    """Return what a metric cannot tell from the validation rows, which may lack a class."""
    if labels.kind == "multilabel-indicator":
        return {}
    parameters = signature(scorer._score_func).parameters
    classes = labels.classes.tolist()
    arguments: dict[str, Any] = {}
    # A metric of predicted labels takes `labels` for those to average over.
    if "labels" in parameters and scorer._response_method != "predict":
        arguments["labels"] = labels.classes
    if "pos_label" in parameters and labels.kind == "binary":
        default = parameters["pos_label"].default
        arguments["pos_label"] = default if default in classes else classes[1]
    return arguments


def _try_untrained(
    measure: Callable[[Any], Any], estimator: "ANNClassifier", labels: Labels, *, by_labels: bool
) -> None:
    """Measure a network that knows nothing: what cannot be measured shows before training."""
    architecture = Architecture((estimator.n_features_in_, labels.n_outputs), ())
    fitted = _fitted(estimator, Network(architecture, np.zeros(architecture.n_parameters)))
    fitted.classes_, fitted._target_kind = labels.classes, labels.kind
    fitted.__dict__.pop("_scaling", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = measure(fitted)
    # Of predicted labels it may depend on them whether a metric is defined.
    if not by_labels and not math.isfinite(value):
        raise ValueError(
            f"scoring={estimator.scoring!r} is not defined for the validation rows, whatever is"
            " predicted: they may lack a class. Give rows of every class as X_val and y_val, or"
            " choose another metric."
        )


def _negative_loss(network: Network, loss: float) -> float:
    return -loss


def _fitted(estimator: "ANNClassifier", network: Network) -> Any:
    """Return a shallow copy of an estimator that predicts with `network`."""
    fitted = copy.copy(estimator)
    fitted._network = network
    # The rows have been validated already, as arrays without names.
    fitted.__dict__.pop("feature_names_in_", None)
    return fitted
