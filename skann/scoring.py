"""Which metric decides on the validation rows."""

import copy
import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

from sklearn.metrics import get_scorer

from skann.engine.batches import Examples
from skann.engine.network import Network
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
        If the metric cannot be used with weights and there are some; when the result is called,
        if the metric is no number.
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

    def score(network: Network, loss: float) -> float:
        try:
            value = scorer(_fitted(estimator, network), rows, y, **extra)
        except (TypeError, ValueError) as error:
            error.add_note(f"Raised by scoring={scoring!r} on the validation rows.")
            raise
        if not isinstance(value, Real) or math.isnan(value):
            raise ValueError(
                f"scoring={scoring!r} returned {value!r} for the validation rows; it must return"
                " a number, greater being better."
            )
        return float(value)

    return score


def _negative_loss(network: Network, loss: float) -> float:
    return -loss


def _fitted(estimator: "ANNClassifier", network: Network) -> Any:
    """Return a shallow copy of an estimator that predicts with `network`."""
    fitted = copy.copy(estimator)
    fitted._network = network
    # The rows have been validated already, as arrays without names.
    fitted.__dict__.pop("feature_names_in_", None)
    return fitted
