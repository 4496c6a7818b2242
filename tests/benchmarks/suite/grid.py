"""The grid search of the example, with either classifier."""

import time
from pathlib import Path

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.contestants import n_cores
from tests.benchmarks.data import read_images, write_images
from tests.benchmarks.suite.small import default_classifier

# The layers and folds of examples/mnist_grid.py; a test compares them.
LAYERS = ((64,), (128,), (128, 64), (256,), (256, 128), (512, 256))
FOLDS = 3


def _cases(options: Options) -> list[Case]:
    if options.quick:
        settings = {"layers": [[8], [16]], "folds": 2, "n_rows": 300, "n_jobs": 1}
        return [Case("2 settings, 2 folds", settings)]
    settings = {"layers": LAYERS, "folds": FOLDS, "n_rows": None, "n_jobs": n_cores()}
    return [Case(f"{len(LAYERS)} settings, {FOLDS} folds", settings)]


def _prepare(
    contestant: str,
    folder: Path,
    layers: list[list[int]],
    folds: int,
    n_rows: int | None,
    n_jobs: int,
) -> Turn:
    images = read_images(folder, n_rows)

    def search(n_rows: int | None, seed: int) -> GridSearchCV:
        classifier = default_classifier(contestant, seed)
        pipeline = Pipeline([("scale", MinMaxScaler(clip=True)), ("network", classifier)])
        # The longest fits first, so that no core is idle while the last one finishes.
        sizes = sorted(map(tuple, layers), key=sum, reverse=True)
        parameters = {"network__hidden_layer_sizes": sizes}
        search = GridSearchCV(pipeline, parameters, cv=folds, n_jobs=n_jobs, refit=False)
        return search.fit(images.X_train[:n_rows], images.y_train[:n_rows])

    def turn(round_: int) -> dict[str, float]:
        start = time.perf_counter()
        result = search(None, round_)
        return {"seconds": time.perf_counter() - start, "accuracy": result.best_score_}

    search(200, 0)  # starts the workers
    return turn


BENCHMARK = Benchmark(
    name="grid",
    title="Seconds for the grid search of examples/mnist_grid.py",
    contestants=("skann", "sklearn"),
    cases=_cases,
    prepare=_prepare,
    files=write_images,
    rounds=1,
    notes=("Default settings, a process for each core. Accuracy: the best cross-validated one.",),
)
