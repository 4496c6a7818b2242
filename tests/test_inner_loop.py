"""What the loop over batches promises: it allocates nothing, and its bits can be had again."""

import hashlib
import json
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from skann import ANNClassifier
from skann.engine import activations
from skann.engine.activations import ACTIVATIONS
from skann.engine.batches import Examples
from skann.engine.fitting import fit
from skann.engine.memory import ALIGNMENT, aligned_empty
from skann.engine.network import Architecture, Network
from skann.engine.optimizers import OPTIMIZERS, SGD
from skann.engine.rows import Scaling
from skann.engine.run import Data, Observer
from skann.engine.settings import Embedding
from skann.engine.state import TrainingState
from tests.networks import make_settings

pytestmark = pytest.mark.kernels

ROOT = Path(__file__).parents[1]

# Two shapes: in one the arrays of a batch are large, in the other those of the parameters. The
# last batch of either is shorter.
TALL = {"n_rows": 160_000, "n_features": 4, "hidden": (4, 3), "batch_size": 65_536}
WIDE = {"n_rows": 150, "n_features": 500, "hidden": (200, 100), "batch_size": 64}
SHAPES = pytest.mark.parametrize("shape", [TALL, WIDE], ids=["tall", "wide"])

# The smallest array of the tall batch, a Boolean for each row, has 64 KB. An epoch makes views
# and numbers, of about 3 KB; dropout draws 32 KB of random bits at a time.
LIMIT, LIMIT_WITH_DRAWS = 8_192, 40_960


class TestAllocation:
    @pytest.fixture(autouse=True)
    def _small_casting_buffers(self):
        """Make small what NumPy itself allocates.

        To cast, a ufunc makes buffers at every call, of 8192 numbers whatever the size of its
        arguments: as much as a small batch.
        """
        before = np.setbufsize(16)
        yield
        np.setbufsize(before)

    @SHAPES
    @pytest.mark.parametrize("dtype", ["float32", "uint8", "float64", "int64", "memory-mapped"])
    @pytest.mark.parametrize("scaled", [False, True], ids=["as they are", "scaled"])
    def test_gathering_and_casting_rows_allocates_nothing(self, shape, dtype, scaled, tmp_path):
        X = make_rows(shape, "uint8" if dtype == "memory-mapped" else dtype)
        if dtype == "memory-mapped":
            np.save(tmp_path / "X.npy", X)
            X = np.load(tmp_path / "X.npy", mmap_mode="r")
        scaling = None
        if scaled:
            each = np.ones(shape["n_features"])
            scaling = Scaling(100 * each, each / 255)
        assert max(growth(shape, X, scaling=scaling)) < LIMIT

    def test_gathering_from_some_of_the_rows_allocates_nothing(self):
        subset = np.random.default_rng(1).permutation(TALL["n_rows"])
        X = np.repeat(make_rows(TALL, "float32"), 2, axis=0)
        assert max(growth(TALL, X, subset=subset)) < LIMIT

    @SHAPES
    @pytest.mark.parametrize("solver", OPTIMIZERS)
    @pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel-indicator"])
    @pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
    @pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
    def test_steps_allocate_nothing(self, shape, solver, kind, weighted, shuffle):
        X = make_rows(shape, "float32")
        settings = {"solver": solver, "loss": kind, "shuffle": shuffle}
        assert max(growth(shape, X, weighted=weighted, **settings)) < LIMIT

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_activations_allocate_nothing(self, activation, monkeypatch):
        # Intermediate results are of that many numbers, whatever the size of a batch.
        monkeypatch.setattr(activations, "_PIECE", 64)
        assert max(growth(TALL, make_rows(TALL, "float32"), activation=activation)) < LIMIT

    # Layer normalisation makes vectors of a number for each row; their matrices it reuses.
    @pytest.mark.parametrize(
        ("shape", "normalization"),
        [(TALL, "batch"), (WIDE, "batch"), (WIDE, "layer")],
        ids=["tall, batch", "wide, batch", "wide, layer"],
    )
    def test_normalisation_allocates_nothing(self, shape, normalization):
        X = make_rows(shape, "float32")
        assert max(growth(shape, X, normalization=normalization)) < LIMIT

    @SHAPES
    @pytest.mark.parametrize(
        "change",
        [
            {"dropout": (0.2, 0.5)},
            {"input_dropout": 0.2},
            {"input_noise": 0.1},
            {"label_smoothing": 0.1},
            {"label_smoothing": 0.1, "loss": "binary"},
            {"max_norm": 0.1},
            {"gradient_clip_norm": 1e-3},
            {"ema_decay": 0.9},
            {"warmup": 0.5},
            {"n_members": 3},
            {"embedding": "periodic"},
            {"embedding": "piecewise_linear"},
            {"n_members": 3, "gradient_clip_norm": 1e-3},
        ],
        ids=lambda change: ", ".join(change),
    )
    def test_options_allocate_nothing(self, shape, change):
        limit = LIMIT_WITH_DRAWS if change.keys() & {"dropout", "input_dropout"} else LIMIT
        assert max(growth(shape, make_rows(shape, "float32"), **change)) < limit

    def test_a_small_array_for_a_batch_would_be_seen(self, monkeypatch):
        tanh = ACTIVATIONS["tanh"]  # Not compiled: the function is called.

        def with_a_mask(values):
            values[values[:, 0] < 0, 0] = 0
            tanh.function(values)

        monkeypatch.setitem(ACTIVATIONS, "tanh", tanh._replace(function=with_a_mask))
        assert min(growth(TALL, make_rows(TALL, "float32"), activation="tanh")) > LIMIT_WITH_DRAWS

    def test_an_array_for_the_parameters_would_be_seen(self, monkeypatch):
        class WithACopy(SGD):
            def step(self, rate, decay):
                self.velocity.copy()
                super().step(rate, decay)

        monkeypatch.setitem(OPTIMIZERS, "sgd", WithACopy)
        assert min(growth(WIDE, make_rows(WIDE, "float32"), solver="sgd")) > LIMIT


