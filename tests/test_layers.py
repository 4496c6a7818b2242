import numpy as np
import pytest
from scipy import sparse

from skann.engine.layers import (
    BatchNormalization,
    Dense,
    LayerNormalization,
    SparseGradient,
)
from tests.gradients import assert_gradient_matches

pytestmark = pytest.mark.kernels

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
    grad_weights, grad_inputs = np.empty_like(WEIGHTS), np.empty_like(INPUTS)
    layer.backward(inputs, grad_outputs, grad_weights, grad_inputs)
    grad_bias = grad_outputs.sum(axis=0)
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


# Of the normalisation of four rows by PyTorch 2.13, in float64:
#
#     x = torch.sin(1.7 * torch.arange(12.0)).reshape(4, 3).requires_grad_()
#     upstream = torch.cos(2.3 * torch.arange(12.0)).reshape(4, 3)
#     norm = torch.nn.BatchNorm1d(3)  # or LayerNorm(3)
#     with torch.no_grad():
#         norm.weight[:] = torch.tensor([0.5, 1.5, -2.0])
#         norm.bias[:] = torch.tensor([0.1, -0.2, 0.3])
#     outputs = norm(x)
#     outputs.backward(upstream)
#     print(outputs, x.grad, norm.weight.grad, norm.bias.grad)
#     print(norm.running_mean, norm.running_var, norm.eval()(x))
VALUES = np.sin(1.7 * np.arange(12.0)).reshape(4, 3)
VALUES_UPSTREAM = np.cos(2.3 * np.arange(12.0)).reshape(4, 3)
SCALE, SHIFT = np.array([0.5, 1.5, -2.0]), np.array([0.1, -0.2, 0.3])
BY_PYTORCH = {
    "batch": {
        "outputs": [
            [0.389431767224, 1.713902427280, 2.498857923218],
            [-0.482728831583, 0.775806409819, -1.575656351707],
            [-0.269882821617, -1.321258548146, -1.810204096197],
            [0.763179885976, -1.968450288954, 2.087002524686],
        ],
        "grad_inputs": [
            [0.635480893631, 0.303509398862, 1.929390339602],
            [0.058203658557, -0.327002692862, 0.899020464954],
            [-0.300088079298, -0.340326832793, -0.641064800077],
            [-0.393596472890, 0.363820126794, -2.187346004478],
        ],
        "grad_scale": [-0.982652994975, -0.165310292151, 0.645795545915],
        "grad_shift": [1.870522876825, -3.098085463091, 2.257837235041],
        "mean": [-0.030723719920, -0.002343911063, 0.031327719991],
        "variance": [0.937559390014, 0.984390938645, 0.935689074724],
        "predicted": [
            [0.115865073620, 1.302780131101, 0.893123656045],
            [-0.362205880431, 0.550562941178, -1.286161857977],
            [-0.245535286517, -1.130979545311, -1.411611535515],
            [0.320733442991, -1.649933622026, 0.672839606627],
        ],
    },
    "layer": {
        "outputs": [
            [-0.128073183885, 1.881007722920, 2.162384228353],
            [-0.597365940407, 0.542264016699, -1.499778406029],
            [-0.281687764943, -1.173934255284, -2.525330066819],
            [0.668643335011, -2.144864139900, -0.018578846489],
        ],
        "grad_inputs": [
            [0.584549901759, -0.119819462182, -0.464730439578],
            [0.101484551327, -0.574792324460, 0.473307773133],
            [1.007965089278, -1.063711507691, 0.055746418414],
            [1.106612927291, 0.743359778631, -1.849972705922],
        ],
        "grad_scale": [-2.160310723593, -0.115856309155, 1.968725674444],
        "grad_shift": [1.870522876825, -3.098085463091, 2.257837235041],
    },
}


def normalize(kind, values, upstream, scale=SCALE, shift=SHIFT, averages=None):
    """Return the numbers of `BY_PYTORCH` for a layer of ours."""
    values, upstream = values.copy(), upstream.copy()
    dtype, width = values.dtype, values.shape[1]
    ones = np.ones(len(values), dtype)
    if kind == "batch":
        averages = averages or (np.zeros(width, dtype), np.ones(width, dtype))
        norm = BatchNormalization(scale, shift, *averages)
    else:
        norm = LayerNormalization(scale, shift)
    outputs, normalized = values.copy(), np.empty_like(values)
    inverse_deviation = norm.forward(outputs, normalized, ones)
    grad_scale, grad_shift = np.empty((2, width), dtype)
    norm.backward(
        normalized,
        inverse_deviation,
        upstream,
        ones,
        np.empty_like(values),
        (grad_scale, grad_shift),
    )
    numbers = {
        "outputs": outputs,
        "grad_inputs": upstream,
        "grad_scale": grad_scale,
        "grad_shift": grad_shift,
    }
    if kind == "batch":
        norm.predict(values)
        numbers |= {"mean": norm.mean, "variance": norm.variance, "predicted": values}
    return numbers


