"""The benchmarks, run at sizes that only show that they work. No time is asserted."""

import json
import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from urllib.request import ProxyHandler, build_opener, install_opener

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tests.benchmarks import panel_data, suite
from tests.benchmarks.base import CannotTakePartError, Options
from tests.benchmarks.contestants import CONTESTANTS as ALL_CONTESTANTS
from tests.benchmarks.contestants import Recipe, make_trainer
from tests.benchmarks.data import blobs, documents, read_images, write_images
from tests.benchmarks.runner import ContestantError, Process, Results, Row, Runner, totals
from tests.benchmarks.suite import grid, panel, time_to_accuracy
from tests.benchmarks.writing import replace_file

image = pytest.importorskip("matplotlib.image")

from tests.benchmarks import chart  # noqa: E402  draws with matplotlib
from tests.benchmarks.__main__ import main  # noqa: E402  imports the chart

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


class TestCharts:
    def text_of(self, name, rows, folder):
        results = Results(suite.load(name), "", rows, {}, failed=False)
        svg, _ = chart.save_chart(results, folder)
        return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())

    def bars(self, contestants, folder):
        rounds = [{"seconds": 0.2, "accuracy": 0.9}, {"seconds": 0.3, "accuracy": 0.9}]
        return self.text_of("epoch", [Row("a", name, {}, rounds) for name in contestants], folder)

    def test_contestants_have_the_names_of_their_projects(self, tmp_path):
        text = self.bars(["floor", "skann", "sklearn", "jax", "torch", "skorch"], tmp_path)
        names = {"skann", "scikit-learn MLPClassifier", "JAX", "PyTorch", "skorch"}
        assert names < set(text)

    def test_every_contestant_is_named_in_words(self):
        names = {chart._name(name) for name in ALL_CONTESTANTS.keys() - {"skann", "skorch"}}
        variants = {name for name in names if name.startswith("skann, ")}
        assert not (names - variants) & ALL_CONTESTANTS.keys()

    def test_variants_of_skann_are_left_out_unless_they_are_alone(self, tmp_path):
        variant = "skann, NumPy alone"
        assert variant not in self.bars(["skann", variant, "sklearn"], tmp_path)
        assert variant in self.bars([variant], tmp_path)

    def test_points_without_room_for_their_names_are_named_too(self, tmp_path):
        contestants = ["skann", "skann, strong", "skann, strongest", "xgboost", "realmlp", "jax"]
        rows = [
            Row(case, name, {}, [{"seconds": 1.0, "accuracy": 0.9, "log_loss": 0.3}])
            for name in contestants
            for case in ("a", "total")
        ]
        text = self.text_of("panel", rows, tmp_path)
        assert {chart._name(name) for name in contestants} <= set(text)

    @pytest.mark.parametrize("name", suite.NAMES)
    def test_says_which_direction_is_better(self, name, output):
        folder, _ = output
        assert "lower is better" in (folder / f"{name}.svg").read_text()


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


class TestTimeToAccuracy:
    @pytest.mark.parametrize("name", ["sklearn", "skorch"])
    def test_a_constant_rate_stops_when_it_is_good_enough(self, name):
        if name == "skorch":
            pytest.importorskip("skorch")
        trainer = make_trainer(name, blobs(2000, 5), Recipe((8,), 50))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            full = trainer.train(6, seed=0)
            target = trainer.train(3, seed=0).accuracy
            shorter = [trainer.train(epochs, seed=0).accuracy for epochs in (1, 2)]
            stopped = trainer.train(6, seed=0, target=target)
        assert max(shorter) < target == stopped.accuracy
        assert (len(stopped.ends), len(full.ends)) == (3, 6)
        assert stopped.seconds > 0

    def test_the_fewest_epochs_are_those_whose_median_is_enough(self):
        # Accuracies of the seeds 0, 1 and 2 by epochs.
        reached = {1: (0.9, 0.1, 0.1), 2: (0.1, 0.9, 0.1), 3: (0.9, 0.2, 0.8), 4: (1.0, 1.0, 1.0)}
        trainer = SimpleNamespace(
            train=lambda epochs, seed: SimpleNamespace(accuracy=reached[epochs][seed])
        )
        assert time_to_accuracy._fewest_epochs(trainer, 0.8, 3) == 3
        for epochs in range(1, 21):
            reached[epochs] = (0.8, 0.8, 0.8)
        with pytest.raises(CannotTakePartError, match=r"81.00% within 20 epochs"):
            time_to_accuracy._fewest_epochs(trainer, 0.81, 3)


