"""Read the handwritten digits on pictures.

    python -m pip install ".[examples]" && python examples/read_digits.py photo.png

The script prints every digit with its probability, and saves the picture with boxes and readings
drawn in. If you give no picture, it makes one from test digits of random sizes and positions.

The first run trains a network on MNIST and saves it. If MNIST cannot be downloaded, it uses the
small digits that come with scikit-learn. The training images are distorted at random, so that the
network also reads untidy digits. `--model mnist_grid/best_model.joblib` uses the network of
mnist_grid.py instead.
"""

from __future__ import annotations

import argparse
import socket
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

from skann import ANNClassifier
from skann.images import ImageReader, RandomAffine, split_digits

# The sheet that is read if no picture is given: its digits, and the pixels of each digit's square.
SHEET_ROWS, SHEET_COLUMNS, SQUARE = 4, 6, 120
# Readings with a lower probability get another colour and a question mark.
SURE = 0.9
BLUE, ORANGE = "#1d4ed8", "#c2410c"


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line and create the output folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("pictures", type=Path, nargs="*", metavar="PICTURE", help="default: one of test digits")
    add("--model", type=Path, metavar="FILE", help="default: model.joblib in the output folder")
    add("--data", choices=["auto", "mnist", "digits"], default="auto", help="default: auto")
    add("--seed", type=int, default=0, metavar="N", help="random seed; default: 0")
    add("--output", type=Path, default="read_digits", metavar="FOLDER", help="default: read_digits")
    options = parser.parse_args(arguments)
    for path in [*options.pictures, *filter(None, [options.model])]:
        if not path.is_file():
            parser.error(f"there is no file '{path}'")
    if options.seed < 0:
        parser.error("argument --seed: must not be negative")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: cannot write to '{options.output}': {error.strerror}")
    return options


