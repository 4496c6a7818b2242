"""What the parameters may be: every bad one is named before a step of training is made."""

import math
import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils._param_validation import InvalidParameterError

from skann import ANNClassifier
from skann.engine.activations import ACTIVATIONS
from skann.engine.initializers import INITIALIZERS
from skann.engine.settings import Architecture
from skann.parameters import (
    CONSTRAINTS,
    NOT_WITH_LBFGS,
    check_together,
    make_architecture,
    per_layer,
)
from tests.data import problem, quick

X, y = problem()


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def train(*args, **kwargs):
        raise AssertionError("Training has begun.")

    monkeypatch.setattr("skann.engine.training.MiniBatchRun.train", train)
    monkeypatch.setattr("skann.engine.lbfgs.LbfgsRun.train", train)


@pytest.mark.parametrize("name", ["activation", "solver", "learning_rate", "scoring"])
def test_names_that_are_allowed_are_listed_in_order(name):
    with pytest.raises(InvalidParameterError) as caught:
        quick(**{name: "nonsense"}).fit(X, y)
    listed = re.search(r"among {(.*?)}", str(caught.value)).group(1).split(", ")
    assert len(listed) > 3
    assert listed == sorted(listed)


def test_without_a_bad_parameter_training_begins():
    for solver in ("adam", "lbfgs"):
        with pytest.raises(AssertionError, match="Training has begun"):
            quick(solver=solver).fit(X, y)


class TestOneValue:
    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("input_clip", 0, "(0.0, inf)"),
            ("input_clip", -3.0, "(0.0, inf)"),
            ("input_clip", np.inf, "(0.0, inf)"),
            ("input_clip", np.nan, "(0.0, inf)"),
            ("input_clip", "auto", "(0.0, inf)"),
            ("input_clip", [1.0] * 4, "(0.0, inf)"),
            ("dropout", 1.0, "[0.0, 1.0)"),
            ("dropout", -0.1, "[0.0, 1.0)"),
            ("dropout", np.nan, "[0.0, 1.0)"),
            ("dropout", None, "[0.0, 1.0)"),
            ("dropout", True, "[0.0, 1.0)"),
            ("dropout", "half", "{'auto'}"),
            ("input_dropout", 1.0, "[0.0, 1.0)"),
            ("input_dropout", -0.1, "[0.0, 1.0)"),
            ("input_dropout", None, "[0.0, 1.0)"),
            ("input_dropout", [0.1], "[0.0, 1.0)"),
            ("input_noise", -0.1, "[0.0, inf)"),
            ("input_noise", np.inf, "[0.0, inf)"),
            ("input_noise", None, "[0.0, inf)"),
            ("normalization", "instance", "'batch'"),
            ("normalization", True, "'layer'"),
            ("normalization", ["batch"], "'layer'"),
            ("kernel_initializer", "zeros", "'he_uniform'"),
            ("kernel_initializer", None, "'auto'"),
            ("kernel_initializer", ["he_normal"], "'he_normal'"),
            ("label_smoothing", 1.0, "[0.0, 1.0)"),
            ("label_smoothing", -0.1, "[0.0, 1.0)"),
            ("label_smoothing", "little", "{'auto'}"),
            ("label_smoothing", None, "[0.0, 1.0)"),
            ("max_norm", 0, "(0.0, inf)"),
            ("max_norm", -1.0, "(0.0, inf)"),
            ("max_norm", "auto", "(0.0, inf)"),
            ("gradient_clip_norm", 0.0, "(0.0, inf)"),
            ("gradient_clip_norm", -1.0, "(0.0, inf)"),
            ("gradient_clip_norm", "auto", "(0.0, inf)"),
            ("warmup", 1.0, "[0.0, 1.0)"),
            ("warmup", -0.1, "[0.0, 1.0)"),
            ("warmup", 10, "[0.0, 1.0)"),
            ("warmup", None, "[0.0, 1.0)"),
            ("ema_decay", 1.0, "[0.0, 1.0)"),
            ("ema_decay", -0.1, "[0.0, 1.0)"),
            ("ema_decay", "auto", "[0.0, 1.0)"),
            ("scoring", "nonsense", "'roc_auc'"),
            ("scoring", 3, "callable"),
            ("scoring", ["accuracy", "f1"], "callable"),
            ("learning_rate", 0.1, "callable"),
            ("learning_rate", None, "callable"),
            ("activation", 3, "array-like"),
        ],
    )
    def test_out_of_range_gets_the_range(self, name, value, allowed):
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter") as caught:
            quick(**{name: value}).fit(X, y)
        assert allowed in str(caught.value)
        assert repr(value) in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "choices"),
        [
            ("normalization", ["batch", "layer"]),
            ("kernel_initializer", ["auto", *INITIALIZERS]),
            ("scoring", ["loss", "accuracy", "neg_log_loss"]),
        ],
    )
    def test_unknown_name_gets_a_list_of_the_known(self, name, choices):
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter") as caught:
            quick(**{name: "nonsense"}).fit(X, y)
        for choice in choices:
            assert f"'{choice}'" in str(caught.value)

    def test_is_checked_by_partial_fit_as_well(self):
        with pytest.raises(InvalidParameterError, match="'dropout' parameter"):
            quick(dropout=1.0).partial_fit(X, y, [0, 1, 2])


