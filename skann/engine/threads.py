"""How many BLAS threads a fit uses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

# Multiply-adds of a batch's largest product below which handing half of it to another
# thread costs more than it saves. Measured with OpenBLAS on two cores.
_MIN_WORK_FOR_THREADS = 4_000_000

_lock = threading.Lock()
_active = 0
_outermost: Any = None


@cache
def _controller() -> ThreadpoolController:
    # Finding the libraries takes milliseconds, limiting them microseconds.
    return ThreadpoolController()


@contextmanager
def limit_threads(n_multiply_adds: int) -> Iterator[None]:
    """Limit BLAS to one thread where more would not pay or would oversubscribe.

    More do not pay for small products. They oversubscribe inside joblib's threading
    backend, where the jobs already fill the cores; its process backends limit their
    workers themselves. The limit is the process's, so fits that overlap share it: the
    first sets it, the last takes it back.

    Parameters
    ----------
    n_multiply_adds : int
        Size of the largest matrix product.
    """
    global _active, _outermost
    in_threading_backend = (
        get_active_backend()[0].nesting_level
        and threading.current_thread() is not threading.main_thread()
    )
    if n_multiply_adds >= _MIN_WORK_FOR_THREADS and not in_threading_backend:
        yield
        return
    with _lock:
        if _active == 0:
            _outermost = _controller().limit(limits=1, user_api="blas")
        _active += 1
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if _active == 0:
                _outermost.restore_original_limits()
