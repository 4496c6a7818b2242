"""The temperature, against solvers and models that we did not write."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

from skann.engine.calibration import best_temperature
from skann.engine.losses import LOSSES

N_ROWS = 300
N_OUTPUTS = {"binary": 1, "multiclass": 4, "multilabel-indicator": 3}
KINDS = pytest.mark.parametrize("kind", N_OUTPUTS)
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])


def overconfident(kind, factor=3.0, seed=0):
    """Return logits that are a factor too large for the targets drawn from them, and weights."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (N_OUTPUTS[kind], N_ROWS))
    if kind == "multiclass":
        targets = (logits + rng.gumbel(size=logits.shape)).argmax(axis=0)
    else:
        targets = (rng.random(logits.shape) < expit(logits)).astype(np.int8).T
        targets = targets[:, 0] if kind == "binary" else targets
    return factor * logits, targets, rng.uniform(0, 2, N_ROWS)


def log_loss_at(temperature, kind, logits, targets, weights):
    scaled = logits / temperature
    if kind == "multiclass":
        by_row = -log_softmax(scaled, axis=0)[targets, np.arange(N_ROWS)]
    else:
        by_row = (np.logaddexp(0, scaled) - np.atleast_2d(targets.T) * scaled).sum(axis=0)
    return float(np.average(by_row, weights=weights))


def objective(temperature, kind, logits, targets, weights):
    prior = np.log(temperature) ** 2 / N_ROWS
    return log_loss_at(temperature, kind, logits, targets, weights) + prior


def temperature_of(kind, logits, targets, weights):
    loss = LOSSES[kind](N_OUTPUTS[kind], N_ROWS, np.float64)
    return best_temperature(logits, targets, weights, loss)


@KINDS
@WEIGHTED
@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 10.0])
def test_minimises_log_loss_and_prior(kind, weighted, factor):
    logits, targets, weights = overconfident(kind, factor)
    weights = weights if weighted else None
    found = minimize(
        lambda x: objective(np.exp(x[0]), kind, logits, targets, weights),
        [0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-15},
    )
    got = temperature_of(kind, logits, targets, weights)
    assert got == pytest.approx(np.exp(found.x[0]), rel=1e-5)
    # Targets were drawn at a temperature of the factor.
    assert got == pytest.approx(factor, rel=0.3)


@WEIGHTED
def test_of_many_rows_is_one_over_the_slope_of_logistic_regression(weighted):
    # Among half a million rows the prior no longer counts.
    logits, targets, weights = overconfident("binary")
    logits, targets, weights = np.tile(logits, 2000), np.tile(targets, 2000), np.tile(weights, 2000)
    weights = weights if weighted else None
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    model.fit(logits.T, targets, sample_weight=weights)
    got = best_temperature(logits, targets, weights, LOSSES["binary"](1, len(targets), np.float64))
    assert got == pytest.approx(1 / model.coef_[0, 0], rel=2e-5)


@KINDS
def test_does_not_depend_on_the_unit_of_the_weights(kind):
    logits, targets, weights = overconfident(kind)
    one, other = (temperature_of(kind, logits, targets, c * weights) for c in (1e6, 1e-6))
    assert one == pytest.approx(other, rel=1e-5)


@KINDS
def test_weights_equal_repetitions_but_for_the_prior(kind):
    logits, targets, _ = overconfident(kind)
    counts = np.random.default_rng(1).integers(0, 3, N_ROWS)
    rows = np.repeat(np.arange(N_ROWS), counts)
    loss = LOSSES[kind](N_OUTPUTS[kind], len(rows), np.float64)
    repeated = best_temperature(logits[:, rows], targets[rows], None, loss)
    assert temperature_of(kind, logits, targets, counts.astype(float)) == pytest.approx(
        repeated, rel=0.02
    )


@KINDS
def test_of_float32_logits_leaves_them_alone(kind):
    logits, targets, _ = overconfident(kind)
    single = logits.astype(np.float32)
    before = single.copy()
    assert temperature_of(kind, single, targets, None) == pytest.approx(
        temperature_of(kind, logits, targets, None), rel=1e-4
    )
    np.testing.assert_array_equal(single, before)


@KINDS
def test_ends_at_a_bound_where_every_row_is_wrong(kind):
    logits, targets, _ = overconfident(kind)
    targets = extreme(kind, logits, right=False)
    assert temperature_of(kind, logits, targets, None) == pytest.approx(np.exp(4), rel=1e-3)


@KINDS
def test_of_rows_that_are_all_right_moves_away_from_one_as_they_grow(kind):
    logits = overconfident(kind, factor=1.0)[0]
    targets = extreme(kind, logits, right=True)
    loss = LOSSES[kind](N_OUTPUTS[kind], N_ROWS, np.float64)
    few, many = (best_temperature(logits[:, :n], targets[:n], None, loss) for n in (5, N_ROWS))
    assert np.exp(-4) < many < 0.2 < few < 1


def extreme(kind, logits, right):
    """Return the targets that the logits are right about in every row, or wrong."""
    if kind == "multiclass":
        return logits.argmax(axis=0) if right else logits.argmin(axis=0)
    targets = ((logits > 0) == right).astype(np.int8).T
    return targets[:, 0] if kind == "binary" else targets
