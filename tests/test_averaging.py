import numpy as np
import pytest

from skann.engine.averaging import Average

pytestmark = pytest.mark.kernels

STEPS = np.random.default_rng(0).standard_normal((30, 5))


def averaged(steps, decay):
    average = Average(np.full_like(steps[0], 7), decay)
    for step in steps:
        average.update(step)
    return average


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("n_steps", [1, 2, 30])
def test_equals_the_sum_over_all_steps(decay, n_steps):
    shares = decay ** np.arange(n_steps - 1.0, -1, -1)
    expected = shares @ STEPS[:n_steps] / shares.sum()
    average = averaged(STEPS[:n_steps], decay)
    np.testing.assert_allclose(average.values, expected, rtol=1e-12, atol=1e-15)
    assert average.n_updates == n_steps


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.9999])
def test_of_the_same_parameters_is_those(decay):
    same = np.tile(STEPS[0], (50, 1))
    np.testing.assert_array_equal(averaged(same, decay).values, STEPS[0])


def test_stays_in_single_precision_and_close_to_double():
    single = averaged(STEPS.astype(np.float32), 0.9)
    assert single.values.dtype == np.float32
    np.testing.assert_allclose(single.values, averaged(STEPS, 0.9).values, rtol=1e-4, atol=1e-6)


def test_reads_the_parameters_only():
    step = STEPS[0].copy()
    average = Average(step, 0.9)
    average.update(step)
    np.testing.assert_array_equal(step, STEPS[0])
    assert not np.shares_memory(average.values, step)


def test_swapping_twice_changes_nothing():
    average, parameters = averaged(STEPS, 0.9), STEPS[0].copy()
    values, place = average.values.copy(), parameters
    average.swap(parameters)
    np.testing.assert_array_equal(place, values)
    np.testing.assert_array_equal(average.values, STEPS[0])
    average.swap(parameters)
    np.testing.assert_array_equal(place, STEPS[0])
    np.testing.assert_array_equal(average.values, values)
