"""The fitted model: one value that holds everything a fit has learned."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skann.engine.network import Network
from skann.engine.rows import Scaling, chunk_rows, make_rows
from skann.engine.settings import Architecture
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch
from skann.tables import Encoding
from skann.targets import Labels


@dataclass(frozen=True)
class FittedModel:
    """A trained network with everything that prediction and further training need.

    Parameters
    ----------
    network : Network
        The network.
    labels : Labels
        Maps the class labels to the outputs of the network.
    scaling : Scaling or None
        Scaling of the inputs.
    encoding : Encoding
        Encoding of the columns of X as inputs.
    history : list of Epoch
        Record of each epoch.
    n_rows : int
        Number of training rows in an epoch.
    n_rows_seen : int
        Number of rows that the network has been trained on, counting repetitions.
    input_dropout : float
        Share of the inputs that training dropped.
    state : TrainingState or None
        State from which a warm start, `partial_fit` or a checkpoint continues; None if it is not
        kept.
    origin : object
        During a fit, the facts about its data that checkpoints store
        (`skann.checkpoint.Origin`).
    """

    network: Network
    labels: Labels
    scaling: Scaling | None
    encoding: Encoding
    history: list[Epoch]
    n_rows: int
    n_rows_seen: int
    input_dropout: float = 0.0
    state: TrainingState | None = None
    origin: Any = None

    def predict(self, X: Any, answer: Callable[[NDArray], NDArray]) -> NDArray:
        """Apply a function to the raw scores of the rows, chunk by chunk.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_samples, n_features)
            Validated rows.
        answer : callable (logits) -> ndarray
            Function that takes raw scores of shape (n_outputs, n_rows) and returns one entry for
            each row.

        Returns
        -------
        ndarray of shape (n_samples, ...)

        Raises
        ------
        ValueError
            If raw scores are not finite.
        """
        network = self.network
        at_once = chunk_rows(network.architecture.widest)
        rows = make_rows(X, network.parameters.dtype, at_once, self.scaling)
        result: Any = None
        with np.errstate(over="ignore", invalid="ignore"):
            if X.shape[0] <= at_once:
                return answer(_finite(network.decision_function(rows, at_once)))
            for part, logits in network.scores_by_chunk(rows, at_once):
                answers = answer(_finite(logits))
                if result is None:
                    result = np.empty((len(rows), *answers.shape[1:]), answers.dtype)
                result[part] = answers
        return result

    def continuation(self, ema_decay: float | None, new_stream: Any) -> TrainingState:
        """Return the state from which further training starts.

        Parameters
        ----------
        ema_decay : float or None
            Decay of the moving average in the further training.
        new_stream : mapping
            State of a random stream, for a model that has not kept its own.

        Returns
        -------
        TrainingState
            State with the current weights of the network, which the user may have changed. If they
            are still the moving average of the previous training, the state has the weights of its
            last step instead.
        """
        parameters, state = self.network.parameters, self.state
        # The state of an unfinished run still changes.
        if state is None or state.epochs is not None:
            return TrainingState(parameters, new_stream, self.n_rows_seen)
        old = state.average
        if old and old["decay"] == ema_decay and np.array_equal(old["values"], parameters):
            return state
        return replace(state, parameters=parameters, average=None)

    def to_tree(self) -> dict[str, Any]:
        """Return the model as containers of arrays, numbers and strings, for pickling."""
        is_kept = self.state is not None and self.state.epochs is None
        state = dict(vars(self.state)) if is_kept else None
        # Do not store the same array twice.
        if state is not None and state["parameters"] is self.network.parameters:
            state["parameters"] = None
        return {
            "architecture": self.network.architecture.to_tree(),
            "parameters": self.network.parameters,
            "labels": tuple(self.labels),
            "scaling": None if self.scaling is None else tuple(self.scaling),
            "encoding": tuple(self.encoding),
            "history": [tuple(epoch) for epoch in self.history],
            "n_rows": self.n_rows,
            "n_rows_seen": self.n_rows_seen,
            "input_dropout": self.input_dropout,
            "state": state,
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """Return the model from the result of `to_tree`."""
        state, scaling = tree["state"], tree["scaling"]
        if state is not None and state["parameters"] is None:
            state = {**state, "parameters": tree["parameters"]}
        return cls(
            network=Network(Architecture.from_tree(tree["architecture"]), tree["parameters"]),
            labels=Labels(*tree["labels"]),
            scaling=None if scaling is None else Scaling(*scaling),
            encoding=Encoding(*tree["encoding"]),
            history=[Epoch(*epoch) for epoch in tree["history"]],
            n_rows=tree["n_rows"],
            n_rows_seen=tree["n_rows_seen"],
            input_dropout=tree["input_dropout"],
            state=None if state is None else TrainingState(**state),
        )


def _finite(logits: NDArray) -> NDArray:
    """Return raw scores; raise an error if they are not finite."""
    values = logits.ravel()
    # For a single row, the sum of squares is a faster check.
    if not (math.isfinite(values.dot(values)) or np.isfinite(values).all()):
        raise ValueError(
            f"X has values too large to compute with in {logits.dtype}. Check that X is scaled like"
            " the training rows. If it is, set dtype='float64' or input_scaling='standard' and fit"
            " again."
        )
    return logits
