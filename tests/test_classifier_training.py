"""What shapes training, seen through the classifier: each setting alone, and its exact effect."""

import json

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skann import ANNClassifier
from skann.engine.activations import ACTIVATIONS
from skann.engine.initializers import INITIALIZERS
from skann.engine.schedules import SCHEDULES
from tests.data import KINDS, constant_rate, problem, quick

pytestmark = pytest.mark.kernels

X, y = problem()
MANY_X, MANY_Y = problem(n_rows=300)


def shrinking(step):
    return 0.99**step


FEATURES = {
    "activation": {"activation": ["gelu"]},
    "adamw": {"solver": "adamw", "alpha": 0.5},
    "learning_rate": {"learning_rate": shrinking},
    "dropout": {"dropout": 0.3},
    "dropout by layer": {"dropout": [0.3]},
    "input_dropout": {"input_dropout": 0.2},
    "input_noise": {"input_noise": 0.3},
    "input_clip": {"input_clip": 1.0},
    "batch normalization": {"normalization": "batch"},
    "layer normalization": {"normalization": "layer"},
    "kernel_initializer": {"kernel_initializer": "orthogonal"},
    "label_smoothing": {"label_smoothing": 0.2},
    "max_norm": {"max_norm": 0.5},
    "gradient_clip_norm": {"gradient_clip_norm": 0.2},
    "warmup": {"warmup": 0.5},
    "ema_decay": {"ema_decay": 0.9},
    "n_members": {"n_members": 3},
    "periodic": {"numerical_embedding": "periodic"},
    "piecewise_linear": {"numerical_embedding": "piecewise_linear", "embedding_width": 2},
}
ALL = {
    "hidden_layer_sizes": (8, 6),
    "activation": ["gelu", "selu"],
    "solver": "adamw",
    "learning_rate": shrinking,
    "dropout": [0.3, 0.1],
    "input_dropout": 0.1,
    "input_noise": 0.1,
    "input_clip": 2.0,
    "input_scaling": "standard",
    "normalization": "batch",
    "kernel_initializer": "he_normal",
    "label_smoothing": 0.1,
    "max_norm": 2.0,
    "gradient_clip_norm": 1.0,
    "warmup": 0.2,
    "ema_decay": 0.9,
    "n_members": 2,
    "numerical_embedding": "periodic",
}
EVERY_FEATURE = pytest.mark.parametrize(
    "changes", [*FEATURES.values(), ALL], ids=[*FEATURES, "all"]
)


