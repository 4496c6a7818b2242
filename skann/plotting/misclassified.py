"""Plot of the samples that a classifier gets wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, check_scalar, column_or_1d
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.sparsefuncs import mean_variance_axis

from skann.plotting.common import (
    DIVERGING,
    LETTER,
    MAX_NAME,
    VERBATIM,
    check_image_shape,
    check_length,
    divide,
    draw_images,
    ink,
    name_places,
    set_title,
    shorten,
    strongest,
    text_of,
)

# Maximum number of columns of a table, number of standard deviations at the ends of the colour
# scale, and number from which the colours are too dark for black text.
_MAX_FEATURES, _LIMIT, _LIGHT = 12, 3, 2
# In inches: width of a letter in a table, minimum width of a column, width of all wide columns.
_CELL_LETTER, _COLUMN, _COLUMNS = 0.08, 1.0, 8.0
# Minimum width of an image in inches, and maximum number of letters in a line above it.
_IMAGE, _LINE = 1.4, 20


@dataclass(kw_only=True, eq=False, repr=False)
class MisclassifiedDisplay:
    """Plot of misclassified samples, those with the most confident predictions first.

    The samples are drawn as images, or as a table of feature values. In the table, colours show
    which values are unusual. If there are many features, it shows the most unusual ones. Created
    by `from_estimator` or `from_predictions`.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        The samples. Texts are a single feature.
    y_true : ndarray of shape (n_samples,)
        True labels of the samples.
    y_pred : ndarray of shape (n_samples,)
        Predicted labels of the samples.
    confidence : ndarray of shape (n_samples,)
        Predicted probability of the predicted label.
    feature_names : sequence of str
        Names of the features.
    image_shape : tuple of int, default=None
        Shape of the images, if the samples are images: ``(height, width)``, or
        ``(height, width, 3)`` for colour images. None for a table.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that `plot` has drawn on; with images they are divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels, one for each image.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    images_ : list of matplotlib AxesImage
        The image of each sample, or the single table. The values of the table are the distances
        from the mean of the feature, in standard deviations, and nan where there is no number.
    title_ : matplotlib Text or None
        The title; None if no sample is misclassified.
    indices_ : ndarray of int
        Indices in `X` of the samples drawn, most confident prediction first.
    n_wrong_ : int
        Number of misclassified samples.
    features_ : ndarray of int
        Indices of the features in a table, in this order.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Plot of how often classes are confused.

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
    >>> bool((display.y_true != display.y_pred)[display.indices_].all())
    True
    """

    X: Any
    y_true: NDArray
    y_pred: NDArray
    confidence: NDArray
    feature_names: Sequence[str]
    image_shape: tuple[int, ...] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        **plot_options: Any,
    ) -> Self:
        """Predict, and draw the misclassified samples.

        Parameters
        ----------
        estimator : classifier with `predict_proba`
            Fitted classifier, for example an ANNClassifier, a Pipeline or a search.
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or list of str
            Samples, preferably from a test set. A DataFrame may have columns of any type, and a
            Pipeline may take texts.
        y : array-like of shape (n_samples,)
            True labels of the samples.
        image_shape : tuple of int, default=None
            Shape of the images, if the samples are images: ``(height, width)``, or
            ``(height, width, 3)`` for colour images. None for a table of feature values.
        feature_names : sequence of str, default=None
            Names of the features for the table. None for the column names of `X`, if it has any.
        **plot_options : dict
            Options of `plot`, by name: `max_samples` (default 24) and `ax`.

        Returns
        -------
        MisclassifiedDisplay
            The display, after its `plot` method was called.
        """
        # The prediction need not have the highest probability: thresholds may be tuned.
        predicted = estimator.predict(X)
        columns = np.searchsorted(estimator.classes_, predicted)
        confidence = estimator.predict_proba(X)[np.arange(len(predicted)), columns]
        return cls.from_predictions(
            X,
            y,
            predicted,
            confidence,
            image_shape=image_shape,
            feature_names=feature_names,
            **plot_options,
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
        **plot_options: Any,
    ) -> Self:
        """Draw the misclassified samples of given predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or list of str
            Samples: numbers, a DataFrame with columns of any type, or texts.
        y_true : array-like of shape (n_samples,)
            True labels of the samples.
        y_pred : array-like of shape (n_samples,)
            Predicted labels of the samples.
        confidence : array-like of shape (n_samples,)
            Predicted probability of the predicted label.
        image_shape : tuple of int, default=None
            Shape of the images, if the samples are images: ``(height, width)``, or
            ``(height, width, 3)`` for colour images. None for a table of feature values.
        feature_names : sequence of str, default=None
            Names of the features for the table. None for the column names of `X`, if it has any.
        **plot_options : dict
            Options of `plot`, by name: `max_samples` (default 24) and `ax`.

        Returns
        -------
        MisclassifiedDisplay
            The display, after its `plot` method was called.
        """
        true, predicted, confidences = map(column_or_1d, (y_true, y_pred, confidence))
        check_consistent_length(X, true, predicted, confidences)
        unique_labels(true, predicted)  # Raises an error if the labels are of different types.
        values = _matrix(X)
        check_image_shape(image_shape, values.shape[1])
        names = feature_names
        if names is None:
            names = getattr(X, "columns", [f"x{number}" for number in range(values.shape[1])])
        check_length("feature_names", names, values.shape[1], "feature")
        display = cls(
            X=values,
            y_true=true,
            y_pred=predicted,
            confidence=confidences,
            feature_names=list(map(str, names)),
            image_shape=image_shape,
        )
        return display.plot(**plot_options)

    def plot(self, ax: Any = None, *, max_samples: int = 24) -> Self:
        """Draw the misclassified samples.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. For images they are divided, so that the images are as large as
            possible. None for a new figure.
        max_samples : int, default=24
            Maximum number of samples to draw.

        Returns
        -------
        self : MisclassifiedDisplay
            The display, with its attributes set.
        """
        check_scalar(max_samples, "max_samples", Integral, min_val=1)
        wrong = np.flatnonzero(self.y_true != self.y_pred)
        self.n_wrong_ = len(wrong)
        self.indices_ = wrong[np.argsort(-self.confidence[wrong], kind="stable")][:max_samples]
        self.images_: list[Any] = []
        self.title_ = None
        if not len(wrong):
            self.ax_, self.axes_ = divide(ax, 1, 1, (6, 2))
            self.ax_.set_axis_off()
            self.ax_.text(0.5, 0.5, "No mistakes.", ha="center", va="center", fontsize=20)
        else:
            rows = self.X[self.indices_]
            rows = rows.toarray() if sparse.issparse(rows) else rows
            if self.image_shape is None:
                self._plot_table(ax, rows)
            else:
                self._plot_images(ax, rows, self.image_shape)
            is_all = len(rows) == len(wrong)
            which = "most confident first" if is_all else f"the {len(rows)} most confident"
            title = f"{len(wrong):,} of {len(self.y_true):,} misclassified, {which}"
            title += "\n(true → predicted label, probability)"
            self.title_ = set_title(self.ax_, self.axes_, title)
        self.figure_ = self.ax_.figure
        return self

    def _names(self, form: str, n_letters: int) -> list[str]:
        """Format the true label, the predicted label and the confidence of each sample."""
        labels = self.y_true[self.indices_], self.y_pred[self.indices_]
        short = [[shorten(str(label), n_letters) for label in column] for column in labels]
        rows = zip(*short, self.confidence[self.indices_], strict=True)
        return [form.format(*row) for row in rows]

    def _titles(self, n_letters: int) -> list[str]:
        """Return the titles of the images, on one line if they fit."""
        titles = self._names("{} → {}   {:.0%}", n_letters)
        if max(map(len, titles)) > n_letters:
            titles = self._names("{} →\n{}\n{:.0%}", n_letters - 1)
        return titles

    def _plot_images(self, ax: Any, rows: NDArray, image_shape: tuple[int, ...]) -> None:
        from matplotlib.colors import Normalize

        titles = self._titles(_LINE)
        longest = max(len(line) for title in titles for line in title.split("\n"))
        size = max(_IMAGE, LETTER * (longest + 1)), 1.6 + 0.17 * titles[0].count("\n")
        pictures = Normalize()(rows.astype(float))  # All images share one colour scale.
        self.ax_, self.axes_, self.images_ = draw_images(
            ax, pictures.reshape(-1, *image_shape), self._titles, size, cmap="gray_r", clim=(0, 1)
        )

    def _plot_table(self, ax: Any, rows: NDArray) -> None:
        """Draw one row for each sample, with colours that show which values are unusual."""
        deviations = _deviations(self.X, rows)
        clipped = np.clip(np.nan_to_num(deviations), -_LIMIT, _LIMIT)
        self.features_ = np.sort(strongest(clipped, 0)[:_MAX_FEATURES])
        shown = deviations[:, self.features_]
        cells = np.vectorize(text_of, otypes=[object])(rows[:, self.features_])
        longest = max(map(len, cells.flat))
        width = max(_COLUMN, min(_CELL_LETTER * longest, _COLUMNS / shown.shape[1]))
        names = self._names("{} → {}   {:.0%}", MAX_NAME)
        width_of_all = 2.5 + LETTER * max(map(len, names)) + width * shown.shape[1]
        self.ax_, self.axes_ = divide(ax, 1, 1, (width_of_all, 2 + 0.3 * len(rows)))
        image = self.ax_.imshow(shown, cmap=DIVERGING, clim=(-_LIMIT, _LIMIT), aspect="auto")
        self.images_ = [image]
        name_places(self.ax_, [shorten(self.feature_names[f], MAX_NAME) for f in self.features_])
        self.ax_.set_yticks(range(len(rows)), names, **VERBATIM)
        if np.isfinite(shown).any():
            self.ax_.figure.colorbar(image, ax=self.ax_, label="standard deviations\nfrom the mean")
        for (row, column), deviation in np.ndenumerate(shown):
            text = shorten(cells[row, column], int(width / _CELL_LETTER))
            color = "white" if abs(deviation) > _LIGHT else "black"
            color = ink() if np.isnan(deviation) else color  # Such cells have no background colour.
            style = {"ha": "center", "va": "center", "color": color, "fontsize": 9}
            self.ax_.text(column, row, text, **style, **VERBATIM)


def _matrix(X: Any) -> Any:
    """Return samples of any type as a matrix; texts become a single column."""
    # Convert a DataFrame first: check_array would turn some mixed columns into numbers.
    values = X if sparse.issparse(X) else np.asarray(X)
    if values.ndim == 1 and values.dtype.kind not in "biufc":
        values = values[:, np.newaxis]
    return check_array(values, accept_sparse="csr", dtype=None, ensure_all_finite=False)


def _deviations(X: Any, rows: NDArray) -> NDArray:
    """Return the distance of values from the mean of X, in standard deviations, or nan."""
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X, axis=0)
    else:
        numbers = np.ma.masked_invalid(_numbers(X))
        mean, variance = numbers.mean(axis=0), numbers.var(axis=0)
    deviations = (np.ma.masked_invalid(_numbers(rows)) - mean) / np.ma.sqrt(variance)
    return np.ma.filled(deviations, np.nan)


def _numbers(X: NDArray) -> NDArray:
    """Return a table as numbers, with nan for values that are not numbers."""
    if X.dtype.kind in "biuf":
        return X.astype(np.float64)
    numbers = [float(v) if isinstance(v, Real | np.bool_) else np.nan for v in X.flat]
    return np.reshape(numbers, X.shape)
