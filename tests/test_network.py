import numpy as np
import pytest
from scipy import sparse

from skann.engine.activations import ACTIVATIONS
from skann.engine.network import Architecture, Network, parameter_views
from skann.engine.rows import make_rows
from skann.engine.settings import Embedding
from tests.networks import N_FEATURES, N_ROWS, random_inputs, random_network

SMALL = Architecture((6, 5, 3), ("relu",))
NORMALIZATIONS = [None, "batch", "layer"]


def plain_forward(network, X):
    """Compute raw scores as in prediction, by the textbook."""
    normalization = network.architecture.normalization
    views = parameter_views(network.architecture, network.parameters)
    signal = X
    for depth, name in enumerate(network.architecture.activations):
        signal = signal @ views.coefs[depth] + views.intercepts[depth]
        if normalization == "batch":
            mean, variance = views.means[depth], views.variances[depth]
        elif normalization == "layer":
            mean = signal.mean(axis=1, keepdims=True)
            variance = signal.var(axis=1, keepdims=True)
        if normalization is not None:
            signal = (signal - mean) / np.sqrt(variance + 1e-5)
            signal = signal * views.scales[depth] + views.shifts[depth]
        ACTIVATIONS[name].function(signal)
    return (signal @ views.coefs[-1] + views.intercepts[-1]).T


class TestScores:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("hidden", [(), (5,), (5, 4, 3)])
    def test_match_a_plain_forward_pass(self, activation, hidden, normalization):
        network = random_network(3, activation, hidden, normalization=normalization)
        X = random_inputs()
        got = network.decision_function(make_rows(X, np.float64, N_ROWS), N_ROWS)
        np.testing.assert_allclose(got, plain_forward(network, X), rtol=1e-11)

    def test_of_layers_with_an_activation_each_match(self):
        architecture = Architecture((6, 5, 4, 3), ("tanh", "relu"), "layer")
        network = Network.random(architecture, np.float64, np.random.default_rng(0))
        X = random_inputs()
        got = network.decision_function(make_rows(X, np.float64, N_ROWS), N_ROWS)
        np.testing.assert_allclose(got, plain_forward(network, X), rtol=1e-11)

    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("chunk_rows", [1, 2, 4, N_ROWS, 100])
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    def test_do_not_depend_on_the_chunks(self, chunk_rows, container, normalization):
        network = random_network(3, normalization=normalization)
        X = container(random_inputs())
        whole = network.decision_function(make_rows(X, np.float64, N_ROWS), N_ROWS)
        chunked = network.decision_function(make_rows(X, np.float64, chunk_rows), chunk_rows)
        np.testing.assert_allclose(chunked, whole, rtol=1e-12)

    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_leave_the_rows_and_the_parameters_alone(self, normalization):
        network = random_network(3, normalization=normalization)
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
        coefs, _, intercepts, *others = views = parameter_views(
            Architecture((3, 4, 2), ("relu",)), np.arange(26.0)
        )
        assert views.embedding_weights == []
        assert others == [[], [], [], [], [], []]
        assert [coef.shape for coef in coefs] == [(3, 4), (4, 2)]
        assert [intercept.shape for intercept in intercepts] == [(4,), (2,)]
        np.testing.assert_array_equal(intercepts[1], [24, 25])

    @pytest.mark.parametrize("embedding", [None, Embedding("periodic", 2, 3, 7)])
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_parts_of_the_vector_are_in_the_order_of_who_changes_them(
        self, normalization, embedding
    ):
        # The optimizer all that has a gradient, decay the weights only, batches the averages.
        network = random_network(3, hidden=(5, 4), normalization=normalization, embedding=embedding)
        views = parameter_views(network.architecture, network.parameters)
        flat = [np.concatenate([part.ravel() for part in [np.empty(0), *kind]]) for kind in views]
        np.testing.assert_array_equal(np.concatenate(flat), network.parameters)
        np.testing.assert_array_equal(np.concatenate(flat[:2]), network.weights)
        np.testing.assert_array_equal(np.concatenate(flat[:5]), network.trainable)
        n_mixed, n_functions = (0, 0) if embedding is None else (2 * 7 * 3, 2 * 7)
        assert [part.size for part in flat] == [
            (6 + n_mixed // 7) * 5 + 5 * 4 + 4 * 3,
            n_mixed,
            5 + 4 + 3,
            *[0 if normalization is None else 9] * 2,
            *[9 if normalization == "batch" else 0] * 2,
            *[n_functions] * 2,
        ]

    def test_a_gradient_has_no_averages(self):
        network = random_network(3, normalization="batch")
        views = parameter_views(network.architecture, np.ones(network.trainable.size))
        assert [part.shape for part in views.shifts] == [(5,), (4,)]
        assert views.means == views.variances == []

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

    @pytest.mark.parametrize("normalization", ["batch", "layer"])
    def test_normalization_starts_as_the_identity_of_standardised_values(self, normalization):
        architecture = Architecture((6, 5, 3), ("relu",), normalization)
        network = Network.random(architecture, np.float32, np.random.default_rng(0))
        views = parameter_views(architecture, network.parameters)
        assert all((part == 1).all() for part in [*views.scales, *views.variances])
        assert all((part == 0).all() for part in [*views.shifts, *views.means])
        plain = Network.random(SMALL, np.float32, np.random.default_rng(0))
        np.testing.assert_array_equal(network.weights, plain.weights)

    def test_draws_are_the_same_in_every_dtype_up_to_rounding(self):
        single, double = (
            Network.random(SMALL, dtype, np.random.default_rng(0))
            for dtype in (np.float32, np.float64)
        )
        np.testing.assert_allclose(single.parameters, double.parameters, rtol=1e-6)


class TestConstraint:
    def test_shortens_the_weights_into_hidden_units_to_the_bound(self):
        network = random_network(3)
        before = [coef.copy() for coef in network.coefs]
        norms = [np.linalg.norm(coef, axis=0) for coef in before]
        bound = float(np.median(np.concatenate(norms[:-1])))
        rest = network.parameters[network.weights.size :].copy()
        network.constrain(bound)
        for coef, old, norm in zip(network.coefs[:-1], before, norms, strict=False):
            too_long = norm > bound
            np.testing.assert_allclose(np.linalg.norm(coef[:, too_long], axis=0), bound)
            expected = old[:, too_long] * (bound / norm[too_long])
            np.testing.assert_allclose(coef[:, too_long], expected)
            np.testing.assert_array_equal(coef[:, ~too_long], old[:, ~too_long])
        np.testing.assert_array_equal(network.coefs[-1], before[-1])
        np.testing.assert_array_equal(network.parameters[network.weights.size :], rest)

    def test_of_no_hidden_unit_changes_nothing(self):
        network = random_network(3, hidden=())
        before = network.parameters.copy()
        network.constrain(1e-3)
        np.testing.assert_array_equal(network.parameters, before)