class TestEveryFeature:
    @EVERY_FEATURE
    def test_makes_another_model(self, changes):
        default = quick().fit(X, y)
        assert (quick(**changes).fit(X, y).predict_proba(X) != default.predict_proba(X)).any()

    @EVERY_FEATURE
    def test_is_the_same_for_the_same_seed_and_random_in_training_only(self, changes):
        one, other = (quick(**changes).fit(X, y) for _ in range(2))
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))

    @EVERY_FEATURE
    def test_is_off_where_the_network_is_validated(self, changes):
        scored = []
        model = quick(scoring=lambda estimator, X, y: scored.append(1) or estimator.score(X, y))
        model.set_params(**changes).fit(X, y, X_val=X, y_val=y)
        loss = log_loss(y, model.predict_proba(X))
        assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-5)
        assert model.validation_scores_[-1] == model.score(X, y)
        assert len(scored) == model.n_iter_

    @EVERY_FEATURE
    def test_learns(self, changes):
        model = quick(**changes).set_params(max_iter=40, learning_rate_init=0.02)
        assert model.fit(MANY_X[:200], MANY_Y[:200]).score(MANY_X[200:], MANY_Y[200:]) > 0.8

    @EVERY_FEATURE
    @pytest.mark.parametrize("kind", KINDS)
    def test_takes_every_kind_of_target(self, changes, kind):
        X, y = problem(kind)
        probabilities = quick(**changes).fit(X, y).predict_proba(X)
        assert probabilities.min() > 0
        assert probabilities.max() < 1

    @EVERY_FEATURE
    def test_class_weights_equal_sample_weights(self, changes):
        class_weight = {0: 1.0, 1: 3.0, 2: 0.5}
        weights = np.array(list(class_weight.values()))[y]
        by_class = quick(class_weight=class_weight, **changes).fit(X, y)
        by_sample = quick(**changes).fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(by_class.predict_proba(X), by_sample.predict_proba(X))

    # Batches in order of float32 rows are views of them.
    @EVERY_FEATURE
    @pytest.mark.parametrize(
        ("layout", "shuffle"),
        [("float32", False), ("float32", True), ("memory map", False), ("sparse", False)],
    )
    def test_never_writes_to_the_rows(self, changes, shuffle, layout, tmp_path):
        if layout == "sparse" and "input_noise" in changes:
            changes = changes | {"input_noise": 0.0}
        if layout == "sparse":
            changes = changes | {"numerical_embedding": None}
        before = X.astype(np.float32)
        held = sparse.csr_array(before) if layout == "sparse" else before.copy()
        if layout == "memory map":
            held = np.memmap(tmp_path / "rows", np.float32, "w+", shape=X.shape)
            held[:] = before
        quick(shuffle=shuffle, **changes).fit(held, y, X_val=held, y_val=y)
        after = held.toarray() if layout == "sparse" else np.array(held)
        np.testing.assert_array_equal(after, before)

    @EVERY_FEATURE
    def test_works_on_rows_that_cannot_be_written_to(self, changes):
        rows = X.astype(np.float32)
        expected = quick(shuffle=False, **changes).fit(rows, y).predict_proba(rows)
        rows.setflags(write=False)
        got = quick(shuffle=False, **changes).fit(rows, y).predict_proba(rows)
        np.testing.assert_array_equal(got, expected)

    @pytest.mark.parametrize(
        "name", [name for name in FEATURES if name not in ("warmup", "ema_decay", "learning_rate")]
    )
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_goes_on_in_a_warm_start_as_in_one_fit(self, name):
        # All but those that see a fit as a whole.
        settings = {"hidden_layer_sizes": 8, "warm_start": True, **FEATURES[name]}
        halves = constant_rate(max_iter=3, **settings)
        for _ in range(2):
            halves.fit(X, y)
        whole = constant_rate(max_iter=6, **settings).fit(X, y)
        np.testing.assert_array_equal(halves.predict_proba(X), whole.predict_proba(X))

    @EVERY_FEATURE
    def test_goes_on_in_partial_fit(self, changes):
        model = quick(**changes).partial_fit(X, y, [0, 1, 2])
        before = model.predict_proba(X)
        assert (model.partial_fit(X, y).predict_proba(X) != before).any()
        assert [record["epoch"] for record in model.history_] == [1, 2]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_learns(name):
    model = quick(activation=name, max_iter=40, learning_rate_init=0.02)
    assert model.fit(MANY_X[:200], MANY_Y[:200]).score(MANY_X[200:], MANY_Y[200:]) > 0.8


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_is_where_training_begins(name):
    # A rate of next to nothing leaves the weights where they were drawn.
    model = quick(kernel_initializer=name, learning_rate_init=1e-30, hidden_layer_sizes=(8, 8))
    coefs = model.fit(X, y).coefs_
    rng = np.random.default_rng(np.random.RandomState(0).randint(2**31 - 1))
    for coef in coefs:
        np.testing.assert_allclose(coef, INITIALIZERS[name](rng, *coef.shape), rtol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "sgd", "normalization": "batch"},
        {"solver": "sgd", "normalization": "layer"},
        {"solver": "sgd"},
        {"solver": "sgd", "alpha": 5.0},
        {"solver": "adam", "normalization": "batch"},
        {"solver": "adamw", "normalization": "batch"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("n_rows", "batch_size"), [(512, 64), (1024, 128), (256, 256)])
def test_one_row_more_than_whole_batches_costs_no_accuracy(changes, n_rows, batch_size):
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    X, y = images[order] / 16, digits[order]
    settings = {"batch_size": batch_size, "random_state": 0, **changes}
    whole, one_more = (
        ANNClassifier(**settings).fit(X[:n], y[:n]).score(X[1100:], y[1100:])
        for n in (n_rows, n_rows + 1)
    )
    assert one_more > whole - 0.02


