"""What goes in and what comes out."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import skann
from skann import ANNClassifier
from tests.data import KINDS, SOLVERS, STOCHASTIC_SOLVERS, problem, quick

X, y = problem()


def fittable(solver, **changes):
    return quick(solver=solver, **({"max_iter": 3000 if solver == "lbfgs" else 5} | changes))


# For L-BFGS a convex problem: rounding in its inputs must not lead it to another minimum.
ONE_MINIMUM = {
    "adam": {},
    "sgd": {},
    "lbfgs": {"hidden_layer_sizes": (), "alpha": 1.0, "tol": 1e-8},
}


class TestEqualsLogisticRegression:
    """No hidden layer and L-BFGS minimise the same function as scikit-learn's model."""

    settings = {
        "hidden_layer_sizes": (),
        "solver": "lbfgs",
        "tol": 1e-9,
        "max_fun": 100_000,
        "random_state": 0,
    }

    @pytest.mark.parametrize("alpha", [1e-2, 1.0, 10.0])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_for_two_classes(self, alpha, weighted):
        X, y = problem("binary")
        weights = np.linspace(0, 3, 60) if weighted else None
        model = ANNClassifier(alpha=alpha, **self.settings).fit(X, y, sample_weight=weights)
        reference = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=10_000)
        reference.fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(model.coefs_[0].ravel(), reference.coef_[0], atol=1e-4)
        np.testing.assert_allclose(model.intercepts_[0], reference.intercept_, atol=1e-4)
        np.testing.assert_allclose(
            model.decision_function(X), reference.decision_function(X), atol=1e-3
        )

    @pytest.mark.parametrize("alpha", [1e-2, 1.0, 10.0])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_for_three_classes(self, alpha, weighted):
        weights = np.linspace(0, 3, 60) if weighted else None
        model = ANNClassifier(alpha=alpha, **self.settings).fit(X, y, sample_weight=weights)
        reference = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=10_000)
        reference.fit(X, y, sample_weight=weights)
        # A constant added to all scores of a row changes no probability.
        coefs = model.coefs_[0] - model.coefs_[0].mean(axis=1, keepdims=True)
        intercepts = model.intercepts_[0] - model.intercepts_[0].mean()
        np.testing.assert_allclose(coefs.T, reference.coef_, atol=1e-4)
        centred = reference.intercept_ - reference.intercept_.mean()
        np.testing.assert_allclose(intercepts, centred, atol=1e-4)
        np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-4)

    def test_for_every_label_of_several(self):
        X, y = problem("multilabel-indicator")
        model = ANNClassifier(alpha=1.0, **self.settings).fit(X, y)
        for label in range(3):
            reference = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000).fit(X, y[:, label])
            np.testing.assert_allclose(model.coefs_[0][:, label], reference.coef_[0], atol=1e-4)

    def test_with_balanced_classes(self):
        settings = {"class_weight": "balanced"}
        model = ANNClassifier(alpha=1.0, **self.settings, **settings).fit(X[:50], y[:50])
        reference = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000, **settings)
        reference.fit(X[:50], y[:50])
        np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-4)

    def test_with_adam_on_all_rows_at_once(self):
        model = ANNClassifier(
            (),
            alpha=1.0,
            dtype="float64",
            batch_size=60,
            learning_rate_init=0.05,
            max_iter=2000,
            label_smoothing=0.0,
            random_state=0,
        ).fit(X, y)
        reference = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-3)


