"""Access to rows of X, which are gathered, scaled and cast a few at a time."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.kernels import active, numpy_kernels
from skann.engine.memory import aligned_empty, made_on_first_use

# Rows copied at once to another memory layout: few enough for rows of a wide table to stay in
# cache, and enough to make Python's overhead negligible.
_PASS_ROWS = 512
# Numbers in the widest layer when rows are computed outside of mini-batches: about two megabytes,
# so that inputs and activations stay in cache. For very wide layers, the minimum number of rows
# applies.
_CHUNK_NUMBERS = 500_000
_MIN_CHUNK_ROWS = 32


class Scaling(NamedTuple):
    """Per-feature scaling, ``z = (x - shift) * factor``, and smooth clipping.

    Attributes
    ----------
    shift : ndarray of shape (n_features,) or None
        Subtracted from each feature; None to subtract nothing.
    factor : ndarray of shape (n_features,) or None
        Multiplied with each feature; None to multiply nothing.
    clip : float or None
        If given, z is replaced by ``z / sqrt(1 + (z / clip)^2)``, which is close to z near zero
        and never exceeds the clip.
    is_wide : bool
        Whether to scale in float64 whatever the computing dtype, because the computing dtype may
        not hold the factors or the unscaled rows.
    kind : str or None
        Name of the scaling.
    """

    shift: NDArray | None
    factor: NDArray | None
    clip: float | None = None
    is_wide: bool = False
    kind: str | None = None


class DenseRows:
    """Rows of a dense array of any numeric dtype and layout.

    Parameters
    ----------
    X : ndarray of shape (n_all, n_features)
        Array of all rows. It is never copied completely and never written to.
    dtype : dtype-like
        Computing dtype.
    max_rows : int
        Maximum number of rows requested at once.
    scaling : Scaling or None
        Scaling, applied when rows are cast.
    subset : ndarray of shape (n_rows,), intp, or None
        Indices of the rows in X; None for all rows.
    """

    def __init__(
        self,
        X: NDArray,
        dtype: DTypeLike,
        max_rows: int,
        scaling: Scaling | None,
        subset: NDArray | None,
    ) -> None:
        # Slicing the subclass of a memory map is slow; its base class reads the same file.
        self._X = np.asarray(X)
        self._subset = subset
        self._as_is = self._X.dtype == dtype and scaling is None
        # ndarray.take copies its whole source unless that is contiguous and in native byte order.
        flags = self._X.flags
        self._takes = flags.c_contiguous and flags.aligned and self._X.dtype.isnative
        self._dtype = dtype
        self._max_rows = max_rows
        self._unit: NDArray | None = None
        self._shift = self._factor = self._clip = None
        if scaling is None:
            return
        self._shift, self._factor, self._clip, is_wide, _ = scaling
        if is_wide:
            self._unit, self._factor = _split(self._factor)
            self._shift = None if self._shift is None else self._shift * self._unit
        elif self._factor is not None:
            self._factor = self._factor.astype(dtype)
            if self._shift is not None:
                # Subtract in the precision of X: a cast before would lose digits far from zero.
                self._shift = self._shift.astype(np.result_type(self._X.dtype, dtype))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._X) if self._subset is None else len(self._subset)

    # These arrays are made on first use: a prediction that needs no cast needs none of them.

    @made_on_first_use
    def _kernels(self) -> ModuleType:
        return active()

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
    def _wide(self) -> NDArray:
        return np.empty(self._buffer.shape, np.float64)

    @made_on_first_use
    def _index(self) -> NDArray:
        return np.empty(self._max_rows, dtype=np.intp)

    def gather(self, indices: NDArray) -> NDArray:
        """Return the rows at `indices`, valid until the next call."""
        if self._subset is not None:
            index = self._index[: len(indices)]
            indices = self._subset.take(indices, out=index, mode="clip")
        raw = self._raw[: len(indices)]
        if self._takes and self._unit is None:
            batch = raw if self._as_is else self._buffer[: len(indices)]
            self._kernels.gather(self._X, indices, self._shift, self._factor, raw, batch)
            return self._clipped(batch)
        if self._takes:
            self._X.take(indices, axis=0, out=raw, mode="clip")
        else:
            raw[...] = self._X[indices]
        return raw if self._as_is else self.cast(raw)

    def chunk(self, start: int, stop: int) -> NDArray:
        """Return consecutive rows, valid until the next call; a view of X if possible."""
        if self._subset is not None:
            return self.gather(np.arange(start, stop))
        rows = self._X[start:stop]
        if self._as_is and rows.flags.c_contiguous:
            return rows
        return self.cast(rows)

    def cast(self, rows: NDArray) -> NDArray:
        """Return rows in the computing dtype and scaled, valid until the next call."""
        batch = self._buffer[: len(rows)]
        if self._unit is None:
            numpy_kernels.scale(rows, self._shift, self._factor, batch)
            return self._clipped(batch)
        assert self._factor is not None  # `is_wide` implies factors far from one.
        wide = self._wide[: len(rows)]
        np.multiply(rows, self._unit, out=wide, casting="unsafe")
        if self._shift is not None:
            wide -= self._shift
        np.multiply(wide, self._factor, out=batch, casting="unsafe")
        return self._clipped(batch)

    def _clipped(self, batch: NDArray) -> NDArray:
        if self._clip is not None:
            _clip_smoothly(batch, self._clip, self._scratch[: len(batch)])
        return batch


class SparseRows:
    """Rows of a CSR array, kept sparse unless their scaling shifts them.

    A scaling measured on sparse rows does not shift. A scaling measured on dense rows may; then
    the rows are made dense, a few at a time.

    Parameters
    ----------
    X : CSR array or matrix of shape (n_all, n_features)
        Array of all rows. It is never written to.
    dtype : dtype-like
        Computing dtype.
    scaling : Scaling or None
        Scaling, applied when rows are cast.
    subset : ndarray of shape (n_rows,), intp, or None
        Indices of the rows in X; None for all rows.
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

    @made_on_first_use
    def _kernels(self) -> ModuleType:
        return active()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._X.shape[0] if self._subset is None else len(self._subset)

    def gather(self, indices: NDArray) -> NDArray | sparse.csr_array:
        """Return the rows at `indices`."""
        indices = indices if self._subset is None else self._subset[indices]
        return self._cast(self._kernels.gather_sparse(self._X, indices))

    def chunk(self, start: int, stop: int) -> NDArray | sparse.csr_array:
        """Return consecutive rows."""
        rows = slice(start, stop)
        return self._cast(self._X[rows if self._subset is None else self._subset[rows]])

    def _cast(self, rows: sparse.csr_array) -> NDArray | sparse.csr_array:
        shift, factor, clip, *_ = self._scaling or Scaling(None, None)
        n_rows = rows.shape[0]
        if shift is not None:
            return make_rows(rows.toarray(), self._dtype, n_rows, self._scaling).chunk(0, n_rows)
        if clip is not None and not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()  # Clip the sum of duplicate entries, not each of them.
        data = rows.data if factor is None else rows.data * factor[rows.indices]
        data = data.astype(self._dtype, copy=clip is not None)
        if data is rows.data:
            return rows
        if clip is not None:
            _clip_smoothly(data, clip, np.empty_like(data))
        return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)


