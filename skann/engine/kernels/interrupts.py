"""Ctrl-C while Numba loads or compiles."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Raise the KeyboardInterrupt of a Ctrl-C at the end of the with statement, not inside.

    While Numba loads or compiles, an interrupt can be lost in a callback from LLVM, or leave Numba
    half imported.

    Examples
    --------
    >>> import signal
    >>> from skann.engine.kernels.interrupts import deferred_interrupts
    >>> try:
    ...     with deferred_interrupts():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("still here")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    still here
    interrupted
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # Interrupts are not raised in this thread, or not at all.
        return
    received: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            handler(*received[0])
