"""The gradient of a network's loss, batch by batch, with dropout and noise."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.activations import ACTIVATIONS, passes
from skann.engine.dropout import Corruption, Dropout
from skann.engine.embeddings import NumericalEmbedding
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
    """What a batch of one size is computed in, all views of the arrays of one layer.

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
    outputs : ndarray of shape (max_rows, fan_out)
        For its outputs; the transpose of a C-contiguous array for the last layer.
    n_last : int
        How many of its inputs, the last ones, need a gradient.
    """

    def __init__(
        self,
        layer: Layer,
        activation: str,
        gradients: _Gradients,
        dropout: Dropout | None,
        outputs: NDArray,
        n_last: int,
    ) -> None:
        self.dense, self.normalization, _ = layer
        self._activate, self._backpropagate = passes(activation)
        self._multiply_sparse = active().multiply_sparse
        self.dropout = dropout
        self._gradients = gradients
        keeps = ACTIVATIONS[activation].keeps_inputs
        self._full = _Arrays(
            outputs,
            np.empty_like(outputs) if keeps else None,
            None if self.normalization is None else np.empty_like(outputs),
            aligned_empty((len(outputs), n_last), outputs.dtype) if n_last else None,
            np.ones(len(outputs), outputs.dtype),
        )
        self._by_rows = {len(outputs): self._full}

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
    grad_weights : ndarray of shape (n_numbers, n_functions, width)
        Where the gradient with respect to its weights goes.
    max_rows, n_features : int
        Rows of the largest batch, and their width.
    """

    def __init__(
        self, embedding: NumericalEmbedding, grad_weights: NDArray, max_rows: int, n_features: int
    ) -> None:
        self._embedding, self._grad_weights = embedding, grad_weights
        self._full = embedding.arrays((max_rows, n_features), aligned_empty)
        self._arrays = self._full

    def forward(self, inputs: NDArray) -> NDArray:
        """Embed a batch; keep what the backward pass needs."""
        self._arrays = self._full.first(len(inputs))
        return self._embedding.forward(inputs, self._arrays)

    def backward(self, grad: NDArray) -> None:
        """Compute the gradient of the weights, given that of the embedded numbers."""
        self._embedding.backward(self._arrays, grad, self._grad_weights)


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
        self._views = parameter_views(architecture, self.gradient, skip_first=compact)
        dropout, input_dropout, input_noise = regularization
        self._corruption = None
        if rng is not None and (input_dropout or input_noise):
            self._corruption = Corruption(input_noise, input_dropout, dtype, rng)
        self._embedding = None
        if network.embedding is not None:
            self._embedding = TrainingEmbedding(
                network.embedding, self._views.embedding[0], max_rows, architecture.layer_sizes[0]
            )
        buffers, names = network.output_buffers(max_rows), architecture.activations
        n_last = architecture.weight_shapes[0][0] - architecture.layer_sizes[0]
        self._layers = []
        for depth, (layer, outputs) in enumerate(zip(network.layers, buffers, strict=True)):
            rate = dropout[depth] if depth < len(dropout) else 0.0
            drawn = Dropout(rate, dtype, rng) if rate and rng is not None else None
            gradients = self._gradients_of(depth)
            activation = names[depth] if depth < len(names) else "identity"
            self._layers.append(TrainingLayer(layer, activation, gradients, drawn, outputs, n_last))
            n_last = outputs.shape[1]

    def _gradients_of(self, depth: int) -> _Gradients:
        coefs, intercepts, scales, shifts, *_ = self._views
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
            Loss without penalty.
        """
        if self._corruption is not None:
            inputs = self._corruption.apply(inputs)
        if self._embedding is not None:
            inputs = self._embedding.forward(inputs)
        for layer in self._layers:
            inputs = layer.forward(inputs)
        value = loss.value_and_gradient(inputs.T, targets, weights, divisor)
        grad = inputs
        for layer in reversed(self._layers):
            grad = layer.backward(grad)
        if self._embedding is not None:
            self._embedding.backward(grad)
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
