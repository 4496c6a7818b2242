"""
Comparison with MLPClassifier
=============================

Both classifiers in a pipeline with a `StandardScaler`, on scikit-learn's four embedded
classification sets, with the same hidden layers and otherwise the defaults of each. The defaults
are where they differ most: `MLPClassifier` trains with a constant learning rate until the loss no
longer falls, `ANNClassifier` follows a one-cycle schedule to its end, with a little dropout and
label smoothing.
"""

# %%
# Each pair is cross-validated on the same folds, and the warnings that a fit gives are counted.

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
    print(f"{name}: {count} of {len(DATA_SETS) * folds.n_splits} fits warn of no convergence")

# %%
# The dots are the folds, the diamonds their means. In accuracy the two differ by less than the
# folds do; what differs is the time. The log-loss, which counts how sure the answers were, is lower
# for `MLPClassifier` on most of these sets, and for `ANNClassifier` on breast cancer. Seconds are
# those of the machine that ran this page.

PANELS = {
    "accuracy (%)": ("test_accuracy", 100),
    "log-loss": ("test_neg_log_loss", -1),
    "seconds to fit (log scale)": ("fit_time", 1),
}
STYLES = {"skann": ("#0072B2", -0.15), "MLPClassifier": ("#D55E00", 0.15)}

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
for ax, (title, (key, factor)) in zip(axes, PANELS.items(), strict=True):
    for name, (color, offset) in STYLES.items():
        values = factor * np.array([scores[key] for scores in results[name]])
        places = np.arange(len(DATA_SETS)) + offset
        ax.plot(
            values.ravel(), np.repeat(places, folds.n_splits), "o", color=color, alpha=0.3, ms=5
        )
        ax.plot(values.mean(axis=1), places, "D", color=color, ms=9, label=name)
    ax.set_title(title)
    ax.grid(axis="x", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks(range(len(DATA_SETS)), list(DATA_SETS))
axes[0].set_ylim(len(DATA_SETS) - 0.6, -0.4)
axes[2].set_xscale("log")
axes[2].xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
axes[2].xaxis.set_minor_formatter(NullFormatter())
figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
)
plt.show()
