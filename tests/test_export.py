"""ONNX, skops and memory-mapped files give the predictions of the classifier they were made of."""

import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier
from skann.callbacks import Checkpoint
from skann.engine.activations import ACTIVATIONS
from skann.engine.embeddings import EMBEDDINGS
from skann.export import _ACTIVATIONS, TRUSTED_TYPES, register_onnx
from tests.data import KINDS, problem, quick

onnx = pytest.importorskip("onnx")
skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parent.parent
TENSORS = {"zipmap": False}
# Stacks of two or three layers: deeper ones of layers this small hardly learn.
STACKS = [list(ACTIVATIONS)[start::4] for start in range(4)]
OPSETS = [9, 11, 13, 15, 17, 18, skl2onnx.__max_supported_opset__]


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register_onnx()


def convert(model, X, **settings):
    return skl2onnx.to_onnx(model, X[:1], **({"options": TENSORS} | settings))


def session(converted):
    data = converted.SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def run(model, X, **settings):
    converted = convert(model, X, **settings)
    onnx.checker.check_model(converted, full_check=True)
    return session(converted).run(None, {"X": X})


def assert_same_predictions(model, X, **settings):
    labels, probabilities = run(model, X, **settings)
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=0, atol=1e-5)
    assert np.ptp(probabilities[:, 0]) > 0.2  # Else the comparison would say little.


def outspoken(model, X):
    """Spread the scores of a model, so that its probabilities are anything from 0 to 1."""
    scores = model.decision_function(X)
    scale = 2 / scores.std(axis=0)
    assert np.max(scale) < 150  # It multiplies the rounding of the scores too.
    model.coefs_[-1] *= scale
    model.intercepts_[-1] -= scores.mean(axis=0)
    model.intercepts_[-1] *= scale
    return model


def clip(values):
    np.clip(values, -1, 1, out=values)


def whole_numbers(kind):
    """Return rows of small whole numbers, which every input type holds."""
    X, y = problem(kind)
    return np.round(3 * (X - X.min())), y


class TestMatrix:
    @pytest.mark.parametrize("normalization", [None, "batch", "layer"])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_activations_outputs_normalizations_and_input_types(
        self, activation, kind, normalization
    ):
        X, y = whole_numbers(kind)
        model = quick(
            hidden_layer_sizes=(8, 6),
            activation=activation,
            normalization=normalization,
            input_scaling="standard",
            alpha=0.1,
        ).fit(X, y)
        outspoken(model, X)
        for dtype in ("float32", "float64", "int64", "uint8"):
            assert_same_predictions(model, X.astype(dtype))

    def test_every_activation_has_a_graph(self):
        assert list(_ACTIVATIONS) == list(ACTIVATIONS)

    def test_another_activation_takes_a_graph_of_its_own(self, monkeypatch):
        monkeypatch.setitem(ACTIVATIONS, "hard_tanh", ACTIVATIONS["tanh"]._replace(function=clip))
        X, y = problem()
        model = quick(activation=["hard_tanh"]).fit(X, y)
        form = lambda graph, x: graph("Max", graph("Min", x, 1.0), -1.0)  # noqa: E731  as in the docs
        monkeypatch.setitem(_ACTIVATIONS, "hard_tanh", form)
        assert_same_predictions(model, X.astype(np.float32))

    @pytest.mark.parametrize("opset", OPSETS)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("normalization", ["batch", "layer"])
    def test_operator_sets(self, opset, dtype, normalization):
        X, y = problem()
        for activations in STACKS:
            model = quick(
                hidden_layer_sizes=(16,) * len(activations),
                activation=activations,
                dtype=dtype,
                normalization=normalization,
                input_scaling="standard",
                input_clip=2.0,
                max_iter=20,
            ).fit(X, y)
            assert_same_predictions(model, X.astype(dtype), target_opset=opset)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("activation", ["tanh", "gelu"])
    def test_lbfgs(self, activation, kind):
        X, y = problem(kind)
        model = quick(solver="lbfgs", activation=activation, max_iter=2000).fit(X, y)
        for dtype in ("float32", "float64"):
            assert_same_predictions(model, X.astype(dtype))

    @pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_several_members(self, kind, dtype, opset):
        X, y = problem(kind)
        model = quick(n_members=3, dtype=dtype, normalization="layer", max_iter=40).fit(X, y)
        X = X.astype(dtype)
        assert_same_predictions(model, X, target_opset=opset)
        for coef in model.coefs_:  # Members as sure as can be.
            coef *= 30
        assert_same_predictions(model, X, target_opset=opset)
        raw = {"options": {**TENSORS, "raw_scores": True}}
        scores, expected = run(model, X, target_opset=opset, **raw)[1], model.decision_function(X)
        if kind == "binary":
            expected = np.column_stack([-expected, expected])
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("embedding", EMBEDDINGS)
    def test_numerical_embedding(self, embedding, dtype, opset):
        X, y = problem()
        settings = {"numerical_embedding": embedding, "n_members": 2, "input_scaling": "standard"}
        model = outspoken(quick(dtype=dtype, max_iter=40, **settings).fit(X, y), X)
        assert_same_predictions(model, X.astype(dtype), target_opset=opset)

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_hidden_layer(self, kind):
        X, y = problem(kind)
        model = outspoken(quick(hidden_layer_sizes=()).fit(X, y), X)
        assert_same_predictions(model, X.astype(np.float32))


