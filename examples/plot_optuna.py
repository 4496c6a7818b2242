"""
Search with Optuna
==================

You can search over the settings of `ANNClassifier` with Optuna, which proposes settings, learns
from the results, and prunes unpromising trials. The callback `OptunaPruning` reports every epoch to
the trial and ends the fit if the trial should be pruned.
"""

# %%
# The study has thirty trials over the layers, the learning rate and the regularisation. Each trial
# is scored on a validation set; the test set is used only at the end.

import matplotlib.pyplot as plt
import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skann import ANNClassifier
from skann.callbacks import OptunaPruning

X, y = load_digits(return_X_y=True)
X_rest, X_test, y_rest, y_test = train_test_split(X, y, stratify=y, random_state=0)
X_train, X_val, y_train, y_val = train_test_split(X_rest, y_rest, stratify=y_rest, random_state=0)

EPOCHS = 20


def network(trial: optuna.trial.BaseTrial) -> ANNClassifier:
    """Return a classifier with the settings of a trial."""
    return ANNClassifier(
        (trial.suggest_int("units", 16, 256, log=True),) * trial.suggest_int("layers", 1, 3),
        learning_rate_init=trial.suggest_float("learning_rate_init", 1e-4, 1e-1, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.6),
        alpha=trial.suggest_float("alpha", 1e-3, 1.0, log=True),
        input_scaling="maxabs",
        max_iter=EPOCHS,
        random_state=0,
    )


def objective(trial: optuna.Trial) -> float:
    """Train and report every epoch; return the validation loss of the last."""
    classifier = network(trial).set_callbacks(OptunaPruning(trial, metric="validation_loss"))
    classifier.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    return classifier.validation_loss_curve_[-1]


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3),
)
study.optimize(objective, n_trials=30)

pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
epochs_run = sum(len(trial.intermediate_values) for trial in study.trials)
print(f"{len(pruned)} of {len(study.trials)} trials pruned")
print(f"{epochs_run} epochs run, of {EPOCHS * len(study.trials)} without pruning")
print("best settings:", {name: f"{value:.3g}" for name, value in study.best_params.items()})

# %%
# Fit the best settings on the training and validation sets together:

best = network(study.best_trial).fit(X_rest, y_rest)
test_accuracy = best.score(X_test, y_test)
print(f"accuracy on the test images: {test_accuracy:.1%}")

# %%
# Every line is a trial. The diamond marks the best one, and crosses mark the pruned ones.

MARKERS = {
    "best": ("D", "#D55E00"),
    "run to the end": ("o", "#56B4E9"),
    "pruned": ("x", "#999999"),
}


def fate(trial: optuna.trial.FrozenTrial) -> str:
    """Return how a trial ended."""
    if trial.number == study.best_trial.number:
        return "best"
    return "pruned" if trial in pruned else "run to the end"


figure, ax = plt.subplots(figsize=(5.8, 4), layout="constrained")
for trial in study.trials:
    values = list(trial.intermediate_values.values())
    marker, color = MARKERS[fate(trial)]
    is_best = trial.number == study.best_trial.number
    ax.plot(np.arange(1, len(values) + 1), values, color=color, zorder=2 + is_best)
    ax.plot(len(values), values[-1], marker, color=color, zorder=3 + is_best)
for label, (marker, color) in MARKERS.items():
    ax.plot([], [], marker, color=color, label=label)
ax.set(
    xlabel="epoch",
    ylabel="validation loss (log scale)",
    yscale="log",
    xticks=range(0, EPOCHS + 1, 5),
)
ax.set_title("Validation loss of thirty trials")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# The next plot shows the last loss of each trial against its learning rate.

figure, ax = plt.subplots(figsize=(5.8, 4), layout="constrained")
for label, (marker, color) in MARKERS.items():
    trials = [trial for trial in study.trials if fate(trial) == label]
    rates = [trial.params["learning_rate_init"] for trial in trials]
    last = [trial.intermediate_values[max(trial.intermediate_values)] for trial in trials]
    ax.plot(rates, last, marker, ms=8, color=color, label=label)
ax.set(xlabel="learning_rate_init (log scale)", xscale="log")
ax.set(ylabel="last validation loss (log scale)", yscale="log")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
