"""Tables with categories and missing values, to the numbers that a network computes with."""

import datetime
from collections.abc import Iterable, Iterator
from decimal import Decimal
from numbers import Number
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
_LEVELS = (nw.Categorical, nw.Enum, nw.String, nw.Boolean)


class Columns(NamedTuple):
    """The columns of a table, by what they hold.

    Attributes
    ----------
    numbers : array-like of shape (n_samples, n_numbers)
        Columns of numbers, to be validated.
    categories : list of list
        Columns of categories, None where a value is missing.
    kinds : list of str
        What each of them holds: "strings", "booleans", "numbers", "mixed values" or, where all are
        missing, "".
    names : list of str
        What error messages call them.
    """

    numbers: Any
    categories: list[list]
    kinds: list[str]
    names: list[str]


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
        As in `Columns`.
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
    def fit(cls, is_category: list[bool] | None, numbers: Any, columns: Columns | None) -> Self:
        """Find medians and levels, of all rows alike.

        Parameters
        ----------
        is_category : list of bool or None
            Which columns hold categories; None if none does.
        numbers : ndarray or sparse array of shape (n_samples, n_numbers)
            Validated numbers, of which dense ones may be NaN.
        columns : Columns or None
            Holds the categories, if there are any.

        Returns
        -------
        Encoding
        """
        encoding = cls.of_numbers(numbers.shape[1])
        if not sparse.issparse(numbers):
            medians, indicated = _medians(numbers)
            encoding = encoding._replace(medians=medians, indicated=indicated)
        if is_category is None or columns is None:
            return encoding
        found = [_levels(column) for column in columns.categories]
        return encoding._replace(
            is_category=is_category,
            kinds=columns.kinds,
            levels=[levels for levels, _ in found],
            groups_others=[groups_others for _, groups_others in found],
        )

    def encode(self, numbers: Any, columns: Columns | None) -> Any:
        """Return the inputs of rows.

        Parameters
        ----------
        numbers : ndarray or sparse array of shape (n_samples, n_numbers)
            As in `fit`.
        columns : Columns or None
            As in `fit`.

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
        parts = self._filled(numbers)
        if columns is not None:
            parts += self._one_hot(columns)
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def _filled(self, numbers: NDArray) -> list[NDArray]:
        """Return numbers with medians where they were missing, and where that was."""
        n_indicators = len(self.indicated)
        if not has_gaps(numbers):
            return [numbers, *([np.zeros((len(numbers), n_indicators))] if n_indicators else [])]
        if self.medians is None:
            raise ValueError(
                "Input X contains NaN, but the classifier has no medians to fill it with, as it was"
                " fitted to sparse rows. Fill it, for example with sklearn.impute.SimpleImputer."
            )
        missing, filled = np.isnan(numbers), numbers.copy()
        filled[missing] = np.broadcast_to(self.medians, numbers.shape)[missing]
        return [filled, *([missing[:, self.indicated]] if n_indicators else [])]

    def _one_hot(self, columns: Columns) -> Iterator[NDArray]:
        """Yield the inputs of each column of categories."""
        for place, (levels, groups_others) in enumerate(
            zip(self.levels, self.groups_others, strict=True)
        ):
            column = _alike(columns, place, self.kinds[place])
            place_of = {level: place for place, level in enumerate(levels)}
            others = len(levels)
            inputs = np.zeros((len(column), others + 1))
            places = [place_of.get(level, others) for level in column]
            inputs[np.arange(len(column)), places] = 1
            yield inputs if groups_others else inputs[:, :others]

    def summary(self) -> str | None:
        """Return a sentence on the columns; None where they are the inputs."""
        if self.keeps_columns:
            return None
        n_levels = sum(map(len, self.levels)) + sum(self.groups_others)
        return (
            f"{self.n_numbers} of numbers with {len(self.indicated)} indicators of missing values,"
            f" {len(self.levels)} of categories with {n_levels} levels"
        )


def _alike(columns: Columns, place: int, was: str) -> list:
    """Return a column of categories, if it is of the kind that it was of in fit."""
    column, now = columns.categories[place], columns.kinds[place]
    if was == _MIXED and now != _MIXED:
        return _as_text(column)
    if "" not in (was, now) and was != now:
        raise ValueError(
            f"Column {columns.names[place]} of X holds {now}, but in fit it held {was}. Convert it,"
            " or fit again."
        )
    return column


def _levels(column: list) -> tuple[list, bool]:
    """Return the levels that are frequent enough, and whether there are others."""
    values = np.empty((len(column), 1), dtype=object)
    values[:, 0] = column
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=_MIN_FREQUENCY,
        max_categories=_MAX_LEVELS,
    ).fit(values)
    rare = encoder.infrequent_categories_[0]
    others = set() if rare is None else set(rare)
    return [level for level in encoder.categories_[0] if level not in others], bool(others)


def has_gaps(numbers: NDArray) -> bool:
    """Tell whether an array holds NaN."""
    if numbers.dtype.kind != "f":
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(numbers.sum())) and bool(np.isnan(numbers).any())


def _medians(numbers: NDArray) -> tuple[NDArray, list[int]]:
    """Return the median of each column, and which columns lack values."""
    if has_gaps(numbers):
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
        return imputer.statistics_, np.flatnonzero(np.isnan(numbers).any(axis=0)).tolist()
    n_rows, n_columns = numbers.shape
    n_looked_at = max(_MEDIAN_NUMBERS // max(n_columns, 1), 1)
    if n_looked_at < n_rows:
        numbers = numbers[np.linspace(0, n_rows - 1, n_looked_at).astype(np.intp)]
    with np.errstate(over="ignore"):
        return np.median(numbers, axis=0), []


# Columns by what they hold ---------------------------------------------------------------------


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a DataFrame of any library that narwhals knows."""
    return not isinstance(X, np.ndarray) and bool(nw.dependencies.is_into_dataframe(X))


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
        columns = list(nw.from_native(X, eager_only=True).iter_columns())
        if by_dtype:
            return [_holds_levels(column) for column in columns]
        is_category = _check_categorical_features(X, categorical_features)
        return [False] * len(columns) if is_category is None else is_category.tolist()
    if not by_dtype and categorical_features is not None:
        rows = check_array(X, dtype=None, ensure_all_finite=False)
        is_category = _check_categorical_features(rows, categorical_features)
        return None if is_category is None else is_category.tolist()
    # An array of strings has lost which of its columns were numbers: only objects tell.
    if by_dtype and isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 2:
        return [_plain(column.tolist())[1] not in ("numbers", "") for column in X.T]
    return None


