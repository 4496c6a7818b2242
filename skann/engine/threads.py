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

# Multiply-adds of a batch's largest product below which handing half of it to another
# thread costs more than it saves. Measured with OpenBLAS on two cores.
_MIN_WORK_FOR_THREADS = 3_000_000


@cache
def _controller() -> ThreadpoolController:
    # Finding the libraries takes milliseconds, limiting them microseconds.
    return ThreadpoolController()


@cache
def _every_pool() -> ThreadpoolController:
    return _controller().select(user_api="blas")


@cache
def _pool_of_scipy() -> ThreadpoolController:
    """Return the BLAS that SciPy's wheels bring; none where it has that of NumPy."""
    folder = os.path.realpath(os.path.dirname(scipy.__file__))
    folders = folder + os.sep, folder + ".libs" + os.sep
    paths = [library.filepath for library in _every_pool().lib_controllers]
    own = [path for path in paths if os.path.realpath(path).startswith(folders)]
    return _every_pool().select(filepath=own)


class _OneThread:
    """The limit to one thread, shared by the fits that are running.

    The limit is the process's, but only the thread that sets it can take it back, and fits
    in a pool of threads end in any order: so a thread of its own holds it, from the first
    fit's beginning to the last one's end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_users = 0
        self._holder = threading.Thread()
        self._wanted: SimpleQueue[tuple[ThreadpoolController, threading.Event] | None]
        self._wanted = SimpleQueue()

    @contextmanager
    def in_pools(self, pools: ThreadpoolController) -> Iterator[None]:
        """Keep to one thread inside the with statement."""
        self._enter(pools)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, pools: ThreadpoolController) -> None:
        with self._lock:
            n_before = self._n_users
            try:
                if n_before == 0:
                    self._wanted = SimpleQueue()
                    self._holder = threading.Thread(target=_hold, args=(self._wanted,), daemon=True)
                    self._holder.start()
                is_set = threading.Event()
                self._wanted.put((pools, is_set))
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


def _hold(wanted: "SimpleQueue[tuple[ThreadpoolController, threading.Event] | None]") -> None:
    """Limit the pools that come, each once; take all limits back when None comes."""
    held: list[ThreadpoolController] = []
    with ExitStack() as limits:
        while (request := wanted.get()) is not None:
            pools, is_set = request
            try:
                if pools not in held:
                    limits.enter_context(pools.limit(limits=1))
                    held.append(pools)
            finally:
                is_set.set()


_one_thread = _OneThread()


def blas_threads() -> int:
    """Return how many threads BLAS uses at this moment.

    Returns
    -------
    int
        1 where that cannot be found out.
    """
    libraries = _every_pool().lib_controllers
    return max((library.num_threads for library in libraries), default=1)


@contextmanager
def limit_threads(n_multiply_adds: int) -> Iterator[None]:
    """Limit BLAS to one thread where more would not pay or would oversubscribe.

    More do not pay for small products. They oversubscribe inside joblib's threading
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
    in_threading_backend = (
        get_active_backend()[0].nesting_level
        and threading.current_thread() is not threading.main_thread()
    )
    is_small = n_multiply_adds < _MIN_WORK_FOR_THREADS
    pools = _every_pool() if is_small or in_threading_backend else _pool_of_scipy()
    with _one_thread.in_pools(pools), _limit_set_here(_pool_of_scipy()):
        yield


@contextmanager
def _limit_set_here(pools: ThreadpoolController) -> Iterator[None]:
    """Limit pools to one thread from the calling thread if it is the one that can."""
    if all(library.num_threads == 1 for library in pools.lib_controllers):
        yield
    else:
        with pools.limit(limits=1):
            yield
