"""Adam on a sparse first layer, against the dense update."""

import numpy as np
import pytest
from scipy import sparse

from skann.engine.layers import SparseGradient
from skann.engine.sparse_adam import SparseAdam
from tests.test_optimizers import HYPERPARAMETERS, make

pytestmark = pytest.mark.kernels


class LazyPair:
    """A dense and a lazy Adam on a weight matrix of 5 rows and 2 columns, and 3 parameters more.

    One of these is a weight as well.
    """

    def __init__(self, name="adam", **changes):
        self.rng = np.random.default_rng(0)
        start = self.rng.normal(size=13)
        self.parameters, self.lazy_parameters = start.copy(), start.copy()
        self.gradient, self.rest = np.empty(13), np.empty(3)
        self.sparse_gradient = SparseGradient(5)
        self.dense = make(name, self.parameters, self.gradient, 11, **changes)
        self.lazy = SparseAdam(
            self.lazy_parameters,
            self.rest,
            11,
            self.sparse_gradient,
            decouples_decay=name == "adamw",
            **(HYPERPARAMETERS | changes),
        )

    def steps(self, touched, n_steps, decay=0.0, rate=0.01):
        """Make steps at a rate that changes; check that what a batch reads is settled."""
        for step in range(n_steps):
            rows = np.flatnonzero(touched(step))
            self.lazy.shrink(rows)
            if self.dense.decouples_decay and self.dense.beta_1 == 0:
                read, expected = (
                    vector[:10].reshape(5, 2)[rows]
                    for vector in (self.lazy_parameters, self.parameters)
                )
                np.testing.assert_allclose(read, expected, rtol=1e-12)
            self.gradient[:] = 0
            self.gradient[10:] = self.rest[:] = self.rng.normal(size=3)
            values = self.rng.normal(size=(len(rows), 2))
            self.gradient[:10].reshape(5, 2)[rows] = values
            self.sparse_gradient.rows, self.sparse_gradient.values = rows, values
            self.dense.step(rate / (step + 1), decay)
            self.lazy.step(rate / (step + 1), decay)
        return self

    def assert_equal(self):
        self.lazy.settle()
        np.testing.assert_allclose(self.lazy_parameters, self.parameters, rtol=1e-12)
        self.assert_states_equal()

    def assert_states_equal(self):
        state = self.lazy.state()
        for name, expected in self.dense.state().items():
            np.testing.assert_allclose(state[name], expected, rtol=1e-12)


LAZY = pytest.mark.parametrize("name", ["adam", "adamw"])


def third_rows(step):
    return np.arange(5) % 3 == step % 3


class TestSparseAdam:
    @LAZY
    def test_equal_the_dense_update_where_every_batch_touches_every_row(self, name):
        LazyPair(name).steps(lambda step: np.ones(5), 7, decay=0.1).assert_equal()

    @LAZY
    @pytest.mark.parametrize("beta_1", [0.9, 0.01])
    def test_moments_of_rows_that_rest_decay_as_under_gradients_of_zero(self, name, beta_1):
        LazyPair(name, beta_1=beta_1).steps(third_rows, 8).assert_states_equal()

    def test_equal_the_dense_update_without_first_moment_and_penalty(self):
        # A row that rests has no first moment then that would move it on.
        LazyPair("adam", beta_1=0.0).steps(third_rows, 11).assert_equal()

    @pytest.mark.parametrize("decay", [0.1, 60.0, 100.0, 1000.0])
    def test_decoupled_decay_of_rows_that_rest_is_that_of_the_dense_update(self, decay):
        # The rate starts at 0.01: the weights shrink by a little, by more, to nothing.
        pair = LazyPair("adamw", beta_1=0.0)
        for n_steps in (11, 1, 4):  # As in epochs, after which all is settled.
            pair.steps(third_rows, n_steps, decay=decay).assert_equal()

    def test_decoupled_decay_is_the_product_of_all_that_was_missed(self):
        pair = LazyPair("adamw")
        before = pair.lazy_parameters[:10].copy()
        pair.steps(lambda step: np.zeros(5), 6, decay=2.0)
        np.testing.assert_array_equal(pair.lazy_parameters[:10], before)
        pair.lazy.shrink(np.array([1, 3]))
        missed = np.prod([1 - 0.01 / step * 2.0 for step in range(1, 7)])
        factors = np.repeat([1, missed, 1, missed, 1], 2)
        np.testing.assert_allclose(pair.lazy_parameters[:10], factors * before, rtol=1e-12)
        pair.lazy.settle()
        pair.lazy.settle()
        np.testing.assert_allclose(pair.lazy_parameters[:10], missed * before, rtol=1e-12)

    def test_rows_that_no_batch_touches_rest(self):
        pair = LazyPair()
        before = pair.lazy_parameters.copy()
        pair.steps(lambda step: np.array([1, 0, 1, 1, 0]), 5, decay=0.1)
        moved = (pair.lazy_parameters != before)[:10].reshape(5, 2)
        np.testing.assert_array_equal(moved.all(axis=1), [True, False, True, True, False])

    @LAZY
    def test_go_on_from_a_state(self, name):
        pair = LazyPair(name).steps(lambda step: np.arange(5) == step, 3, decay=0.1)
        state = pair.lazy.state()
        other = LazyPair(name)
        other.lazy.load_state(state)
        for key, expected in state.items():
            np.testing.assert_array_equal(other.lazy.state()[key], expected)
        other.parameters[:] = other.lazy_parameters[:] = pair.lazy_parameters
        other.dense.load_state(state)
        other.steps(lambda step: np.ones(5), 4, decay=0.1).assert_equal()

    @LAZY
    def test_a_batch_names_the_rows_that_it_reads(self, name):
        pair = LazyPair(name)
        batch = sparse.csr_array(np.array([[0, 1.0, 0, 0, 0], [0, 2.0, 0, 3.0, 0]]))
        pair.lazy.prepare(batch)
        np.testing.assert_array_equal(pair.sparse_gradient.rows, [1, 3])
