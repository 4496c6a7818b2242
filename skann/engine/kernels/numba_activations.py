"""Activations compiled by Numba, with each pass and the bias of the layer in a single loop.

Other activations gain nothing from compilation.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import erfcx

from skann.engine.kernels import numpy_kernels
from skann.engine.kernels.numba_math import exp, expm1, inline, kernel, polynomial

# From here on the normal density is zero in double precision.
_DENSITY_END = 40.0
_ROOT_HALF = math.sqrt(0.5)
_INVERSE_ROOT_2_PI = 1 / math.sqrt(2 * math.pi)
_LEAK, _MISH_LINEAR = 0.01, 20.0
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _fit_erfcx() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return E and O with ``erfcx(a) (1 + 2 a) = E(t^2) + t O(t^2)``, ``t = (a - 2) / (a + 2)``.

    This holds for a >= 0. Coefficients are ordered from the highest power down.
    """
    t = np.cos((np.arange(400) + 0.5) * np.pi / 400)
    a = 2 * (1 + t) / (1 - t)
    series = chebyshev.chebfit(t, erfcx(a) * (1 + 2 * a), 24)
    coefficients = [float(c) for c in chebyshev.cheb2poly(series)[::-1]]
    return tuple(coefficients[0::2]), tuple(coefficients[1::2])


_ERFCX_EVEN, _ERFCX_ODD = _fit_erfcx()


# Activations whose derivative follows from the output y: the function of x, and the derivative.


@inline
def _relu(x):
    return type(x)(0) if x < 0 else x


@inline
def _relu_slope(y):
    return type(y)(y > 0)


@inline
def _leaky_relu(x):
    return max(x, type(x)(_LEAK) * x)


@inline
def _leaky_relu_slope(y):
    return type(y)(1) if y > 0 else type(y)(_LEAK)


@inline
def _elu(x):
    return np.float64(x) if x > 0 else expm1(np.float64(x))


@inline
def _elu_slope(y):
    return 1 + min(y, 0)


@inline
def _selu(x):
    x = np.float64(x)
    return _SELU_SCALE * (x if x > 0 else _SELU_ALPHA * expm1(x))


@inline
def _selu_slope(y):
    return _SELU_SCALE if y > 0 else y + _SELU_SCALE * _SELU_ALPHA


_FORMULAS: dict[str, tuple[Callable, Callable]] = {
    "relu": (_relu, _relu_slope),
    "leaky_relu": (_leaky_relu, _leaky_relu_slope),
    "elu": (_elu, _elu_slope),
    "selu": (_selu, _selu_slope),
}


# Activations whose derivative follows from the input x. The compiler shares common subexpressions
# of the two functions, so the forward pass keeps the derivative instead of the input.


@inline
def _normal_distribution(x):
    a = abs(x) * _ROOT_HALF
    t = (a - 2) / (a + 2)
    scaled = polynomial(_ERFCX_EVEN, t * t) + t * polynomial(_ERFCX_ODD, t * t)
    tail = 0.5 * exp(-0.5 * x * x) * scaled / (1 + 2 * a)
    return 1 - tail if x > 0 else tail


@inline
def _gelu(x):
    return x * _normal_distribution(min(max(x, -_DENSITY_END), _DENSITY_END))


@inline
def _gelu_slope(x):
    x = min(max(x, -_DENSITY_END), _DENSITY_END)
    return _normal_distribution(x) + x * exp(-0.5 * x * x) * _INVERSE_ROOT_2_PI


@inline
def _silu(x):
    return x / (1 + exp(-x))


@inline
def _silu_slope(x):
    e = exp(-x)
    logistic = 1 / (1 + e)
    return logistic * (1 + x * (e * logistic))


@inline
def _mish(x):
    e = exp(min(x, _MISH_LINEAR))
    n = e * (e + 2)
    return x * (n / (n + 2))


@inline
def _mish_slope(x):
    x = min(x, _MISH_LINEAR)
    e = exp(x)
    n = e * (e + 2)
    return (n + 4 * x * e * (e + 1) / (n + 2)) / (n + 2)


_FORMULAS_OF_INPUT: dict[str, tuple[Callable, Callable]] = {
    "gelu": (_gelu, _gelu_slope),
    "silu": (_silu, _silu_slope),
    "mish": (_mish, _mish_slope),
}


@cache
def make_activation(name: str, function: Callable, backpropagate: Callable) -> tuple[Any, Any]:
    """Return the two passes of an activation; see `numpy_kernels.make_activation`."""
    if name in _FORMULAS:
        return _passes(*_FORMULAS[name])
    if name in _FORMULAS_OF_INPUT:
        return _passes_that_keep_the_slope(*_FORMULAS_OF_INPUT[name])
    return numpy_kernels.make_activation(name, function, backpropagate)


def _passes(formula: Callable, slope: Callable) -> tuple[Any, Any]:
    def forward(outputs, bias, kept):
        for i in range(outputs.shape[0]):
            for j in range(outputs.shape[1]):
                x = outputs[i, j]
                if bias is not None:
                    x += bias[j]
                outputs[i, j] = formula(x)

    def backward(kept, outputs, grad, ones, grad_bias):
        if grad_bias is not None:
            grad_bias[:] = 0
        for i in range(grad.shape[0]):
            for j in range(grad.shape[1]):
                grad[i, j] *= slope(outputs[i, j])
                if grad_bias is not None:
                    grad_bias[j] += grad[i, j]

    return kernel(forward), kernel(backward)


def _passes_that_keep_the_slope(formula: Callable, slope: Callable) -> tuple[Any, Any]:
    def forward(outputs, bias, kept):
        for i in range(outputs.shape[0]):
            for j in range(outputs.shape[1]):
                x = np.float64(outputs[i, j])
                if bias is not None:
                    x = np.float64(outputs[i, j] + bias[j])
                outputs[i, j] = formula(x)
                kept[i, j] = slope(x)

    return kernel(forward), _multiply_by_slope


@kernel
def _multiply_by_slope(kept, outputs, grad, ones, grad_bias):
    if grad_bias is not None:
        grad_bias[:] = 0
    for i in range(grad.shape[0]):
        for j in range(grad.shape[1]):
            grad[i, j] *= kept[i, j]
            if grad_bias is not None:
                grad_bias[j] += grad[i, j]