def _split(factor: Any) -> tuple[NDArray, NDArray]:
    """Return powers of two, which cause no rounding, and `factor` divided by them, in [1, 2)."""
    left, exponent = np.frexp(factor)
    return np.ldexp(0.5, exponent), 2 * left


def _clip_smoothly(values: NDArray, clip: float, scratch: NDArray) -> None:
    # The limit makes infinite values finite, and so is their quotient by the clip.
    limit = np.finfo(values.dtype).max * min(clip / 2, 1)
    np.clip(values, -limit, limit, out=values)
    np.multiply(values, 1 / clip, out=scratch)
    # The root of a sum of squares would overflow.
    np.hypot(scratch, 1, out=scratch)
    values /= scratch


RowSource = DenseRows | SparseRows


def make_rows(
    X: NDArray | sparse.csr_array,
    dtype: DTypeLike,
    max_rows: int,
    scaling: Scaling | None = None,
    subset: NDArray | None = None,
) -> RowSource:
    """Return a source of rows for a dense or sparse `X`.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_all, n_features)
        Array of all rows, of any numeric dtype.
    dtype : dtype-like
        Computing dtype.
    max_rows : int
        Maximum number of rows requested at once.
    scaling : Scaling or None
        Scaling, applied when rows are cast.
    subset : ndarray of int or None
        Indices of the rows in X; None for all rows.

    Returns
    -------
    DenseRows or SparseRows
    """
    if sparse.issparse(X):
        return SparseRows(X, dtype, scaling, subset)
    return DenseRows(X, dtype, min(max_rows, X.shape[0]), scaling, subset)


def laid_out_by_rows(X: NDArray | sparse.sparray, dtype: DTypeLike) -> NDArray | sparse.csr_array:
    """Return `X` in a layout that rows can be gathered from, or `X` itself if it has one.

    A column-major array is copied once, in the narrower of its own and the computing dtype.
    Gathering a row from it would read a cache line for every number.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_rows, n_features)
        Array of any numeric dtype.
    dtype : dtype-like
        Computing dtype.

    Returns
    -------
    ndarray or CSR array of shape (n_rows, n_features)
        The rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.rows import laid_out_by_rows
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


def chunk_rows(width: int) -> int:
    """Return how many rows to compute at once outside of mini-batches, for a layer width."""
    return max(_CHUNK_NUMBERS // width, _MIN_CHUNK_ROWS)
