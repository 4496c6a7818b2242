"""Labels to integer codes and back, class and sample weights, the validation split."""

import warnings
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skann.engine.batches import Examples

Kind = Literal["binary", "multiclass", "multilabel-indicator"]


def plain_labels(y: Any, name: str = "y") -> Any:
    """Turn labels of any container into an array of one type, without rounding.

    Parameters
    ----------
    y : array-like
        Labels or indicators as a user gives them.
    name : str
        What error messages call it.

    Returns
    -------
    ndarray, or `y` itself where it is sparse or None
        Objects that are numbers get a numeric dtype; strings stay as they are.

    Raises
    ------
    ValueError
        If a label is missing, if labels of several types are mixed, or if whole numbers do not
        fit into 64 bits.

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
    # NumPy rounds a list of large and small whole numbers, and makes strings of mixed types.
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
            f" the first at position {missing[0]}. Leave these rows out or give them a label."
        )
    types = set(map(type, labels))
    if types <= {str}:
        return objects if values.dtype.kind == "T" else values
    if not types <= {bool, int, float}:
        names = ", ".join(sorted(type_.__name__ for type_ in types))
        raise ValueError(
            f"{name} has labels of the types {names}. Make all labels strings, or all of them"
            " numbers."
        )
    return _numbers(labels, types, name).reshape(objects.shape)


def _numbers(labels: list, types: set, name: str) -> NDArray:
    """Return numbers as an array of a type that holds them exactly, if they are whole."""
    if len(types) == 1 and int not in types:
        return np.array(labels)
    if any(isinstance(label, float) and not label.is_integer() for label in labels):
        return np.array(labels, dtype=np.float64)  # No labels of classes, as scikit-learn says.
    whole = list(map(int, labels))
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= min(whole) and max(whole) <= np.iinfo(dtype).max:
            return np.array(whole, dtype=dtype)
    raise ValueError(
        f"{name} has labels from {min(whole)} to {max(whole)}, which no integer type of 64 bits"
        " holds. Make them strings."
    )


class Labels(NamedTuple):
    """What the outputs of a network stand for.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel-indicator"}
        Kind of classification.
    classes : ndarray of shape (n_classes,)
        The labels, sorted; for multilabel targets the column numbers.
    """

    kind: Kind
    classes: NDArray

    @property
    def n_outputs(self) -> int:
        """Outputs of the network: one for two classes, else one for each."""
        return 1 if self.kind == "binary" else len(self.classes)

    def are_those_of(self, other: "Labels") -> bool:
        """Return whether kind and classes are equal, whatever types the classes have."""
        return self.kind == other.kind and self.classes.tolist() == other.classes.tolist()

    @classmethod
    def of(cls, y: Any) -> "Labels":
        """Find the labels of a target.

        Parameters
        ----------
        y : array-like of shape (n_samples,), or indicator matrix (n_samples, n_labels)
            The target, with at least two classes.

        Returns
        -------
        Labels

        Raises
        ------
        ValueError
            If `y` is not a classification target or has one class only.

        Examples
        --------
        >>> from skann.targets import Labels
        >>> Labels.of(["dog", "cat"]).classes.tolist()
        ['cat', 'dog']
        """
        kind = type_of_target(y, input_name="y")
        if kind == "multilabel-indicator":
            return cls("multilabel-indicator", np.arange(y.shape[1]))
        if kind not in ("binary", "multiclass"):
            check_classification_targets(y)  # Scikit-learn's own message, where it has one.
            raise ValueError(
                f"ANNClassifier cannot learn a target of type {kind!r}: give one label for each"
                " row, or an indicator matrix of zeros and ones with a column for each label."
            )
        classes = np.unique(column_or_1d(y))
        if len(classes) < 2:
            raise ValueError(
                "The number of classes has to be greater than one; y holds one class only:"
                f" {classes.tolist()}."
            )
        return cls("binary" if len(classes) == 2 else "multiclass", classes)

    def encode(self, y: Any, name: str = "y") -> NDArray:
        """Turn labels into codes.

        Parameters
        ----------
        y : array-like of shape (n_samples,), or indicator matrix (n_samples, n_labels)
            Labels.
        name : str
            What error messages call it.

        Returns
        -------
        ndarray of shape (n_samples,), intp, or (n_samples, n_labels), int8
            Positions in `classes`, or zeros and ones.

        Raises
        ------
        ValueError
            If a label is not among `classes`, or the shape is another.
        """
        if self.kind == "multilabel-indicator":
            if not type_of_target(y, input_name=name).startswith("multilabel"):
                raise ValueError(
                    f"{name} must be an indicator matrix with {len(self.classes)} columns, as in"
                    f" the first fit; got a target of type {type_of_target(y)!r}."
                )
            return self._encode_indicators(y, name)
        codes, unseen = self._look_up(column_or_1d(y, warn=True))
        if unseen:
            raise ValueError(
                f"{name} has labels that are not among the classes: {unseen}. The classes are"
                f" {self.classes.tolist()}."
            )
        return codes

    def _encode_indicators(self, y: Any, name: str) -> NDArray:
        indicators: Any = sparse.csr_array(y, copy=True) if sparse.issparse(y) else np.asarray(y)
        values = indicators
        if sparse.issparse(y):
            indicators.sum_duplicates()
            values = indicators.data
        if indicators.shape[1] != len(self.classes):
            raise ValueError(
                f"{name} has {indicators.shape[1]} columns; the labels seen in the first fit"
                f" have {len(self.classes)}."
            )
        if ((values != 0) & (values != 1)).any():
            raise ValueError(
                f"{name} is an indicator matrix and must hold zeros and ones only; it holds"
                f" {np.unique(values)[:5].tolist()}."
            )
        # One byte for each before they are made dense: as they come they may take eight.
        codes = indicators.astype(np.int8)
        return codes.toarray() if sparse.issparse(y) else codes

    def _look_up(self, labels: NDArray) -> tuple[NDArray, list]:
        """Return codes, -1 for unknown labels, and these.

        Python's numbers are equal across types, and their comparison does not round.
        """
        code_of = {label: code for code, label in enumerate(self.classes.tolist())}
        found, positions = np.unique(labels, return_inverse=True)
        codes = np.array([code_of.get(label, -1) for label in found.tolist()], dtype=np.intp)
        return codes[positions], [label for label in found.tolist() if label not in code_of]

    def as_classes(self, y: Any) -> Any:
        """Return labels as the entries of `classes` that equal them, whatever their type.

        Parameters
        ----------
        y : ndarray of shape (n_samples,), or indicator matrix (n_samples, n_labels)
            Labels.

        Returns
        -------
        ndarray of shape (n_samples,), or `y` itself
            `y` itself if one of them is no class, or if they are indicators.
        """
        if self.kind == "multilabel-indicator":
            return y
        codes, unseen = self._look_up(column_or_1d(y))
        return y if unseen else self.classes[codes]

    def decode(self, logits: NDArray) -> NDArray:
        """Turn raw scores into labels.

        Parameters
        ----------
        logits : ndarray of shape (n_outputs, n_samples)
            Raw scores.

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
        Not negative.
    class_weight : dict, list of dict, "balanced" or None
        As scikit-learn's `compute_class_weight` and, for multilabel targets,
        `compute_sample_weight` take it.
    labels : Labels
        The labels of the codes.
    codes : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Encoded targets.

    Returns
    -------
    ndarray of shape (n_samples,), float64, or None
        None where all rows weigh the same.

    Raises
    ------
    ValueError
        If the weights are all zero or their sum overflows, or `class_weight` lacks a class or is
        negative.
    """
    if sample_weight is not None and not sample_weight.any():
        raise ValueError("All sample weights are zero: there is nothing to learn from.")
    if class_weight is None:
        return None if sample_weight is None else _that_add_up(sample_weight)
    if labels.kind == "multilabel-indicator":
        if isinstance(class_weight, list):
            class_weight = _for_columns(class_weight, codes)
        weights = compute_sample_weight(class_weight, codes)
    else:
        if isinstance(class_weight, list):
            raise ValueError("A list as class_weight is for multilabel targets; give a dict.")
        if isinstance(class_weight, dict):
            by_label = _for_classes(class_weight, labels.classes)
            class_weight = dict(enumerate(by_label.values()))
        counted = slice(None) if sample_weight is None else sample_weight > 0
        present = np.unique(codes[counted])
        by_class = np.ones(len(labels.classes))
        by_class[present] = compute_class_weight(
            class_weight,
            classes=present,
            y=codes[counted],
            sample_weight=None if sample_weight is None else sample_weight[counted],
        )
        weights = by_class[codes]
    if sample_weight is not None:
        with np.errstate(over="ignore"):
            weights = weights * sample_weight
    if not weights.any():
        raise ValueError("class_weight and sample_weight together leave no row a weight above 0.")
    return _that_add_up(weights)


def _that_add_up(weights: NDArray) -> NDArray:
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise ValueError(
                f"The weights of the rows, up to {weights.max():g}, are too large to be added up."
                " Divide sample_weight or class_weight by its largest number."
            )
    return weights


def mean_positive_weight(weights: NDArray | None) -> float:
    """Return the mean of the weights above 0.

    Parameters
    ----------
    weights : ndarray of shape (n_samples,) or None
        Not all of them 0; None for equal weights of 1.

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


