"""A user is told when training has made nothing of the network, and not when it has."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import scale

from skann import ANNClassifier
from tests.data import KINDS, problem, quick


class TestHopelessRates:
    @pytest.mark.parametrize("load", [load_iris, load_wine, load_digits])
    @pytest.mark.parametrize("rate", [1e3, 1e6])
    @pytest.mark.parametrize("solver", ["adam", "adamw"])
    def test_warn_of_themselves(self, solver, rate, load):
        X, y = load(return_X_y=True)
        model = ANNClassifier(
            solver=solver,
            learning_rate_init=rate,
            input_scaling="standard",
            max_iter=5,
            random_state=0,
        )
        with pytest.warns(ConvergenceWarning, match=re.escape(f" (here {rate:g})")) as caught:
            model.fit(X, y)
        assert len(caught) == 1
        assert caught[0].filename == __file__

    @pytest.mark.parametrize("kind", KINDS)
    def test_of_every_kind_of_target(self, kind):
        X, y = problem(kind)
        with pytest.warns(ConvergenceWarning, match=r"Training failed.*here 1e\+06"):
            quick(learning_rate_init=1e6, random_state=1).fit(X, y)

    def test_of_sgd(self):
        X, y = load_wine(return_X_y=True)  # Not scaled: the default rate is too high.
        model = ANNClassifier(solver="sgd", random_state=0, max_iter=10)
        with pytest.warns(ConvergenceWarning, match=r"here 0.05.*input_scaling='standard'"):
            model.fit(X, y)
        model.set_params(input_scaling="standard").fit(X, y)
        assert model.score(X, y) > 0.95

    def test_one_column_that_drowns_the_others(self):
        X, y = load_digits(return_X_y=True)
        X = scale(X)
        X[:, 20] *= 1e3
        model = ANNClassifier((64, 32), max_iter=10, random_state=0)
        with pytest.warns(ConvergenceWarning, match="hardly better than .*input_scaling") as caught:
            model.fit(X, y)
        numbers = re.search(r"log-loss, ([\d.]+), .* and ([\d.]+)\.", str(caught[0].message))
        loss, of_frequencies = map(float, numbers.groups())
        assert 0.95 * of_frequencies < loss < 1.05 * of_frequencies

    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_that_killed_all_units(self, kind, activation):
        X, y = problem(kind)
        model = quick(learning_rate_init=1e4, activation=activation, gradient_clip_norm=1.0)
        with pytest.warns(ConvergenceWarning, match="gives all rows the same"):
            model.fit(X, y)
        probabilities = model.predict_proba(X)
        assert np.ptp(probabilities, axis=0).max() < 1e-3

    @pytest.mark.parametrize("share", [0.5, 0.05])
    def test_that_killed_all_units_where_one_class_is_rare(self, share):
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((600, 5)), (rng.random(600) < share).astype(int)
        with pytest.warns(ConvergenceWarning, match="gives all rows the same"):
            quick(learning_rate_init=1e4, gradient_clip_norm=1.0).fit(X, y)

    def test_penalties_of_lbfgs(self):
        X, y = problem()
        with pytest.warns(ConvergenceWarning, match="same.* causes are too large an alpha"):
            quick(solver="lbfgs", alpha=1e5, max_iter=50).fit(X, y)

    def test_that_killed_all_units_on_sparse_rows(self):
        X, y = problem()
        with pytest.warns(ConvergenceWarning, match="gives all rows the same"):
            quick(learning_rate_init=1e4, gradient_clip_norm=1.0).fit(sparse.csr_array(X), y)

    def test_name_small_weights_which_make_the_penalty_large(self):
        X, y = problem()
        weights = np.full(len(y), 1 / len(y))
        with pytest.warns(ConvergenceWarning, match="here 10, for weights with a mean of 0.0166"):
            quick(alpha=10, learning_rate_init=0.1).fit(X, y, weights)

    def test_take_the_place_of_the_advice_to_train_longer(self):
        X, y = problem()
        settings = {"learning_rate": "constant", "tol": 0.0, "n_iter_no_change": np.inf}
        with pytest.warns(ConvergenceWarning, match="Training failed") as caught:
            quick(learning_rate_init=1e6, **settings).fit(X, y)
        assert len(caught) == 1

    def test_in_a_warm_start(self):
        X, y = problem()
        model = quick(warm_start=True, max_iter=20).fit(X, y)
        with pytest.warns(ConvergenceWarning, match="Training failed"):
            model.set_params(learning_rate_init=1e6).fit(X, y)

    def test_are_not_told_by_partial_fit(self):
        X, y = problem()
        model = quick(learning_rate_init=1e6)
        for _ in range(3):
            model.partial_fit(X, y, [0, 1, 2])


class TestNoFalseAlarm:
    @settings(max_examples=60, deadline=None)
    @given(
        kind=st.sampled_from(KINDS),
        seed=st.integers(0, 2**16),
        n_rows=st.integers(20, 80),
        size=st.floats(0.01, 1.0),
        rare=st.booleans(),
        parameters=st.fixed_dictionaries(
            {
                "hidden_layer_sizes": st.sampled_from([(), (1,), (8,), (8, 4)]),
                "activation": st.sampled_from(["relu", "tanh", "gelu", "selu"]),
                "solver": st.sampled_from(["adam", "adamw"]),
                "learning_rate_init": st.just("auto") | st.floats(1e-12, 0.02),
                "max_iter": st.sampled_from([1, 2, 3, 10]),
                "batch_size": st.sampled_from([4, 16, 64]),
                "alpha": st.sampled_from([0.0, 0.05, 1.0]),
                "dropout": st.sampled_from([0.0, 0.5]),
                "input_noise": st.sampled_from([0.0, 1.0]),
                "label_smoothing": st.sampled_from([0.0, 0.5]),
                "normalization": st.sampled_from([None, "batch", "layer"]),
                "class_weight": st.sampled_from([None, "balanced"]),
                "ema_decay": st.sampled_from([None, 0.99]),
            }
        ),
    )
    def test_on_random_labels(self, kind, seed, n_rows, size, rare, parameters):
        rng = np.random.default_rng(seed)
        X = size * rng.standard_normal((n_rows, 3))
        shape = (n_rows, 3) if kind == "multilabel-indicator" else n_rows
        y = rng.integers(0, 3 if kind == "multiclass" else 2, shape)
        if rare:
            y[rng.random(n_rows) < 0.9] = 0
        y[:2] = [[0], [1]] if y.ndim == 2 else [0, 1]
        weights = None
        if seed % 2:
            weights = rng.random(n_rows) ** 4
            # Smaller ones would make the penalty larger, and then the alarm is right.
            weights /= weights.mean()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = ANNClassifier(random_state=seed, **parameters).fit(X, y, weights)
        if min(parameters["hidden_layer_sizes"], default=8) < 8:
            # The few units may all have died, which is no false alarm.
            is_dead = np.ptp(model.predict_proba(X), axis=0).max() < 1e-3
            caught = [w for w in caught if not (is_dead and "all rows" in str(w.message))]
        assert caught == []

    def test_of_a_network_that_is_right_but_far_too_sure(self):
        X, y = load_wine(return_X_y=True)
        model = ANNClassifier(
            learning_rate_init=10, input_scaling="standard", max_iter=10, random_state=0
        )
        assert max(model.fit(X, y).loss_curve_) > 10
        assert model.score(X, y) > 0.9

    @pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
    def test_where_no_feature_tells_the_classes_apart(self, make):
        X, y = make(np.ones((30, 3))), np.arange(30) % 2
        assert np.ptp(quick(max_iter=20).fit(X, y).predict_proba(X), axis=0).max() < 1e-6

    @pytest.mark.parametrize("changes", [{"learning_rate_init": 1.0}, {"solver": "lbfgs"}], ids=str)
    @pytest.mark.parametrize(("kind", "n_rows"), [("binary", 10), ("multiclass", 12)])
    @pytest.mark.parametrize("weigh", ["sample_weight", "class_weight"])
    def test_where_one_class_alone_has_weight(self, changes, kind, n_rows, weigh):
        rng = np.random.default_rng(0)
        X = 10 * rng.standard_normal((n_rows, 4))
        y = np.arange(n_rows) % (2 if kind == "binary" else 3)
        model = ANNClassifier(random_state=0, **changes)
        if weigh == "class_weight":
            model.set_params(class_weight={0: 0, 1: 0.3, 2: 0} if y.max() == 2 else {0: 0, 1: 0.3})
            model.fit(X, y)
        else:
            model.fit(X, y, sample_weight=np.where(y == 1, rng.uniform(0.1, 3, n_rows), 0))
        assert (model.predict(X[y == 1]) == 1).all()

    def test_where_all_rows_with_weight_have_the_same_labels(self):
        X = 10 * np.random.default_rng(0).standard_normal((30, 4))
        y = np.eye(3, dtype=int)[np.arange(30) % 3]
        model = ANNClassifier(random_state=0, learning_rate_init=0.5)
        model.fit(X, y, sample_weight=y[:, 1])
        np.testing.assert_array_equal(model.predict(X[y[:, 1] == 1]), y[y[:, 1] == 1])

    def test_in_cross_validation_at_defaults(self):
        X, y = load_iris(return_X_y=True)
        assert cross_val_score(ANNClassifier(random_state=0), X, y).mean() > 0.9


_SCALES = "The features are on very different scales: .*input_scaling='standard'.*StandardScaler"


def _wide_table(n_rows=300):
    """Return rows whose class is told as much by the wide feature as by each of two narrow ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 5))
    y = (X[:, 0] + X[:, 1] + X[:, 4] > 0).astype(int)
    return X * [1, 1, 1, 1, 500], y


