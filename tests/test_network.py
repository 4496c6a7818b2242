import numpy as np
import pytest
from scipy import sparse

from skann.engine.activations import ACTIVATIONS
from skann.engine.backpropagation import Backpropagation
from skann.engine.batches import make_rows
from skann.engine.losses import LOSSES
from skann.engine.network import Architecture, Network, parameter_views
from tests.gradients import assert_gradient_matches

N_ROWS, N_FEATURES = 11, 6
SMALL = Architecture((6, 5, 3), ("relu",))
N_OUTPUTS = {"binary": 1, "multiclass": 4, "multilabel-indicator": 3}


def random_network(n_outputs, activation="tanh", hidden=(5, 4), dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    sizes = (N_FEATURES, *hidden, n_outputs)
    network = Network.random(Architecture(sizes, (activation,) * len(hidden)), dtype, rng)
    # Biases away from zero, so that no rectifier sits on its kink.
    biases = network.parameters[network.weights.size :]
    biases[...] = 0.3 * rng.standard_normal(biases.size)
    return network


def random_inputs(seed=1):
    X = np.random.default_rng(seed).standard_normal((N_ROWS, N_FEATURES))
    X[np.abs(X) < 0.4] = 0
    return X


def random_targets(kind, seed=2):
    rng = np.random.default_rng(seed)
    if kind == "multilabel-indicator":
        return rng.integers(0, 2, (N_ROWS, 3)).astype(np.int8)
    return rng.integers(0, max(N_OUTPUTS[kind], 2), N_ROWS)


def weights_of(weighting):
    if weighting == "none":
        return None
    weights = np.random.default_rng(3).uniform(0.1, 3, N_ROWS)
    if weighting == "zero weights":
        weights[::2] = 0
    return weights


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighting", ["none", "weights", "zero weights"])
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_matches_finite_differences(activation, kind, weighting, container):
    network = random_network(N_OUTPUTS[kind], activation)
    inputs, targets, weights = (
        container(random_inputs()),
        random_targets(kind),
        weights_of(weighting),
    )
    loss = LOSSES[kind](N_OUTPUTS[kind], N_ROWS, np.float64)
    backpropagation = Backpropagation(network, N_ROWS)
    start = network.parameters.copy()

    def loss_at(parameters):
        network.parameters[...] = parameters
        return backpropagation.run(inputs, targets, weights, 5.0, loss)

    loss_at(start)
    gradient = backpropagation.gradient.copy()
    assert np.linalg.norm(gradient) > 1e-2
    assert_gradient_matches(loss_at, gradient, start)


@pytest.mark.parametrize("kind", LOSSES)
def test_without_hidden_layers_the_gradient_matches_as_well(kind):
    network = random_network(N_OUTPUTS[kind], hidden=())
    inputs, targets = random_inputs(), random_targets(kind)
    loss = LOSSES[kind](N_OUTPUTS[kind], N_ROWS, np.float64)
    backpropagation = Backpropagation(network, N_ROWS)
    start = network.parameters.copy()

    def loss_at(parameters):
        network.parameters[...] = parameters
        return backpropagation.run(inputs, targets, None, 5.0, loss)

    loss_at(start)
    assert_gradient_matches(loss_at, backpropagation.gradient.copy(), start)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("n_rows", [1, 2, 7, N_ROWS])
def test_short_batches_use_the_same_buffers_and_give_the_same_gradient(kind, n_rows):
    network = random_network(N_OUTPUTS[kind])
    inputs, targets = random_inputs()[:n_rows], random_targets(kind)[:n_rows]
    results = []
    for max_rows in (n_rows, N_ROWS):
        backpropagation = Backpropagation(network, max_rows)
        loss = LOSSES[kind](N_OUTPUTS[kind], max_rows, np.float64)
        # A full batch first, as in training: what it leaves must not matter.
        full = slice(max_rows)
        backpropagation.run(random_inputs()[full], random_targets(kind)[full], None, 1.0, loss)
        value = backpropagation.run(inputs, targets, None, 2.0, loss)
        results.append((value, backpropagation.gradient.copy()))
    (value, gradient), (other_value, other_gradient) = results
    np.testing.assert_allclose(value, other_value, rtol=1e-12)
    np.testing.assert_allclose(gradient, other_gradient, rtol=1e-10, atol=1e-14)


def test_zero_weights_give_no_gradient():
    network = random_network(4)
    backpropagation = Backpropagation(network, N_ROWS)
    loss = LOSSES["multiclass"](4, N_ROWS, np.float64)
    targets = random_targets("multiclass")
    value = backpropagation.run(random_inputs(), targets, np.zeros(N_ROWS), 5.0, loss)
    assert value == 0
    np.testing.assert_array_equal(backpropagation.gradient, 0)


class TestScores:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("hidden", [(), (5,), (5, 4, 3)])
    def test_match_a_plain_forward_pass(self, activation, hidden):
        network = random_network(3, activation, hidden)
        X = random_inputs()
        signal = X
        for depth, (coef, intercept) in enumerate(
            zip(network.coefs, network.intercepts, strict=True)
        ):
            signal = signal @ coef + intercept
            if depth < len(hidden):
                ACTIVATIONS[activation].function(signal)
        got = network.decision_function(make_rows(X, np.float64, N_ROWS), N_ROWS)
        np.testing.assert_allclose(got, signal.T, rtol=1e-12)

    @pytest.mark.parametrize("chunk_rows", [1, 2, 4, N_ROWS, 100])
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    def test_do_not_depend_on_the_chunks(self, chunk_rows, container):
        network = random_network(3)
        X = container(random_inputs())
        whole = network.decision_function(make_rows(X, np.float64, N_ROWS), N_ROWS)
        chunked = network.decision_function(make_rows(X, np.float64, chunk_rows), chunk_rows)
        np.testing.assert_allclose(chunked, whole, rtol=1e-12)

    def test_leave_the_rows_and_the_parameters_alone(self):
        network = random_network(3)
        X = random_inputs()
        X_before, before = X.copy(), network.parameters.copy()
        network.decision_function(make_rows(X, np.float64, 4), 4)
        np.testing.assert_array_equal(X, X_before)
        np.testing.assert_array_equal(network.parameters, before)


class TestParameters:
    def test_weights_come_first_and_are_views(self):
        network = random_network(3, hidden=(5,))
        assert network.weights.size == N_FEATURES * 5 + 5 * 3
        assert network.parameters.size == network.weights.size + 5 + 3
        network.parameters[...] = 2
        network.weights[...] = 1
        assert all((coef == 1).all() for coef in network.coefs)
        assert all((intercept == 2).all() for intercept in network.intercepts)

    def test_views_have_the_shapes_of_the_layers(self):
        coefs, intercepts, *norms = parameter_views(
            Architecture((3, 4, 2), ("relu",)), np.arange(26.0)
        )
        assert norms == [[], [], [], []]
        assert [coef.shape for coef in coefs] == [(3, 4), (4, 2)]
        assert [intercept.shape for intercept in intercepts] == [(4,), (2,)]
        np.testing.assert_array_equal(intercepts[1], [24, 25])

    def test_assigning_to_an_item_writes_into_the_vector(self):
        network = random_network(3, hidden=(5,))
        network.coefs[0] = np.zeros((6, 5))
        assert (network.parameters[:30] == 0).all()
        network.intercepts[-1] = [1, 2, 3]
        np.testing.assert_array_equal(network.parameters[-3:], [1, 2, 3])

    def test_assigning_a_wrong_shape_says_which_is_right(self):
        network = random_network(3, hidden=(5,))
        before = network.parameters.copy()
        with pytest.raises(ValueError, match=r"\(6, 5\).*\(5, 6\)"):
            network.coefs[0] = np.zeros((5, 6))
        with pytest.raises(ValueError, match="cannot be set"):
            network.coefs[:] = [np.zeros((6, 5))]
        with pytest.raises(ValueError, match="cannot be set"):
            network.intercepts[0] = 1.0
        np.testing.assert_array_equal(network.parameters, before)

    def test_a_copy_is_independent(self):
        network = random_network(3)
        copy = network.copy()
        copy.coefs[0] = np.zeros_like(copy.coefs[0])
        assert (network.coefs[0] != 0).any()
        assert copy.architecture == network.architecture

    def test_random_biases_are_zero_and_weights_are_not(self):
        network = Network.random(SMALL, np.float32, np.random.default_rng(0))
        assert network.parameters.dtype == np.float32
        assert (network.parameters[network.weights.size :] == 0).all()
        assert (network.weights != 0).all()

    def test_draws_are_the_same_in_every_dtype_up_to_rounding(self):
        single, double = (
            Network.random(SMALL, dtype, np.random.default_rng(0))
            for dtype in (np.float32, np.float64)
        )
        np.testing.assert_allclose(single.parameters, double.parameters, rtol=1e-6)
