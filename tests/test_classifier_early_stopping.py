"""What is held out, what is watched, which weights are kept."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss

from tests.data import KINDS, SOLVERS, STOCHASTIC_SOLVERS, problem, quick

X, y = problem(n_rows=120)
X_val, y_val = problem(n_rows=150, seed=0)[0][120:], problem(n_rows=150, seed=0)[1][120:]


def jumpy(solver="adam", **changes):
    """Train at a rate so high that the last epoch is seldom the best."""
    settings = {"max_iter": 3000} if solver == "lbfgs" else {"max_iter": 25}
    settings |= {"learning_rate_init": 0.5}
    return quick(solver=solver, n_iter_no_change=np.inf, **(settings | changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_restores_the_weights_of_the_best_epoch(solver, kind):
    X, y = problem(kind, n_rows=120)
    train, rest = slice(90), slice(90, None)
    model = jumpy(solver, early_stopping=True)
    model.fit(X[train], y[train], X_val=X[rest], y_val=y[rest])
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.score(X[rest], y[rest]) == pytest.approx(model.best_validation_score_)


def test_the_best_epoch_is_not_always_the_last():
    # Otherwise the test above would show nothing.
    model = jumpy(early_stopping=True).fit(X[:90], y[:90], X_val=X[90:], y_val=y[90:])
    assert model.validation_scores_[-1] < model.best_validation_score_


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_early_stopping_curves_are_recorded_and_nothing_else_changes(solver):
    # No epoch ends the fit, though with no patience for scores that do not rise by as much as
    # tol; and no weights are put back.
    model = quick(solver=solver, max_iter=12, tol=10.0, n_iter_no_change=1)
    if solver == "lbfgs":
        model.set_params(max_iter=3000, tol=1e-4)
    watched = clone(model).fit(X, y, X_val=X_val, y_val=y_val)
    plain = clone(model).fit(X, y)
    np.testing.assert_array_equal(watched.predict_proba(X), plain.predict_proba(X))
    assert watched.n_iter_ == plain.n_iter_
    assert watched.loss_curve_ == plain.loss_curve_
    assert len(watched.validation_scores_) == watched.n_iter_
    assert len(watched.validation_loss_curve_) == watched.n_iter_
    assert watched.best_validation_score_ == max(watched.validation_scores_)
    assert watched.best_loss_ == min(watched.loss_curve_)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_curves_end_with_score_and_loss_of_the_model(kind, weighted):
    X, y = problem(kind, n_rows=120)
    train, rest = slice(90), slice(90, None)
    weights = np.linspace(0, 5, 30) if weighted else None
    model = quick(dtype="float64", alpha=5.0).fit(
        X[train], y[train], X_val=X[rest], y_val=y[rest], sample_weight_val=weights
    )
    score = model.score(X[rest], y[rest], weights)
    assert model.validation_scores_[-1] == pytest.approx(score)
    probabilities = model.predict_proba(X[rest])
    if kind == "multilabel-indicator":
        # The sum over the labels, as in training, and never the penalty.
        loss = sum(
            log_loss(y[rest][:, label], probabilities[:, label], sample_weight=weights)
            for label in range(3)
        )
    else:
        loss = log_loss(y[rest], probabilities, sample_weight=weights)
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-9)


def test_without_validation_data_there_are_no_curves():
    model = quick().fit(X, y)
    assert model.validation_scores_ is None
    assert model.validation_loss_curve_ is None
    assert model.best_validation_score_ is None
    assert model.best_loss_ == min(model.loss_curve_)


def test_curves_of_an_earlier_fit_are_forgotten():
    model = quick().fit(X, y, X_val=X_val, y_val=y_val).fit(X, y)
    assert model.validation_scores_ is None


def test_with_early_stopping_there_is_no_best_loss():
    assert quick(early_stopping=True).fit(X, y).best_loss_ is None


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
@pytest.mark.parametrize("patience", [1, 4])
def test_stops_after_so_many_epochs_without_a_better_score(solver, patience):
    model = quick(
        solver=solver, early_stopping=True, n_iter_no_change=patience, max_iter=300, tol=0.01
    ).fit(X, y)
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 300
    best, waited = -np.inf, 0
    for epoch, score in enumerate(scores, start=1):
        waited = 0 if score >= best + 0.01 else waited + 1
        best = max(score, best)
        assert (waited > patience) == (epoch == len(scores))


def test_of_lbfgs_stops_as_well():
    model = quick(solver="lbfgs", early_stopping=True, n_iter_no_change=1, max_iter=500, tol=0.5)
    assert model.fit(X, y).n_iter_ <= 5


def test_a_split_takes_the_fraction_and_trains_on_the_rest():
    model = quick(early_stopping=True, validation_fraction=0.25, max_iter=4).fit(X, y)
    assert model.t_ == model.n_iter_ * 90
    given = quick(early_stopping=True, validation_fraction=0.25, max_iter=4)
    given.fit(X, y, X_val=X_val, y_val=y_val)
    assert given.t_ == given.n_iter_ * 120


def test_a_rare_class_is_on_both_sides_of_the_split():
    # 6 of 120 rows: an unstratified tenth lacks them every other time.
    rare = np.zeros(120, int)
    rare[:6] = 1
    for seed in range(10):
        model = quick(
            hidden_layer_sizes=(),
            early_stopping=True,
            validation_fraction=1 / 6,
            max_iter=2,
            random_state=seed,
        )
        model.fit(np.ones((120, 1)), rare)
        # A constant guess of the common class is right for all but the one rare row of 20.
        assert model.validation_scores_[-1] in (pytest.approx(0.95), pytest.approx(0.05))


def test_sample_weights_follow_their_rows_into_the_split():
    # Rows of weight zero have wrong labels: neither learned from nor counted in the score.
    weights = np.tile([1.0, 1.0, 0.0], 40)
    wrong = np.where(weights == 0, (y + 1) % 3, y)
    model = quick(early_stopping=True, max_iter=40, learning_rate_init=0.05)
    model.fit(X, wrong, sample_weight=weights)
    assert model.best_validation_score_ > 0.8
    assert model.score(X, y) > 0.8


def test_class_weights_count_in_the_split_and_in_given_validation_data():
    class_weight = {0: 1, 1: 0, 2: 1}
    model = quick(early_stopping=True, class_weight=class_weight, max_iter=40)
    model.set_params(learning_rate_init=0.05).fit(X, y)
    # No row of class 1 counts, in training or in the score.
    assert model.best_validation_score_ > 0.9


@pytest.mark.parametrize("solver", SOLVERS)
def test_validation_data_changes_neither_dtype_nor_layout_of_anything(solver):
    settings = {"max_iter": 3000} if solver == "lbfgs" else {}
    model = quick(solver=solver, early_stopping=True, **settings)
    given = model.fit(X, y, X_val=np.asfortranarray(X_val), y_val=y_val).predict_proba(X)
    same = clone(model).fit(X, y, X_val=X_val.tolist(), y_val=y_val.tolist()).predict_proba(X)
    np.testing.assert_array_equal(given, same)


def test_y_val_may_lack_a_class():
    rows = y_val != 1
    model = quick().fit(X, y, X_val=X_val[rows], y_val=y_val[rows])
    assert model.validation_scores_[-1] == model.score(X_val[rows], y_val[rows])


def test_a_warm_start_records_this_call_only():
    model = quick(warm_start=True, early_stopping=True, max_iter=4).fit(X, y).fit(X, y)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_ <= 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_the_scale_of_validation_weights_may_be_beyond_the_computing_dtype(kind, scale):
    X, y = problem(kind, n_rows=120)
    weights = np.linspace(0, 3, 30)
    curves = [
        quick()
        .fit(X[:90], y[:90], X_val=X[90:], y_val=y[90:], sample_weight_val=factor * weights)
        .validation_loss_curve_
        for factor in (1, scale)
    ]
    np.testing.assert_allclose(*curves, rtol=1e-5)