def test_an_interrupted_run_leaves_the_cases_that_are_done(tmp_path, monkeypatch):
    (row,) = rows = [Row("iris", "skann", {}, [{"seconds": 1.0, "accuracy": 0.9}])]

    def run_case(self, case):
        if case.name != "iris":
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(Runner, "_run_case", run_case)
    with pytest.raises(KeyboardInterrupt):
        main(["small", "--quick", "--contestants", "skann", "--output", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]
    (found,) = json.loads((tmp_path / "small.json").read_text())["rows"]
    assert (found["case"], found["rounds"]) == (row.case, row.rounds)


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    replace_file(path, b"old")

    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_grid_is_the_example_s(monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("rich")
    example = ROOT / "examples" / "mnist_grid.py"
    if not example.is_file():
        pytest.skip("the examples are not beside the tests")
    names = runpy.run_path(str(example))
    monkeypatch.setattr(sys, "argv", ["mnist_grid.py", "--output", str(tmp_path)])
    options = names["read_options"]()
    assert sorted(options.layers) == sorted(grid.LAYERS)
    assert options.folds == grid.FOLDS


needs_baseline = pytest.mark.skipif(
    not (panel_data.BESIDE / "baseline.json").is_file(),
    reason="the panel's baseline is not beside the checkout",
)


class TestPanel:
    @pytest.mark.parametrize("contestant", panel.BENCHMARK.contestants)
    def test_every_contestant_learns(self, contestant, tmp_path):
        for package in ALL_CONTESTANTS[contestant].packages:
            pytest.importorskip(package)
        options = Options(quick=True)
        panel_data.write_sets(tmp_path, options)
        case = panel.BENCHMARK.cases(options)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            turn = panel.BENCHMARK.prepare(contestant, tmp_path, **case.settings)
            measures = [turn(seed) for seed in (0, 1)]
        # Either first set has equal classes, of which there are three or four.
        assert min(m["accuracy"] for m in measures) > 0.4
        assert measures[0]["log_loss"] != measures[1]["log_loss"]

    def test_quality_is_what_scikit_learn_measures(self):
        data = blobs(300, 5, n_classes=3)
        data = data._replace(y_train=data.y_train + 7, y_test=data.y_test + 7)
        classifier = LogisticRegression().fit(data.X_train, data.y_train)
        probabilities = classifier.predict_proba(data.X_test)
        top = probabilities.max(axis=1)
        right = classifier.predict(data.X_test) == data.y_test
        shares, means = calibration_curve(right, top, n_bins=15)
        counts, _ = np.histogram(top, 15, (0, 1))
        error = np.average(np.abs(shares - means), weights=counts[counts > 0])
        assert panel.quality(classifier, data) == pytest.approx(
            {
                "accuracy": classifier.score(data.X_test, data.y_test),
                "log_loss": log_loss(data.y_test, probabilities),
                "calibration_error": error,
            }
        )

    def test_calibration_error_counts_by_bins(self):
        top = np.array([1.0, 1.0, 0.6, 0.61, 0.65])
        right = np.array([True, False, True, True, False])
        # 0.6 is the upper end of its bin; 0.61 and 0.65 share the next one.
        expected = (abs(1 - 2) + abs(1 - 0.6) + abs(1 - 1.26)) / 5
        assert panel.calibration_error(top, right) == pytest.approx(expected)

    def test_splits_are_capped_stratified_and_standardised(self, tmp_path):
        X, y = make_classification(2000, weights=[0.9], shift=3.0, scale=5.0, random_state=0)
        np.savez(tmp_path / "skewed.npz", X=X, y=y)
        split, other = (panel_data.read_split(tmp_path, "skewed", 1000, seed) for seed in (0, 1))
        assert (len(split.y_train), len(split.y_test)) == (700, 300)
        np.testing.assert_allclose(split.y_train.mean(), y.mean(), atol=2e-3)
        np.testing.assert_allclose(split.y_test.mean(), y.mean(), atol=2e-3)
        assert split.X_train.dtype == split.X_test.dtype == np.float32
        np.testing.assert_allclose(split.X_train.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(split.X_train.std(axis=0), 1, atol=1e-5)
        assert np.abs(split.X_test.mean(axis=0)).max() > 1e-3
        assert not np.array_equal(split.X_train, other.X_train)

    @needs_baseline
    def test_the_sets_and_the_protocol_are_those_of_the_baseline(self, tmp_path):
        baseline = json.loads((panel_data.BESIDE / "baseline.json").read_text())
        assert set(panel_data.NAMES) == set(baseline)
        panel_data.write_sets(tmp_path, Options())
        for name, results in baseline.items():
            split = panel_data.read_split(tmp_path, name, 10_000, seed=0)
            n_classes = len(np.unique(split.y_train))
            expected = tuple(results[0][key] for key in ("n", "d", "k"))
            assert (*split.X_train.shape, n_classes) == expected
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            turn = panel.BENCHMARK.prepare("sklearn", tmp_path, "vehicle", 10_000)
            for result in baseline["vehicle"]:
                measures = turn(result["seed"])
                assert measures["accuracy"] == pytest.approx(result["acc"], abs=0.01)
                assert measures["log_loss"] == pytest.approx(result["ll"], abs=0.01)

    def test_without_the_data_it_is_left_out(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(panel_data, "BESIDE", tmp_path / "nowhere")
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
        assert main(["panel", "--output", str(tmp_path / "output")]) == 0
        assert "panel: left out: its data sets are not there" in capsys.readouterr().out
        assert not list((tmp_path / "output").iterdir())

    def test_without_the_data_a_quick_run_takes_embedded_sets(self, tmp_path, monkeypatch):
        monkeypatch.setattr(panel_data, "BESIDE", tmp_path / "nowhere")
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
        options = Options(quick=True)
        assert "embedded" in panel_data.write_sets(tmp_path, options)
        for case in panel.BENCHMARK.cases(options):
            split = panel_data.read_split(tmp_path, **case.settings, seed=0)
            assert len(split.y_train) == 70


@pytest.mark.filterwarnings("ignore:A network error occurred")
def test_images_are_asked_of_openml_and_it_is_said_what_they_are_instead(monkeypatch, tmp_path):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    # Nothing but the network is in the way: where nothing listens.
    install_opener(build_opener(ProxyHandler({"https": "http://127.0.0.1:9"})))
    try:
        text = write_images(tmp_path, Options(quick=False))
    finally:
        install_opener(None)
    assert text.startswith("MNIST cannot be loaded (<urlopen error")
    assert text.endswith("): 8x8 digits, 1437x64 uint8.")
    images = read_images(tmp_path)
    assert [len(part) for part in images] == [1437, 1437, 360, 360]
    assert images.X_train.dtype == np.uint8


def test_totals_add_seconds_and_average_the_rest():
    first = [{"seconds": 1.0, "accuracy": 0.5}, {"seconds": 2.0, "accuracy": 0.6}]
    second = [{"seconds": 3.0, "accuracy": 1.0}, {"seconds": 5.0, "accuracy": 0.8}]
    rows = [Row("a", "skann", {}, first), Row("b", "skann", {}, second)]
    (total,) = totals([*rows, Row("a", "fails at b", {}, first)])
    assert (total.case, total.contestant) == ("total", "skann")
    assert total.rounds[0] == pytest.approx({"seconds": 4.0, "accuracy": 0.75})
    assert total.rounds[1] == pytest.approx({"seconds": 7.0, "accuracy": 0.7})
