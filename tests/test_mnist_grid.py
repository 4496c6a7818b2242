"""The example, run as its users run it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from skann.datasets import load_images

pd = pytest.importorskip("pandas")
image = pytest.importorskip("matplotlib.image")
pytest.importorskip("rich")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "mnist_grid.py"
REAL_CACHE = ROOT.parent / "shared" / "scikit_learn_data"

pytestmark = pytest.mark.skipif(
    not EXAMPLE.is_file(), reason="the examples are not beside the tests"
)

PICTURES = {
    "scores.png",
    "learning_curves.png",
    "confusion_matrix.png",
    "mistakes.png",
    "first_layer.png",
}
FILES = PICTURES | {"cv_results.csv", "best_model.joblib"}

# A run of about a second beyond the imports.
SMALL = ("--data", "digits", "--layers", "16", "8,4", "--folds", "2", "--epochs", "20")


@pytest.fixture
def home(tmp_path):
    """Give an empty data home."""
    path = tmp_path / "home"
    path.mkdir()
    return path


def start(*arguments, home, **variables):
    # MPLBACKEND: one that would open a window must not matter.
    environment = {"SCIKIT_LEARN_DATA": str(home), "MPLBACKEND": "TkAgg", **variables}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        start_new_session=True,
    )


def run(*arguments, home, **variables):
    process = start(*arguments, home=home, **variables)
    output, errors = process.communicate()
    return process.returncode, output, errors


def check_pictures(folder):
    for name in PICTURES:
        pixels = image.imread(folder / name)
        height, width = pixels.shape[:2]
        assert 200 < height < 2000, name
        assert 600 < width < 2000, name
        drawn = np.any(pixels[..., :3] < 0.9, axis=-1)
        assert drawn.mean() > 0.005, f"{name} is blank"
        # Something in each quarter of the width: no picture is a title over emptiness.
        assert all(part.any() for part in np.array_split(drawn[40:], 4, axis=1)), name


def accuracy_in(output):
    (line,) = (line for line in output.splitlines() if line.startswith("Accuracy"))
    return float(line.split()[-1].rstrip("%")) / 100


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """Run once on the digits, for all who look at the results."""
    folder = tmp_path_factory.mktemp("small") / "some" / "where"
    home = tmp_path_factory.mktemp("home")
    code, output, errors = run(*SMALL, "--jobs", 2, "--output", folder, home=home)
    assert (code, errors) == (0, "")
    return folder, output


def test_digits_from_start_to_pictures(small_run):
    folder, output = small_run
    assert {path.name for path in folder.iterdir()} == FILES
    check_pictures(folder)
    assert "search: 4 of 4 fits" in output
    assert "20 of 20 epochs" in output
    assert "precision" in output
    assert "Confusion matrix" in output
    assert str(folder) in output
    assert accuracy_in(output) > 0.9


def test_table_of_the_search(small_run):
    folder, _ = small_run
    table = pd.read_csv(folder / "cv_results.csv")
    assert list(table["rank_test_score"]) == [1, 2]
    assert set(table["layers"]) == {"16", "8,4"}
    assert set(table["n_parameters"]) == {64 * 16 + 16 + 170, 64 * 8 + 8 + 36 + 50}


def test_saved_model_works_without_the_example(small_run):
    folder, output = small_run
    images = load_images("digits")
    model = joblib.load(folder / "best_model.joblib")
    assert model.score(images.X_test, images.y_test) == pytest.approx(accuracy_in(output), abs=5e-5)
    assert not hasattr(model, "_skl_callbacks")
    model.fit(images.X_train[:100], images.y_train[:100])  # without metadata routing


def test_same_seed_same_results(tmp_path, home, small_run):
    folder, output = small_run
    code, again, _ = run(*SMALL, "--jobs", 2, "--output", tmp_path, home=home)
    assert code == 0
    assert accuracy_in(again) == accuracy_in(output)
    before, after = (pd.read_csv(path / "cv_results.csv") for path in (folder, tmp_path))
    assert before["mean_test_score"].equals(after["mean_test_score"])


def test_dropped_packets_lead_to_the_digits_in_one_line(tmp_path, home):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, output, errors = run(
            "--quick", "--layers", "8", "--output", tmp_path, home=home, https_proxy=proxy
        )
    assert (code, errors) == (0, "")
    first = output.splitlines()[0]
    assert "OpenML cannot be reached" in first
    assert first.endswith("Using scikit-learn's 8x8 digits instead.")


def test_mnist_without_a_network_is_one_line_and_an_error(tmp_path, home):
    nobody = "http://127.0.0.1:9"  # the port to discard to, where nothing listens
    code, output, errors = run(
        "--data", "mnist", "--output", tmp_path / "out", home=home, https_proxy=nobody
    )
    assert (code, output) == (1, "")
    (line,) = errors.splitlines()
    assert "OpenML cannot be reached" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "cifar"], "argument --data"),
        (["--layers", "64", "12x"], "'12x' is not a list of layer sizes"),
        (["--layers", "64,0"], "'64,0' is not a list of layer sizes"),
        (["--layers", "100000"], "from 1 to 10,000"),
        (["--layers"], "argument --layers"),
        (["--folds", "1"], "'1' is not a whole number of at least 2"),
        (["--data", "digits", "--folds", "500"], "500 is too many"),
        (["--epochs", "0"], "argument --epochs"),
        (["--jobs", "0"], "argument --jobs"),
        (["--seed", "-1"], "argument --seed"),
        (["--output", str(EXAMPLE)], "argument --output: cannot write to"),
        (["--colour", "red"], "unrecognized arguments"),
    ],
)
def test_bad_values_are_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, example):
    example_arguments = [*arguments]
    if "--output" not in arguments:
        example_arguments += ["--output", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        example.main(example_arguments)
    captured = capsys.readouterr()
    assert left.value.code == 2
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert message in line


@pytest.fixture
def example():
    """Import the example, as one process for each bad value would take long."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("mnist_grid", EXAMPLE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bad_value_as_a_command(tmp_path, home):
    code, output, errors = run("--folds", "none", "--output", tmp_path, home=home)
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1


