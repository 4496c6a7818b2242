"""The weights of the first layer."""

from collections.abc import Sequence
from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d

from skann.plotting.common import (
    DIVERGING,
    VERBATIM,
    check_at_least_one,
    check_image_shape,
    check_length,
    divide,
    fitted_network,
    n_columns_of,
    name_places,
    set_title,
    shorten_all,
    strongest,
)

# Letters of a name on an axis; inches of a letter, of an image with the longest name above it at
# most, of all images side by side.
_MAX_NAME = 24
_LETTER, _WIDE_IMAGE, _IMAGES = 0.085, 1.8, 12.0


class WeightsDisplay:
    """The weights of a network's first layer, as images or as a heat map.

    Made by `from_estimator`.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_units)
        The weights. They belong to the inputs as the network sees them: after the steps of a
        Pipeline and after `input_scaling`.
    image_shape : tuple of int, default=None
        Height and width, and 3 for colours, of the images that the features are.
    feature_names : sequence of str, default=None
        Names of the features.
    unit_names : sequence of str, default=None
        Names of the units; None for their numbers. Units with names keep their order, the
        others are drawn by strength, the strongest first.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where `plot` has drawn; with images it is divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels, one for each image.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    images_ : list of matplotlib AxesImage
        The image of each unit, or the one heat map.
    colorbar_ : matplotlib Colorbar or None
        What the colours mean; None for images in colours of their own.
    title_ : matplotlib Text
        The title.
    units_ : ndarray of int
        The units drawn, in their order.
    features_ : ndarray of int
        The features drawn, in their order.

    See Also
    --------
    MisclassifiedDisplay : What the network gets wrong.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skann import ANNClassifier, WeightsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ANNClassifier((16,), input_scaling="maxabs", random_state=0).fit(X, y)
    >>> display = WeightsDisplay.from_estimator(model, image_shape=(8, 8))
    >>> len(display.images_)
    16
    """

    def __init__(
        self,
        *,
        weights: NDArray,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        unit_names: Sequence[str] | None = None,
    ) -> None:
        self.weights = weights
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.unit_names = unit_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        feature_scale: ArrayLike | None = None,
        max_units: int = 60,
        max_features: int = 30,
        cmap: str = DIVERGING,
        ax: Any = None,
    ) -> Self:
        """Draw the first layer of a network; of one without hidden layers, the outputs.

        Parameters
        ----------
        estimator : ANNClassifier, Pipeline or search
            Fitted: the classifier, a Pipeline that ends in it, or a search with such a
            `best_estimator_`.
        image_shape : tuple of int, default=None
            Height and width, and 3 for colours, of the images that the features are. None:
            a heat map.
        feature_names : sequence of str, default=None
            Names for the heat map. None: those that the classifier has seen or that the steps
            before it give.
        feature_scale : array-like of shape (n_features,), default=None
            Multiplied with the weights of each feature. The standard deviation of the
            features makes of weights what the features have to say: one that hardly ever
            varies keeps the weights it had at random.
        max_units : int, default=60
            How many units to draw, at most.
        max_features : int, default=30
            How many features to draw in a heat map, at most.
        cmap : str or matplotlib Colormap, default="PuOr"
            Diverging colours: zero is in the middle. Images in colours do without.
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several images, so that they are as large as they
            can be. None for a new figure.

        Returns
        -------
        WeightsDisplay
            After its `plot`.
        """
        network = fitted_network(estimator, cls.__name__)
        weights = np.array(network.coefs_[0])
        n_features = len(weights)
        check_image_shape(image_shape, n_features)
        if feature_names is None:
            feature_names = _feature_names(estimator, network)
        check_length("feature_names", feature_names, n_features, "feature")
        if feature_scale is not None:
            scale = column_or_1d(feature_scale)
            check_length("feature_scale", scale, n_features, "feature")
            weights = weights * scale[:, np.newaxis]
        unit_names = None
        if network.n_layers_ == 2:
            classes = [str(label) for label in network.classes_]
            unit_names = classes[-network.n_outputs_ :]
        display = cls(
            weights=weights,
            image_shape=image_shape,
            feature_names=feature_names,
            unit_names=unit_names,
        )
        return display.plot(ax, max_units=max_units, max_features=max_features, cmap=cmap)

    def plot(
        self,
        ax: Any = None,
        *,
        max_units: int = 60,
        max_features: int = 30,
        cmap: str = DIVERGING,
    ) -> Self:
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several images, so that they are as large as they
            can be. None for a new figure.
        max_units : int, default=60
            How many units to draw, at most.
        max_features : int, default=30
            How many features to draw in a heat map, at most.
        cmap : str or matplotlib Colormap, default="PuOr"
            Diverging colours: zero is in the middle. Images in colours do without.

        Returns
        -------
        self : WeightsDisplay
            With its attributes set.
        """
        check_at_least_one(max_units=max_units, max_features=max_features)
        self.colorbar_: Any = None
        n_features, n_units = self.weights.shape
        self.units_ = np.arange(n_units)[:max_units]
        if self.unit_names is None:
            self.units_ = strongest(self.weights, 0, max_units)
        if self.image_shape is None:
            self.features_ = strongest(self.weights, 1, max_features)
            self._plot_heat_map(ax, cmap)
        else:
            self.features_ = np.arange(n_features)
            self._plot_images(ax, cmap)
        self.figure_ = self.ax_.figure
        some = f"{len(self.units_)} of " if len(self.units_) < n_units else ""
        title = f"Weights of {some}{n_units} {'unit' if self.unit_names is None else 'output'}"
        title += "s" if n_units > 1 else ""
        if self.unit_names is None:
            title += " of the first layer" + (", the strongest first" if n_units > 1 else "")
        self.title_ = set_title(self.ax_, self.axes_, title)
        return self

    def _names(self) -> list[str]:
        """Return the names of the units to draw, where they have some."""
        if self.unit_names is None:
            return []
        return [str(self.unit_names[unit]) for unit in self.units_]

    def _plot_images(self, ax: Any, cmap: str) -> None:
        n_units, names = len(self.units_), self._names()
        longest = max(map(len, names), default=0)
        size = min(max(1.1, _LETTER * (longest + 3)), _WIDE_IMAGE), 1.2 if names else 1.0
        n_rows = ceil(n_units / min(int(_IMAGES / size[0]), 10))
        n_columns, width = n_columns_of(ax, n_units, size, ceil(n_units / n_rows))
        n_rows = ceil(n_units / n_columns)
        self.ax_, self.axes_ = divide(ax, n_rows, n_columns, size, n_units)
        names = shorten_all(names, max(int(width / _LETTER) - 3, 3))  # Between names is room.
        self.images_ = []
        for axes, unit in zip(self.axes_, self.units_, strict=True):
            # Each by its own greatest weight: the pattern counts, the order tells the strength.
            picture = self.weights[:, unit].reshape(self.image_shape)
            picture = picture / (np.abs(picture).max() or 1.0)
            if picture.ndim == 3:
                picture = (picture + 1) / 2
            self.images_.append(axes.imshow(picture, cmap=cmap, vmin=-1, vmax=1))
            axes.set(xticks=[], yticks=[])
        for axes, name in zip(self.axes_, names, strict=False):
            axes.set_title(name, fontsize=10, **VERBATIM)
        if picture.ndim == 3:  # Its colours are its own: grey is zero.
            return
        self.colorbar_ = self.ax_.figure.colorbar(
            self.images_[0], ax=list(self.axes_), ticks=[-1, 0, 1], aspect=6 * n_rows
        )
        self.colorbar_.set_ticklabels(["inhibits", "0", "excites"])

    def _plot_heat_map(self, ax: Any, cmap: str) -> None:
        weights = self.weights[np.ix_(self.features_, self.units_)]
        n_features, n_units = weights.shape
        names = self.feature_names
        labels = [str(f if names is None else names[f]) for f in self.features_]
        labels = shorten_all(labels, _MAX_NAME)
        # Names side by side need room for a line each.
        of_units = min(0.15 * n_units, 8) if self.unit_names is None else 0.2 * n_units
        width = 2.7 + _LETTER * max(map(len, labels)) + max(3, of_units)
        self.ax_, self.axes_ = divide(ax, 1, 1, (width, 1.5 + 0.22 * n_features))
        limit = np.abs(weights).max() or 1.0
        image = self.ax_.imshow(weights, cmap=cmap, vmin=-limit, vmax=limit, aspect="auto")
        self.ax_.set_yticks(range(n_features), labels, **VERBATIM)
        if self.unit_names is not None:
            name_places(self.ax_, shorten_all(self._names(), _MAX_NAME))
            self.ax_.set_xlabel("Output")
        else:
            self.ax_.set(xticks=[], xlabel="Unit")
        self.images_ = [image]
        self.colorbar_ = self.ax_.figure.colorbar(image, ax=self.ax_, label="Weight")


def _feature_names(estimator: Any, network: Any) -> list[str]:
    """Return the names of the features that a network sees."""
    names = getattr(network, "feature_names_in_", None)
    estimator = getattr(estimator, "best_estimator_", estimator)
    if names is None and isinstance(estimator, Pipeline) and len(estimator) > 1:
        try:
            names = estimator[:-1].get_feature_names_out()
        except (AttributeError, ValueError):  # A step that has no names to give.
            names = None
    if names is None:
        names = [f"x{number}" for number in range(network.n_features_in_)]
    return [str(name) for name in names]
