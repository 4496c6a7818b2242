"""PyTorch, eager, with fused Adam and the data as tensors in memory."""

import time

import torch

from tests.benchmarks.contestants import Recipe, Training, n_cores
from tests.benchmarks.data import Split


def make_network(n_features: int, hidden: tuple[int, ...], n_classes: int) -> torch.nn.Sequential:
    """Return a network with rectified linear layers, initialised as He et al. do."""
    layers: list[torch.nn.Module] = []
    for size in hidden:
        layers += [torch.nn.Linear(n_features, size), torch.nn.ReLU()]
        n_features = size
    network = torch.nn.Sequential(*layers, torch.nn.Linear(n_features, n_classes))
    for layer in network:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
    return network


class Trainer:
    """Runs the plain training loop.

    Parameters
    ----------
    data : Split
        Float32 rows.
    recipe : Recipe
        How to train. The penalty is Adam's `weight_decay`, which costs nothing and is on the
        biases as well.
    """

    def __init__(self, data: Split, recipe: Recipe) -> None:
        torch.set_num_threads(n_cores())
        self._X, self._y = torch.as_tensor(data.X_train), torch.as_tensor(data.y_train)
        self._X_test, self._y_test = torch.as_tensor(data.X_test), torch.as_tensor(data.y_test)
        self._recipe = recipe
        self._shape = data.X_train.shape[1], recipe.hidden, int(data.y_train.max()) + 1

    def train(self, epochs: int, seed: int) -> Training:
        """Train a network."""
        recipe = self._recipe
        torch.manual_seed(seed)
        ends = []
        start = time.perf_counter()
        network = make_network(*self._shape)
        optimizer = torch.optim.Adam(
            network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.alpha / recipe.batch_size,
            fused=True,
        )
        n_batches = -(-len(self._X) // recipe.batch_size)
        schedule = None
        if recipe.one_cycle:
            # Starts at 1/25 of the peak and ends at 1/10,000 of it, as skann's does.
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                recipe.learning_rate,
                total_steps=epochs * n_batches,
                cycle_momentum=False,
                final_div_factor=400,
            )
        for _ in range(epochs):
            for rows in torch.randperm(len(self._X)).split(recipe.batch_size):
                scores = network(self._X[rows])
                loss = torch.nn.functional.cross_entropy(scores, self._y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if schedule is not None:
                    schedule.step()
            ends.append(time.perf_counter())
        seconds = time.perf_counter() - start
        with torch.no_grad():
            right = network(self._X_test).argmax(dim=1) == self._y_test
        return Training(seconds, ends, right.double().mean().item())
