"""How long it takes to train a network to an accuracy."""

from pathlib import Path

import numpy as np

from skann import ANNClassifier
from tests.benchmarks.base import Benchmark, CannotTakePartError, Case, Options, Turn
from tests.benchmarks.contestants import Recipe, Trainer, make_trainer
from tests.benchmarks.data import as_floats, read_images, write_images

_HIDDEN = (128, 64)
_SEEDS = 5
_MOST_EPOCHS = 20
# Their schedules have an end, so the epochs have to be known before.
_ONE_CYCLE = ("skann", "skann, NumPy alone", "torch")
_KERAS = ("keras on jax", "keras on tensorflow", "keras on torch")
_CONTESTANTS = ("skann", "skann, NumPy alone", "sklearn", "torch", "skorch", *_KERAS)


def _cases(options: Options) -> list[Case]:
    if options.quick:
        return [Case("80 %", {"target": 0.8, "seeds": 1})]
    others = tuple(name for name in _CONTESTANTS if name not in _KERAS)
    why = "in its batches of 32 rows this takes minutes for each round"
    return [
        Case("97.37 %", {"target": 0.9737, "seeds": _SEEDS}),
        Case("98 %", {"target": 0.98, "seeds": _SEEDS}, others, dict.fromkeys(_KERAS, why)),
    ]


def _prepare(contestant: str, folder: Path, target: float, seeds: int) -> Turn:
    images = as_floats(read_images(folder))
    trainer = make_trainer(contestant, images, _default_recipe(contestant, images.y_train))
    trainer.train(1, seed=0)  # imports, compiles
    if contestant in _ONE_CYCLE:
        epochs = _fewest_epochs(trainer, target, seeds)

    def turn(round_: int) -> dict[str, float]:
        if contestant in _ONE_CYCLE:
            training = trainer.train(epochs, seed=round_ % seeds)
        else:
            training = trainer.train(_MOST_EPOCHS, seed=round_, target=target)
            if training.accuracy < target:
                raise _not_reached(target)
        return {
            "seconds": training.seconds,
            "accuracy": training.accuracy,
            "epochs": len(training.ends),
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


def _fewest_epochs(trainer: Trainer, target: float, seeds: int) -> int:
    """Return the smallest number of epochs whose median accuracy over the seeds is enough."""
    majority = seeds // 2 + 1
    for epochs in range(1, _MOST_EPOCHS + 1):
        n_reached = n_missed = 0
        for seed in range(seeds):
            reached = trainer.train(epochs, seed).accuracy >= target
            n_reached += reached
            n_missed += not reached
            if n_reached == majority:
                return epochs
            if n_missed == majority:
                break
    raise _not_reached(target)


def _not_reached(target: float) -> CannotTakePartError:
    return CannotTakePartError(f"did not reach {target:.2%} within {_MOST_EPOCHS} epochs")


BENCHMARK = Benchmark(
    name="time_to_accuracy",
    title="Seconds to train to an accuracy on the test images",
    contestants=_CONTESTANTS,
    cases=_cases,
    prepare=_prepare,
    files=write_images,
    rounds=3,
    notes=(
        f"{'-'.join(map(str, _HIDDEN))} hidden units, defaults of each; skorch with Adam at 0.001;"
        " PyTorch with skann's recipe (OneCycleLR). Another seed every round.",
        f"skann and PyTorch, whose schedules have an end: the fewest epochs whose median accuracy"
        f" over {_SEEDS} seeds is enough, sought before. The others, at a constant rate: the first"
        " epoch whose accuracy is enough; finding the accuracy is not counted.",
        "Both look at the test images, so the accuracies flatter everybody a little.",
    ),
)
