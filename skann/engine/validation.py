"""Score and loss of a network on validation rows."""

from collections.abc import Callable

from numpy.typing import NDArray

from skann.engine.batches import Examples
from skann.engine.losses import LOSSES
from skann.engine.network import Network
from skann.engine.rows import Scaling, chunk_rows, make_rows

Scoring = Callable[[Network, float], float]


class Validation:
    """Validation rows, and how to measure a network on them.

    Parameters
    ----------
    examples : Examples
        The rows, with their targets and weights.
    network : Network
        Network of the architecture and dtype to measure.
    scaling : Scaling or None
        Scaling of the rows.
    scoring : callable (network, loss) -> float, or None
        Returns the score, given the loss on these rows; greater is better. None for accuracy.
    """

    def __init__(
        self,
        examples: Examples,
        network: Network,
        scaling: Scaling | None,
        scoring: Scoring | None = None,
    ) -> None:
        dtype, architecture = network.parameters.dtype, network.architecture
        at_once = min(chunk_rows(architecture.widest), len(examples))
        self.rows = make_rows(examples.X, dtype, at_once, scaling, examples.subset)
        self.targets = examples.targets
        # Relative weights, because the weights may exceed the range of the computing dtype.
        weights = examples.weights
        self.weights = None if weights is None else weights / weights.mean()
        self.loss = LOSSES[architecture.loss].make(architecture.layer_sizes[-1], at_once, dtype)
        self.chunk_rows = at_once
        self.scoring = scoring

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
