"""scikit-learn's callbacks, ours by the protocol, and Ctrl-C."""

import copy
import signal
import sys
import types
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier
from skann.callbacks import Checkpoint, OptunaPruning
from skann.engine.network import Network
from skann.engine.optimizers import Adam
from skann.engine.run import Observer
from tests.data import KINDS, SOLVERS, STOCHASTIC_SOLVERS, constant_rate, problem, quick

X, y = problem()


class Recorder:
    """Notes what it is told; acts at the end of an epoch if asked."""

    def __init__(self, at_epoch=None, action=None):
        self.at_epoch, self.action = at_epoch, action
        self.events = []
        self.teardowns = 0

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.teardowns += 1

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context):
        self.events.append(("end", context.task_name, context.task_id))
        if context.task_name == "epoch" and context.task_id == self.at_epoch:
            return self.action()
        return None


class DataRecorder(Recorder):
    """Asks for all there is."""

    def __init__(self):
        super().__init__()
        self.begun, self.ended = [], []

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.begun.append((context.task_name, X, y, metadata, fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.ended.append((context.task_name, X, y, metadata, fitted_estimator))


class PropagatedRecorder(Recorder):
    max_propagation_depth = None


def fittable(solver, **changes):
    return quick(solver=solver, **({"max_iter": 3000 if solver == "lbfgs" else 5} | changes))


class TestTasks:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_a_fit_has_a_task_for_every_epoch(self, solver):
        recorder = Recorder()
        model = fittable(solver).set_callbacks(recorder).fit(X, y)
        epochs = [
            (event, "epoch", epoch) for epoch in range(model.n_iter_) for event in ("begin", "end")
        ]
        assert recorder.events == [
            ("setup", "fit"),
            ("begin", "fit", 0),
            *epochs,
            ("end", "fit", 0),
        ]
        assert recorder.teardowns == 1

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_the_fit_announces_its_most_epochs(self, solver):
        class Counter(Recorder):
            def on_fit_task_begin(self, estimator, context):
                if context.task_name == "fit":
                    self.announced = context.max_subtasks

        counter = Counter()
        model = fittable(solver).set_callbacks(counter).fit(X, y)
        assert counter.announced == model.max_iter_ >= model.n_iter_

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_partial_fit_runs_none(self, solver):
        recorder = Recorder()
        fittable(solver).set_callbacks(recorder).partial_fit(X, y, [0, 1, 2])
        assert recorder.events == []
        assert recorder.teardowns == 0

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_callbacks_change_nothing(self, solver):
        watched = fittable(solver).set_callbacks(DataRecorder()).fit(X, y)
        plain = fittable(solver).fit(X, y)
        np.testing.assert_array_equal(watched.predict_proba(X), plain.predict_proba(X))

    def test_every_warm_start_is_a_fit_of_its_own(self):
        recorder = Recorder()
        model = fittable("adam", warm_start=True).set_callbacks(recorder)
        model.fit(X, y)
        model.fit(X, y)
        assert recorder.events.count(("setup", "fit")) == 2
        assert recorder.events.count(("end", "epoch", 4)) == 2

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_nothing_of_them_stays_on_the_model(self, solver):
        recorder = Recorder()
        model = fittable(solver).set_callbacks(recorder).fit(X, y)
        left = {name for name in vars(model) if "callback" in name}
        assert left == {"_skl_callbacks"}


class TestStopping:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_a_callback_that_returns_true_stops_without_warning(self, solver):
        recorder = Recorder(2, lambda: True)
        model = fittable(solver).set_callbacks(recorder).fit(X, y)
        assert model.n_iter_ == len(model.loss_curve_) == 3
        assert recorder.events[-2:] == [("end", "epoch", 2), ("end", "fit", 0)]
        assert recorder.teardowns == 1

    def test_stops_a_schedule_without_end_without_warning(self):
        model = constant_rate().set_callbacks(Recorder(0, lambda: True)).fit(X, y)
        assert model.n_iter_ == 1

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_keeps_the_weights_of_that_epoch(self, solver):
        settings = {"solver": solver, "warm_start": True, "shuffle": False}
        stopped = constant_rate(**settings).set_callbacks(Recorder(2, lambda: True)).fit(X, y)
        with pytest.warns(UserWarning, match="maximum iterations"):
            short = constant_rate(max_iter=3, **settings).fit(X, y)
        np.testing.assert_array_equal(stopped.predict_proba(X), short.predict_proba(X))

    def test_early_stopping_still_restores_the_best(self):
        model = quick(
            early_stopping=True, n_iter_no_change=np.inf, max_iter=40, learning_rate_init=0.05
        )
        model.set_callbacks(Recorder(30, lambda: True)).fit(X, y, X_val=X, y_val=y)
        assert model.score(X, y) == model.best_validation_score_

    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("error", [ZeroDivisionError, StopIteration])
    def test_errors_of_a_callback_come_through_after_the_teardown(self, solver, error):
        def fail():
            raise error("on purpose")

        recorder = Recorder(2, fail)
        with pytest.raises(error, match="on purpose"):
            fittable(solver).set_callbacks(recorder).fit(X, y)
        assert recorder.teardowns == 1

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_a_model_fitted_before_survives_errors_of_a_callback(self, solver):
        def fail():
            raise ZeroDivisionError("on purpose")

        model = fittable(solver, warm_start=True).fit(X, y)
        # From other weights the next epoch moves, also where this solver had converged.
        other = fittable(solver, random_state=7).fit(X, y)
        model.coefs_, model.intercepts_ = other.coefs_, other.intercepts_
        before = model.predict_proba(X)
        model.set_callbacks(Recorder(0, fail))
        with pytest.raises(ZeroDivisionError):
            model.fit(X[:50], y[:50])
        np.testing.assert_array_equal(model.predict_proba(X), before)

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_a_warm_start_goes_on_after_errors_as_if_there_had_been_none(self, solver):
        def fail():
            raise ZeroDivisionError("on purpose")

        model, same = (fittable(solver, warm_start=True).fit(X, y) for _ in range(2))
        model.set_callbacks(Recorder(2, fail))
        with pytest.raises(ZeroDivisionError):
            model.fit(X, y)
        model.set_callbacks().fit(X, y)
        same.fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))
        assert model.t_ == same.t_

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_teardown_happens_after_bad_data(self, solver):
        recorder = Recorder()
        model = fittable(solver).set_callbacks(recorder)
        with pytest.raises(ValueError, match="infinity"):
            model.fit(np.abs(X) * np.inf, y)
        assert recorder.teardowns == recorder.events.count(("setup", "fit"))
        model.fit(X, y)
        assert recorder.teardowns == recorder.events.count(("setup", "fit"))


