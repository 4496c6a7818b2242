"""The gradient of the loss of a network for one batch, with dropout and noise."""

import math
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.activations import ACTIVATIONS, passes
from skann.engine.dropout import Corruption, Dropout
from skann.engine.embeddings import EmbeddingArrays, NumericalEmbedding
from skann.engine.kernels import active
from skann.engine.kernels.numpy_kernels import LossFunction
from skann.engine.layers import SparseGradient
from skann.engine.memory import aligned_empty
from skann.engine.network import Layer, Network, parameter_views


class Regularization(NamedTuple):
    """Dropout and noise in training.

    Attributes
    ----------
    dropout : tuple of float
        Dropout rate of each hidden layer; empty for no dropout.
    input_dropout : float
        Dropout rate of the inputs.
    input_noise : float
        Standard deviation of the noise that is added to the inputs.
    """

    dropout: tuple[float, ...] = ()
    input_dropout: float = 0.0
    input_noise: float = 0.0


_NONE = Regularization()


class _Gradients(NamedTuple):
    """Gradients with respect to the parameters of a layer.

    `scale_and_shift` is empty if the layer has no normalisation.
    """

    weights: NDArray | SparseGradient
    bias: NDArray
    scale_and_shift: tuple[NDArray, ...]


class _Arrays(NamedTuple):
    """Arrays of a layer for batches of one size. All members share them.

    Attributes
    ----------
    outputs : ndarray of shape (n_rows, fan_out)
        Outputs of the layer.
    pre_activations, normalized : ndarray of shape (n_rows, fan_out), or None
        Results of the forward pass that the backward pass needs; None if it does not.
    grad_inputs : ndarray of shape (n_rows, n_last) or None
        Gradient with respect to the last `n_last` inputs; None if it is not needed.
    ones : ndarray of shape (n_rows,)
        Vector of ones. A product with it sums over the rows, faster than a reduction.
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
        Array for its outputs; for the last layer, the transpose of a C-contiguous array.
    n_last : int
        Number of inputs that need a gradient. They come last.
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
    """A layer in training, with the arrays for its forward and backward pass.

    Parameters
    ----------
    layer : Layer
        The layer. Only the running averages of batch normalisation are changed.
    activation : str
        Name of its activation.
    gradients : _Gradients
        Arrays for the gradients with respect to its parameters.
    dropout : Dropout or None
        Dropout of its outputs.
    arrays : _Arrays
        Arrays for the largest batch.
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
                # Do not slice the columns: the logits must be contiguous for every batch size.
                logits = self._full.outputs.T.reshape(-1)[: arrays.outputs.size]
                arrays = arrays._replace(outputs=logits.reshape(-1, n_rows).T)
            self._by_rows[n_rows] = arrays
        return self._by_rows[n_rows]

    def forward(self, inputs: NDArray | sparse.csr_array) -> NDArray:
        """Compute the outputs for a batch, and keep the results that the backward pass needs.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, fan_in)
            The batch, or the outputs of the previous layer.

        Returns
        -------
        ndarray of shape (n_rows, fan_out)
            Outputs of the layer, valid until the next call.
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
            Gradient with respect to the outputs. It is overwritten, as are the outputs.

        Returns
        -------
        ndarray of shape (n_rows, n_last) or None
            Gradient with respect to the last `n_last` inputs; None if it is not needed.
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
    """A numerical embedding in training, with the arrays for its forward and backward pass.

    Parameters
    ----------
    embedding : NumericalEmbedding
        The embedding. It is not changed.
    grad_weights : ndarray of shape (n_numbers, width, n_functions)
        Array for the gradient with respect to its weights.
    arrays : EmbeddingArrays
        Arrays for the largest batch.
    """

    def __init__(
        self, embedding: NumericalEmbedding, grad_weights: NDArray, arrays: EmbeddingArrays
    ) -> None:
        self._embedding, self._grad_weights, self._full = embedding, grad_weights, arrays

    def forward(self, inputs: NDArray) -> NDArray:
        """Embed a batch, and keep the results that the backward pass needs."""
        self._arrays = self._full.first(len(inputs))
        return self._embedding.forward(inputs, self._arrays)

    def backward(self, grad: NDArray) -> None:
        """Compute the gradient of the weights from the gradient of the embedded numbers."""
        self._embedding.backward(self._arrays, grad, self._grad_weights)


class Backpropagation:
    """Computation of the gradient of a network's loss, with all the arrays that it needs.

    Each member has the gradient of its own loss, so that it learns as it would alone. The members
    are computed one after the other, on the same inputs but with their own dropout.

    Parameters
    ----------
    network : Network
        The network. Only the running averages of batch normalisation are changed.
    max_rows : int
        Maximum number of rows in a batch.
    compact : bool
        Whether the batches are sparse and the gradient of the first weight matrix is a
        `SparseGradient`; only for a single member.
    regularization : Regularization
        Dropout and noise.
    rng : numpy.random.Generator or None
        Random generator; None for no dropout and no noise.

    Attributes
    ----------
    gradient : ndarray of shape (n_trainable,)
        Gradient with respect to ``network.trainable``, overwritten by every batch. If `compact`
        is set, it does not include the first weight matrix.
    sparse_gradient : SparseGradient or None
        Gradient with respect to the first weight matrix, if `compact` is set.
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
        """Return the embedding, if there is one, and the layers of a member."""
        embedding, layers = self.network.members[number]
        names = (*self.network.architecture.activations, "identity")
        of_embedding, of_layers = arrays
        coefs, embedding_weights, intercepts, scales, shifts, *_ = self._views[number]
        first = [] if self.sparse_gradient is None else [self.sparse_gradient]
        weights: list[NDArray | SparseGradient] = [*first, *coefs]
        pairs = list(zip(scales, shifts, strict=True))
        own: list[TrainingEmbedding | TrainingLayer] = []
        if embedding is not None and of_embedding is not None:
            own.append(TrainingEmbedding(embedding, embedding_weights[0], of_embedding))
        for depth, (layer, array) in enumerate(zip(layers, of_layers, strict=True)):
            # The last layer has no scale and shift, nor has any without normalisation.
            pair = pairs[depth] if depth < len(pairs) else ()
            gradients = _Gradients(weights[depth], intercepts[depth], pair)
            own.append(TrainingLayer(layer, names[depth], gradients, dropout[depth], array))
        return own

    def run(
        self,
        inputs: NDArray | sparse.csr_array,
        targets: NDArray,
        weights: NDArray | None,
        divisor: float,
        loss: LossFunction,
    ) -> float:
        """Compute the loss of a batch, and write its gradient to `gradient`.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, n_features)
            Rows in the dtype of the parameters.
        targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Encoded targets.
        weights : ndarray of shape (n_rows,) or None
            Sample weights.
        divisor : float
            Divisor of the weighted sum over the rows.
        loss : callable (logits, targets, weights, divisor) -> float
            The loss, see `skann.engine.losses.Loss`.

        Returns
        -------
        float
            Loss without the penalty, averaged over the members.
        """
        if self._corruption is not None:
            inputs = self._corruption.apply(inputs)
        value = 0.0
        for layers in self._members:
            outputs: Any = inputs
            for layer in layers:
                outputs = layer.forward(outputs)
            value += loss(outputs.T, targets, weights, divisor)
            grad = outputs
            for layer in reversed(layers):
                grad = layer.backward(grad)
        return value / len(self._members)

    def clip(self, max_norm: float | None) -> float:
        """Measure the norm of each member's gradient, and rescale gradients that are too large.

        Parameters
        ----------
        max_norm : float or None
            Maximum norm; None to measure only.

        Returns
        -------
        float
            Euclidean norm before rescaling, averaged over the members.
        """
        norms = [_clip(parts, max_norm) for parts in self._gradient_by_member()]
        return sum(norms) / len(norms)

    def _gradient_by_member(self) -> list[list[NDArray]]:
        """Return, for each member, the arrays that its gradient consists of."""
        if len(self._members) > 1:
            return [list(chain(*views)) for views in self._views]
        if self.sparse_gradient is not None:
            return [[self.gradient, self.sparse_gradient.values]]
        return [[self.gradient]]


def _clip(parts: list[NDArray], max_norm: float | None) -> float:
    """Rescale a gradient that consists of several arrays; return its norm before rescaling."""
    norm = math.sqrt(sum(float(np.vdot(part, part)) for part in parts))
    if max_norm is not None and norm > max_norm:
        for part in parts:
            part *= max_norm / norm
    return norm