class TestOneValuePerLayer:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("activation", ["relu", "tanh", "relu"]),
            ("activation", ["relu"]),
            ("activation", []),
            ("activation", np.array(["relu"])),
            ("dropout", [0.1, 0.2, 0.3]),
            ("dropout", (0.1,)),
            ("dropout", []),
            ("dropout", np.array([0.1])),
            ("dropout", [[0.1, 0.2]]),
            ("dropout", [[0.1], [0.2, 0.3], [0.4]]),
        ],
        ids=repr,
    )
    def test_of_another_length_gets_both_lengths(self, name, value):
        match = f"{name} must be one value for all hidden layers or a list of one value for each"
        with pytest.raises(ValueError, match=match) as caught:
            quick(hidden_layer_sizes=(8, 4), **{name: value}).fit(X, y)
        assert "There are 2 hidden layers" in str(caught.value)
        assert f"{name}={value!r} has {len(value)} values" in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value", "bad"),
        [
            ("activation", ["relu", "swish"], "swish"),
            ("activation", ["relu", None], None),
            ("activation", [3, "relu"], 3),
            ("activation", {"relu"}, None),
            ("activation", {"relu": 1}, None),
            ("activation", np.array("swish"), None),
            ("dropout", [0.1, 1.0], 1.0),
            ("dropout", [-0.1, 0.5], -0.1),
            ("dropout", [0.1, np.nan], np.nan),
            ("dropout", [0.1, True], True),
            ("dropout", [0.1, "auto"], "auto"),
            ("dropout", [0.1, None], None),
            ("dropout", [[0.1], [0.2]], [0.1]),
            ("dropout", {0.1}, None),
            ("dropout", {0: 0.1}, None),
            ("dropout", np.array(1.5), None),
        ],
        ids=repr,
    )
    def test_with_an_entry_that_cannot_be_gets_what_can(self, name, value, bad):
        with pytest.raises(ValueError, match=f"Each value of {name} must be") as caught:
            quick(hidden_layer_sizes=(8, 4), **{name: value}).fit(X, y)
        assert repr(value) in str(caught.value)
        if bad is not None:
            assert f"got {bad!r}" in str(caught.value)
        expected = (
            ", ".join(map(repr, sorted(ACTIVATIONS))) if name == "activation" else "[0.0, 1.0)"
        )
        assert expected in str(caught.value)

    @pytest.mark.parametrize("bad", [[(8,), (4, 2)], [[8], [4, 2]]])
    def test_of_ragged_sizes_gets_what_can_be(self, bad):
        match = r"Each value of hidden_layer_sizes must be an int in the range \[1, inf\)"
        with pytest.raises(ValueError, match=match) as caught:
            quick(hidden_layer_sizes=bad).fit(X, y)
        assert repr(bad) in str(caught.value)

    @pytest.mark.parametrize("make", [list, tuple, np.array])
    def test_may_be_any_sequence(self, make):
        estimator = quick(hidden_layer_sizes=make([8, 4]), activation=make(["relu", "tanh"]))
        architecture = make_architecture(estimator.get_params(), 4, 3)
        assert architecture == Architecture((4, 8, 4, 3), ("relu", "tanh"))
        assert per_layer("dropout", make([0.1, 0.0]), 2) == [0.1, 0.0]

    @pytest.mark.parametrize("rate", [0, 0.25, np.float32(0.25)])
    def test_may_be_one_for_all(self, rate):
        assert per_layer("dropout", rate, 3) == [rate] * 3
        assert per_layer("dropout", rate, 0) == []


