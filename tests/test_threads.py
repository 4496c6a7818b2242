import os
import threading

import pytest
import scipy
from joblib import Parallel, delayed
from threadpoolctl import threadpool_info, threadpool_limits

from skann.engine.threads import _WORK_PER_THREAD, limit_threads

SMALL, LARGE = 1000, 10**9


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


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


@pytest.mark.parametrize("is_started", [True, False])
def test_ctrl_c_while_the_limit_is_being_set_takes_it_back(is_started, monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        if is_started:
            start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt), limit_threads(SMALL, in_scipy=False):
            pass
    with limit_threads(SMALL, in_scipy=False):
        assert blas_threads() == {1}
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


def count_in_job():
    with limit_threads(LARGE, in_scipy=False):
        return blas_threads()


def test_jobs_in_threads_use_one_thread_each_also_for_large_products():
    jobs = [delayed(count_in_job)() for _ in range(4)]
    assert Parallel(2, backend="threading")(jobs) == [{1}] * 4


def test_jobs_in_threads_use_one_thread_each_after_a_fit_outside_of_them():
    with limit_threads(SMALL, in_scipy=False):
        pass
    jobs = [delayed(count_in_job)() for _ in range(4)]
    assert Parallel(2, backend="threading")(jobs) == [{1}] * 4
