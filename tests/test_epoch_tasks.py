"""The adapter from an observer to scikit-learn's callbacks."""

from types import SimpleNamespace

import pytest
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin

from skann.engine.stopping import Epoch
from skann.epoch_tasks import EpochTasks


class Estimator(CallbackSupportMixin, BaseEstimator):
    """As much of an estimator as the adapter uses."""

    def __init__(self, verbose=False):
        self.verbose = verbose


class Recorder:
    """Notes what it is told; returns at the end of an epoch what it is asked to."""

    def __init__(self, answers=()):
        self.answers = dict(answers)
        self.events, self.fitted = [], []

    def setup(self, estimator, context):
        self.events.append(("setup", context.max_subtasks))

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata):
        assert (X, y, metadata) == ("X", "y", {"sample_weight": "w"})
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        assert (X, y, metadata) == ("X", "y", {"sample_weight": "w"})
        self.events.append(("end", context.task_name, context.task_id))
        self.fitted.append(fitted_estimator)
        return self.answers.get(context.task_id) if context.task_name == "epoch" else None


class Unasking(Recorder):
    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass


def forbidden(run):
    raise AssertionError("nobody asked")


def begin(*callbacks, n_done=0, verbose=False, attributes_of=lambda run: {"epoch_": run.number}):
    estimator = Estimator(verbose).set_callbacks(*callbacks)
    data = {"X": "X", "y": "y", "metadata": {"sample_weight": "w"}}
    return EpochTasks(estimator, data, 5, n_done, attributes_of)


def run_at(number, **measured):
    return SimpleNamespace(number=number, history=[Epoch(0.5, **measured)] * number)


def do_epoch(tasks, run):
    tasks.begin_epoch(run)
    return tasks.end_epoch(run)


def test_a_task_is_begun_and_ended_for_the_fit_and_each_epoch():
    recorder = Recorder()
    tasks = begin(recorder)
    assert recorder.events == [("setup", 5), ("begin", "fit", 0)]
    assert not do_epoch(tasks, run_at(1))
    assert not do_epoch(tasks, run_at(2))
    tasks.end_fit(lambda: {"epoch_": "last"})
    assert recorder.events[2:] == [
        ("begin", "epoch", 0),
        ("end", "epoch", 0),
        ("begin", "epoch", 1),
        ("end", "epoch", 1),
        ("end", "fit", 0),
    ]
    assert [fitted.epoch_ for fitted in recorder.fitted] == [1, 2, "last"]


@pytest.mark.parametrize(("answers", "stops"), [((False, False), False), ((False, True), True)])
def test_any_callback_may_ask_to_stop(answers, stops):
    tasks = begin(*(Recorder({1: answer}) for answer in answers))
    assert do_epoch(tasks, run_at(1)) is False
    assert do_epoch(tasks, run_at(2)) is stops


def test_a_resumed_fit_goes_on_with_the_number_of_its_epoch():
    recorder = Recorder()
    do_epoch(begin(recorder, n_done=3), run_at(4))
    assert recorder.events == [
        ("setup", 5),
        ("begin", "fit", 0),
        ("begin", "epoch", 3),
        ("end", "epoch", 3),
    ]


def test_an_abandoned_epoch_has_no_fitted_estimator():
    recorder = Recorder()
    tasks = begin(recorder, attributes_of=forbidden)
    tasks.begin_epoch(run_at(0))
    tasks.abandon_epoch(run_at(0))
    assert recorder.events[-1] == ("end", "epoch", 0)
    assert recorder.fitted == [None]


def test_an_epoch_is_ended_once():
    recorder = Recorder()
    tasks = begin(recorder)
    tasks.abandon_epoch(run_at(0))  # None has begun.
    do_epoch(tasks, run_at(1))
    tasks.abandon_epoch(run_at(1))
    assert recorder.events.count(("end", "epoch", 0)) == 1


def test_an_epoch_whose_end_fails_is_not_ended_again():
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            self.events.append("end")
            raise KeyboardInterrupt

    failing = Failing()
    tasks = begin(failing)
    with pytest.raises(KeyboardInterrupt):
        do_epoch(tasks, run_at(1))
    tasks.abandon_epoch(run_at(1))
    assert failing.events.count("end") == 1


def test_attributes_are_made_only_where_they_are_asked_for():
    tasks = begin(Unasking(), attributes_of=forbidden)
    do_epoch(tasks, run_at(1))
    tasks.end_fit(lambda: forbidden(None))
    tasks = begin(Recorder(), attributes_of=forbidden)
    with pytest.raises(AssertionError, match="nobody asked"):
        do_epoch(tasks, run_at(1))


def test_without_callbacks_there_are_no_epoch_tasks(monkeypatch):
    tasks = begin(n_done=2, attributes_of=forbidden)
    monkeypatch.setattr(type(tasks._fit_task), "subcontext", forbidden)
    assert do_epoch(tasks, run_at(1)) is False
    tasks.abandon_epoch(run_at(1))
    tasks.end_fit(lambda: forbidden(None))


@pytest.mark.parametrize("callbacks", [(), (Unasking(),)])
def test_verbose_prints_the_epoch(callbacks, capsys):
    tasks = begin(*callbacks, verbose=True)
    do_epoch(tasks, run_at(1))
    do_epoch(tasks, run_at(2, validation_score=0.25, validation_loss=1.5))
    assert capsys.readouterr().out.splitlines() == [
        "Iteration 1, loss = 0.50000000",
        "Iteration 2, loss = 0.50000000, validation score = 0.250000, validation loss = 1.50000000",
    ]
    do_epoch(begin(*callbacks), run_at(1))
    assert capsys.readouterr().out == ""
