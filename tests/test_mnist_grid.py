"""The example, run as its users run it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

pd = pytest.importorskip("pandas")
image = pytest.importorskip("matplotlib.image")
pytest.importorskip("rich")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "mnist_grid.py"
REAL_CACHE = ROOT.parent / "shared" / "scikit_learn_data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLE.is_file(), reason="the examples are not beside the tests"),
]

PICTURES = {
    "scores.png",
    "learning_curves.png",
    "confusion_matrix.png",
    "mistakes.png",
    "first_layer.png",
}
FILES = PICTURES | {"cv_results.csv", "best_model.joblib"}

# A run of about a second beyond the imports.
SMALL = ("--data", "digits", "--layers", "16", "8,4", "--epochs", "20")


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
    # A plain line for each stage, and what scikit-learn's bars leave in a pipe.
    stages = [
        "8x8 digits",
        "Searching 2 layer",
        "GridSearchCV - fit",
        "Fitting the best",
        "Pipeline",
    ]
    stages += ["precision", "Accuracy", "Pictures, table and model"]
    lines = output.splitlines()
    places = [
        next(n for n, line in enumerate(lines) if line.strip().startswith(stage))
        for stage in stages
    ]
    assert places == sorted(places)
    assert sum("candidate-split" in line and "100%" in line for line in lines) == 6
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
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.uint8), y, test_size=0.2, stratify=y, random_state=0
    )
    model = joblib.load(folder / "best_model.joblib")
    assert model.score(X_test, y_test) == pytest.approx(accuracy_in(output), abs=5e-5)
    assert not hasattr(model, "_skl_callbacks")
    model.fit(X_train[:100], y_train[:100])  # without metadata routing


def test_last_lines_show_how_to_use_the_model(small_run):
    _, output = small_run
    code = output[output.index("    import joblib") :]
    names = {"X": load_digits().data[:5].astype(np.uint8)}
    exec(textwrap.dedent(code), names)
    guess = names["model"].predict(names["X"])
    np.testing.assert_array_equal(guess, [0, 1, 2, 3, 4])


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
    assert first.startswith("MNIST cannot be loaded from OpenML (")
    assert first.endswith("Using scikit-learn's 8x8 digits instead.")


def test_mnist_without_a_network_is_one_line_and_an_error(tmp_path, home):
    nobody = "http://127.0.0.1:9"  # the port to discard to, where nothing listens
    code, output, errors = run(
        "--data", "mnist", "--output", tmp_path / "out", home=home, https_proxy=nobody
    )
    assert (code, output) == (1, "")
    (line,) = errors.splitlines()
    assert line.startswith("mnist_grid.py: error: MNIST cannot be loaded from OpenML (<urlopen")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "cifar"], "argument --data"),
        (["--layers", "64", "12x"], "argument --layers: '12x', but layer sizes are integers"),
        (["--layers", "64,0"], "'64,0', but layer sizes"),
        (["--layers", "100000"], "from 1 to 10,000"),
        (["--layers", ""], "'', but layer sizes"),
        (["--layers"], "argument --layers"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["--epochs", "-1"], "--epochs and --seed: must not be negative"),
        (["--jobs", "two"], "argument --jobs"),
        (["--seed", "-1"], "--epochs and --seed: must not be negative"),
        (["--output", str(EXAMPLE)], "argument --output: cannot write to"),
        (["--colour", "red"], "unrecognized arguments"),
    ],
)
def test_bad_values_are_one_line_and_exit_code_2(
    arguments, message, capsys, tmp_path, example, monkeypatch
):
    if "--output" not in arguments:
        arguments = [*arguments, "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["mnist_grid.py", *arguments])
    with pytest.raises(SystemExit) as left:
        example.main()
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
    code, output, errors = run("--epochs", "none", "--output", tmp_path, home=home)
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1


def test_help_names_every_option(home):
    code, output, _ = run("--help", home=home)
    assert code == 0
    for option in ("data", "layers", "epochs", "jobs", "seed", "output", "quick"):
        assert f"--{option} " in output


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes as on Linux")
@pytest.mark.parametrize(
    ("jobs", "epochs", "at", "written"),
    [
        (2, 100_000, "candidate-split", set()),
        (1, 100_000, "candidate-split", set()),
        (2, 150, "ANNClassifier - fit", {"cv_results.csv", "scores.png"}),
    ],
)
def test_ctrl_c_stops_and_keeps_what_is_written(tmp_path, home, jobs, epochs, at, written):
    arguments = ["--data", "digits", "--layers", "200,100", "--epochs", epochs, "--jobs", jobs]
    # As in a terminal, the bars come while the fits run.
    process = start(*arguments, "--output", tmp_path / "out", home=home, FORCE_COLOR="1")
    for line in process.stdout:
        if at in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "Stopped. What was finished is in the output folder.\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == written
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
