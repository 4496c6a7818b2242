"""Numerical embeddings: their values, their gradients, and what they are good for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import make_classification

from skann import ANNClassifier
from skann.engine.backpropagation import Backpropagation
from skann.engine.embeddings import EMBEDDINGS, NumericalEmbedding
from skann.engine.losses import LOSSES
from skann.engine.settings import Architecture, Embedding
from tests.data import KINDS, problem, quick
from tests.gradients import assert_gradient_matches
from tests.networks import (
    N_FEATURES,
    N_OUTPUTS,
    N_ROWS,
    random_inputs,
    random_network,
    random_targets,
)

N_NUMBERS, N_FUNCTIONS, WIDTH = 4, 7, 3
EVERY_KIND = pytest.mark.parametrize("embedding", EMBEDDINGS)


def make(kind, n_numbers=N_NUMBERS, n_functions=N_FUNCTIONS, inputs=None, scale=0.3):
    """Return an embedding at the begin of training."""
    shape = Embedding(kind, n_numbers, WIDTH, n_functions)
    weights = np.empty(shape[1:])
    places, slopes = np.empty((2, n_numbers, n_functions))
    embedding = NumericalEmbedding(shape, weights, places, slopes)
    embedding.begin(np.random.default_rng(0), scale, random_inputs() if inputs is None else inputs)
    return embedding


def embed(embedding, inputs):
    return embedding.forward(inputs, embedding.arrays(inputs.shape, np.empty))


class TestValues:
    @EVERY_KIND
    def test_are_those_of_the_formula(self, embedding):
        embedding, inputs = make(embedding), random_inputs()
        outputs = embed(embedding, inputs)
        assert outputs.shape == (N_ROWS, N_FEATURES + N_NUMBERS * WIDTH)
        np.testing.assert_array_equal(outputs[:, :N_FEATURES], inputs)
        for row in range(N_ROWS):
            for number in range(N_NUMBERS):
                z = embedding.slopes[number] * (inputs[row, number] - embedding.places[number])
                if embedding.shape.kind == "periodic":
                    values = 0.3 * np.cos(z)
                else:
                    values = 0.1 * np.clip(z, 0, 1)
                begin = N_FEATURES + number * WIDTH
                np.testing.assert_allclose(
                    outputs[row, begin : begin + WIDTH], embedding.weights[number] @ values
                )

    def test_frequencies_have_the_scale_and_phases_are_everywhere(self):
        embedding = make("periodic", n_numbers=1, n_functions=20_000, scale=0.25)
        frequencies = embedding.slopes / (2 * np.pi)
        assert frequencies.std() == pytest.approx(0.25, rel=0.05)
        phases = embedding.slopes * embedding.places
        assert (np.histogram(phases, 4, (-np.pi, np.pi))[0] > 4700).all()

    @settings(deadline=None)
    @given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
    def test_ramps_rise_one_after_the_other_between_quantiles(self, column):
        column = np.sort(np.array(column).round(3))
        embedding = make("piecewise_linear", 1, inputs=column[:, np.newaxis])
        embedding.weights[...] = 1 / 0.1
        steepness = embedding.slopes[embedding.slopes > 0]
        n_pieces = len(steepness)
        total = embed(embedding, column[:, np.newaxis])[:, 1]
        # Each ramp adds one, so that the sum counts the pieces up to a number.
        assert total[0] == 0
        np.testing.assert_allclose(total[-1], n_pieces)
        assert (np.diff(total) >= -1e-9).all()
        ends = np.unique(np.quantile(column, np.linspace(0, 1, N_FUNCTIONS + 1)))
        assert n_pieces == len(ends) - 1
        np.testing.assert_allclose(1 / steepness, np.diff(ends))

    def test_a_constant_number_has_no_piece(self):
        embedding = make("piecewise_linear", inputs=np.ones((20, N_FEATURES)))
        outputs = embed(embedding, random_inputs())
        assert (outputs[:, N_FEATURES:] == 0).all()


class TestGradient:
    @EVERY_KIND
    @pytest.mark.parametrize("normalization", [None, "batch", "layer"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_matches_finite_differences(self, embedding, normalization, kind):
        network = random_network(
            N_OUTPUTS[kind],
            normalization=normalization,
            embedding=Embedding(embedding, N_NUMBERS, WIDTH, N_FUNCTIONS),
        )
        backpropagation = Backpropagation(network, N_ROWS)
        loss = LOSSES[kind].make(N_OUTPUTS[kind], N_ROWS, np.float64)
        targets = random_targets(kind)

        def value(point):
            network.trainable[...] = point
            return backpropagation.run(random_inputs(), targets, None, N_ROWS, loss)

        point = network.trainable.copy()
        value(point)
        gradient = backpropagation.gradient.copy()
        assert_gradient_matches(value, gradient, point)
        mixing = gradient[network.coefs[0].size + network.coefs[1].size + network.coefs[2].size :]
        assert (mixing[: N_NUMBERS * N_FUNCTIONS * WIDTH] != 0).mean() > 0.7

    @EVERY_KIND
    def test_a_short_batch_is_that_of_its_rows(self, embedding):
        shape = Embedding(embedding, N_NUMBERS, WIDTH, N_FUNCTIONS)
        network = random_network(4, embedding=shape)
        loss = LOSSES["multiclass"].make(4, N_ROWS, np.float64)
        few = 5
        arguments = random_inputs()[:few], random_targets("multiclass")[:few], None, few, loss
        long, short = Backpropagation(network, N_ROWS), Backpropagation(network, few)
        assert long.run(*arguments) == pytest.approx(short.run(*arguments))
        np.testing.assert_allclose(long.gradient, short.gradient)


class TestClassifier:
    def test_learns_what_changes_abruptly(self):
        rng = np.random.default_rng(0)
        X = rng.uniform(-2, 2, (3000, 3))
        y = (np.floor(X[:, 0] * 2.5) % 2).astype(int)
        train, test = slice(2000), slice(2000, None)
        accuracy = {
            kind: ANNClassifier(numerical_embedding=kind, embedding_scale=0.5, random_state=0)
            .fit(X[train], y[train])
            .score(X[test], y[test])
            for kind in [None, *EMBEDDINGS]
        }
        assert accuracy[None] < 0.8
        assert min(accuracy["periodic"], accuracy["piecewise_linear"]) > 0.9

    @EVERY_KIND
    def test_the_first_matrix_has_rows_for_all_inputs(self, embedding):
        X, y = problem()
        model = quick(numerical_embedding=embedding, embedding_width=2).fit(X, y)
        assert model.coefs_[0].shape == (4 + 4 * 2, 8)
        summary = model.summary()
        assert [layer.name for layer in summary.layers][:2] == ["input", "embedding"]
        assert summary.layers[1].output_shape == (None, 12)
        # Weights of 16 functions, their places and slopes.
        assert summary.layers[1].n_parameters == 4 * 16 * 2 + 2 * 4 * 16
        assert summary.n_parameters == sum(layer.n_parameters for layer in summary.layers)
        forward = 4 * 16 * 2 + 12 * 8 + 8 * 3
        # Backward, given numbers and functions of them need no gradient.
        backward = 4 * 16 * 2 + (12 + 8) * 8 + 2 * 8 * 3
        assert summary.multiply_adds_per_row == forward + backward

    @EVERY_KIND
    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_a_single_row_is_predicted_as_in_a_batch(self, embedding, solver):
        X, y = problem()
        model = quick(numerical_embedding=embedding, solver=solver, max_iter="auto").fit(X, y)
        single = np.vstack([model.predict_proba(row[np.newaxis]) for row in X])
        np.testing.assert_allclose(single, model.predict_proba(X), rtol=1e-5)

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_lbfgs_moves_no_function(self):
        X, y = problem()
        first, last = (
            quick(numerical_embedding="periodic", solver="lbfgs", max_iter=n).fit(X, y)
            for n in (1, 20)
        )
        embeddings = [model._model.network.members[0].embedding for model in (first, last)]
        np.testing.assert_array_equal(embeddings[0].slopes, embeddings[1].slopes)
        assert (embeddings[0].weights != embeddings[1].weights).all()

    def test_categories_are_not_embedded(self):
        pd = pytest.importorskip("pandas")
        rng = np.random.default_rng(0)
        table = pd.DataFrame(
            {"size": rng.standard_normal(60), "colour": rng.choice(["red", "green"], 60)}
        )
        y = (table["size"] > 0).to_numpy()
        embedded = quick(numerical_embedding="periodic").fit(table, y)
        assert embedded._model.network.architecture.embedding.n_numbers == 1
        without = quick(numerical_embedding="periodic").fit(table[["colour"]], y)
        assert without._model.network.architecture.embedding is None

    def test_quantiles_are_those_of_scaled_training_rows(self):
        X, y = problem(n_rows=500)
        scaled = quick(numerical_embedding="piecewise_linear", input_scaling="standard").fit(
            1000 * X + 7, y
        )
        embedding = scaled._model.network.members[0].embedding
        ends = np.quantile((X - X.mean(axis=0)) / X.std(axis=0), 0.5, axis=0)
        np.testing.assert_allclose(embedding.places[:, 8], ends, atol=1e-4)

    @EVERY_KIND
    def test_partial_fit_keeps_the_functions_of_the_first_call(self, embedding):
        X, y = problem()
        model = quick(numerical_embedding=embedding).partial_fit(X[:30], y[:30], [0, 1, 2])
        functions = model._model.network.members[0].embedding.slopes.copy()
        model.partial_fit(10 * X, y)
        np.testing.assert_array_equal(model._model.network.members[0].embedding.slopes, functions)

    def test_a_warm_start_needs_the_same_embedding(self):
        X, y = problem()
        model = quick(numerical_embedding="periodic", warm_start=True).fit(X, y)
        with pytest.raises(ValueError, match="n_members and the embedding describe"):
            model.set_params(numerical_embedding=None).fit(X, y)

    def test_sparse_rows_are_refused(self):
        X, y = problem()
        with pytest.raises(ValueError, match="numerical_embedding needs dense rows, but X is sp"):
            quick(numerical_embedding="periodic").fit(sparse.csr_array(X), y)

    def test_weights_of_features_cannot_be_drawn(self):
        pytest.importorskip("matplotlib")
        from skann.plotting import WeightsDisplay

        X, y = problem()
        model = quick(numerical_embedding="periodic").fit(X, y)
        with pytest.raises(ValueError, match="numerical_embedding=None to see"):
            WeightsDisplay.from_estimator(model)

    def test_members_have_functions_of_their_own(self):
        X, y = problem()
        model = quick(numerical_embedding="periodic", n_members=2).fit(X, y)
        one, other = (member.embedding for member in model._model.network.members)
        assert (one.slopes != other.slopes).all()

    def test_width_and_scale_alone_change_nothing(self):
        X, y = make_classification(100, random_state=0)
        model = quick(embedding_width=9, embedding_scale=5.0)
        np.testing.assert_array_equal(
            model.fit(X, y).predict_proba(X), quick().fit(X, y).predict_proba(X)
        )
        assert model._model.network.architecture == Architecture(
            (20, 8, 1), ("relu",), loss="binary"
        )