class TestVeryDifferentScales:
    @pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_warn_once_in_every_fold(self, seed, load):
        X, y = load(return_X_y=True)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        for train, _ in folds.split(X, y):
            with pytest.warns(ConvergenceWarning, match=_SCALES) as caught:
                ANNClassifier(random_state=seed).fit(X[train], y[train])
            assert len(caught) == 1
            assert caught[0].filename == __file__

    @pytest.mark.parametrize("make", [np.float32, sparse.csr_array, sparse.csc_matrix])
    def test_warn_for_any_container(self, make):
        X, y = load_wine(return_X_y=True)
        with pytest.warns(ConvergenceWarning, match=_SCALES):
            ANNClassifier(random_state=0).fit(make(X), y)

    def test_warn_with_weights_and_rows_held_out(self):
        X, y = load_wine(return_X_y=True)
        weights = np.random.default_rng(0).integers(0, 3, len(y))
        with pytest.warns(ConvergenceWarning, match=_SCALES):
            ANNClassifier(random_state=0, early_stopping=True).fit(X, y, weights)

    def test_warn_of_one_wide_feature(self):
        X, y = _wide_table()
        model = ANNClassifier(random_state=0)
        with pytest.warns(ConvergenceWarning, match=_SCALES):
            model.fit(X, y)
        assert model.set_params(input_scaling="standard").fit(X, y).score(X, y) > 0.95

    def test_warn_for_two_features(self):
        X = _wide_table()[0][:, [0, 4]]
        y = (250 * X[:, 0] + X[:, 1] > 0).astype(int)
        with pytest.warns(ConvergenceWarning, match=_SCALES):
            ANNClassifier(random_state=0).fit(X, y)

    def test_of_weightless_rows_do_not_count(self):
        X, y = load_iris(return_X_y=True)
        X, y = np.vstack([X, 1e4 * X[:5] * [1, 0, 0, 0]]), np.append(y, y[:5])
        weights = np.repeat([1, 0], [len(y) - 5, 5])
        ANNClassifier(random_state=0).fit(X, y, weights)

    @pytest.mark.parametrize(
        "changes",
        [{"input_scaling": "standard"}, {"input_scaling": "maxabs"}, {"max_iter": 4}],
        ids=str,
    )
    def test_of_scaled_inputs_or_few_epochs_give_no_warning(self, changes):
        X, y = load_wine(return_X_y=True)
        assert ANNClassifier(random_state=0, **changes).fit(X, y).n_iter_ >= 4

    def test_that_do_no_harm_give_no_warning(self):
        X, y = _wide_table()
        y = (X[:, 4] > 0).astype(int)  # The wide feature tells all.
        assert ANNClassifier(random_state=0).fit(X, y).score(X, y) > 0.95

    def test_give_no_warning_in_partial_fit(self):
        X, y = _wide_table()
        model = ANNClassifier(random_state=0)
        for _ in range(6):
            model.partial_fit(X, y, [0, 1])
        assert model.score(X, y) < 0.95