class TestEqualsMLPClassifier:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
    def test_given_its_weights(self, activation, kind):
        X, y = problem(kind)
        settings = {"hidden_layer_sizes": (7, 5), "activation": activation, "random_state": 0}
        reference = MLPClassifier(max_iter=3, **settings)
        reference.partial_fit(X, y, classes=np.unique(y) if y.ndim == 1 else np.arange(3))
        model = ANNClassifier(max_iter=1, dtype="float64", **settings).fit(X, y)
        model.coefs_ = reference.coefs_
        model.intercepts_ = reference.intercepts_
        np.testing.assert_allclose(
            model.predict_proba(X), reference.predict_proba(X), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_array_equal(model.predict(X), reference.predict(X))
        single = clone(model).set_params(dtype="float32").fit(X, y)
        single.coefs_, single.intercepts_ = reference.coefs_, reference.intercepts_
        np.testing.assert_allclose(single.predict_proba(X), reference.predict_proba(X), atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_in_names_and_shapes_of_fitted_attributes(self, kind):
        X, y = problem(kind)
        reference = MLPClassifier((7, 5), random_state=0, solver="sgd", max_iter=2)
        with pytest.warns(UserWarning, match="Maximum iterations"):
            reference.fit(X, y)
        model = quick(hidden_layer_sizes=(7, 5), max_iter=2).fit(X, y)
        for name in ("coefs_", "intercepts_"):
            shapes = [array.shape for array in getattr(reference, name)]
            assert [array.shape for array in getattr(model, name)] == shapes
        for name in (
            "n_features_in_",
            "n_layers_",
            "n_outputs_",
            "out_activation_",
            "t_",
            "n_iter_",
        ):
            assert getattr(model, name) == getattr(reference, name), name
        np.testing.assert_array_equal(model.classes_, reference.classes_)
        assert type(model.loss_) is float

    def test_in_parameter_names(self):
        theirs = set(MLPClassifier().get_params())
        ours = set(ANNClassifier().get_params())
        assert theirs <= ours
        assert ours - theirs == {
            "augmentation",
            "categorical_features",
            "class_weight",
            "dropout",
            "dtype",
            "ema_decay",
            "embedding_scale",
            "embedding_width",
            "gradient_clip_norm",
            "input_clip",
            "input_dropout",
            "input_noise",
            "input_scaling",
            "kernel_initializer",
            "label_smoothing",
            "max_norm",
            "n_members",
            "normalization",
            "numerical_embedding",
            "scoring",
            "warmup",
        }


SCORES = ["predict_proba", "predict_log_proba", "decision_function"]


class TestOutputs:
    methods = pytest.mark.parametrize(
        "method", ["predict_proba", "predict_log_proba", "decision_function"]
    )

    @methods
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_have_the_computing_dtype_and_own_their_memory(self, method, kind, dtype):
        X, y = problem(kind)
        got = getattr(quick(dtype=dtype).fit(X, y), method)(X)
        assert got.dtype == dtype
        assert got.flags.c_contiguous
        assert got.flags.writeable
        assert type(got) is np.ndarray

    @methods
    def test_of_lbfgs_are_float64(self, method):
        assert getattr(fittable("lbfgs").fit(X, y), method)(X).dtype == np.float64

    @pytest.mark.parametrize(
        ("kind", "probabilities", "scores", "labels"),
        [
            ("binary", (60, 2), (60,), (60,)),
            ("multiclass", (60, 3), (60, 3), (60,)),
            ("multilabel-indicator", (60, 3), (60, 3), (60, 3)),
        ],
    )
    @pytest.mark.parametrize("n_rows", [60, 1])
    def test_have_scikit_learns_shapes(self, kind, probabilities, scores, labels, n_rows):
        X, y = problem(kind)
        model = quick().fit(X, y)
        X = X[:n_rows]
        assert model.predict_proba(X).shape == (n_rows, *probabilities[1:])
        assert model.predict_log_proba(X).shape == (n_rows, *probabilities[1:])
        assert model.decision_function(X).shape == (n_rows, *scores[1:])
        assert model.predict(X).shape == (n_rows, *labels[1:])

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("scale", [1, 1e4])
    def test_probabilities_are_inside_the_open_interval_and_sum_to_one(self, kind, dtype, scale):
        X, y = problem(kind)
        model = quick(dtype=dtype).fit(X, y)
        got = model.predict_proba(scale * X)
        assert got.min() > 0
        assert got.max() < 1
        if kind != "multilabel-indicator":
            np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-6)
        assert np.isfinite(model.predict_log_proba(scale * X)).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_agree_with_each_other(self, kind):
        X, y = problem(kind)
        model = quick(dtype="float64").fit(X, y)
        scores, probabilities = model.decision_function(X), model.predict_proba(X)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(probabilities))
        if kind == "multilabel-indicator":
            np.testing.assert_array_equal(model.predict(X), scores > 0)
            np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-scores)))
        elif kind == "binary":
            np.testing.assert_array_equal(model.predict(X), scores > 0)
            np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-scores)))
        else:
            np.testing.assert_array_equal(model.predict(X), scores.argmax(axis=1))
            np.testing.assert_array_equal(model.predict(X), probabilities.argmax(axis=1))

    def test_of_a_row_do_not_depend_on_its_neighbours(self):
        model = quick(hidden_layer_sizes=(64, 32)).fit(X, y)
        whole = model.predict_proba(X)
        for row in (0, 17, 59):
            np.testing.assert_allclose(
                model.predict_proba(X[row : row + 1]), whole[[row]], rtol=1e-5
            )

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("method", ["predict", *SCORES])
    def test_do_not_depend_on_the_chunks(self, monkeypatch, method, kind):
        X, y = problem(kind)
        model = quick().fit(X, y)
        whole = getattr(model, method)(X)
        for rows in (1, 7, 59):
            monkeypatch.setattr("skann.model.chunk_rows", lambda _, rows=rows: rows)
            chunked = getattr(model, method)(X)
            assert (chunked.dtype, chunked.shape) == (whole.dtype, whole.shape)
            np.testing.assert_allclose(chunked, whole, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("kind", KINDS)
    def test_score_is_accuracy(self, kind):
        X, y = problem(kind)
        model = quick().fit(X, y)
        weights = np.linspace(0, 1, 60)
        expected = accuracy_score(y, model.predict(X), sample_weight=weights)
        assert model.score(X, y, weights) == expected


class TestLabels:
    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("n_classes", [2, 3])
    @pytest.mark.parametrize(
        "names",
        [
            np.array(["zebra", "ape", "cow"]),
            np.array(["zebra", "ape", "cow"], dtype=object),
            np.array([3, -7, 0]),
            np.array([300, 2, 70], dtype=np.uint16),
            np.array([2.0, -1.0, 0.0]),
            np.array([True, False, True]),
        ],
        ids=lambda names: names.dtype.str,
    )
    def test_of_any_type_come_back(self, solver, n_classes, names):
        X, codes = problem("binary" if n_classes == 2 else "multiclass")
        y = names[codes]
        model = fittable(solver, learning_rate_init=0.05).fit(X, y)
        np.testing.assert_array_equal(model.classes_, np.unique(y))
        predicted = model.predict(X)
        assert predicted.dtype == model.classes_.dtype
        assert set(predicted.tolist()) <= set(y.tolist())
        assert (predicted == y).mean() > 0.7
        columns = model.predict_proba(X)
        np.testing.assert_array_equal(model.classes_[columns.argmax(axis=1)], predicted)

    @pytest.mark.parametrize(
        "convert",
        [
            np.uint64,
            np.int8,
            np.float64,
            lambda y: y.astype(object),
            lambda y: y.astype(float).astype(object),
            lambda y: np.array([True if label == 1 else label for label in y], dtype=object),
            lambda y: pd.Series(y, dtype="Int64"),
            lambda y: pd.Series(y, dtype="Float64"),
        ],
        ids=["uint64", "int8", "float", "objects", "floats", "mixed", "Int64", "Float64"],
    )
    def test_that_are_equal_are_the_same_in_every_method(self, convert):
        X, codes = problem()
        labels = np.array([1, 5, 9])[codes]
        other = convert(labels)
        weights = {True: 2, np.uint8(5): 1.0, 9.0: 3}

        def fitted(labels, other):
            model = quick(warm_start=True, class_weight=weights)
            model.fit(X, labels, X_val=X, y_val=other).fit(X, other)
            scores = model.validation_scores_, model.score(X, other)
            model = quick().partial_fit(X, labels, classes=[1, 5, 9]).partial_fit(X, other)
            model.partial_fit(X, labels, classes=pd.unique(other))
            return scores, model.predict_proba(X).tolist()

        expected = fitted(labels, labels)
        assert fitted(labels, other) == expected
        assert fitted(other, labels) == expected
        assert fitted(other, other) == expected

    @pytest.mark.parametrize("dtypes", [("int64", "uint64"), ("uint64", "int64"), (object, int)])
    def test_beyond_the_precision_of_floats_stay_apart(self, dtypes):
        X, codes = problem("binary")
        first, second = ((2**60 + codes).astype(dtype) for dtype in dtypes)
        model = quick(max_iter=20, warm_start=True).fit(X, first, X_val=X, y_val=second)
        assert model.classes_.tolist() == [2**60, 2**60 + 1]
        accuracy = (model.predict(X).astype(int) == 2**60 + codes).mean()
        assert accuracy > 0.8
        assert model.score(X, second) == model.validation_scores_[-1] == accuracy
        assert model.fit(X, second).score(X, first) > 0.8

    def test_in_a_list_are_not_rounded(self):
        X, codes = problem("binary")
        model = quick().fit(X, np.array([1, 2**63 + 1], dtype=object)[codes].tolist())
        assert model.classes_.tolist() == [1, 2**63 + 1]

    @pytest.mark.parametrize("dtype", [int, bool, object, float, "boolean"])
    def test_may_be_truth_values_in_part_of_the_calls(self, dtype):
        X, codes = problem("binary")
        model = quick(class_weight={np.True_: 3, False: 1}).fit(X, codes.astype(bool))
        given = pd.Series(codes).astype(dtype)
        again = quick(class_weight={1: 3, 0.0: 1}).fit(X, given)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        assert model.score(X, given) == again.score(X, codes == 1)

    def test_of_objects_and_strings_are_the_same(self):
        names = np.array(["red", "green", "blue"])[y]
        given = [names.astype(object), pd.Series(names, dtype="string"), names.astype("T")]
        model = quick(warm_start=True).fit(X, names)
        for other in given:
            assert model.score(X, other) == model.score(X, names)
            assert model.fit(X, other, X_val=X, y_val=other).classes_ is model.classes_

    def test_score_counts_labels_that_are_no_class_as_wrong(self):
        model = quick(max_iter=20).fit(X, y)
        other = np.where(y == 1, 7, y)
        assert model.score(X, other) == accuracy_score(other, model.predict(X))

    def test_as_lists_series_and_categories(self):
        names = np.array(["red", "green", "blue"])[y]
        expected = quick().fit(X, names).predict_proba(X)
        for given in (names.tolist(), pd.Series(names), pd.Series(names, dtype="category")):
            np.testing.assert_array_equal(quick().fit(X, given).predict_proba(X), expected)

    @pytest.mark.parametrize(
        "convert",
        [
            np.asarray,
            np.ndarray.tolist,
            pd.DataFrame,
            sparse.csr_array,
            sparse.csc_matrix,
            np.float64,
            lambda y: y.astype(object),
            lambda y: pd.DataFrame(y, dtype="Int64"),
        ],
    )
    def test_of_several_outputs_in_any_container(self, convert):
        X, indicators = problem("multilabel-indicator")
        model = quick().fit(X, convert(indicators))
        np.testing.assert_array_equal(model.classes_, [0, 1, 2])
        np.testing.assert_array_equal(
            model.predict_proba(X), quick().fit(X, indicators).predict_proba(X)
        )
        assert set(np.unique(model.predict(X))) <= {0, 1}

    def test_binary_scores_are_positive_for_the_second_class(self):
        X, codes = problem("binary")
        model = quick(max_iter=20).fit(X, np.array(["zebra", "ape"])[codes])
        positive = model.decision_function(X) > 0
        np.testing.assert_array_equal(model.predict(X) == "zebra", positive)


IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6)).astype(np.uint8)
IMAGES[y == 1, 2] //= 3
IMAGES[y == 2, 4] //= 4


