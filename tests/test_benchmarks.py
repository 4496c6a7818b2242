"""The benchmarks, run at sizes that only show that they work. No time is asserted."""

import json
import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from tests.benchmarks import suite
from tests.benchmarks.base import Options
from tests.benchmarks.contestants import Recipe, make_trainer
from tests.benchmarks.data import blobs, documents
from tests.benchmarks.runner import ContestantError, Process
from tests.benchmarks.suite import grid

image = pytest.importorskip("matplotlib.image")

from tests.benchmarks.__main__ import main  # noqa: E402  draws with matplotlib

ROOT = Path(__file__).parents[1]

# Starting a process for each is what takes the time, and peers take the longest to import.
CONTESTANTS = {"floor", "skann", "sklearn"}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MPLBACKEND": "TkAgg"},  # one that would open a window must not matter
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Run all benchmarks once."""
    folder = tmp_path_factory.mktemp("benchmarks")
    result = run("--quick", "--rounds", 1, "--output", folder, "--contestants", *CONTESTANTS)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def expected_rows(benchmark):
    rows = [
        (case.name, name)
        for case in benchmark.cases(Options(quick=True))
        for name in case.contestants or benchmark.contestants
        if name in CONTESTANTS
    ]
    if benchmark.total:
        rows += [("total", name) for name in benchmark.contestants if name in CONTESTANTS]
    return rows


@pytest.mark.parametrize("name", suite.NAMES)
class TestQuickRun:
    def test_every_contestant_has_a_row_at_every_case(self, output, name):
        folder, table = output
        content = json.loads((folder / f"{name}.json").read_text())
        rows = [(row["case"], row["contestant"]) for row in content["rows"]]
        assert rows == expected_rows(suite.load(name))
        lines = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines()]
        for row in rows:
            assert list(row) in lines

    def test_accuracy_rides_along(self, output, name):
        folder, _ = output
        for row in json.loads((folder / f"{name}.json").read_text())["rows"]:
            accuracy = row["median"]["accuracy"]
            if row["contestant"] == "floor":
                assert accuracy is None
            else:
                assert 0 < accuracy <= 1

    def test_ratios_are_those_of_the_medians(self, output, name):
        folder, _ = output
        content = json.loads((folder / f"{name}.json").read_text())
        medians = {
            (row["case"], row["contestant"]): row["median"][content["measure"]]
            for row in content["rows"]
        }
        for row in content["rows"]:
            for reference, ratio in row["ratio_to"].items():
                value = medians[row["case"], row["contestant"]]
                assert ratio == pytest.approx(value / medians[row["case"], reference])

    def test_draws_a_chart(self, output, name):
        folder, _ = output
        picture = image.imread(folder / f"{name}.png")
        assert min(picture.shape[:2]) > 200
        assert np.ptp(picture[..., :3]) > 0.5
        svg = (folder / f"{name}.svg").read_text()
        assert suite.load(name).title in svg


def test_writes_nothing_else(output):
    folder, _ = output
    files = {path.name for path in folder.iterdir()}
    assert files == {f"{name}{end}" for name in suite.NAMES for end in (".json", ".svg", ".png")}


@pytest.mark.parametrize("name", ["skann, uint8", "skann, column-major int64"])
def test_other_layouts_learn_as_well(name):
    data = blobs(500, 5)
    X_train, X_test = (np.abs(np.tanh(X)) for X in (data.X_train, data.X_test))
    recipe = Recipe((8,), 50, learning_rate=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        training = make_trainer(name, data._replace(X_train=X_train, X_test=X_test), recipe).train(
            epochs=3, seed=0
        )
    assert len(training.ends) == 3
    assert training.accuracy > 0.1


def test_column_major_rows_give_scikit_learn_the_same_network():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        by_rows, by_columns = (
            make_trainer(name, blobs(500, 5), Recipe((8,), 50)).train(epochs=3, seed=0)
            for name in ("sklearn", "sklearn, column-major")
        )
    assert len(by_rows.ends) == len(by_columns.ends) == 3
    assert by_rows.accuracy == pytest.approx(by_columns.accuracy, abs=0.01)


def test_documents_are_as_sparse_as_asked():
    X = documents(500, 50_000, 80).X_train
    assert X.shape == (500, 50_000)
    assert 70 < X.nnz / 500 < 90


def test_lists_without_running(capsys):
    assert main(["--list", "epoch", "predict"]) == 0
    output = capsys.readouterr().out
    assert "hidden 128-64, batch 256" in output
    assert "10,000 rows" in output


def test_an_unknown_name_is_an_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["speed"])
    assert "no benchmark 'speed'; there are epoch," in capsys.readouterr().err


def test_a_contestant_that_fails_says_why():
    with Process("floor") as process, pytest.raises(ContestantError, match="ModuleNotFoundError"):
        process.ask(benchmark="speed", contestant="floor", folder="", settings={})


def test_the_grid_is_the_example_s(monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("rich")
    example = ROOT / "examples" / "mnist_grid.py"
    if not example.is_file():
        pytest.skip("the examples are not beside the tests")
    names = runpy.run_path(str(example))
    assert names["LAYERS"] == grid.LAYERS
    _, options = names["parse_options"]([])
    assert options.folds == grid.FOLDS
