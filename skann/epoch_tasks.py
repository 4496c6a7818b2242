"""Reporting a fit to scikit-learn's callbacks, as a task with a subtask for each epoch."""

from collections.abc import Callable
from typing import Any

from sklearn.callback import CallbackContext

from skann.engine.run import Observer, Run


class EpochTasks(Observer):
    """Report a fit and its epochs to scikit-learn's callbacks as tasks, and print the epochs.

    The root task is "fit". It has a subtask "epoch" for every epoch or iteration of L-BFGS.
    A callback that asks for a `fitted_estimator` gets one with a copy of the weights.

    Parameters
    ----------
    estimator : ANNClassifier
        The estimator that is being fitted. It is passed to the callbacks.
    data : dict
        X, y and metadata, which are passed to the callbacks.
    max_iter : int
        Maximum number of epochs.
    n_done : int
        Number of epochs that a resumed fit has already done.
    attributes_of : callable (run) -> dict
        Returns the fitted attributes of a run that is still in progress.
    """

    def __init__(
        self,
        estimator: Any,
        data: dict[str, Any],
        max_iter: int,
        n_done: int,
        attributes_of: Callable[[Run], dict[str, Any]],
    ) -> None:
        self._estimator = estimator
        self._attributes_of = attributes_of
        self._data = {"estimator": estimator, **data}
        # A context costs microseconds, so make them only if there are callbacks.
        self._has_callbacks = hasattr(estimator, "_skl_callbacks")
        self._fit_task: CallbackContext = estimator._init_callback_context(max_subtasks=max_iter)
        self._epoch_task: CallbackContext | None = None
        self._fit_task.call_on_fit_task_begin(**self._data)
        if self._has_callbacks:
            for _ in range(n_done):
                self._fit_task.subcontext(task_name="epoch")

    def begin_epoch(self, run: Run) -> None:
        """Begin the task of an epoch."""
        if self._has_callbacks:
            self._epoch_task = self._fit_task.subcontext(task_name="epoch")
            self._epoch_task.call_on_fit_task_begin(**self._data)

    def end_epoch(self, run: Run) -> bool:
        """End the task of an epoch; return whether a callback asks to stop."""
        if self._estimator.verbose:
            _print_epoch(run)
        return self._end_task(reconstruction_attributes=lambda: self._attributes_of(run))

    def abandon_epoch(self, run: Run) -> None:
        """End the task of an epoch that was begun but not completed, without a result."""
        self._end_task()

    def _end_task(self, **attributes: Any) -> bool:
        # Reset first, so that a task whose end raises an error is not ended twice.
        task, self._epoch_task = self._epoch_task, None
        return task is not None and task.call_on_fit_task_end(**self._data, **attributes)

    def end_fit(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """End the root task; `attributes` returns the attributes of the fitted estimator."""
        self._fit_task.call_on_fit_task_end(**self._data, reconstruction_attributes=attributes)


def _print_epoch(run: Run) -> None:
    epoch = run.history[-1]
    line = f"Iteration {len(run.history)}, loss = {epoch.loss:.8f}"
    if epoch.validation_score is not None:
        line += f", validation score = {epoch.validation_score:.6f}"
        line += f", validation loss = {epoch.validation_loss:.8f}"
    print(line)
