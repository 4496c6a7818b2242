"""Random distortions of images, applied to each training batch as `(inputs, rng) -> inputs`."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skann.engine.kernels import active

# Pixels to distort at a time: few enough for the arrays to stay in the processor's cache.
_CHUNK = 2**18
# Pixel indices are computed in float32, which represents all integers up to 2**24 exactly. The
# zeros around an image at most double its number of pixels.
_MOST_PIXELS = 2**22


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, shift, zoom and shear every image at random.

    Each image gets its own affine map about its centre. Values between pixels are interpolated
    bilinearly, and pixels from outside of the image are zero. Parameters have the names and
    meaning of those of torchvision's class of the same name, but shifts are not rounded to pixels.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width)`` of grey images, or ``(height, width, channels)``. A row of the inputs
        is such an array, flattened.
    degrees : float or (float, float), default=0
        Range of the clockwise rotation in degrees. A number `d` means the range ``(-d, d)``.
    translate : float or (float, float), default=0
        Largest shift as a fraction of the image's width and of its height. A number applies to
        both.
    scale : (float, float), default=None
        Range of the zoom factor; None for no zoom.
    shear : float, (float, float) or (float, float, float, float), default=0
        Range of the shear in degrees. A number `s` means the range ``(-s, s)`` along the x axis.
        Two numbers are a range along the x axis, and two more a range along the y axis.

    Raises
    ------
    ValueError
        If a parameter is invalid. When called, if the number of values in a row does not match
        `image_shape`.

    See Also
    --------
    ElasticTransform : Distort the shapes in images.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.images import RandomAffine
    >>> distort = RandomAffine(image_shape=(28, 28), degrees=10, translate=0.1, scale=(0.9, 1.1))
    >>> rng = np.random.default_rng(0)
    >>> inputs = rng.random((256, 784), dtype=np.float32)
    >>> distort(inputs, rng).shape
    (256, 784)
    """

    image_shape: tuple[int, ...]
    degrees: Any = 0
    translate: Any = 0
    scale: Any = None
    shear: Any = 0

    def __post_init__(self) -> None:
        # Equivalent parameters are stored in one form, so that they are equal and hash equally.
        _set(self, "image_shape", _image_shape(self.image_shape))
        _set(self, "degrees", _numbers("degrees", self.degrees, (2,), symmetric=True))
        translate = _numbers("translate", self.translate, (2,), least=0, most=1)
        _set(self, "translate", translate)
        if self.scale is not None:
            _set(self, "scale", _numbers("scale", self.scale, (2,)))
            if self.scale[0] <= 0:
                raise ValueError(f"scale must be above 0; got {self.scale!r}.")
        shear = _numbers("shear", self.shear, (2, 4), symmetric=True)
        _set(self, "shear", shear if len(shear) == 4 else (*shear, 0.0, 0.0))
        if not all(-90 < angle < 90 for angle in self.shear):
            raise ValueError(f"shear must be above -90 and below 90 degrees; got {self.shear!r}.")
        for name, ends in (
            ("degrees", self.degrees),
            ("scale", self.scale or (1, 1)),
            ("shear", self.shear[:2]),
            ("shear", self.shear[2:]),
        ):
            if ends[0] > ends[1]:
                raise ValueError(
                    f"{name} must start with the lower end; got {getattr(self, name)!r}."
                )

    def __call__(self, inputs: NDArray, rng: np.random.Generator) -> NDArray:
        """Distort images.

        Parameters
        ----------
        inputs : ndarray of shape (n_images, n_features)
            The images, in float32 or float64. They may be changed in place.
        rng : numpy.random.Generator
            Random number generator.

        Returns
        -------
        ndarray of shape (n_images, n_features)
            The distorted images.
        """
        return _distort(inputs, self.image_shape, lambda coordinates: self._draw(rng, coordinates))

    def _draw(self, rng: np.random.Generator, coordinates: NDArray) -> None:
        """Draw the coordinates that the pixels of the distorted images are sampled from."""
        height, width = self.image_shape[:2]
        across, down = width * self.translate[0], height * self.translate[1]
        scale_from, scale_to = self.scale or (1, 1)
        from_x, to_x, from_y, to_y = self.shear
        lowest = [self.degrees[0], -across, -down, scale_from, from_x, from_y]
        highest = [self.degrees[1], across, down, scale_to, to_x, to_y]
        _, n_images, _ = coordinates.shape
        draws = rng.uniform(lowest, highest, (n_images, len(lowest))).T
        degrees, right, lower, scale, shear_x, shear_y = draws
        maps = _inverse_maps(np.radians(degrees), scale, np.radians(shear_x), np.radians(shear_y))
        row, column = (height - 1) / 2, (width - 1) / 2
        # Each coordinate is a linear function of row, column and one.
        coefficients = np.empty((2, n_images, 3), coordinates.dtype)
        for centre, (by_row, by_column), terms in zip(
            (row, column), maps, coefficients, strict=True
        ):
            terms[:, 0] = by_row
            terms[:, 1] = by_column
            terms[:, 2] = centre - by_row * (lower + row) - by_column * (right + column)
        grid = _grid(height, width, coefficients.dtype)
        np.matmul(coefficients, grid, out=coordinates)


