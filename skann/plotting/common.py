"""What the display classes share: colours, panels, checks of what they are given."""

import re
from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skann.base import BaseANN

# Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#999999"
# Purple and orange with white between them: safe for the same eyes, and zero is no colour.
DIVERGING = "PuOr"

# Of texts with words of users: a pair of "$" in them makes no formula.
VERBATIM = {"parse_math": False, "usetex": False}

#: Letters of a name on an axis, and inches of one of them.
MAX_NAME, LETTER = 24, 0.085
#: Places on an axis that leave room for names aslant.
MAX_PLACES = 12
# Letters of names that stand side by side on an axis.
_MAX_LETTERS = 40

# Inches of a new figure with images: of all of them at most, of the title above them.
_SHEET, _TITLE, _TITLE_WIDTH = (12, 6), 0.6, 5.5

_SCORES = {"loss": "Negative loss", "r2": "R²", "r2_score": "R²", "<lambda>": "Score"}


def divide(
    ax: Any,
    n_rows: int,
    n_columns: int,
    panel_size: tuple[float, float],
    *,
    share_y: bool = False,
    always: bool = False,
) -> tuple[Any, NDArray]:
    """Return axes, in a new figure if there are none, and the panels that they are divided into.

    One panel is the axes themselves, unless they are always divided.
    """
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("Plots need matplotlib: python -m pip install matplotlib") from error
        size = panel_size[0] * n_columns, panel_size[1] * n_rows
        _, ax = plt.subplots(figsize=size, layout="constrained")
    if n_rows * n_columns == 1 and not always:
        return ax, np.array([ax])
    if ax.get_subplotspec() is None:
        raise ValueError(
            "ax must be a subplot, so that it can be divided into panels; got axes at a place of"
            " their own. Make them by plt.subplots(), or leave ax out."
        )
    ax.set_axis_off()
    # A figure inside the figure has a title that its panels leave room for.
    inside = ax.figure.add_subfigure(ax.get_subplotspec())
    gaps = {} if ax.figure.get_layout_engine() else {"wspace": 0.3, "hspace": 0.6, "top": 0.82}
    panels = inside.subplots(n_rows, n_columns, sharey=share_y, squeeze=False, gridspec_kw=gaps)
    return ax, panels.ravel()


def draw_images(
    ax: Any,
    pictures: Sequence[NDArray],
    titles: Callable[[int], Sequence[str]],
    panel_size: tuple[float, float],
    **options: Any,
) -> tuple[Any, NDArray, list[Any]]:
    """Draw images as large as the axes allow; return axes, panels and images.

    `titles` is given the number of letters that there is room for above an image.
    """
    width, height = _SHEET if ax is None else ax.bbox.size / ax.figure.dpi

    def scale(n_columns: int) -> float:
        n_rows = ceil(len(pictures) / n_columns)
        return min(width / n_columns / panel_size[0], height / n_rows / panel_size[1])

    n_columns = max(range(1, len(pictures) + 1), key=scale)
    n_rows = ceil(len(pictures) / n_columns)
    size = max(panel_size[0], _TITLE_WIDTH / n_columns), panel_size[1] + _TITLE / n_rows
    room = panel_size[0] if ax is None else width / n_columns
    ax, panels = divide(ax, n_rows, n_columns, size, always=True)
    for surplus in panels[len(pictures) :]:
        surplus.remove()
    panels, images = panels[: len(pictures)], []
    for axes, picture, title in zip(
        panels, pictures, titles(max(int(room / LETTER) - 1, 5)), strict=True
    ):
        images.append(axes.imshow(picture, **options))
        axes.set_title(title, fontsize=10, **VERBATIM)
        axes.set(xticks=[], yticks=[])
    return ax, panels, images


def set_title(ax: Any, panels: NDArray, title: str) -> Any:
    """Set the title of axes that may be divided into panels, and return it."""
    return ax.set_title(title) if panels[0] is ax else panels[0].figure.suptitle(title)