def _holds_levels(column: nw.Series) -> bool:
    if column.dtype != nw.Object:
        return column.dtype in _LEVELS
    return _plain(column.to_list())[1] != "numbers"


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
        series = _columns(frame, places)
        names = [repr(column.name) for column in series]
        found = [_plain(column.to_list()) for column in series]
        numbers = _numbers(frame, others)
    else:
        X = check_array(X, dtype=None, ensure_all_finite=False)
        _check_width(X.shape[1], is_category)
        names = [str(place) for place in places]
        found = [_plain(X[:, place].tolist()) for place in places]
        numbers = X[:, others]
    categories, kinds = [column for column, _ in found], [kind for _, kind in found]
    return Columns(numbers, categories, kinds, names)


def _check_width(n_columns: int, is_category: list[bool]) -> None:
    if n_columns != len(is_category):  # As only a fit that is resumed can have it.
        raise ValueError(
            f"X has {n_columns} features, but the interrupted fit had {len(is_category)}."
        )


def _numbers(frame: nw.DataFrame, places: NDArray) -> Any:
    """Return the columns of numbers of a frame, as it holds them."""
    empty = np.zeros(len(places), bool)
    for number, column in enumerate(_columns(frame, places)):
        if column.dtype == nw.Object or column.dtype in _LEVELS:
            _, kind = _plain(column.to_list())
            empty[number] = not kind  # Whatever its dtype is.
            if kind in ("strings", _MIXED):
                raise ValueError(
                    f"Column {column.name!r} of X holds {kind} where numbers are expected."
                    " Convert it to numbers, or name it in categorical_features and fit again."
                )
    if not len(places):
        return np.empty((len(frame), 0))
    if not empty.any():
        return frame[:, places.tolist()].to_native()
    numbers = np.full((len(frame), len(places)), np.nan)
    if not empty.all():
        rest = frame[:, places[~empty].tolist()].to_native()
        numbers[:, ~empty] = check_array(rest, ensure_all_finite=False, ensure_min_samples=0)
    return numbers


def _columns(frame: nw.DataFrame, places: NDArray) -> list[nw.Series]:
    columns = list(frame.iter_columns())
    return [columns[place] for place in places]


def _plain(values: list) -> tuple[list, str]:
    """Return the levels of a column, None where one is missing, and of what kind they are."""
    try:
        plain = {value: _level(value) for value in set(values)}
    except TypeError:  # Lists and dicts, which are no keys.
        return _as_text([_level(value) for value in values]), _MIXED
    levels = [plain[value] for value in values]
    types = {type(level) for level in plain.values() if level is not None}
    if dates := [kind for kind in types if issubclass(kind, datetime.date | datetime.timedelta)]:
        raise _error_of_dates("X", [kind.__name__ for kind in dates])
    if not types:
        return levels, ""
    for kind, type_ in (("strings", str), ("booleans", bool), ("numbers", Number)):
        if all(issubclass(each, type_) for each in types):
            return levels, kind
    return _as_text(levels), _MIXED


def _level(value: Any) -> Any:
    if isinstance(value, np.generic | Decimal):
        value = float(value) if isinstance(value, Decimal) else value.item()
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
