"""The gradient of every kind of network, by finite differences."""

import numpy as np
import pytest
from scipy import sparse

from skann.engine.activations import ACTIVATIONS
from skann.engine.backpropagation import Backpropagation, Regularization
from skann.engine.losses import LOSSES
from skann.engine.network import Architecture, Network
from tests.gradients import assert_gradient_matches
from tests.networks import N_OUTPUTS, N_ROWS, random_inputs, random_network, random_targets

pytestmark = pytest.mark.kernels

NORMALIZATIONS = [None, "batch", "layer"]


def weights_of(weighting):
    if weighting == "none":
        return None
    weights = np.random.default_rng(3).uniform(0.1, 3, N_ROWS)
    if weighting == "zero weights":
        weights[::2] = 0
    return weights


def make_loss(kind, max_rows=N_ROWS, label_smoothing=0.0):
    return LOSSES[kind].make(N_OUTPUTS[kind], max_rows, np.float64, label_smoothing)


def full_gradient(backpropagation):
    """Return a gradient as if it were not compact."""
    compact = backpropagation.sparse_gradient
    if compact is None:
        return backpropagation.gradient.copy()
    first = np.zeros_like(backpropagation.network.coefs[0])
    first[compact.rows] = compact.values
    return np.concatenate([first.ravel(), backpropagation.gradient])


def assert_gradient_is_right(backpropagation, inputs, targets, weights, loss, rng=None):
    """Compare with finite differences; every evaluation sees the same masks and averages."""
    network = backpropagation.network
    kept = network.parameters.copy()
    state = None if rng is None else rng.bit_generator.state

    def loss_at(trainable):
        network.parameters[...] = kept
        network.trainable[...] = trainable
        if rng is not None:
            rng.bit_generator.state = state
        if backpropagation.sparse_gradient is not None:
            backpropagation.sparse_gradient.touch(inputs)
        return backpropagation.run(inputs, targets, weights, 5.0, loss)

    start = network.trainable.copy()
    loss_at(start)
    gradient = full_gradient(backpropagation)
    assert np.linalg.norm(gradient) > 1e-2
    assert_gradient_matches(loss_at, gradient, start)


class TestGradient:
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("weighting", ["none", "weights", "zero weights"])
    @pytest.mark.parametrize("kind", LOSSES)
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_matches_finite_differences(self, activation, kind, weighting, container):
        backpropagation = Backpropagation(random_network(N_OUTPUTS[kind], activation), N_ROWS)
        assert_gradient_is_right(
            backpropagation,
            container(random_inputs()),
            random_targets(kind),
            weights_of(weighting),
            make_loss(kind),
        )

    @pytest.mark.parametrize("kind", LOSSES)
    def test_matches_without_hidden_layers(self, kind):
        network = random_network(N_OUTPUTS[kind], hidden=())
        assert_gradient_is_right(
            Backpropagation(network, N_ROWS),
            random_inputs(),
            random_targets(kind),
            None,
            make_loss(kind),
        )

    # One row has no variance of its own: the running averages take its place.
    @pytest.mark.parametrize("n_rows", [1, 2, 7, N_ROWS])
    @pytest.mark.parametrize("kind", LOSSES)
    @pytest.mark.parametrize("normalization", ["batch", "layer"])
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_matches_under_normalization(self, activation, normalization, kind, n_rows):
        network = random_network(N_OUTPUTS[kind], activation, normalization=normalization)
        backpropagation = Backpropagation(network, N_ROWS)
        assert_gradient_is_right(
            backpropagation,
            random_inputs()[:n_rows],
            random_targets(kind)[:n_rows],
            None if n_rows == 1 else weights_of("weights")[:n_rows],
            make_loss(kind),
        )

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_matches_under_fixed_noise(self, activation, normalization, container):
        rng = np.random.default_rng(4)
        noise = 0.0 if container is sparse.csr_array else 0.5
        backpropagation = Backpropagation(
            random_network(4, activation, (9, 8), normalization=normalization),
            N_ROWS,
            regularization=Regularization((0.4, 0.25), 0.3, noise),
            rng=rng,
        )
        assert_gradient_is_right(
            backpropagation,
            container(random_inputs()),
            random_targets("multiclass"),
            weights_of("weights"),
            make_loss("multiclass", label_smoothing=0.2),
            rng,
        )

    @pytest.mark.parametrize("input_dropout", [0.0, 0.3])
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("kind", LOSSES)
    def test_matches_in_the_touched_rows_of_sparse_batches(
        self, kind, normalization, input_dropout
    ):
        rng = np.random.default_rng(4)
        inputs = random_inputs()
        inputs[:, 2] = 0
        backpropagation = Backpropagation(
            random_network(N_OUTPUTS[kind], normalization=normalization),
            N_ROWS,
            True,
            Regularization((0.4, 0.0), input_dropout),
            rng,
        )
        assert_gradient_is_right(
            backpropagation,
            sparse.csr_array(inputs),
            random_targets(kind),
            None,
            make_loss(kind),
            rng,
        )
        assert 2 not in backpropagation.sparse_gradient.rows

    def test_is_zero_for_zero_weights(self):
        backpropagation = Backpropagation(random_network(4), N_ROWS)
        targets, weights = random_targets("multiclass"), np.zeros(N_ROWS)
        value = backpropagation.run(random_inputs(), targets, weights, 5.0, make_loss("multiclass"))
        assert value == 0
        np.testing.assert_array_equal(backpropagation.gradient, 0)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("n_rows", [1, 2, 7, N_ROWS])
