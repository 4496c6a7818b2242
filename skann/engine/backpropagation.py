"""The gradient of a network's loss, batch by batch, with dropout and noise."""

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.activations import ACTIVATIONS, passes
from skann.engine.dropout import Corruption, Dropout
from skann.engine.embeddings import EmbeddingArrays, NumericalEmbedding
from skann.engine.kernels import active
from skann.engine.layers import SparseGradient
from skann.engine.memory import aligned_empty
from skann.engine.network import Layer, Network, parameter_views

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


class _Gradients(NamedTuple):
    """Gradients with respect to the parameters of a layer; scale and shift where it has them."""

    weights: NDArray | SparseGradient
    bias: NDArray
    scale_and_shift: tuple[NDArray, ...]


class _Arrays(NamedTuple):
    """What a layer computes batches of one size in; members use the same, one after the other.

    Attributes
    ----------
    outputs : ndarray of shape (n_rows, fan_out)
        Outputs of the layer.
    pre_activations, normalized : ndarray of shape (n_rows, fan_out), or None
        What backward passes need of the forward pass, where they do.
    grad_inputs : ndarray of shape (n_rows, n_last) or None
        Gradient with respect to the last of the inputs; None where none is needed.
    ones : ndarray of shape (n_rows,)
        A product with them sums over rows faster than a reduction does.
    """

    outputs: NDArray
    pre_activations: Any
    normalized: Any
    grad_inputs: Any
    ones: NDArray


def _allocate(layer: Layer, activation: str, outputs: NDArray, n_last: int) -> _Arrays:
    """Return the arrays of a layer for the largest batch.

    Parameters
    ----------
    layer : Layer
        The layer.
    activation : str
        Name of its activation.
    outputs : ndarray of shape (max_rows, fan_out)
        Array for its outputs; the transpose of a C-contiguous array for the last layer.
    n_last : int
        Number of inputs, the last ones, that need a gradient.
    """
    keeps = ACTIVATIONS[activation].keeps_inputs
    return _Arrays(
        outputs,
        np.empty_like(outputs) if keeps else None,
        None if layer.normalization is None else np.empty_like(outputs),
        aligned_empty((len(outputs), n_last), outputs.dtype) if n_last else None,
        np.ones(len(outputs), outputs.dtype),
    )


