"""How many BLAS threads a fit uses."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from queue import SimpleQueue
from typing import NamedTuple

import scipy
from joblib.parallel import get_active_backend
from threadpoolctl import LibController, ThreadpoolController

# Multiply-adds of a batch's largest product for each thread that shares it. On two idle cores
# half as many pay a little (measured with OpenBLAS). But threads wait for each other: where another
# program has one of the cores, products take many times as long, and small ones lose most.
_WORK_PER_THREAD = 3_000_000


@cache
def _libraries() -> list[tuple[LibController, bool]]:
    """Return each BLAS, and whether it is one that SciPy's wheels bring beside that of NumPy."""
    # Finding the libraries takes milliseconds, limiting them microseconds.
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    folder = os.path.realpath(os.path.dirname(scipy.__file__))
    folders = folder + os.sep, folder + ".libs" + os.sep
    return [(library, os.path.realpath(library.filepath).startswith(folders)) for library in found]


class _Limit(NamedTuple):
    """The most threads that a fit wants, in general and in a BLAS of SciPy's own."""

    n_threads: int
    in_scipy: int


class _SharedLimits:
    """Limits of threads, shared by the fits that are running: the lowest that any wants.

    They are the process's, but only the thread that sets one can take it back, and fits in a
    pool of threads end in any order: so a thread of its own sets them, from the first fit's
    beginning to the last one's end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[_Limit] = []
        self._setter = threading.Thread()
        self._requests: SimpleQueue[tuple[list[_Limit], threading.Event]] = SimpleQueue()

    @contextmanager
    def hold(self, limit: _Limit) -> Iterator[None]:
        """Limit the threads inside the with statement."""
        self._enter(limit)
        try:
            yield
        finally:
            self._leave(limit)

    def _enter(self, limit: _Limit) -> None:
        with self._lock:
            n_before = len(self._held)
            try:
                if n_before == 0:
                    self._requests = SimpleQueue()
                    self._setter = threading.Thread(
                        target=_set_limits, args=(self._requests,), daemon=True
                    )
                    self._setter.start()
                self._held.append(limit)
                self._set()
            except BaseException:  # Ctrl-C: nobody else would take the limit back.
                del self._held[n_before:]
                self._set()
                raise

    def _leave(self, limit: _Limit) -> None:
        with self._lock:
            self._held.remove(limit)
            self._set()

    def _set(self) -> None:
        """Have the limits set that are held now."""
        is_set = threading.Event()
        self._requests.put((list(self._held), is_set))
        if self._setter.ident is not None:  # It was started.
            is_set.wait()
            if not self._held:
                self._setter.join()


def _set_limits(requests: "SimpleQueue[tuple[list[_Limit], threading.Event]]") -> None:
    """Set the lowest of the limits that come, until none come."""
    before: dict[str, int] = {}
    held = None
    while held is None or held:
        held, is_set = requests.get()
        try:
            for library, is_of_scipy in _libraries():
                n_now = library.num_threads
                n_threads = before.get(library.filepath, n_now)
                for limit in held:
                    n_threads = min(n_threads, limit.in_scipy if is_of_scipy else limit.n_threads)
                if n_threads != n_now:
                    library.set_num_threads(n_threads)
                    # Not where another thread has set limits, which only it can change.
                    if library.num_threads == n_threads:
                        before.setdefault(library.filepath, n_now)
        finally:
            is_set.set()


_limits = _SharedLimits()


def blas_threads() -> int:
    """Return how many threads BLAS uses at this moment.

    Returns
    -------
    int
        1 where that cannot be found out.
    """
    return max((library.num_threads for library, _ in _libraries()), default=1)


@contextmanager
def limit_threads(n_multiply_adds: int, in_scipy: bool) -> Iterator[None]:
    """Limit BLAS to as many threads as pay, one where more would oversubscribe.

    They pay by the size of the products. They oversubscribe inside joblib's threading
    backend, where the jobs already fill the cores; its process backends limit their
    workers themselves. And where SciPy brings a BLAS of its own, the threads of a solver of
    SciPy would take the cores from those that compute its objective in NumPy.

    A limit of NumPy's BLAS that the calling thread has set itself, in a with statement of
    threadpoolctl, stays as it is.

    Parameters
    ----------
    n_multiply_adds : int
        Size of the largest matrix product.
    in_scipy : bool
        Whether the solver is one of SciPy.
    """
    n_threads = max(n_multiply_adds // _WORK_PER_THREAD, 1)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if get_active_backend()[0].nesting_level and not in_main_thread:
        n_threads = 1
    # Not by how many there are now: that may be the limit of another fit, which ends first.
    if n_threads < (os.cpu_count() or 1) or in_scipy:
        limit = _Limit(n_threads, 1 if in_scipy else n_threads)
        with _limits.hold(limit), _limits_set_here(in_scipy):
            yield
    else:
        yield


@contextmanager
def _limits_set_here(in_scipy: bool) -> Iterator[None]:
    """Limit SciPy's own BLAS where the calling thread has set limits: no other thread can."""
    with ExitStack() as limits:
        for library, is_of_scipy in _libraries():
            if in_scipy and is_of_scipy and library.num_threads > 1:
                pool = ThreadpoolController().select(filepath=library.filepath)
                limits.enter_context(pool.limit(limits=1))
        yield
