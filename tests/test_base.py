"""What a fit leaves on an estimator, and what a fit that fails leaves as it was."""

import copy
import pickle
import re
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier, find_learning_rate
from skann.callbacks import Checkpoint
from skann.engine.optimizers import Adam
from tests.data import SOLVERS, STOCHASTIC_SOLVERS, problem, quick
from tests.results import assert_same, results

X, y = problem()
CLASSES = [0, 1, 2]
WEIGHTS = np.linspace(0.1, 3, 60)


class Act:
    """Does something when a task begins or ends."""

    def __init__(self, when, action):
        self.when, self.action = when, action
        self.n_teardowns = 0

    def setup(self, estimator, context):
        self._act("setup")

    def teardown(self, estimator, context):
        self.n_teardowns += 1

    def on_fit_task_begin(self, estimator, context):
        self._act("begin", context.task_name, context.task_id)

    def on_fit_task_end(self, estimator, context):
        self._act("end", context.task_name, context.task_id)

    def _act(self, *event):
        if event == self.when:
            self.action()


class KeepFitted(Act):
    """Keeps the estimators of the epochs and of the fit."""

    def __init__(self):
        super().__init__((), None)
        self.epochs, self.whole = [], None

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            self.epochs.append(fitted_estimator)
        else:
            self.whole = fitted_estimator


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def fail():
    raise ZeroDivisionError("on purpose")


def documented_attributes():
    text = ANNClassifier.__doc__
    section = text[text.index("    Attributes\n") :]
    section = section[: section.index("    See Also\n")] if "    See Also\n" in section else section
    section = re.split(r"\n    \w[\w ]*\n    -+\n", section.split("----------\n", 1)[1])[0]
    return set(re.findall(r"^    (\w+_) : ", section, re.MULTILINE))


def test_the_documented_attributes_are_found():
    names = documented_attributes()
    assert {"classes_", "coefs_", "n_features_in_", "t_", "history_", "max_iter_"} <= names


def without_warnings(method, *args, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method(*args, **more)


def fitted_plainly(path):
    return quick().fit(X, y)


def fitted_with_scaling(path):
    return quick(input_scaling="standard", input_clip=3.0).fit(X, y)


def fitted_by_lbfgs(path):
    return quick(solver="lbfgs", max_iter=300).fit(X, y)


def fitted_by_sgd(path):
    return quick(solver="sgd").fit(X, y, WEIGHTS)


def fitted_to_a_table(path):
    return quick().fit(pd.DataFrame(X, columns=list("abcd")), y)


def fitted_to_sparse_rows(path):
    return quick(input_scaling="maxabs").fit(sparse.csr_array(X), y)


def fitted_to_labels(path):
    return quick(normalization="batch").fit(*problem("multilabel-indicator"))


def fitted_with_validation_data(path):
    return quick(scoring="f1_macro").fit(X, y, X_val=X[:20], y_val=y[:20])


def stopped_early(path):
    return quick(early_stopping=True, n_iter_no_change=1, max_iter=30, ema_decay=0.5).fit(X, y)


def stopped_early_by_a_metric(path):
    return quick(early_stopping=True, scoring="neg_log_loss", warm_start=True).fit(X, y)


def warm_started(path):
    return quick(warm_start=True, ema_decay=0.9).fit(X, y).fit(X, y)


def warm_started_by_lbfgs(path):
    return quick(warm_start=True, solver="lbfgs", max_iter=300).fit(X, y).fit(X, y)


def streamed(path):
    return quick(ema_decay=0.9).partial_fit(X, y, CLASSES).partial_fit(X, y)


def streamed_after_a_fit(path):
    return quick().fit(X, y).partial_fit(X, y)


def fitted_after_a_stream(path):
    return quick().partial_fit(X, y, CLASSES).fit(X, y)


def resumed(path):
    model = quick(early_stopping=True).set_callbacks(
        Checkpoint(path), Act(("begin", "epoch", 2), fail)
    )
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y)
    return clone(model).set_callbacks().resume(path, X, y)


def resumed_with_callbacks(path):
    quick().set_callbacks(Checkpoint(path)).fit(X, y)
    return quick().set_callbacks(KeepFitted(), Checkpoint(path)).resume(path, X, y)


