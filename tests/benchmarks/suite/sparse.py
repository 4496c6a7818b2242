"""Sparse documents: the epoch, the accuracy and the memory."""

from pathlib import Path

from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.contestants import Recipe, make_trainer
from tests.benchmarks.data import documents
from tests.benchmarks.measuring import can_measure_memory, memory_growth, typical


def _cases(options: Options) -> list[Case]:
    sizes = (300, 500, 20) if options.quick else (20_000, 50_000, 80)
    n_documents, n_words, n_nonzeros = sizes
    name = f"{n_documents:,} documents, {n_words:,} words, about {n_nonzeros} a row"
    settings = {
        "sizes": sizes,
        "hidden": [8] if options.quick else [128],
        "epochs": 3 if options.quick else 5,
    }
    return [Case(name, settings)]


def _prepare(
    contestant: str, folder: Path, sizes: list[int], hidden: list[int], epochs: int
) -> Turn:
    n_documents, n_words, n_nonzeros = sizes
    texts = documents(n_documents, n_words, n_nonzeros)
    trainer = make_trainer(contestant, texts, Recipe(tuple(hidden), batch_size=200))
    peak = {}
    if can_measure_memory():
        # In a process that has fitted before, memory that is free again hides the growth.
        with memory_growth() as growth:
            trainer.train(1, seed=0)
        peak = {"peak_mb": growth["peak_mb"]}

    def turn(round_: int) -> dict[str, float]:
        training = trainer.train(epochs, seed=round_)
        return {"seconds": typical(training.ends), "accuracy": training.accuracy, **peak}

    return turn


BENCHMARK = Benchmark(
    name="sparse",
    title="Seconds for one epoch of Adam on sparse rows",
    contestants=("skann", "skann, NumPy alone", "sklearn"),
    cases=_cases,
    prepare=_prepare,
    rounds=3,
    notes=(
        "Words drawn by Zipf's law, TF-IDF in float32, ten topics, a tenth of the labels"
        " random; batch 200, Adam at 0.001, alpha 0.0001.",
        "Accuracy on 5,000 other documents, after the few epochs of a turn. peak_mb: growth of"
        " resident memory in a process's first fit and prediction.",
    ),
)
