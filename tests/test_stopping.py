import numpy as np
import pytest

from skann.engine.stopping import Epoch, Stopping


def run(watch, values, **settings):
    """Record one value after the other; return the epoch at which to stop, from 1."""
    stopping = Stopping(watch, **({"tol": 0.1, "n_iter_no_change": 2} | settings))
    for epoch, value in enumerate(values, start=1):
        measured = Epoch(0.0, value, -value) if watch == "validation_score" else Epoch(value)
        if stopping.record(measured, np.array([float(epoch)])):
            return epoch, stopping
    return None, stopping


def test_a_falling_loss_goes_on():
    assert run("loss", [5.0, 4.0, 3.0, 2.0, 1.0])[0] is None


def test_stops_once_the_patience_is_used_up():
    assert run("loss", [5.0, 5.0, 5.0, 5.0, 5.0])[0] == 4
    assert run("loss", [5.0, 5.0, 5.0], n_iter_no_change=1)[0] == 3


def test_an_improvement_of_less_than_tol_does_not_count():
    assert run("loss", [5.0, 4.95, 4.9, 4.85])[0] == 4
    assert run("loss", [5.0, 4.95, 4.9, 4.85], tol=0.01)[0] is None


def test_an_improvement_resets_the_patience():
    assert run("loss", [5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0])[0] == 7


def test_no_patience_ends_never():
    assert run("loss", [5.0] * 100, n_iter_no_change=np.inf)[0] is None


def test_a_score_must_rise():
    assert run("validation_score", [0.1, 0.3, 0.5, 0.7])[0] is None
    assert run("validation_score", [0.5, 0.5, 0.5, 0.5])[0] == 4


def test_keeps_the_parameters_of_the_first_best_score_as_a_copy():
    stopping = Stopping("validation_score", tol=0.1, n_iter_no_change=9)
    parameters = np.zeros(1)
    for epoch, score in enumerate([0.2, 0.6, 0.6, 0.61, 0.4]):
        parameters[0] = epoch
        stopping.record(Epoch(1.0, score, 0.0), parameters)
    # Better by less than tol is better all the same.
    np.testing.assert_array_equal(stopping.best_parameters, [3])
    assert stopping.best_validation_score == 0.61


@pytest.mark.parametrize("watch", [None, "loss"])
def test_keeps_no_parameters_where_the_score_is_not_watched(watch):
    stopping = Stopping(watch, tol=0.1, n_iter_no_change=9)
    stopping.record(Epoch(1.0, 0.5, 0.7), np.ones(3))
    assert stopping.best_parameters is None
    assert stopping.history == [Epoch(1.0, 0.5, 0.7)]
    assert stopping.best_validation_score == 0.5


def test_watching_nothing_records_and_never_stops():
    epoch, stopping = run(None, [5.0] * 50, n_iter_no_change=1)
    assert epoch is None
    assert [epoch.loss for epoch in stopping.history] == [5.0] * 50


def test_history_of_losses():
    _, stopping = run("loss", [5.0, 3.0, 4.0])
    assert [epoch.loss for epoch in stopping.history] == [5.0, 3.0, 4.0]
    assert stopping.best_loss == 3.0


def test_waiting_again_gives_the_whole_patience():
    stopping = Stopping("loss", tol=0.1, n_iter_no_change=1)
    assert [stopping.record(Epoch(1.0), None) for _ in range(3)] == [False, False, True]
    stopping.wait_again()
    assert [stopping.record(Epoch(1.0), None) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("watch", ["loss", "validation_score"])
@pytest.mark.parametrize("saved_after", [0, 1, 3, 4])
def test_goes_on_from_its_state(watch, saved_after):
    values = [0.5, 0.4, 0.8, 0.81, 0.82, 0.83]
    settings = {"tol": 0.1, "n_iter_no_change": 2}
    whole, first, second = (Stopping(watch, **settings) for _ in range(3))

    def record(stopping, epochs):
        return [
            stopping.record(Epoch(-values[epoch], values[epoch], 1.0), np.full(2, float(epoch)))
            for epoch in epochs
        ]

    expected = record(whole, range(6))
    ends = record(first, range(saved_after))
    second.load_state(first.state())
    assert ends + record(second, range(saved_after, 6)) == expected
    assert expected == [False] * 5 + [True]
    assert second.history == whole.history
    assert (second.best_loss, second.best_validation_score) == (-0.83, 0.83)
    np.testing.assert_array_equal(second.best_parameters, whole.best_parameters)


def test_its_state_tells_why_it_ended():
    first, second = (Stopping("loss", tol=0.1, n_iter_no_change=2) for _ in range(2))
    first.record(Epoch(1.0, learning_rate=0.1, gradient_norm=2.0, seconds=3.0), None)
    first.reason = "callback"
    second.load_state(first.state())
    assert second.reason == "callback"
    assert second.history == first.history


def test_scores_may_be_negative():
    epoch, stopping = run("validation_score", [-0.9, -0.7, -0.5, -0.45, -0.45, -0.45])
    assert epoch == 6
    assert stopping.best_validation_score == -0.45
    np.testing.assert_array_equal(stopping.best_parameters, [4])
