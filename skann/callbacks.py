"""Callbacks to attach with `set_callbacks`."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.callback import CallbackContext

from skann.base import BaseANN
from skann.checkpoint import save
from skann.npz_tree import make_ready

__all__ = ["Checkpoint", "OptunaPruning"]


class Checkpoint:
    """Save a fit as it goes, so that `ANNClassifier.resume` can go on after it was killed.

    Set it on the classifier itself, also within a pipeline or a search. The first file is
    written after the first epochs, the last after the last one; it stays. A file is written
    beside the one that it replaces and then renamed, so that at every moment there is a whole
    one. It holds arrays and JSON, no code, and no rows of the data.

    A fit that another callback has stopped goes on with its next epoch when it is resumed.

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
        By `fit`, if the file cannot be written: before the first epoch, if that shows by then.

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
        # As seen from here: a worker of a search may have another working directory.
        self.path = Path(path).absolute()
        self.every = int(every)

    def setup(self, estimator: Any, context: CallbackContext) -> None:
        """Raise an error if the fits of an estimator cannot be saved."""
        if not isinstance(estimator, BaseANN):
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
        """See that the file can be written; tidy up what a fit that was killed has left."""
        if context.task_name != "epoch":
            make_ready(_path_of_fit(self.path, context))

    def on_fit_task_end(
        self, estimator: Any, context: CallbackContext, *, fitted_estimator: Any
    ) -> None:
        """Save what the epochs so far have led to."""
        if context.task_name != "epoch" or fitted_estimator is None:
            return
        epochs = fitted_estimator._model.state.epochs
        is_last = context.task_id + 1 == fitted_estimator.max_iter_
        is_last |= epochs["stopping"]["reason"] is not None
        if is_last or (context.task_id + 1) % self.every == 0:
            save(_path_of_fit(self.path, context.parent), fitted_estimator._model)


def _path_of_fit(path: Path, task: Any) -> Path:
    """Add the numbers of the tasks that a search is made of, from the outermost on."""
    numbers: list[int] = []
    while task.parent is not None:
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
