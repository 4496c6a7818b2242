"""What a search holds of its candidates, as the values that a `SearchDisplay` draws."""

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from skann.base import BaseANN
from skann.parameters import make_architecture
from skann.plotting.common import (
    ALL_DIGITS,
    check_length,
    digits,
    last_step,
    name_of_score,
    told_apart,
)

#: Values that colours, or fillings of marks, can tell apart.
MAX_TOLD = 6
# Digits of a value, where no more are needed to tell values apart.
_DIGITS = 4


def read_search(
    search: Any,
    parameter: str | None = None,
    *,
    metric: str | None = None,
    sizes: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return the arguments of a `SearchDisplay`; parameters as in its `from_estimator`."""
    check_is_fitted(search)
    if not hasattr(search, "cv_results_"):
        raise TypeError(
            "SearchDisplay takes a fitted search with cv_results_, such as GridSearchCV, not"
            f" {type(search).__name__}."
        )
    results, candidates = search.cv_results_, _candidates(search)
    metric = _metric(search, metric)
    scores = _scores(results, metric)
    varied = _varied(candidates)
    parameter = _choose_parameter(search, varied, parameter)
    values = {n: [_value(search, candidate, n) for candidate in candidates] for n in varied}
    others = [
        [f"{short_name(name)}={text}" for text in texts_of(values[name])]
        for name in varied
        if name != parameter
    ]
    groups, fillings = _told_by_marks(others)
    counted = _count_weights(search) if sizes is None else _given_sizes(sizes, len(candidates))
    return {
        "scores": scores,
        "fit_times": np.asarray(results["mean_fit_time"]),
        "parameter": parameter,
        "values": values[parameter],
        "labels": _joined([texts_of(values[parameter]), *others]),
        "best_index": int(getattr(search, "best_index_", np.nanargmax(scores.mean(axis=1)))),
        "sizes": None if np.isnan(counted).all() else counted,
        "score_name": _name_of_score(search, metric),
        "groups": groups,
        "fillings": fillings,
        "best_name": "refitted" if _chosen_otherwise(search, metric) else "best",
        "rounds": results.get("iter"),
    }


def _given_sizes(sizes: ArrayLike, n_candidates: int) -> NDArray:
    given = np.array(column_or_1d(sizes), dtype=float)
    check_length("sizes", given, n_candidates, "candidate")
    return given


def _candidates(search: Any) -> list[dict[str, Any]]:
    """Return the parameters of each candidate; a halving search has its resource before them."""
    results = search.cv_results_
    if "n_resources" not in results:
        return results["params"]
    amounts = zip(results["n_resources"], results["params"], strict=True)
    return [{search.resource: amount} | candidate for amount, candidate in amounts]


def _metric(search: Any, metric: str | None) -> str:
    """Return the name that a metric has in the keys of `cv_results_`."""
    prefix = "mean_test_"
    names = [key.removeprefix(prefix) for key in search.cv_results_ if key.startswith(prefix)]
    if metric is None:
        refit = getattr(search, "refit", None)
        metric = names[0] if len(names) == 1 else refit if isinstance(refit, str) else None
    if metric is None or metric not in names:
        raise ValueError(f"metric must be one of {', '.join(names)}; got {metric!r}.")
    return metric


def _name_of_score(search: Any, metric: str) -> str:
    """Return what to call a metric of a search on an axis."""
    scoring = search.scoring if metric == "score" else metric
    if scoring is not None or is_classifier(search.estimator):
        return name_of_score(scoring)
    return name_of_score("r2" if is_regressor(search.estimator) else "score")


def _chosen_otherwise(search: Any, metric: str) -> bool:
    """Whether the candidate to mark was chosen by something else than a metric."""
    refit = getattr(search, "refit", True)
    return callable(refit) or (isinstance(refit, str) and metric not in ("score", refit))


def _scores(results: Mapping[str, Any], metric: str) -> NDArray:
    """Return the scores of each candidate on each held-out fold."""
    keys = (f"split{fold}_test_{metric}" for fold in count())
    scores = np.transpose([results[key] for key in takewhile(results.__contains__, keys)])
    if not np.isfinite(scores.mean(axis=1)).any():
        raise ValueError(
            f"There is nothing to draw: no candidate of the search, of {len(scores)}, has a score"
            f" on every fold; {np.isnan(scores).sum()} of {scores.size} scores are nan. Search with"
            " error_score='raise' to see why fits or scores fail."
        )
    return scores


def _varied(candidates: Sequence[dict[str, Any]]) -> list[str]:
    """Return the parameters that are not the same in all candidates; all where none varies."""
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    labels = {n: {_text(c[n], ALL_DIGITS) if n in c else None for c in candidates} for n in names}
    return [name for name in names if len(labels[name]) > 1] or names


def _choose_parameter(search: Any, varied: list[str], parameter: str | None) -> str:
    """Return the full name of the parameter to draw."""
    if not varied:
        raise ValueError("There is nothing to draw: the search has no parameter in its grid.")
    if parameter is not None:
        found = [name for name in varied if parameter in (name, short_name(name))]
    else:
        found = [name for name in varied if name != getattr(search, "resource", None)]
        layers = [name for name in found if short_name(name) == "hidden_layer_sizes"]
        found = (layers or found or varied)[:1]
    if len(found) != 1:
        which = "those that vary"
        if len(search.cv_results_["params"]) == 1:
            which = "those in the grid, of which none varies as there is one candidate"
        raise ValueError(
            f"parameter must be one of {which}: {', '.join(varied)}; got {parameter!r}."
        )
    return found[0]


def _told_by_marks(others: list[list[str]]) -> tuple[list[str] | None, list[str] | None]:
    """Return what colours tell and what fillings do, of parameters with few values; or None."""
    few = [texts for texts in others if 1 < len(set(texts)) <= MAX_TOLD]
    groups = few.pop(0) if few else None
    fillings: list[str] | None = None
    for texts in few:
        joined = texts if fillings is None else _joined([fillings, texts])
        if len(set(joined)) <= MAX_TOLD:
            fillings = joined
    return groups, fillings


def _joined(columns: list[list[str]]) -> list[str]:
    return ["; ".join(texts) for texts in zip(*columns, strict=True)]


def _value(search: Any, candidate: dict[str, Any], name: str) -> Any:
    """Return a parameter of a candidate, the estimator's own where the grid has none for it."""
    return candidate[name] if name in candidate else search.estimator.get_params().get(name)


def short_name(name: str) -> str:
    """Return a parameter's name without the steps before it."""
    return name.rpartition("__")[2]


def texts_of(values: Sequence[Any]) -> list[str]:
    """Return values as short texts that differ where the values do."""
    return told_apart(values, _text, _DIGITS)


def _text(value: Any, n_digits: int) -> str:
    """Return a value as a short text: (128, 64) as "128,64"."""
    if isinstance(value, tuple | list | np.ndarray):
        return ",".join(_text(item, n_digits) for item in value) or "none"
    if isinstance(value, float | np.floating):
        return digits(value, n_digits)
    return " ".join(str(value).split())


def _count_weights(search: Any) -> NDArray:
    """Count the weights and intercepts of each candidate, nan where that cannot be known."""
    candidates = search.cv_results_["params"]
    counts = np.full(len(candidates), np.nan)
    best = getattr(search, "best_estimator_", None)
    network = last_step(best)
    if not isinstance(network, BaseANN):
        return counts
    step = best.steps[-1][0] if isinstance(best, Pipeline) else ""
    prefix = f"{step}__" if step else ""

    def before(candidate: dict[str, Any]) -> dict[str, str]:
        """Return what is set of the steps before the network."""
        return {
            name: _text(value, ALL_DIGITS)
            for name, value in candidate.items()
            if name != step and not name.startswith(prefix)
        }

    for place, candidate in enumerate(candidates):
        model = candidate.get(step, last_step(search.estimator))
        if not isinstance(model, BaseANN) or before(candidate) != before(search.best_params_):
            continue
        own = {n.removeprefix(prefix): v for n, v in candidate.items() if n.startswith(prefix)}
        model = clone(model).set_params(**own)
        sizes = network.n_features_in_, network.n_outputs_
        try:
            counts[place] = make_architecture(model._parameters(), *sizes).n_trainable
        except (TypeError, ValueError):  # Its fits failed for the same reason.
            continue
    return counts
