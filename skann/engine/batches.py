"""Rows of X, as it is, gathered, scaled and cast one batch at a time."""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.memory import aligned_empty

# Rows of a pass over all of X (column statistics, laying out by rows): few enough for the
# rows of a wide table to stay in cache, many enough for Python's share not to count.
_PASS_ROWS = 512
# Numbers that are gathered at once where a batch has fewer: few calls for many small batches,
# and still in cache when the last of them is used.
_GATHERED = 65_536
_EPSILON = np.finfo(np.float64).eps
# Beyond these magnitudes, squares may be beyond float64.
_TINY, _HUGE = 1e-100, 1e100
_MOST = np.finfo(np.float64).max
# Factors up to there, and down to its inverse, leave rows of any use in float32's range.
_COMFORT = math.sqrt(np.finfo(np.float32).max)

InputScaling = Literal["standard", "maxabs"]


class Scaling(NamedTuple):
    """Per-feature scaling, ``z = (x - shift) * factor``, and smooth clipping.

    Attributes
    ----------
    shift : ndarray of shape (n_features,) or None
        None where nothing is subtracted.
    factor : ndarray of shape (n_features,) or None
        None where nothing is multiplied.
    clip : float or None
        If given, ``z / sqrt(1 + (z / clip)^2)`` takes the place of z: the identity near zero,
        and never beyond the clip.
    is_wide : bool
        Whether to scale in float64 whatever the computing dtype, which may not hold the factors
        or the rows before they are scaled.
    """

    shift: NDArray | None
    factor: NDArray | None
    clip: float | None = None
    is_wide: bool = False


class Examples(NamedTuple):
    """Rows of X, with what is known about each of them.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n_all, n_features)
        In a layout that rows can be gathered from (see `laid_out_by_rows`).
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_rows,) or None
        Sample weights.
    subset : ndarray of shape (n_rows,), int, or None
        Which rows of X these are; None for all.
    """

    X: NDArray | sparse.csr_array
    targets: NDArray
    weights: NDArray | None
    subset: NDArray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, rows: NDArray) -> "Examples":
        """Return some of the rows; X is not copied."""
        weights = None if self.weights is None else self.weights[rows]
        return Examples(self.X, self.targets[rows], weights, rows)


class Batch(NamedTuple):
    """What one step of training works on.

    Attributes
    ----------
    inputs : ndarray or CSR array of shape (n_batch, n_features)
    targets : ndarray of shape (n_batch,) or (n_batch, n_outputs)
    weights : ndarray of shape (n_batch,) or None
        Divided by the mean weight of all rows.
    """

    inputs: NDArray | sparse.csr_array
    targets: NDArray
    weights: NDArray | None


