import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skann.engine.schedules import SCHEDULES


def factors(name, n_steps, steps_per_epoch=1, rows_per_epoch=10, power_t=0.5):
    return [
        SCHEDULES[name].factor(
            step,
            n_steps=n_steps,
            steps_per_epoch=steps_per_epoch,
            rows_per_epoch=rows_per_epoch,
            power_t=power_t,
        )
        for step in range(n_steps)
    ]


@pytest.mark.parametrize("name", ["constant", "adaptive"])
def test_constant_rates_do_not_change(name):
    assert factors(name, 50) == [1.0] * 50


def test_adaptive_alone_drops_on_plateaus():
    assert [name for name in SCHEDULES if SCHEDULES[name].drops_on_plateau] == ["adaptive"]


def test_the_others_than_scikit_learns_have_an_end():
    endless = {name for name in SCHEDULES if not SCHEDULES[name].has_end}
    assert endless == {"constant", "invscaling", "adaptive"}


@pytest.mark.parametrize("power_t", [0.0, 0.5, 1.0, 2.0])
def test_inverse_scaling_changes_after_each_epoch_with_the_rows_seen(power_t):
    got = factors("invscaling", 12, steps_per_epoch=4, rows_per_epoch=30, power_t=power_t)
    expected = [(30 * epoch + 1) ** -power_t for epoch in range(3) for _ in range(4)]
    np.testing.assert_allclose(got, expected)


def test_cosine_is_half_a_cosine():
    expected = [(1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    np.testing.assert_allclose(factors("cosine", 40), expected)


def test_one_cycle_rises_from_a_25th_to_its_peak_and_falls_to_a_ten_thousandth():
    got = np.array(factors("one_cycle", 101))
    assert got[0] == pytest.approx(1 / 25)
    assert got[30] == got.max() == pytest.approx(1)
    assert got[100] == pytest.approx(1e-4)
    assert (np.diff(got[:31]) > 0).all()
    assert (np.diff(got[30:]) < 0).all()
    # Half-way up and half-way down along cosines.
    assert got[15] == pytest.approx((1 / 25 + 1) / 2)
    assert got[65] == pytest.approx((1 + 1e-4) / 2)


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    n_epochs=st.integers(1, 50),
    steps_per_epoch=st.integers(1, 20),
    rows_per_epoch=st.integers(1, 10_000),
    power_t=st.floats(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_factors_of_every_schedule_stay_above_zero_and_up_to_one(
    name, n_epochs, steps_per_epoch, rows_per_epoch, power_t
):
    got = factors(name, n_epochs * steps_per_epoch, steps_per_epoch, rows_per_epoch, power_t)
    assert min(got) > 0
    assert max(got) <= 1 + 1e-12


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_of_one_step_moves(name):
    (factor,) = factors(name, 1)
    assert 0 < factor <= 1