class TestSparseRows:
    rows = np.where(np.random.default_rng(7).random(X.shape) < 0.3, X, 0)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"max_norm": 0.5},
            {"ema_decay": 0.8},
            {"gradient_clip_norm": 0.05},
            {"normalization": "batch"},
            {"normalization": "layer"},
            {"input_clip": 0.5},
            {"input_scaling": "maxabs"},
            {"dropout": 0.3},
        ],
        ids=repr,
    )
    def test_equal_dense_ones_with_decoupled_decay(self, changes):
        # Without a first moment, that would move rows of weights on that no batch touches.
        settings = {
            "solver": "adamw",
            "alpha": 3.0,
            "beta_1": 0.0,
            "epsilon": 1e-3,
            "batch_size": 3,
            "dtype": "float64",
        }
        dense, lazy = (
            quick(**settings | changes).fit(rows, y, X_val=rows, y_val=y)
            for rows in (self.rows, sparse.csr_array(self.rows))
        )
        np.testing.assert_allclose(
            lazy.predict_proba(self.rows), dense.predict_proba(self.rows), rtol=1e-7
        )
        for name in ("loss_curve_", "validation_loss_curve_"):
            np.testing.assert_allclose(getattr(lazy, name), getattr(dense, name), rtol=1e-8)

    def test_are_dropped_by_the_same_share_as_dense_ones(self):
        settings = {"input_dropout": 0.5, "max_iter": 60}
        of_sparse = quick(**settings).fit(sparse.csr_array(self.rows), y)
        of_dense = quick(**settings).fit(self.rows, y)
        without = quick(max_iter=60).fit(self.rows, y)
        losses = [np.mean(m.loss_curve_[-20:]) for m in (of_sparse, of_dense, without)]
        assert losses[0] == pytest.approx(losses[1], rel=0.1)
        assert losses[0] > 1.05 * losses[2]


class TestInputClip:
    rows = X * [1, 10, 100, 0.1]

    def clipped(self, rows, limit):
        return rows / np.sqrt(1 + (rows / limit) ** 2)

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("limit", [0.5, 3])
    @pytest.mark.parametrize("solver", ["adam", "adamw", "lbfgs"])
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_equals_clipped_rows(self, solver, limit, container):
        settings = {"solver": solver, "dtype": "float64"}
        inside = quick(input_clip=limit, **settings).fit(container(self.rows), y)
        before = quick(**settings).fit(container(self.clipped(self.rows, limit)), y)
        expected = before.predict_proba(self.clipped(self.rows, limit))
        np.testing.assert_allclose(inside.predict_proba(self.rows), expected, rtol=1e-6)
        got = inside.predict_proba(sparse.csr_array(self.rows))
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_comes_after_scaling(self):
        inside = quick(input_scaling="standard", input_clip=2.0, dtype="float64")
        pipeline = make_pipeline(
            StandardScaler(),
            FunctionTransformer(self.clipped, kw_args={"limit": 2.0}),
            quick(dtype="float64"),
        )
        np.testing.assert_allclose(
            inside.fit(self.rows, y).predict_proba(self.rows),
            pipeline.fit(self.rows, y).predict_proba(self.rows),
            rtol=1e-6,
        )

    def test_bounds_what_outliers_can_do(self):
        model = quick(input_scaling="standard", input_clip=2.0).fit(X, y)
        far, farther = np.full((1, 4), 1e6), np.full((1, 4), 1e9)
        np.testing.assert_allclose(
            model.predict_proba(far), model.predict_proba(farther), rtol=1e-3
        )

    def test_is_kept_by_partial_fit_and_forgotten_by_fit(self):
        model = quick(input_clip=0.5).partial_fit(X, y, [0, 1, 2])
        clipping = model.set_params(input_clip=None).partial_fit(X, y).predict_proba(X)
        always = quick(input_clip=0.5).partial_fit(X, y, [0, 1, 2]).partial_fit(X, y)
        np.testing.assert_array_equal(clipping, always.predict_proba(X))
        np.testing.assert_array_equal(
            model.fit(X, y).predict_proba(X), quick().fit(X, y).predict_proba(X)
        )


