"""Several networks in one: each learns as it would alone, and their probabilities are averaged."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skann import ANNClassifier
from skann.engine import fitting
from skann.engine.backpropagation import Backpropagation, Regularization
from skann.engine.batches import Examples
from skann.engine.losses import LOSSES
from skann.engine.network import Network, parameter_views
from skann.engine.run import Data, Observer
from skann.engine.settings import Architecture
from tests.data import KINDS, problem, quick
from tests.gradients import assert_gradient_matches
from tests.networks import (
    N_FEATURES,
    N_OUTPUTS,
    N_ROWS,
    make_settings,
    random_inputs,
    random_network,
    random_targets,
    start_of,
)

N_MEMBERS = 3
NORMALIZATIONS = [None, "batch", "layer"]


def architecture_of(kind, n_members=N_MEMBERS, hidden=(5, 4), normalization=None):
    sizes = (N_FEATURES, *hidden, N_OUTPUTS[kind])
    return Architecture(sizes, ("tanh",) * len(hidden), normalization, n_members, kind)


def random_members(kind, **of_architecture):
    """Return single networks with random parameters, and one that has them as its members."""
    together = architecture_of(kind, **of_architecture)
    network = Network.random(together, np.float64, np.random.default_rng(0))
    hidden, normalization = together.layer_sizes[1:-1], together.normalization
    singles = [
        random_network(N_OUTPUTS[kind], hidden=hidden, seed=seed, normalization=normalization)
        for seed in range(together.n_members)
    ]
    for single, views in zip(singles, views_by_member(network), strict=True):
        copy_views(parameter_views(single.architecture, single.parameters), views)
    return singles, network


def views_by_member(network):
    views = parameter_views(network.architecture, network.parameters)
    return views.by_member(network.architecture.n_members)


def copy_views(source, target):
    for values, parts in zip(source, target, strict=True):
        parts[:] = list(values)


def probabilities_of(kind, logits):
    return softmax(logits, axis=0) if kind == "multiclass" else expit(logits)


class TestParameterVector:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("hidden", [(), (5, 4)])
    def test_is_as_long_as_those_of_the_members(self, hidden, normalization):
        one, several = (
            architecture_of("multiclass", k, hidden, normalization) for k in (1, N_MEMBERS)
        )
        for name in ("n_weights", "n_trainable", "n_parameters"):
            assert getattr(several, name) == N_MEMBERS * getattr(one, name)

    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_is_split_without_gaps_and_overlaps(self, normalization):
        architecture = architecture_of("multiclass", normalization=normalization)
        vector = np.arange(architecture.n_parameters)
        parts = parameter_views(architecture, vector).by_member(N_MEMBERS)
        found = np.concatenate([view.ravel() for part in parts for kind in part for view in kind])
        np.testing.assert_array_equal(np.sort(found), vector)

    def test_has_all_weights_before_all_biases(self):
        network = Network.random(
            architecture_of("multiclass"), np.float64, np.random.default_rng(0)
        )
        assert all(np.shares_memory(coef, network.weights) for coef in network.coefs)
        assert not any(np.shares_memory(bias, network.weights) for bias in network.intercepts)

    def test_of_the_first_member_has_the_draws_of_a_single_network(self):
        several, one = (
            Network.random(architecture_of("multiclass", k), np.float64, np.random.default_rng(0))
            for k in (N_MEMBERS, 1)
        )
        for coef, expected in zip(several.coefs, one.coefs, strict=False):
            np.testing.assert_array_equal(coef, expected)
        assert (several.coefs[3] != several.coefs[0]).all()


@pytest.mark.kernels
class TestGradient:
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("kind", LOSSES)
    def test_is_that_of_the_sum_of_the_losses(self, kind, normalization, container):
        _, network = random_members(kind, normalization=normalization)
        backpropagation = Backpropagation(network, N_ROWS)
        loss = LOSSES[kind].make(N_OUTPUTS[kind], N_ROWS, np.float64)
        kept = network.parameters.copy()
        inputs, targets = container(random_inputs()), random_targets(kind)

        def loss_at(trainable):
            network.parameters[...] = kept
            network.trainable[...] = trainable
            return N_MEMBERS * backpropagation.run(inputs, targets, None, 5.0, loss)

        start = network.trainable.copy()
        loss_at(start)
        assert_gradient_matches(loss_at, backpropagation.gradient.copy(), start)

    def test_drops_other_units_of_each_member(self):
        singles, network = random_members("multiclass")
        for views in views_by_member(network)[1:]:
            copy_views(views_by_member(network)[0], views)
        dropout, rng = Regularization((0.5, 0.0)), np.random.default_rng(0)
        backpropagation = Backpropagation(network, N_ROWS, False, dropout, rng)
        loss = LOSSES["multiclass"].make(4, N_ROWS, np.float64)
        backpropagation.run(random_inputs(), random_targets("multiclass"), None, 5.0, loss)
        gradients = parameter_views(network.architecture, backpropagation.gradient)
        first, second, _ = (part.coefs[0] for part in gradients.by_member(N_MEMBERS))
        assert (first != second).any()

    def test_is_clipped_member_by_member(self):
        singles, network = random_members("multiclass")
        networks = [Backpropagation(each, N_ROWS) for each in [network, *singles]]
        for backpropagation in networks:
            loss = LOSSES["multiclass"].make(4, N_ROWS, np.float64)
            inputs, targets = random_inputs(), random_targets("multiclass")
            backpropagation.run(inputs, targets, None, 1.0, loss)
        lengths = [each.clip(None) for each in networks]
        longest = np.mean(sorted(lengths[1:])[:2])  # Some gradients are longer, some are not.
        np.testing.assert_allclose(lengths[0], np.mean(lengths[1:]))
        for each in networks:
            each.clip(longest)
        views = parameter_views(network.architecture, networks[0].gradient).by_member(N_MEMBERS)
        for own, single in zip(views, networks[1:], strict=True):
            expected = parameter_views(single.network.architecture, single.gradient)
            for got, part in zip(own.coefs, expected.coefs, strict=True):
                np.testing.assert_allclose(got, part, rtol=1e-12)


class TestRawScores:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("kind", LOSSES)
    def test_are_those_of_the_mean_probabilities(self, kind, normalization):
        singles, network = random_members(kind, normalization=normalization)
        inputs = random_inputs()
        own = [each.forward(inputs, each.output_buffers(N_ROWS)) for each in singles]
        expected = np.mean([probabilities_of(kind, logits) for logits in own], axis=0)
        scores = network.forward(inputs, network.output_buffers(N_ROWS))
        assert scores.flags.c_contiguous
        np.testing.assert_allclose(probabilities_of(kind, scores), expected, rtol=1e-12)
        if kind == "multiclass":
            np.testing.assert_allclose(np.exp(scores), expected, rtol=1e-12)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("kind", LOSSES)
    @given(data=st.data())
    @settings(max_examples=60, deadline=None)
    def test_are_finite_however_sure_the_members_are(self, kind, dtype, data):
        n_members, n_outputs = data.draw(st.integers(2, 5)), N_OUTPUTS[kind]
        numbers = st.floats(-(2.0**100), 2.0**100, width=32)
        size = n_members * n_outputs
        drawn = data.draw(st.lists(numbers, min_size=size, max_size=size))
        logits = np.array(drawn, dtype).reshape(n_members, n_outputs, 1)
        scores = LOSSES[kind].average(logits)
        assert scores.dtype == dtype
        assert scores.shape == (n_outputs, 1)
        assert np.isfinite(scores).all()
        own = np.array([probabilities_of(kind, each) for each in logits])
        tolerance = 100 * np.finfo(dtype).eps
        probabilities = probabilities_of(kind, scores)
        np.testing.assert_allclose(probabilities, own.mean(axis=0), atol=tolerance, rtol=0)

    @pytest.mark.parametrize("kind", LOSSES)
    def test_of_equal_members_are_theirs(self, kind):
        one = np.random.default_rng(0).normal(scale=5, size=(N_OUTPUTS[kind], 7))
        scores = LOSSES[kind].average(np.array([one, one]))
        if kind == "multiclass":
            one = np.log(softmax(one, axis=0))
        np.testing.assert_allclose(scores, one, rtol=1e-10, atol=1e-12)

    def test_of_many_rows_are_those_of_few(self):
        X, y = problem(n_rows=60)
        model = quick(n_members=N_MEMBERS).fit(X, y)
        whole = model.decision_function(np.tile(X, (300, 1)))
        np.testing.assert_allclose(whole[:60], model.decision_function(X), atol=1e-5)
        np.testing.assert_allclose(model.decision_function(X[:1])[0], whole[0], atol=1e-5)


class TestTraining:
    @pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    @pytest.mark.parametrize("kind", LOSSES)
    def test_of_a_member_is_that_of_a_network_alone(self, kind, normalization, solver):
        singles, network = random_members(kind, normalization=normalization)
        data = Data(Examples(random_inputs(), random_targets(kind), None))
        changes = {
            "solver": solver,
            "loss": kind,
            "batch_size": 4,
            "dropout": (),
            "max_norm": 1.0,
            "gradient_clip_norm": 0.2,
            "ema_decay": 0.5,
            # Adam would magnify rounding: all there is of the gradient of a bias that batch
            # normalisation subtracts again.
            "epsilon": 1e-3,
        }

        def train(each):
            return fitting.fit(make_settings(each, **changes), data, start_of(each), Observer())

        together, alone = train(network), [train(single) for single in singles]
        for views, run in zip(views_by_member(together.network), alone, strict=True):
            expected = parameter_views(run.network.architecture, run.network.parameters)
            for parts, expected_parts in zip(views, expected, strict=True):
                for got, part in zip(parts, expected_parts, strict=True):
                    np.testing.assert_allclose(got, part, rtol=1e-10, atol=1e-12)
        for position, epoch in enumerate(together.history):
            mean = np.mean([run.history[position].loss for run in alone])
            np.testing.assert_allclose(epoch.loss, mean, rtol=1e-10)

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("kind", KINDS)
    def test_of_an_estimator_gives_the_mean_probabilities(self, kind, container):
        X, y = problem(kind)
        model = quick(n_members=N_MEMBERS, ema_decay=0.8, dropout=0.2).fit(container(X), y)
        one = quick().fit(X, y)
        own = []
        for member in range(N_MEMBERS):
            one.coefs_ = model.coefs_[2 * member : 2 * member + 2]
            one.intercepts_ = model.intercepts_[2 * member : 2 * member + 2]
            own.append(one.predict_proba(X))
        probabilities = model.predict_proba(container(X))
        np.testing.assert_allclose(probabilities, np.mean(own, axis=0), rtol=1e-5)
        assert np.ptp(own, axis=0).max() > 0.01
        if kind != "multilabel-indicator":
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probabilities, rtol=1e-5)

    def test_validates_the_averaged_prediction(self):
        X, y = problem(n_rows=120)
        model = quick(n_members=N_MEMBERS, early_stopping=True, n_iter_no_change=2, max_iter=30)
        model.fit(X[:90], y[:90], X_val=X[90:], y_val=y[90:])
        best = int(np.argmax(model.validation_scores_))
        assert model.best_validation_score_ == model.score(X[90:], y[90:])
        loss = log_loss(y[90:], model.predict_proba(X[90:]))
        assert model.validation_loss_curve_[best] == pytest.approx(loss, rel=1e-5)

    def test_with_a_metric_sees_the_averaged_prediction(self):
        X, y = problem(n_rows=120)
        model = quick(n_members=N_MEMBERS, early_stopping=True, scoring="neg_log_loss")
        model.fit(X[:90], y[:90], X_val=X[90:], y_val=y[90:])
        loss = log_loss(y[90:], model.predict_proba(X[90:]))
        assert -model.best_validation_score_ == pytest.approx(loss, rel=1e-5)

    def test_with_an_int_as_seed_gives_the_same_bits(self):
        X, y = problem()
        model = quick(n_members=N_MEMBERS, dropout=0.3)
        one, other = (clone(model).fit(X, y).predict_proba(X) for _ in range(2))
        np.testing.assert_array_equal(one, other)

    def test_makes_the_log_loss_better(self):
        X, y = load_digits(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, train_size=400, random_state=0, stratify=y
        )
        losses = {
            n_members: np.mean(
                [
                    log_loss(
                        y_test,
                        ANNClassifier(
                            alpha=0.05,
                            n_members=n_members,
                            input_scaling="standard",
                            random_state=seed,
                        )
                        .fit(X_train, y_train)
                        .predict_proba(X_test),
                    )
                    for seed in range(4)
                ]
            )
            for n_members in (1, 5)
        }
        assert losses[5] < losses[1]


class TestGoingOn:
    def test_a_warm_start_trains_all_members_on(self):
        X, y = problem()
        model = quick(n_members=N_MEMBERS, warm_start=True).fit(X, y)
        before = [coef.copy() for coef in model.coefs_]
        model.fit(X, y)
        assert all((coef != old).any() for coef, old in zip(model.coefs_, before, strict=True))

    def test_a_warm_start_needs_the_same_number(self):
        X, y = problem()
        model = quick(n_members=N_MEMBERS, warm_start=True).fit(X, y)
        with pytest.raises(
            ValueError, match=r"n_members and .* describe .*n_members=2.*n_members=3.*clone"
        ):
            model.set_params(n_members=2).fit(X, y)

    @pytest.mark.parametrize("kind", KINDS)
    def test_pieces_train_all_members_on(self, kind):
        X, y = problem(kind)
        classes = None if kind == "multilabel-indicator" else np.unique(y)
        model = quick(n_members=N_MEMBERS, normalization="batch")
        for _ in range(5):
            model.partial_fit(X, y, classes)
        assert len(model.coefs_) == 2 * N_MEMBERS
        assert model.loss_curve_[-1] < model.loss_curve_[0]

    def test_a_pickle_predicts_and_goes_on_with_the_same_bits(self):
        X, y = problem()
        model = quick(n_members=N_MEMBERS, warm_start=True).fit(X, y)
        loaded = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(
            loaded.fit(X, y).predict_proba(X), model.fit(X, y).predict_proba(X)
        )


class TestErrors:
    @pytest.mark.parametrize("bad", [0, -1, 1.5, "auto", None, [2]])
    def test_of_what_is_no_count(self, bad):
        X, y = problem()
        with pytest.raises(ValueError, match="'n_members' parameter"):
            quick(n_members=bad).fit(X, y)

    def test_of_lbfgs(self):
        X, y = problem()
        with pytest.raises(ValueError, match="n_members=2 cannot be used with solver='lbfgs'"):
            quick(n_members=2, solver="lbfgs").fit(X, y)

    def test_of_a_network_larger_than_memory(self):
        X, y = problem()
        with pytest.raises(MemoryError, match="n_members=100000000000"):
            quick(n_members=10**11).fit(X, y)


def test_the_summary_counts_all_members():
    X, y = problem()
    one, several = (quick(n_members=k).fit(X, y).summary() for k in (1, N_MEMBERS))
    assert several.n_members == N_MEMBERS
    assert several.n_parameters == N_MEMBERS * one.n_parameters
    assert several.multiply_adds_per_row == N_MEMBERS * one.multiply_adds_per_row
    assert sum(layer.n_parameters for layer in several.layers) == several.n_parameters
    assert "Members:       3" in str(several)
    assert "Members" not in str(one)


def test_a_fit_that_diverges_ends_with_an_error():
    X, y = problem()
    with pytest.raises(ValueError, match="diverged"):
        quick(n_members=2, learning_rate_init=1e30, solver="sgd").fit(X, y)
