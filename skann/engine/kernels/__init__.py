"""The inner operations of training that are worth compiling, in two implementations.

`numpy_kernels` is always available and documents each operation. `numba_kernels` has the same
functions and is used if Numba is installed. Training code calls `active` to get the implementation
in use. The environment variable ``SKANN_KERNELS`` selects one of them: "numpy" or "numba".

Predictions do not depend on this choice: they are always computed with NumPy.
"""

import os
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from skann.engine.kernels import numpy_kernels
from skann.engine.kernels.interrupts import deferred_interrupts

VARIABLE = "SKANN_KERNELS"
_NAMES = ("numpy", "numba")


def active_name() -> str:
    """Return the name of the implementation in use.

    Returns
    -------
    {"numpy", "numba"}
        Name of the implementation.

    Raises
    ------
    ValueError
        If the environment variable has another value.
    ImportError
        If the variable selects Numba, but Numba cannot be imported or does not work.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", *_NAMES):
        raise ValueError(
            f"The environment variable {VARIABLE} must be 'numpy', 'numba' or not set;"
            f" got {wanted!r}."
        )
    if wanted == "numpy":
        return "numpy"
    error = _error_of_numba()
    if error is None:
        return "numba"
    if wanted == "numba":
        raise ImportError(
            f"The environment variable {VARIABLE} selects Numba, which does not work here:"
            f" {error}. Install Numba (pip install numba) or unset the variable."
        )
    return "numpy"


def active() -> ModuleType:
    """Return the implementation in use: `numpy_kernels` or `numba_kernels`."""
    if active_name() == "numpy":
        return numpy_kernels
    return import_module("skann.engine.kernels.numba_kernels")


@cache
def _error_of_numba() -> str | None:
    """Import and test Numba once; return why it cannot be used, or None if it can."""
    if find_spec("numba") is None:
        return "it is not installed"
    try:
        with deferred_interrupts():
            import_module("skann.engine.kernels.numba_kernels").try_out()
    except Exception as error:  # Whatever the error is, fall back to NumPy.
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"Numba is installed but does not work ({reason}). Training uses NumPy, which is"
            f" slower. Set {VARIABLE}=numpy to silence this warning.",
            RuntimeWarning,
            stacklevel=2,
        )
        return reason
    return None
