"""Models that earlier releases have saved still load and predict the same (see tests/golden)."""

import pickle

import joblib
import numpy as np
import pytest

from skann.export import TRUSTED_TYPES
from tests.data import problem
from tests.golden import FOLDER

pytestmark = pytest.mark.kernels

FILES = sorted(
    path for path in FOLDER.glob("*/*.*") if path.suffix in (".pickle", ".joblib", ".skops")
)


def load(path):
    if path.suffix == ".pickle":
        return pickle.loads(path.read_bytes())
    if path.suffix == ".joblib":
        return joblib.load(path)
    return pytest.importorskip("skops.io").load(path, trusted=TRUSTED_TYPES)


def test_there_are_files_of_every_kind_of_the_first_release():
    found = {path.name for path in FILES if path.parent.name == "0.1.0"}
    names = ("binary", "lbfgs", "multiclass", "multilabel", "warm")
    assert found == {f"{name}.{kind}" for name in names for kind in ("pickle", "joblib", "skops")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
class TestGoldenFile:
    def test_predicts_what_it_did(self, path):
        expected = np.load(path.parent / "expected.npz")
        model = load(path)
        X = expected["X"]
        probabilities = expected[f"{path.stem}_probabilities"]
        # Room for another BLAS, which may sum in another order.
        np.testing.assert_allclose(model.predict_proba(X), probabilities, rtol=1e-5, atol=1e-6)
        assert model.predict_proba(X).dtype == probabilities.dtype
        np.testing.assert_array_equal(model.predict(X), expected[f"{path.stem}_labels"])

    def test_has_its_fitted_attributes(self, path):
        model = load(path)
        assert model.n_features_in_ == model.coefs_[0].shape[0] == 4
        assert len(model.history_) == len(model.loss_curve_) == model.n_iter_
        assert model.history_[-1]["loss"] == model.loss_
        assert repr(model).startswith("ANNClassifier(")

    def test_can_be_trained_on(self, path):
        model = load(path).set_params(early_stopping=False)
        kind = path.stem if path.stem.startswith("multi") else "binary"
        X, y = problem("multilabel-indicator" if kind == "multilabel" else kind)
        y = model.classes_[y] if kind == "binary" else y
        before, losses = model.coefs_[0].copy(), model.loss_curve_
        if model.solver == "lbfgs":
            model.set_params(warm_start=True, tol=1e-5).fit(X, y)
            assert model.loss_ < losses[-1]
        else:
            model.partial_fit(X, y)
            assert model.loss_curve_[:-1] == losses
        assert (model.coefs_[0] != before).any()


def test_the_state_of_the_optimizer_is_that_of_the_pickle():
    path = FOLDER / "0.1.0"
    pytest.importorskip("skops.io")
    X, y = problem("binary")
    models = [load(path / f"warm{suffix}").fit(X, y) for suffix in (".pickle", ".skops")]
    np.testing.assert_array_equal(*(model.coefs_[0] for model in models))
