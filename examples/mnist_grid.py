"""
Handwritten digits, end to end
==============================

Search the layer sizes of a network that reads handwritten digits, and plot the results.

This example is a complete job on MNIST. A Pipeline scales the pixels, a GridSearchCV on all cores
compares layer sizes, the best setting is refitted on all training images, and the result is
evaluated on the test images: 98.6 % of them are read correctly. The pictures that it writes are at
the end of this page. If MNIST cannot be downloaded, the example uses the small digits that come
with scikit-learn. Run it from the top of the repository::

    python -m pip install ".[examples]" && python examples/mnist_grid.py
"""

# %%
# Command line
# ------------
#
# Every option has a default: the script runs as it is. ``--quick`` shows in seconds that it works.

# sphinx_gallery_thumbnail_path = "images/mnist_grid/mistakes.png"

import argparse
import socket
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import LogNorm
from sklearn import config_context
from sklearn.callback import ProgressBar
from sklearn.datasets import fetch_openml, load_digits
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, classification_report
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

import skann

# The longest fits come first, so that no core is idle while the last one finishes.
LAYERS = [(512, 256), (256, 128), (256,), (128, 64), (128,), (64,)]
QUICK_LAYERS = [(64, 32), (64,), (32,)]


def read_options() -> argparse.Namespace:
    """Read the command line and create the output folder."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # so that the error for a bad value takes one line
        description="Search the layer sizes of a network that reads handwritten digits.",
    )
    add = parser.add_argument
    add("--data", choices=["auto", "mnist", "digits"], default="auto", help="default: auto")
    add("--layers", nargs="+", type=layer_sizes, metavar="SIZES", help="such as 64 128 128,64")
    add("--epochs", type=int, default=0, metavar="N", help="default: 0, chosen by ANNClassifier")
    add("--jobs", type=int, default=-1, metavar="N", help="fits at a time; default: all cores")
    add("--seed", type=int, default=0, metavar="N", help="random seed; default: 0")
    add("--output", type=Path, default="mnist_grid", metavar="FOLDER", help="default: mnist_grid")
    add("--quick", action="store_true", help="a quick run: 6,000 images, 5 epochs, 2 folds")
    options = parser.parse_args()
    if min(options.epochs, options.seed) < 0:
        parser.error("arguments --epochs and --seed: must not be negative")
    options.layers = options.layers or (QUICK_LAYERS if options.quick else LAYERS)
    options.epochs = options.epochs or (5 if options.quick else "auto")
    options.folds = 2 if options.quick else 3
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: cannot write to '{options.output}': {error.strerror}")
    return options


def layer_sizes(text: str) -> tuple[int, ...]:
    """Turn "128,64" into (128, 64)."""
    sizes = text.split(",")
    if not all(size.isdecimal() and 1 <= int(size) <= 10_000 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r}, but layer sizes are integers from 1 to 10,000, such as 128,64"
        )
    return tuple(map(int, sizes))


# %%
# Data
# ----
#
# MNIST has 60,000 training images and 10,000 test images of 28x28 pixels.


def load_images(data: str) -> tuple[str, tuple[int, int], list]:
    """Return the name and shape of the images, and the training and test sets of X and y."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5)  # seconds without any answer
    try:
        if data != "digits":
            mnist = fetch_openml("mnist_784", version=1, as_frame=False, n_retries=1)
            X, y = mnist.data.astype("float32", order="C"), mnist.target.astype(int)
            # OpenML lists the 60,000 training images first, then the 10,000 test images.
            return "MNIST", (28, 28), [X[:60_000], X[60_000:], y[:60_000], y[60_000:]]
    except Exception as error:  # The network, the parser or pandas failed: report it.
        problem = f"MNIST cannot be loaded from OpenML ({' '.join(str(error).split())})."
        if data == "mnist":
            sys.exit(f"mnist_grid.py: error: {problem}")
        print(f"{problem} Using scikit-learn's 8x8 digits instead.")
    finally:
        socket.setdefaulttimeout(before)
    X, y = load_digits(return_X_y=True)
    return "8x8 digits", (8, 8), train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


