"""What `fit` is given: rows that can be gathered, coded targets, weights."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight

from skann.engine.batches import Examples
from skann.targets import Labels, combine_weights, plain_labels


class Given(NamedTuple):
    """What `fit` is given, as it is given."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None


def as_numpy() -> Any:
    """Return a context in which scikit-learn makes arrays of any library those of NumPy."""
    return config_context(array_api_dispatch=False)


def refuse_dates(values: Any, name: str) -> None:
    """Raise an error for dates and durations, whose numbers are in any unit."""
    if type(values) is np.ndarray and values.dtype.kind not in "mM":
        return  # Quickly, for rows to predict.
    dtypes = getattr(values, "dtypes", None)  # Of a DataFrame's columns.
    if not isinstance(dtypes, Iterable):
        dtypes = [getattr(values, "dtype", None)]
    dates = [str(dtype) for dtype in dtypes if getattr(dtype, "kind", "") in ("m", "M")]
    if dates:
        raise ValueError(
            f"{name} holds dates or durations (dtype {', '.join(dict.fromkeys(dates))}), not"
            " numbers. Convert them to numbers in a unit of your choice: a duration by dividing"
            " it, for example by np.timedelta64(1, 'D') for days, a date after subtracting another"
            " date."
        )


def check_indices(matrix: Any, name: str) -> None:
    """Raise an error if entries of a sparse matrix lie outside of it."""
    try:
        # On a view: the check may change the dtype of the indices.
        if matrix.format == "coo":
            type(matrix)((matrix.data, matrix.coords), shape=matrix.shape)
        elif matrix.format in ("csr", "csc", "bsr"):
            parts = matrix.data, matrix.indices, matrix.indptr
            type(matrix)(parts, shape=matrix.shape).check_format(full_check=True)
        elif matrix.format == "lil":
            _check_columns(matrix)
    except ValueError as error:
        raise ValueError(
            f"{name} is a sparse {matrix.format.upper()} matrix of shape {matrix.shape} with"
            f" invalid indices: {error}. Build it again, for example from rows, columns and values"
            " with scipy.sparse.coo_array."
        ) from error


def _check_columns(matrix: Any) -> None:
    columns = np.array([column for row in matrix.rows for column in row])
    if columns.size and (columns.min() < 0 or columns.max() >= matrix.shape[1]):
        raise ValueError(f"columns go from {columns.min()} to {columns.max()}")


def is_plain(X: Any) -> bool:
    """Tell whether `X` is an array of finite numbers, quickly; False where that is open."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0:
        return False
    if X.dtype.kind in "iu":
        return True
    if X.dtype not in (np.float32, np.float64) or not X.flags.c_contiguous:
        return False
    values = X.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(values.dot(values))


@as_numpy()
def make_examples(
    X: Any, y: Any, sample_weight: Any, class_weight: Any, labels: Labels, suffix: str = ""
) -> tuple[Examples, NDArray | None]:
    """Encode targets and weights.

    Parameters
    ----------
    X, y : array-like
        Validated rows and their labels.
    sample_weight : array-like of shape (n_samples,) or None
        As given to `fit`.
    class_weight : dict, "balanced", list of dict or None
        As given to the estimator.
    labels : Labels
        The labels of the codes.
    suffix : str
        What follows "y" in the name of the argument, for error messages.

    Returns
    -------
    examples : Examples
    sample_weight : ndarray of shape (n_samples,) or None
        Checked, without the class weights.
    """
    if sample_weight is not None:
        refuse_dates(sample_weight, f"sample_weight{suffix}")
        sample_weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
    codes = labels.encode(y, f"y{suffix}")
    weights = combine_weights(sample_weight, class_weight, labels, codes)
    return Examples(X, codes, weights), sample_weight


@as_numpy()
def labels_for_partial_fit(y: Any, classes: Any, known: Labels | None) -> Labels:
    """Return the labels that a call of `partial_fit` works with.

    Parameters
    ----------
    y : ndarray
        Validated labels.
    classes : array-like or None
        As given to `partial_fit`.
    known : Labels or None
        Those of the calls before, if there were any.

    Returns
    -------
    Labels

    Raises
    ------
    ValueError
        If `classes` is missing, contradicts `y` or an earlier call, or holds weights.
    """
    if classes is None and known is not None:
        return known
    if classes is not None:
        _check_no_weights(classes, y)
    has_columns = type_of_target(y).startswith("multilabel")
    if has_columns:
        columns = np.arange(y.shape[1])
        if classes is not None and not np.array_equal(classes, columns):
            raise ValueError(
                f"classes is {classes!r}, but y is an indicator matrix with {y.shape[1]} columns,"
                " whose numbers are the classes. Leave classes out."
            )
    elif classes is None:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    labels = Labels.of(y if has_columns else plain_labels(classes, "classes"))
    if known is not None and not labels.are_those_of(known):
        raise ValueError(
            f"classes={classes!r} is not the same as on last call to partial_fit:"
            f" {known.classes.tolist()}. Leave classes out, or start with a new classifier."
        )
    return known or labels


def _check_no_weights(classes: Any, y: Any) -> None:
    """Raise an error if `classes` has a number for each row and cannot be the classes of `y`."""
    values = np.asarray(classes)
    if values.shape != (y.shape[0],) or values.dtype.kind not in "iuf":
        return
    found = set(values.tolist())
    if y.ndim == 2:
        are_classes = found == set(range(y.shape[1]))
    else:
        are_whole = bool((values == np.floor(values)).all())
        are_classes = are_whole and len(found) > 1 and found.issuperset(y.ravel().tolist())
    if not are_classes:
        raise ValueError(
            "partial_fit takes its third argument as classes. It got a number for each row of y,"
            " which are not the classes of these labels. To give weights, write sample_weight=...;"
            " classes lists all labels that will ever come, two at least."
        )


@contextmanager
def naming_validation_data() -> Iterator[None]:
    """Name the validation data in errors: scikit-learn's messages say X where X_val is meant."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"X_val, y_val and sample_weight_val cannot be used: {error}") from error