def interrupted(path):
    model = quick().set_callbacks(Act(("end", "epoch", 2), press_ctrl_c))
    with pytest.raises(KeyboardInterrupt):
        without_warnings(model.fit, X, y)
    return model.set_callbacks()


def diverged(path):
    model = quick(learning_rate=lambda step: 1.0 if step < 12 else 1e200, dtype="float64")
    return without_warnings(model.fit, X, y)


WAYS = [
    fitted_plainly,
    fitted_with_scaling,
    fitted_by_lbfgs,
    fitted_by_sgd,
    fitted_to_a_table,
    fitted_to_sparse_rows,
    fitted_to_labels,
    fitted_with_validation_data,
    stopped_early,
    stopped_early_by_a_metric,
    warm_started,
    warm_started_by_lbfgs,
    streamed,
    streamed_after_a_fit,
    fitted_after_a_stream,
    resumed,
    resumed_with_callbacks,
    interrupted,
    diverged,
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.npz"


class TestAttributes:
    def assert_only_documented(self, model):
        allowed = set(model.get_params()) | documented_attributes() | {"_model", "_skl_callbacks"}
        assert vars(model).keys() - allowed == set()

    @ways
    def test_of_a_fitted_estimator_are_those_documented(self, way, path):
        model = way(path)
        self.assert_only_documented(model)
        for name in documented_attributes() - {"feature_names_in_"}:
            assert hasattr(model, name), name

    @ways
    def test_are_the_same_in_a_copy(self, way, path):
        model = way(path)
        callbacks = {"_skl_callbacks"}
        model.set_callbacks()
        model.set_params(learning_rate="one_cycle")  # One was a lambda, which has no pickle.
        for copied in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
            assert vars(copied).keys() == vars(model).keys() - callbacks
            assert_same(results(copied), results(model))

    @ways
    def test_do_not_stay_on_a_clone(self, way, path):
        model = clone(way(path))
        assert vars(model).keys() - {"_skl_callbacks"} == vars(quick()).keys()

    def test_of_a_first_fit_that_failed_are_those_of_before(self):
        for action, error in ((fail, ZeroDivisionError), (press_ctrl_c, KeyboardInterrupt)):
            model = quick().set_callbacks(Act(("begin", "epoch", 0), action))
            before = vars(model).copy()
            with pytest.raises(error):
                model.fit(X, y)
            assert vars(model) == before

    def test_of_the_estimators_that_callbacks_get(self):
        keep = KeepFitted()
        quick(early_stopping=True, scoring="f1_macro").set_callbacks(keep).fit(X, y)
        scikit_learns = {"_callback_fit_ctx", "_skl_callbacks_to_teardown"}
        for fitted in [*keep.epochs, keep.whole]:
            for name in scikit_learns:
                del fitted.__dict__[name]
            self.assert_only_documented(fitted)

    def test_within_a_pipeline_and_a_search(self):
        pipeline = make_pipeline(StandardScaler(), quick())
        pipeline.set_callbacks(ProgressBar(max_propagation_depth=None))
        search = GridSearchCV(pipeline, {"annclassifier__alpha": [0.1, 0.2]}, cv=2)
        self.assert_only_documented(pipeline.fit(X, y)[-1])
        pipeline.set_callbacks()
        search.set_callbacks(ProgressBar(max_propagation_depth=None))
        self.assert_only_documented(search.fit(X, y).best_estimator_[-1])

    def test_are_untouched_by_the_range_test_for_the_rate(self):
        model = warm_started(None)
        before = vars(model).copy()
        find_learning_rate(model, X, y)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())


def infinity(model):
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.where(X > 1, np.inf, X)[:, :3] if not model.warm_start else X * np.inf, y)


def other_number_of_features(model):
    # Without a warm start such rows may come, but not with labels of another length.
    with pytest.raises(ValueError, match=r"X has 3 features|inconsistent numbers of samples"):
        model.fit(X[:, :3], y if model.warm_start else y[:-1])


def names_without_labels(model):
    with pytest.raises(ValueError, match=r"NaN|feature names"):
        model.fit(pd.DataFrame(X, columns=list("efgh")), np.full(60, np.nan))


