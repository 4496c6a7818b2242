import numpy as np
import pytest
from scipy.special import expit

from skann.engine.activations import ACTIVATIONS
from skann.engine.initializers import INITIALIZERS
from tests.gradients import assert_gradient_matches

FORMULAS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0),
}


@pytest.fixture
def values():
    # Both signs, small and large, none on the kink of a rectifier.
    return np.random.default_rng(0).uniform(-4, 4, (7, 5))


@pytest.mark.parametrize("name", FORMULAS)
def test_function_matches_its_formula_in_place(name, values):
    outputs = values.copy()
    assert ACTIVATIONS[name].function(outputs) is None
    np.testing.assert_allclose(outputs, FORMULAS[name](values), rtol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_matches_finite_differences(name, values):
    activation = ACTIVATIONS[name]
    weights = np.random.default_rng(1).standard_normal(values.shape)

    def weighted_sum(point):
        outputs = point.copy()
        activation.function(outputs)
        return float(np.vdot(weights, outputs))

    outputs, grad = values.copy(), weights.copy()
    activation.function(outputs)
    activation.backpropagate(outputs, grad)
    assert_gradient_matches(weighted_sum, grad, values)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_values_stay_finite_and_warn_of_nothing(name, dtype):
    values = np.array([[-1e4, -100.0, 0.0, 100.0, 1e4]], dtype)
    grad = np.ones_like(values)
    ACTIVATIONS[name].function(values)
    assert values.dtype == dtype
    assert np.isfinite(values).all()
    ACTIVATIONS[name].backpropagate(values, grad)
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_works_on_views_that_are_not_contiguous(name, values):
    base = np.zeros((7, 10))
    view = base[:, ::2]
    view[...] = values
    expected = values.copy()
    ACTIVATIONS[name].function(view)
    ACTIVATIONS[name].function(expected)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(base[:, 1::2], 0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_names_an_initializer_that_there_is(name):
    assert ACTIVATIONS[name].initializer in INITIALIZERS
