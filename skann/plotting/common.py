"""Code that the display classes share: colours, panels and checks of arguments."""

import re
from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skann.base import BaseANN

# Colours that people with any type of colour vision can distinguish (Okabe and Ito, 2008).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#999999"
# Purple to orange through white: distinguishable in the same way, and zero has no colour.
DIVERGING = "PuOr"

# For texts that may contain words of users: a pair of "$" must not be parsed as a formula.
VERBATIM = {"parse_math": False, "usetex": False}

#: Maximum number of letters of a name on an axis, and the width of a letter in inches.
MAX_NAME, LETTER = 24, 0.085
#: Maximum number of places on an axis that can have slanted names.
MAX_PLACES = 12
# Maximum number of letters of all names on an axis that are written horizontally.
_MAX_LETTERS = 40

# In inches: maximum size of a new figure with images, height of its title, width of its title.
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
    """Return axes, in a new figure if `ax` is None, and the panels that they are divided into.

    A single panel is the axes themselves, unless `always` is set.
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
            "ax must be a subplot, so that it can be divided into panels; got axes that were placed"
            " freely. Make them with plt.subplots(), or leave ax out."
        )
    ax.set_axis_off()
    # The layout of a subfigure makes room for its title.
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
    """Draw images as large as the axes allow; return the axes, the panels and the images.

    `titles` is called with the number of letters that fit above an image.
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
    """Set and return the title of axes that may be divided into panels."""
    return ax.set_title(title) if panels[0] is ax else panels[0].figure.suptitle(title)


def tidy(axes: Any) -> None:
    """Remove the top and right spines, and add a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def name_places(axes: Any, names: Sequence[str]) -> None:
    """Label the places 0, 1, ... of an axis with names, turned if they need more space."""
    turned: dict[str, Any] = {}
    if sum(map(len, names)) + 2 * len(names) > _MAX_LETTERS:
        turned = {"ha": "right", "va": "center", "rotation_mode": "anchor"}
        turned["rotation"] = 90 if len(names) > MAX_PLACES else 30
    axes.set_xticks(range(len(names)), names, **turned, **VERBATIM)


def add_legend(owner: Any, artists: Sequence[Any], **options: Any) -> Any:
    """Add a legend for some artists to axes or a figure, and return the legend."""
    legend = owner.legend(handles=artists, frameon=False, **options)
    for text in legend.get_texts():
        text.set(**VERBATIM)
    return legend


def ink() -> str:
    """Return the text colour of the style in use, which is visible on its background."""
    from matplotlib import rcParams

    return rcParams["text.color"]


def spans(values: NDArray, ratio: float) -> bool:
    """Tell whether values are positive and spread so far that a log scale is better."""
    values = values[np.isfinite(values)]
    return len(values) > 0 and values.min() > 0 and values.max() > ratio * values.min()


def strongest(weights: NDArray, axis: int) -> NDArray:
    """Return the indices of columns (axis 0) or rows (axis 1), largest norm first."""
    return np.argsort(-np.linalg.norm(weights, axis=axis), kind="stable")


# Checks of arguments ----------------------------------------------------------------------------


def fitted_network(estimator: Any, who: str) -> Any:
    """Return the fitted ANNClassifier that an estimator is, ends in or has selected."""
    network = last_step(getattr(estimator, "best_estimator_", estimator))
    if not isinstance(network, BaseANN):
        raise TypeError(
            f"{who} takes a fitted ANNClassifier, a Pipeline that ends in one, or a search that"
            f" was refitted to one (refit=True); got {type(estimator).__name__}."
        )
    check_is_fitted(network)
    return network


def last_step(estimator: Any) -> Any:
    """Return the last step of a Pipeline, else the estimator itself."""
    return getattr(estimator, "steps", [("", estimator)])[-1][1]


def check_image_shape(image_shape: Any, n_features: int) -> None:
    """Check that the features of a row can be reshaped to an image."""
    if image_shape is None:
        return
    shape = np.array(image_shape)
    if shape.dtype.kind != "i" or shape.ndim != 1 or shape[2:].tolist() not in ([], [3]):
        raise ValueError(
            "image_shape must be (height, width), or (height, width, 3) for colour images; got"
            f" {image_shape!r}."
        )
    if prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} means {prod(image_shape)} values, but there are"
            f" {n_features} features."
        )


def check_length(name: str, values: Any, n: int, of_what: str) -> None:
    """Check that there are `n` values; `of_what` tells what each of them is for."""
    if len(values) != n:
        raise ValueError(f"{name} must have one entry for each {of_what}, {n}; got {len(values)}.")


# Names and texts ---------------------------------------------------------------------------------


def name_of_score(scoring: Any) -> str:
    """Return the name of the score for an axis label."""
    if scoring is None:
        return "Accuracy"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    return _SCORES.get(name) or in_words(re.sub("^neg_", "negative_", name))


def in_words(name: str) -> str:
    """Return an identifier as words; other names are returned unchanged."""
    words = name.replace("_", " ") if name.isidentifier() else name
    return words[:1].upper() + words[1:]


def shorten(text: str, n_letters: int) -> str:
    """Shorten a long text by leaving out its middle."""
    n_last = max((n_letters - 1) // 2, 1)
    return text if len(text) <= n_letters else f"{text[: n_letters - 1 - n_last]}…{text[-n_last:]}"


def text_of(value: Any) -> str:
    """Return a value as one line of text: at most six digits, and a date without midnight."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return " ".join(str(value).removesuffix(" 00:00:00").split())
