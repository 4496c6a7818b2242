"""Plot of the weights of the first layer."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skann.plotting.common import (
    DIVERGING,
    LETTER,
    MAX_NAME,
    VERBATIM,
    check_image_shape,
    check_length,
    divide,
    draw_images,
    fitted_network,
    name_places,
    set_title,
    shorten,
    strongest,
)

# Minimum width of an image in inches, and width of an image with the longest name above it.
_IMAGE, _WIDE_IMAGE = 1.1, 1.8


@dataclass(kw_only=True, eq=False, repr=False)
class WeightsDisplay:
    """Plot of the weights of a network's first layer, as images or as a heat map.

    Created by `from_estimator`.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_units)
        The weights. They apply to the inputs as the network sees them: after the earlier steps of
        a Pipeline and after `input_scaling`.
    feature_names : sequence of str
        Names of the features.
    image_shape : tuple of int, default=None
        Shape of the images that the features form: ``(height, width)``, or ``(height, width, 3)``
        for colour images. None for a heat map.
    unit_names : sequence of str, default=None
        Names of the units; None for units without names. Units with names keep their order.
        Other units are ordered by the norm of their weights, largest first.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that `plot` has drawn on; with images they are divided into `axes_`.
    axes_ : ndarray of matplotlib Axes
        The panels, one for each image.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    images_ : list of matplotlib AxesImage
        The image of each unit, or the single heat map.
    colorbar_ : matplotlib Colorbar or None
        Legend of the colours; None for colour images.
    title_ : matplotlib Text
        The title.
    units_ : ndarray of int
        Indices of the units drawn, in this order.
    features_ : ndarray of int
        Indices of the features in a heat map, largest norm of their weights first.

    See Also
    --------
    MisclassifiedDisplay : Samples that a classifier gets wrong.

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

    weights: NDArray
    feature_names: Sequence[str]
    image_shape: tuple[int, ...] | None = None
    unit_names: Sequence[str] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        feature_names: Sequence[str] | None = None,
        feature_scale: ArrayLike | None = None,
        **plot_options: Any,
    ) -> Self:
        """Draw the first layer of a network; without hidden layers, that is the output layer.

        Of several members, it is the first that is drawn.

        Parameters
        ----------
        estimator : ANNClassifier, Pipeline or search
            Fitted classifier, Pipeline that ends in one, or search with such a
            `best_estimator_`.
        image_shape : tuple of int, default=None
            Shape of the images that the features form: ``(height, width)``, or
            ``(height, width, 3)`` for colour images. None for a heat map.
        feature_names : sequence of str, default=None
            Names of the features for the heat map. None for the names that the classifier was
            fitted with, or that the earlier steps return.
        feature_scale : array-like of shape (n_features,), default=None
            Factor for the weights of each feature. With the standard deviations of the features,
            the plot shows how much each of them contributes. Without it, a feature that hardly
            varies shows its random initial weights.
        **plot_options : dict
            Options of `plot`, by name: `max_units` (default 60), `max_features` (default 30) and
            `ax`.

        Returns
        -------
        WeightsDisplay
            The display, after its `plot` method was called.
        """
        network = fitted_network(estimator, cls.__name__)
        if network._model.network.architecture.embedding is not None:
            raise ValueError(
                "The classifier embeds its numbers, so the weights of its first layer belong to"
                " several inputs for each feature. Fit it with numerical_embedding=None to see"
                " weights of features."
            )
        weights = np.array(network.coefs_[0])
        check_image_shape(image_shape, len(weights))
        names = _feature_names(estimator, network) if feature_names is None else feature_names
        check_length("feature_names", names, len(weights), "feature")
        if feature_scale is not None:
            check_length("feature_scale", feature_scale, len(weights), "feature")
            weights = weights * np.reshape(feature_scale, (-1, 1))
        classes = list(map(str, network.classes_))
        display = cls(
            weights=weights,
            feature_names=list(map(str, names)),
            image_shape=image_shape,
            unit_names=classes[-network.n_outputs_ :] if network.n_layers_ == 2 else None,
        )
        return display.plot(**plot_options)

    def plot(self, ax: Any = None, *, max_units: int = 60, max_features: int = 30) -> Self:
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. With several images they are divided, so that the images are as large
            as possible. None for a new figure.
        max_units : int, default=60
            Maximum number of units to draw.
        max_features : int, default=30
            Maximum number of features to draw in a heat map.

        Returns
        -------
        self : WeightsDisplay
            The display, with its attributes set.
        """
        check_scalar(max_units, "max_units", Integral, min_val=1)
        check_scalar(max_features, "max_features", Integral, min_val=1)
        self.colorbar_: Any = None
        n_units = self.weights.shape[1]
        by_strength = strongest(self.weights, 0)
        self.units_ = (by_strength if self.unit_names is None else np.arange(n_units))[:max_units]
        self.features_ = strongest(self.weights, 1)[:max_features]
        if self.image_shape is None:
            self._plot_heat_map(ax)
        else:
            self._plot_images(ax, self.image_shape)
        self.figure_ = self.ax_.figure
        some = f"{len(self.units_)} of " if len(self.units_) < n_units else ""
        what = ("unit" if self.unit_names is None else "output") + ("s" if n_units > 1 else "")
        title = f"Weights of {some}{n_units} {what}"
        title += " of the first layer, the strongest first" if self.unit_names is None else ""
        self.title_ = set_title(self.ax_, self.axes_, title)
        return self

    def _names(self, n_letters: int) -> list[str]:
        """Return the names of the units to draw, or empty names."""
        names = self.unit_names or [""] * self.weights.shape[1]
        return [shorten(names[int(unit)], n_letters) for unit in self.units_]

    def _plot_images(self, ax: Any, image_shape: tuple[int, ...]) -> None:
        # Scale each image by its own largest weight; the order shows the strength.
        weights = self.weights[:, self.units_]
        pictures = (weights / np.maximum(np.abs(weights).max(axis=0), np.finfo(float).tiny)).T
        in_colours = len(image_shape) == 3
        if in_colours:
            pictures = (pictures + 1) / 2
        longest = max(map(len, self._names(MAX_NAME)))
        size = min(max(_IMAGE, LETTER * (longest + 3)), _WIDE_IMAGE), 1.2 if longest else 1.0
        pictures = pictures.reshape(-1, *image_shape)
        self.ax_, self.axes_, self.images_ = draw_images(
            ax, pictures, self._names, size, cmap=DIVERGING, clim=(-1, 1)
        )
        if not in_colours:  # Colour images show their own colours, with grey for zero.
            self.colorbar_ = self.ax_.figure.colorbar(self.images_[0], ax=list(self.axes_))
            self.colorbar_.set_ticks([-1, 0, 1], labels=["inhibits", "0", "excites"])

    def _plot_heat_map(self, ax: Any) -> None:
        weights = self.weights[np.ix_(self.features_, self.units_)]
        n_features, n_units = weights.shape
        labels = [shorten(self.feature_names[f], MAX_NAME) for f in self.features_]
        # Names of units are written vertically: each of them takes the height of a line.
        width = 2.7 + LETTER * max(map(len, labels)) + max(3, 0.16 * n_units)
        self.ax_, self.axes_ = divide(ax, 1, 1, (width, 1.5 + 0.22 * n_features))
        limit = np.abs(weights).max() or 1.0
        image = self.ax_.imshow(weights, cmap=DIVERGING, clim=(-limit, limit), aspect="auto")
        self.images_ = [image]
        self.colorbar_ = self.ax_.figure.colorbar(image, ax=self.ax_, label="Weight")
        self.ax_.set_yticks(range(n_features), labels, **VERBATIM)
        if self.unit_names is None:
            self.ax_.set(xticks=[], xlabel="Unit")
        else:
            name_places(self.ax_, self._names(MAX_NAME))
            self.ax_.set_xlabel("Output")


def _feature_names(estimator: Any, network: Any) -> Sequence[str]:
    """Return the names of the features that the network sees."""
    if hasattr(network, "feature_names_in_"):
        return network.feature_names_in_
    # This fails for estimators other than pipelines, and for steps without feature names.
    with suppress(AttributeError, TypeError, ValueError):
        return getattr(estimator, "best_estimator_", estimator)[:-1].get_feature_names_out()
    return [f"x{number}" for number in range(network.n_features_in_)]
