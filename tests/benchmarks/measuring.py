"""Clocks and memory."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_STATUS = Path("/proc/self/status")
_SAMPLING_SECONDS = 0.005


class EpochClock:
    """A scikit-learn callback that notes when each epoch ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def setup(self, estimator, context) -> None:
        """Do nothing."""

    def teardown(self, estimator, context) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator, context) -> None:
        """Do nothing."""

    def on_fit_task_end(self, estimator, context) -> None:
        """Note the time if it is an epoch that ends."""
        if context.task_name == "epoch":
            self.ends.append(time.perf_counter())


class Until:
    """Says when training has come far enough, on a clock of its own.

    Parameters
    ----------
    target : float or None
        Accuracy to reach; None never stops.

    Attributes
    ----------
    seconds : float
        Spent on finding the accuracy.
    """

    def __init__(self, target: float | None) -> None:
        self._target = target
        self.seconds = 0.0

    def is_reached(self, accuracy: Callable[[], float]) -> bool:
        """Return whether the accuracy, to be called at the end of an epoch, is enough."""
        if self._target is None:
            return False
        start = time.perf_counter()
        reached = accuracy() >= self._target
        self.seconds += time.perf_counter() - start
        return reached


def typical(ends: list[float]) -> float:
    """Return the median time from the end of an epoch to the end of the next.

    The first epoch is not counted: it warms caches up, lays data out and compiles.

    Parameters
    ----------
    ends : list of float
        When each epoch ended.

    Returns
    -------
    float
    """
    return float(np.median(np.diff(ends)))


def repeated(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call in seconds, after one that warms up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def can_measure_memory() -> bool:
    """Return whether this system tells what `memory_growth` asks for: Linux does."""
    return _STATUS.is_file() and "RssAnon" in _STATUS.read_text()


@contextmanager
def memory_growth() -> Iterator[dict[str, float]]:
    """Measure by how much resident memory grows in between.

    Yields
    ------
    dict
        Filled at the end, in megabytes: "peak_mb", growth of all resident memory at its
        peak, which the kernel keeps; "anonymous_mb", of that which is not backed by files
        (page cache of a memory map is), sampled by a thread every few milliseconds.
    """
    growth: dict[str, float] = {}
    # Resets the peak to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = _megabytes("VmRSS")
    anonymous_before = highest = _megabytes("RssAnon")
    done = threading.Event()

    def sample() -> None:
        nonlocal highest
        while not done.wait(_SAMPLING_SECONDS):
            highest = max(highest, _megabytes("RssAnon"))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield growth
    finally:
        done.set()
        sampler.join()
        highest = max(highest, _megabytes("RssAnon"))
        growth["peak_mb"] = _megabytes("VmHWM") - before
        growth["anonymous_mb"] = highest - anonymous_before


def _megabytes(field: str) -> float:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"{_STATUS} has no {field}.")
