"""Training a network, from settings and examples to the trained network."""

import math
from dataclasses import dataclass

import numpy as np

from skann.engine.lbfgs import LbfgsRun
from skann.engine.network import Network
from skann.engine.run import Data, Observer, Run
from skann.engine.settings import Settings
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch, Reason
from skann.engine.threads import limit_threads
from skann.engine.training import MiniBatchRun
from skann.engine.validation import scores_of

# A loss above this multiple of the loss of a uniform prediction counts as blown up. Random weights
# on scaled inputs stay below it.
_BLOWN_UP = 10
# Number of training rows whose scores are checked, normally and if a loss has blown up.
_FEW_ROWS, _MANY_ROWS = 50, 2000


@dataclass(frozen=True)
class FittedRun:
    """Result of a training run.

    Parameters
    ----------
    network : Network
        The network, with the weights to keep.
    history : list of Epoch
        One record for each epoch.
    reason : str or None
        Why training ended; None if the solver's own criterion ended it.
    message : str
        Why L-BFGS did not converge; empty if it did, and for the other solvers.
    gave_up : bool
        Whether the last steps led to a loss or scores that are not finite, so that earlier
        weights are kept.
    blew_up : bool
        Whether the loss of an epoch was far above that of an untrained network.
    state : TrainingState
        State that a later training can continue from.
    """

    network: Network
    history: list[Epoch]
    reason: Reason | None
    message: str
    gave_up: bool
    blew_up: bool
    state: TrainingState

    @property
    def has_learned_nothing(self) -> bool:
        """Whether training ended before any weights but the initial ones proved to be finite."""
        return not self.history or (self.gave_up and len(self.history) < 2)


def largest_product(settings: Settings, n_rows: int) -> int:
    """Return the number of multiply-adds that decides how many BLAS threads to use.

    Parameters
    ----------
    settings : Settings
        Settings of the fit.
    n_rows : int
        Number of rows that are computed at once.

    Returns
    -------
    int
        Multiply-adds of the largest layer; 0 for a fit that must use one thread.
    """
    shapes = settings.architecture.weight_shapes
    largest_layer = max(fan_in * fan_out for fan_in, fan_out in shapes)
    return 0 if settings.one_thread else n_rows * largest_layer


def fit(settings: Settings, data: Data, start: TrainingState, observer: Observer) -> FittedRun:
    """Train a network.

    Parameters
    ----------
    settings : Settings
        Settings of the fit.
    data : Data
        Rows to train on and to validate with.
    start : TrainingState
        State to continue from; its arrays are copied.
    observer : Observer
        Observer that follows the run and may stop it.

    Returns
    -------
    FittedRun
    """
    is_lbfgs = settings.solver == "lbfgs"
    run: LbfgsRun | MiniBatchRun = (LbfgsRun if is_lbfgs else MiniBatchRun)(
        settings, data, start, observer
    )
    n_multiply_adds = largest_product(settings, min(run.batches.batch_size, len(data.train)))
    with (
        limit_threads(n_multiply_adds, in_scipy=is_lbfgs),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        message = run.train()
        blew_up, gave_up = _blew_up(run), run.stopping.reason == "diverged"
        if isinstance(run, MiniBatchRun) and not _scores_are_finite(run, data, blew_up):
            # The last steps led to weights for which no loss has been computed.
            run.give_up()
            gave_up = True
        state = run.end()
    stopping = run.stopping
    return FittedRun(
        run.network, stopping.history, stopping.reason, message, gave_up, blew_up, state
    )


def _blew_up(run: Run) -> bool:
    n_outputs = run.settings.architecture.layer_sizes[-1]
    is_multiclass = run.settings.loss == "multiclass"
    uniform_loss = math.log(n_outputs) if is_multiclass else n_outputs * math.log(2)
    return max((epoch.loss for epoch in run.history), default=0.0) > _BLOWN_UP * uniform_loss


def _scores_are_finite(run: Run, data: Data, blew_up: bool) -> bool:
    """Tell whether the scores of some training rows are finite."""
    some = data.train.spread_evenly(_MANY_ROWS if blew_up else _FEW_ROWS)
    return bool(np.isfinite(scores_of(run.network, some, data.scaling)).all())
