"""A fit as scikit-learn's callbacks see it: a task with a subtask for each epoch."""

from collections.abc import Callable
from typing import Any

from sklearn.callback import CallbackContext

from skann.engine.run import Observer, Run


class EpochTasks(Observer):
    """Reports a fit and its epochs as scikit-learn's callback tasks, and prints them.

    The root task is "fit", with a subtask "epoch" for every epoch or iteration of L-BFGS.
    Callbacks get a `fitted_estimator` if they ask for one, with a copy of the weights.

    Parameters
    ----------
    estimator : ANNClassifier
        The estimator that is being fitted, which is forwarded to the callbacks.
    data : dict
        X, y and metadata for the callbacks.
    max_iter : int
        Most epochs.
    n_done : int
        Epochs that a resumed fit has done.
    attributes_of : callable (run) -> dict
        Fitted attributes for a run that goes on.
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
        # Contexts cost microseconds that only callbacks are worth.
        self._has_callbacks = hasattr(estimator, "_skl_callbacks")
        self._fit_task: CallbackContext = estimator._init_callback_context(max_subtasks=max_iter)
        self._epoch_task: CallbackContext | None = None
        self._fit_task.call_on_fit_task_begin(**self._data)
        if self._has_callbacks:
            for _ in range(n_done):
                self._fit_task.subcontext(task_name="epoch")

    def begin_epoch(self, run: Run) -> None:
        """Begin an epoch's task."""
        if self._has_callbacks:
            self._epoch_task = self._fit_task.subcontext(task_name="epoch")
            self._epoch_task.call_on_fit_task_begin(**self._data)

    def end_epoch(self, run: Run) -> bool:
        """End the epoch's task; return whether a callback asks to stop."""
        if self._estimator.verbose:
            _print_epoch(run)
        return self._end_task(reconstruction_attributes=lambda: self._attributes_of(run))

    def abandon_epoch(self, run: Run) -> None:
        """End the task of an epoch that has begun, without a result."""
        self._end_task()

    def _end_task(self, **attributes: Any) -> bool:
        # Forgotten first: a task whose end fails is not ended again.
        task, self._epoch_task = self._epoch_task, None
        return task is not None and task.call_on_fit_task_end(**self._data, **attributes)

    def end_fit(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """End the root task; `attributes` returns those of the fitted estimator."""
        self._fit_task.call_on_fit_task_end(**self._data, reconstruction_attributes=attributes)


def _print_epoch(run: Run) -> None:
    epoch = run.history[-1]
    line = f"Iteration {len(run.history)}, loss = {epoch.loss:.8f}"
    if epoch.validation_score is not None:
        line += f", validation score = {epoch.validation_score:.6f}"
        line += f", validation loss = {epoch.validation_loss:.8f}"
    print(line)