class TestData:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_metadata_is_none_or_the_sample_weights(self, solver):
        recorder = DataRecorder()
        model = fittable(solver).set_callbacks(recorder).fit(X, y)
        assert all(metadata is None for _, _, _, metadata, _ in recorder.begun + recorder.ended)
        weights = np.linspace(1, 2, 60)
        recorder = DataRecorder()
        model.set_callbacks(recorder).fit(X, y, sample_weight=weights)
        for _, given_X, given_y, metadata, _ in recorder.begun + recorder.ended:
            np.testing.assert_array_equal(given_X, X)
            np.testing.assert_array_equal(given_y, y)
            assert list(metadata) == ["sample_weight"]
            np.testing.assert_array_equal(metadata["sample_weight"], weights)

    def test_sample_weights_are_without_the_class_weights(self):
        recorder = DataRecorder()
        model = quick(class_weight={0: 1, 1: 9, 2: 1}).set_callbacks(recorder)
        model.fit(X, y, sample_weight=np.ones(60))
        for *_, metadata, _ in recorder.ended:
            np.testing.assert_array_equal(metadata["sample_weight"], 1)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_the_fitted_estimator_predicts_as_the_model_did_then(self, solver, kind):
        X, y = problem(kind)
        recorder = DataRecorder()
        model = fittable(solver, dtype="float64").set_callbacks(recorder).fit(X, y)
        epochs = [fitted for name, *_, fitted in recorder.ended if name == "epoch"]
        assert len(epochs) == model.n_iter_
        np.testing.assert_array_equal(epochs[-1].predict_proba(X), model.predict_proba(X))
        # Copies: the earlier ones have not become the last one.
        assert (epochs[0].coefs_[0] != epochs[-1].coefs_[0]).any()
        for epoch, fitted in enumerate(epochs, start=1):
            assert fitted.n_iter_ == epoch
            assert fitted.loss_curve_ == model.loss_curve_[:epoch]
            assert not np.shares_memory(fitted.coefs_[0], model.coefs_[0])
        (whole,) = [fitted for name, *_, fitted in recorder.ended if name == "fit"]
        np.testing.assert_array_equal(whole.predict_proba(X), model.predict_proba(X))
        assert not np.shares_memory(whole.coefs_[0], model.coefs_[0])

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_the_fitted_estimator_of_a_warm_start_is_the_current_one(self, solver):
        model = fittable(solver, warm_start=True).fit(X, y)
        recorder = DataRecorder()
        model.set_callbacks(recorder).fit(X, y)
        epochs = [fitted for name, *_, fitted in recorder.ended if name == "epoch"]
        np.testing.assert_array_equal(epochs[-1].predict_proba(X), model.predict_proba(X))

    def test_the_fitted_estimator_scales_its_input(self):
        recorder = DataRecorder()
        model = quick(input_scaling="standard").set_callbacks(recorder).fit(100 * X + 7, y)
        fitted = recorder.ended[-2][-1]
        np.testing.assert_array_equal(
            fitted.predict_proba(100 * X + 7), model.predict_proba(100 * X + 7)
        )

    def test_the_fitted_estimator_scales_by_this_fit_not_the_last(self):
        recorder = DataRecorder()
        model = quick(input_scaling="standard").fit(X, y).set_callbacks(recorder)
        model.fit(100 * X + 7, y)
        fitted = recorder.ended[-2][-1]
        np.testing.assert_array_equal(
            fitted.predict_proba(100 * X + 7), model.predict_proba(100 * X + 7)
        )

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_no_fitted_estimator_is_built_unless_asked_for(self, solver, monkeypatch):
        def copy(self):
            raise AssertionError("nobody asked")

        monkeypatch.setattr(Network, "copy", copy)
        fittable(solver).set_callbacks(Recorder()).fit(X, y)
        with pytest.raises(AssertionError, match="nobody asked"):
            fittable(solver).set_callbacks(DataRecorder()).fit(X, y)

    def test_validation_history_is_there_epoch_by_epoch(self):
        recorder = DataRecorder()
        model = quick().set_callbacks(recorder).fit(X, y, X_val=X, y_val=y)
        for epoch, (_, *_, fitted) in enumerate(recorder.ended[:-1], start=1):
            assert fitted.validation_scores_ == model.validation_scores_[:epoch]


