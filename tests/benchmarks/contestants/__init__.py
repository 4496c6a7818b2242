"""Who competes: the registry of names, and what trains under each."""

import importlib
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from tests.benchmarks.data import Split


class Recipe(NamedTuple):
    """How to train.

    Attributes
    ----------
    hidden : sequence of int
        Units of the hidden layers, which are rectified linear.
    batch_size : int
        Rows of a batch.
    learning_rate : float
        Adam's rate, the peak with `one_cycle`.
    alpha : float
        L2 penalty as scikit-learn has it, divided by the rows of a batch.
    one_cycle : bool
        Whether the rate follows one cycle instead of being constant.
    """

    hidden: tuple[int, ...]
    batch_size: int
    learning_rate: float = 1e-3
    alpha: float = 1e-4
    one_cycle: bool = False

    def require_constant_rate(self, contestant: str) -> None:
        """Raise if the rate follows a cycle, which only some contestants can do."""
        if self.one_cycle:
            raise ValueError(f"{contestant} takes part at a constant rate only.")


class Training(NamedTuple):
    """How a training went.

    Attributes
    ----------
    seconds : float
        All of it.
    ends : list of float
        When each epoch ended.
    accuracy : float
        On the test rows; not a number where nothing is learned.
    """

    seconds: float
    ends: list[float]
    accuracy: float


class Trainer(Protocol):
    """Trains networks, each from scratch, on data it holds in the form it likes best."""

    def train(self, epochs: int, seed: int) -> Training:
        """Train for some epochs."""


class ConstantRateTrainer(Trainer, Protocol):
    """Can also stop as soon as it is good enough: without a schedule there is no end to wait for.

    An accuracy on the test rows is found after each epoch then; `Training.seconds` leaves out
    the time that takes.
    """

    def train(self, epochs: int, seed: int, target: float | None = None) -> Training:
        """Train for some epochs, or until an epoch ends at an accuracy of `target`."""


@dataclass(frozen=True)
class Contestant:
    """A contestant.

    Attributes
    ----------
    module : str
        The module beside this one whose class `Trainer` trains; empty where the benchmark
        makes the classifier.
    packages : sequence of str
        What has to be installed.
    environment : dict of str to str
        Environment variables of its process.
    options : dict
        Further arguments of `Trainer`.
    """

    module: str = ""
    packages: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]


def _keras(backend: str, package: str) -> Contestant:
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return Contestant("keras_model", ("keras", package), environment)


CONTESTANTS = {
    "floor": Contestant("products"),
    "skann": Contestant("ann_classifier"),
    "skann, NumPy alone": Contestant("ann_classifier", environment={"SKANN_KERNELS": "numpy"}),
    "skann, uint8": Contestant("ann_classifier", options={"layout": "uint8"}),
    "skann, column-major int64": Contestant("ann_classifier", options={"layout": "columns"}),
    "sklearn": Contestant("mlp_classifier"),
    "sklearn, column-major": Contestant("mlp_classifier", options={"order": "F"}),
    "jax": Contestant("jax_scan", ("jax",), {"JAX_PLATFORMS": "cpu"}),
    "torch": Contestant("torch_eager", ("torch",)),
    "skorch": Contestant("skorch_net", ("skorch", "torch")),
    "keras on jax": _keras("jax", "jax"),
    "keras on tensorflow": _keras("tensorflow", "tensorflow"),
    "keras on torch": _keras("torch", "torch"),
    "skann, strong": Contestant(),
    "skann, strongest": Contestant(),
    "logistic regression": Contestant(),
    "hist gradient boosting": Contestant(),
    "xgboost": Contestant(packages=("xgboost",)),
    "realmlp": Contestant(packages=("pytabkit", "torch")),
}


def make_trainer(name: str, data: Split, recipe: Recipe) -> Trainer:
    """Import a contestant and give it the data.

    Parameters
    ----------
    name : str
        Name in `CONTESTANTS`.
    data : Split
        Row-major float32, or uint8 which only the contestants of skann want.
    recipe : Recipe
        How to train.

    Returns
    -------
    Trainer
    """
    contestant = CONTESTANTS[name]
    module = importlib.import_module(f"tests.benchmarks.contestants.{contestant.module}")
    return module.Trainer(data, recipe, **contestant.options)


def n_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
