import tracemalloc

import numpy as np
import pytest
from scipy.special import erf, expit

from skann.engine.activations import ACTIVATIONS
from skann.engine.initializers import INITIALIZERS

pytestmark = pytest.mark.kernels

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

FORMULAS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * (1 + erf(z / np.sqrt(2))) / 2,
    "silu": lambda z: z * expit(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "softplus": lambda z: np.logaddexp(0, z),
}
# Derivatives far to the left, at zero (from the left where there is a kink), far to the right.
SLOPES = {
    "identity": (1, 1, 1),
    "logistic": (0, 0.25, 0),
    "tanh": (0, 1, 0),
    "relu": (0, 0, 1),
    "leaky_relu": (0.01, 0.01, 1),
    "elu": (0, 1, 1),
    "selu": (0, SELU_SCALE * SELU_ALPHA, SELU_SCALE),
    "gelu": (0, 0.5, 1),
    "silu": (0, 0.5, 1),
    "mish": (0, 0.6, 1),
    "softplus": (0, 0.5, 1),
}
EVERY_ACTIVATION = pytest.mark.parametrize("name", ACTIVATIONS)


def forward(name, values):
    outputs = values.copy()
    ACTIVATIONS[name].function(outputs)
    return outputs


def derivative(name, values):
    activation = ACTIVATIONS[name]
    kept = values.copy() if activation.keeps_inputs else None
    grad = np.ones_like(values)
    activation.backpropagate(kept, forward(name, values), grad)
    return grad


@pytest.fixture
def values():
    # Both signs, small and large, none on the kink of a rectifier; more than fit in a cache.
    rng = np.random.default_rng(0)
    return rng.uniform(-4, 4, (300, 101)) * rng.choice([0.1, 1, 10], (300, 101))


def test_there_is_a_formula_for_every_activation():
    assert set(FORMULAS) == set(SLOPES) == set(ACTIVATIONS)


@EVERY_ACTIVATION
def test_function_matches_its_formula_in_place(name, values):
    outputs = values.copy()
    assert ACTIVATIONS[name].function(outputs) is None
    np.testing.assert_allclose(outputs, FORMULAS[name](values), rtol=1e-14, atol=1e-14)


@EVERY_ACTIVATION
def test_function_in_single_precision_is_that_in_double_up_to_rounding(name, values):
    outputs = forward(name, values.astype(np.float32))
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, FORMULAS[name](values), rtol=1e-6, atol=1e-6)


@EVERY_ACTIVATION
def test_derivative_matches_finite_differences(name, values):
    step = 1e-5
    rise = forward(name, values + step) - forward(name, values - step)
    np.testing.assert_allclose(derivative(name, values), rise / (2 * step), rtol=0, atol=1e-8)


@EVERY_ACTIVATION
def test_derivative_in_single_precision_is_that_in_double_up_to_rounding(name, values):
    single = derivative(name, values.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, derivative(name, values), rtol=1e-5, atol=2e-6)


@EVERY_ACTIVATION
def test_backpropagation_multiplies_the_gradient_in_place(name, values):
    activation = ACTIVATIONS[name]
    upstream = np.random.default_rng(1).standard_normal(values.shape)
    grad = upstream.copy()
    kept = values.copy() if activation.keeps_inputs else None
    assert activation.backpropagate(kept, forward(name, values), grad) is None
    np.testing.assert_allclose(grad, upstream * derivative(name, values), rtol=1e-14, atol=1e-15)


@EVERY_ACTIVATION
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_values_are_right_and_warn_of_nothing(name, dtype):
    values = np.array([-1e30, -1e4, -100, 0, 100, 1e4, 1e30], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        outputs, grad = forward(name, values), derivative(name, values)
    assert outputs.dtype == grad.dtype == dtype
    expected = FORMULAS[name](values.astype(np.float64))
    np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-12)
    left, middle, right = SLOPES[name]
    np.testing.assert_allclose(grad, [left] * 3 + [middle] + [right] * 3, rtol=1e-6, atol=1e-12)


@EVERY_ACTIVATION
def test_not_a_number_stays_one(name):
    values = np.array([1.0, np.nan, -1.0])
    np.testing.assert_array_equal(np.isnan(forward(name, values)), [False, True, False])


@EVERY_ACTIVATION
def test_allocates_nothing_of_the_size_of_a_batch(name):
    activation = ACTIVATIONS[name]
    values = np.random.default_rng(0).standard_normal((1000, 1000), dtype=np.float32)
    kept = values.copy() if activation.keeps_inputs else None
    grad = np.ones_like(values)
    tracemalloc.start()
    try:
        activation.function(values)
        activation.backpropagate(kept, values, grad)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < values.nbytes / 10


@EVERY_ACTIVATION
def test_works_on_views_that_are_not_contiguous(name, values):
    activation = ACTIVATIONS[name]
    base = np.zeros((len(values), 2 * values.shape[1]))
    outputs = base[:, ::2]
    outputs[...] = values
    activation.function(outputs)
    # Where a row ends, vectorised code may change over to another last digit.
    np.testing.assert_allclose(outputs, forward(name, values), rtol=1e-14, atol=1e-15)
    grad = np.ones(values.shape[::-1]).T
    kept = np.asfortranarray(values) if activation.keeps_inputs else None
    activation.backpropagate(kept, outputs, grad)
    np.testing.assert_allclose(grad, derivative(name, values), rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(base[:, 1::2], 0)


@EVERY_ACTIVATION
def test_an_empty_batch_is_none_to_compute(name):
    values = np.empty((0, 3))
    assert forward(name, values).shape == derivative(name, values).shape == (0, 3)


@EVERY_ACTIVATION
def test_names_an_initializer_that_there_is(name):
    assert ACTIVATIONS[name].initializer in INITIALIZERS


def test_selu_keeps_a_standard_normal_signal_standard():
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    outputs = forward("selu", points)
    weights = weights / weights.sum()
    np.testing.assert_allclose(weights @ outputs, 0, atol=2e-3)
    np.testing.assert_allclose(weights @ outputs**2, 1, atol=2e-3)
