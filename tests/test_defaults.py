import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import ConvergenceWarning

from skann import ANNClassifier
from skann.defaults import resolve
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES

AUTO = ("auto",) * 6


@given(
    solver=st.sampled_from([*sorted(OPTIMIZERS), "lbfgs"]),
    n_rows=st.integers(1, 10**7),
    n_hidden=st.integers(0, 4),
    schedule=st.sampled_from(sorted(SCHEDULES)),
)
@settings(deadline=None)
def test_automatic_values_can_be_used_whatever_the_data(solver, n_rows, n_hidden, schedule):
    got = resolve(solver, n_rows, n_hidden, SCHEDULES[schedule].has_end, 1.0, *AUTO)
    assert 1 <= got.batch_size <= n_rows
    assert 0 < got.learning_rate_init <= 1
    assert got.max_iter >= 1
    assert [type(value) for value in got] == [float, int, float, int, list, float]
    assert len(got.dropout) == n_hidden


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_given_values_are_kept(solver, schedule):
    given = (0.5, 64, 0.125, 7, [0.2, 0.1], 0.05)
    assert resolve(solver, 1000, 2, SCHEDULES[schedule].has_end, 1.0, *given) == given


def test_a_batch_never_exceeds_the_rows():
    assert resolve("adam", 50, 2, False, 1.0, 0.5, 200, 0.1, 7, 0.0, 0.0).batch_size == 50


def test_lbfgs_takes_all_rows_at_once():
    assert resolve("lbfgs", 12_345, 2, False, 1.0, "auto", 64, *["auto"] * 4).batch_size == 12_345


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_batches_grow_with_the_data(solver):
    sizes = [
        resolve(solver, n_rows, 2, True, 1.0, *AUTO).batch_size for n_rows in (30, 10**3, 10**5)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_epochs_shrink_with_the_data(solver):
    epochs = [
        resolve(solver, n_rows, 2, True, 1.0, *AUTO).max_iter for n_rows in (30, 10**3, 10**5)
    ]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[-1]


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_a_schedule_that_ends_near_zero_has_a_higher_rate(solver):
    peak = resolve(solver, 1000, 2, True, 1.0, *AUTO).learning_rate_init
    assert peak > resolve(solver, 1000, 2, False, 1.0, *AUTO).learning_rate_init


def test_lbfgs_minimises_the_loss_itself():
    got = resolve("lbfgs", 1000, 2, False, 1.0, *AUTO)
    assert not any(got.dropout)
    assert got.label_smoothing == 0


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "alpha"),
    [(120, 32, 0.4), (455, 64, 0.4), (500, 64, 0.1), (1437, 128, 0.1), (2499, 128, 0.1)]
    + [(2500, 128, 0.05), (9_999, 128, 0.05), (10_000, 256, 0.05), (60_000, 256, 0.05)],
)
def test_batch_and_penalty_by_rows_are_those_of_the_docstring(n_rows, batch_size, alpha):
    got = resolve("adam", n_rows, 2, True, 1.0, *AUTO)
    assert (got.batch_size, got.alpha) == (batch_size, alpha)


@pytest.mark.parametrize(("solver", "follows"), [("adam", True), ("lbfgs", True), ("adamw", False)])
def test_alpha_follows_small_weights_but_not_large_ones(solver, follows):
    alphas = [resolve(solver, 1000, 2, False, weight, *AUTO).alpha for weight in (0.01, 1, 100)]
    assert alphas[1] == alphas[2]
    assert alphas[0] == pytest.approx(alphas[1] * (0.01 if follows else 1))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_boosting_learns(solver):
    X, y = load_breast_cancer(return_X_y=True)
    network = ANNClassifier(solver=solver, input_scaling="standard", max_iter=20, random_state=0)
    with warnings.catch_warnings():
        if solver == "lbfgs":
            warnings.simplefilter("ignore", ConvergenceWarning)  # It needs more iterations.
        boosted = AdaBoostClassifier(network, n_estimators=2, random_state=0).fit(X, y)
        network.fit(X, y)
    assert boosted.score(X, y) > 0.95
    assert boosted.estimators_[0].alpha_ == pytest.approx(network.alpha_ / len(y))


def test_balanced_classes_leave_alpha_as_it_is():
    X, y = load_breast_cancer(return_X_y=True)
    network = ANNClassifier(class_weight="balanced", input_scaling="standard", random_state=0)
    assert network.fit(X, y).alpha_ == pytest.approx(0.1)
