"""Tables with categories and missing values, to the numbers that a network computes with."""

import datetime
import math
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

# A level seen once tells of its row alone; grouped, such levels tell of those never seen. Beyond
# so many levels, further ones are too rare to be worth memory and time.
_MIN_FREQUENCY, _MAX_LEVELS = 2, 100
# Numbers that medians are taken of where no value is missing: milliseconds, however large X is.
_MEDIAN_NUMBERS = 2**18
_MIXED = "mixed values"
_LEVELS = (nw.Categorical, nw.Enum, nw.String)


class Category(NamedTuple):
    """A column of categories.

    Attributes
    ----------
    name : str
        What error messages call it.
    kind : str
        What it holds: "strings", "booleans", "numbers", "mixed values" or, if all values are
        missing, "".
    levels : list
        Its distinct values in order, then None if a value is missing.
    codes : ndarray of shape (n_samples,)
        Which of the levels each row has.
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
        The numeric columns, not validated.
    categories : list of Category
        The others.
    """

    numbers: Any
    categories: list[Category]


class Encoding(NamedTuple):
    """How columns become inputs of the network: numbers, then indicators, then levels.

    Nothing but lists and an array, as it is pickled and saved with checkpoints.

    Attributes
    ----------
    is_category : list of bool
        Which of the given columns hold categories.
    medians : ndarray of shape (n_numbers,) or None
        What takes the place of missing numbers; None for sparse rows, which must lack none.
    indicated : list of int
        Which numbers have an input of zeros and ones that tells where they are missing.
    kinds : list of str
        What each column of categories holds, as in `Category`.
    levels : list of list
        Of each column of categories the levels that have an input of zeros and ones.
    groups_others : list of bool
        Whether all other levels share one more.
    """

    is_category: list[bool]
    medians: NDArray | None
    indicated: list[int]
    kinds: list[str]
    levels: list[list]
    groups_others: list[bool]

    @property
    def n_numbers(self) -> int:
        """Inputs that are given numbers, before those of zeros and ones."""
        return len(self.is_category) - len(self.levels)

    @property
    def keeps_columns(self) -> bool:
        """Whether the inputs are the given columns."""
        return not self.levels and not self.indicated

    @classmethod
    def of_numbers(cls, n_features: int) -> Self:
        """Return the encoding of rows that are numbers already, none missing."""
        return cls([False] * n_features, None, [], [], [], [])

    @classmethod
    def fit(
        cls, is_category: list[bool] | None, numbers: Any, columns: Columns | None, has_nan: bool
    ) -> Self:
        """Find medians and levels, of all rows alike.

        Parameters
        ----------
        is_category : list of bool or None
            Which columns hold categories; None if none does.
        numbers : ndarray or sparse array of shape (n_samples, n_numbers)
            Validated numbers, of which dense ones may be NaN.
        columns : Columns or None
            Holds the categories, if there are any.
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
            As in `fit`, like all that follows.
        columns : Columns or None
            The categories.
        has_nan : bool
            Whether any number is NaN.

        Returns
        -------
        ndarray or sparse array of shape (n_samples, n_inputs)
            `numbers` itself where there is nothing to do.

        Raises
        ------
        ValueError
            If rows are sparse where columns are to be added, if numbers are missing where fit was
            given sparse rows, or if a column has changed its kind.
        """
        if sparse.issparse(numbers):
            if not self.keeps_columns:
                raise ValueError(
                    "X is sparse, but the classifier was fitted to a dense table with missing"
                    " values. Give X.toarray()."
                )
            return numbers
        if self.keeps_columns and not has_nan:
            return numbers
        # As a ColumnTransformer of SimpleImputer and OneHotEncoder returns it.
        dtype = np.result_type(numbers, np.float64) if self.levels else numbers.dtype
        inputs = np.zeros((len(numbers), self.n_inputs), dtype)
        inputs[:, : self.n_numbers] = numbers
        if has_nan:
            self._fill(inputs)
        if columns is not None:
            self._write_levels(columns.categories, inputs)
        return inputs

    def _fill(self, inputs: NDArray) -> None:
        """Put medians in the place of missing numbers, and write the indicators of them."""
        if self.medians is None:
            raise ValueError(
                "Input X contains NaN, but the classifier has no medians to fill it with, as it was"
                " fitted to sparse rows. Fill it, for example with sklearn.impute.SimpleImputer."
            )
        numbers = inputs[:, : self.n_numbers]
        missing = np.isnan(numbers)
        np.copyto(numbers, self.medians, where=missing)
        inputs[:, self.n_numbers : self._n_before_levels] = missing[:, self.indicated]

    @property
    def n_inputs(self) -> int:
        """Inputs of the network."""
        return self._n_before_levels + sum(map(len, self.levels)) + sum(self.groups_others)

    @property
    def _n_before_levels(self) -> int:
        return self.n_numbers + len(self.indicated)

    def _write_levels(self, categories: list[Category], inputs: NDArray) -> None:
        """Write a one into the input of each row's level, for each column of categories."""
        start = self._n_before_levels
        for category, kind, levels, groups_others in zip(
            categories, self.kinds, self.levels, self.groups_others, strict=True
        ):
            place_of = {level: start + index for index, level in enumerate(levels)}
            start += len(levels) + groups_others
            # Of a level that is neither known nor grouped, all inputs stay zero.
            others = start - 1 if groups_others else -1
            places = [place_of.get(level, others) for level in _levels_as(kind, category)]
            place = np.array(places, np.intp)[category.codes]
            rows = np.flatnonzero(place >= 0)
            inputs[rows, place[rows]] = 1

    def summary(self) -> str | None:
        """Return a sentence on the columns; None where they are the inputs."""
        if self.keeps_columns:
            return None
        n_levels = sum(map(len, self.levels)) + sum(self.groups_others)
        return (
            f"{self.n_numbers} of numbers with {len(self.indicated)} indicators of missing values,"
            f" {len(self.levels)} of categories with {n_levels} levels"
        )


