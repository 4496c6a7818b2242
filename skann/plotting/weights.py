"""The weights of the first layer."""

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

# Inches of an image at least, and of one with the longest name above it.
_IMAGE, _WIDE_IMAGE = 1.1, 1.8


@dataclass(kw_only=True, eq=False, repr=False)
class WeightsDisplay:
    """The weights of a network's first layer, as images or as a heat map.

    Made by `from_estimator`.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_units)
        The weights. They belong to the inputs as the network sees them: after the steps of a
        Pipeline and after `input_scaling`.
    feature_names : sequence of str
        Names of the features.
    image_shape : tuple of int, default=None
        Height and width, and 3 for colours, of the images that the features are. None: a heat
        map.
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
        The features of a heat map, the strongest first.

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
        max_units: int = 60,
        max_features: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the first layer of a network; of one without hidden layers, the outputs.

        Of several members, it is the first that is drawn.

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
        ax : matplotlib Axes, default=None
            Where to draw; divided if there are several images, so that they are as large as they
            can be. None for a new figure.

        Returns
        -------
        WeightsDisplay
            After its `plot`.
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
        return display.plot(ax, max_units=max_units, max_features=max_features)

    def plot(self, ax: Any = None, *, max_units: int = 60, max_features: int = 30) -> Self:
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

        Returns
        -------
        self : WeightsDisplay
            With its attributes set.
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
        """Return the names of the units to draw, where they have some."""
        names = self.unit_names or [""] * self.weights.shape[1]
        return [shorten(names[int(unit)], n_letters) for unit in self.units_]

    def _plot_images(self, ax: Any, image_shape: tuple[int, ...]) -> None:
        # Each by its own greatest weight: the pattern counts, the order tells the strength.
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
        if not in_colours:  # Those are their own: grey is zero.
            self.colorbar_ = self.ax_.figure.colorbar(self.images_[0], ax=list(self.axes_))
            self.colorbar_.set_ticks([-1, 0, 1], labels=["inhibits", "0", "excites"])

    def _plot_heat_map(self, ax: Any) -> None:
        weights = self.weights[np.ix_(self.features_, self.units_)]
        n_features, n_units = weights.shape
        labels = [shorten(self.feature_names[f], MAX_NAME) for f in self.features_]
        # Names side by side need room for a line each.
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
    """Return the names of the features that a network sees."""
    if hasattr(network, "feature_names_in_"):
        return network.feature_names_in_
    # Not of what is no Pipeline, or has a step without names.
    with suppress(AttributeError, TypeError, ValueError):
        return getattr(estimator, "best_estimator_", estimator)[:-1].get_feature_names_out()
    return [f"x{number}" for number in range(network.n_features_in_)]
