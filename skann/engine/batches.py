"""Rows of X, as it is, gathered, scaled and cast one batch at a time."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.memory import aligned_empty, made_on_first_use

# Rows of a pass over all of X (column statistics, laying out by rows): few enough for the
# rows of a wide table to stay in cache, many enough for Python's share not to count.
_PASS_ROWS = 512
# Numbers that are gathered at once where a batch has fewer: few calls for many small batches,
# and still in cache when the last of them is used.
_GATHERED = 65_536
_EPSILON = np.finfo(np.float64).eps

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
    """

    shift: NDArray | None
    factor: NDArray | None
    clip: float | None = None


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
        self._shift = self._factor = self._clip = None
        if scaling is not None:
            self._clip = scaling.clip
            if scaling.factor is not None:
                self._factor = scaling.factor.astype(dtype)
            if scaling.shift is not None:
                # In the precision of X: far from zero, little would be left of it after.
                self._shift = scaling.shift.astype(np.result_type(self._X.dtype, dtype))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._X) if self._subset is None else len(self._subset)

    # Made on first use: a prediction that needs no cast needs none of them.

    @made_on_first_use
    def _buffer(self) -> NDArray:
        return aligned_empty((self._max_rows, self._X.shape[1]), self._dtype)

    @made_on_first_use
    def _raw(self) -> NDArray:
        if self._as_is:
            return self._buffer
        return aligned_empty(self._buffer.shape, self._X.dtype)

    @made_on_first_use
    def _scratch(self) -> NDArray:
        return np.empty_like(self._buffer)

    @made_on_first_use
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
        shift, factor, clip = self._scaling or (None, None, None)
        if shift is not None:
            dense = ((rows.toarray() - shift) * factor).astype(self._dtype)
            if clip is not None:
                _clip_smoothly(dense, clip, np.empty_like(dense))
            return dense
        if clip is not None and not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()  # The clip of a sum is not the sum of clips.
        data = rows.data if factor is None else rows.data * factor[rows.indices]
        data = data.astype(self._dtype, copy=clip is not None)
        if clip is not None:
            _clip_smoothly(data, clip, np.empty_like(data))
        return _with_data(rows, data)


def _clip_smoothly(values: NDArray, clip: float, scratch: NDArray) -> None:
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
        Rows of a batch; the last one of an epoch may be shorter.
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
        self.batch_size = min(batch_size, self.n_rows)
        self.n_batches = -(-self.n_rows // self.batch_size)
        self.mean_weight = 1.0 if weights is None else float(weights.mean(dtype=np.float64))
        n_at_once = 1 if sparse.issparse(X) else _GATHERED // (self.batch_size * X.shape[1])
        self._rows_at_once = min(max(n_at_once, 1) * self.batch_size, self.n_rows)
        self._rows = make_rows(X, dtype, self._rows_at_once, scaling, subset)
        self._targets = targets
        # Relative weights: their scale may be beyond the computing dtype.
        self._weights = None if weights is None else (weights / self.mean_weight).astype(dtype)
        self._gathered_targets = np.empty((self._rows_at_once, *targets.shape[1:]), targets.dtype)
        self._gathered_weights = np.empty(self._rows_at_once, dtype)

    def shuffled(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of an epoch in random order; each is valid until the next."""
        order = rng.permutation(self.n_rows)
        for start in range(0, self.n_rows, self._rows_at_once):
            yield from self._split(self._gather(order[start : start + self._rows_at_once]))

    def _gather(self, indices: NDArray) -> Batch:
        targets = self._gathered_targets[: len(indices)]
        self._targets.take(indices, axis=0, out=targets, mode="clip")
        weights = None
        if self._weights is not None:
            weights = self._gathered_weights[: len(indices)]
            self._weights.take(indices, out=weights, mode="clip")
        return Batch(self._rows.gather(indices), targets, weights)

    def _split(self, rows: Batch) -> Iterator[Batch]:
        inputs, targets, weights = rows
        if len(targets) <= self.batch_size:
            yield rows
            return
        for start in range(0, len(targets), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield Batch(inputs[part], targets[part], None if weights is None else weights[part])

    def in_order(self) -> Iterator[Batch]:
        """Yield the batches in the order of X; each is valid until the next."""
        for start in range(0, self.n_rows, self.batch_size):
            stop = min(start + self.batch_size, self.n_rows)
            weights = None if self._weights is None else self._weights[start:stop]
            yield Batch(self._rows.chunk(start, stop), self._targets[start:stop], weights)


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
    X, _, weights, subset = examples
    if weights is None:
        weights = np.ones(len(examples))
    if sparse.issparse(X):
        return _sparse_column_scaling(kind, X, weights, subset)
    n_features = X.shape[1]
    largest, mean, squares = np.zeros((3, n_features))
    total = 0.0
    for rows, row_weights in _passes(X, weights, subset):
        if kind == "maxabs":
            np.maximum(largest, np.abs(rows).max(axis=0), out=largest)
            continue
        # Chan, Golub and LeVeque's update: means and squared deviations of two parts.
        part_total = row_weights.sum()
        part_mean = row_weights @ rows / part_total
        part_squares = row_weights @ np.square(rows - part_mean)
        difference = part_mean - mean
        squares += part_squares + difference**2 * (total * part_total / (total + part_total))
        total += part_total
        mean += difference * (part_total / total)
    if kind == "maxabs":
        return Scaling(None, _inverse_where_positive(largest))
    return Scaling(mean, _inverse_deviation(mean, squares / total, len(weights)))


def _sparse_column_scaling(
    kind: InputScaling,
    X: sparse.csr_array,
    weights: NDArray,
    subset: NDArray | None,
) -> Scaling:
    """Measure each feature of sparse rows; absent entries count as zeros."""
    X = sparse.csr_array(X if subset is None else X[subset], dtype=np.float64)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if kind == "maxabs":
        largest = abs(X[weights > 0]).max(axis=0).toarray().ravel()
        return Scaling(None, _inverse_where_positive(largest))
    share = weights / weights.sum()
    mean = share @ X
    absent = 1 - share @ _with_data(X, np.ones_like(X.data))
    absent[absent < len(share) * _EPSILON] = 0
    squares = _with_data(X, np.square(X.data - mean[X.indices]))
    variance = share @ squares + absent * np.square(mean)
    return Scaling(None, _inverse_deviation(mean, variance, len(share)))


def _with_data(X: sparse.csr_array, data: NDArray) -> sparse.csr_array:
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)


def _inverse_where_positive(largest: NDArray) -> NDArray:
    return 1 / np.where(largest > 0, largest, 1)


def _inverse_deviation(mean: NDArray, variance: NDArray, n_rows: int) -> NDArray:
    # What rounding leaves of the variance of a constant column, which is not scaled.
    constant = variance <= np.square(n_rows * _EPSILON * mean)
    return 1 / np.sqrt(np.where(constant, 1, variance))


def _passes(
    X: NDArray, weights: NDArray, subset: NDArray | None
) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield rows of positive weight in float64, few at a time, with their weights."""
    for start in range(0, len(weights), _PASS_ROWS):
        part = slice(start, start + _PASS_ROWS)
        counted = weights[part] > 0
        if counted.any():
            rows = X[part] if subset is None else X[subset[part]]
            yield rows[counted].astype(np.float64), weights[part][counted]
