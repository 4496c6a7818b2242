import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy
from joblib import Parallel, delayed
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from skann import ANNClassifier
from skann.engine import threads
from skann.engine.threads import _WORK_PER_THREAD, limit_threads
from tests.test_inner_loop import BlasThreads

pytestmark = pytest.mark.slow

SMALL, LARGE = 1000, 10**9


BLAS = ThreadpoolController().select(user_api="blas").lib_controllers


def blas_threads():
    return {library.num_threads for library in BLAS}


def set_blas_threads(number):
    """Set the number of threads for good, from a thread that then ends.

    Since threadpoolctl 3.8 the thread that sets a limit is the only one that can until it
    leaves its with statement or ends.
    """
    with threadpool_limits(None):
        pass
    thread = threading.Thread(target=threadpool_limits, args=(number, "blas"))
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def _two_threads():
    before = max(blas_threads())
    set_blas_threads(2)
    assert blas_threads() == {2}
    yield
    remaining = blas_threads()
    set_blas_threads(before)
    # Whatever a test did, the limit that it met is back.
    assert remaining == {2}


def test_small_products_use_one_thread():
    with limit_threads(SMALL, in_scipy=False):
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_large_products_use_what_there_is():
    with limit_threads(LARGE, in_scipy=False):
        assert blas_threads() == {2}


def threads_by_owner():
    """Return the threads of the BLAS that SciPy brings, if it does, and of the others."""
    folder = os.path.realpath(os.path.dirname(scipy.__file__))
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    own = [p for p in pools if os.path.realpath(p["filepath"]).startswith(folder)]
    if not own:
        pytest.skip("SciPy has the BLAS of NumPy")
    return [{p["num_threads"] for p in part} for part in (own, [p for p in pools if p not in own])]


def test_large_products_of_a_solver_in_scipy_leave_its_own_blas_one_thread():
    with limit_threads(LARGE, in_scipy=True):
        assert threads_by_owner() == [{1}, {2}]


def test_so_they_do_where_the_calling_thread_has_set_limits():
    with threadpool_limits(2, "blas"):
        with limit_threads(LARGE, in_scipy=True):
            assert threads_by_owner() == [{1}, {2}]
        assert blas_threads() == {2}


