"""Training on all rows at once by L-BFGS."""

import math
import time

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from skann.engine.rows import chunk_rows
from skann.engine.run import Data, Observer, Run
from skann.engine.settings import Settings
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch
from skann.engine.subnormals import flush_subnormals


class LbfgsRun(Run):
    """A training run on all rows at once, by L-BFGS [1]_, which needs exact gradients.

    The parameters are those of `Run`, except for `batch_size`.

    References
    ----------
    .. [1] Liu and Nocedal, "On the limited memory BFGS method for large scale
       optimization", Mathematical Programming 45, 1989.
    """

    def __init__(
        self, settings: Settings, data: Data, start: TrainingState, observer: Observer
    ) -> None:
        at_once = chunk_rows(settings.architecture.weight_shapes[0][0])
        super().__init__(settings, data, start, observer, at_once)
        self._accepted = self.network.parameters.copy()
        self._gradient = np.empty_like(self._accepted)
        self._begin = time.perf_counter()
        self._in_iteration = False
        self._error_of_callback: StopIteration | None = None

    def train(self) -> str:
        """Train to the end; return why the solver did not converge, or an empty string."""
        settings, stopping = self.settings, self.stopping
        message = ""
        try:
            result = scipy.optimize.minimize(
                self._objective,
                self._accepted.copy(),
                method="L-BFGS-B",
                jac=True,
                callback=self._end_iteration,
                options=_options(settings),
            )
            if not math.isfinite(result.fun):
                stopping.reason = "diverged"
            else:
                self._accepted[...] = result.x
            if not result.success and stopping.reason is None:
                message = str(result.message)
        except KeyboardInterrupt:
            stopping.reason = "interrupted"
        if self._error_of_callback is not None:
            raise self._error_of_callback
        if self._in_iteration:
            # The iteration was interrupted, or its line search found nothing better.
            self.observer.abandon_epoch(self)
        if not stopping.history and stopping.reason is None:
            self._in_iteration = True
            stopping.record(self._epoch(self._objective(self._accepted)[0]), None)
        self.network.parameters[...] = self._accepted
        return message

    def end(self) -> TrainingState:
        """Put the weights to keep into the network; return the state for a later run."""
        self.restore_best()
        return self.state()

    def state(self) -> TrainingState:
        """Return the state for a later run; SciPy does not expose the rest."""
        return TrainingState(
            parameters=self.network.parameters,
            stream=self.rng.bit_generator.state,
            n_rows_seen=self.n_rows_seen,
            solver=self.settings.solver,
        )

    def _end_iteration(self, intermediate_result: scipy.optimize.OptimizeResult) -> None:
        self.network.parameters[...] = self._accepted[...] = intermediate_result.x
        self._in_iteration = False
        try:
            plateau = self.record(self._epoch(float(intermediate_result.fun)))
            self.tell()
        except StopIteration as error:  # SciPy would treat it as a request to stop.
            self._error_of_callback = error
            raise
        if plateau and self.stopping.reason is None:
            self.stopping.reason = "plateau"
        if self.stopping.reason is not None:
            raise StopIteration

    def _epoch(self, loss: float) -> Epoch:
        """Return the record of an iteration that ended with `loss`."""
        begin, self._begin = self._begin, time.perf_counter()
        norm = float(np.linalg.norm(self._gradient))
        return Epoch(loss, gradient_norm=norm, seconds=self._begin - begin)

    @flush_subnormals()
    def _objective(self, vector: NDArray) -> tuple[float, NDArray]:
        """Return the loss and its gradient over all rows, computed chunk by chunk."""
        if not self._in_iteration and len(self.history) < self.settings.max_iter:
            self.observer.begin_epoch(self)
            self._in_iteration = True
        network, batches = self.network, self.batches
        network.parameters[...] = vector
        n_rows, n_weights = batches.n_rows, network.weights.size
        value = self.penalty(n_rows)
        self._gradient.fill(0)
        self._gradient[:n_weights] = vector[:n_weights]
        self._gradient *= self.settings.alpha / (n_rows * batches.mean_weight)
        for inputs, targets, weights in batches.in_order():
            value += self.backpropagation.run(inputs, targets, weights, n_rows, self.loss)
            # What is not trained keeps a gradient of zero.
            self._gradient[: network.trainable.size] += self.backpropagation.gradient
        return value, self._gradient.copy()


def _options(settings: Settings) -> dict[str, float]:
    """Return SciPy's options of the search."""
    tol = settings.tol
    # With rectifiers the objective has kinks, where the gradient need not vanish. So the search
    # also ends when an iteration gains less than ftol, relative to the loss.
    return {
        "maxiter": settings.max_iter,
        "maxfun": settings.max_fun,
        "gtol": tol,
        "ftol": 1e-4 * tol,
    }
