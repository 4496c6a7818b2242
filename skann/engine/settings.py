"""What a network is made of and what a fit is to do, as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


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
    """

    layer_sizes: tuple[int, ...]
    activations: tuple[str, ...]
    normalization: str | None = None
    n_members: int = 1
    loss: str = "multiclass"

    @property
    def n_weights(self) -> int:
        """Number of weights, the first part of the parameter vector."""
        products = (fan_in * fan_out for fan_in, fan_out in pairwise(self.layer_sizes))
        return self.n_members * sum(products)

    @property
    def n_trainable(self) -> int:
        """Number of weights, biases, scales and shifts, which have a gradient."""
        norms = 2 * sum(self.layer_sizes[1:-1]) if self.normalization else 0
        return self.n_weights + self.n_members * (sum(self.layer_sizes[1:]) + norms)

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector: batch normalisation keeps averages at its end."""
        averages = 2 * sum(self.layer_sizes[1:-1]) if self.normalization == "batch" else 0
        return self.n_trainable + self.n_members * averages


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
