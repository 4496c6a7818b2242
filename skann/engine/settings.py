"""What a network is made of and what a fit is to do, as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self


class Embedding(NamedTuple):
    """How a network embeds numbers (see `skann.engine.embeddings`).

    Attributes
    ----------
    kind : str
        A name in `skann.engine.embeddings.EMBEDDINGS`.
    n_numbers : int
        Inputs that are embedded, the first ones.
    width : int
        Combinations of functions of each number.
    n_functions : int
        Functions of each number.
    """

    kind: str
    n_numbers: int
    width: int
    n_functions: int

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return self.n_numbers * self.n_functions * self.width


class Architecture(NamedTuple):
    """What a network is made of.

    Attributes
    ----------
    layer_sizes : tuple of int
        Units of every layer, from the inputs to the outputs.
    activations : tuple of str
        Activation of each hidden layer, names in `skann.engine.activations.ACTIVATIONS`.
    normalization : {"batch", "layer"} or None
        Of the hidden layers, before their activations.
    n_members : int
        Networks of these layers, whose probabilities are averaged.
    loss : str
        What they are trained by, a name in `skann.engine.losses.LOSSES`: it says what the raw
        scores of several members are together.
    embedding : Embedding or None
        Of the inputs; each member has its own.
    """

    layer_sizes: tuple[int, ...]
    activations: tuple[str, ...]
    normalization: str | None = None
    n_members: int = 1
    loss: str = "multiclass"
    embedding: Embedding | None = None

    @classmethod
    def from_tree(cls, values: tuple) -> Self:
        """Return the architecture whose `to_tree` gave values."""
        architecture = cls(*values)
        embedding = architecture.embedding
        return architecture._replace(embedding=embedding and Embedding(*embedding))

    def to_tree(self) -> tuple:
        """Return plain tuples, to be pickled."""
        return *self[:-1], self.embedding and tuple(self.embedding)

    @property
    def weight_shapes(self) -> list[tuple[int, int]]:
        """Shapes of a member's weight matrices; the first has rows for embedded inputs as well."""
        n_features, *sizes = self.layer_sizes
        if self.embedding is not None:
            n_features += self.embedding.n_numbers * self.embedding.width
        return list(pairwise((n_features, *sizes)))

    @property
    def widest(self) -> int:
        """Most numbers that a row has on its way through the network."""
        widths = [*self.layer_sizes, self.weight_shapes[0][0]]
        if self.embedding is not None:
            widths.append(self.embedding.n_numbers * self.embedding.n_functions)
        return max(widths)

    @property
    def n_weights(self) -> int:
        """Number of weights, the first part of the parameter vector."""
        n_weights = sum(fan_in * fan_out for fan_in, fan_out in self.weight_shapes)
        n_weights += 0 if self.embedding is None else self.embedding.n_weights
        return self.n_members * n_weights

    @property
    def n_trainable(self) -> int:
        """Number of weights, biases, scales and shifts, which have a gradient."""
        norms = 2 * sum(self.layer_sizes[1:-1]) if self.normalization else 0
        return self.n_weights + self.n_members * (sum(self.layer_sizes[1:]) + norms)

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector, at whose end is what has no gradient."""
        averages = 2 * sum(self.layer_sizes[1:-1]) if self.normalization == "batch" else 0
        functions = 0
        if self.embedding is not None:
            functions = 2 * self.embedding.n_numbers * self.embedding.n_functions
        return self.n_trainable + self.n_members * (averages + functions)


@dataclass(frozen=True)
class Settings:
    """What a fit is to do, nothing left to ``"auto"``; names as in `ANNClassifier`.

    `one_thread` is for fits that run beside others in threads of one process: their products
    would take the cores from each other.
    """

    architecture: Architecture
    dtype: str
    loss: str
    solver: str
    alpha: float
    batch_size: int
    learning_rate: str | Callable[[int], float]
    learning_rate_init: float
    warmup: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: tuple[float, ...]
    input_dropout: float
    input_noise: float
    label_smoothing: float
    max_norm: float | None
    gradient_clip_norm: float | None
    ema_decay: float | None
    augmentation: Callable | None = None
    one_thread: bool = False