@cache  # Training and the sheet use the same images.
def load_images(data: str) -> tuple[str, list[NDArray]]:
    """Return the name of the data set, and the training and test sets of X (0 to 255) and y."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5)  # seconds without any answer
    warnings.filterwarnings("ignore", "A network error occurred")  # fetch_openml retries.
    try:
        if data != "digits":
            mnist = fetch_openml("mnist_784", version=1, as_frame=False, n_retries=1)
            X, y = mnist.data.astype(np.uint8, order="C"), mnist.target.astype(int)
            # OpenML lists the 60,000 training images first, then the 10,000 test images.
            return "MNIST", [X[:60_000], X[60_000:], y[:60_000], y[60_000:]]
    except Exception as error:  # The network, the parser or pandas failed: report it.
        problem = f"MNIST cannot be loaded from OpenML ({' '.join(str(error).split())})."
        if data == "mnist":
            sys.exit(f"read_digits.py: error: {problem}")
        print(f"{problem} Using scikit-learn's 8x8 digits instead.")
    finally:
        socket.setdefaulttimeout(before)
    X, y = load_digits(return_X_y=True)
    # ImageReader needs some background around each digit.
    pictures = np.pad(X.reshape(-1, 8, 8) * (255 / 16), [(0, 0), (2, 2), (2, 2)])
    X = ImageReader(invert=False).transform(pictures)
    return "8x8 digits", train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


def load_model(options: argparse.Namespace) -> Pipeline:
    """Return a model that takes pictures, with the saved network or a new one."""
    file = options.model or options.output / "model.joblib"
    if not file.exists():
        joblib.dump(train(options), file)
        print(f"Saved the model as {file} for the next run.")
    try:
        network = joblib.load(file)
    except Exception as error:  # Loading an arbitrary file can raise any error.
        sys.exit(f"read_digits.py: error: '{file}' is no model that can be loaded ({error})")
    if getattr(network, "n_features_in_", None) != 28 * 28:
        sys.exit(f"read_digits.py: error: '{file}' is no model of images of 28 x 28 pixels")
    return make_pipeline(ImageReader(), network)  # The reader needs no fit.


def train(options: argparse.Namespace) -> ANNClassifier:
    """Fit a network to images that are rotated, sheared, shifted and zoomed at random."""
    name, (X_train, X_test, y_train, y_test) = load_images(options.data)
    print(f"{name}: training on {len(X_train):,} images, distorted at random.", flush=True)
    distort = RandomAffine((28, 28), degrees=15, translate=0.05, scale=(0.8, 1.15), shear=15)
    network = ANNClassifier(
        input_scaling="maxabs", augmentation=distort, max_iter=20, random_state=options.seed
    )
    network.fit(X_train, y_train)
    print(f"{network.score(X_test, y_test):.1%} of {len(X_test):,} test images are read correctly.")
    return network


def make_sheet(path: Path, options: argparse.Namespace) -> NDArray:
    """Paste test digits on paper, one into each square; return their labels."""
    _, (_, images, _, digits) = load_images(options.data)
    rng = np.random.default_rng(options.seed)
    chosen = rng.choice(len(images), (SHEET_ROWS, SHEET_COLUMNS), replace=False)
    ink = Image.new("L", (SHEET_COLUMNS * SQUARE, SHEET_ROWS * SQUARE))
    for (row, column), index in np.ndenumerate(chosen):
        side = int(rng.integers(SQUARE // 3, SQUARE, endpoint=True))
        left, top = rng.integers(SQUARE - side, size=2, endpoint=True).tolist()
        digit = Image.fromarray(images[index].reshape(28, 28).astype(np.uint8))
        ink.paste(digit.resize((side, side)), (column * SQUARE + left, row * SQUARE + top))
    paper = np.linspace(240, 190, ink.width)  # The light comes from the left.
    grey = paper - (paper - 40) * (np.asarray(ink) / 255)
    Image.fromarray(grey.astype(np.uint8)).save(path)
    return digits[chosen]


def read(path: Path, model: Pipeline) -> tuple[NDArray, NDArray, NDArray]:
    """Print the digits on a picture; return their boxes, labels and probabilities."""
    found, boxes = split_digits(path, return_boxes=True)
    probabilities = model.predict_proba(found)
    order = np.argsort(probabilities)
    digits, shares = model.classes_[order[:, -1]], probabilities.max(axis=1)
    print(f"\n{path}: digits found: {len(found)}\ndigit  probability   left    top")
    for index, (left, top, _, _) in enumerate(boxes):
        line = f"{digits[index]:>5}  {shares[index]:>11.1%}  {left:>5}  {top:>5}"
        if shares[index] < SURE:
            second = order[index, -2]
            line += f"   or {model.classes_[second]}, {probabilities[index, second]:.1%}"
        print(line)
    return boxes, digits, shares


def draw(path: Path, boxes: NDArray, digits: NDArray, shares: NDArray) -> Image.Image:
    """Return the picture with boxes and readings."""
    with Image.open(path) as image:
        width, height = ImageOps.exif_transpose(image).size
    as_it_is = ImageReader(image_shape=(height, width, 3), center=None)
    pixels = as_it_is.transform([path]).reshape(height, width, 3)
    size = max(12, int(np.median(boxes[:, 3] - boxes[:, 1])) // 3)  # of the text
    room = max(0, 2 * size - int(boxes[:, 1].min()))  # space for the text above the first line
    picture = ImageOps.expand(Image.fromarray(pixels.astype(np.uint8)), (0, room, 0, 0), "white")
    canvas, font, margin = ImageDraw.Draw(picture), ImageFont.load_default(size), size // 4
    for box, digit, share in zip(boxes, digits, shares, strict=True):
        left, top, right, bottom = (box + [-margin, room - margin, margin, room + margin]).tolist()
        colour, text = (BLUE, f"{digit}") if share >= SURE else (ORANGE, f"{digit}?")
        canvas.rectangle((left, top, right, bottom), outline=colour, width=1 + size // 16)
        letters = canvas.textbbox((left + margin, top - margin), text, font, "lb")
        canvas.rectangle((left, letters[1] - margin, letters[2] + margin, top), fill=colour)
        canvas.text((left + margin, top - margin), text, "white", font, "lb")
    return picture


def new_name(path: Path, folder: Path, taken: set[Path]) -> Path:
    """Return a file name for the picture with readings; no two pictures get the same name."""
    name, count = folder / f"{path.stem}_read.png", 1
    while name in taken:
        count += 1
        name = folder / f"{path.stem}_read_{count}.png"
    taken.add(name)
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Read every picture; return 1 if any could not be read."""
    options = parse_options(arguments)
    model = load_model(options)
    pictures, truth = options.pictures, None
    if not pictures:
        pictures = [options.output / "sheet.png"]
        truth = make_sheet(pictures[0], options)
    taken: set[Path] = set()
    exit_code = 0
    for path in pictures:
        try:
            boxes, digits, shares = read(path, model)
        except (OSError, ValueError) as error:  # The error names the file; go on with the others.
            print(f"read_digits.py: error: {error}", file=sys.stderr)
            exit_code = 1
            continue
        if truth is not None:
            columns, rows = (boxes[:, :2] + boxes[:, 2:]).T // (2 * SQUARE)
            print(f"{np.sum(truth[rows, columns] == digits)} of {truth.size} are read right.")
        name = new_name(path, options.output, taken)
        draw(path, boxes, digits, shares).save(name)
        print(f"Saved the picture with its readings as {name}.")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
