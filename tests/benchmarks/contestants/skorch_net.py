"""skorch, which wraps PyTorch for scikit-learn."""

import time

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from tests.benchmarks.contestants import Recipe, Training, n_cores
from tests.benchmarks.contestants.torch_eager import make_network
from tests.benchmarks.data import Split
from tests.benchmarks.measuring import Until


class _Clock(Callback):
    def __init__(self, ends, until, data):
        self.ends = ends
        self.until = until
        self.data = data

    def on_epoch_end(self, net, **_):
        self.ends.append(time.perf_counter())
        with torch.random.fork_rng():  # Prediction draws a seed, and other batches would follow.
            is_reached = self.until.is_reached(
                lambda: net.score(self.data.X_test, self.data.y_test)
            )
        if is_reached:
            raise KeyboardInterrupt  # which ends training and nothing else, as EarlyStopping does


class Trainer:
    """Fits `NeuralNetClassifier` with fused Adam, without a validation split or printing.

    Parameters
    ----------
    data : Split
        Float32 rows.
    recipe : Recipe
        How to train; the rate has to be constant.
    """

    def __init__(self, data: Split, recipe: Recipe) -> None:
        recipe.require_constant_rate("skorch")
        torch.set_num_threads(n_cores())
        self._data, self._recipe = data, recipe

    def train(self, epochs: int, seed: int, target: float | None = None) -> Training:
        """Fit a classifier."""
        recipe, data = self._recipe, self._data
        torch.manual_seed(seed)
        ends: list[float] = []
        until = Until(target)
        classifier = NeuralNetClassifier(
            make_network(data.X_train.shape[1], recipe.hidden, int(data.y_train.max()) + 1),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            optimizer__weight_decay=recipe.alpha / recipe.batch_size,
            lr=recipe.learning_rate,
            batch_size=recipe.batch_size,
            max_epochs=epochs,
            iterator_train__shuffle=True,
            train_split=None,
            callbacks=[_Clock(ends, until, data)],
            callbacks__print_log=None,
            verbose=0,
        )
        start = time.perf_counter()
        classifier.fit(data.X_train, data.y_train)
        seconds = time.perf_counter() - start - until.seconds
        return Training(seconds, ends, float(classifier.score(data.X_test, data.y_test)))
