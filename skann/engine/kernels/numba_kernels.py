"""The inner operations of training, compiled by Numba; what `numpy_kernels` says of them holds.

A kernel goes over its arrays once and allocates nothing. It runs in the thread that calls it:
threads of Numba's would take the cores from those of BLAS. What is not here pays no better than
in NumPy.

The smooth functions are computed in double precision from one exponential, which the compiler
turns into vector instructions; in single precision they are right to the last digit.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.polynomial import chebyshev
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_array
from scipy.special import erfcx

from skann.engine.kernels import numpy_kernels
from skann.engine.kernels.numpy_kernels import AdamStep

# Products and sums may be contracted to one instruction; nothing else may be reordered.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def _kernel(function: Callable) -> Callable:
    """Compile at the first call for the types of that call; keep the code for other processes."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # No folder for the compiled code can be written to.
        return njit(**_OPTIONS)(function)


# Loops are turned into vector instructions where nothing is called in them.
_inline = register_jitable(forceinline=True)

_LOG2_E = 1 / math.log(2)
# log(2) as a sum of which the first term has trailing zeros: its multiples are exact.
_LOG_2, _LOG_2_REST = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
_EXP_SERIES = tuple(1 / math.factorial(k) for k in range(13, 0, -1))
_LOG_SERIES = tuple(1 / k for k in range(31, 0, -2))
# Powers of two with exponents from here to here are normal numbers.
_LOWEST_EXP, _HIGHEST_EXP = -708.0, 709.0
_LEAK, _MISH_LINEAR = 0.01, 20.0
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
# Where the normal density is zero, even as a double.
_DENSITY_END = 40.0
_ROOT_HALF = math.sqrt(0.5)
_INVERSE_ROOT_2_PI = 1 / math.sqrt(2 * math.pi)


@_inline
def _polynomial(coefficients, x):
    value = coefficients[0]
    for k in range(1, len(coefficients)):
        value = value * x + coefficients[k]
    return value


@_inline
def _exp_parts(x):
    """Return a power of two s, and s times r with e^x = s + s r, both to the last digit."""
    x = _LOWEST_EXP if x < _LOWEST_EXP else x  # Unlike max, this leaves NaN.
    x = _HIGHEST_EXP if x > _HIGHEST_EXP else x
    n = np.floor(x * _LOG2_E + 0.5)
    rest = (x - n * _LOG_2) - n * _LOG_2_REST
    bits = (np.int64(np.int32(n)) + np.int64(1023)) << np.int64(52)
    power = np.int64(bits).view(np.float64)
    return power, power * (rest * _polynomial(_EXP_SERIES, rest))


@_inline
def _exp(x):
    power, rest = _exp_parts(x)
    return power + rest


@_inline
def _expm1(x):
    power, rest = _exp_parts(x)
    return rest + (power - 1)


@_inline
def _log1p(u):
    """Return log(1 + u) for u from 0 to 1."""
    z = u / (2 + u)
    return 2 * z * _polynomial(_LOG_SERIES, z * z)


