import numpy as np
import pytest
from scipy import sparse

from skann.engine.layers import Dense, SparseGradient
from tests.gradients import assert_gradient_matches

N_ROWS, FAN_IN, FAN_OUT = 7, 5, 4
rng = np.random.default_rng(0)
INPUTS = rng.standard_normal((N_ROWS, FAN_IN))
WEIGHTS = rng.standard_normal((FAN_IN, FAN_OUT))
BIAS = rng.standard_normal(FAN_OUT)
UPSTREAM = rng.standard_normal((N_ROWS, FAN_OUT))


def outputs_in(order):
    return np.empty((N_ROWS, FAN_OUT)) if order == "C" else np.empty((FAN_OUT, N_ROWS)).T


@pytest.mark.parametrize("order", ["C", "transposed"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_forward_is_an_affine_map(order, container):
    outputs = outputs_in(order)
    Dense(WEIGHTS, BIAS).forward(container(INPUTS), outputs)
    np.testing.assert_allclose(outputs, INPUTS @ WEIGHTS + BIAS, rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "transposed"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_backward_matches_finite_differences(container, order):
    vector = np.concatenate([INPUTS.ravel(), WEIGHTS.ravel(), BIAS])
    ends = np.cumsum([INPUTS.size, WEIGHTS.size])

    def forward(point):
        inputs, weights, bias = np.split(point, ends)
        layer = Dense(weights.reshape(WEIGHTS.shape), bias)
        inputs = container(inputs.reshape(INPUTS.shape))
        outputs = outputs_in(order)
        layer.forward(inputs, outputs)
        return layer, inputs, outputs

    def weighted_sum(point):
        return float(np.vdot(UPSTREAM, forward(point)[2]))

    layer, inputs, _ = forward(vector)
    grad_outputs = outputs_in(order)
    grad_outputs[...] = UPSTREAM
    grad_weights, grad_bias = np.empty_like(WEIGHTS), np.empty_like(BIAS)
    grad_inputs = np.empty_like(INPUTS)
    ones = np.ones(N_ROWS)
    layer.backward(inputs, grad_outputs, ones, grad_weights, grad_bias, grad_inputs)
    gradient = np.concatenate([grad_inputs.ravel(), grad_weights.ravel(), grad_bias])
    assert_gradient_matches(weighted_sum, gradient, vector)


class TestSparseGradient:
    @pytest.mark.parametrize("fan_out", [1, 4])
    def test_is_the_product_in_the_touched_rows_and_zero_elsewhere(self, fan_out):
        rng = np.random.default_rng(0)
        gradient = SparseGradient(30)
        for n_rows in (5, 3):  # The second batch must not see what the first one touched.
            dense = rng.normal(size=(n_rows, 30)) * (rng.random((n_rows, 30)) < 0.1)
            grad_outputs = rng.normal(size=(n_rows, fan_out))
            gradient.touch(sparse.csr_array(dense))
            gradient.compute(sparse.csr_array(dense), grad_outputs)
            expected = dense.T @ grad_outputs
            np.testing.assert_array_equal(gradient.rows, np.flatnonzero(dense.any(axis=0)))
            np.testing.assert_allclose(gradient.values, expected[gradient.rows])
            untouched = np.setdiff1d(np.arange(30), gradient.rows)
            assert not expected[untouched].any()

    def test_of_a_batch_of_empty_rows_is_empty(self):
        gradient = SparseGradient(6)
        gradient.touch(sparse.csr_array((2, 6)))
        gradient.compute(sparse.csr_array((2, 6)), np.ones((2, 3)))
        assert gradient.rows.size == 0
        assert gradient.values.shape == (0, 3)
