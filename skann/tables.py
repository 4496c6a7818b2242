"""Tables with categories and missing values, to the numbers that a network computes with."""

import datetime
from collections.abc import Iterable
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
# so many columns, further levels are too rare to be worth memory and time.
_MIN_FREQUENCY, _MAX_CATEGORIES = 2, 100
# Numbers that medians are taken of where no value is missing: milliseconds, however large X is.
_MEDIAN_NUMBERS = 2**20
_LEVELS = (nw.Categorical, nw.Enum, nw.String, nw.Boolean)


class Columns(NamedTuple):
    """The columns of a table, by what they hold.

    Attributes
    ----------
    numbers : array-like of shape (n_samples, n_numbers)
        Columns of numbers, to be validated.
    levels : ndarray of object, of shape (n_samples, n_categories)
        Columns of categories, None where a value is missing.
    kinds : tuple of str
        What the levels of each are: "strings", "booleans", "numbers", "mixed" or, where all are
        missing, "".
    names : list
        Names of the columns of categories, or their numbers.
    """

    numbers: Any
    levels: NDArray
    kinds: tuple[str, ...]
    names: list


class Encoding(NamedTuple):
    """How columns become inputs of the network: numbers, then indicators, then levels.

    Attributes
    ----------
    is_category : ndarray of bool, of shape (n_features,)
        Which of the given columns hold categories.
    medians : ndarray of shape (n_numbers,) or None
        What takes the place of missing numbers; None for sparse rows, which may lack none.
    indicated : ndarray of int
        Which numbers have a column of zeros and ones that tells where they are missing.
    kinds : tuple of str
        As in `Columns`.
    encoder : OneHotEncoder or None
        Makes columns of zeros and ones of the levels.
    """

    is_category: NDArray
    medians: NDArray | None
    indicated: NDArray
    kinds: tuple[str, ...] = ()
    encoder: OneHotEncoder | None = None

    @property
    def n_numbers(self) -> int:
        """Inputs that are given numbers, before those of zeros and ones."""
        return int(np.count_nonzero(~self.is_category))

    @property
    def keeps_columns(self) -> bool:
        """Whether the inputs are the given columns."""
        return self.encoder is None and not len(self.indicated)

    @classmethod
    def of_numbers(cls, n_features: int) -> Self:
        """Return the encoding of rows that are numbers already, none missing."""
        return cls(np.zeros(n_features, bool), None, np.empty(0, np.intp))

    @classmethod
    def fit(cls, is_category: NDArray | None, numbers: Any, columns: Columns | None) -> Self:
        """Find medians and levels, of all rows alike.

        Parameters
        ----------
        is_category : ndarray of bool, of shape (n_features,), or None
            Which columns hold categories; None if none does.
        numbers : ndarray or sparse array of shape (n_samples, n_numbers)
            Validated numbers, of which dense ones may be NaN.
        columns : Columns or None
            Holds the categories, if there are any.

        Returns
        -------
        Encoding
        """
        if sparse.issparse(numbers):
            return cls.of_numbers(numbers.shape[1])
        if is_category is None:
            is_category = np.zeros(numbers.shape[1], bool)
        encoder, kinds = None, tuple[str, ...]()
        if columns is not None and is_category.any():
            encoder = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=_MIN_FREQUENCY,
                max_categories=_MAX_CATEGORIES,
                sparse_output=False,
            ).set_output(transform="default")
            encoder.fit(columns.levels)
            kinds = columns.kinds
        return cls(is_category, *_medians(numbers), kinds, encoder)

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
        if self.encoder is not None and columns is not None:
            parts.append(self.encoder.transform(self._alike(columns)))
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def _filled(self, numbers: NDArray) -> list[NDArray]:
        """Return numbers with medians where they were missing, and where that was."""
        n_indicators = len(self.indicated)
        if not has_gaps(numbers):
            return [numbers, *([np.zeros((len(numbers), n_indicators))] if n_indicators else [])]
        if self.medians is None:
            raise ValueError(
                "Input X contains NaN, but the classifier was fitted to sparse rows, which may lack"
                " no value. Fill them, for example with sklearn.impute.SimpleImputer."
            )
        missing, filled = np.isnan(numbers), numbers.copy()
        filled[missing] = np.broadcast_to(self.medians, numbers.shape)[missing]
        return [filled, *([missing[:, self.indicated]] if n_indicators else [])]

    def _alike(self, columns: Columns) -> NDArray:
        """Return levels, if they are of the kinds that they were of in fit."""
        levels = columns.levels
        for place, (was, now) in enumerate(zip(self.kinds, columns.kinds, strict=True)):
            if was == "mixed" and now != "mixed":
                levels[:, place] = _as_text(levels[:, place])
            elif "" not in (was, now) and was != now:
                raise ValueError(
                    f"Column {columns.names[place]!r} holds {now}, but in fit it held {was}."
                    " Convert it, or fit again."
                )
        return levels

    def summary(self) -> str | None:
        """Return a sentence on the columns; None where they are the inputs."""
        if self.keeps_columns:
            return None
        n_categories = int(self.is_category.sum())
        n_levels = 0
        if self.encoder is not None:
            n_levels = len(self.encoder.get_feature_names_out())
        return (
            f"{self.n_numbers} of numbers, {len(self.indicated)} of them with an indicator of"
            f" missing values; {n_categories} of categories, encoded as {n_levels} inputs"
        )


