"""What the display classes share: colours, panels, checks of what they are given."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import ceil, prod
from os.path import commonprefix
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skann.base import BaseANN

# Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
BLUE, ORANGE, GREEN = COLORS[:3]
GREY = "#999999"
# Purple and orange with white between them: safe for the same eyes, and zero is no colour.
DIVERGING = "PuOr"

# Of texts with words of users: a pair of "$" in them makes no formula.
VERBATIM = {"parse_math": False, "usetex": False}

# That many tell all floats apart.
ALL_DIGITS = 17

# Inches for the title of a figure with images.
_TITLE = 0.6
# Letters of names side by side on an axis, places that leave room for names aslant.
_MAX_LETTERS, MAX_PLACES = 40, 12

# A scorer tells what it measures nowhere but in its representation.
_SCORER = re.compile(
    r"make_scorer\((?P<function>\w+)(?=[,)])(?P<negative>, greater_is_better=False)?"
)


def divide(
    ax: Any,
    n_rows: int,
    n_columns: int,
    panel_size: tuple[float, float],
    n_panels: int | None = None,
    *,
    share_y: bool = False,
) -> tuple[Any, NDArray]:
    """Return axes, in a new figure if there are none, and the panels that they are divided into.

    With `n_panels` they are divided in any case, so that axes and panels have titles of their own.
    """
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "Drawing needs matplotlib: python -m pip install matplotlib"
            ) from error
        width, height = panel_size
        size = width * n_columns, height * n_rows + (0 if n_panels is None else _TITLE)
        _, ax = plt.subplots(figsize=size, layout="constrained")
    if n_panels is None and n_rows * n_columns == 1:
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
    panels = panels.ravel()
    for surplus in panels[n_panels:] if n_panels else []:
        surplus.remove()
    return ax, panels[:n_panels]


def n_columns_of(
    ax: Any, n_panels: int, panel_size: tuple[float, float], of_new_figure: int
) -> tuple[int, float]:
    """Return the number of columns for panels, and the inches that each is wide.

    A new figure takes the shape of its panels. In axes that are there, the panels shall be as
    large as they can.
    """
    if ax is None:
        return of_new_figure, panel_size[0]
    width, height = ax.bbox.size / ax.figure.dpi

    def scale(n_columns: int) -> float:
        n_rows = ceil(n_panels / n_columns)
        return min(width / n_columns / panel_size[0], height / n_rows / panel_size[1])

    n_columns = max(range(1, n_panels + 1), key=scale)
    return n_columns, width / n_columns


def set_title(ax: Any, panels: NDArray, title: str) -> Any:
    """Set the title of axes that may be divided into panels, and return it."""
    return ax.set_title(title) if panels[0] is ax else panels[0].figure.suptitle(title)


def tidy(axes: Any) -> None:
    """Leave out what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def name_places(axes: Any, names: Sequence[str]) -> None:
    """Write names under the places 0, 1, ... of an axis, turned where they need room."""
    axes.set_xticks(range(len(names)), names, **VERBATIM)
    if sum(map(len, names)) + 2 * len(names) > _MAX_LETTERS:
        upright = len(names) > MAX_PLACES
        for text in axes.get_xticklabels():
            text.set(ha="right", va="center" if upright else "top", rotation_mode="anchor")
            text.set_rotation(90 if upright else 30)


def add_legend(owner: Any, entries: Iterable[tuple[Any, str]], **options: Any) -> Any:
    """Add a legend of artists and their labels to axes or a figure, and return it."""
    handles, labels = zip(*entries, strict=True)
    # matplotlib leaves out labels that begin with "_", so it gets them afterwards.
    legend = owner.legend(handles, [""] * len(labels), **options)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=label, **VERBATIM)
    return legend


def ink() -> str:
    """Return the colour of marks that must be seen on the background of the style in use."""
    from matplotlib import rcParams

    return rcParams["text.color"]


def spans(values: NDArray, ratio: float) -> bool:
    """Whether values are positive and so far apart that a log scale shows more."""
    values = values[np.isfinite(values)]
    return len(values) > 0 and values.min() > 0 and values.max() > ratio * values.min()


