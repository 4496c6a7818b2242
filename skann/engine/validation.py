"""Measuring a network on rows that it does not learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from numpy.typing import NDArray

from skann.engine.batches import Examples
from skann.engine.losses import LOSSES, Loss
from skann.engine.network import Network
from skann.engine.rows import RowSource, Scaling, chunk_rows, make_rows

Scoring = Callable[[Network, float], float]


@dataclass
class Validation:
    """Rows to measure a network on after every epoch.

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

    rows: RowSource
    targets: NDArray
    weights: NDArray | None
    loss: Loss
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
        """Return the validation of a network on examples, with a loss of `LOSSES`."""
        dtype, layer_sizes = network.parameters.dtype, network.architecture.layer_sizes
        at_once = min(chunk_rows(network.architecture.widest), len(examples))
        weights = examples.weights
        return cls(
            make_rows(examples.X, dtype, at_once, scaling, examples.subset),
            examples.targets,
            # Relative weights: their scale may be beyond the computing dtype.
            None if weights is None else weights / weights.mean(),
            LOSSES[loss](layer_sizes[-1], at_once, dtype),
            at_once,
            scoring,
        )

    def measure(self, network: Network) -> tuple[float, float]:
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


def scores_of(network: Network, examples: Examples, scaling: Scaling | None) -> NDArray:
    """Return the raw scores of examples, of shape (n_outputs, n_rows)."""
    at_once = min(chunk_rows(network.architecture.widest), len(examples))
    rows = make_rows(examples.X, network.parameters.dtype, at_once, scaling, examples.subset)
    return network.decision_function(rows, at_once)
