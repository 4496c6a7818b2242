"""Draw a picture of each display, for its page and for the API page."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from skann import (
    ANNClassifier,
    MisclassifiedDisplay,
    SearchDisplay,
    TrainingCurveDisplay,
    WeightsDisplay,
    find_learning_rate,
)

matplotlib.use("Agg")

FOLDER = "generated/displays"


def draw(app: Any) -> None:
    """Draw them from one network, fitted to the digits of scikit-learn."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    network = ANNClassifier(input_scaling="maxabs", random_state=0)
    rate = find_learning_rate(network, X_train, y_train)
    grid = {"hidden_layer_sizes": [(16,), (64,), (64, 32)], "dropout": [0, 0.2]}
    search = GridSearchCV(network, grid, cv=3).fit(X_train, y_train)
    network.fit(X_train, y_train, X_val=X_test, y_val=y_test)
    plt.close("all")
    displays = [
        TrainingCurveDisplay.from_estimator(network),
        SearchDisplay.from_estimator(search),
        MisclassifiedDisplay.from_estimator(
            network, X_test, y_test, image_shape=(8, 8), max_samples=12
        ),
        WeightsDisplay.from_estimator(network, image_shape=(8, 8)),
        rate.plot(),
    ]
    for display in displays:
        name = f"{type(display).__name__}.png"
        display.figure_.savefig(folder / name, dpi=110, bbox_inches="tight")
    plt.close("all")


def setup(app: Any) -> dict[str, bool]:
    """Register the step that runs before pages are read."""
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True}
