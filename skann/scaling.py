"""Scaling of the inputs, with statistics of the training rows."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.utils import gen_batches

from skann.engine.batches import Examples
from skann.engine.rows import Scaling, make_rows

InputScaling = Literal["standard", "maxabs", "robust"]

# Numbers read in one pass over X: a few megabytes, so that the overhead of the calls is negligible.
_PASS_NUMBERS = 2**18
# The same limit as RealMLP's (see `ANNClassifier`).
ROBUST_CLIP = 3.0
# Maximum number of rows that quantiles are computed from.
_QUANTILE_ROWS = 100_000
# If all factors lie between 1 / _SAFE_FACTOR and _SAFE_FACTOR, useful rows stay in float32's range.
_SAFE_FACTOR = math.sqrt(np.finfo(np.float32).max)


def measure_scaling(kind: InputScaling, examples: Examples, as_one: bool = False) -> Scaling:
    """Return a scaling computed from the training rows in a few streaming passes.

    Parameters
    ----------
    kind : {"standard", "maxabs", "robust"}
        "standard" for zero mean and unit variance, "maxabs" for a largest absolute value
        of 1, "robust" for a median of 0 and an interquartile range of 1 (or, if that range is
        0, a total range of 2). Quantiles are computed from at most 100,000 rows. Constant
        features are not scaled.
    examples : Examples
        The training rows. Their weights count as in the loss, and rows of weight zero are left
        out. Sparse input is scaled but never shifted.
    as_one : bool
        Whether all features get the same factor, the smallest one. This is for rows whose values
        move from one feature to another.

    Returns
    -------
    Scaling
        The shifts and factors, in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.batches import Examples
    >>> from skann.scaling import measure_scaling
    >>> X = np.array([[0, 255], [0, 51]], np.uint8)
    >>> measure_scaling("maxabs", Examples(X, np.array([0, 1]), None)).factor * 255
    array([255.,   1.])
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if kind == "robust":
            return _make_scaling(*_robust(examples), kind, as_one)
        scaler = MaxAbsScaler()
        for rows, _ in _passes(examples):
            scaler.partial_fit(rows)
        largest = scaler.max_abs_
        if kind == "maxabs":
            shift, factor, varies = None, 1 / np.where(largest > 0, largest, 1), largest > 0
        else:
            shift, factor, varies = _standard(examples, largest)
    return _make_scaling(shift, factor, varies, kind, as_one)


def of_first(scaling: Scaling, n_scaled: int) -> Scaling:
    """Return a scaling that changes only the first features.

    Parameters
    ----------
    scaling : Scaling
        Scaling of all features.
    n_scaled : int
        Number of features to scale, counted from the first one.

    Returns
    -------
    Scaling
    """
    shift, factor, *_ = scaling
    place = np.arange(0 if factor is None else len(factor))
    return scaling._replace(
        shift=None if shift is None else np.where(place < n_scaled, shift, 0.0),
        factor=None if factor is None else np.where(place < n_scaled, factor, 1.0),
    )


def _make_scaling(
    shift: NDArray | None, factor: NDArray, varies: NDArray, kind: InputScaling, as_one: bool
) -> Scaling:
    """Return a scaling made of the measured shifts and factors."""
    if as_one and varies.any():
        factor = np.full_like(factor, factor[varies].min())
    factor = np.minimum(factor, np.finfo(np.float64).max)
    is_wide = factor.max() > _SAFE_FACTOR or factor.min() < 1 / _SAFE_FACTOR
    return Scaling(shift, factor, is_wide=bool(is_wide), kind=kind)


def _standard(examples: Examples, largest: NDArray) -> tuple[NDArray | None, NDArray, NDArray]:
    """Return means (None if sparse), inverse standard deviations, and which features vary."""
    scaler = StandardScaler(with_mean=not sparse.issparse(examples.X))
    # Units near the largest values keep squares in range. Powers of two cause no rounding.
    unit = np.ldexp(1.0, np.clip(-np.frexp(largest)[1], -1022, 1023))
    for rows, weights in _passes(examples):
        scaler.partial_fit(rows * unit, sample_weight=weights)
    # Constant features are not scaled, except to keep rounding errors in them below 1.
    is_constant = (scaler.scale_ == 1) & (scaler.var_ != 1)
    rounding = len(examples) * np.finfo(np.float64).eps * np.abs(scaler.mean_) / unit
    factor = np.where(is_constant, 1 / np.maximum(rounding, 1), unit / scaler.scale_)
    return (scaler.mean_ / unit if scaler.with_mean else None), factor, ~is_constant


def _robust(examples: Examples) -> tuple[NDArray, NDArray, NDArray]:
    """Return medians, inverse spreads, and which features vary."""
    some = examples.spread_evenly(_QUANTILE_ROWS)
    rows = next(_passes(some, len(some)))[0]
    # With equal weights, quantiles between two rows are interpolated.
    method: Any = "linear" if some.weights is None else "inverted_cdf"
    lowest, first, median, third, highest = np.quantile(
        rows, [0, 0.25, 0.5, 0.75, 1], axis=0, weights=some.weights, method=method
    )
    spread = np.where(third > first, third - first, (highest - lowest) / 2)
    return median, 1 / np.where(spread > 0, spread, 1), spread > 0


def _passes(examples: Examples, at_once: int | None = None) -> Iterator[tuple[Any, NDArray | None]]:
    """Yield the rows of nonzero weight in float64, a few at a time, with their weights."""
    X, weights = examples.X, examples.weights
    places = np.arange(len(examples)) if weights is None else np.flatnonzero(weights)
    # Sparse rows are read all at once: slicing them takes longer than reading them.
    if at_once is None:
        at_once = len(places) if sparse.issparse(X) else max(_PASS_NUMBERS // X.shape[1], 1)
    source = make_rows(X, np.float64, at_once, subset=examples.subset)
    for part in gen_batches(len(places), at_once):
        rows: Any = source.gather(places[part])
        if sparse.issparse(rows):
            rows.sum_duplicates()
        yield rows, None if weights is None else weights[places[part]]
