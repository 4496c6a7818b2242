"""Tables with categories and missing values: as by the Pipeline that one would write by hand."""

import datetime
import pickle
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import narwhals.stable.v2 as nw
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ScoringMonitor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skann import ANNClassifier, find_learning_rate
from skann.callbacks import Checkpoint
from skann.export import TRUSTED_TYPES, register_onnx
from skann.tables import Encoding
from tests.data import SOLVERS
from tests.data import quick as fewer_epochs
from tests.results import assert_same, results
from tests.test_checkpoint import interrupt

pd = pytest.importorskip("pandas")

# What the tests compare need not be learned well.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS = 240
NUMBERS = ["age", "income", "constant", "twin", "empty"]
CATEGORIES = ["job", "town", "single"]


def quick(**changes):
    return fewer_epochs(**({"max_iter": 20, "learning_rate_init": 0.03} | changes))


def columns(seed=0):
    """Columns with gaps, as lists: None where a value is missing."""
    rng = np.random.default_rng(seed)
    age = np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.integers(1, 8, N_ROWS))
    job = rng.choice(["clerk", "farmer", "nurse", "smith"], N_ROWS).tolist()
    job = [None if rng.random() < 0.1 else each for each in job]
    job[7] = "astronaut"  # Seen once.
    town = rng.choice(["Aachen", "Bonn", "Cochem"], N_ROWS).tolist()
    single = (rng.random(N_ROWS) < 0.5).tolist()
    return {
        "age": [None if np.isnan(each) else float(each) for each in age],
        "income": rng.normal(2.0, 0.3, N_ROWS).tolist(),
        "constant": [3] * N_ROWS,
        "twin": [None if np.isnan(each) else float(each) for each in age],
        "empty": [np.nan] * N_ROWS,
        "job": job,
        "town": town,
        "single": single,
    }


def labels():
    given = columns()
    is_job = np.isin(np.array(given["job"], dtype=object), ["smith", "nurse"])
    return np.array(["none", "one", "two"])[is_job.astype(int) + given["single"]]


y = labels()


def by_pandas(data):
    return pd.DataFrame(data).astype({"empty": float, "town": "category"})


def by_objects(data):
    return pd.DataFrame(data, dtype=object).astype(dict.fromkeys(NUMBERS, float))


def by_nullable(data):
    dtypes = {"age": "Int64", "income": "Float64", "constant": "Int8", "twin": "Float32"}
    dtypes |= {"job": "string", "town": "string", "single": "boolean"}
    return pd.DataFrame(data).astype(dtypes)


def by_pyarrow_in_pandas(data):
    pytest.importorskip("pyarrow")
    return by_nullable(data).convert_dtypes(dtype_backend="pyarrow")


def by_pyarrow(data):
    return pytest.importorskip("pyarrow").table(data)


def by_polars(data):
    polars = pytest.importorskip("polars")
    return polars.DataFrame(data, strict=False).with_columns(
        polars.col("town").cast(polars.Categorical), polars.col("empty").cast(polars.Float64)
    )


def series(data):
    return pytest.importorskip("polars").Series(data)


def by_polars_enum(data):
    polars = pytest.importorskip("polars")
    return by_polars(data).with_columns(
        polars.col("job").cast(polars.Enum(["smith", "nurse", "farmer", "clerk", "astronaut"]))
    )


FRAMES = {
    function.__name__: function
    for function in (
        by_pandas,
        by_objects,
        by_nullable,
        by_pyarrow_in_pandas,
        by_pyarrow,
        by_polars,
        by_polars_enum,
    )
}
every_frame = pytest.mark.parametrize("make", FRAMES.values(), ids=list(FRAMES))


def by_hand(numbers, categories, **changes):
    """The Pipeline that one would write without `skann.tables`."""
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=2,
        max_categories=100,
        sparse_output=False,
    )
    transformer = ColumnTransformer(
        [("numbers", imputer, numbers), ("categories", encoder, categories)], sparse_threshold=0
    )
    return make_pipeline(transformer, quick(**changes))


def assert_equal_to_the_pipeline(model, pipeline, table, same_table=None):
    same_table = table if same_table is None else same_table
    np.testing.assert_array_equal(model.coefs_[0], pipeline[-1].coefs_[0])
    np.testing.assert_array_equal(model.predict_proba(table), pipeline.predict_proba(same_table))
    np.testing.assert_array_equal(model.predict(table), pipeline.predict(same_table))