def memory_mapped(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


class TestInputs:
    expected = quick(input_scaling="maxabs").fit(IMAGES, y).predict_proba(IMAGES)

    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize(
        "convert",
        [
            np.asfortranarray,
            lambda X: X.astype(np.int64),
            lambda X: X.astype(np.int16),
            lambda X: X.astype(np.float16),
            lambda X: X.astype(np.float32),
            lambda X: X.astype(np.float64),
            lambda X: X.astype(">i4"),
            lambda X: X.astype(">f8"),
            lambda X: np.asfortranarray(X.astype(np.int64)),
            lambda X: np.asfortranarray(X.astype(np.float64)),
            lambda X: np.repeat(X, 2, axis=1)[:, ::2],
            lambda X: np.repeat(X, 2, axis=0)[::2],
            lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
            lambda X: X.tolist(),
            lambda X: pd.DataFrame(X).to_numpy(),
            "read-only",
            "memory-mapped",
        ],
    )
    def test_of_any_dtype_and_layout_give_the_same_model(self, solver, convert, tmp_path):
        if convert == "read-only":
            given = IMAGES.copy()
            given.flags.writeable = False
        elif convert == "memory-mapped":
            given = memory_mapped(IMAGES, tmp_path)
        else:
            given = convert(IMAGES)
        settings = {"input_scaling": "maxabs"} | ONE_MINIMUM[solver]
        model = fittable(solver, **settings).fit(given, y)
        expected = fittable(solver, **settings).fit(IMAGES, y).predict_proba(IMAGES)
        np.testing.assert_allclose(model.predict_proba(given), expected, atol=1e-4)
        np.testing.assert_allclose(model.predict_proba(IMAGES), expected, atol=1e-4)

    # Raw pixels on purpose: the network does not learn them in so few epochs.
    @pytest.mark.filterwarnings("ignore:Training failed")
    @pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
    def test_by_columns_and_by_rows_give_the_same_bits(self, dtype):
        by_rows = IMAGES.astype(dtype)
        by_columns = np.asfortranarray(by_rows)
        one, other = (
            quick(learning_rate_init=1e-4).fit(given, y) for given in (by_rows, by_columns)
        )
        for mine, theirs in zip(one.coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(one.predict_proba(by_columns), one.predict_proba(by_rows))

    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("input_scaling", [None, "maxabs"])
    @pytest.mark.parametrize(
        "container",
        [
            sparse.csr_array,
            sparse.csc_array,
            sparse.coo_array,
            sparse.csr_matrix,
            sparse.csc_matrix,
        ],
    )
    def test_sparse_equal_dense_ones(self, solver, input_scaling, container):
        dense = np.where(IMAGES > 120, IMAGES / 100, 0)
        settings = {"input_scaling": input_scaling} | ONE_MINIMUM[solver]
        model = fittable(solver, **settings).fit(container(dense), y)
        same = fittable(solver, **settings).fit(dense, y)
        np.testing.assert_allclose(
            model.predict_proba(container(dense)), same.predict_proba(dense), atol=1e-4
        )
        np.testing.assert_allclose(
            model.predict_proba(container(dense)), model.predict_proba(dense), atol=1e-5
        )

    def test_sparse_with_early_stopping_and_validation_data(self):
        dense = np.where(IMAGES > 120, IMAGES / 100, 0)
        table = sparse.csr_array(dense)
        model = quick(early_stopping=True).fit(table, y)
        same = quick(early_stopping=True).fit(dense, y)
        np.testing.assert_allclose(model.predict_proba(table), same.predict_proba(dense), atol=1e-5)
        model = quick().fit(table, y, X_val=sparse.csc_array(dense), y_val=y)
        assert model.validation_scores_[-1] == model.score(dense, y)

    def test_bool_columns(self):
        flags = IMAGES > 100
        np.testing.assert_array_equal(
            quick().fit(flags, y).predict_proba(flags),
            quick().fit(flags.astype(np.float32), y).predict_proba(flags),
        )

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_data_frames_give_feature_names(self, solver):
        frame = pd.DataFrame(X, columns=list("abcd"))
        model = fittable(solver).fit(frame, y)
        np.testing.assert_array_equal(model.feature_names_in_, list("abcd"))
        same = fittable(solver).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(frame), same.predict_proba(X))

    def test_data_frames_of_mixed_dtypes(self):
        frame = pd.DataFrame({"a": X[:, 0], "b": IMAGES[:, 0], "c": X[:, 1] > 0})
        model = quick(input_scaling="standard", categorical_features=None).fit(frame, y)
        dense = frame.to_numpy(np.float64)
        same = quick(input_scaling="standard").fit(dense, y)
        np.testing.assert_allclose(model.predict_proba(frame), same.predict_proba(dense), atol=1e-6)


class TestInputScaling:
    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize(
        ("name", "scaler"), [("standard", StandardScaler()), ("maxabs", MaxAbsScaler())]
    )
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
    def test_equals_the_scaler_in_a_pipeline(self, solver, name, scaler, convert):
        table = convert(IMAGES * np.array([1, 10, 100, 1, 1, 0.01]))
        if convert is sparse.csr_array and name == "standard":
            scaler = StandardScaler(with_mean=False)
        settings = {"dtype": "float64"} | ONE_MINIMUM[solver]
        model = fittable(solver, input_scaling=name, **settings).fit(table, y)
        pipeline = make_pipeline(scaler, fittable(solver, **settings)).fit(table, y)
        np.testing.assert_allclose(
            model.predict_proba(table), pipeline.predict_proba(table), atol=1e-5
        )

    @pytest.mark.parametrize("scaling", ["standard", "maxabs"])
    def test_of_a_dense_fit_holds_for_sparse_rows_as_well(self, scaling):
        # The shift of a dense fit belongs to the model; dropping it would be another model.
        table = X + 3
        model = quick(input_scaling=scaling).fit(table, y)
        expected = model.predict_proba(table)
        got = model.predict_proba(sparse.csr_array(table))
        np.testing.assert_allclose(got, expected, atol=1e-4)

    def test_of_columns_far_from_zero_is_as_precise_as_the_scaler(self):
        far = X + 1e7
        model = quick(input_scaling="standard").fit(far, y)
        pipeline = make_pipeline(StandardScaler(), quick()).fit(far, y)
        np.testing.assert_allclose(model.predict_proba(far), pipeline.predict_proba(far), atol=1e-3)

    def test_weighs_rows_as_the_loss_does(self):
        weights = np.linspace(0, 2, 60)
        model = quick(input_scaling="standard").fit(IMAGES, y, sample_weight=weights)
        reference = StandardScaler().fit(IMAGES, sample_weight=weights)
        shift, factor = model._model.scaling[:2]
        np.testing.assert_allclose(shift, reference.mean_)
        np.testing.assert_allclose(factor, 1 / reference.scale_)

    @pytest.mark.parametrize("scaling", ["standard", "maxabs"])
    def test_is_of_the_training_rows_alone(self, scaling):
        spoiled = X.copy()
        held_out = spoiled[:10] * 1000
        model = quick(input_scaling=scaling).fit(X, y, X_val=held_out, y_val=y[:10])
        plain = quick(input_scaling=scaling).fit(X, y)
        for mine, theirs in zip(model._model.scaling, plain._model.scaling, strict=True):
            np.testing.assert_equal(mine, theirs)

    def test_sparse_input_is_never_shifted(self):
        model = quick(input_scaling="standard").fit(sparse.csr_array(X), y)
        assert model._model.scaling.shift is None

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_makes_raw_columns_learnable(self, solver):
        table = X * [1e4, 1e-4, 1, 1e2] + [1e5, 0, -50, 0]
        model = ANNClassifier((8,), solver=solver, input_scaling="standard", random_state=0)
        assert model.fit(table, y).score(table, y) > 0.85

    def test_is_forgotten_by_a_fit_without(self):
        model = quick(input_scaling="standard").fit(X, y)
        model.set_params(input_scaling=None).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), quick().fit(X, y).predict_proba(X))


