"""Rows are checked as scikit-learn checks them, and for what it lets pass."""

import os
import subprocess
import sys

import hypothesis.extra.numpy as st_numpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.utils.validation import validate_data

from skann import ANNClassifier
from skann.callbacks import Checkpoint
from skann.inputs import is_plain
from tests.data import problem, quick
from tests.results import assert_same, results

N_FEATURES = 3
DTYPES = ("f2", "f4", "f8", "u1", "i8", "?", "c8", "O", "U2", ">f4")


@pytest.fixture(scope="module")
def fitted():
    return ANNClassifier((2,), max_iter=1).fit(np.eye(N_FEATURES), np.arange(N_FEATURES))


def outcome(check, *args, **options):
    """What a check returns, or the error that it raises."""
    try:
        # As scikit-learn's own sum of infinities of either sign warns.
        with np.errstate(all="ignore"):
            return check(*args, **options)
    except (ValueError, TypeError) as error:
        return type(error), str(error)


def assert_checked_alike(estimator, X):
    ours = outcome(estimator._validated_rows, X)
    options = {"accept_sparse": "csr", "reset": False, "ensure_all_finite": "allow-nan"}
    theirs = outcome(validate_data, estimator, X, **options)
    if isinstance(theirs, tuple):
        if X.ndim == 1 and X.size and X.dtype.kind == "U":  # Texts have a message of their own.
            assert ours[0] is ValueError
            assert "one string or path for each sample" in ours[1]
        else:
            assert ours == theirs
        return
    assert ours.dtype == theirs.dtype
    # The medians of the rows of the fit are zeros.
    np.testing.assert_array_equal(ours, np.where(np.isnan(theirs), 0, theirs))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_arrays_of_any_kind(fitted, data):
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    n_dimensions = data.draw(st.sampled_from((2, 2, 2, 2, 1, 3)))
    shape = data.draw(st.tuples(*[st.sampled_from((N_FEATURES, N_FEATURES, 2, 0))] * n_dimensions))
    elements = st.integers(-5, 5) if dtype.kind == "O" else None
    X = data.draw(st_numpy.arrays(dtype, shape, elements=elements))
    order = data.draw(st.sampled_from("CF"))
    assert_checked_alike(fitted, np.asarray(X, order=order))


