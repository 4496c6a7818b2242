"""Grid searches over Dask clusters of several processes, also with one that is killed."""

import itertools
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits

from skann.engine.threads import blas_threads
from tests.data import problem, quick

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed")

X, y = problem(n_rows=600)
SPLITS = list(StratifiedKFold(3).split(X, y))
VICTIM, LAST = (5,), (4, 4)
LAYERS = [(8,), (6,), VICTIM, LAST]
PAGE = Path(__file__).parent.parent / "docs" / "user_guide" / "many_machines.md"
PATIENCE = 300  # Seconds to wait for other processes before calling the test broken.


def wait_for(condition, what):
    """Return the first true value of a function; what is missing is said by `what`."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {PATIENCE} seconds for {what}.")
        time.sleep(0.02)
    return value


class Gate:
    """A callback by which files in a folder hold up fits of a search in their third epoch.

    The first fit of the layers `VICTIM` writes the number of its process and waits to be killed
    with it; the fits of `LAST` wait until that has been done. Every end of a fit leaves a file.
    """

    def __init__(self, folder):
        self.victim, self.killed = folder / "victim", folder / "killed"
        self.folder = folder

    def n_begun(self):
        return len(list(self.folder.glob("begun-*")))

    def n_done(self):
        return len(list(self.folder.glob("done-*")))

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if context.task_name != "epoch":
            (self.folder / f"begun-{uuid4()}").touch()
        elif context.task_id == 2 and estimator.hidden_layer_sizes == VICTIM:
            try:
                with self.victim.open("x") as file:
                    file.write(f"{os.getpid()}\n")
            except FileExistsError:
                return
            wait_for(lambda: False, "being killed")
        elif context.task_id == 2 and estimator.hidden_layer_sizes == LAST:
            wait_for(self.killed.exists, "another process to be killed")

    def on_fit_task_end(self, estimator, context):
        if context.task_name != "epoch":
            (self.folder / f"done-{uuid4()}").touch()


def make_search(*callbacks):
    """Return a search whose log-losses and weights show every difference of the last bit."""
    network = quick(dropout=0.1, max_iter=4).set_callbacks(*callbacks)
    return GridSearchCV(
        network,
        {"hidden_layer_sizes": LAYERS},
        cv=SPLITS,
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
        return_train_score=True,
        pre_dispatch="n_jobs",
    )


@pytest.fixture(scope="module")
def alone():
    """The search in this process alone."""
    with threadpool_limits(1):
        return make_search().fit(X, y)


def assert_same(search, expected):
    results, others = search.cv_results_, expected.cv_results_
    assert results.keys() == others.keys()
    for name in results:
        if "time" not in name:
            np.testing.assert_array_equal(results[name], others[name], err_msg=name)
    assert search.best_params_ == expected.best_params_
    assert search.best_score_ == expected.best_score_
    for ours, theirs in zip(
        [*search.best_estimator_.coefs_, *search.best_estimator_.intercepts_],
        [*expected.best_estimator_.coefs_, *expected.best_estimator_.intercepts_],
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def kill_a_busy_worker(client, gate):
    """Wait until fits have ended and one is under way, and kill the process of that one."""
    wait_for(lambda: gate.victim.exists() and gate.victim.read_text().endswith("\n"), "a fit")
    wait_for(lambda: gate.n_done() >= 3, "the end of three fits")
    victim = int(gate.victim.read_text())
    (address,) = (name for name, pid in client.run(os.getpid).items() if pid == victim)
    assert client.processing()[address], "The scheduler knows of no task of that worker."
    os.kill(victim, signal.SIGKILL)
    gate.killed.touch()
    return victim, address


def test_a_search_loses_nothing_when_a_worker_is_killed(alone, tmp_path):
    gate = Gate(tmp_path)
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, memory_limit=None, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        ThreadPoolExecutor(1) as other_thread,
        threadpool_limits(1),
    ):
        assert set(client.run(blas_threads).values()) == {1}
        client.amm.stop()
        killing = other_thread.submit(kill_a_busy_worker, client, gate)
        search = make_search(gate)
        with parallel_config("dask", scatter=[X, y, *itertools.chain(*SPLITS)]):
            search.fit(X, y)
        victim, address = killing.result()
        assert victim not in client.run(os.getpid).values()
        assert address not in client.scheduler_info()["workers"]
    n_fits = len(LAYERS) * len(SPLITS) + 1  # One more on all rows.
    assert gate.n_done() >= n_fits
    assert gate.n_begun() > n_fits, "No fit was begun twice."
    assert_same(search, alone)


@pytest.fixture
def processes():
    """A list of processes to be ended."""
    processes = []
    yield processes
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:  # A worker that waits for a scheduler that has gone.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_commands_of_the_page_make_a_cluster(alone, processes, tmp_path):
    (commands,) = re.findall(r"```\n(dask scheduler\n.*?)```", PAGE.read_text(), re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for command in commands.splitlines():
        program, *words = shlex.split(command.replace("SCHEDULER:8786", address))
        words += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        words += ["--port", str(port)] if words[0] == "scheduler" else ["--memory-limit", "0"]
        program = str(Path(sys.executable).with_name(program))
        with (tmp_path / f"{words[0]}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [program, *words],
                    stdout=log,
                    stderr=log,
                    cwd=tmp_path,
                    env=environment,
                    start_new_session=True,
                )
            )
    with distributed.Client(address, timeout=PATIENCE) as client, threadpool_limits(1):
        client.wait_for_workers(1, timeout=PATIENCE)
        client.get_versions(check=True)
        with parallel_config("dask"):
            search = make_search().fit(X, y)
    assert_same(search, alone)
