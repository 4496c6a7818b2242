"""The inner operations of training with NumPy and BLAS: the reference implementation.

They work in place on arrays of one computing dtype. A function `make_...` returns an operation
that needs scratch arrays, or functions for its dtype; it is made once for each fit.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.linalg import get_blas_funcs
from scipy.sparse import csr_array
from scipy.special import expit

from skann.engine.memory import aligned_empty

# SciPy may have a BLAS of its own, whose threads would compete with those of NumPy's products.
# OpenBLAS computes on vectors of up to 10,000 numbers in the calling thread.
_BLAS_PIECE = 10_000
# Numbers that are gathered and updated at once, so that three buffers of them stay in cache.
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
        Array of all rows, of any numeric dtype.
    indices : ndarray of shape (n_rows,), intp
        Indices of the rows, each from 0 to n_all - 1.
    shift, factor : ndarray of shape (n_features,) or None
        See `skann.engine.rows.Scaling`. Without a factor there is no shift.
    raw : ndarray of shape (n_rows, n_features), dtype of X
        Buffer, which may be overwritten. It is `batch` itself if nothing is cast or scaled.
    batch : ndarray of shape (n_rows, n_features)
        Overwritten by the result.
    """
    X.take(indices, axis=0, out=raw, mode="clip")
    if raw is not batch:
        scale(raw, shift, factor, batch)


def scale(rows: NDArray, shift: NDArray | None, factor: NDArray | None, out: NDArray) -> None:
    """Cast and scale rows: ``(rows - shift) * factor``; the parameters are those of `gather`."""
    if factor is None:
        np.copyto(out, rows, casting="unsafe")
    elif shift is None:
        np.multiply(rows, factor, out=out, casting="unsafe")
    else:
        np.subtract(rows, shift, out=out, casting="unsafe")
        out *= factor