def test_short_batches_use_the_same_buffers_and_give_the_same_gradient(kind, n_rows, normalization):
    inputs, targets = random_inputs()[:n_rows], random_targets(kind)[:n_rows]
    results = []
    for max_rows in (n_rows, N_ROWS):
        network = random_network(N_OUTPUTS[kind], normalization=normalization)
        start = network.parameters.copy()
        backpropagation = Backpropagation(network, max_rows)
        loss = make_loss(kind, max_rows)
        # A full batch first, as in training: what it leaves must not matter.
        full = slice(max_rows)
        backpropagation.run(random_inputs()[full], random_targets(kind)[full], None, 1.0, loss)
        network.parameters[...] = start
        value = backpropagation.run(inputs, targets, None, 2.0, loss)
        results.append((value, backpropagation.gradient.copy(), network.parameters.copy()))
    for exact, roomy in zip(*results, strict=True):
        np.testing.assert_allclose(exact, roomy, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", LOSSES)
def test_label_smoothing_equals_smoothed_targets(kind):
    """The loss is linear in the targets: mix it over all of them, by their shares."""
    share, network = 0.3, random_network(N_OUTPUTS[kind])
    inputs, targets, weights = random_inputs(), random_targets(kind), weights_of("weights")
    backpropagation = Backpropagation(network, N_ROWS)

    def run(targets, label_smoothing=0.0):
        loss = make_loss(kind, label_smoothing=label_smoothing)
        value = backpropagation.run(inputs, targets, weights, 5.0, loss)
        return np.append(backpropagation.gradient, value)

    if kind == "multiclass":
        others = [np.full(N_ROWS, code) for code in range(N_OUTPUTS[kind])]
    else:
        others = [targets, 1 - targets]
    even = sum(run(other) for other in others) / len(others)
    expected = (1 - share) * run(targets) + share * even
    np.testing.assert_allclose(run(targets, share), expected, rtol=1e-9, atol=1e-12)


class Recorder:
    """A loss function that keeps the logits it is given."""

    def __call__(self, logits, targets, weights, divisor):
        self.logits = logits.copy()
        logits.fill(0)
        return 0.0


class TestDropout:
    def logits_of(self, backpropagation, inputs):
        recorder = Recorder()
        backpropagation.run(inputs, np.zeros(len(inputs)), None, 1.0, recorder)
        return recorder.logits

    @pytest.mark.parametrize(
        "regularization",
        [
            Regularization((0.5, 0.0)),
            Regularization((0.0, 0.3)),
            Regularization((0.2, 0.4), 0.3, 0.5),
        ],
    )
    def test_keeps_the_expectation_of_a_linear_network(self, regularization):
        network = random_network(3, "identity")
        inputs = random_inputs()
        rng = np.random.default_rng(0)
        random = Backpropagation(network, N_ROWS, regularization=regularization, rng=rng)
        draws = np.array([self.logits_of(random, inputs) for _ in range(4000)])
        expected = network.forward(inputs, network.output_buffers(N_ROWS))
        standard_error = draws.std(axis=0) / np.sqrt(len(draws))
        assert standard_error.min() > 0
        assert (np.abs(draws.mean(axis=0) - expected) < 5 * standard_error).all()

    def test_of_share_zero_draws_nothing(self):
        rng = np.random.default_rng(0)
        state = rng.bit_generator.state
        backpropagation = Backpropagation(
            random_network(3), N_ROWS, regularization=Regularization((0.0, 0.0)), rng=rng
        )
        logits = self.logits_of(backpropagation, random_inputs())
        network = backpropagation.network
        expected = network.forward(random_inputs(), network.output_buffers(N_ROWS))
        np.testing.assert_array_equal(logits, expected)
        assert rng.bit_generator.state == state

    def test_leaves_the_outputs_of_the_network_alone(self):
        # The last layer's are logits; dropped ones would be zero.
        network = random_network(3, hidden=(5,))
        rng = np.random.default_rng(0)
        backpropagation = Backpropagation(
            network, N_ROWS, regularization=Regularization((0.9,)), rng=rng
        )
        assert self.logits_of(backpropagation, random_inputs()).all()

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    def test_never_writes_to_the_inputs(self, container):
        inputs = random_inputs()
        inputs.setflags(write=False)
        batch = container(inputs)
        rng = np.random.default_rng(0)
        noise = 0.0 if sparse.issparse(batch) else 1.0
        backpropagation = Backpropagation(
            random_network(4, normalization="batch"),
            N_ROWS,
            regularization=Regularization((0.5, 0.5), 0.5, noise),
            rng=rng,
        )
        loss = make_loss("multiclass")
        backpropagation.run(batch, random_targets("multiclass"), None, 5.0, loss)
        np.testing.assert_array_equal(batch.toarray() if noise == 0 else batch, random_inputs())


class TestClipping:
    def backpropagation(self, compact):
        backpropagation = Backpropagation(random_network(4), N_ROWS, compact)
        inputs = sparse.csr_array(random_inputs()) if compact else random_inputs()
        if compact:
            backpropagation.sparse_gradient.touch(inputs)
        targets = random_targets("multiclass")
        backpropagation.run(inputs, targets, None, 5.0, make_loss("multiclass"))
        return backpropagation

    @pytest.mark.parametrize("compact", [False, True])
    def test_scales_a_gradient_that_is_too_long(self, compact):
        backpropagation = self.backpropagation(compact)
        gradient = full_gradient(backpropagation)
        norm = np.linalg.norm(gradient)
        assert backpropagation.clip(norm / 3) == pytest.approx(norm, rel=1e-12)
        np.testing.assert_allclose(full_gradient(backpropagation), gradient / 3, rtol=1e-12)

    @pytest.mark.parametrize("compact", [False, True])
    @pytest.mark.parametrize("factor", [None, 1.01, 100.0])
    def test_leaves_a_shorter_one_alone(self, compact, factor):
        backpropagation = self.backpropagation(compact)
        gradient = full_gradient(backpropagation)
        norm = float(np.linalg.norm(gradient))
        limit = None if factor is None else factor * norm
        assert backpropagation.clip(limit) == pytest.approx(norm, rel=1e-12)
        np.testing.assert_array_equal(full_gradient(backpropagation), gradient)

    def test_of_no_gradient_at_all_divides_by_nothing(self):
        backpropagation = self.backpropagation(compact=False)
        backpropagation.gradient.fill(0)
        assert backpropagation.clip(1.0) == 0
        np.testing.assert_array_equal(backpropagation.gradient, 0)


class TestBatchNormalization:
    def test_moves_the_averages_once_for_every_batch(self):
        network = random_network(4, "identity", (5,), normalization="batch")
        normalization = network.members[0].layers[0].normalization
        mean, variance = normalization.mean.copy(), normalization.variance.copy()
        inputs = random_inputs()
        backpropagation = Backpropagation(network, N_ROWS)
        targets, loss = random_targets("multiclass"), make_loss("multiclass")
        backpropagation.run(inputs, targets, None, 5.0, loss)
        values = inputs @ network.coefs[0] + network.intercepts[0]
        np.testing.assert_allclose(normalization.mean, 0.9 * mean + 0.1 * values.mean(axis=0))
        unbiased = values.var(axis=0, ddof=1)
        np.testing.assert_allclose(normalization.variance, 0.9 * variance + 0.1 * unbiased)

    def test_of_one_row_is_that_of_prediction(self):
        network = random_network(4, normalization="batch")
        before = network.parameters.copy()
        recorder = Recorder()
        Backpropagation(network, N_ROWS).run(random_inputs()[:1], np.zeros(1), None, 1.0, recorder)
        expected = network.forward(random_inputs()[:1], network.output_buffers(1))
        np.testing.assert_allclose(recorder.logits, expected, rtol=1e-12)
        np.testing.assert_array_equal(network.parameters, before)


def test_the_gradient_leaves_out_what_has_none():
    architecture = Architecture((6, 5, 3), ("relu",), "batch")
    network = Network.random(architecture, np.float32, np.random.default_rng(0))
    backpropagation = Backpropagation(network, N_ROWS)
    assert backpropagation.gradient.shape == network.trainable.shape
    assert network.parameters.size == network.trainable.size + 2 * 5
    assert backpropagation.gradient.dtype == np.float32
