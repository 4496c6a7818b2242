"""The state from which training can continue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingState:
    """The state that a training run starts from and leaves behind.

    A warm start, `partial_fit` and a resumed fit all continue from such a state, with the same
    bits as a training run without a break.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Parameters after the last step.
    stream : dict
        State of the random number generator.
    n_rows_seen : int
        Number of rows on which steps have been made.
    solver : str or None
        Solver that the `optimizer` state belongs to.
    optimizer : dict or None
        State of the optimizer; None before the first step and for L-BFGS.
    average : dict or None
        Averaged parameters, with the decay and the number of steps averaged over.
    epochs : dict or None
        Progress of a run that has not ended; None between runs.
    """

    parameters: NDArray
    stream: Mapping[str, Any]
    n_rows_seen: int = 0
    solver: str | None = None
    optimizer: dict[str, Any] | None = None
    average: dict[str, Any] | None = None
    epochs: dict[str, Any] | None = None

    def generator(self) -> np.random.Generator:
        """Return a random number generator that continues the stream."""
        rng = np.random.default_rng()
        rng.bit_generator.state = self.stream
        return rng