class TestInputs:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "int8", "uint8"])
    @pytest.mark.parametrize("clip", [None, 1.5])
    @pytest.mark.parametrize("scaling", [None, "standard", "maxabs"])
    def test_scaling_and_clip(self, scaling, clip, dtype):
        X, y = whole_numbers("multiclass")
        X = X.astype(dtype)
        model = outspoken(quick(input_scaling=scaling, input_clip=clip).fit(X, y), X)
        assert_same_predictions(model, X)

    @pytest.mark.parametrize("unit", [1e-60, 1e45])
    @pytest.mark.parametrize("scaling", ["standard", "maxabs"])
    def test_scaling_of_doubles_beyond_single_precision(self, scaling, unit):
        X, y = problem()
        X = X * unit
        assert_same_predictions(quick(input_scaling=scaling, max_iter=30).fit(X, y), X)

    def test_a_shift_keeps_the_precision_of_double_inputs(self):
        X, y = problem()
        X = X + 1e8  # In float32 all rows would be the same.
        model = quick(input_scaling="standard", max_iter=20).fit(X, y)
        assert_same_predictions(model, X)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_clip_does_not_overflow(self, dtype):
        X, y = problem()
        model = quick(input_clip=3.0, max_iter=20, dtype=dtype).fit(X, y)
        X = (X * [1e30, -1e37, 1, 1e-30]).astype(dtype)
        assert_same_predictions(model, X)

    def test_a_model_of_sparse_rows_takes_dense_ones(self):
        sparse = pytest.importorskip("scipy.sparse")
        X, y = problem()
        model = quick(input_scaling="standard", max_iter=20).fit(sparse.csr_array(X), y)
        assert_same_predictions(model, X.astype(np.float32))


class TestProbabilities:
    @pytest.mark.parametrize("kind", KINDS)
    def test_of_huge_scores_are_numbers(self, kind):
        X, y = problem(kind)
        model = outspoken(quick().fit(X, y), X)
        model.coefs_[-1] *= 1e4
        model.intercepts_[-1] *= 1e4
        assert_same_predictions(model, X.astype(np.float32))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_have_the_dtype_of_the_inputs_as_those_of_other_classifiers(self, dtype):
        X, y = problem()
        X = X.astype(dtype)
        ours, theirs = (
            [output.type for output in session(convert(model.fit(X, y), X)).get_outputs()]
            for model in (quick(), LogisticRegression())
        )
        assert ours == theirs


class TestLabels:
    @pytest.mark.parametrize(
        "classes",
        [
            np.array([3, -1, 7]),
            np.array([3, 1, 7], np.uint8),
            np.array([1.0, 2.0, 4.0]),
            np.array(["ä", "bb", ""]),
            np.array(["ä", "bb", "c"], object),
        ],
        ids=repr,
    )
    def test_multiclass(self, classes):
        X, y = problem()
        assert_same_predictions(quick().fit(X, classes[y]), X.astype(np.float32))

    @pytest.mark.parametrize(
        "classes", [np.array([-1, 1]), np.array([False, True]), np.array(["no", "yes"])], ids=repr
    )
    def test_binary(self, classes):
        X, y = problem("binary")
        assert_same_predictions(quick().fit(X, classes[y]), X.astype(np.float32))

    def test_that_onnx_does_not_have_are_an_error(self):
        X, y = problem("binary")
        model = quick().fit(X, np.array([1, 2**63], np.uint64)[y])
        with pytest.raises(OverflowError, match="too large"):
            run(model, X)

    def test_without_their_names(self):
        X, y = problem("binary")
        X = X.astype(np.float32)
        model = quick().fit(X, np.array(["no", "yes"])[y])
        labels, _ = run(model, X, options=TENSORS | {"nocl": True})
        np.testing.assert_array_equal(labels, model.predict(X) == "yes")


def summary(value):
    """Return what an output is made of."""
    if isinstance(value, list):
        return [value[0].keys()]
    return value.shape, value.dtype


