"""The classifier inside of scikit-learn's meta-estimators, and copied, stored, shared."""

import copy
import pickle
import signal
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier, find_learning_rate
from skann.callbacks import Checkpoint
from tests.data import KINDS, SOLVERS, problem, quick

X, y = problem()
GOOD = 0.8  # Accuracy that chance, a third, does not reach.


def good(**changes):
    return quick(**({"max_iter": 20, "learning_rate_init": 0.02} | changes))


class TestMetaEstimators:
    def test_grid_search_with_two_jobs_equals_one(self):
        pipeline = make_pipeline(StandardScaler(), good())
        grid = {
            "annclassifier__hidden_layer_sizes": [4, (8,), (8, 4)],
            "annclassifier__activation": ["relu", "tanh"],
        }
        one, two = (
            GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2)
        )
        np.testing.assert_array_equal(
            one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
        )
        assert two.best_score_ > GOOD
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_grid_search_over_solvers_and_what_only_they_take(self, solver):
        grid = [{"solver": [solver], "alpha": [1e-4, 1.0]}]
        search = GridSearchCV(good(max_iter="auto"), grid, cv=2, error_score="raise").fit(X, y)
        assert search.best_estimator_.solver == solver

    def test_halving_search_on_epochs(self):
        search = HalvingGridSearchCV(
            good(),
            {"hidden_layer_sizes": [(2,), (8,), (16,)]},
            resource="max_iter",
            min_resources=2,
            max_resources=18,
            factor=3,
            cv=2,
            random_state=0,
        ).fit(X, y)
        assert search.best_estimator_.n_iter_ == search.n_resources_[-1]
        assert sorted(set(search.cv_results_["n_resources"])) == search.n_resources_

    @pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
    def test_cross_val_predict(self, method):
        got = cross_val_predict(good(), X, y, cv=3, method=method)
        labels = got if method == "predict" else got.argmax(axis=1)
        assert (labels == y).mean() > GOOD

    def test_cross_val_score_with_early_stopping_and_rare_classes(self):
        model = good(early_stopping=True, validation_fraction=0.2)
        assert cross_val_score(model, X, y, cv=3).mean() > 0.6

    @pytest.mark.parametrize("kind", ["binary", "multiclass"])
    @pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
    def test_calibration(self, kind, method):
        X, y = problem(kind)
        calibrated = CalibratedClassifierCV(good(), method=method, cv=3).fit(X, y)
        assert calibrated.score(X, y) > GOOD
        np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1, rtol=1e-5)

    def test_bagging_with_two_jobs(self):
        bagged = BaggingClassifier(good(), n_estimators=4, n_jobs=2, random_state=0).fit(X, y)
        assert bagged.score(X, y) > GOOD
        weights = np.where(y == 0, 0.0, 1.0)
        assert 0 not in bagged.fit(X, y, sample_weight=weights).predict(X)

    @pytest.mark.parametrize("kind", ["binary", "multiclass"])
    def test_bagging_of_few_rows_some_of_which_are_held_out(self, kind):
        X, y = problem(kind, n_rows=30)
        settings = {
            "max_iter": 2,
            "early_stopping": True,
            "validation_fraction": 0.1 if kind == "binary" else 0.15,
        }
        for seed in range(3):
            model = BaggingClassifier(quick(**settings), 15, random_state=seed)
            assert model.fit(X[:20], y[:20]).predict(X).shape == (30,)

    def test_stacking(self):
        stack = StackingClassifier(
            [("small", good(hidden_layer_sizes=4)), ("linear", good(hidden_layer_sizes=()))],
            final_estimator=LogisticRegression(),
            cv=3,
        ).fit(X, y)
        assert stack.score(X, y) > GOOD

    @pytest.mark.parametrize("kind", ["multiclass", "multilabel-indicator"])
    def test_one_against_the_rest(self, kind):
        X, y = problem(kind)
        model = OneVsRestClassifier(good()).fit(X, y)
        assert len(model.estimators_) == 3
        assert (model.predict(X) == y).mean() > 0.6

    def test_permutation_importance(self):
        noise = np.random.default_rng(0).standard_normal((60, 1))
        table = np.hstack([X, noise])
        importance = permutation_importance(good().fit(table, y), table, y, random_state=0)
        assert importance.importances_mean[:4].max() > 0.1
        assert abs(importance.importances_mean[4]) < 0.1

    def test_a_pipeline_transforms_the_validation_rows_too(self):
        with sklearn.config_context(enable_metadata_routing=True):
            model = quick().set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
            pipeline = Pipeline(
                [("scale", StandardScaler()), ("net", model)], transform_input=["X_val"]
            )
            weights = np.linspace(1, 2, 20)
            pipeline.fit(1000 * X, y, X_val=1000 * X[:20], y_val=y[:20], sample_weight_val=weights)
        score = pipeline.score(1000 * X[:20], y[:20], sample_weight=weights)
        assert pipeline[-1].validation_scores_[-1] == pytest.approx(score)

    def test_a_grid_search_routes_sample_weights(self):
        weights = np.where(y == 0, 0.0, 1.0)
        with sklearn.config_context(enable_metadata_routing=True):
            model = good().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            search = GridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=2, error_score="raise")
            search.fit(X, y, sample_weight=weights)
        assert 0 not in search.predict(X)

    def test_set_output_of_a_step_before_gives_named_features(self):
        pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), quick())
        pipeline.fit(pd.DataFrame(X, columns=list("abcd")), y)
        np.testing.assert_array_equal(pipeline[-1].feature_names_in_, list("abcd"))


