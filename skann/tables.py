"""Encode tables with categories and missing values as numbers."""

import datetime
import math
import os
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, Self

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import check_array
from sklearn.utils.validation import _check_categorical_features

# A level seen once says nothing about other rows. Together, such levels stand for rare ones, and so
# for those that fit has not seen. The bound on levels limits memory and time.
_MIN_FREQUENCY, _MAX_LEVELS = 2, 100
# How many numbers to sample for the medians if none is missing: it takes milliseconds, however
# large X is, and the medians are only needed if numbers are missing later.
_MEDIAN_NUMBERS = 2**18
_MIXED = "mixed values"
_LEVELS = (nw.Categorical, nw.Enum, nw.String)


class Category(NamedTuple):
    """A column of categories.

    Attributes
    ----------
    name : str
        Its name in error messages.
    kind : str
        What it holds: "strings", "booleans", "numbers", "mixed values" or, if all values are
        missing, "".
    levels : list
        Its distinct values, sorted; None comes last if values are missing.
    codes : ndarray of shape (n_samples,)
        The index of each row's level in `levels`.
    """

    name: str
    kind: str
    levels: list
    codes: NDArray[np.intp]


class Columns(NamedTuple):
    """The columns of a table.

    Attributes
    ----------
    numbers : array-like of shape (n_samples, n_numbers)
        The numeric columns, not yet validated.
    categories : list of Category
        The categorical columns.
    """

    numbers: Any
    categories: list[Category]


