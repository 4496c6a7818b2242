import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

from skann import ANNClassifier, scaling
from skann.engine.batches import Examples
from skann.engine.rows import Scaling, make_rows
from skann.scaling import measure_scaling
from tests.test_rows import numbers


class TestColumnScaling:
    rng = np.random.default_rng(0)
    # More rows than one pass takes, and a column far from zero.
    X = rng.standard_normal((1300, 4)) * [1, 1e-3, 50, 2] + [0, 1, -300, 1e5]
    weights = rng.integers(0, 4, 1300).astype(float)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_standard_equals_standard_scaler(self, weighted):
        weights = self.weights if weighted else None
        scaling = measure_scaling("standard", Examples(self.X, np.zeros(1300), weights))
        reference = StandardScaler().fit(self.X, sample_weight=weights)
        np.testing.assert_allclose(scaling.shift, reference.mean_, rtol=1e-9)
        np.testing.assert_allclose(scaling.factor, 1 / reference.scale_, rtol=1e-7)

    @pytest.mark.parametrize("dtype", ["u1", "i8", "f4", ">f8"])
    def test_maxabs_equals_max_abs_scaler(self, dtype):
        X = numbers(1300, 3, dtype)
        scaling = measure_scaling("maxabs", Examples(X, np.zeros(1300), None))
        assert scaling.shift is None
        np.testing.assert_allclose(scaling.factor, 1 / MaxAbsScaler().fit(X).scale_)

    def test_maxabs_of_the_most_negative_integer(self):
        X = np.array([[-128, -5], [127, 3]], np.int8)
        scaling = measure_scaling("maxabs", Examples(X, np.zeros(2), None))
        np.testing.assert_allclose(scaling.factor, [1 / 128, 1 / 5])

    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
    def test_rows_of_weight_zero_do_not_count(self, kind, convert):
        weights = np.ones(1300)
        weights[:700] = 0
        X = np.abs(self.X)
        X[:700] *= 100
        got = measure_scaling(kind, Examples(convert(X), np.zeros(1300), weights))
        expected = measure_scaling(kind, Examples(convert(X[700:]), np.zeros(600), None))
        np.testing.assert_allclose(got.factor, expected.factor, rtol=1e-6)

    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    def test_sparse_factors_equal_dense_ones_without_shift(self, kind):
        X = numbers(600, 4, "f8")
        X[X < 70] = 0
        dense = measure_scaling(kind, Examples(X, np.zeros(600), None))
        got = measure_scaling(kind, Examples(sparse.csr_array(X), np.zeros(600), None))
        assert got.shift is None
        np.testing.assert_allclose(got.factor, dense.factor, rtol=1e-9)

    def test_sparse_integers_do_not_overflow(self):
        X = sparse.csr_array(np.array([[200, 0], [250, 3], [0, 9]], np.uint8))
        got = measure_scaling("standard", Examples(X, np.zeros(3), None))
        np.testing.assert_allclose(got.factor, 1 / X.toarray().astype(float).std(axis=0))

    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e8 / 3])
    def test_constant_columns_get_finite_factors(self, kind, convert, constant):
        X = np.full((1300, 1), constant)
        factor = measure_scaling(kind, Examples(convert(X), np.zeros(1300), None)).factor
        expected = 1 / constant if kind == "maxabs" and constant else 1
        np.testing.assert_allclose(factor, expected)

    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
    def test_only_the_subset_counts(self, kind, convert):
        X = np.abs(self.X)
        rows = np.random.default_rng(1).permutation(1300)[:800]
        examples = Examples(convert(X), np.zeros(1300), None).at(rows)
        expected = measure_scaling(kind, Examples(convert(X[rows]), np.zeros(800), None))
        np.testing.assert_allclose(measure_scaling(kind, examples).factor, expected.factor)


