"""The samples that a classifier gets wrong."""

import re
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from skann.plotting.common import (
    DIVERGING,
    VERBATIM,
    check_at_least_one,
    check_image_shape,
    check_length,
    digits,
    divide,
    ink,
    n_columns_of,
    set_title,
    shorten_all,
    strongest,
    told_apart,
)

# Standard deviations at the ends of the colours; from where on they are too dark for black text.
_LIMIT, _LIGHT = 3, 2
# With more columns than that, numbers would cover each other.
_MAX_NUMBERS = 12
_BYTE = 255.0
# Digits of a value, where no more are needed to tell those of a feature apart.
_DIGITS = 3
# Inches of a letter, of a column at least, and of all columns that are widened for long words.
_LETTER, _COLUMN, _COLUMNS = 0.08, 0.95, 8.0
# Letters of a name beside the table. Inches of a letter above an image, of an image at least and
# at most, of a line above it, of all images side by side.
_MAX_NAME = 24
_TITLE_LETTER, _IMAGE, _WIDE_IMAGE, _TITLE_LINE, _IMAGES = 0.092, 1.4, 2.2, 0.17, 11.3


class MisclassifiedDisplay:
    """The samples that a classifier gets wrong while it is most sure of them.

    Made by `from_estimator` or `from_predictions`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The misclassified samples, the one that the classifier was surest of first. Texts are
        one feature.
    y_true : ndarray of shape (n_samples,)
        Their labels.
    y_pred : ndarray of shape (n_samples,)
        What they were taken for.
    confidence : ndarray of shape (n_samples,)
        The probability that was given to that.
    indices : ndarray of shape (n_samples,)
        Their places in the data.
    n_wrong, n_total : int
        Number of misclassified samples, and of all, of which the others are left out.
    image_shape : tuple of int, default=None
        Height and width, and 3 for colours, of the images that the samples are.
    feature_names : sequence of str, default=None
        Names of the features.
    deviations : ndarray of shape (n_samples, n_features), default=None
        How far each value is from the mean of all samples, in standard deviations; nan where
        it is no number. Not needed for images.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where `plot` has drawn; with images it is divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels, one for each image.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    images_ : list of matplotlib AxesImage
        The image of each sample, or the one table of them.
    title_ : matplotlib Text or None
        The title; None where there are no mistakes.
    features_ : ndarray of int
        The features drawn, in their order.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : How often each class is taken for each other.

    Notes
    -----
    Images whose values are from 0 to 1 are drawn on that scale, and those with values from 0 to
    255, some of them above half of that, as bytes are. For all others the scale goes from the
    least to the greatest value in the images that are shown.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skann import ANNClassifier, MisclassifiedDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ANNClassifier(input_scaling="maxabs", max_iter=5, random_state=0)
    >>> model = model.fit(X[:1000], y[:1000])
    >>> display = MisclassifiedDisplay.from_estimator(
    ...     model, X[1000:], y[1000:], image_shape=(8, 8), max_samples=16
    ... )
    >>> bool((display.y_true != display.y_pred).all())
    True
    """

    def __init__(
        self,
        *,
        X: NDArray,
        y_true: NDArray,
        y_pred: NDArray,
        confidence: NDArray,
        indices: NDArray,
        n_wrong: int,
        n_total: int,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        deviations: NDArray | None = None,
    ) -> None:
        self.X = X
        self.y_true = y_true
        self.y_pred = y_pred
        self.confidence = confidence
        self.indices = indices
        self.n_wrong = n_wrong
        self.n_total = n_total
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.deviations = deviations

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        max_samples: int = 24,
        max_features: int = 20,
        cmap: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Predict, and draw what is wrong.

        Parameters
        ----------
        estimator : classifier with `predict_proba`
            Fitted: an ANNClassifier, a Pipeline, a search.
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or list of str
            Samples, as `predict_proba` takes them; better not those that it was trained on.
            A data frame may have columns of any kind, a Pipeline may take texts.
        y : array-like of shape (n_samples,)
            Their labels.
        image_shape : tuple of int, default=None
            Height and width, and 3 for colours, of the images that the samples are. None: a
            table of feature values.
        feature_names : sequence of str, default=None
            Names for the table. None: the columns of `X`, if they have names.
        max_samples : int, default=24
            How many samples to draw, at most.
        max_features : int, default=20
            How many features to draw in a table, at most: the most unusual ones.
        cmap : str or matplotlib Colormap, default=None
            Colours. None: "gray_r" for images, "PuOr" for a table.
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several images, so that they are as large as they
            can be. None for a new figure.

        Returns
        -------
        MisclassifiedDisplay
            After its `plot`.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                "MisclassifiedDisplay takes a classifier with predict_proba, not"
                f" {type(estimator).__name__}. Its from_predictions takes confidences from"
                " elsewhere."
            )
        y = column_or_1d(y)
        check_consistent_length(X, y)
        # Not the class of the highest probability: a tuned threshold may decide otherwise.
        guess = estimator.predict(X)
        column = np.searchsorted(estimator.classes_, guess)
        return cls.from_predictions(
            X,
            y,
            guess,
            estimator.predict_proba(X)[np.arange(len(guess)), column],
            image_shape=image_shape,
            feature_names=feature_names,
            max_samples=max_samples,
            max_features=max_features,
            cmap=cmap,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        confidence: ArrayLike,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        max_samples: int = 24,
        max_features: int = 20,
        cmap: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw what is wrong in predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or list of str
            Samples: numbers, a data frame with columns of any kind, or texts.
        y_true : array-like of shape (n_samples,)
            Their labels.
        y_pred : array-like of shape (n_samples,)
            What a classifier predicts.
        confidence : array-like of shape (n_samples,)
            The probability of what it predicts.
        image_shape : tuple of int, default=None
            Height and width, and 3 for colours, of the images that the samples are. None: a
            table of feature values.
        feature_names : sequence of str, default=None
            Names for the table. None: the columns of `X`, if they have names.
        max_samples : int, default=24
            How many samples to draw, at most.
        max_features : int, default=20
            How many features to draw in a table, at most: the most unusual ones.
        cmap : str or matplotlib Colormap, default=None
            Colours. None: "gray_r" for images, "PuOr" for a table.
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several images, so that they are as large as they
            can be. None for a new figure.

        Returns
        -------
        MisclassifiedDisplay
            After its `plot`.
        """
        truth, guess, sure = map(column_or_1d, (y_true, y_pred, confidence))
        check_consistent_length(X, truth, guess, sure)
        check_at_least_one(max_samples=max_samples)
        values = _matrix(X)
        check_image_shape(image_shape, values.shape[1])
        if feature_names is None:
            feature_names = _feature_names(X, values.shape[1])
        feature_names = [str(name) for name in feature_names]
        check_length("feature_names", feature_names, values.shape[1], "feature")
        unique_labels(truth, guess)  # Raises where they are of different types.
        wrong = np.flatnonzero(truth != guess)
        shown = wrong[np.argsort(-sure[wrong], kind="stable")][:max_samples]
        rows = values[shown].toarray() if sparse.issparse(values) else values[shown]
        display = cls(
            X=rows,
            y_true=truth[shown],
            y_pred=guess[shown],
            confidence=sure[shown],
            indices=shown,
            n_wrong=len(wrong),
            n_total=len(truth),
            image_shape=image_shape,
            feature_names=feature_names,
            deviations=None if image_shape is not None else _deviations(values, rows),
        )
        return display.plot(ax, max_features=max_features, cmap=cmap)

    def plot(self, ax: Any = None, *, max_features: int = 20, cmap: str | None = None) -> Self:
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several images, so that they are as large as they
            can be. None for a new figure.
        max_features : int, default=20
            How many features to draw in a table, at most: the most unusual ones.
        cmap : str or matplotlib Colormap, default=None
            Colours. None: "gray_r" for images, "PuOr" for a table.

        Returns
        -------
        self : MisclassifiedDisplay
            With its attributes set.
        """
        check_at_least_one(max_features=max_features)
        self.images_: list[Any] = []
        self.title_ = None
        self.features_ = np.arange(self.X.shape[1])
        if not len(self.X):
            self.ax_, self.axes_ = divide(ax, 1, 1, (6, 2))
            self.ax_.set_axis_off()
            self.ax_.text(0.5, 0.5, "No mistakes.", ha="center", va="center", fontsize=20)
        elif self.image_shape is None:
            self._plot_table(ax, max_features, DIVERGING if cmap is None else cmap)
        else:
            self._plot_images(ax, "gray_r" if cmap is None else cmap)
        self.figure_ = self.ax_.figure
        if len(self.X):
            title = f"{self.n_wrong:,} of {self.n_total:,} misclassified{self._which()}\n"
            title += "(truth → guess, and how sure)"
            self.title_ = set_title(self.ax_, self.axes_, title)
        return self

    def _which(self) -> str:
        """Return for the title which of the misclassified samples are drawn."""
        n_shown = len(self.X)
        if n_shown == self.n_wrong:
            return ", the surest first" if n_shown > 1 else ""
        return f", the {n_shown} surest" if n_shown > 1 else ", the surest"

    def _names(self, n_letters: int) -> list[tuple[str, str, str]]:
        """Return for each sample what was taken for what, and how sure that was."""
        full = [str(label) for label in (*self.y_true, *self.y_pred)]
        short = shorten_all(full, n_letters)
        n = len(self.y_true)
        sure = [f"{confidence:.0%}" for confidence in self.confidence]
        return list(zip(short[:n], short[n:], sure, strict=True))

    def _titles(self, width: float) -> list[str]:
        """Return what to write above images of some width, in as few lines as it fits in."""
        n_letters = max(int(width / _TITLE_LETTER), 4)
        names = self._names(n_letters - 2)
        for form in ("{} → {}   {}", "{} → {}\n{}", "{} →\n{}\n{}"):
            titles = [form.format(*of_one) for of_one in names]
            if max(len(line) for title in titles for line in title.split("\n")) <= n_letters:
                break
        return titles

    def _plot_images(self, ax: Any, cmap: str) -> None:
        longest = max(len(str(label)) for label in (*self.y_true, *self.y_pred))
        wide = min(max(_IMAGE, _TITLE_LETTER * (longest + 2)), _WIDE_IMAGE)
        n_lines = max(title.count("\n") for title in self._titles(wide))
        size = wide, 1.6 + _TITLE_LINE * n_lines
        n_columns = min(int(_IMAGES / wide), max(4, len(self.X)))  # Room for the title.
        n_columns, width = n_columns_of(ax, len(self.X), size, n_columns)
        n_rows = ceil(len(self.X) / n_columns)
        self.ax_, self.axes_ = divide(ax, n_rows, n_columns, size, len(self.X))
        rows = zip(self.axes_, _on_unit_scale(self.X), self._titles(width), strict=True)
        for axes, row, title in rows:
            picture = row.reshape(self.image_shape)
            self.images_.append(axes.imshow(picture, cmap=cmap, vmin=0, vmax=1))
            axes.set_title(title, fontsize=11, **VERBATIM)
            axes.set(xticks=[], yticks=[])

    def _plot_table(self, ax: Any, max_features: int, cmap: str) -> None:
        """Draw a row for each sample; the colours say which values are unusual."""
        deviations = np.full(self.X.shape, np.nan) if self.deviations is None else self.deviations
        clipped = np.clip(np.nan_to_num(deviations), -_LIMIT, _LIMIT)
        self.features_ = np.sort(strongest(clipped, 0, max_features))
        n_rows, n_columns = len(self.X), len(self.features_)
        values = self.X[:, self.features_].T
        cells = [told_apart(column, _text, _DIGITS) for column in values]
        width = _width(values, cells) if n_columns <= _MAX_NUMBERS else 0.4
        names_of_rows = ["{} → {}   {}".format(*row) for row in self._names(_MAX_NAME)]
        left = _LETTER * max(map(len, names_of_rows))
        size = 2.5 + left + width * n_columns, 2 + 0.3 * n_rows
        self.ax_, self.axes_ = divide(ax, 1, 1, size)
        shown = deviations[:, self.features_]
        image = self.ax_.imshow(shown, cmap=cmap, vmin=-_LIMIT, vmax=_LIMIT, aspect="auto")
        self.images_ = [image]
        names = self.feature_names
        columns = [str(f if names is None else names[int(f)]) for f in self.features_]
        self.ax_.set_xticks(
            range(n_columns), shorten_all(columns, _MAX_NAME), rotation=30, ha="right", **VERBATIM
        )
        self.ax_.set_yticks(range(n_rows), names_of_rows, **VERBATIM)
        if np.isfinite(shown).any():
            self.ax_.figure.colorbar(image, ax=self.ax_, label="standard deviations\nfrom the mean")
        if n_columns > _MAX_NUMBERS:
            return
        cells = [shorten_all(column, int(width / _LETTER)) for column in cells]
        for (row, column), deviation in np.ndenumerate(shown):
            text = cells[column][row]
            color = "white" if abs(deviation) > _LIGHT else "black"
            if np.isnan(deviation):  # No colour under it.
                color = ink()
            style = {"ha": "center", "va": "center", "color": color, "fontsize": 9}
            self.ax_.text(column, row, text, **style, **VERBATIM)


def _matrix(X: Any) -> Any:
    """Return samples of any kind as a matrix: texts become one column."""
    if sparse.issparse(X):
        return check_array(X, accept_sparse="csr", dtype=None, ensure_all_finite=False)
    # Not the data frame itself: of some mixtures of columns, check_array would make numbers.
    values = np.asarray(X)
    if values.ndim == 1 and values.dtype.kind not in "biufc":
        values = values[:, np.newaxis]
    return check_array(values, dtype=None, ensure_all_finite=False)


def _feature_names(X: Any, n_features: int) -> Sequence[Any]:
    """Return the names of columns, or of a series of texts."""
    if hasattr(X, "columns"):
        return X.columns
    if n_features == 1 and np.ndim(X) == 1:
        return [getattr(X, "name", None) or "text"]
    return [f"x{number}" for number in range(n_features)]


def _on_unit_scale(pictures: NDArray) -> NDArray:
    """Return pictures with values from 0 to 1, which is the one scale that colours have."""
    pictures = pictures.astype(np.float64)
    finite = pictures[np.isfinite(pictures)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and _BYTE / 2 < high <= _BYTE:
        low, high = 0.0, _BYTE
    return (pictures - low) / ((high - low) or 1.0)


def _text(value: Any, n_digits: int) -> str:
    """Return the text of a cell."""
    if _is_missing(value):
        return "missing"
    if _is_number(value):
        return digits(value, n_digits)
    date_alone = re.sub(r"[ T]00:00:00(\.0+)?$", "", str(value))
    return " ".join(date_alone.split())


def _width(values: NDArray, cells: list[list[str]]) -> float:
    """Return the inches of a column: numbers have all the room they need, words what there is."""
    pairs = [
        pair for column in zip(values, cells, strict=True) for pair in zip(*column, strict=True)
    ]
    of_numbers = _LETTER * max((len(t) for value, t in pairs if _is_number(value)), default=0)
    of_all = _LETTER * max(len(t) for _, t in pairs)
    return max(_COLUMN, of_numbers, min(of_all, _COLUMNS / len(cells)))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, nan or what else a data frame has for it."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # Of pandas.NA, which is neither equal to itself nor not.
        return True
    except ValueError:  # Of an array in a cell.
        return False


def _deviations(X: Any, rows: NDArray) -> NDArray:
    """Return how far rows are from the mean of X, in standard deviations; nan for no number."""
    if sparse.issparse(X):
        mean = np.asarray(X.mean(axis=0)).ravel()
        square = np.asarray(X.multiply(X).mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        spread[spread == 0] = np.inf  # A constant feature is nowhere unusual.
        return (rows - mean) / spread
    values = np.ma.masked_invalid(_numbers(X))
    deviations = (_numbers(rows) - values.mean(axis=0)) / values.std(axis=0)
    return np.ma.filled(deviations, np.nan)


def _numbers(X: NDArray) -> NDArray:
    """Return a table as numbers, nan for what is missing and in the columns that have none."""
    if X.dtype.kind in "biuf":
        return X.astype(np.float64)
    numbers = np.full(X.shape, np.nan)
    if X.dtype.kind in "mM":  # Dates, as those in a column of a data frame.
        return numbers
    for place, column in enumerate(X.T):
        known = [not _is_missing(value) for value in column]
        with suppress(TypeError, ValueError):
            numbers[known, place] = column[known]
    return numbers
