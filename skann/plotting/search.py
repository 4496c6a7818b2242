"""What a search over layer sizes, or another parameter, has found."""

from numbers import Integral, Real
from textwrap import fill
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skann.plotting.common import (
    BLUE,
    COLORS,
    GREEN,
    GREY,
    MAX_PLACES,
    ORANGE,
    VERBATIM,
    add_legend,
    divide,
    in_words,
    ink,
    name_places,
    shorten_all,
    spans,
    tidy,
)
from skann.plotting.search_results import read_search, short_name, texts_of

# Above the first ratio of largest to smallest, a logarithmic axis shows more; above the second
# it has room for the powers of ten only.
_LOG_RATIO, _POWERS_RATIO = 5, 30
# More than that, and names would cover each other.
_MAX_NAMED, _MAX_NAME = 8, 24
# Points that a letter, a line and a mark take; how far from its point a name may be.
_LETTER, _LINE, _MARK = 6.5, 13, 9.0
_SHIFTS = (14, -14, 28, -28)
# Colours do not tell groups apart alone. The front's colour is the last. There are `MAX_TOLD` of
# markers, of colours and of fillings.
_MARKERS = "os^vPX"
_GROUP_COLORS = (BLUE, *COLORS[3:], ORANGE, GREEN)
_HALVES = ("left", "right", "bottom", "top")
_LEGEND_WIDTH = 42


