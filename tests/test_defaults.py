import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import ConvergenceWarning

from skann import ANNClassifier
from skann.defaults import Resolved, resolve
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES


def resolved(solver, n_rows, learning_rate="constant", *, n_hidden=2, mean_weight=1.0, **given):
    """Resolve the defaults of the classifier, but for what is given."""
    parameters = ANNClassifier(solver=solver, learning_rate=learning_rate, **given).get_params()
    return resolve(parameters, n_rows, n_hidden, mean_weight)


@given(
    solver=st.sampled_from([*sorted(OPTIMIZERS), "lbfgs"]),
    n_rows=st.integers(1, 10**7),
    n_hidden=st.integers(0, 4),
    schedule=st.sampled_from(sorted(SCHEDULES)),
)
@settings(deadline=None)
def test_automatic_values_can_be_used_whatever_the_data(solver, n_rows, n_hidden, schedule):
    got = resolved(solver, n_rows, schedule, n_hidden=n_hidden)
    assert 1 <= got.batch_size <= n_rows
    assert 0 < got.learning_rate_init <= 1
    assert got.max_iter >= 1
    assert [type(value) for value in got] == [float, int, float, int, list, float, float]
    assert len(got.dropout) == n_hidden


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_given_values_are_kept(solver, schedule):
    given = (0.5, 64, 0.125, 7, [0.2, 0.1], 0.05, 0.9)
    named = dict(zip(Resolved._fields, given, strict=True))
    assert resolved(solver, 1000, schedule, **named) == given


def test_a_batch_never_exceeds_the_rows():
    assert resolved("adam", 50, batch_size=200).batch_size == 50


def test_lbfgs_takes_all_rows_at_once():
    assert resolved("lbfgs", 12_345, batch_size=64).batch_size == 12_345


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_batches_grow_with_the_data(solver):
    sizes = [resolved(solver, n_rows, "one_cycle").batch_size for n_rows in (30, 10**3, 10**5)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_epochs_shrink_with_the_data(solver):
    epochs = [resolved(solver, n_rows, "one_cycle").max_iter for n_rows in (30, 10**3, 10**5)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[-1]


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_a_schedule_that_ends_near_zero_has_a_higher_rate(solver):
    peak = resolved(solver, 1000, "one_cycle").learning_rate_init
    assert peak > resolved(solver, 1000, "constant").learning_rate_init


@pytest.mark.parametrize(("n_rows", "rate"), [(100, 0.015), (9_999, 0.015), (10_000, 0.01)])
def test_with_few_rows_adam_takes_larger_steps_and_forgets_sooner(n_rows, rate):
    assert resolved("adam", n_rows).beta_2 == (0.999 if rate == 0.01 else 0.95)
    assert resolved("adam", n_rows, "one_cycle").learning_rate_init == rate
    assert resolved("adamw", n_rows, "one_cycle").learning_rate_init == 0.01
    assert resolved("adam", n_rows, "constant").learning_rate_init == 0.001


def test_lbfgs_minimises_the_loss_itself():
    got = resolved("lbfgs", 1000)
    assert not any(got.dropout)
    assert got.label_smoothing == 0


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "alpha"),
    [(120, 32, 0.6), (375, 64, 0.6), (500, 64, 0.45), (1500, 128, 0.15), (4500, 128, 0.05)]
    + [(5_000, 128, 0.05), (9_999, 128, 0.05), (10_000, 256, 0.05), (60_000, 256, 0.05)],
)
def test_batch_and_penalty_by_rows_are_those_of_the_docstring(n_rows, batch_size, alpha):
    got = resolved("adam", n_rows, "one_cycle")
    assert (got.batch_size, got.alpha) == (batch_size, alpha)


@pytest.mark.parametrize(("solver", "follows"), [("adam", True), ("lbfgs", True), ("adamw", False)])
def test_alpha_follows_small_weights_but_not_large_ones(solver, follows):
    alphas = [resolved(solver, 1000, mean_weight=weight).alpha for weight in (0.01, 1, 100)]
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
    assert network.fit(X, y).alpha_ == pytest.approx(225 / 569)