class RowSource(Protocol):
    """Rows of an array, in the computing dtype."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def gather(self, indices: NDArray) -> NDArray | sparse.csr_array:
        """Return the rows at `indices`, valid until the next call."""

    def chunk(self, start: int, stop: int) -> NDArray | sparse.csr_array:
        """Return consecutive rows, valid until the next call."""


class DenseRows:
    """Rows of a dense array of any numeric dtype and layout.

    Parameters
    ----------
    X : ndarray of shape (n_all, n_features)
        Never copied whole and never written to.
    dtype : dtype-like
        Computing dtype.
    max_rows : int
        The most rows that will be asked for at once.
    scaling : Scaling or None
        Applied as rows are cast.
    subset : ndarray of shape (n_rows,), intp, or None
        Which rows of X these are; None for all.
    """

    def __init__(
        self,
        X: NDArray,
        dtype: DTypeLike,
        max_rows: int,
        scaling: Scaling | None,
        subset: NDArray | None,
    ) -> None:
        # A memory map's subclass costs time at every slice; its base class reads the same file.
        self._X = np.asarray(X)
        self._subset = subset
        self._as_is = self._X.dtype == dtype and scaling is None
        # ndarray.take copies its whole source first unless that is contiguous and native.
        flags = self._X.flags
        self._takes = flags.c_contiguous and flags.aligned and self._X.dtype.isnative
        self._dtype = dtype
        self._max_rows = max_rows
        self._unit: NDArray | None = None
        self._shift = self._factor = self._clip = None
        if scaling is None:
            return
        self._shift, self._factor, self._clip, is_wide = scaling
        if is_wide:
            self._unit, self._factor = _split(self._factor)
            self._shift = None if self._shift is None else self._shift * self._unit
        elif self._factor is not None:
            self._factor = self._factor.astype(dtype)
            if self._shift is not None:
                # In the precision of X: far from zero, little would be left of it after.
                self._shift = self._shift.astype(np.result_type(self._X.dtype, dtype))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._X) if self._subset is None else len(self._subset)

    # Made on first use: a prediction that needs no cast needs none of them.

    @cached_property
    def _buffer(self) -> NDArray:
        return aligned_empty((self._max_rows, self._X.shape[1]), self._dtype)

    @cached_property
    def _raw(self) -> NDArray:
        if self._as_is:
            return self._buffer
        return aligned_empty(self._buffer.shape, self._X.dtype)

    @cached_property
    def _scratch(self) -> NDArray:
        return np.empty_like(self._buffer)

    @cached_property
    def _wide(self) -> NDArray:
        return np.empty(self._buffer.shape, np.float64)

    @cached_property
    def _index(self) -> NDArray:
        return np.empty(self._max_rows, dtype=np.intp)

    def gather(self, indices: NDArray) -> NDArray:
        """Return the rows at `indices`, valid until the next call."""
        if self._subset is not None:
            index = self._index[: len(indices)]
            indices = self._subset.take(indices, out=index, mode="clip")
        raw = self._raw[: len(indices)]
        if self._takes:
            self._X.take(indices, axis=0, out=raw, mode="clip")
        else:
            raw[...] = self._X[indices]
        return raw if self._as_is else self._cast(raw)

    def chunk(self, start: int, stop: int) -> NDArray:
        """Return consecutive rows, valid until the next call; a view where X allows it."""
        if self._subset is not None:
            return self.gather(np.arange(start, stop))
        rows = self._X[start:stop]
        if self._as_is and rows.flags.c_contiguous:
            return rows
        return self._cast(rows)

    def _cast(self, rows: NDArray) -> NDArray:
        batch = self._buffer[: len(rows)]
        if self._factor is None:
            np.copyto(batch, rows, casting="unsafe")
        elif self._unit is not None:
            wide = self._wide[: len(rows)]
            np.multiply(rows, self._unit, out=wide, casting="unsafe")
            if self._shift is not None:
                wide -= self._shift
            np.multiply(wide, self._factor, out=batch, casting="unsafe")
        elif self._shift is None:
            np.multiply(rows, self._factor, out=batch, casting="unsafe")
        else:
            np.subtract(rows, self._shift, out=batch, casting="unsafe")
            batch *= self._factor
        if self._clip is not None:
            _clip_smoothly(batch, self._clip, self._scratch[: len(rows)])
        return batch


class SparseRows:
    """Rows of a CSR array, kept sparse unless their scaling shifts.

    A scaling measured on sparse rows does not shift. One measured on dense rows may; the
    rows then are made dense, few at a time.

    Parameters
    ----------
    X : CSR array or matrix of shape (n_all, n_features)
        Never written to.
    dtype : dtype-like
        Computing dtype.
    scaling : Scaling or None
        Applied as rows are cast.
    subset : ndarray of shape (n_rows,), intp, or None
        Which rows of X these are; None for all.
    """

    def __init__(
        self,
        X: sparse.csr_array,
        dtype: DTypeLike,
        scaling: Scaling | None,
        subset: NDArray | None,
    ) -> None:
        self._X = sparse.csr_array(X)
        self._dtype = dtype
        self._subset = subset
        self._scaling = scaling

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._X.shape[0] if self._subset is None else len(self._subset)

    def gather(self, indices: NDArray) -> NDArray | sparse.csr_array:
        """Return the rows at `indices`."""
        return self._cast(self._X[indices if self._subset is None else self._subset[indices]])

    def chunk(self, start: int, stop: int) -> NDArray | sparse.csr_array:
        """Return consecutive rows."""
        rows = slice(start, stop)
        return self._cast(self._X[rows if self._subset is None else self._subset[rows]])

    def _cast(self, rows: sparse.csr_array) -> NDArray | sparse.csr_array:
        shift, factor, clip, _ = self._scaling or Scaling(None, None)
        n_rows = rows.shape[0]
        if shift is not None:
            return make_rows(rows.toarray(), self._dtype, n_rows, self._scaling).chunk(0, n_rows)
        if clip is not None and not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()  # The clip of a sum is not the sum of clips.
        data = rows.data if factor is None else rows.data * factor[rows.indices]
        data = data.astype(self._dtype, copy=clip is not None)
        if clip is not None:
            _clip_smoothly(data, clip, np.empty_like(data))
        return _with_data(rows, data)


def _split(factor: Any) -> tuple[NDArray, NDArray]:
    """Return powers of two, which round nothing, and what is left of `factor`, from 1 to 2."""
    left, exponent = np.frexp(factor)
    return np.ldexp(0.5, exponent), 2 * left


def _clip_smoothly(values: NDArray, clip: float, scratch: NDArray) -> None:
    # Infinite values too are clipped, and their quotient by the clip is finite.
    limit = np.finfo(values.dtype).max * min(clip / 2, 1)
    np.clip(values, -limit, limit, out=values)
    np.multiply(values, 1 / clip, out=scratch)
    # Not the root of a sum of squares, which overflows.
    np.hypot(scratch, 1, out=scratch)
    values /= scratch


def make_rows(
    X: NDArray | sparse.csr_array,
    dtype: DTypeLike,
    max_rows: int,
    scaling: Scaling | None = None,
    subset: NDArray | None = None,
) -> RowSource:
    """Return the source of rows that fits `X`.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_all, n_features)
        Any numeric dtype.
    dtype : dtype-like
        Computing dtype.
    max_rows : int
        The most rows that will be asked for at once.
    scaling : Scaling or None
        Applied as rows are cast.
    subset : ndarray of int or None
        Which rows of X to present; None for all.

    Returns
    -------
    DenseRows or SparseRows
    """
    if sparse.issparse(X):
        return SparseRows(X, dtype, scaling, subset)
    return DenseRows(X, dtype, min(max_rows, X.shape[0]), scaling, subset)


class Batches:
    """Mini-batches of rows, targets and weights, shuffled or in order.

    Parameters
    ----------
    examples : Examples
        What to draw from.
    batch_size : int
        Most rows of a batch. Where the rows are no multiple of it, the last two batches of an
        epoch share what is left: one of a few rows would make a step as long as the others, in
        a direction that is mostly noise.
    dtype : dtype-like
        Computing dtype.
    scaling : Scaling or None
        Applied to the rows as they are cast.

    Attributes
    ----------
    n_rows : int
        Rows of an epoch.
    n_batches : int
        Batches of an epoch.
    mean_weight : float
        Mean weight of the rows; 1 without weights.
    """

    def __init__(
        self, examples: Examples, batch_size: int, dtype: DTypeLike, scaling: Scaling | None
    ) -> None:
        X, targets, weights, subset = examples
        self.n_rows = len(examples)
        self.batch_size = batch_size
        self._bounds = _batch_bounds(self.n_rows, batch_size)
        self.n_batches = len(self._bounds) - 1
        self.mean_weight = 1.0 if weights is None else float(weights.mean(dtype=np.float64))
        self._n_at_once = 1
        if not sparse.issparse(X):
            self._n_at_once = max(_GATHERED // (batch_size * X.shape[1]), 1)
        rows_at_once = min(self._n_at_once * batch_size, self.n_rows)
        self._rows = make_rows(X, dtype, rows_at_once, scaling, subset)
        self._targets = targets
        # Relative weights: their scale may be beyond the computing dtype.
        self._weights = None if weights is None else (weights / self.mean_weight).astype(dtype)
        self._gathered_targets = np.empty((rows_at_once, *targets.shape[1:]), targets.dtype)
        self._gathered_weights = np.empty(rows_at_once, dtype)

    def shuffled(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of an epoch in random order; each is valid until the next."""
        order = rng.permutation(self.n_rows)
        for first in range(0, self.n_batches, self._n_at_once):
            bounds = self._bounds[first : first + self._n_at_once + 1]
            rows = self._gather(order[bounds[0] : bounds[-1]])
            if len(bounds) == 2:
                yield rows
                continue
            inputs, targets, weights = rows
            for start, stop in pairwise(bounds):
                part = slice(start - bounds[0], stop - bounds[0])
                yield Batch(inputs[part], targets[part], None if weights is None else weights[part])

    def _gather(self, indices: NDArray) -> Batch:
        targets = self._gathered_targets[: len(indices)]
        self._targets.take(indices, axis=0, out=targets, mode="clip")
        weights = None
        if self._weights is not None:
            weights = self._gathered_weights[: len(indices)]
            self._weights.take(indices, out=weights, mode="clip")
        return Batch(self._rows.gather(indices), targets, weights)

    def in_order(self) -> Iterator[Batch]:
        """Yield the batches in the order of X; each is valid until the next."""
        for start, stop in pairwise(self._bounds):
            weights = None if self._weights is None else self._weights[start:stop]
            yield Batch(self._rows.chunk(start, stop), self._targets[start:stop], weights)


