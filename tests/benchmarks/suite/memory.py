"""By how much fitting makes a process grow."""

import time
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

from skann import ANNClassifier
from tests.benchmarks.base import Benchmark, CannotTakePartError, Case, Options, Turn
from tests.benchmarks.data import Split, read_images, write_images, write_mapped_rows
from tests.benchmarks.measuring import can_measure_memory, memory_growth

_HIDDEN = (128, 64)
_MAPPED, _LABELS = "mapped.npy", "mapped_labels.npy"


def _files(folder: Path, options: Options) -> str:
    data = write_images(folder, options)
    gigabytes = 0.002 if options.quick else options.gigabytes
    labels = write_mapped_rows(folder / _MAPPED, read_images(folder), gigabytes)
    np.save(folder / _LABELS, labels)
    return f"{data} The mapped file repeats them: {len(labels):,} rows."


def _cases(options: Options) -> list[Case]:
    epochs = 1 if options.quick else 2
    size = 0.002 if options.quick else options.gigabytes
    why = f"converts X to float64 in memory: {8 * size:g} GB"
    return [
        Case("uint8 images", {"mapped": False, "epochs": epochs}),
        Case(
            f"memory-mapped uint8 file of {size:g} GB",
            {"mapped": True, "epochs": 1},
            contestants=("skann",),
            left_out={"sklearn": why},
        ),
    ]


def _prepare(contestant: str, folder: Path, mapped: bool, epochs: int) -> Turn:
    if not can_measure_memory():
        raise CannotTakePartError("memory is measured through /proc/self/status, which Linux has")
    images = read_images(folder)
    _warm_up(contestant, images)
    if mapped:
        X_train, y_train = np.load(folder / _MAPPED, mmap_mode="r"), np.load(folder / _LABELS)
        images = images._replace(X_train=X_train, y_train=y_train)
    classifier = _classifier(contestant, epochs)

    def turn(round_: int) -> dict[str, float]:
        start = time.perf_counter()
        with memory_growth() as growth:
            classifier.fit(images.X_train, images.y_train)
        seconds = time.perf_counter() - start
        accuracy = classifier.score(images.X_test, images.y_test)
        return {**growth, "seconds": seconds, "accuracy": accuracy}

    return turn


def _classifier(contestant: str, epochs: int):
    if contestant == "skann":
        return ANNClassifier(_HIDDEN, max_iter=epochs, input_scaling="maxabs", random_state=0)
    return MLPClassifier(_HIDDEN, max_iter=epochs, random_state=0)


def _warm_up(contestant: str, images: Split) -> None:
    """Import and start what any fit needs once, thread pools and their buffers included."""
    _classifier(contestant, 1).fit(images.X_train[:2000], images.y_train[:2000])


BENCHMARK = Benchmark(
    name="memory",
    title="Megabytes by which a process grows while fitting",
    contestants=("skann", "sklearn"),
    cases=_cases,
    prepare=_prepare,
    files=_files,
    measure="anonymous_mb",
    unit="MB",
    rounds=3,
    fresh=True,
    notes=(
        "In a new process every time, over what it holds with the data loaded and a small fit"
        " done. peak_mb: all resident memory at its peak, the page cache of a mapped file"
        " included; anonymous_mb: without what files back.",
    ),
)