def _fit_erfcx() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return E and O with ``erfcx(a) (1 + 2 a) = E(t^2) + t O(t^2)``, ``t = (a - 2) / (a + 2)``.

    For a >= 0; coefficients from the highest power down.
    """
    t = np.cos((np.arange(400) + 0.5) * np.pi / 400)
    a = 2 * (1 + t) / (1 - t)
    series = chebyshev.chebfit(t, erfcx(a) * (1 + 2 * a), 24)
    coefficients = [float(c) for c in chebyshev.cheb2poly(series)[::-1]]
    return tuple(coefficients[0::2]), tuple(coefficients[1::2])


_ERFCX_EVEN, _ERFCX_ODD = _fit_erfcx()


# Activations whose derivative follows from the output y: each of a number x, and the derivative.


@_inline
def _relu(x):
    return type(x)(0) if x < 0 else x


@_inline
def _relu_slope(y):
    return type(y)(y > 0)


@_inline
def _leaky_relu(x):
    return max(x, type(x)(_LEAK) * x)


@_inline
def _leaky_relu_slope(y):
    return type(y)(1) if y > 0 else type(y)(_LEAK)


@_inline
def _elu(x):
    return np.float64(x) if x > 0 else _expm1(np.float64(x))


@_inline
def _elu_slope(y):
    return 1 + min(y, 0)


@_inline
def _selu(x):
    return _SELU_SCALE * np.float64(x) if x > 0 else _SELU_SCALE * _SELU_ALPHA * _expm1(np.float64(x))


@_inline
def _selu_slope(y):
    return _SELU_SCALE if y > 0 else y + _SELU_SCALE * _SELU_ALPHA


_FORMULAS: dict[str, tuple[Callable, Callable]] = {
    "relu": (_relu, _relu_slope),
    "leaky_relu": (_leaky_relu, _leaky_relu_slope),
    "elu": (_elu, _elu_slope),
    "selu": (_selu, _selu_slope),
}


# Activations that keep their inputs, and the derivative, of x. What both compute the compiler
# computes once: here it is the derivative that is kept.


@_inline
def _normal_distribution(x):
    a = abs(x) * _ROOT_HALF
    t = (a - 2) / (a + 2)
    scaled = _polynomial(_ERFCX_EVEN, t * t) + t * _polynomial(_ERFCX_ODD, t * t)
    tail = 0.5 * _exp(-0.5 * x * x) * scaled / (1 + 2 * a)
    return 1 - tail if x > 0 else tail


@_inline
def _gelu(x):
    return x * _normal_distribution(min(max(x, -_DENSITY_END), _DENSITY_END))


@_inline
def _gelu_slope(x):
    x = min(max(x, -_DENSITY_END), _DENSITY_END)
    return _normal_distribution(x) + x * _exp(-0.5 * x * x) * _INVERSE_ROOT_2_PI


@_inline
def _silu(x):
    return x / (1 + _exp(-x))


@_inline
def _silu_slope(x):
    exp = _exp(-x)
    logistic = 1 / (1 + exp)
    return logistic * (1 + x * (exp * logistic))


@_inline
def _mish(x):
    e = _exp(min(x, _MISH_LINEAR))
    n = e * (e + 2)
    return x * (n / (n + 2))


@_inline
def _mish_slope(x):
    x = min(x, _MISH_LINEAR)
    e = _exp(x)
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

    return _kernel(forward), _kernel(backward)


def _passes_that_keep_the_slope(formula: Callable, slope: Callable) -> tuple[Any, Any]:
    def forward(outputs, bias, kept):
        for i in range(outputs.shape[0]):
            for j in range(outputs.shape[1]):
                x = np.float64(outputs[i, j])
                if bias is not None:
                    x = np.float64(outputs[i, j] + bias[j])
                outputs[i, j] = formula(x)
                kept[i, j] = slope(x)

    return _kernel(forward), _multiply_by_slope


@_kernel
def _multiply_by_slope(kept, outputs, grad, ones, grad_bias):
    if grad_bias is not None:
        grad_bias[:] = 0
    for i in range(grad.shape[0]):
        for j in range(grad.shape[1]):
            grad[i, j] *= kept[i, j]
            if grad_bias is not None:
                grad_bias[j] += grad[i, j]


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
def _gather_sparse(data, indices, indptr, rows):
    starts = np.zeros(len(rows) + 1, indptr.dtype)
    for i in range(len(rows)):
        starts[i + 1] = starts[i] + indptr[rows[i] + 1] - indptr[rows[i]]
    gathered = np.empty(starts[-1], data.dtype)
    features = np.empty(starts[-1], indices.dtype)
    for i in range(len(rows)):
        first = indptr[rows[i]]
        for k in range(starts[i + 1] - starts[i]):
            gathered[starts[i] + k] = data[first + k]
            features[starts[i] + k] = indices[first + k]
    return gathered, features, starts


def gather_sparse(X: csr_array, indices: NDArray) -> csr_array:
    """Gather sparse rows; see `numpy_kernels.gather_sparse`."""
    shape = len(indices), X.shape[1]
    return csr_array(_gather_sparse(X.data, X.indices, X.indptr, indices), shape=shape)


@_kernel
def _multiply_sparse(data, indices, indptr, weights, outputs):
    for i in range(outputs.shape[0]):
        for j in range(outputs.shape[1]):
            outputs[i, j] = 0
        for k in range(indptr[i], indptr[i + 1]):
            value, row = data[k], indices[k]
            for j in range(outputs.shape[1]):
                outputs[i, j] += value * weights[row, j]


def multiply_sparse(inputs: csr_array, weights: NDArray, outputs: NDArray) -> None:
    """Multiply sparse rows; see `numpy_kernels.multiply_sparse`."""
    if outputs.flags.c_contiguous:
        _multiply_sparse(inputs.data, inputs.indices, inputs.indptr, weights, outputs)
    else:
        numpy_kernels.multiply_sparse(inputs, weights, outputs)


@_kernel
def touch(indices, place):
    """Find the features of sparse rows; see `numpy_kernels.touch`."""
    n_touched = 0
    for index in indices:
        n_touched += place[index] < 0
        place[index] = 0
    rows = np.empty(n_touched, np.intp)
    n_found = 0
    for feature in range(len(place)):
        if place[feature] == 0:
            rows[n_found] = feature
            place[feature] = n_found
            n_found += 1
    columns = np.empty(len(indices), np.int32)
    for k in range(len(indices)):
        columns[k] = place[indices[k]]
    for row in rows:
        place[row] = -1
    return rows, columns


@_kernel
def _sparse_gradient(data, columns, indptr, grad_outputs, values):
    values[:] = 0
    for i in range(grad_outputs.shape[0]):
        for k in range(indptr[i], indptr[i + 1]):
            value, row = data[k], columns[k]
            for j in range(values.shape[1]):
                values[row, j] += value * grad_outputs[i, j]


def sparse_gradient(
    inputs: csr_array, columns: NDArray, grad_outputs: NDArray, buffer: NDArray
) -> NDArray:
    """Return the gradient in some rows; see `numpy_kernels.sparse_gradient`."""
    grad_outputs = np.ascontiguousarray(grad_outputs)
    _sparse_gradient(inputs.data, columns, inputs.indptr, grad_outputs, buffer)
    return buffer


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


@_inline
def _adam_of_one(value, g, m, v, decays, step):
    """Return a parameter and its two sums after a step, in the precision of the parameter."""
    kind = type(value)
    if decays:
        g += kind(step[4]) * value
        value *= kind(step[5])
    m += kind(step[2]) * g
    v += kind(step[3]) * (g * g)
    return value - kind(step[0]) * (m / (np.sqrt(v) + kind(step[1]))), m, v


@_kernel
def _adam(values, grad, first, second, n_weights, step):
    for i in range(len(values)):
        values[i], first[i], second[i] = _adam_of_one(
            values[i], grad[i], first[i], second[i], i < n_weights, step
        )


def make_adam(like: NDArray) -> Callable[..., None]:
    """Return the update of Adam; see `numpy_kernels.make_adam`."""

    def update(
        values: NDArray,
        grad: NDArray,
        first: NDArray,
        second: NDArray,
        n_weights: int,
        step: AdamStep,
    ) -> None:
        _adam(values, grad, first, second, n_weights, tuple(step))  # Faster than a named tuple.

    return update


@_kernel
def _adam_rows(values, grad, first, second, rows, step):
    for i in range(len(rows)):
        row = rows[i]
        for j in range(values.shape[1]):
            values[row, j], first[row, j], second[row, j] = _adam_of_one(
                values[row, j], grad[i, j], first[row, j], second[row, j], True, step
            )


def make_adam_rows(matrices: Sequence[NDArray]) -> Callable[[NDArray, NDArray, AdamStep], None]:
    """Return the update of Adam in some rows; see `numpy_kernels.make_adam_rows`."""
    values, first, second = matrices

    def update_rows(rows: NDArray, grad: NDArray, step: AdamStep) -> None:
        _adam_rows(values, grad, first, second, rows, tuple(step))

    return update_rows


@_kernel
def _sgd(values, grad, velocity, n_weights, rate, decay, momentum, is_nesterovs):
    kind = values.dtype.type
    rate, decay, momentum = kind(rate), kind(decay), kind(momentum)
    for i in range(len(values)):
        g = grad[i]
        if i < n_weights:
            g += decay * values[i]
        u = momentum * velocity[i] - rate * g
        velocity[i] = u
        values[i] += momentum * u - rate * g if is_nesterovs else u


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
