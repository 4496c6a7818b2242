"""Small data sets and settings that fit them in milliseconds."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_blobs, make_multilabel_classification

from skann import ANNClassifier

KINDS = ["binary", "multiclass", "multilabel-indicator"]
SOLVERS = ["adam", "sgd", "lbfgs"]
STOCHASTIC_SOLVERS = ["adam", "sgd"]


def problem(kind: str = "multiclass", n_rows: int = 60, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Return rows of four features, scaled, and integer labels or indicators."""
    if kind == "multilabel-indicator":
        X, y = make_multilabel_classification(
            n_rows, n_features=4, n_classes=3, n_labels=2, random_state=seed
        )
        return X / 10, y
    n_classes = 2 if kind == "binary" else 3
    X, y = make_blobs(n_rows, 4, centers=n_classes, cluster_std=3.0, random_state=seed)
    return X / 5, y


def quick(**changes) -> ANNClassifier:
    """Return a small classifier that trains for a few epochs."""
    settings = {"hidden_layer_sizes": (8,), "max_iter": 5, "batch_size": 16, "random_state": 0}
    if changes.get("solver") == "lbfgs":
        # Without a penalty it may follow separable rows to infinity, and warn.
        settings["alpha"] = 0.3
    return ANNClassifier(**(settings | changes))


def constant_rate(**changes) -> ANNClassifier:
    """Return a small classifier whose plain rate runs its epochs out: it warns, see fits."""
    settings = {"learning_rate": "constant", "learning_rate_init": 0.01, "tol": 0.0}
    return quick(**(settings | {"n_iter_no_change": np.inf} | changes))
