"""Write a web page that reads the digit you draw on it.

The script trains a network on randomly distorted images of MNIST and puts its weights into one HTML
file. The file needs no server and loads nothing: open it in any browser. If MNIST cannot be
downloaded, the network is trained on the small digits that come with scikit-learn.

    python -m pip install ".[examples]" && python examples/draw_digits.py

Use `--output docs/_static/draw_digits.html` to make the page of the documentation.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

from skann import ANNClassifier
from skann.images import ImageReader, RandomAffine

TEMPLATE = Path(__file__).with_name("draw_digits_template.html")


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", choices=["auto", "mnist", "digits"], default="auto", help="default: auto")
    add("--epochs", type=int, default=30, metavar="N", help="default: 30")
    add("--seed", type=int, default=0, metavar="N", help="random seed; default: 0")
    add("--output", type=Path, default="draw_digits.html", metavar="FILE")
    options = parser.parse_args(arguments)
    for name, least in {"epochs": 1, "seed": 0}.items():
        if getattr(options, name) < least:
            parser.error(f"argument --{name}: must be {least} or more")
    if not options.output.parent.is_dir():
        parser.error(f"argument --output: there is no folder '{options.output.parent}'")
    return options


def load_images(data: str) -> tuple[str, list[NDArray]]:
    """Return the name of the data set, and the training and test sets of X (0 to 255) and y."""
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
                sys.exit(f"draw_digits.py: error: {problem}")
            print(f"{problem} Using scikit-learn's 8x8 digits instead.")
    X, y = load_digits(return_X_y=True)
    # ImageReader needs some background around each digit.
    pictures = np.pad(X.reshape(-1, 8, 8) * (255 / 16), [(0, 0), (2, 2), (2, 2)])
    X = ImageReader(invert=False).transform(pictures)
    return "8x8 digits", train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


def train(X: NDArray, y: NDArray, options: argparse.Namespace) -> ANNClassifier:
    """Fit a network to images that are rotated, sheared, shifted and zoomed at random."""
    distort = RandomAffine((28, 28), degrees=15, translate=0.05, scale=(0.8, 1.15), shear=15)
    classifier = ANNClassifier(
        augmentation=distort, max_iter=options.epochs, random_state=options.seed
    )
    return classifier.fit(X.astype(np.float32) / 255, y)


def pack(classifier: ANNClassifier) -> str:
    """Return a network as JSON: the weights and biases of each layer, as 16-bit floats."""
    layers = zip(classifier.coefs_, classifier.intercepts_, strict=True)
    parameters = np.concatenate([part.ravel() for layer in layers for part in layer])
    sizes = [len(weights) for weights in classifier.coefs_] + [len(classifier.classes_)]
    text = base64.b64encode(parameters.astype("<f2").tobytes()).decode()
    return json.dumps({"sizes": sizes, "parameters": text})


def page(network: str) -> str:
    """Return the web page that reads digits with a packed network."""
    return TEMPLATE.read_text(encoding="utf-8").replace(">NETWORK<", f">{network}<")


def main(arguments: Sequence[str] | None = None) -> ANNClassifier:
    """Train, write the page, return the network."""
    options = parse_options(arguments)
    name, (X_train, X_test, y_train, y_test) = load_images(options.data)
    print(f"{name}: training on {len(X_train):,} images, distorted at random", flush=True)
    classifier = train(X_train, y_train, options)
    accuracy = classifier.score(X_test.astype(np.float32) / 255, y_test)
    print(f"{accuracy:.2%} of {len(X_test):,} test images are read correctly")
    options.output.write_text(page(pack(classifier)), encoding="utf-8")
    print(f"Wrote {options.output}: open it in a browser and draw.")
    return classifier


if __name__ == "__main__":
    main()