class TestEqualsAPipeline:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_with_every_solver(self, solver):
        table, other = by_pandas(columns()), by_pandas(columns(1))
        changes = {"solver": solver, "max_iter": 300 if solver == "lbfgs" else 20}
        changes |= {"alpha": 10.0, "tol": 1e-2} if solver == "lbfgs" else {}
        model = quick(**changes).fit(table, y)
        pipeline = by_hand(NUMBERS, CATEGORIES, **changes).fit(table, y)
        assert_equal_to_the_pipeline(model, pipeline, table)
        assert_equal_to_the_pipeline(model, pipeline, other)

    @every_frame
    def test_with_every_kind_of_frame(self, make):
        table, same = make(columns()), by_pandas(columns())
        model = quick().fit(table, y)
        pipeline = by_hand(NUMBERS, CATEGORIES).fit(same, y)
        assert_equal_to_the_pipeline(model, pipeline, table, same)
        assert_equal_to_the_pipeline(model, pipeline, make(columns(1)), by_pandas(columns(1)))
        assert model.n_features_in_ == 8
        assert model.feature_names_in_.tolist() == NUMBERS + CATEGORIES
        # 5 numbers, 3 indicators, 5 jobs and those seen once, 3 towns, 2 booleans.
        assert model.coefs_[0].shape[0] == 5 + 3 + 6 + 3 + 2

    @every_frame
    def test_in_cross_validation_and_search(self, make):
        table, same = make(columns()), by_pandas(columns())
        pipeline = by_hand(NUMBERS, CATEGORIES)
        expected = cross_val_predict(pipeline, same, y, cv=3, method="predict_proba")
        got = cross_val_predict(quick(), table, y, cv=3, method="predict_proba")
        np.testing.assert_array_equal(got, expected)
        search = GridSearchCV(quick(), {"alpha": [0.01, 1.0]}, cv=2).fit(table, y)
        grid = {"annclassifier__alpha": [0.01, 1.0]}
        other = GridSearchCV(pipeline, grid, cv=2).fit(same, y)
        name = "mean_test_score"
        np.testing.assert_array_equal(search.cv_results_[name], other.cv_results_[name])
        np.testing.assert_array_equal(search.predict(table), other.predict(same))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_of_an_imputer_for_an_array_with_gaps(self, dtype):
        X = by_pandas(columns())[NUMBERS].to_numpy(dtype)
        model = quick(input_scaling=None).fit(X, y)
        assert_equal_to_the_pipeline(model, by_hand([0, 1, 2, 3, 4], []).fit(X, y), X)

    def test_where_only_rows_to_predict_have_gaps(self):
        X = np.random.default_rng(0).normal(size=(N_ROWS, 4))
        holed = np.where(X > 1, np.nan, X)
        model = quick().fit(X, y)
        assert_equal_to_the_pipeline(model, by_hand([0, 1, 2, 3], []).fit(X, y), holed)
        np.testing.assert_array_equal(model.predict(X), model.predict(pd.DataFrame(X)))

    def test_of_categories_alone(self):
        table = by_pandas(columns())[CATEGORIES]
        for scaling in (None, "standard", "maxabs"):
            model = quick(input_scaling=scaling).fit(table, y)
            assert_equal_to_the_pipeline(model, by_hand([], CATEGORIES).fit(table, y), table)

    def test_of_numbers_alone_constant_and_twice_as_they_may_be(self):
        table = by_pandas(columns())[["constant", "income"]].assign(again=columns()["income"])
        model = quick().fit(table, y)
        assert_equal_to_the_pipeline(model, by_hand(list(table), []).fit(table, y), table)
        assert model.summary().columns is None

    @pytest.mark.parametrize("n_levels", [99, 100, 101, 10_000])
    def test_of_many_levels_some_as_frequent_as_others(self, n_levels):
        rng = np.random.default_rng(0)
        n_rows = 3 * n_levels
        names = np.array([f"level {each}" for each in range(n_levels)], dtype=object)
        town = names[np.minimum(rng.geometric(3 / n_levels, n_rows), n_levels) - 1]
        town[rng.random(n_rows) < 0.1] = None
        table = pd.DataFrame({"x": rng.normal(size=n_rows), "town": town})
        labels = np.arange(n_rows) % 2
        changes = {"max_iter": 1, "batch_size": 1000}
        model = quick(**changes).fit(table, labels)
        pipeline = by_hand(["x"], ["town"], **changes).fit(table, labels)
        assert_equal_to_the_pipeline(model, pipeline, table)
        assert model.coefs_[0].shape[0] <= 1 + 100

    def test_with_weights_and_validation_data(self):
        table, other = by_pandas(columns()), by_pandas(columns(1))
        weights = np.linspace(0, 2, N_ROWS)
        pipeline = by_hand(NUMBERS, CATEGORIES, early_stopping=True)
        inputs = pipeline[:-1].fit(table)
        more = {"y_val": y, "sample_weight_val": weights}
        model = quick(early_stopping=True).fit(table, y, weights, X_val=other, **more)
        X, X_val = inputs.transform(table), inputs.transform(other)
        same = quick(early_stopping=True).fit(X, y, weights, X_val=X_val, **more)
        assert model.validation_scores_ == same.validation_scores_
        np.testing.assert_array_equal(model.predict_proba(table), same.predict_proba(X))

    @pytest.mark.parametrize("scoring", [None, "loss", "balanced_accuracy"])
    def test_with_early_stopping(self, scoring):
        table = by_pandas(columns())
        settings = {"early_stopping": True, "scoring": scoring}
        model = quick(**settings).fit(table, y)
        pipeline = by_hand(NUMBERS, CATEGORIES, **settings).fit(table, y)
        assert model.validation_scores_ == pipeline[-1].validation_scores_
        assert_equal_to_the_pipeline(model, pipeline, table)

    @pytest.mark.parametrize("config", [{"transform_output": "pandas"}])
    def test_under_any_configuration(self, config):
        import sklearn

        table = by_pandas(columns())
        expected = quick().fit(table, y).predict_proba(table)
        with sklearn.config_context(**config):
            np.testing.assert_array_equal(quick().fit(table, y).predict_proba(table), expected)

    def test_after_a_pickle_a_clone_and_a_file_of_skops(self):
        table = by_pandas(columns())
        model = quick(warm_start=True).fit(table, y)
        loaded = pickle.loads(pickle.dumps(model))
        assert_same(results(loaded), results(model))
        np.testing.assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))
        assert_same(results(clone(model).fit(table, y)), results(model))
        io = pytest.importorskip("skops.io")
        loaded = io.loads(io.dumps(model), trusted=TRUSTED_TYPES)
        np.testing.assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))


