"""JAX, an epoch compiled as a whole."""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.contestants import Recipe, Training
from tests.benchmarks.data import Split

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Trainer:
    """Runs `jax.lax.scan` over the batches inside one jitted function with donated state.

    Parameters
    ----------
    data : Split
        Float32 rows.
    recipe : Recipe
        How to train; the rate has to be constant.
    """

    def __init__(self, data: Split, recipe: Recipe) -> None:
        recipe.require_constant_rate("JAX")
        self._X, self._y = jnp.asarray(data.X_train), jnp.asarray(data.y_train, jnp.int32)
        self._test = data.X_test, data.y_test
        n_classes = int(data.y_train.max()) + 1
        self._sizes = (data.X_train.shape[1], *recipe.hidden, n_classes)
        self._batch = min(recipe.batch_size, len(data.X_train))
        self._epoch = jax.jit(
            partial(_epoch, batch=self._batch, rate=recipe.learning_rate, decay=recipe.alpha / 2),
            donate_argnums=0,
        )
        self.train(1, 0)  # compiles

    def train(self, epochs: int, seed: int) -> Training:
        """Train a network."""
        rng = np.random.default_rng(seed)
        ends = []
        start = time.perf_counter()
        parameters = [
            (
                jnp.asarray(rng.standard_normal(pair) * np.sqrt(2 / pair[0]), jnp.float32),
                jnp.zeros(pair[1], jnp.float32),
            )
            for pair in zip(self._sizes[:-1], self._sizes[1:], strict=True)
        ]
        first, second = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
        state = parameters, first, second, jnp.float32(0)
        for _ in range(epochs):
            order = jnp.asarray(rng.permutation(len(self._X)), jnp.int32)
            state = jax.block_until_ready(self._epoch(state, order, self._X, self._y))
            ends.append(time.perf_counter())
        seconds = time.perf_counter() - start
        X, y = self._test
        accuracy = float(jnp.mean(_scores(state[0], X).argmax(axis=1) == y))
        return Training(seconds, ends, accuracy)


def _scores(parameters, X):
    for weights, bias in parameters[:-1]:
        X = jax.nn.relu(X @ weights + bias)
    weights, bias = parameters[-1]
    return X @ weights + bias


def _loss(parameters, X, y, decay):
    log_probabilities = jax.nn.log_softmax(_scores(parameters, X))
    fit = -jnp.take_along_axis(log_probabilities, y[:, None], axis=1).mean()
    return fit + decay / len(X) * sum(jnp.sum(weights**2) for weights, _ in parameters)


def _step(state, rows, X, y, rate, decay):
    parameters, first, second, t = state
    gradient = jax.grad(_loss)(parameters, X[rows], y[rows], decay)
    t += 1
    first = jax.tree.map(lambda m, g: _BETA_1 * m + (1 - _BETA_1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: _BETA_2 * v + (1 - _BETA_2) * g * g, second, gradient)
    rate = rate * jnp.sqrt(1 - _BETA_2**t) / (1 - _BETA_1**t)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) + _EPSILON), parameters, first, second
    )
    return parameters, first, second, t


def _epoch(state, order, X, y, batch, rate, decay):
    n_full = len(order) // batch
    full = order[: n_full * batch].reshape(n_full, batch)
    state, _ = jax.lax.scan(
        lambda state, rows: (_step(state, rows, X, y, rate, decay), None), state, full
    )
    if n_full * batch < len(order):
        state = _step(state, order[n_full * batch :], X, y, rate, decay)
    return state
