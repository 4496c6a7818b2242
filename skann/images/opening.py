"""Opening pictures in any form as arrays of pixels between 0 and 255."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PictureError(ValueError):
    """Error for a picture that cannot be used; the message names the picture and the reason.

    Catch it to skip unusable pictures of a folder.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.images import ImageReader, PictureError
    >>> pictures = [np.eye(9) * 255, np.full((9, 9), np.nan)]
    >>> for picture in pictures:
    ...     try:
    ...         print("Read as a row of shape", ImageReader().transform([picture]).shape)
    ...     except PictureError as error:
    ...         print("Skipped:", error)
    Read as a row of shape (1, 784)
    Skipped: Picture 0 has NaN or infinite pixels. Replace them by values from 0 to 255.
    """


def pillow() -> Any:
    """Import Pillow's `Image` module; Pillow is an optional dependency, the extra `images`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Reading images needs Pillow: python -m pip install pillow") from error
    return Image


def pixels_of(picture: Any, name: str, colour: bool = False) -> tuple[NDArray[np.float32], str]:
    """Read the pixels of a picture.

    Parameters
    ----------
    picture : path, binary file, Pillow image or array
        The picture.
    name : str
        Name in error messages, if the picture has none of its own.
    colour : bool, default=False
        Whether to return three channels instead of grey values.

    Returns
    -------
    pixels : ndarray of shape (height, width) or (height, width, 3)
        Pixels, from 0 for black to 255 for white.
    name : str
        Name of the picture in error messages.
    """
    if isinstance(picture, str | os.PathLike):
        name = os.fspath(picture)
        with open(name, "rb") as file:
            return _from_file(file, name, colour), name
    if isinstance(picture, pillow().Image):
        name = getattr(picture, "filename", "") or name
        with _naming_errors(name):
            return _from_image(picture, name, colour), name
    if hasattr(picture, "read"):
        of_file = getattr(picture, "name", "")
        name = of_file if isinstance(of_file, str) and of_file else name
        return _from_file(picture, name, colour), name
    if hasattr(picture, "__array__"):
        return _from_array(np.asarray(picture), name, colour), name
    raise TypeError(
        f"{name} must be a path, a binary file, a Pillow image or an array; got "
        f"{type(picture).__name__}."
    )


@contextmanager
def _naming_errors(name: str) -> Iterator[None]:
    """Turn any error that Pillow raises for a bad file into an error that names the file."""
    Image = pillow()
    try:
        yield
    except (PictureError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except Image.UnidentifiedImageError as error:
        raise PictureError(f"{name} is not an image of a format that Pillow reads.") from error
    except Exception as error:  # Decoders raise many types of errors for damaged data.
        raise PictureError(f"{name} is broken: {error}.") from error


def _too_large(name: str) -> PictureError:
    return PictureError(
        f"{name} is too large: it has more than {pillow().MAX_IMAGE_PIXELS:,} pixels. Make it "
        "smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
    )


def _from_file(file: Any, name: str, colour: bool) -> NDArray[np.float32]:
    if isinstance(file.read(0), str):
        raise TypeError(f"{name} is open as text; open it in binary mode, as in open(path, 'rb').")
    if file.seekable():
        if file.seek(0, os.SEEK_END) == 0:
            raise PictureError(f"{name} is empty: a file of 0 bytes.")
        file.seek(0)
    with _naming_errors(name), pillow().open(file) as image:
        return _from_image(image, name, colour)


def _from_image(image: Any, name: str, colour: bool) -> NDArray[np.float32]:
    from PIL import ImageOps

    most = pillow().MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        raise _too_large(name)
    # Phones save photographs as MPO: a JPEG followed by more pictures of the same scene.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise PictureError(
            f"{name} has {image.n_frames} frames. Choose one with Pillow: image.seek(0), then pass "
            "image.copy()."
        )
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise PictureError(
            f"{name} has floating-point pixels, whose range is unknown. Pass an array with values "
            "from 0 for black to 255 for white."
        )
    if image.mode.startswith("I"):
        grey = _from_sixteen_bits(np.asarray(image), name)
        return np.stack([grey] * 3, axis=-1) if colour else grey
    if image.has_transparency_data:
        image = _on_paper(image.convert("RGBA"))
    return np.asarray(image.convert("RGB" if colour else "L"), np.float32)


def _on_paper(image: Any) -> Any:
    """Blend a partly transparent picture with white, or with black if its content is light."""
    Image = pillow()
    grey, opacity = (np.asarray(image.convert("LA"), float)[..., i] for i in (0, 1))
    is_light = np.sum(grey * opacity) > 127.5 * np.sum(opacity)
    paper = Image.new("RGBA", image.size, (0, 0, 0, 255) if is_light else (255,) * 4)
    return Image.alpha_composite(paper, image)


def _from_sixteen_bits(pixels: NDArray, name: str) -> NDArray[np.float32]:
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65_535):
        raise PictureError(
            f"{name} has pixels of more than 16 bits, from {pixels.min()} to {pixels.max()}. "
            "Convert it to 8 or 16 bits."
        )
    return pixels.astype(np.float32) / np.float32(257)


def _from_array(pixels: NDArray, name: str, colour: bool) -> NDArray[np.float32]:
    if pixels.size == 0:
        raise PictureError(f"{name} is an array without pixels, of shape {pixels.shape}.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8:
        return _from_image(pillow().fromarray(pixels), name, colour)
    if pixels.ndim != 2 or pixels.dtype.kind not in "buif":
        raise PictureError(
            f"{name} is an array of shape {pixels.shape} and dtype {pixels.dtype}. Pass an array "
            "of shape (height, width) with numbers, or (height, width, 3 or 4) with dtype uint8."
        )
    if not np.isfinite(pixels).all():
        raise PictureError(
            f"{name} has NaN or infinite pixels. Replace them by values from 0 to 255."
        )
    if pixels.dtype == np.uint16:
        grey = _from_sixteen_bits(pixels, name)
    else:
        grey = pixels.astype(np.float32) * (255 if pixels.dtype == bool else 1)
    return np.stack([grey] * 3, axis=-1) if colour else grey
