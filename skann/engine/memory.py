"""Arrays whose first byte starts a cache line."""

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

# One cache line, and the widest vector register. BLAS kernels may treat unaligned heads of
# arrays differently: in training, a fixed alignment is part of "same seed, same bits".
ALIGNMENT = 64


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Return an uninitialised C-contiguous array that starts on a 64-byte boundary.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    dtype : dtype-like
        Type of its entries.

    Returns
    -------
    ndarray of shape `shape`

    Examples
    --------
    >>> from skann.engine.memory import aligned_empty
    >>> aligned_empty((3, 2), "float32").ctypes.data % 64
    0
    """
    shape = (shape,) if isinstance(shape, int) else shape
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(n_bytes + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_copy(array: NDArray, dtype: DTypeLike | None = None) -> NDArray:
    """Return a C-contiguous copy of `array` that starts on a 64-byte boundary.

    Parameters
    ----------
    array : ndarray
        What to copy.
    dtype : dtype-like
        Type of the copy; None for that of `array`.

    Returns
    -------
    ndarray
    """
    copy = aligned_empty(array.shape, array.dtype if dtype is None else dtype)
    copy[...] = array
    return copy
