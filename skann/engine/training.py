"""Training: batches, forward, loss, backward, step, history, and whether to stop."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skann.engine.stopping import Epoch
from skann.engine.subnormals import flush_subnormals

if TYPE_CHECKING:
    from skann.engine.averaging import Average
    from skann.engine.backpropagation import Backpropagation
    from skann.engine.batches import Batches
    from skann.engine.losses import Loss
    from skann.engine.network import Network
    from skann.engine.optimizers import Optimizer
    from skann.engine.rows import RowSource
    from skann.engine.schedules import Schedule
    from skann.engine.stopping import Stopping

# scikit-learn's "adaptive" schedule: what the rate is divided by, and where it ends.
_PLATEAU_DIVISOR = 5.0
_PLATEAU_LAST_RATE = 1e-6


class DivergenceError(Exception):
    """The loss is no longer a finite number."""


class _CallbackError(Exception):
    """Carries an exception of a callback past a solver that would catch it."""


class EpochWatcher(Protocol):
    """Whoever is told of the epochs: progress displays, user callbacks."""

    def begin_training(self, training: "MiniBatchTraining") -> None:
        """Note the training whose state can be saved after every epoch."""

    def begin_epoch(self) -> None:
        """Note that an epoch begins."""

    def end_epoch(self, network: "Network", stopping: "Stopping") -> bool:
        """Note that an epoch has ended; return True to end training."""

    def abandon_epoch(self) -> None:
        """Note that an epoch that may have begun will not be finished."""


@dataclass
class Validation:
    """Rows held out to measure the network on after every epoch.

    Parameters
    ----------
    rows : RowSource
        The rows.
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_rows,) or None
        Sample weights.
    loss : Loss
        With scratch for the rows of a chunk.
    chunk_rows : int
        Rows computed at once.
    scoring : callable (network, loss) -> float, or None
        What decides, greater being better, given the loss on these rows; None for accuracy.
    """

    rows: "RowSource"
    targets: NDArray
    weights: NDArray | None
    loss: "Loss"
    chunk_rows: int
    scoring: Callable[["Network", float], float] | None = None

    def measure(self, network: "Network") -> tuple[float, float]:
        """Return score and loss; the accuracy for several outputs is that of whole rows."""
        total = len(self.rows) if self.weights is None else float(self.weights.sum())
        weight_of_right = loss = 0.0
        for part, logits in network.scores_by_chunk(self.rows, self.chunk_rows):
            targets = self.targets[part]
            weights = None if self.weights is None else self.weights[part]
            right = _is_right(logits, targets)
            weight_of_right += float((right if weights is None else right * weights).sum())
            loss += self.loss.value_and_gradient(logits, targets, weights, total)
        if self.scoring is not None:
            return self.scoring(network, loss), loss
        return weight_of_right / total, loss


def _is_right(logits: NDArray, targets: NDArray) -> NDArray:
    """Return for each row whether its prediction is right."""
    if targets.ndim == 2:
        return (targets == (logits > 0).T).all(axis=1)
    if len(logits) == 1:
        return (logits[0] > 0) == targets
    return logits.argmax(axis=0) == targets


@dataclass
class Training:
    """What both ways of training need.

    Parameters
    ----------
    network : Network
        Trained in place.
    backpropagation : Backpropagation
        Of that network.
    batches : Batches
        The training rows.
    loss : Loss
        The loss.
    alpha : float
        Strength of the penalty on the weights.
    stopping : Stopping
        Records the epochs.
    validation : Validation or None
        Measured after every epoch.
    max_iter : int
        Most epochs, or iterations of L-BFGS.
    watcher : EpochWatcher
        Told of every epoch.
    n_rows_seen : int
        Rows that steps have been made on.
    """

    network: "Network"
    backpropagation: "Backpropagation"
    batches: "Batches"
    loss: "Loss"
    alpha: float
    stopping: "Stopping"
    validation: "Validation | None"
    max_iter: int
    watcher: "EpochWatcher"
    n_rows_seen: int = 0

    def record(self, epoch: Epoch) -> bool:
        """Validate and record an epoch; return whether progress has ended."""
        if self.validation is not None:
            score, loss = self.validation.measure(self.network)
            epoch = epoch._replace(validation_score=score, validation_loss=loss)
        return self.stopping.record(epoch, self.network.parameters)

    def tell(self) -> None:
        """Tell who watches that an epoch has been recorded."""
        if self.watcher.end_epoch(self.network, self.stopping):
            self.stopping.reason = "callback"

    def penalty(self, n_rows: int) -> float:
        """Return ``alpha / 2 * ||weights||^2``, over the rows times their mean weight."""
        weights = self.network.weights
        return 0.5 * self.alpha * float(weights @ weights) / (n_rows * self.batches.mean_weight)

    def restore_best(self) -> None:
        """Put the weights of the best epoch back, where they were kept."""
        if self.stopping.best_parameters is not None:
            self.network.parameters[...] = self.stopping.best_parameters


@dataclass
class MiniBatchTraining:
    """Training by steps on mini-batches, which can be saved and resumed between epochs.

    The loss of an epoch is the mean of its batches' losses, each measured before its step,
    plus the penalty at the weights that the epoch ends with.

    Parameters
    ----------
    training : Training
        The network and all that its training needs; `stopping.reason` says how it ended.
    optimizer : Optimizer
        Works on the network's parameters.
    schedule : Schedule
        How to treat the end of training and of progress.
    factor : callable (step) -> float
        Factor of the learning rate, step by step.
    learning_rate_init : float
        What that factor multiplies.
    rng : numpy.random.Generator
        Source of all randomness of training.
    shuffle : bool
        Whether every epoch has its own order of the rows.
    average : Average or None
        Of the parameters; it is what is validated, shown to callbacks and kept.
    gradient_clip_norm : float or None
        Longest gradient, over all parameters.
    max_norm : float or None
        Longest vector of weights into a hidden unit.

    Attributes
    ----------
    continuation : dict
        After `run`, what a later training of the same network can go on from.
    """

    training: Training
    optimizer: "Optimizer"
    schedule: "Schedule"
    factor: Callable[[int], float]
    learning_rate_init: float
    rng: np.random.Generator
    shuffle: bool
    average: "Average | None" = None
    gradient_clip_norm: float | None = None
    max_norm: float | None = None

    def __post_init__(self) -> None:
        self._n_epochs = 0
        self._averages_in_network = False
        self.continuation: dict[str, Any] = {}
        # A finite loss proves the weights that its epoch began with, not those it ended with.
        self._begun = self.training.network.parameters.copy()
        self._proven = self._begun.copy()

    @property
    def is_over(self) -> bool:
        """Whether there are no more epochs, or no more progress."""
        return self._n_epochs >= self.training.max_iter or self.training.stopping.reason is not None

    def run(self) -> None:
        """Train to the end.

        Raises
        ------
        DivergenceError
            When the loss is not finite in the first two epochs. Later, training ends with the
            weights that the last finished epoch began with.
        KeyboardInterrupt
            When Ctrl-C comes before an epoch has ended. Later, it ends training.
        """
        training, stopping = self.training, self.training.stopping
        parameters = training.network.parameters
        try:
            while not self.is_over:
                training.watcher.begin_epoch()
                epoch = self._run_epoch()
                self._n_epochs += 1
                self._proven, self._begun = self._begun, self._proven
                self._begun[...] = parameters
                with self._averaged():
                    self._finish(epoch)
        except KeyboardInterrupt:
            training.watcher.abandon_epoch()
            if not stopping.history:
                raise
            stopping.reason = "interrupted"
        except DivergenceError:
            training.watcher.abandon_epoch()
            self.give_up()
        self.optimizer.settle()
        if stopping.reason is None:
            stopping.reason = "schedule" if self.schedule.has_end else "max_iter"
        self.continuation = self.optimizer.state()
        if self.average is not None and self.average.n_updates and stopping.reason != "diverged":
            self.continuation["average"] = self.average.state(parameters)
            parameters[...] = self.average.values
        training.restore_best()

    def give_up(self) -> None:
        """End as diverged, with the weights that the last finished epoch began with.

        Raises
        ------
        DivergenceError
            If those are the weights that training began with.
        KeyboardInterrupt
            If they are, and Ctrl-C has ended training.
        """
        self.optimizer.settle()  # What is pending is for the weights that are given up.
        self.continuation.pop("average", None)
        self.training.network.parameters[...] = self._proven
        stopping = self.training.stopping
        is_interrupted = stopping.reason == "interrupted"
        if len(stopping.history) < 2:
            raise KeyboardInterrupt if is_interrupted else DivergenceError
        if not is_interrupted:
            stopping.reason = "diverged"

    def go_on_from(self, continuation: dict[str, Any]) -> None:
        """Go on from the `continuation` of an earlier training, before `run`."""
        self.optimizer.load_state(continuation)
        if self.average is not None and "average" in continuation:
            self.average.load_state(continuation["average"], self.training.network.parameters)
            self._begun[...] = self._proven[...] = self.training.network.parameters

    def _finish(self, epoch: Epoch) -> None:
        """Record an epoch and draw the consequences before anybody is told."""
        stopping = self.training.stopping
        plateau = self.training.record(epoch)
        if plateau and self.schedule.drops_on_plateau and not self._at_last_rate():
            self.learning_rate_init /= _PLATEAU_DIVISOR
            stopping.wait_again()
        elif plateau:
            stopping.reason = "plateau"
        self.training.tell()

    def _at_last_rate(self) -> bool:
        return self.learning_rate_init <= _PLATEAU_LAST_RATE

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged parameters into the network for a while."""
        if self.average is None:
            yield
            return
        self.average.swap(self.training.network.parameters)
        self._averages_in_network = True
        try:
            yield
        finally:
            self.average.swap(self.training.network.parameters)
            self._averages_in_network = False

    @flush_subnormals()
    def _run_epoch(self) -> Epoch:
        """Step through every batch."""
        training, optimizer = self.training, self.optimizer
        batches, backpropagation = training.batches, training.backpropagation
        # By the nominal batch: a short last one would pull on the weights many times as hard.
        decay = training.alpha
        if not optimizer.decouples_decay:
            decay /= batches.batch_size * batches.mean_weight
        step = self._n_epochs * batches.n_batches
        last_step = step + batches.n_batches - 1
        total = norm = rate = 0.0
        start = time.perf_counter()
        for inputs, targets, weights in (
            batches.shuffled(self.rng) if self.shuffle else batches.in_order()
        ):
            n_rows = inputs.shape[0]
            optimizer.prepare(inputs)
            value = backpropagation.run(inputs, targets, weights, n_rows, training.loss)
            if not math.isfinite(value):
                raise DivergenceError
            if self.gradient_clip_norm is not None or step == last_step:
                norm = backpropagation.clip(self.gradient_clip_norm)
            rate = self.learning_rate_init * self.factor(step)
            optimizer.step(rate, decay)
            self._constrain_and_average()
            training.n_rows_seen += n_rows
            total += value * n_rows
            step += 1
        optimizer.settle()
        loss = total / batches.n_rows
        if not optimizer.decouples_decay:
            loss += training.penalty(batches.batch_size)
        if not math.isfinite(loss) or not np.isfinite(training.network.parameters).all():
            raise DivergenceError
        seconds = time.perf_counter() - start
        return Epoch(loss, learning_rate=rate, gradient_norm=norm, seconds=seconds)

    def _constrain_and_average(self) -> None:
        """Do what is done to the parameters after every step."""
        if self.max_norm is None and self.average is None:
            return
        network = self.training.network
        self.optimizer.settle()
        if self.max_norm is not None:
            network.constrain(self.max_norm)
        if self.average is not None:
            self.average.update(network.parameters)

    def state(self) -> dict[str, Any]:
        """Return what must be kept to go on after the last epoch with the same bits.

        Returns
        -------
        dict
            Of arrays, numbers, strings and dicts and lists of them. Arrays are those that
            training works on: copy or write them before it goes on.
        """
        parameters = self.training.network.parameters
        average: dict[str, Any] | None = None
        if self.average is not None:
            averaged = self.average.values
            if self._averages_in_network:
                averaged, parameters = parameters, averaged
            average = {"values": averaged, "n_updates": self.average.n_updates}
        return {
            "n_epochs": self._n_epochs,
            "n_rows_seen": self.training.n_rows_seen,
            "learning_rate_init": self.learning_rate_init,
            "parameters": parameters,
            "proven": self._proven,
            "average": average,
            "optimizer": self.optimizer.state(),
            "stopping": self.training.stopping.state(),
            "rng": self.rng.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, before `run`."""
        self._n_epochs = state["n_epochs"]
        self.training.n_rows_seen = state["n_rows_seen"]
        self.learning_rate_init = state["learning_rate_init"]
        self.training.network.parameters[...] = state["parameters"]
        self._begun[...] = state["parameters"]
        self._proven[...] = state["proven"]
        if self.average is not None:
            self.average.values[...] = state["average"]["values"]
            self.average.n_updates = state["average"]["n_updates"]
        self.optimizer.load_state(state["optimizer"])
        self.training.stopping.load_state(state["stopping"])
        self.rng.bit_generator.state = state["rng"]


def train_in_full(training: Training, minimize: Callable, max_fun: int, tol: float) -> str:
    """Train on all rows at once with a solver that needs exact gradients.

    Parameters
    ----------
    training : Training
        The network and all that its training needs.
    minimize : callable
        As `skann.engine.optimizers.minimize_lbfgs`.
    max_fun : int
        Most evaluations of the objective.
    tol : float
        Tolerance of the solver.

    Returns
    -------
    str
        Why the solver did not converge; empty if it did.

    Raises
    ------
    DivergenceError
        When the solver ends without a finite loss.
    KeyboardInterrupt
        When Ctrl-C comes before an iteration has ended. Later, it ends training.
    """
    stopping, parameters = training.stopping, training.network.parameters
    objective = _Objective(training)
    accepted = parameters.copy()
    message = ""

    def finish_iteration(intermediate_result) -> None:
        parameters[...] = accepted[...] = intermediate_result.x
        objective.in_iteration = False
        try:
            plateau = training.record(objective.epoch(float(intermediate_result.fun)))
            training.tell()
        except StopIteration as error:  # SciPy would take it for the end of the search.
            raise _CallbackError(*error.args) from error
        if plateau:
            stopping.reason = stopping.reason or "plateau"
        if stopping.reason:
            raise StopIteration

    try:
        result = minimize(
            objective,
            accepted.copy(),
            finish_iteration,
            max_iter=training.max_iter,
            max_fun=max_fun,
            tol=tol,
        )
        if not math.isfinite(result.fun):
            raise DivergenceError
        accepted[...] = result.x
        if not result.success and stopping.reason is None:
            message = str(result.message)
    except KeyboardInterrupt:
        training.watcher.abandon_epoch()
        if not stopping.history:
            raise
        stopping.reason = "interrupted"
    except _CallbackError as error:
        raise StopIteration(*error.args) from error
    if objective.in_iteration:
        # Begun, but the line search found nothing better.
        training.watcher.abandon_epoch()
    if not stopping.history:
        objective.in_iteration = True
        stopping.record(objective.epoch(objective(accepted)[0]), None)
    parameters[...] = accepted
    training.restore_best()
    return message


class _Objective:
    """Loss and gradient over all rows, computed chunk by chunk."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._gradient = np.empty_like(training.network.parameters)
        self._start = time.perf_counter()
        self.in_iteration = False

    def epoch(self, loss: float) -> Epoch:
        """Return the record of an iteration that has ended with `loss`."""
        start, self._start = self._start, time.perf_counter()
        norm = float(np.linalg.norm(self._gradient))
        return Epoch(loss, gradient_norm=norm, seconds=self._start - start)

    @flush_subnormals()
    def __call__(self, vector: NDArray) -> tuple[float, NDArray]:
        training = self._training
        if not self.in_iteration and len(training.stopping.history) < training.max_iter:
            training.watcher.begin_epoch()
            self.in_iteration = True
        network, batches = training.network, training.batches
        network.parameters[...] = vector
        n_rows = batches.n_rows
        value = training.penalty(n_rows)
        self._gradient.fill(0)
        n_weights = network.weights.size
        self._gradient[:n_weights] = vector[:n_weights]
        self._gradient *= training.alpha / (n_rows * batches.mean_weight)
        for inputs, targets, weights in batches.in_order():
            value += training.backpropagation.run(inputs, targets, weights, n_rows, training.loss)
            self._gradient += training.backpropagation.gradient
        return value, self._gradient.copy()
