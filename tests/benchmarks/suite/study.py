"""What the default settings gain: one change at a time, on splits of the panel's training parts."""

import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skann import ANNClassifier
from skann.defaults import resolve
from tests.benchmarks import panel_data
from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.suite.panel import quality, strong_classifier, strongest_classifier

# Makes a classifier from a seed and the number of training rows.
_Maker = Callable[[int, int], ANNClassifier]


def _with(**changes: Any) -> _Maker:
    """Return the maker of a classifier that differs from the defaults in this."""
    return lambda seed, n_rows: ANNClassifier(random_state=seed, **changes)


def _times(factor: float, *names: str) -> _Maker:
    """Return the maker of a classifier with a multiple of what "auto" stands for."""

    def make(seed: int, n_rows: int) -> ANNClassifier:
        parameters = ANNClassifier().get_params()
        defaults = resolve(parameters, n_rows, len(parameters["hidden_layer_sizes"]))._asdict()
        changed = {name: type(defaults[name])(factor * defaults[name]) for name in names}
        return ANNClassifier(random_state=seed, **changed)

    return make


_DEFAULTS = "defaults"
_VARIANTS: dict[str, _Maker] = {
    _DEFAULTS: _with(),
    "no dropout": _with(dropout=0.0),
    "dropout 0.1 in both layers": _with(dropout=0.1),
    "dropout 0.2 in the first": _with(dropout=[0.2, 0.0]),
    "dropout 0.2 in both": _with(dropout=0.2),
    "label smoothing 0": _with(label_smoothing=0.0),
    "label smoothing 0.05": _with(label_smoothing=0.05),
    "alpha halved": _times(0.5, "alpha"),
    "alpha doubled": _times(2, "alpha"),
    "alpha 0.1 for all": _with(alpha=0.1),
    "alpha 0.4 for all": _with(alpha=0.4),
    "epochs halved": _times(0.5, "max_iter"),
    "epochs doubled": _times(2, "max_iter"),
    "batch halved": _times(0.5, "batch_size"),
    "batch doubled": _times(2, "batch_size"),
    "batch and alpha halved": _times(0.5, "batch_size", "alpha"),
    "batch and alpha doubled": _times(2, "batch_size", "alpha"),
    "learning rate halved": _times(0.5, "learning_rate_init"),
    "learning rate doubled": _times(2, "learning_rate_init"),
    "beta_2 0.999": _with(beta_2=0.999),
    "inputs clipped at 3": _with(input_clip=3.0),
    "layers of 64 and 32 units": _with(hidden_layer_sizes=(64, 32)),
    "layers of 256 and 128 units": _with(hidden_layer_sizes=(256, 128)),
    "three layers of 128 units": _with(hidden_layer_sizes=(128, 128, 128)),
    "AdamW": _with(solver="adamw"),
    "gelu": _with(activation="gelu"),
    "silu": _with(activation="silu"),
    "batch normalisation": _with(normalization="batch"),
    "layer normalisation": _with(normalization="layer"),
    "averaged weights (0.99)": _with(ema_decay=0.99),
    "inputs scaled by quantiles": _with(input_scaling="robust"),
    "periodic embedding": _with(numerical_embedding="periodic"),
    "piecewise-linear embedding": _with(numerical_embedding="piecewise_linear"),
    "five members": _with(n_members=5),
    "five members and periodic embedding": _with(n_members=5, numerical_embedding="periodic"),
    "five members, piecewise-linear embedding, inputs clipped at 3": _with(
        n_members=5, numerical_embedding="piecewise_linear", input_clip=3.0
    ),
    "strong recipe": strong_classifier,
    "strongest recipe": strongest_classifier,
}
_QUICK = (_DEFAULTS, "epochs halved", "strong recipe")


class _Fits(NamedTuple):
    """A number for each fit, sets by seeds."""

    log_loss: np.ndarray
    accuracy: np.ndarray
    seconds: np.ndarray


def _cases(options: Options) -> list[Case]:
    settings = {
        "sets": panel_data.names(options),
        "most_rows": 100 if options.quick else 10_000,
        "n_seeds": 1 if options.quick else 3,
    }
    variants = _QUICK if options.quick else _VARIANTS
    return [Case(variant, {"variant": variant, **settings}) for variant in variants]


def _prepare(
    contestant: str, folder: Path, variant: str, sets: list[str], most_rows: int, n_seeds: int
) -> Turn:
    def turn(round_: int) -> dict[str, float]:
        seeds = range(round_ * n_seeds, (round_ + 1) * n_seeds)
        defaults, changed = (
            _fit_all(name, folder, tuple(sets), most_rows, seeds) for name in (_DEFAULTS, variant)
        )
        differences = {
            f"{name}_{word}": value
            for name in ("log_loss", "accuracy")
            for word, value in zip(
                ("difference", "error"),
                _mean_and_error(getattr(changed, name) - getattr(defaults, name)),
                strict=True,
            )
        }
        return {
            "log_loss": changed.log_loss.mean(),
            "accuracy": changed.accuracy.mean(),
            **differences,
            "seconds": changed.seconds.mean(axis=1).sum(),
        }

    split = panel_data.read_inner_split(folder, sets[0], most_rows, seed=0)
    ANNClassifier(max_iter=2).fit(split.X_train, split.y_train)  # starts thread pools
    return turn


@cache
def _fit_all(
    variant: str, folder: Path, sets: tuple[str, ...], most_rows: int, seeds: range
) -> _Fits:
    """Fit a variant to every set with every seed; once for all that are compared with it."""
    measured = np.empty((3, len(sets), len(seeds)))
    for row, data in enumerate(sets):
        for column, seed in enumerate(seeds):
            split = panel_data.read_inner_split(folder, data, most_rows, seed)
            classifier = _VARIANTS[variant](seed, len(split.y_train))
            start = time.perf_counter()
            classifier.fit(split.X_train, split.y_train)
            seconds = time.perf_counter() - start
            reached = quality(classifier, split)
            measured[:, row, column] = reached["log_loss"], reached["accuracy"], seconds
    return _Fits(*measured)


def _mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    """Return the mean and its standard error over the sets: seeds of a set share its rows."""
    of_sets = differences.mean(axis=1)
    return of_sets.mean(), of_sets.std(ddof=1) / math.sqrt(of_sets.size)


BENCHMARK = Benchmark(
    name="study",
    title="Log-loss and accuracy with one change to the default settings",
    contestants=("skann",),
    cases=_cases,
    prepare=_prepare,
    files=panel_data.write_sets,
    measure="log_loss",
    unit="nats",
    rounds=1,
    chart="differences",
    notes=(
        "The panel's training parts of seed 0, 70 % of them to train and 30 % to measure on, drawn"
        " by class with three seeds (with --quick one); the test parts are not looked at.",
        "difference: to the defaults with the same rows and seed, mean over sets and seeds;"
        " error: its standard error over the sets. seconds: to fit all sets once.",
    ),
)
