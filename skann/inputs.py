"""Arguments of `fit`: checks of the rows, encoded targets, and weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight

from skann.engine.batches import Examples
from skann.tables import refuse_dates
from skann.targets import Labels, combine_weights, plain_labels

_CHEAP_TO_COPY = 2**14  # Size of the largest strided array that is copied for a check.


class Given(NamedTuple):
    """Arguments of `fit`.

    After validation, `X` and `X_val` hold the encoded rows, `encoding` is their encoding, and
    `table` holds the rows that callbacks receive.
    """

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None
    encoding: Any = None
    table: Any = None


def as_numpy() -> Any:
    """Return a context in which scikit-learn converts arrays of any library to NumPy arrays."""
    return config_context(array_api_dispatch=False)


def check_indices(matrix: Any, name: str) -> None:
    """Raise an error if a sparse matrix has indices outside of its shape."""
    # SciPy does not check the column indices of a LIL matrix when it converts the matrix to CSR.
    rows = matrix.tocsr() if matrix.format == "lil" else matrix
    try:
        # Check a view, because the check may change the dtype of the indices.
        if rows.format == "coo":
            type(rows)((rows.data, rows.coords), shape=rows.shape)
        elif rows.format in ("csr", "csc", "bsr"):
            parts = rows.data, rows.indices, rows.indptr
            type(rows)(parts, shape=rows.shape).check_format(full_check=True)
    except ValueError as error:
        raise ValueError(
            f"{name} is a sparse {matrix.format.upper()} matrix of shape {matrix.shape} with"
            f" invalid indices: {error}. Create it again, for example with scipy.sparse.coo_array"
            " from row indices, column indices and values."
        ) from error


def is_plain(X: Any) -> bool:
    """Tell quickly whether `X` is an array of finite numbers; False if this is uncertain."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0:
        return False
    if X.dtype.kind != "f":
        return X.dtype.kind in "iu"
    if not (X.flags.forc or X.size <= _CHEAP_TO_COPY):
        return False
    numbers = X.ravel(order="K")  # A view of a contiguous array in either order.
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.vdot(numbers, numbers))


@as_numpy()
def make_examples(
    X: Any, y: Any, sample_weight: Any, class_weight: Any, labels: Labels, suffix: str = ""
) -> tuple[Examples, NDArray | None]:
    """Encode labels and combine weights.

    Parameters
    ----------
    X, y : array-like
        Validated rows and their labels.
    sample_weight : array-like of shape (n_samples,) or None
        Argument of `fit`.
    class_weight : dict, "balanced", list of dict or None
        Parameter of the estimator.
    labels : Labels
        Maps the class labels to integer codes.
    suffix : str
        Suffix of the argument names in error messages: "" or "_val".

    Returns
    -------
    examples : Examples
        Rows, codes and combined weights.
    sample_weight : ndarray of shape (n_samples,) or None
        The validated sample weights, without the class weights.
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
    """Return the labels for a call of `partial_fit`.

    Parameters
    ----------
    y : ndarray
        Validated labels.
    classes : array-like or None
        Argument of `partial_fit`.
    known : Labels or None
        Labels of earlier calls; None in the first call.

    Returns
    -------
    Labels

    Raises
    ------
    ValueError
        If `classes` is missing in the first call, or does not match `y` or an earlier call.
    """
    if known is None and type_of_target(y).startswith("multilabel"):
        known = Labels.of(y)
    if classes is None:
        if known is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit: pass all labels that can"
                " occur in any call."
            )
        return known
    labels = np.unique(plain_labels(classes, "classes"))
    if known is None:
        return Labels.of(labels, "classes")
    if labels.tolist() != known.classes.tolist():
        raise ValueError(
            f"classes={classes!r} is not the same as on last call to partial_fit, or as the"
            f" columns of an indicator matrix: {known.classes.tolist()}. Leave out classes, or"
            " start with a new classifier. If you meant weights of the rows, pass them as"
            " sample_weight=..."
        )
    return known


@contextmanager
def naming_validation_data() -> Iterator[None]:
    """Name the validation data in errors, because scikit-learn's messages call it X and y."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"X_val, y_val and sample_weight_val cannot be used: {error}") from error
