"""How long it takes to train a network to an accuracy."""

from bisect import bisect_left
from pathlib import Path

import numpy as np

from skann import ANNClassifier
from tests.benchmarks.base import Benchmark, CannotTakePartError, Case, Options, Turn
from tests.benchmarks.contestants import Recipe, Trainer, make_trainer
from tests.benchmarks.data import as_floats, read_images, write_images

_HIDDEN = (128, 64)
_SEEDS = 5
_EPOCHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40)
_ONE_CYCLE = ("skann", "torch")


def _cases(options: Options) -> list[Case]:
    if options.quick:
        return [Case("80 %", {"target": 0.8, "seeds": 1, "most_epochs": 20})]
    return [
        Case(f"{100 * target:g} %", {"target": target, "seeds": _SEEDS, "most_epochs": 40})
        for target in (0.9737, 0.98)
    ]


def _prepare(contestant: str, folder: Path, target: float, seeds: int, most_epochs: int) -> Turn:
    images = as_floats(read_images(folder))
    trainer = make_trainer(contestant, images, _default_recipe(contestant, images.y_train))
    trainer.train(1, seed=0)  # imports, compiles
    epochs = _fewest_epochs(trainer, target, seeds, most_epochs)

    def turn(round_: int) -> dict[str, float]:
        training = trainer.train(epochs, seed=round_ % seeds)
        return {
            "seconds": training.seconds,
            "accuracy": training.accuracy,
            "epochs": epochs,
        }

    return turn


def _default_recipe(contestant: str, y: np.ndarray) -> Recipe:
    """Return a contestant's defaults; PyTorch, which has none, gets those of skann."""
    if contestant in _ONE_CYCLE:
        # What the defaults are for so many rows, asked for without training to speak of.
        probe = ANNClassifier((), max_iter=1).fit(np.ones((len(y), 1), np.float32), y)
        rate = probe.learning_rate_init_
        return Recipe(_HIDDEN, probe.batch_size_, rate, probe.alpha_, one_cycle=True)
    if contestant.startswith("keras"):
        return Recipe(_HIDDEN, batch_size=32, alpha=0.0)
    if contestant == "skorch":
        return Recipe(_HIDDEN, batch_size=128, alpha=0.0)
    return Recipe(_HIDDEN, batch_size=200)


def _fewest_epochs(trainer: Trainer, target: float, seeds: int, most_epochs: int) -> int:
    """Return the smallest number of epochs whose median accuracy over the seeds is enough.

    Found by bisection, as if more epochs never made it worse: trying them one after the other
    takes hours where an epoch takes seconds.
    """
    candidates = [epochs for epochs in _EPOCHS if epochs <= most_epochs]
    majority = seeds // 2 + 1

    def is_enough(epochs: int) -> bool:
        n_reached = n_missed = 0
        for seed in range(seeds):
            reached = trainer.train(epochs, seed).accuracy >= target
            n_reached += reached
            n_missed += not reached
            if max(n_reached, n_missed) == majority:
                break
        return n_reached == majority

    place = bisect_left(candidates, True, key=is_enough)
    if place == len(candidates):
        raise CannotTakePartError(f"did not reach {target:.2%} within {most_epochs} epochs")
    return candidates[place]


BENCHMARK = Benchmark(
    name="time_to_accuracy",
    title="Seconds to train to an accuracy on the test images",
    contestants=(
        "skann",
        "sklearn",
        "torch",
        "skorch",
        "keras on jax",
        "keras on tensorflow",
        "keras on torch",
    ),
    cases=_cases,
    prepare=_prepare,
    files=write_images,
    notes=(
        f"Each trains for the fewest epochs whose median accuracy over {_SEEDS} seeds is enough,"
        f" with {'-'.join(map(str, _HIDDEN))} hidden units. They are sought on the test images and"
        " with the seeds of the first rounds: the accuracies flatter everybody a little.",
        "Defaults of each; skorch with Adam at 0.001; PyTorch with skann's recipe (OneCycleLR).",
    ),
)
