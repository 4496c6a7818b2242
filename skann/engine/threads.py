"""How many BLAS threads a fit uses."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import scipy
import threadpoolctl
from threadpoolctl import LibController, OpenBLASController, ThreadpoolController

# Multiply-adds of a batch's largest product for each thread that shares it. On two idle cores
# half as many pay a little (measured with OpenBLAS). But threads wait for each other: where another
# program has one of the cores, products take many times as long, and small ones lose most.
_WORK_PER_THREAD = 3_000_000


class _Limits:
    """A BLAS and the limits that running fits hold: the lowest is set.

    Fits in several threads share the limits and end in any order. There is no lock, because
    Ctrl-C or a fork in the wrong place would leave it locked. Instead, each step changes one entry
    of a dictionary, and `_set` goes on until it has set what is held.

    Each holder is a tuple of a thread's identifier and an object for each of its fits.
    """

    def __init__(self, library: LibController) -> None:
        self.library = library
        self.is_of_scipy = _is_of_scipy(library)
        self.held: dict[tuple[int, object], int] = {}
        self._before = 0
        self._last: tuple[int, object] | None = None
        self._get_number, self._set_number = self._functions()

    def _functions(self) -> tuple[Callable[[], int], Callable[[int], object]]:
        # Any thread may set the number, but threadpoolctl does nothing where another thread has
        # set it first. Calls in a `PyDLL` let no other thread run in between.
        functions = ctypes.PyDLL(self.library.filepath, handle=self.library.dynlib._handle)
        name = next(name for name in self.library.check_symbols if hasattr(functions, name))
        return getattr(functions, name), getattr(functions, name.replace("get", "set"))

    def hold(self, holder: tuple[int, object], n_threads: int) -> None:
        """Set a limit, which `release` takes back."""
        last = self._last
        if not self.held:
            before = self._get_number()
            # It may be the limit of a fit that has begun, and even ended, in the meantime.
            if not self.held and self._last is last:
                self._before = before
        self.held[holder] = n_threads
        self._last = holder
        self._set()

    def release(self, holder: tuple[int, object]) -> None:
        """Take a limit back, if it is held."""
        if holder in self.held:
            # Whoever comes before the number is back must see that it is not.
            self.held[holder] = sys.maxsize
            self._set()
            self.held.pop(holder, None)

    def _set(self) -> None:
        is_set = None
        while (limits := list(self.held.values())) != is_set:
            n_threads = min([self._before, *limits])
            if n_threads != self._get_number():
                self._set_number(n_threads)
            is_set = limits


class _LimitsOfThread(_Limits, threading.local):
    """The limits of a BLAS where each thread has a number of its own."""

    def _functions(self) -> tuple[Callable[[], int], Callable[[int], object]]:
        return self.library.get_num_threads, self.library.set_num_threads


def _is_of_scipy(library: LibController) -> bool:
    """Tell whether this is a BLAS that SciPy's wheels bring beside that of NumPy."""
    folder = os.path.realpath(os.path.dirname(scipy.__file__))
    folders = folder + os.sep, folder + ".libs" + os.sep
    return os.path.realpath(library.filepath).startswith(folders)


def _make_limits(library: LibController) -> _Limits:
    is_of_process = library.internal_api == "openblas" and library.threading_layer != "openmp"
    return _Limits(library) if is_of_process else _LimitsOfThread(library)


_limits: dict[str, _Limits] = {}


@cache
def _libraries() -> list[_Limits]:
    """Return each BLAS; the same object in every thread, also if two are first."""
    # Finding the libraries takes milliseconds, limiting them microseconds.
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [_limits.setdefault(library.filepath, _make_limits(library)) for library in found]


def _forget_other_threads() -> None:
    """Take back, in a forked process, the limits of threads that it does not have."""
    for limits in _limits.values():
        for holder in list(limits.held):
            if holder[0] != threading.get_ident():
                limits.release(holder)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def _threads_that_pay(n_multiply_adds: int) -> int:
    return max(n_multiply_adds // _WORK_PER_THREAD, 1)


def blas_threads() -> int:
    """Return how many threads BLAS uses at this moment.

    Returns
    -------
    int
        1 where that cannot be found out.
    """
    return max((limits.library.num_threads for limits in _libraries()), default=1)


def threads_for(n_multiply_adds: int) -> int:
    """Return how many threads BLAS uses for products of a size.

    Parameters
    ----------
    n_multiply_adds : int
        Size of the largest matrix product.

    Returns
    -------
    int
    """
    return min(blas_threads(), _threads_that_pay(n_multiply_adds))


@contextmanager
def limit_threads(n_multiply_adds: int, in_scipy: bool) -> Iterator[None]:
    """Limit BLAS to as many threads as the size of the products pays for.

    Where SciPy brings a BLAS of its own, that gets one: the threads of a solver of SciPy would
    take the cores from those that compute its objective in NumPy.

    A limit of NumPy's BLAS that the calling thread has set itself, in a with statement of
    threadpoolctl, stays as it is.

    Parameters
    ----------
    n_multiply_adds : int
        Size of the largest matrix product.
    in_scipy : bool
        Whether the solver is one of SciPy.
    """
    n_threads = _threads_that_pay(n_multiply_adds)
    thread = threading.current_thread()
    user = _thread_with_limits()
    to_hold = {}
    for limits in _libraries():
        is_beside = in_scipy and limits.is_of_scipy
        if user is None or (is_beside and user is thread):
            to_hold[limits] = 1 if is_beside else n_threads
    holder = threading.get_ident(), object()
    try:
        try:
            for limits, number in to_hold.items():
                limits.hold(holder, number)
            yield
        finally:
            for limits in to_hold:
                limits.release(holder)
    finally:  # Once more, in case Ctrl-C came in the midst of it.
        for limits in to_hold:
            limits.release(holder)


def _thread_with_limits() -> threading.Thread | None:
    """Return a thread that has limits of threadpoolctl, the calling one if there are several."""
    # threadpoolctl tells nobody, and knows it since version 3.8 only.
    ownership = getattr(threadpoolctl, "CONTROLLING_THREAD_OWNERSHIP", None)
    if getattr(ownership, "count", 0):
        return threading.current_thread()
    state = getattr(OpenBLASController, "_SHARED_STATE", None)
    thread = getattr(state, "controlling_thread", None)
    return thread if thread is not None and thread.is_alive() else None
