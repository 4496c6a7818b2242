import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_expit, log_softmax, logit, softmax
from sklearn.metrics import log_loss

from skann.engine.losses import LOSSES
from tests.gradients import assert_gradient_matches

pytestmark = pytest.mark.kernels

KINDS = {"binary": 1, "multiclass": 4, "multilabel-indicator": 3}
N_ROWS = 9


def random_problem(kind, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    n_outputs = KINDS[kind]
    logits = scale * rng.standard_normal((n_outputs, N_ROWS))
    if kind == "binary":
        targets = rng.integers(0, 2, N_ROWS)
    elif kind == "multiclass":
        targets = rng.integers(0, n_outputs, N_ROWS)
    else:
        targets = rng.integers(0, 2, (N_ROWS, n_outputs)).astype(np.int8)
    return logits, targets


def weights_of(weighting):
    if weighting == "none":
        return None
    weights = np.random.default_rng(5).uniform(0.1, 3, N_ROWS)
    weights[: {"weights": 0, "some zero": 4, "all zero": N_ROWS}[weighting]] = 0
    return weights


def reference_value(kind, logits, targets, weights, divisor, label_smoothing):
    """Cross-entropy with target distributions written out."""
    weights = np.ones(N_ROWS) if weights is None else weights
    if kind == "multiclass":
        n_outputs = len(logits)
        wanted = (1 - label_smoothing) * np.eye(n_outputs)[targets] + label_smoothing / n_outputs
        by_output = wanted.T * log_softmax(logits, axis=0)
    else:
        wanted = (1 - label_smoothing) * targets.T + label_smoothing / 2
        by_output = wanted * log_expit(logits) + (1 - wanted) * log_expit(-logits)
    return -weights @ by_output.sum(axis=0) / divisor


def test_there_is_a_problem_for_every_loss():
    assert set(KINDS) == set(LOSSES)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighting", ["none", "weights", "some zero", "all zero"])
@pytest.mark.parametrize("kind", LOSSES)
class TestValueAndGradient:
    def test_value_matches_the_formula(self, kind, weighting, label_smoothing):
        logits, targets = random_problem(kind)
        weights = weights_of(weighting)
        loss = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64, label_smoothing)
        value = loss(logits.copy(), targets, weights, 7.0)
        expected = reference_value(kind, logits, targets, weights, 7.0, label_smoothing)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)

    def test_gradient_matches_finite_differences(self, kind, weighting, label_smoothing):
        logits, targets = random_problem(kind)
        weights = weights_of(weighting)
        loss = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64, label_smoothing)

        def value_at(point):
            return loss(point.copy(), targets, weights, 7.0)

        gradient = logits.copy()
        loss(gradient, targets, weights, 7.0)
        assert_gradient_matches(value_at, gradient, logits)


@pytest.mark.parametrize("kind", LOSSES)
class TestLabelSmoothing:
    def test_of_zero_changes_no_bit(self, kind):
        logits, targets = random_problem(kind)
        plain = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64)
        smoothed = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64, label_smoothing=0.0)
        one, other = logits.copy(), logits.copy()
        weights = weights_of("weights")
        assert plain(one, targets, weights, 2.0) == smoothed(other, targets, weights, 2.0)
        np.testing.assert_array_equal(one, other)

    def test_makes_the_smoothed_targets_the_best_probabilities(self, kind):
        targets = random_problem(kind)[1]
        loss = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64, label_smoothing=0.2)
        if kind == "multiclass":
            logits = np.log(0.8 * np.eye(KINDS[kind])[targets] + 0.2 / KINDS[kind]).T.copy()
        else:
            logits = np.atleast_2d(logit(0.8 * targets + 0.1).T).copy()
        loss(logits, targets, weights_of("weights"), 3.0)
        np.testing.assert_allclose(logits, 0, atol=1e-15)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", LOSSES)
