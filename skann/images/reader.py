"""`ImageReader`, a transformer from pictures to rows like those of MNIST."""

import math
import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from skann.images.ink import ink_of, written_box
from skann.images.opening import pillow, pixels_of


class ImageReader(TransformerMixin, BaseEstimator):
    """Turn pictures of digits into rows like those of MNIST.

    The reader crops the writing, resizes it to fit into a box without changing its aspect ratio,
    and moves it so that its centre of mass is at the centre of the image. This is how MNIST was
    made. The result is light on dark, with values between 0 and 255. The background is removed,
    even if it is grey or slightly brighter on one side. Resizing uses anti-aliasing.

    The reader has nothing to fit, so a pipeline may put it before a model that is already fitted.

    Parameters
    ----------
    image_shape : tuple of int, default=(28, 28)
        ``(height, width)`` of the images in the rows, or ``(height, width, 3)`` for colour
        images, which need ``center=None``.
    invert : bool or "auto", default="auto"
        Whether to swap light and dark. ``"auto"`` makes the writing light and the background
        dark; with ``center=None`` it swaps nothing.
    box : (int, int), default=(20, 20)
        Height and width of the box that the writing is fitted into. Ignored with ``center=None``.
    center : {"mass", "box"} or None, default="mass"
        What is moved to the centre of the image: the centre of mass of the writing, or the centre
        of the box around it. None keeps pictures as they are and only resizes them to
        `image_shape`.

    See Also
    --------
    split_digits : Find the separate digits in a picture.

    Notes
    -----
    A picture is a path, a file opened in binary mode, a Pillow image or an array. Arrays have the
    shape (height, width), with values from 0 for black to 255 for white or dtype uint16 or bool,
    or the shape (height, width, 3 or 4) and dtype uint8.

    Photographs are rotated as their EXIF data says. Partly transparent pictures are blended with
    white, or with black if their content is light. Pictures with 16 bits or in CMYK are converted.

    The following raise a `PictureError` that names the file: files that are empty, damaged or not
    images; animations; images with more pixels than `PIL.Image.MAX_IMAGE_PIXELS`; and, unless
    ``center=None``, images without any writing.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.images import ImageReader
    >>> paper = np.full((120, 90), 230, dtype=np.uint8)
    >>> paper[20:100, 50:60] = 40  # A pen stroke
    >>> row = ImageReader().transform([paper])[0]
    >>> image = row.reshape(28, 28)
    >>> round(float(image.max(axis=1).sum()) / 255)  # The stroke is 20 pixels high.
    20
    """

    def __init__(
        self,
        image_shape: tuple[int, ...] = (28, 28),
        invert: bool | str = "auto",
        box: tuple[int, int] = (20, 20),
        center: str | None = "mass",
    ) -> None:
        self.image_shape = image_shape
        self.invert = invert
        self.box = box
        self.center = center

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters; there is nothing to fit.

        Parameters
        ----------
        X : object, default=None
            Not used.
        y : object, default=None
            Not used.

        Returns
        -------
        ImageReader
            The reader itself.
        """
        self._check_parameters()
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Read pictures as rows.

        Parameters
        ----------
        X : list or array of pictures
            Paths, files opened in binary mode, Pillow images or arrays, of any size.

        Returns
        -------
        ndarray of shape (n_pictures, n_features)
            One image in each row, with values between 0 and 255.

        Raises
        ------
        PictureError
            If a picture cannot be used; the message names the picture. It is a ValueError.
        ValueError
            If X is one picture or a folder instead of a list of pictures, if X is empty, or if a
            parameter is invalid.
        TypeError
            If an item of X is not a picture, or is a file opened in text mode.
        OSError
            If there is no such file or it cannot be read.
        """
        self._check_parameters()
        pictures = _list_of_pictures(X)
        rows = np.empty((len(pictures), math.prod(self.image_shape)), np.float32)
        for index, picture in enumerate(pictures):
            rows[index] = self._image(picture, f"Picture {index}").ravel()
        return rows

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : object, default=None
            Not used.

        Returns
        -------
        ndarray of str
            ``pixel0``, ``pixel1`` and so on, in the order of the rows of the image.
        """
        return np.array([f"pixel{i}" for i in range(math.prod(self.image_shape))], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        return tags

    def _image(self, picture: Any, name: str) -> NDArray[np.float32]:
        colour = len(self.image_shape) == 3
        pixels, name = pixels_of(picture, name, colour)
        height, width = self.image_shape[:2]
        if self.center is not None:
            ink = ink_of(pixels, self.invert, name)
            fitted = _fit_into(ink, (height, width), self.box, by_mass=self.center == "mass")
            # Thin strokes become faint by resizing, so restore their brightness.
            return fitted * (255 / fitted.max())
        channels = np.moveaxis(np.atleast_3d(pixels), -1, 0)
        whole = (0, 0, pixels.shape[1], pixels.shape[0])
        image = np.stack([_resize(each, (height, width), whole) for each in channels], axis=-1)
        return 255 - image if self.invert is True else image

    def _check_parameters(self) -> None:
        if not _is_shape(self.image_shape) or self.image_shape[2:] not in ((), (3,), [3], []):
            raise ValueError(
                "image_shape must be (height, width) or (height, width, 3), with positive "
                f"integers; got {self.image_shape!r}."
            )
        if self.center not in ("mass", "box", None):
            raise ValueError(f"center must be 'mass', 'box' or None; got {self.center!r}.")
        if self.invert not in (True, False, "auto"):
            raise ValueError(f"invert must be True, False or 'auto'; got {self.invert!r}.")
        if self.center is None:
            return
        if len(self.image_shape) == 3:
            raise ValueError(
                f"image_shape={self.image_shape} is for colour images, which cannot be centred. "
                "Set center=None to read pictures as they are, or leave out the 3."
            )
        is_box = _is_shape(self.box) and len(self.box) == 2
        if not is_box or any(np.greater(self.box, self.image_shape)):
            raise ValueError(
                "box must be (height, width), with positive integers no larger than those of "
                f"image_shape={self.image_shape}; got {self.box!r}."
            )


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) in (2, 3)
        and all(isinstance(size, int | np.integer) and size > 0 for size in value)
    )


def _list_of_pictures(X: Any) -> Any:
    """Return X as a sequence of pictures; raise an error if it is no list or an empty one."""
    example = None
    if isinstance(X, str | os.PathLike):
        if os.path.isdir(X):
            raise ValueError(
                f"{os.fspath(X)!r} is a folder. Pass a list of its pictures, for example "
                f"sorted(pathlib.Path({os.fspath(X)!r}).glob('*.png'))."
            )
        example = f"[{os.fspath(X)!r}]"
    elif hasattr(X, "read") or isinstance(X, pillow().Image):
        example = "[picture]"
    elif hasattr(X, "__array__"):
        X = np.asarray(X)
        if X.dtype.kind in "OUST" and X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]  # A single column of a table
        elif X.ndim == 2 or (X.ndim == 3 and X.shape[2] in (3, 4)):
            example = "[array]"
    if example is not None:
        raise ValueError(
            f"Expected a list of pictures; got what looks like a single one. Pass {example}."
        )
    pictures = X if hasattr(X, "__len__") else list(X)
    if len(pictures) == 0:
        raise ValueError("Expected at least one picture; got none.")
    return pictures


def _fit_into(
    ink: NDArray[np.float32], image_shape: tuple[int, int], box: tuple[int, int], by_mass: bool
) -> NDArray[np.float32]:
    """Return an image with the writing resized and moved to its place."""
    rows, columns = written_box(ink)
    written = ink[rows, columns]
    height, width = written.shape
    scale = max(height / box[0], width / box[1])
    row, column = _centre_of_mass(written) if by_mass else (height / 2, width / 2)
    # MNIST has the centre of mass in the middle of pixel `size // 2`, not between two pixels.
    to_row, to_column = (size // 2 + 0.5 if by_mass else size / 2 for size in image_shape)
    # Pillow can crop only inside an image, so add enough background around the writing.
    seen_height, seen_width = scale * image_shape[0], scale * image_shape[1]
    around = math.ceil(max(seen_height, seen_width))
    padded = np.pad(written, around)
    top, left = around + row - scale * to_row, around + column - scale * to_column
    return _resize(padded, image_shape, (left, top, left + seen_width, top + seen_height))


def _centre_of_mass(ink: NDArray[np.float32]) -> tuple[float, float]:
    """Return (row, column) of the centre of mass, where the first pixel extends from 0 to 1."""
    weights = ink.astype(float)
    row = np.average(np.arange(ink.shape[0]) + 0.5, weights=weights.sum(axis=1))
    column = np.average(np.arange(ink.shape[1]) + 0.5, weights=weights.sum(axis=0))
    return float(row), float(column)


def _resize(
    pixels: NDArray[np.float32],
    shape: tuple[int, int],
    window: tuple[float, float, float, float],
) -> NDArray[np.float32]:
    """Return a window (left, top, right, bottom) of the pixels, resized to a shape."""
    Image = pillow()
    # Pillow's filters widen when an image shrinks, so no pixels are skipped.
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        shape[::-1], Image.Resampling.BILINEAR, window
    )
    return np.asarray(image)
