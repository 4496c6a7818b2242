"""The inner operations of training, compiled by Numba; what `numpy_kernels` says of them holds.

A kernel goes over its arrays once and allocates nothing. It runs in the thread that calls it:
threads of Numba's would take the cores from those of BLAS. What is not here pays no better than
in NumPy.

The smooth functions are computed in double precision from one exponential, which the compiler
turns into vector instructions; in single precision they are right to the last digit.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.polynomial import chebyshev
from numpy.typing import DTypeLike, NDArray
from scipy.special import erfcx

from skann.engine.kernels import numpy_kernels

# Products and sums may be contracted to one instruction; nothing else may be reordered.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def _kernel(function: Callable) -> Callable:
    """Compile at the first call for the types of that call; keep the code for other processes."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # No folder for the compiled code can be written to.
        return njit(**_OPTIONS)(function)


_LOG2_E = 1 / math.log(2)
# log(2) as a sum of which the first term has trailing zeros: its multiples are exact.
_LOG_2, _LOG_2_REST = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
_EXP_SERIES = tuple(1 / math.factorial(k) for k in range(13, 0, -1))
_LOG_SERIES = tuple(1 / k for k in range(31, 0, -2))
# Powers of two with exponents from here to here are normal numbers.
_LOWEST_EXP, _HIGHEST_EXP = -708.0, 709.0
_LEAK, _MISH_LINEAR = 0.01, 20
# Where the normal density is zero, even as a double.
_DENSITY_END = 40.0
_ROOT_HALF = math.sqrt(0.5)
_INVERSE_ROOT_2_PI = 1 / math.sqrt(2 * math.pi)


@register_jitable
def _polynomial(coefficients, x):
    value = coefficients[0]
    for k in range(1, len(coefficients)):
        value = value * x + coefficients[k]
    return value


@register_jitable
def _exp_parts(x):
    """Return a power of two s, and s times r with e^x = s + s r, both to the last digit."""
    x = _LOWEST_EXP if x < _LOWEST_EXP else x  # Unlike max, this leaves NaN.
    x = _HIGHEST_EXP if x > _HIGHEST_EXP else x
    n = np.floor(x * _LOG2_E + 0.5)
    rest = (x - n * _LOG_2) - n * _LOG_2_REST
    bits = (np.int64(np.int32(n)) + np.int64(1023)) << np.int64(52)
    power = np.int64(bits).view(np.float64)
    return power, power * (rest * _polynomial(_EXP_SERIES, rest))


@register_jitable
def _exp(x):
    power, rest = _exp_parts(x)
    return power + rest


@register_jitable
def _expm1(x):
    power, rest = _exp_parts(x)
    return rest + (power - 1)


@register_jitable
def _log1p(u):
    """Return log(1 + u) for u from 0 to 1."""
    z = u / (2 + u)
    return 2 * z * _polynomial(_LOG_SERIES, z * z)


def _fit_erfcx() -> tuple[float, ...]:
    """Return the polynomial P with erfcx(a) (1 + 2 a) = P((a - 2) / (a + 2)) for a >= 0."""
    t = np.cos((np.arange(400) + 0.5) * np.pi / 400)
    a = 2 * (1 + t) / (1 - t)
    series = chebyshev.chebfit(t, erfcx(a) * (1 + 2 * a), 24)
    return tuple(float(c) for c in chebyshev.cheb2poly(series)[::-1])


_ERFCX = _fit_erfcx()


@register_jitable
def _normal(x):
    """Return e^(-x^2 / 2), and the normal distribution at x."""
    a = abs(x)
    a = _DENSITY_END if a > _DENSITY_END else a
    density = _exp(-0.5 * a * a)
    a *= _ROOT_HALF
    tail = 0.5 * density * _polynomial(_ERFCX, (a - 2) / (a + 2)) / (1 + 2 * a)
    return density, 1 - tail if x > 0 else tail


# An activation, of a number x, and its derivative, of x if the activation keeps its inputs and of
# the output otherwise.


@register_jitable
def _relu(x):
    return type(x)(0) if x < 0 else x


@register_jitable
def _relu_slope(y):
    return type(y)(y > 0)


@register_jitable
def _leaky_relu(x):
    return max(x, type(x)(_LEAK) * x)


@register_jitable
def _leaky_relu_slope(y):
    return type(y)(1) if y > 0 else type(y)(_LEAK)


@register_jitable
def _logistic(x):
    return 1 / (1 + _exp(-np.float64(x)))


@register_jitable
def _logistic_slope(y):
    return y * (1 - y)


@register_jitable
def _tanh(x):
    grown = _expm1(2 * np.float64(x))
    return grown / (grown + 2)


