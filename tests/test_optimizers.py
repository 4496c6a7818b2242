import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skann.engine.layers import SparseGradient
from skann.engine.optimizers import OPTIMIZERS, Adam, minimize_lbfgs

HYPERPARAMETERS = {
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
}
# Longer than one block of a step, so that several are walked through.
LONG = 40_000


def make(name, parameters, gradient, n_weights, **changes):
    return OPTIMIZERS[name](parameters, gradient, n_weights, **(HYPERPARAMETERS | changes))


def quadratic(x):
    return 0.5 * float(x @ (np.array([1.0, 10.0, 0.1]) * x))


def quadratic_gradient(x):
    return np.array([1.0, 10.0, 0.1]) * x


OBJECTIVES = {
    "quadratic": (quadratic, quadratic_gradient, np.array([1.0, -2.0, 3.0]), 1e-4),
    "rosenbrock": (rosen, rosen_der, np.array([-0.5, 0.5]), 1e-2),
}
RATES = {("sgd", "rosenbrock"): 2e-4}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_finds_the_minimum(name, objective):
    function, derivative, start, close = OBJECTIVES[objective]
    parameters, gradient = start.copy(), np.empty_like(start)
    optimizer = make(name, parameters, gradient, start.size)
    for _ in range(4000):
        gradient[...] = derivative(parameters)
        optimizer.step(RATES.get((name, objective), 2e-2), 0.0)
    assert function(parameters) < close * function(start)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_lbfgs_finds_the_minimum(objective):
    function, derivative, start, _ = OBJECTIVES[objective]
    points = []
    result = minimize_lbfgs(
        lambda x: (function(x), derivative(x)),
        start,
        lambda intermediate_result: points.append(intermediate_result.x),
        max_iter=200,
        max_fun=1000,
        tol=1e-8,
    )
    assert result.success
    assert function(result.x) < 1e-10
    assert len(points) == result.nit


def test_lbfgs_says_when_it_ran_out_of_iterations():
    result = minimize_lbfgs(
        lambda x: (rosen(x), rosen_der(x)),
        np.array([-1.0, 2.0]),
        lambda intermediate_result: None,
        max_iter=2,
        max_fun=1000,
        tol=1e-8,
    )
    assert not result.success
    assert "ITERATIONS" in result.message


def random_gradients(n_steps, size, seed=0):
    return np.random.default_rng(seed).standard_normal((n_steps, size))