class TestNumbersWithoutGaps:
    def test_are_never_copied_and_give_the_same_bits(self, monkeypatch):
        X = np.random.default_rng(0).normal(size=(N_ROWS, 4))
        seen = []
        monkeypatch.setattr(
            "skann.preparation.laid_out_by_rows", lambda rows, dtype: seen.append(rows) or rows
        )
        model = quick().fit(X, y)
        assert seen[0] is X
        frame = pd.DataFrame(X, columns=list("abcd"))
        np.testing.assert_array_equal(
            quick().fit(frame, y).predict_proba(frame), model.predict_proba(X)
        )
        assert model.summary().columns is None

    def test_are_read_once(self, monkeypatch):
        def is_not_called(numbers):
            raise AssertionError("The numbers are known to be finite.")

        monkeypatch.setattr("skann.base.holds_nan", is_not_called)
        X = np.random.default_rng(0).normal(size=(N_ROWS, 4))
        quick().fit(X, y).partial_fit(X, y).predict(X)

    @pytest.mark.parametrize("n_rows", [1, 2, 7, 8])
    def test_have_the_medians_of_an_imputer(self, n_rows):
        numbers = np.random.default_rng(0).normal(size=(n_rows, 3)).astype(np.float32)
        encoding = Encoding.fit(None, numbers, None, has_nan=False)
        expected = SimpleImputer(strategy="median").fit(numbers).statistics_
        np.testing.assert_array_equal(encoding.medians, expected)

    def test_have_medians_of_some_rows_where_they_are_many(self, monkeypatch):
        monkeypatch.setattr("skann.tables._MEDIAN_NUMBERS", 12)
        X = np.arange(4.0 * N_ROWS).reshape(N_ROWS, 4)
        model = quick(input_scaling="standard").fit(X, y)
        middle = np.median(X[[0, 119, 239]], axis=0, keepdims=True)
        np.testing.assert_array_equal(
            model.predict_proba(np.full((1, 4), np.nan)), model.predict_proba(middle)
        )


