"""Training: batches, forward, loss, backward, step, history, and whether to stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from skann.engine.batches import Batches, RowSource
    from skann.engine.losses import Loss
    from skann.engine.network import Backpropagation, Network
    from skann.engine.optimizers import Optimizer
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
        With scratch for all the rows.
    chunk_rows : int
        Rows computed at once.
    """

    rows: "RowSource"
    targets: NDArray
    weights: NDArray | None
    loss: "Loss"
    chunk_rows: int

    def measure(self, network: "Network") -> tuple[float, float]:
        """Return accuracy (of whole rows, for several outputs) and loss."""
        logits = network.decision_function(self.rows, self.chunk_rows)
        if self.targets.ndim == 2:
            right = (self.targets == (logits > 0).T).all(axis=1)
        elif len(logits) == 1:
            right = (logits[0] > 0) == self.targets
        else:
            right = logits.argmax(axis=0) == self.targets
        score = float(np.average(right, weights=self.weights))
        total = len(self.rows) if self.weights is None else float(self.weights.sum())
        return score, self.loss.value_and_gradient(logits, self.targets, self.weights, total)


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

    def finish_epoch(self, loss: float) -> bool:
        """Record an epoch and tell who watches; return whether progress has ended."""
        validation = None if self.validation is None else self.validation.measure(self.network)
        plateau = self.stopping.record(loss, validation, self.network.parameters)
        if self.watcher.end_epoch(self.network, self.stopping):
            self.stopping.reason = "callback"
        return plateau

    def penalty(self, n_rows: int) -> float:
        """Return ``alpha / 2 * ||weights||^2``, over the rows times their mean weight."""
        weights = self.network.parameters[: self.network.n_weights]
        return 0.5 * self.alpha * float(weights @ weights) / (n_rows * self.batches.mean_weight)

    def restore_best(self) -> None:
        """Put the weights of the best epoch back, where they were kept."""
        if self.stopping.best_parameters is not None:
            self.network.parameters[...] = self.stopping.best_parameters


def train_in_batches(
    training: Training,
    optimizer: "Optimizer",
    schedule: "Schedule",
    learning_rate_init: float,
    power_t: float,
    order: np.random.Generator | None,
) -> None:
    """Train by steps on mini-batches.

    The loss of an epoch is the mean of its batches' losses, each measured before its step,
    plus the penalty at the weights that the epoch ends with.

    Parameters
    ----------
    training : Training
        The network and all that its training needs; `stopping.reason` says how it ended.
    optimizer : Optimizer
        Works on the network's parameters.
    schedule : Schedule
        Factor of the learning rate, step by step, over ``training.max_iter`` epochs.
    learning_rate_init : float
        What that factor multiplies.
    power_t : float
        Exponent of inverse scaling.
    order : numpy.random.Generator or None
        Shuffles the rows of every epoch; None keeps their order.

    Raises
    ------
    DivergenceError
        When the loss is not finite in the first two epochs. Later, training ends with the
        weights that the last finished epoch began with.
    """
    batches, stopping, parameters = training.batches, training.stopping, training.network.parameters
    steps_per_epoch = batches.n_batches
    initial_rate = learning_rate_init

    def rate(step: int) -> float:
        return initial_rate * schedule.factor(
            step,
            n_steps=training.max_iter * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
            rows_per_epoch=batches.n_rows,
            power_t=power_t,
        )

    # A finite loss proves the weights that its epoch began with, not those it ended with.
    begun = parameters.copy()
    proven = parameters.copy()
    try:
        for epoch in range(training.max_iter):
            training.watcher.begin_epoch()
            loss = _run_epoch(training, optimizer, rate, epoch * steps_per_epoch, order)
            proven, begun = begun, proven
            begun[...] = parameters
            plateau = training.finish_epoch(loss)
            if plateau and schedule.drops_on_plateau and initial_rate > _PLATEAU_LAST_RATE:
                initial_rate /= _PLATEAU_DIVISOR
                stopping.wait_again()
            elif plateau:
                stopping.reason = stopping.reason or "plateau"
            if stopping.reason:
                break
        else:
            stopping.reason = "schedule" if schedule.has_end else "max_iter"
    except KeyboardInterrupt:
        stopping.reason = "interrupted"
        training.watcher.abandon_epoch()
    except DivergenceError:
        training.watcher.abandon_epoch()
        parameters[...] = proven
        if len(stopping.loss_curve) < 2:
            raise
        stopping.reason = "diverged"
    training.restore_best()


def _run_epoch(
    training: Training,
    optimizer: "Optimizer",
    rate: Callable[[int], float],
    first_step: int,
    order: np.random.Generator | None,
) -> float:
    """Step through every batch; return the mean loss with the penalty."""
    batches, loss = training.batches, training.loss
    backpropagate = training.backpropagation.run
    # By the nominal batch: a short last one would pull on the weights many times as hard.
    decay = training.alpha / (batches.batch_size * batches.mean_weight)
    total = 0.0
    epoch = batches.in_order() if order is None else batches.shuffled(order)
    for step, (inputs, targets, weights) in enumerate(epoch, start=first_step):
        n_rows = inputs.shape[0]
        value = backpropagate(inputs, targets, weights, n_rows, loss)
        if not math.isfinite(value):
            raise DivergenceError
        optimizer.step(rate(step), decay)
        training.n_rows_seen += n_rows
        total += value * n_rows
    penalty = training.penalty(batches.batch_size)
    if not math.isfinite(penalty):
        raise DivergenceError
    return total / batches.n_rows + penalty


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
    """
    stopping, parameters = training.stopping, training.network.parameters
    objective = _Objective(training)
    accepted = parameters.copy()
    message = ""

    def finish_iteration(intermediate_result) -> None:
        parameters[...] = accepted[...] = intermediate_result.x
        objective.in_iteration = False
        try:
            plateau = training.finish_epoch(float(intermediate_result.fun))
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
        stopping.reason = "interrupted"
    except _CallbackError as error:
        raise StopIteration(*error.args) from error
    if objective.in_iteration:
        # Begun, but interrupted, or the line search found nothing better.
        training.watcher.abandon_epoch()
    if not stopping.loss_curve:
        objective.in_iteration = True
        stopping.record(objective(accepted)[0], None, None)
    parameters[...] = accepted
    training.restore_best()
    return message


class _Objective:
    """Loss and gradient over all rows, computed chunk by chunk."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._gradient = np.empty_like(training.network.parameters)
        self.in_iteration = False

    def __call__(self, vector: NDArray) -> tuple[float, NDArray]:
        training = self._training
        if not self.in_iteration and len(training.stopping.loss_curve) < training.max_iter:
            training.watcher.begin_epoch()
            self.in_iteration = True
        network, batches = training.network, training.batches
        network.parameters[...] = vector
        n_rows = batches.n_rows
        value = training.penalty(n_rows)
        self._gradient.fill(0)
        self._gradient[: network.n_weights] = vector[: network.n_weights]
        self._gradient *= training.alpha / (n_rows * batches.mean_weight)
        for inputs, targets, weights in batches.in_order():
            value += training.backpropagation.run(inputs, targets, weights, n_rows, training.loss)
            self._gradient += training.backpropagation.gradient
        return value, self._gradient.copy()
