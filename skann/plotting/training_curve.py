"""Loss, score and learning rate, epoch by epoch."""

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
# Why a panel may have nothing to show.
_WHY_NONE = {
    "loss": "no epoch was recorded.",
    "score": "set early_stopping=True, or give X_val and y_val to fit; all with one scoring.",
    "learning_rate": "lbfgs has none.",
}
# With more networks than colours, the second of a colour has other points, and so on.
_POINTS = "Dsv^Xh"
# With more networks than that, legends stand beside their panels, which are that much wider.
_MAX_INSIDE, _LEGEND_WIDTH = 5, 2.5
# Share of the epochs whose scores may be below the axis.
_RISE = 0.2
# Above this ratio of the largest to the smallest, a logarithmic axis shows more.
_LOG_RATIO = 10


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingCurveDisplay:
    """Loss, score and learning rate of one or several networks, epoch by epoch.

    Made by `from_estimator`. The training loss is what was minimised: it contains the penalty,
    label smoothing and dropout, which the validation loss does not. With early stopping, the
    epoch of the best score, whose weights are kept, is marked. Where scores rise fast at first,
    their axis begins above that, to show how they differ later.

    Parameters
    ----------
    histories : dict of str to list of dict
        The `history_` of each network, by its name.
    best_epochs : dict of str to (int or None)
        The epoch to mark; None for no mark.
    score_name : str, default="Score"
        What the validation score is. None: no score is drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where `plot` has drawn; with several panels it is divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : dict of (str, str) to matplotlib Line2D
        The curves, by the name of the network and the key of `history_`.
    best_ : dict of (str, str) to matplotlib Line2D
        The marks of the best epochs, by the same keys.

    See Also
    --------
    skann.learning_rate.LearningRateDisplay : The loss while the learning rate rises.

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
        """Draw the curves of a network, or of several to compare them.

        Parameters
        ----------
        estimator : ANNClassifier, Pipeline or search, or dict of str to such
            Fitted: the classifier, a Pipeline that ends in it, or a search with such a
            `best_estimator_`; several by their names.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            What to draw. None: the loss, and the score where there is validation data and all
            networks have the same `scoring`: different ones have no axis in common.
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several panels, each of which needs some four
            inches in width. None for a new figure.

        Returns
        -------
        TrainingCurveDisplay
            After its `plot`.
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
            Where to draw; divided if there are several panels, each of which needs some four
            inches in width. None for a new figure.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            What to draw. None: the loss, and the score where there is one.

        Returns
        -------
        self : TrainingCurveDisplay
            With its attributes set.
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
        """Return what to draw, all of which some network has."""
        there = [panel for panel in _CURVES if any(map(self._has, _CURVES[panel]))]
        panels = panels or [panel for panel in there if panel != "learning_rate"] or ["loss"]
        for panel in panels:
            if panel not in there:
                why = _WHY_NONE.get(panel, f"panels are some of {', '.join(_CURVES)}.")
                raise ValueError(f"There is no {panel} to draw: {why}")
        return panels

    def _has(self, key: str) -> bool:
        """Whether any network has recorded something, on an axis that all have in common."""
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
                curve = {"linestyle": style, "ms": 3, "markevery": 0.1, "label": name}
                (self.lines_[name, key],) = axes.plot(epochs, values, **curve, **look)
                if is_validation and best is not None:
                    value = values[epochs.index(best)]
                    who = name if len(self.histories) > 1 else "best"
                    mark = {"label": f"{who}: {value:.4g} in epoch {best}", "zorder": 3}
                    mark |= {"ms": 8, "markeredgecolor": ink()}
                    (self.best_[name, key],) = axes.plot(best, value, **mark, **look)

    def _describe(self, axes: Any, panel: str) -> None:
        """Set the scale and the names of the axes, and add the legend."""
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
        """Return what the legend of a panel names: what is what, in few lines."""
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
    """Let the axis begin where scores have stopped rising fast: what differs is above."""
    # From where a curve is first as high as it is for most of the epochs.
    after = [curve[np.argmax(curve >= np.nanquantile(curve, _RISE)) :] for curve in curves]
    low, high = min(map(np.nanmin, after)), max(map(np.nanmax, curves))
    if low < high < low + (high - min(map(np.nanmin, curves))) / 3:
        margin = 0.1 * (high - low)
        axes.set_ylim(low - margin, high + margin)
        where = {"transform": axes.transAxes, "ha": "right", "va": "bottom"}
        axes.text(0.99, 0.01, "first epochs: below", color=GREY, fontsize="small", **where)


def _scored(network: Any) -> list[dict[str, Any]]:
    """Return the epochs that have a validation score."""
    return [epoch for epoch in network.history_ if epoch["validation_score"] is not None]


def _score_name(network: Any) -> str:
    """Return what to call the validation score; class weights weigh the accuracy as well."""
    if network.scoring is None and network.class_weight is not None:
        return "Accuracy (weighted)"
    return name_of_score(network.scoring)


def _best_epoch(network: Any) -> int | None:
    """Return the first epoch with the highest score, where early stopping keeps its weights."""
    scored = _scored(network) if network.early_stopping else []
    best = max(scored, key=lambda epoch: epoch["validation_score"], default=None)
    return best["epoch"] if best else None