class TestLabelSmoothing:
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
    def test_moves_what_is_learned_towards_even_shares(self, kind, share, solver):
        # From features that say nothing, the shares of the targets are learned.
        y = problem(kind)[1]
        settings = {"hidden_layer_sizes": (), "alpha": 0.0, "tol": 1e-9, "dtype": "float64"}
        if solver == "sgd":
            settings |= {"batch_size": 60, "max_iter": 300, "learning_rate_init": 1.0}
        else:
            settings["max_iter"] = 1000
        model = quick(solver=solver, label_smoothing=share, **settings).fit(np.zeros((60, 2)), y)
        shares = y.mean(axis=0) if kind == "multilabel-indicator" else np.bincount(y) / 60
        n_values = 2 if kind == "multilabel-indicator" else len(shares)
        expected = (1 - share) * shares + share / n_values
        got = model.predict_proba(np.zeros((1, 2)))[0]
        np.testing.assert_allclose(got, expected, rtol=1e-3)
        assert model.label_smoothing_ == share

    def test_is_no_part_of_the_validation_loss(self):
        model = quick(label_smoothing=0.5).fit(X, y, X_val=X, y_val=y)
        loss = log_loss(y, model.predict_proba(X))
        assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("bound", [0.3, 1.0])
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
def test_weights_into_hidden_units_are_no_longer_than_max_norm(solver, bound):
    settings = {"hidden_layer_sizes": (8, 6), "max_iter": 20, "alpha": 0.1}
    model = quick(solver=solver, max_norm=bound, **settings)
    *hidden, last = model.fit(X, y).coefs_
    norms = np.concatenate([np.linalg.norm(coef, axis=0) for coef in hidden])
    assert norms.max() == pytest.approx(bound, rel=1e-5)
    assert np.linalg.norm(last, axis=0).max() > bound


class TestHistory:
    KEYS = (
        "epoch",
        "loss",
        "validation_score",
        "validation_loss",
        "learning_rate",
        "gradient_norm",
        "seconds",
    )

    @EVERY_FEATURE
    def test_holds_what_the_curves_hold(self, changes):
        model = quick(**changes).fit(X, y, X_val=X, y_val=y)
        assert len(model.history_) == model.n_iter_
        by_name = {name: [record[name] for record in model.history_] for name in self.KEYS}
        assert {tuple(record) for record in model.history_} == {self.KEYS}
        assert by_name["epoch"] == list(range(1, model.n_iter_ + 1))
        assert by_name["loss"] == model.loss_curve_
        assert by_name["validation_score"] == model.validation_scores_
        assert by_name["validation_loss"] == model.validation_loss_curve_
        assert min(by_name["gradient_norm"]) > 0
        assert np.isfinite(by_name["gradient_norm"]).all()
        assert min(by_name["seconds"]) >= 0
        assert json.loads(json.dumps(model.history_)) == model.history_

    @pytest.mark.parametrize("learning_rate", [*SCHEDULES, shrinking])
    @pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_holds_the_rate_of_the_last_step(self, solver, learning_rate):
        model = quick(solver=solver, learning_rate=learning_rate, warmup=0.5).fit(X, y)
        for record in model.history_:
            # Four batches in each of five epochs; twenty steps, ten of them to warm up.
            step = 4 * record["epoch"] - 1
            if callable(learning_rate):
                factor = learning_rate(step)
            else:
                factor = SCHEDULES[learning_rate].factory(
                    20, steps_per_epoch=4, rows_per_epoch=60, power_t=0.5
                )(step)
            expected = model.learning_rate_init_ * factor * min(1, (step + 1) / 10)
            assert record["learning_rate"] == pytest.approx(expected, rel=1e-12)

    def test_holds_no_rate_for_lbfgs_and_no_validation_without_rows(self):
        model = quick(solver="lbfgs", activation="tanh", max_iter=500).fit(X, y)
        for name in ("learning_rate", "validation_score", "validation_loss"):
            assert {record[name] for record in model.history_} == {None}
        assert [record["loss"] for record in model.history_] == model.loss_curve_
        norms = [record["gradient_norm"] for record in model.history_]
        assert norms[-1] < norms[0] / 100

    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_norms_of_one_batch_are_those_of_the_weights_that_it_begins_with(self, solver):
        # Without hidden layer, by hand: X^T (p - targets) / n.
        settings = {"hidden_layer_sizes": (), "alpha": 0.0, "label_smoothing": 0.0, "max_iter": 1}
        if solver == "adam":
            settings |= {"learning_rate": "constant", "learning_rate_init": 1e-300}
            settings |= {"batch_size": 60, "dtype": "float64"}
        with pytest.warns(match=r"reached|REACHED"):
            model = quick(solver=solver, **settings).fit(X, y)
        error = (model.predict_proba(X) - np.eye(3)[y]) / 60
        gradient = np.concatenate([(X.T @ error).ravel(), error.sum(axis=0)])
        expected = np.linalg.norm(gradient)
        assert model.history_[-1]["gradient_norm"] == pytest.approx(expected, rel=1e-6)

    def test_norms_are_those_before_clipping(self):
        settings = {"batch_size": 60, "max_iter": 1}
        norms = [
            quick(gradient_clip_norm=limit, **settings).fit(X, y).history_[0]["gradient_norm"]
            for limit in (None, 1e-3)
        ]
        assert norms[0] == norms[1] > 1e-3

    def test_goes_on_in_partial_fit_and_starts_anew_in_fit(self):
        model = quick().fit(X, y)
        first = list(model.history_)
        model.partial_fit(X, y)
        assert model.history_[:5] == first
        assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5, 6]
        assert model.fit(X, y).n_iter_ == len(model.history_) == 5