# %%
# Search
# ------
#
# The scaler and the network are one pipeline, so that every fold scales its own training rows. The
# search fits each of six layer sizes on three folds, one fit on each core. It does not refit the
# best one yet: the next step does so, with the learning curves of the test images.


def search_layers(name: str, images: list, options: argparse.Namespace) -> GridSearchCV:
    """Cross-validate every setting of the layers."""
    X, _, y, _ = images
    network = skann.ANNClassifier(max_iter=options.epochs, random_state=options.seed)
    pipeline = Pipeline([("scale", MinMaxScaler(clip=True)), ("network", network)])
    grid = {"network__hidden_layer_sizes": options.layers}
    search = GridSearchCV(pipeline, grid, cv=options.folds, n_jobs=options.jobs or -1, refit=False)
    print(f"\nSearching {len(options.layers)} layer sizes, {options.folds} folds.", flush=True)
    search.set_callbacks(ProgressBar()).fit(X, y)

    table = pd.DataFrame(search.cv_results_).drop(columns="params")
    layers = table.pop("param_network__hidden_layer_sizes")
    widths = [(X.shape[1], *sizes, 10) for sizes in layers]
    table.insert(0, "layers", [in_words(sizes) for sizes in layers])
    table.insert(1, "n_parameters", [sum((n + 1) * m for n, m in pairwise(w)) for w in widths])
    table = table.sort_values("rank_test_score")
    table.to_csv(options.output / "cv_results.csv", index=False)
    shown = table.filter(regex="layers|n_parameters|mean_fit|mean_test|std_test")
    print(f"\n{shown.to_string(index=False, float_format='%.4f')}")

    display = skann.SearchDisplay.from_estimator(search)
    display.axes_[0].yaxis.set_major_formatter("{x:.1%}")
    title = f"{name}: accuracy by layer sizes, and the time it takes"
    save(display, options.output / "scores.png", title)
    return search


# %%
# Refit and evaluation
# --------------------
#
# The best layer sizes are fitted to all training images. Metadata routing passes the test images
# through the pipeline, which scales them.


def fit_best(search: GridSearchCV, images: list) -> Pipeline:
    """Fit the best setting to all training images.

    The test images are scored after each epoch, for the learning curves only: without
    ``early_stopping`` these scores have no effect on the fit.
    """
    X_train, X_test, y_train, y_test = images
    model = search.estimator.set_params(**search.best_params_, transform_input=["X_val"])
    print("\nFitting the best setting to all training images.", flush=True)
    with config_context(enable_metadata_routing=True):
        model["network"].set_fit_request(X_val=True, y_val=True)
        model.set_callbacks(ProgressBar()).fit(X_train, y_train, X_val=X_test, y_val=y_test)
    return model.set_callbacks().set_params(transform_input=None)  # The state to save.


def in_words(layers: tuple[int, ...]) -> str:
    """Turn (128, 64) into "128,64"."""
    return ",".join(map(str, layers))