def make_activation(name: str, function: Callable, backpropagate: Callable) -> tuple[Any, Any]:
    """Return the forward and backward pass of an activation, including the bias of its layer.

    Parameters
    ----------
    name : str
        Name of the activation.
    function, backpropagate : callable
        See `skann.engine.activations.Activation`.

    Returns
    -------
    forward : callable (outputs, bias, kept) -> None
        Adds the bias, unless it is None, to the outputs, of shape (n_rows, width). Copies the
        sum to `kept`, unless that is None, and applies the function in place.
    backward : callable (kept, outputs, grad, ones, grad_bias) -> None
        Multiplies `grad` by the derivative and overwrites `grad_bias`, unless it is None, by the
        sum of `grad` over the rows. `kept` and `outputs` may be overwritten.
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
            # A product with ones sums over rows faster than np.sum.
            ones.dot(grad, out=grad_bias)

    return forward, backward


def gather_sparse(X: csr_array, indices: NDArray) -> csr_array:
    """Return the rows of `X` at `indices`."""
    return X[indices]


def multiply_sparse(inputs: csr_array, weights: NDArray, outputs: NDArray) -> None:
    """Overwrite `outputs` by the product of sparse rows and weights."""
    outputs[...] = inputs @ weights


def touch(indices: NDArray, place: NDArray) -> tuple[NDArray, NDArray]:
    """Find the features that occur in sparse rows.

    Parameters
    ----------
    indices : ndarray of shape (n_entries,)
        Feature of each entry.
    place : ndarray of shape (n_features,), int32
        Scratch array. It must hold -1 everywhere, and does so again afterwards.

    Returns
    -------
    rows : ndarray of shape (n_touched,), intp
        The features that occur, sorted.
    columns : ndarray of shape (n_entries,), int32
        Position in `rows` of the feature of each entry.
    """
    # Marking and counting are several times faster than sorting the indices.
    place[indices] = 0
    rows = np.flatnonzero(place == 0)
    place[rows] = np.arange(len(rows))
    columns = place[indices]
    place[rows] = -1
    return rows, columns


def sparse_gradient(
    inputs: csr_array, columns: NDArray, grad_outputs: NDArray, buffer: NDArray
) -> NDArray:
    """Return the rows of ``inputs.T @ grad_outputs`` for the features that `touch` found.

    Parameters
    ----------
    inputs : CSR array of shape (n_rows, n_features)
        Sparse rows of a batch.
    columns : ndarray of shape (n_entries,), int32
        Result of `touch` for these rows.
    grad_outputs : ndarray of shape (n_rows, width)
        Gradient with respect to the products of the rows with the weights.
    buffer : ndarray of shape (n_touched, width)
        Array that the result may be written to.

    Returns
    -------
    ndarray of shape (n_touched, width)
        The nonzero rows of the gradient.
    """
    shape = inputs.shape[0], len(buffer)
    return csr_array((inputs.data, columns, inputs.indptr), shape=shape).T @ grad_outputs


def drop(words: NDArray, threshold: int, scale: float, mask: NDArray, values: NDArray) -> None:
    """Set values to zero if their random number is small, and scale up the others.

    Parameters
    ----------
    words : ndarray of shape (n,), uint16
        One random number for each value.
    threshold : int
        Smallest random number that keeps a value.
    scale : float
        Factor of the values that are kept.
    mask : ndarray of shape (n,), dtype of the values
        Overwritten by the factor of each value: zero or `scale`.
    values : ndarray of shape (n,)
        The values, changed in place.
    """
    np.greater_equal(words, threshold, out=mask)
    mask *= scale
    values *= mask


def undo_drop(mask: NDArray, scale: float, outputs: NDArray, grad: NDArray) -> None:
    """Propagate a gradient back through `drop`, and rescale the outputs.

    Outputs that were dropped stay zero, and so does the gradient there.

    Parameters
    ----------
    mask, scale : ndarray of shape (n,), float
        The same as in `drop`.
    outputs, grad : ndarray of shape (n,)
        Outputs and the gradient with respect to them, changed in place.
    """
    grad *= mask
    outputs *= 1 / scale


def make_softmax_cross_entropy(
    n_outputs: int, max_rows: int, dtype: DTypeLike, on_each: float, on_truth: float
) -> LossFunction:
    """Return a function that computes the multinomial log-loss and its gradient.

    Parameters
    ----------
    n_outputs, max_rows, dtype : int, int, dtype-like
        Number of classes, number of rows of the largest batch, and computing dtype.
    on_each, on_truth : float
        Probability that a target assigns to each of the wrong classes, and to the true class.

    Returns
    -------
    callable (logits, targets, weights, divisor) -> float
        See `skann.engine.losses.Loss`.
    """
    row_buffer, scale_buffer, log_buffer = np.empty((3, max_rows), dtype)
    wanted_buffer = np.empty(n_outputs * max_rows, dtype)
    columns = np.arange(max_rows, dtype=np.intp)
    # A product with ones sums faster than np.sum.
    one_by_row, one_by_class = np.ones(max_rows, dtype), np.ones(n_outputs, dtype)

    def loss(logits: NDArray, targets: NDArray, weights: NDArray | None, divisor: float) -> float:
        n_rows = logits.shape[1]
        row, scale, log = row_buffer[:n_rows], scale_buffer[:n_rows], log_buffer[:n_rows]
        # Divide in the precision of the weights, which may exceed the range of the logits' dtype.
        np.multiply(one_by_row[:n_rows] if weights is None else weights, 1.0 / divisor, out=scale)
        # The target distribution of each row, multiplied by its weight.
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
    """Return a function that computes the sum of binary log-losses and its gradient.

    Parameters
    ----------
    n_outputs, max_rows, dtype : int, int, dtype-like
        Number of outputs, number of rows of the largest batch, and computing dtype.
    smoothing : float
        Share of a target that is spread evenly over its two values.

    Returns
    -------
    callable (logits, targets, weights, divisor) -> float
        See `skann.engine.losses.Loss`.
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
            # Moving a target towards 1/2 by h lowers the loss by h s.
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
    """Return the sum of `values`, of shape (n_outputs, n_rows), with each row weighted."""
    return float(np.add.reduce(values if weights is None else values.dot(weights), axis=None))