class TestWeights:
    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    @pytest.mark.parametrize("kind", ["binary", "multiclass"])
    def test_class_weights_equal_sample_weights(self, solver, kind):
        X, y = problem(kind)
        X, y = X[:47], y[:47]
        by_class = {label: 1.0 + label for label in np.unique(y)}
        balanced = dict(
            zip(
                np.unique(y),
                compute_class_weight("balanced", classes=np.unique(y), y=y),
                strict=True,
            )
        )
        for given, expected in ((by_class, by_class), ("balanced", balanced)):
            model = quick(solver=solver, class_weight=given).fit(X, y)
            weights = np.array([expected[label] for label in y])
            same = quick(solver=solver).fit(X, y, sample_weight=weights)
            np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))

    def test_class_weights_multiply_sample_weights(self):
        weights = np.linspace(0.5, 2, 60)
        model = quick(class_weight={0: 1, 1: 3, 2: 0}).fit(X, y, sample_weight=weights)
        same = quick().fit(X, y, sample_weight=weights * np.array([1, 3, 0])[y])
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))

    @pytest.mark.parametrize("class_weight", ["balanced", [{0: 1, 1: 2}] * 3])
    def test_of_multilabel_targets_are_those_of_compute_sample_weight(self, class_weight):
        X, y = problem("multilabel-indicator")
        model = quick(class_weight=class_weight).fit(X, y)
        same = quick().fit(X, y, sample_weight=compute_sample_weight(class_weight, y))
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))

    def test_of_named_classes(self):
        names = np.array(["zebra", "ape", "cow"])[y]
        model = quick(class_weight={"zebra": 1, "ape": 5, "cow": 1}).fit(X, names)
        same = quick().fit(X, names, sample_weight=np.where(names == "ape", 5, 1))
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))

    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_of_one_equal_none(self, solver, kind):
        X, y = problem(kind)
        settings = ONE_MINIMUM[solver]
        model = fittable(solver, **settings).fit(X, y, sample_weight=np.ones(60))
        same = fittable(solver, **settings).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), same.predict_proba(X), atol=1e-5)

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    @pytest.mark.parametrize("factor", [1e-3, 1e3])
    def test_times_a_constant_give_nearly_the_same_model(self, solver, factor):
        weights = np.linspace(0.5, 2, 60)
        settings = {"solver": solver, "alpha": 0, "dtype": "float64"}
        model = quick(**settings).fit(X, y, sample_weight=factor * weights)
        same = quick(**settings).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(model.predict_proba(X), same.predict_proba(X), atol=1e-6)

    @pytest.mark.parametrize("factor", [1e-42, 1e38])
    def test_of_extreme_size_give_nearly_the_same_model(self, factor):
        weights = np.linspace(0.5, 2, 60)
        model = quick(alpha=0).fit(X, y, sample_weight=factor * weights)
        same = quick(alpha=0).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(model.predict_proba(X), same.predict_proba(X), atol=1e-3)

    def test_balanced_with_a_class_of_weight_zero(self):
        weights = np.where(y == 2, 0.0, 1.0)
        model = quick(class_weight="balanced").fit(X, y, sample_weight=weights)
        same = quick(class_weight={0: 1, 1: (y == 0).sum() / (y == 1).sum(), 2: 0}).fit(X, y)
        assert np.isfinite(model.loss_)
        np.testing.assert_array_equal(model.predict(X), same.predict(X))

    def test_times_a_constant_and_alpha_alike_give_the_same_minimum(self):
        settings = {"hidden_layer_sizes": (), "solver": "lbfgs", "tol": 1e-9}
        weights = np.linspace(0.5, 2, 60)
        model = ANNClassifier(alpha=10.0, **settings).fit(X, y, sample_weight=10 * weights)
        same = ANNClassifier(alpha=1.0, **settings).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(model.predict_proba(X), same.predict_proba(X), atol=1e-5)

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_of_zero_fill_whole_batches_harmlessly(self, solver):
        weights = np.zeros(60)
        weights[:12] = 1
        model = quick(solver=solver, shuffle=False, batch_size=6, max_iter=10)
        model.fit(X, y, sample_weight=weights)
        assert np.isfinite(model.loss_curve_).all()
        assert np.isfinite(model.coefs_[0]).all()

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_of_zero_take_rows_out(self, solver):
        weights = np.where(y == 2, 0.0, 1.0)
        model = fittable(solver, max_iter=3000 if solver == "lbfgs" else 30)
        assert 2 not in model.fit(X, y, sample_weight=weights).predict(X)