class TrainingLayer:
    """A layer of a network in training, with the arrays that its two passes need.

    Parameters
    ----------
    layer : Layer
        The layer; its parameters are read, the averages of batch normalisation updated.
    activation : str
        Name of its activation.
    gradients : _Gradients
        Where the gradients with respect to its parameters go.
    dropout : Dropout or None
        Of its outputs.
    arrays : _Arrays
        What it computes the largest batch in.
    """

    def __init__(
        self,
        layer: Layer,
        activation: str,
        gradients: _Gradients,
        dropout: Dropout | None,
        arrays: _Arrays,
    ) -> None:
        self.dense, self.normalization, _ = layer
        self._activate, self._backpropagate = passes(activation)
        self._multiply_sparse = active().multiply_sparse
        self.dropout = dropout
        self._gradients = gradients
        self._full = arrays
        self._by_rows = {len(arrays.outputs): arrays}

    def _arrays_for(self, n_rows: int) -> _Arrays:
        if n_rows not in self._by_rows:
            views: list[Any] = [None if a is None else a[:n_rows] for a in self._full]
            arrays = _Arrays(*views)
            if not self._full.outputs.flags.c_contiguous:
                # Not a slice of columns: logits stay contiguous for every batch size.
                logits = self._full.outputs.T.reshape(-1)[: arrays.outputs.size]
                arrays = arrays._replace(outputs=logits.reshape(-1, n_rows).T)
            self._by_rows[n_rows] = arrays
        return self._by_rows[n_rows]

    def forward(self, inputs: NDArray | sparse.csr_array) -> NDArray:
        """Compute the layer for a batch; keep what the backward pass needs.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, fan_in)
            The batch, or what the layer before returned.

        Returns
        -------
        ndarray of shape (n_rows, fan_out)
            Valid until the next call.
        """
        self._inputs, self._arrays = inputs, self._arrays_for(inputs.shape[0])
        outputs, pre_activations, normalized, _, ones = self._arrays
        bias: NDArray | None = self.dense.bias
        if isinstance(inputs, np.ndarray):
            self.dense.multiply(inputs, outputs)
        else:
            self._multiply_sparse(inputs, self.dense.weights, outputs)
        if self.normalization is not None:
            outputs += bias
            self._inverse_deviation = self.normalization.forward(outputs, normalized, ones)
            bias = None
        self._activate(outputs, bias, pre_activations)
        if self.dropout is not None:
            self.dropout.apply(outputs)
        return outputs

    def backward(self, grad: NDArray) -> Any:
        """Compute the gradients of the layer for the batch of the last forward pass.

        Parameters
        ----------
        grad : ndarray of shape (n_rows, fan_out)
            Gradient with respect to the outputs; overwritten, like these.

        Returns
        -------
        ndarray of shape (n_rows, n_last) or None
            Gradient with respect to the last of the inputs; None where none is needed.
        """
        outputs, pre_activations, normalized, grad_inputs, ones = self._arrays
        weights, bias, scale_and_shift = self._gradients
        if self.dropout is not None:
            self.dropout.undo(outputs, grad)
        if self.normalization is None:
            self._backpropagate(pre_activations, outputs, grad, ones, bias)
        else:
            self._backpropagate(pre_activations, outputs, grad, ones, None)
            self.normalization.backward(
                normalized, self._inverse_deviation, grad, ones, outputs, scale_and_shift
            )
            ones.dot(grad, out=bias)
        self.dense.backward(self._inputs, grad, weights, grad_inputs)
        return grad_inputs


class TrainingEmbedding:
    """A numerical embedding in training, with the arrays that its two passes need.

    Parameters
    ----------
    embedding : NumericalEmbedding
        The embedding; its parameters are read.
    grad_weights : ndarray of shape (n_numbers, width, n_functions)
        Where the gradient with respect to its weights goes.
    arrays : EmbeddingArrays
        What it computes the largest batch in.
    """

    def __init__(
        self, embedding: NumericalEmbedding, grad_weights: NDArray, arrays: EmbeddingArrays
    ) -> None:
        self._embedding, self._grad_weights, self._full = embedding, grad_weights, arrays

    def forward(self, inputs: NDArray) -> NDArray:
        """Embed a batch; keep what the backward pass needs."""
        self._arrays = self._full.first(len(inputs))
        return self._embedding.forward(inputs, self._arrays)

    def backward(self, grad: NDArray) -> None:
        """Compute the gradient of the weights, given that of the embedded numbers."""
        self._embedding.backward(self._arrays, grad, self._grad_weights)