def bad_validation_data(model):
    with pytest.raises(ValueError, match="X_val, y_val and sample_weight_val cannot be used"):
        model.fit(X, y, X_val=X[:, :3], y_val=y)


def bad_parameter(model):
    with pytest.raises(ValueError, match="beta_1"):
        model.set_params(beta_1=2.0).fit(X, y)


def too_large_a_network(model):
    with pytest.raises((MemoryError, ValueError), match="hidden_layer_sizes"):
        model.set_params(hidden_layer_sizes=(10**9, 10**9)).fit(X, y)


def divergence_at_once(model):
    model.set_params(solver="sgd", learning_rate_init=1e38, learning_rate="constant")
    with pytest.raises(ValueError, match=r"Training diverged.*Nothing was learned"):
        model.fit(X, y)


def error_in_scoring(model):
    def score(estimator, X, y):
        raise ZeroDivisionError("on purpose")

    model.set_params(scoring=score)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y, X_val=X, y_val=y)


def error_in_schedule(model):
    def factor(step):
        if step == 9:
            raise ZeroDivisionError("on purpose")
        return 1.0

    solver = "adam" if model.solver == "lbfgs" else model.solver
    model.set_params(solver=solver, learning_rate=factor, early_stopping=False)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y)


def in_callback(when, action, error):
    def run(model):
        act = Act(when, action)
        model.set_callbacks(act)
        with pytest.raises(error):
            model.fit(X, y)
        assert act.n_teardowns == 1
        model.set_callbacks()

    run.__name__ = f"{action.__name__} at {' '.join(map(str, when))}"
    return run


def refused_resume(model):
    with pytest.raises(FileNotFoundError):
        model.resume("missing.npz", X, y)


FAILURES = [
    infinity,
    other_number_of_features,
    names_without_labels,
    bad_validation_data,
    bad_parameter,
    too_large_a_network,
    divergence_at_once,
    error_in_scoring,
    error_in_schedule,
    refused_resume,
    *(
        in_callback(when, fail, ZeroDivisionError)
        for when in [
            ("setup",),
            ("begin", "fit", 0),
            ("begin", "epoch", 0),
            ("end", "epoch", 0),
            ("end", "fit", 0),
        ]
    ),
    *(
        in_callback(when, press_ctrl_c, KeyboardInterrupt)
        for when in [("setup",), ("begin", "fit", 0), ("begin", "epoch", 0)]
    ),
]
FITTED = [
    fitted_plainly,
    fitted_with_scaling,
    fitted_by_lbfgs,
    fitted_to_a_table,
    stopped_early,
    warm_started,
    warm_started_by_lbfgs,
    streamed,
    resumed,
]


