"""The example that reads pictures, in this process, on scikit-learn's digits."""

import re
import runpy
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn.datasets
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skann import ANNClassifier
from skann.images import split_digits
from tests.pictures import OnPaper, enlarged

Image = pytest.importorskip("PIL.Image")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "read_digits.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLE.is_file(), reason="the examples are not beside the tests"),
]


def run(*arguments):
    """Run the script; return its exit code."""
    main = runpy.run_path(str(ROOT / "examples" / "read_digits.py"))["main"]
    return main([str(argument) for argument in arguments])


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where a first run without pictures has left a model, a sheet and what it read."""
    path = tmp_path_factory.mktemp("somewhere") / "new"
    assert run("--data", "digits", "--output", path) == 0
    return path


@pytest.fixture
def read(folder, tmp_path, capsys):
    """Return a function that reads pictures: exit code, readings of each line, errors."""

    def read(*pictures):
        code = run(*pictures, "--model", folder / "model.joblib", "--output", tmp_path / "out")
        output, errors = capsys.readouterr()
        return code, re.findall(r"^ +(\d) +[\d.]+% ", output, re.MULTILINE), errors

    return read


@pytest.fixture(scope="module")
def coverage():
    """Return a line of a 0, a 1 and a 2."""
    images = sklearn.datasets.load_digits().images[:3]
    images = np.pad(images * (255 / 16), [(0, 0), (2, 2), (2, 2)]).astype(np.uint8)
    return np.hstack(enlarged(images, 80)) / 255


@pytest.fixture
def photo(coverage, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(OnPaper(220, 40, 10).picture(coverage)).save(path)
    return path


def test_without_pictures_it_makes_one_and_keeps_the_model(folder, capsys):
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.joblib", "sheet.png", "sheet_read.png"}
    kept = (folder / "model.joblib").read_bytes()
    assert run("--data", "digits", "--output", folder) == 0
    assert (folder / "model.joblib").read_bytes() == kept
    output = capsys.readouterr().out
    assert "training" not in output
    n_right, n_digits = map(int, re.search(r"(\d+) of (\d+) are read right", output).groups())
    assert n_digits == 24
    assert n_right >= 22
    assert len(re.findall(r"^ +\d +[\d.]+% +\d+ +\d+", output, re.MULTILINE)) == 24


def test_digits_are_anywhere_on_the_sheet_in_different_sizes(folder, tmp_path, capsys):
    _, boxes = split_digits(folder / "sheet.png", return_boxes=True)
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.max() > 1.5 * heights.min()
    run(
        "--data", "digits", "--seed", 1, "--output", tmp_path, "--model", folder / "model.joblib"
    )  # fmt: skip
    assert (tmp_path / "sheet.png").read_bytes() != (folder / "sheet.png").read_bytes()


def test_reads_a_photo_and_draws_around_each_digit(read, photo, tmp_path):
    before = photo.read_bytes()
    assert read(photo) == (0, ["0", "1", "2"], "")
    assert photo.read_bytes() == before
    drawn = pixels_of(tmp_path / "out" / "photo_read.png").astype(int)
    is_coloured = np.ptp(drawn, axis=2) > 50
    for left, _, right, _ in split_digits(photo, return_boxes=True)[1]:
        assert is_coloured[:, left:right].any()


def test_pictures_of_the_same_name_do_not_replace_each_other(read, photo, tmp_path):
    Image.fromarray(pixels_of(photo)).save(tmp_path / "photo.jpg")
    assert read(photo, tmp_path / "photo.jpg")[:2] == (0, ["0", "1", "2"] * 2)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"photo_read.png", "photo_read_2.png"}


def test_a_turned_photo_is_read_and_drawn_upright(read, photo, tmp_path):
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # The upper edge is at the right.
    Image.fromarray(np.rot90(pixels_of(photo))).save(turned, exif=exif)
    assert read(turned)[1] == ["0", "1", "2"]
    height, width, _ = pixels_of(tmp_path / "out" / "turned_read.png").shape
    assert width > height


def test_a_transparent_drawing_is_drawn_on_white(read, coverage, tmp_path):
    pixels = np.zeros((*coverage.shape, 4), np.uint8)
    pixels[..., 3] = 255 * coverage
    Image.fromarray(pixels).save(tmp_path / "ink.png")
    assert read(tmp_path / "ink.png")[1] == ["0", "1", "2"]
    assert pixels_of(tmp_path / "out" / "ink_read.png")[-1, 0].tolist() == [255, 255, 255]


def test_a_broken_picture_is_named_and_the_others_are_read(read, photo, tmp_path):
    broken, blank = tmp_path / "broken.png", tmp_path / "blank.png"
    broken.write_bytes(photo.read_bytes()[:200])
    Image.new("L", (50, 50), 255).save(blank)
    code, readings, errors = read(broken, blank, photo)
    assert (code, readings) == (1, ["0", "1", "2"])
    first, second = errors.splitlines()
    assert first.startswith(f"read_digits.py: error: {broken} is broken")
    assert second.startswith(f"read_digits.py: error: {blank} shows nothing")


def test_takes_the_model_of_mnist_grid(folder, photo, tmp_path, capsys):
    # As that script saves it: a scaler, then a network, fitted to bytes of 28 x 28 pixels.
    X, y = np.random.default_rng(0).integers(0, 256, (50, 784)), np.arange(50) % 10
    network = ANNClassifier((8,), max_iter=2, random_state=0)
    joblib.dump(make_pipeline(MinMaxScaler(clip=True), network).fit(X, y), tmp_path / "grid.joblib")
    assert run(photo, "--model", tmp_path / "grid.joblib", "--output", tmp_path) == 0
    assert "digits found: 3" in capsys.readouterr().out
    assert not (tmp_path / "model.joblib").exists()


def test_refuses_files_that_are_no_model_of_such_images(photo, tmp_path):
    with pytest.raises(SystemExit, match="is no model that can be loaded"):
        run(photo, "--model", photo, "--output", tmp_path)
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    network = ANNClassifier((8,), max_iter=2, random_state=0).fit(X[:50], y[:50])
    joblib.dump(network, tmp_path / "small.joblib")
    with pytest.raises(SystemExit, match=r"small.joblib' is no model of images of 28 x 28 pixels"):
        run(photo, "--model", tmp_path / "small.joblib", "--output", tmp_path)


@pytest.fixture
def no_mnist(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)


def test_says_so_when_the_images_are_not_those_of_mnist(no_mnist, folder, tmp_path, capsys):
    assert run("--model", folder / "model.joblib", "--output", tmp_path) == 0
    assert "Using scikit-learn's 8x8 digits instead." in capsys.readouterr().out


def test_ends_with_one_line_where_mnist_was_asked_for_and_cannot_be_had(no_mnist, tmp_path):
    with pytest.raises(SystemExit, match=r"error: MNIST cannot be loaded from OpenML \(no route"):
        run("--data", "mnist", "--output", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "there is no file 'nowhere.png'"),
        (["--model", "nowhere.joblib"], "there is no file 'nowhere.joblib'"),
        (["--seed", "-1"], "argument --seed: must not be negative"),
        (["--output", EXAMPLE], "argument --output: cannot write to"),
    ],
    ids=str,
)
def test_refuses_bad_values_before_it_loads_anything(arguments, message, no_mnist, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("--data", "mnist", *arguments)
    assert message in capsys.readouterr().err