class TestSparseScalingIsThatOfTheSameDenseRows:
    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    def test_with_entries_given_twice(self, kind):
        rows, columns = np.array([0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 1])
        X = sparse.coo_array((np.arange(1.0, 6.0), (rows, columns)), shape=(3, 2)).tocsr()
        given = sparse.csr_array(
            (np.arange(1.0, 6.0), columns, np.array([0, 2, 3, 5])), shape=(3, 2)
        )
        np.testing.assert_array_equal(given.toarray(), X.toarray())
        factor = measure_scaling(kind, Examples(given, np.zeros(3), None)).factor
        expected = measure_scaling(kind, Examples(X.toarray(), np.zeros(3), None)).factor
        np.testing.assert_allclose(factor, expected)
        assert given.nnz == 5

    def test_where_the_absolute_value_overflows_its_dtype(self):
        X = np.array([[-128, 1], [3, -2]], dtype=np.int8)
        factor = measure_scaling("maxabs", Examples(sparse.csr_array(X), np.zeros(2), None)).factor
        np.testing.assert_allclose(factor, [1 / 128, 1 / 2])


UNITS = [1e-310, 1e-200, 1e-40, 1e45, 1e200, 1e305]


class TestScalingOfNumbersBeyondTheComputingDtype:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1300, 3)) + [0, 2, -1]
    targets = np.zeros(1300)

    def scaled(self, kind, X, computing="float32", **more):
        scaling = measure_scaling(kind, Examples(X, self.targets, None))._replace(**more)
        rows = make_rows(X, computing, 1300, scaling).chunk(0, 1300)
        assert rows.dtype == computing
        return rows.toarray() if sparse.issparse(rows) else rows

    @pytest.mark.parametrize("unit", UNITS[1:])
    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    @pytest.mark.parametrize("convert", [np.asarray, np.asfortranarray, sparse.csr_array])
    @pytest.mark.parametrize("computing", ["float32", "float64"])
    def test_is_that_of_the_same_numbers_in_another_unit(self, unit, kind, convert, computing):
        expected = self.scaled(kind, convert(self.X), computing)
        got = self.scaled(kind, convert(self.X * [1, unit, 1]), computing)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    @pytest.mark.parametrize("unit", [1e-42, 1e37])
    def test_of_float32(self, kind, unit):
        X = (self.X * unit).astype(np.float32)  # With few digits, below 1e-38.
        expected = self.scaled(kind, X.astype(np.float64) / unit)
        np.testing.assert_allclose(self.scaled(kind, X), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("kind", ["standard", "maxabs"])
    def test_of_the_smallest_numbers_keeps_their_order(self, kind):
        X = self.X * UNITS[0]
        got = self.scaled(kind, X)
        assert np.isfinite(got).all()
        correlation = np.corrcoef(got[:, 1], self.X[:, 1])[0, 1]
        np.testing.assert_allclose(correlation, 1, rtol=1e-5)

    def test_of_opposite_numbers_whose_mean_is_zero(self):
        X = np.tile([[1e-180], [-1e-180]], (650, 1))
        np.testing.assert_allclose(self.scaled("standard", X), X / 1e-180)

    @pytest.mark.parametrize("computing", ["float32", "float64"])
    def test_of_numbers_that_differ_by_more_than_float64_holds(self, computing):
        X = np.tile([[1.7e308], [1.7e308], [-1.7e308], [1.7e308]], (325, 1))
        np.testing.assert_allclose(
            self.scaled("standard", X, computing),
            StandardScaler().fit_transform(np.sign(X)),
            rtol=1e-6,
        )

    @pytest.mark.parametrize("constant", [1e-200, 1e30, 1e45, 1e200])
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
    def test_of_a_constant_is_finite(self, constant, convert):
        X = np.full((1300, 1), constant)
        X[::7] += constant * 2e-16  # As rounding does.
        got = self.scaled("standard", convert(X))
        assert np.isfinite(got).all()
        if convert is np.asarray:
            assert np.abs(got).max() <= 1

    @pytest.mark.parametrize("clip", [0.5, 3.0])
    @pytest.mark.parametrize("kind", [None, "standard", "maxabs"])
    @pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
    def test_numbers_far_beyond_the_clip_are_the_clip(self, clip, kind, convert):
        far = convert(np.array([[1e39, -1e39, 3e38], [-1e300, 1e300, -3e38]]))
        scaling = Scaling(None, None)
        if kind:
            scaling = measure_scaling(kind, Examples(self.X, self.targets, None))
        with np.errstate(over="ignore"):
            got = make_rows(far, "float32", 2, scaling._replace(clip=clip)).chunk(0, 2)
        got = got.toarray() if sparse.issparse(got) else got
        np.testing.assert_allclose(
            got, np.sign(far.toarray() if sparse.issparse(far) else far) * clip
        )

    def test_columns_within_reach_are_scaled_as_before(self):
        for unit in (1e-15, 1.0, 1e15):
            assert not measure_scaling(
                "standard", Examples(self.X * unit, self.targets, None)
            ).is_wide
        assert measure_scaling("standard", Examples(self.X * 1e25, self.targets, None)).is_wide


class TestRobust:
    def test_equals_robust_scaler(self):
        rng = np.random.default_rng(0)
        X = rng.standard_cauchy((501, 3)) * [1, 1e-3, 1e4] + [0, 5, -1e5]
        scaler = RobustScaler().fit(X)
        measured = measure_scaling("robust", Examples(X, np.zeros(501), None))
        np.testing.assert_allclose(measured.shift, scaler.center_)
        np.testing.assert_allclose(measured.factor, 1 / scaler.scale_)

    def test_takes_half_the_range_where_the_quartiles_are_equal(self):
        column = np.zeros(100)
        column[:5], column[5:8] = 8, -2
        X = np.stack([column, np.full(100, 7.0)], axis=1)
        measured = measure_scaling("robust", Examples(X, np.zeros(100), None))
        np.testing.assert_allclose(measured.factor, [1 / 5, 1])
        np.testing.assert_allclose(measured.shift, [0, 7])

    def test_integer_weights_are_repetitions(self):
        rng = np.random.default_rng(0)
        X, weights = rng.normal(size=(60, 2)), rng.integers(0, 4, 60)
        weighted = measure_scaling("robust", Examples(X, np.zeros(60), weights.astype(float)))
        repeated = np.repeat(X, weights, axis=0)
        expected = np.quantile(repeated, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
        np.testing.assert_allclose(weighted.shift, expected[1])
        np.testing.assert_allclose(1 / weighted.factor, expected[2] - expected[0])

    def test_is_measured_on_some_of_many_rows(self, monkeypatch):
        monkeypatch.setattr(scaling, "_QUANTILE_ROWS", 100)
        X = np.arange(10_000.0)[:, np.newaxis]
        measured = measure_scaling("robust", Examples(X, np.zeros(10_000), None))
        np.testing.assert_allclose(1 / measured.factor, 5000, rtol=0.02)

    def test_is_clipped_unless_told_otherwise(self):
        X, y = load_iris(return_X_y=True)
        for clip, expected in [(None, 3.0), (7.0, 7.0)]:
            classifier = ANNClassifier(
                (4,), input_scaling="robust", input_clip=clip, max_iter=1, random_state=0
            ).fit(X, y)
            assert classifier._model.scaling.clip == expected

    def test_learns_in_spite_of_a_few_huge_outliers(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 5))
        y = X[:, 0] + X[:, 1] > 0
        X[:4] *= 1e6
        train, test = slice(0, 400), slice(400, 600)
        scores = {}
        for kind in ("standard", "robust"):
            classifier = ANNClassifier(input_scaling=kind, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                classifier.fit(X[train], y[train])
            scores[kind] = classifier.score(X[test], y[test])
        assert scores["robust"] > 0.95
        assert scores["standard"] < 0.9

    def test_is_refused_for_sparse_rows(self):
        X, y = load_iris(return_X_y=True)
        with pytest.raises(ValueError, match="input_scaling='robust' cannot be used with sparse X"):
            ANNClassifier(input_scaling="robust").fit(sparse.csr_array(X), y)