def test_help_names_every_option(home):
    code, output, _ = run("--help", home=home)
    assert code == 0
    for option in ("data", "layers", "folds", "epochs", "jobs", "seed", "output", "quick"):
        assert f"--{option} " in output


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes as on Linux")
@pytest.mark.parametrize(
    ("jobs", "at", "written"),
    [
        (2, "Layer sizes", set()),
        (1, "Layer sizes", set()),
        (2, "Fitting the best", {"cv_results.csv", "scores.png"}),
    ],
)
def test_ctrl_c_stops_and_keeps_what_is_written(tmp_path, home, jobs, at, written):
    arguments = ["--data", "digits", "--layers", "200,100", "--folds", "2"]
    # So many epochs that it is still running, in the search or else in the last fit.
    epochs = 100_000 if at == "Layer sizes" else 150
    process = start(
        *arguments, "--epochs", epochs, "--jobs", jobs, "--output", tmp_path / "out", home=home
    )
    for line in process.stdout:
        if line.startswith(at):
            break
    if not written:
        process.stdout.readline()  # the first line of progress: by now the fits are running
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    (line,) = errors.splitlines()
    assert line.startswith("Stopped.")
    assert {path.name for path in (tmp_path / "out").iterdir()} == written
    assert all(name in line for name in written)
    for _ in range(100):  # a killed process takes a moment to go
        if not living_processes(process.pid):
            return
        time.sleep(0.1)
    pytest.fail(f"still running: {living_processes(process.pid)}")


def living_processes(session):
    """Return the processes of a session that still run."""
    lines = subprocess.run(
        ["ps", "-o", "stat=,args=", "-s", str(session)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout.splitlines()
    return [line for line in lines if not line.startswith("Z")]


@pytest.mark.skipif(not REAL_CACHE.is_dir(), reason="the real MNIST is not beside the checkout")
def test_real_mnist_quickly(tmp_path, home):
    # A copy, as scikit-learn deletes a cached file that it cannot parse.
    shutil.copytree(REAL_CACHE, home, copy_function=shutil.copyfile, dirs_exist_ok=True)
    code, output, errors = run("--quick", "--output", tmp_path / "out", home=home)
    assert (code, errors) == (0, "")
    assert output.startswith("MNIST")
    assert accuracy_in(output) > 0.9
    check_pictures(tmp_path / "out")