class TestObjects:
    """Python objects, one by one: in columns of objects, arrays of objects and lists."""

    MISSING = (None, np.nan, pd.NA, pd.NaT, Decimal("nan"), np.datetime64("NaT", "ns"))

    @pytest.mark.parametrize(
        "convert", [pd.DataFrame, np.ndarray.tolist, np.asarray], ids=["frame", "lists", "array"]
    )
    @pytest.mark.parametrize("number", [float, Decimal, Fraction, np.float32, np.float64])
    def test_that_are_numbers_may_be_missing_in_any_way(self, convert, number):
        # As halves, they are the same number of any type.
        halves = np.random.default_rng(0).integers(0, 9, (N_ROWS, 2)) / 2
        table = np.array([[number(each) for each in row] for row in halves], dtype=object)
        for row, missing in enumerate(self.MISSING):
            table[row, 0], halves[row, 0] = missing, np.nan
        model, same = quick().fit(convert(table), y), quick().fit(halves, y)
        assert_same(results(model), results(same))
        np.testing.assert_array_equal(
            model.predict_proba(convert(table)), same.predict_proba(halves)
        )

    def test_in_lists_are_those_of_an_array(self):
        table = by_objects(columns()).to_numpy()
        model, same = quick().fit(table.tolist(), y), quick().fit(table, y)
        np.testing.assert_array_equal(
            model.predict_proba(table[:9].tolist()), same.predict_proba(table[:9])
        )

    def test_of_a_frame_are_predicted_from_rows_as_well(self):
        table = by_objects(columns())
        model = quick().fit(table, y)
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            rows = model.predict_proba(table.to_numpy().tolist())
        np.testing.assert_array_equal(rows, model.predict_proba(table))

    def test_that_are_arrays_are_not_missing(self):
        arrays = pd.Series([np.arange(2), np.arange(3)] * 10, dtype=object)
        model = quick().fit(pd.DataFrame({"level": arrays}), [0, 1] * 10)
        assert model._model.encoding.levels == [["[0 1 2]", "[0 1]"]]

    @pytest.mark.parametrize("values", [[b"a", b"b"], [[1, 2], [3]], [{"a": 1}, {"a": 2}]])
    def test_that_are_neither_are_mixed_values_in_any_library(self, values):
        polars = pytest.importorskip("polars")
        data = {"level": values * 10, "x": [0.5] * 20}
        model = quick().fit(pd.DataFrame(data), [0, 1] * 10)
        same = quick().fit(polars.DataFrame(data), [0, 1] * 10)
        assert model.coefs_[0].shape[0] == 1 + 2
        np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])