class CtrlCInSecondFit:
    """Counts fits and presses Ctrl-C after some epochs of the second."""

    def __init__(self):
        self.n_fits = 0

    def setup(self, estimator, context):
        self.n_fits += 1

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if self.n_fits == 2 and context.task_name == "epoch" and context.task_id == 2:
            signal.raise_signal(signal.SIGINT)


def search(model):
    GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=3).fit(X, y)


def search_of_pipelines(model):
    pipeline = make_pipeline(StandardScaler(), model)
    GridSearchCV(pipeline, {"annclassifier__alpha": [0.1, 1.0]}, cv=3).fit(X, y)


def halving_search(model):
    grid = {"hidden_layer_sizes": [4, 8]}
    HalvingGridSearchCV(model, grid, resource="max_iter", max_resources=9, cv=2).fit(X, y)


def cross_validation(model):
    cross_val_score(model, X, y, cv=4)


def bagging(model):
    BaggingClassifier(model, 4).fit(X, y)


def voting(model):
    VotingClassifier([(name, model) for name in "abc"]).fit(X, y)


def stacking(model):
    StackingClassifier([(name, model) for name in "abc"]).fit(X, y)


def one_against_the_rest(model):
    OneVsRestClassifier(model).fit(X, y)


class TestCtrlC:
    @pytest.mark.parametrize(
        "whole",
        [
            search,
            search_of_pipelines,
            halving_search,
            cross_validation,
            bagging,
            voting,
            stacking,
            one_against_the_rest,
        ],
    )
    @pytest.mark.filterwarnings("ignore:The estimator StandardScaler does not support callbacks")
    @pytest.mark.filterwarnings("ignore:Training interrupted by user")
    def test_in_a_fit_stops_all_that_are_still_to_come(self, whole):
        callback = CtrlCInSecondFit()
        with pytest.raises(KeyboardInterrupt):
            whole(quick().set_callbacks(callback))
        assert callback.n_fits == 2

    @pytest.mark.filterwarnings("ignore:Training interrupted by user")
    def test_in_a_score_of_validation_rows_stops_a_search(self):
        n_scores = 0

        def scoring(estimator, X, y):
            nonlocal n_scores
            n_scores += 1
            if n_scores == 8:  # Of the five epochs of a fit one in the second.
                raise KeyboardInterrupt
            return estimator.score(X, y)

        with pytest.raises(KeyboardInterrupt):
            search(quick(early_stopping=True, n_iter_no_change=np.inf, scoring=scoring))
        assert n_scores == 8

    @pytest.mark.filterwarnings("ignore:Training interrupted by user")
    def test_keeps_the_step_of_a_pipeline(self):
        callback = CtrlCInSecondFit()
        callback.n_fits = 1
        pipeline = make_pipeline(StandardScaler(), good().set_callbacks(callback))
        with pytest.raises(KeyboardInterrupt):
            pipeline.fit(X, y)
        assert pipeline[-1].n_iter_ == 3
        assert pipeline.predict(X).shape == y.shape


class OfOneWidth(ANNClassifier):
    """Takes fewer parameters, one of them its own, and decides on the others."""

    def __init__(self, width=8, alpha="auto", random_state=0):
        super().__init__((width,), alpha=alpha, random_state=random_state, max_iter=12)
        self.width = width


class WithoutParameters(ANNClassifier):
    def __init__(self):
        super().__init__((8,), random_state=0, max_iter=12)


