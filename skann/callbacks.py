"""Callbacks to attach with `set_callbacks`, and the adapter that runs them epoch by epoch."""

from typing import TYPE_CHECKING, Any

from sklearn.callback import CallbackContext

from skann.outcome import history_attributes
from skann.progress import SearchProgress

if TYPE_CHECKING:
    from skann.classifier import ANNClassifier
    from skann.engine.network import Network
    from skann.engine.stopping import Stopping
    from skann.engine.training import MiniBatchTraining

__all__ = ["SearchProgress"]


class EpochTasks:
    """Reports a fit and its epochs as scikit-learn's callback tasks, and prints them.

    The root task is "fit", with a subtask "epoch" for every epoch or iteration of L-BFGS.
    Callbacks get a `fitted_estimator` if they ask for one, with a copy of the weights.

    Parameters
    ----------
    estimator : ANNClassifier
        The estimator that is being fitted.
    max_iter : int
        Most epochs.
    X, y : array-like
        Training data, as validated.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.
    """

    def __init__(
        self, estimator: "ANNClassifier", max_iter: int, X: Any, y: Any, sample_weight: Any
    ) -> None:
        self._estimator = estimator
        # Contexts cost microseconds that only callbacks are worth.
        self._has_callbacks = hasattr(estimator, "_skl_callbacks")
        self._fit_task: CallbackContext = estimator._init_callback_context(max_subtasks=max_iter)
        self._epoch_task: CallbackContext | None = None
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit_task.call_on_fit_task_begin(**self._data)

    def begin_training(self, training: "MiniBatchTraining") -> None:
        """Let callbacks that save the state of training find it."""
        self._estimator._training_in_progress = training

    def begin_epoch(self) -> None:
        """Begin an epoch's task."""
        if self._has_callbacks:
            self._epoch_task = self._fit_task.subcontext(task_name="epoch")
            self._epoch_task.call_on_fit_task_begin(**self._data)

    def end_epoch(self, network: "Network", stopping: "Stopping") -> bool:
        """End the epoch's task; return whether a callback asks to stop."""
        if self._estimator.verbose:
            _print_epoch(stopping)
        if self._epoch_task is None:
            return False
        task, self._epoch_task = self._epoch_task, None
        return task.call_on_fit_task_end(
            **self._data,
            reconstruction_attributes=lambda: self._fitted_attributes(network.copy(), stopping),
        )

    def abandon_epoch(self) -> None:
        """End the task of an epoch that has begun, without a result."""
        if self._epoch_task is not None:
            task, self._epoch_task = self._epoch_task, None
            task.call_on_fit_task_end(**self._data)

    def end_fit(self) -> None:
        """End the root task, of an estimator that is fitted by now."""
        network = self._estimator._network
        self._fit_task.call_on_fit_task_end(
            **self._data, reconstruction_attributes=lambda: {"_network": network.copy()}
        )

    def _fitted_attributes(self, network: "Network", stopping: "Stopping") -> dict[str, Any]:
        early_stopping = self._estimator.early_stopping
        return {"_network": network, **history_attributes(stopping.history, early_stopping)}


class Unwatched:
    """Watches nothing: `partial_fit` runs no callbacks."""

    def begin_training(self, training: "MiniBatchTraining") -> None:
        """Do nothing."""

    def begin_epoch(self) -> None:
        """Do nothing."""

    def end_epoch(self, network: "Network", stopping: "Stopping") -> bool:
        """Do nothing; never stop."""
        return False

    def abandon_epoch(self) -> None:
        """Do nothing."""


def _print_epoch(stopping: "Stopping") -> None:
    epoch = stopping.history[-1]
    line = f"Iteration {len(stopping.history)}, loss = {epoch.loss:.8f}"
    if epoch.validation_score is not None:
        line += f", validation score = {epoch.validation_score:.6f}"
        line += f", validation loss = {epoch.validation_loss:.8f}"
    print(line)
