"""A fit that is killed again and again and resumed, in processes of their own.

``killed_fit.py FOLDER SEED N_KILLS AUGMENTATION`` prints what happened, as JSON, and leaves what
every fit that came to its end has learned in files ``0.pickle``, ``1.pickle`` and so on.
AUGMENTATION is a name of `AUGMENTATIONS`.
"""

import json
import os
import pickle
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from skann import ANNClassifier
from skann.callbacks import Checkpoint
from skann.images import RandomAffine
from skann.npz_tree import read
from tests.data import problem
from tests.results import results

# The four features as an image of two by two pixels.
AUGMENTATIONS = {"none": None, "affine": RandomAffine((2, 2), degrees=20, translate=0.1)}


def classifier(augmentation):
    return ANNClassifier(
        (16, 8),
        max_iter=60,
        batch_size=16,
        learning_rate="adaptive",
        learning_rate_init=0.01,
        n_iter_no_change=3,
        early_stopping=True,
        dropout=0.2,
        normalization="batch",
        ema_decay=0.9,
        augmentation=AUGMENTATIONS[augmentation],
        input_scaling="standard",
        warm_start=True,  # Keeps the moments and the random stream, to be compared.
        random_state=0,
    )


def fit_or_resume(path, augmentation):
    """Do what a job does that is started again whenever it was killed."""
    X, y = problem()
    model = classifier(augmentation).set_callbacks(Checkpoint(path))
    if path.exists():
        model.resume(path, X, y)
    else:
        model.fit(X, y)
    path.with_suffix(".pickle").write_bytes(pickle.dumps(results(model)))


def start(path, augmentation):
    """Start the job in a process of its own."""
    process = os.fork()
    if process == 0:
        try:
            fit_or_resume(path, augmentation)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return process


def epochs_in(path):
    """Return how many epochs a checkpoint has, -1 for none; raise an error if it is damaged."""
    return read(path)["training"]["epochs"]["n_epochs"] if path.exists() else -1


def run(folder, seed, n_kills, augmentation):
    """Kill at least `n_kills` times; fits that end before that are followed by others."""
    draw = random.Random(seed)
    kills, n_lost, n_finished = [], 0, 0
    while len(kills) < n_kills:
        path = folder / f"{n_finished}.npz"
        epochs, longest = -1, 0.1
        while True:
            process = start(path, augmentation)
            time.sleep(draw.uniform(0, longest))
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            before, epochs = epochs, epochs_in(path)
            n_lost += epochs < before
            if not os.WIFSIGNALED(status):
                break
            if epochs < 0:
                longest *= 1.5  # Too slow a machine to begin in that time.
            else:
                kills.append(epochs)
                longest *= 1.1  # So that it ends at last.
        assert os.WEXITSTATUS(status) == 0, "The fit failed by itself."
        n_finished += 1
    return {"kills": kills, "n_lost": n_lost, "n_finished": n_finished}


if __name__ == "__main__":
    arguments = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    print(json.dumps(run(*arguments)))
