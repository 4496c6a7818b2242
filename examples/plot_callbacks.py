"""
Callbacks and checkpoints
=========================

A callback is called after every epoch. With callbacks you can show progress, measure scores, save a
fit or end it. This example shows the progress of a fit with scikit-learn's `ProgressBar`, and
measures the recall of each digit with a custom callback. It then interrupts a fit, as a power cut
would, and resumes it from a checkpoint.
"""

# %%
# A custom callback has four methods. `on_fit_task_end` is called after every epoch, and once for
# the whole fit. If it has the argument `fitted_estimator`, it receives a model that predicts with
# the current weights.

import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.callback import ProgressBar  # draws with rich: python -m pip install rich
from sklearn.datasets import load_digits
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split

from skann import ANNClassifier
from skann.callbacks import Checkpoint

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)


class EpochCallback:
    """A callback that does nothing: the base of the two below."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Prepare, before the fit."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Clean up, after the fit."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing before an epoch."""


class RecallByDigit(EpochCallback):
    """Measure the recall of each digit after every epoch."""

    def __init__(self) -> None:
        self.recalls: list[np.ndarray] = []

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:
        """Compute the recalls on the test images."""
        if context.task_name == "epoch":
            predicted = fitted_estimator.predict(X_test)
            self.recalls.append(recall_score(y_test, predicted, average=None))


network = ANNClassifier(
    64, input_scaling="maxabs", learning_rate_init=0.002, max_iter=30, random_state=0
)
recorder = RecallByDigit()
network.set_callbacks(ProgressBar(), recorder).fit(X_train, y_train)
undisturbed = network.loss_curve_

# %%
# The same fit again, with a checkpoint after every epoch and a callback that raises an error after
# the twelfth epoch.


class PowerCutError(Exception):
    """Stands for the end of the process."""


class PowerCut(EpochCallback):
    """Raise an error after some epochs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Raise the error after the given epoch."""
        if context.task_name == "epoch" and context.task_id + 1 == self.after:
            raise PowerCutError


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "fit.npz")
    try:
        network.set_callbacks(Checkpoint(path), PowerCut(after=12)).fit(X_train, y_train)
    except PowerCutError:
        print(f"The fit was interrupted. Its checkpoint has {path.stat().st_size:,} bytes.")
    network.set_callbacks().resume(path, X_train, y_train)

resumed = network.loss_curve_
print(f"All {len(resumed)} losses equal those of the uninterrupted fit: {resumed == undisturbed}")

# %%
# The recalls show that the network reads some digits after a few epochs and others later.

figure, ax = plt.subplots(figsize=(5.6, 4), layout="constrained")
picture = ax.imshow(
    np.transpose(recorder.recalls), aspect="auto", cmap="cividis", extent=(0.5, 30.5, 9.5, -0.5)
)
ax.set(xlabel="epoch", ylabel="digit", yticks=range(10), title="Recall of each digit")
figure.colorbar(picture, format=lambda share, _: f"{share:.0%}")

# %%
# The losses of both fits are the same.

epochs = np.arange(1, 31)
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.plot(epochs, undisturbed, lw=8, color="#0072B2", alpha=0.3, label="uninterrupted")
ax.plot(epochs, resumed, color="#D55E00", label="interrupted and resumed")
ax.axvline(12, color="black", linestyle=":")
ax.annotate("power cut", (12, max(undisturbed)), (6, -4), textcoords="offset points")
ax.set(xlabel="epoch", ylabel="training loss")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