@pytest.mark.parametrize("order", ["C", "F"])
def test_finite_arrays_of_either_order_are_plain(order):
    X = np.ones((300, 60), order=order)
    assert is_plain(X)
    assert is_plain(X[:1])
    assert not is_plain(np.ones((600, 60))[:, ::2])  # Strided and large: a copy would cost time.
    X[1, 1] = np.nan
    assert not is_plain(X)
    assert not is_plain(X[1:2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, "largest"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_or_look_infinite(fitted, value, dtype):
    if value == "largest":
        value = np.finfo(dtype).max
    X = np.ones((4, N_FEATURES), dtype)
    X[2, 1] = value
    assert_checked_alike(fitted, X)
    assert_checked_alike(fitted, X[::-1])
    assert_checked_alike(fitted, X[:, ::-1])


def test_names_of_features_are_missed():
    pandas = pytest.importorskip("pandas")
    X = np.eye(N_FEATURES)
    names = ["a", "b", "c"]
    fitted = ANNClassifier((2,), max_iter=1).fit(pandas.DataFrame(X, columns=names), [0, 1, 2])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        fitted.predict(X)


X, y = problem()


class TestDatesAndDurations:
    numbers = (X * 1e6).astype(np.int64)

    @pytest.mark.parametrize("dtype", ["M8[s]", "M8[ns]", "m8[h]", "m8[D]"])
    def test_are_refused_by_every_method(self, dtype):
        dates = self.numbers.astype(dtype)
        model = quick().fit(X, y)
        for call in (
            lambda: quick().fit(dates, y),
            lambda: quick().partial_fit(dates, y, [0, 1, 2]),
            lambda: quick().fit(X, y, X_val=dates, y_val=y),
            lambda: model.predict(dates),
            lambda: model.predict_proba(dates[:1]),
            lambda: model.score(dates, y),
        ):
            with pytest.raises(ValueError, match=r"X holds dates or durations \(dtype (date|time)"):
                call()

    def test_that_are_missing_are_no_numbers_either(self):
        dates = np.full((60, 4), np.datetime64("NaT", "s"))
        with pytest.raises(ValueError, match="X holds dates"):
            quick().fit(dates, y)

    def test_in_lists_are_refused(self):
        with pytest.raises(ValueError, match="X holds dates"):
            quick().fit(list(self.numbers.astype("M8[s]")), y)

    @pytest.mark.parametrize("columns", [[0], [0, 1, 2, 3]])
    @pytest.mark.parametrize("zone", [None, "UTC"])
    def test_in_columns_of_a_table_are_refused(self, columns, zone):
        pandas = pytest.importorskip("pandas")
        table = pandas.DataFrame(X)
        for column in columns:
            dates = pandas.Series(self.numbers[:, column].astype("M8[s]"))
            table[column] = dates.dt.tz_localize(zone)
        with pytest.raises(ValueError, match=r"X holds dates or durations \(dtype datetime64\[s"):
            quick().fit(table, y)

    def test_as_weights_are_refused(self):
        with pytest.raises(ValueError, match="sample_weight holds dates or durations"):
            quick().fit(X, y, np.ones(60, "m8[s]"))
        with pytest.raises(ValueError, match="sample_weight_val holds dates or durations"):
            quick().fit(X, y, X_val=X, y_val=y, sample_weight_val=np.ones(60, "m8[s]"))

    def test_as_labels_are_labels(self):
        dates = y.astype("M8[D]")
        assert quick().fit(X, dates).predict(X).dtype == dates.dtype


class TestInvalidIndicesOfSparseRows:
    @pytest.mark.parametrize("index", [4, 10, 2**30, -1, -2])
    @pytest.mark.parametrize(
        "container",
        [
            sparse.csr_array,
            sparse.csr_matrix,
            sparse.csc_array,
            sparse.bsr_array,
            sparse.coo_array,
            sparse.coo_matrix,
        ],
    )
    def test_are_refused_by_every_method(self, index, container):
        rows = container(X)
        if rows.format == "coo":
            rows.coords[1][3] = index
        else:
            rows.indices[3] = index if rows.format != "csc" or index < 4 else index + 60
        before = [array.copy() for array in vars(rows).values() if isinstance(array, np.ndarray)]
        model = quick().fit(X, y)
        for call in (
            lambda: quick().fit(rows, y),
            lambda: quick(input_scaling="standard").fit(rows, y),
            lambda: quick().fit(X, y, X_val=rows, y_val=y),
            lambda: quick().partial_fit(rows, y, [0, 1, 2]),
            lambda: model.predict(rows),
        ):
            with pytest.raises(ValueError, match=r"X is a sparse ... matrix of shape \(60,"):
                call()
        after = [array for array in vars(rows).values() if isinstance(array, np.ndarray)]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_of_rows_are_refused_as_well(self):
        rows = sparse.csr_array(X)
        rows.indptr[3] = 2
        with pytest.raises(ValueError, match="X is a sparse CSR matrix"):
            quick().fit(rows, y)

    def test_valid_ones_stay_as_they_are(self):
        rows = sparse.csr_array(X)
        rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
        quick().fit(rows, y).predict(rows)
        assert (rows.indices.dtype, rows.indptr.dtype) == (np.int64, np.int64)


def in_another_order(X, order):
    """The same numbers, elsewhere in memory."""
    if order == "F":
        return np.asfortranarray(X)
    if order == "columns of a wider array":
        return np.repeat(X, 2, axis=1)[:, ::2]
    if order == "columns in reverse":
        return np.asfortranarray(X[:, ::-1])[:, ::-1]
    return X.astype(X.dtype.newbyteorder())


class TestMemoryOrder:
    orders = pytest.mark.parametrize(
        "order", ["F", "columns of a wider array", "columns in reverse", "other byte order"]
    )

    @orders
    @pytest.mark.parametrize("scaling", [None, "standard", "maxabs"])
    @pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i2"])
    def test_makes_no_difference_to_the_result(self, order, scaling, dtype):
        numbers = (X * 1000).astype(dtype) if dtype[0] == "i" else X.astype(dtype)
        model = quick(input_scaling=scaling, input_clip=3.0).fit(numbers, y)
        other = quick(input_scaling=scaling, input_clip=3.0).fit(
            in_another_order(numbers, order), y
        )
        assert_same(results(other), results(model))

    def test_makes_no_difference_under_the_scaling_of_an_earlier_fit(self):
        models = [quick(input_scaling="maxabs", warm_start=True).fit(X, y) for _ in range(2)]
        for model, rows in zip(models, (X, np.asfortranarray(X)), strict=True):
            model.set_params(input_scaling=None).fit(rows, y)
        assert_same(results(models[1]), results(models[0]))

    @orders
    @pytest.mark.parametrize("scaling", [None, "standard", "maxabs"])
    @pytest.mark.parametrize("n_rows", [60, 1500])
    def test_makes_no_difference_to_resume(self, order, scaling, n_rows, tmp_path):
        X, y = problem(n_rows=n_rows)
        path = tmp_path / "fit.npz"
        model = quick(input_scaling=scaling).set_callbacks(Checkpoint(path))
        model.fit(X, y, X_val=X, y_val=y)
        other = in_another_order(X, order)
        resumed = quick(input_scaling=scaling).resume(path, other, y, X_val=other, y_val=y)
        assert_same(results(resumed), results(model))

    def test_of_a_table_makes_no_difference_to_resume(self, tmp_path):
        pandas = pytest.importorskip("pandas")
        path = tmp_path / "fit.npz"
        columns = [X[:, 0], X[:, 1], X[:, 2], X[:, 3]]
        table = pandas.DataFrame(dict(enumerate(columns)))
        table.columns = list("abcd")
        model = quick().set_callbacks(Checkpoint(path)).fit(np.column_stack(columns), y)
        assert_same(results(quick().resume(path, table.to_numpy(), y)), results(model))

    @pytest.mark.parametrize("container", [sparse.csc_array, sparse.csr_matrix])
    def test_of_sparse_rows_makes_no_difference_to_resume(self, container, tmp_path):
        path = tmp_path / "fit.npz"
        model = quick().set_callbacks(Checkpoint(path))
        model.fit(sparse.csr_array(X), y, X_val=sparse.csr_array(X), y_val=y)
        resumed = quick().resume(path, container(X), y, X_val=container(X), y_val=y)
        assert_same(results(resumed), results(model))


def test_arrays_of_another_library_are_converted_under_array_api_dispatch():
    pytest.importorskip("array_api_strict")
    script = """
import array_api_strict as xp, numpy as np, sklearn
from tests.data import problem, quick
sklearn.set_config(array_api_dispatch=True)
X, y = problem()
weights = np.linspace(1, 2, 60)
as_xp = [xp.asarray(array) for array in (X, y, weights)]
more = {"X_val": X, "y_val": y, "sample_weight_val": weights}
more_as_xp = dict(zip(more, as_xp, strict=True))
for scaling in (None, "standard"):
    expected = quick(input_scaling=scaling).fit(X, y, weights, **more)
    model = quick(input_scaling=scaling).fit(*as_xp, **more_as_xp)
    np.testing.assert_array_equal(model.predict_proba(as_xp[0]), expected.predict_proba(X))
    np.testing.assert_array_equal(model.predict(as_xp[0]), expected.predict(X))
    assert type(model.predict(as_xp[0])) is np.ndarray
    assert model.score(as_xp[0], as_xp[1]) == expected.score(X, y)
model = quick().partial_fit(*as_xp[:2], classes=xp.asarray([0, 1, 2]))
expected = quick().partial_fit(X, y, classes=[0, 1, 2])
np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
assert sklearn.get_config()["array_api_dispatch"]
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
