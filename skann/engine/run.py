"""What mini-batch training and L-BFGS have in common, and the observers of a run."""

from typing import NamedTuple

from scipy import sparse

from skann.engine.augmentation import Augmentation
from skann.engine.backpropagation import Backpropagation, Regularization
from skann.engine.batches import Batches, Examples
from skann.engine.losses import LOSSES
from skann.engine.memory import aligned_copy
from skann.engine.network import Network
from skann.engine.rows import Scaling
from skann.engine.schedules import find_schedule
from skann.engine.settings import Settings
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch, Stopping, Watch
from skann.engine.validation import Scoring, Validation


class Data(NamedTuple):
    """The data of a fit.

    Attributes
    ----------
    train : Examples
        Training rows.
    validation : Examples or None
        Rows to validate with after every epoch.
    scaling : Scaling or None
        Scaling of the inputs.
    scoring : callable (network, loss) -> float, or None
        Score on the validation rows, computed from the network and its loss; None for accuracy.
    """

    train: Examples
    validation: Examples | None = None
    scaling: Scaling | None = None
    scoring: Scoring | None = None


class Observer:
    """An observer that does nothing; subclasses follow a run and may ask it to stop."""

    def begin_epoch(self, run: "Run") -> None:
        """Handle the start of an epoch."""

    def end_step(self, loss: float) -> bool:
        """Handle the loss of a mini-batch before its step; return True to stop training."""
        return False

    def end_epoch(self, run: "Run") -> bool:
        """Handle the end of an epoch; return True to stop training."""
        return False

    def abandon_epoch(self, run: "Run") -> None:
        """Handle an epoch that has begun but will not be completed."""


class Run:
    """A network in training, with everything that training needs.

    Parameters
    ----------
    settings : Settings
        Settings of the fit.
    data : Data
        Rows to train on and to validate with.
    start : TrainingState
        State to continue from.
    observer : Observer
        Observer that follows the run.
    batch_size : int
        Maximum number of rows for which the gradient is computed at once.

    Attributes
    ----------
    network : Network
        The network, which starts from a copy of the parameters of `start`.
    stopping : Stopping
        The history, and the reason why training ended.
    """

    def __init__(
        self,
        settings: Settings,
        data: Data,
        start: TrainingState,
        observer: Observer,
        batch_size: int,
    ) -> None:
        self.settings, self.observer = settings, observer
        parameters = aligned_copy(start.parameters, settings.dtype)
        self.network = network = Network(settings.architecture, parameters)
        self.rng = start.generator()
        self.n_rows_seen = start.n_rows_seen
        dtype, rows_at_once = parameters.dtype, min(batch_size, len(data.train))
        regularization = Regularization(
            settings.dropout, settings.input_dropout, settings.input_noise
        )
        is_compact = _is_compact(data, settings)
        self.backpropagation = Backpropagation(
            network, rows_at_once, is_compact, regularization, self.rng
        )
        augmentation, scaling = None, data.scaling
        if settings.augmentation is not None:
            shape = rows_at_once, network.architecture.layer_sizes[0]
            augmentation = Augmentation(settings.augmentation, scaling, shape, dtype, self.rng)
            scaling = None
        self.batches = Batches(data.train, batch_size, dtype, scaling, augmentation)
        n_outputs = settings.architecture.layer_sizes[-1]
        make = LOSSES[settings.loss].make
        self.loss = make(n_outputs, rows_at_once, dtype, settings.label_smoothing)
        self.stopping = Stopping(
            _watched(settings), tol=settings.tol, n_iter_no_change=settings.n_iter_no_change
        )
        self._validation = None
        if data.validation is not None:
            self._validation = Validation(data.validation, network, data.scaling, data.scoring)

    @property
    def history(self) -> list[Epoch]:
        """One record for each completed epoch."""
        return self.stopping.history

    def state(self) -> TrainingState:
        """Return the state from which training can continue with the same bits."""
        raise NotImplementedError

    def record(self, epoch: Epoch) -> bool:
        """Validate and record an epoch; return whether progress has stopped."""
        if self._validation is not None:
            score, loss = self._validation.measure(self.network)
            epoch = epoch._replace(validation_score=score, validation_loss=loss)
        return self.stopping.record(epoch, self.network.parameters)

    def tell(self) -> None:
        """Notify the observer that an epoch has been recorded."""
        if self.observer.end_epoch(self):
            self.stopping.reason = "callback"

    def penalty(self, n_rows: int) -> float:
        """Return ``alpha / 2 * ||weights||^2``, divided by `n_rows` times the mean row weight.

        For several members it is the mean, as for their losses.
        """
        weights = self.network.weights
        squares = float(weights @ weights) / len(self.network.members)
        return 0.5 * self.settings.alpha * squares / (n_rows * self.batches.mean_weight)

    def restore_best(self) -> None:
        """Restore the weights of the best epoch, if they were kept."""
        if self.stopping.best_parameters is not None:
            self.network.parameters[...] = self.stopping.best_parameters


def _watched(settings: Settings) -> Watch | None:
    """Return the quantity that must improve for training to continue."""
    if settings.early_stopping:
        return "validation_score"
    # L-BFGS has its own criterion, and a schedule with an end runs to that end.
    if settings.solver == "lbfgs" or find_schedule(settings.learning_rate).has_end:
        return None
    return "loss"


def _is_compact(data: Data, settings: Settings) -> bool:
    """Tell whether batches stay sparse and the solver can update single rows of the weights."""
    is_shifted = data.scaling is not None and data.scaling.shift is not None
    stays_sparse = sparse.issparse(data.train.X) and not is_shifted
    is_single = settings.architecture.n_members == 1
    return stays_sparse and is_single and settings.solver in ("adam", "adamw")
