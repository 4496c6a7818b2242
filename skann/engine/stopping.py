"""What is watched during training, the best weights, when to stop, the history."""

import math
from typing import Literal

from numpy.typing import NDArray

Watch = Literal["loss", "validation_score"]
Reason = Literal["plateau", "schedule", "max_iter", "callback", "interrupted", "diverged"]


class Stopping:
    """Records every epoch and says when there is no more progress.

    Parameters
    ----------
    watch : {"loss", "validation_score"} or None
        What must improve; None to record only. With "validation_score" the weights of the
        best epoch are kept.
    tol : float
        The least change that counts as an improvement.
    n_iter_no_change : int or inf
        Epochs without improvement that are waited out.

    Attributes
    ----------
    loss_curve, validation_scores, validation_loss_curve : list of float
        A number for each epoch; the last two stay empty without validation data.
    best_loss, best_validation_score : float
        The best so far.
    best_parameters : ndarray of shape (n_parameters,) or None
        Copy of the parameters at the best validation score, where that is watched.
    reason : str or None
        Why training ended; None while it runs, and where a solver's own criterion ended it.

    Examples
    --------
    >>> from skann.engine.stopping import Stopping
    >>> stopping = Stopping("loss", tol=0.1, n_iter_no_change=1)
    >>> [stopping.record(loss, None, None) for loss in (1.0, 0.95, 0.94)]
    [False, False, True]
    """

    def __init__(self, watch: Watch | None, *, tol: float, n_iter_no_change: float) -> None:
        self.watch = watch
        self._tol = tol
        self._patience = n_iter_no_change
        self._n_without_improvement = 0
        self.loss_curve: list[float] = []
        self.validation_scores: list[float] = []
        self.validation_loss_curve: list[float] = []
        self.best_loss = math.inf
        self.best_validation_score = -math.inf
        self.best_parameters: NDArray | None = None
        self.reason: Reason | None = None

    def record(
        self, loss: float, validation: tuple[float, float] | None, parameters: NDArray | None
    ) -> bool:
        """Record an epoch.

        Parameters
        ----------
        loss : float
            Training loss.
        validation : (score, loss) or None
            Measured on the validation data, if there is any.
        parameters : ndarray of shape (n_parameters,) or None
            The current parameters, copied if they are to be kept.

        Returns
        -------
        bool
            Whether what is watched has stopped improving.
        """
        improved = loss < self.best_loss - self._tol
        self.loss_curve.append(loss)
        self.best_loss = min(loss, self.best_loss)
        if validation is not None:
            score, validation_loss = validation
            self.validation_scores.append(score)
            self.validation_loss_curve.append(validation_loss)
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
        """Start counting epochs without improvement anew."""
        self._n_without_improvement = 0