@pytest.mark.parametrize(("work", "expected"), [(0.9, 1), (1.9, 1), (2, 2), (3.5, 3), (100, 4)])
def test_every_thread_has_its_share_of_the_work(work, expected, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    set_blas_threads(4)
    with limit_threads(int(work * _WORK_PER_THREAD), in_scipy=False):
        seen = blas_threads()
    set_blas_threads(2)
    assert seen == {expected}


def test_of_several_fits_the_lowest_limit_holds_while_that_fit_runs(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    set_blas_threads(4)
    seen = []
    with limit_threads(3 * _WORK_PER_THREAD, in_scipy=False):
        for share in (2, 100):
            with limit_threads(share * _WORK_PER_THREAD, in_scipy=False):
                seen.append(blas_threads())
            seen.append(blas_threads())
    set_blas_threads(2)
    assert seen == [{2}, {3}, {3}, {3}]


@pytest.mark.parametrize("work", [SMALL, LARGE])
def test_nothing_stays_of_a_limit_that_another_thread_has_set_for_a_while(work):
    is_in, may_leave = threading.Event(), threading.Event()

    def fit():
        with limit_threads(work, in_scipy=False):
            is_in.set()
            may_leave.wait(10)

    thread = threading.Thread(target=fit)
    with threadpool_limits(1, "blas"):
        thread.start()
        is_in.wait(10)
    may_leave.set()
    thread.join()
    assert blas_threads() == {2}


def test_the_limit_goes_after_an_error():
    with pytest.raises(ZeroDivisionError), limit_threads(SMALL, in_scipy=False):
        raise ZeroDivisionError
    assert blas_threads() == {2}


def test_a_small_fit_beside_one_in_scipy_is_limited_too():
    seen = []

    def small():
        with limit_threads(SMALL, in_scipy=False):
            seen.append(blas_threads())

    with limit_threads(LARGE, in_scipy=True):
        thread = threading.Thread(target=small)
        thread.start()
        thread.join()
    assert seen == [{1}]


def test_a_limit_of_the_calling_thread_stays():
    with threadpool_limits(2, "blas"), limit_threads(SMALL, in_scipy=False):
        assert blas_threads() == {2}


def test_nested_limits_end_with_the_outermost():
    with limit_threads(SMALL, in_scipy=False):
        with limit_threads(SMALL, in_scipy=False):
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_a_limit_in_one_thread_leaves_other_threads_free_to_set_theirs():
    with limit_threads(SMALL, in_scipy=False):
        pass
    seen = []

    def other():
        with limit_threads(SMALL, in_scipy=False):
            seen.append(blas_threads())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [{1}]


def test_limits_that_overlap_in_threads_end_with_the_last():
    first_is_in, second_is_in, first_is_out, second_is_out = (threading.Event() for _ in range(4))
    seen = []

    def first():
        with limit_threads(SMALL, in_scipy=False):
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()
        # Threads of a pool live on after their jobs.
        second_is_out.wait(10)
        seen.append(blas_threads())

    def second():
        first_is_in.wait(10)
        with limit_threads(SMALL, in_scipy=False):
            second_is_in.set()
            first_is_out.wait(10)
            seen.append(blas_threads())
        second_is_out.set()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{1}, {2}]


def count_in_large_fit():
    """Return how many threads BLAS has while a fit with large products runs."""
    rng = np.random.default_rng(0)
    X, y, seen = rng.standard_normal((256, 128)), np.arange(256) % 2, BlasThreads()
    ANNClassifier((256,), batch_size=256, max_iter=2).set_callbacks(seen).fit(X, y)
    return seen.seen


def test_a_fit_outside_of_jobs_uses_what_there_is_for_large_products():
    assert count_in_large_fit() == {2}


def test_jobs_in_threads_use_one_thread_each_also_for_large_products():
    jobs = [delayed(count_in_large_fit)() for _ in range(4)]
    assert Parallel(2, backend="threading")(jobs) == [{1}] * 4


def test_jobs_in_threads_use_one_thread_each_after_a_fit_outside_of_them():
    with limit_threads(SMALL, in_scipy=False):
        pass
    jobs = [delayed(count_in_large_fit)() for _ in range(4)]
    assert Parallel(2, backend="threading")(jobs) == [{1}] * 4


def limit_for_a_moment():
    with limit_threads(SMALL, in_scipy=True):
        pass


def fit():
    """Return the weights that a tiny fit gives."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 5)), np.arange(40) % 2
    model = ANNClassifier((3,), max_iter=2, batch_size=10, random_state=0).fit(X, y)
    return np.concatenate([part.ravel() for part in model.coefs_]).tobytes()


class InterruptAfter:
    """A trace function that raises KeyboardInterrupt before the n-th instruction of the module."""

    def __init__(self, n_steps):
        self.n_left = n_steps

    def __call__(self, frame, event, arg):
        if frame.f_code.co_filename != threads.__file__:
            return None
        frame.f_trace_opcodes = True
        if event in ("line", "opcode"):
            self.n_left -= 1
            if self.n_left == 0:
                raise KeyboardInterrupt
        return self


def is_interrupted(n_steps, function):
    """Run a function, interrupt it and tell whether there was still something to interrupt."""
    trace, interrupt = sys.gettrace(), InterruptAfter(n_steps)
    sys.settrace(interrupt)
    try:
        function()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(trace)
    return interrupt.n_left <= 0


def assert_limits_are_free():
    assert blas_threads() == {2}
    with limit_threads(SMALL, in_scipy=False):
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.parametrize("function", [limit_for_a_moment, fit])
def test_ctrl_c_at_any_instruction_leaves_no_limit(function):
    expected = fit()
    n_steps = 1
    while is_interrupted(n_steps, function):
        assert_limits_are_free()
        n_steps += 1
    assert n_steps > 50
    assert fit() == expected


def test_ctrl_c_at_any_instruction_leaves_the_limits_of_other_fits():
    with limit_threads(SMALL, in_scipy=False):
        n_steps = 1
        while is_interrupted(n_steps, limit_for_a_moment):
            assert blas_threads() == {1}
            n_steps += 1
    assert_limits_are_free()


def interrupt(signal_number, frame):
    raise KeyboardInterrupt


@pytest.fixture
def _interrupts():
    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, before)


def interrupt_at_a_random_moment(function, seconds):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, seconds))
        function()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
@pytest.mark.parametrize("function", [limit_for_a_moment, fit])
@pytest.mark.filterwarnings("ignore:Training interrupted by user")
# An interrupt within a destructor is only written to stderr.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("_interrupts")
def test_ctrl_c_at_random_moments_leaves_no_limit(function):
    expected = fit()
    begin = time.perf_counter()
    function()
    seconds = time.perf_counter() - begin
    for _ in range(500):
        interrupt_at_a_random_moment(function, seconds)
        assert blas_threads() == {2}
    assert_limits_are_free()
    assert fit() == expected


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
# Python 3.12 and later warn of what these tests do.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def is_true_in_fork(function):
    """Tell whether a function returns True in a forked process; kill one that hangs."""
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if function() else 1
        finally:
            os._exit(status)
    for _ in range(2000):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the forked process hangs")


@needs_fork
@forks
@pytest.mark.parametrize("in_scipy", [False, True])
def test_a_fork_while_another_thread_fits_does_not_have_its_limit(in_scipy):
    expected = fit()
    is_in, may_leave = threading.Event(), threading.Event()

    def fit_elsewhere():
        with limit_threads(SMALL, in_scipy):
            is_in.set()
            may_leave.wait(60)

    def is_free():
        assert_limits_are_free()
        return fit() == expected and blas_threads() == {2}

    thread = threading.Thread(target=fit_elsewhere)
    thread.start()
    is_in.wait(60)
    try:
        assert is_true_in_fork(is_free)
        assert blas_threads() == {1}
    finally:
        may_leave.set()
        thread.join()


@needs_fork
@forks
def test_forks_at_any_moment_of_other_fits_can_fit():
    expected = fit()
    may_end = threading.Event()

    def fit_until_the_end():
        while not may_end.is_set():
            fit()

    workers = [threading.Thread(target=fit_until_the_end) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(20):
            assert is_true_in_fork(lambda: fit() == expected and blas_threads() == {2})
    finally:
        may_end.set()
        for worker in workers:
            worker.join()


@needs_fork
@forks
def test_a_fork_within_a_fit_ends_the_limit_with_its_copy_of_that_fit():
    limited = limit_threads(SMALL, in_scipy=False)
    limited.__enter__()

    def ends_in_fork():
        assert blas_threads() == {1}
        limited.__exit__(None, None, None)
        return blas_threads() == {2}

    try:
        assert is_true_in_fork(ends_in_fork)
        assert blas_threads() == {1}
    finally:
        limited.__exit__(None, None, None)


@pytest.fixture
def _many_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_many_switches")
def test_eight_threads_at_once_hold_limits_and_leave_none():
    def hold(seed):
        pause = random.Random(seed)
        seen = set()
        for _ in range(200):
            with limit_threads(SMALL, in_scipy=False):
                seen.add(threads.blas_threads())
            time.sleep(pause.uniform(0, 1e-4))
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(hold, range(8))) == [{1}] * 8
    assert_limits_are_free()


@pytest.mark.usefixtures("_many_switches")
def test_eight_fits_at_once_give_the_bits_of_one():
    expected = fit()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: fit(), range(40))) == {expected}
    assert_limits_are_free()


class BLASOfThreads(threading.local):
    """Stands for a BLAS where each thread has a number of its own, as MKL and those of OpenMP."""

    internal_api, filepath = "mkl", "libmkl_rt.so"
    num_threads = 4

    def get_num_threads(self):
        return self.num_threads

    def set_num_threads(self, number):
        self.num_threads = number


def test_where_each_thread_has_a_number_each_fit_takes_its_own_back(monkeypatch):
    library = BLASOfThreads()
    limits = threads._make_limits(library)
    monkeypatch.setattr(threads, "_libraries", lambda: [limits])
    first_is_in, second_is_out = threading.Event(), threading.Event()

    def first():
        with limit_threads(SMALL, in_scipy=False):
            first_is_in.set()
            second_is_out.wait(60)
            during = library.num_threads
        return during, library.num_threads

    def second():
        first_is_in.wait(60)
        with limit_threads(2 * _WORK_PER_THREAD, in_scipy=False):
            during = library.num_threads
        after = library.num_threads
        second_is_out.set()
        return during, after

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(function) for function in (first, second)]
        assert [future.result() for future in futures] == [(1, 4), (2, 4)]
    assert library.num_threads == 4