@pytest.mark.parametrize("kind", BY_PYTORCH)
class TestNormalization:
    def test_equals_pytorchs(self, kind):
        numbers = normalize(kind, VALUES, VALUES_UPSTREAM)
        assert set(numbers) == set(BY_PYTORCH[kind])
        for name, expected in BY_PYTORCH[kind].items():
            np.testing.assert_allclose(numbers[name], expected, rtol=0, atol=1e-11, err_msg=name)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("shape", [(2, 5), (16, 1), (33, 7)])
    def test_equals_that_of_the_pytorch_installed(self, kind, dtype, shape):
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(0)
        # A few constant entries: a unit or a row may have no variance at all.
        values = rng.normal(2, 3, shape).astype(dtype)
        values[:, 0] = 1
        upstream = rng.normal(size=shape).astype(dtype)
        scale, shift = rng.normal(size=(2, shape[1])).astype(dtype)
        norm = (torch.nn.BatchNorm1d if kind == "batch" else torch.nn.LayerNorm)(shape[1])
        norm = norm.to(getattr(torch, dtype))
        with torch.no_grad():
            norm.weight[:], norm.bias[:] = torch.tensor(scale), torch.tensor(shift)
        x = torch.tensor(values, requires_grad=True)
        outputs = norm(x)
        outputs.backward(torch.tensor(upstream))
        expected = {
            "outputs": outputs,
            "grad_inputs": x.grad,
            "grad_scale": norm.weight.grad,
            "grad_shift": norm.bias.grad,
        }
        if kind == "batch":
            expected |= {"mean": norm.running_mean, "variance": norm.running_var}
            expected["predicted"] = norm.eval()(x)
        numbers = normalize(kind, values, upstream, scale, shift)
        tolerance = 1e-3 if dtype == "float32" else 1e-10
        for name, tensor in expected.items():
            close = {"rtol": tolerance, "atol": tolerance, "err_msg": name}
            assert numbers[name].dtype == dtype
            np.testing.assert_allclose(numbers[name], tensor.detach().numpy(), **close)

    def test_gradient_matches_finite_differences(self, kind):
        vector = np.concatenate([VALUES.ravel(), SCALE, SHIFT])

        def run(point):
            values, scale, shift = np.split(point, [12, 15])
            return normalize(kind, values.reshape(4, 3), VALUES_UPSTREAM, scale, shift)

        numbers = run(vector)
        gradient = np.concatenate(
            [numbers[f"grad_{name}"].ravel() for name in ("inputs", "scale", "shift")]
        )
        assert_gradient_matches(
            lambda point: float(np.vdot(VALUES_UPSTREAM, run(point)["outputs"])), gradient, vector
        )

    def test_does_not_change_where_a_constant_is_added_to_what_it_averages_over(self, kind):
        added = np.array([[5.0, -3.0, 8.0]]) if kind == "batch" else np.arange(4.0)[:, np.newaxis]
        one, other = (normalize(kind, VALUES + c, VALUES_UPSTREAM) for c in (0, added))
        np.testing.assert_allclose(one["outputs"], other["outputs"], rtol=1e-9)
        np.testing.assert_allclose(one["grad_inputs"], other["grad_inputs"], rtol=1e-8)


class TestBatchNormalization:
    @pytest.mark.parametrize("n_rows", [1, 4])
    def test_uses_the_batch_unless_that_is_a_row(self, n_rows):
        mean, variance = np.array([0.3, -0.2, 0.1]), np.array([2.0, 0.5, 1.0])
        averages = mean.copy(), variance.copy()
        values = VALUES[:n_rows]
        numbers = normalize("batch", values, VALUES_UPSTREAM[:n_rows], averages=averages)
        if n_rows > 1:
            np.testing.assert_allclose(numbers["mean"], 0.9 * mean + 0.1 * values.mean(axis=0))
            unbiased = values.var(axis=0, ddof=1)
            np.testing.assert_allclose(numbers["variance"], 0.9 * variance + 0.1 * unbiased)
            return
        np.testing.assert_array_equal(numbers["mean"], mean)
        np.testing.assert_array_equal(numbers["variance"], variance)
        deviation = np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(numbers["outputs"], (values - mean) / deviation * SCALE + SHIFT)
        np.testing.assert_allclose(numbers["outputs"], numbers["predicted"], rtol=1e-14)
        expected = VALUES_UPSTREAM[:1] * SCALE / deviation
        np.testing.assert_allclose(numbers["grad_inputs"], expected)

    def test_of_equal_rows_is_finite(self):
        numbers = normalize("batch", np.full((4, 3), 7.0), VALUES_UPSTREAM)
        np.testing.assert_array_equal(numbers["outputs"], np.tile(SHIFT, (4, 1)))
        assert np.isfinite(numbers["grad_inputs"]).all()


class TestLayerNormalization:
    def test_predicts_as_it_trains(self):
        values = VALUES.copy()
        LayerNormalization(SCALE, SHIFT).predict(values)
        np.testing.assert_array_equal(
            values, normalize("layer", VALUES, VALUES_UPSTREAM)["outputs"]
        )

    def test_of_equal_units_is_finite(self):
        numbers = normalize("layer", np.full((4, 3), 0.1), VALUES_UPSTREAM)
        np.testing.assert_allclose(numbers["outputs"], np.tile(SHIFT, (4, 1)), rtol=1e-10)
        assert np.isfinite(numbers["grad_inputs"]).all()