def make_rows(shape, dtype):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (shape["n_rows"], shape["n_features"])).astype(dtype)


class Watcher(Observer):
    """Notes by how much memory in use rose since an epoch began, at its peak.

    It is asked for the rate of every step, the last time when but for the last update of the
    parameters all steps are done. What comes once an epoch, after them, does not count.
    """

    def __init__(self):
        self.growth = []
        self.before = 0

    def begin_epoch(self, run):
        tracemalloc.reset_peak()
        self.before, _ = tracemalloc.get_traced_memory()

    def rate(self, step):
        _, peak = tracemalloc.get_traced_memory()
        self.highest = peak - self.before
        return 1.0

    def end_epoch(self, run):
        self.growth.append(self.highest)
        return False

    def abandon_epoch(self, run):
        raise AssertionError("every epoch is to be finished")


class FixedOrder(np.random.Generator):
    """Draws the rows in an order made before: each epoch may allocate a new one."""

    def __init__(self, n_rows):
        super().__init__(np.random.PCG64(0))
        self.order = super().permutation(n_rows)

    def permutation(self, n_rows):
        return self.order


class StartInFixedOrder(TrainingState):
    """A start whose stream of random numbers is a `FixedOrder`."""

    def generator(self):
        return self.stream


def growth(
    shape,
    X,
    *,
    activation="relu",
    normalization=None,
    scaling=None,
    subset=None,
    weighted=False,
    n_members=1,
    embedding=None,
    **changes,
):
    """Train, and return by how much memory in use rose in each epoch but the first."""
    n_rows, n_outputs = shape["n_rows"], 1 if changes.get("loss") == "binary" else 3
    rng = np.random.default_rng(0)
    y = rng.integers(0, max(n_outputs, 2), n_rows)
    if changes.get("loss") == "multilabel-indicator":
        y = rng.integers(0, 2, (n_rows, n_outputs)).astype(np.int8)
    weights = rng.random(n_rows) if weighted else None
    hidden = shape["hidden"]
    architecture = Architecture(
        (shape["n_features"], *hidden, n_outputs),
        (activation,) * len(hidden),
        normalization,
        n_members,
        embedding=embedding and Embedding(embedding, shape["n_features"], 3, 16),
    )
    network = Network.random(architecture, np.float32, rng)
    for member in network.members:
        if embedding:
            member.embedding.begin(rng, 0.1, rng.standard_normal((50, shape["n_features"])))
    watcher = Watcher()
    settings = {
        "solver": "adam",
        "batch_size": shape["batch_size"],
        "learning_rate": watcher.rate,
        "learning_rate_init": 1e-6,
        "max_iter": 3,
        "shuffle": True,
    }
    tracemalloc.start()
    try:
        fit(
            make_settings(network, **(settings | changes)),
            Data(Examples(X, y, weights, subset), scaling=scaling),
            StartInFixedOrder(network.parameters, FixedOrder(n_rows)),
            watcher,
        )
    finally:
        tracemalloc.stop()
    assert len(watcher.growth) == 3
    return watcher.growth[1:]