class TestOneScale:
    @pytest.mark.parametrize("make", [np.asarray, scale, sparse.csr_array])
    @pytest.mark.parametrize("dtype", [np.float64, np.uint8])
    def test_of_pixels(self, dtype, make):
        X, y = load_digits(return_X_y=True)
        y = np.random.default_rng(0).permutation(y)  # Not learned: only the spreads decide.
        model = ANNClassifier(learning_rate_init=1e-3, random_state=0, max_iter=5)
        model.fit(make(X.astype(dtype)), y)
        assert model.score(X, y) < 0.9

    @pytest.mark.parametrize("scheme", ["counts", "tfidf"])
    @pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_array.toarray])
    def test_of_words_rare_and_frequent(self, make, scheme):
        rng = np.random.default_rng(0)
        frequencies = 1 / np.arange(1, 3001)
        lengths = rng.poisson(200 * rng.lognormal(0, 0.7, 200))
        X = sparse.csr_array(rng.multinomial(lengths, frequencies / frequencies.sum()))
        if scheme == "tfidf":
            X = sparse.csr_array(TfidfTransformer().fit_transform(X))
        y = rng.integers(0, 2, 200)
        model = ANNClassifier((), random_state=0, max_iter=5, learning_rate_init=1e-4)
        assert model.fit(make(X), y).score(X, y) < 0.9

    def test_of_columns_that_do_not_vary(self):
        X, y = load_iris(return_X_y=True)
        y = np.random.default_rng(0).permutation(y)
        X = np.column_stack([X, np.zeros(len(X)), np.full(len(X), 0.1)])
        assert ANNClassifier(random_state=0).fit(X, y).score(X, y) < 0.9
