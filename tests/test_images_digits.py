"""Several digits on a picture are found one by one, in the order of reading."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skann.images import ImageReader, split_digits

pytest.importorskip("PIL")

INK = 20


def paper(height=100, width=200):
    return np.full((height, width), 240, np.uint8)


def bar(picture, left, top, right, bottom):
    """Draw a bar; return it as a box."""
    picture[top:bottom, left:right] = INK
    return [left, top, right, bottom]


def boxes_on(picture, **options):
    return split_digits(picture, return_boxes=True, **options)[1].tolist()


def test_digits_are_read_line_by_line_from_left_to_right():
    picture = paper(200, 200)
    # Uneven, as handwriting is: on neither line is the first the highest.
    lower = [bar(picture, 12, 120, 20, 160), bar(picture, 60, 110, 70, 155)]
    upper = [
        bar(picture, 20, 30, 30, 70),
        bar(picture, 80, 15, 90, 60),
        bar(picture, 150, 40, 160, 75),
    ]
    assert boxes_on(picture) == upper + lower


@pytest.mark.parametrize("invert", ["auto", True])
def test_digits_are_light_on_black_and_alone(invert):
    picture = paper()
    first, second = bar(picture, 20, 20, 40, 80), bar(picture, 60, 20, 70, 80)
    digits = split_digits(picture, invert=invert)
    for digit, (left, top, right, bottom) in zip(digits, (first, second), strict=True):
        assert digit.dtype == np.uint8
        rows, columns = np.nonzero(digit)
        assert_array_equal(np.unique(digit), [0, 255])
        assert len(rows) == (right - left) * (bottom - top)
        assert 0 < rows.min() <= rows.max() < len(digit) - 1
        assert 0 < columns.min() <= columns.max() < digit.shape[1] - 1


def test_the_negative_is_the_same():
    picture = paper()
    box = bar(picture, 20, 20, 40, 80)
    assert boxes_on(255 - picture) == [box]
    assert boxes_on(255 - picture, invert=False) == [box]


def test_digits_that_hang_over_each_other_are_told_apart():
    picture = paper()
    for row in range(60):  # Two slanted strokes, whose boxes overlap
        picture[20 + row, 100 - row : 108 - row] = INK
        picture[20 + row, 120 - row : 128 - row] = INK
    digits, boxes = split_digits(picture, return_boxes=True)
    assert boxes[0, 2] > boxes[1, 0]
    for digit in digits:
        assert np.count_nonzero(digit) == 60 * 8


def test_parts_belong_to_their_digit():
    picture = paper()
    bar(picture, 20, 30, 26, 80)
    bar(picture, 22, 20, 45, 25)  # As the bar of a five
    assert boxes_on(picture) == [[20, 20, 45, 80]]


def test_dirt_is_left_out():
    picture = paper()
    box = bar(picture, 20, 20, 30, 80)
    bar(picture, 60, 74, 66, 80)  # A full stop
    bar(picture, 100, 40, 101, 41)
    assert boxes_on(picture) == [box]


def test_a_single_digit_is_read_as_it_is_without_splitting():
    picture = paper()
    bar(picture, 20, 20, 30, 80)
    bar(picture, 10, 20, 30, 26)
    reader = ImageReader()
    np.testing.assert_allclose(
        reader.transform(split_digits(picture)), reader.transform([picture]), atol=2
    )


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    path = tmp_path / "line.png"
    path.touch()
    with pytest.raises(ValueError, match=r"line\.png is empty"):
        split_digits(path)


def test_a_blank_picture_has_no_digits():
    with pytest.raises(ValueError, match="The image shows nothing that stands out"):
        split_digits(paper())
