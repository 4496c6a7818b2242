import numpy as np
import pytest

from skann.engine.initializers import INITIALIZERS

BOUNDS = {
    "glorot_uniform": lambda fan_in, fan_out: np.sqrt(6 / (fan_in + fan_out)),
    "he_uniform": lambda fan_in, fan_out: np.sqrt(6 / fan_in),
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_weights_have_the_shape_of_the_layer_in_float64(name):
    weights = INITIALIZERS[name](np.random.default_rng(0), 3, 5)
    assert weights.shape == (3, 5)
    assert weights.dtype == np.float64


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(400, 100), (100, 400)])
def test_weights_fill_their_bounds_evenly(name, fan_in, fan_out):
    weights = INITIALIZERS[name](np.random.default_rng(0), fan_in, fan_out)
    bound = BOUNDS[name](fan_in, fan_out)
    assert 0.999 * bound < np.abs(weights).max() <= bound
    np.testing.assert_allclose(weights.var(), bound**2 / 3, rtol=0.03)
    assert abs(weights.mean()) < 0.02 * bound


def test_he_keeps_the_scale_of_a_rectified_signal():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((500, 200))
    for _ in range(10):
        signal = np.maximum(signal @ INITIALIZERS["he_uniform"](rng, 200, 200), 0)
    assert 0.3 < np.mean(signal**2) < 3


@pytest.mark.parametrize("name", INITIALIZERS)
def test_draws_are_those_of_the_generator(name):
    first, again, other = (
        INITIALIZERS[name](np.random.default_rng(seed), 4, 4) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
