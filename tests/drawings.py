"""Drawings of digits."""

import numpy as np
from scipy import ndimage

SIZE = 560  # pixels of a side of the page's drawings


def _arc(center, radii, start, end):
    """Return points of an ellipse; angles in degrees, clockwise, from the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return (np.array(center) + np.array(radii) * np.c_[np.cos(angles), np.sin(angles)]).tolist()


# The lines of each digit: points (x, y) in the unit square, y downwards.
LINES = [
    [_arc((0.5, 0.5), (0.32, 0.45), -90, 270)],
    [[(0.5, 0.05), (0.5, 0.95)]],
    [[*_arc((0.48, 0.28), (0.26, 0.23), -170, 20), (0.22, 0.93), (0.8, 0.93)]],
    [_arc((0.45, 0.27), (0.27, 0.21), -150, 90) + _arc((0.45, 0.71), (0.31, 0.23), -90, 150)],
    [[(0.25, 0.05), (0.2, 0.5), (0.75, 0.5)], [(0.75, 0.05), (0.72, 0.95)]],
    [[(0.32, 0.07), (0.28, 0.45), *_arc((0.45, 0.66), (0.3, 0.27), -115, 150)],
     [(0.32, 0.07), (0.75, 0.07)]],
    [[(0.62, 0.05), (0.35, 0.35), *_arc((0.48, 0.7), (0.24, 0.24), 180, -190)]],
    [[(0.2, 0.08), (0.8, 0.08), (0.42, 0.95)]],
    [_arc((0.5, 0.28), (0.22, 0.22), 90, 450) + _arc((0.5, 0.73), (0.27, 0.23), -90, 270)],
    [[*_arc((0.48, 0.3), (0.24, 0.24), 0, -360), (0.7, 0.4), (0.6, 0.95)]],
]  # fmt: skip


def enlarged(images, seed=0):
    """Paste images, light on dark, into large drawings, at random places and sizes."""
    rng = np.random.default_rng(seed)
    drawings = np.zeros((len(images), SIZE, SIZE), np.uint8)
    for drawing, image in zip(drawings, images, strict=True):
        large = ndimage.zoom(image.astype(float), rng.uniform(150, SIZE) / len(image), order=1)
        top, left = rng.integers(SIZE - len(large), size=2, endpoint=True)
        drawing[top : top + len(large), left : left + len(large)] = large.clip(0, 255)
    return drawings
