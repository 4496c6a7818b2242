"""Models as earlier releases have saved them, with rows and the probabilities they must give.

There is a folder for every release. When a release is ready, before it is tagged,
``python -m tests.golden`` writes that of the version in `skann.__version__`; commit it. Folders
of earlier releases stay as they are: tests/test_golden.py loads all of them.
"""

from pathlib import Path

import numpy as np

from tests.data import problem, quick

FOLDER = Path(__file__).parent


def models():
    """Return classifiers, fitted, by name, that cover what a saved model can hold."""
    X, y = problem("binary")
    named = np.array(["no", "yes"])[y]
    fitted = {
        "binary": quick(class_weight={"no": 1.0, "yes": 2.0}).fit(X, named),
        "warm": quick(solver="adamw", warm_start=True, ema_decay=0.9).fit(X, y),
        "lbfgs": quick(solver="lbfgs", max_iter=2000, tol=0.01, activation="tanh").fit(X, y),
    }
    X, y = problem("multiclass")
    fitted["multiclass"] = quick(
        hidden_layer_sizes=(8, 6),
        activation=["gelu", "mish"],
        normalization="batch",
        input_scaling="standard",
        input_clip=3.0,
        early_stopping=True,
        validation_fraction=0.2,
    ).fit(X, y)
    X, y = problem("multilabel-indicator")
    settings = {"dtype": "float64", "normalization": "layer", "activation": "selu"}
    fitted["multilabel"] = quick(**settings).fit(X, y)
    return fitted
