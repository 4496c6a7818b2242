"""
Comparison with MLPClassifier
=============================

This example compares `ANNClassifier` with `MLPClassifier` on four data sets that come with
scikit-learn. Both classifiers are in a pipeline with a `StandardScaler` and have the same hidden
layers. The other settings are the defaults, which differ most in the training: `MLPClassifier`
trains with a constant learning rate until the loss no longer falls, while `ANNClassifier` follows a
one-cycle schedule to its end, with a little dropout and label smoothing.
"""

# %%
# Both are cross-validated on the same folds. The code also counts the convergence warnings.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skann import ANNClassifier

DATA_SETS = {
    "iris": load_iris,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}
CLASSIFIERS = {"skann": ANNClassifier, "MLPClassifier": MLPClassifier}
folds = StratifiedKFold(3, shuffle=True, random_state=0)

results: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in CLASSIFIERS}
unconverged = dict.fromkeys(CLASSIFIERS, 0)
for load in DATA_SETS.values():
    X, y = load(return_X_y=True)
    for name, classifier in CLASSIFIERS.items():
        model = make_pipeline(StandardScaler(), classifier((128, 64), random_state=0))
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always", ConvergenceWarning)
            scores = cross_validate(model, X, y, cv=folds, scoring=["accuracy", "neg_log_loss"])
        results[name].append(scores)
        unconverged[name] += sum(issubclass(w.category, ConvergenceWarning) for w in given)
for name, count in unconverged.items():
    print(f"{name}: {count} of {len(DATA_SETS) * folds.n_splits} fits did not converge")

# %%
# Dots are folds and diamonds their means. The log-loss, which measures the probabilities, is lower
# for `MLPClassifier` on most of these data sets, and lower for `ANNClassifier` on breast cancer.
# The accuracies of the two differ by less than those of the folds. The times differ clearly; they
# were measured on the machine that built this page.

PANELS = {
    "accuracy on the held-out fold (%), higher is better": ("test_accuracy", 100),
    "log-loss on the held-out fold, lower is better": ("test_neg_log_loss", -1),
    "seconds to fit (log scale), lower is better": ("fit_time", 1),
}
STYLES = {"skann": ("#0072B2", -0.15), "MLPClassifier": ("#D55E00", 0.15)}

# sphinx_gallery_thumbnail_number = 3
for label, (key, factor) in PANELS.items():
    figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for name, (color, offset) in STYLES.items():
        values = factor * np.array([scores[key] for scores in results[name]])
        places = np.arange(len(DATA_SETS)) + offset
        ax.plot(
            values.ravel(), np.repeat(places, folds.n_splits), "o", color=color, alpha=0.3, ms=5
        )
        ax.plot(values.mean(axis=1), places, "D", color=color, ms=9, label=name)
    ax.set_xlabel(label)
    ax.set_yticks(range(len(DATA_SETS)), list(DATA_SETS))
    ax.set_ylim(len(DATA_SETS) - 0.6, -0.4)
    ax.grid(axis="x", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
ax.set_xscale("log")
ax.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
ax.xaxis.set_minor_formatter(NullFormatter())
plt.show()