class TestDtypes:
    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_of_decimals_may_be_missing(self, library):
        pyarrow = pytest.importorskip("pyarrow")
        numbers = [None, *map(Decimal, range(1, N_ROWS))]
        if library == "pandas":
            dtype = pd.ArrowDtype(pyarrow.decimal128(10, 2))
            table = pd.DataFrame({"x": pd.Series(numbers, dtype=dtype)})
        else:
            table = pytest.importorskip("polars").DataFrame({"x": numbers})
        same = pd.DataFrame({"x": [np.nan, *range(1, N_ROWS)]})
        np.testing.assert_array_equal(
            quick().fit(table, y).coefs_[0], quick().fit(same, y).coefs_[0]
        )

    def test_of_sparse_columns_are_dense_beside_categories(self):
        table = by_pandas(columns())[["income", "job"]]
        sparsely = table.astype({"income": pd.SparseDtype(float)})
        model, same = quick().fit(sparsely, y), quick().fit(table, y)
        np.testing.assert_array_equal(model.predict_proba(sparsely), same.predict_proba(table))

    @pytest.mark.parametrize("dtype", [np.float16, np.longdouble, pd.SparseDtype(float)])
    def test_of_numbers_that_are_rare(self, dtype):
        halves = np.random.default_rng(0).integers(0, 9, (N_ROWS, 2)) / 2
        table = pd.DataFrame(halves, columns=["a", "b"]).astype(dtype)
        model, same = quick().fit(table, y), quick().fit(halves, y)
        np.testing.assert_allclose(model.predict_proba(table), same.predict_proba(halves), 1e-4)

    @pytest.mark.parametrize("categories", [None, "from_dtype"])
    def test_of_booleans_may_be_missing(self, categories):
        values = [True, False, None] * (N_ROWS // 3)
        table = pd.DataFrame({"a": pd.Series(values, dtype="boolean")})
        model = quick(categorical_features=categories).fit(table, y)
        # Either the number and its indicator or three levels.
        assert model.coefs_[0].shape[0] == (2 if categories is None else 3)

    def test_of_levels_that_no_row_has_make_no_input(self):
        table = pd.DataFrame({"a": pd.Categorical(["x", "y"] * (N_ROWS // 2), ["x", "y", "z"])})
        assert quick().fit(table, y).coefs_[0].shape[0] == 2


class TestLevels:
    def table(self, levels, name="level"):
        return pd.DataFrame({name: levels, "x": np.linspace(0, 1, len(levels))})

    def fit(self, levels, **changes):
        y = np.arange(len(levels)) % 2
        return quick(**changes).fit(self.table(levels), y)

    def probabilities(self, model, *levels):
        table = pd.DataFrame({"level": pd.Series(levels, dtype=object), "x": 0.5})
        return model.predict_proba(table)

    @pytest.mark.parametrize("missing", [[None, np.nan, pd.NA], [None, np.nan, pd.NaT]])
    def test_that_are_missing_in_any_way_are_one(self, missing):
        levels = pd.Series(["a", "b", *missing] * 6, dtype=object)
        model = self.fit(levels)
        assert model.coefs_[0].shape[0] == 1 + 3
        rows = self.probabilities(model, *missing)
        np.testing.assert_array_equal(rows, rows[:1].repeat(3, axis=0))
        assert not np.array_equal(rows[0], self.probabilities(model, "a")[0])

    def test_that_are_unknown_are_as_those_that_are_rare(self):
        model = self.fit(["a", "b"] * 10 + ["rare", "seldom"])
        assert model.coefs_[0].shape[0] == 1 + 3
        new, rare = self.probabilities(model, "new", "rare")
        np.testing.assert_array_equal(new, rare)
        # So are missing ones, where there were none.
        np.testing.assert_array_equal(self.probabilities(model, None)[0], rare)

    def test_that_are_unknown_are_none_where_there_are_no_rare_ones(self):
        model = self.fit(["a", "b"] * 10)
        inputs = np.array([[0.5, 0, 0]])
        expected = model._as_fitted(model._model.network, model._model.labels, None)
        np.testing.assert_array_equal(
            self.probabilities(model, "new"), expected.predict_proba(inputs)
        )

    @pytest.mark.parametrize("n_levels", [100, 101, 10_000])
    def test_that_are_many_are_bounded(self, n_levels):
        rng = np.random.default_rng(0)
        levels = [f"level {each}" for each in rng.permutation(np.arange(3 * n_levels) % n_levels)]
        model = self.fit(levels, max_iter=1, batch_size=1000)
        assert model.coefs_[0].shape[0] == 1 + 100

    def test_that_are_numbers_are_equal_across_types(self):
        model = self.fit(pd.Categorical([3, 1, 20] * 7))
        floats = self.probabilities(model, 1.0, 3.0, 20.0)
        table = pd.DataFrame({"level": pd.Categorical([1, 3, 20]), "x": 0.5})
        np.testing.assert_array_equal(model.predict_proba(table), floats)

    @pytest.mark.parametrize(
        "levels",
        [
            [1, "1", 2.5, "a", None],
            [(1, 2), (3, 4), "a", (1, 2), None],
            [{"a": 1}, {"b": 2}, "a", ["c"], None],
            pd.cut([1, 2, 3, 4, 5], 3).astype(object),
        ],
        ids=["numbers and strings", "tuples", "unhashable", "intervals"],
    )
    def test_that_are_mixed_are_compared_as_text(self, levels):
        model = self.fit(pd.Series(list(levels) * 4, dtype=object))
        assert model.coefs_[0].shape[0] == 1 + len(set(map(str, levels)))
        table = self.table(pd.Series(list(levels) * 4, dtype=object))
        alone = [model.predict_proba(table.iloc[[row]]) for row in range(5)]
        np.testing.assert_allclose(np.vstack(alone), model.predict_proba(table)[:5], rtol=1e-5)

    def test_in_an_array_of_objects_are_found_column_by_column(self):
        table = by_objects(columns())
        model = quick().fit(table.to_numpy(), y)
        same = quick().fit(table, y)
        np.testing.assert_array_equal(
            model.predict_proba(table.to_numpy()), same.predict_proba(table)
        )


class TestCategoricalFeatures:
    def test_may_be_given_as_names_a_mask_or_places(self):
        table = by_pandas(columns())
        expected = quick().fit(table, y)
        places = [table.columns.get_loc(name) for name in CATEGORIES]
        for given in (CATEGORIES, places, np.isin(table.columns, CATEGORIES)):
            model = quick(categorical_features=given).fit(table, y)
            np.testing.assert_array_equal(model.predict_proba(table), expected.predict_proba(table))

    @pytest.mark.parametrize("convert", [np.asarray, np.float32, np.ndarray.tolist, pd.DataFrame])
    def test_of_an_array_of_numbers(self, convert):
        rng = np.random.default_rng(0)
        X = rng.integers(0, 4, (N_ROWS, 3)).astype(float)
        X[:, 2] = rng.normal(size=N_ROWS)
        holed = np.where(rng.random(X.shape) < 0.1, np.nan, X)
        model = quick(categorical_features=[0, 1]).fit(convert(holed), y)
        pipeline = by_hand([2], [0, 1]).fit(holed, y)
        assert_equal_to_the_pipeline(model, pipeline, convert(holed), holed)

    def test_none_leaves_categories_numbers(self):
        numbers = np.arange(N_ROWS) % 3
        table = pd.DataFrame({"a": pd.Categorical(numbers), "b": numbers == 1})
        model = quick(categorical_features=None).fit(table, y)
        same = quick().fit(np.column_stack([numbers, numbers == 1]), y)
        np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["nonsense"], "'nonsense' which is not a valid feature name"),
            ([9], r"must be in \[0, n_features - 1\]"),
            ([True, False], "must have shape"),
            ([0.5], "must be an array-like of bool, int or str"),
            ("nonsense", "The 'categorical_features' parameter"),
        ],
    )
    def test_that_are_not_there(self, given, message):
        with pytest.raises(ValueError, match=message):
            quick(categorical_features=given).fit(by_pandas(columns()), y)


class TestScaling:
    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    def test_leaves_zeros_and_ones_as_they_are(self, kind):
        table = by_pandas(columns())
        scaling = quick(input_scaling=kind).fit(table, y)._model.scaling
        assert (scaling.factor[5:] == 1).all()
        assert scaling.factor[1] != 1
        if kind == "standard":
            assert (scaling.shift[5:] == 0).all()
            filled = table[["income"]].to_numpy()
            scaler = StandardScaler().fit(filled)
            np.testing.assert_allclose(1 / scaling.factor[1], scaler.scale_[0])
            np.testing.assert_allclose(scaling.shift[1], scaler.mean_[0])

    def test_equals_a_scaler_after_the_imputer(self):
        table = by_pandas(columns())
        model = quick(input_scaling="standard", dtype="float64").fit(table, y)
        pipeline = by_hand(NUMBERS, CATEGORIES, dtype="float64")
        scaler = ColumnTransformer(
            [("scale", StandardScaler(), slice(0, 5))], remainder="passthrough"
        )
        pipeline.steps.insert(1, ("scaler", scaler))
        pipeline.fit(table, y)
        np.testing.assert_allclose(
            model.predict_proba(table), pipeline.predict_proba(table), rtol=1e-9
        )

    def test_by_quantiles_withstands_outliers_beside_categories(self):
        table = by_pandas(columns())
        income = table["income"].to_numpy()
        labels = np.where((income > 2) ^ table["single"], "more", "less")
        far = income.copy()
        far[[3, 50, 90, 200]] += 1e6 * income.std()
        rows = np.delete(np.arange(N_ROWS), [3, 50, 90, 200])
        model = ANNClassifier(input_scaling="robust", random_state=0)
        model.fit(table.assign(income=far), labels)
        assert model.score(table.iloc[rows], labels[rows]) > 0.95
        # The outliers themselves get finite probabilities too.
        probabilities = model.predict_proba(table.assign(income=far))
        assert np.isfinite(probabilities).all()


class TestFurtherTraining:
    def test_keeps_medians_and_levels_of_the_first_call(self):
        first, second = by_pandas(columns()), by_pandas(columns(1))
        second.loc[3, "job"] = "pilot"
        inputs = by_hand(NUMBERS, CATEGORIES)[:-1].fit(first)
        model, same = quick(), quick()
        for table in (first, second, first):
            model.partial_fit(table, y, np.unique(y))
            same.partial_fit(inputs.transform(table), y, np.unique(y))
        np.testing.assert_array_equal(
            model.predict_proba(second), same.predict_proba(inputs.transform(second))
        )

    def test_takes_gaps_that_the_first_call_had_not(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(N_ROWS, 4))
        model, same = quick(), quick()
        holed = np.where(X > 1, np.nan, X)
        for rows, filled in ((X, X), (holed, np.where(X > 1, np.median(X, axis=0), X))):
            model.partial_fit(rows, y, np.unique(y))
            same.partial_fit(filled, y, np.unique(y))
        np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])

    def test_by_a_warm_start_keeps_those_of_the_first_fit(self):
        first, second = by_pandas(columns()), by_pandas(columns(1))
        inputs = by_hand(NUMBERS, CATEGORIES)[:-1].fit(first)
        model = quick(warm_start=True).fit(first, y).fit(second, y)
        same = quick(warm_start=True).fit(inputs.transform(first), y)
        same.fit(inputs.transform(second), y)
        np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])

    @every_frame
    @pytest.mark.parametrize("warm_start", [False, True])
    def test_by_resume_has_the_same_bits(self, make, warm_start, tmp_path):
        path = tmp_path / "fit.npz"
        table = make(columns())
        settings = {"warm_start": warm_start, "input_scaling": "standard"}
        model = quick(**settings)
        if warm_start:
            model.fit(make(columns(1)), y)
        interrupt(pickle.loads(pickle.dumps(model)), path, 2, table, y, X_val=table, y_val=y)
        model.fit(table, y, X_val=table, y_val=y)
        resumed = quick(**settings).resume(path, table, y, X_val=table, y_val=y)
        assert_same(results(resumed), results(model))

    def test_by_resume_of_another_table_is_refused(self, tmp_path):
        path = tmp_path / "fit.npz"
        table = by_pandas(columns())
        quick().set_callbacks(Checkpoint(path)).fit(table, y)
        with pytest.raises(ValueError, match="other data: X differs"):
            quick().resume(path, table.assign(income=1.0), y)
        with pytest.raises(ValueError, match="X has 7 features, but the interrupted fit had 8"):
            quick().resume(path, table.drop(columns="town"), y)


