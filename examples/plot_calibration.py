"""
Calibrated probabilities
========================

A network that overfits is overconfident: of the rows that it predicts with a probability of 99 %,
fewer than 99 % are right. scikit-learn's `CalibratedClassifierCV` with ``method="temperature"``
corrects this. It divides the scores of a fitted network by one number, which it fits on held-out
rows. The predicted labels stay the same.
"""

# %%
# The data are synthetic, with two classes that overlap. The network has no regularisation.
# `FrozenEstimator` keeps the network unchanged while the temperature is fitted. Some hundred rows
# are enough for that, with at least five of each class. Pass the labels as an array: a Series whose
# index has no 0 raises a `KeyError`. Multilabel targets cannot be calibrated this way.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skann import ANNClassifier

X, y = make_classification(
    n_samples=12_000, n_features=20, n_informative=8, class_sep=0.5, flip_y=0, random_state=0
)
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=2000, random_state=0)
X_val, X_test, y_val, y_test = train_test_split(X_rest, y_rest, train_size=1000, random_state=0)

no_regularisation = {"alpha": 0.0, "dropout": 0.0, "label_smoothing": 0.0}
before = ANNClassifier(**no_regularisation, dtype="float64", random_state=0)
before.fit(X_train, y_train)
after = CalibratedClassifierCV(FrozenEstimator(before), method="temperature").fit(X_val, y_val)

models = {"before": before, "after": after}
probabilities = {name: model.predict_proba(X_test)[:, 1] for name, model in models.items()}
losses = {name: log_loss(y_test, p) for name, p in probabilities.items()}
same_labels = np.array_equal(before.predict(X_test), after.predict(X_test))
print(f"log-loss before: {losses['before']:.3f}, after: {losses['after']:.3f}")
print(f"all labels the same: {same_labels}")

# %%
# On the diagonal, the predicted probabilities equal the observed frequencies.

COLORS = {"before": "#D55E00", "after": "#0072B2"}

figure, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
ax.plot([0, 1], [0, 1], ":", color="black", label="perfectly calibrated")
for name, p in probabilities.items():
    observed, predicted = calibration_curve(y_test, p, n_bins=10)
    label = f"{name}: log-loss {losses[name]:.2f}"
    ax.plot(predicted, observed, "o-", color=COLORS[name], label=label)
ax.set(xlabel="predicted probability of class 1", ylabel="share of class 1 among those rows")
ax.set_title("Reliability before and after calibration")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# The histogram shows that the uncalibrated network predicts nearly 0 or nearly 1 for most rows.

figure, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for name, p in probabilities.items():
    ax.hist(p, 20, range=(0, 1), color=COLORS[name], alpha=0.6, label=name)
ax.set(xlabel="predicted probability of class 1", ylabel="number of test rows")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