def _batch_bounds(n_rows: int, batch_size: int) -> list[int]:
    """Return where the batches of an epoch begin, and where the last one ends."""
    bounds = [*range(0, n_rows, batch_size), n_rows]
    if len(bounds) > 2:
        bounds[-2] = (bounds[-3] + n_rows + 1) // 2
    return bounds


def laid_out_by_rows(X: NDArray | sparse.sparray, dtype: DTypeLike) -> NDArray | sparse.csr_array:
    """Return `X` in a layout from which rows can be gathered, itself if it has one.

    A column-major array is copied once, in the narrower of its own and the computing
    dtype: gathering a row from it would touch a cache line for every number.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_rows, n_features)
        Any numeric dtype.
    dtype : dtype-like
        Computing dtype.

    Returns
    -------
    ndarray or CSR array of shape (n_rows, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.batches import laid_out_by_rows
    >>> laid_out_by_rows(np.ones((4, 3), order="F"), np.float32).dtype
    dtype('float32')
    """
    if sparse.issparse(X):
        return sparse.csr_array(X)
    if X.flags.c_contiguous or abs(X.strides[0]) > abs(X.strides[1]):
        return X
    dtype = np.dtype(dtype)
    by_rows = np.empty(X.shape, dtype if dtype.itemsize < X.dtype.itemsize else X.dtype)
    for start in range(0, len(X), _PASS_ROWS):
        by_rows[start : start + _PASS_ROWS] = X[start : start + _PASS_ROWS]
    return by_rows


