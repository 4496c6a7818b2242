"""What both ways of training work with, and who follows them."""

from typing import NamedTuple

from scipy import sparse

from skann.engine.augmentation import Augmentation
from skann.engine.backpropagation import Backpropagation, Regularization
from skann.engine.batches import Batches, Examples
from skann.engine.losses import LOSSES
from skann.engine.network import Network
from skann.engine.rows import Scaling
from skann.engine.schedules import find_schedule
from skann.engine.settings import Settings
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch, Stopping, Watch
from skann.engine.validation import Scoring, Validation


class Data(NamedTuple):
    """What a network is trained and measured on.

    Attributes
    ----------
    train : Examples
        Training rows.
    validation : Examples or None
        Rows to measure the network on after every epoch.
    scaling : Scaling or None
        Of the inputs.
    scoring : callable (network, loss) -> float, or None
        What decides on the validation rows, given their loss; None for accuracy.
    """

    train: Examples
    validation: Examples | None = None
    scaling: Scaling | None = None
    scoring: Scoring | None = None


class Observer:
    """Follows a run; this one does nothing. Any may ask the run to stop."""

    def begin_epoch(self, run: "Run") -> None:
        """Note that an epoch begins."""

    def end_step(self, loss: float) -> bool:
        """Note the loss of a batch before its step; return True to end training."""
        return False

    def end_epoch(self, run: "Run") -> bool:
        """Note that an epoch has ended; return True to end training."""
        return False

    def abandon_epoch(self, run: "Run") -> None:
        """Note that an epoch that has begun will not be finished."""


class Run:
    """A network in training, with all that takes part in it.

    Parameters
    ----------
    settings : Settings
        What to do.
    data : Data
        What to train and measure on.
    start : TrainingState
        What to go on from.
    observer : Observer
        Who follows the run.
    network : Network
        With the parameters of `start`; trained in place.
    batch_size : int
        Most rows that the gradient is computed of at once.

    Attributes
    ----------
    stopping : Stopping
        The history, and why training ended.
    """

    def __init__(
        self,
        settings: Settings,
        data: Data,
        start: TrainingState,
        observer: Observer,
        network: Network,
        batch_size: int,
    ) -> None:
        self.settings, self.observer, self.network = settings, observer, network
        self.rng = start.generator()
        self.n_rows_seen = start.n_rows_seen
        dtype, rows_at_once = network.parameters.dtype, min(batch_size, len(data.train))
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
        self.loss = LOSSES[settings.loss](n_outputs, rows_at_once, dtype, settings.label_smoothing)
        self.stopping = Stopping(
            _watched(settings), tol=settings.tol, n_iter_no_change=settings.n_iter_no_change
        )
        self._validation = None
        if data.validation is not None:
            self._validation = Validation.on(
                data.validation, network, data.scaling, settings.loss, data.scoring
            )

    @property
    def history(self) -> list[Epoch]:
        """A record of each epoch that is over."""
        return self.stopping.history

    def train(self) -> str:
        """Train to the end; return why the solver did not converge, empty if it did."""
        raise NotImplementedError

    def state(self) -> TrainingState:
        """Return what a training can go on from with the same bits."""
        raise NotImplementedError

    def end(self) -> TrainingState:
        """Put the weights to keep into the network; return what a later run can go on from."""
        raise NotImplementedError

    def record(self, epoch: Epoch) -> bool:
        """Validate and record an epoch; return whether progress has ended."""
        if self._validation is not None:
            score, loss = self._validation.measure(self.network)
            epoch = epoch._replace(validation_score=score, validation_loss=loss)
        return self.stopping.record(epoch, self.network.parameters)

    def tell(self) -> None:
        """Tell the observer that an epoch has been recorded."""
        if self.observer.end_epoch(self):
            self.stopping.reason = "callback"

    def penalty(self, n_rows: int) -> float:
        """Return ``alpha / 2 * ||weights||^2``, over the rows times their mean weight.

        Of several members it is the mean, as of their losses.
        """
        weights = self.network.weights
        squares = float(weights @ weights) / len(self.network.members)
        return 0.5 * self.settings.alpha * squares / (n_rows * self.batches.mean_weight)

    def restore_best(self) -> None:
        """Put the weights of the best epoch back, where they were kept."""
        if self.stopping.best_parameters is not None:
            self.network.parameters[...] = self.stopping.best_parameters


def _watched(settings: Settings) -> Watch | None:
    """Return what must improve for training to go on."""
    if settings.early_stopping:
        return "validation_score"
    # L-BFGS has a criterion of its own; a schedule with an end is run to that end.
    if settings.solver == "lbfgs" or find_schedule(settings.learning_rate).has_end:
        return None
    return "loss"


def _is_compact(data: Data, settings: Settings) -> bool:
    """Tell whether batches stay sparse and training can do with the rows that they touch."""
    is_shifted = data.scaling is not None and data.scaling.shift is not None
    stays_sparse = sparse.issparse(data.train.X) and not is_shifted
    is_single = settings.architecture.n_members == 1
    return stays_sparse and is_single and settings.solver in ("adam", "adamw")
