"""Every kernel in both implementations, and how one of them is chosen."""

import inspect
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from skann import ANNClassifier
from skann.engine import kernels
from skann.engine.activations import ACTIVATIONS
from skann.engine.kernels import numpy_kernels
from skann.engine.kernels.interrupts import deferred_interrupts

numba_kernels = pytest.importorskip("skann.engine.kernels.numba_kernels", exc_type=ImportError)

BOTH = pytest.mark.parametrize("module", [numpy_kernels, numba_kernels], ids=["numpy", "numba"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# A few units in the last place; functions of functions in single precision lose a few more.
RTOL = {np.float32: 2e-6, np.float64: 4e-15}


def assert_close(actual, expected, dtype, scale=1.0):
    tolerance = RTOL[dtype] * scale
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def numbers(shape, dtype, seed=0):
    """Draw numbers of many sizes, with zeros and subnormal numbers."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * rng.choice([1e-3, 1, 5], shape)
    values[rng.random(shape) < 0.05] = 0
    values[rng.random(shape) < 0.05] = np.finfo(dtype).tiny / 8
    return values.astype(dtype)


class TestInterface:
    NAMES = (
        *("gather", "gather_sparse", "make_activation", "drop", "undo_drop", "multiply_sparse"),
        *("touch", "sparse_gradient", "make_softmax_cross_entropy", "make_logistic_cross_entropy"),
        *("make_adam", "make_adam_rows", "make_sgd", "make_average", "make_interpolation"),
    )

    @pytest.mark.parametrize("name", NAMES)
    def test_both_take_the_same_arguments(self, name):
        signatures = []
        for module in (numpy_kernels, numba_kernels):
            function = getattr(module, name)
            function = getattr(function, "py_func", function)
            signatures.append(list(inspect.signature(function).parameters))
        assert signatures[0] == signatures[1]


class TestGather:
    @pytest.mark.parametrize("source", ["u1", "i8", "f2", "f4", "f8", "?"])
    @pytest.mark.parametrize("scaling", ["none", "factor", "shift and factor"])
    @DTYPES
    def test_rows_are_the_same(self, source, scaling, dtype):
        rng = np.random.default_rng(0)
        X = rng.integers(0, 2 if source == "?" else 200, (50, 7)).astype(source)
        X.flags.writeable = False
        indices = rng.permutation(50)[:20]
        factor = None if scaling == "none" else rng.uniform(0.1, 3, 7).astype(dtype)
        shift = rng.normal(size=7).astype(dtype) if "shift" in scaling else None
        batches = []
        for module in (numpy_kernels, numba_kernels):
            batch = np.full((20, 7), np.nan, dtype)
            raw = batch if X.dtype == dtype and factor is None else np.empty((20, 7), X.dtype)
            module.gather(X, indices, shift, factor, raw, batch)
            batches.append(batch)
        np.testing.assert_array_equal(*batches)

    @pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
    def test_sparse_rows_are_the_same(self, dtype):
        X = sparse.random_array((40, 30), density=0.2, rng=np.random.default_rng(0), format="csr")
        X.data = np.arange(1, X.nnz + 1).astype(dtype)
        indices = np.array([3, 3, 39, 0])
        expected = X[indices]
        actual = numba_kernels.gather_sparse(X, indices)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual.toarray(), expected.toarray())


@pytest.mark.parametrize("name", ACTIVATIONS)
@DTYPES
class TestActivations:
    def run(self, module, name, values, dtype, with_bias=True):
        activation = ACTIVATIONS[name]
        rng = np.random.default_rng(1)
        width = values.shape[1]
        forward, backward = module.make_activation(
            name, activation.function, activation.backpropagate
        )
        outputs = values.copy()
        kept = np.empty_like(outputs) if activation.keeps_inputs else None
        bias = rng.normal(size=width).astype(dtype) if with_bias else None
        grad = rng.normal(size=values.shape).astype(dtype)
        grad_bias = np.empty(width, dtype) if with_bias else None
        with np.errstate(all="ignore"):
            forward(outputs, bias, kept)
            result = outputs.copy()
            backward(kept, outputs, grad, np.ones(len(values), dtype), grad_bias)
        return result, grad, grad_bias

    @pytest.mark.parametrize("with_bias", [True, False])
    def test_both_are_equal(self, name, dtype, with_bias):
        for shape in [(1, 1), (3, 5), (64, 33)]:
            values = numbers(shape, dtype)
            expected = self.run(numpy_kernels, name, values, dtype, with_bias)
            actual = self.run(numba_kernels, name, values, dtype, with_bias)
            for one, other in zip(actual, expected, strict=True):
                if other is not None:
                    # Sums over 64 rows, and NumPy's functions, which are off by some units.
                    assert_close(one, other, dtype, scale=20)

    def test_single_precision_is_double_precision_rounded(self, name, dtype):
        values = numbers((40, 17), np.float32)
        expected, *_ = self.run(numba_kernels, name, values.astype(np.float64), np.float64, False)
        actual, *_ = self.run(numba_kernels, name, values.astype(dtype), dtype, False)
        assert_close(actual, expected, dtype)

    def test_infinities_and_nan_leave_their_mark(self, name, dtype):
        values = np.array([[np.inf, -np.inf, np.nan, 1e30, -1e30]], dtype)
        expected, *_ = self.run(numpy_kernels, name, values, dtype, False)
        actual, *_ = self.run(numba_kernels, name, values, dtype, False)
        assert np.isnan(actual[0, 2])
        is_finite = np.isfinite(expected)
        np.testing.assert_allclose(actual[is_finite], expected[is_finite], atol=1e-30)
        assert np.isfinite(actual[0, 3:]).all()


class TestDropout:
    @DTYPES
    def test_both_are_equal(self, dtype):
        words = np.random.default_rng(0).integers(0, 65536, 999).astype(np.uint16)
        results = []
        for module in (numpy_kernels, numba_kernels):
            values, grad = numbers(999, dtype), numbers(999, dtype, seed=1)
            mask = np.empty(999, dtype)
            module.drop(words, 20_000, 65536 / 45536, mask, values)
            dropped = values.copy()
            module.undo_drop(mask, 65536 / 45536, values, grad)
            results.append((mask, dropped, values, grad))
        for one, other in zip(*results, strict=True):
            assert_close(one, other, dtype)
        np.testing.assert_array_equal(results[0][0] == 0, words < 20_000)


class TestLosses:
    @DTYPES
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("kind", ["softmax", "one logistic", "logistics"])
    def test_both_are_equal(self, dtype, weighted, smoothing, kind):
        rng = np.random.default_rng(0)
        n_outputs = {"softmax": 10, "one logistic": 1, "logistics": 4}[kind]
        n_rows, max_rows = 30, 64
        logits = numbers((n_outputs, n_rows), dtype)
        logits[:, 0] = 300
        logits[0, 1] = -300
        weights = rng.uniform(0, 2, n_rows).astype(dtype) if weighted else None
        shape = (n_rows, n_outputs) if kind == "logistics" else n_rows
        targets = rng.integers(0, n_outputs if kind == "softmax" else 2, shape)
        results = []
        for module in (numpy_kernels, numba_kernels):
            if kind == "softmax":
                each = smoothing / n_outputs
                loss = module.make_softmax_cross_entropy(
                    n_outputs, max_rows, dtype, each, 1 - smoothing + each
                )
            else:
                loss = module.make_logistic_cross_entropy(n_outputs, max_rows, dtype, smoothing)
            grad = logits.copy()
            value = loss(grad, targets, weights, 7.0)
            assert isinstance(value, float)
            results.append((value, grad))
        (one, grad), (other, other_grad) = results
        np.testing.assert_allclose(one, other, rtol=10 * RTOL[dtype])
        assert_close(grad, other_grad, dtype)


class TestOptimizers:
    @DTYPES
    @pytest.mark.parametrize("n_weights", [0, 600, 1000])
    @pytest.mark.parametrize("penalty", [(0.0, 1.0), (0.1, 1.0), (0.0, 0.9)])
    def test_adam_is_equal(self, dtype, n_weights, penalty):
        results = []
        for module in (numpy_kernels, numba_kernels):
            values, grad, first = (numbers(1000, dtype, seed) for seed in range(3))
            second = np.square(numbers(1000, dtype, 3))
            update = module.make_adam(values)
            for _ in range(3):
                step = numpy_kernels.AdamStep(0.01, 1e-3, 1.5, 2.5, *penalty)
                update(values, grad.copy(), first, second, n_weights, step)
            results.append((values, first, second))
        for one, other in zip(*results, strict=True):
            assert_close(one, other, dtype, scale=4)

    @DTYPES
    def test_adam_in_some_rows_is_equal(self, dtype):
        results = []
        rows = np.array([0, 3, 4, 19])
        for module in (numpy_kernels, numba_kernels):
            values, first = (numbers((20, 33), dtype, seed) for seed in range(2))
            matrices = values, first, np.square(numbers((20, 33), dtype, 2))
            update = module.make_adam_rows(matrices)
            grad = numbers((4, 33), dtype, 3)
            update(rows, grad, numpy_kernels.AdamStep(0.01, 1e-3, 1.5, 2.5, 0.1, 0.9))
            results.append(matrices)
        for one, other in zip(*results, strict=True):
            assert_close(one, other, dtype, scale=4)

    @DTYPES
    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    @pytest.mark.parametrize("is_nesterovs", [False, True])
    def test_sgd_is_equal(self, dtype, momentum, is_nesterovs):
        results = []
        for module in (numpy_kernels, numba_kernels):
            values, grad, velocity = (numbers(1000, dtype, seed) for seed in range(3))
            update = module.make_sgd(values, momentum, is_nesterovs)
            for _ in range(3):
                update(values, grad.copy(), velocity, 600, 0.01, 0.1)
            results.append((values, velocity))
        for one, other in zip(*results, strict=True):
            assert_close(one, other, dtype, scale=4)

    @DTYPES
    def test_average_is_equal(self, dtype):
        results = []
        for module in (numpy_kernels, numba_kernels):
            average, values = numbers(1000, dtype), numbers(1000, dtype, seed=1)
            module.make_average(average)(average, values, 0.1)
            results.append(average)
        assert_close(*results, dtype)


class TestSparse:
    @DTYPES
    @pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
    @pytest.mark.parametrize("order", ["C", "transposed"])
    def test_products_and_gradients_are_equal(self, dtype, index_dtype, order):
        rng = np.random.default_rng(0)
        X = sparse.random_array((20, 50), density=0.1, rng=rng, format="csr").astype(dtype)
        X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
        weights = rng.normal(size=(50, 6)).astype(dtype)
        grad = np.asarray(rng.normal(size=(20, 6)), dtype, order="F" if order != "C" else "C")
        results = []
        for module in (numpy_kernels, numba_kernels):
            outputs = np.full((20, 6), np.nan, dtype, order="C" if order == "C" else "F")
            module.multiply_sparse(X, weights, outputs)
            place = np.full(50, -1, np.int32)
            rows, columns = module.touch(X.indices, place)
            assert (place == -1).all()
            buffer = np.empty((len(rows), 6), dtype)
            values = module.sparse_gradient(X, columns, grad, buffer)
            results.append((outputs, rows, columns, values))
        for one, other in zip(*results, strict=True):
            assert_close(one, other, dtype, scale=4)
        np.testing.assert_array_equal(results[0][1], np.unique(X.indices))


@DTYPES
@pytest.mark.parametrize("n_channels", [1, 3])
def test_interpolated_images_are_the_same(n_channels, dtype):
    rng = np.random.default_rng(0)
    height, width = 5, 8
    images = rng.random((20, height, width, n_channels)).astype(dtype)
    coordinates = rng.uniform(-4, 12, (2, 20, height * width)).astype(dtype)
    coordinates[:, 0] = rng.integers(-2, 10, coordinates[:, 0].shape)  # On pixels and the edges.
    coordinates[:, 1] *= 1e9
    results = []
    for module in (numpy_kernels, numba_kernels):
        results.append(images.copy())
        interpolate = module.make_interpolation(20, height, width, dtype)
        interpolate(results[-1], coordinates.copy())
        results.append(images[::-1].copy())
        interpolate(results[-1], coordinates.copy())  # Nothing is left of the images before.
    # Fractions of a pixel have the precision of the coordinates.
    assert_close(results[0], results[2], dtype, scale=10)
    assert_close(results[1], results[3], dtype, scale=10)


@BOTH
def test_updates_allocate_nothing(module):
    values, grad, first, second = (np.ones(200_000, np.float32) for _ in range(4))
    update, average = module.make_adam(values), module.make_average(values)
    step = numpy_kernels.AdamStep(0.01, 1e-3, 1.5, 2.5, 0.1, 1.0)
    forward, backward = module.make_activation("relu", *ACTIVATIONS["relu"][:2])
    matrix, ones = values.reshape(1000, 200), np.ones(1000, np.float32)

    def work():
        update(values, grad, first, second, 100, step)
        average(first, second, 0.5)
        forward(matrix, ones[:200], None)
        backward(None, matrix, grad.reshape(1000, 200), ones, first[:200])

    work()  # May be compiled.
    tracemalloc.start()
    try:
        work()
        # NumPy casts in buffers of 8192 numbers, the arrays have 200,000.
        assert tracemalloc.get_traced_memory()[1] < 40_000
    finally:
        tracemalloc.stop()


class TestChoice:
    X, y = load_digits(return_X_y=True)

    def test_a_fit_with_either_ends_up_alike(self, monkeypatch):
        losses = {}
        for name in ("numpy", "numba"):
            monkeypatch.setenv(kernels.VARIABLE, name)
            classifier = ANNClassifier(max_iter=3, random_state=0).fit(self.X, self.y)
            losses[name] = classifier.loss_curve_
        assert losses["numpy"] == pytest.approx(losses["numba"], rel=1e-4)

    def test_the_same_kernels_give_the_same_bits(self, monkeypatch):
        monkeypatch.setenv(kernels.VARIABLE, "numba")
        settings = {"max_iter": 3, "random_state": 0, "dropout": 0.2, "activation": "gelu"}
        one, other = (ANNClassifier(**settings).fit(self.X, self.y) for _ in range(2))
        np.testing.assert_array_equal(
            one._model.network.parameters, other._model.network.parameters
        )

    def test_numba_is_the_default(self, monkeypatch):
        monkeypatch.delenv(kernels.VARIABLE, raising=False)
        assert kernels.active_name() == "numba"
        assert kernels.active() is numba_kernels

    @pytest.mark.parametrize("name", ["Numba", "jax", " "])
    def test_another_name_is_refused_before_any_work(self, name, monkeypatch):
        monkeypatch.setenv(kernels.VARIABLE, name)
        with pytest.raises(ValueError, match=f"SKANN_KERNELS must be 'numpy', 'numba'.*{name!r}"):
            ANNClassifier().fit(self.X, self.y)

    def broken(self, monkeypatch, error):
        def fail():
            raise error

        monkeypatch.setattr(numba_kernels, "try_out", fail)
        kernels._error_of_numba.cache_clear()

    @pytest.fixture
    def _restored(self):
        yield
        kernels._error_of_numba.cache_clear()

    @pytest.mark.usefixtures("_restored")
    def test_ctrl_c_waits_until_numba_is_loaded(self, monkeypatch):
        monkeypatch.delenv(kernels.VARIABLE, raising=False)
        done = []

        def load():
            signal.raise_signal(signal.SIGINT)
            done.append("loaded")

        monkeypatch.setattr(numba_kernels, "try_out", load)
        kernels._error_of_numba.cache_clear()
        handler = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            ANNClassifier().fit(self.X, self.y)
        assert done == ["loaded"]
        assert signal.getsignal(signal.SIGINT) is handler

    def test_ctrl_c_waits_until_a_kernel_is_compiled(self):
        @numba_kernels.kernel
        def answer():
            return 42

        kind = type(answer)
        done = []

        def compile_(self, *arguments):
            signal.raise_signal(signal.SIGINT)
            done.append("compiled")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "compile", compile_)
            interruptible = numba_kernels.kernel(answer.py_func)
        with pytest.raises(KeyboardInterrupt):
            interruptible.compile(())
        assert done == ["compiled"]
        assert answer() == 42

    def test_other_threads_leave_ctrl_c_alone(self):
        seen = []

        def enter():
            with deferred_interrupts():
                seen.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert seen == [signal.getsignal(signal.SIGINT)]

    @pytest.mark.usefixtures("_restored")
    def test_broken_numba_is_replaced_with_one_warning(self, monkeypatch):
        monkeypatch.delenv(kernels.VARIABLE, raising=False)
        self.broken(monkeypatch, OSError("no LLVM"))
        with pytest.warns(RuntimeWarning, match=r"does not work \(OSError: no LLVM\)"):
            assert kernels.active() is numpy_kernels
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert kernels.active() is numpy_kernels

    @pytest.mark.usefixtures("_restored")
    def test_broken_numba_is_an_error_where_it_is_asked_for(self, monkeypatch):
        monkeypatch.setenv(kernels.VARIABLE, "numba")
        self.broken(monkeypatch, OSError("no LLVM"))
        with (
            pytest.warns(RuntimeWarning, match="no LLVM"),
            pytest.raises(ImportError, match="selects Numba, which does not work here: OSError"),
        ):
            kernels.active()

    def run(self, code, **variables):
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    @pytest.mark.slow
    def test_numba_is_imported_at_the_first_fit_and_not_for_predictions(self):
        code = """
import pickle, sys
import numpy as np
import skann
assert "numba" not in sys.modules
X = np.arange(20.0).reshape(10, 2)
classifier = skann.ANNClassifier(max_iter=1, random_state=0).fit(X, np.arange(10) % 2)
assert "numba" in sys.modules
print(pickle.dumps(classifier).hex())
"""
        dumped = self.run(code)
        code = f"""
import pickle, sys
import numpy as np
pickle.loads(bytes.fromhex("{dumped.strip()}")).predict(np.ones((3, 2)))
assert "numba" not in sys.modules
"""
        self.run(code)

    @pytest.mark.slow
    def test_code_is_compiled_anew_where_none_can_be_kept(self, tmp_path):
        # Numba looks for folders to write to; as root all may be, so none is looked for.
        code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
from skann.engine.kernels import active_name
assert active_name() == "numba"
from skann.engine.kernels import numba_kernels
assert numba_kernels._adam.stats.cache_path is None
"""
        self.run(code)