def tidy(axes: Any) -> None:
    """Leave out what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def name_places(axes: Any, names: Sequence[str]) -> None:
    """Write names under the places 0, 1, ... of an axis, turned where they need room."""
    turned: dict[str, Any] = {}
    if sum(map(len, names)) + 2 * len(names) > _MAX_LETTERS:
        turned = {"ha": "right", "va": "center", "rotation_mode": "anchor"}
        turned["rotation"] = 90 if len(names) > MAX_PLACES else 30
    axes.set_xticks(range(len(names)), names, **turned, **VERBATIM)


def add_legend(owner: Any, artists: Sequence[Any], **options: Any) -> Any:
    """Add a legend of artists, by their labels, to axes or a figure, and return it."""
    legend = owner.legend(handles=artists, frameon=False, **options)
    for text in legend.get_texts():
        text.set(**VERBATIM)
    return legend


def ink() -> str:
    """Return the colour of marks that must be seen on the background of the style in use."""
    from matplotlib import rcParams

    return rcParams["text.color"]


def spans(values: NDArray, ratio: float) -> bool:
    """Whether values are positive and so far apart that a log scale shows more."""
    values = values[np.isfinite(values)]
    return len(values) > 0 and values.min() > 0 and values.max() > ratio * values.min()


def strongest(weights: NDArray, axis: int) -> NDArray:
    """Return columns (axis 0) or rows (axis 1) by their norm, the greatest first."""
    return np.argsort(-np.linalg.norm(weights, axis=axis), kind="stable")


# What a display is given -------------------------------------------------------------------------


def fitted_network(estimator: Any, who: str) -> Any:
    """Return the fitted ANNClassifier that an estimator is or ends in."""
    network = last_step(getattr(estimator, "best_estimator_", estimator))
    if not isinstance(network, BaseANN):
        raise TypeError(
            f"{who} takes a fitted ANNClassifier, a Pipeline that ends in one or a search that"
            f" was refitted to one (refit=True), not {type(estimator).__name__}."
        )
    check_is_fitted(network)
    return network


def last_step(estimator: Any) -> Any:
    """Return the last step of a Pipeline, else the estimator itself."""
    return getattr(estimator, "steps", [("", estimator)])[-1][1]


def check_image_shape(image_shape: Any, n_features: int) -> None:
    """Check that rows of features can be made images."""
    if image_shape is None:
        return
    shape = np.array(image_shape)
    if shape.dtype.kind != "i" or shape.ndim != 1 or shape[2:].tolist() not in ([], [3]):
        raise ValueError(
            "image_shape must be (height, width), or (height, width, 3) for colours; got"
            f" {image_shape!r}."
        )
    if prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} makes {prod(image_shape)} values, but there are"
            f" {n_features} features."
        )


def check_length(name: str, values: Any, n: int, of_what: str) -> None:
    """Check that there is one value for each."""
    if len(values) != n:
        raise ValueError(f"{name} must have one entry for each {of_what}, {n}; got {len(values)}.")


# What it is called -------------------------------------------------------------------------------


def name_of_score(scoring: Any) -> str:
    """Return what to call the score on an axis."""
    if scoring is None:
        return "Accuracy"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    return _SCORES.get(name) or in_words(re.sub("^neg_", "negative_", name))


def in_words(name: str) -> str:
    """Return the words that an identifier is made of; another name as it is."""
    words = name.replace("_", " ") if name.isidentifier() else name
    return words[:1].upper() + words[1:]


def shorten(text: str, n_letters: int) -> str:
    """Return a text, or its beginning and its end."""
    n_last = max((n_letters - 1) // 2, 1)
    return text if len(text) <= n_letters else f"{text[: n_letters - 1 - n_last]}…{text[-n_last:]}"


def text_of(value: Any) -> str:
    """Return a value as a text of one line: at most six digits, a date without midnight."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return " ".join(str(value).removesuffix(" 00:00:00").split())
