"""Callbacks that you attach to a classifier with `set_callbacks`."""

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
    """Save a fit at regular epochs, so that `ANNClassifier.resume` can continue it.

    Set the callback on the classifier itself, also when the classifier is inside a pipeline or a
    search. A file is written after every epoch, or at the interval that `every` sets, and after the
    last epoch. It replaces the previous file and is kept after the fit. The new file is written
    beside the old one and then renamed, so that a complete file exists at any moment. It holds
    arrays and JSON: no code, and no rows of the data.

    If another callback has stopped the fit, `resume` continues with the next epoch.

    In a search such as `GridSearchCV`, each fit writes its own file. The numbers of the search's
    tasks are appended to the file name, as in ``fit-0-3.npz`` for the fourth fit. The refit of
    the best model on all rows uses the name as given. `cross_val_score` and meta-estimators that
    do not support callbacks do not tell their fits apart, so these overwrite each other's file.

    Parameters
    ----------
    path : str or path-like
        Path of the file, usually with the suffix ``.npz``. An existing file is replaced.
    every : int, default=1
        Number of epochs between two files. Raise it when an epoch takes only milliseconds,
        because writing a file takes about as long.

    Raises
    ------
    ValueError
        If `every` is not a positive integer. Also raised by `fit` with ``solver="lbfgs"``, because
        SciPy does not expose the state of this solver.
    OSError
        Raised by `fit` if the file cannot be written, before the first epoch if possible.

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
            raise ValueError(f"every must be a positive integer; got {every!r}.")
        # Absolute, because a worker of a search may have another working directory.
        self.path = Path(path).absolute()
        self.every = int(every)

    def setup(self, estimator: Any, context: CallbackContext) -> None:
        """Raise an error if the fits of this estimator cannot be saved."""
        if not isinstance(estimator, BaseANN):
            raise TypeError(
                f"Checkpoint saves fits of ANNClassifier, not of {type(estimator).__name__}. Set"
                " it on the classifier itself, for example pipeline[-1].set_callbacks(...); it"
                " then writes one file for each fit."
            )
        if estimator.solver == "lbfgs":
            raise ValueError(
                "Checkpoint cannot be used with solver='lbfgs': SciPy does not expose its state."
                " Choose another solver, or fit without Checkpoint."
            )

    def teardown(self, estimator: Any, context: CallbackContext) -> None:
        """Do nothing: the file is kept."""

    def on_fit_task_begin(self, estimator: Any, context: CallbackContext) -> None:
        """Check that the file can be written, and remove temporary files of killed fits."""
        if context.task_name != "epoch":
            make_ready(_path_of_fit(self.path, context))

    def on_fit_task_end(
        self, estimator: Any, context: CallbackContext, *, fitted_estimator: Any
    ) -> None:
        """Save the fit if a file is due after this epoch."""
        if context.task_name != "epoch" or fitted_estimator is None:
            return
        epochs = fitted_estimator._model.state.epochs
        is_last = context.task_id + 1 == fitted_estimator.max_iter_
        is_last |= epochs["stopping"]["reason"] is not None
        if is_last or (context.task_id + 1) % self.every == 0:
            save(_path_of_fit(self.path, context.parent), fitted_estimator._model)


def _path_of_fit(path: Path, task: Any) -> Path:
    """Append the numbers of the enclosing search tasks to the file name, outermost first."""
    numbers: list[int] = []
    while task.parent is not None:
        # Inside a parallel task there is only one fit, so the tasks in it need no number.
        if numbers or not task.parent.sequential_subtasks:
            numbers.insert(0, task.task_id)
        task = task.parent
    return path.with_name("-".join([path.stem, *map(str, numbers)]) + path.suffix)


class OptunaPruning:
    """Report every epoch to an Optuna trial, and stop the fit if the trial should be pruned.

    `fit` then raises ``optuna.TrialPruned``, which the objective should not catch. Use each trial
    for one fit only: Optuna ignores reports of a second one.

    Parameters
    ----------
    trial : optuna.Trial
        The trial to report to.
    metric : {"validation_score", "validation_loss", "loss"}, default="validation_score"
        Entry of `ANNClassifier.history_` that is reported after every epoch. The study must
        maximise the score or minimise the loss.

    Raises
    ------
    ValueError
        If `metric` is not one of these names. Also raised by `fit` if the metric needs validation
        data and there is none.

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

    def __init__(self, trial: Any, *, metric: str = "validation_score") -> None:
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
        """Report the epoch, and raise an exception if the trial should be pruned."""
        if context.task_name != "epoch" or fitted_estimator is None:
            return
        value = fitted_estimator.history_[-1][self.metric]
        if value is None:
            raise ValueError(
                f"OptunaPruning(metric={self.metric!r}) needs validation data. Pass X_val and"
                " y_val to fit, set early_stopping=True, or use metric='loss'."
            )
        self.trial.report(value, context.task_id)
        if self.trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned(f"Pruned after epoch {context.task_id + 1}.")
