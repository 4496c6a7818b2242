"""The inner operations of training in NumPy and BLAS.

They work in place on arrays of one computing dtype. Those that need scratch arrays or functions
of the dtype are made for a fit by a function `make_...`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.linalg import get_blas_funcs
from scipy.sparse import csr_array
from scipy.special import expit

from skann.engine.memory import aligned_empty

# SciPy's BLAS may be another than NumPy's, with threads of its own that would take the cores from
# those of the products. OpenBLAS leaves vectors of up to 10,000 numbers to the calling thread.
_BLAS_PIECE = 10_000
# Numbers of rows that are gathered and updated at once: three buffers of them stay in cache.
_GATHERED_BLOCK = 32_768

LossFunction = Callable[[NDArray, NDArray, NDArray | None, float], float]


def gather(
    X: NDArray,
    indices: NDArray,
    shift: NDArray | None,
    factor: NDArray | None,
    raw: NDArray,
    batch: NDArray,
) -> None:
    """Gather rows, cast and scale them: ``(X[indices] - shift) * factor``.

    Parameters
    ----------
    X : ndarray of shape (n_all, n_features), C-contiguous
        Any numeric dtype.
    indices : ndarray of shape (n_rows,), intp
        Which rows, each from 0 to n_all - 1.
    shift, factor : ndarray of shape (n_features,) or None
        See `skann.engine.rows.Scaling`; with no factor there is no shift.
    raw : ndarray of shape (n_rows, n_features), dtype of X
        May be overwritten; `batch` itself where nothing is cast or scaled.
    batch : ndarray of shape (n_rows, n_features)
        Overwritten.
    """
    X.take(indices, axis=0, out=raw, mode="clip")
    if raw is not batch:
        scale(raw, shift, factor, batch)


def scale(rows: NDArray, shift: NDArray | None, factor: NDArray | None, out: NDArray) -> None:
    """Cast and scale rows: ``(rows - shift) * factor``; parameters as in `gather`."""
    if factor is None:
        np.copyto(out, rows, casting="unsafe")
    elif shift is None:
        np.multiply(rows, factor, out=out, casting="unsafe")
    else:
        np.subtract(rows, shift, out=out, casting="unsafe")
        out *= factor


def make_activation(name: str, function: Callable, backpropagate: Callable) -> tuple[Any, Any]:
    """Return the two passes of an activation, each with the bias of its layer.

    Parameters
    ----------
    name : str
        Its name.
    function, backpropagate : callable
        See `skann.engine.activations.Activation`.

    Returns
    -------
    forward : callable (outputs, bias, kept) -> None
        Adds the bias, None for none, to the outputs, of shape (n_rows, width), copies the sum
        to `kept`, if that is not None, and applies the function in place.
    backward : callable (kept, outputs, grad, ones, grad_bias) -> None
        Multiplies `grad` by the derivative; overwrites `grad_bias`, if that is not None, by its
        sum over the rows. `kept` and `outputs` may be overwritten.
    """

    def forward(outputs: NDArray, bias: NDArray | None, kept: NDArray | None) -> None:
        if bias is not None:
            outputs += bias
        if kept is not None:
            np.copyto(kept, outputs)
        function(outputs)

    def backward(
        kept: NDArray | None,
        outputs: NDArray,
        grad: NDArray,
        ones: NDArray,
        grad_bias: NDArray | None,
    ) -> None:
        backpropagate(kept, outputs, grad)
        if grad_bias is not None:
            # A product with ones sums over rows faster than a reduction does.
            ones.dot(grad, out=grad_bias)

    return forward, backward


def gather_sparse(X: csr_array, indices: NDArray) -> csr_array:
    """Return the rows of `X` at `indices`."""
    return X[indices]


def multiply_sparse(inputs: csr_array, weights: NDArray, outputs: NDArray) -> None:
    """Overwrite `outputs` by the product of sparse rows and weights."""
    outputs[...] = inputs @ weights


def touch(indices: NDArray, place: NDArray) -> tuple[NDArray, NDArray]:
    """Find the features that sparse rows have.

    Parameters
    ----------
    indices : ndarray of shape (n_entries,)
        The feature of each entry.
    place : ndarray of shape (n_features,), int32
        All -1, before and after.

    Returns
    -------
    rows : ndarray of shape (n_touched,), intp
        The features, sorted.
    columns : ndarray of shape (n_entries,), int32
        For each entry the position of its feature in `rows`.
    """
    # Marking and counting is several times faster than sorting the indices.
    place[indices] = 0
    rows = np.flatnonzero(place == 0)
    place[rows] = np.arange(len(rows))
    columns = place[indices]
    place[rows] = -1
    return rows, columns


def sparse_gradient(
    inputs: csr_array, columns: NDArray, grad_outputs: NDArray, buffer: NDArray
) -> NDArray:
    """Return ``inputs.T @ grad_outputs`` in the rows of the features that `touch` found.

    Parameters
    ----------
    inputs : CSR array of shape (n_rows, n_features)
        Sparse rows.
    columns : ndarray of shape (n_entries,), int32
        What `touch` returned for them.
    grad_outputs : ndarray of shape (n_rows, width)
        Gradient with respect to their products with the weights.
    buffer : ndarray of shape (n_touched, width)
        The result may be written there.

    Returns
    -------
    ndarray of shape (n_touched, width)
    """
    shape = inputs.shape[0], len(buffer)
    return csr_array((inputs.data, columns, inputs.indptr), shape=shape).T @ grad_outputs


def drop(words: NDArray, threshold: int, scale: float, mask: NDArray, values: NDArray) -> None:
    """Set values to zero where their random word is small, and scale the others up.

    Parameters
    ----------
    words : ndarray of shape (n,), uint16
        A random number for each value.
    threshold : int
        The least that keeps a value.
    scale : float
        What those are multiplied by.
    mask : ndarray of shape (n,), dtype of the values
        Overwritten by what each value was multiplied by.
    values : ndarray of shape (n,)
        Changed in place.
    """
    np.greater_equal(words, threshold, out=mask)
    mask *= scale
    values *= mask


def undo_drop(mask: NDArray, scale: float, outputs: NDArray, grad: NDArray) -> None:
    """Bring the gradient with respect to outputs back before `drop`, and the outputs too.

    Where they were dropped the outputs stay zero: so is the gradient there.

    Parameters
    ----------
    mask, scale : ndarray of shape (n,), float
        As in `drop`.
    outputs, grad : ndarray of shape (n,)
        Changed in place.
    """
    grad *= mask
    outputs *= 1 / scale


def make_softmax_cross_entropy(
    n_outputs: int, max_rows: int, dtype: DTypeLike, on_each: float, on_truth: float
) -> LossFunction:
    """Return the multinomial log-loss with its gradient.

    Parameters
    ----------
    n_outputs, max_rows, dtype : int, int, dtype-like
        Classes, rows of the largest batch, computing dtype.
    on_each, on_truth : float
        What a target has on each of the other classes, and on the true one.

    Returns
    -------
    callable (logits, targets, weights, divisor) -> float
        See `skann.engine.losses.SoftmaxCrossEntropy.value_and_gradient`.
    """
    row_buffer, scale_buffer, log_buffer = np.empty((3, max_rows), dtype)
    wanted_buffer = np.empty(n_outputs * max_rows, dtype)
    columns = np.arange(max_rows, dtype=np.intp)
    # A product with ones sums faster than a reduction does.
    one_by_row, one_by_class = np.ones(max_rows, dtype), np.ones(n_outputs, dtype)

    def loss(logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float) -> float:
        n_rows = logits.shape[1]
        row, scale, log = row_buffer[:n_rows], scale_buffer[:n_rows], log_buffer[:n_rows]
        # Divided in their own precision: their scale may be beyond the computing dtype.
        np.multiply(one_by_row[:n_rows] if weights is None else weights, 1.0 / divisor, out=scale)
        # The distribution that each row is to have, times its weight.
        wanted = wanted_buffer[: logits.size].reshape(logits.shape)
        wanted.fill(on_each)
        wanted[targets, columns[:n_rows]] = on_truth
        wanted *= scale

        np.maximum.reduce(logits, axis=0, out=row)
        logits -= row
        score = logits.ravel().dot(wanted.ravel())
        np.exp(logits, out=logits)
        one_by_class.dot(logits, out=row)
        np.log(row, out=log)
        value = float(scale.dot(log) - score)
        scale /= row
        logits *= scale
        logits -= wanted
        return value

    return loss


def make_logistic_cross_entropy(
    n_outputs: int, max_rows: int, dtype: DTypeLike, smoothing: float
) -> LossFunction:
    """Return the sum of binary log-losses with its gradient.

    Parameters
    ----------
    n_outputs, max_rows, dtype : int, int, dtype-like
        Outputs, rows of the largest batch, computing dtype.
    smoothing : float
        Share of a target spread evenly over its two values.

    Returns
    -------
    callable (logits, targets, weights, divisor) -> float
        See `skann.engine.losses.LogisticCrossEntropy.value_and_gradient`.
    """
    buffer = np.empty(n_outputs * max_rows, dtype)

    def loss(logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float) -> float:
        targets = targets.T
        scratch = buffer[: logits.size].reshape(logits.shape)
        # log(1 + e^z) - y z equals log(1 + e^s) with s = z for y = 0 and s = -z for y = 1.
        np.multiply(targets, -2, out=scratch)
        scratch += 1
        scratch *= logits
        value = 0.0
        if smoothing:
            # A target nearer to 1/2 by h makes the loss less by h s.
            value -= smoothing / 2 * _weighted_sum(scratch, weights)
        np.logaddexp(0, scratch, out=scratch)
        value += _weighted_sum(scratch, weights)

        expit(logits, out=logits)
        if smoothing:
            targets = np.multiply(targets, 1 - smoothing, out=scratch)
            targets += smoothing / 2
        logits -= targets
        if weights is not None:
            logits *= weights
        logits *= 1.0 / divisor
        return value / divisor

    return loss


def _weighted_sum(values: NDArray, weights: NDArray | None) -> float:
    """Return the sum of `values`, of shape (n_outputs, n_rows), each row times its weight."""
    return float(np.add.reduce(values if weights is None else values.dot(weights), axis=None))


def vector_functions(vector: NDArray) -> tuple[Callable, Callable]:
    """Return ``y[:n] += a * x[:n]`` and ``x[:n] *= a``, as BLAS computes them in place.

    One pass instead of two, and for vectors so short that the call is all there is to it a third
    of the time of a ufunc. As `add_scaled(x, y, n, a)` and `scale(a, x, n)`, for aligned,
    contiguous vectors of the type and at most the length of `vector`: f2py would copy others, and
    the result be lost.
    """
    axpy, scal = get_blas_funcs(("axpy", "scal"), (vector,))
    if vector.size <= _BLAS_PIECE:
        return axpy, scal

    def add_scaled(x: NDArray, y: NDArray, n: int, a: float) -> None:
        start = 0
        while n - start > _BLAS_PIECE:
            axpy(x, y, _BLAS_PIECE, a, start, 1, start, 1)
            start += _BLAS_PIECE
        axpy(x, y, n - start, a, start, 1, start, 1)

    return add_scaled, scal


class AdamStep(NamedTuple):
    """The numbers of one step of Adam, the same for all parameters.

    Attributes
    ----------
    rate : float
        What the quotient of the two sums is multiplied by.
    epsilon : float
        What is added to the root of the second sum.
    first_term, second_term : float
        What the gradient and its square are multiplied by as terms of the sums.
    penalty : float
        Share of the weights in their gradient.
    shrinkage : float
        What decoupled decay multiplies the weights by.
    """

    rate: float
    epsilon: float
    first_term: float
    second_term: float
    penalty: float
    shrinkage: float


def make_adam(like: NDArray) -> Callable[..., None]:
    """Return the update of Adam.

    Parameters
    ----------
    like : ndarray of shape (n_parameters,)
        Of the dtype of the vectors to update, and no shorter.

    Returns
    -------
    callable (values, grad, first, second, n_weights, step) -> None
        Updates parameters and the sums of gradients and of squared gradients by an `AdamStep`.
        The first `n_weights` parameters decay. The gradient may be overwritten. The vectors are
        aligned and contiguous.
    """
    add_scaled, scale = vector_functions(like)

    def update(
        values: NDArray,
        grad: NDArray,
        first: NDArray,
        second: NDArray,
        n_weights: int,
        step: AdamStep,
    ) -> None:
        n = values.size
        if n_weights and step.penalty:
            add_scaled(values, grad, n_weights, step.penalty)
        if n_weights and step.shrinkage != 1:
            scale(step.shrinkage, values, n_weights)
        add_scaled(grad, first, n, step.first_term)
        np.square(grad, out=grad)
        add_scaled(grad, second, n, step.second_term)
        np.sqrt(second, out=grad)
        grad += step.epsilon
        np.divide(first, grad, out=grad)
        add_scaled(grad, values, n, -step.rate)

    return update


def make_adam_rows(matrices: Sequence[NDArray]) -> Callable[[NDArray, NDArray, AdamStep], None]:
    """Return the update of Adam in some rows of a weight matrix.

    Parameters
    ----------
    matrices : sequence of ndarray of shape (n_features, width)
        Weights and the two sums, as in `make_adam`; updated in place.

    Returns
    -------
    callable (rows, grad, step) -> None
        Updates the rows at `rows`, which all decay, by the gradient in them, which may be
        overwritten.
    """
    dtype, width = matrices[0].dtype, matrices[0].shape[1]
    n_at_once = max(_GATHERED_BLOCK // width, 1)
    buffers = aligned_empty((3, n_at_once * width), dtype)
    update = make_adam(buffers[0])

    def update_rows(rows: NDArray, grad: NDArray, step: AdamStep) -> None:
        for start in range(0, len(rows), n_at_once):
            some = rows[start : start + n_at_once]
            gathered = buffers[:, : len(some) * width]
            for matrix, values in zip(matrices, gathered, strict=True):
                # Clipping, which never happens, spares the copy that a check would need.
                matrix.take(some, axis=0, out=values.reshape(-1, width), mode="clip")
            part = grad[start : start + n_at_once].ravel()
            update(gathered[0], part, gathered[1], gathered[2], part.size, step)
            for matrix, values in zip(matrices, gathered, strict=True):
                matrix[some] = values.reshape(-1, width)

    return update_rows


def make_sgd(like: NDArray, momentum: float, is_nesterovs: bool) -> Callable[..., None]:
    """Return the update of stochastic gradient descent with momentum.

    Parameters
    ----------
    like : ndarray of shape (n_parameters,)
        Of the dtype of the vectors to update, and no shorter.
    momentum, is_nesterovs : float, bool
        See `skann.engine.optimizers.SGD`.

    Returns
    -------
    callable (values, grad, velocity, n_weights, rate, decay) -> None
        Updates parameters and velocity; otherwise as what `make_adam` returns.
    """
    add_scaled, scale = vector_functions(like)

    def update(
        values: NDArray,
        grad: NDArray,
        velocity: NDArray,
        n_weights: int,
        rate: float,
        decay: float,
    ) -> None:
        n = values.size
        if n_weights and decay:
            add_scaled(values, grad, n_weights, decay)
        scale(momentum, velocity, n)
        add_scaled(grad, velocity, n, -rate)
        if is_nesterovs and momentum:
            add_scaled(velocity, values, n, momentum)
            add_scaled(grad, values, n, -rate)
        else:
            add_scaled(velocity, values, n, 1.0)

    return update


def make_average(like: NDArray) -> Callable[[NDArray, NDArray, float], None]:
    """Return the update of a moving average.

    Parameters
    ----------
    like : ndarray of shape (n_parameters,)
        Gives length and dtype.

    Returns
    -------
    callable (average, values, share) -> None
        Moves the average by a share of the way to the values.
    """
    scratch = np.empty_like(like)

    def update(average: NDArray, values: NDArray, share: float) -> None:
        np.subtract(values, average, out=scratch)
        np.multiply(scratch, share, out=scratch)
        average += scratch

    return update


def make_interpolation(
    n_images: int, height: int, width: int, dtype: DTypeLike
) -> Callable[[NDArray, NDArray], None]:
    """Return a function that replaces images by their values at other coordinates.

    Values are interpolated bilinearly and zero outside of the image.

    Parameters
    ----------
    n_images, height, width : int
        Of the images, whose pixels and the zeros between them are fewer than 2**24: indices are
        calculated in `dtype`.
    dtype : dtype-like
        Of the images and the coordinates.

    Returns
    -------
    callable (images, coordinates) -> None
        `images`, of shape (n_images, height, width, n_channels), are replaced. `coordinates`, of
        shape (2, n_images, height * width), are the row and the column from where each pixel
        comes; they are used up.
    """
    return _Interpolation(n_images, height, width, dtype)


class _Interpolation:
    def __init__(self, n_images: int, height: int, width: int, dtype: DTypeLike) -> None:
        shape = n_images, height * width
        # The zero after a row is the one before the next row, and so for images.
        self._stride = width + 1
        size = (height + 1) * self._stride
        # Every image with zeros around it, one after the other, and the view of it that is these.
        self._padded = np.zeros(n_images * size + 2 * self._stride + 2, dtype)
        framed = self._padded[: n_images * size].reshape(n_images, height + 1, self._stride)
        self._inner = framed[:, 1:, 1:]
        self._slopes = np.empty(len(self._padded) - 1, dtype)
        # Where the first pixel of an image is, for each of its pixels.
        first = np.arange(n_images, dtype=dtype) * size + self._stride + 1
        self._first = np.repeat(first, shape[1]).reshape(shape)
        self._values = np.empty((3, *shape), dtype)
        self._narrow = np.empty(shape, np.int32)
        self._indices = np.empty(shape, np.intp)

    def __call__(self, images: NDArray, coordinates: NDArray) -> None:
        _, height, width, n_channels = images.shape
        rows, columns = coordinates
        # What is further away than a pixel is as zero as the frame.
        np.clip(rows, -1, height, out=rows)
        np.clip(columns, -1, width, out=columns)
        top, left, spare = self._values
        np.floor(rows, out=top)
        np.floor(columns, out=left)
        rows -= top
        columns -= left
        top *= self._stride
        top += left
        top += self._first
        # By way of int32, as processors have no fast conversion from float32 to int64.
        np.copyto(self._narrow, top, casting="unsafe")
        np.copyto(self._indices, self._narrow)

        shape = images.shape[:3]
        above, below = top, left
        for channel in range(n_channels):
            self._inner[...] = images[..., channel]
            np.subtract(self._padded[1:], self._padded[:-1], out=self._slopes)
            self._interpolate_across(0, columns, above, spare)
            self._interpolate_across(self._stride, columns, below, spare)
            below -= above
            below *= rows
            np.add(above.reshape(shape), below.reshape(shape), out=images[..., channel])

    def _interpolate_across(
        self, distance: int, columns: NDArray, out: NDArray, spare: NDArray
    ) -> None:
        """Look up values at the columns' fractions, `distance` behind the indices."""
        # No index is out of range; mode="wrap" is the fastest, as it needs no copy to fall back to.
        self._padded[distance:].take(self._indices, out=out, mode="wrap")
        self._slopes[distance:].take(self._indices, out=spare, mode="wrap")
        spare *= columns
        out += spare