class TestScoringMonitor:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_scores_every_epoch_the_last_as_the_model(self, solver, kind):
        X, y = problem(kind)
        monitor = ScoringMonitor(scoring="accuracy")
        model = fittable(solver).set_callbacks(monitor).fit(X, y)
        log = monitor.get_logs().data
        epochs = [row for row in log if row["task_name"] == "epoch"]
        assert [row["task_id"] for row in epochs] == list(range(model.n_iter_))
        assert epochs[-1]["accuracy"] == model.score(X, y)
        (whole,) = [row for row in log if row["task_name"] == "fit"]
        assert whole["accuracy"] == model.score(X, y)

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_scores_with_the_sample_weights(self, solver):
        weights = np.linspace(0.1, 5, 60)
        monitor = ScoringMonitor(scoring="neg_log_loss")
        model = fittable(solver).set_callbacks(monitor).fit(X, y, sample_weight=weights)
        expected = -log_loss(y, model.predict_proba(X), sample_weight=weights)
        epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
        assert epochs[-1]["neg_log_loss"] == pytest.approx(expected, rel=1e-6)

    def test_with_early_stopping_the_whole_fit_scores_as_the_best_epoch(self):
        monitor = ScoringMonitor(scoring="accuracy")
        model = quick(early_stopping=True, max_iter=30, learning_rate_init=0.1)
        model.set_callbacks(monitor).fit(X, y)
        (whole,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
        assert whole["accuracy"] == model.score(X, y)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_through_pipeline_and_grid_search(self, n_jobs):
        monitor = ScoringMonitor(scoring="accuracy")
        pipeline = make_pipeline(StandardScaler(), quick(max_iter=3).set_callbacks(monitor))
        grid = {"annclassifier__hidden_layer_sizes": [(4,), (8,)]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs).fit(X, y)
        epochs = [
            row
            for log in monitor.get_logs(select="all")
            for row in log.data
            if row["task_name"] == "epoch"
        ]
        assert len(epochs) == 3 * (2 * 2 + 1)
        assert search.score(X, y) in {row["accuracy"] for row in epochs}


class TestProgressBar:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_shows_the_fit_complete(self, solver, capsys):
        fittable(solver).set_callbacks(ProgressBar()).fit(X, y)
        shown = capsys.readouterr().out
        assert "ANNClassifier - fit" in shown
        if solver != "lbfgs":
            assert "100%" in shown

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_through_pipeline_and_grid_search(self, n_jobs, capfd):
        pipeline = make_pipeline(StandardScaler(), quick(max_iter=3))
        grid = {"annclassifier__hidden_layer_sizes": [(4,), (8,)]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs)
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
        shown = capfd.readouterr().out
        assert "GridSearchCV" in shown
        assert "ANNClassifier" in shown

    def test_tells_a_propagated_callback_of_the_epochs(self):
        recorder = PropagatedRecorder()
        pipeline = make_pipeline(StandardScaler(), quick(max_iter=3))
        pipeline.set_callbacks(recorder).fit(X, y)
        assert [event for event in recorder.events if event[:2] == ("end", "epoch")] == [
            ("end", "epoch", epoch) for epoch in range(3)
        ]
        assert recorder.teardowns == 1
        assert not hasattr(pipeline[-1], "_skl_callbacks")


def test_verbose_prints_a_line_for_each_epoch(capsys):
    quick(verbose=True, max_iter=3).fit(X, y, X_val=X, y_val=y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Iteration 1, loss = ")
    assert "validation score = " in lines[2]
    assert "validation loss = " in lines[2]


@pytest.mark.parametrize("solver", SOLVERS)
def test_is_silent_otherwise(solver, capfd):
    fittable(solver).fit(X, y)
    shown = capfd.readouterr()
    assert shown.out == shown.err == ""


class Trial:
    """As much of an Optuna trial as the callback uses."""

    def __init__(self, prune_at=None):
        self.prune_at, self.reported = prune_at, {}

    def report(self, value, step):
        self.reported[step] = value

    def should_prune(self):
        return max(self.reported) == self.prune_at


class TestOptunaPruning:
    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("metric", ["validation_score", "validation_loss", "loss"])
    def test_reports_every_epoch(self, metric, solver):
        trial = Trial()
        model = fittable(solver).set_callbacks(OptunaPruning(trial, metric=metric))
        model.fit(X, y, X_val=X, y_val=y)
        assert trial.reported == dict(enumerate(epoch[metric] for epoch in model.history_))

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_prunes_with_the_exception_of_optuna(self, solver, monkeypatch):
        class TrialPruned(Exception):  # noqa: N818
            pass

        monkeypatch.setitem(sys.modules, "optuna", types.SimpleNamespace(TrialPruned=TrialPruned))
        trial = Trial(prune_at=2)
        model = fittable(solver).set_callbacks(OptunaPruning(trial, metric="loss"))
        with pytest.raises(TrialPruned, match="Pruned after epoch 3"):
            model.fit(X, y)
        assert list(trial.reported) == [0, 1, 2]

    def test_a_study_prunes(self):
        optuna = pytest.importorskip("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)

        def objective(trial):
            # Two good trials come first, so that the median is good.
            rate = 0.02 if trial.number < 2 else 1e-6
            model = quick(learning_rate_init=rate, max_iter=10, early_stopping=True)
            model.set_callbacks(OptunaPruning(trial)).fit(X, y)
            return model.best_validation_score_

        pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=3)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.optimize(objective, n_trials=3)
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
        assert list(study.trials[2].intermediate_values) == [0, 1, 2, 3]

    def test_without_validation_data_it_says_what_to_do(self):
        model = quick().set_callbacks(OptunaPruning(Trial()))
        with pytest.raises(ValueError, match="needs validation data. Pass X_val"):
            model.fit(X, y)

    def test_there_must_be_such_a_metric(self):
        with pytest.raises(ValueError, match=r"metric must be one of .*; got 'accuracy'"):
            OptunaPruning(Trial(), metric="accuracy")

    def test_an_epoch_that_ctrl_c_has_cut_short_is_not_reported(self, monkeypatch):
        step = Adam.step
        steps = iter(range(100))

        def interrupted(self, rate, decay):
            if next(steps) == 10:
                raise KeyboardInterrupt
            step(self, rate, decay)

        monkeypatch.setattr(Adam, "step", interrupted)
        trial = Trial()
        model = quick().set_callbacks(OptunaPruning(trial, metric="loss"))
        fit_until_ctrl_c(model)
        assert list(trial.reported) == [0, 1]


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


class EarlyCtrlC(Recorder):
    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch":
            press_ctrl_c()


def fit_until_ctrl_c(model, **more):
    """Return the warnings of a fit that Ctrl-C ends."""
    message = "Training interrupted by user"
    with pytest.warns(UserWarning, match=message) as caught, pytest.raises(KeyboardInterrupt):
        model.fit(X, y, **more)
    return caught


class TestInterrupt:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_keeps_what_was_learned_and_warns(self, solver, dtype):
        recorder = Recorder(2, press_ctrl_c)
        model = fittable(solver, dtype=dtype).set_callbacks(recorder)
        (warning,) = fit_until_ctrl_c(model)
        assert warning.filename == __file__
        assert model.n_iter_ == 3
        stopped = fittable(solver, dtype=dtype).set_callbacks(Recorder(2, lambda: True)).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), stopped.predict_proba(X))
        assert recorder.teardowns == 1

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_before_the_first_epoch_has_ended_leaves_an_unfitted_model_unfitted(self, solver):
        recorder = EarlyCtrlC()
        model = fittable(solver).set_callbacks(recorder)
        before = vars(model).copy()
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert vars(model).keys() == before.keys()
        assert recorder.teardowns == 1

    @pytest.mark.parametrize("warm_start", [False, True])
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_before_the_first_epoch_has_ended_leaves_a_fitted_model_as_it_was(
        self, solver, warm_start
    ):
        model = fittable(solver, warm_start=warm_start, input_scaling="standard").fit(X, y)
        proba = model.predict_proba(X)
        model.set_callbacks(EarlyCtrlC())
        before = vars(model).copy()
        model.alpha = 0.3
        with pytest.raises(KeyboardInterrupt):
            model.fit(X if warm_start else 3 * X[:, :3], y)
        model.alpha = before["alpha"]
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
        np.testing.assert_array_equal(model.predict_proba(X), proba)

    def test_whose_warning_is_an_error_is_still_ctrl_c(self):
        model = quick().set_callbacks(Recorder(2, press_ctrl_c))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, y)
        assert model.n_iter_ == 3

    @pytest.mark.parametrize("n_epochs", [1, 3])
    def test_after_steps_that_diverged_is_still_ctrl_c(self, n_epochs, monkeypatch):
        def diverge(self, rate, decay):
            for block in self._blocks:
                block.parameters[...] = np.inf
            raise KeyboardInterrupt

        def break_steps():
            monkeypatch.setattr(Adam, "step", diverge)

        model = quick().set_callbacks(Recorder(n_epochs - 1, break_steps))
        if n_epochs == 1:
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, y)
            assert not hasattr(model, "n_iter_")
        else:
            fit_until_ctrl_c(model)
            assert np.isfinite(model.predict_proba(X)).all()

    def test_ends_the_task_of_the_fit(self):
        recorder = Recorder(2, press_ctrl_c)
        fit_until_ctrl_c(quick().set_callbacks(recorder))
        assert recorder.events[-2:] == [("end", "epoch", 2), ("end", "fit", 0)]

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_leaves_a_model_that_can_be_fitted_again(self, solver):
        model = fittable(solver).set_callbacks(Recorder(0, press_ctrl_c))
        fit_until_ctrl_c(model)
        again = model.set_callbacks().fit(X, y)
        fresh = fittable(solver).fit(X, y)
        np.testing.assert_array_equal(again.predict_proba(X), fresh.predict_proba(X))

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_a_warm_start_goes_on_from_there(self, solver):
        model = constant_rate(solver=solver, warm_start=True, max_iter=6)
        model.set_callbacks(Recorder(2, press_ctrl_c))
        fit_until_ctrl_c(model)
        model.set_callbacks().set_params(max_iter=3)
        whole = constant_rate(solver=solver, max_iter=6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
            whole.fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))

    def test_with_early_stopping_restores_the_best(self):
        model = quick(
            early_stopping=True, n_iter_no_change=np.inf, max_iter=60, learning_rate_init=0.1
        )
        model.set_callbacks(Recorder(40, press_ctrl_c))
        fit_until_ctrl_c(model, X_val=X, y_val=y)
        assert model.score(X, y) == model.best_validation_score_ == max(model.validation_scores_)

    @pytest.mark.parametrize("is_fitted", [False, True])
    def test_amid_partial_fit_leaves_the_model_as_it_was(self, is_fitted, monkeypatch):
        model = quick(batch_size=4)
        if is_fitted:
            model.partial_fit(X, y, [0, 1, 2])
            state = copy.deepcopy(vars(model._model.state))
        before = vars(model).copy()
        steps = iter(range(100))
        step = Adam.step

        def interrupted(self, rate, decay):
            if next(steps) == 3:
                raise KeyboardInterrupt
            step(self, rate, decay)

        with monkeypatch.context() as patch:
            patch.setattr(Adam, "step", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.partial_fit(X, y, [0, 1, 2])
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
        if is_fitted:
            np.testing.assert_equal(vars(model._model.state), state)

    def test_after_the_rows_of_partial_fit_keeps_what_was_learned(self, monkeypatch):
        whole = quick().partial_fit(X, y, [0, 1, 2])
        monkeypatch.setattr(Observer, "end_epoch", lambda *_: press_ctrl_c())
        model = quick()
        message = "Training interrupted by user"
        with pytest.warns(UserWarning, match=message) as caught, pytest.raises(KeyboardInterrupt):
            model.partial_fit(X, y, [0, 1, 2])
        assert [warning.filename for warning in caught] == [__file__]
        assert model.t_ == len(X)
        np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))

    @pytest.mark.parametrize("at_epoch", [0, 3])
    def test_in_resume_keeps_what_the_file_and_later_epochs_have_learned(self, at_epoch, tmp_path):
        path = tmp_path / "fit.npz"
        model = quick()
        fit_until_ctrl_c(model.set_callbacks(Checkpoint(path), Recorder(2, press_ctrl_c)))
        resumed = quick().set_callbacks(Recorder(at_epoch, press_ctrl_c))
        if at_epoch == 0:
            resumed.set_callbacks(EarlyCtrlC())
        with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
            resumed.resume(path, X, y)
        assert resumed.n_iter_ == {0: 3, 3: 4}[at_epoch]
        assert np.isfinite(resumed.predict_proba(X)).all()


def test_a_clone_shares_the_callbacks():
    recorder = Recorder()
    clone(ANNClassifier((4,), max_iter=1).set_callbacks(recorder)).fit(X, y)
    assert recorder.events[0] == ("setup", "fit")