@dataclass(frozen=True)
class ElasticTransform:
    """Distort the shapes in images by random, smooth displacements.

    Each pixel is displaced by ``alpha / 2`` times the value of a random field, which consists of
    independent uniform numbers between -1 and 1, smoothed by a Gaussian of standard deviation
    `sigma` [1]_. Horizontal and vertical displacements have separate fields for each image. Values
    between pixels are interpolated bilinearly, and pixels from outside of the image are zero.
    Parameters have the names and meaning of those of torchvision's class of the same name.
    Displacements have a standard deviation of about ``0.08 * alpha / sigma`` pixels.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width)`` of grey images, or ``(height, width, channels)``. A row of the inputs
        is such an array, flattened.
    alpha : float
        Strength of the displacements. It is twice the factor called alpha in [1]_, whose best
        value was 34, with a `sigma` of 4 and images of 29 x 29 pixels.
    sigma : float
        Smoothness of the displacements: standard deviation of the Gaussian, in pixels.

    Raises
    ------
    ValueError
        If a parameter is invalid. When called, if the number of values in a row does not match
        `image_shape`.

    See Also
    --------
    RandomAffine : Rotate, shift, zoom and shear images.

    Notes
    -----
    Smoothed noise consists almost only of low frequencies. Only those are drawn: they account
    for 99 % of the variance along each axis.

    References
    ----------
    .. [1] P. Simard, D. Steinkraus and J. Platt, "Best practices for convolutional neural networks
       applied to visual document analysis", ICDAR 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.images import ElasticTransform
    >>> distort = ElasticTransform(image_shape=(28, 28), alpha=68, sigma=4)
    >>> rng = np.random.default_rng(0)
    >>> inputs = rng.random((256, 784), dtype=np.float32)
    >>> distort(inputs, rng).shape
    (256, 784)
    """

    image_shape: tuple[int, ...]
    alpha: float
    sigma: float

    def __post_init__(self) -> None:
        _set(self, "image_shape", _image_shape(self.image_shape))
        _set(self, "alpha", _number("alpha", self.alpha, least=0))
        _set(self, "sigma", _number("sigma", self.sigma))
        if self.sigma <= 0:
            raise ValueError(f"sigma must be above 0; got {self.sigma!r}.")

    def __call__(self, inputs: NDArray, rng: np.random.Generator) -> NDArray:
        """Distort images.

        Parameters
        ----------
        inputs : ndarray of shape (n_images, n_features)
            The images, in float32 or float64. They may be changed in place.
        rng : numpy.random.Generator
            Random number generator.

        Returns
        -------
        ndarray of shape (n_images, n_features)
            The distorted images.
        """
        return _distort(inputs, self.image_shape, lambda coordinates: self._draw(rng, coordinates))

    def _draw(self, rng: np.random.Generator, coordinates: NDArray) -> None:
        """Draw the coordinates that the pixels of the distorted images are sampled from."""
        height, width = self.image_shape[:2]
        _, n_images, _ = coordinates.shape
        dtype = coordinates.dtype
        down = _smoothing_modes(height, self.sigma, dtype)
        across = _smoothing_modes(width, self.sigma, dtype)
        n_modes = across.shape[1]
        noise = rng.random((2 * n_images * down.shape[1], n_modes), dtype=dtype)
        noise -= 0.5
        noise *= self.alpha
        # Two more terms in the same product add the coordinates of the pixels themselves.
        terms = np.zeros((2, n_images, down.shape[1] + 2, width), dtype)
        terms[:, :, :-2] = (noise @ across.T).reshape(2, n_images, down.shape[1], width)
        terms[0, :, -2] = 1
        terms[1, :, -1] = np.arange(width)
        itself = np.stack([np.arange(height), np.ones(height)], axis=1, dtype=dtype)
        images = coordinates.reshape(2, n_images, height, width)
        np.matmul(np.hstack([down, itself]), terms, out=images)


# Kept because new memory is slow at first use.
@lru_cache(maxsize=4)
def _workspace(
    n_images: int, height: int, width: int, dtype: np.dtype, kernels: ModuleType, thread: int
) -> tuple[NDArray, Callable[[NDArray, NDArray], None]]:
    """Return a thread's array of coordinates and its interpolation for images of one shape."""
    coordinates = np.empty((2, n_images, height * width), dtype)  # rows and columns
    return coordinates, kernels.make_interpolation(n_images, height, width, dtype)


