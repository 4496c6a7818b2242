"""Random distortions of images, a batch at a time: for training, as `(inputs, rng) -> inputs`."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skann.engine.kernels import active

# Pixels distorted at a time: few enough for the arrays to stay in the processor's cache.
_CHUNK = 2**18
# Indices of pixels are calculated in float32, which has all integers below 2**24; zeros around an
# image at most double its pixels.
_MOST_PIXELS = 2**22


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, shift, zoom and shear every image at random.

    Each image gets an affine map of its own, about its centre. Values between pixels are
    interpolated bilinearly; what comes from outside of the image is zero. Names and meaning are
    those of torchvision's class of this name, with bilinear interpolation; shifts are not rounded
    to pixels.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width)`` of grey images, ``(height, width, channels)`` of others. A row of
        inputs is such an array, raveled.
    degrees : float or (float, float), default=0
        Range of the rotation in degrees, clockwise; a number `d` is the range ``(-d, d)``.
    translate : float or (float, float), default=0
        Largest shift as a fraction of the image's width and of its height; a number is both.
    scale : (float, float), default=None
        Range of the factor that images are enlarged by; None leaves their size.
    shear : float, (float, float) or (float, float, float, float), default=0
        Range of the shear in degrees. A number `s` is a shear along the x axis in the range
        ``(-s, s)``, two are that range, and two more are the range of a shear along the y axis.

    Raises
    ------
    ValueError
        If a parameter is not as above; when called, if rows do not have as many values as
        `image_shape` says.

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
        # What means the same is stored the same, so that it is equal and has the same hash.
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
                    f"{name} must have the lower end first; got {getattr(self, name)!r}."
                )

    def __call__(self, inputs: NDArray, rng: np.random.Generator) -> NDArray:
        """Distort images.

        Parameters
        ----------
        inputs : ndarray of shape (n_images, n_features)
            The images, float32 or float64. They may be changed in place.
        rng : numpy.random.Generator
            Where the random numbers come from.

        Returns
        -------
        ndarray of shape (n_images, n_features)
            The distorted images.
        """
        return _distort(inputs, self.image_shape, lambda coordinates: self._draw(rng, coordinates))

    def _draw(self, rng: np.random.Generator, coordinates: NDArray) -> None:
        """Draw where the pixels of distorted images come from."""
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
        # Either coordinate is linear in row, column and one.
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

    Each pixel of each image is displaced by ``alpha / 2`` times a field of random numbers,
    independent and uniform between -1 and 1, that a Gaussian of standard deviation `sigma` has
    smoothed [1]_; across and down by fields of their own. Values between pixels are interpolated
    bilinearly; what comes from outside of the image is zero. Names and meaning are those of
    torchvision's class of this name. Displacements have a standard deviation of about
    ``0.08 * alpha / sigma`` pixels.

    Parameters
    ----------
    image_shape : tuple of int
        ``(height, width)`` of grey images, ``(height, width, channels)`` of others. A row of
        inputs is such an array, raveled.
    alpha : float
        Strength of the displacements: two times the factor that [1]_ calls alpha, which was 34 at
        its best, with 4 for `sigma` and images of 29 x 29.
    sigma : float
        Smoothness of the displacements, in pixels.

    Raises
    ------
    ValueError
        If a parameter is not as above; when called, if rows do not have as many values as
        `image_shape` says.

    See Also
    --------
    RandomAffine : Rotate, shift, zoom and shear images.

    Notes
    -----
    Smoothed noise has little but low frequencies, and only those are drawn: all but one percent of
    the variance along each axis.

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
            The images, float32 or float64. They may be changed in place.
        rng : numpy.random.Generator
            Where the random numbers come from.

        Returns
        -------
        ndarray of shape (n_images, n_features)
            The distorted images.
        """
        return _distort(inputs, self.image_shape, lambda coordinates: self._draw(rng, coordinates))

    def _draw(self, rng: np.random.Generator, coordinates: NDArray) -> None:
        """Draw where the pixels of distorted images come from."""
        height, width = self.image_shape[:2]
        _, n_images, _ = coordinates.shape
        dtype = coordinates.dtype
        down = _smoothing_modes(height, self.sigma, dtype)
        across = _smoothing_modes(width, self.sigma, dtype)
        n_modes = across.shape[1]
        noise = rng.random((2 * n_images * down.shape[1], n_modes), dtype=dtype)
        noise -= 0.5
        noise *= self.alpha
        # The coordinates of pixels themselves are two terms more of the same product.
        terms = np.zeros((2, n_images, down.shape[1] + 2, width), dtype)
        terms[:, :, :-2] = (noise @ across.T).reshape(2, n_images, down.shape[1], width)
        terms[0, :, -2] = 1
        terms[1, :, -1] = np.arange(width)
        itself = np.stack([np.arange(height), np.ones(height)], axis=1, dtype=dtype)
        images = coordinates.reshape(2, n_images, height, width)
        np.matmul(np.hstack([down, itself]), terms, out=images)