class Encoding(NamedTuple):
    """How columns become inputs of the network: numbers, then indicators, then levels.

    Pickles and checkpoints hold it, so it consists of lists and one array.

    Attributes
    ----------
    is_category : list of bool
        Whether each given column is categorical.
    medians : ndarray of shape (n_numbers,) or None
        The values that replace missing numbers; None after a fit to sparse rows.
    indicated : list of int
        The numeric columns that have an indicator, an input that is 1 where a value is missing.
    kinds : list of str
        What each categorical column held in fit, as in `Category`.
    levels : list of list
        For each categorical column, the levels that have an input of their own.
    groups_others : list of bool
        For each categorical column, whether all other levels share one more input.
    """

    is_category: list[bool]
    medians: NDArray | None
    indicated: list[int]
    kinds: list[str]
    levels: list[list]
    groups_others: list[bool]

    @property
    def n_numbers(self) -> int:
        """Number of numeric columns, which are the first inputs."""
        return len(self.is_category) - len(self.levels)

    @property
    def keeps_columns(self) -> bool:
        """Whether the inputs are the given columns, if no number is missing."""
        return not self.levels and not self.indicated

    @classmethod
    def of_numbers(cls, n_features: int) -> Self:
        """Return the encoding of numeric rows, without medians."""
        return cls([False] * n_features, None, [], [], [], [])

    @classmethod
    def fit(
        cls, is_category: list[bool] | None, numbers: Any, columns: Columns | None, has_nan: bool
    ) -> Self:
        """Find the medians and levels; sample weights are not taken into account.

        Parameters
        ----------
        is_category : list of bool or None
            Whether each column is categorical; None if none is.
        numbers : ndarray or sparse array of shape (n_samples, n_numbers)
            The numeric columns, validated; NaN may occur in dense ones.
        columns : Columns or None
            The table; None for an array of numbers.
        has_nan : bool
            Whether any number is NaN.

        Returns
        -------
        Encoding
        """
        encoding = cls.of_numbers(numbers.shape[1])
        if not sparse.issparse(numbers):
            medians, indicated = _medians(numbers, has_nan)
            encoding = encoding._replace(medians=medians, indicated=indicated)
        if is_category is None or columns is None:
            return encoding
        found = [_frequent_levels(category) for category in columns.categories]
        return encoding._replace(
            is_category=is_category,
            kinds=[category.kind for category in columns.categories],
            levels=[levels for levels, _ in found],
            groups_others=[groups_others for _, groups_others in found],
        )

    def encode(self, numbers: Any, columns: Columns | None, has_nan: bool) -> Any:
        """Return the inputs of rows.

        Parameters
        ----------
        numbers : ndarray or sparse array of shape (n_samples, n_numbers)
            As in `fit`.
        columns : Columns or None
            As in `fit`.
        has_nan : bool
            Whether any number is NaN.

        Returns
        -------
        ndarray or sparse array of shape (n_samples, n_inputs)
            `numbers` itself if nothing needs to be filled or added.

        Raises
        ------
        ValueError
            If rows are sparse but the encoding adds inputs, if numbers are missing after a fit to
            sparse rows, or if a categorical column holds another kind of values than in fit.
        """
        if sparse.issparse(numbers):
            if not self.keeps_columns:
                raise ValueError(
                    "X is sparse, but the classifier was fitted to dense rows with missing values."
                    " Pass X.toarray()."
                )
            return numbers
        if self.keeps_columns and not has_nan:
            return numbers
        # The dtype that a ColumnTransformer of SimpleImputer and OneHotEncoder returns.
        dtype = np.result_type(numbers, np.float64) if self.levels else numbers.dtype
        inputs = np.zeros((len(numbers), self.n_inputs), dtype)
        inputs[:, : self.n_numbers] = numbers
        if has_nan:
            self._fill(inputs)
        if columns is not None:
            self._write_levels(columns.categories, inputs)
        return inputs

    def _fill(self, inputs: NDArray) -> None:
        """Replace missing numbers by medians and set their indicators."""
        if self.medians is None:
            raise ValueError(
                "Input X contains NaN, but the classifier was fitted to sparse rows, so it has no"
                " medians to replace NaN. Replace it first, for example with"
                " sklearn.impute.SimpleImputer."
            )
        numbers = inputs[:, : self.n_numbers]
        missing = np.isnan(numbers)
        np.copyto(numbers, self.medians, where=missing)
        inputs[:, self.n_numbers : self._n_before_levels] = missing[:, self.indicated]

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the network."""
        return self._n_before_levels + sum(map(len, self.levels)) + sum(self.groups_others)

    @property
    def _n_before_levels(self) -> int:
        return self.n_numbers + len(self.indicated)

    def _write_levels(self, categories: list[Category], inputs: NDArray) -> None:
        """One-hot encode each categorical column."""
        start = self._n_before_levels
        for category, kind, levels, groups_others in zip(
            categories, self.kinds, self.levels, self.groups_others, strict=True
        ):
            input_of = {level: start + index for index, level in enumerate(levels)}
            start += len(levels) + groups_others
            # If a level is neither known nor grouped with others, all inputs stay zero.
            other = start - 1 if groups_others else -1
            found = [input_of.get(level, other) for level in _levels_as(kind, category)]
            input_of_row = np.array(found, np.intp)[category.codes]
            rows = np.flatnonzero(input_of_row >= 0)
            inputs[rows, input_of_row[rows]] = 1

    def summary(self) -> str | None:
        """Describe the columns in a few words; None if the inputs are the given columns."""
        if self.keeps_columns:
            return None
        n_levels = sum(map(len, self.levels)) + sum(self.groups_others)
        return (
            f"{self.n_numbers} numeric with {len(self.indicated)} indicators of missing values,"
            f" {len(self.levels)} categorical with {n_levels} levels"
        )


def _levels_as(kind: str, category: Category) -> list:
    """Return the levels of a column; raise an error if it is not of the kind it had in fit."""
    if kind == _MIXED and category.kind != _MIXED:
        return _as_text(category.levels)
    if "" not in (kind, category.kind) and kind != category.kind:
        raise ValueError(
            f"Column {category.name} of X holds {category.kind}, but in fit it held {kind}. Convert"
            " the column, or fit again."
        )
    return category.levels


def _frequent_levels(category: Category) -> tuple[list, bool]:
    """Return the levels that get an input of their own, and whether there are others."""
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=_MIN_FREQUENCY,
        max_categories=_MAX_LEVELS,
    ).fit(category.codes[:, np.newaxis])
    rare = encoder.infrequent_categories_[0]
    if rare is None:
        return category.levels, False
    frequent = np.setdiff1d(encoder.categories_[0], rare)
    return [category.levels[code] for code in frequent], True


def _medians(numbers: NDArray, has_nan: bool) -> tuple[NDArray, list[int]]:
    """Return the median of each column, and the columns with missing values."""
    if has_nan:
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
        return imputer.statistics_, np.flatnonzero(np.isnan(numbers).any(axis=0)).tolist()
    n_rows, n_columns = numbers.shape
    n_sampled = max(_MEDIAN_NUMBERS // max(n_columns, 1), 1)
    if n_sampled < n_rows:
        numbers = numbers[np.linspace(0, n_rows - 1, n_sampled).astype(np.intp)]
        n_rows = n_sampled
    # The same result as np.median(axis=0), which takes ten times as long.
    ordered = np.sort(numbers, axis=0)
    with np.errstate(over="ignore"):
        return ordered[[(n_rows - 1) // 2, n_rows // 2]].mean(axis=0), []


def holds_nan(numbers: Any) -> bool:
    """Tell whether an array holds NaN; False for sparse arrays, in which NaN is an error."""
    if sparse.issparse(numbers) or numbers.dtype.kind != "f":
        return False
    # The sum of finite numbers is finite, unless it overflows, and takes no memory.
    with np.errstate(over="ignore", invalid="ignore"):
        return not np.isfinite(numbers.sum()) and bool(np.isnan(numbers).any())


# Columns by what they hold ---------------------------------------------------------------------


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a DataFrame of any library that narwhals knows."""
    return not isinstance(X, np.ndarray) and bool(nw.dependencies.is_into_dataframe(X))