def _distort(
    inputs: NDArray, image_shape: tuple[int, ...], draw: Callable[[NDArray], None]
) -> NDArray:
    """Resample images in place at the coordinates that `draw` writes into an array."""
    n_features = math.prod(image_shape)
    if inputs.ndim != 2 or inputs.shape[1] != n_features:
        raise ValueError(
            f"image_shape={image_shape} means rows of {n_features} values; got inputs of "
            f"shape {inputs.shape}. Set image_shape to the height and width of the images in X, "
            "and their number of channels if they are not grey."
        )
    height, width = image_shape[:2]
    images = inputs.reshape(len(inputs), height, width, n_features // (height * width))
    n_chunks = math.ceil(len(images) * height * width / _CHUNK)
    shape_and_thread = height, width, inputs.dtype, active(), threading.get_ident()
    for chunk in np.array_split(images, max(1, min(n_chunks, len(images)))):
        coordinates, interpolate = _workspace(len(chunk), *shape_and_thread)
        draw(coordinates)
        interpolate(chunk, coordinates)
    return images.reshape(inputs.shape)


def _inverse_maps(angle: NDArray, scale: NDArray, shear_x: NDArray, shear_y: NDArray) -> NDArray:
    """Return matrices of shape (2, 2, n) that map distorted (row, column) to the original.

    They undo a shear along x, a shear along y, a rotation and a zoom, in torchvision's order.
    """
    cos, sin = np.cos(angle - shear_y) / np.cos(shear_y), np.sin(angle - shear_y) / np.cos(shear_y)
    tan = np.tan(shear_x)
    xx, xy = cos, -cos * tan - np.sin(angle)
    yx, yy = sin, -sin * tan + np.cos(angle)
    # The determinant is 1 without the zoom, so the inverse is the adjugate.
    return np.array([[xx, -yx], [-xy, yy]]) / scale


@lru_cache(maxsize=8)
def _grid(height: int, width: int, dtype: np.dtype) -> NDArray:
    """Return row, column and one for each pixel, the terms that affine maps are linear in."""
    rows, columns = np.indices((height, width)).reshape(2, -1)
    grid = np.stack([rows, columns, np.ones(height * width)]).astype(dtype)
    grid.flags.writeable = False
    return grid


@lru_cache(maxsize=8)
def _smoothing_modes(size: int, sigma: float, dtype: np.dtype) -> NDArray:
    """Return a matrix with few columns that turns independent noise into smoothed noise.

    Its product with its own transpose equals that of the smoothing matrix, except for one percent
    of the trace. The noise has the same covariance, with fewer random numbers and operations.
    """
    from scipy.ndimage import gaussian_filter1d

    smoothing = gaussian_filter1d(np.eye(size), sigma, axis=0, mode="mirror")
    modes, values, _ = np.linalg.svd(smoothing)
    kept = np.cumsum(values**2) / np.sum(values**2)
    n_modes = int(np.searchsorted(kept, 0.99)) + 1
    modes = (modes[:, :n_modes] * values[:n_modes]).astype(dtype)
    modes.flags.writeable = False
    return modes


def _set(instance: object, name: str, value: object) -> None:
    """Set a field of a frozen dataclass during its initialisation."""
    object.__setattr__(instance, name, value)


def _image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    is_shape = (
        isinstance(shape, Sequence)
        and len(shape) in (2, 3)
        and all(isinstance(size, Integral) and size > 0 for size in shape)
    )
    if not is_shape:
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), with positive "
            f"integers; got {shape!r}."
        )
    if shape[0] * shape[1] > _MOST_PIXELS:
        raise ValueError(f"image_shape must have at most {_MOST_PIXELS:,} pixels; got {shape!r}.")
    return tuple(int(size) for size in shape)


def _number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must consist of finite numbers; got {value!r}.")
    number = float(value)
    if not least <= number <= most:
        limits = f"at least {least}" + (f" and at most {most}" if math.isfinite(most) else "")
        raise ValueError(f"{name} must be {limits}; got {value!r}.")
    return number


def _numbers(
    name: str, value: Any, lengths: tuple[int, ...], symmetric: bool = False, **limits: float
) -> tuple[float, ...]:
    """Return a parameter as a tuple; a number `a` means (a, a), or (-a, a) if symmetric."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) not in lengths:
            some = " or ".join(map(str, lengths))
            raise ValueError(f"{name} must have {some} numbers; got {value!r}.")
        return tuple(_number(name, number, **limits) for number in value)
    if symmetric:
        number = _number(name, value, least=0)
        return -number, number
    number = _number(name, value, **limits)
    return number, number