@register_jitable
def _tanh_slope(y):
    return 1 - y * y


@register_jitable
def _gelu(x):
    return x * _normal(np.float64(x))[1]


@register_jitable
def _gelu_slope(x):
    x = np.float64(x)
    density, distribution = _normal(x)
    near = min(max(x, -_DENSITY_END), _DENSITY_END)
    return distribution + near * density * _INVERSE_ROOT_2_PI


@register_jitable
def _silu(x):
    return x * _logistic(x)


@register_jitable
def _silu_slope(x):
    x = np.float64(x)
    power, rest = _exp_parts(-x)
    exp = power + rest
    return (1 + exp + x * exp) / ((1 + exp) * (1 + exp))


@register_jitable
def _mish(x):
    e = _exp(np.float64(min(x, _MISH_LINEAR)))
    n = e * (e + 2)
    return x * (n / (n + 2))


@register_jitable
def _mish_slope(x):
    x = np.float64(min(x, _MISH_LINEAR))
    e = _exp(x)
    n = e * (e + 2)
    return (n + 4 * x * e * (e + 1) / (n + 2)) / (n + 2)


@register_jitable
def _elu(x):
    return np.float64(x) if x > 0 else _expm1(np.float64(x))


@register_jitable
def _elu_slope(y):
    return 1 + min(y, 0)


@register_jitable
def _softplus(x):
    return max(np.float64(x), 0.0) + _log1p(_exp(-abs(np.float64(x))))


@register_jitable
def _softplus_slope(y):
    return -_expm1(-np.float64(y))


_FORMULAS: dict[str, tuple[Callable, Callable]] = {
    "relu": (_relu, _relu_slope),
    "leaky_relu": (_leaky_relu, _leaky_relu_slope),
    "logistic": (_logistic, _logistic_slope),
    "tanh": (_tanh, _tanh_slope),
    "gelu": (_gelu, _gelu_slope),
    "silu": (_silu, _silu_slope),
    "mish": (_mish, _mish_slope),
    "elu": (_elu, _elu_slope),
    "softplus": (_softplus, _softplus_slope),
}


@cache
def make_activation(name: str, function: Callable, backpropagate: Callable) -> tuple[Any, Any]:
    """Return the two passes of an activation; see `numpy_kernels.make_activation`."""
    if name not in _FORMULAS:
        return numpy_kernels.make_activation(name, function, backpropagate)
    formula, slope = _FORMULAS[name]

    def forward(outputs, bias, kept):
        for i in range(outputs.shape[0]):
            for j in range(outputs.shape[1]):
                x = outputs[i, j]
                if bias is not None:
                    x += bias[j]
                if kept is not None:
                    kept[i, j] = x
                outputs[i, j] = formula(x)

    def backward(kept, outputs, grad, ones, grad_bias):
        known = outputs if kept is None else kept
        if grad_bias is not None:
            grad_bias[:] = 0
        for i in range(grad.shape[0]):
            for j in range(grad.shape[1]):
                grad[i, j] *= slope(known[i, j])
                if grad_bias is not None:
                    grad_bias[j] += grad[i, j]

    return _kernel(forward), _kernel(backward)


@_kernel
def gather(X, indices, shift, factor, raw, batch):
    """Gather rows, cast and scale them; see `numpy_kernels.gather`."""
    for i in range(len(indices)):
        row = indices[i]
        for j in range(batch.shape[1]):
            value = X[row, j]
            if factor is None:
                batch[i, j] = value
            elif shift is None:
                batch[i, j] = value * factor[j]
            else:
                batch[i, j] = (value - shift[j]) * factor[j]


@_kernel
def drop(words, threshold, scale, mask, values):
    """Set values to zero or scale them; see `numpy_kernels.drop`."""
    for i in range(len(values)):
        mask[i] = scale if words[i] >= threshold else 0.0
        values[i] *= mask[i]


@_kernel
def undo_drop(mask, scale, outputs, grad):
    """Bring outputs and gradient back before dropout; see `numpy_kernels.undo_drop`."""
    inverse = outputs.dtype.type(1 / scale)
    for i in range(len(mask)):
        grad[i] *= mask[i]
        outputs[i] *= inverse


