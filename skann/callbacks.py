"""Callbacks to attach with `set_callbacks`, and the adapter that runs them epoch by epoch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.callback import CallbackContext

from skann.checkpoint import FitInProgress, FitStart, SavedFit, remove_leftovers
from skann.outcome import history_attributes
from skann.progress import SearchProgress

if TYPE_CHECKING:
    from skann.classifier import ANNClassifier
    from skann.engine.network import Network
    from skann.engine.stopping import Stopping
    from skann.engine.training import MiniBatchTraining

__all__ = ["Checkpoint", "OptunaPruning", "SearchProgress"]


class Checkpoint:
    """Save a fit as it goes, so that `ANNClassifier.resume` can go on after it was killed.

    Set it on the classifier itself, also within a pipeline or a search. The first file is
    written before the first epoch, the last after the last one; it stays. A file is written
    beside the one that it replaces and then renamed, so that at every moment there is a whole
    one. It holds arrays and JSON, no code, and no rows of the data.

    A fit to whose end another callback has put a stop resumes with its last epoch, where that
    callback, if it is set again, can stop it again.

    In a search such as `GridSearchCV` each fit writes a file of its own: the path's name is
    followed by the numbers of the tasks that lead to the fit, as in ``fit-0-3.npz`` for the
    fourth fit; that of the best model on all rows is named as given. `cross_val_score` and
    those meta-estimators that do not support callbacks do not tell their fits apart, which then
    replace each other's file.

    Parameters
    ----------
    path : str or path-like
        The file, usually with the suffix ``.npz``. What is there is replaced.
    every : int, default=1
        Epochs between two files. Raise it when epochs take milliseconds, as a file does.

    Raises
    ------
    ValueError
        If `every` is not a whole number above 0; by `fit`, with ``solver="lbfgs"``, whose state
        SciPy keeps to itself.
    OSError
        By `fit`, if the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from skann import ANNClassifier
    >>> from skann.callbacks import Checkpoint
    >>> X, y = load_iris(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fit.npz")
    ...     classifier = ANNClassifier(random_state=0).set_callbacks(Checkpoint(path))
    ...     fitted = classifier.fit(X, y)
    ...     resumed = ANNClassifier(random_state=0).resume(path, X, y)
    >>> bool((resumed.predict_proba(X) == fitted.predict_proba(X)).all())
    True
    """

    def __init__(self, path: str | os.PathLike, *, every: int = 1) -> None:
        if not isinstance(every, int | np.integer) or isinstance(every, bool) or every < 1:
            raise ValueError(f"every must be a whole number of epochs above 0; got {every!r}.")
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path must be a str or a path, to write to; got {path!r}.")
        # As seen from here: a worker of a search may have another working directory.
        self.path = Path(path).absolute()
        self.every = int(every)

    def setup(self, estimator: Any, context: CallbackContext) -> None:
        """Raise an error if the fits of an estimator cannot be saved."""
        if not hasattr(estimator, "resume"):
            raise TypeError(
                f"Checkpoint saves fits of ANNClassifier, not of {type(estimator).__name__}. Set"
                " it on the classifier inside, in a Pipeline pipeline[-1].set_callbacks(...): it"
                " writes a file for each of its fits."
            )
        if estimator.solver == "lbfgs":
            raise ValueError(
                "Checkpoint cannot be used with solver='lbfgs': SciPy keeps its state to itself."
                " Choose another solver, or fit without Checkpoint."
            )

    def teardown(self, estimator: Any, context: CallbackContext) -> None:
        """Do nothing: the file stays."""

    def on_fit_task_begin(self, estimator: Any, context: CallbackContext) -> None:
        """Save what the epochs before have led to, now that no callback has stopped the fit."""
        if context.task_name != "epoch":
            remove_leftovers(_path_of_fit(self.path, context))
        elif context.task_id % self.every == 0:
            self._save(estimator, context)

    def on_fit_task_end(self, estimator: Any, context: CallbackContext) -> None:
        """Save the end of the fit, which no other epoch begins after."""
        if context.task_name != "epoch":
            return
        training = estimator._training_in_progress.training
        # Ctrl-C comes in the middle of an epoch, from which nothing can go on.
        if training.is_over and training.training.stopping.reason != "interrupted":
            self._save(estimator, context)

    def _save(self, estimator: Any, context: CallbackContext) -> None:
        assert context.parent is not None
        estimator._training_in_progress.save(_path_of_fit(self.path, context.parent))


def _path_of_fit(path: Path, context: CallbackContext) -> Path:
    """Add the numbers of the tasks that a search is made of, from the outermost on."""
    numbers: list[int] = []
    task: CallbackContext | None = context
    while task is not None and task.parent is not None:
        # Below the tasks that are done side by side a fit is one of a kind.
        if numbers or not task.parent.sequential_subtasks:
            numbers.insert(0, task.task_id)
        task = task.parent
    return path.with_name("-".join([path.stem, *map(str, numbers)]) + path.suffix)


class OptunaPruning:
    """Report every epoch to an Optuna trial, and end the fit when the trial should be pruned.

    The exception ``optuna.TrialPruned`` comes out of `fit`, as Optuna expects it to come out of
    the objective. A trial takes one fit: reports of a second one are ignored.

    Parameters
    ----------
    trial : optuna.Trial
        The trial.
    metric : {"validation_score", "validation_loss", "loss"}, default="validation_score"
        What to report of every epoch (see `ANNClassifier.history_`). The study is to maximise
        the score or minimise a loss.

    Raises
    ------
    ValueError
        If there is no such metric; by `fit`, if there is no validation data to measure it on.

    Examples
    --------
    >>> from skann import ANNClassifier
    >>> from skann.callbacks import OptunaPruning
    >>> def objective(trial):
    ...     alpha = trial.suggest_float("alpha", 1e-3, 10, log=True)
    ...     classifier = ANNClassifier(alpha=alpha, early_stopping=True)
    ...     classifier.set_callbacks(OptunaPruning(trial)).fit(X, y)
    ...     return classifier.best_validation_score_
    """

    def __init__(self, trial: Any, metric: str = "validation_score") -> None:
        metrics = ("validation_score", "validation_loss", "loss")
        if metric not in metrics:
            raise ValueError(f"metric must be one of {metrics}; got {metric!r}.")
        self.trial = trial
        self.metric = metric

    def setup(self, estimator: Any, context: CallbackContext) -> None:
        """Do nothing."""

    def teardown(self, estimator: Any, context: CallbackContext) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator: Any, context: CallbackContext) -> None:
        """Do nothing."""

    def on_fit_task_end(
        self, estimator: Any, context: CallbackContext, *, fitted_estimator: Any
    ) -> None:
        """Report an epoch; prune."""
        if context.task_name != "epoch" or fitted_estimator is None:
            return
        value = fitted_estimator.history_[-1][self.metric]
        if value is None:
            raise ValueError(
                f"OptunaPruning(metric={self.metric!r}) needs validation data: give fit X_val and"
                " y_val, set early_stopping=True, or report the metric 'loss'."
            )
        self.trial.report(value, context.task_id)
        if self.trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned(f"Pruned after epoch {context.task_id + 1}.")


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
    start : FitStart
        What the fit starts from.
    saved : SavedFit or None
        What it goes on from.
    """

    def __init__(
        self,
        estimator: "ANNClassifier",
        max_iter: int,
        X: Any,
        y: Any,
        start: FitStart,
        saved: SavedFit | None = None,
    ) -> None:
        self._estimator = estimator
        self._start, self._saved = start, saved
        # Contexts cost microseconds that only callbacks are worth.
        self._has_callbacks = hasattr(estimator, "_skl_callbacks")
        self._fit_task: CallbackContext = estimator._init_callback_context(max_subtasks=max_iter)
        self._epoch_task: CallbackContext | None = None
        weights = start.sample_weight
        metadata = None if weights is None else {"sample_weight": weights}
        self._data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit_task.call_on_fit_task_begin(**self._data)

    def begin_training(self, training: "MiniBatchTraining") -> None:
        """Let callbacks that save the state of training find it; count epochs done before."""
        if self._saved is not None:
            self._saved.check_threads()
        self._estimator._training_in_progress = FitInProgress(
            self._estimator, self._start, training
        )
        if self._has_callbacks:
            for _ in training.training.stopping.history:
                self._fit_task.subcontext(task_name="epoch")

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