def evaluate(model: Pipeline, images: list, shape: tuple[int, int], output: Path) -> None:
    """Print the scores; draw the learning curves, the mistakes and the weights."""
    X_train, X_test, _, y_test = images
    guess = model.predict(X_test)
    layers = in_words(model["network"].hidden_layer_sizes)
    accuracy = f"{accuracy_score(y_test, guess):.2%}"
    print(f"\n{classification_report(y_test, guess, digits=4, zero_division=0)}")
    print(f"Accuracy on the test images: {accuracy}")

    curves = skann.TrainingCurveDisplay.from_estimator(model)
    loss, score = curves.axes_
    harder = "training images, with\ndropout, penalty, label smoothing"
    loss.legend(loss.lines, [harder, "test images"], frameon=False)
    score.set(ylabel="Accuracy on the test images")
    score.yaxis.set_major_formatter("{x:.1%}")
    title = f"{accuracy} of the test images are read correctly by layers {layers}"
    save(curves, output / "learning_curves.png", title)

    _, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    log_scale = {"norm": LogNorm(0.5)}  # or the correct readings would hide the mistakes
    confusion = ConfusionMatrixDisplay.from_predictions(
        y_test, guess, cmap="Blues", values_format="d", im_kw=log_scale, colorbar=False, ax=axes
    )
    title = f"Confusion matrix of {len(guess):,} test images"
    save(confusion, output / "confusion_matrix.png", title)

    mistakes = skann.MisclassifiedDisplay.from_estimator(model, X_test, y_test, image_shape=shape)
    save(mistakes, output / "mistakes.png")

    spread = X_train.std(axis=0)  # 0 for pixels that are always blank: those weights stay random
    weights = skann.WeightsDisplay.from_estimator(model, image_shape=shape, feature_scale=spread)
    title = weights.title_.get_text().replace("Weights of", "Where ink excites or inhibits")
    weights.title_.set_text(title)
    save(weights, output / "first_layer.png")


def save(display, path: Path, title: str = "") -> None:
    """Save the picture of a display, with a title if one is given."""
    if title:
        display.figure_.suptitle(title)
    display.figure_.savefig(path, dpi=130)
    plt.close(display.figure_)


# %%
# The whole job
# -------------


def main() -> None:
    """Search, fit and evaluate; write each result as soon as it is available."""
    options = read_options()
    plt.switch_backend("agg")  # Pictures go to files, not to windows.
    # Known and harmless: retried downloads, Ctrl-C, and the scaler, which shows no progress.
    warnings.filterwarnings("ignore", "A network error|Training interrupted|The estimator MinMaxS")
    name, shape, images = load_images(options.data)
    if options.quick:
        images = [part[:n] for part, n in zip(images, [6_000, 2_000] * 2, strict=True)]
    n_train, n_test, *_ = map(len, images)
    print(f"{name}: {n_train:,} images to train on, {n_test:,} to test on.", flush=True)

    search = search_layers(name, images, options)
    model = fit_best(search, images)
    file = options.output / "best_model.joblib"
    joblib.dump(model, file)
    evaluate(model, images, shape, options.output)

    print(f"""
Pictures, table and model are in {options.output.resolve()}. To use the model:

    import joblib
    model = joblib.load("{file}")
    model.predict(X)  # X: bytes, in each row the {shape[0] * shape[1]} pixels of an image""")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Stopped. What was finished is in the output folder.", file=sys.stderr)
        sys.exit(130)

# %%
# The pictures of a run
# ---------------------
#
# These are pictures of runs on MNIST with the default options, on two cores. In the search, the
# largest network has the highest accuracy and takes the longest to fit:
#
# .. image:: /images/search.png
#    :alt: Accuracy on held-out folds for six layer sizes, and the time of a fit
#    :class: sphx-glr-single-img
#
# The best setting is fitted to all training images, in ten epochs:
#
# .. image:: /images/mnist_grid/learning_curves.png
#    :alt: Loss of the training and test images, and accuracy on the test images, by epoch
#    :class: sphx-glr-single-img
#
# It reads 137 of the 10,000 test images wrongly. Many of these are hard to read for people, too:
#
# .. image:: /images/mnist_grid/mistakes.png
#    :alt: The 24 misclassified test images with the highest probabilities
#    :class: sphx-glr-single-img
#
# It most often takes a four for a nine:
#
# .. image:: /images/mnist_grid/confusion_matrix.png
#    :alt: Confusion matrix of the test images
#    :class: sphx-glr-single-img
#
# The units of the first layer react to short strokes at certain places:
#
# .. image:: /images/mnist_grid/first_layer.png
#    :alt: Weights of sixty units of the first layer, drawn as images
#    :class: sphx-glr-single-img
