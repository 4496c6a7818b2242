"""Small networks with random parameters, batches to run through them, settings to train them."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skann.engine.network import Architecture, Network
from skann.engine.settings import Embedding, Settings
from skann.engine.state import TrainingState

N_ROWS, N_FEATURES = 11, 6
N_OUTPUTS = {"binary": 1, "multiclass": 4, "multilabel-indicator": 3}


def random_network(
    n_outputs: int,
    activation: str = "tanh",
    hidden: tuple[int, ...] = (5, 4),
    dtype: DTypeLike = np.float64,
    seed: int = 0,
    normalization: str | None = None,
    embedding: Embedding | None = None,
) -> Network:
    """Return a network whose biases, scales, shifts and averages are random as well."""
    rng = np.random.default_rng(seed)
    sizes = (N_FEATURES, *hidden, n_outputs)
    activations = (activation,) * len(hidden)
    architecture = Architecture(sizes, activations, normalization, embedding=embedding)
    network = Network.random(architecture, dtype, rng)
    # Biases away from zero, so that no rectifier sits on its kink.
    rest = network.trainable[network.weights.size :]
    rest += 0.3 * rng.standard_normal(rest.size)
    averages = network.parameters[architecture.n_trainable :]
    averages += 0.3 * rng.random(averages.size)
    for member in network.members:
        if member.embedding is not None:
            member.embedding.begin(rng, 0.3, random_inputs())
    return network


def random_inputs(seed: int = 1) -> NDArray:
    """Return rows of which some entries are zero."""
    X = np.random.default_rng(seed).standard_normal((N_ROWS, N_FEATURES))
    X[np.abs(X) < 0.4] = 0
    return X


def random_targets(kind: str, seed: int = 2) -> NDArray:
    """Return codes or indicators for `N_OUTPUTS`."""
    rng = np.random.default_rng(seed)
    if kind == "multilabel-indicator":
        return rng.integers(0, 2, (N_ROWS, 3)).astype(np.int8)
    return rng.integers(0, max(N_OUTPUTS[kind], 2), N_ROWS)


def make_settings(network: Network, **changes: Any) -> Settings:
    """Return settings to train a network with: plain steps in the order of the rows."""
    settings: dict[str, Any] = {
        "architecture": network.architecture,
        "dtype": str(network.parameters.dtype),
        "loss": "multiclass",
        "solver": "sgd",
        "alpha": 0.1,
        "batch_size": 16,
        "learning_rate": "constant",
        "learning_rate_init": 0.1,
        "warmup": 0.0,
        "power_t": 0.5,
        "max_iter": 4,
        "shuffle": False,
        "tol": 0.0,
        "momentum": 0.9,
        "nesterovs_momentum": True,
        "early_stopping": False,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "n_iter_no_change": 100,
        "max_fun": 1000,
        "dropout": (0.0,),
        "input_dropout": 0.0,
        "input_noise": 0.0,
        "label_smoothing": 0.0,
        "max_norm": None,
        "gradient_clip_norm": None,
        "ema_decay": None,
    }
    return Settings(**(settings | changes))


def start_of(network: Network, seed: int = 0) -> TrainingState:
    """Return what a training of a network starts from, with a stream of random numbers."""
    return TrainingState(network.parameters, np.random.default_rng(seed).bit_generator.state)
