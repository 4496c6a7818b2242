"""Plot of the results of a hyperparameter search."""

from dataclasses import dataclass
from numbers import Real
from textwrap import fill
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils.validation import check_is_fitted

from skann.base import BaseANN
from skann.parameters import make_architecture
from skann.plotting.common import (
    COLORS,
    GREY,
    MAX_NAME,
    MAX_PLACES,
    VERBATIM,
    add_legend,
    divide,
    in_words,
    ink,
    last_step,
    name_of_score,
    name_places,
    shorten,
    spans,
    text_of,
    tidy,
)

# Ratios of the largest to the smallest value. Above the first, a logarithmic axis shows more;
# above the second, it has space for labels at powers of ten only.
_LOG_RATIO, _POWERS_RATIO = 5, 30
# Maximum number of names on the points of a panel; more would cover each other.
_MAX_NAMED = 8
# Distance in points from the end of a whisker to a name, margin in pixels around a whisker, and
# number of letters in a line of the legend.
_SHIFT, _PAD, _LEGEND_WIDTH = 10, 6, 42
# Markers, because colours alone should not distinguish the groups.
_MARKERS = "os^vPX"


@dataclass(kw_only=True, eq=False, repr=False)
class SearchDisplay:
    """Plot of the scores of a search over layer sizes or another parameter.

    The scores of all candidates are drawn against the parameter, against the fitting time and, if
    the networks differ in size, against their size. If a second parameter varies and has at most
    six values, colours and markers distinguish these. Candidates that differ in further parameters
    are drawn beside each other in the order of the search. To see such a parameter, pass its name
    as `parameter`. Created by `from_estimator`.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_folds)
        Score of each candidate on each held-out fold; nan if the fit failed.
    fit_times : ndarray of shape (n_candidates,)
        Mean fitting time of each candidate in seconds.
    parameter : str
        Name of the parameter to draw.
    values : list
        Value of the parameter in each candidate.
    best_index : int
        Index of the candidate to mark.
    best_label : str
        Legend label of that candidate.
    sizes : ndarray of shape (n_candidates,), default=None
        Number of weights and intercepts of each candidate; nan if unknown. None if no sizes are
        known.
    score_name : str, default="Score"
        Name of the score.
    groups : list of str, default=None
        Group of each candidate, shown by its colour: the value of another parameter. There are at
        most six groups. None for a single colour.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that `plot` has drawn on; they are divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels: score against the parameter, against the fitting time and, if sizes are known
        and differ, against the size.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    errorbars_ : list of matplotlib ErrorbarContainer
        Mean and standard deviation over the folds, one entry for each panel.
    folds_ : list of matplotlib Line2D
        Scores on the folds, one entry for each panel.
    best_ : list of matplotlib Line2D
        Mark of the best candidate, one entry for each panel.
    groups_ : list of matplotlib Line2D
        Means of each group, panel by panel; empty without groups.
    legend_ : matplotlib Legend
        Common legend of the panels, above them.
    front_ : matplotlib Line2D or None
        Best score up to each size; None if sizes are not drawn.

    See Also
    --------
    TrainingCurveDisplay : Training curves of one or several networks.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skann import ANNClassifier, SearchDisplay
    >>> model = ANNClassifier(input_scaling="standard", max_iter=10, random_state=0)
    >>> grid = {"hidden_layer_sizes": [(4,), (8, 4)]}
    >>> search = GridSearchCV(model, grid, cv=3).fit(*load_iris(return_X_y=True))
    >>> display = SearchDisplay.from_estimator(search)
    >>> display.sizes
    array([35., 91.])
    """

    scores: NDArray
    fit_times: NDArray
    parameter: str
    values: list[Any]
    best_index: int
    best_label: str
    sizes: NDArray | None = None
    score_name: str = "Score"
    groups: list[str] | None = None

    @classmethod
    def from_estimator(
        cls, search: Any, *, parameter: str | None = None, metric: str | None = None, ax: Any = None
    ) -> Self:
        """Draw a fitted search.

        Parameters
        ----------
        search : GridSearchCV or the like
            Fitted search with `cv_results_`. If it was refitted to an ANNClassifier, or to a
            Pipeline that ends in one, the weights of the candidates are counted. Candidates whose
            earlier steps differ from those of the best candidate are not counted, as they may
            produce other features. For a halving search, the colours show the resources, and only
            candidates of the last round are drawn against their sizes.
        parameter : str, default=None
            Name of the parameter to draw, such as "network__alpha" or its last part, "alpha".
            None for the layer sizes if they vary, otherwise for the first parameter that varies.
        metric : str, default=None
            Metric to draw, if there are several. None for the one that `refit` names, or for the
            only one. The marked candidate is the one that `refit` selected. It is labelled "best"
            if it was selected by this metric. Otherwise, and if `refit` is a function, it is
            labelled "refitted".
        ax : matplotlib Axes, default=None
            Axes to draw on. They are divided into two or three panels, each of which should be
            about four inches wide. None for a new figure.

        Returns
        -------
        SearchDisplay
            The display, after its `plot` method was called.
        """
        check_is_fitted(search)
        metric = _metric(search, metric)
        scores = _scores(search, metric)
        varied = _varied(search)
        parameter = _choose_parameter(search, list(varied), parameter)
        values = varied.pop(parameter)
        others = [[f"{_short(n)}={_text(v)}" for v in varied[n]] for n in varied]
        best = int(getattr(search, "best_index_", np.nanargmax(scores.mean(axis=1))))
        label = "; ".join([_text(values[best]), *(texts[best] for texts in others)])
        refit = getattr(search, "refit", True)
        is_best = not callable(refit) and (metric in ("score", refit) or not isinstance(refit, str))
        return cls(
            scores=scores,
            fit_times=np.asarray(search.cv_results_["mean_fit_time"]),
            parameter=parameter,
            values=values,
            best_index=best,
            best_label=f"{'best' if is_best else 'refitted'}: {label}",
            sizes=_count_weights(search),
            score_name=_name_of_score(search, metric),
            groups=next((t for t in others if 1 < len(set(t)) <= len(_MARKERS)), None),
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the search.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. They are divided into two or three panels, each of which should be
            about four inches wide. None for a new figure.

        Returns
        -------
        self : SearchDisplay
            The display, with its attributes set.
        """
        quantities = {"Seconds of a fit": self.fit_times}
        if self.sizes is not None and len(set(self.sizes[np.isfinite(self.sizes)])) > 1:
            quantities["Weights in the network"] = self.sizes
        n_panels = 1 + len(quantities)
        self.ax_, self.axes_ = divide(ax, 1, n_panels, (4.4, 4.4), share_y=True)
        self.figure_ = self.ax_.figure
        self.errorbars_: list[Any] = []
        self.folds_: list[Any] = []
        self.best_: list[Any] = []
        self.groups_: list[Any] = []
        self.front_ = None
        first, *others = self.axes_
        self._plot_scores(first, self._places(first))
        first.set_xlabel(in_words(_short(self.parameter)), **VERBATIM)
        first.set_ylabel(f"{self.score_name} on held-out folds", **VERBATIM)
        for axes, (label, x) in zip(others, quantities.items(), strict=True):
            _log_if_wide(axes, x)
            self._plot_scores(axes, x)
            axes.set_xlabel(label)
            axes.tick_params(labelleft=False)
        if n_panels == 3:
            self._plot_front(self.axes_[2], quantities["Weights in the network"])
        groups = self.groups_[: len(self.groups_) // n_panels]
        marks = [self.folds_[0], self.errorbars_[0], *groups, self.best_[0], self.front_]
        # One legend above all panels: beside one of them, it would push the panels apart.
        where = {"loc": "outside upper left", "ncols": n_panels + 1}
        self.legend_ = add_legend(first.figure, list(filter(None, marks)), **where)
        # Drawing lays out the artists that names must not cover.
        self.figure_.canvas.figure.draw_without_rendering()
        for axes, x in zip(others, quantities.values(), strict=True):
            self._name_points(axes, x)
        return self

    def _plot_scores(self, axes: Any, x: NDArray) -> None:
        """Draw the folds, the means with their spread, the groups, and the best candidate."""
        mean, spread = self.scores.mean(axis=1), self.scores.std(axis=1)
        n_folds = self.scores.shape[1]
        folds = {"ms": 4, "color": GREY, "alpha": 0.6, "label": f"each of {n_folds} folds"}
        self.folds_ += axes.plot(np.repeat(x, n_folds), self.scores.ravel(), "o", **folds)
        bars = {"ms": 0, "color": ink()} if self.groups else {"ms": 7, "color": COLORS[0]}
        bars |= {"fmt": "o", "capsize": 4, "label": "mean ± std"}
        self.errorbars_.append(axes.errorbar(x, mean, spread, **bars))
        for place, name in enumerate(dict.fromkeys(self.groups or [])):
            members = np.array(self.groups) == name
            look = {"color": COLORS[place], "ms": 7, "zorder": 2.5, "label": name}
            self.groups_ += axes.plot(x[members], mean[members], _MARKERS[place], **look)
        best = {"ms": 11, "color": "none", "mec": ink(), "mew": 1.5, "zorder": 3}
        label = fill(self.best_label, _LEGEND_WIDTH)
        self.best_ += axes.plot(x[self.best_index], mean[self.best_index], "D", label=label, **best)
        axes.margins(x=0.15, y=0.15)  # Leave space for names.
        tidy(axes)

    def _places(self, axes: Any) -> NDArray:
        """Return the position of each candidate on the axis, and label the axis."""
        order = {_text(value): _amount(value) for value in self.values}
        if len(order) > MAX_PLACES and all(isinstance(value, Real) for value in self.values):
            x = np.array(self.values, dtype=float)
            _log_if_wide(axes, x)
            return x
        names = sorted(order, key=order.__getitem__)
        places = np.array([names.index(_text(value)) for value in self.values], dtype=float)
        for place in range(len(names)):
            # Candidates that differ in other parameters are drawn side by side, closer to each
            # other than to those of the next place.
            (members,) = np.nonzero(places == place)
            spread = 0.3 * (1 - 1 / len(members))
            places[members] += np.linspace(-spread, spread, len(members))
        name_places(axes, names)
        axes.set_xlim(-0.6, len(names) - 0.4)
        return places

    def _plot_front(self, axes: Any, sizes: NDArray) -> None:
        """Draw the best score up to each size."""
        order = np.argsort(sizes)  # Unknown sizes come last.
        best = np.fmax.accumulate(self.scores.mean(axis=1)[order])
        look = {"color": GREY, "zorder": 1, "label": "best score up to this size"}
        (self.front_,) = axes.plot(sizes[order], best, drawstyle="steps-post", **look)

    def _name_points(self, axes: Any, x: NDArray) -> None:
        """Write each value at its best candidate, if the text covers no other name or score."""
        from matplotlib.transforms import Bbox

        mean, spread = self.scores.mean(axis=1), self.scores.std(axis=1)
        low = np.minimum(self.scores.min(axis=1), mean - spread)
        high = np.maximum(self.scores.max(axis=1), mean + spread)
        (drawable,) = np.nonzero(np.isfinite(mean) & np.isfinite(x))
        named: dict[str, int] = {}
        for index in sorted(drawable, key=lambda i: (i != self.best_index, -mean[i])):
            named.setdefault(_text(self.values[index]), int(index))
        # If several candidates share a position, their names would be confused.
        if len(named) > _MAX_NAMED or len({x[index] for index in named.values()}) < len(named):
            named = {name: i for name, i in named.items() if i == self.best_index}
        ends = [axes.transData.transform([(x[i], low[i]), (x[i], high[i])]) for i in drawable]
        taken = [Bbox(pair).padded(_PAD) for pair in ends]
        box = {"facecolor": axes.get_facecolor(), "alpha": 0.8, "linewidth": 0, "pad": 0.5}
        style = {"textcoords": "offset points", "ha": "center", "bbox": box, **VERBATIM}
        for name, i in named.items():
            for end, shift, va in ((high[i], _SHIFT, "bottom"), (low[i], -_SHIFT, "top")):
                text = axes.annotate(name, (x[i], end), (0, shift), va=va, **style)
                place = text.get_window_extent()
                if not place.count_overlaps(taken):
                    taken.append(place)
                    break
                text.remove()  # There is no space for it; the first panel names all values.


def _log_if_wide(axes: Any, x: NDArray) -> None:
    """Make the horizontal axis logarithmic if the values are spread widely."""
    if spans(x, _LOG_RATIO):
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.set_xscale("log")
        subs = (1,) if spans(x, _POWERS_RATIO) else (1, 2, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.10g}")


# Reading the results of a search -----------------------------------------------------------------


def _metric(search: Any, metric: str | None) -> str:
    """Return the name of the metric to draw, as in the keys of `cv_results_`."""
    prefix = "mean_test_"
    names = [key.removeprefix(prefix) for key in search.cv_results_ if key.startswith(prefix)]
    chosen: Any = metric or (names[0] if len(names) == 1 else getattr(search, "refit", None))
    if chosen not in names:
        raise ValueError(f"metric must be one of {', '.join(names)}; got {metric!r}.")
    return chosen


def _name_of_score(search: Any, metric: str) -> str:
    """Return the name of a metric for an axis label."""
    scoring = search.scoring if metric == "score" else metric
    if scoring is None and not is_classifier(search.estimator):
        scoring = "r2" if is_regressor(search.estimator) else "score"
    return name_of_score(scoring)


def _scores(search: Any, metric: str) -> NDArray:
    """Return the scores of each candidate on each held-out fold."""
    keys = [f"split{fold}_test_{metric}" for fold in range(search.n_splits_)]
    scores = np.transpose([search.cv_results_[key] for key in keys])
    if np.isnan(scores).any(axis=1).all():
        raise ValueError(
            f"There is nothing to draw: none of the {len(scores)} candidates of the search has a"
            f" score on every fold; {np.isnan(scores).sum()} of {scores.size} scores are nan. Use"
            " error_score='raise' in the search to see why fits or scores fail."
        )
    return scores


def _varied(search: Any) -> dict[str, list[Any]]:
    """Return the values of the parameters that vary, or of all parameters if none varies."""
    candidates, own = search.cv_results_["params"], search.estimator.get_params()
    names = dict.fromkeys(name for candidate in candidates for name in candidate)
    columns = {name: [c.get(name, own.get(name)) for c in candidates] for name in names}
    if "n_resources" in search.cv_results_:
        columns = {search.resource: list(search.cv_results_["n_resources"])} | columns
    varied = {n: values for n, values in columns.items() if len(set(map(str, values))) > 1}
    return varied or columns


def _choose_parameter(search: Any, varied: list[str], parameter: str | None) -> str:
    """Return the full name of the parameter to draw."""
    found = [name for name in varied if parameter in (name, _short(name))]
    if parameter is None:
        layers = [name for name in varied if _short(name) == "hidden_layer_sizes"]
        own = [name for name in varied if name != getattr(search, "resource", None)]
        found = (layers or own or varied)[:1]
    if len(found) != 1:
        raise ValueError(
            f"parameter must be one of those that vary: {', '.join(varied) or 'there is none'};"
            f" got {parameter!r}."
        )
    return found[0]


def _count_weights(search: Any) -> NDArray:
    """Count the weights and intercepts of each candidate; nan if the number is unknown."""
    best = getattr(search, "best_estimator_", None)
    network = last_step(best)

    def count(candidate: dict[str, Any]) -> float:
        model = clone(search.estimator).set_params(**clone(candidate, safe=False))
        own = last_step(model)
        are_networks = isinstance(own, BaseANN) and isinstance(network, BaseANN)
        if not are_networks or _steps_before(model) != _steps_before(best):
            return np.nan
        try:
            n_inputs = network._model.network.architecture.layer_sizes[0]
            n_numbers = network._model.encoding.n_numbers
            return make_architecture(
                own._parameters(), n_inputs, network.n_outputs_, n_numbers=n_numbers
            ).n_trainable
        except (TypeError, ValueError):  # Fits of this candidate failed for the same reason.
            return np.nan

    results = search.cv_results_
    counts = np.array([count(candidate) for candidate in results["params"]], dtype=float)
    if "iter" in results:  # Scores of earlier rounds are not comparable with those of the last.
        counts[results["iter"] < max(results["iter"])] = np.nan
    return counts


def _steps_before(model: Any) -> str:
    return str(getattr(model, "steps", [])[:-1])


def _short(name: str) -> str:
    """Return a parameter's name without the names of steps before it."""
    return name.rpartition("__")[2]


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list | np.ndarray) else [value]


def _text(value: Any) -> str:
    """Return a value as a short text, for example "128,64" for (128, 64)."""
    return shorten(",".join(map(text_of, _items(value))) or "none", MAX_NAME)


def _amount(value: Any) -> float:
    """Return the sort key of a value: a number, or the number of units in all layers; else 0."""
    return float(sum(item for item in _items(value) if isinstance(item, Real)))
