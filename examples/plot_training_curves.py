"""
Training curves of several settings
===================================

`TrainingCurveDisplay` draws what `history_` has recorded. Two curves tell most: the loss on the
training rows says whether the network can learn the task, the loss on validation rows whether it
learns more than these rows.
"""

# %%
# Three settings against overfitting, on few rows of the breast cancer data. The validation rows are
# measured after every epoch and never learned from.

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skann import ANNClassifier, TrainingCurveDisplay

X, y = load_breast_cancer(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, train_size=150, stratify=y, random_state=0)

SETTINGS = {
    "nothing against it": {"alpha": 0.0, "dropout": 0.0, "label_smoothing": 0.0},
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
    print(f"{name}: validation loss {curve[-1]:.3f} at the end, least {min(curve):.3f}")

# %%
# Without anything against overfitting the training loss goes to zero and the validation loss turns
# and rises: the network grows ever surer of what it has got wrong. Smoothed labels slow that down.
# The defaults, a penalty with a little dropout and smoothing, hold the validation loss where it is
# least. The training loss is no measure between settings: it contains penalty and smoothing.

display = TrainingCurveDisplay.from_estimator(networks, panels=["loss"])
display.axes_[0].set(yscale="linear", ylim=(0, 0.4), ylabel="Loss")
display.figure_.set_size_inches(8, 4.6)

# %%
# With early stopping the network of the best epoch is kept, marked by a diamond. Here the rate is
# constant and the validation loss decides.

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
display.figure_.set_size_inches(8, 4.2)

# %%
# The learning rate is recorded too. The schedules that have an end run over all epochs.

schedules = {
    name: ANNClassifier(
        input_scaling="standard", learning_rate=name, max_iter=30, random_state=0
    ).fit(X_train, y_train)
    for name in ("one_cycle", "cosine", "linear", "exponential")
}
display = TrainingCurveDisplay.from_estimator(schedules, panels=["learning_rate", "loss"])
display.axes_[1].set(yscale="linear", ylabel="Training loss")
plt.show()
