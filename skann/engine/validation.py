"""Score and loss of a network on validation rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from numpy.typing import NDArray

from skann.engine.batches import Examples
from skann.engine.kernels.numpy_kernels import LossFunction
from skann.engine.losses import LOSSES
from skann.engine.network import Network
from skann.engine.rows import RowSource, Scaling, chunk_rows, make_rows

Scoring = Callable[[Network, float], float]


@dataclass
class Validation:
    """Validation rows, and how to measure a network on them.

    Parameters
    ----------
    rows : RowSource
        Validation rows, scaled and cast.
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Encoded targets.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows; None for equal weights.
    loss : callable (logits, targets, weights, divisor) -> float
        Loss function with scratch arrays for the rows of a chunk.
    chunk_rows : int
        Number of rows to compute at once.
    scoring : callable (network, loss) -> float, or None
        Returns the score, given the loss on these rows; greater is better. None for accuracy.
    """

    rows: RowSource
    targets: NDArray
    weights: NDArray | None
    loss: LossFunction
    chunk_rows: int
    scoring: Scoring | None = None

    @classmethod
    def on(
        cls,
        examples: Examples,
        network: Network,
        scaling: Scaling | None,
        loss: str,
        scoring: Scoring | None = None,
    ) -> Self:
        """Return a validation on examples for a network; `loss` is a name in `LOSSES`."""
        dtype, layer_sizes = network.parameters.dtype, network.architecture.layer_sizes
        at_once = min(chunk_rows(network.architecture.widest), len(examples))
        weights = examples.weights
        return cls(
            make_rows(examples.X, dtype, at_once, scaling, examples.subset),
            examples.targets,
            # Relative weights, because the weights may exceed the range of the computing dtype.
            None if weights is None else weights / weights.mean(),
            LOSSES[loss].make(layer_sizes[-1], at_once, dtype),
            at_once,
            scoring,
        )

    def measure(self, network: Network) -> tuple[float, float]:
        """Return score and loss; for several outputs, accuracy counts rows with no error."""
        total = len(self.rows) if self.weights is None else float(self.weights.sum())
        weight_of_right = loss = 0.0
        for part, logits in network.scores_by_chunk(self.rows, self.chunk_rows):
            targets = self.targets[part]
            weights = None if self.weights is None else self.weights[part]
            right = _is_right(logits, targets)
            weight_of_right += float((right if weights is None else right * weights).sum())
            loss += self.loss(logits, targets, weights, total)
        if self.scoring is not None:
            return self.scoring(network, loss), loss
        return weight_of_right / total, loss


def _is_right(logits: NDArray, targets: NDArray) -> NDArray:
    """Tell for each row whether its prediction is right."""
    if targets.ndim == 2:
        return (targets == (logits > 0).T).all(axis=1)
    if len(logits) == 1:
        return (logits[0] > 0) == targets
    return logits.argmax(axis=0) == targets


def scores_of(network: Network, examples: Examples, scaling: Scaling | None) -> NDArray:
    """Return the raw scores of examples, of shape (n_outputs, n_rows)."""
    at_once = min(chunk_rows(network.architecture.widest), len(examples))
    rows = make_rows(examples.X, network.parameters.dtype, at_once, scaling, examples.subset)
    return network.decision_function(rows, at_once)
