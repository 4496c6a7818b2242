import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from skann.engine.batches import Examples
from skann.targets import Labels, combine_weights, hold_out, plain_labels

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
LABELS = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=6, unique=True),
    st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=6, unique=True),
    st.lists(TEXTS, min_size=2, max_size=6, unique=True),
    st.just([False, True]),
)


def validation_split(codes, fraction, seed):
    """Return the row numbers of the two parts."""
    examples = Examples(np.zeros((len(codes), 1)), codes, None)
    return [part.subset for part in hold_out(examples, fraction, seed)]


def perfect_logits(codes, n_outputs):
    if n_outputs == 1:
        return np.where(codes > 0, 1.0, -1.0)[None, :]
    return (codes[None, :] == np.arange(n_outputs)[:, None]).astype(float)


@given(labels=LABELS, as_object=st.booleans(), data=st.data())
@settings(deadline=None)
def test_labels_of_any_type_survive_encoding_and_decoding(labels, as_object, data):
    more = data.draw(st.lists(st.sampled_from(labels), max_size=10))
    y = np.array(labels + more)
    if as_object and y.dtype.kind == "U":
        y = y.astype(object)
    found = Labels.of(y)
    assert found.kind == ("binary" if len(labels) == 2 else "multiclass")
    assert found.n_outputs == (1 if len(labels) == 2 else len(labels))
    codes = found.encode(y)
    assert codes.dtype == np.intp
    np.testing.assert_array_equal(found.classes[codes], y)
    np.testing.assert_array_equal(found.decode(perfect_logits(codes, found.n_outputs)), y)


@given(
    indicators=st.integers(2, 5).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, 1), min_size=width, max_size=width), min_size=2, max_size=8
        )
    )
)
@settings(deadline=None)
def test_indicators_survive_encoding_and_decoding(indicators):
    y = np.array(indicators)
    labels = Labels.of(y)
    assert labels.kind == "multilabel-indicator"
    assert labels.n_outputs == y.shape[1]
    codes = labels.encode(y)
    np.testing.assert_array_equal(labels.decode(np.where(codes.T, 0.5, -0.5)), y)
    np.testing.assert_array_equal(labels.encode(sparse.csr_array(y)), y)


DTYPES = [bool, np.int8, np.int64, np.uint64, np.float32, np.float64, object]


@given(data=st.data())
@settings(deadline=None)
def test_equal_labels_of_two_types_get_the_same_codes(data):
    first, second = data.draw(st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)))
    n_classes = 2 if bool in (first, second) else 5
    y = np.concatenate([range(n_classes), data.draw(st.lists(st.integers(0, n_classes - 1)))])
    labels = Labels.of(plain_labels(y.astype(first)))
    np.testing.assert_array_equal(labels.encode(plain_labels(y.astype(second))), y)


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=2, unique=True), st.sampled_from([list, object])
)
@settings(deadline=None)
def test_large_labels_are_never_rounded(labels, container):
    y = labels if container is list else np.array(labels, dtype=object)
    plain = plain_labels(y)
    assert plain.tolist() == labels
    assert Labels.of(plain).classes.tolist() == sorted(labels)


def test_sparse_indicators_with_double_entries_are_summed():
    y = sparse.csr_array(([1, 0, 1, 1], [0, 0, 1, 0], [0, 3, 4]), shape=(2, 2))
    assert not y.has_canonical_format
    labels = Labels("multilabel-indicator", np.arange(2))
    np.testing.assert_array_equal(labels.encode(y), [[1, 1], [1, 0]])
    y.data[1] = 1
    with pytest.raises(ValueError, match=r"zeros and ones only; it holds \[1, 2\]"):
        labels.encode(y)


def test_classes_are_sorted():
    np.testing.assert_array_equal(Labels.of(["b", "c", "a", "b"]).classes, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1, 1], r"holds only one class: \[1\]"),
        ([0.5, 1.5, 2.5], "Unknown label type: continuous"),
        (np.array([[1, 2], [3, 4]]), "multiclass-multioutput"),
    ],
)
def test_what_is_no_classification_target_raises(y, message):
    with pytest.raises(ValueError, match=message):
        Labels.of(y)


def test_unseen_labels_are_named():
    labels = Labels.of(["a", "b", "c"])
    with pytest.raises(ValueError, match=r"y_val has labels .*: \['d', 'e'\]. .*\['a', 'b', 'c'\]"):
        labels.encode(["a", "e", "d"], "y_val")


def test_a_score_of_zero_is_the_first_class():
    np.testing.assert_array_equal(Labels.of([3, 8]).decode(np.array([[0.0, 1e-9]])), [3, 8])


