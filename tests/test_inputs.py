"""Rows to predict are checked as scikit-learn checks them, whether or not it is asked to."""

import hypothesis.extra.numpy as st_numpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.validation import validate_data

from skann import ANNClassifier
from skann.inputs import check_X

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
    ours = outcome(check_X, estimator, X)
    theirs = outcome(validate_data, estimator, X, accept_sparse="csr", reset=False)
    if isinstance(theirs, tuple):
        assert ours == theirs
        return
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


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