@pytest.mark.parametrize("size", [5, LONG])
def test_adam_follows_the_papers_formulas(size):
    parameters = np.ones(size)
    gradient = np.empty(size)
    beta_1, beta_2, epsilon, rate, decay = 0.8, 0.95, 1e-3, 0.1, 0.3
    n_weights = size // 2
    adam = Adam(parameters, gradient, n_weights, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
    expected, first, second = parameters.copy(), np.zeros(size), np.zeros(size)
    for t, g in enumerate(random_gradients(4, size), start=1):
        gradient[...] = g
        adam.step(rate, decay)
        g = g.copy()
        g[:n_weights] += decay * expected[:n_weights]
        first = beta_1 * first + (1 - beta_1) * g
        second = beta_2 * second + (1 - beta_2) * g**2
        corrected_first = first / (1 - beta_1**t)
        corrected_second = second / (1 - beta_2**t)
        expected -= rate * corrected_first / (np.sqrt(corrected_second) + epsilon)
    np.testing.assert_allclose(parameters, expected, rtol=1e-12)


def test_adam_equals_scikit_learns():
    # scikit-learn adds epsilon before the bias correction, so keep it out of sight.
    parameters, reference = np.ones(6), [np.ones(6)]
    gradient = np.empty(6)
    adam = make("adam", parameters, gradient, 6, epsilon=1e-300)
    theirs = AdamOptimizer(reference, 0.01, epsilon=1e-300)
    for g in random_gradients(5, 6):
        gradient[...] = g
        adam.step(0.01, 0.0)
        theirs.update_params(reference, [g])
    np.testing.assert_allclose(parameters, reference[0], rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("size", [6, LONG])
def test_sgd_equals_scikit_learns(momentum, nesterov, size):
    parameters, reference = np.ones(size), [np.ones(size)]
    gradient = np.empty(size)
    sgd = make("sgd", parameters, gradient, size, momentum=momentum, nesterovs_momentum=nesterov)
    theirs = SGDOptimizer(reference, 0.05, momentum=momentum, nesterov=nesterov)
    for g in random_gradients(5, size):
        gradient[...] = g
        sgd.step(0.05, 0.0)
        theirs.update_params(reference, [g])
    np.testing.assert_allclose(parameters, reference[0], rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_and_biases_do_not(name):
    parameters, gradient = np.ones(10), np.zeros(10)
    make(name, parameters, gradient, 6).step(0.1, 0.5)
    assert (parameters[:6] < 1).all()
    np.testing.assert_array_equal(parameters[6:], 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("size", [7, LONG])
def test_going_on_from_a_saved_state_gives_the_same_bits(name, size):
    gradients = random_gradients(6, size).astype(np.float32)

    def steps(optimizer, gradient, which):
        for g in which:
            gradient[...] = g
            optimizer.step(0.05, 0.01)

    parameters, gradient = np.ones(size, np.float32), np.empty(size, np.float32)
    optimizer = make(name, parameters, gradient, size - 2)
    steps(optimizer, gradient, gradients[:3])
    resumed_parameters, resumed_gradient = parameters.copy(), np.empty(size, np.float32)
    resumed = make(name, resumed_parameters, resumed_gradient, size - 2)
    state = optimizer.state()
    resumed.load_state(state)
    steps(optimizer, gradient, gradients[3:])
    steps(resumed, resumed_gradient, gradients[3:])
    np.testing.assert_array_equal(resumed_parameters, parameters)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_is_a_copy(name):
    parameters, gradient = np.ones(4), np.ones(4)
    optimizer = make(name, parameters, gradient, 4)
    optimizer.step(0.1, 0.0)
    state = optimizer.state()
    kept = {key: np.copy(value) for key, value in state.items()}
    gradient.fill(1)
    optimizer.step(0.1, 0.0)
    for key, value in kept.items():
        np.testing.assert_array_equal(state[key], value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32(name):
    parameters, gradient = np.ones(4, np.float32), np.ones(4, np.float32)
    optimizer = make(name, parameters, gradient, 4)
    optimizer.step(0.1, 0.1)
    arrays = [value for value in optimizer.state().values() if isinstance(value, np.ndarray)]
    assert arrays
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


class TestLazyRows:
    """Adam on a weight matrix of 5 rows and 2 columns, followed by 3 other parameters."""

    def pair(self):
        rng = np.random.default_rng(0)
        parameters = rng.normal(size=13)
        full_gradient, rest = np.empty(13), np.empty(3)
        sparse_gradient = SparseGradient(5)
        dense = Adam(parameters.copy(), full_gradient, 11, **HYPERPARAMETERS)
        lazy = Adam(parameters.copy(), rest, 11, sparse_gradient, **HYPERPARAMETERS)
        return rng, (dense, full_gradient), (lazy, rest, sparse_gradient)

    def steps(self, touched, n_steps, decay=0.0):
        rng, (dense, full_gradient), (lazy, rest, sparse_gradient) = self.pair()
        for step in range(n_steps):
            rows = np.flatnonzero(touched(step))
            full_gradient[:] = 0
            full_gradient[10:] = rest[:] = rng.normal(size=3)
            values = rng.normal(size=(len(rows), 2))
            full_gradient[:10].reshape(5, 2)[rows] = values
            sparse_gradient.rows, sparse_gradient.values = rows, values
            dense.step(0.01, decay)
            lazy.step(0.01, decay)
        return dense, lazy

    def test_equals_the_dense_update_where_every_batch_touches_every_row(self):
        dense, lazy = self.steps(lambda step: np.ones(5), 7, decay=0.1)
        for name, expected in dense.state().items():
            np.testing.assert_allclose(lazy.state()[name], expected, rtol=1e-12)
        np.testing.assert_allclose(self.parameters_of(lazy), self.parameters_of(dense), rtol=1e-12)

    def test_moments_of_rows_that_rest_decay_as_under_gradients_of_zero(self):
        dense, lazy = self.steps(lambda step: np.arange(5) % 3 == step % 3, 8)
        for name, expected in dense.state().items():
            np.testing.assert_allclose(lazy.state()[name], expected, rtol=1e-12)

    def test_rows_that_no_batch_touches_rest(self):
        _, lazy = self.steps(lambda step: np.array([1, 0, 1, 1, 0]), 5, decay=0.1)
        before = self.parameters_of(self.pair()[2][0])
        moved = (self.parameters_of(lazy) != before)[:10].reshape(5, 2)
        np.testing.assert_array_equal(moved.all(axis=1), [True, False, True, True, False])

    def test_goes_on_from_its_state(self):
        _, lazy = self.steps(lambda step: np.arange(5) == step, 3)
        _, _, (other, _, _) = self.pair()
        other.load_state(lazy.state())
        for name, expected in lazy.state().items():
            np.testing.assert_array_equal(other.state()[name], expected)

    def parameters_of(self, optimizer):
        blocks = [block.parameters for block in optimizer._blocks]
        if optimizer._lazy_rows is not None:
            blocks.insert(0, optimizer._lazy_rows._weights.ravel())
        return np.concatenate(blocks)
