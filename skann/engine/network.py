"""The layer stack over one flat parameter vector."""

import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skann.engine.activations import ACTIVATIONS, Activation
from skann.engine.embeddings import NumericalEmbedding
from skann.engine.initializers import INITIALIZERS
from skann.engine.layers import BatchNormalization, Dense, LayerNormalization
from skann.engine.losses import LOSSES
from skann.engine.memory import aligned_copy, aligned_empty
from skann.engine.settings import Architecture

if TYPE_CHECKING:
    from skann.engine.rows import RowSource


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


class VectorViews(NamedTuple):
    """A parameter vector, or a gradient, split into views.

    Attributes
    ----------
    coefs : ParameterViews
        Weight matrices of shape (fan_in, fan_out).
    embedding_weights : ParameterViews
        Of the numerical embedding.
    intercepts : ParameterViews
        Bias vectors of shape (fan_out,).
    scales, shifts : ParameterViews
        Of the normalisation of each hidden layer.
    means, variances : ParameterViews
        Running averages of batch normalisation; empty in a gradient.
    places, slopes : ParameterViews
        Of the functions of the numerical embedding; empty in a gradient.
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
        """Return the views of each member: in every list they follow one another."""
        return [
            VectorViews(*(ParameterViews(_share(part, member, n_members)) for part in self))
            for member in range(n_members)
        ]


def _share(views: list, member: int, n_members: int) -> list:
    size = len(views) // n_members
    return views[member * size : (member + 1) * size]


class Layer(NamedTuple):
    """A fully connected layer with what is applied to its outputs."""

    dense: Dense
    normalization: BatchNormalization | LayerNormalization | None
    activation: Activation | None


class Member(NamedTuple):
    """One of the networks whose probabilities are averaged.

    Attributes
    ----------
    embedding : NumericalEmbedding or None
        Of the inputs.
    layers : list of Layer
        From the first hidden layer to the output layer, which has neither normalisation nor
        activation: its link belongs to the loss.
    """

    embedding: NumericalEmbedding | None
    layers: list[Layer]

    def forward(self, inputs: NDArray | sparse.csr_array, outputs: list[NDArray]) -> NDArray:
        """Compute raw scores; see `Network.forward`."""
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
    """A multi-layer perceptron up to its raw scores, or several whose probabilities are averaged.

    All parameters are views of one vector: weights first, so that weight decay is one
    slice, then biases, then scales and shifts of the normalisation, and last what has no
    gradient: the averages that batch normalisation keeps and the functions of an embedding. An
    optimizer step is a few passes over one array, and a copy of the model one copy. In each of
    these parts, those of several members follow one another.

    Parameters
    ----------
    architecture : Architecture
        What the network is made of.
    parameters : ndarray of shape (n_parameters,)
        The parameter vector; the network works on it, not on a copy.

    Attributes
    ----------
    members : list of Member
        The networks, nearly always one.
    coefs : ParameterViews
        Weight matrices, views of `parameters`; those of all members.
    intercepts : ParameterViews
        Bias vectors, views of `parameters`; those of all members.
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
        """Make a network with random weights and zero biases.

        Parameters
        ----------
        architecture : Architecture
            What the network is made of.
        dtype : dtype-like
            Computing dtype. The draws are the same in every dtype, up to rounding.
        rng : numpy.random.Generator
            Source of randomness.
        kernel_initializer : str
            Initializer of the weights, a name in `skann.engine.initializers.INITIALIZERS`.
            "auto" for the one that suits each layer's activation, and Glorot's for the output
            layer.

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
        """The part of `parameters` that has a gradient."""
        return self.parameters[: self.architecture.n_trainable]

    @property
    def weights(self) -> NDArray:
        """The part of `parameters` that is penalised."""
        return self.parameters[: self.architecture.n_weights]

    def copy(self) -> "Network":
        """Return the same network on a parameter vector of its own."""
        return Network(self.architecture, aligned_copy(self.parameters))

    def forward(self, inputs: NDArray | sparse.csr_array, outputs: list[NDArray]) -> NDArray:
        """Compute raw scores, as in prediction: nothing is random, the network is only read.

        Parameters
        ----------
        inputs : ndarray or CSR array of shape (n_rows, n_features)
            Rows in the computing dtype.
        outputs : list of ndarray
            One array for each layer's outputs (see `output_buffers`), overwritten.

        Returns
        -------
        ndarray of shape (n_outputs, n_rows), C-contiguous
            The logits, class by class: of a single member the transpose of the last of
            `outputs`, of several those of their mean probabilities.
        """
        if len(self.members) == 1:
            return self.members[0].forward(inputs, outputs)
        scores = [member.forward(inputs, outputs).copy() for member in self.members]
        return LOSSES[self.architecture.loss].average(np.array(scores))

    def output_buffers(self, n_rows: int, empty: Callable = aligned_empty) -> list[NDArray]:
        """Return arrays for the outputs of every layer, for `n_rows` rows."""
        *hidden, n_outputs = self.architecture.layer_sizes[1:]
        dtype = self.parameters.dtype
        logits = empty((n_outputs, n_rows), dtype)
        return [empty((n_rows, width), dtype) for width in hidden] + [logits.T]

    def constrain(self, max_norm: float) -> None:
        """Shorten the vector of weights into each hidden unit to at most `max_norm`."""
        for layer in chain.from_iterable(member.layers[:-1] for member in self.members):
            coef = layer.dense.weights
            norms = np.sqrt(np.einsum("ij,ij->j", coef, coef))
            if (norms > max_norm).any():
                coef *= max_norm / np.maximum(norms, max_norm)

    def decision_function(self, rows: "RowSource", chunk_rows: int) -> NDArray:
        """Compute raw scores of all rows, chunk by chunk; the network is only read.

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
        if n_rows <= chunk_rows:
            return self._scores_of_chunk(rows, 0, n_rows, [])
        logits = np.empty((self.architecture.layer_sizes[-1], n_rows), self.parameters.dtype)
        for part, scores in self.scores_by_chunk(rows, chunk_rows):
            logits[:, part] = scores
        return logits

    def scores_by_chunk(
        self, rows: "RowSource", chunk_rows: int
    ) -> Iterator[tuple[slice, NDArray]]:
        """Yield raw scores chunk by chunk; the network is only read.

        Parameters
        ----------
        rows : RowSource
            Source of the rows (see `skann.engine.batches`).
        chunk_rows : int
            Number of rows computed at once.

        Yields
        ------
        part : slice
            Which rows they are.
        scores : ndarray of shape (n_outputs, n_part), C-contiguous
            Valid until the next chunk; may be overwritten.
        """
        buffers: list[NDArray] = []
        for start in range(0, len(rows), chunk_rows):
            stop = min(start + chunk_rows, len(rows))
            yield slice(start, stop), self._scores_of_chunk(rows, start, stop, buffers)

    def _scores_of_chunk(
        self, rows: "RowSource", start: int, stop: int, buffers: list[NDArray]
    ) -> NDArray:
        """Return the scores of consecutive rows; replace `buffers` where they do not fit."""
        inputs = _at_least_two(rows.chunk(start, stop))
        if not buffers or len(buffers[-1]) != inputs.shape[0]:
            buffers[:] = self.output_buffers(inputs.shape[0], np.empty)
        scores = self.forward(inputs, buffers)
        n_rows = stop - start
        return scores if scores.shape[1] == n_rows else scores[:, :n_rows].copy()


def _make_member(architecture: Architecture, views: VectorViews) -> Member:
    """Return a member whose parameters are views."""
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
    """Double a single dense row.

    BLAS sums a product with one vector in another order than one with several; as one of two
    equal rows, a row gets nearly always the scores it has in a batch.
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
        Of the network that it belongs to.
    vector : ndarray of shape (n_parameters,) or (n_trainable,)
        What to split.
    skip_first : bool
        Whether the first weight matrix, of a single member, is not part of the vector.

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
