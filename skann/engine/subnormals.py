"""Arithmetic without subnormal numbers, which slow processors down many times."""

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

# Bits of MXCSR, the control register of vector arithmetic on x86-64: subnormal results become zero
# (bit 15), and subnormal operands count as zero (bit 6).
_FLUSH_BITS = 0x8040


class _Environment(ctypes.Structure):
    """The `fenv_t` of glibc and musl on x86-64."""

    _fields_ = [("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32)]


@contextmanager
def flush_subnormals() -> Iterator[None]:
    """Make the calling thread treat subnormal numbers as zero inside the with statement.

    Weights of features that are always zero, moments of the optimizer and probabilities shrink
    until they are subnormal, below 1.2e-38 in float32. x86-64 processors then compute many times
    slower. Replacing them by zero makes no difference to the network, because such numbers are
    far below the rounding errors of any weight that matters.

    This works on Linux on x86-64. Elsewhere nothing changes. ARM processors compute with
    subnormal numbers at full speed.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.subnormals import flush_subnormals
    >>> values = np.array([1e-30, 1e-38], dtype=np.float32)
    >>> with flush_subnormals():
    ...     values *= 0.5
    >>> values[0] > 0
    np.True_
    """
    functions = _environment_functions()
    if functions is None:
        yield
        return
    get_environment, set_environment = functions
    environment = _Environment()

    def set_bits(bits: int) -> None:
        # Read it again, because the same register holds the flags for NumPy's warnings.
        get_environment(ctypes.byref(environment))
        environment.mxcsr = environment.mxcsr & ~_FLUSH_BITS | bits
        set_environment(ctypes.byref(environment))

    get_environment(ctypes.byref(environment))
    before = environment.mxcsr & _FLUSH_BITS
    try:
        try:
            set_bits(_FLUSH_BITS)
            yield
        finally:
            set_bits(before)
    finally:  # Repeated, in case Ctrl-C interrupted the first attempt.
        set_bits(before)


@cache
def _environment_functions() -> tuple[Callable, Callable] | None:
    """Return `fegetenv` and `fesetenv` of the C library if they use the layout above."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return None
    for name in (None, "libm.so.6"):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(name)
            return library.fegetenv, library.fesetenv
    return None