def has_gaps(numbers: NDArray) -> bool:
    """Tell whether an array holds NaN."""
    if numbers.dtype.kind != "f":
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(numbers.sum())) and bool(np.isnan(numbers).any())


def _medians(numbers: NDArray) -> tuple[NDArray, NDArray]:
    """Return the median of each column, and which columns lack values."""
    if has_gaps(numbers):
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
        return imputer.statistics_, np.flatnonzero(np.isnan(numbers).any(axis=0))
    n_rows, n_columns = numbers.shape
    n_looked_at = min(n_rows, max(_MEDIAN_NUMBERS // max(n_columns, 1), 1))
    rows = np.linspace(0, n_rows - 1, n_looked_at).astype(np.intp)
    with np.errstate(over="ignore"):
        return np.median(numbers[rows], axis=0), np.empty(0, np.intp)


# Columns by what they hold ---------------------------------------------------------------------


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a DataFrame of any library that narwhals knows."""
    return bool(nw.dependencies.is_into_dataframe(X))


def find_categories(X: Any, categorical_features: Any) -> NDArray | None:
    """Tell which columns hold categories.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The rows given to fit.
    categorical_features : array-like of bool, int or str, "from_dtype" or None
        As given to the estimator.

    Returns
    -------
    ndarray of bool, of shape (n_features,), or None
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
            return np.array([_holds_levels(column) for column in columns], bool)
        is_category = _check_categorical_features(X, categorical_features)
        return np.zeros(len(columns), bool) if is_category is None else is_category
    if not by_dtype and categorical_features is not None:
        rows = check_array(X, dtype=None, ensure_all_finite=False)
        return _check_categorical_features(rows, categorical_features)
    # An array of strings has lost which of its columns were numbers: only objects tell.
    if by_dtype and isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 2:
        return np.array([_plain(column.tolist())[1] not in ("numbers", "") for column in X.T], bool)
    return None


def _holds_levels(column: nw.Series) -> bool:
    if column.dtype != nw.Object:
        return column.dtype in _LEVELS
    return _plain(column.to_list())[1] != "numbers"


def split(X: Any, is_category: NDArray) -> Columns:
    """Part columns of numbers from those of categories.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        The rows.
    is_category : ndarray of bool, of shape (n_features,)
        Which columns hold categories.

    Returns
    -------
    Columns

    Raises
    ------
    ValueError
        If a column that is to hold numbers holds text, or a category is a date.
    """
    places, others = np.flatnonzero(is_category), np.flatnonzero(~is_category)
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        series = _columns(frame, places)
        names, n_rows = [column.name for column in series], len(frame)
        columns = [column.to_list() for column in series]
        numbers = _numbers(frame, others)
    else:
        X = check_array(X, dtype=None, ensure_all_finite=False)
        names, n_rows = list(places.tolist()), len(X)
        columns = [X[:, place].tolist() for place in places]
        numbers = X[:, others]
    levels = np.empty((n_rows, len(places)), dtype=object)
    kinds = []
    for place, column in enumerate(columns):
        levels[:, place], kind = _plain(column)
        kinds.append(kind)
    return Columns(numbers, levels, tuple(kinds), names)


def _numbers(frame: nw.DataFrame, places: NDArray) -> Any:
    """Return the columns of numbers of a frame, as it holds them."""
    empty = np.zeros(len(places), bool)
    for number, column in enumerate(_columns(frame, places)):
        if column.dtype == nw.Object or column.dtype in _LEVELS:
            _, kind = _plain(column.to_list())
            empty[number] = not kind  # Whatever its dtype is.
            if kind in ("strings", "mixed"):
                raise ValueError(
                    f"Column {column.name!r} holds {kind} values where numbers are expected."
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
        return _plain([None if value is None else repr(value) for value in values])
    levels = [plain[value] for value in values]
    types = {type(level) for level in plain.values() if level is not None}
    if dates := [kind for kind in types if issubclass(kind, datetime.date | datetime.timedelta)]:
        raise _error_of_dates("X", [kind.__name__ for kind in dates])
    if not types:
        return levels, ""
    for kind, type_ in (("strings", str), ("booleans", bool), ("numbers", Number)):
        if all(issubclass(each, type_) for each in types):
            return levels, kind
    return _as_text(levels), "mixed"


def _level(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    # The comparison of pandas' NA with itself is neither true nor false.
    return value if value is not None and (value == value) is True else None


def _as_text(levels: Any) -> list:
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