class TestFailure:
    def assert_unchanged(self, model, failure):
        named = pd.DataFrame(X, columns=list("abcd"))
        rows = named if hasattr(model, "feature_names_in_") else X
        parameters = model.get_params()
        before, same = vars(model).copy(), copy.deepcopy(results(model))
        scores = model.decision_function(rows)
        without_warnings(failure, model)
        model.set_params(**parameters)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
        assert_same(results(model), same)
        np.testing.assert_array_equal(model.decision_function(rows), scores)

    @pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
    @pytest.mark.parametrize("way", FITTED, ids=lambda way: way.__name__)
    def test_of_a_fit_leaves_a_fitted_estimator_as_it_was(self, way, failure, path):
        self.assert_unchanged(way(path), failure)

    @pytest.mark.parametrize("way", [fitted_plainly, warm_started, streamed])
    def test_of_ctrl_c_amid_the_first_epoch(self, way, monkeypatch):
        step, steps = Adam.step, iter(range(100))

        def interrupt(self, rate, decay):
            if next(steps) == 2:  # Four steps an epoch.
                raise KeyboardInterrupt
            step(self, rate, decay)

        def ctrl_c(model):
            with monkeypatch.context() as patch:
                patch.setattr(Adam, "step", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    model.fit(X, y)

        self.assert_unchanged(way(None), ctrl_c)

    def test_of_a_resumed_fit(self, path):
        model = warm_started(None)
        clone(model).set_callbacks(Checkpoint(path)).fit(X, y)

        def other_data(model):
            with pytest.raises(ValueError, match="other data"):
                model.resume(path, X[::-1], y[::-1])

        def bad_data(model):
            with pytest.raises(ValueError, match="infinity"):
                model.resume(path, X * np.inf, y)

        def damaged(model):
            path.write_bytes(path.read_bytes()[:1000])
            with pytest.raises(ValueError, match="not a checkpoint"):
                model.resume(path, X, y)

        for failure in (other_data, bad_data, damaged):
            self.assert_unchanged(model, failure)

    @pytest.mark.parametrize(
        "data",
        [
            (X * np.inf, y),
            (X[:, :3], y),
            (X, y[:-1]),
            (X, y + 7),
            (X, y, [5, 6]),
            (X, y, None, -WEIGHTS),
            (np.full_like(X, 1e38), y),
        ],
        ids=["infinity", "features", "lengths", "labels", "classes", "weights", "divergence"],
    )
    @pytest.mark.parametrize(
        "way", [streamed, streamed_after_a_fit, warm_started, fitted_plainly, fitted_to_a_table]
    )
    def test_of_partial_fit(self, way, data):
        def failure(model):
            with pytest.raises(ValueError):  # noqa: PT011  The messages have tests of their own.
                model.partial_fit(*data)

        self.assert_unchanged(way(None), failure)

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_of_a_stream_plays_no_part_in_what_comes_after(self, solver):
        model, same = (quick(solver=solver).partial_fit(X, y, CLASSES) for _ in range(2))
        for bad in (np.abs(X) * np.inf, np.full_like(X, 1e38)):
            with pytest.raises(ValueError):  # noqa: PT011  The messages have tests of their own.
                model.partial_fit(bad, y)
        assert_same(results(model.partial_fit(X, y)), results(same.partial_fit(X, y)))


class TestEndOfFit:
    def test_ctrl_c_there_keeps_what_was_learned(self):
        act = Act(("end", "fit", 0), press_ctrl_c)
        model = quick().set_callbacks(act)
        message = "Training interrupted by user"
        with pytest.warns(UserWarning, match=message) as caught, pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert [warning.filename for warning in caught] == [__file__]
        assert_same(results(model), results(quick().fit(X, y)))
        assert act.n_teardowns == 1

    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("ema_decay", [None, 0.9])
    def test_estimators_of_callbacks_are_of_their_own(self, solver, ema_decay):
        if solver == "lbfgs" and ema_decay is not None:
            pytest.skip("excluded")
        keep = KeepFitted()
        model = quick(solver=solver, ema_decay=ema_decay, max_iter=300 if solver == "lbfgs" else 5)
        model.set_callbacks(keep).fit(X, y)
        scores = model.decision_function(X)
        keep.whole.coefs_[0][...] = 0
        keep.epochs[-1].coefs_[0][...] = 0
        np.testing.assert_array_equal(model.decision_function(X), scores)

    @pytest.mark.parametrize("warm_start", [False, True])
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_those_of_epochs_can_be_trained_on(self, solver, warm_start):
        keep = KeepFitted()
        settings = {"solver": solver, "ema_decay": 0.5, "warm_start": warm_start}
        quick(**settings).set_callbacks(keep).fit(X, y)
        early = keep.epochs[1].set_callbacks()
        early.__dict__.pop("_callback_fit_ctx")  # scikit-learn's, of the fit that is over.
        early.__dict__.pop("_skl_callbacks_to_teardown")
        before = early.coefs_[0].copy()
        streamed = copy.copy(early).partial_fit(X, y)
        assert streamed.t_ == 3 * 60
        assert (streamed.coefs_[0] != before).any()
        assert len(streamed.loss_curve_) == 3
        early.fit(X, y)
        assert early.n_iter_ == 5
        assert early.t_ == (7 if warm_start else 5) * 60


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_a_warm_start_after_a_divergence_goes_on(solver):
    # The moments that have led there must not lead there again.
    model = quick(solver=solver, dtype="float64", warm_start=True)
    model.set_params(learning_rate=lambda step: 1.0 if step < 12 else 1e200)
    with pytest.warns(UserWarning, match="diverged"):
        model.fit(X, y)
    model.set_params(learning_rate="one_cycle").fit(X, y)
    assert model.n_iter_ == 5
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.predict_proba(X)).all()