def strongest(weights: NDArray, axis: int, at_most: int) -> NDArray:
    """Return columns (axis 0) or rows (axis 1) by their norm, the greatest first."""
    norms = np.linalg.norm(weights, axis=axis)
    return np.argsort(-norms, kind="stable")[:at_most]


# What a display is given -------------------------------------------------------------------------


def fitted_network(estimator: Any, who: str) -> Any:
    """Return the fitted ANNClassifier that an estimator is or ends in."""
    network = last_step(getattr(estimator, "best_estimator_", estimator))
    if not isinstance(network, BaseANN):
        not_refitted = getattr(estimator, "refit", None) is False
        why = " with refit=False, which has no best_estimator_" if not_refitted else ""
        raise TypeError(
            f"{who} takes a fitted ANNClassifier, a Pipeline that ends in one or a search with"
            f" such a best_estimator_, not {type(estimator).__name__}{why}."
        )
    check_is_fitted(network)
    return network


def last_step(estimator: Any) -> Any:
    """Return the last step of a Pipeline, else the estimator itself."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def check_image_shape(image_shape: Any, n_features: int) -> None:
    """Check that rows of features can be made images."""
    if image_shape is None:
        return
    is_shape = isinstance(image_shape, tuple | list) and (
        len(image_shape) == 2 or (len(image_shape) == 3 and image_shape[2] == 3)
    )
    if not is_shape or not all(isinstance(n, int | np.integer) and n > 0 for n in image_shape):
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


def check_at_least_one(**numbers: int) -> None:
    """Check how many of something are to be drawn at most."""
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"{name} must be a whole number from 1 on; got {number!r}.")


# What it is called -------------------------------------------------------------------------------


def name_of_score(scoring: Any) -> str:
    """Return what to call the score on an axis."""
    if scoring is None:
        return "Accuracy"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    if found := _SCORER.match(repr(scoring)):
        name = ("neg_" if found["negative"] else "") + found["function"]
    if name in ("r2", "r2_score"):
        return "R²"
    if name == "<lambda>":
        return "Score"
    return in_words(re.sub("^neg_|^(?=loss$)", "negative_", name))


def in_words(name: str) -> str:
    """Return the words that an identifier is made of; another name as it is."""
    if not name.isidentifier():
        return name
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def shorten(text: str, n_letters: int) -> str:
    """Return a text, or its beginning and an ellipsis."""
    return text if len(text) <= n_letters else f"{text[: n_letters - 1]}…"


def shorten_all(names: Sequence[str], n_letters: int) -> list[str]:
    """Return names or their beginnings; where those are the same, beginnings and ends.

    Where those are the same as well, what comes from the first difference on.
    """
    short = [shorten(name, n_letters) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    n_last = (n_letters - 1) // 2
    ends = [
        f"{s[: n_letters - 1 - n_last]}…{name[len(name) - n_last :]}" if s != name else s
        for s, name in zip(short, names, strict=True)
    ]
    for end, n in Counter(dict(zip(names, ends, strict=True)).values()).items():
        if n > 1:
            places = [place for place, other in enumerate(ends) if other == end]
            n_same = len(commonprefix([names[place] for place in places]))
            for place in places:
                ends[place] = shorten("…" + names[place][n_same:], n_letters)
    return ends


def told_apart(values: Iterable[Any], text: Callable[[Any, int], str], n_digits: int) -> list[str]:
    """Return the texts of values, with as many digits as it takes to tell them apart.

    `text` takes a value and a number of digits, of which there shall be at least `n_digits`.
    """
    values = list(values)
    n_different = len({text(value, ALL_DIGITS) for value in values})
    for n in range(n_digits, ALL_DIGITS + 1):
        texts = [text(value, n) for value in values]
        if len(set(texts)) == n_different:
            break
    return texts


def digits(value: Any, n_digits: int) -> str:
    """Return a number as a text with that many significant digits, without zeros at the end."""
    return f"{value:.{n_digits}g}"
