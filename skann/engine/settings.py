"""The architecture of a network and the settings of a fit, as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self


class Embedding(NamedTuple):
    """Settings of a numerical embedding (see `skann.engine.embeddings`).

    Attributes
    ----------
    kind : str
        Name of the embedding in `skann.engine.embeddings.EMBEDDINGS`.
    n_numbers : int
        Number of inputs that are embedded. They come first.
    width : int
        Number of combinations for each embedded number.
    n_functions : int
        Number of functions that each combination consists of.
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
    """Architecture of a network.

    Attributes
    ----------
    layer_sizes : tuple of int
        Number of units in each layer, from the input layer to the output layer.
    activations : tuple of str
        Activation of each hidden layer, a name in `skann.engine.activations.ACTIVATIONS`.
    normalization : {"batch", "layer"} or None
        Normalisation of the hidden layers before their activations.
    n_members : int
        Number of networks with these layers, whose probabilities are averaged.
    loss : str
        Name of the loss in `skann.engine.losses.LOSSES`. The loss also defines how the raw scores
        of several members are combined.
    embedding : Embedding or None
        Embedding of the inputs. Each member has its own embedding with these settings.
    """

    layer_sizes: tuple[int, ...]
    activations: tuple[str, ...]
    normalization: str | None = None
    n_members: int = 1
    loss: str = "multiclass"
    embedding: Embedding | None = None

    @classmethod
    def from_tree(cls, values: tuple) -> Self:
        """Return the architecture from the result of `to_tree`."""
        architecture = cls(*values)
        embedding = architecture.embedding
        return architecture._replace(embedding=embedding and Embedding(*embedding))

    def to_tree(self) -> tuple:
        """Return the architecture as plain tuples, for pickling."""
        return *self[:-1], self.embedding and tuple(self.embedding)

    @property
    def weight_shapes(self) -> list[tuple[int, int]]:
        """Shapes of a member's weight matrices; the first includes the embedded inputs."""
        n_features, *sizes = self.layer_sizes
        if self.embedding is not None:
            n_features += self.embedding.n_numbers * self.embedding.width
        return list(pairwise((n_features, *sizes)))

    @property
    def widest(self) -> int:
        """Maximum number of values that a row has at any stage of the forward pass."""
        widths = [*self.layer_sizes, self.weight_shapes[0][0]]
        if self.embedding is not None:
            widths.append(self.embedding.n_numbers * self.embedding.n_functions)
        return max(widths)

    @property
    def n_weights(self) -> int:
        """Number of weights, which form the first part of the parameter vector."""
        n_weights = sum(fan_in * fan_out for fan_in, fan_out in self.weight_shapes)
        n_weights += 0 if self.embedding is None else self.embedding.n_weights
        return self.n_members * n_weights

    @property
    def n_trainable(self) -> int:
        """Number of parameters that have a gradient: weights, biases, scales and shifts."""
        norms = 2 * sum(self.layer_sizes[1:-1]) if self.normalization else 0
        return self.n_weights + self.n_members * (sum(self.layer_sizes[1:]) + norms)

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector; the parameters without a gradient come last."""
        averages = 2 * sum(self.layer_sizes[1:-1]) if self.normalization == "batch" else 0
        functions = 0
        if self.embedding is not None:
            functions = 2 * self.embedding.n_numbers * self.embedding.n_functions
        return self.n_trainable + self.n_members * (averages + functions)


@dataclass(frozen=True)
class Settings:
    """Settings of a fit, in which every ``"auto"`` has been replaced.

    The names are those of the parameters of `ANNClassifier`. `one_thread` limits BLAS to one
    thread: it is set if several fits run in threads of one process, which would otherwise compete
    for the cores.
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
