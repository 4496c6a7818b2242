"""How long one epoch takes, in the steady state."""

from pathlib import Path
from typing import Any

import numpy as np

from skann import ANNClassifier
from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.contestants import CONTESTANTS, Recipe, make_trainer
from tests.benchmarks.data import as_floats, read_images, write_images
from tests.benchmarks.measuring import typical

# The middle one at every batch size, the others at the batch size that large data gets.
_NETWORK, _OTHER_NETWORKS = (128, 64), ((64,), (512, 256))
_BATCHES, _COMMON_BATCH = (32, 128, 256, 1024), 256
# How long the last epochs of a long fit at defaults take, and the first.
_LATE = {
    "hidden 128-64": {"hidden": (128, 64)},
    "hidden 512-256": {"hidden": (512, 256)},
    "hidden 128-64, alpha 0.5": {"hidden": (128, 64), "alpha": 0.5},
}
_N_LATE, _N_FIRST = 10, 3


def _cases(options: Options) -> list[Case]:
    if options.quick:
        late = {"epochs": 13, "late": True, "hidden": (16, 8)}
        return [_case((16, 8), 64, 3), Case("late epochs", late, ("skann",))]
    cases = [_case(_NETWORK, batch, 4) for batch in _BATCHES]
    cases += [_case(network, _COMMON_BATCH, 4) for network in _OTHER_NETWORKS]
    return cases + [
        Case(f"{name}, epochs 21 to 30", {"epochs": 30, "late": True, **settings}, ("skann",))
        for name, settings in _LATE.items()
    ]


def _case(hidden: tuple[int, ...], batch_size: int, epochs: int) -> Case:
    name = f"hidden {'-'.join(map(str, hidden))}, batch {batch_size}"
    return Case(name, {"hidden": hidden, "batch_size": batch_size, "epochs": epochs})


def _prepare(contestant: str, folder: Path, late: bool = False, **settings: Any) -> Turn:
    return (_prepare_late if late else _prepare_steady)(contestant, folder, **settings)


def _prepare_late(
    contestant: str, folder: Path, hidden: list[int], epochs: int, alpha: float | str = "auto"
) -> Turn:
    images = as_floats(read_images(folder))

    def turn(round_: int) -> dict[str, float]:
        classifier = ANNClassifier(tuple(hidden), alpha=alpha, max_iter=epochs, random_state=round_)
        classifier.fit(images.X_train, images.y_train)
        seconds = [epoch["seconds"] for epoch in classifier.history_]
        late, first = np.median(seconds[-_N_LATE:]), np.median(seconds[:_N_FIRST])
        return {
            "seconds": float(late),
            "accuracy": float(classifier.score(images.X_test, images.y_test)),
            "times_the_first": float(late / first),
        }

    return turn


def _prepare_steady(
    contestant: str, folder: Path, hidden: list[int], batch_size: int, epochs: int
) -> Turn:
    images = as_floats(read_images(folder))
    trainer = make_trainer(contestant, images, Recipe(tuple(hidden), batch_size))

    def turn(round_: int) -> dict[str, float]:
        training = trainer.train(epochs, seed=round_)
        return {"seconds": typical(training.ends), "accuracy": training.accuracy}

    return turn


BENCHMARK = Benchmark(
    name="epoch",
    title="Seconds for one epoch of Adam",
    contestants=tuple(name for name, contestant in CONTESTANTS.items() if contestant.module),
    cases=_cases,
    prepare=_prepare,
    files=write_images,
    notes=(
        "Every turn trains from scratch; the first epoch is not counted. Accuracy is that after"
        " the few epochs of a turn.",
        "floor: the matrix products of an epoch alone, np.dot with out=.",
        "Rows are row-major float32 from 0 to 1 unless the name says otherwise. Adam at 0.001,"
        " alpha 0.0001 (Keras: none). Late epochs: ANNClassifier's defaults but for what the name"
        " says; times_the_first: the median of the last ten over that of the first three.",
    ),
)