class TestDeterminism:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_the_same_seed_gives_the_same_bits(self, solver, kind):
        X, y = problem(kind)
        settings = {"early_stopping": True, "class_weight": "balanced"}
        one, other = (fittable(solver, **settings).fit(X, y) for _ in range(2))
        for mine, theirs in zip(one.coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert one.loss_curve_ == other.loss_curve_

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_another_seed_gives_another_model(self, solver):
        one, other = (fittable(solver, random_state=seed).fit(X, y) for seed in (0, 1))
        assert (one.coefs_[0] != other.coefs_[0]).any()

    def test_a_random_state_moves_on_from_fit_to_fit(self):
        state = np.random.RandomState(0)
        model = quick(random_state=state)
        first = model.fit(X, y).predict_proba(X)
        assert (model.fit(X, y).predict_proba(X) != first).any()
        again = quick(random_state=np.random.RandomState(0)).fit(X, y)
        np.testing.assert_array_equal(again.predict_proba(X), first)

    def test_numpys_global_state_is_left_alone_by_a_seeded_fit(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        quick().fit(X, y)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_shuffle_matters(self):
        one, other = (quick(shuffle=shuffle).fit(X, y) for shuffle in (True, False))
        assert (one.coefs_[0] != other.coefs_[0]).any()

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_float64_is_close_to_float32_after_an_epoch(self, solver):
        one, other = (
            quick(solver=solver, dtype=dtype, max_iter=1).fit(X, y)
            for dtype in ("float32", "float64")
        )
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-4)


class TestDefaults:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_fit_iris_without_warning(self, solver):
        X, y = load_iris(return_X_y=True)
        model = make_pipeline(StandardScaler(), ANNClassifier(solver=solver, random_state=0))
        assert model.fit(X, y).score(X, y) >= 0.95

    def test_resolved_values_are_fitted_attributes(self):
        model = ANNClassifier((4,), random_state=0).fit(X, y)
        assert type(model.batch_size_) is int
        assert type(model.learning_rate_init_) is float
        assert type(model.max_iter_) is int
        given = quick(batch_size=20, max_iter=3, learning_rate_init=0.02).fit(X, y)
        assert (given.batch_size_, given.max_iter_, given.learning_rate_init_) == (20, 3, 0.02)

    def test_a_batch_is_never_larger_than_the_data(self):
        assert quick(batch_size=1000).fit(X, y).batch_size_ == 60

    @pytest.mark.parametrize("hidden", [8, (8,), [8], np.array([8]), (np.int64(8),), range(8, 9)])
    def test_hidden_layer_sizes_in_any_form(self, hidden):
        model = quick(hidden_layer_sizes=hidden).fit(X, y)
        assert [coef.shape for coef in model.coefs_] == [(4, 8), (8, 3)]
        assert model.n_layers_ == 3

    def test_two_rows_are_enough(self):
        model = ANNClassifier((4,), max_iter=3).fit(X[:2], ["a", "b"])
        assert model.predict(X).shape == (60,)

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_one_row_of_indicators_is_enough(self, solver):
        model = ANNClassifier((4,), solver=solver, max_iter=50).fit(X[:1], [[0, 1, 1]])
        assert model.predict(X).shape == (60, 3)


def peak_memory(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestMemory:
    def test_images_are_copied_neither_whole_nor_as_floats(self):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (20_000, 784), dtype=np.uint8)
        labels = rng.integers(0, 10, len(images))
        model = ANNClassifier((8,), max_iter=1, input_scaling="maxabs", random_state=0)
        # A first time, as imports and caches are not what is measured.
        model.fit(images[:300], labels[:300]).predict(images[:300])
        # A copy as bytes would take all of images.nbytes, one as floats four times that.
        assert peak_memory(lambda: model.fit(images, labels)) < 0.6 * images.nbytes
        assert peak_memory(lambda: model.predict(images)) < 0.6 * images.nbytes

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_validation_on_held_out_rows_copies_no_rows(self, order):
        rng = np.random.default_rng(0)
        table = np.asarray(rng.standard_normal((4000, 300)), np.float32, order="C")
        labels = rng.integers(0, 2, len(table))
        model = ANNClassifier((4,), max_iter=1, early_stopping=True, random_state=0)
        model.fit(table[:300], labels[:300])
        given = np.asarray(table, order=order)
        laid_out = table.nbytes if order == "F" else 0
        assert peak_memory(lambda: model.fit(given, labels)) < laid_out + 0.8 * table.nbytes

    @pytest.mark.parametrize(
        ("method", "kind", "result"),
        [
            ("predict", "numbers", 8 * 20_000),
            ("predict", "names", 4 * 5 * 20_000),
            ("predict_proba", "numbers", 4 * 20_000 * 400),
            ("predict_log_proba", "names", 4 * 20_000 * 400),
            ("decision_function", "numbers", 4 * 20_000 * 400),
            ("predict", "multilabel", 8 * 20_000 * 400),
        ],
    )
    def test_of_predictions_of_many_classes_is_that_of_their_result(self, method, kind, result):
        X = np.random.default_rng(0).standard_normal((20_000, 5)).astype(np.float32)
        codes = np.arange(800) % 400
        targets = {
            "numbers": codes,
            "names": np.array([f"n{code:04d}" for code in range(400)])[codes],
            "multilabel": np.eye(400, dtype=int)[codes],
        }
        model = quick(max_iter=1).fit(X[:800], targets[kind])
        predict = getattr(model, method)
        predict(X[:1])
        chunk = 500_000 * 4
        assert peak_memory(lambda: predict(X)) < result + 10 * chunk

    @pytest.mark.parametrize("weighted", [False, True])
    def test_of_held_out_scores_of_many_classes_is_little(self, weighted):
        X = np.random.default_rng(0).standard_normal((8000, 5)).astype(np.float32)
        labels = np.arange(8000) % 1000
        weights = np.ones(8000) if weighted else None
        model = quick(early_stopping=True, validation_fraction=0.5, max_iter=2)
        model.fit(X[:2000], labels[:2000])
        scores = 4 * 4000 * 1000
        assert peak_memory(lambda: model.fit(X, labels, weights)) < scores

    @pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
    def test_of_sparse_indicators_is_a_byte_for_each(self, dtype):
        X = np.random.default_rng(0).standard_normal((5000, 5)).astype(np.float32)
        indicators = sparse.random_array((5000, 400), density=0.01, rng=0) > 0
        indicators = sparse.csr_array(indicators, dtype=dtype)
        model = quick(max_iter=1).fit(X[:100], indicators[:100])
        assert peak_memory(lambda: model.fit(X, indicators)) < 2.5 * 5000 * 400


OPTIONAL = ("pandas", "matplotlib", "rich")


def run_python(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_importing_asks_for_no_optional_package():
    # scikit-learn itself imports pandas and rich where they are installed.
    assert (
        run_python(
            f"""
import builtins
original, asked = builtins.__import__, set()
def spy(name, globals=None, *rest):
    if (globals or {{}}).get("__name__", "").startswith("skann"):
        asked.add(name.split(".")[0])
    return original(name, globals, *rest)
builtins.__import__ = spy
from skann import ANNClassifier
assert "sklearn" in asked
print(asked & {set(OPTIONAL)})
"""
        )
        == "set()"
    )
    assert run_python("import sys, skann; print('matplotlib' in sys.modules)") == "False"


def test_fits_where_no_optional_package_is_installed():
    assert (
        run_python(
            f"""
import sys

class Absent:
    def find_spec(self, name, *rest):
        if name in {OPTIONAL}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from skann import ANNClassifier
print(ANNClassifier((), max_iter=9).fit([[0], [1]], ["a", "b"]).predict([[0]]).shape)
"""
        )
        == "(1,)"
    )


def test_the_package_says_its_version():
    assert skann.__version__ == "0.1.0"
    assert "ANNClassifier" in skann.__all__


def test_completion_offers_the_public_names_only():
    assert dir(skann) == sorted(skann.__all__)


@pytest.mark.parametrize("order", ["C", "F"])
def test_standard_scaling_keeps_what_lies_far_from_zero(order):
    X, y = problem()
    far = np.asarray(X + 1e8, order=order)
    model = quick(input_scaling="standard", max_iter=30).fit(far, y)
    near = quick(input_scaling="standard", max_iter=30).fit(X, y)
    assert model.score(far, y) == pytest.approx(near.score(X, y), abs=0.05)


def test_verbose_lbfgs_that_is_done_at_once_prints_nothing_wrong(capsys):
    X, y = problem()
    ANNClassifier(solver="lbfgs", verbose=True, tol=1e9, random_state=0).fit(X, y)
    assert capsys.readouterr().out == ""