@pytest.fixture(scope="module")
def model():
    return quick().fit(by_pandas(columns()), y)


class TestErrors:
    @every_frame
    def test_of_infinite_numbers(self, make, model):
        data = columns()
        data["income"][3] = np.inf
        with pytest.raises(ValueError, match="Input X contains infinity"):
            quick().fit(make(data), y)
        with pytest.raises(ValueError, match="Input X contains infinity"):
            model.predict(make(data))

    @every_frame
    def test_of_columns_that_are_missing_or_in_another_order(self, make, model):
        table = nw.from_native(make(columns()))
        with pytest.raises(ValueError, match="(?s)seen at fit time, yet now missing.*twin"):
            model.predict(table.drop("twin").to_native())
        with pytest.raises(ValueError, match="must be in the same order"):
            model.predict(table.select(*reversed(table.columns)).to_native())

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            ("age", "old", "Column 'age' of X holds strings where numbers are expected"),
            ("job", 3, "Column 'job' of X holds numbers, but in fit it held strings"),
            ("job", True, "Column 'job' of X holds booleans, but in fit it held strings"),
            ("single", "yes", "Column 'single' of X holds strings, but in fit it held booleans"),
            ("single", 1, "Column 'single' of X holds numbers, but in fit it held booleans"),
        ],
    )
    def test_of_a_column_that_has_changed_its_kind(self, model, name, values, message):
        with pytest.raises(ValueError, match=message):
            model.predict(by_pandas(columns()).assign(**{name: values}))
        table = by_pandas(columns())
        with pytest.raises(ValueError, match=f"X_val, y_val .*{message}"):
            quick().fit(table, y, X_val=table.assign(**{name: values}), y_val=y)

    @pytest.mark.parametrize("name", [*NUMBERS, *CATEGORIES])
    @pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
    def test_but_not_of_one_that_holds_nothing_now(self, model, name, nothing):
        table = by_pandas(columns())
        emptied = table.assign(**{name: pd.Series([nothing] * N_ROWS, dtype=object)})
        gaps = [np.nan if name in NUMBERS else None] * N_ROWS
        same = table.assign(**{name: pd.Series(gaps, dtype=float if name in NUMBERS else "str")})
        np.testing.assert_array_equal(model.predict_proba(emptied), model.predict_proba(same))

    @pytest.mark.parametrize(
        "make", [list, tuple, np.array, lambda texts: np.array(texts, object), pd.Series, series]
    )
    def test_of_texts(self, make, model):
        texts = make(["a text", "another"] * (N_ROWS // 2))
        with pytest.raises(ValueError, match=r"one string or path for each .* TfidfVectorizer"):
            quick().fit(texts, y)
        with pytest.raises(ValueError, match=r"one string or path for each sample, .*ImageReader"):
            model.predict(texts)

    @pytest.mark.parametrize("first", [None, Path("a.png")])
    def test_of_texts_after_none_and_of_paths(self, first):
        with pytest.raises(ValueError, match=r"one string or path for each sample, .*ImageReader"):
            quick().fit([first, "b.png"] * (N_ROWS // 2), y)

    @pytest.mark.parametrize("flat", [sparse.coo_array(np.ones(3)), np.ones(3), []])
    def test_of_numbers_in_one_dimension(self, flat):
        with pytest.raises(ValueError, match=r"Expected 2D|2 dimensions|1-dimensional|1D"):
            quick().fit(flat, [0, 1, 0])

    @pytest.mark.parametrize("make", [by_pandas, by_polars, by_pyarrow])
    def test_of_dates(self, make):
        data = columns()
        data["income"] = np.arange(N_ROWS).astype("M8[s]").astype(object).tolist()
        with pytest.raises(ValueError, match=r"X holds dates or durations \(dtype "):
            quick().fit(make(data), y)

    def test_of_dates_among_objects(self):
        dates = pd.Series(np.arange(N_ROWS).astype("M8[D]").astype(object).tolist(), dtype=object)
        with pytest.raises(ValueError, match=r"X holds dates or durations \(dtype date\)"):
            quick().fit(by_pandas(columns()).assign(income=dates), y)

    @pytest.mark.parametrize("value", [datetime.time(1), datetime.timedelta(1), pd.Period("2020")])
    def test_of_times_durations_and_periods(self, value):
        with pytest.raises(ValueError, match="X holds dates or durations"):
            quick().fit(by_pandas(columns()).assign(income=[value] * N_ROWS), y)

    @pytest.mark.parametrize("unit", ["ns", "D", "Y"])
    def test_of_dates_in_an_array_of_objects(self, unit):
        X = np.full((N_ROWS, 2), 1.0, dtype=object)
        X[3, 1] = np.datetime64("2020", unit)
        with pytest.raises(ValueError, match="X holds dates or durations"):
            quick().fit(X, y)

    def test_of_complex_numbers_among_objects(self):
        values = pd.Series([1j] * N_ROWS, dtype=object)
        for dtype in (object, "category"):
            with pytest.raises(ValueError, match="X holds complex numbers"):
                quick().fit(by_pandas(columns()).assign(income=values.astype(dtype)), y)

    def test_of_a_category_that_is_infinite(self):
        X = np.column_stack([np.where(np.arange(N_ROWS) > 9, 1, np.inf), np.ones(N_ROWS)])
        with pytest.raises(ValueError, match="Input X contains infinity"):
            quick(categorical_features=[0]).fit(X, y)

    def test_of_names_that_two_columns_have(self):
        table = by_pandas(columns())[["age", "age", "job"]]
        with pytest.raises(ValueError, match="Expected unique column names"):
            quick().fit(table, y)

    def test_of_missing_labels(self):
        holed = y.astype(object)
        holed[3] = None
        with pytest.raises(ValueError, match="y contains NaN, NA or None in place of 1 of 240"):
            quick().fit(by_pandas(columns()), holed)

    def test_of_sparse_rows_after_a_table(self):
        X = np.random.default_rng(0).normal(size=(N_ROWS, 3))
        X[0, 0] = np.nan
        with pytest.raises(ValueError, match=r"Pass X.toarray\(\)"):
            quick().fit(X, y).predict(sparse.csr_array(np.nan_to_num(X)))
        model = quick(categorical_features=[0]).fit(np.round(X), y)
        with pytest.raises(TypeError, match=r"Use '.toarray\(\)'"):
            model.predict(sparse.csr_array(np.ones((2, 3))))

    def test_of_onnx_export_say_what_to_do(self):
        skl2onnx = pytest.importorskip("skl2onnx")
        register_onnx()
        X = np.random.default_rng(0).normal(size=(N_ROWS, 3))
        X[0, 0] = np.nan
        with pytest.raises(ValueError, match="Fit a Pipeline of a ColumnTransformer"):
            skl2onnx.to_onnx(quick().fit(X, y), X[:1])

    @pytest.mark.parametrize("shape", [(0, 3), (240, 0)])
    def test_of_tables_without_rows_or_columns(self, shape):
        table = by_pandas(columns()).iloc[: shape[0], : shape[1]]
        with pytest.raises(ValueError, match=r"Found array with 0 (sample|feature)\(s\)"):
            quick().fit(table, y[: shape[0]])
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
            quick().fit(by_pandas(columns())[["town"]].iloc[:0], y[:0])


class TestOthers:
    def test_callbacks_see_the_table_as_it_is_given(self):
        table = by_pandas(columns())
        monitor = ScoringMonitor(scoring="accuracy")
        model = quick().set_callbacks(monitor).fit(table, y)
        (whole,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
        assert whole["accuracy"] == model.score(table, y)

    def test_find_a_learning_rate(self):
        display = find_learning_rate(quick(), by_pandas(columns()), y)
        assert display.suggested_rate > 0

    def test_calibrate(self):
        table = by_pandas(columns())
        model = CalibratedClassifierCV(quick(), cv=2).fit(table, y)
        assert model.predict(table).shape == y.shape

    def test_summary_has_a_sentence_on_the_columns(self):
        text = str(quick().fit(by_pandas(columns()), y).summary())
        assert (
            "Columns:       5 numeric with 3 indicators of missing values, 3 categorical with"
            " 11 levels\n" in text
        )

    def test_names_of_columns_that_are_no_strings(self):
        data = columns()
        table = by_pandas(data).set_axis(range(8), axis="columns")
        model = quick().fit(table, y)
        assert not hasattr(model, "feature_names_in_")
        np.testing.assert_array_equal(
            model.predict_proba(table),
            quick().fit(by_pandas(data), y).predict_proba(by_pandas(data)),
        )

    def test_accuracy_is_that_of_a_table_that_is_understood(self):
        table = by_pandas(columns())
        model = ANNClassifier(input_scaling="standard", random_state=0)
        assert cross_val_score(model, table, y, cv=3).mean() > 0.85