@_kernel
def _softmax_cross_entropy(logits, targets, weights, divisor, on_each, on_truth, sums):
    n_classes, n_rows = logits.shape
    highest, total, true = sums[0], sums[1], sums[2]
    highest[:n_rows] = logits[0]
    for k in range(1, n_classes):
        for i in range(n_rows):
            highest[i] = max(highest[i], logits[k, i])
    for i in range(n_rows):
        true[i] = (on_truth - on_each) * (logits[targets[i], i] - highest[i])
        total[i] = 0
    for k in range(n_classes):
        for i in range(n_rows):
            z = logits[k, i] - highest[i]
            if on_each:
                true[i] += on_each * z
            logits[k, i] = _exp(np.float64(z))
            total[i] += logits[k, i]
    value = 0.0
    for i in range(n_rows):
        weight = 1 / divisor if weights is None else weights[i] / divisor
        value += weight * (math.log(total[i]) - true[i])
        highest[i] = weight
        total[i] = weight / total[i]
    for k in range(n_classes):
        for i in range(n_rows):
            logits[k, i] = logits[k, i] * total[i] - highest[i] * on_each
    for i in range(n_rows):
        logits[targets[i], i] -= highest[i] * (on_truth - on_each)
    return value


def make_softmax_cross_entropy(
    n_outputs: int, max_rows: int, dtype: DTypeLike, on_each: float, on_truth: float
) -> numpy_kernels.LossFunction:
    """Return the multinomial log-loss; see `numpy_kernels.make_softmax_cross_entropy`."""
    sums = np.empty((3, max_rows))

    def loss(logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float) -> float:
        return _softmax_cross_entropy(logits, targets, weights, divisor, on_each, on_truth, sums)

    return loss


@_kernel
def _logistic_cross_entropy(logits, targets, weights, divisor, smoothing):
    value = 0.0
    for k in range(logits.shape[0]):
        for i in range(logits.shape[1]):
            weight = 1.0 if weights is None else np.float64(weights[i])
            z, target = np.float64(logits[k, i]), np.float64(targets[k, i])
            signed = (1 - 2 * target) * z
            exp = _exp(-abs(z))
            loss = max(signed, 0.0) + _log1p(exp)
            if smoothing:
                loss -= 0.5 * smoothing * signed
                target += smoothing * (0.5 - target)
            value += weight * loss
            logistic = (1.0 if z >= 0 else exp) / (1 + exp)
            logits[k, i] = weight * (logistic - target) / divisor
    return value / divisor


def make_logistic_cross_entropy(
    n_outputs: int, max_rows: int, dtype: DTypeLike, smoothing: float
) -> numpy_kernels.LossFunction:
    """Return the binary log-losses; see `numpy_kernels.make_logistic_cross_entropy`."""

    def loss(logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float) -> float:
        targets = targets.T.reshape(logits.shape)
        return _logistic_cross_entropy(logits, targets, weights, divisor, smoothing)

    return loss


@_kernel
def _adam(values, grad, first, second, n_weights, step):
    kind = values.dtype.type
    rate, epsilon = kind(step[0]), kind(step[1])
    first_term, second_term = kind(step[2]), kind(step[3])
    penalty, shrinkage = kind(step[4]), kind(step[5])
    for i in range(n_weights):
        grad[i] += penalty * values[i]
        values[i] *= shrinkage
    for i in range(len(values)):
        first[i] += first_term * grad[i]
        second[i] += second_term * (grad[i] * grad[i])
        values[i] -= rate * (first[i] / (np.sqrt(second[i]) + epsilon))


def make_adam(like: NDArray) -> Callable[..., None]:
    """Return the update of Adam; see `numpy_kernels.make_adam`."""
    return _adam


@_kernel
def _sgd(values, grad, velocity, n_weights, rate, decay, momentum, is_nesterovs):
    kind = values.dtype.type
    rate, decay, momentum = kind(rate), kind(decay), kind(momentum)
    for i in range(n_weights):
        grad[i] += decay * values[i]
    for i in range(len(values)):
        velocity[i] = momentum * velocity[i] - rate * grad[i]
        values[i] += momentum * velocity[i] - rate * grad[i] if is_nesterovs else velocity[i]


def make_sgd(like: NDArray, momentum: float, is_nesterovs: bool) -> Callable[..., None]:
    """Return the update of gradient descent; see `numpy_kernels.make_sgd`."""

    def update(
        values: NDArray,
        grad: NDArray,
        velocity: NDArray,
        n_weights: int,
        rate: float,
        decay: float,
    ) -> None:
        _sgd(values, grad, velocity, n_weights, rate, decay, momentum, is_nesterovs)

    return update


@_kernel
def _average(average, values, share):
    share = values.dtype.type(share)
    for i in range(len(values)):
        average[i] += share * (values[i] - average[i])


def make_average(like: NDArray) -> Callable[[NDArray, NDArray, float], None]:
    """Return the update of a moving average; see `numpy_kernels.make_average`."""
    return _average


def try_out() -> None:
    """Compile and run one kernel; an error says that Numba does not work here."""
    _average(np.zeros(1), np.ones(1), 0.5)
