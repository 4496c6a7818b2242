"""The benchmarks, each in a module of its own that has a `BENCHMARK`."""

import importlib

from tests.benchmarks.base import Benchmark

NAMES = (
    "epoch",
    "time_to_accuracy",
    "small",
    "panel",
    "study",
    "grid",
    "predict",
    "sparse",
    "memory",
    "scaling",
)


def load(name: str) -> Benchmark:
    """Import a benchmark."""
    return importlib.import_module(f"{__name__}.{name}").BENCHMARK
