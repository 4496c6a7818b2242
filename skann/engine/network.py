"""Networks whose parameters are views of one flat vector."""

import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.activations import ACTIVATIONS, Activation
from skann.engine.embeddings import NumericalEmbedding
from skann.engine.initializers import INITIALIZERS
from skann.engine.layers import BatchNormalization, Dense, LayerNormalization
from skann.engine.losses import LOSSES
from skann.engine.memory import aligned_copy, aligned_empty
from skann.engine.rows import RowSource
from skann.engine.settings import Architecture


class ParameterViews(list):
    """A list of views of one vector. Assigning to an item writes to the vector.

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
                f" of shapes {[np.shape(value) for value in values]}. Assign arrays of the same"
                " shapes."
            )
        for view, value in zip(views, values, strict=True):
            view[...] = value


class VectorViews(NamedTuple):
    """Views of the parts of a parameter vector or of a gradient.

    Attributes
    ----------
    coefs : ParameterViews
        Weight matrices of shape (fan_in, fan_out).
    embedding_weights : ParameterViews
        Weights of the numerical embedding.
    intercepts : ParameterViews
        Bias vectors of shape (fan_out,).
    scales, shifts : ParameterViews
        Scale and shift of the normalisation in each hidden layer.
    means, variances : ParameterViews
        Running averages of batch normalisation; empty in a gradient.
    places, slopes : ParameterViews
        Places and slopes of the functions of the numerical embedding; empty in a gradient.
    """

    coefs: ParameterViews
    embedding_weights: ParameterViews
    intercepts: ParameterViews
    scales: ParameterViews
    shifts: ParameterViews
    means: ParameterViews
    variances: ParameterViews
    places: ParameterViews
    slopes: ParameterViews

    def by_member(self, n_members: int) -> list["VectorViews"]:
        """Return the views of each member; each list contains one member after the other."""
        return [
            VectorViews(*(ParameterViews(_share(part, member, n_members)) for part in self))
            for member in range(n_members)
        ]


def _share(views: list, member: int, n_members: int) -> list:
    size = len(views) // n_members
    return views[member * size : (member + 1) * size]


class Layer(NamedTuple):
    """A fully connected layer with its normalisation and activation."""

    dense: Dense
    normalization: BatchNormalization | LayerNormalization | None
    activation: Activation | None


class Member(NamedTuple):
    """One of the networks whose probabilities are averaged.

    Attributes
    ----------
    embedding : NumericalEmbedding or None
        Embedding of the inputs.
    layers : list of Layer
        Layers from the first hidden layer to the output layer. The output layer has no
        normalisation and no activation, because the link function is part of the loss.
    """

    embedding: NumericalEmbedding | None
    layers: list[Layer]

    def forward(self, inputs: NDArray | sparse.csr_array, outputs: list[NDArray]) -> NDArray:
        """Return the raw scores; see `Network.forward`."""
        if self.embedding is not None:
            inputs = self.embedding.forward(inputs, self.embedding.arrays(inputs.shape, np.empty))
        for (dense, normalization, activation), values in zip(self.layers, outputs, strict=True):
            dense.forward(inputs, values)
            if normalization is not None:
                normalization.predict(values)
            if activation is not None:
                activation.function(values)
            inputs = values
        return outputs[-1].T


class Network:
    """A multi-layer perceptron that computes raw scores, or several that are averaged.

    All parameters are views of one vector, in this order: weights, biases, scales and shifts of
    the normalisation, and the parameters without a gradient, which are the running averages of
    batch normalisation and the functions of an embedding. Each part contains one member after the
    other. Weight decay therefore applies to one slice, an optimizer step is a few passes over one
    array, and copying a network copies one array.

    Parameters
    ----------
    architecture : Architecture
        Architecture of the network.
    parameters : ndarray of shape (n_parameters,)
        Parameter vector. The network uses it directly, not a copy.

    Attributes
    ----------
    members : list of Member
        The members; usually there is only one.
    coefs : ParameterViews
        Weight matrices of all members, views of `parameters`.
    intercepts : ParameterViews
        Bias vectors of all members, views of `parameters`.
    """

    def __init__(self, architecture: Architecture, parameters: NDArray) -> None:
        self.architecture = architecture
        self.parameters = parameters
        views = parameter_views(architecture, parameters)
        self.coefs, self.intercepts = views.coefs, views.intercepts
        by_member = views.by_member(architecture.n_members)
        self.members = [_make_member(architecture, own) for own in by_member]

    @classmethod
    def random(
        cls,
        architecture: Architecture,
        dtype: DTypeLike,
        rng: np.random.Generator,
        kernel_initializer: str = "auto",
    ) -> Self:
        """Return a network with random weights and zero biases.

        Parameters
        ----------
        architecture : Architecture
            Architecture of the network.
        dtype : dtype-like
            Data type of the parameters. Apart from rounding, the weights are the same in every
            dtype.
        rng : numpy.random.Generator
            Random generator.
        kernel_initializer : str
            Initializer of the weights, a name in `skann.engine.initializers.INITIALIZERS`. "auto"
            chooses the initializer that suits the activation of each layer, and Glorot for the
            output layer.

        Returns
        -------
        Network
        """
        network = cls(architecture, aligned_empty(architecture.n_parameters, dtype))
        network.parameters.fill(0)
        for layer in chain.from_iterable(member.layers for member in network.members):
            name, weights = kernel_initializer, layer.dense.weights
            if name == "auto":
                name = layer.activation.initializer if layer.activation else "glorot_uniform"
            weights[...] = INITIALIZERS[name](rng, *weights.shape)
            if layer.normalization is not None:
                layer.normalization.scale.fill(1)
            if isinstance(layer.normalization, BatchNormalization):
                layer.normalization.variance.fill(1)
        return network

    @property
    def trainable(self) -> NDArray:
        """The part of `parameters` that has a gradient, as a view."""
        return self.parameters[: self.architecture.n_trainable]

    @property
    def weights(self) -> NDArray:
        """The part of `parameters` that is penalised, as a view."""
        return self.parameters[: self.architecture.n_weights]

    def copy(self) -> "Network":
        """Return the same network with a copy of the parameter vector."""
        return Network(self.architecture, aligned_copy(self.parameters))

    def forward(self, inputs: NDArray | sparse.csr_array, outputs: list[NDArray]) -> NDArray:
        """Return the raw scores for prediction: without dropout, and without changing the network.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, n_features)
            Rows in the dtype of the parameters.
        outputs : list of ndarray
            One array for the outputs of each layer (see `output_buffers`), overwritten.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows), C-contiguous
            Logits, one row for each class. With a single member, they are the transpose of the
            last array in `outputs`. With several members, they are the logits of the mean
            probabilities.
        """
        if len(self.members) == 1:
            return self.members[0].forward(inputs, outputs)
        scores = [member.forward(inputs, outputs).copy() for member in self.members]
        return LOSSES[self.architecture.loss].average(np.array(scores))

    def output_buffers(self, n_rows: int, empty: Callable = aligned_empty) -> list[NDArray]:
        """Return an array for the outputs of each layer, for `n_rows` rows."""
        *hidden, n_outputs = self.architecture.layer_sizes[1:]
        dtype = self.parameters.dtype
        logits = empty((n_outputs, n_rows), dtype)
        return [empty((n_rows, width), dtype) for width in hidden] + [logits.T]

    def constrain(self, max_norm: float) -> None:
        """Rescale the weights into each hidden unit if their norm is larger than `max_norm`."""
        for layer in chain.from_iterable(member.layers[:-1] for member in self.members):
            coef = layer.dense.weights
            norms = np.sqrt(np.einsum("ij,ij->j", coef, coef))
            if (norms > max_norm).any():
                coef *= max_norm / np.maximum(norms, max_norm)

    def decision_function(self, rows: RowSource, chunk_rows: int) -> NDArray:
        """Return the raw scores of all rows, computed chunk by chunk.

        Parameters
        ----------
        rows : RowSource
            Source of the rows.
        chunk_rows : int
            Number of rows in a chunk.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows)
        """
        n_rows = len(rows)
        if n_rows <= chunk_rows:
            return self._scores_of_chunk(rows, 0, n_rows, [])
        logits = np.empty((self.architecture.layer_sizes[-1], n_rows), self.parameters.dtype)
        for part, scores in self.scores_by_chunk(rows, chunk_rows):
            logits[:, part] = scores
        return logits

    def scores_by_chunk(self, rows: RowSource, chunk_rows: int) -> Iterator[tuple[slice, NDArray]]:
        """Yield the raw scores chunk by chunk.

        Parameters
        ----------
        rows : RowSource
            Source of the rows.
        chunk_rows : int
            Number of rows in a chunk.

        Yields
        ------
        part : slice
            Rows of the chunk.
        scores : ndarray of shape (n_outputs, n_part), C-contiguous
            Raw scores of these rows. The array may be overwritten, and is reused for the next
            chunk.
        """
        buffers: list[NDArray] = []
        for start in range(0, len(rows), chunk_rows):
            stop = min(start + chunk_rows, len(rows))
            yield slice(start, stop), self._scores_of_chunk(rows, start, stop, buffers)

    def _scores_of_chunk(
        self, rows: RowSource, start: int, stop: int, buffers: list[NDArray]
    ) -> NDArray:
        """Return the scores of consecutive rows; replace `buffers` if they have another size."""
        inputs = _at_least_two(rows.chunk(start, stop))
        if not buffers or len(buffers[-1]) != inputs.shape[0]:
            buffers[:] = self.output_buffers(inputs.shape[0], np.empty)
        scores = self.forward(inputs, buffers)
        n_rows = stop - start
        return scores if scores.shape[1] == n_rows else scores[:, :n_rows].copy()


def _make_member(architecture: Architecture, views: VectorViews) -> Member:
    """Return a member whose parameters are the given views."""
    embedding = None
    if architecture.embedding is not None:
        given = views.embedding_weights, views.places, views.slopes
        embedding = NumericalEmbedding(architecture.embedding, *(part[0] for part in given))
    layers = []
    pairs = zip(views.coefs, views.intercepts, strict=True)
    norms = views.scales, views.shifts, views.means, views.variances
    for depth, (coef, intercept) in enumerate(pairs):
        normalization: BatchNormalization | LayerNormalization | None = None
        activation = None
        if depth < len(architecture.activations):
            activation = ACTIVATIONS[architecture.activations[depth]]
            if architecture.normalization == "batch":
                normalization = BatchNormalization(*(part[depth] for part in norms))
            elif architecture.normalization == "layer":
                normalization = LayerNormalization(*(part[depth] for part in norms[:2]))
        layers.append(Layer(Dense(coef, intercept), normalization, activation))
    return Member(embedding, layers)


def _at_least_two(inputs: NDArray | sparse.csr_array) -> NDArray | sparse.csr_array:
    """Duplicate a single dense row; return other inputs unchanged.

    BLAS uses another order of summation for a product with a single row. If the row is duplicated,
    its scores are almost always the same as in a larger batch.
    """
    if inputs.shape[0] == 1 and isinstance(inputs, np.ndarray):
        return np.concatenate((inputs, inputs))
    return inputs


def parameter_views(
    architecture: Architecture, vector: NDArray, skip_first: bool = False
) -> VectorViews:
    """Split a parameter vector or a gradient into views.

    Parameters
    ----------
    architecture : Architecture
        Architecture of the network.
    vector : ndarray of shape (n_parameters,) or (n_trainable,)
        Parameter vector, or gradient.
    skip_first : bool
        Whether the vector lacks the first weight matrix; only for a single member.

    Returns
    -------
    VectorViews
    """
    normalization, has_all = architecture.normalization, vector.size > architecture.n_trainable
    matrices: list[tuple[int, ...]] = list(architecture.weight_shapes)
    vectors: list[tuple[int, ...]] = [(width,) for width in architecture.layer_sizes[1:]]
    norms = vectors[:-1] if normalization else []
    averages = vectors[:-1] if normalization == "batch" and has_all else []
    mixing: list[tuple[int, ...]] = []
    functions: list[tuple[int, ...]] = []
    if architecture.embedding is not None:
        mixing = [architecture.embedding[1:]]
        _, n_numbers, _, n_functions = architecture.embedding
        functions = [(n_numbers, n_functions)] * 2 if has_all else []
    kinds = [
        *(matrices[skip_first:], mixing, vectors, norms, norms),
        *(averages, averages, functions[:1], functions[1:]),
    ]
    start = 0
    parts = []
    for shapes in kinds:
        views = []
        for shape in shapes * architecture.n_members:
            stop = start + math.prod(shape)
            views.append(vector[start:stop].reshape(shape))
            start = stop
        parts.append(ParameterViews(views))
    return VectorViews(*parts)
