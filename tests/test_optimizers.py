"""Stochastic optimizers: objectives, references and states."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skann.engine.network import Architecture, Network
from skann.engine.optimizers import OPTIMIZERS, Adam, AdamW

pytestmark = pytest.mark.kernels

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
