import numpy as np
import pytest

from skann.engine.memory import ALIGNMENT, aligned_copy, aligned_empty


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", ">i4"])
@pytest.mark.parametrize("shape", [1, 7, (3, 5), (2, 3, 4)])
def test_aligned_arrays_start_a_cache_line(shape, dtype):
    array = aligned_empty(shape, dtype)
    assert array.ctypes.data % ALIGNMENT == 0
    assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_a_copy_is_equal_aligned_and_independent():
    original = np.arange(12.0).reshape(3, 4)[:, ::-1]
    copy = aligned_copy(original)
    np.testing.assert_array_equal(copy, original)
    assert copy.ctypes.data % ALIGNMENT == 0
    assert copy.flags.c_contiguous
    copy[...] = 0
    assert original.any()


def test_a_copy_can_change_the_dtype():
    copy = aligned_copy(np.array([1.5, 2.5]), "float32")
    assert copy.dtype == np.float32
    np.testing.assert_array_equal(copy, [1.5, 2.5])
