"""Arithmetic without subnormal numbers."""

import platform
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skann.engine import subnormals
from skann.engine.batches import Examples
from skann.engine.fitting import fit
from skann.engine.network import Architecture, Network
from skann.engine.run import Data, Observer
from skann.engine.subnormals import flush_subnormals
from tests.networks import make_settings, start_of

TINY = np.finfo(np.float32).tiny

flushes_here = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="subnormal numbers are flushed on Linux on x86-64",
)


def halves():
    """Return half of the smallest normal number, as vector and as scalar arithmetic has it."""
    return [*(np.full(40, TINY, np.float32) * np.float32(0.5)), sys.float_info.min * 0.5]


@flushes_here
class TestFlushSubnormals:
    def test_makes_subnormal_results_zero(self):
        with flush_subnormals():
            inside = halves()
        assert not any(inside)
        assert all(halves())

    def test_takes_subnormal_operands_for_zero(self):
        values = np.full(40, TINY / 2, np.float32)
        with flush_subnormals():
            products = values * np.float32(4)
        assert not products.any()
        assert (values * np.float32(4)).all()

    def test_leaves_normal_numbers_alone(self):
        values = np.random.default_rng(0).standard_normal(1000)
        with flush_subnormals():
            inside = np.exp(values)
        np.testing.assert_array_equal(inside, np.exp(values))

    def test_can_be_nested(self):
        with flush_subnormals():
            with flush_subnormals():
                pass
            inside = halves()
        assert not any(inside)
        assert all(halves())

    def test_ends_with_an_error(self):
        with pytest.raises(ZeroDivisionError), flush_subnormals():
            1 / 0  # noqa: B018
        assert all(halves())

    def test_ends_with_ctrl_c_at_any_line_of_it(self):
        n_interrupted = 0
        for line in range(200):
            n_lines = 0

            def trace(frame, event, argument, line=line):
                nonlocal n_lines
                if frame.f_code.co_filename != subnormals.__file__:
                    return None
                if event == "line":
                    n_lines += 1
                    if n_lines == line + 1:
                        raise KeyboardInterrupt
                return trace

            sys.settrace(trace)
            try:
                with flush_subnormals():
                    pass
            except KeyboardInterrupt:
                n_interrupted += 1
            finally:
                sys.settrace(None)
            assert all(halves()), f"line {line}"
            if n_lines <= line:
                break
        assert n_interrupted > 8

    def test_leaves_the_warnings_of_numpy_alone(self):
        with (
            flush_subnormals(),
            np.errstate(over="raise"),
            pytest.raises(FloatingPointError),
        ):
            np.full(3, 1e38, np.float32) * np.float32(10)


def has_subnormals(values):
    return bool(((values != 0) & (np.abs(values) < np.finfo(values.dtype).tiny)).any())


class Watcher(Observer):
    """Looks for subnormal numbers in what a run works with, after every epoch."""

    def __init__(self):
        self.found = set()

    def end_epoch(self, run):
        arrays = {"parameters": run.network.parameters, **run.optimizer.state()}
        arrays["gradient"] = run.backpropagation.gradient
        for depth, layer in enumerate(run.backpropagation._members[0]):
            arrays |= {f"outputs {depth}": layer._full.outputs}
            arrays |= {f"gradient of inputs {depth}": layer._full.grad_inputs}
        if run.average is not None:
            arrays["average"] = run.average.values
        is_array = {name: isinstance(values, np.ndarray) for name, values in arrays.items()}
        self.found |= {n for n, a in arrays.items() if is_array[n] and has_subnormals(a)}
        return False


@flushes_here
@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "adam", "alpha": 1.0},
        {"solver": "adam", "alpha": 1.0, "ema_decay": 0.9, "normalization": "batch"},
        {"solver": "adam", "alpha": 1.0, "activations": ("silu", "gelu")},
        {"solver": "adamw", "alpha": 8.0},
        {"solver": "sgd", "alpha": 8.0},
        {"solver": "sgd", "alpha": 8.0, "ema_decay": 0.9, "normalization": "batch"},
    ],
    ids=str,
)
def test_training_on_images_with_dark_pixels_holds_no_subnormal_number(changes):
    # The penalty shrinks the weights of pixels that are always dark to nothing.
    images, digits = load_digits(return_X_y=True)
    X = (images / 16).astype(np.float32)
    settings = {
        "shuffle": True,
        "learning_rate": "one_cycle",
        "learning_rate_init": 0.01,
        "max_iter": 30,
        "batch_size": 12,
        **changes,
    }
    activations = settings.pop("activations", ("relu", "relu"))
    architecture = Architecture((64, 32, 16, 10), activations, settings.pop("normalization", None))
    network = Network.random(architecture, np.float32, np.random.default_rng(0))
    watcher = Watcher()
    data = Data(Examples(X, digits, None))
    run = fit(make_settings(network, **settings), data, start_of(network), watcher)
    assert watcher.found == set()
    dark = run.network.coefs[0][(X == 0).all(axis=0)]
    assert np.abs(dark).max() < 1e-30  # They have come to where subnormal numbers begin.