def _for_columns(class_weight: list, indicators: NDArray) -> list[dict]:
    """Return the weights of the values that each column has."""
    if len(class_weight) != indicators.shape[1]:
        raise ValueError(
            f"class_weight has {len(class_weight)} entries; multilabel targets of"
            f" {indicators.shape[1]} columns need a dict for each of them."
        )
    return [
        _for_classes(by_value, np.unique(column), [0, 1])
        for by_value, column in zip(class_weight, indicators.T, strict=True)
    ]


def _for_classes(class_weight: Any, classes: NDArray, possible: list | None = None) -> dict:
    """Return the weights of the classes that there are; those of others should be possible."""
    if not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must give a dict of weights; got {class_weight!r}.")
    bad = {
        label: weight
        for label, weight in class_weight.items()
        if not (isinstance(weight, Real) and 0 <= float(weight) < np.inf)
    }
    if bad:
        raise ValueError(f"class_weight must be finite and not negative; got {bad}.")
    known = classes.tolist()
    missing = [label for label in known if label not in class_weight]
    if missing:
        raise ValueError(
            f"class_weight has no weight for the classes {missing}; give one for each of {known}."
        )
    extra = [label for label in class_weight if label not in (possible or known)]
    if extra:
        # A warning only: a fold of a cross-validation may lose a rare class.
        warnings.warn(f"class_weight has weights for classes that y lacks: {extra}.", stacklevel=5)
    return {label: class_weight[label] for label in known}