class _Workspace(NamedTuple):
    """What distorts so many images of a shape, made once as fresh memory is slow at first."""

    coordinates: NDArray  # rows and columns: (2, n_images, height * width)
    interpolate: Callable[[NDArray, NDArray], None]


@lru_cache(maxsize=4)
def _workspace(
    n_images: int, height: int, width: int, dtype: np.dtype, kernels: ModuleType, thread: int
) -> _Workspace:
    """Return the workspace of a thread."""
    return _Workspace(
        np.empty((2, n_images, height * width), dtype),
        kernels.make_interpolation(n_images, height, width, dtype),
    )


def _distort(
    inputs: NDArray, image_shape: tuple[int, ...], draw: Callable[[NDArray], None]
) -> NDArray:
    """Replace images by those at the coordinates that `draw` writes into an array."""
    n_features = math.prod(image_shape)
    if inputs.ndim != 2 or inputs.shape[1] != n_features:
        raise ValueError(
            f"image_shape={image_shape} stands for rows of {n_features} values; got inputs of "
            f"shape {inputs.shape}. Give the height and width of the images in X, and their "
            "channels if they are not grey."
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
    """Return matrices of shape (2, 2, n) that lead from distorted (row, column) to original.

    They undo a shear along x, then one along y, a rotation and a zoom, as torchvision's do.
    """
    cos, sin = np.cos(angle - shear_y) / np.cos(shear_y), np.sin(angle - shear_y) / np.cos(shear_y)
    tan = np.tan(shear_x)
    xx, xy = cos, -cos * tan - np.sin(angle)
    yx, yy = sin, -sin * tan + np.cos(angle)
    # The determinant is 1 without the zoom, so the inverse is the adjugate.
    return np.array([[xx, -yx], [-xy, yy]]) / scale


@lru_cache(maxsize=8)
def _grid(height: int, width: int, dtype: np.dtype) -> NDArray:
    """Return row, column and one for each pixel: what affine maps are linear in."""
    rows, columns = np.indices((height, width)).reshape(2, -1)
    grid = np.stack([rows, columns, np.ones(height * width)]).astype(dtype)
    grid.flags.writeable = False
    return grid


@lru_cache(maxsize=8)
def _smoothing_modes(size: int, sigma: float, dtype: np.dtype) -> NDArray:
    """Return few columns that turn independent noise into what smoothed noise is like.

    Their product with their transpose is that of the smoothing matrix, but for one percent of the
    trace: the same covariance from fewer random numbers and operations.
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
    """Set a field of a frozen dataclass while it is made."""
    object.__setattr__(instance, name, value)


def _image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    is_shape = (
        isinstance(shape, Sequence)
        and len(shape) in (2, 3)
        and all(isinstance(size, Integral) and size > 0 for size in shape)
    )
    if not is_shape:
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), of positive "
            f"integers; got {shape!r}."
        )
    if shape[0] * shape[1] > _MOST_PIXELS:
        raise ValueError(f"image_shape must have at most {_MOST_PIXELS:,} pixels; got {shape!r}.")
    return tuple(int(size) for size in shape)


def _number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must be made of finite numbers; got {value!r}.")
    number = float(value)
    if not least <= number <= most:
        limits = f"at least {least}" + (f" and at most {most}" if math.isfinite(most) else "")
        raise ValueError(f"{name} must be {limits}; got {value!r}.")
    return number


def _numbers(
    name: str, value: Any, lengths: tuple[int, ...], symmetric: bool = False, **limits: float
) -> tuple[float, ...]:
    """Return a parameter as a tuple; a number `a` stands for (a, a), or symmetric for (-a, a)."""
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
