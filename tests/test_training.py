"""The epoch loop on small networks, without scikit-learn in between."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from skann.engine import fitting
from skann.engine.backpropagation import Backpropagation
from skann.engine.batches import Examples
from skann.engine.losses import LOSSES
from skann.engine.network import Architecture, Network
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.rows import make_rows
from skann.engine.run import Data, Observer
from skann.engine.schedules import SCHEDULES
from tests import networks
from tests.data import problem
from tests.networks import start_of

pytestmark = pytest.mark.kernels

X, y = problem()
ARCHITECTURE = Architecture((4, 6, 3), ("tanh",))


class Watcher(Observer):
    """Counts, and does what it is told at the end of an epoch."""

    def __init__(self, stop_after=None):
        self.begun = self.ended = self.abandoned = 0
        self.stop_after = stop_after
        self.parameters = []
        self.states = []

    def begin_epoch(self, run):
        self.begun += 1
        self.watched = run.stopping.watch

    def end_epoch(self, run):
        self.ended += 1
        self.parameters.append(run.network.parameters.copy())
        self.states.append(deepcopy(run.state()))
        assert len(run.history) <= self.ended
        return self.ended == self.stop_after

    def abandon_epoch(self, run):
        self.abandoned += 1


def make_settings(**changes):
    return networks.make_settings(make_network(), **changes)


def make_network(normalization=None):
    architecture = ARCHITECTURE._replace(normalization=normalization)
    return Network.random(architecture, np.float64, np.random.default_rng(0))


def fit(
    network,
    settings,
    *,
    rows=X,
    weights=None,
    held_out=None,
    start=None,
    watcher=None,
    scoring=None,
):
    """Train a network, whatever the settings say about its architecture."""
    return fitting.fit(
        replace(settings, architecture=network.architecture),
        Data(Examples(rows, y, weights), held_out, scoring=scoring),
        start or start_of(network),
        watcher or Watcher(),
    )


def objective(network, alpha, weights=None, divisor=60.0):
    """Loss of all rows with the penalty."""
    loss = LOSSES["multiclass"].make(3, 60, np.float64)
    value = Backpropagation(network, 60).run(X, y, weights, divisor, loss)
    weights = network.weights
    return value + 0.5 * alpha * float(weights @ weights) / divisor


def batch_bounds(n_rows, batch_size):
    """Return the rows of each batch: full ones, and two that share what is left."""
    bounds, start = [], 0
    while start < n_rows:
        left = n_rows - start
        size = -(-left // 2) if batch_size < left < 2 * batch_size else min(batch_size, left)
        bounds.append((start, start + size))
        start += size
    return bounds


def plain_loop(network, settings, weights=None):
    """Train by the textbook, in the order of the rows; return what a good loop would record.

    The parameters after every step, and for the last step of every epoch the rate and the
    norm of the gradient.
    """
    mean_weight = 1.0 if weights is None else weights.mean()
    backpropagation = Backpropagation(network, settings.batch_size)
    optimizer = OPTIMIZERS[settings.solver](
        network.trainable,
        backpropagation.gradient,
        network.weights.size,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
    )
    loss = LOSSES["multiclass"].make(3, settings.batch_size, np.float64)
    bounds = batch_bounds(60, settings.batch_size)
    steps_per_epoch = len(bounds)
    n_steps = settings.max_iter * steps_per_epoch
    n_warmup = round(settings.warmup * n_steps)
    factor = SCHEDULES[settings.learning_rate].factory(
        n_steps, steps_per_epoch=steps_per_epoch, rows_per_epoch=60, power_t=0.5
    )
    step, steps, last = 0, [], []
    for _ in range(settings.max_iter):
        for start, stop in bounds:
            rows = slice(start, stop)
            divisor = len(y[rows]) * mean_weight
            row_weights = None if weights is None else weights[rows]
            backpropagation.run(X[rows], y[rows], row_weights, divisor, loss)
            norm = np.linalg.norm(backpropagation.gradient)
            if settings.gradient_clip_norm is not None and norm > settings.gradient_clip_norm:
                backpropagation.gradient *= settings.gradient_clip_norm / norm
            rate = 0.1 * factor(step) * (min(1, (step + 1) / n_warmup) if n_warmup else 1)
            decay = settings.alpha
            if not optimizer.decouples_decay:
                decay /= settings.batch_size * mean_weight
            optimizer.step(rate, decay)
            if settings.max_norm is not None:
                for coef in network.coefs[:-1]:
                    for unit in coef.T:
                        unit *= min(1, settings.max_norm / np.linalg.norm(unit))
            steps.append(network.parameters.copy())
            step += 1
        last.append((rate, norm))
    if settings.ema_decay is not None:
        shares = settings.ema_decay ** np.arange(n_steps - 1.0, -1, -1)
        network.parameters[...] = shares @ np.array(steps) / shares.sum()
    return steps, last


@pytest.mark.parametrize("learning_rate", SCHEDULES)
@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_those_of_a_plain_loop(solver, learning_rate, weighted):
    settings = make_settings(solver=solver, learning_rate=learning_rate)
    weights = np.linspace(0, 2, 60) if weighted else None
    expected = make_network()
    network = fit(make_network(), settings, weights=weights).network
    plain_loop(expected, settings, weights)
    np.testing.assert_allclose(network.parameters, expected.parameters, rtol=1e-9, atol=1e-12)


FEATURES = {
    "max_norm": {"max_norm": 0.8},
    "gradient_clip_norm": {"gradient_clip_norm": 0.05},
    "ema_decay": {"ema_decay": 0.8},
    "warmup": {"warmup": 0.4},
    "all": {"max_norm": 0.8, "gradient_clip_norm": 0.05, "ema_decay": 0.8, "warmup": 0.4},
}
EVERY_FEATURE = pytest.mark.parametrize("feature", FEATURES)
EVERY_NORMALIZATION = pytest.mark.parametrize("normalization", [None, "batch", "layer"])


@EVERY_FEATURE
@EVERY_NORMALIZATION
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_every_feature_is_that_of_a_plain_loop(solver, normalization, feature):
    # Batches of 17, 17, 13 and 13 rows.
    settings = make_settings(solver=solver, batch_size=17, **FEATURES[feature])
    start, expected, without = (make_network(normalization) for _ in range(3))
    run = fit(start, settings)
    network = run.network
    _, last = plain_loop(expected, settings)
    # A bias before a batch's mean is taken off has no gradient but rounding, which Adam
    # divides by its own size.
    kept = np.ones(network.parameters.size, dtype=bool)
    if normalization == "batch":
        n_weights = network.weights.size
        kept[n_weights : n_weights + 6] = False
        averages = network.architecture.n_trainable
        kept[averages : averages + 6] = False
    np.testing.assert_allclose(
        network.parameters[kept], expected.parameters[kept], rtol=1e-7, atol=1e-9
    )
    for epoch, (rate, norm) in zip(run.history, last, strict=True):
        assert epoch.learning_rate == pytest.approx(rate, rel=1e-12)
        assert epoch.gradient_norm == pytest.approx(norm, rel=1e-6)
    plain_loop(without, make_settings(solver=solver, batch_size=17))
    assert np.abs(network.parameters - without.parameters)[kept].max() > 1e-3


@pytest.mark.parametrize(
    "changes",
    [{"max_norm": 1e6}, {"gradient_clip_norm": 1e6}, {"warmup": 0.01}],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_limits_that_are_not_reached_change_no_bit(solver, changes):
    network = fit(make_network(), make_settings(solver=solver, **changes)).network
    expected = fit(make_network(), make_settings(solver=solver)).network
    np.testing.assert_array_equal(network.parameters, expected.parameters)


def test_an_average_without_memory_is_the_last_step():
    network = fit(make_network(), make_settings(ema_decay=0.0)).network
    expected = fit(make_network(), make_settings()).network
    np.testing.assert_allclose(network.parameters, expected.parameters, rtol=1e-12)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_no_weights_into_a_hidden_unit_are_longer_than_the_bound_after_any_step(solver):
    watcher, bound = Watcher(), 0.6
    # One batch, so that the watcher sees every step.
    settings = make_settings(solver=solver, batch_size=60, max_iter=20, max_norm=bound)
    network = fit(make_network(), settings, watcher=watcher).network
    longest = []
    for parameters in watcher.parameters:
        norms = np.linalg.norm(Network(ARCHITECTURE, parameters).coefs[0], axis=0)
        assert (norms <= bound * (1 + 1e-12)).all()
        longest.append(norms.max())
    assert np.max(longest) == pytest.approx(bound)
    assert np.linalg.norm(network.coefs[-1], axis=0).max() > bound


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_the_watcher_and_validation_see_the_average_and_training_does_not(solver):
    held_out = Examples(X, y, None).at(np.arange(40, 60))
    settings = make_settings(solver=solver, ema_decay=0.9)
    expected, watcher = make_network(), Watcher()
    run = fit(make_network(), settings, held_out=held_out, watcher=watcher)
    steps, _ = plain_loop(expected, settings)
    for epoch, (seen, record) in enumerate(zip(watcher.parameters, run.history, strict=True), 1):
        shares = 0.9 ** np.arange(4 * epoch - 1.0, -1, -1)
        average = shares @ np.array(steps[: 4 * epoch]) / shares.sum()
        np.testing.assert_allclose(seen, average, rtol=1e-8, atol=1e-10)
        expected.parameters[...] = average
        loss = LOSSES["multiclass"].make(3, 20, np.float64)
        value = Backpropagation(expected, 20).run(X[40:], y[40:], None, 20.0, loss)
        assert record.validation_loss == pytest.approx(value, rel=1e-8)
    np.testing.assert_array_equal(run.network.parameters, watcher.parameters[-1])


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_early_stopping_keeps_the_parameters_of_the_best_score(ema_decay):
    scores = iter([0.1, 0.7, 0.3, 0.6])
    watcher = Watcher()
    run = fit(
        make_network(),
        make_settings(early_stopping=True, ema_decay=ema_decay),
        held_out=Examples(X, y, None).at(np.arange(40, 60)),
        watcher=watcher,
        scoring=lambda network, loss: next(scores),
    )
    assert [epoch.validation_score for epoch in run.history] == [0.1, 0.7, 0.3, 0.6]
    np.testing.assert_array_equal(run.network.parameters, watcher.parameters[1])


class TestSparseRows:
    """A batch touches a part of the features: the first weights are updated lazily."""

    rows = np.where(np.random.default_rng(7).random(X.shape) < 0.15, X, 0)

    def fit_both(self, rows, normalization, settings):
        results = []
        for container in (np.asarray, sparse.csr_array):
            start, watcher = make_network(normalization), Watcher()
            # Of seven rows with 15 entries in a hundred, most batches lack a feature.
            run = fit(start, settings, rows=container(rows), watcher=watcher)
            results.append((run.network.parameters, watcher.parameters, run.history))
        return results

    @pytest.mark.parametrize("feature", [None, *FEATURES])
    @EVERY_NORMALIZATION
    @pytest.mark.parametrize("solver", ["adam", "adamw"])
    def test_equal_dense_ones_where_nothing_moves_a_row_that_rests(
        self, solver, normalization, feature
    ):
        # Not the first moment, and no penalty in the loss; decoupled decay is caught up with.
        alpha = 0.0 if solver == "adam" else 2.0
        settings = make_settings(
            solver=solver,
            beta_1=0.0,
            alpha=alpha,
            batch_size=7,
            learning_rate_init=0.02,
            epsilon=1e-3,
            **FEATURES.get(feature, {}),
        )
        dense, lazy = self.fit_both(self.rows, normalization, settings)
        for one, other in zip(dense[:2], lazy[:2], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11)
        for one, other in zip(dense[2], lazy[2], strict=True):
            assert other.loss == pytest.approx(one.loss, rel=1e-9)
            assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-8)

    @pytest.mark.parametrize("solver", OPTIMIZERS)
    def test_equal_dense_ones_where_every_batch_touches_every_feature(self, solver):
        settings = make_settings(solver=solver, batch_size=20, alpha=0.5)
        dense, lazy = self.fit_both(X, None, settings)
        np.testing.assert_allclose(dense[0], lazy[0], rtol=1e-8, atol=1e-11)


def test_the_loss_of_an_epoch_of_one_batch_is_the_objective_before_its_step():
    settings = make_settings(batch_size=60, alpha=0.0, max_iter=3, shuffle=True)
    network = make_network()
    before = objective(network, 0.0)
    run = fit(network, settings)
    assert run.history[0].loss == pytest.approx(before, rel=1e-12)
    assert run.history[-1].loss < before


@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_minimises_the_objective_with_its_penalty(weighted):
    weights = np.linspace(0, 2, 60) if weighted else None
    divisor = 60.0 if weights is None else weights.sum()
    settings = make_settings(solver="lbfgs", alpha=2.0, max_iter=500, tol=1e-8)
    run = fit(make_network(), settings, weights=weights)
    network = run.network
    assert run.message == ""
    assert run.state.optimizer is None
    best = objective(network, 2.0, weights, divisor)
    assert run.history[-1].loss == pytest.approx(best, rel=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = network.copy()
        other.parameters[...] += 0.01 * rng.standard_normal(other.parameters.size)
        assert objective(other, 2.0, weights, divisor) > best


def test_lbfgs_in_chunks_equals_all_rows_at_once(monkeypatch):
    results = []
    for rows in (60, 7):
        monkeypatch.setattr("skann.engine.lbfgs.chunk_rows", lambda _, rows=rows: rows)
        run = fit(make_network(), make_settings(solver="lbfgs", max_iter=8, alpha=1.0))
        results.append(run.network.parameters)
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_records_the_norm_of_the_gradient_of_its_objective(weighted):
    weights = np.linspace(0, 2, 60) if weighted else None
    divisor = 60.0 if weights is None else weights.sum()
    settings = make_settings(solver="lbfgs", alpha=2.0, max_iter=5)
    run = fit(make_network(), settings, weights=weights)
    network = run.network
    backpropagation = Backpropagation(network, 60)
    loss = LOSSES["multiclass"].make(3, 60, np.float64)
    backpropagation.run(X, y, weights, divisor, loss)
    backpropagation.gradient[: network.weights.size] += 2.0 / divisor * network.weights
    expected = np.linalg.norm(backpropagation.gradient)
    assert run.history[-1].gradient_norm == pytest.approx(expected, rel=1e-6)
    assert {epoch.learning_rate for epoch in run.history} == {None}


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs"])
def test_the_watcher_is_told_of_every_epoch(solver):
    watcher = Watcher()
    run = fit(make_network(), make_settings(solver=solver), watcher=watcher)
    assert watcher.begun == watcher.ended == len(run.history) == 4


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs"])
def test_the_watcher_can_stop(solver):
    watcher = Watcher(stop_after=2)
    run = fit(make_network(), make_settings(solver=solver), watcher=watcher)
    assert run.reason == "callback"
    assert len(run.history) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "max_iter"),
        ({"learning_rate": "one_cycle"}, "schedule"),
        ({"tol": 1e6, "n_iter_no_change": 1}, "plateau"),
        ({"solver": "lbfgs", "max_iter": 500, "alpha": 5.0}, None),
    ],
)
def test_the_reason_why_it_ended_is_kept(changes, reason):
    assert fit(make_network(), make_settings(**changes)).reason == reason


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs"])
def test_it_is_told_when_there_is_nothing_finite_to_keep(solver):
    network, watcher = make_network(), Watcher()
    network.parameters[0] = np.nan
    run = fit(network, make_settings(solver=solver), watcher=watcher)
    assert run.reason == "diverged"
    assert run.has_learned_nothing
    assert (watcher.begun, watcher.ended + watcher.abandoned) == (1, 1)


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs"])
def test_the_start_is_only_read(solver):
    network = make_network()
    run = fit(network, make_settings(solver=solver))
    np.testing.assert_array_equal(network.parameters, make_network().parameters)
    assert not np.shares_memory(network.parameters, run.network.parameters)


def test_held_out_rows_are_measured_after_every_epoch():
    rows = np.arange(40, 60)
    held_out = Examples(X, y, None).at(rows)
    run = fit(make_network(), make_settings(), held_out=held_out)
    assert len(run.history) == 4
    scores = run.network.decision_function(make_rows(X[rows], np.float64, 20), 20)
    assert run.history[-1].validation_score == (scores.argmax(axis=0) == y[rows]).mean()


@EVERY_NORMALIZATION
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_training_goes_on_from_a_state(solver, normalization):
    settings = make_settings(solver=solver, max_iter=2)
    start = make_network(normalization)
    first = fit(start, settings)
    second = fit(first.network, settings, start=first.state)
    whole = fit(start, make_settings(solver=solver, max_iter=4))
    np.testing.assert_array_equal(second.network.parameters, whole.network.parameters)


@EVERY_NORMALIZATION
@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_training_goes_on_from_the_state_of_every_epoch(solver, ema_decay, normalization):
    settings = make_settings(
        solver=solver, ema_decay=ema_decay, shuffle=True, learning_rate="one_cycle"
    )
    network, watcher = make_network(normalization), Watcher()
    whole = fit(network, settings, watcher=watcher)
    assert len(watcher.states) == 4
    for state in watcher.states:
        run = fit(network, settings, start=state, watcher=Observer())
        np.testing.assert_array_equal(run.network.parameters, whole.network.parameters)
        np.testing.assert_array_equal(run.state.parameters, whole.state.parameters)
        assert run.state.stream == whole.state.stream
        assert [epoch.loss for epoch in run.history] == [epoch.loss for epoch in whole.history]


def test_numpys_error_state_is_left_alone():
    before = np.geterr()
    fit(make_network(), make_settings())
    assert np.geterr() == before


@pytest.mark.parametrize(
    ("changes", "watched"),
    [
        ({}, "loss"),
        ({"learning_rate": "adaptive"}, "loss"),
        ({"learning_rate": "cosine"}, None),
        ({"solver": "lbfgs"}, None),
        ({"early_stopping": True}, "validation_score"),
        ({"early_stopping": True, "learning_rate": "one_cycle"}, "validation_score"),
        ({"early_stopping": True, "solver": "lbfgs"}, "validation_score"),
    ],
)
def test_what_is_watched(changes, watched):
    watcher = Watcher()
    held_out = Examples(X, y, None).at(np.arange(40, 60))
    fit(make_network(), make_settings(**changes), held_out=held_out, watcher=watcher)
    assert watcher.watched == watched