def hold_out(
    examples: Examples, labels: Labels, fraction: float, seed: int
) -> tuple[Examples, Examples]:
    """Split off validation rows, stratified but for multilabel targets.

    Only rows that have weight are split; the others, and the only such row of a class, are for
    training.

    Parameters
    ----------
    examples : Examples
        All rows.
    labels : Labels
        The labels of the codes.
    fraction : float
        Share of the rows to hold out.
    seed : int
        Seed of the draw.

    Returns
    -------
    train, validation : Examples
        The two parts.

    Raises
    ------
    ValueError
        If there are too few rows for a row of every class on both sides, or too few that have
        weight.
    """
    codes = examples.targets
    n_samples = len(codes)
    if labels.kind != "multilabel-indicator":
        _check_split(codes, labels, fraction)
    elif n_samples < 2:
        raise ValueError("early_stopping=True needs at least 2 rows to hold one out.")
    weights = examples.weights
    rows = np.arange(n_samples) if weights is None else np.flatnonzero(weights)
    strata = np.zeros(n_samples, dtype=np.intp) if codes.ndim == 2 else codes
    rows = rows[np.bincount(strata[rows])[strata[rows]] > 1]
    n_strata = len(np.unique(strata[rows]))
    if n_strata == 0:
        raise ValueError(
            "early_stopping=True needs at least 2 rows of a class with a weight above 0 to hold one"
            " out. Give more of them, or validation data of your own as X_val and y_val."
        )
    n_validation = max(int(np.ceil(fraction * len(rows))), n_strata)
    train, validation = train_test_split(
        rows,
        test_size=min(n_validation, len(rows) - n_strata),
        random_state=seed,
        stratify=None if codes.ndim == 2 else strata[rows],
    )
    train = np.concatenate([train, np.setdiff1d(np.arange(n_samples), rows)])
    return examples.at(train), examples.at(validation)


def _check_split(codes: NDArray, labels: Labels, fraction: float) -> None:
    """Raise an error if a part of a split would lack a class."""
    n_samples = len(codes)
    n_validation = int(np.ceil(fraction * n_samples))
    present, counts = np.unique(codes, return_counts=True)
    rarest = labels.classes.tolist()[present[counts.argmin()]]
    if counts.min() < 2 or min(n_validation, n_samples - n_validation) < len(present):
        raise ValueError(
            f"early_stopping=True holds out {n_validation} of {n_samples} rows, stratified by"
            f" {len(present)} classes: too few. The rarest class, {rarest!r}, has"
            f" {counts.min()} row(s), each class needs 2 and each part a row of every class."
            " Give more rows, another validation_fraction, or validation data of your own"
            " as X_val and y_val."
        )
