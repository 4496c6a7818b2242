"""Plot of loss, score and learning rate by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skann.plotting.common import (
    COLORS,
    GREY,
    VERBATIM,
    add_legend,
    divide,
    fitted_network,
    in_words,
    ink,
    name_of_score,
    spans,
    tidy,
)

_CURVES: dict[str, dict[str, Any]] = {
    "loss": {"loss": "-", "validation_loss": "--"},
    "score": {"validation_score": "--"},
    "learning_rate": {"learning_rate": "-"},
}
_MOST_MARKS = 20  # Points on a curve; more would hide it.
# Why there may be nothing to draw in a panel.
_WHY_NONE = {
    "loss": "no epoch was recorded.",
    "score": "set early_stopping=True or pass X_val and y_val to fit; use one scoring for all.",
    "learning_rate": "lbfgs has none.",
}
# With more networks than colours, curves of the same colour get different markers.
_POINTS = "Dsv^Xh"
# With more networks than this, legends stand beside their panels; width of a legend in inches.
_MAX_INSIDE, _LEGEND_WIDTH = 5, 2.5
# Share of the epochs whose scores may lie below the visible range.
_RISE = 0.2
# Ratio of the largest to the smallest loss above which the axis is logarithmic.
_LOG_RATIO = 10


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingCurveDisplay:
    """Plot of loss, score and learning rate of one or several networks by epoch.

    Created by `from_estimator`. The training loss is the objective that was minimised. It includes
    the penalty, label smoothing and dropout, which the validation loss does not include. With
    early stopping, a mark shows the epoch with the best score, whose weights are kept. If scores
    rise fast in the first epochs, the axis starts above those scores, to show the later
    differences.

    Parameters
    ----------
    histories : dict of str to list of dict
        The `history_` of each network, by name.
    best_epochs : dict of str to (int or None)
        Epoch to mark for each network; None for no mark.
    score_name : str, default="Score"
        Name of the validation score. None if no score is drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that `plot` has drawn on; with several panels they are divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels, one for each of `panels`.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : dict of (str, str) to matplotlib Line2D
        The curves, by name of the network and key of `history_`.
    best_ : dict of (str, str) to matplotlib Line2D
        Marks of the best epochs, by the same keys.

    See Also
    --------
    LearningRateDisplay : Plot of the loss against a rising learning rate.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skann import ANNClassifier, TrainingCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ANNClassifier(input_scaling="maxabs", early_stopping=True, random_state=0)
    >>> display = TrainingCurveDisplay.from_estimator(model.fit(X, y))
    >>> [axes.get_ylabel() for axes in display.axes_]
    ['Loss (log scale)', 'Accuracy']
    """

    histories: dict[str, list[dict[str, Any]]]
    best_epochs: dict[str, int | None]
    score_name: str | None = "Score"

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, panels: Sequence[str] | None = None, ax: Any = None
    ) -> Self:
        """Draw the curves of one network, or of several networks for comparison.

        Parameters
        ----------
        estimator : ANNClassifier, Pipeline or search, or dict of str to such
            Fitted classifier, Pipeline that ends in one, or search with such a
            `best_estimator_`. For several of them, a dict by name.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            Quantities to draw. None for the loss, and the score if there is validation data and
            all networks have the same `scoring`, so that their scores can share an axis.
        ax : matplotlib Axes, default=None
            Axes to draw on. They are divided if there are several panels, each of which should be
            about four inches wide. None for a new figure.

        Returns
        -------
        TrainingCurveDisplay
            The display, after its `plot` method was called.
        """
        named = estimator if isinstance(estimator, Mapping) else {"ANNClassifier": estimator}
        networks = {str(name): fitted_network(e, cls.__name__) for name, e in named.items()}
        kinds = {_score_name(network) for network in networks.values() if _scored(network)}
        display = cls(
            histories={name: network.history_ for name, network in networks.items()},
            best_epochs={name: _best_epoch(network) for name, network in networks.items()},
            score_name=kinds.pop() if len(kinds) == 1 else None,
        )
        return display.plot(ax, panels=panels)

    def plot(self, ax: Any = None, *, panels: Sequence[str] | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. They are divided if there are several panels, each of which should be
            about four inches wide. None for a new figure.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            Quantities to draw. None for the loss, and the score if there is one.

        Returns
        -------
        self : TrainingCurveDisplay
            The display, with its attributes set.
        """
        panels = self._check_panels(panels)
        width = 5.5 + (_LEGEND_WIDTH if len(self.histories) > _MAX_INSIDE else 0)
        self.ax_, self.axes_ = divide(ax, 1, len(panels), (width, 4.2))
        self.figure_ = self.ax_.figure
        self.lines_: dict[tuple[str, str], Any] = {}
        self.best_: dict[tuple[str, str], Any] = {}
        for axes, panel in zip(self.axes_, panels, strict=True):
            self._plot_curves(axes, panel)
            self._describe(axes, panel)
        return self

    def _check_panels(self, panels: Sequence[str] | None) -> Sequence[str]:
        """Return the panels to draw; raise an error if no network has the data for one."""
        available = [panel for panel in _CURVES if any(map(self._has, _CURVES[panel]))]
        panels = panels or [panel for panel in available if panel != "learning_rate"] or ["loss"]
        for panel in panels:
            if panel not in available:
                why = _WHY_NONE.get(panel, f"panels can be {', '.join(_CURVES)}.")
                raise ValueError(f"There is no {panel} to draw: {why}")
        return panels

    def _has(self, key: str) -> bool:
        """Tell whether any network has recorded a quantity, and whether it can share an axis."""
        epochs = [epoch for history in self.histories.values() for epoch in history]
        has_axis = key != "validation_score" or self.score_name is not None
        return has_axis and any(epoch[key] is not None for epoch in epochs)

    def _plot_curves(self, axes: Any, panel: str) -> None:
        for place, (name, history) in enumerate(self.histories.items()):
            look = {"color": COLORS[place % len(COLORS)]}
            look["marker"] = _POINTS[place // len(COLORS) % len(_POINTS)]
            epochs = [epoch["epoch"] for epoch in history]
            best = self.best_epochs[name]
            for key, style in _CURVES[panel].items():
                is_validation = key.startswith("validation")
                values = np.array([epoch[key] for epoch in history], dtype=float)  # None: nan
                if np.isnan(values).all():
                    continue
                if is_validation and len(self.histories) == 1:
                    look["color"] = COLORS[1]
                curve = {"linestyle": style, "ms": 3, "label": name}
                curve["markevery"] = -(-len(epochs) // _MOST_MARKS)
                (self.lines_[name, key],) = axes.plot(epochs, values, **curve, **look)
                if is_validation and best is not None:
                    value = values[epochs.index(best)]
                    who = name if len(self.histories) > 1 else "best"
                    mark = {"label": f"{who}: {value:.4g} in epoch {best}", "zorder": 3}
                    mark |= {"ms": 8, "markeredgecolor": ink()}
                    (self.best_[name, key],) = axes.plot(best, value, **mark, **look)

    def _describe(self, axes: Any, panel: str) -> None:
        """Set the scale and the labels of the axes, and add the legend."""
        curves = [line.get_ydata() for line in axes.lines]
        label = self.score_name if panel == "score" else in_words(panel)
        axes.set_xlabel("Epoch" if self._has("learning_rate") else "Iteration")
        axes.set_ylabel(label, **VERBATIM)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        tidy(axes)
        if panel == "loss" and spans(np.concatenate(curves), _LOG_RATIO):
            axes.set(yscale="log", ylabel="Loss (log scale)")
        if panel == "score":
            _leave_out_the_rise(axes, curves)
        if artists := self._legend(panel):
            beside = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
            add_legend(axes, artists, **(beside if len(self.histories) > _MAX_INSIDE else {}))

    def _legend(self, panel: str) -> list[Any]:
        """Return the artists for the legend of a panel."""
        from matplotlib.lines import Line2D

        several = len(self.histories) > 1
        if panel == "score" and self.best_:
            return [mark for (_, key), mark in self.best_.items() if key == "validation_score"]
        first, *_ = _CURVES[panel]
        artists = [line for (_, key), line in self.lines_.items() if several and key == first]
        if panel == "loss" and self._has("validation_loss"):
            colors = (GREY, GREY) if several else COLORS[:2]
            artists.append(Line2D([], [], label="training, with penalty", color=colors[0]))
            artists.append(Line2D([], [], label="validation", color=colors[1], ls="--"))
            if self.best_:
                mark = Line2D([], [], ls="", marker="D", color="none", mec=ink())
                mark.set_label("epoch of the best score")
                artists.append(mark)
        return artists


def _leave_out_the_rise(axes: Any, curves: list[Any]) -> None:
    """Start the axis where scores stop rising fast, so that later differences are visible."""
    # Each curve from the first epoch on that reaches the level of most epochs.
    after = [curve[np.argmax(curve >= np.nanquantile(curve, _RISE)) :] for curve in curves]
    low, high = min(map(np.nanmin, after)), max(map(np.nanmax, curves))
    if low < high < low + (high - min(map(np.nanmin, curves))) / 3:
        margin = 0.1 * (high - low)
        axes.set_ylim(low - margin, high + margin)
        where = {"transform": axes.transAxes, "ha": "right", "va": "bottom"}
        axes.text(
            0.99, 0.01, "first epochs are below the axis", color=GREY, fontsize="small", **where
        )


def _scored(network: Any) -> list[dict[str, Any]]:
    """Return the epochs with a validation score."""
    return [epoch for epoch in network.history_ if epoch["validation_score"] is not None]


def _score_name(network: Any) -> str:
    """Return the name of the validation score; class weights also weight the accuracy."""
    if network.scoring is None and network.class_weight is not None:
        return "Accuracy (weighted)"
    return name_of_score(network.scoring)


def _best_epoch(network: Any) -> int | None:
    """Return the first epoch with the best score, if early stopping keeps its weights."""
    scored = _scored(network) if network.early_stopping else []
    best = max(scored, key=lambda epoch: epoch["validation_score"], default=None)
    return best["epoch"] if best else None
