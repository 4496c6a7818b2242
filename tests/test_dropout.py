import numpy as np
import pytest
from scipy import sparse

from skann.engine.dropout import Corruption, Dropout

pytestmark = pytest.mark.kernels


def draw(dropout, shape):
    """Return what each number of an array of a shape is multiplied by."""
    values = np.ones(shape, dropout.dtype)
    dropout.apply(values)
    return values


RATES = pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.5, 0.8, 0.99])


class TestDropout:
    @RATES
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_drops_the_share_and_scales_the_rest(self, rate, dtype):
        n = 300_000
        dropout = Dropout(rate, dtype, np.random.default_rng(0))
        mask = draw(dropout, (n // 100, 100))
        assert mask.dtype == dtype
        assert set(np.unique(mask)) == {0, mask.dtype.type(dropout.scale)}
        n_dropped = np.count_nonzero(mask == 0)
        # Five standard deviations of a binomial distribution, and the rounding of the rate.
        assert abs(n_dropped - n * rate) < 5 * np.sqrt(n * rate * (1 - rate)) + n / 131_072

    @pytest.mark.parametrize("rate", [0.0, 1e-7, 0.01, 0.1, 0.5, 0.999, 1 - 1e-9])
    def test_scale_keeps_the_mean_exactly(self, rate):
        dropout = Dropout(rate, np.float64, np.random.default_rng(0))
        share = round((1 - 1 / dropout.scale) * 65536) / 65536
        assert share == pytest.approx(rate, abs=1 / 65536)
        assert (1 - share) * dropout.scale == 1

    @RATES
    def test_draws_are_independent_of_their_neighbours(self, rate):
        # Three draws come from the bits of one random number.
        n = 300_000
        dropout = Dropout(rate, np.float64, np.random.default_rng(1))
        mask = draw(dropout, (n,)) / dropout.scale
        centred = (mask - (1 - rate)) / np.sqrt(rate * (1 - rate))
        for lag in range(1, 7):
            assert abs(centred[lag:] @ centred[:-lag]) < 5 * np.sqrt(n)
        for place in range(3):
            n_dropped = np.count_nonzero(mask[place::3] == 0)
            bound = 5 * np.sqrt(n / 3 * rate * (1 - rate)) + n / 131_072
            assert abs(n_dropped - n / 3 * rate) < bound

    def test_masks_are_those_of_the_generator_in_every_dtype(self):
        single, double, later = (
            Dropout(0.3, dtype, np.random.default_rng(0))
            for dtype in (np.float32, np.float64, np.float64)
        )
        first = draw(double, (7, 5))
        np.testing.assert_array_equal(draw(single, (7, 5)) > 0, first > 0)
        assert (draw(double, (7, 5)) != first).any()
        np.testing.assert_array_equal(draw(later, (7, 5)), first)

    def test_masks_of_any_shape_come_one_after_the_other(self):
        dropout = Dropout(0.5, np.float64, np.random.default_rng(0))
        for shape in [(3, 2), (1, 1), (40, 30), (0, 4), (7,), (40, 30)]:
            mask = draw(dropout, shape)
            assert mask.shape == shape
            assert set(np.unique(mask)) <= {0, 2}
        assert 0 < np.count_nonzero(mask) < mask.size


class TestCorruption:
    def inputs(self, n_rows=500, n_features=200):
        return np.random.default_rng(5).normal(3, 1, (n_rows, n_features))

    @pytest.mark.parametrize("noise", [0.01, 0.5, 4.0])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_noise_has_the_standard_deviation(self, noise, dtype):
        inputs = self.inputs().astype(dtype)
        corrupted = Corruption(noise, 0.0, dtype, np.random.default_rng(0)).apply(inputs)
        assert corrupted.dtype == dtype
        added = corrupted.astype(float) - inputs
        n = added.size
        assert abs(added.mean()) < 5 * noise / np.sqrt(n)
        assert abs(added.std() - noise) < 5 * noise / np.sqrt(2 * n)
        assert abs(np.corrcoef(added.ravel(), inputs.ravel())[0, 1]) < 5 / np.sqrt(n)

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    def test_dropout_scales_what_remains(self, container):
        inputs, rate = self.inputs(), 0.2
        inputs[np.abs(inputs) < 2] = 0
        corruption = Corruption(0.0, rate, np.float64, np.random.default_rng(0))
        corrupted = corruption.apply(container(inputs))
        if container is sparse.csr_array:
            assert isinstance(corrupted, sparse.csr_array)
            corrupted = corrupted.toarray()
        is_there = inputs != 0
        kept = corrupted != 0
        assert not kept[~is_there].any()
        scale = Dropout(rate, np.float64, np.random.default_rng(0)).scale
        np.testing.assert_allclose(corrupted[kept], scale * inputs[kept], rtol=1e-15)
        n = np.count_nonzero(is_there)
        n_dropped = np.count_nonzero(is_there & ~kept)
        assert abs(n_dropped - n * rate) < 5 * np.sqrt(n * rate * (1 - rate)) + n / 131_072

    def test_drops_noisy_inputs_whole(self):
        corruption = Corruption(1.0, 0.5, np.float64, np.random.default_rng(0))
        corrupted = corruption.apply(np.zeros((100, 50)))
        dropped = corrupted == 0
        assert abs(np.count_nonzero(dropped) - 2500) < 5 * np.sqrt(5000 / 4)
        # Twice the noise of what remains.
        assert corrupted[~dropped].std() == pytest.approx(2, rel=0.1)

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    def test_leaves_its_inputs_alone_in_batches_of_any_length(self, container):
        corruption = Corruption(0.0, 0.5, np.float64, np.random.default_rng(0))
        for n_rows in (5, 8, 1, 8):
            inputs = self.inputs(n_rows, 30)
            batch = container(inputs)
            (batch.data if container is sparse.csr_array else batch).setflags(write=False)
            corrupted = corruption.apply(batch)
            assert corrupted.shape == (n_rows, 30)
            back = batch.toarray() if container is sparse.csr_array else batch
            np.testing.assert_array_equal(back, self.inputs(n_rows, 30))

    def test_of_empty_sparse_rows_is_empty(self):
        corruption = Corruption(0.0, 0.5, np.float32, np.random.default_rng(0))
        corrupted = corruption.apply(sparse.csr_array((3, 4), dtype=np.float32))
        assert (corrupted.shape, corrupted.nnz) == ((3, 4), 0)