# Large enough for the products to use all threads that BLAS may use.
N_ROWS, N_FEATURES, HIDDEN, BATCH = 600, 128, (128, 128), 256
RUNS = {
    "adam": {},
    "adam in order": {"shuffle": False},
    "sgd": {"solver": "sgd", "alpha": 0.1, "early_stopping": True},
    "lbfgs": {"solver": "lbfgs"},
    "adam on sparse rows": {},
}


class TestReproducibility:
    """The same seed, data and number of threads give the same bits."""

    @pytest.mark.parametrize("n_threads", [1, 2])
    @pytest.mark.parametrize("name", RUNS)
    def test_in_one_process_wherever_the_arrays_lie(self, name, n_threads):
        first = fingerprint(name, n_threads, 0)
        ballast = []
        for offset in (4, 16, 36):
            ballast.append(np.empty(5_000 * offset + 1))
            assert fingerprint(name, n_threads, offset) == first

    @pytest.mark.slow
    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_in_every_process(self, n_threads):
        here = {name: fingerprint(name, n_threads, 0) for name in RUNS}
        assert len(set(here.values())) == len(RUNS)
        command = [sys.executable, "-m", "tests.test_inner_loop", str(n_threads)]
        for _ in range(2):
            output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
            assert json.loads(output.stdout) == here


class BlasThreads:
    """A scikit-learn callback that notes how many threads BLAS may use in an epoch."""

    def __init__(self):
        self.seen = set()

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            pools = threadpool_info()
            self.seen |= {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}


def fingerprint(name, n_threads, offset):
    """Fit on rows that start `offset` bytes after a cache line; return a hash of the model."""
    rng = np.random.default_rng(0)
    dtype = np.float64 if name == "lbfgs" else np.float32
    values = rng.standard_normal((N_ROWS, N_FEATURES)).astype(dtype)
    y = rng.integers(0, 4, N_ROWS)
    if "sparse" in name:
        values[rng.random(values.shape) < 0.8] = 0
        X = sparse.csr_array(values)
        X.data = shifted(X.data, offset)
    else:
        X = shifted(values, offset)
    threads = BlasThreads()
    classifier = ANNClassifier(HIDDEN, batch_size=BATCH, max_iter=4, random_state=0, **RUNS[name])
    with threadpool_limits(n_threads, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.set_callbacks(threads).fit(X, y)
    # One in a BLAS of SciPy's own with L-BFGS; nothing of a BLAS that threadpoolctl does not know.
    assert threads.seen <= {n_threads, 1 if name == "lbfgs" else n_threads}
    parts = [*classifier.coefs_, *classifier.intercepts_, np.array(classifier.loss_curve_)]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def shifted(array, offset):
    """Return a copy that starts `offset` bytes after a cache line."""
    raw = aligned_empty(array.nbytes + ALIGNMENT, np.uint8)[offset:]
    copy = np.ndarray(array.shape, array.dtype, raw)
    copy[...] = array
    return copy


if __name__ == "__main__":
    print(json.dumps({name: fingerprint(name, int(sys.argv[1]), 0) for name in RUNS}))
