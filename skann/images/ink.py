"""Separating the writing in a picture, as light on dark, from its background."""

import numpy as np
from numpy.typing import NDArray

from skann.images.opening import PictureError

# Share of the strongest ink below which values count as noise of the paper or of JPEG.
_FAINT = 0.15
# Share of the strongest ink at which strokes have their edges.
EDGE = 0.2
# Smallest contrast that counts as writing, in grey values from 0 to 255.
_LEAST_CONTRAST = 8


def ink_of(pixels: NDArray[np.float32], invert: bool | str, name: str) -> NDArray[np.float32]:
    """Remove the background from a grey picture.

    The background is modelled as a plane through the pixels at the edge of the picture, because
    light may fall from one side.

    Parameters
    ----------
    pixels : ndarray of shape (height, width)
        Grey values of the picture.
    invert : bool or "auto"
        Whether the writing is darker than the background; "auto" decides by the total contrast.
    name : str
        Name of the picture in error messages.

    Returns
    -------
    ndarray of shape (height, width)
        Ink: 0 where there is none, and 1 at its strongest.
    """
    paper, noise = _paper(pixels)
    ink = pixels - paper
    beyond = np.abs(ink) > max(4 * noise, _LEAST_CONTRAST)
    if invert == "auto":
        invert = bool(np.sum(ink, where=beyond) < 0)
    if invert:
        np.negative(ink, out=ink)
    strongest = np.max(ink, where=beyond, initial=0)
    if strongest == 0:
        what = {True: " darker", False: " lighter"}[bool(invert)] if beyond.any() else ""
        raise PictureError(f"{name} shows nothing{what} that stands out from its background.")
    ink /= strongest
    ink[ink < max(_FAINT, 4 * noise / strongest)] = 0
    return np.minimum(ink, 1, out=ink)


def written_box(ink: NDArray[np.float32]) -> tuple[slice, slice]:
    """Return the rows and columns that contain writing."""
    is_written = ink >= EDGE
    rows, columns = np.flatnonzero(is_written.any(axis=1)), np.flatnonzero(is_written.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _paper(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Fit a plane to the edge of a picture; return it and the standard deviation from it."""
    height, width = pixels.shape
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    is_edge = np.ones((height, width), bool)
    is_edge[1:-1, 1:-1] = False
    edge_rows, edge_columns = np.nonzero(is_edge)
    terms = np.stack([np.ones(len(edge_rows)), rows[edge_rows], columns[edge_columns]], axis=1)
    values = pixels[is_edge].astype(float)
    # Writing may touch the edge, so start with the median and then exclude outliers.
    plane = np.array([np.median(values), 0, 0])
    for _ in range(4):
        residuals = np.abs(values - terms @ plane)
        noise = 1.4826 * np.median(residuals)
        near = residuals <= max(3 * noise, 0.5)  # Grey values are integers.
        plane = np.linalg.lstsq(terms[near], values[near])[0]
    noise = 1.4826 * np.median(np.abs(values - terms @ plane))
    paper = plane[0] + plane[1] * rows[:, None] + plane[2] * columns
    return paper.astype(np.float32), float(noise)
