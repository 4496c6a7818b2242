"""From resolved settings and examples to a trained network: names become objects here."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skann.engine.batches import Batches, Examples, Scaling, make_rows
from skann.engine.losses import LOSSES
from skann.engine.network import Backpropagation, Network
from skann.engine.optimizers import OPTIMIZERS, minimize_lbfgs
from skann.engine.schedules import SCHEDULES
from skann.engine.stopping import Stopping, Watch
from skann.engine.threads import limit_threads
from skann.engine.training import (
    EpochWatcher,
    Training,
    Validation,
    train_in_batches,
    train_in_full,
)

# Numbers in the inputs of rows that are computed at once, outside of mini-batches: about two
# megabytes, so that inputs and activations stay in cache. Wide rows come by the dozen still.
_CHUNK_NUMBERS = 500_000
_MIN_CHUNK_ROWS = 32


@dataclass(frozen=True)
class Settings:
    """What a fit is to do, nothing left to ``"auto"``; names as in `ANNClassifier`."""

    solver: str
    alpha: float
    batch_size: int
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    loss: str

    def watch(self) -> Watch | None:
        """Return what must improve for training to go on."""
        if self.early_stopping:
            return "validation_score"
        # L-BFGS has a criterion of its own; a schedule with an end is run to that end.
        if self.solver == "lbfgs" or SCHEDULES[self.learning_rate].has_end:
            return None
        return "loss"


class Outcome(NamedTuple):
    """How a training ended.

    Attributes
    ----------
    stopping : Stopping
        The history.
    message : str
        Why L-BFGS did not converge; empty if it did, and for the other solvers.
    optimizer_state : dict or None
        What to go on from; None for L-BFGS.
    n_rows_seen : int
        Rows that steps have been made on; 0 for L-BFGS.
    """

    stopping: Stopping
    message: str
    optimizer_state: dict[str, Any] | None
    n_rows_seen: int


def chunk_rows(n_features: int) -> int:
    """Return how many rows to compute at once where there are no mini-batches."""
    return max(_CHUNK_NUMBERS // n_features, _MIN_CHUNK_ROWS)


def fit_network(
    network: Network,
    examples: Examples,
    held_out: Examples | None,
    scaling: Scaling | None,
    settings: Settings,
    rng: np.random.Generator,
    optimizer_state: dict[str, Any] | None,
    watcher: EpochWatcher,
) -> Outcome:
    """Train a network in place.

    Parameters
    ----------
    network : Network
        With initial parameters.
    examples : Examples
        Training rows.
    held_out : Examples or None
        Rows to measure the network on after every epoch.
    scaling : Scaling or None
        Of the inputs.
    settings : Settings
        What to do.
    rng : numpy.random.Generator
        Source of the order of the rows.
    optimizer_state : dict or None
        What an earlier training of the same network left.
    watcher : EpochWatcher
        Told of every epoch.

    Returns
    -------
    Outcome

    Raises
    ------
    skann.engine.training.DivergenceError
        When there is no finite loss.
    """
    dtype = network.parameters.dtype
    n_outputs = network.layer_sizes[-1]
    rows_at_once = settings.batch_size
    if settings.solver == "lbfgs":
        rows_at_once = min(chunk_rows(network.layer_sizes[0]), len(examples))
    stopping = Stopping(
        settings.watch(), tol=settings.tol, n_iter_no_change=settings.n_iter_no_change
    )
    training = Training(
        network=network,
        backpropagation=Backpropagation(
            network, rows_at_once, _is_compact(examples, scaling, settings)
        ),
        batches=Batches(examples, rows_at_once, dtype, scaling),
        loss=LOSSES[settings.loss](n_outputs, rows_at_once, dtype),
        alpha=settings.alpha,
        stopping=stopping,
        validation=_validation(network, held_out, scaling, settings),
        max_iter=settings.max_iter,
        watcher=watcher,
    )
    largest_layer = max(fan_in * fan_out for fan_in, fan_out in pairwise(network.layer_sizes))
    with limit_threads(rows_at_once * largest_layer), np.errstate(over="ignore", invalid="ignore"):
        if settings.solver == "lbfgs":
            message = train_in_full(training, minimize_lbfgs, settings.max_fun, settings.tol)
            return Outcome(stopping, message, None, 0)
        optimizer = OPTIMIZERS[settings.solver](
            network.parameters,
            training.backpropagation.gradient,
            network.n_weights,
            sparse_gradient=training.backpropagation.sparse_gradient,
            momentum=settings.momentum,
            nesterovs_momentum=settings.nesterovs_momentum,
            beta_1=settings.beta_1,
            beta_2=settings.beta_2,
            epsilon=settings.epsilon,
        )
        if optimizer_state is not None:
            optimizer.load_state(optimizer_state)
        train_in_batches(
            training,
            optimizer,
            SCHEDULES[settings.learning_rate],
            settings.learning_rate_init,
            settings.power_t,
            rng if settings.shuffle else None,
        )
        return Outcome(stopping, "", optimizer.state(), training.n_rows_seen)


def _is_compact(examples: Examples, scaling: Scaling | None, settings: Settings) -> bool:
    """Whether batches stay sparse and the solver can do with the rows that they touch."""
    stays_sparse = sparse.issparse(examples.X) and (scaling is None or scaling.shift is None)
    return stays_sparse and settings.solver == "adam"


def _validation(
    network: Network, held_out: Examples | None, scaling: Scaling | None, settings: Settings
) -> Validation | None:
    if held_out is None:
        return None
    dtype = network.parameters.dtype
    at_once = chunk_rows(network.layer_sizes[0])
    return Validation(
        make_rows(held_out.X, dtype, at_once, scaling, held_out.subset),
        held_out.targets,
        held_out.weights,
        LOSSES[settings.loss](network.layer_sizes[-1], len(held_out), dtype),
        at_once,
    )
