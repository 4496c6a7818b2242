"""From resolved settings and examples to a trained network: names become objects here."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.averaging import Average
from skann.engine.backpropagation import Backpropagation, Regularization
from skann.engine.batches import Batches, Examples
from skann.engine.lbfgs import minimize_lbfgs
from skann.engine.losses import LOSSES
from skann.engine.network import Network
from skann.engine.optimizers import OPTIMIZERS, Optimizer
from skann.engine.rows import Scaling, make_rows
from skann.engine.schedules import SCHEDULES, Schedule, from_callable, warmed_up
from skann.engine.sparse_adam import SparseAdam
from skann.engine.stopping import Stopping, Watch
from skann.engine.threads import limit_threads
from skann.engine.training import (
    EpochWatcher,
    MiniBatchTraining,
    Training,
    Validation,
    train_in_full,
)

# Numbers in the widest layer of rows that are computed at once, outside of mini-batches: about two
# megabytes, so that inputs and activations stay in cache. Wide rows come by the dozen still.
_CHUNK_NUMBERS = 500_000
_MIN_CHUNK_ROWS = 32


@dataclass(frozen=True)
class Settings:
    """What a fit is to do, nothing left to ``"auto"``; names as in `ANNClassifier`."""

    solver: str
    alpha: float
    batch_size: int
    learning_rate: str | Callable[[int], float]
    learning_rate_init: float
    warmup: float
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
    dropout: tuple[float, ...]
    input_dropout: float
    input_noise: float
    label_smoothing: float
    max_norm: float | None
    gradient_clip_norm: float | None
    ema_decay: float | None

    @property
    def schedule(self) -> Schedule:
        """The schedule that `learning_rate` names or is."""
        if callable(self.learning_rate):
            return from_callable(self.learning_rate)
        return SCHEDULES[self.learning_rate]

    def watch(self) -> Watch | None:
        """Return what must improve for training to go on."""
        if self.early_stopping:
            return "validation_score"
        # L-BFGS has a criterion of its own; a schedule with an end is run to that end.
        if self.solver == "lbfgs" or self.schedule.has_end:
            return None
        return "loss"

    def factor(self, steps_per_epoch: int, n_rows: int) -> Callable[[int], float]:
        """Return the factor of the learning rate as a function of the step."""
        n_steps = self.max_iter * steps_per_epoch
        factor = self.schedule.factory(
            n_steps,
            steps_per_epoch=steps_per_epoch,
            rows_per_epoch=n_rows,
            power_t=self.power_t,
        )
        return warmed_up(factor, round(self.warmup * n_steps))


# Times the loss of predicting all classes alike: random weights on scaled inputs stay below.
_BLOWN_UP = 10
# Fewer epochs than that are too short to judge by.
FEW_EPOCHS = 5
# Training rows that tell whether anything was learned, and rows for a first look.
_SAMPLE, _FIRST_LOOK = 2000, 50
# Scores that differ by less than this between rows are the same.
_SAME = 1e-4


class Measured(NamedTuple):
    """What a trained network does on training rows, as in prediction.

    Attributes
    ----------
    score, loss : float
        Accuracy and log-loss.
    is_constant : bool
        Whether rows that differ all get the same scores.
    """

    score: float
    loss: float
    is_constant: bool


class Outcome(NamedTuple):
    """How a training ended.

    Attributes
    ----------
    stopping : Stopping
        The history.
    message : str
        Why L-BFGS did not converge; empty if it did, and for the other solvers.
    optimizer_state : dict or None
        Of the optimizer and the average, to go on from; None for L-BFGS.
    n_rows_seen : int
        Rows that steps have been made on; 0 for L-BFGS.
    measured : Measured or None
        On training rows, where a loss blew up or all rows get the same scores.
    """

    stopping: Stopping
    message: str
    optimizer_state: dict[str, Any] | None
    n_rows_seen: int
    measured: Measured | None = None


def chunk_rows(width: int) -> int:
    """Return how many rows to compute at once in layers up to `width` without mini-batches."""
    return max(_CHUNK_NUMBERS // width, _MIN_CHUNK_ROWS)


def fit_network(
    network: Network,
    examples: Examples,
    held_out: Examples | None,
    scaling: Scaling | None,
    settings: Settings,
    rng: np.random.Generator,
    optimizer_state: dict[str, Any] | None,
    watcher: EpochWatcher,
    scoring: Callable[[Network, float], float] | None = None,
    saved: dict[str, Any] | None = None,
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
        Source of the order of the rows, and of all that is random in training.
    optimizer_state : dict or None
        What an earlier training of the same network left.
    watcher : EpochWatcher
        Told of every epoch.
    scoring : callable (network, loss) -> float, or None
        What decides on the rows held out, given their loss; None for accuracy.
    saved : dict or None
        State of an interrupted training to go on from, of `MiniBatchTraining.state`.

    Returns
    -------
    Outcome

    Raises
    ------
    skann.engine.training.DivergenceError
        When there is no finite loss.
    """
    dtype, layer_sizes = network.parameters.dtype, network.architecture.layer_sizes
    is_lbfgs = settings.solver == "lbfgs"
    batch_size = chunk_rows(layer_sizes[0]) if is_lbfgs else settings.batch_size
    rows_at_once = min(batch_size, len(examples))
    stopping = Stopping(
        settings.watch(), tol=settings.tol, n_iter_no_change=settings.n_iter_no_change
    )
    training = Training(
        network=network,
        backpropagation=Backpropagation(
            network,
            rows_at_once,
            _is_compact(examples, scaling, settings),
            Regularization(settings.dropout, settings.input_dropout, settings.input_noise),
            rng,
        ),
        batches=Batches(examples, batch_size, dtype, scaling),
        loss=LOSSES[settings.loss](layer_sizes[-1], rows_at_once, dtype, settings.label_smoothing),
        alpha=settings.alpha,
        stopping=stopping,
        validation=_validation(network, held_out, scaling, settings, scoring),
        max_iter=settings.max_iter,
        watcher=watcher,
    )
    largest_layer = max(fan_in * fan_out for fan_in, fan_out in pairwise(layer_sizes))
    with (
        limit_threads(rows_at_once * largest_layer, in_scipy=is_lbfgs),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        if is_lbfgs:
            message = train_in_full(training, minimize_lbfgs, settings.max_fun, settings.tol)
            measured = _measured_if_doubtful(network, examples, scaling, settings, stopping)
            return Outcome(stopping, message, None, 0, measured)
        mini_batch_training = _mini_batch_training(training, settings, rng)
        if optimizer_state is not None:
            mini_batch_training.go_on_from(optimizer_state)
        if saved is not None:
            mini_batch_training.load_state(saved)
        watcher.begin_training(mini_batch_training)
        mini_batch_training.run()
        n_rows = _SAMPLE if _blew_up(stopping, settings, layer_sizes[-1]) else _FIRST_LOOK
        # The last steps may have led to weights that no loss was measured with.
        if not np.isfinite(_scores(network, spread_evenly(examples, n_rows), scaling)).all():
            mini_batch_training.give_up()
        measured = _measured_if_doubtful(network, examples, scaling, settings, stopping)
        state = mini_batch_training.continuation
        return Outcome(stopping, "", state, training.n_rows_seen, measured)


def _measured_if_doubtful(
    network: Network,
    examples: Examples,
    scaling: Scaling | None,
    settings: Settings,
    stopping: Stopping,
) -> Measured | None:
    """Look at training rows if one may doubt that anything was learned."""
    is_short = len(stopping.history) < FEW_EPOCHS and settings.solver != "lbfgs"
    if is_short or stopping.reason in ("interrupted", "diverged"):
        return None
    blew_up = _blew_up(stopping, settings, network.architecture.layer_sizes[-1])
    few = spread_evenly(examples, _FIRST_LOOK)
    if not blew_up and not _all_the_same(network, few, scaling):
        return None
    sample = spread_evenly(examples, _SAMPLE)
    is_constant = _all_the_same(network, sample, scaling) and _differ(sample)
    if not blew_up and not is_constant:
        return None
    return Measured(*measure(network, sample, scaling, settings), is_constant)


def measure(
    network: Network, examples: Examples, scaling: Scaling | None, settings: Settings
) -> tuple[float, float]:
    """Measure a network on a sample of rows, as in prediction.

    Parameters
    ----------
    network : Network
        As trained.
    examples : Examples
        Rows to draw from.
    scaling : Scaling or None
        Of the inputs.
    settings : Settings
        Those of the fit.

    Returns
    -------
    score, loss : float
        Accuracy and log-loss.
    """
    rows = _validation(network, spread_evenly(examples, _SAMPLE), scaling, settings, None)
    assert rows is not None
    return rows.measure(network)


def _blew_up(stopping: Stopping, settings: Settings, n_outputs: int) -> bool:
    """Tell whether the loss of an epoch was far above that of a network that knows nothing."""
    alike = math.log(n_outputs) if settings.loss == "multiclass" else n_outputs * math.log(2)
    return max((epoch.loss for epoch in stopping.history), default=0) > _BLOWN_UP * alike


def _all_the_same(network: Network, examples: Examples, scaling: Scaling | None) -> bool:
    """Tell whether all rows get the same scores."""
    return bool((np.ptp(_scores(network, examples, scaling), axis=1) < _SAME).all())


def _scores(network: Network, examples: Examples, scaling: Scaling | None) -> NDArray:
    """Return the raw scores of rows, of shape (n_outputs, n_rows)."""
    at_once = min(chunk_rows(max(network.architecture.layer_sizes)), len(examples))
    rows = make_rows(examples.X, network.parameters.dtype, at_once, scaling, examples.subset)
    return network.decision_function(rows, at_once)


def _differ(examples: Examples) -> bool:
    """Tell whether not all rows are alike."""
    X = examples.X[examples.subset]
    return bool((X.max(axis=0) != X.min(axis=0)).sum())


def spread_evenly(examples: Examples, n_rows: int) -> Examples:
    """Return some of the rows that have weight, spread evenly: they may be sorted by class.

    Parameters
    ----------
    examples : Examples
        All rows.
    n_rows : int
        How many to return at most.

    Returns
    -------
    sample : Examples
        With a subset.
    """
    X, targets, weights, subset = examples
    rows = np.arange(len(targets)) if weights is None else np.flatnonzero(weights)
    rows = rows[:: math.ceil(len(rows) / n_rows)]
    weights = None if weights is None else weights[rows]
    return Examples(X, targets[rows], weights, rows if subset is None else subset[rows])


def _mini_batch_training(
    training: Training, settings: Settings, rng: np.random.Generator
) -> MiniBatchTraining:
    network, batches = training.network, training.batches
    decay = settings.ema_decay
    return MiniBatchTraining(
        training,
        _optimizer(training, settings),
        settings.schedule,
        settings.factor(batches.n_batches, batches.n_rows),
        settings.learning_rate_init,
        rng,
        settings.shuffle,
        None if decay is None else Average(network.parameters, decay),
        settings.gradient_clip_norm,
        settings.max_norm,
    )


def _optimizer(training: Training, settings: Settings) -> Optimizer:
    network, backpropagation = training.network, training.backpropagation
    given = network.trainable, backpropagation.gradient, network.weights.size
    hyperparameters = {
        name: getattr(settings, name)
        for name in ("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon")
    }
    if backpropagation.sparse_gradient is None:
        return OPTIMIZERS[settings.solver](*given, **hyperparameters)
    return SparseAdam(
        *given,
        backpropagation.sparse_gradient,
        decouples_decay=settings.solver == "adamw",
        **hyperparameters,
    )


def _is_compact(examples: Examples, scaling: Scaling | None, settings: Settings) -> bool:
    """Whether batches stay sparse and the solver can do with the rows that they touch."""
    stays_sparse = sparse.issparse(examples.X) and (scaling is None or scaling.shift is None)
    return stays_sparse and settings.solver in ("adam", "adamw")


def _validation(
    network: Network,
    held_out: Examples | None,
    scaling: Scaling | None,
    settings: Settings,
    scoring: Callable[[Network, float], float] | None,
) -> Validation | None:
    if held_out is None:
        return None
    dtype = network.parameters.dtype
    layer_sizes = network.architecture.layer_sizes
    at_once = min(chunk_rows(max(layer_sizes)), len(held_out))
    weights = held_out.weights
    return Validation(
        make_rows(held_out.X, dtype, at_once, scaling, held_out.subset),
        held_out.targets,
        # Relative weights: their scale may be beyond the computing dtype.
        None if weights is None else weights / weights.mean(),
        LOSSES[settings.loss](layer_sizes[-1], at_once, dtype),
        at_once,
        scoring,
    )