class TestOptions:
    @pytest.mark.parametrize("in_pipeline", [False, True])
    @pytest.mark.parametrize("options", [None, {}, *({"zipmap": z} for z in (True, "columns"))])
    @pytest.mark.parametrize("kind", KINDS)
    def test_outputs_are_those_of_other_classifiers(self, kind, options, in_pipeline):
        X, y = problem(kind)
        X = X.astype(np.float32)
        if kind == "binary":
            y = np.array(["no", "yes"])[y]
        sessions, outputs = [], []
        for model in (quick(), MLPClassifier((4,), tol=1.0, n_iter_no_change=1)):
            model.fit(X, y)
            whole = make_pipeline(StandardScaler(), model).fit(X, y) if in_pipeline else model
            chosen = None if options is None else {id(model): options}
            sessions.append(session(convert(whole, X, options=chosen)))
            outputs.append(sessions[-1].run(None, {"X": X}))
        ours, theirs = ([each.name for each in running.get_outputs()] for running in sessions)
        assert ours == theirs
        assert [summary(value) for value in outputs[0]] == [summary(value) for value in outputs[1]]

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_dictionaries_hold_the_probabilities(self, dtype):
        # Also of doubles, of which scikit-learn's classifiers give a model that cannot be run.
        X, y = problem("binary")
        X = X.astype(dtype)
        model = quick(dtype=dtype).fit(X, np.array(["no", "yes"])[y])
        _, rows = run(model, X, options=None)
        found = [[row["no"], row["yes"]] for row in rows]
        np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_raw_scores(self, kind):
        X, y = problem(kind)
        X = X.astype(np.float32)
        model = quick().fit(X, y)
        labels, scores = run(model, X, options=TENSORS | {"raw_scores": True})
        expected = model.decision_function(X)
        if kind == "binary":
            expected = np.column_stack([-expected, expected])
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(labels, model.predict(X))

    def test_unknown_ones_are_an_error(self):
        X, y = problem()
        with pytest.raises(NameError, match="'raw' not in"):
            run(quick().fit(X, y), X, options={"raw": True})


class TestRegistration:
    def test_of_a_subclass(self):
        class Mine(ANNClassifier):
            pass

        X, y = problem()
        model = Mine((8,), max_iter=20, random_state=0).fit(X, y)
        register_onnx(Mine)
        assert_same_predictions(model, X.astype(np.float32))

    def test_needs_a_fitted_classifier(self):
        # The words are skl2onnx's own, for all classifiers.
        with pytest.raises(RuntimeError, match=r"number of classes for .*ANNClassifier"):
            skl2onnx.to_onnx(quick(), problem()[0])

    def test_without_skl2onnx_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "skl2onnx", None)
        with pytest.raises(ImportError, match='python -m pip install "skl2onnx>=1.19.1,<1.21"$'):
            register_onnx()


class TestInsideOtherEstimators:
    X, y = problem()

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_pipeline(self, kind, dtype):
        X, y = problem(kind)
        X = X.astype(dtype)
        model = make_pipeline(StandardScaler(), quick(max_iter=20)).fit(X, y)
        assert_same_predictions(model, X)

    def test_columns(self):
        X = self.X.astype(np.float32)
        scaled = make_column_transformer((StandardScaler(), [0, 2]), ("passthrough", [1, 3]))
        assert_same_predictions(make_pipeline(scaled, quick(max_iter=20)).fit(X, self.y), X)

    @pytest.mark.parametrize(
        "model",
        [
            GridSearchCV(quick(max_iter=20), {"alpha": [0.1, 1.0]}, cv=2),
            GridSearchCV(make_pipeline(StandardScaler(), quick()), {}, cv=2),
            VotingClassifier(
                [("a", quick(max_iter=20)), ("b", quick())], voting="soft", flatten_transform=False
            ),
            CalibratedClassifierCV(quick(max_iter=20), cv=2),
        ],
        ids=lambda model: type(model).__name__,
    )
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_meta_estimators(self, dtype, model):
        X = self.X.astype(dtype)
        assert_same_predictions(model.fit(X, self.y), X)


CONFIGURATIONS = {
    "default": {},
    "history": {
        "early_stopping": True,
        "validation_fraction": 0.2,
        "input_scaling": "standard",
        "input_clip": 3.0,
        "normalization": "batch",
        "activation": ["gelu", "tanh"],
        "hidden_layer_sizes": (8, 6),
    },
    "optimizer": {"solver": "sgd", "warm_start": True, "learning_rate": "cosine"},
    "adamw": {"solver": "adamw", "warm_start": True, "ema_decay": 0.9, "max_norm": 3.0},
    "lbfgs": {"solver": "lbfgs", "max_iter": 2000, "warm_start": True},
    "random_state": {"random_state": np.random.RandomState(0), "class_weight": "balanced"},
    "weights": {"class_weight": {0: 1.0, 1: 2.0, 2: 3}, "alpha": np.float32(0.5)},
}