@pytest.mark.parametrize("subclass", [OfOneWidth, WithoutParameters])
class TestSubclassThatTakesFewerParameters:
    def test_fits_and_predicts_as_the_classifier_would(self, subclass):
        same = ANNClassifier((8,), random_state=0, max_iter=12).fit(X, y)
        model = clone(subclass()).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))
        assert subclass.__name__ in str(model.summary())
        copied = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(copied.predict_proba(X), same.predict_proba(X))

    def test_streams(self, subclass):
        same = ANNClassifier((8,), random_state=0, max_iter=12)
        model = subclass()
        for _ in range(2):
            model.partial_fit(X, y, [0, 1, 2])
            same.partial_fit(X, y, [0, 1, 2])
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))

    def test_resumes_from_a_checkpoint(self, subclass, tmp_path):
        path = tmp_path / "fit.npz"
        model = subclass().set_callbacks(Checkpoint(path)).fit(X, y)
        resumed = subclass().resume(path, X, y)
        np.testing.assert_array_equal(resumed.predict_proba(X), model.predict_proba(X))

    def test_does_not_resume_a_fit_with_other_parameters(self, subclass, tmp_path):
        path = tmp_path / "fit.npz"
        subclass().set_callbacks(Checkpoint(path)).fit(X, y)
        other = subclass()
        other.beta_1 = 0.8
        with pytest.raises(ValueError, match=r"beta_1 was 0\.9, now it is 0\.8"):
            other.resume(path, X, y)

    def test_has_its_learning_rate_found(self, subclass):
        same = ANNClassifier((8,), random_state=0, max_iter=12)
        expected = find_learning_rate(same, X, y)
        found = find_learning_rate(subclass(), X, y)
        np.testing.assert_array_equal(found.losses, expected.losses)
        assert found.suggested_rate == expected.suggested_rate

    def test_is_searched(self, subclass, tmp_path):
        grid = {"width": [4, 8]} if subclass is OfOneWidth else {}
        model = subclass().set_callbacks(Checkpoint(tmp_path / "fit.npz"))
        searched = GridSearchCV(model, grid, cv=2).fit(X, y)
        assert searched.best_score_ > 1 / 3


def test_a_subclass_does_not_resume_a_fit_with_another_parameter_of_its_own(tmp_path):
    path = tmp_path / "fit.npz"

    class Tagged(ANNClassifier):
        def __init__(self, tag="a"):
            super().__init__((4,), max_iter=2)
            self.tag = tag

    Tagged().set_callbacks(Checkpoint(path)).fit(X, y)
    with pytest.raises(ValueError, match="tag was 'a', now it is 'b'"):
        Tagged("b").resume(path, X, y)


def fitted(kind="multiclass", **changes):
    X, y = problem(kind)
    return quick(**changes).fit(X, y), X


def through_pickle(model, tmp_path):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


def through_compressed_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib.gz", compress=3)
    return joblib.load(tmp_path / "model.joblib.gz")


def through_memory_map(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib", mmap_mode="r")


def through_deepcopy(model, tmp_path):
    return copy.deepcopy(model)


COPIES = [
    through_pickle,
    through_joblib,
    through_compressed_joblib,
    through_memory_map,
    through_deepcopy,
]


@pytest.mark.parametrize("way", COPIES)
class TestCopies:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_predict_the_same(self, way, solver, kind, tmp_path):
        max_iter = 3000 if solver == "lbfgs" else 5
        model, X = fitted(kind, solver=solver, max_iter=max_iter, input_scaling="standard")
        other = way(model, tmp_path)
        for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            np.testing.assert_array_equal(getattr(other, method)(X), getattr(model, method)(X))
        assert other.get_params() == model.get_params()
        assert other.loss_curve_ == model.loss_curve_

    def test_have_parameters_of_their_own_that_stay_views_of_one_vector(self, way, tmp_path):
        model, X = fitted()
        other = way(model, tmp_path)
        assert not np.shares_memory(other.coefs_[0], model.coefs_[0])
        for array in [*other.coefs_, *other.intercepts_]:
            assert np.shares_memory(array, other._model.network.parameters)

    def test_can_be_trained_on(self, way, tmp_path):
        model, X = fitted(warm_start=True)
        before = model.predict_proba(X)
        other = way(model, tmp_path)
        other.fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), before)
        model.fit(X, y)
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))

    def test_of_an_unfitted_classifier_are_unfitted(self, way, tmp_path):
        other = way(quick(alpha=0.5), tmp_path)
        assert other.alpha == 0.5
        assert not hasattr(other, "coefs_")
        other.fit(X, y)


