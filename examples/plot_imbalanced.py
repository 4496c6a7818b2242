"""
Imbalanced classes
==================

In these data, one row in twenty belongs to the class of interest. A network that minimises the
log-loss predicts the rare class only if its probability is above one half, and so finds few of its
rows. You can find more of them in two ways: weight the classes during training, or move the
threshold afterwards.
"""

# %%
# The data are synthetic, with 5 % of positives and some wrong labels. There are three classifiers:
# one with the default settings, one with ``class_weight="balanced"``, and one with the default
# settings and a threshold that `TunedThresholdClassifierCV` chooses on held-out rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import (
    balanced_accuracy_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)
from sklearn.model_selection import TunedThresholdClassifierCV, train_test_split

from skann import ANNClassifier

X, y = make_classification(
    n_samples=8000,
    n_features=5,
    n_informative=3,
    n_redundant=0,
    weights=[0.95],
    class_sep=0.5,
    random_state=0,
)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

plain = ANNClassifier(32, input_scaling="standard", random_state=0)
balanced = ANNClassifier(32, input_scaling="standard", class_weight="balanced", random_state=0)
tuned = TunedThresholdClassifierCV(plain, scoring="balanced_accuracy", cv=0.25, random_state=0)
models = {"defaults": plain, 'class_weight="balanced"': balanced, "tuned threshold": tuned}
for model in models.values():
    model.fit(X_train, y_train)

METRICS = {
    "recall": recall_score,
    "precision": precision_score,
    "balanced accuracy": balanced_accuracy_score,
}
scores = {
    name: [metric(y_test, model.predict(X_test)) for metric in METRICS.values()]
    for name, model in models.items()
}
print(f"tuned threshold: {tuned.best_threshold_:.3f}")

# %%
# Both methods find more of the rare rows, at the cost of more false alarms: they are different
# points on nearly the same precision-recall curve. You decide how much a false alarm may cost:
# `TunedThresholdClassifierCV` takes any metric, including one of costs.

COLORS = dict(zip(models, ("#0072B2", "#D55E00", "#009E73"), strict=True))

figure, ax = plt.subplots(figsize=(5.8, 4), layout="constrained")
for place, name in enumerate(models):
    positions = np.arange(len(METRICS)) + 0.27 * (place - 1)
    drawn = ax.bar(positions, scores[name], 0.25, color=COLORS[name], label=name)
    ax.bar_label(drawn, fmt="%.2f", padding=2)
ax.set_xticks(range(len(METRICS)), list(METRICS))
ax.set(ylabel="score on the test rows", ylim=(0, 1), yticks=np.linspace(0, 1, 6))
ax.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside upper center", ncols=3, frameon=False)

# %%
# The lines show every threshold, the diamonds the three classifiers.

figure, ax = plt.subplots(figsize=(5.8, 4), layout="constrained")
for name, model in (("defaults", plain), ('class_weight="balanced"', balanced)):
    precision, recall, _ = precision_recall_curve(y_test, model.predict_proba(X_test)[:, 1])
    ax.plot(recall, precision, color=COLORS[name], alpha=0.6)
for name in models:
    ax.plot(*scores[name][:2], "D", ms=11, color=COLORS[name], mec="white", label=name)
ax.set(xlabel="recall: share of the rare rows that are found", ylim=(0, 1.05))
ax.set(ylabel="precision: share of the alarms that are right")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# Class weights distort the probabilities: the mean probability that the weighted network predicts
# for the rare class is far above the share of that class. If you need meaningful probabilities,
# move the threshold instead.

share = y_test.mean()
mean_probability = {
    "defaults": plain.predict_proba(X_test)[:, 1].mean(),
    'class_weight="balanced"': balanced.predict_proba(X_test)[:, 1].mean(),
}
print(f"share of the rare class: {share:.1%}")
for name, value in mean_probability.items():
    print(f"mean probability, {name}: {value:.1%}")
plt.show()
