"""Scaling of the inputs, measured on the training rows."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skann.engine.batches import Examples
from skann.engine.rows import Scaling

InputScaling = Literal["standard", "maxabs"]

# Numbers of a pass over X: few megabytes, and so many that the calls do not count.
_PASS_NUMBERS = 2**18
# Beyond these magnitudes, squares may be beyond float64.
_TINY, _HUGE = 1e-100, 1e100
_MOST, _EPSILON = np.finfo(np.float64).max, np.finfo(np.float64).eps
# Factors up to there, and down to its inverse, leave rows of any use in float32's range.
_COMFORT = math.sqrt(np.finfo(np.float32).max)


def measure_scaling(kind: InputScaling, examples: Examples) -> Scaling:
    """Measure each feature in few streaming passes.

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
    >>> from skann.engine.batches import Examples
    >>> from skann.scaling import measure_scaling
    >>> X = np.array([[0, 255], [0, 51]], np.uint8)
    >>> measure_scaling("maxabs", Examples(X, np.array([0, 1]), None)).factor * 255
    array([255.,   1.])
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if kind == "maxabs":
            largest = _largest(examples)
            shift, factor = None, 1 / np.where(largest > 0, largest, 1)
        else:
            shift, factor = _standard(examples)
    factor = np.minimum(factor, _MOST)
    is_wide = factor.max() > _COMFORT or factor.min() < 1 / _COMFORT
    return Scaling(shift, factor, is_wide=bool(is_wide), kind=kind)


def _standard(examples: Examples) -> tuple[NDArray | None, NDArray]:
    """Return mean, None for sparse rows, and inverse standard deviation of each feature."""
    scaler = _measured(examples, 1.0)
    largest = np.maximum(scaler.var_, np.square(scaler.mean_))
    is_zero = (scaler.var_ == 0) & (scaler.mean_ == 0)
    is_measured = is_zero & (_largest(examples) == 0) if is_zero.any() else is_zero
    is_measured |= (largest > _TINY**2) & (largest < _HUGE**2)
    unit: Any = 1.0
    if not is_measured.all():
        # Units near the largest values. Powers of two round nothing.
        exponents = np.clip(-np.frexp(_largest(examples))[1], -1022, 1023)
        unit = np.where(is_measured, 1.0, np.ldexp(1.0, exponents))
        scaler = _measured(examples, unit)
    # What does not vary is not scaled, but for what rounding leaves of it.
    is_constant = (scaler.scale_ == 1) & (scaler.var_ != 1)
    rounding = len(examples) * _EPSILON * np.abs(scaler.mean_) / unit
    factor = np.where(is_constant, 1 / np.maximum(rounding, 1), unit / scaler.scale_)
    return (None if sparse.issparse(examples.X) else scaler.mean_ / unit), factor


def _measured(examples: Examples, unit: float | NDArray) -> StandardScaler:
    """Return a scaler of the features multiplied by `unit`."""
    scaler = StandardScaler(with_mean=not sparse.issparse(examples.X))
    for rows, weights in _passes(examples):
        scaler.partial_fit(rows * unit, sample_weight=weights)
    return scaler


def _largest(examples: Examples) -> NDArray:
    """Return the largest absolute value of each feature."""
    scaler = MaxAbsScaler()
    for rows, _ in _passes(examples):
        scaler.partial_fit(rows)
    return scaler.max_abs_


def _passes(examples: Examples) -> Iterator[tuple[Any, NDArray | None]]:
    """Yield the rows that have weight, in float64 and a few at a time, with their weights."""
    X, weights, subset = examples.X, examples.weights, examples.subset
    n_rows = len(examples)
    places = np.arange(n_rows) if weights is None else np.flatnonzero(weights)
    # Sparse rows all at once: to slice them takes longer than to look at them.
    at_once = len(places) if sparse.issparse(X) else max(_PASS_NUMBERS // X.shape[1], 1)
    for start in range(0, len(places), at_once):
        part = places[start : start + at_once]
        rows: Any = X[part if subset is None else subset[part]]
        if sparse.issparse(rows):
            rows = sparse.csr_array(rows, dtype=np.float64)
            rows.sum_duplicates()
        else:
            rows = rows.astype(np.float64)
        yield rows, None if weights is None else weights[part]
