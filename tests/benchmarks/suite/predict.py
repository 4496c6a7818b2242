"""How long predictions take, of one row and of many."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sklearn.neural_network import MLPClassifier

from skann import ANNClassifier
from tests.benchmarks.base import Benchmark, Case, Options, Turn
from tests.benchmarks.contestants.products import Products
from tests.benchmarks.data import as_floats, read_images, write_images
from tests.benchmarks.measuring import repeated

_HIDDEN = (128, 64)


def _cases(options: Options) -> list[Case]:
    if options.quick:
        return [
            Case("1 row", {"n_rows": 1, "repeats": 5}),
            Case("300 rows", {"n_rows": 300, "repeats": 2}),
        ]
    return [
        Case("1 row", {"n_rows": 1, "repeats": 1000}),
        Case("10,000 rows", {"n_rows": 10_000, "repeats": 15}),
    ]


def _prepare(contestant: str, folder: Path, n_rows: int, repeats: int) -> Turn:
    images = as_floats(read_images(folder))
    X = images.X_test[:n_rows]
    accuracy = float("nan")
    call: Callable[[], object]
    if contestant == "floor":
        n_classes = int(images.y_train.max()) + 1
        call = Products(len(X), (X.shape[1], *_HIDDEN, n_classes), X).forward
    else:
        makers = {"skann": ANNClassifier, "sklearn": MLPClassifier}
        classifier = makers[contestant](_HIDDEN, max_iter=5, random_state=0)
        classifier.fit(images.X_train[:20_000], images.y_train[:20_000])
        accuracy = classifier.score(images.X_test, images.y_test)
        call = partial(classifier.predict_proba, X)

    def turn(round_: int) -> dict[str, float]:
        return {"microseconds": 1e6 * repeated(call, repeats), "accuracy": accuracy}

    return turn


BENCHMARK = Benchmark(
    name="predict",
    title="Microseconds for predict_proba, 128-64 hidden units",
    contestants=("floor", "skann", "sklearn"),
    cases=_cases,
    prepare=_prepare,
    files=write_images,
    measure="microseconds",
    unit="µs",
    rounds=9,
    notes=(
        "Row-major float32 rows. Accuracy is that on all test images after five epochs on 20,000"
        " images.",
        "floor: the matrix products alone, np.dot with out=.",
    ),
)
