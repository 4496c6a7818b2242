"""Schedules, and going on from what an earlier call left."""

import pickle
import warnings
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier
from skann.defaults import resolve
from skann.engine.schedules import SCHEDULES
from tests.data import KINDS, SOLVERS, STOCHASTIC_SOLVERS, constant_rate, problem, quick

pytestmark = pytest.mark.kernels

X, y = problem()
CLASSES = [0, 1, 2]
# A constant rate warns when its epochs run out, which is what these fits are meant to do.
runs_out = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same_parameters(one, other):
    for mine, theirs in zip(
        [*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


class TestWarmStart:
    @runs_out
    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_two_fits_equal_one_of_twice_the_epochs(self, solver, kind, shuffle):
        X, y = problem(kind)
        settings = {"solver": solver, "shuffle": shuffle, "input_scaling": "standard"}
        twice = constant_rate(warm_start=True, max_iter=3, **settings).fit(X, y).fit(X, y)
        once = constant_rate(max_iter=6, **settings).fit(X, y)
        assert_same_parameters(twice, once)
        assert twice.t_ == once.t_ == 6 * 60
        assert twice.n_iter_ == 3
        assert twice.loss_curve_ == once.loss_curve_[3:]

    @runs_out
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_goes_on_as_well_after_pickling(self, solver):
        model = constant_rate(solver=solver, warm_start=True).fit(X, y)
        loaded = pickle.loads(pickle.dumps(model))
        assert_same_parameters(model.fit(X, y), loaded.fit(X, y))

    @runs_out
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_needs_the_moments(self, solver):
        # A model given the weights alone takes other steps: the state does matter.
        model = constant_rate(solver=solver, warm_start=True, shuffle=False).fit(X, y)
        bare = constant_rate(solver=solver, warm_start=True, shuffle=False).fit(X, y)
        bare._model = replace(bare._model, state=None)
        model.fit(X, y)
        bare.fit(X, y)
        assert np.abs(model.coefs_[0] - bare.coefs_[0]).max() > 0

    @pytest.mark.parametrize("learning_rate", ["one_cycle", "cosine"])
    def test_each_fit_starts_a_new_schedule(self, learning_rate):
        model = quick(learning_rate=learning_rate, warm_start=True, max_iter=4)
        model.fit(X, y)
        first = model.coefs_[0].copy()
        model.fit(X, y)
        assert model.n_iter_ == 4
        assert model.t_ == 8 * 60
        # At the end of a schedule nothing moves any more; a new one moves again.
        assert np.abs(model.coefs_[0] - first).max() > 1e-3

    def test_can_change_settings_in_between(self):
        model = quick(warm_start=True).fit(X, y)
        model.set_params(learning_rate="cosine", learning_rate_init=1e-9, max_iter=2)
        before = model.predict_proba(X)
        model.fit(X, y)
        assert model.n_iter_ == 2
        np.testing.assert_allclose(model.predict_proba(X), before, atol=1e-5)

    def test_can_change_the_solver_in_between(self):
        model = quick(warm_start=True, max_iter=10).fit(X, y)
        loss = model.loss_
        for solver in ("sgd", "lbfgs", "adam"):
            model.set_params(solver=solver, max_iter=3000 if solver == "lbfgs" else 10).fit(X, y)
            assert model.loss_ < 2 * loss

    def test_of_lbfgs_goes_on_from_the_weights(self):
        once = ANNClassifier((4,), solver="lbfgs", random_state=0).fit(X, y)
        warm = clone(once).set_params(warm_start=True).fit(X, y)
        assert warm.n_iter_ == once.n_iter_ > 10
        warm.fit(X, y)
        assert warm.n_iter_ < 0.5 * once.n_iter_
        assert warm.loss_ <= once.loss_

    @pytest.mark.filterwarnings("ignore:Training failed")  # As it should.
    def test_keeps_the_input_scaling_of_the_first_fit(self):
        model = quick(warm_start=True, input_scaling="standard").fit(X, y)
        shift, factor = (array.copy() for array in model._model.scaling[:2])
        model.fit(X * 100, y)
        np.testing.assert_array_equal(model._model.scaling[0], shift)
        np.testing.assert_array_equal(model._model.scaling[1], factor)

    def test_needs_the_same_layers(self):
        model = quick(warm_start=True).fit(X, y)
        model.set_params(hidden_layer_sizes=(9,))
        with pytest.raises(ValueError, match=r"hidden_layer_sizes.*\(4, 9, 3\).*\(4, 8, 3\)"):
            model.fit(X, y)

    def test_needs_the_same_columns(self):
        model = quick(warm_start=True).fit(X, y)
        with pytest.raises(ValueError, match="X has 3 features"):
            model.fit(X[:, :3], y)

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_without_it_every_fit_starts_anew(self, solver):
        max_iter = 3000 if solver == "lbfgs" else 5
        model = quick(solver=solver, max_iter=max_iter).fit(X[:, :3], y).fit(X, y)
        assert_same_parameters(model, quick(solver=solver, max_iter=max_iter).fit(X, y))
        assert model.n_features_in_ == 4

    def test_a_first_fit_ignores_it(self):
        assert_same_parameters(quick(warm_start=True).fit(X, y), quick().fit(X, y))

    def test_after_partial_fit_keeps_the_weights(self):
        model = quick(warm_start=True, max_iter=1, learning_rate="constant")
        model.partial_fit(X, y, CLASSES)
        before = model.coefs_[0].copy()
        model.set_params(learning_rate="cosine", learning_rate_init=1e-9).fit(X, y)
        np.testing.assert_allclose(model.coefs_[0], before, atol=1e-6)


class TestPartialFit:
    @runs_out
    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_repeated_equals_a_fit_at_a_constant_rate(self, solver, kind, shuffle):
        X, y = problem(kind)
        # "auto" is something else of a stream.
        settings = {"solver": solver, "shuffle": shuffle, "alpha": 0.1}
        fitted = constant_rate(max_iter=4, **settings).fit(X, y)
        model = constant_rate(**settings)
        classes = None if kind == "multilabel-indicator" else np.unique(y)
        for _ in range(4):
            model.partial_fit(X, y, classes)
        assert_same_parameters(model, fitted)
        assert model.loss_curve_ == fitted.loss_curve_
        assert model.t_ == fitted.t_ == 4 * 60
        assert model.loss_ == fitted.loss_
        assert model.n_iter_ == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("solver", ["adam", "adamw"])
    @pytest.mark.parametrize("pieces", [[1], [7], [100], [1, 300, 7, 40, 2]], ids=str)
    @pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
    def test_learns_from_a_stream_however_it_is_cut(self, load, pieces, solver):
        X, y = load(return_X_y=True)
        X = StandardScaler().fit_transform(X)
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

        def score(pieces):
            model, sizes, start = ANNClassifier(solver=solver, random_state=0), cycle(pieces), 0
            while start < len(X_train):
                rows = slice(start, start + next(sizes))
                model.partial_fit(X_train[rows], y_train[rows], classes=np.unique(y))
                start = rows.stop
            return model.score(X_test, y_test)

        in_pieces = score(pieces)
        assert in_pieces > score([5_000]) - 0.02
        if pieces == [100]:  # Batches of 32 rows: steps enough in one pass.
            assert in_pieces > 0.7
        if max(pieces) <= 7:  # As many steps as that learn more in one pass.
            assert in_pieces > 0.88

    @pytest.mark.parametrize("n_rows", [1, 7, 60])
    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_has_one_penalty_for_calls_of_any_size(self, solver, n_rows):
        # Without a rate of their own, rows of zeros leave the penalty alone to move the weights.
        model = quick(solver=solver, alpha=2.0, batch_size=16, hidden_layer_sizes=())
        model.partial_fit(np.zeros((n_rows, 4)), [0] * n_rows, CLASSES)
        assert model.batch_size_ == 16
        logits_loss = np.log(3)
        penalty = 0.5 * 2.0 / 16 * (model.coefs_[0] ** 2).sum()
        assert model.loss_ - penalty < logits_loss + 1e-5
        assert model.loss_ > penalty

    @pytest.mark.parametrize(("n_rows", "batch_size"), [(1, 32), (60, 32), (2000, 128)])
    def test_has_the_documented_automatic_settings(self, n_rows, batch_size):
        rows = np.arange(n_rows) % len(X)
        model = ANNClassifier(random_state=0).partial_fit(X[rows], y[rows], CLASSES)
        assert model.batch_size_ == batch_size
        assert model.alpha_ == 0.05 * batch_size / 128
        assert model.beta_2_ == 0.95

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_has_the_documented_rate(self, solver):
        parameters = ANNClassifier(solver=solver, learning_rate="constant").get_params()
        rate = resolve(parameters, 60, 1).learning_rate_init
        assert str(rate) in ANNClassifier.partial_fit.__doc__
        settings = {"solver": solver, "random_state": 0}
        automatic = ANNClassifier((8,), **settings).partial_fit(X, y, CLASSES)
        given = ANNClassifier((8,), learning_rate_init=rate, **settings).partial_fit(X, y, CLASSES)
        assert automatic.learning_rate_init_ == rate
        assert_same_parameters(automatic, given)

    @pytest.mark.parametrize("learning_rate", SCHEDULES)
    def test_is_at_a_constant_rate_whatever_the_schedule(self, learning_rate):
        settings = {"learning_rate_init": 0.01}
        model = quick(learning_rate=learning_rate, **settings)
        constant = quick(learning_rate="constant", **settings)
        for _ in range(3):
            model.partial_fit(X, y, CLASSES)
            constant.partial_fit(X, y, CLASSES)
        assert_same_parameters(model, constant)

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_learns_batch_by_batch(self, solver):
        model = ANNClassifier((16,), solver=solver, learning_rate_init=0.01, random_state=0)
        for _ in range(40):
            for start in range(0, 60, 20):
                model.partial_fit(X[start : start + 20], y[start : start + 20], CLASSES)
        assert model.score(X, y) > 0.85

    def test_sees_classes_that_the_first_rows_lack(self):
        model = quick().partial_fit(X[y == 1], y[y == 1], CLASSES)
        np.testing.assert_array_equal(model.classes_, CLASSES)
        assert model.predict_proba(X).shape == (60, 3)

    def test_takes_string_classes_in_any_order(self):
        names = np.array(["red", "green", "blue"])[y]
        model = quick().partial_fit(X, names, ["red", "green", "blue"])
        np.testing.assert_array_equal(model.classes_, ["blue", "green", "red"])
        model.partial_fit(X, names)
        assert set(model.predict(X)) <= set(names)

    def test_needs_no_classes_after_fit(self):
        model = quick().fit(X, y)
        before = model.coefs_[0].copy()
        model.partial_fit(X, y)
        assert (model.coefs_[0] != before).any()

    def test_goes_on_with_the_loss_curve(self):
        model = quick(max_iter=5).fit(X, y)
        model.partial_fit(X, y)
        assert len(model.loss_curve_) == 6
        assert model.t_ == 6 * 60

    def test_best_loss_is_the_least_of_the_curve(self):
        model = quick(learning_rate_init=0.05)
        for _ in range(8):
            model.partial_fit(X, y, CLASSES)
        model.partial_fit(X, (y + 1) % 3)  # Nothing like what was learned: the loss jumps.
        assert model.loss_ > min(model.loss_curve_)
        assert model.best_loss_ == min(model.loss_curve_)

    def test_warns_of_nothing(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quick().partial_fit(X, y, CLASSES)

    def test_measures_the_input_scaling_on_the_first_rows(self):
        model = quick(input_scaling="maxabs").partial_fit(X[:30], y[:30], CLASSES)
        factor = 1 / np.abs(X[:30]).max(axis=0)
        np.testing.assert_allclose(model._model.scaling[1], factor)
        model.partial_fit(100 * X, y)
        np.testing.assert_allclose(model._model.scaling[1], factor)

    def test_takes_class_weight_dicts(self):
        weighted = quick(class_weight={0: 1, 1: 5, 2: 1}).partial_fit(X, y, CLASSES)
        by_rows = quick().partial_fit(X, y, CLASSES, sample_weight=np.where(y == 1, 5, 1))
        assert_same_parameters(weighted, by_rows)

    def test_takes_class_weight_dicts_for_rows_that_lack_a_class(self):
        model = quick(class_weight={0: 1, 1: 5, 2: 1})
        model.partial_fit(X[y != 1], y[y != 1], CLASSES)
        model.partial_fit(X, y)
        assert model.t_ == 100

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_is_absent_with_lbfgs_alone(self, solver):
        assert hasattr(ANNClassifier(solver=solver), "partial_fit") == (solver != "lbfgs")

    def test_says_why_it_is_absent(self):
        with pytest.raises(AttributeError, match="partial_fit"):
            ANNClassifier(solver="lbfgs").partial_fit(X, y)

    def test_in_another_dtype_than_before(self):
        model = quick().partial_fit(X, y, CLASSES).set_params(dtype="float64")
        model.partial_fit(X, y)
        assert model.predict_proba(X).dtype == np.float64


class TestAveragedWeights:
    SETTINGS = {"ema_decay": 0.99, "alpha": 0.0, "dropout": 0.0, "learning_rate_init": 0.01}

    def losses(self, **changes):
        model = quick(**self.SETTINGS | changes)
        for _ in range(10):
            model.partial_fit(X, y, CLASSES)
        return model.loss_curve_

    def test_do_not_change_what_partial_fit_trains(self):
        assert self.losses() == self.losses(ema_decay=None)

    def test_average_over_the_steps_of_all_calls(self):
        in_calls = quick(**self.SETTINGS)
        for _ in range(10):
            in_calls.partial_fit(X, y, CLASSES)
        at_once = quick(**self.SETTINGS, learning_rate="constant", max_iter=10)
        with pytest.warns(ConvergenceWarning):
            at_once.fit(X, y)
        assert_same_parameters(in_calls, at_once)

    def test_go_on_in_a_warm_start(self):
        settings = self.SETTINGS | {"learning_rate": "constant", "max_iter": 1}
        plain, averaged = (
            quick(warm_start=True, **settings | {"ema_decay": decay}) for decay in (None, 0.99)
        )
        for _ in range(4):
            for model in (plain, averaged):
                with pytest.warns(ConvergenceWarning):
                    model.fit(X, y)
            assert averaged.loss_ == plain.loss_

    def test_that_were_assigned_to_are_gone_on_from(self):
        model = quick(**self.SETTINGS).partial_fit(X, y, CLASSES)
        model.coefs_ = [np.zeros_like(coef) for coef in model.coefs_]
        model.set_params(learning_rate_init=1e-9).partial_fit(X, y)
        assert max(np.abs(coef).max() for coef in model.coefs_) < 1e-3

    def test_survive_pickling_between_calls(self):
        model = quick(**self.SETTINGS)
        copied = quick(**self.SETTINGS)
        for _ in range(3):
            model.partial_fit(X, y, CLASSES)
            copied = pickle.loads(pickle.dumps(copied.partial_fit(X, y, CLASSES)))
        assert_same_parameters(model, copied)


class TestOptimizerState:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_is_not_kept_by_a_plain_fit(self, solver):
        model = quick(solver=solver, max_iter=300).fit(X, y)
        assert model._model.state is None

    def test_is_not_pickled_after_a_plain_fit(self):
        plain = ANNClassifier((128,), max_iter=2, random_state=0).fit(X, y)
        warm = clone(plain).set_params(warm_start=True).fit(X, y)
        parameters = sum(array.nbytes for array in [*plain.coefs_, *plain.intercepts_])
        assert len(pickle.dumps(warm)) - len(pickle.dumps(plain)) > 2 * parameters

    def test_is_dropped_by_a_plain_fit_after_partial_fit(self):
        model = quick().partial_fit(X, y, CLASSES)
        assert model._model.state.optimizer is not None
        model.fit(X, y)
        assert model._model.state is None
        assert_same_parameters(model, quick().fit(X, y))
        assert model.t_ == 5 * 60


class TestHowTrainingEnds:
    @pytest.mark.parametrize("learning_rate", ["one_cycle", "cosine"])
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_a_schedule_with_an_end_is_run_to_it_without_warning(self, solver, learning_rate):
        # Ignores tol: with this one, no epoch is an improvement.
        model = quick(
            solver=solver, learning_rate=learning_rate, tol=1e6, n_iter_no_change=1, max_iter=12
        ).fit(X, y)
        assert model.n_iter_ == model.max_iter_ == 12

    @pytest.mark.parametrize("learning_rate", ["one_cycle", "cosine"])
    def test_early_stopping_ends_a_schedule_all_the_same(self, learning_rate):
        model = quick(
            learning_rate=learning_rate,
            tol=1e6,
            n_iter_no_change=2,
            max_iter=50,
            early_stopping=True,
        ).fit(X, y)
        assert model.n_iter_ == 4

    @pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_schedules_without_end_warn_when_the_epochs_run_out(self, solver, learning_rate):
        model = quick(solver=solver, learning_rate=learning_rate, max_iter=3)
        message = r"Stochastic optimizer: maximum iterations \(3\) reached"
        with pytest.warns(ConvergenceWarning, match=message) as caught:
            model.fit(X, y)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert model.n_iter_ == 3

    @pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
    def test_schedules_without_end_stop_when_the_loss_no_longer_falls(self, learning_rate):
        model = quick(learning_rate=learning_rate, tol=1e6, n_iter_no_change=3, max_iter=50)
        assert model.fit(X, y).n_iter_ == 5

    def test_adaptive_divides_the_rate_by_five_until_it_is_too_small(self):
        model = quick(
            learning_rate="adaptive",
            learning_rate_init=0.01,
            tol=1e6,
            n_iter_no_change=1,
            max_iter=100,
        ).fit(X, y)
        # An improvement on infinity, then a division after every two epochs without: six
        # of them leave a rate below 1e-6, with which two last epochs show no improvement.
        assert 0.01 / 5**6 < 1e-6 < 0.01 / 5**5
        assert model.n_iter_ == 1 + 2 * 6 + 2

    def test_no_patience_at_all_never_stops(self):
        model = quick(learning_rate="constant", n_iter_no_change=np.inf, tol=1e6, max_iter=30)
        with pytest.warns(ConvergenceWarning):
            model.fit(X, y)
        assert model.n_iter_ == 30

    @pytest.mark.parametrize("limit", ["max_iter", "max_fun"])
    def test_lbfgs_warns_when_it_runs_out(self, limit):
        model = ANNClassifier((8,), solver="lbfgs", random_state=0, **{limit: 3})
        with pytest.warns(
            ConvergenceWarning, match=r"lbfgs failed to converge.*max_iter"
        ) as caught:
            model.fit(X, y)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert model.n_iter_ <= 3
