"""Arrays aligned to cache lines, and attributes that are computed on first use."""

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Size of a cache line and of the widest vector register. BLAS kernels may treat the unaligned start
# of an array differently, so a fixed alignment is needed for the same seed to give the same bits.
ALIGNMENT = 64

_T = TypeVar("_T")


class made_on_first_use(Generic[_T]):  # noqa: N801
    """Like `functools.cached_property`, without the lock that it has in Python 3.11.

    All instances share that lock. Fits in threads would wait for each other, and a process forked
    while the lock is held would wait forever.
    """

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> _T:
        value = instance.__dict__[self._name] = self._make(instance)
        return value


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Return an uninitialised C-contiguous array that starts on a 64-byte boundary.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    dtype : dtype-like
        Type of the entries.

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
        Array to copy.
    dtype : dtype-like
        Type of the copy; None for the type of `array`.

    Returns
    -------
    ndarray
    """
    copy = aligned_empty(array.shape, array.dtype if dtype is None else dtype)
    copy[...] = array
    return copy