def holds_objects(X: Any) -> bool:
    """Tell whether `X` is a two-dimensional array of Python objects."""
    return isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 2 and X.size > 0


def as_objects(X: Any) -> Any:
    """Convert lists of rows to an array of objects if they hold more than numbers."""
    if not isinstance(X, list | tuple):
        return X
    rows = np.asarray(X)
    return np.asarray(X, object) if rows.ndim == 2 and rows.dtype.kind in "OU" else X


def find_categories(X: Any, categorical_features: Any) -> list[bool] | None:
    """Tell which columns hold categories.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The rows given to fit.
    categorical_features : array-like of bool, int or str, "from_dtype" or None
        As given to the estimator.

    Returns
    -------
    list of bool, or None
        None if `X` is an array without categories.

    Raises
    ------
    ValueError
        If `categorical_features` contains columns that do not exist.
    """
    by_dtype = isinstance(categorical_features, str)
    if is_frame(X):
        columns = list(nw.from_native(X, eager_only=True).iter_columns())
        if by_dtype:
            return [_is_category(column) for column in columns]
        is_category = _check_categorical_features(X, categorical_features)
        return [False] * len(columns) if is_category is None else is_category.tolist()
    if not by_dtype and categorical_features is not None:
        rows = check_array(X, dtype=None, ensure_all_finite=False)
        is_category = _check_categorical_features(rows, categorical_features)
        return None if is_category is None else is_category.tolist()
    # In an array of strings, nothing shows which columns were numbers; objects keep their types.
    if by_dtype and holds_objects(X):
        return [_factorize(column.tolist())[0] not in ("numbers", "") for column in X.T]
    return None


def _is_category(column: Any) -> bool:
    if column.dtype in _LEVELS or column.dtype == nw.Boolean:
        return True
    return not _is_numeric(column) and _factorize(column.to_list())[0] != "numbers"


def _is_numeric(column: Any) -> bool:
    """Tell whether `check_array` can convert a column to numbers by its dtype."""
    if column.dtype == nw.Boolean:
        return column.null_count() == 0
    # pandas has numeric dtypes that narwhals does not know: sparse, complex, extended precision.
    dtype = getattr(column.to_native(), "dtype", None)
    is_numeric = column.dtype.is_numeric() or getattr(dtype, "kind", "") in tuple("iufc")
    return is_numeric and column.dtype != nw.Decimal


def split(X: Any, is_category: list[bool]) -> Columns:
    """Separate numeric from categorical columns.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        The rows.
    is_category : list of bool
        Which columns hold categories.

    Returns
    -------
    Columns

    Raises
    ------
    ValueError
        If a numeric column holds text, or a column holds dates or complex numbers.
    """
    categorical, numeric = np.flatnonzero(is_category), np.flatnonzero(np.logical_not(is_category))
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        _check_width(frame.shape[1], is_category)
        columns = list(frame.iter_columns())
        categories = [
            Category(repr(columns[index].name), *_factorize(columns[index].to_list()))
            for index in categorical
        ]
        return Columns(_numbers(frame, numeric), categories)
    X = check_array(X, dtype=None, ensure_all_finite=False)
    _check_width(X.shape[1], is_category)
    categories = [Category(str(index), *_factorize(X[:, index].tolist())) for index in categorical]
    if not holds_objects(X):
        return Columns(X[:, numeric], categories)
    numbers = [_as_numbers(str(index), X[:, index].tolist()) for index in numeric]
    return Columns(np.column_stack([np.empty((len(X), 0)), *numbers]), categories)


def _check_width(n_columns: int, is_category: list[bool]) -> None:
    if n_columns != len(is_category):  # Only in `resume`: names and widths are validated before.
        raise ValueError(
            f"X has {n_columns} features, but the interrupted fit had {len(is_category)}. Pass the"
            " same data as to that fit."
        )


def _numbers(frame: nw.DataFrame, indices: NDArray) -> Any:
    """Return the numeric columns of a frame: a part of it if all have numeric dtypes."""
    all_columns = list(frame.iter_columns())
    columns = [all_columns[index] for index in indices]
    is_numeric = np.array([_is_numeric(column) for column in columns], bool)
    if len(indices) and is_numeric.all():
        return frame[:, indices.tolist()].to_native()
    numbers = np.empty((len(frame), len(indices)))
    if is_numeric.any():
        rest = frame[:, indices[is_numeric].tolist()].to_native()
        numbers[:, is_numeric] = check_array(rest, ensure_all_finite=False, ensure_min_samples=0)
    for index in np.flatnonzero(~is_numeric):
        column = columns[index]
        numbers[:, index] = _as_numbers(repr(column.name), column.to_list())
    return numbers


