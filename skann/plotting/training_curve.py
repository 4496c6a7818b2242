"""Loss, score and learning rate, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skann.plotting.common import (
    BLUE,
    COLORS,
    GREY,
    ORANGE,
    VERBATIM,
    add_legend,
    digits,
    divide,
    fitted_network,
    ink,
    name_of_score,
    spans,
    tidy,
    told_apart,
)

_CURVES: dict[str, dict[str, Any]] = {
    "loss": {"loss": "-", "validation_loss": "--"},
    "score": {"validation_score": "--"},
    "learning_rate": {"learning_rate": "-"},
}
# Why a panel may have nothing to show.
_WHY_NONE = {
    "loss": "no epoch was recorded.",
    "score": "set early_stopping=True, or give X_val and y_val to fit.",
    "learning_rate": "lbfgs has none.",
}
# With more epochs than that the points would run together.
_MAX_POINTS = 40
# With more networks than colours, the second of a colour has other points, and so on.
_POINTS, _BEST = "osv^Xh", "Dsv^Xh"
# With more networks than that, legends stand beside their panels, which are that much wider.
_MAX_INSIDE, _LEGEND_WIDTH = 5, 2.5
# Share of the epochs whose scores may be below the axis.
_RISE = 0.2
# Above this ratio of the largest to the smallest, a logarithmic axis shows more.
_LOG_RATIO = 10
# Digits of a score, where no more are needed to tell scores apart.
_DIGITS = 4


class TrainingCurveDisplay:
    """Loss, score and learning rate of one or several networks, epoch by epoch.

    Made by `from_estimator` or `from_estimators`. The training loss is what was minimised: it
    contains the penalty, label smoothing and dropout, which the validation loss does not. Where
    scores rise fast at first, their axis begins above that, to show how they differ later.

    Parameters
    ----------
    histories : dict of str to list of dict
        The `history_` of each network, by its name.
    best_epochs : dict of str to (int or None)
        The epoch with the highest validation score; None where there is no such score. With
        ``early_stopping=True`` its weights are the ones kept, else those of the last epoch.
    score_name : str, default="Score"
        What the validation score is.

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

    def __init__(
        self,
        *,
        histories: dict[str, list[dict[str, Any]]],
        best_epochs: dict[str, int | None],
        score_name: str = "Score",
    ) -> None:
        self.histories = histories
        self.best_epochs = best_epochs
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        panels: Sequence[str] | None = None,
        mark_best: bool = True,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of one network.

        Parameters
        ----------
        estimator : ANNClassifier, Pipeline or search
            Fitted: the classifier, a Pipeline that ends in it, or a search with such a
            `best_estimator_`.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            What to draw. None: the loss, and the score where there is validation data.
        mark_best : bool, default=True
            Whether to mark the epoch with the highest validation score.
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several panels, each of which needs some four
            inches in width. None for a new figure.

        Returns
        -------
        TrainingCurveDisplay
            After its `plot`.
        """
        name = type(fitted_network(estimator, cls.__name__)).__name__
        return cls.from_estimators({name: estimator}, panels=panels, mark_best=mark_best, ax=ax)

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        *,
        panels: Sequence[str] | None = None,
        mark_best: bool = True,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of several networks, to compare them.

        Parameters
        ----------
        estimators : mapping of str to (ANNClassifier, Pipeline or search)
            The fitted models by name, each as `from_estimator` takes it.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            What to draw. None: the loss, and the score where there is validation data and the
            models have the same `scoring`: different ones have no axis in common.
        mark_best : bool, default=True
            Whether to mark the epochs with the highest validation scores.
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several panels, each of which needs some four
            inches in width. None for a new figure.

        Returns
        -------
        TrainingCurveDisplay
            After its `plot`.
        """
        if not isinstance(estimators, Mapping) or not estimators:
            raise TypeError(
                "estimators must be a dict of names and fitted models, such as"
                f' {{"wide": wide, "deep": deep}}; got {estimators!r}.'
            )
        # 1 and "1" are two names.
        text = str if len({str(name) for name in estimators}) == len(estimators) else repr
        networks = {text(n): fitted_network(e, cls.__name__) for n, e in estimators.items()}
        kinds = {name: _score_name(n) for name, n in networks.items() if _best_epoch(n.history_)}
        scorings = list(dict.fromkeys(kinds.values())) or ["Score"]
        display = cls(
            histories={name: network.history_ for name, network in networks.items()},
            best_epochs={name: _best_epoch(network.history_) for name, network in networks.items()},
            score_name=scorings[0],
        )
        if len(scorings) > 1:
            panels = ["loss"] if panels is None else panels
            if "score" in panels:
                raise ValueError(
                    f"The scores are of different kinds, {', '.join(scorings)}, and have no axis in"
                    " common: draw each kind by itself, or leave 'score' out of panels."
                )
        return display.plot(ax, panels=panels, mark_best=mark_best)

    def plot(
        self, ax: Any = None, *, panels: Sequence[str] | None = None, mark_best: bool = True
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several panels, each of which needs some four
            inches in width. None for a new figure.
        panels : sequence of {"loss", "score", "learning_rate"}, default=None
            What to draw. None: the loss, and the score where there is validation data.
        mark_best : bool, default=True
            Whether to mark the epochs with the highest validation scores.

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
            self._plot_panel(axes, panel, mark_best)
        return self

    def _check_panels(self, panels: Sequence[str] | None) -> list[str]:
        """Return what to draw, all of which some network has."""
        there = [panel for panel in _CURVES if any(map(self._has, _CURVES[panel]))]
        if not there:
            raise ValueError("There is no curve to draw: no epoch was recorded.")
        if panels is None:
            return [panel for panel in there if panel != "learning_rate"]
        panels = [panels] if isinstance(panels, str) else list(panels)
        if not panels or not set(panels) <= set(_CURVES):
            raise ValueError(
                f"panels must be a list with some of {', '.join(_CURVES)}; got {panels!r}."
            )
        for panel in panels:
            if panel not in there:
                raise ValueError(f"There is no {panel} to draw: {_WHY_NONE[panel]}")
        return panels

    def _has(self, key: str) -> bool:
        """Whether any network has recorded something."""
        return any(epoch[key] is not None for h in self.histories.values() for epoch in h)

    def _plot_panel(self, axes: Any, panel: str, mark_best: bool) -> None:
        for place, (name, history) in enumerate(self.histories.items()):
            lap, color = place // len(COLORS) % len(_POINTS), COLORS[place % len(COLORS)]
            epochs = [epoch["epoch"] for epoch in history]
            for key, style in _CURVES[panel].items():
                values = np.array([epoch[key] for epoch in history], dtype=float)  # None: nan
                if np.isnan(values).all():
                    continue
                if len(self.histories) == 1 and key.startswith("validation"):
                    color = ORANGE
                points: dict[str, Any] = {"marker": _POINTS[lap], "ms": 5 if lap else 3}
                if len(epochs) > _MAX_POINTS:
                    points = points | {"markevery": 0.1} if lap else {}
                (self.lines_[name, key],) = axes.plot(
                    epochs, values, linestyle=style, color=color, **points
                )
                best = self.best_epochs[name]
                if mark_best and best is not None and key.startswith("validation"):
                    value = values[epochs.index(best)]
                    mark = {"ms": 8, "markeredgecolor": ink()}
                    (self.best_[name, key],) = axes.plot(
                        best, value, _BEST[lap], color=color, zorder=3, **mark
                    )
        label = self.score_name if panel == "score" else panel.replace("_", " ").capitalize()
        is_lbfgs = not self._has("learning_rate")
        axes.set_xlabel("Iteration" if is_lbfgs else "Epoch")
        axes.set_ylabel(label, **VERBATIM)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if panel == "loss" and spans(
            np.concatenate([line.get_ydata() for line in axes.lines]), _LOG_RATIO
        ):
            axes.set(yscale="log", ylabel="Loss (log scale)")
        tidy(axes)
        if panel == "score":
            _leave_out_the_rise(axes)
        if entries := self._legend(panel):
            beside = {}
            if len(self.histories) > _MAX_INSIDE and axes.figure.get_layout_engine():
                beside = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
            add_legend(axes, entries, frameon=False, **beside)

    def _legend(self, panel: str) -> list[tuple[Any, str]]:
        """Return the handles of a panel with their labels: what is what, in few lines."""
        from matplotlib.lines import Line2D

        several = len(self.histories) > 1
        entries: list[tuple[Any, str]] = []
        if panel == "score" and self.best_:
            best = {n: mark for (n, key), mark in self.best_.items() if key == "validation_score"}
            scores = told_apart((mark.get_ydata()[0] for mark in best.values()), digits, _DIGITS)
            for (name, mark), score in zip(best.items(), scores, strict=True):
                who = name if several else "best"
                entries.append((mark, f"{who}: {score} in epoch {mark.get_xdata()[0]}"))
            return entries
        if several:
            for name in self.histories:
                lines = [self.lines_[name, k] for k in _CURVES[panel] if (name, k) in self.lines_]
                entries += [(line, name) for line in lines[:1]]
        if panel == "loss" and self._has("validation_loss"):
            for key, color in {"loss": BLUE, "validation_loss": ORANGE}.items():
                line = Line2D(
                    [], [], linestyle=_CURVES["loss"][key], color=GREY if several else color
                )
                entries.append((line, "training, with penalty" if key == "loss" else "validation"))
            if self.best_:
                mark = Line2D([], [], linestyle="", marker="D", color="none", mec=ink())
                entries.append((mark, "epoch of the best score"))
        return entries


def _leave_out_the_rise(axes: Any) -> None:
    """Let the axis begin where scores have stopped rising fast: what differs is above."""
    curves = [line.get_ydata() for line in axes.lines]
    low = min(np.nanmin(_after_the_rise(curve)) for curve in curves)
    high, lowest = (f([f(curve) for curve in curves]) for f in (np.nanmax, np.nanmin))
    if high > low and high - low < (high - lowest) / 3:
        axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axes.annotate(
            "first epochs: below",
            (1, 0),
            (-4, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=GREY,
            fontsize="small",
        )


def _after_the_rise(curve: NDArray) -> NDArray:
    """Return a curve from where it is first as high as it is for most of the epochs."""
    return curve[np.argmax(curve >= np.nanquantile(curve, _RISE)) :]


def _score_name(network: Any) -> str:
    """Return what to call the validation score; class weights weigh the accuracy as well."""
    if network.scoring is None and network.class_weight is not None:
        return "Accuracy (weighted)"
    return name_of_score(network.scoring)


def _best_epoch(history: list[dict[str, Any]]) -> int | None:
    """Return the first epoch with the highest validation score."""
    scored = [epoch for epoch in history if epoch["validation_score"] is not None]
    return max(scored, key=lambda epoch: epoch["validation_score"])["epoch"] if scored else None
