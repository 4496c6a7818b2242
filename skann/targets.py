"""Class labels as integer codes, class and sample weights, and the validation split."""

from contextlib import suppress
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import type_of_target

from skann.engine.batches import Examples


def plain_labels(y: Any, name: str = "y") -> Any:
    """Turn labels in any container into an array of one type, without rounding.

    Parameters
    ----------
    y : array-like
        Labels, or an indicator matrix, as given by the user.
    name : str
        Name of the target in error messages.

    Returns
    -------
    ndarray, or `y` itself if it is sparse or None
        The labels. Objects that are numbers get a numeric dtype; strings stay as they are.

    Raises
    ------
    ValueError
        If a label is missing, if labels of several types are mixed, or if integers do not fit
        into 64 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.targets import plain_labels
    >>> plain_labels(np.array([True, 2, 3.0], dtype=object))
    array([1, 2, 3])
    """
    if y is None or sparse.issparse(y):
        return y
    values = np.asarray(y)
    # NumPy rounds lists of large and small integers, and turns lists of mixed types into strings.
    is_converted = not hasattr(y, "dtype") and values.dtype.kind in ("f", "U")
    if not is_converted and values.dtype.kind not in ("O", "T"):
        return values
    objects = np.array(y, dtype=object)
    labels = [v.item() if isinstance(v, np.generic) else v for v in objects.ravel().tolist()]
    # The comparison of pandas' NA with itself is neither true nor false.
    missing = [row for row, v in enumerate(labels) if v is None or (v == v) is not True]
    if missing:
        raise ValueError(
            f"{name} contains NaN, NA or None in place of {len(missing)} of {len(labels)} labels,"
            f" the first at position {missing[0]}. Remove these rows or give them a label."
        )
    types = set(map(type, labels))
    if types <= {str}:
        return objects if values.dtype.kind == "T" else values
    if not types <= {bool, int, float}:
        names = ", ".join(sorted(type_.__name__ for type_ in types))
        raise ValueError(
            f"{name} has labels of the types {names}. Make all labels strings, or make all of them"
            " numbers."
        )
    # Labels of one type, or fractions, which are rejected as labels later.
    if types in ({bool}, {float}) or any(label % 1 for label in labels):
        return objects.astype(bool if types == {bool} else np.float64)
    for dtype in (np.int64, np.uint64):
        with suppress(OverflowError):
            return np.array(list(map(int, labels)), dtype).reshape(objects.shape)
    raise ValueError(
        f"{name} has labels from {min(labels)} to {max(labels)}, which fit into no 64-bit integer"
        " type. Convert them to strings."
    )


