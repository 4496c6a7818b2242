import numpy as np
import pytest

from skann.engine.batches import Batches, Examples

pytestmark = pytest.mark.kernels


class TestBatches:
    X = np.arange(22.0, dtype=np.float32).reshape(11, 2)
    targets = np.arange(11)
    weights = np.arange(11) / 2

    def batches(self, weights=weights, batch_size=4):
        examples = Examples(self.X, self.targets, weights)
        return Batches(examples, batch_size, np.float32, None)

    def test_in_order_yields_every_row_once(self):
        got = [
            (inputs.copy(), targets.copy(), weights.copy())
            for inputs, targets, weights in self.batches().in_order()
        ]
        assert [len(targets) for _, targets, _ in got] == [4, 4, 3]
        inputs, targets, weights = (np.concatenate(parts) for parts in zip(*got, strict=True))
        np.testing.assert_array_equal(inputs, self.X)
        np.testing.assert_array_equal(targets, self.targets)
        np.testing.assert_allclose(weights, self.weights / 2.5, rtol=1e-6)

    @pytest.mark.parametrize(
        ("n_rows", "sizes"),
        [
            (1, [1]),
            (64, [64]),
            (65, [33, 32]),
            (127, [64, 63]),
            (129, [64, 33, 32]),
            (513, [64] * 7 + [33, 32]),
        ],
    )
    @pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
    # Of narrow rows several batches are gathered at once, of wide ones one.
    @pytest.mark.parametrize("n_features", [2, 2000], ids=["narrow", "wide"])
    def test_the_last_two_batches_share_what_is_left(self, n_rows, sizes, shuffle, n_features):
        X, targets = np.zeros((n_rows, n_features), np.float32), np.arange(n_rows)
        batches = Batches(Examples(X, targets, None), 64, np.float32, None)
        assert batches.n_batches == len(sizes)
        rng = np.random.default_rng(0)
        got = [
            (len(batch.inputs), batch.targets.tolist())
            for batch in (batches.shuffled(rng) if shuffle else batches.in_order())
        ]
        assert [size for size, _ in got] == [len(rows) for _, rows in got] == sizes
        assert sorted(row for _, rows in got for row in rows) == list(range(n_rows))

    def test_shuffled_keeps_rows_targets_and_weights_together(self):
        seen = []
        for inputs, targets, weights in self.batches().shuffled(np.random.default_rng(0)):
            np.testing.assert_array_equal(inputs, self.X[targets])
            np.testing.assert_allclose(weights, self.weights[targets] / 2.5, rtol=1e-6)
            seen += targets.tolist()
        assert sorted(seen) == list(range(11))
        assert seen != list(range(11))

    def test_every_epoch_has_an_order_of_its_own(self):
        batches, rng = self.batches(), np.random.default_rng(0)
        first, second = (
            [target for batch in batches.shuffled(rng) for target in batch.targets.tolist()]
            for _ in range(2)
        )
        assert first != second

    def test_counts(self):
        batches = self.batches()
        assert (batches.n_rows, batches.n_batches, batches.batch_size) == (11, 3, 4)
        assert batches.mean_weight == 2.5
        assert self.batches(weights=None).mean_weight == 1

    def test_a_batch_larger_than_the_data_holds_all_of_it(self):
        batches = self.batches(batch_size=1000)
        assert (batches.batch_size, batches.n_batches) == (1000, 1)
        (batch,) = batches.in_order()
        assert len(batch.inputs) == 11

    def test_without_weights_batches_have_none(self):
        assert all(batch.weights is None for batch in self.batches(weights=None).in_order())

    def test_some_of_the_rows_copy_nothing_of_X(self):
        examples = Examples(self.X, self.targets, self.weights).at(np.array([9, 2, 4]))
        assert len(examples) == 3
        assert examples.X is self.X
        (batch,) = Batches(examples, 5, np.float32, None).in_order()
        np.testing.assert_array_equal(batch.inputs, self.X[[9, 2, 4]])
        np.testing.assert_array_equal(batch.targets, [9, 2, 4])
        np.testing.assert_allclose(batch.weights, np.array([9, 2, 4]) / 5, rtol=1e-6)
