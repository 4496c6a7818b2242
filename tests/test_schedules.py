import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skann.engine.schedules import SCHEDULES, Schedule, from_callable, warmed_up


def factors(name, n_steps, steps_per_epoch=1, rows_per_epoch=10, power_t=0.5):
    factor = SCHEDULES[name].factory(
        n_steps, steps_per_epoch=steps_per_epoch, rows_per_epoch=rows_per_epoch, power_t=power_t
    )
    return [factor(step) for step in range(n_steps)]


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


def test_linear_falls_in_equal_steps():
    np.testing.assert_allclose(factors("linear", 40), np.linspace(1, 0, 41)[:-1])


def test_exponential_falls_to_a_hundredth_in_equal_ratios():
    np.testing.assert_allclose(factors("exponential", 40), np.geomspace(1, 0.01, 41)[:-1])


@pytest.mark.parametrize(
    ("name", "end"), [("one_cycle", 1e-4), ("cosine", 0), ("linear", 0), ("exponential", 0.01)]
)
def test_past_its_end_a_schedule_stays_there(name, end):
    factor = SCHEDULES[name].factory(40, steps_per_epoch=1, rows_per_epoch=10, power_t=0.5)
    for step in (40, 41, 1000):
        assert factor(step) == pytest.approx(end, abs=1e-15)


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


class TestWarmedUp:
    SIZE = {"steps_per_epoch": 4, "rows_per_epoch": 10, "power_t": 0.5}

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_rises_in_equal_steps_to_the_factor_of_the_schedule(self, name):
        factor = SCHEDULES[name].factory(40, **self.SIZE)
        warm = warmed_up(factor, 8)
        ratios = [warm(step) / factor(step) for step in range(12)]
        np.testing.assert_allclose(ratios, [*np.arange(1, 8) / 8, *[1] * 5])

    @pytest.mark.parametrize("warmup_steps", [0, 1])
    def test_without_steps_leaves_the_schedule_as_it_is(self, warmup_steps):
        factor = SCHEDULES["cosine"].factory(40)
        warm = warmed_up(factor, warmup_steps)
        for step in range(40):
            assert warm(step) == factor(step)


class TestFromCallable:
    def test_calls_the_function_with_the_step_alone(self):
        schedule = from_callable([0.5, 2, 0, np.float32(0.25)].__getitem__)
        factor = schedule.factory(4, power_t=0.5)
        got = [factor(step) for step in range(4)]
        assert got == [0.5, 2, 0, 0.25]

    def test_is_tried_for_every_step_of_the_run(self):
        seen = []
        from_callable(lambda step: seen.append(step) or 1.0).factory(5)
        assert seen == [0, 1, 2, 3, 4]

    def test_has_an_end_and_no_drops(self):
        assert from_callable(math.exp)[1:] == Schedule(math.exp, has_end=True)[1:]

    @pytest.mark.parametrize("value", [np.array(0.5), np.float64(0.5), Fraction(1, 2)])
    def test_takes_every_kind_of_number(self, value):
        factor = from_callable(lambda step: value).factory(1)(0)
        assert type(factor) is float
        assert factor == 0.5

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (-0.5, r"-0\.5"),
            (math.nan, "nan"),
            (math.inf, "inf"),
            (-math.inf, "-inf"),
            (None, "None"),
            ("0.5", "'0.5'"),
            (b"1", "b'1'"),
            (1j, "1j"),
            (np.ones(2), r"array\(\[1\., 1\.\]\)"),
            (10**400, "10+"),
        ],
    )
    def test_refuses_what_is_no_factor(self, value, shown):
        schedule = from_callable(lambda step: value if step == 7 else 1.0)
        message = (
            rf"^learning_rate\(7\) returned {shown};"
            " a schedule must return a finite factor of at least 0$"
        )
        with pytest.raises(ValueError, match=message):
            schedule.factory(10)

    def test_lets_the_errors_of_the_function_through(self):
        with pytest.raises(ZeroDivisionError):
            from_callable(lambda step: 1 / step).factory(1)

    def test_says_how_a_function_that_takes_something_else_was_called(self):
        with pytest.raises(TypeError, match="positional argument") as caught:
            from_callable(lambda: 1.0).factory(1)
        assert "learning_rate=<function" in caught.value.__notes__[0]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), from_callable(math.exp)])
def test_schedules_can_be_copied_and_pickled(schedule, duplicate):
    again = duplicate(schedule)
    size = {"steps_per_epoch": 2, "rows_per_epoch": 10, "power_t": 0.5}
    assert again[1:] == schedule[1:]
    assert again.factory(10, **size)(3) == schedule.factory(10, **size)(3)
