"""Which metric decides: by name, by loss, by a callable, for labels and weights of any kind."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import accuracy_score, f1_score, get_scorer, log_loss, make_scorer

from tests.data import KINDS, SOLVERS, problem, quick

X, y = problem(n_rows=150)
NAMES = np.array(["ant", "bee", "cat"])[y]
TRAIN, HELD_OUT = slice(100), slice(100, None)
WEIGHTS = np.random.default_rng(0).uniform(0, 3, 150)


def fit(X=X, y=y, weighted=False, **changes):
    """Fit on the first rows, validated on the rest; patient, so that all epochs are run."""
    settings = {"early_stopping": True, "n_iter_no_change": np.inf, "max_iter": 12}
    model = quick(**(settings | changes))
    arguments = {"X_val": X[HELD_OUT], "y_val": y[HELD_OUT]}
    if weighted:
        arguments["sample_weight_val"] = WEIGHTS[HELD_OUT]
    return model.fit(X[TRAIN], y[TRAIN], **arguments)


def macro_f1(estimator, X, y):
    return f1_score(y, estimator.predict(X), average="macro", zero_division=0)


class TestScores:
    @pytest.mark.parametrize("targets", [y, NAMES], ids=["numbers", "names"])
    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize(
        "scoring", ["neg_log_loss", "roc_auc_ovr", "balanced_accuracy", "accuracy", macro_f1]
    )
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_of_the_model_that_is_kept_are_the_best(self, scoring, solver, targets):
        model = fit(y=targets, scoring=scoring, solver=solver)
        scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
        score = scorer(model, X[HELD_OUT], targets[HELD_OUT])
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert score == pytest.approx(model.best_validation_score_, rel=1e-6)
        assert len(model.validation_scores_) == model.n_iter_ > 3

    def test_decide_which_epoch_is_best(self):
        # A rate this high makes the loss rise again where the accuracy does not fall.
        models = {
            name: fit(scoring=name, max_iter=40, learning_rate_init=0.1, hidden_layer_sizes=(40,))
            for name in (None, "loss")
        }
        curves = [model.validation_loss_curve_ for model in models.values()]
        np.testing.assert_array_equal(*curves)
        best = {name: int(np.argmax(model.validation_scores_)) for name, model in models.items()}
        assert best[None] != best["loss"]
        losses = {
            name: log_loss(y[HELD_OUT], model.predict_proba(X[HELD_OUT]))
            for name, model in models.items()
        }
        for name, epoch in best.items():
            assert losses[name] == pytest.approx(curves[0][epoch], rel=1e-5)
        assert losses["loss"] < losses[None]

    @pytest.mark.parametrize("weighted", [False, True])
    def test_by_loss_are_the_negative_curve(self, weighted):
        model = fit(scoring="loss", weighted=weighted)
        expected = -np.array(model.validation_loss_curve_)
        np.testing.assert_array_equal(model.validation_scores_, expected)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_named_after_the_default_are_the_default(self, weighted):
        default, named = (fit(scoring=name, weighted=weighted) for name in (None, "accuracy"))
        np.testing.assert_allclose(named.validation_scores_, default.validation_scores_)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    def test_are_computed_for_every_kind_of_target_and_rows(self, kind, container):
        X, y = problem(kind, n_rows=150)
        X = container(X)
        name = "roc_auc" if kind != "multiclass" else "roc_auc_ovr"
        model = fit(X, y, scoring=name)
        score = get_scorer(name)(model, X[HELD_OUT], y[HELD_OUT])
        assert score == pytest.approx(max(model.validation_scores_), abs=1e-7)
        assert score > 0.6  # Chance has 0.5.

    def test_by_name_weigh_rows_as_the_loss_does(self):
        model = fit(scoring="neg_log_loss", weighted=True, class_weight="balanced")
        np.testing.assert_allclose(
            model.validation_scores_, -np.array(model.validation_loss_curve_), rtol=1e-5
        )

    def test_by_a_callable_are_given_no_weights(self):
        scoring = make_scorer(accuracy_score)
        model = fit(scoring=scoring, weighted=True)
        unweighted = fit(scoring="accuracy")
        np.testing.assert_array_equal(model.validation_scores_, unweighted.validation_scores_)

    def test_are_recorded_without_early_stopping(self):
        model = fit(scoring="neg_log_loss", early_stopping=False)
        assert model.best_loss_ == min(model.loss_curve_)
        last = -log_loss(y[HELD_OUT], model.predict_proba(X[HELD_OUT]))
        assert model.validation_scores_[-1] == pytest.approx(last, rel=1e-6)

    def test_on_rows_split_off_are_those_of_these_rows(self):
        seen = []

        def remember(estimator, rows, targets):
            seen.append((rows.copy(), targets.copy()))
            return estimator.score(rows, targets)

        model = quick(early_stopping=True, validation_fraction=0.2, scoring=remember)
        model.fit(X, NAMES)
        assert len(seen) == model.n_iter_
        rows, targets = seen[0]
        assert len(rows) == 30
        places = [int(np.flatnonzero(np.equal(X, row).all(axis=1))[0]) for row in rows]
        assert len(set(places)) == 30
        np.testing.assert_array_equal(targets, NAMES[places])

    def test_stop_training_when_they_no_longer_rise(self):
        calls = []

        def falling(estimator, X, y):
            calls.append(estimator)
            return -len(calls)

        model = fit(scoring=falling, n_iter_no_change=3, max_iter=50)
        assert model.n_iter_ == len(calls) == 5
        assert model.validation_scores_ == [-1, -2, -3, -4, -5]

    def test_without_validation_rows_are_not_asked_for(self):
        def never(estimator, X, y):
            raise AssertionError

        model = quick(scoring=never).fit(X, y)
        assert model.validation_scores_ is None


class TestTheEstimatorThatIsScored:
    def test_predicts_with_the_weights_of_the_epoch(self):
        losses = []

        def score(estimator, X, y):
            losses.append(log_loss(y, estimator.predict_proba(X)))
            return 0.0

        model = fit(scoring=score, input_scaling="standard", input_clip=2.0, ema_decay=0.5)
        np.testing.assert_allclose(losses, model.validation_loss_curve_, rtol=1e-5)

    def test_is_a_copy_that_changes_nothing(self):
        def meddle(estimator, X, y):
            estimator.alpha = 7
            estimator.more = 1
            return 0.0

        model = fit(scoring=meddle, early_stopping=False)
        assert model.alpha == "auto"
        assert not hasattr(model, "more")
        np.testing.assert_array_equal(
            model.predict_proba(X), fit(early_stopping=False).predict_proba(X)
        )

    def test_takes_rows_without_names(self):
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(X, columns=list("abcd"))
        model = quick(scoring="neg_log_loss").fit(frame, y, X_val=frame, y_val=y)
        assert list(model.feature_names_in_) == list("abcd")
        loss = log_loss(y, model.predict_proba(frame))
        assert model.validation_scores_[-1] == pytest.approx(-loss, rel=1e-6)


PROBABILITIES = ["neg_log_loss", "neg_brier_score", "d2_log_loss_score"]


class TestClasses:
    @pytest.mark.parametrize(
        "scoring", ["neg_brier_score", "average_precision", "f1", "recall", "jaccard", "roc_auc"]
    )
    @pytest.mark.parametrize("pair", [("ant", "bee"), (3, 8), (False, True), (-1, 1)], ids=str)
    def test_of_two_the_second_is_the_positive_one(self, scoring, pair):
        X, codes = problem("binary", n_rows=150)
        numbered, named = (
            fit(X, labels, scoring=scoring) for labels in (codes, np.array(pair)[codes])
        )
        assert named.validation_scores_ == numbered.validation_scores_

    @pytest.mark.parametrize("scoring", ["f1", "precision", "average_precision"])
    def test_of_which_one_is_1_are_scored_as_scikit_learn_does(self, scoring):
        X, codes = problem("binary", n_rows=150)
        model = fit(X, codes + 1, scoring=scoring)
        score = get_scorer(scoring)(model, X[HELD_OUT], codes[HELD_OUT] + 1)
        assert score == pytest.approx(model.best_validation_score_)

    @pytest.mark.parametrize("names", [None, ["ant", "bee", "cat"]], ids=["numbers", "names"])
    @pytest.mark.parametrize("kind", ["binary", "multiclass"])
    @pytest.mark.parametrize("scoring", PROBABILITIES)
    def test_may_be_absent_from_y_val(self, scoring, kind, names):
        X, codes = problem(kind, n_rows=150)
        labels = codes if names is None else np.array(names)[codes]
        kept = codes > 0
        model = quick(scoring=scoring).fit(X, labels, X_val=X[kept], y_val=labels[kept])
        if scoring == "neg_log_loss":
            expected = -np.array(model.validation_loss_curve_)
            np.testing.assert_allclose(model.validation_scores_, expected, rtol=1e-5)
        assert np.isfinite(model.validation_scores_).all()

    @pytest.mark.parametrize(
        ("scoring", "kind", "match"),
        [
            ("roc_auc", "binary", "scoring='roc_auc' is not defined for the validation rows"),
            ("d2_brier_score", "binary", "'d2_brier_score' is not defined"),
            ("roc_auc_ovr", "multiclass", "'roc_auc_ovr' is not defined .* they may lack a class"),
            ("average_precision", "multiclass", "y should be a 1d array"),
            ("roc_auc", "multilabel-indicator", "'roc_auc' is not defined"),
            ("neg_mean_squared_error", "names", "could not convert string|dtype"),
            ("f1", "multiclass", "Target is multiclass"),
            ("f1_samples", "multiclass", "Samplewise metrics"),
        ],
    )
    def test_that_a_metric_cannot_do_with_show_before_training(
        self, scoring, kind, match, monkeypatch
    ):
        monkeypatch.setattr("skann.engine.fitting.fit", None)  # Not reached.
        X, y = problem("multiclass" if kind == "names" else kind, n_rows=150)
        if kind == "names":
            y = NAMES
        kept = y[:, 0] > 0 if y.ndim == 2 else y != y[0]
        with pytest.raises(ValueError, match=match):
            quick(scoring=scoring).fit(X, y, X_val=X[kept], y_val=y[kept])

    def test_of_a_warm_start_are_those_of_the_first_fit(self):
        X, codes = problem("binary", n_rows=150)
        large = 2**60 + codes
        model = quick(warm_start=True, scoring="balanced_accuracy").fit(X, large.astype("uint64"))
        model.fit(X, large, X_val=X, y_val=large)
        assert model.validation_scores_[-1] == pytest.approx(model.score(X, large), abs=0.02)
        assert model.validation_scores_[-1] > 0.6


class TestBadScorings:
    @pytest.mark.parametrize("bad", ["accurate", "rmse", "los"])
    def test_that_are_misspelt_list_the_metrics(self, bad):
        with pytest.raises(ValueError, match=f"Got '{bad}' instead") as caught:
            fit(scoring=bad)
        listed = str(caught.value)
        for name in ("loss", "accuracy", "neg_log_loss", "roc_auc_ovr", "rand_score"):
            assert f"'{name}'" in listed

    def test_of_regression_may_serve_ordered_labels(self):
        model = fit(scoring="neg_mean_absolute_error")
        error = np.abs(model.predict(X[HELD_OUT]) - y[HELD_OUT]).mean()
        assert model.best_validation_score_ == pytest.approx(-error)

    @pytest.mark.parametrize("value", [None, "0.5", [0.5], np.nan, 1j])
    def test_that_return_no_number_say_so(self, value):
        def bad(estimator, X, y):
            return value

        with pytest.raises(ValueError, match=r"scoring=<function .*bad.* returned") as caught:
            fit(scoring=bad)
        assert repr(value) in str(caught.value)
        assert "must return a number, where greater is better" in str(caught.value)

    def test_that_take_no_weights_say_what_to_do(self):
        match = r"scoring='rand_score' does not accept sample weights.*get_scorer\('rand_score'\)"
        with pytest.raises(ValueError, match=match):
            fit(scoring="rand_score", weighted=True)
        with pytest.raises(ValueError, match=match):
            fit(scoring="rand_score", class_weight="balanced")
        scores = [
            fit(scoring=scoring, weighted=weighted).validation_scores_
            for scoring, weighted in (("rand_score", False), (get_scorer("rand_score"), True))
        ]
        np.testing.assert_array_equal(*scores)

    @pytest.mark.filterwarnings("error")
    def test_errors_of_a_metric_reach_the_user(self):
        match = r"scoring='f1' cannot be used .*Target is multiclass but average='binary'"
        with pytest.raises(ValueError, match=match):
            fit(scoring="f1")
