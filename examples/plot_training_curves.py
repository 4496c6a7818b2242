"""
Training curves of several settings
===================================

`TrainingCurveDisplay` plots the records of `history_`. Two curves are the most informative: the
training loss shows whether the network can learn the task, and the validation loss shows whether it
generalises to other rows.
"""

# %%
# The example compares three settings of the regularisation on 150 rows of the breast cancer data.
# The validation rows are evaluated after every epoch and are not used for training.

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skann import ANNClassifier, TrainingCurveDisplay

X, y = load_breast_cancer(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, train_size=150, stratify=y, random_state=0)

SETTINGS = {
    "no regularisation": {"alpha": 0.0, "dropout": 0.0, "label_smoothing": 0.0},
    "label_smoothing=0.1": {"alpha": 0.0, "dropout": 0.0, "label_smoothing": 0.1},
    "defaults": {},
}
networks = {
    name: ANNClassifier(input_scaling="standard", max_iter=60, random_state=0, **settings)
    for name, settings in SETTINGS.items()
}
for network in networks.values():
    network.fit(X_train, y_train, X_val=X_val, y_val=y_val)
losses = {name: network.validation_loss_curve_ for name, network in networks.items()}
for name, curve in losses.items():
    print(f"{name}: validation loss {curve[-1]:.3f} at the end, lowest {min(curve):.3f}")

# %%
# Without regularisation, the training loss falls to zero and the validation loss rises again,
# because the network becomes more and more confident of its wrong predictions. Label smoothing
# slows this down. With the defaults, a penalty with a little dropout and label smoothing, the
# validation loss stays near its minimum. Do not compare the training losses of different settings:
# they include the penalty and the label smoothing.

display = TrainingCurveDisplay.from_estimator(networks, panels=["loss"])
display.axes_[0].set(yscale="linear", ylim=(0, 0.4), ylabel="Loss")
display.figure_.set_size_inches(6, 4.2)

# %%
# Early stopping keeps the network of the best epoch, marked by a diamond. In this fit the learning
# rate is constant, and the validation loss selects the best epoch.

stopped = ANNClassifier(
    input_scaling="standard",
    learning_rate="constant",
    early_stopping=True,
    scoring="loss",
    max_iter=200,
    random_state=0,
)
stopped.fit(X_train, y_train, X_val=X_val, y_val=y_val)
best = min(stopped.history_, key=lambda record: record["validation_loss"])
print(f"{stopped.n_iter_} epochs, the best was number {best['epoch']}")
display = TrainingCurveDisplay.from_estimator(stopped, panels=["loss"])
display.figure_.set_size_inches(6, 4)

# %%
# `history_` also records the learning rate. Schedules of fixed length run over all epochs.

schedules = {
    name: ANNClassifier(
        input_scaling="standard", learning_rate=name, max_iter=30, random_state=0
    ).fit(X_train, y_train)
    for name in ("one_cycle", "cosine", "linear", "exponential")
}
display = TrainingCurveDisplay.from_estimator(schedules, panels=["learning_rate", "loss"])
display.axes_[1].set(yscale="linear", ylabel="Training loss")
plt.show()
