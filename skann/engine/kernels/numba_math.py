"""Tools for compiled kernels: the compiler's options, and elementary functions.

The functions evaluate polynomials in double precision, which the compiler turns into vector
instructions. Rounded to single precision, their results are exact to the last digit.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from skann.engine.kernels.interrupts import deferred_interrupts

# Multiplications and additions may be fused; no other reordering is allowed.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def kernel(function: Callable) -> Callable:
    """Compile a function at its first call, for the types of that call; cache the code on disk."""
    try:
        compiled = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # There is no writeable folder for the compiled code.
        compiled = njit(**_OPTIONS)(function)
    compiled.compile = deferred_interrupts()(compiled.compile)
    return compiled


# Loops become vector instructions only if all functions in them are inlined.
inline = register_jitable(forceinline=True)

_LOG2_E = 1 / math.log(2)
# log(2) as a sum. Its first term ends in zero bits, so that multiples of it are exact.
_LOG_2, _LOG_2_REST = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
_EXP_SERIES = tuple(1 / math.factorial(k) for k in range(13, 0, -1))
_LOG_SERIES = tuple(1 / k for k in range(31, 0, -2))
# Powers of two are normal numbers for arguments of exp in this range.
_LOWEST_EXP, _HIGHEST_EXP = -708.0, 709.0


@inline
def polynomial(coefficients, x):
    """Evaluate a polynomial at x; coefficients are ordered from the highest power down."""
    value = coefficients[0]
    for k in range(1, len(coefficients)):
        value = value * x + coefficients[k]
    return value


@inline
def _exp_parts(x):
    """Return a power of two s, and s r with e^x = s + s r, both exact to the last digit."""
    x = _LOWEST_EXP if x < _LOWEST_EXP else x  # Unlike max, this preserves NaN.
    x = _HIGHEST_EXP if x > _HIGHEST_EXP else x
    n = np.floor(x * _LOG2_E + 0.5)
    rest = (x - n * _LOG_2) - n * _LOG_2_REST
    bits = (np.int64(np.int32(n)) + np.int64(1023)) << np.int64(52)
    power = np.int64(bits).view(np.float64)
    return power, power * (rest * polynomial(_EXP_SERIES, rest))


@inline
def exp(x):
    """Return e^x."""
    power, rest = _exp_parts(x)
    return power + rest


@inline
def expm1(x):
    """Return e^x - 1, exact to the last digit also near zero."""
    power, rest = _exp_parts(x)
    return rest + (power - 1)


@inline
def log1p(u):
    """Return log(1 + u) for u from 0 to 1."""
    z = u / (2 + u)
    return 2 * z * polynomial(_LOG_SERIES, z * z)
