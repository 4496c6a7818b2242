"""How the time of an epoch grows with rows, features and width."""

from pathlib import Path

from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.contestants import Recipe, make_trainer
from tests.benchmarks.data import blobs
from tests.benchmarks.measuring import typical

_MIDDLE = {"rows": 100_000, "features": 100, "width": 128}
_AXES = {
    "rows": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "features": (10, 30, 100, 300, 1_000),
    "width": (16, 32, 64, 128, 256, 512, 1024),
}
_QUICK_MIDDLE = {"rows": 300, "features": 10, "width": 8}
_QUICK_AXES = {"rows": (300, 600), "features": (10, 20), "width": (8, 16)}


def _cases(options: Options) -> list[Case]:
    middle, axes = (_QUICK_MIDDLE, _QUICK_AXES) if options.quick else (_MIDDLE, _AXES)
    return [
        Case(f"{axis} = {value:,}", {"axis": axis, **middle, axis: value})
        for axis, values in axes.items()
        for value in values
    ]


def _prepare(
    contestant: str, folder: Path, axis: str, rows: int, features: int, width: int
) -> Turn:
    data = blobs(rows, features)
    trainer = make_trainer(contestant, data, Recipe((width,), batch_size=256))

    def turn(round_: int) -> dict[str, float]:
        training = trainer.train(3, seed=round_)
        seconds = typical(training.ends)
        return {
            "seconds": seconds,
            "accuracy": training.accuracy,
            "us_per_row": 1e6 * seconds / rows,
        }

    return turn


BENCHMARK = Benchmark(
    name="scaling",
    title="Seconds for one epoch of Adam as the data and the network grow",
    contestants=("floor", "skann", "skann, NumPy alone", "sklearn"),
    cases=_cases,
    prepare=_prepare,
    rounds=5,
    chart="lines",
    notes=(
        "Where not said otherwise: "
        + ", ".join(f"{axis} = {value:,}" for axis, value in _MIDDLE.items())
        + "; row-major float32, one hidden layer, batch 256.",
    ),
)