def _levels_as(kind: str, category: Category) -> list:
    """Return the levels of a column, which must be of the kind that it had in fit."""
    if kind == _MIXED and category.kind != _MIXED:
        return _as_text(category.levels)
    if "" not in (kind, category.kind) and kind != category.kind:
        raise ValueError(
            f"Column {category.name} of X holds {category.kind}, but in fit it held {kind}. Convert"
            " it, or fit again."
        )
    return category.levels


def _frequent_levels(category: Category) -> tuple[list, bool]:
    """Return the levels that are frequent enough, and whether there are others."""
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
    """Return the median of each column, and which columns lack values."""
    if has_nan:
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
        return imputer.statistics_, np.flatnonzero(np.isnan(numbers).any(axis=0)).tolist()
    n_rows, n_columns = numbers.shape
    n_sampled = max(_MEDIAN_NUMBERS // max(n_columns, 1), 1)
    if n_sampled < n_rows:
        numbers = numbers[np.linspace(0, n_rows - 1, n_sampled).astype(np.intp)]
        n_rows = n_sampled
    # As np.median, which takes ten times as long.
    ordered = np.sort(numbers, axis=0)
    with np.errstate(over="ignore"):
        return ordered[[(n_rows - 1) // 2, n_rows // 2]].mean(axis=0), []


def holds_nan(numbers: Any) -> bool:
    """Tell whether numbers hold NaN; sparse ones must not, and are not looked at."""
    if sparse.issparse(numbers) or numbers.dtype.kind != "f":
        return False
    # A sum is fast, and finite unless a number is not or it overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        return not np.isfinite(numbers.sum()) and bool(np.isnan(numbers).any())


# Columns by what they hold ---------------------------------------------------------------------


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a DataFrame of any library that narwhals knows."""
    return not isinstance(X, np.ndarray) and bool(nw.dependencies.is_into_dataframe(X))


def holds_objects(X: Any) -> bool:
    """Tell whether `X` is an array with rows of Python objects."""
    return isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 2 and X.size > 0


def as_objects(X: Any) -> Any:
    """Return lists of rows as an array of objects, unless all are numbers; others as they are."""
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
        None if no column of an array does.

    Raises
    ------
    ValueError
        If `categorical_features` names columns that are not there.
    """
    by_dtype = isinstance(categorical_features, str)
    if is_frame(X):
        columns = _columns(nw.from_native(X, eager_only=True))
        if by_dtype:
            return [_is_category(column) for column in columns]
        is_category = _check_categorical_features(X, categorical_features)
        return [False] * len(columns) if is_category is None else is_category.tolist()
    if not by_dtype and categorical_features is not None:
        rows = check_array(X, dtype=None, ensure_all_finite=False)
        is_category = _check_categorical_features(rows, categorical_features)
        return None if is_category is None else is_category.tolist()
    # An array of strings has lost which of its columns were numbers: only objects tell.
    if by_dtype and holds_objects(X):
        return [_factorize(column.tolist())[0] not in ("numbers", "") for column in X.T]
    return None


def _is_category(column: Any) -> bool:
    if column.dtype in _LEVELS or column.dtype == nw.Boolean:
        return True
    return not _is_numeric(column) and _factorize(column.to_list())[0] != "numbers"


def _is_numeric(column: Any) -> bool:
    """Tell whether the dtype of a column is one that `check_array` makes numbers of."""
    if column.dtype == nw.Boolean:
        return column.null_count() == 0
    # pandas has numeric dtypes that narwhals does not know: sparse, complex, extended precision.
    dtype = getattr(column.to_native(), "dtype", None)
    is_numeric = column.dtype.is_numeric() or getattr(dtype, "kind", "") in tuple("iufc")
    return is_numeric and column.dtype != nw.Decimal


def split(X: Any, is_category: list[bool]) -> Columns:
    """Part columns of numbers from those of categories.

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
        If a column that is to hold numbers holds text, or a category is a date.
    """
    places, others = np.flatnonzero(is_category), np.flatnonzero(np.logical_not(is_category))
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        _check_width(frame.shape[1], is_category)
        columns = _columns(frame)
        categories = [
            Category(repr(columns[place].name), *_factorize(columns[place].to_list()))
            for place in places
        ]
        return Columns(_numbers(frame, others), categories)
    X = check_array(X, dtype=None, ensure_all_finite=False)
    _check_width(X.shape[1], is_category)
    categories = [Category(str(place), *_factorize(X[:, place].tolist())) for place in places]
    if not holds_objects(X):
        return Columns(X[:, others], categories)
    numbers = [_as_numbers(str(place), X[:, place].tolist()) for place in others]
    return Columns(np.column_stack([np.empty((len(X), 0)), *numbers]), categories)


def _check_width(n_columns: int, is_category: list[bool]) -> None:
    if n_columns != len(is_category):  # As only a fit that is resumed can have it.
        raise ValueError(
            f"X has {n_columns} features, but the interrupted fit had {len(is_category)}."
        )


def _numbers(frame: nw.DataFrame, places: NDArray) -> Any:
    """Return the columns of numbers of a frame, if possible as it holds them."""
    all_columns = _columns(frame)
    columns = [all_columns[place] for place in places]
    is_numeric = np.array([_is_numeric(column) for column in columns], bool)
    if len(places) and is_numeric.all():
        return frame[:, places.tolist()].to_native()
    numbers = np.empty((len(frame), len(places)))
    if is_numeric.any():
        rest = frame[:, places[is_numeric].tolist()].to_native()
        numbers[:, is_numeric] = check_array(rest, ensure_all_finite=False, ensure_min_samples=0)
    for place in np.flatnonzero(~is_numeric):
        column = columns[place]
        numbers[:, place] = _as_numbers(repr(column.name), column.to_list())
    return numbers


def _as_numbers(name: str, values: list) -> NDArray[np.float64]:
    """Return a column of objects as numbers, NaN where one is missing."""
    kind, levels, codes = _factorize(values)
    if kind in ("strings", _MIXED):
        raise ValueError(
            f"Column {name} of X holds {kind} where numbers are expected. Convert it to numbers, or"
            " name it in categorical_features and fit again."
        )
    return np.array([np.nan if level is None else level for level in levels], float)[codes]


def _columns(frame: nw.DataFrame) -> list[Any]:
    """Return the narwhals Series of a frame."""
    return list(frame.iter_columns())


def _factorize(values: list) -> tuple[str, list, NDArray[np.intp]]:
    """Return kind, levels and codes of a column, as in `Category`."""
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
    # None, NaN and NA have become one level, the last.
    distinct = set(levels)
    ordered = sorted(distinct - {None}) + ([None] if None in distinct else [])
    rank_of = {level: rank for rank, level in enumerate(ordered)}
    ranks = np.array([rank_of[level] for level in levels], np.intp)
    return kind, ordered, ranks[codes]


def _kind(levels: list) -> str:
    """Return what a column of these levels holds, as in `Category`."""
    types = {type(level) for level in levels if level is not None}
    # Dates, times and periods of any library can be formatted so; durations cannot.
    if dates := [
        each for each in types if hasattr(each, "strftime") or issubclass(each, datetime.timedelta)
    ]:
        raise _error_of_dates("X", [each.__name__ for each in dates])
    if any(issubclass(each, complex) for each in types):
        raise ValueError("X holds complex numbers. Give real and imaginary part as columns.")
    if not types:
        return ""
    for kind, base in (("strings", str), ("booleans", bool), ("numbers", (int, float))):
        if all(issubclass(each, base) for each in types):
            if kind == "numbers" and any(level in (math.inf, -math.inf) for level in levels):
                raise ValueError("Input X contains infinity.")
            return kind
    return _MIXED


def _level(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, Decimal | Fraction):
        value = float(value)
    # The comparison of pandas' NA with itself is neither true nor false.
    return value if value is not None and (value == value) is True else None


def _as_text(levels: list) -> list:
    return [None if level is None else str(level) for level in levels]


def refuse_dates(values: Any, name: str) -> None:
    """Raise an error for dates and durations, whose numbers are in any unit."""
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
        " numbers. Convert them to numbers in a unit of your choice: a duration by dividing"
        " it, for example by np.timedelta64(1, 'D') for days, a date after subtracting another"
        " date."
    )
