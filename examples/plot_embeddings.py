"""
Embedded numbers and several members
====================================

Two parameters extend the network itself. `numerical_embedding` adds inputs for each number, so that
the network can follow classes that change abruptly within one feature. `n_members` trains several
networks together and averages their probabilities. This example shows a problem that needs the
embedding, and then real data on which the two help little or not at all.
"""

# %%
# In the first data set, the class changes nine times along one feature, and the other feature is
# noise. There are 1,000 training rows. The settings are the defaults, except for the embedding.

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import cross_val_score

from skann import ANNClassifier

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (3000, 2))
y = np.floor(2.5 * X[:, 0]).astype(int) % 2
X_train, y_train, X_test, y_test = X[:1000], y[:1000], X[1000:], y[1000:]

EMBEDDINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "periodic": {"numerical_embedding": "periodic", "embedding_scale": 0.5},
    "piecewise linear": {"numerical_embedding": "piecewise_linear"},
}
networks = {
    name: ANNClassifier(random_state=0, **settings).fit(X_train, y_train)
    for name, settings in EMBEDDINGS.items()
}
accuracy = {name: network.score(X_test, y_test) for name, network in networks.items()}

# %%
# The colour shows the predicted probability. With the defaults, the network starts from a smooth
# function and hardly learns the stripes in the default number of epochs. "periodic" embeds a number
# as cosines. `embedding_scale` sets their frequencies; its default, 0.1, suits features in which
# the classes change more slowly. "piecewise_linear" embeds a number as ramps between the quantiles
# of the training rows, and needs no scale.

figure, axes = plt.subplots(2, 2, figsize=(6, 5), layout="constrained")
axes[0, 0].scatter(*X_train.T, c=y_train, cmap="coolwarm", s=6)
axes[0, 0].set(title="Training rows", xlim=(-2, 2), ylim=(-2, 2))
for ax, (name, network) in zip(axes.flat[1:], networks.items(), strict=True):
    DecisionBoundaryDisplay.from_estimator(
        network, X_test, response_method="predict_proba", cmap="coolwarm", eps=0, ax=ax
    )
    ax.set_title(f"{name}: accuracy {accuracy[name]:.0%}")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")

# %%
# On real data the gains are smaller, and there may be none. Each dot is the log-loss of one of
# three cross-validation folds, and each diamond is their mean; lower is better. Five members lower
# the mean log-loss on the digits, by less than the folds differ. On breast cancer, no setting is
# clearly better than the defaults. All of them take longer to fit, so try them on your data first.

SETTINGS = EMBEDDINGS | {"five members": {"n_members": 5}}
losses = {
    (data, name): -cross_val_score(
        ANNClassifier(input_scaling="standard", random_state=0, **settings),
        *load(return_X_y=True),
        cv=3,
        scoring="neg_log_loss",
    )
    for data, load in {"digits": load_digits, "breast cancer": load_breast_cancer}.items()
    for name, settings in SETTINGS.items()
}

figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), sharey=True, layout="constrained")
for ax, data in zip(axes, ("digits", "breast cancer"), strict=True):
    for place, name in enumerate(SETTINGS):
        folds = losses[data, name]
        ax.plot(folds, [place] * len(folds), "o", color="#0072B2", alpha=0.3)
        ax.plot(folds.mean(), place, "D", color="#0072B2", ms=9)
        print(f"{data}, {name}: log-loss {folds.mean():.3f}")
    ax.set(title=data, xlabel="log-loss on held-out rows", xlim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks(range(len(SETTINGS)), list(SETTINGS))
axes[0].set_ylim(len(SETTINGS) - 0.5, -0.5)
plt.show()
