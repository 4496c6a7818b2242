import numpy as np
import pytest
from scipy import sparse

from skann.engine.activations import ACTIVATIONS
from skann.engine.layers import Dense
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
    Dense(WEIGHTS, BIAS, None).forward(container(INPUTS), outputs)
    np.testing.assert_allclose(outputs, INPUTS @ WEIGHTS + BIAS, rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "transposed"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_backward_matches_finite_differences(activation, container, order):
    activation = None if activation is None else ACTIVATIONS[activation]
    vector = np.concatenate([INPUTS.ravel(), WEIGHTS.ravel(), BIAS])
    ends = np.cumsum([INPUTS.size, WEIGHTS.size])

    def forward(point):
        inputs, weights, bias = np.split(point, ends)
        layer = Dense(weights.reshape(WEIGHTS.shape), bias, activation)
        inputs = container(inputs.reshape(INPUTS.shape))
        outputs = outputs_in(order)
        layer.forward(inputs, outputs)
        return layer, inputs, outputs

    def weighted_sum(point):
        return float(np.vdot(UPSTREAM, forward(point)[2]))

    layer, inputs, outputs = forward(vector)
    grad_outputs = outputs_in(order)
    grad_outputs[...] = UPSTREAM
    grad_weights, grad_bias = np.empty_like(WEIGHTS), np.empty_like(BIAS)
    grad_inputs = np.empty_like(INPUTS)
    ones = np.ones(N_ROWS)
    layer.backward(inputs, outputs, grad_outputs, ones, grad_weights, grad_bias, grad_inputs)
    gradient = np.concatenate([grad_inputs.ravel(), grad_weights.ravel(), grad_bias])
    assert_gradient_matches(weighted_sum, gradient, vector)