class TestSkops:
    @pytest.fixture
    def io(self):
        return pytest.importorskip("skops.io")

    @pytest.mark.parametrize("changes", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
    def test_files_need_no_other_types(self, io, changes, tmp_path):
        X, y = problem()
        model = quick(**changes).fit(X, y)
        io.dump(model, tmp_path / "model.skops")
        untrusted = io.get_untrusted_types(file=tmp_path / "model.skops")
        assert set(untrusted) <= set(TRUSTED_TYPES)
        loaded = io.load(tmp_path / "model.skops", trusted=TRUSTED_TYPES)
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert loaded.history_ == model.history_
        assert np.shares_memory(loaded.coefs_[0], loaded._model.network.parameters)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("method", ["fit", "partial_fit"])
    def test_loaded_models_are_trained_on_like_the_original(self, io, kind, method):
        X, y = problem(kind)
        model = quick(solver="adamw", warm_start=True, dropout=0.2).fit(X, y)
        loaded = io.loads(io.dumps(model), trusted=TRUSTED_TYPES)
        for each in (model, loaded):
            getattr(each, method)(X, y)
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))

    @pytest.mark.parametrize("classes", [["a", "b", "c"], [0.0, 1.0, 2.0], [10, 20, 30]])
    def test_labels_and_feature_names(self, io, classes):
        pd = pytest.importorskip("pandas")
        X, y = problem()
        X = pd.DataFrame(X, columns=list("abcd"))
        model = make_pipeline(StandardScaler().set_output(transform="pandas"), quick())
        model.fit(X, np.array(classes)[y])
        loaded = io.loads(io.dumps(model), trusted=TRUSTED_TYPES)
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        np.testing.assert_array_equal(loaded[-1].feature_names_in_, list("abcd"))

    def test_all_listed_types_are_needed(self, io):
        X, y = problem()
        untrusted = io.get_untrusted_types(data=io.dumps(quick(warm_start=True).fit(X, y)))
        assert set(untrusted) == set(TRUSTED_TYPES)

    def test_functions_are_not_trusted(self, io):
        X, y = problem()
        model = quick(learning_rate=_half).fit(X, y)
        assert any("_half" in name for name in io.get_untrusted_types(data=io.dumps(model)))

    def test_callbacks_are_to_be_taken_off(self, io, tmp_path):
        X, y = problem()
        model = quick().set_callbacks(Checkpoint(tmp_path / "fit.npz")).fit(X, y)
        data = io.dumps(model.set_callbacks())
        assert set(io.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)


def _half(step):
    return 0.5


class TestMemoryMap:
    @pytest.fixture
    def path(self, tmp_path):
        X, y = problem()
        model = quick(hidden_layer_sizes=(64, 32), input_scaling="standard", warm_start=True)
        joblib.dump(model.fit(X, y), tmp_path / "model.joblib")
        return tmp_path / "model.joblib"

    def test_parameters_are_the_file(self, path):
        X, y = problem()
        loaded, copied = joblib.load(path, mmap_mode="r"), joblib.load(path)
        vector = loaded._model.network.parameters
        assert isinstance(vector, np.memmap)
        assert vector.filename == str(path)
        assert not vector.flags.owndata
        for array in [*loaded.coefs_, *loaded.intercepts_]:
            assert np.shares_memory(array, vector)
            assert not array.flags.writeable
        np.testing.assert_array_equal(loaded.predict_proba(X), copied.predict_proba(X))
        np.testing.assert_array_equal(loaded.predict(X), copied.predict(X))
        for ours, theirs in zip(loaded.coefs_, copied.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert loaded.loss_curve_ == copied.loss_curve_

    def test_training_on_leaves_the_file_alone(self, path):
        X, y = problem()
        before = path.read_bytes()
        loaded, copied = joblib.load(path, mmap_mode="r"), joblib.load(path)
        for model in (loaded, copied):
            model.fit(X, y)
        np.testing.assert_array_equal(loaded.coefs_[0], copied.coefs_[0])
        assert path.read_bytes() == before

    def test_processes_share_it(self, path):
        # What one process writes into the file shows in the other: neither has a copy.
        X, _ = problem()
        code = textwrap.dedent(
            f"""
            import joblib
            from tests.data import problem

            model = joblib.load({str(path)!r}, mmap_mode="r")
            for _ in range(2):
                print(*model.decision_function(problem()[0])[0].tolist(), flush=True)
                input()
            """
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        first = np.array(process.stdout.readline().split(), float)
        model = joblib.load(path, mmap_mode="r+")
        model.intercepts_[-1] += 1
        output, _ = process.communicate("\n\n")
        second = np.array(output.split(), float)
        assert process.returncode == 0
        np.testing.assert_allclose(second, first + 1, rtol=1e-5, atol=1e-6)
