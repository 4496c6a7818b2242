"""Training with mini-batches."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from skann.engine.averaging import Average
from skann.engine.optimizers import OPTIMIZERS, Optimizer
from skann.engine.run import Data, Observer, Run
from skann.engine.schedules import find_schedule, warmed_up
from skann.engine.settings import Settings
from skann.engine.sparse_adam import SparseAdam
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch
from skann.engine.subnormals import flush_subnormals

# scikit-learn's "adaptive" schedule: divisor of the rate, and the rate at which training ends.
_PLATEAU_DIVISOR = 5.0
_PLATEAU_LAST_RATE = 1e-6


class MiniBatchRun(Run):
    """A training run with mini-batches, which can be saved and resumed between epochs.

    The loss of an epoch is the mean loss of its batches, each measured before its step, plus the
    penalty on the weights at the end of the epoch.

    The parameters are those of `Run`, except for `batch_size`.
    """

    def __init__(
        self, settings: Settings, data: Data, start: TrainingState, observer: Observer
    ) -> None:
        super().__init__(settings, data, start, observer, settings.batch_size)
        parameters = self.network.parameters
        self.optimizer = self._make_optimizer()
        self.average = None
        if settings.ema_decay is not None:
            self.average = Average(parameters, settings.ema_decay)
        self._schedule = find_schedule(settings.learning_rate)
        self._factor = self._make_factor()
        self._learning_rate = settings.learning_rate_init
        self._n_epochs = 0
        self._averages_in_network = False
        # A finite loss proves that the weights at the start of its epoch are usable. It proves
        # nothing about those at the end.
        self._begun, self._proven = parameters.copy(), parameters.copy()
        self._continue_from(start)

    def _make_optimizer(self) -> Optimizer:
        settings, network = self.settings, self.network
        given = network.trainable, self.backpropagation.gradient, network.weights.size
        names = ("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon")
        hyperparameters = {name: getattr(settings, name) for name in names}
        sparse_gradient = self.backpropagation.sparse_gradient
        if sparse_gradient is None:
            return OPTIMIZERS[settings.solver](*given, **hyperparameters)
        return SparseAdam(
            *given,
            sparse_gradient,
            decouples_decay=settings.solver == "adamw",
            **hyperparameters,
        )

    def _make_factor(self) -> Any:
        """Return the factor of the learning rate as a function of the step."""
        n_steps = self.settings.max_iter * self.batches.n_batches
        factor = self._schedule.factory(
            n_steps,
            steps_per_epoch=self.batches.n_batches,
            rows_per_epoch=self.batches.n_rows,
            power_t=self.settings.power_t,
        )
        return warmed_up(factor, round(self.settings.warmup * n_steps))

    def _continue_from(self, start: TrainingState) -> None:
        if start.optimizer is not None and start.solver == self.settings.solver:
            self.optimizer.load_state(start.optimizer)
        if self.average is not None and start.average is not None:
            self.average.load_state(start.average)
        if start.epochs is not None:
            self._n_epochs = start.epochs["n_epochs"]
            self._learning_rate = start.epochs["learning_rate"]
            self._proven[...] = start.epochs["proven"]
            self.stopping.load_state(start.epochs["stopping"])

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done or training has stopped early."""
        return self._n_epochs >= self.settings.max_iter or self.stopping.reason is not None

    def train(self) -> str:
        """Train to the end; `stopping.reason` tells why training ended.

        If the loss is no longer finite, the weights are reset to those at the start of the last
        completed epoch.
        """
        try:
            while not self.is_over:
                self.observer.begin_epoch(self)
                epoch = self._run_epoch()
                if epoch is None:
                    self.observer.abandon_epoch(self)
                else:
                    self._finish(epoch)
        except KeyboardInterrupt:
            self.stopping.reason = "interrupted"
            self.observer.abandon_epoch(self)
        self.optimizer.settle()
        if self.stopping.reason is None:
            self.stopping.reason = "schedule" if self._schedule.has_end else "max_iter"
        if self.stopping.reason == "diverged":
            self.give_up()
        return ""

    def give_up(self) -> None:
        """End as diverged, with the weights at the start of the last completed epoch.

        A run that Ctrl-C has stopped still counts as interrupted.
        """
        if self.stopping.reason != "interrupted":
            self.stopping.reason = "diverged"
        self.network.parameters[...] = self._proven
        self.average = None
        # With the moments of the diverged run, the next run would diverge at once.
        self.optimizer = self._make_optimizer()

    def end(self) -> TrainingState:
        """Put the weights to keep into the network; return the state for a later run."""
        state = replace(self.state(), epochs=None)
        if self.average is not None and self.average.n_updates:
            # The next run continues from the last step, not from the average.
            state = replace(state, parameters=state.parameters.copy())
            self.network.parameters[...] = self.average.values
        self.restore_best()
        return state

    @flush_subnormals()
    def _run_epoch(self) -> Epoch | None:
        """Train on every batch once; return None if training must stop, see `stopping`."""
        optimizer, backpropagation = self.optimizer, self.backpropagation
        decay = self._decay()
        step = self._n_epochs * self.batches.n_batches
        last_step = step + self.batches.n_batches - 1
        clip = self.settings.gradient_clip_norm
        total = norm = rate = 0.0
        begin = time.perf_counter()
        for inputs, targets, weights in self._batches_of_epoch():
            n_rows = inputs.shape[0]
            optimizer.prepare(inputs)
            value = backpropagation.run(inputs, targets, weights, n_rows, self.loss)
            if not self._may_step(value):
                return None
            if clip is not None or step == last_step:
                norm = backpropagation.clip(clip)
            rate = self._learning_rate * self._factor(step)
            optimizer.step(rate, decay)
            self._constrain_and_average()
            self.n_rows_seen += n_rows
            total += value * n_rows
            step += 1
        optimizer.settle()
        loss = total / self.batches.n_rows
        if not optimizer.decouples_decay:
            loss += self.penalty(self.batches.batch_size)
        if not math.isfinite(loss) or not np.isfinite(self.network.parameters).all():
            self.stopping.reason = "diverged"
            return None
        seconds = time.perf_counter() - begin
        return Epoch(loss, learning_rate=rate, gradient_norm=norm, seconds=seconds)

    def _batches_of_epoch(self) -> Iterator[Any]:
        if self.settings.shuffle:
            return self.batches.shuffled(self.rng)
        return self.batches.in_order()

    def _decay(self) -> float:
        """Return the factor of the weights in the gradient of the penalty, or the decay rate."""
        if self.optimizer.decouples_decay:
            return self.settings.alpha
        # Divide by the nominal batch size, so that shorter batches do not decay weights more.
        return self.settings.alpha / (self.batches.batch_size * self.batches.mean_weight)

    def _may_step(self, loss: float) -> bool:
        """Tell whether to make a step after a batch with this loss; record a reason to stop."""
        if self.observer.end_step(loss):
            self.stopping.reason = "callback"
        elif not math.isfinite(loss):
            self.stopping.reason = "diverged"
        return self.stopping.reason is None

    def _constrain_and_average(self) -> None:
        """Constrain the weights and update the average after a step."""
        if self.settings.max_norm is None and self.average is None:
            return
        self.optimizer.settle()
        if self.settings.max_norm is not None:
            self.network.constrain(self.settings.max_norm)
        if self.average is not None:
            self.average.update(self.network.parameters)

    def _finish(self, epoch: Epoch) -> None:
        """Record an epoch and update the rate or the reason to stop, then notify the observer."""
        self._n_epochs += 1
        self._proven, self._begun = self._begun, self._proven
        self._begun[...] = self.network.parameters
        with self._averaged():
            plateau = self.record(epoch)
            if plateau and self._schedule.drops_on_plateau and not self._at_last_rate():
                self._learning_rate /= _PLATEAU_DIVISOR
                self.stopping.wait_again()
            elif plateau:
                self.stopping.reason = "plateau"
            self.tell()

    def _at_last_rate(self) -> bool:
        return self._learning_rate <= _PLATEAU_LAST_RATE

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged parameters into the network inside the with statement."""
        if self.average is None:
            yield
            return
        self.average.swap(self.network.parameters)
        self._averages_in_network = True
        try:
            yield
        finally:
            self.average.swap(self.network.parameters)
            self._averages_in_network = False

    def state(self) -> TrainingState:
        """Return the state after the last epoch, from which training can continue bit for bit.

        The arrays are shared with the run: copy or write them before it continues.
        """
        parameters, average = self.network.parameters, None
        if self.average is not None:
            average = self.average.state()
            if self._averages_in_network:
                average["values"], parameters = parameters, average["values"]
        return TrainingState(
            parameters=parameters,
            stream=self.rng.bit_generator.state,
            n_rows_seen=self.n_rows_seen,
            solver=self.settings.solver,
            optimizer=self.optimizer.state(),
            average=average,
            epochs={
                "n_epochs": self._n_epochs,
                "learning_rate": self._learning_rate,
                "proven": self._proven,
                "stopping": self.stopping.state(),
            },
        )
