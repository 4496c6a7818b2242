"""The training history, the best weights, and the decision when to stop."""

import math
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

Watch = Literal["loss", "validation_score"]
Reason = Literal["plateau", "schedule", "max_iter", "callback", "interrupted", "diverged"]


class Epoch(NamedTuple):
    """Record of one epoch, or of one iteration of L-BFGS.

    Attributes
    ----------
    loss : float
        Training loss.
    validation_score, validation_loss : float or None
        Score and loss on the validation data, if there is any.
    learning_rate : float or None
        Learning rate of the last step; None for L-BFGS, which has none.
    gradient_norm : float or None
        Euclidean norm of the gradient of the loss in the last step, before clipping and without
        the penalty. With L-BFGS, the norm for the whole objective.
    seconds : float
        Wall-clock time of the epoch, without validation and callbacks.
    """

    loss: float
    validation_score: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    seconds: float = 0.0


class Stopping:
    """Record every epoch and decide when there is no more progress.

    Parameters
    ----------
    watch : {"loss", "validation_score"} or None
        Quantity that must improve; None to record only. With "validation_score", the weights of
        the best epoch are kept.
    tol : float
        Smallest change that counts as an improvement.
    n_iter_no_change : int or inf
        Number of epochs without improvement to tolerate.

    Attributes
    ----------
    history : list of Epoch
        One record for each epoch.
    best_loss, best_validation_score : float
        Best values so far.
    best_parameters : ndarray of shape (n_parameters,) or None
        Copy of the parameters at the best validation score, if the score is watched.
    reason : str or None
        Why training ended; None while it runs, or if a solver's own criterion ended it.

    Examples
    --------
    >>> from skann.engine.stopping import Epoch, Stopping
    >>> stopping = Stopping("loss", tol=0.1, n_iter_no_change=1)
    >>> [stopping.record(Epoch(loss), None) for loss in (1.0, 0.95, 0.94)]
    [False, False, True]
    """

    def __init__(self, watch: Watch | None, *, tol: float, n_iter_no_change: float) -> None:
        self.watch = watch
        self._tol = tol
        self._patience = n_iter_no_change
        self._n_without_improvement = 0
        self.history: list[Epoch] = []
        self.best_loss = math.inf
        self.best_validation_score = -math.inf
        self.best_parameters: NDArray | None = None
        self.reason: Reason | None = None

    def record(self, epoch: Epoch, parameters: NDArray | None) -> bool:
        """Record an epoch.

        Parameters
        ----------
        epoch : Epoch
            Record of the epoch.
        parameters : ndarray of shape (n_parameters,) or None
            Current parameters, which are copied if they are the best.

        Returns
        -------
        bool
            Whether the watched quantity has stopped improving.
        """
        improved = epoch.loss < self.best_loss - self._tol
        self.history.append(epoch)
        self.best_loss = min(epoch.loss, self.best_loss)
        score = epoch.validation_score
        # Infinite raw scores still give class predictions, but such weights are useless.
        if score is not None and math.isfinite(epoch.validation_loss or 0.0):
            if self.watch == "validation_score":
                improved = score >= self.best_validation_score + self._tol
                if score > self.best_validation_score and parameters is not None:
                    self.best_parameters = parameters.copy()
            self.best_validation_score = max(score, self.best_validation_score)
        if self.watch is None:
            return False
        self._n_without_improvement = 0 if improved else self._n_without_improvement + 1
        return self._n_without_improvement > self._patience

    def wait_again(self) -> None:
        """Reset the count of epochs without improvement."""
        self._n_without_improvement = 0

    def state(self) -> dict[str, Any]:
        """Return the state from which training can continue; arrays are shared, not copied."""
        return {
            "history": [epoch._asdict() for epoch in self.history],
            "best_loss": self.best_loss,
            "best_validation_score": self.best_validation_score,
            "best_parameters": self.best_parameters,
            "n_without_improvement": self._n_without_improvement,
            "reason": self.reason,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.best_loss = state["best_loss"]
        self.best_validation_score = state["best_validation_score"]
        self.best_parameters = state["best_parameters"]
        self._n_without_improvement = state["n_without_improvement"]
        self.reason = state["reason"]
