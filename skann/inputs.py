"""What `fit` is given: rows that can be gathered, coded targets, weights."""

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


class Given(NamedTuple):
    """What `fit` is given.

    After validation, X and X_val are the encoded rows, `encoding` tells how, and `table` holds the
    rows that callbacks see.
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
    """Return a context in which scikit-learn makes arrays of any library those of NumPy."""
    return config_context(array_api_dispatch=False)


def check_indices(matrix: Any, name: str) -> None:
    """Raise an error if entries of a sparse matrix lie outside of it."""
    # SciPy does not check the columns of lists of lists as it makes rows of them.
    rows = matrix.tocsr() if matrix.format == "lil" else matrix
    try:
        # On a view: the check may change the dtype of the indices.
        if rows.format == "coo":
            type(rows)((rows.data, rows.coords), shape=rows.shape)
        elif rows.format in ("csr", "csc", "bsr"):
            parts = rows.data, rows.indices, rows.indptr
            type(rows)(parts, shape=rows.shape).check_format(full_check=True)
    except ValueError as error:
        raise ValueError(
            f"{name} is a sparse {matrix.format.upper()} matrix of shape {matrix.shape} with"
            f" invalid indices: {error}. Build it again, for example from rows, columns and values"
            " with scipy.sparse.coo_array."
        ) from error


def is_plain(X: Any) -> bool:
    """Tell whether `X` is an array of finite numbers, quickly; False where that is open."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0:
        return False
    if X.dtype.kind != "f":
        return X.dtype.kind in "iu"
    with np.errstate(over="ignore", invalid="ignore"):
        return X.flags.c_contiguous and math.isfinite(np.vdot(X, X))


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
        If `classes` is missing, or contradicts `y` or an earlier call.
    """
    if known is None and type_of_target(y).startswith("multilabel"):
        known = Labels.of(y)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return known
    labels = np.unique(plain_labels(classes, "classes"))
    if known is None:
        return Labels.of(labels, "classes")
    if labels.tolist() != known.classes.tolist():
        raise ValueError(
            f"classes={classes!r} is not the same as on last call to partial_fit, or as the"
            f" columns of an indicator matrix: {known.classes.tolist()}. Leave classes out, or"
            " start with a new classifier. Weights of rows are to be given as sample_weight=..."
        )
    return known


@contextmanager
def naming_validation_data() -> Iterator[None]:
    """Name the validation data in errors: scikit-learn's messages say X where X_val is meant."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"X_val, y_val and sample_weight_val cannot be used: {error}") from error