def vector_functions(vector: NDArray) -> tuple[Callable, Callable]:
    """Return functions for ``y[:n] += a * x[:n]`` and ``x[:n] *= a``, computed in place by BLAS.

    BLAS takes one pass where NumPy takes two. For very short vectors, where the overhead of the
    call dominates, it takes a third of the time of a ufunc. The functions are
    `add_scaled(x, y, n, a)` and `scale(a, x, n)`. Vectors must be aligned and contiguous, have the
    dtype of `vector`, and be no longer than it: f2py would copy others, and the result would be
    lost.
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
    """Coefficients of one step of Adam, which are the same for all parameters.

    Attributes
    ----------
    rate : float
        Factor of the quotient of the two sums.
    epsilon : float
        Number that is added to the root of the second sum.
    first_term, second_term : float
        Factors of the gradient and of its square when they are added to the sums.
    penalty : float
        Factor of the weights in the gradient of the penalty.
    shrinkage : float
        Factor by which decoupled decay multiplies the weights.
    """

    rate: float
    epsilon: float
    first_term: float
    second_term: float
    penalty: float
    shrinkage: float


def make_adam(like: NDArray) -> Callable[..., None]:
    """Return the update function of Adam.

    Parameters
    ----------
    like : ndarray of shape (n_parameters,)
        Vector with the dtype of the vectors to update, and no shorter than they are.

    Returns
    -------
    callable (values, grad, first, second, n_weights, step) -> None
        Updates the parameters, the sum of gradients and the sum of squared gradients by an
        `AdamStep`. The first `n_weights` parameters decay. The gradient may be overwritten. All
        vectors must be aligned and contiguous.
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
    """Return the update function of Adam for some rows of a weight matrix.

    Parameters
    ----------
    matrices : sequence of ndarray of shape (n_features, width)
        The weights and the two sums of `make_adam`, which are updated in place.

    Returns
    -------
    callable (rows, grad, step) -> None
        Updates the rows at `rows`, all of which decay, by their gradient, which may be
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
                # No index is out of range, but mode="clip" avoids a copy that a check would need.
                matrix.take(some, axis=0, out=values.reshape(-1, width), mode="clip")
            part = grad[start : start + n_at_once].ravel()
            update(gathered[0], part, gathered[1], gathered[2], part.size, step)
            for matrix, values in zip(matrices, gathered, strict=True):
                matrix[some] = values.reshape(-1, width)

    return update_rows


def make_sgd(like: NDArray, momentum: float, is_nesterovs: bool) -> Callable[..., None]:
    """Return the update function of stochastic gradient descent with momentum.

    Parameters
    ----------
    like : ndarray of shape (n_parameters,)
        Vector with the dtype of the vectors to update, and no shorter than they are.
    momentum, is_nesterovs : float, bool
        See `skann.engine.optimizers.SGD`.

    Returns
    -------
    callable (values, grad, velocity, n_weights, rate, decay) -> None
        Updates the parameters and the velocity. Otherwise it is like the result of `make_adam`.
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
    """Return the update function of a moving average.

    Parameters
    ----------
    like : ndarray of shape (n_parameters,)
        Vector that gives the length and dtype.

    Returns
    -------
    callable (average, values, share) -> None
        Moves the average towards the values by a share of the distance.
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
    """Return a function that resamples images at given coordinates.

    Values are interpolated bilinearly. Outside of the image they are zero.

    Parameters
    ----------
    n_images, height, width : int
        Size of the images. Their pixels and the zeros between them must be fewer than 2**24,
        because indices are computed in `dtype`.
    dtype : dtype-like
        Dtype of the images and the coordinates.

    Returns
    -------
    callable (images, coordinates) -> None
        Overwrites `images`, of shape (n_images, height, width, n_channels). `coordinates`, of
        shape (2, n_images, height * width), gives the row and the column that each pixel is
        sampled from; it is overwritten, too.
    """
    return _Interpolation(n_images, height, width, dtype)


class _Interpolation:
    def __init__(self, n_images: int, height: int, width: int, dtype: DTypeLike) -> None:
        shape = n_images, height * width
        # A single zero separates each row from the next; a row of zeros separates the images.
        self._stride = width + 1
        size = (height + 1) * self._stride
        # Buffer for all images with zeros around each of them, and a view of the images in it.
        self._padded = np.zeros(n_images * size + 2 * self._stride + 2, dtype)
        framed = self._padded[: n_images * size].reshape(n_images, height + 1, self._stride)
        self._inner = framed[:, 1:, 1:]
        self._slopes = np.empty(len(self._padded) - 1, dtype)
        # Index of the first pixel of its image, for each pixel.
        first = np.arange(n_images, dtype=dtype) * size + self._stride + 1
        self._first = np.repeat(first, shape[1]).reshape(shape)
        self._values = np.empty((3, *shape), dtype)
        self._narrow = np.empty(shape, np.int32)
        self._indices = np.empty(shape, np.intp)

    def __call__(self, images: NDArray, coordinates: NDArray) -> None:
        _, height, width, n_channels = images.shape
        rows, columns = coordinates
        # More than one pixel outside of the image, everything is zero, as in the frame.
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
        # Convert through int32, because processors convert float32 to int64 slowly.
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
        """Interpolate between columns for the pixels `distance` behind the indices."""
        # No index is out of range. mode="wrap" is the fastest, because it needs no backup copy.
        self._padded[distance:].take(self._indices, out=out, mode="wrap")
        self._slopes[distance:].take(self._indices, out=spare, mode="wrap")
        spare *= columns
        out += spare