class TestSchedules:
    @pytest.mark.parametrize("bad", [None, -0.1, math.nan, math.inf, "0.5", [0.5], 1j])
    @pytest.mark.parametrize("bad_from", [0, 7, 19])
    def test_that_return_no_factor_are_found_before_training(self, bad, bad_from):
        def schedule(step):
            return 0.5 if step < bad_from else bad

        # Four batches in each of five epochs: 20 steps.
        with pytest.raises(ValueError, match="a finite factor of at least 0") as caught:
            quick(learning_rate=schedule).fit(X, y)
        assert f"learning_rate({bad_from}) returned {bad!r}" in str(caught.value)

    def test_that_fail_say_why_themselves(self):
        with pytest.raises(ZeroDivisionError):
            quick(learning_rate=lambda step: 1 / abs(step - 3)).fit(X, y)

    def test_are_asked_for_the_steps_there_are(self):
        with pytest.raises(AssertionError, match="Training has begun"):
            quick(learning_rate=lambda step: 1.0 if step < 20 else None).fit(X, y)


# A value that asks for something, of each parameter that may also ask for nothing.
GIVEN = {
    "augmentation": np.add,
    "dropout": 0.5,
    "input_dropout": 0.2,
    "input_noise": 0.1,
    "max_norm": 3.0,
    "gradient_clip_norm": 1.0,
    "learning_rate": "constant",
    "warmup": 0.1,
    "ema_decay": 0.9,
    "normalization": "batch",
    "n_members": 3,
}


class TestExclusions:
    @pytest.mark.parametrize("name", GIVEN)
    def test_are_raised_with_both_parameters_the_reason_and_a_way_out(self, name):
        estimator = quick(solver="lbfgs", **{name: GIVEN[name]})
        with pytest.raises(ValueError, match="cannot be used with solver='lbfgs'") as caught:
            estimator.fit(X, y)
        message = str(caught.value)
        assert f"{name}={GIVEN[name]!r}" in message
        assert NOT_WITH_LBFGS[name] in message
        assert f"Use the default of {name}, or choose another solver" in message

    @pytest.mark.parametrize("name", GIVEN)
    def test_do_not_hold_for_either_alone(self, name):
        check_together(ANNClassifier(**{name: GIVEN[name]}).get_params())
        check_together(ANNClassifier(solver="lbfgs").get_params())

    def test_are_there_for_all_that_lbfgs_would_ignore(self):
        # Written out: a row that is missing from the table is no error to a test that reads it.
        assert set(NOT_WITH_LBFGS) == set(GIVEN)
        assert set(NOT_WITH_LBFGS) <= set(CONSTRAINTS)

    @pytest.mark.parametrize(
        "changes",
        [
            {"dropout": [0.0, 0.3], "hidden_layer_sizes": (8, 4)},
            {"dropout": np.array([0.0, 0.3]), "hidden_layer_sizes": (8, 4)},
            {"dropout": 0.5, "solver": np.str_("lbfgs")},
        ],
        ids=repr,
    )
    def test_hold_for_values_of_every_type(self, changes):
        with pytest.raises(ValueError, match="dropout=.* cannot be used with solver='lbfgs'"):
            quick(**{"solver": "lbfgs"} | changes).fit(X, y)

    @pytest.mark.parametrize(
        "changes",
        [
            {"dropout": 0.0},
            {"dropout": "auto"},
            {"dropout": [0.0]},
            {"dropout": np.zeros(1)},
            {"dropout": [], "hidden_layer_sizes": ()},
            {"input_dropout": 0, "input_noise": 0.0, "warmup": 0.0},
            {"max_norm": None, "gradient_clip_norm": None, "ema_decay": None},
            {"normalization": "layer"},
            {"n_members": 1},
            {"n_members": np.int64(1)},
            {"learning_rate": "one_cycle"},
            {"label_smoothing": 0.1, "kernel_initializer": "orthogonal", "input_clip": 2.0},
        ],
        ids=repr,
    )
    def test_do_not_hold_for_what_leaves_a_feature_out(self, changes):
        check_together(quick(solver="lbfgs", **changes).get_params())
        with pytest.raises(AssertionError, match="Training has begun"):
            quick(solver="lbfgs", **changes).fit(X, y)


