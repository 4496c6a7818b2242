"""The inner operations of training, compiled by Numba; `numpy_kernels` documents them.

A kernel passes over its arrays once and allocates nothing. It runs in the calling thread, because
Numba's own threads would compete with those of BLAS for the cores.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_array

from skann.engine.kernels import numpy_kernels
from skann.engine.kernels.numba_activations import make_activation
from skann.engine.kernels.numba_math import exp, inline, kernel, log1p
from skann.engine.kernels.numpy_kernels import AdamStep

__all__ = ["make_activation"]


# Types of X that rows are gathered from by the compiled kernel; Numba lacks half precision.
_KNOWN = frozenset(np.dtype(name) for name in "bBhHiIlLqQfd")


def gather(
    X: NDArray,
    indices: NDArray,
    shift: NDArray | None,
    factor: NDArray | None,
    raw: NDArray,
    batch: NDArray,
) -> None:
    """Gather rows, cast and scale them; see `numpy_kernels.gather`."""
    if X.dtype in _KNOWN:
        _gather(X, indices, shift, factor, batch)
    else:
        numpy_kernels.gather(X, indices, shift, factor, raw, batch)


@kernel
def _gather(X, indices, shift, factor, batch):
    for i in range(len(indices)):
        row = indices[i]
        for j in range(batch.shape[1]):
            value = X[row, j]
            if factor is None:
                batch[i, j] = value
            elif shift is None:
                batch[i, j] = value * factor[j]
            else:
                # Round as the two passes of NumPy do.
                batch[i, j] = batch.dtype.type(value - shift[j]) * factor[j]


@kernel
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
    if X.dtype not in _KNOWN:
        return numpy_kernels.gather_sparse(X, indices)
    shape = len(indices), X.shape[1]
    return csr_array(_gather_sparse(X.data, X.indices, X.indptr, indices), shape=shape)


@kernel
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


@kernel
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


@kernel
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


@kernel
def drop(words, threshold, scale, mask, values):
    """Set values to zero or scale them; see `numpy_kernels.drop`."""
    for i in range(len(values)):
        mask[i] = scale if words[i] >= threshold else 0.0
        values[i] *= mask[i]


@kernel
def undo_drop(mask, scale, outputs, grad):
    """Propagate outputs and gradient back through dropout; see `numpy_kernels.undo_drop`."""
    inverse = outputs.dtype.type(1 / scale)
    for i in range(len(mask)):
        grad[i] *= mask[i]
        outputs[i] *= inverse


@kernel
def _softmax_cross_entropy(logits, targets, weights, divisor, wanted, sums):
    on_each, on_truth = wanted
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
            logits[k, i] = exp(np.float64(z))
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
    sums, wanted = np.empty((3, max_rows)), (on_each, on_truth)

    def loss(logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float) -> float:
        return _softmax_cross_entropy(logits, targets, weights, divisor, wanted, sums)

    return loss


@kernel
def _logistic_cross_entropy(logits, targets, weights, divisor, smoothing):
    value = 0.0
    for k in range(logits.shape[0]):
        for i in range(logits.shape[1]):
            weight = 1.0 if weights is None else np.float64(weights[i])
            z, target = np.float64(logits[k, i]), np.float64(targets[k, i])
            signed = (1 - 2 * target) * z
            e = exp(-abs(z))
            loss = max(signed, 0.0) + log1p(e)
            if smoothing:
                loss -= 0.5 * smoothing * signed
                target += smoothing * (0.5 - target)
            value += weight * loss
            logistic = (1.0 if z >= 0 else e) / (1 + e)
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


@inline
def _adam_of_one(value, g, m, v, decays, step):
    """Return a parameter and its two sums after a step, computed in the parameter's precision."""
    kind = type(value)
    if decays:
        g += kind(step[4]) * value
        value *= kind(step[5])
    m += kind(step[2]) * g
    v += kind(step[3]) * (g * g)
    return value - kind(step[0]) * (m / (np.sqrt(v) + kind(step[1]))), m, v


@kernel
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


@kernel
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


@kernel
def _sgd(values, grad, velocity, n_weights, factors, is_nesterovs):
    kind = values.dtype.type
    rate, decay, momentum = kind(factors[0]), kind(factors[1]), kind(factors[2])
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
        _sgd(values, grad, velocity, n_weights, (rate, decay, momentum), is_nesterovs)

    return update


@kernel
def _average(average, values, share):
    share = values.dtype.type(share)
    for i in range(len(values)):
        average[i] += share * (values[i] - average[i])


def make_average(like: NDArray) -> Callable[[NDArray, NDArray, float], None]:
    """Return the update of a moving average; see `numpy_kernels.make_average`."""
    return _average


@kernel
def _interpolate(images, coordinates, padded, indices):
    n_images, height, width, n_channels = images.shape
    number = coordinates.dtype.type
    first, last_row, last_column = number(0), number(height + 1), number(width + 1)
    stride = width + 2
    for i in range(n_images):
        rows, columns = coordinates[0, i], coordinates[1, i]
        # A separate loop, because the compiler does not vectorise loads at computed indices.
        for p in range(len(indices)):
            row = min(max(rows[p] + number(1), first), last_row)
            column = min(max(columns[p] + number(1), first), last_column)
            top, left = min(np.int32(row), np.int32(height)), min(np.int32(column), np.int32(width))
            rows[p], columns[p] = row - number(top), column - number(left)
            indices[p] = top * np.int32(stride) + left
        for channel in range(n_channels):
            for r in range(height):
                for c in range(width):
                    padded[(r + 1) * stride + c + 1] = images[i, r, c, channel]
            p = 0
            for r in range(height):
                for c in range(width):
                    # Unsigned, because indices that may be negative take longer.
                    k = np.uintp(indices[p])
                    below = k + np.uintp(stride)
                    upper = padded[k] + columns[p] * (padded[k + np.uintp(1)] - padded[k])
                    lower = padded[below] + columns[p] * (
                        padded[below + np.uintp(1)] - padded[below]
                    )
                    images[i, r, c, channel] = upper + rows[p] * (lower - upper)
                    p += 1


def make_interpolation(
    n_images: int, height: int, width: int, dtype: DTypeLike
) -> Callable[[NDArray, NDArray], None]:
    """Return a function that samples images; see `numpy_kernels.make_interpolation`."""
    padded = np.zeros((height + 2) * (width + 2), dtype)  # One image, with zeros around it.
    indices = np.empty(height * width, np.int32)

    def interpolate(images: NDArray, coordinates: NDArray) -> None:
        _interpolate(images, coordinates, padded, indices)

    return interpolate


def try_out() -> None:
    """Compile and run one kernel; this raises an error if Numba does not work here."""
    _average(np.zeros(1), np.ones(1), 0.5)
