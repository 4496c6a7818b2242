"""How many BLAS threads a fit uses."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from queue import SimpleQueue

import scipy
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

# Multiply-adds of a batch's largest product for each thread that shares it. On two idle cores
# half as many pay a little (measured with OpenBLAS). But threads wait for each other: where another
# program has one of the cores, products take many times as long, and small ones lose most.
_WORK_PER_THREAD = 3_000_000


@cache
def _controller() -> ThreadpoolController:
    # Finding the libraries takes milliseconds, limiting them microseconds.
    return ThreadpoolController().select(user_api="blas")


@cache
def _pools() -> list[tuple[ThreadpoolController, bool]]:
    """Return each BLAS, and whether it is one that SciPy's wheels bring beside that of NumPy."""
    folder = os.path.realpath(os.path.dirname(scipy.__file__))
    folders = folder + os.sep, folder + ".libs" + os.sep
    paths = [library.filepath for library in _controller().lib_controllers]
    return [
        (_controller().select(filepath=path), os.path.realpath(path).startswith(folders))
        for path in paths
    ]


def _lower(n_threads: int, limits: ExitStack) -> None:
    """Limit what uses more threads, and SciPy's own BLAS to one, until `limits` is left."""
    for pool, is_of_scipy in _pools():
        wanted = 1 if is_of_scipy else n_threads
        if pool.lib_controllers[0].num_threads > wanted:
            limits.enter_context(pool.limit(limits=wanted))


class _SharedLimits:
    """Limits of threads, shared by the fits that are running: the lowest that any wants.

    They are the process's, but only the thread that sets one can take it back, and fits in a
    pool of threads end in any order: so a thread of its own holds them, from the first fit's
    beginning to the last one's end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_users = 0
        self._holder = threading.Thread()
        self._wanted: SimpleQueue[tuple[int, threading.Event] | None] = SimpleQueue()

    @contextmanager
    def at_most(self, n_threads: int) -> Iterator[None]:
        """Limit the threads inside the with statement."""
        self._enter(n_threads)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, n_threads: int) -> None:
        with self._lock:
            n_before = self._n_users
            try:
                if n_before == 0:
                    self._wanted = SimpleQueue()
                    self._holder = threading.Thread(target=_hold, args=(self._wanted,), daemon=True)
                    self._holder.start()
                is_set = threading.Event()
                self._wanted.put((n_threads, is_set))
                is_set.wait()
                self._n_users += 1
            except BaseException:  # Ctrl-C: nobody else would take the limit back.
                self._n_users = n_before
                self._release()
                raise

    def _leave(self) -> None:
        with self._lock:
            self._n_users -= 1
            self._release()

    def _release(self) -> None:
        """Take the limit back if nobody needs it."""
        if self._n_users == 0:
            self._wanted.put(None)
            if self._holder.ident is not None:  # It was started.
                self._holder.join()


def _hold(wanted: "SimpleQueue[tuple[int, threading.Event] | None]") -> None:
    """Lower the limits as numbers come; take all back when None comes."""
    with ExitStack() as limits:
        while (request := wanted.get()) is not None:
            n_threads, is_set = request
            try:
                _lower(n_threads, limits)
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
    libraries = _controller().lib_controllers
    return max((library.num_threads for library in libraries), default=1)


@contextmanager
def limit_threads(n_multiply_adds: int) -> Iterator[None]:
    """Limit BLAS to as many threads as pay, one where more would oversubscribe.

    They pay by the size of the products. They oversubscribe inside joblib's threading
    backend, where the jobs already fill the cores; its process backends limit their
    workers themselves. And where SciPy brings a BLAS of its own, its threads, which optimizers
    would use for vectors, would take the cores from those of the products in NumPy.

    A limit of NumPy's BLAS that the calling thread has set itself, in a with statement of
    threadpoolctl, stays as it is.

    Parameters
    ----------
    n_multiply_adds : int
        Size of the largest matrix product.
    """
    n_threads = max(n_multiply_adds // _WORK_PER_THREAD, 1)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if get_active_backend()[0].nesting_level and not in_main_thread:
        n_threads = 1
    with _limits.at_most(n_threads), ExitStack() as set_here:
        # Where the calling thread has set limits, no other thread could.
        _lower(blas_threads(), set_here)
        yield
