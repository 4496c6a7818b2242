"""Choosing and limiting the number of BLAS threads that a fit uses."""

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

# Multiply-adds of a batch's largest product for each thread that is used. On two idle cores, half
# as many per thread are slightly faster (measured with OpenBLAS). But threads wait for each other:
# if another program uses one of the cores, products take many times as long, and small products
# slow down most.
_WORK_PER_THREAD = 3_000_000


class _Limits:
    """A BLAS library and the limits that running fits hold on its threads; the lowest one is set.

    Fits in several threads share the limits and end in any order. There is no lock, because
    Ctrl-C or a fork at the wrong moment would leave it locked. Instead, each step changes one entry
    of a dictionary, and `_set` repeats until the number that it has set matches the dictionary.

    Each holder is a tuple of a thread's identifier and an object that is unique to the fit.
    """

    def __init__(self, library: LibController) -> None:
        self.library = library
        self.is_of_scipy = _is_of_scipy(library)
        self.held: dict[tuple[int, object], int] = {}
        self._before = 0
        self._last: tuple[int, object] | None = None
        self._get_number, self._set_number = self._functions()

    def _functions(self) -> tuple[Callable[[], int], Callable[[int], object]]:
        # Any thread may set the number, but threadpoolctl ignores the call if another thread has
        # set it first. During calls in a `PyDLL` no other thread runs.
        functions = ctypes.PyDLL(self.library.filepath, handle=self.library.dynlib._handle)
        name = next(name for name in self.library.check_symbols if hasattr(functions, name))
        return getattr(functions, name), getattr(functions, name.replace("get", "set"))

    def hold(self, holder: tuple[int, object], n_threads: int) -> None:
        """Set a limit, which `release` removes."""
        last = self._last
        if not self.held:
            before = self._get_number()
            # `before` may be the limit of a fit that began, and even ended, in the meantime.
            if not self.held and self._last is last:
                self._before = before
        self.held[holder] = n_threads
        self._last = holder
        self._set()

    def release(self, holder: tuple[int, object]) -> None:
        """Remove a limit, if it is held."""
        if holder in self.held:
            # Keep the entry until the number is restored: a fit that begins before that must not
            # take the limit for the original number.
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
    """The limits of a BLAS library that stores a number of threads for each calling thread."""

    def _functions(self) -> tuple[Callable[[], int], Callable[[int], object]]:
        return self.library.get_num_threads, self.library.set_num_threads


def _is_of_scipy(library: LibController) -> bool:
    """Tell whether this is the BLAS of SciPy's wheels, in addition to that of NumPy."""
    folder = os.path.realpath(os.path.dirname(scipy.__file__))
    folders = folder + os.sep, folder + ".libs" + os.sep
    return os.path.realpath(library.filepath).startswith(folders)


def _make_limits(library: LibController) -> _Limits:
    is_of_process = library.internal_api == "openblas" and library.threading_layer != "openmp"
    return _Limits(library) if is_of_process else _LimitsOfThread(library)


_limits: dict[str, _Limits] = {}


@cache
def _libraries() -> list[_Limits]:
    """Return the limits of each BLAS library; all threads get the same objects."""
    # Finding the libraries takes milliseconds, limiting them microseconds.
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [_limits.setdefault(library.filepath, _make_limits(library)) for library in found]


def _forget_other_threads() -> None:
    """Remove, in a forked process, the limits of threads that do not exist there."""
    for limits in _limits.values():
        for holder in list(limits.held):
            if holder[0] != threading.get_ident():
                limits.release(holder)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def _threads_that_pay(n_multiply_adds: int) -> int:
    return max(n_multiply_adds // _WORK_PER_THREAD, 1)


def blas_threads() -> int:
    """Return the number of threads that BLAS uses at this moment.

    Returns
    -------
    int
        The number of threads; 1 if it cannot be determined.
    """
    return max((limits.library.num_threads for limits in _libraries()), default=1)


def threads_for(n_multiply_adds: int) -> int:
    """Return the number of threads that BLAS uses for products of a given size.

    Parameters
    ----------
    n_multiply_adds : int
        Multiply-adds of the largest matrix product.

    Returns
    -------
    int
        The number of threads.
    """
    return min(blas_threads(), _threads_that_pay(n_multiply_adds))


@contextmanager
def limit_threads(n_multiply_adds: int, in_scipy: bool) -> Iterator[None]:
    """Limit BLAS to the threads that products of a given size benefit from.

    With a solver of SciPy, SciPy's own BLAS is limited to one thread, if it has one. Otherwise its
    threads would compete for the cores with those that compute its objective in NumPy.

    A limit on NumPy's BLAS that the calling thread has set itself, in a with statement of
    threadpoolctl, is not changed.

    Parameters
    ----------
    n_multiply_adds : int
        Multiply-adds of the largest matrix product.
    in_scipy : bool
        Whether the solver is one of SciPy's.
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
    finally:  # Repeated, in case Ctrl-C interrupted the first attempt.
        for limits in to_hold:
            limits.release(holder)


def _thread_with_limits() -> threading.Thread | None:
    """Return a thread with limits of threadpoolctl, preferably the calling thread, or None."""
    # threadpoolctl has no public function for this, and records it only since version 3.8.
    ownership = getattr(threadpoolctl, "CONTROLLING_THREAD_OWNERSHIP", None)
    if getattr(ownership, "count", 0):
        return threading.current_thread()
    state = getattr(OpenBLASController, "_SHARED_STATE", None)
    thread = getattr(state, "controlling_thread", None)
    return thread if thread is not None and thread.is_alive() else None