def column_scaling(kind: InputScaling, examples: Examples) -> Scaling:
    """Measure each feature in one streaming pass.

    Parameters
    ----------
    kind : {"standard", "maxabs"}
        "standard" for zero mean and unit variance, "maxabs" for a largest absolute value
        of 1. Features that do not vary are not scaled.
    examples : Examples
        The training rows. They weigh as they do in the loss; rows of weight zero do not
        count. Sparse input is scaled, never shifted.

    Returns
    -------
    Scaling
        In float64.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.batches import Examples, column_scaling
    >>> X = np.array([[0, 255], [0, 51]], np.uint8)
    >>> column_scaling("maxabs", Examples(X, np.array([0, 1]), None)).factor * 255
    array([255.,   1.])
    """
    shift = None
    if kind == "maxabs":
        factor = _inverse(_largest(_passes(examples)))
    else:
        shift, factor = _standard(examples)
    if sparse.issparse(examples.X):
        shift = None
    is_wide = factor.max() > _COMFORT or factor.min() < 1 / _COMFORT
    return Scaling(shift, factor, is_wide=bool(is_wide))


def _standard(examples: Examples) -> tuple[NDArray, NDArray]:
    """Return mean and inverse standard deviation of each column."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = _moments(_passes(examples))
        factor = _inverse_deviation(mean, variance, len(examples))
    magnitude = np.abs(mean)
    in_range = (variance > _TINY**2) | (magnitude > _TINY) & (magnitude < _HUGE)
    in_range &= variance < _HUGE**2
    if not in_range.all():
        _measure_again(examples, np.flatnonzero(~in_range), mean, factor)
    return mean, factor


def _measure_again(examples: Examples, columns: NDArray, mean: NDArray, factor: NDArray) -> None:
    """Measure columns whose squares are beyond float64, in units near their largest value."""
    largest = _largest(_passes(examples, columns))
    columns, largest = columns[largest > 0], largest[largest > 0]
    if columns.size == 0:
        return
    unit = np.ldexp(1.0, np.minimum(-np.frexp(largest)[1], 1023))
    scaled_mean, variance = _moments(_passes(examples, columns, unit))
    mean[columns] = scaled_mean / unit
    with np.errstate(over="ignore"):
        scaled_factor = _inverse_deviation(scaled_mean, variance, len(examples))
        factor[columns] = np.minimum(scaled_factor * unit, _MOST)


def _passes(
    examples: Examples, columns: NDArray | None = None, unit: NDArray | None = None
) -> Iterator[tuple[Any, NDArray]]:
    """Yield rows of positive weight in float64 with their weights, dense ones few at a time.

    If given, only some of the columns, each multiplied by its unit.
    """
    X: Any = examples.X
    weights, subset = examples.weights, examples.subset
    if sparse.issparse(X):
        yield _sparse_pass(examples, columns, unit)
        return
    for start in range(0, len(examples), _PASS_ROWS):
        part = slice(start, start + _PASS_ROWS)
        rows = X[part] if subset is None else X[subset[part]]
        row_weights = np.ones(len(rows)) if weights is None else weights[part]
        if not row_weights.all():
            rows, row_weights = rows[row_weights > 0], row_weights[row_weights > 0]
        if len(rows):
            rows = rows if columns is None else rows[:, columns]
            rows = np.ascontiguousarray(rows, np.float64)  # BLAS adds others up in another order.
            yield (rows if unit is None else rows * unit), row_weights


def _sparse_pass(
    examples: Examples, columns: NDArray | None, unit: NDArray | None
) -> tuple[sparse.csr_array, NDArray]:
    """Return what `_passes` yields of sparse rows, all at once."""
    X: Any = examples.X
    weights, subset = examples.weights, examples.subset
    rows = sparse.csr_array(X if subset is None else X[subset], dtype=np.float64)
    if weights is None:
        weights = np.ones(rows.shape[0])
    elif not weights.all():
        rows, weights = rows[weights > 0], weights[weights > 0]
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    rows = rows if columns is None else rows[:, columns]
    return (rows if unit is None else _with_data(rows, rows.data * unit[rows.indices])), weights


def _largest(passes: Iterator) -> NDArray:
    """Return the largest absolute value of each column."""
    largest: Any = 0.0
    for rows, _ in passes:
        part = abs(rows).max(axis=0)
        largest = np.maximum(largest, part.toarray().ravel() if sparse.issparse(part) else part)
    return largest


def _moments(passes: Iterator) -> tuple[NDArray, NDArray]:
    """Return mean and variance of each column."""
    total: Any = 0.0
    mean = squares = total
    for rows, weights in passes:
        # Chan, Golub and LeVeque's update: means and squared deviations of two parts.
        part_total = weights.sum()
        part_mean = weights @ rows / part_total
        part_squares = _weighted_squares(rows, weights, part_mean)
        difference = part_mean - mean
        squares = squares + part_squares
        squares += difference**2 * (total * part_total / (total + part_total))
        total += part_total
        mean = mean + difference * (part_total / total)
    return mean, squares / total


def _weighted_squares(rows: Any, weights: NDArray, mean: NDArray) -> NDArray:
    """Return the sum of squared deviations; absent entries count as zeros."""
    if not sparse.issparse(rows):
        return weights @ np.square(rows - mean)
    total = weights.sum()
    absent = total - weights @ _with_data(rows, np.ones_like(rows.data))
    absent[absent < len(weights) * _EPSILON * total] = 0
    squares = _with_data(rows, np.square(rows.data - mean[rows.indices]))
    return weights @ squares + absent * np.square(mean)


def _with_data(X: sparse.csr_array, data: NDArray) -> sparse.csr_array:
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)


def _inverse(values: NDArray) -> NDArray:
    with np.errstate(over="ignore"):
        return np.minimum(1 / np.where(values > 0, values, 1), _MOST)


def _inverse_deviation(mean: NDArray, variance: NDArray, n_rows: int) -> NDArray:
    # What rounding leaves of the deviation of a constant column, which is not scaled, or so
    # little that its rounding does not count.
    rounding = n_rows * _EPSILON * np.abs(mean)
    deviation = np.sqrt(variance)
    return 1 / np.where(deviation <= rounding, np.maximum(rounding, 1), deviation)
