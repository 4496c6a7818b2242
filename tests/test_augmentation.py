"""Random changes to the rows of training batches."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from skann import ANNClassifier
from skann.callbacks import Checkpoint

X, y = load_digits(return_X_y=True)
X, y = X[:200], y[:200]


class Noise:
    """Adds noise in place, and notes what it gets."""

    def __init__(self, size=1.0):
        self.size = size
        self.seen = []

    def __repr__(self):
        return f"Noise({self.size})"

    def __call__(self, inputs, rng):
        self.seen.append((inputs.copy(), inputs.flags.writeable))
        inputs += self.size * rng.normal(size=inputs.shape)
        return inputs


def fitted(augmentation, **settings):
    settings = {"max_iter": 3, "random_state": 0, "batch_size": 64} | settings
    return ANNClassifier((16,), augmentation=augmentation, **settings).fit(X, y)


class TestWhatItGets:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("source", ["uint8", "int64", "float32", "float64"])
    @pytest.mark.parametrize("scaling", [None, "maxabs", "standard"])
    @pytest.mark.parametrize("shuffle", [True, False])
    def test_unscaled_rows_that_it_may_overwrite(self, dtype, source, scaling, shuffle):
        noise = Noise()
        rows = X.astype(source)
        before = rows.copy()
        classifier = ANNClassifier(
            (16,),
            augmentation=noise,
            input_scaling=scaling,
            dtype=dtype,
            shuffle=shuffle,
            max_iter=1,
            batch_size=64,
        ).fit(rows, y)
        assert classifier.n_iter_ == 1
        np.testing.assert_array_equal(rows, before)
        assert [len(seen) for seen, _ in noise.seen] == [64, 64, 36, 36]
        assert all(is_writable for _, is_writable in noise.seen)
        seen = np.concatenate([seen for seen, _ in noise.seen])
        assert seen.dtype == dtype
        order = [np.lexsort(part.T) for part in (seen, before)]
        np.testing.assert_array_equal(seen[order[0]], before[order[1]])

    def test_each_batch_of_a_small_data_set_on_its_own(self):
        noise = Noise()
        fitted(noise, batch_size=8, max_iter=1)
        assert {len(seen) for seen, _ in noise.seen} == {8}

    def test_no_held_out_rows_and_none_in_prediction(self):
        noise = Noise()
        classifier = fitted(noise, early_stopping=True, validation_fraction=0.2, max_iter=1)
        assert sum(len(seen) for seen, _ in noise.seen) == 160
        n_calls = len(noise.seen)
        classifier.predict(X)
        classifier.score(X, y)
        assert len(noise.seen) == n_calls

    def test_rows_of_partial_fit_too(self):
        noise = Noise()
        ANNClassifier((16,), augmentation=noise).partial_fit(X, y, classes=np.unique(y))
        assert sum(len(seen) for seen, _ in noise.seen) == len(X)


class TestWhatItReturns:
    def test_is_what_the_network_learns_from(self):
        def blank(inputs, rng):
            return np.zeros_like(inputs)

        # No output depends on the inputs, so the loss is that of the frequencies at best.
        assert fitted(blank, max_iter=20).loss_ > 2.0
        assert fitted(None, max_iter=20).loss_ < 1.5

    @pytest.mark.parametrize("scaling", ["maxabs", "standard"])
    def test_is_scaled_like_the_rows_in_prediction(self, scaling):
        def same(inputs, rng):
            return inputs.astype(np.float64)

        classifier = fitted(same, input_scaling=scaling, max_iter=30)
        assert classifier.score(X, y) > 0.95
        losses = classifier.loss_curve_
        assert losses[-1] < losses[0] / 3

    def test_may_have_been_in_any_layout(self):
        def transposed(inputs, rng):
            return np.asfortranarray(inputs)

        one, other = (fitted(function).coefs_ for function in (transposed, lambda rows, rng: rows))
        for coef, other_coef in zip(one, other, strict=True):
            np.testing.assert_array_equal(coef, other_coef)

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda rows, rng: rows[1:], r"an array of the shape that it gets, \(64, 64\)"),
            (lambda rows, rng: rows[:, 1:], r"returned an array of shape \(64, 63\)"),
            (lambda rows, rng: None, r"returned an array of shape \(\)"),
            (lambda rows, rng: rows * np.nan, "finite numbers"),
            (lambda rows, rng: rows + np.inf, "finite numbers"),
        ],
    )
    def test_is_refused_where_it_does_not_fit(self, function, message):
        classifier = fitted(None)
        before = classifier.predict_proba(X)
        with pytest.raises(ValueError, match=message):
            classifier.set_params(augmentation=function).fit(X, y)
        np.testing.assert_array_equal(classifier.predict_proba(X), before)

    def test_may_sum_to_more_than_the_largest_number(self):
        def huge(inputs, rng):
            return np.full_like(inputs, 1e38)

        fitted(huge, max_iter=1, input_scaling="maxabs", normalization="layer")


class TestScaling:
    def test_all_features_get_the_factor_of_the_largest(self):
        rows = np.array([[0.0, 2, 10], [0, 4, 20], [0, 1, 5], [0, 3, 2]])
        for kind, factor in [("maxabs", 1 / 20), ("standard", 1 / rows[:, 2].std())]:
            classifier = ANNClassifier(
                (4,), augmentation=Noise(0.0), input_scaling=kind, max_iter=1
            ).fit(rows, [0, 1, 0, 1])
            np.testing.assert_allclose(classifier._model.scaling.factor, factor)


class TestRandomness:
    def test_the_same_seed_gives_the_same_bits(self):
        settings = {"dropout": 0.2, "input_noise": 0.1}
        one, other = (fitted(Noise(), **settings) for _ in range(2))
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        another = fitted(Noise(), **settings, random_state=1)
        assert (another.predict_proba(X) != one.predict_proba(X)).any()

    def test_resumes_with_the_same_bits(self, tmp_path):
        class Interrupted(Noise):
            def __call__(self, inputs, rng):
                if len(self.seen) == 14:
                    raise KeyboardInterrupt
                return super().__call__(inputs, rng)

        whole = fitted(Noise(), max_iter=6)
        checkpoint = Checkpoint(tmp_path / "fit.npz")
        classifier = clone(whole).set_params(augmentation=Interrupted())
        with pytest.raises(KeyboardInterrupt):
            classifier.set_callbacks(checkpoint).fit(X, y)
        resumed = clone(whole).resume(checkpoint.path, X, y)
        np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))

    def test_resuming_needs_the_same_parameters_of_it(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "fit.npz")
        classifier = ANNClassifier((16,), augmentation=Noise(1.0), max_iter=2, random_state=0)
        classifier.set_callbacks(checkpoint).fit(X, y)
        with pytest.raises(ValueError, match="augmentation"):
            classifier.set_params(augmentation=Noise(2.0)).resume(checkpoint.path, X, y)


class TestRefused:
    def test_for_sparse_rows(self):
        with pytest.raises(ValueError, match=r"augmentation needs dense rows, but X is sparse"):
            ANNClassifier(augmentation=Noise()).fit(sparse.csr_array(X), y)

    def test_for_lbfgs(self):
        with pytest.raises(ValueError, match="augmentation=.* cannot be used with solver='lbfgs'"):
            ANNClassifier(augmentation=Noise(), solver="lbfgs").fit(X, y)

    def test_for_what_is_no_function(self):
        with pytest.raises(ValueError, match="augmentation"):
            ANNClassifier(augmentation="flip").fit(X, y)
