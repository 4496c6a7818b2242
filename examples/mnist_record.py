"""Train a multi-layer perceptron to the highest accuracy on handwritten digits.

The default recipe uses neither convolution nor augmentation, so it does not depend on the order of
the pixels. It relies on regularisation instead: batch normalisation, noise on the inputs, dropout
in every hidden layer, label smoothing. The recipe of `--augment` distorts every batch anew, as in
Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual
document analysis" (2003). It uses less regularisation and trains for more epochs.

Both recipes were chosen with `--validate`, which trains on the first 50,000 training images and
evaluates on the other 10,000. The test images were used once, at the end.

    python -m pip install ".[examples]" && python examples/mnist_record.py
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

from skann import ANNClassifier
from skann.images import ElasticTransform, RandomAffine

RECIPE = {
    "hidden_layer_sizes": (1000, 500),
    "normalization": "batch",
    "dropout": (0.2, 0.3),
    "input_noise": 0.3,
    "label_smoothing": 0.05,
    "alpha": 0.0,
    "batch_size": 512,
    "learning_rate_init": 0.004,
    "max_iter": 50,
    "input_scaling": "maxabs",
}
WITH_DISTORTIONS = {
    "hidden_layer_sizes": (1024, 512),
    "normalization": "batch",
    "dropout": 0.15,
    "label_smoothing": 0.02,
    "alpha": 0.0,
    "batch_size": 512,
    "learning_rate_init": 0.004,
    "max_iter": 120,
    "input_scaling": "maxabs",
}
# The share of each batch that stays sharp, like the test images: resampling blurs.
UNDISTORTED_SHARE = 0.2
VALIDATION_SHARE = 1 / 6


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", choices=["auto", "mnist", "digits"], default="auto", help="default: auto"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="fit once for each"
    )
    parser.add_argument("--augment", action="store_true", help="distort the images while training")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: the recipe's")
    parser.add_argument(
        "--validate", action="store_true", help="evaluate on held-out training images instead"
    )
    options = parser.parse_args(arguments)
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"argument --epochs: must be 1 or more, got {options.epochs}")
    if min(options.seeds) < 0:
        parser.error(f"argument --seeds: must be 0 or more, got {min(options.seeds)}")
    return options


def load_images(data: str) -> tuple[str, list[np.ndarray]]:
    """Return the name of the data set, and the training and test sets of X and y."""
    if data != "digits":
        warnings.filterwarnings("ignore", "A network error occurred")  # fetch_openml retries.
        try:
            mnist = fetch_openml("mnist_784", version=1, as_frame=False, n_retries=1)
            X, y = mnist.data.astype(np.uint8, order="C"), mnist.target.astype(int)
            # OpenML lists the 60,000 training images first, then the 10,000 test images.
            return "MNIST", [X[:60_000], X[60_000:], y[:60_000], y[60_000:]]
        except Exception as error:  # The network, the parser or pandas failed: report it.
            problem = f"MNIST cannot be loaded from OpenML ({' '.join(str(error).split())})."
            if data == "mnist":
                sys.exit(f"mnist_record.py: error: {problem}")
            print(f"{problem} Using scikit-learn's 8x8 digits instead.")
    X, y = load_digits(return_X_y=True)
    return "8x8 digits", train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


def distortions(n_pixels: int) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """Return a function that distorts most images of a batch; tuned for 28 x 28 pixels."""
    side = math.isqrt(n_pixels)
    zoom = side / 28
    bend = ElasticTransform((side, side), alpha=72 * zoom**2, sigma=5 * zoom)
    move = RandomAffine((side, side), degrees=12, translate=0.03, scale=(0.85, 1.15), shear=10)

    def distort(inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n_kept = round(UNDISTORTED_SHARE * len(inputs))
        inputs[n_kept:] = move(bend(inputs[n_kept:], rng), rng)
        return inputs

    return distort


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit once for each seed; print every accuracy and their median."""
    options = parse_options(arguments)
    name, (X_train, X_test, y_train, y_test) = load_images(options.data)
    train, test = (X_train, y_train), (X_test, y_test)
    if options.validate:
        n_fit = round(len(X_train) * (1 - VALIDATION_SHARE))
        train, test = (X_train[:n_fit], y_train[:n_fit]), (X_train[n_fit:], y_train[n_fit:])
    print(f"{name}: {len(train[0])} images to train on, {len(test[0])} to evaluate on")
    recipe = RECIPE
    if options.augment:
        recipe = WITH_DISTORTIONS | {"augmentation": distortions(X_train.shape[1])}
    if options.epochs is not None:
        recipe = recipe | {"max_iter": options.epochs}
    accuracies = []
    for seed in options.seeds:
        classifier = ANNClassifier(**recipe, random_state=seed)
        start = time.perf_counter()
        classifier.fit(*train)
        seconds = time.perf_counter() - start
        accuracies.append(classifier.score(*test))
        print(f"seed {seed}: accuracy {accuracies[-1]:.4f} in {seconds:.0f} s", flush=True)
    print(f"median accuracy {np.median(accuracies):.4f}")


if __name__ == "__main__":
    main()
