"""The layer stack over one flat parameter vector."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.activations import ACTIVATIONS
from skann.engine.initializers import INITIALIZERS
from skann.engine.layers import Dense, SparseGradient
from skann.engine.memory import aligned_copy, aligned_empty

if TYPE_CHECKING:
    from skann.engine.batches import RowSource
    from skann.engine.losses import Loss


class ParameterViews(list):
    """A list of views of one vector: assigning to an item writes into the vector.

    Examples
    --------
    >>> import numpy as np
    >>> from skann.engine.network import ParameterViews
    >>> vector = np.zeros(3)
    >>> views = ParameterViews([vector[:2], vector[2:]])
    >>> views[0] = [1, 2]
    >>> vector
    array([1., 2., 0.])
    """

    def __setitem__(self, index, values) -> None:
        views = self[index] if isinstance(index, slice) else [self[index]]
        values = list(values) if isinstance(index, slice) else [values]
        if [np.shape(value) for value in values] != [view.shape for view in views]:
            raise ValueError(
                f"Parameters of shapes {[view.shape for view in views]} cannot be set to arrays"
                f" of shapes {[np.shape(value) for value in values]}."
            )
        for view, value in zip(views, values, strict=True):
            view[...] = value


class Network:
    """A multi-layer perceptron up to its raw scores.

    All parameters are views of one vector, weights first, then biases, so that weight
    decay is one slice, an optimizer step a few passes over one array, and a copy of the
    model one copy.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units of every layer, from the inputs to the outputs.
    activation : str
        Activation of the hidden layers, a name in `skann.engine.activations.ACTIVATIONS`.
    parameters : ndarray of shape (n_parameters,)
        The parameter vector; the network works on it, not on a copy.

    Attributes
    ----------
    coefs : ParameterViews
        Weight matrices, views of `parameters`.
    intercepts : ParameterViews
        Bias vectors, views of `parameters`.
    n_weights : int
        Length of the first part of `parameters`, that of the weights.
    """

    def __init__(self, layer_sizes: tuple[int, ...], activation: str, parameters: NDArray) -> None:
        self.layer_sizes = layer_sizes
        self.activation = activation
        self.parameters = parameters
        self.coefs, self.intercepts = parameter_views(layer_sizes, parameters)
        self.n_weights = sum(coef.size for coef in self.coefs)
        hidden = ACTIVATIONS[activation]
        self.layers = [
            Dense(coef, intercept, hidden if depth < len(layer_sizes) - 1 else None)
            for depth, (coef, intercept) in enumerate(
                zip(self.coefs, self.intercepts, strict=True), start=1
            )
        ]

    @classmethod
    def random(
        cls,
        layer_sizes: tuple[int, ...],
        activation: str,
        dtype: DTypeLike,
        rng: np.random.Generator,
    ) -> Self:
        """Make a network with random weights and zero biases.

        Parameters
        ----------
        layer_sizes : sequence of int
            Units of every layer, from the inputs to the outputs.
        activation : str
            Activation of the hidden layers; decides the initializer.
        dtype : dtype-like
            Computing dtype. The draws are the same in every dtype, up to rounding.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        Network
        """
        network = cls(layer_sizes, activation, aligned_empty(n_parameters(layer_sizes), dtype))
        network.parameters[network.n_weights :] = 0
        hidden = ACTIVATIONS[activation].initializer
        for coef in network.coefs:
            name = "glorot_uniform" if coef is network.coefs[-1] else hidden
            coef[...] = INITIALIZERS[name](rng, *coef.shape)
        return network

    def copy(self) -> "Network":
        """Return the same network on a parameter vector of its own."""
        return Network(self.layer_sizes, self.activation, aligned_copy(self.parameters))

    def forward(self, inputs: NDArray | sparse.csr_array, activations: list[NDArray]) -> NDArray:
        """Compute the raw scores of a batch.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, n_features)
            Rows in the computing dtype.
        activations : list of ndarray
            One array for each layer's outputs (see `activation_buffers`), overwritten.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows), C-contiguous
            The logits, class by class: the transpose of the last of `activations`.
        """
        for layer, outputs in zip(self.layers, activations, strict=True):
            layer.forward(inputs, outputs)
            inputs = outputs
        return activations[-1].T

    def activation_buffers(self, n_rows: int, empty: Callable = aligned_empty) -> list[NDArray]:
        """Return arrays for the outputs of every layer, for `n_rows` rows."""
        *hidden, n_outputs = self.layer_sizes[1:]
        dtype = self.parameters.dtype
        logits = empty((n_outputs, n_rows), dtype)
        return [empty((n_rows, width), dtype) for width in hidden] + [logits.T]

    def decision_function(self, rows: "RowSource", chunk_rows: int) -> NDArray:
        """Compute raw scores chunk by chunk; the network is only read.

        Parameters
        ----------
        rows : RowSource
            Source of the rows (see `skann.engine.batches`).
        chunk_rows : int
            Number of rows computed at once.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows)
        """
        n_rows = len(rows)
        if 1 < n_rows <= chunk_rows:
            return self.forward(rows.chunk(0, n_rows), self.activation_buffers(n_rows, np.empty))
        logits = np.empty((self.layer_sizes[-1], n_rows), self.parameters.dtype)
        buffers: list[NDArray] = []
        for start in range(0, n_rows, chunk_rows):
            stop = min(start + chunk_rows, n_rows)
            inputs = rows.chunk(start, stop)
            if stop - start == 1 and not sparse.issparse(inputs):
                # BLAS sums a product with one vector in another order than one with several;
                # as one of two equal rows, a row gets nearly always the scores it has in a batch.
                inputs = np.repeat(inputs, 2, axis=0)
            if not buffers or len(buffers[-1]) != inputs.shape[0]:
                buffers = self.activation_buffers(inputs.shape[0], np.empty)
            logits[:, start:stop] = self.forward(inputs, buffers)[:, : stop - start]
        return logits


class Backpropagation:
    """Gradient of a network's loss, with all the arrays that computing it needs.

    Parameters
    ----------
    network : Network
        The network; its parameters are read.
    max_rows : int
        Rows of the largest batch.
    compact : bool
        Whether the batches are sparse and the gradient of the first weight matrix is to be
        computed in the rows that they touch only.

    Attributes
    ----------
    gradient : ndarray of shape (n_parameters,)
        Gradient with respect to ``network.parameters``, overwritten by every batch; if
        compact, without the first weight matrix.
    sparse_gradient : SparseGradient or None
        Gradient with respect to the first weight matrix, if compact.
    """

    def __init__(self, network: Network, max_rows: int, compact: bool = False) -> None:
        self.network = network
        dtype, sizes = network.parameters.dtype, network.layer_sizes
        self.sparse_gradient = SparseGradient(sizes[0]) if compact else None
        left_out = network.coefs[0].size if compact else 0
        self.gradient = aligned_empty(network.parameters.size - left_out, dtype)
        coefs, self._intercepts = parameter_views(sizes, self.gradient, skip_first=compact)
        self._coefs = [self.sparse_gradient, *coefs] if self.sparse_gradient else coefs
        self._ones = np.ones(max_rows, dtype)
        self._max_rows = max_rows
        self._buffers: dict[int, tuple[list[NDArray], list[NDArray]]] = {}

    def _buffers_for(self, n_rows: int) -> tuple[list[NDArray], list[NDArray]]:
        """Activations and their gradients, as views of one set of arrays for `max_rows`."""
        if n_rows not in self._buffers:
            if n_rows == self._max_rows:
                activations = self.network.activation_buffers(n_rows)
                grads = [np.empty_like(values) for values in activations[:-1]]
            else:
                full_activations, full_grads = self._buffers_for(self._max_rows)
                activations = [values[:n_rows] for values in full_activations[:-1]]
                grads = [values[:n_rows] for values in full_grads]
                # Not a slice of columns: logits stay contiguous for every batch size.
                n_outputs = full_activations[-1].shape[1]
                logits = full_activations[-1].T.reshape(-1)[: n_outputs * n_rows]
                activations.append(logits.reshape(n_outputs, n_rows).T)
            self._buffers[n_rows] = activations, grads
        return self._buffers[n_rows]

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
        layers = self.network.layers
        n_rows = inputs.shape[0]
        activations, grads = self._buffers_for(n_rows)
        logits = self.network.forward(inputs, activations)
        value = loss.value_and_gradient(logits, targets, weights, divisor)
        ones = self._ones[:n_rows]
        grad_outputs = logits.T
        for depth in range(len(layers) - 1, -1, -1):
            grad_inputs = grads[depth - 1] if depth else None
            layers[depth].backward(
                activations[depth - 1] if depth else inputs,
                activations[depth],
                grad_outputs,
                ones,
                self._coefs[depth],
                self._intercepts[depth],
                grad_inputs,
            )
            if grad_inputs is not None:
                grad_outputs = grad_inputs
        return value


def n_parameters(layer_sizes: tuple[int, ...]) -> int:
    """Return the number of weights and biases of a network."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(layer_sizes))


def parameter_views(
    layer_sizes: tuple[int, ...], parameters: NDArray, skip_first: bool = False
) -> tuple[ParameterViews, ParameterViews]:
    """Split a parameter vector into views.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units of every layer, from the inputs to the outputs.
    parameters : ndarray of shape (n_parameters,)
        Weights first, then biases.
    skip_first : bool
        Whether the first weight matrix is not part of the vector.

    Returns
    -------
    coefs, intercepts : ParameterViews
        Weight matrices of shape (fan_in, fan_out), bias vectors of shape (fan_out,).
    """
    coef_shapes = list(pairwise(layer_sizes))[skip_first:]
    shapes: list[tuple[int, ...]] = [*coef_shapes, *((width,) for width in layer_sizes[1:])]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    views = [
        part.reshape(shape)
        for part, shape in zip(np.split(parameters, ends[:-1]), shapes, strict=True)
    ]
    return ParameterViews(views[: len(coef_shapes)]), ParameterViews(views[len(coef_shapes) :])
