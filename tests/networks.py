"""Small networks with random parameters, and batches to run through them."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skann.engine.network import Architecture, Network

N_ROWS, N_FEATURES = 11, 6
N_OUTPUTS = {"binary": 1, "multiclass": 4, "multilabel-indicator": 3}


def random_network(
    n_outputs: int,
    activation: str = "tanh",
    hidden: tuple[int, ...] = (5, 4),
    dtype: DTypeLike = np.float64,
    seed: int = 0,
    normalization: str | None = None,
) -> Network:
    """Return a network whose biases, scales, shifts and averages are random as well."""
    rng = np.random.default_rng(seed)
    sizes = (N_FEATURES, *hidden, n_outputs)
    architecture = Architecture(sizes, (activation,) * len(hidden), normalization)
    network = Network.random(architecture, dtype, rng)
    # Biases away from zero, so that no rectifier sits on its kink.
    rest = network.trainable[network.weights.size :]
    rest += 0.3 * rng.standard_normal(rest.size)
    averages = network.parameters[architecture.n_trainable :]
    averages += 0.3 * rng.random(averages.size)
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