class Backpropagation:
    """Gradient of a network's loss, with all the arrays that computing it needs.

    Of several members each has the gradient of its own loss: they learn as they would alone. They
    are computed one after the other, on the same inputs, with dropout of their own.

    Parameters
    ----------
    network : Network
        The network; its parameters are read, the averages of batch normalisation updated.
    max_rows : int
        Rows of the largest batch.
    compact : bool
        Whether the batches are sparse and the gradient of the first weight matrix is to be
        computed in the rows that they touch only; for a single member.
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
        views = parameter_views(architecture, self.gradient, skip_first=compact)
        self._views = views.by_member(architecture.n_members)
        dropout, input_dropout, input_noise = regularization
        self._corruption = None
        if rng is not None and (input_dropout or input_noise):
            self._corruption = Corruption(input_noise, input_dropout, dtype, rng)
        rates = (*dropout, *[0.0] * len(architecture.layer_sizes))
        arrays = self._allocate(max_rows)
        self._members = []
        for number in range(architecture.n_members):
            drawn = [Dropout(rate, dtype, rng) if rate and rng else None for rate in rates]
            self._members.append(self._layers_of(number, arrays, drawn))

    def _allocate(self, max_rows: int) -> tuple[EmbeddingArrays | None, list[_Arrays]]:
        """Return the arrays of the embedding and of each layer."""
        network, architecture = self.network, self.network.architecture
        embedding, layers = network.members[0]
        n_features, names = architecture.layer_sizes[0], (*architecture.activations, "identity")
        of_embedding = None
        if embedding is not None:
            of_embedding = embedding.arrays((max_rows, n_features), aligned_empty)
        of_layers, n_last = [], architecture.weight_shapes[0][0] - n_features
        buffers = network.output_buffers(max_rows)
        for layer, activation, outputs in zip(layers, names, buffers, strict=True):
            of_layers.append(_allocate(layer, activation, outputs, n_last))
            n_last = outputs.shape[1]
        return of_embedding, of_layers

    def _layers_of(
        self,
        number: int,
        arrays: tuple[EmbeddingArrays | None, list[_Arrays]],
        dropout: list[Dropout | None],
    ) -> list[TrainingEmbedding | TrainingLayer]:
        """Return the layers of a member in training."""
        embedding, layers = self.network.members[number]
        names = (*self.network.architecture.activations, "identity")
        of_embedding, of_layers = arrays
        own: list[TrainingEmbedding | TrainingLayer] = []
        if embedding is not None and of_embedding is not None:
            gradient = self._views[number].embedding_weights[0]
            own.append(TrainingEmbedding(embedding, gradient, of_embedding))
        for depth, (layer, array) in enumerate(zip(layers, of_layers, strict=True)):
            gradients = self._gradients_of(number, depth)
            own.append(TrainingLayer(layer, names[depth], gradients, dropout[depth], array))
        return own

    def _gradients_of(self, member: int, depth: int) -> _Gradients:
        coefs, _, intercepts, scales, shifts, *_ = self._views[member]
        weights: NDArray | SparseGradient
        if self.sparse_gradient is None:
            weights = coefs[depth]
        else:
            weights = coefs[depth - 1] if depth else self.sparse_gradient
        pairs = list(zip(scales, shifts, strict=True))
        return _Gradients(weights, intercepts[depth], pairs[depth] if depth < len(pairs) else ())

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
            Loss without penalty, the mean over members.
        """
        if self._corruption is not None:
            inputs = self._corruption.apply(inputs)
        value = 0.0
        for layers in self._members:
            outputs: Any = inputs
            for layer in layers:
                outputs = layer.forward(outputs)
            value += loss.value_and_gradient(outputs.T, targets, weights, divisor)
            grad = outputs
            for layer in reversed(layers):
                grad = layer.backward(grad)
        return value / len(self._members)

    def clip(self, max_norm: float | None) -> float:
        """Measure the gradient and shorten it, that of each member by itself.

        Parameters
        ----------
        max_norm : float or None
            Longest gradient; None to measure only.

        Returns
        -------
        float
            Euclidean norm before, the mean over members.
        """
        norms = [_clip(parts, max_norm) for parts in self._gradient_by_member()]
        return sum(norms) / len(norms)

    def _gradient_by_member(self) -> list[list[NDArray]]:
        """Return the arrays that the gradient of each member consists of."""
        if len(self._members) > 1:
            return [list(chain(*views)) for views in self._views]
        if self.sparse_gradient is not None:
            return [[self.gradient, self.sparse_gradient.values]]
        return [[self.gradient]]


def _clip(parts: list[NDArray], max_norm: float | None) -> float:
    """Shorten a gradient in parts to `max_norm`; return its norm before."""
    norm = math.sqrt(sum(float(np.vdot(part, part)) for part in parts))
    if max_norm is not None and norm > max_norm:
        for part in parts:
            part *= max_norm / norm
    return norm
