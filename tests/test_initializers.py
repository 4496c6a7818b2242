import numpy as np
import pytest
from scipy import stats

from skann.engine.initializers import INITIALIZERS

VARIANCES = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}
SHAPES = pytest.mark.parametrize(("fan_in", "fan_out"), [(400, 100), (100, 400)])


def drawn(name, fan_in, fan_out, seed=0):
    return INITIALIZERS[name](np.random.default_rng(seed), fan_in, fan_out)


def test_there_is_a_reference_for_every_initializer():
    scaled = {f"{scale}_{shape}" for scale in VARIANCES for shape in ("uniform", "normal")}
    assert set(INITIALIZERS) == scaled | {"orthogonal"}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_weights_have_the_shape_of_the_layer_in_float64(name):
    for shape in [(3, 5), (5, 3), (1, 4), (4, 1)]:
        weights = drawn(name, *shape)
        assert weights.shape == shape
        assert weights.dtype == np.float64


@SHAPES
@pytest.mark.parametrize("scale", VARIANCES)
def test_uniform_weights_fill_their_bounds_evenly(scale, fan_in, fan_out):
    weights = drawn(f"{scale}_uniform", fan_in, fan_out).ravel()
    bound = np.sqrt(3 * VARIANCES[scale](fan_in, fan_out))
    assert 0.999 * bound < np.abs(weights).max() <= bound
    assert stats.kstest(weights, stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01


@SHAPES
@pytest.mark.parametrize("scale", VARIANCES)
def test_normal_weights_are_normal_with_the_variance_of_the_uniform_ones(scale, fan_in, fan_out):
    weights = drawn(f"{scale}_normal", fan_in, fan_out).ravel()
    deviation = np.sqrt(VARIANCES[scale](fan_in, fan_out))
    assert stats.kstest(weights, stats.norm(0, deviation).cdf).pvalue > 0.01
    uniform = drawn(f"{scale}_uniform", fan_in, fan_out)
    np.testing.assert_allclose(weights.var(), uniform.var(), rtol=0.03)


class TestOrthogonal:
    @pytest.mark.parametrize(("fan_in", "fan_out"), [(30, 10), (20, 20), (1, 1)])
    def test_columns_are_orthonormal(self, fan_in, fan_out):
        weights = drawn("orthogonal", fan_in, fan_out)
        np.testing.assert_allclose(weights.T @ weights, np.eye(fan_out), atol=1e-13)

    @pytest.mark.parametrize(("fan_in", "fan_out"), [(10, 30), (20, 20), (1, 5)])
    def test_rows_are_orthonormal_where_they_are_fewer(self, fan_in, fan_out):
        weights = drawn("orthogonal", fan_in, fan_out)
        np.testing.assert_allclose(weights @ weights.T, np.eye(fan_in), atol=1e-13)

    def test_entries_are_distributed_as_in_scipys_uniformly_drawn_matrices(self):
        # On the diagonal they are not in the bare factor Q.
        rng = np.random.default_rng(0)
        got = np.array([INITIALIZERS["orthogonal"](rng, 3, 3) for _ in range(1000)])
        expected = stats.ortho_group(3, seed=0).rvs(1000)
        for position in [(0, 0), (2, 2), (2, 0)]:
            entries = (slice(None), *position)
            assert stats.ks_2samp(got[entries], expected[entries]).pvalue > 0.01


@pytest.mark.parametrize("name", ["he_uniform", "he_normal"])
def test_he_keeps_the_scale_of_a_rectified_signal(name):
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((500, 200))
    for _ in range(10):
        signal = np.maximum(signal @ INITIALIZERS[name](rng, 200, 200), 0)
    assert 0.3 < np.mean(signal**2) < 3


@pytest.mark.parametrize("name", ["lecun_uniform", "lecun_normal", "glorot_normal", "orthogonal"])
def test_the_scale_of_a_linear_signal_is_kept(name):
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((500, 200))
    for _ in range(10):
        signal = signal @ INITIALIZERS[name](rng, 200, 200)
    assert 0.5 < np.mean(signal**2) < 2


@pytest.mark.parametrize("name", INITIALIZERS)
def test_draws_are_those_of_the_generator(name):
    first, again, other = (drawn(name, 4, 4, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