class TestPickle:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_holds_the_parameters_once_and_no_buffers(self, dtype):
        model, _ = fitted(hidden_layer_sizes=(300, 200), dtype=dtype, max_iter=1)
        n_bytes = sum(array.nbytes for array in [*model.coefs_, *model.intercepts_])
        size = len(pickle.dumps(model))
        assert n_bytes < size < n_bytes + 6000

    @pytest.mark.parametrize("prediction", ["predict", "predict_proba"])
    def test_does_not_grow_by_prediction(self, prediction):
        model, X = fitted()
        before = pickle.dumps(model)
        getattr(model, prediction)(X)
        assert pickle.dumps(model) == before

    def test_is_the_same_for_a_loaded_model(self):
        model, _ = fitted()
        loaded = pickle.loads(pickle.dumps(model))
        assert joblib.hash(loaded) == joblib.hash(model)
        assert abs(len(pickle.dumps(loaded)) - len(pickle.dumps(model))) < 100


def test_a_memory_mapped_model_reads_the_file(tmp_path):
    model, X = fitted(hidden_layer_sizes=(64,))
    loaded = through_memory_map(model, tmp_path)
    assert isinstance(loaded._model.network.parameters.base, np.memmap) or isinstance(
        loaded._model.network.parameters, np.memmap
    )
    assert not loaded.coefs_[0].flags.writeable


def test_a_clone_is_not_fitted():
    model = clone(fitted(hidden_layer_sizes=[8, 4])[0])
    assert not hasattr(model, "coefs_")
    assert model.hidden_layer_sizes == [8, 4]


def test_a_shallow_copy_does_not_change_when_the_original_is_fitted_again():
    model, X = fitted()
    shallow = copy.copy(model)
    before = shallow.predict_proba(X)
    model.set_params(random_state=7).fit(X, y)
    np.testing.assert_array_equal(shallow.predict_proba(X), before)
    warm = copy.copy(model)
    before = warm.predict_proba(X)
    model.partial_fit(X, y)
    np.testing.assert_array_equal(warm.predict_proba(X), before)


class TestAssigningParameters:
    def test_to_one_layer_changes_the_predictions(self):
        model, X = fitted()
        before = model.predict_proba(X)
        model.coefs_[0] = np.zeros((4, 8))
        assert (model.predict_proba(X) != before).any()
        np.testing.assert_array_equal(model.coefs_[0], 0)

    def test_to_all_layers_copies_a_model(self):
        model, X = fitted()
        other, _ = fitted(random_state=7)
        other.coefs_ = [coef.copy() for coef in model.coefs_]
        other.intercepts_ = [intercept.copy() for intercept in model.intercepts_]
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        assert not np.shares_memory(other.coefs_[0], model.coefs_[0])

    def test_of_zeros_gives_even_probabilities_also_after_pickling(self):
        model, X = fitted()
        for values in (model.coefs_, model.intercepts_):
            values[:] = [np.zeros_like(value) for value in values]
        loaded = pickle.loads(pickle.dumps(model))
        np.testing.assert_allclose(loaded.predict_proba(X), 1 / 3, rtol=1e-6)

    def test_in_place_changes_count_as_well(self):
        model, X = fitted()
        before = model.decision_function(X)
        model.intercepts_[-1] += 1
        np.testing.assert_allclose(model.decision_function(X), before + 1, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        "bad", [[], [np.zeros((4, 8))], [np.zeros((8, 4)), np.zeros((3, 8))]], ids=len
    )
    def test_of_wrong_shapes_raises_and_changes_nothing(self, bad):
        model, X = fitted()
        before = model.predict_proba(X)
        with pytest.raises(ValueError, match=r"shapes \[\(4, 8\), \(8, 3\)\] cannot be set"):
            model.coefs_ = bad
        np.testing.assert_array_equal(model.predict_proba(X), before)


class TestThreads:
    @pytest.mark.parametrize("kind", KINDS)
    def test_two_threads_predict_with_one_model(self, kind):
        X, y = problem(kind, n_rows=2000)
        model = quick(max_iter=1, hidden_layer_sizes=(32, 16), input_scaling="standard").fit(X, y)
        halves = [X[:1000], X[1000:]]
        expected = [model.predict_proba(half) for half in halves]
        right = [0, 0]
        barrier = threading.Barrier(2)

        def predict(number):
            barrier.wait()
            for _ in range(50):
                got = model.predict_proba(halves[number])
                right[number] += np.array_equal(got, expected[number])

        threads = [threading.Thread(target=predict, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert right == [50, 50]

    def test_fits_in_threads_equal_fits_in_a_row(self):
        def fit(seed):
            return good(random_state=seed).fit(X, y).predict_proba(X)

        in_threads = joblib.Parallel(2, backend="threading")(
            joblib.delayed(fit)(seed) for seed in range(6)
        )
        np.testing.assert_array_equal(in_threads, [fit(seed) for seed in range(6)])


def test_a_text_of_the_classifier_shows_what_was_set():
    assert (
        repr(ANNClassifier((8,), alpha=0.5)) == "ANNClassifier(alpha=0.5, hidden_layer_sizes=(8,))"
    )