def test_computing_allocates_nothing_of_the_size_of_a_batch(kind, weighted, label_smoothing):
    n_rows = 300_000
    logits = np.zeros((KINDS[kind], n_rows), np.float32)
    weights = np.ones(n_rows, np.float32) if weighted else None
    shape = (n_rows, KINDS[kind]) if kind == "multilabel-indicator" else n_rows
    targets = np.zeros(shape, np.int8 if kind == "multilabel-indicator" else np.intp)
    loss = LOSSES[kind].make(KINDS[kind], n_rows, np.float32, label_smoothing)
    loss(logits, targets, weights, 1.0)  # May be compiled.
    tracemalloc.start()
    try:
        loss(logits, targets, weights, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n_rows


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_value_equals_scikit_learns_log_loss(kind):
    logits, targets = random_problem(kind)
    weights = weights_of("weights")
    loss = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64)
    labels = np.arange(max(2, KINDS[kind]))
    expected = log_loss(
        targets, LOSSES[kind].probabilities(logits), sample_weight=weights, labels=labels
    )
    value = loss(logits, targets, weights, weights.sum())
    np.testing.assert_allclose(value, expected, rtol=1e-10)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_short_batch_uses_part_of_the_scratch(kind):
    logits, targets = random_problem(kind)
    exact = LOSSES[kind].make(KINDS[kind], N_ROWS, np.float64)
    roomy = LOSSES[kind].make(KINDS[kind], 5 * N_ROWS, np.float64)
    one, other = logits.copy(), logits.copy()
    weights = weights_of("weights")
    assert exact(one, targets, weights, 2.0) == roomy(other, targets, weights, 2.0)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", LOSSES)
def test_huge_scores_give_a_finite_loss_and_gradient(kind, dtype):
    logits, targets = random_problem(kind, scale=1e4)
    logits = logits.astype(dtype)
    loss = LOSSES[kind].make(KINDS[kind], N_ROWS, dtype)
    assert np.isfinite(loss(logits, targets, None, N_ROWS))
    assert logits.dtype == dtype
    assert np.isfinite(logits).all()


def test_softmax_probabilities_match_scipy():
    logits, _ = random_problem("multiclass")
    got = LOSSES["multiclass"].probabilities(logits)
    np.testing.assert_allclose(got, softmax(logits, axis=0).T, rtol=1e-12)


def test_binary_probabilities_have_two_columns():
    logits, _ = random_problem("binary")
    got = LOSSES["binary"].probabilities(logits)
    np.testing.assert_allclose(got, np.stack([expit(-logits[0]), expit(logits[0])], axis=1))


def test_multilabel_probabilities_have_a_column_for_each_label():
    logits, _ = random_problem("multilabel-indicator")
    got = LOSSES["multilabel-indicator"].probabilities(logits)
    np.testing.assert_allclose(got, expit(logits).T)


@pytest.mark.parametrize("scale", [0.1, 3, 30, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", LOSSES)
def test_probabilities_stay_inside_the_open_interval(kind, dtype, scale):
    logits = random_problem(kind, scale=scale)[0].astype(dtype)
    before = logits.copy()
    got = LOSSES[kind].probabilities(logits)
    np.testing.assert_array_equal(logits, before)
    assert got.dtype == dtype
    assert got.flags.c_contiguous
    assert got.min() > 0
    assert got.max() < 1
    if kind != "multilabel-indicator":
        np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_log_probabilities_are_the_logarithms_of_the_probabilities(kind):
    logits, _ = random_problem(kind)
    np.testing.assert_allclose(
        LOSSES[kind].log_probabilities(logits),
        np.log(LOSSES[kind].probabilities(logits)),
        rtol=1e-9,
    )


@pytest.mark.parametrize("kind", LOSSES)
def test_log_probabilities_reach_beyond_the_smallest_number(kind):
    logits = np.full((KINDS[kind], 2), -5000.0)
    if kind == "multiclass":
        logits[0] = 0
    got = LOSSES[kind].log_probabilities(logits)
    assert got.min() == -5000
    assert np.isfinite(got).all()


finite_logits = arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(-800, 800)
)


@given(logits=finite_logits, data=st.data())
@settings(deadline=None, max_examples=60)
def test_softmax_gradient_sums_to_zero_over_the_classes(logits, data):
    n_outputs, n_rows = logits.shape
    codes = st.integers(0, n_outputs - 1)
    targets = np.array(data.draw(st.lists(codes, min_size=n_rows, max_size=n_rows)))
    loss = LOSSES["multiclass"].make(n_outputs, n_rows, np.float64)
    value = loss(logits, targets, None, float(n_rows))
    assert value >= 0
    np.testing.assert_allclose(logits.sum(axis=0), 0, atol=1e-12)


@given(logits=finite_logits)
@settings(deadline=None, max_examples=60)
def test_softmax_probabilities_rank_the_classes_as_the_logits_do(logits):
    probabilities = LOSSES["multiclass"].probabilities(logits)
    order = np.argsort(logits, axis=0, kind="stable").T
    ranked = np.take_along_axis(probabilities, order, axis=1)
    assert (np.diff(ranked, axis=1) >= 0).all()