class TestRows:
    @pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
    @pytest.mark.parametrize("method", ["fit", "partial_fit"])
    def test_noise_is_not_for_sparse_ones(self, container, method):
        arguments = {"classes": [0, 1, 2]} if method == "partial_fit" else {}
        with pytest.raises(ValueError, match=r"input_noise=0\.1 cannot be used with sparse X"):
            getattr(quick(input_noise=0.1), method)(container(X), y, **arguments)

    def test_noise_of_nothing_is(self):
        with pytest.raises(AssertionError, match="Training has begun"):
            quick(input_noise=0.0).fit(sparse.csr_array(X), y)

    def test_batch_normalization_needs_several(self):
        match = "normalization='batch' needs batches of at least two rows"
        with pytest.raises(ValueError, match=f"{match}.* 1 row"):
            quick(normalization="batch").fit(X[:1], [[0, 1, 1]])
        with pytest.raises(ValueError, match=f"{match}.* 1 row"):
            quick(normalization="batch").partial_fit(X[:1], y[:1], classes=[0, 1, 2])
        for size in (1, np.int64(1)):
            with pytest.raises(ValueError, match=f"{match}, .*with batch_size=1 "):
                quick(normalization="batch", batch_size=size).fit(X, y)
            with pytest.raises(ValueError, match=f"{match}, .*with batch_size=1 "):
                quick(normalization="batch", batch_size=size).partial_fit(X, y, [0, 1, 2])

    def test_layer_normalization_does_not(self):
        with pytest.raises(AssertionError, match="Training has begun"):
            quick(normalization="layer").fit(X[:1], [[0, 1, 1]])


class TestOtherArguments:
    @pytest.mark.parametrize("other", [None, "layer"])
    def test_a_warm_start_needs_the_same_normalization(self, other, monkeypatch):
        monkeypatch.undo()
        model = quick(normalization="batch", warm_start=True).fit(X, y)
        with pytest.raises(
            ValueError, match=f"normalization={other!r}.* is .*normalization='batch'.*Fit a clone"
        ):
            model.set_params(normalization=other).fit(X, y)

    @pytest.mark.parametrize(
        "bad",
        [
            {"dropout": [0.1, 0.2]},
            {"activation": ["relu", "tanh"]},
            {"normalization": "batch", "batch_size": 1},
            {"max_norm": 1.0, "solver": "lbfgs"},
        ],
        ids=repr,
    )
    def test_a_fitted_model_survives_bad_parameters(self, bad, monkeypatch):
        monkeypatch.undo()
        model = quick().fit(X, y)
        before = model.predict_proba(X)
        with pytest.raises(ValueError, match=next(iter(bad))):
            model.set_params(**bad).fit(X, y)
        np.testing.assert_array_equal(model.set_params(solver="adam").predict_proba(X), before)
