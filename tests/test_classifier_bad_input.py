"""What a user can get wrong, each by the message it gets."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from skann import ANNClassifier
from skann.engine.activations import ACTIVATIONS
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES
from tests.data import KINDS, SOLVERS, STOCHASTIC_SOLVERS, problem, quick

X, y = problem()


class TestParameters:
    @pytest.mark.parametrize(
        ("name", "allowed"),
        [
            ("activation", ACTIVATIONS),
            ("solver", [*OPTIMIZERS, "lbfgs"]),
            ("learning_rate", SCHEDULES),
            ("dtype", ["float32", "float64"]),
            ("input_scaling", ["standard", "maxabs"]),
            ("class_weight", ["balanced"]),
            ("batch_size", ["auto"]),
            ("learning_rate_init", ["auto"]),
            ("max_iter", ["auto"]),
        ],
    )
    def test_unknown_names_get_a_list_of_the_known(self, name, allowed):
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter") as caught:
            quick(**{name: "nonsense"}).fit(X, y)
        assert "nonsense" in str(caught.value)
        for choice in allowed:
            assert f"'{choice}'" in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("alpha", -1e-9, "[0.0, inf)"),
            ("alpha", np.nan, "[0.0, inf)"),
            ("alpha", "small", "[0.0, inf)"),
            ("batch_size", 0, "[1, inf)"),
            ("batch_size", 1.5, "[1, inf)"),
            ("learning_rate_init", 0, "(0.0, inf)"),
            ("learning_rate_init", -0.1, "(0.0, inf)"),
            ("learning_rate_init", np.nan, "(0.0, inf)"),
            ("power_t", -0.5, "[0.0, inf)"),
            ("max_iter", 0, "[1, inf)"),
            ("max_iter", 2.5, "[1, inf)"),
            ("shuffle", "yes", "bool"),
            ("random_state", "seed", "RandomState"),
            ("random_state", -1, "RandomState"),
            ("tol", -1e-4, "[0.0, inf)"),
            ("verbose", -1, "bool"),
            ("warm_start", "yes", "bool"),
            ("momentum", 1, "[0.0, 1.0)"),
            ("momentum", -0.1, "[0.0, 1.0)"),
            ("nesterovs_momentum", "yes", "bool"),
            ("early_stopping", "yes", "bool"),
            ("validation_fraction", 0, "(0.0, 1.0)"),
            ("validation_fraction", 1, "(0.0, 1.0)"),
            ("beta_1", 1, "[0.0, 1.0)"),
            ("beta_1", -0.1, "[0.0, 1.0)"),
            ("beta_2", 1, "[0.0, 1.0)"),
            ("epsilon", 0, "(0.0, inf)"),
            ("n_iter_no_change", 0, "[1, inf)"),
            ("n_iter_no_change", 2.5, "[1, inf)"),
            ("max_fun", 0, "[1, inf)"),
            ("class_weight", 3, "dict"),
            ("dtype", np.float32, "'float32'"),
            ("input_scaling", True, "'standard'"),
            ("activation", None, "'relu'"),
        ],
    )
    def test_values_out_of_range_get_the_range(self, name, value, allowed):
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter") as caught:
            quick(**{name: value}).fit(X, y)
        assert allowed in str(caught.value)
        assert repr(value) in str(caught.value)

    def test_every_parameter_has_a_constraint(self):
        assert set(ANNClassifier._parameter_constraints) == set(ANNClassifier().get_params())

    @pytest.mark.parametrize("bad", [0, -5, 2.5, "128", None])
    def test_hidden_layer_sizes_of_one_bad_number(self, bad):
        with pytest.raises(ValueError, match="hidden_layer_sizes") as caught:
            quick(hidden_layer_sizes=bad).fit(X, y)
        assert repr(bad) in str(caught.value)

    @pytest.mark.parametrize(
        "bad",
        [
            (0,),
            (8, 0),
            (8, -1),
            (8.0, 4),
            [8, 2.5],
            ((8, 4),),
            [[8], [4]],
            np.array([[8, 4]]),
            np.array([8.0, 4.0]),
            ("8", "4"),
            (True, 4),
            True,
            (None,),
        ],
        ids=repr,
    )
    def test_hidden_layer_sizes_with_a_bad_entry(self, bad):
        message = r"Each value of hidden_layer_sizes must be an int in the range \[1, inf\)"
        with pytest.raises(ValueError, match=message) as caught:
            quick(hidden_layer_sizes=bad).fit(X, y)
        assert repr(bad) in str(caught.value)

    def test_are_not_checked_before_fit(self):
        assert ANNClassifier(activation="nonsense", alpha=-1).alpha == -1

    def test_partial_fit_checks_them_as_well(self):
        with pytest.raises(InvalidParameterError, match="'alpha' parameter"):
            quick(alpha=-1).partial_fit(X, y, [0, 1, 2])


class TestRows:
    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, np.float32])
    def test_must_not_be_infinite(self, solver, convert):
        holed = X.copy()
        holed[7, 1] = np.inf
        with pytest.raises(ValueError, match="Input X contains infinity"):
            quick(solver=solver).fit(convert(holed), y)

    def test_must_lack_no_value_where_they_are_sparse(self):
        holed = X.copy()
        holed[7, 1] = np.nan
        with pytest.raises(ValueError, match="Input X contains NaN"):
            quick().fit(sparse.csr_array(holed), y)
        model = quick().fit(sparse.csr_array(X), y)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            model.predict(sparse.csr_array(holed))
        with pytest.raises(ValueError, match="contains NaN, but .* was fitted to sparse rows"):
            model.predict(holed)

    @pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
    def test_must_be_finite_in_prediction(self, method):
        holed = X.copy()
        holed[7, 1] = np.inf
        with pytest.raises(ValueError, match="Input X contains infinity"):
            getattr(quick().fit(X, y), method)(holed)

    def test_must_be_a_table(self):
        with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
            quick().fit(X[:, 0], y)
        with pytest.raises(ValueError, match="0 sample"):
            quick().fit(X[:0], y[:0])
        with pytest.raises(ValueError, match="0 feature"):
            quick().fit(X[:, :0], y)

    def test_must_be_real_numbers(self):
        with pytest.raises(ValueError, match="Convert your data to numeric values"):
            quick().fit(np.full((60, 4), "text"), y)
        with pytest.raises(ValueError, match="Complex data not supported"):
            quick().fit(X.astype(complex), y)


class TestTargets:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_of_one_class(self, solver):
        with pytest.raises(ValueError, match="greater than one; y holds only one class: \\['a'\\]"):
            quick(solver=solver).fit(X, ["a"] * 60)

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_of_a_regression(self, solver):
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            quick(solver=solver).fit(X, X[:, 0])

    def test_of_several_multiclass_columns(self):
        with pytest.raises(ValueError, match=r"multiclass-multioutput"):
            quick().fit(X, np.stack([y, y], axis=1))

    def test_of_another_length(self):
        with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[60, 59\]"):
            quick().fit(X, y[:-1])

    def test_that_are_missing(self):
        with pytest.raises(ValueError, match="requires y to be passed"):
            quick().fit(X, None)
        holed = y.astype(float)
        holed[3] = np.nan
        with pytest.raises(ValueError, match="contains NaN"):
            quick().fit(X, holed)

    @pytest.mark.parametrize("missing", [pd.NA, None, np.nan, pd.NaT], ids=repr)
    @pytest.mark.parametrize("convert", [list, np.array, pd.Series], ids=["list", "array", "pd"])
    def test_that_are_missing_among_objects(self, convert, missing):
        labels = np.array(["a", "b", "c"], dtype=object)[y]
        holed = labels.copy()
        holed[[7, 9]] = missing
        message = "contains NaN, NA or None in place of 2 of 60 labels, the first at position 7"
        given = holed.tolist() if convert is list else convert(holed)
        with pytest.raises(ValueError, match=f"^y {message}"):
            quick().fit(X, given)
        with pytest.raises(ValueError, match=f"y_val {message}"):
            quick().fit(X, labels, X_val=X, y_val=given)
        with pytest.raises(ValueError, match=f"^y {message}"):
            quick().partial_fit(X, given, classes=["a", "b", "c"])

    @pytest.mark.parametrize("dtype", ["string", "boolean", "Int64", "category"])
    def test_that_are_missing_in_a_column_of_pandas(self, dtype):
        labels = pd.Series(y == 1 if dtype == "boolean" else y).astype(dtype)
        labels[7] = pd.NA
        with pytest.raises(ValueError, match="y contains NaN"):
            quick().fit(X, labels)
        classes = ["a"] if dtype == "string" else [0]
        with pytest.raises(ValueError, match="classes contains NaN"):
            quick().partial_fit(X, y, classes=[*classes, pd.NA])

    @pytest.mark.parametrize(
        ("labels", "types"),
        [
            ([1, "1", 2], "int, str"),
            ([True, "True", "b"], "bool, str"),
            ([(1,), (2,), 3], "int, t"),
        ],
    )
    def test_of_mixed_types(self, labels, types):
        given = np.empty(3, dtype=object)
        given[:] = labels
        with pytest.raises(ValueError, match=f"y has labels of the types {types}.* Make all"):
            quick().fit(X, given[y])
        if "str" in types:
            with pytest.raises(ValueError, match=f"y has labels of the types {types}"):
                quick().fit(X, given[y].tolist())

    def test_that_no_integer_holds(self):
        labels = np.array([-1, 2**63, 5], dtype=object)[y]
        with pytest.raises(ValueError, match=f"from -1 to {2**63}, which fit into no 64-bit"):
            quick().fit(X, labels)

    def test_that_are_texts_of_the_classes(self):
        texts = y.astype(str)
        with pytest.raises(ValueError, match=r"classes, \[0, 1, 2\], are not in class_weight"):
            quick(class_weight={"0": 1, "1": 1, "2": 1}).fit(X, y)
        with pytest.raises(ValueError, match="y_val has labels .* not among the classes"):
            quick().fit(X, y, X_val=X, y_val=texts)
        with pytest.raises(ValueError, match="not among the classes"):
            quick().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, texts)
        with pytest.raises(ValueError, match="previous fit"):
            quick(warm_start=True).fit(X, y).fit(X, texts)
        with pytest.raises(ValueError, match="Mix of label input types"):
            quick().fit(X, y).score(X, texts)

    def test_as_a_column_vector_warn(self):
        with pytest.warns(DataConversionWarning, match="column-vector y"):
            model = quick().fit(X, y[:, None])
        assert model.predict(X).shape == (60,)

    def test_unseen_in_partial_fit(self):
        model = quick().partial_fit(X, y, [0, 1, 2])
        with pytest.raises(ValueError, match=r"not among the classes: \[9\].*\[0, 1, 2\]"):
            model.partial_fit(X, np.where(y == 1, 9, y))

    def test_unseen_in_the_first_partial_fit(self):
        with pytest.raises(ValueError, match=r"not among the classes: \[2\].*\[0, 1\]"):
            quick().partial_fit(X, y, [0, 1])

    def test_unseen_in_y_val(self):
        with pytest.raises(ValueError, match=r"y_val has labels .* not among the classes: \[9\]"):
            quick().fit(X, y, X_val=X, y_val=np.where(y == 1, 9, y))

    def test_of_another_type_in_y_val(self):
        with pytest.raises(ValueError, match="y_val has labels .* not among the classes"):
            quick().fit(X, y, X_val=X, y_val=y.astype(str))

    def test_of_mixed_types_in_y_val(self):
        named = np.array(["a", "b", "c"], dtype=object)[y]
        mixed = np.where(y == 1, None, named)
        with pytest.raises(ValueError, match="X_val, y_val and sample_weight_val cannot be used"):
            quick().fit(X, named, X_val=X, y_val=mixed)

    @pytest.mark.parametrize("change", [lambda y: 2 * y, lambda y: 2 * y - 1, lambda y: 256 * y])
    def test_indicators_that_are_not_zeros_and_ones(self, change):
        X, y = problem("multilabel-indicator")
        with pytest.raises(ValueError, match="y is an indicator matrix and must hold zeros and"):
            quick().fit(X, change(y))
        with pytest.raises(ValueError, match="y_val is an indicator matrix and must hold"):
            quick().fit(X, y, X_val=X, y_val=change(y))

    @pytest.mark.parametrize("classes", [[0, 1], ["a", "b", "c"], 3])
    def test_classes_of_partial_fit_that_contradict_the_columns(self, classes):
        X, y = problem("multilabel-indicator")
        with pytest.raises(ValueError, match=r"columns of an indicator matrix: \[0, 1, 2\]"):
            quick().partial_fit(X, y, classes=classes)

    def test_partial_fit_needs_the_classes_at_first(self):
        with pytest.raises(ValueError, match="classes must be passed on the first call"):
            quick().partial_fit(X, y)

    def test_partial_fit_with_one_class_only(self):
        with pytest.raises(ValueError, match="greater than one"):
            quick().partial_fit(X, np.zeros(60), [0])

    @pytest.mark.parametrize(
        "weights",
        [
            np.ones(60),
            np.full(60, 2),
            np.linspace(0.1, 3, 60),
            np.append([0.5, 1, 2], np.zeros(57)),  # The labels are among them.
            np.arange(60, 120),
            pd.Series(np.linspace(0.1, 3, 60)),
            [0.5, 1.5] * 30,
        ],
        ids=["ones", "twos", "floats", "and labels", "whole", "series", "list"],
    )
    @pytest.mark.parametrize("kind", ["numbers", "strings", "indicators"])
    def test_partial_fit_with_weights_in_the_place_of_the_classes(self, kind, weights):
        y_first, classes = {
            "numbers": (y, [0, 1, 2]),
            "strings": (np.array(["a", "b", "c"])[y], ["a", "b", "c"]),
            "indicators": (np.eye(3, dtype=int)[y], None),
        }[kind]
        fitted = quick().partial_fit(X, y_first, classes)
        for model in (quick(), fitted):
            with pytest.raises(ValueError, match="classes"):
                model.partial_fit(X, y_first, weights)

    def test_partial_fit_with_as_many_classes_as_rows(self):
        quick().partial_fit(X[:3], [0, 2, 1], [0, 1, 2]).partial_fit(X[:2], [1, 1])
        quick().partial_fit(X[:3], ["a", "b", "d"], ["d", "b", "a"])
        quick().partial_fit(X[:3], np.eye(3, dtype=int), [0, 1, 2])
        with pytest.raises(ValueError, match=r"not among the classes: \['d'\]"):
            quick().partial_fit(X[:3], ["a", "b", "d"], ["a", "b", "c"])

    def test_partial_fit_with_other_classes_than_before(self):
        model = quick().partial_fit(X, y, [0, 1, 2])
        with pytest.raises(ValueError, match="is not the same as on last call"):
            model.partial_fit(X, y, [0, 1, 2, 3])

    def test_another_number_of_labels_in_partial_fit(self):
        X, indicators = problem("multilabel-indicator")
        model = quick().partial_fit(X, indicators)
        with pytest.raises(ValueError, match=r"matrix with 3 columns.* got .*shape \(60, 2\)"):
            model.partial_fit(X, indicators[:, :2])

    def test_labels_where_indicators_were_seen(self):
        X, indicators = problem("multilabel-indicator")
        model = quick().partial_fit(X, indicators)
        with pytest.raises(ValueError, match="must be an indicator matrix with 3 columns"):
            model.partial_fit(X, indicators[:, 0])

    def test_indicators_where_labels_were_seen(self):
        indicators = problem("multilabel-indicator")[1]
        model = quick().partial_fit(X, y, [0, 1, 2])
        with pytest.raises(ValueError, match="y should be a 1d array"):
            model.partial_fit(X, indicators)

    def test_other_classes_in_a_warm_start(self):
        model = quick(warm_start=True).fit(X, y)
        with pytest.raises(ValueError, match=r"previous fit: \[0, 1, 2\]; but y has \[1, 2, 3\]"):
            model.fit(X, y + 1)


class TestSampleWeights:
    @pytest.mark.parametrize("method", ["fit", "partial_fit"])
    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (np.zeros(60), "must contain at least one non-zero number"),
            (-np.ones(60), "Negative values in data passed to `sample_weight`"),
            (np.where(np.arange(60) == 3, -1, 1), "Negative values in data"),
            (np.where(np.arange(60) == 3, np.nan, 1), "sample_weight contains NaN"),
            (np.where(np.arange(60) == 3, np.inf, 1), "sample_weight contains infinity"),
            (np.ones(59), r"sample_weight.shape == \(59,\), expected \(60,\)"),
            (np.ones((60, 2)), "Sample weights must be 1D"),
        ],
    )
    def test_that_cannot_be(self, method, weights, message):
        arguments = {"sample_weight": weights}
        if method == "partial_fit":
            arguments["classes"] = [0, 1, 2]
        with pytest.raises(ValueError, match=message):
            getattr(quick(), method)(X, y, **arguments)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (np.zeros(60), "zero"),
            (-np.ones(60), "Negative values"),
            (np.full(60, np.nan), "NaN"),
            (np.ones(59), "shape"),
        ],
    )
    def test_of_validation_data_that_cannot_be(self, weights, message):
        with pytest.raises(ValueError, match=message):
            quick().fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)

    @pytest.mark.parametrize(
        ("sample_weight", "class_weight"),
        [(1e307, None), (None, 1e308), (1e10, 1e300)],
        ids=["samples", "classes", "both"],
    )
    def test_too_large_to_be_added_up(self, sample_weight, class_weight):
        weights = None if sample_weight is None else np.full(len(y), sample_weight)
        by_class = None if class_weight is None else dict.fromkeys(range(3), class_weight)
        with pytest.raises(ValueError, match="too large to be added up"):
            quick(class_weight=by_class).fit(X, y, weights)


class TestClassWeight:
    def test_with_a_class_that_is_none_in_place_of_one(self):
        with pytest.raises(ValueError, match=r"classes, \[2\], are not in class_weight"):
            quick(class_weight={0: 1, 1: 1, "2": 1}).fit(X, y)

    @pytest.mark.parametrize("bad", [-1, np.nan])
    def test_negative_or_nan(self, bad):
        with pytest.raises(ValueError, match=f"must be finite and not negative.* got {{1: {bad}}}"):
            quick(class_weight={1: bad}).fit(X, y)

    def test_infinite(self):
        with pytest.raises(ValueError, match="class_weight"):
            quick(class_weight={0: 1, 1: np.inf, 2: 1}).fit(X, y)

    def test_all_zero(self):
        with pytest.raises(ValueError, match="give every row a weight of 0"):
            quick(class_weight={0: 0, 1: 0, 2: 0}).fit(X, y)

    def test_with_an_extra_class_makes_no_difference(self):
        # As a fold of a cross-validation may lose a rare class.
        model = quick(class_weight={0: 1, 1: 2, 2: 1, 7: 1}).fit(X, y)
        same = quick(class_weight={0: 1, 1: 2, 2: 1}).fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))

    def test_as_a_list_for_one_target(self):
        with pytest.raises(ValueError, match="for multilabel targets, a list of such dicts"):
            quick(class_weight=[{0: 1, 1: 1, 2: 1}]).fit(X, y)

    def test_as_a_dict_for_multilabel_targets(self):
        X, indicators = problem("multilabel-indicator")
        with pytest.raises(ValueError, match="class_weight"):
            quick(class_weight={0: 1, 1: 1}).fit(X, indicators)

    def test_negative_for_multilabel_targets(self):
        X, indicators = problem("multilabel-indicator")
        with pytest.raises(ValueError, match="negative"):
            quick(class_weight=[{0: 1, 1: -1}] * 3).fit(X, indicators)

    def test_balanced_in_partial_fit(self):
        with pytest.raises(ValueError, match="class_weight='balanced'.*compute_class_weight"):
            quick(class_weight="balanced").partial_fit(X, y, [0, 1, 2])


class TestValidationData:
    @pytest.mark.parametrize(
        "given",
        [
            {"X_val": X},
            {"y_val": y},
            {"sample_weight_val": y},
            {"X_val": X, "sample_weight_val": y},
        ],
        ids=lambda given: "+".join(given),
    )
    def test_that_is_incomplete(self, given):
        names = re.escape(" and ".join(given))
        with pytest.raises(ValueError, match=f"needs both X_val and y_val; .* only {names}"):
            quick().fit(X, y, **given)

    def test_with_another_number_of_columns(self):
        with pytest.raises(ValueError, match="X has 3 features, but ANNClassifier is expecting 4"):
            quick().fit(X, y, X_val=X[:, :3], y_val=y)

    def test_with_another_number_of_labels(self):
        with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[60, 59\]"):
            quick().fit(X, y, X_val=X, y_val=y[:-1])

    def test_with_infinite_values(self):
        holed = X.copy()
        holed[0, 0] = np.inf
        with pytest.raises(ValueError, match="contains infinity"):
            quick().fit(X, y, X_val=holed, y_val=y)

    def test_one_row_for_multilabel_targets(self):
        with pytest.raises(ValueError, match="needs at least 2 rows"):
            quick(early_stopping=True).fit(X[:1], [[0, 1, 1]])

    def test_a_split_in_which_no_row_has_weight(self):
        # The one row that has weight can be on one side only.
        weights = np.zeros(60)
        weights[7] = 1
        for seed in range(20):
            model = quick(early_stopping=True, random_state=seed)
            with pytest.raises(ValueError, match="weight"):
                model.fit(X, y, sample_weight=weights)

    def test_early_stopping_in_partial_fit(self):
        with pytest.raises(ValueError, match="early_stopping=True.*Set early_stopping=False"):
            quick(early_stopping=True).partial_fit(X, y, [0, 1, 2])


class TestPrediction:
    methods = pytest.mark.parametrize(
        "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    )

    @methods
    def test_before_fit(self, method):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(quick(), method)(X)

    @pytest.mark.parametrize("name", ["coefs_", "intercepts_", "classes_", "loss_curve_"])
    def test_fitted_attributes_before_fit(self, name):
        assert not hasattr(quick(), name)

    @methods
    def test_with_another_number_of_columns(self, method):
        with pytest.raises(ValueError, match="X has 3 features, but ANNClassifier is expecting 4"):
            getattr(quick().fit(X, y), method)(X[:, :3])

    def test_with_other_column_names(self):
        model = quick().fit(pd.DataFrame(X, columns=list("abcd")), y)
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(pd.DataFrame(X, columns=list("abce")))
        with pytest.raises(ValueError, match="same order"):
            model.predict(pd.DataFrame(X, columns=list("abdc")))

    def test_partial_fit_with_another_number_of_columns(self):
        model = quick().partial_fit(X, y, [0, 1, 2])
        with pytest.raises(ValueError, match="X has 3 features"):
            model.partial_fit(X[:, :3], y)


class TestDivergence:
    exploding = pytest.mark.parametrize("dtype", ["float32", "float64"])

    @exploding
    def test_in_the_first_epoch_raises_with_the_likely_causes(self, dtype):
        model = quick(
            solver="sgd", activation="identity", learning_rate_init=1e6, dtype=dtype, max_iter=200
        )
        with pytest.raises(ValueError, match=r"diverged.*scales.*learning_rate_init.*Nothing was"):
            model.set_params(batch_size=1).fit(X, y)

    @exploding
    def test_later_warns_and_keeps_the_last_finite_weights(self, dtype):
        model = quick(
            solver="sgd",
            activation="identity",
            learning_rate="constant",
            learning_rate_init=20.0,
            dtype=dtype,
            batch_size=60,
            max_iter=5000,
            hidden_layer_sizes=(8, 8, 8),
        )
        with pytest.warns(ConvergenceWarning, match="diverged.*The weights of epoch") as caught:
            model.fit(X, y)
        assert len(caught) == 1
        assert 1 <= model.n_iter_ < 5000
        assert np.isfinite(model.loss_curve_).all()
        for array in [*model.coefs_, *model.intercepts_]:
            assert np.isfinite(array).all()
        assert np.isfinite(model.predict_proba(X)).all()

    def test_later_gives_up_what_is_pending_in_rows_that_rest(self):
        rows = sparse.random(60, 300, density=0.01, random_state=1, format="csr")
        model = quick(solver="adamw", batch_size=6, alpha=0.5, max_iter=6)
        with pytest.warns(ConvergenceWarning, match="diverged"):
            model.set_params(learning_rate=lambda step: 1.0 if step < 35 else 1e30).fit(rows, y)
        proven = clone(model).set_params(learning_rate=lambda step: 1.0, max_iter=2)
        for array, expected in zip(model.coefs_, proven.fit(rows, y).coefs_, strict=True):
            np.testing.assert_array_equal(array, expected)

    # The last step goes wrong: no loss of an epoch is measured after it.
    last_step = {
        "solver": "sgd",
        "learning_rate": "constant",
        "momentum": 0.0,
        "hidden_layer_sizes": (8, 8, 8),
        "batch_size": 60,
        "dropout": 0.0,
        "alpha": 0.0,
    }

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("activation", ["identity", "leaky_relu"])
    @pytest.mark.parametrize("more", [{}, {"alpha": 1e-12}, {"ema_decay": 0.5}])
    def test_in_the_only_step_raises(self, kind, activation, more):
        X, y = problem(kind)
        model = quick(**self.last_step | more, learning_rate_init=1e16, max_iter=1)
        with pytest.raises(ValueError, match="diverged.*Nothing was learned"):
            model.set_params(activation=activation).fit(X, y)

    def test_in_the_only_step_of_partial_fit_leaves_the_model_as_it_was(self):
        model = quick(**self.last_step).partial_fit(X, y, [0, 1, 2])
        before = model.predict_proba(X)
        with pytest.raises(ValueError, match="diverged"):
            model.set_params(learning_rate_init=1e16).partial_fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), before)

    @pytest.mark.parametrize("more", [{}, {"ema_decay": 0.5}, {"early_stopping": True}])
    def test_in_the_last_step_warns_and_keeps_the_weights_before(self, more):
        # One step for each of three epochs.
        rate = [0.01, 0.01, 1e16].__getitem__
        settings = self.last_step | {"max_iter": 3, "validation_fraction": 0.2} | more
        model = quick(**settings | {"learning_rate": rate, "learning_rate_init": 1.0})
        is_stopped_early = "early_stopping" in more
        kept = "the best epoch" if is_stopped_early else "epoch 2"
        with pytest.warns(ConvergenceWarning, match=f"diverged.*weights of {kept} are kept"):
            model.fit(X, y)
        if not is_stopped_early:
            proven = clone(model).set_params(max_iter=2, ema_decay=None).fit(X, y)
            np.testing.assert_array_equal(model.predict_proba(X), proven.predict_proba(X))
        assert np.isfinite(model.predict_proba(X)).all()

    def test_in_a_few_rows_of_many_counts(self):
        X, y = problem(n_rows=1000)
        X[500] *= 1e8
        model = quick(**self.last_step, learning_rate_init=1e13, max_iter=1)
        with pytest.raises(ValueError, match="diverged"):
            model.fit(X, y)

    def test_of_lbfgs_raises(self):
        with pytest.raises(ValueError, match="diverged"):
            quick(solver="lbfgs", max_iter=50).fit(X * 1e200, y)

    def test_of_input_beyond_the_computing_dtype_raises(self):
        with pytest.raises(ValueError, match=r"diverged|float32"):
            quick().fit(X * 1e60, y)

    def test_in_a_warm_start_leaves_the_model_as_it_was(self):
        model = quick(solver="sgd", activation="identity", warm_start=True).fit(X, y)
        before = model.predict_proba(X)
        model.set_params(learning_rate_init=1e6, batch_size=1)
        with pytest.raises(ValueError, match="diverged"):
            model.fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), before)

    def test_in_partial_fit_leaves_the_model_as_it_was(self):
        model = quick(solver="sgd", activation="identity").partial_fit(X, y, [0, 1, 2])
        before, t, curve = model.predict_proba(X), model.t_, list(model.loss_curve_)
        model.set_params(learning_rate_init=1e6, batch_size=1)
        with pytest.raises(ValueError, match="diverged"):
            model.partial_fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), before)
        assert (model.t_, model.loss_curve_) == (t, curve)


class TestUnits:
    """What a scaler before the classifier lets it learn, `input_scaling` does as well."""

    @pytest.mark.parametrize("unit", [1e-200, 1e-40, 1e45, 1e250])
    @pytest.mark.parametrize("scaling", ["standard", "maxabs"])
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_of_any_size_make_no_difference(self, unit, scaling, solver):
        model = quick(solver=solver, input_scaling=scaling, max_iter=20)
        if solver == "lbfgs":
            model.set_params(max_iter=1000)
        expected = clone(model).fit(X, y).score(X, y)
        model.fit(X * unit, y)
        assert model.score(X * unit, y) >= expected - 0.02
        assert model.score(X.astype(np.longdouble) * unit, y) >= expected - 0.02


class TestWhatIsKept:
    @pytest.mark.parametrize(
        ("changes", "arguments"),
        [
            ({"hidden_layer_sizes": (0,)}, {}),
            ({"alpha": -1}, {}),
            ({"class_weight": {0: -1}}, {}),
            ({"early_stopping": True}, {"sample_weight": np.eye(60)[7]}),
            ({}, {"sample_weight": np.zeros(60)}),
            ({}, {"X_val": X}),
            ({}, {"X_val": X, "y_val": y + 1}),
        ],
        ids=repr,
    )
    def test_a_fitted_model_survives_a_call_that_raises(self, changes, arguments):
        model = quick().fit(X, y)
        expected = model.predict_proba(X)
        attributes = {
            name: copy.deepcopy(value)
            for name, value in vars(model).items()
            if name.endswith("_") and not name.startswith("_")
        }
        model.set_params(**changes)
        with pytest.raises(ValueError, match="."):
            model.fit(X, y, **arguments)
        np.testing.assert_array_equal(model.predict_proba(X), expected)
        for name, value in attributes.items():
            np.testing.assert_equal(getattr(model, name), value)

    def test_a_fitted_model_survives_bad_labels(self):
        model = quick().fit(X, y)
        expected = model.predict_proba(X)
        for bad in (np.zeros(60), X[:, 0], y[:-1]):
            with pytest.raises(ValueError, match="."):
                model.fit(X, bad)
            np.testing.assert_array_equal(model.predict_proba(X), expected)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_fit_never_changes_parameters_or_data(self, solver, kind):
        X, y = problem(kind)
        class_weight = {0: 1.0, 1: 2.0, 2: 1.0}
        if kind == "binary":
            del class_weight[2]
        elif kind == "multilabel-indicator":
            class_weight = [{0: 1.0, 1: 2.0}] * 3
        model = ANNClassifier(
            hidden_layer_sizes=[8, 4],
            solver=solver,
            class_weight=class_weight,
            input_scaling="standard",
            early_stopping=True,
            random_state=0,
            max_iter=100 if solver == "lbfgs" else "auto",
        )
        before = copy.deepcopy(model.get_params())
        identities = {name: id(value) for name, value in model.get_params().items()}
        weights = np.linspace(0, 2, 60)
        data = [array.copy() for array in (X, y, weights)]
        model.fit(X, y, sample_weight=weights)
        assert model.get_params() == before
        assert {name: id(value) for name, value in model.get_params().items()} == identities
        for array, copied in zip((X, y, weights), data, strict=True):
            np.testing.assert_array_equal(array, copied)

    @pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
    def test_partial_fit_never_changes_parameters(self, solver):
        model = ANNClassifier(solver=solver, hidden_layer_sizes=[4])
        before = copy.deepcopy(model.get_params())
        model.partial_fit(X, y, [0, 1, 2])
        assert model.get_params() == before


class TestWhatAFailedFitLeaves:
    def test_classes_of_a_first_fit_that_diverged_do_not_bind(self):
        model = quick(solver="sgd", learning_rate_init=1e30)
        with pytest.raises(ValueError, match="Nothing was learned"):
            model.partial_fit(X, y, classes=[0, 1, 2])
        assert not hasattr(model, "classes_")
        model.set_params(learning_rate_init=1e-3).partial_fit(X, y + 1, classes=[1, 2, 3])
        assert model.classes_.tolist() == [1, 2, 3]

    def test_is_all_of_an_earlier_fit(self):
        model = quick().fit(X, y)
        before = {name: value for name, value in vars(model).items() if name.endswith("_")}
        assert "n_features_in_" in before
        expected = model.predict_proba(X)
        for rows in (X, X[:, :2]):
            with pytest.raises(ValueError, match="Nothing was learned"):
                model.set_params(solver="sgd", learning_rate_init=1e30).fit(rows, y)
            after = {name: value for name, value in vars(model).items() if name.endswith("_")}
            assert after == before
            np.testing.assert_array_equal(model.predict_proba(X), expected)

    def test_of_a_first_fit_is_nothing(self):
        model = quick(solver="sgd", learning_rate_init=1e30)
        with pytest.raises(ValueError, match="Nothing was learned"):
            model.fit(X, y)
        assert [name for name in vars(model) if name.endswith("_")] == []


class TestValidationDataIsNamed:
    @pytest.mark.parametrize(
        "bad",
        [
            {"X_val": np.full((4, X.shape[1]), np.inf), "y_val": y[:4]},
            {"X_val": np.ones((4, 1)), "y_val": y[:4]},
            {"X_val": X[:4], "y_val": y[:4], "sample_weight_val": [-1, 1, 1, 1]},
        ],
        ids=["infinity", "columns", "weights"],
    )
    def test_where_it_cannot_be_used(self, bad):
        with pytest.raises(ValueError, match="X_val, y_val and sample_weight_val cannot be used"):
            quick().fit(X, y, **bad)


class TestClassWeightOfColumns:
    indicators = np.eye(3, dtype=int)[y]

    @pytest.mark.parametrize(
        ("bad", "match"),
        [
            ([{0: 1, "1": 1}] * 3, r"classes, \[1\], are not in class_weight"),
            ([{0: 1, 1: 1}] * 2, r"2 element\(s\) while having 3 outputs"),
            ([1, 2, 3], r"must be .* a dict of weights .*got \[1, 2, 3\]"),
            ([{0: "a", 1: 1}] * 3, "must be finite and not negative"),
        ],
    )
    def test_that_cannot_be_used(self, bad, match):
        with pytest.raises(ValueError, match=match):
            quick(class_weight=bad).fit(X, self.indicators)


def test_prediction_of_values_beyond_the_dtype_raises():
    model = quick().fit(X, y)
    with pytest.raises(ValueError, match="too large to compute with in float32"):
        model.predict_proba(X * 1e38)


@pytest.mark.parametrize("bad", [np.array(5.0), {5: 1}, {8}])
def test_hidden_layer_sizes_without_an_order_raise(bad):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        quick(hidden_layer_sizes=bad).fit(X, y)


def test_weights_before_fit_raise():
    with pytest.raises(AttributeError, match="not fitted"):
        _ = quick().coefs_


@pytest.mark.parametrize(
    ("changes", "n_parameters", "gigabytes"),
    [
        ({"hidden_layer_sizes": (10**7, 10**7)}, "100,000,090,000,003", "2,000,002"),
        (
            {"hidden_layer_sizes": (10**7, 10**7), "dtype": "float64", "solver": "sgd"},
            "100,000,090,000,003",
            "4,000,004",
        ),
        ({"hidden_layer_sizes": 10**15}, "8,000,000,000,000,003", "160,000,000"),
        (  # More than an array may have.
            {"hidden_layer_sizes": [10**10, 10**12]},
            "10,000,000,004,050,000,000,003",
            "200,000,000,081,000",
        ),
        (
            {"hidden_layer_sizes": (10**7, 10**7), "solver": "lbfgs"},
            "100,000,090,000,003",
            "4,000,004",
        ),
    ],
)
def test_networks_beyond_memory_raise_with_the_size_asked_for(changes, n_parameters, gigabytes):
    model = quick().fit(X, y)
    before = model.predict_proba(X)
    model.set_params(**changes)
    with pytest.raises(MemoryError, match="Choose smaller layers") as caught:
        model.fit(X, y)
    for part in (
        f"hidden_layer_sizes={tuple(np.atleast_1d(changes['hidden_layer_sizes']).tolist())!r}",
        f"{n_parameters} parameters",
        f"at least {gigabytes} GB",
    ):
        assert part in str(caught.value)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    if model.solver != "lbfgs":
        with pytest.raises(MemoryError, match="hidden_layer_sizes"):
            clone(model).partial_fit(X, y, [0, 1, 2])


def spoilt(matrix, place):
    """Return a sparse matrix with a column that it does not have."""
    matrix = matrix.copy()
    if matrix.format == "lil":
        matrix.rows[0] = [place]
        matrix.data[0] = [1]
    else:
        matrix.indices[0] = place
    return matrix


@pytest.mark.parametrize("place", [-2, 77, 10**6])
class TestIndicesOutOfRange:
    indicators = (np.arange(120).reshape(40, 3) % 7 < 4).astype(int)
    rows = np.random.default_rng(0).standard_normal((40, 3))

    @pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array])
    def test_in_targets_are_refused(self, container, place):
        bad = spoilt(container(self.indicators), place)
        with pytest.raises(ValueError, match="y is a sparse CS. matrix .* invalid indices"):
            quick().fit(self.rows, bad)
        with pytest.raises(ValueError, match="y_val is a sparse CS. matrix .* invalid indices"):
            quick().fit(self.rows, self.indicators, X_val=self.rows, y_val=bad)
        with pytest.raises(ValueError, match="y is a sparse CS. matrix .* invalid indices"):
            quick().fit(self.rows, self.indicators).score(self.rows, bad)

    def test_in_lists_of_lists_are_refused(self, place):
        bad = spoilt(sparse.lil_array(self.rows), place)
        with pytest.raises(ValueError, match="X is a sparse LIL matrix .* invalid indices"):
            quick().fit(bad, self.indicators)
        with pytest.raises(ValueError, match="X is a sparse LIL matrix .* invalid indices"):
            quick().fit(self.rows, self.indicators).predict(bad)
