import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skann.engine.layers import SparseGradient
from skann.engine.network import Architecture, Network
from skann.engine.optimizers import OPTIMIZERS, Adam, AdamW, minimize_lbfgs

HYPERPARAMETERS = {
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
}
# Longer than one block of a step, so that several are walked through.
LONG = 70_000


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


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("size", [5, LONG])
# After so few steps the moments are multiplied by their decay only where it is fast.
@pytest.mark.parametrize("beta_1", [0.8, 0.01, 0.0])
def test_adam_follows_the_papers_formulas(size, decoupled, beta_1):
    parameters = np.ones(size)
    gradient = np.empty(size)
    beta_2, epsilon, decay = 0.95, 1e-3, 0.3
    n_weights = size // 2
    adam = (AdamW if decoupled else Adam)(
        parameters, gradient, n_weights, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon
    )
    expected, first, second = parameters.copy(), np.zeros(size), np.zeros(size)
    for t, g in enumerate(random_gradients(8, size), start=1):
        gradient[...] = g
        rate = 0.1 / t
        adam.step(rate, decay)
        g = g.copy()
        if decoupled:
            expected[:n_weights] *= 1 - rate * decay
        else:
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


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_equals_pytorchs(name):
    torch = pytest.importorskip("torch")
    parameters, gradient = np.ones(6), np.empty(6)
    ours = make(name, parameters, gradient, 6)
    reference = torch.ones(6, dtype=torch.float64, requires_grad=True)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    theirs = kind([reference], lr=0.01, weight_decay=0.3)
    for g in random_gradients(5, 6):
        gradient[...] = g
        ours.step(0.01, 0.3)
        reference.grad = torch.tensor(g)
        theirs.step()
    np.testing.assert_allclose(parameters, reference.detach().numpy(), rtol=1e-12)


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
    np.testing.assert_allclose(parameters, reference[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_and_biases_do_not(name):
    parameters, gradient = np.ones(10), np.zeros(10)
    make(name, parameters, gradient, 6).step(0.1, 0.5)
    assert (parameters[:6] < 1).all()
    np.testing.assert_array_equal(parameters[6:], 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_scales_shifts_and_averages_of_normalization_do_not_decay(name, normalization):
    architecture = Architecture((4, 3, 2), ("relu",), normalization)
    network = Network.random(architecture, np.float64, np.random.default_rng(0))
    before = network.parameters.copy()
    n_weights = network.weights.size
    make(name, network.trainable, np.zeros(network.trainable.size), n_weights).step(0.1, 0.5)
    shrunk = np.abs(network.parameters) < np.abs(before)
    assert shrunk[:n_weights].all()
    np.testing.assert_array_equal(network.parameters[n_weights:], before[n_weights:])


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_decoupled_decay_does_not_go_past_zero(rate):
    parameters = np.ones(3)
    make("adamw", parameters, np.zeros(3), 2).step(rate, 2.0)
    np.testing.assert_allclose(parameters, [0, 0, 1], atol=1e-20)


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
        self.lazy = make(
            name,
            self.lazy_parameters,
            self.rest,
            11,
            sparse_gradient=self.sparse_gradient,
            **changes,
        )

    def steps(self, touched, n_steps, decay=0.0, rate=0.01):
        """Make steps at a rate that changes; check that what a batch reads is settled."""
        for step in range(n_steps):
            rows = np.flatnonzero(touched(step))
            self.lazy.settle(rows)
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


class TestLazyRows:
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
        pair.lazy.settle(np.array([1, 3]))
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