class Labels(NamedTuple):
    """The kind of classification and the labels that the outputs of a network stand for.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel-indicator"}
        Kind of classification.
    classes : ndarray of shape (n_classes,)
        The sorted labels; for multilabel targets, the column numbers.
    """

    kind: str
    classes: NDArray

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the network: one for two classes, otherwise one for each class."""
        return 1 if self.kind == "binary" else len(self.classes)

    @classmethod
    def of(cls, y: Any, name: str = "y") -> "Labels":
        """Find the labels of a target.

        Parameters
        ----------
        y : array-like of shape (n_samples,), or indicator matrix (n_samples, n_labels)
            The target, with at least two classes.
        name : str
            Name of the target in error messages.

        Returns
        -------
        Labels

        Raises
        ------
        ValueError
            If `y` is not a classification target or holds only one class.

        Examples
        --------
        >>> from skann.targets import Labels
        >>> Labels.of(["dog", "cat"]).classes.tolist()
        ['cat', 'dog']
        """
        kind = type_of_target(y, input_name=name)
        if kind == "multilabel-indicator":
            return cls("multilabel-indicator", np.arange(y.shape[1]))
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                f"Unknown label type: {kind}. {name} must have one label for each row, or be an"
                " indicator matrix of zeros and ones with one column for each label. To predict"
                " continuous numbers, use a regressor."
            )
        classes = np.unique(column_or_1d(y))
        if len(classes) < 2:
            raise ValueError(
                f"The number of classes has to be greater than one; {name} holds only one class:"
                f" {classes.tolist()}."
            )
        return cls("binary" if len(classes) == 2 else "multiclass", classes)

    def encode(self, y: Any, name: str = "y") -> NDArray:
        """Turn labels into integer codes.

        Parameters
        ----------
        y : array-like of shape (n_samples,), or indicator matrix (n_samples, n_labels)
            Labels to encode.
        name : str
            Name of the target in error messages.

        Returns
        -------
        ndarray of shape (n_samples,), intp, or (n_samples, n_labels), int8
            Positions of the labels in `classes`, or zeros and ones.

        Raises
        ------
        ValueError
            If a label is not among `classes`, or if `y` has another shape.
        """
        if self.kind == "multilabel-indicator":
            return self._encode_indicators(y, name)
        labels, positions = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        # Python compares numbers of different types without rounding.
        code_of = {label: code for code, label in enumerate(self.classes.tolist())}
        unseen = [label for label in labels.tolist() if label not in code_of]
        if unseen:
            raise ValueError(
                f"{name} has labels that are not among the classes: {unseen}. The classes are"
                f" {self.classes.tolist()}."
            )
        return np.array([code_of[label] for label in labels.tolist()], dtype=np.intp)[positions]

    def _encode_indicators(self, y: Any, name: str) -> NDArray:
        kind, n_labels = type_of_target(y, input_name=name), len(self.classes)
        if not kind.startswith("multilabel") or y.shape[1] != n_labels:
            raise ValueError(
                f"{name} must be an indicator matrix with {n_labels} columns, as in the first fit;"
                f" got a target of type {kind!r} and shape {y.shape}."
            )
        indicators: Any = sparse.csr_array(y, copy=True) if sparse.issparse(y) else np.asarray(y)
        values = indicators
        if sparse.issparse(y):
            indicators.sum_duplicates()
            values = indicators.data
        if ((values != 0) & (values != 1)).any():
            raise ValueError(
                f"{name} is an indicator matrix and must hold zeros and ones only; it holds"
                f" {np.unique(values)[:5].tolist()}."
            )
        # Convert to one byte per entry before making them dense: entries may have eight bytes.
        codes = indicators.astype(np.int8)
        return codes.toarray() if sparse.issparse(y) else codes

    def decode(self, logits: NDArray) -> NDArray:
        """Turn raw scores into labels.

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_samples)
            Raw scores of the network.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_labels) of zeros and ones
        """
        if self.kind == "multilabel-indicator":
            return (logits.T > 0).astype(int)
        codes = (logits[0] > 0).astype(np.intp) if len(logits) == 1 else logits.argmax(axis=0)
        return self.classes[codes]


def combine_weights(
    sample_weight: NDArray | None,
    class_weight: dict | list | str | None,
    labels: Labels,
    codes: NDArray,
) -> NDArray | None:
    """Multiply the sample weights by the class weights.

    Parameters
    ----------
    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows, not negative.
    class_weight : dict, list of dict, "balanced" or None
        Weights of the classes, in the form that scikit-learn's `compute_class_weight` takes,
        or for multilabel targets `compute_sample_weight`.
    labels : Labels
        Maps the class labels to integer codes.
    codes : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Encoded targets.

    Returns
    -------
    ndarray of shape (n_samples,), float64, or None
        The weight of each row; None if all rows have the same weight.

    Raises
    ------
    ValueError
        If all weights are zero, if their sum overflows, or if `class_weight` is invalid.
    """
    by_class = _class_weights(sample_weight, class_weight, labels, codes)
    given = [weights for weights in (sample_weight, by_class) if weights is not None]
    if not given:
        return None
    with np.errstate(over="ignore"):
        weights = given[0] if len(given) == 1 else given[0] * given[1]
        total = weights.sum()
    if total == 0:
        raise ValueError(
            "class_weight and sample_weight give every row a weight of 0. At least one row needs a"
            " weight above 0."
        )
    if not np.isfinite(total):
        raise ValueError(
            f"The weights of the rows, up to {weights.max():g}, are too large to be added up."
            " Divide sample_weight or class_weight by its largest value."
        )
    return weights


def _class_weights(
    sample_weight: NDArray | None, class_weight: Any, labels: Labels, codes: NDArray
) -> NDArray | None:
    """Return the class weight of each row."""
    if class_weight is None:
        return None
    is_multilabel = labels.kind == "multilabel-indicator"
    is_list = is_multilabel and isinstance(class_weight, list)
    if not all(map(_is_weighting, class_weight if is_list else [class_weight])):
        raise ValueError(
            "class_weight must be 'balanced', a dict of weights or, for multilabel targets, a list"
            f" of such dicts. Weights must be finite and not negative; got {class_weight!r}."
        )
    if is_multilabel:
        return compute_sample_weight(class_weight, codes)
    if class_weight == "balanced":
        totals = np.bincount(codes, sample_weight, len(labels.classes))
        by_class = totals.sum() / (np.count_nonzero(totals) * np.where(totals > 0, totals, 1))
    else:
        classes = labels.classes
        by_class = compute_class_weight(class_weight, classes=classes, y=classes)
    return by_class[codes]


def _is_weighting(by_label: Any) -> bool:
    if not isinstance(by_label, dict):
        return bool(by_label == "balanced")
    return all(isinstance(w, Real) and 0 <= float(w) < np.inf for w in by_label.values())


def mean_positive_weight(weights: NDArray | None) -> float:
    """Return the mean of the weights that are above 0.

    Parameters
    ----------
    weights : ndarray of shape (n_samples,) or None
        Weights of the rows, not all 0; None for equal weights of 1.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from skann.targets import mean_positive_weight
    >>> mean_positive_weight(np.array([0.5, 0.0, 1.0]))
    0.75
    """
    return 1.0 if weights is None else float(weights[weights > 0].mean())


def hold_out(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Split off validation rows, stratified by class unless the targets are multilabel.

    Each part gets at least as many rows as there are classes. Rows of weight zero are not split;
    they stay in the training part, as does a row that is the only one of its class.

    Parameters
    ----------
    examples : Examples
        All rows.
    fraction : float
        Share of the rows to hold out.
    seed : int
        Seed of the random split.

    Returns
    -------
    train, validation : Examples
        The two parts.

    Raises
    ------
    ValueError
        If no class has two rows of nonzero weight, or for multilabel targets if there are no two.
    """
    codes, weights = examples.targets, examples.weights
    strata = codes if codes.ndim == 1 else np.zeros(len(codes), dtype=np.intp)
    rows = np.arange(len(codes)) if weights is None else np.flatnonzero(weights)
    rows = rows[np.bincount(strata[rows])[strata[rows]] > 1]
    n_strata = len(np.unique(strata[rows]))
    if n_strata == 0:
        raise ValueError(
            "early_stopping=True needs at least 2 rows of nonzero weight (of the same class, unless"
            " the targets are multilabel), to hold one of them out. Pass more such rows, or your"
            " own validation data as X_val and y_val."
        )
    n_validation = max(int(np.ceil(fraction * len(rows))), n_strata)
    train, validation = train_test_split(
        rows,
        test_size=min(n_validation, len(rows) - n_strata),
        random_state=seed,
        stratify=strata[rows] if codes.ndim == 1 else None,
    )
    train = np.concatenate([train, np.setdiff1d(np.arange(len(codes)), rows)])
    return examples.at(train), examples.at(validation)