class TestAveragedWeights:
    def test_are_the_last_ones_where_all_steps_are_the_same(self):
        # A rate of next to nothing: every step's weights are the first.
        plain, averaged = (
            quick(learning_rate_init=1e-30, ema_decay=decay).fit(X, y) for decay in (None, 0.99)
        )
        np.testing.assert_allclose(averaged.predict_proba(X), plain.predict_proba(X), rtol=1e-5)

    def test_are_validated_and_decide_when_to_stop(self):
        settings = {"learning_rate": "constant", "learning_rate_init": 0.3, "max_iter": 30}
        settings |= {"early_stopping": True, "scoring": "loss", "n_iter_no_change": np.inf}
        held_out = {"X_val": MANY_X[200:], "y_val": MANY_Y[200:]}
        with pytest.warns(match="maximum iterations"):
            model = quick(ema_decay=0.98, **settings).fit(MANY_X[:200], MANY_Y[:200], **held_out)
        loss = log_loss(held_out["y_val"], model.predict_proba(held_out["X_val"]))
        assert -model.best_validation_score_ == pytest.approx(loss, rel=1e-5)
        # A high constant rate is noisy; the average takes the noise away.
        with pytest.warns(match="maximum iterations"):
            plain = quick(**settings).fit(MANY_X[:200], MANY_Y[:200], **held_out)
        ragged, smooth = (
            np.abs(np.diff(each.validation_loss_curve_)[5:]).mean() for each in (plain, model)
        )
        assert smooth < ragged / 2


class TestErrorsThatShowLate:
    """What only resolved settings, a split or a scorer can tell must not cost a fitted model."""

    @pytest.mark.parametrize(
        ("changes", "validation", "match"),
        [
            ({"learning_rate": lambda step: None}, {}, "learning_rate"),
            (
                {"scoring": "rand_score", "class_weight": "balanced"},
                {"X_val": X, "y_val": y},
                "rand_score",
            ),
        ],
    )
    def test_a_fitted_model_survives_them(self, changes, validation, match):
        model = quick().fit(X, y)
        before = model.predict_proba(X)
        with pytest.raises(ValueError, match=match):
            model.set_params(**changes).fit(X, y, **validation)
        np.testing.assert_array_equal(model.predict_proba(X), before)

    def test_one_row_that_a_split_leaves_to_batch_normalization(self):
        model = quick(normalization="batch", early_stopping=True, validation_fraction=0.5)
        with pytest.raises(ValueError, match="normalization"):
            model.fit(X[:2], [[0, 1], [1, 0]])


def test_partial_fit_is_at_a_constant_rate_whatever_the_warmup():
    plain, warm = (quick(warmup=share).partial_fit(X, y, [0, 1, 2]) for share in (0.0, 0.9))
    np.testing.assert_array_equal(warm.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("when", ["fit", "predict"])
def test_input_clip_clips_the_sum_of_sparse_entries_given_twice(when):
    values, columns, starts = np.ones(120), np.zeros(120, int), np.arange(0, 121, 2)
    twice = sparse.csr_array((values, columns, starts), shape=(60, 4))
    # Without a penalty, which pulls on untouched rows of dense data only.
    settings = {"input_clip": 1.0, "alpha": 0.0}
    rows = [twice, twice.toarray()] if when == "fit" else [X, X]
    sparse_model, dense_model = (quick(**settings).fit(given, y) for given in rows)
    np.testing.assert_allclose(
        sparse_model.predict_proba(twice), dense_model.predict_proba(twice.toarray()), rtol=1e-4
    )
