"""Pictures as people would take them, of digits that are light on black."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class OnPaper(NamedTuple):
    """Grey values of paper and ink, and how much brighter the paper is at one side."""

    paper: float
    ink: float
    slope: float = 0

    def picture(self, coverage: NDArray, noise: NDArray | float = 0) -> NDArray[np.uint8]:
        """Return paper with ink where the coverage is 1."""
        paper = self.paper + self.slope * np.linspace(-1, 1, coverage.shape[1])
        values = paper * (1 - coverage) + self.ink * coverage + noise
        return np.uint8(np.clip(values, 0, 255).round())


def enlarged(images: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    """Return images in another size, with smooth edges."""
    from PIL import Image

    bicubic = Image.Resampling.BICUBIC
    return [np.asarray(Image.fromarray(image).resize((size, size), bicubic)) for image in images]


def soft(coverage: NDArray, rng: np.random.Generator, most: float) -> NDArray:
    """Return a blurred picture, in 0 to 1."""
    from scipy import ndimage

    return ndimage.gaussian_filter(coverage.astype(float) / 255, rng.uniform(0, most))


def on_some_paper(coverage: NDArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a digit on grey paper under a lamp, or the negative of that."""
    paper = OnPaper(rng.uniform(170, 240), rng.uniform(0, 80), rng.uniform(-20, 20))
    picture = paper.picture(coverage, rng.normal(0, rng.uniform(0, 3), coverage.shape))
    return 255 - picture if rng.random() < 0.5 else picture


def pasted(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture with a digit somewhere on it, 1 to 6 times as large."""
    scale = rng.uniform(1, 6)
    size = round(scale * len(image))
    height, width = rng.integers(size, 3 * size, 2)
    top, left = rng.integers(0, height - size + 1), rng.integers(0, width - size + 1)
    canvas = np.zeros((height, width))
    canvas[top : top + size, left : left + size] = enlarged([image], size)[0]
    return on_some_paper(soft(canvas, rng, 0.6 * scale), rng)


def line_of(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture of a line of digits, apart from each other but not regular."""
    size = rng.uniform(1, 4) * images.shape[1]
    canvas = np.zeros((int(1.8 * size), int(1.7 * size * len(images))))
    left = int(rng.uniform(0.1, 1) * size)
    for image in images:
        (digit,) = enlarged([image], int(size * rng.uniform(0.85, 1.15)))
        columns = np.flatnonzero(digit.max(axis=0) > 20)
        digit = digit[:, columns[0] : columns[-1] + 1]
        top = int((len(canvas) - len(digit)) / 2 + rng.uniform(-0.07, 0.07) * size)
        canvas[top : top + len(digit), left : left + digit.shape[1]] = digit
        left += digit.shape[1] + int(rng.uniform(0.07, 0.3) * size)
    return on_some_paper(soft(canvas, rng, 0.5 * size / images.shape[1]), rng)


def saved(picture: NDArray[np.uint8], path: Path, rng: np.random.Generator) -> Path:
    """Save a picture as PNG or as JPEG; return its path with the suffix."""
    from PIL import Image

    if rng.random() < 0.5:
        path = path.with_name(f"{path.name}.png")
        Image.fromarray(picture).save(path)
    else:
        path = path.with_name(f"{path.name}.jpg")
        Image.fromarray(picture).save(path, quality=int(rng.integers(60, 96)))
    return path
