"""Finding the separate digits in a picture, in reading order."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skann.images.ink import EDGE, ink_of
from skann.images.opening import pixels_of

# Marks smaller than this share of the tallest digit's height are dirt or punctuation.
_SMALLEST = 0.2
# Pens leave gaps. A mark belongs to a digit if it is lower than the first share of the digit's
# height, if their vertical distance is at most the second share of that height, and if they
# overlap horizontally by the third share of the narrower one's width.
_PART_HEIGHT, _PART_DISTANCE, _PART_OVERLAP = 0.7, 0.25, 0.2


class _Box(NamedTuple):
    """A box around marks in Pillow's convention: right and bottom are just outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def union(self, other: "_Box") -> "_Box":
        return _Box(*np.minimum(self[:2], other[:2]), *np.maximum(self[2:], other[2:]))


def split_digits(
    image: Any, *, invert: bool | str = "auto", return_boxes: bool = False
) -> list[NDArray[np.uint8]] | tuple[list[NDArray[np.uint8]], NDArray[np.intp]]:
    """Find the separate digits of a picture, line by line and from left to right.

    A digit is a connected stroke, together with parts that belong to it, such as the bar of a 5
    that does not touch the rest. Digits that touch each other are not separated. Dirt and
    punctuation are left out.

    Parameters
    ----------
    image : path, binary file, Pillow image or array
        The picture, in any form that `ImageReader` reads.
    invert : bool or "auto", default="auto"
        Whether the digits are darker than the background; "auto" detects it.
    return_boxes : bool, default=False
        Whether to return the positions of the digits as well.

    Returns
    -------
    digits : list of ndarray of shape (height, width)
        One image for each digit, light on black, which `ImageReader` can read.
    boxes : ndarray of shape (n_digits, 4)
        Left, top, right and bottom of each digit in Pillow's convention: right and bottom are the
        first column and row outside of the digit. Only returned with `return_boxes`.

    Raises
    ------
    PictureError
        If the picture cannot be used or is empty.

    See Also
    --------
    ImageReader : Turn pictures of digits into rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.images import split_digits
    >>> paper = np.full((60, 100), 255, dtype=np.uint8)
    >>> paper[10:50, 20:26] = paper[10:50, 60:66] = 0  # The number eleven
    >>> digits, boxes = split_digits(paper, return_boxes=True)
    >>> len(digits)
    2
    >>> boxes.tolist()
    [[20, 10, 26, 50], [60, 10, 66, 50]]
    """
    from scipy import ndimage

    pixels, name = pixels_of(image, "The image")
    ink = ink_of(pixels, invert, name)
    labels, _ = ndimage.label(ink >= EDGE, np.ones((3, 3)))
    marks = [
        _Box(columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in ndimage.find_objects(labels)
    ]
    groups = _join_parts(marks)
    tallest = max(box.height for box, _ in groups)
    groups = [group for group in groups if group[0].height >= _SMALLEST * tallest]
    groups = _in_reading_order(groups)
    digits = [_cut_out(ink, labels, *group) for group in groups]
    if return_boxes:
        return digits, np.array([box for box, _ in groups], dtype=np.intp)
    return digits


def _join_parts(marks: list[_Box]) -> list[tuple[_Box, list[int]]]:
    """Group the marks into digits; return a box and the labels of its marks for each digit."""
    order = sorted(range(len(marks)), key=lambda index: -marks[index].height)
    groups: list[tuple[_Box, list[int]]] = []
    for index in order:
        mark = marks[index]
        for at, (box, labels) in enumerate(groups):
            if _is_part(mark, box):
                groups[at] = box.union(mark), [*labels, index + 1]
                break
        else:
            groups.append((mark, [index + 1]))
    return groups


def _is_part(mark: _Box, whole: _Box) -> bool:
    overlap = min(mark.right, whole.right) - max(mark.left, whole.left)
    distance = max(mark.top, whole.top) - min(mark.bottom, whole.bottom)
    return (
        mark.height <= _PART_HEIGHT * whole.height
        and distance <= _PART_DISTANCE * whole.height
        and overlap >= _PART_OVERLAP * min(mark.width, whole.width)
    )


def _in_reading_order(groups: list[tuple[_Box, list[int]]]) -> list[tuple[_Box, list[int]]]:
    """Sort digits by line and from left to right; the first digit of a line sets its height."""
    lines: list[list[tuple[_Box, list[int]]]] = []
    for group in sorted(groups, key=lambda group: group[0].top + group[0].bottom):
        middle = (group[0].top + group[0].bottom) / 2
        if lines and middle < lines[-1][0][0].bottom:
            lines[-1].append(group)
        else:
            lines.append([group])
    return [group for line in lines for group in sorted(line, key=lambda group: group[0].left)]


def _cut_out(
    ink: NDArray[np.float32], labels: NDArray, box: _Box, members: list[int]
) -> NDArray[np.uint8]:
    """Return a digit without its neighbours, whose strokes may extend into its box."""
    from scipy import ndimage

    # The edges of strokes are fainter than `EDGE`. A margin shows the background.
    margin = 2 + box.height // 10
    window = (
        slice(max(0, box.top - margin), box.bottom + margin),
        slice(max(0, box.left - margin), box.right + margin),
    )
    nearest = ndimage.distance_transform_edt(
        labels[window] == 0, return_distances=False, return_indices=True
    )
    is_own = np.isin(labels[window][tuple(nearest)], members)
    digit = np.round(255 * ink[window] * is_own).astype(np.uint8)
    return np.pad(digit, margin)
