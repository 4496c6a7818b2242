"""
Callbacks and checkpoints
=========================

A callback is told of every epoch. It can show progress, measure, save, or end the fit. Here
scikit-learn's `ProgressBar` shows how far a fit is, one measures how well each digit is read, and
another ends a fit in the middle, as a power cut would; `resume` then goes on from the checkpoint.
"""

# %%
# A callback of one's own has four methods. `on_fit_task_end` is called after every epoch, and once
# for the whole fit; if it asks for `fitted_estimator`, it gets a model that predicts with the
# weights of that moment.

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
    """Does nothing; the base of the two below."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Get ready, before the fit."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Tidy up, after it."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Hear of the beginning of an epoch."""


class RecallByDigit(EpochCallback):
    """Measure after every epoch which share of each digit is read right."""

    def __init__(self) -> None:
        self.recalls: list[np.ndarray] = []

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:
        """Measure."""
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
# The same fit again, with a checkpoint after every epoch, and a callback that raises an error after
# the twelfth.


class PowerCutError(Exception):
    """The end of a process, in small."""


class PowerCut(EpochCallback):
    """Raise an error after some epochs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Raise, when it is time."""
        if context.task_name == "epoch" and context.task_id + 1 == self.after:
            raise PowerCutError


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "fit.npz")
    try:
        network.set_callbacks(Checkpoint(path), PowerCut(after=12)).fit(X_train, y_train)
    except PowerCutError:
        print(f"The fit is lost; a checkpoint of {path.stat().st_size:,} bytes is left.")
    network.set_callbacks().resume(path, X_train, y_train)

resumed = network.loss_curve_
print(f"All {len(resumed)} losses are those of the undisturbed fit: {resumed == undisturbed}")

# %%
# Left, what the first callback saw: some digits are read right from the start, others late. Right,
# the two fits, one on the other.

figure, (recalls, losses) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
picture = recalls.imshow(
    np.transpose(recorder.recalls), aspect="auto", cmap="cividis", extent=(0.5, 30.5, 9.5, -0.5)
)
recalls.set(xlabel="epoch", ylabel="digit", yticks=range(10), title="Test images read right")
figure.colorbar(picture, format=lambda share, _: f"{share:.0%}")

epochs = np.arange(1, 31)
losses.plot(epochs, undisturbed, lw=8, color="#0072B2", alpha=0.3, label="undisturbed")
losses.plot(epochs, resumed, color="#D55E00", label="cut off and resumed")
losses.axvline(12, color="black", linestyle=":")
losses.annotate("power cut", (12, max(undisturbed)), (6, -4), textcoords="offset points")
losses.set(xlabel="epoch", ylabel="training loss", title="The same fit, twice")
losses.legend(frameon=False)
losses.spines[["top", "right"]].set_visible(False)
plt.show()