def _as_numbers(name: str, values: list) -> NDArray[np.float64]:
    """Convert a column of objects to numbers, with NaN where a value is missing."""
    kind, levels, codes = _factorize(values)
    if kind in ("strings", _MIXED):
        raise ValueError(
            f"Column {name} of X holds {kind} where numbers are expected. Convert it to numbers, or"
            " name it in categorical_features and fit again."
        )
    return np.array([np.nan if level is None else level for level in levels], float)[codes]


def _factorize(values: list) -> tuple[str, list, NDArray[np.intp]]:
    """Return the kind, levels and codes of a column, as in `Category`."""
    try:
        code_of = {value: code for code, value in enumerate(dict.fromkeys(values))}
    except TypeError:  # Lists and dicts cannot be keys.
        _, levels, codes = _factorize(_as_text([_level(value) for value in values]))
        return _MIXED, levels, codes
    codes = np.fromiter(map(code_of.__getitem__, values), np.intp, len(values))
    levels = [_level(value) for value in code_of]
    kind = _kind(levels)
    if kind == _MIXED:
        levels = _as_text(levels)
    # By now, None, NaN and NA are one level, which comes last.
    distinct = set(levels)
    ordered = sorted(distinct - {None}) + ([None] if None in distinct else [])
    rank_of = {level: rank for rank, level in enumerate(ordered)}
    ranks = np.array([rank_of[level] for level in levels], np.intp)
    return kind, ordered, ranks[codes]


def _kind(levels: list) -> str:
    """Return the kind of a column with these levels, as in `Category`."""
    types = {type(level) for level in levels if level is not None}
    # Dates, times and periods have this method in every library; durations do not.
    if dates := [
        each for each in types if hasattr(each, "strftime") or issubclass(each, datetime.timedelta)
    ]:
        raise _error_of_dates("X", [each.__name__ for each in dates])
    if any(issubclass(each, complex) for each in types):
        raise ValueError(
            "X holds complex numbers. Pass the real and the imaginary parts as separate columns."
        )
    if not types:
        return ""
    for kind, base in (("strings", str), ("booleans", bool), ("numbers", (int, float))):
        if all(issubclass(each, base) for each in types):
            if kind == "numbers" and any(level in (math.inf, -math.inf) for level in levels):
                raise ValueError(
                    "Input X contains infinity. Replace infinite values by finite ones, or by NaN"
                    " if they are missing."
                )
            return kind
    return _MIXED


def _level(value: Any) -> Any:
    """Return a value as a plain Python object, None if it is missing."""
    if isinstance(value, np.generic):
        # For some units, item() would return an integer.
        if value.dtype.kind in "mM" and not np.isnat(value):
            raise _error_of_dates("X", [str(value.dtype)])
        value = value.item()
    elif isinstance(value, Decimal | Fraction):
        value = float(value)
    try:
        return value if value == value else None
    except TypeError:  # The comparison of pandas' NA with itself is neither true nor false.
        return None
    except ValueError:  # The comparison of an array gives an array.
        return value


def _as_text(levels: list) -> list:
    return [None if level is None else str(level) for level in levels]


def refuse_texts(X: Any) -> None:
    """Raise an error for a list, array or Series of strings or paths: they are not rows."""
    is_flat = isinstance(X, list | tuple) or getattr(X, "ndim", None) == 1
    if sparse.issparse(X) or not (is_flat or nw.dependencies.is_into_series(X)):
        return
    first = next((item for item in X if item is not None), None)
    if isinstance(first, str | os.PathLike):
        raise ValueError(
            "X holds one string or path for each sample, not rows of features. Put a step before"
            " the classifier that turns strings into numbers: TfidfVectorizer for texts, or"
            " skann.images.ImageReader for paths of pictures. For a single column of categories,"
            " pass a table with this column."
        )


def refuse_dates(values: Any, name: str) -> None:
    """Raise an error for dates and durations: as numbers, they could be in any unit."""
    if is_frame(values):
        columns = nw.from_native(values, eager_only=True).iter_columns()
        dates = [column for column in columns if column.dtype.is_temporal()]
        dtypes = [getattr(column.to_native(), "dtype", column.dtype) for column in dates]
    else:
        dtype = getattr(values, "dtype", None)
        dtypes = [dtype] if getattr(dtype, "kind", "") in ("m", "M") else []
    if dtypes:
        raise _error_of_dates(name, map(str, dtypes))


def _error_of_dates(name: str, dtypes: Iterable[str]) -> ValueError:
    return ValueError(
        f"{name} holds dates or durations (dtype {', '.join(dict.fromkeys(dtypes))}), not"
        " numbers. Convert them to numbers in a unit of your choice. For a duration, divide it, for"
        " example by np.timedelta64(1, 'D') for days. For a date, first subtract another date."
    )
