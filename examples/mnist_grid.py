"""
Handwritten digits, end to end
==============================

Search the layer sizes of a network that reads handwritten digits, and picture the best.

The job: MNIST (70,000 images; without a network, the small digits that come with scikit-learn),
scaled in a Pipeline, a GridSearchCV over layer sizes on all cores, the best setting fitted to all
training images, and what it does to the test images it has never seen. Run it from the top of the
repository, with what it needs beyond skann itself::

    python -m pip install ".[examples]" && python examples/mnist_grid.py

Pictures, the table of the search and the fitted model go to `--output`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

try:
    import joblib
    import numpy as np
    import pandas as pd
    import rich  # noqa: F401  the progress bars need it; better said now than after the download
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter
    from sklearn import config_context
    from sklearn.metrics import accuracy_score, classification_report, confusion_matrix
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler

    from skann import (
        ANNClassifier,
        MisclassifiedDisplay,
        SearchDisplay,
        TrainingCurveDisplay,
        WeightsDisplay,
    )
    from skann.callbacks import SearchProgress
    from skann.datasets import DATA_SETS, ImageData, MnistUnavailableError, load_images
except ImportError as error:
    sys.exit(f'{error}. Install what this needs with: python -m pip install ".[examples]"')
except KeyboardInterrupt:
    print("Stopped.", file=sys.stderr)
    sys.exit(130)

LAYERS = ((64,), (128,), (128, 64), (256,), (256, 128), (512, 256))
QUICK_LAYERS = ((32,), (64,), (64, 32))
QUICK_EPOCHS = 5
QUICK_TRAIN, QUICK_TEST = 6_000, 2_000
MAX_UNITS = 10_000


# Options ----------------------------------------------------------------------------------------


class OneLineParser(argparse.ArgumentParser):
    """A parser that answers a bad value in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def parse_options(arguments: Sequence[str] | None) -> tuple[OneLineParser, argparse.Namespace]:
    """Read the command line, and fill in what depends on `--quick`."""
    parser = OneLineParser(
        description="Search the layer sizes of a network that reads handwritten digits.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: mnist_grid.py --layers 64 128 128,64 --epochs 5 --output pictures",
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    defaults: tuple[Any, ...] = LAYERS, 3, "auto"
    if options.quick:
        defaults = QUICK_LAYERS, 2, QUICK_EPOCHS
    layers, folds, epochs = defaults
    options.layers = list(dict.fromkeys(options.layers or layers))
    options.folds = options.folds or folds
    options.epochs = options.epochs or epochs
    return parser, options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Tell a parser what it may find on the command line."""
    add = parser.add_argument
    add(
        "--data",
        choices=DATA_SETS,
        default="auto",
        help="auto: MNIST, or the 8x8 digits where OpenML cannot be reached (default)",
    )
    add(
        "--layers",
        nargs="+",
        type=layer_sizes,
        metavar="SIZES",
        help="settings to compare, each the sizes of its hidden layers, such as 64 128 128,64"
        f" (default: {show_all(LAYERS)})",
    )
    add(
        "--folds", type=whole_number(2), metavar="N", help="parts for cross-validation (default: 3)"
    )
    add(
        "--epochs",
        type=whole_number(1),
        metavar="N",
        help="rounds through the images in each fit (default: what ANNClassifier chooses)",
    )
    add(
        "--jobs",
        type=number_of_jobs,
        default=-1,
        metavar="N",
        help="fits at a time; -1, the default, is one for each core",
    )
    add(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="of everything random (default: 0)",
    )
    add(
        "--output",
        type=Path,
        default=Path("mnist_grid"),
        metavar="FOLDER",
        help="where the pictures go (default: mnist_grid)",
    )
    add(
        "--quick",
        action="store_true",
        help=f"a first look: {QUICK_TRAIN:,} images, {QUICK_EPOCHS} epochs, 2 folds,"
        f" {show_all(QUICK_LAYERS)}",
    )


def layer_sizes(text: str) -> tuple[int, ...]:
    """Turn "128,64" into (128, 64)."""
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or not all(1 <= size <= MAX_UNITS for size in sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of layer sizes: give whole numbers from 1 to {MAX_UNITS:,}"
            " with commas between them, such as 128,64"
        )
    return sizes


def whole_number(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range."""
    allowed = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = lowest - 1
        if number < lowest or (highest is not None and number > highest):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {allowed}")
        return number

    return read


def number_of_jobs(text: str) -> int:
    """Turn text into a number of jobs: -1, or 1 and more."""
    if text == "-1":
        return -1
    try:
        return whole_number(1)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or -1 for all cores") from None


def show(sizes: Sequence[int]) -> str:
    """Turn (128, 64) into "128,64", as it is given to `--layers`."""
    return ",".join(str(size) for size in sizes)


def show_all(settings: Sequence[Sequence[int]]) -> str:
    """Join several settings with spaces."""
    return " ".join(show(sizes) for sizes in settings)


# The job ----------------------------------------------------------------------------------------


def search_layers(images: ImageData, options: argparse.Namespace) -> GridSearchCV:
    """Cross-validate every setting of the layers."""
    pipeline = Pipeline(
        [
            ("scale", MinMaxScaler(clip=True)),
            ("network", ANNClassifier(max_iter=options.epochs, random_state=options.seed)),
        ]
    )
    # The longest fits first, so that no core is idle while the last one finishes.
    layers = sorted(options.layers, key=lambda sizes: -n_parameters(sizes, images))
    search = GridSearchCV(
        pipeline,
        {"network__hidden_layer_sizes": layers},
        cv=options.folds,
        n_jobs=options.jobs,
        refit=False,  # fit_best does it, and watches the test images meanwhile
    )
    with deaf_workers():
        return search.set_callbacks(SearchProgress()).fit(images.X_train, images.y_train)


def fit_best(search: GridSearchCV, images: ImageData) -> Pipeline:
    """Fit the best setting to all training images.

    After each epoch the test images are scored for the learning curves. Nothing is decided on
    them: with ``early_stopping=False`` the network never learns what they say.
    """
    model = search.estimator.set_params(**search.best_params_, transform_input=["X_val"])
    with config_context(enable_metadata_routing=True):
        model["network"].set_fit_request(X_val=True, y_val=True)
        model.set_callbacks(SearchProgress()).fit(
            images.X_train, images.y_train, X_val=images.X_test, y_val=images.y_test
        )
    # The saved model should do without the bars and without metadata routing.
    return model.set_callbacks().set_params(transform_input=None)


def tabulate(search: GridSearchCV, images: ImageData) -> pd.DataFrame:
    """Return the results of the search, best first."""
    table = pd.DataFrame(search.cv_results_)
    sizes = table.pop("param_network__hidden_layer_sizes")
    table.insert(0, "layers", [show(setting) for setting in sizes])
    table.insert(1, "n_parameters", [n_parameters(setting, images) for setting in sizes])
    return table.drop(columns="params").sort_values("rank_test_score", kind="stable")


def n_parameters(sizes: Sequence[int], images: ImageData) -> int:
    """Count the weights and intercepts of a network."""
    widths = [images.X_train.shape[1], *sizes, len(np.unique(images.y_train))]
    return sum((n_in + 1) * n_out for n_in, n_out in zip(widths[:-1], widths[1:], strict=True))


# Pictures ---------------------------------------------------------------------------------------


def draw_scores(search: GridSearchCV, images: ImageData) -> Figure:
    """Draw the accuracy of each setting, over its layers, its time and its size."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    layers = search.cv_results_["param_network__hidden_layer_sizes"]
    display = SearchDisplay.from_estimator(
        search,
        "hidden_layer_sizes",
        sizes=[n_parameters(sizes, images) for sizes in layers],
        ax=figure.subplots(),
    )
    display.axes_[0].yaxis.set_major_formatter(PercentFormatter(1))
    figure.suptitle(f"{images.name}: accuracy by layer sizes")
    return figure


def draw_learning_curves(network: ANNClassifier, title: str) -> Figure:
    """Draw loss and accuracy, epoch by epoch."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    # The best epoch is not marked: it would have been chosen on the test images.
    display = TrainingCurveDisplay.from_estimator(network, mark_best=False, ax=figure.subplots())
    loss, accuracy = display.axes_
    labels = ["training images, with the penalty", "test images"]
    loss.legend(loss.lines, labels, frameon=False)
    accuracy.set_ylabel("Accuracy on the test images")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    (line,) = accuracy.lines
    accuracy.annotate(
        f"{line.get_ydata()[-1]:.2%}",
        line.get_xydata()[-1],
        (8, 0),  # Beside the curve, which it would cover elsewhere.
        textcoords="offset points",
        va="center",
        color=line.get_color(),
        fontweight="bold",
    )
    figure.suptitle(f"{title}: learning (the test images are watched, never learned from)")
    return figure


def draw_confusion(truth: np.ndarray, guess: np.ndarray, title: str) -> Figure:
    """Draw how often each digit is taken for each other."""
    counts = confusion_matrix(truth, guess)
    figure = Figure(figsize=(7.5, 6.6), layout="constrained")
    axes = figure.subplots()
    # A log scale, or else the right answers would hide the wrong ones.
    picture = axes.imshow(np.where(counts, counts, np.nan), cmap="Blues", norm=LogNorm(vmin=0.5))
    for (row, column), count in np.ndenumerate(counts):
        dark = count > np.sqrt(0.5 * counts.max()) * 2
        axes.text(
            column,
            row,
            str(count) if count else "",
            ha="center",
            va="center",
            fontsize=10,
            color="white" if dark else "black",
        )
    axes.set(xlabel="guess", ylabel="truth")
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    figure.colorbar(picture, label="test images (log scale)", shrink=0.8)
    wrong = int(np.sum(truth != guess))
    figure.suptitle(f"{title}: {wrong:,} of {len(truth):,} test images misread")
    return figure


def draw_mistakes(images: ImageData, guess: np.ndarray, sureness: np.ndarray, title: str) -> Figure:
    """Draw the test images that the network gets wrong, the most confidently wrong first."""
    n_shown = min(40, max(1, int(np.sum(guess != images.y_test))))
    figure = Figure(figsize=(11, 1.55 * -(-n_shown // 8) + 0.8), layout="constrained")
    MisclassifiedDisplay.from_predictions(
        images.X_test,
        images.y_test,
        guess,
        sureness,
        image_shape=images.image_shape,
        max_samples=n_shown,
        ax=figure.subplots(),
    )
    figure.suptitle(title)
    return figure


def draw_first_layer(network: ANNClassifier, images: ImageData, title: str) -> Figure:
    """Draw what each unit of the first layer looks for: its weights, pixel by pixel.

    Each weight is multiplied by how much its pixel varies, which makes it what the pixel has to
    say: the weights of a pixel that is hardly ever inked keep their random start.
    """
    n_shown = min(60, network.coefs_[0].shape[1])
    figure = Figure(figsize=(11, -(-n_shown // 10) + 0.9), layout="constrained")
    display = WeightsDisplay.from_estimator(
        network,
        image_shape=images.image_shape,
        feature_scale=images.X_train.std(axis=0, dtype=np.float32),
        max_units=n_shown,
        ax=figure.subplots(),
    )
    figure.suptitle(title)
    display.title_.set_text(f"{display.title_.get_text()} (weights times the spread of the pixel)")
    return figure


# Files ------------------------------------------------------------------------------------------


class Folder:
    """A folder that never holds half a file."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.written: list[str] = []
        with self._whole(".writable"):
            pass  # better found out now than after the search

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as CSV."""
        with self._whole(name) as path:
            table.to_csv(path, index=False)
        self.written.append(name)

    def save_picture(self, name: str, figure: Figure) -> None:
        """Write a figure as PNG."""
        with self._whole(name) as path:
            figure.savefig(path, format="png", dpi=130)
        self.written.append(name)

    def save_model(self, name: str, model: Any) -> None:
        """Write a fitted model, for `joblib.load`."""
        with self._whole(name) as path:
            joblib.dump(model, path)
        self.written.append(name)

    @contextmanager
    def _whole(self, name: str) -> Iterator[Path]:
        """Yield where to write a file that takes its name only once it is complete."""
        path = self.path / f".{name}.{os.getpid()}.part"
        try:
            path.touch()
            yield path
            if name != ".writable":
                path.replace(self.path / name)
        finally:
            path.unlink(missing_ok=True)


# Ctrl-C -----------------------------------------------------------------------------------------


def deaf_workers() -> joblib.parallel_config:
    """Have worker processes leave Ctrl-C to this process, which ends them without a traceback."""
    return joblib.parallel_config(
        backend="loky", initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )


# All together -----------------------------------------------------------------------------------


def run(images: ImageData, folder: Folder, options: argparse.Namespace) -> None:
    """Search, fit, evaluate and draw, writing each result as soon as it is there."""
    say(
        f"{images.name}: {len(images.X_train):,} images to train on, {len(images.X_test):,} to"
        f" test with.\nLayer sizes to compare in {options.folds} folds: {show_all(options.layers)}"
    )
    search = search_layers(images, options)
    table = tabulate(search, images)
    folder.save_table("cv_results.csv", table)
    folder.save_picture("scores.png", draw_scores(search, images))
    say(f"\n{summary(table)}\n")

    say("Fitting the best setting to all training images.")
    model = fit_best(search, images)
    folder.save_model("best_model.joblib", model)

    probability = model.predict_proba(images.X_test)
    guess = model.classes_[probability.argmax(axis=1)]
    say(f"\n{report(images.y_test, guess)}\n")

    network = model["network"]
    title = f"{images.name}, layers {show(network.hidden_layer_sizes)}"
    for name, figure in {
        "learning_curves.png": draw_learning_curves(network, title),
        "confusion_matrix.png": draw_confusion(images.y_test, guess, title),
        "mistakes.png": draw_mistakes(images, guess, probability.max(axis=1), title),
        "first_layer.png": draw_first_layer(network, images, title),
    }.items():
        folder.save_picture(name, figure)


def summary(table: pd.DataFrame) -> str:
    """Return the search as lines of text."""
    lines = ["layers           weights   accuracy in cross-validation   seconds a fit"]
    for row in table.itertuples():
        lines.append(
            f"{row.layers:<12} {row.n_parameters:>11,}   {row.mean_test_score:.2%} ±"
            f" {row.std_test_score:.2%}{row.mean_fit_time:>29.1f}"
        )
    return "\n".join(lines)


def report(truth: np.ndarray, guess: np.ndarray) -> str:
    """Return how good the guesses are, in figures."""
    return (
        f"{classification_report(truth, guess, digits=4, zero_division=0)}\n"
        f"Confusion matrix (rows: truth, columns: guess):\n{confusion_matrix(truth, guess)}\n\n"
        f"Accuracy on the test images: {accuracy_score(truth, guess):.2%}"
    )


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print an error."""
    print(text, file=sys.stderr, flush=True)


def first_images(images: ImageData) -> ImageData:
    """Keep as many images as `--quick` has time for."""
    return replace(
        images,
        X_train=images.X_train[:QUICK_TRAIN],
        y_train=images.y_train[:QUICK_TRAIN],
        X_test=images.X_test[:QUICK_TEST],
        y_test=images.y_test[:QUICK_TEST],
    )


def prepare(parser: OneLineParser, options: argparse.Namespace) -> tuple[ImageData, Folder]:
    """Open the folder and load the images; what does not fit the options ends here."""
    try:
        folder = Folder(options.output)
    except OSError as error:
        parser.error(f"argument --output: cannot write to {str(options.output)!r}: {error}")
    images = load_images(options.data)
    if images.note:
        say(images.note)
    if options.quick:
        images = first_images(images)
    # The scaler would make float64 of bytes, twice as much to move for nothing.
    images = replace(
        images,
        X_train=images.X_train.astype(np.float32),
        X_test=images.X_test.astype(np.float32),
    )
    rarest = int(np.unique(images.y_train, return_counts=True)[1].min())
    if options.folds > rarest:
        parser.error(
            f"argument --folds: {options.folds} is too many, the rarest digit has {rarest} images"
        )
    return images, folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit code."""
    # Scaling is quick and shows no progress of its own, which is no news.
    warnings.filterwarnings("ignore", "The estimator MinMaxScaler does not support callbacks")
    warnings.filterwarnings("ignore", "Training interrupted by user")  # the last line says so
    folder = None
    try:
        parser, options = parse_options(arguments)
        images, folder = prepare(parser, options)
        run(images, folder, options)
    except MnistUnavailableError as error:
        complain(f"{parser.prog}: error: {error}")
        return 1
    except BrokenPipeError:  # no one reads on, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, say
        complain(f"{parser.prog}: error: {error}")
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
        kept = ", ".join(folder.written) if folder and folder.written else "nothing yet"
        complain(f"Stopped. Written to {options.output}: {kept}.")
        return 130
    say(f"\nPictures, table and model are in {folder.path.resolve()}:")
    say("  " + "  ".join(folder.written))
    return 0


if __name__ == "__main__":
    exit_code = main()
    if exit_code:  # not at the end of a good run: the gallery, which runs this, goes on
        sys.exit(exit_code)
