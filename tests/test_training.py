"""The epoch loop on small networks, without scikit-learn in between."""

import numpy as np
import pytest

from skann.engine.backpropagation import Backpropagation
from skann.engine.batches import Batches, Examples
from skann.engine.fitting import Settings, chunk_rows, fit_network
from skann.engine.losses import LOSSES
from skann.engine.network import Architecture, Network
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES
from skann.engine.training import DivergenceError
from tests.data import problem

X, y = problem()
ARCHITECTURE = Architecture((4, 6, 3), ("tanh",))


class Watcher:
    """Counts, and does what it is told at the end of an epoch."""

    def __init__(self, stop_after=None):
        self.begun = self.ended = self.abandoned = 0
        self.stop_after = stop_after

    def begin_training(self, training):
        self.training = training

    def begin_epoch(self):
        self.begun += 1

    def end_epoch(self, network, stopping):
        self.ended += 1
        assert len(stopping.history) <= self.ended
        return self.ended == self.stop_after

    def abandon_epoch(self):
        self.abandoned += 1


def make_settings(**changes):
    settings = {
        "solver": "sgd",
        "alpha": 0.1,
        "batch_size": 16,
        "learning_rate": "constant",
        "learning_rate_init": 0.1,
        "power_t": 0.5,
        "max_iter": 4,
        "shuffle": False,
        "tol": 0.0,
        "momentum": 0.9,
        "nesterovs_momentum": True,
        "early_stopping": False,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "n_iter_no_change": 100,
        "max_fun": 1000,
        "loss": "multiclass",
        "warmup": 0.0,
        "dropout": (0.0,),
        "input_dropout": 0.0,
        "input_noise": 0.0,
        "label_smoothing": 0.0,
        "max_norm": None,
        "gradient_clip_norm": None,
        "ema_decay": None,
    }
    return Settings(**(settings | changes))


def make_network(dtype=np.float64):
    return Network.random(ARCHITECTURE, dtype, np.random.default_rng(0))


def fit(network, settings, *, weights=None, held_out=None, state=None, watcher=None, seed=0):
    return fit_network(
        network,
        Examples(X, y, weights),
        held_out,
        None,
        settings,
        np.random.default_rng(seed),
        state,
        watcher or Watcher(),
    )


def objective(network, alpha, weights=None, divisor=60.0):
    """Loss of all rows with the penalty."""
    loss = LOSSES["multiclass"](3, 60, np.float64)
    value = Backpropagation(network, 60).run(X, y, weights, divisor, loss)
    weights = network.weights
    return value + 0.5 * alpha * float(weights @ weights) / divisor


@pytest.mark.parametrize("learning_rate", SCHEDULES)
@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_those_of_a_plain_loop(solver, learning_rate, weighted):
    settings = make_settings(solver=solver, learning_rate=learning_rate)
    weights = np.linspace(0, 2, 60) if weighted else None
    mean_weight = 1.0 if weights is None else weights.mean()
    network, expected = make_network(), make_network()
    fit(network, settings, weights=weights)
    backpropagation = Backpropagation(expected, 16)
    optimizer = OPTIMIZERS[solver](
        expected.parameters,
        backpropagation.gradient,
        expected.weights.size,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
    )
    loss = LOSSES["multiclass"](3, 16, np.float64)
    step = 0
    for _ in range(4):
        for start in range(0, 60, 16):
            rows = slice(start, min(start + 16, 60))
            divisor = len(y[rows]) * mean_weight
            row_weights = None if weights is None else weights[rows]
            backpropagation.run(X[rows], y[rows], row_weights, divisor, loss)
            factor = SCHEDULES[learning_rate].factor(
                step, n_steps=16, steps_per_epoch=4, rows_per_epoch=60, power_t=0.5
            )
            decay = 0.1 if optimizer.decouples_decay else 0.1 / (16 * mean_weight)
            optimizer.step(0.1 * factor, decay)
            step += 1
    np.testing.assert_allclose(network.parameters, expected.parameters, rtol=1e-9, atol=1e-12)


def test_the_loss_of_an_epoch_of_one_batch_is_the_objective_before_its_step():
    settings = make_settings(batch_size=60, alpha=0.0, max_iter=3, shuffle=True)
    network = make_network()
    before = objective(network, 0.0)
    outcome = fit(network, settings)
    assert outcome.stopping.history[0].loss == pytest.approx(before, rel=1e-12)
    assert outcome.stopping.history[-1].loss < before


@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_minimises_the_objective_with_its_penalty(weighted):
    weights = np.linspace(0, 2, 60) if weighted else None
    divisor = 60.0 if weights is None else weights.sum()
    network = make_network()
    settings = make_settings(solver="lbfgs", alpha=2.0, max_iter=500, tol=1e-8)
    outcome = fit(network, settings, weights=weights)
    assert outcome.message == ""
    assert outcome.optimizer_state is None
    best = objective(network, 2.0, weights, divisor)
    assert outcome.stopping.history[-1].loss == pytest.approx(best, rel=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = network.copy()
        other.parameters[...] += 0.01 * rng.standard_normal(other.parameters.size)
        assert objective(other, 2.0, weights, divisor) > best


def test_lbfgs_in_chunks_equals_all_rows_at_once(monkeypatch):
    results = []
    for rows in (60, 7):
        monkeypatch.setattr("skann.engine.fitting.chunk_rows", lambda _, rows=rows: rows)
        network = make_network()
        fit(network, make_settings(solver="lbfgs", max_iter=8, alpha=1.0))
        results.append(network.parameters.copy())
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs"])
def test_the_watcher_is_told_of_every_epoch(solver):
    watcher = Watcher()
    outcome = fit(make_network(), make_settings(solver=solver), watcher=watcher)
    assert watcher.begun == watcher.ended == len(outcome.stopping.history) == 4


@pytest.mark.parametrize("solver", [*OPTIMIZERS, "lbfgs"])
def test_the_watcher_can_stop(solver):
    watcher = Watcher(stop_after=2)
    outcome = fit(make_network(), make_settings(solver=solver), watcher=watcher)
    assert outcome.stopping.reason == "callback"
    assert len(outcome.stopping.history) == 2


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
    assert fit(make_network(), make_settings(**changes)).stopping.reason == reason


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_nothing_finite_to_keep_raises(solver):
    network = make_network()
    network.parameters[0] = np.nan
    with pytest.raises(DivergenceError):
        fit(network, make_settings(solver=solver))


def test_held_out_rows_are_measured_after_every_epoch():
    network = make_network()
    rows = np.arange(40, 60)
    held_out = Examples(X, y, None).at(rows)
    stopping = fit(network, make_settings(), held_out=held_out).stopping
    assert len(stopping.history) == 4
    scores = network.decision_function(Batches(held_out, 20, np.float64, None)._rows, 20)
    assert stopping.history[-1].validation_score == (scores.argmax(axis=0) == y[rows]).mean()


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_training_goes_on_from_a_state(solver):
    settings = make_settings(solver=solver, max_iter=2)
    network, whole = make_network(), make_network()
    state = fit(network, settings).optimizer_state
    fit(network, settings, state=state)
    fit(whole, make_settings(solver=solver, max_iter=4))
    np.testing.assert_array_equal(network.parameters, whole.parameters)


def test_numpys_error_state_is_left_alone():
    before = np.geterr()
    fit(make_network(), make_settings())
    assert np.geterr() == before


@pytest.mark.parametrize("n_features", [1, 784, 10**7])
def test_chunks_have_rows_however_wide(n_features):
    assert 32 <= chunk_rows(n_features) <= 10**6


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
    assert make_settings(**changes).watch() == watched