class TestWeights:
    y = np.array(["a"] * 6 + ["b"] * 3 + ["c"])
    labels = Labels.of(y)
    codes = labels.encode(y)

    def test_none_and_none_are_none(self):
        assert combine_weights(None, None, self.labels, self.codes) is None

    def test_without_class_weights_sample_weights_come_back(self):
        weights = np.arange(10.0)
        assert combine_weights(weights, None, self.labels, self.codes) is weights

    def test_balanced_is_compute_class_weights(self):
        got = combine_weights(None, "balanced", self.labels, self.codes)
        expected = compute_class_weight("balanced", classes=self.labels.classes, y=self.y)
        np.testing.assert_allclose(got, expected[self.codes])

    def test_balanced_counts_the_sample_weights(self):
        weights = np.linspace(1, 2, 10)
        got = combine_weights(weights, "balanced", self.labels, self.codes)
        sums = [got[self.codes == code].sum() for code in range(3)]
        np.testing.assert_allclose(sums, np.full(3, weights.sum() / 3))

    def test_a_dict_multiplies(self):
        got = combine_weights(np.full(10, 2.0), {"a": 1, "b": 3, "c": 0}, self.labels, self.codes)
        np.testing.assert_array_equal(got, [2] * 6 + [6] * 3 + [0])

    def test_rows_may_lack_a_class(self):
        got = combine_weights(None, {"a": 1, "b": 3, "c": 7}, self.labels, np.array([2, 0, 2]))
        np.testing.assert_array_equal(got, [7, 1, 7])

    def test_a_class_that_a_dict_lacks_weighs_one(self):
        got = combine_weights(None, {"c": 5}, self.labels, self.codes)
        np.testing.assert_array_equal(got, [1] * 9 + [5])

    def test_balanced_leaves_out_a_class_without_weight(self):
        weights = np.where(self.codes == 2, 0.0, 1.0)
        got = combine_weights(weights, "balanced", self.labels, self.codes)
        expected = compute_class_weight("balanced", classes=np.arange(2), y=self.codes[:9])
        np.testing.assert_allclose(got, [*expected[self.codes[:9]], 0])

    @pytest.mark.parametrize(
        "class_weight", ["balanced", [{0: 1, 1: 5}, {0: 2, 1: 1}], [{1: 5}] * 2]
    )
    def test_multilabel_is_compute_sample_weight(self, class_weight):
        y = np.array([[0, 1], [1, 1], [0, 0], [0, 1]])
        labels = Labels.of(y)
        got = combine_weights(None, class_weight, labels, labels.encode(y))
        np.testing.assert_allclose(got, compute_sample_weight(class_weight, y))


class TestSplit:
    @given(
        counts=st.lists(st.integers(8, 40), min_size=2, max_size=4),
        fraction=st.floats(0.2, 0.8),
        seed=st.integers(0, 2**31 - 1),
    )
    @settings(deadline=None)
    def test_is_stratified_and_complete(self, counts, fraction, seed):
        codes = np.repeat(np.arange(len(counts)), counts)
        train, validation = validation_split(codes, fraction, seed)
        np.testing.assert_array_equal(
            np.sort(np.concatenate([train, validation])), np.arange(len(codes))
        )
        held_out = np.bincount(codes[validation], minlength=len(counts))
        assert np.abs(held_out - fraction * np.array(counts)).max() <= 2

    @given(
        counts=st.lists(st.integers(2, 20), min_size=2, max_size=4),
        several=st.booleans(),
        seed=st.integers(0, 2**31 - 1),
    )
    @settings(deadline=None)
    def test_holds_out_rows_that_have_weight(self, counts, several, seed):
        # Two rows of every class or more have weight, as in a bootstrap sample.
        codes = np.repeat(np.arange(len(counts)), 20)
        rank = np.tile(np.arange(20), len(counts))
        weights = (rank < np.array(counts)[codes]).astype(float)
        if several:
            codes = np.eye(len(counts), dtype=np.int8)[codes]
        examples = Examples(np.zeros((len(codes), 1)), codes, weights)
        train, validation = hold_out(examples, 0.1, seed)
        rows = np.concatenate([train.subset, validation.subset])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(codes)))
        assert validation.weights.all()
        assert train.weights.any()
        if not several:
            assert set(train.targets[train.weights > 0]) == set(range(len(counts)))
            assert len(validation) == max(np.ceil(weights.sum() / 10), len(counts))

    def test_trains_on_the_only_row_of_a_class_that_has_weight(self):
        codes = np.arange(20) % 2
        weights = np.where(codes == 0, 1.0, 0.0)
        weights[5] = 1
        examples = Examples(np.zeros((20, 1)), codes, weights)
        train, validation = hold_out(examples, 0.2, 0)
        assert 5 in train.subset
        assert validation.targets.tolist() == [0, 0]

    @pytest.mark.parametrize("several", [False, True])
    def test_of_rows_without_weight_raises(self, several):
        codes = np.eye(2, dtype=np.int8)[np.arange(20) % 2] if several else np.arange(20) % 2
        examples = Examples(np.zeros((20, 1)), codes, np.eye(20)[3])
        with pytest.raises(ValueError, match=r"needs at least 2 rows of nonzero.*X_v"):
            hold_out(examples, 0.2, 0)

    def test_depends_on_the_seed_alone(self):
        codes = np.tile([0, 1, 2], 20)
        first, again, other = (validation_split(codes, 0.2, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first[1], again[1])
        assert not np.array_equal(first[1], other[1])

    def test_of_indicators_takes_any_rows(self):
        codes = np.eye(10, dtype=np.int8)
        train, validation = validation_split(codes, 0.3, 0)
        assert (len(train), len(validation)) == (7, 3)

    def test_trains_on_the_only_row_of_a_class(self):
        train, validation = validation_split(np.array([0] * 9 + [1]), 0.3, 0)
        assert 9 in train
        assert (len(train), len(validation)) == (7, 3)

    @pytest.mark.parametrize(("fraction", "n_held_out"), [(0.1, 2), (0.9, 8)])
    def test_has_a_row_for_every_class_on_both_sides(self, fraction, n_held_out):
        codes = np.array([0, 1] * 5)
        parts = validation_split(codes, fraction, 0)
        assert len(parts[1]) == n_held_out
        for part in parts:
            assert set(codes[part]) == {0, 1}