class SearchDisplay:
    """What a search over layer sizes, or another parameter, has found.

    The scores of every candidate against the parameter and against the time of a fit, and the
    front: the candidates that no other beats without being larger. Where a second parameter
    varies, with few values, colours and markers tell them. The filling of the marks tells the
    values of further ones, as long as there are at most six combinations. What else varies is not
    told apart: its points stand beside each other, in the order of the search; draw it by its
    name, as the parameter. Made by `from_estimator`.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_folds)
        Score of each candidate on each held-out fold; nan where the fit failed.
    fit_times : ndarray of shape (n_candidates,)
        Mean seconds of a fit.
    parameter : str
        The parameter that is drawn.
    values : list
        Its value in each candidate.
    labels : list of str
        What to call each candidate: the value, and what else varies.
    best_index : int
        The best candidate.
    sizes : ndarray of shape (n_candidates,), default=None
        Number of weights and intercepts; nan where it is not known. None if it is for none.
    score_name : str, default="Score"
        What the score is.
    groups : list of str, default=None
        What the colour of each candidate tells, at most six different ones: the value of
        another parameter. None for one colour.
    fillings : list of str, default=None
        What the filling of each candidate's mark tells, at most six different ones: the values
        of further parameters. None for full marks; needs `groups`.
    best_name : str, default="best"
        What to call the candidate at `best_index`.
    rounds : ndarray of shape (n_candidates,), default=None
        The round of a halving search that each candidate is of: the front is that of the last.
        None where all scores can be compared.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where `plot` has drawn; it is divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels: score against the parameter, against the time of a fit and, where sizes
        are known and differ, against the size.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    errorbars_ : list of matplotlib ErrorbarContainer
        Mean and standard deviation over the folds, in each panel.
    folds_ : list of matplotlib Line2D
        The folds, in each panel.
    best_ : list of matplotlib Line2D
        The mark of the best candidate, in each panel.
    groups_ : list of matplotlib Line2D
        The means of each group, panel by panel; empty without groups.
    fillings_ : list of matplotlib Line2D
        What makes the marks of each filling but the first differ, panel by panel, in each by
        group; empty without fillings.
    legend_ : matplotlib Legend
        The legend of all panels, above them.
    front_ : matplotlib Line2D or None
        The front of score against size; None where that is not drawn, or is one point.
    failed_ : matplotlib Line2D or None
        The marks of candidates without a score; None if there are none.

    See Also
    --------
    TrainingCurveDisplay : How one network, or several, learned.

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

    def __init__(
        self,
        *,
        scores: NDArray,
        fit_times: NDArray,
        parameter: str,
        values: list[Any],
        labels: list[str],
        best_index: int,
        sizes: NDArray | None = None,
        score_name: str = "Score",
        groups: list[str] | None = None,
        fillings: list[str] | None = None,
        best_name: str = "best",
        rounds: NDArray | None = None,
    ) -> None:
        self.scores = scores
        self.fit_times = fit_times
        self.parameter = parameter
        self.values = values
        self.labels = labels
        self.best_index = best_index
        self.sizes = sizes
        self.score_name = score_name
        self.groups = groups
        self.fillings = fillings
        self.best_name = best_name
        self.rounds = rounds

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        parameter: str | None = None,
        *,
        metric: str | None = None,
        sizes: ArrayLike | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw a fitted search.

        Parameters
        ----------
        search : GridSearchCV or the like
            Fitted, with `cv_results_`. In a halving search the colours tell the resources.
        parameter : str, default=None
            The parameter to draw, "network__alpha" or its last part, "alpha". None: the
            layer sizes if they vary, else the first that does.
        metric : str, default=None
            Which of several metrics to draw. None: the one that `refit` names, or the only
            one. The candidate that is marked is the one that `refit` chose: it is called
            "best" where it was chosen by this metric, else, also where `refit` is a function,
            "refitted".
        sizes : array-like of shape (n_candidates,), default=None
            Number of weights of each candidate. None: counted, if `search` was refitted to an
            ANNClassifier or a Pipeline that ends in one; not for candidates whose earlier
            steps differ from the best one's, as they may make other features.
        ax : matplotlib Axes, default=None
            Where to draw; it is divided into two or three panels, each of which needs some four
            inches in width. None for a new figure.

        Returns
        -------
        SearchDisplay
            After its `plot`.
        """
        found = read_search(search, parameter, metric=metric, sizes=sizes)
        return cls(**found).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the search.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; it is divided into two or three panels, each of which needs some four
            inches in width. None for a new figure.

        Returns
        -------
        self : SearchDisplay
            With its attributes set.
        """
        sizes = np.full(len(self.values), np.nan) if self.sizes is None else self.sizes
        has_sizes = len(set(sizes[np.isfinite(sizes)])) > 1
        self.ax_, self.axes_ = divide(ax, 1, 2 + has_sizes, (4.4, 4.4), share_y=True)
        self.figure_ = self.ax_.figure
        self.errorbars_: list[Any] = []
        self.folds_: list[Any] = []
        self.best_: list[Any] = []
        self.groups_: list[Any] = []
        self.fillings_: list[Any] = []
        self._plot_parameter(self.axes_[0])
        self._plot_points(self.axes_[1], self.fit_times, "Seconds of a fit")
        self.front_ = None
        if has_sizes:
            self._plot_points(self.axes_[2], sizes, "Weights in the network")
            self._plot_front(self.axes_[2], sizes)
        # All panels share one legend above them: it would push them apart from beside its own.
        n_groups = len(self.groups_) // len(self.axes_)
        what = [self.folds_[0], self.errorbars_[0], *self.groups_[:n_groups], self.best_[0]]
        what += [mark for mark in (self.failed_, self.front_) if mark is not None]
        entries = [(mark, mark.get_label()) for mark in what]
        entries[2 + n_groups : 2 + n_groups] = self._entries_of_fillings()
        self.legend_ = add_legend(
            self.axes_[0].figure,
            entries,
            loc="outside upper left",
            ncols=len(self.axes_) + 1,
            frameon=False,
        )
        return self

    def _entries_of_fillings(self) -> list[tuple[Any, str]]:
        """Return for the legend what fillings tell, in a colour and shape that tell nothing."""
        from matplotlib.lines import Line2D

        behind = self.axes_[0].get_facecolor()
        return [
            (Line2D([], [], ls="", marker="D", ms=7, color=ink(), **_filling(place, behind)), name)
            for place, name in enumerate(dict.fromkeys(self.fillings or []))
        ]

    def _plot_front(self, axes: Any, sizes: NDArray) -> None:
        """Draw the front of the candidates whose scores can be compared."""
        mean, what = self.scores.mean(axis=1), "best score up to this size"
        if self.rounds is not None:
            mean[self.rounds < self.rounds.max()] = np.nan
            what += ", in the last round"
        front = _front(sizes, mean)
        if len(front) > 1:
            (self.front_,) = axes.plot(
                sizes[front],
                mean[front],
                drawstyle="steps-post",
                color=GREEN,
                zorder=1,
                label=what,
            )

    def _plot_parameter(self, axes: Any) -> None:
        """Draw the scores against the parameter; at the bottom what failed."""
        x = self._places(axes)
        self._plot_scores(axes, x)
        failed = np.isnan(self.scores).any(axis=1)
        self.failed_ = None
        if failed.any():
            (self.failed_,) = axes.plot(
                x[failed],
                np.full(failed.sum(), 0.03),
                "X",
                color=ink(),
                transform=axes.get_xaxis_transform(),
                label=f"{failed.sum()} of {len(failed)} failed",
            )
        axes.set_xlabel(in_words(short_name(self.parameter)), **VERBATIM)
        axes.set_ylabel(f"{self.score_name} on held-out folds", **VERBATIM)

    def _places(self, axes: Any) -> NDArray:
        """Return where on the axis each candidate is drawn, and name the places."""
        labels = np.array(texts_of(self.values))
        groups = list(dict.fromkeys(labels))
        if all(isinstance(value, Real) and not isinstance(value, bool) for value in self.values):
            if len(groups) > MAX_PLACES:
                x = np.array(self.values, dtype=float)
                _log_if_wide(axes, x)
                return x
            groups.sort(key=lambda label: self.values[list(labels).index(label)])
        elif short_name(self.parameter) == "hidden_layer_sizes":
            groups.sort(key=lambda label: self._size(labels == label))
        x = np.empty(len(labels))
        for place, label in enumerate(groups):
            # Candidates that differ in other parameters stand side by side.
            (members,) = np.nonzero(labels == label)
            # They stand nearer to each other than to those of the next place.
            spread = 0.3 * (1 - 1 / len(members))
            x[members] = place + np.linspace(-spread, spread, len(members))
        name_places(axes, _on_axis(groups))
        axes.set_xlim(-0.6, len(groups) - 0.4)
        return x

    def _size(self, members: NDArray) -> tuple[float, int]:
        """Return by what layer sizes are sorted: weights, and units where those are not known."""
        sizes = [] if self.sizes is None else self.sizes[members]
        known = np.append(sizes, np.inf)
        value = np.ravel(self.values[int(np.argmax(members))])  # Of one that failed, anything.
        return float(np.nanmin(known)), sum(
            int(units) for units in value if isinstance(units, Integral)
        )

    def _plot_points(self, axes: Any, x: NDArray, label: str) -> None:
        """Draw the scores against a quantity, with the names of the candidates."""
        (there,) = np.nonzero(np.isfinite(self.scores.mean(axis=1)) & np.isfinite(x))
        _log_if_wide(axes, x[there])
        self._plot_scores(axes, x)
        axes.set_xlabel(label)
        axes.tick_params(labelleft=False)
        axes.margins(x=0.15)
        self._name_points(axes, x, there)

    def _name_points(self, axes: Any, x: NDArray, there: NDArray) -> None:
        """Write each value once, at its best candidate, where it covers no name and no score."""
        mean, spread = self.scores.mean(axis=1), self.scores.std(axis=1)
        from matplotlib.transforms import Bbox

        labels, first = texts_of(self.values), dict[str, int]()
        rounds = np.zeros(len(mean)) if self.rounds is None else self.rounds
        for index in sorted(there, key=lambda i: (i != self.best_index, -rounds[i], -mean[i])):
            first.setdefault(labels[index], int(index))
        # One above the other in the place of several, names would be taken for each other.
        if len(first) > _MAX_NAMED or len({x[index] for index in first.values()}) < len(first):
            first = {label: i for label, i in first.items() if i == self.best_index}
        shown = dict(zip(first, _on_axis(list(first)), strict=True))
        axes.autoscale_view()
        points = 72 / axes.figure.dpi
        low = np.minimum(self.scores.min(axis=1), mean - spread)
        high = np.maximum(self.scores.max(axis=1), mean + spread)

        def box(index: int, width: float, bottom: float, top: float) -> Bbox:
            """Return the box around a candidate, from one score to another."""
            ends = axes.transData.transform([(x[index], bottom), (x[index], top)]) * points
            return Bbox(ends + [(-width / 2, 0), (width / 2, 0)])

        taken = [box(index, _MARK, low[index], high[index]).padded(0, _MARK / 2) for index in there]
        for label, index in first.items():
            name = shown[label]
            for shift in _SHIFTS:
                end = high[index] if shift > 0 else low[index]
                place = box(index, _LETTER * (len(name) + 1), end, end)
                place = place.translated(0, shift).padded(0, _LINE / 2)
                if not place.count_overlaps(taken):
                    break
            else:  # No room: the other panels name it.
                continue
            taken.append(place)
            axes.annotate(
                name,
                (x[index], end),
                (0, shift),
                textcoords="offset points",
                ha="center",
                va="center",
                **VERBATIM,
                bbox={"facecolor": axes.get_facecolor(), "alpha": 0.8, "linewidth": 0, "pad": 0.5},
            )

    def _plot_scores(self, axes: Any, x: NDArray) -> None:
        """Draw folds, means with their spread, groups, and the best."""
        mean, spread = self.scores.mean(axis=1), self.scores.std(axis=1)
        n_folds = self.scores.shape[1]
        folds = {"ms": 4, "color": GREY, "alpha": 0.6, "label": f"each of {n_folds} folds"}
        self.folds_ += axes.plot(np.repeat(x, n_folds), self.scores.ravel(), "o", **folds)
        bars: dict[str, Any] = {"ms": 7, "capsize": 4, "color": BLUE}
        if self.groups:
            bars = {"ms": 0, "capsize": 3, "color": ink(), "alpha": 0.65, "elinewidth": 1}
        self.errorbars_.append(axes.errorbar(x, mean, spread, fmt="o", label="mean ± std", **bars))
        best: dict[str, Any] = {"ms": 9, "color": ORANGE}
        if self.groups:
            best = {"ms": 14, "color": "none", "markeredgecolor": ink(), "markeredgewidth": 1.5}
            for place, name in enumerate(dict.fromkeys(self.groups)):
                members = np.array(self.groups) == name
                style = {"marker": _MARKERS[place], "color": _GROUP_COLORS[place], "ms": 7}
                self.groups_ += axes.plot(
                    x[members], mean[members], ls="", zorder=2.5, label=name, **style
                )
                self._fill(axes, x, members, style)
        name = fill(f"{self.best_name}: {self.labels[self.best_index]}", _LEGEND_WIDTH)
        self.best_ += axes.plot(
            x[self.best_index], mean[self.best_index], "D", zorder=3, label=name, **best
        )
        axes.margins(y=0.15)  # Room for names.
        tidy(axes)

    def _fill(self, axes: Any, x: NDArray, members: NDArray, style: dict[str, Any]) -> None:
        """Draw over the marks of a group what tells further parameters."""
        mean = self.scores.mean(axis=1)
        for place, filling in enumerate(dict.fromkeys(self.fillings or [])):
            there = members & (np.array(self.fillings) == filling)
            if place and there.any():
                look = {**style, "ls": "", "zorder": 2.6, "label": filling}
                look |= _filling(place, axes.get_facecolor())
                self.fillings_ += axes.plot(x[there], mean[there], **look)


def _filling(place: int, behind: Any) -> dict[str, Any]:
    """Return how marks are filled: the first are full, the second empty, the others half full."""
    if place == 0:
        return {}
    if place == 1:
        return {"markerfacecolor": behind}
    return {"fillstyle": _HALVES[place - 2], "markerfacecoloralt": behind}


def _log_if_wide(axes: Any, x: NDArray) -> None:
    """Make the horizontal axis logarithmic where that shows more."""
    if spans(x, _LOG_RATIO):
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.set_xscale("log")
        subs = (1,) if spans(x, _POWERS_RATIO) else (1, 2, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.10g}")


def _front(sizes: NDArray, scores: NDArray) -> list[int]:
    """Return the candidates with a higher score than all that are smaller, by size."""
    front: list[int] = []
    for index in np.lexsort((-scores, sizes)):
        known = np.isfinite(sizes[index]) and np.isfinite(scores[index])
        if known and (not front or scores[index] > scores[front[-1]]):
            front.append(int(index))
    return front


def _on_axis(labels: list[str]) -> list[str]:
    """Return labels that are short enough for an axis: of an estimator the class."""
    if max(map(len, labels), default=0) <= _MAX_NAME:
        return labels
    classes = [label.partition("(")[0] for label in labels]
    if len(set(classes)) == len(labels):
        labels = classes
    return shorten_all(labels, _MAX_NAME)
