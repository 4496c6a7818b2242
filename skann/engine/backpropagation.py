"""The gradient of a network's loss, batch by batch, with dropout and noise."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.layers import Corruption, Dropout, SparseGradient
from skann.engine.memory import aligned_empty
from skann.engine.network import Network, parameter_views

if TYPE_CHECKING:
    from skann.engine.losses import Loss


class Regularization(NamedTuple):
    """What is random in training.

    Attributes
    ----------
    dropout : tuple of float
        Share of each hidden layer's outputs that is dropped; empty for none.
    input_dropout : float
        Share of the inputs.
    input_noise : float
        Standard deviation of what is added to the inputs.
    """

    dropout: tuple[float, ...] = ()
    input_dropout: float = 0.0
    input_noise: float = 0.0


_NONE = Regularization()


class _Room(NamedTuple):
    """Arrays that a batch of one size is computed in, one of each kind for every layer.

    `pre_activations` and `normalized` hold None for layers that need none; `grads` are those
    with respect to the outputs of the hidden layers.
    """

    outputs: list[NDArray]
    grads: list[NDArray]
    pre_activations: list[Any]
    normalized: list[Any]

    def for_rows(self, n_rows: int) -> "_Room":
        """Return views of the arrays for fewer rows."""
        # Not a slice of columns: logits stay contiguous for every batch size.
        n_outputs = self.outputs[-1].shape[1]
        logits = self.outputs[-1].T.reshape(-1)[: n_outputs * n_rows].reshape(n_outputs, n_rows)
        shorter: list[list[Any]] = [
            [a if a is None else a[:n_rows] for a in arrays] for arrays in self
        ]
        shorter[0][-1] = logits.T
        return _Room(*shorter)


class Backpropagation:
    """Gradient of a network's loss, with all the arrays that computing it needs.

    Parameters
    ----------
    network : Network
        The network; its parameters are read, the averages of batch normalisation updated.
    max_rows : int
        Rows of the largest batch.
    compact : bool
        Whether the batches are sparse and the gradient of the first weight matrix is to be
        computed in the rows that they touch only.
    regularization : Regularization
        What is random.
    rng : numpy.random.Generator or None
        Source of randomness; None where nothing is random.

    Attributes
    ----------
    gradient : ndarray of shape (n_trainable,)
        Gradient with respect to ``network.trainable``, overwritten by every batch; if
        compact, without the first weight matrix.
    sparse_gradient : SparseGradient or None
        Gradient with respect to the first weight matrix, if compact.
    """

    def __init__(
        self,
        network: Network,
        max_rows: int,
        compact: bool = False,
        regularization: Regularization = _NONE,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.network = network
        dtype, architecture = network.parameters.dtype, network.architecture
        self.sparse_gradient = SparseGradient(architecture.layer_sizes[0]) if compact else None
        left_out = network.coefs[0].size if compact else 0
        self.gradient = aligned_empty(architecture.n_trainable - left_out, dtype)
        self._gradients = parameter_views(architecture, self.gradient, skip_first=compact)
        coefs = self._gradients.coefs
        self._coefs = [self.sparse_gradient, *coefs] if self.sparse_gradient else coefs
        self._ones = np.ones(max_rows, dtype)
        self._max_rows = max_rows
        self._rooms: dict[int, _Room] = {}
        dropout, input_dropout, input_noise = regularization
        self._corruption = None
        self._dropouts: list[Dropout | None] = [None] * len(network.layers)
        if rng is not None:
            if input_dropout or input_noise:
                self._corruption = Corruption(input_noise, input_dropout, dtype, rng)
            for depth, rate in enumerate(dropout):
                self._dropouts[depth] = Dropout(rate, dtype, rng) if rate else None

    def _room_for(self, n_rows: int) -> _Room:
        """Arrays for a batch, as views of one set of arrays for `max_rows`."""
        if n_rows not in self._rooms:
            if n_rows == self._max_rows:
                self._rooms[n_rows] = self._make_room()
            else:
                self._rooms[n_rows] = self._room_for(self._max_rows).for_rows(n_rows)
        return self._rooms[n_rows]

    def _make_room(self) -> _Room:
        outputs = self.network.output_buffers(self._max_rows)
        pre_activations: list[Any] = []
        normalized: list[Any] = []
        for layer, values in zip(self.network.layers, outputs, strict=True):
            keeps = layer.activation is not None and layer.activation.keeps_inputs
            pre_activations.append(np.empty_like(values) if keeps else None)
            normalized.append(None if layer.normalization is None else np.empty_like(values))
        grads = [np.empty_like(values) for values in outputs[:-1]]
        return _Room(outputs, grads, pre_activations, normalized)

    def run(
        self,
        inputs: NDArray | sparse.csr_array,
        targets: NDArray,
        weights: NDArray | None,
        divisor: float,
        loss: "Loss",
    ) -> float:
        """Compute the loss of a batch and leave its gradient in `gradient`.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, n_features)
            Rows in the computing dtype.
        targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Encoded targets.
        weights : ndarray of shape (n_rows,) or None
            Sample weights.
        divisor : float
            What the weighted sum over rows is divided by.
        loss : Loss
            The loss.

        Returns
        -------
        float
            Loss without penalty.
        """
        n_rows = inputs.shape[0]
        room, ones = self._room_for(n_rows), self._ones[:n_rows]
        if self._corruption is not None:
            inputs = self._corruption.apply(inputs)
        masks, inverse_deviations = self._forward(inputs, room, ones)
        logits = room.outputs[-1].T
        value = loss.value_and_gradient(logits, targets, weights, divisor)
        self._backward(inputs, room, ones, masks, inverse_deviations)
        return value

    def clip(self, max_norm: float | None) -> float:
        """Measure the gradient and shorten it.

        Parameters
        ----------
        max_norm : float or None
            Longest gradient; None to measure only.

        Returns
        -------
        float
            Euclidean norm before.
        """
        parts = [self.gradient]
        if self.sparse_gradient is not None:
            parts.append(self.sparse_gradient.values)
        norm = math.sqrt(sum(float(np.vdot(part, part)) for part in parts))
        if max_norm is not None and norm > max_norm:
            for part in parts:
                part *= max_norm / norm
        return norm

    def _forward(
        self, inputs: NDArray | sparse.csr_array, room: _Room, ones: NDArray
    ) -> tuple[list[Any], list[Any]]:
        """Compute every layer; return the masks of dropout and the scales of normalisation."""
        masks: list[Any] = []
        inverse_deviations: list[Any] = []
        for (dense, normalization, activation), dropout, values, kept, normalized in zip(
            self.network.layers, self._dropouts, room.outputs, *room[2:], strict=True
        ):
            dense.forward(inputs, values)
            inverse_deviation = mask = None
            if normalization is not None:
                inverse_deviation = normalization.forward(values, normalized, ones)
            if kept is not None:
                np.copyto(kept, values)
            if activation is not None:
                activation.function(values)
            if dropout is not None:
                mask = dropout.draw(values.shape)
                values *= mask
            masks.append(mask)
            inverse_deviations.append(inverse_deviation)
            inputs = values
        return masks, inverse_deviations

    def _backward(
        self,
        inputs: NDArray | sparse.csr_array,
        room: _Room,
        ones: NDArray,
        masks: list[Any],
        inverse_deviations: list[Any],
    ) -> None:
        """Compute the gradient, from that of the logits."""
        _, intercepts, scales, shifts, *_ = self._gradients
        grad = room.outputs[-1]
        for depth in range(len(self.network.layers) - 1, -1, -1):
            dense, normalization, activation = self.network.layers[depth]
            values, mask, dropout = room.outputs[depth], masks[depth], self._dropouts[depth]
            if dropout is not None:
                grad *= mask
                # Back to what the activation gave; where it was dropped the gradient is zero.
                values *= 1 / dropout.scale
            if activation is not None:
                activation.backpropagate(room.pre_activations[depth], values, grad)
            if normalization is not None:
                normalization.backward(
                    room.normalized[depth],
                    inverse_deviations[depth],
                    grad,
                    ones,
                    values,
                    scales[depth],
                    shifts[depth],
                )
            grad_inputs = room.grads[depth - 1] if depth else None
            dense.backward(
                room.outputs[depth - 1] if depth else inputs,
                grad,
                ones,
                self._coefs[depth],
                intercepts[depth],
                grad_inputs,
            )
            if grad_inputs is not None:
                grad = grad_inputs
