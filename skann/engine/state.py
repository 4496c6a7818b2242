"""What a training can go on from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingState:
    """What a training starts from and what it leaves to go on from.

    A warm start, `partial_fit` and a resumed fit all go on from one, with the same bits as if
    there had been no break.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,)
        Parameters after the last step.
    stream : dict
        State of the random bit generator.
    n_rows_seen : int
        Rows that steps have been made on.
    solver : str or None
        Whose `optimizer` state this is.
    optimizer : dict or None
        State of the optimizer; None before the first step and for L-BFGS.
    average : dict or None
        Averaged parameters with the decay and the number of steps averaged over.
    epochs : dict or None
        How far a run has come that is not over; None between runs.
    """

    parameters: NDArray
    stream: Mapping[str, Any]
    n_rows_seen: int = 0
    solver: str | None = None
    optimizer: dict[str, Any] | None = None
    average: dict[str, Any] | None = None
    epochs: dict[str, Any] | None = None

    def generator(self) -> np.random.Generator:
        """Return a random generator that goes on with the stream."""
        rng = np.random.default_rng()
        rng.bit_generator.state = self.stream
        return rng
