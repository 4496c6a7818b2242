"""How long one epoch takes, in the steady state."""

from pathlib import Path

from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.contestants import CONTESTANTS, Recipe, make_trainer
from tests.benchmarks.data import as_floats, read_images, write_images
from tests.benchmarks.measuring import typical

# The middle one at every batch size, the others at the batch size that large data gets.
_NETWORK, _OTHER_NETWORKS = (128, 64), ((64,), (512, 256))
_BATCHES, _COMMON_BATCH = (32, 128, 256, 1024), 256


def _cases(options: Options) -> list[Case]:
    if options.quick:
        return [_case((16, 8), 64, 3)]
    cases = [_case(_NETWORK, batch, 4) for batch in _BATCHES]
    return cases + [_case(network, _COMMON_BATCH, 4) for network in _OTHER_NETWORKS]


def _case(hidden: tuple[int, ...], batch_size: int, epochs: int) -> Case:
    name = f"hidden {'-'.join(map(str, hidden))}, batch {batch_size}"
    return Case(name, {"hidden": hidden, "batch_size": batch_size, "epochs": epochs})


def _prepare(
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
        " alpha 0.0001 (Keras: none).",
    ),
)
