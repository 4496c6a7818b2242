"""The examples of the gallery run, and what their texts say is so."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

plt = pytest.importorskip("matplotlib.pyplot")

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = {path.stem for path in EXAMPLES.glob("plot_*.py")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not beside the tests"),
]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a script of the gallery as it stands; return its variables."""

    def run_script(name):
        # On busy cores, threads of BLAS and of boosted trees that wait for each other turn seconds
        # into minutes.
        with threadpool_limits(1):
            return runpy.run_path(str(EXAMPLES / f"{name}.py"))

    backend = plt.get_backend()
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)  # Agg warns that it has no window.
    monkeypatch.chdir(tmp_path)
    yield run_script
    assert plt.get_fignums(), "the script draws nothing"
    assert not any(tmp_path.iterdir()), "the script leaves files behind"
    plt.close("all")
    plt.switch_backend(backend)


def test_every_script_is_tested():
    tests = {name for name in globals() if name.startswith("test_")}
    tests -= {"test_every_script_is_tested", "test_the_index_lists_every_page_with_its_picture"}
    assert {name.replace("test_", "plot_", 1) for name in tests} == SCRIPTS


def test_the_index_lists_every_page_with_its_picture():
    index = (EXAMPLES / "index.rst").read_text()
    pictures = re.findall(r"^    \.\./examples/(\w+)\.py$", index, re.MULTILINE)
    pages = re.findall(r"^    (\w+)$", index, re.MULTILINE)
    assert pictures == pages
    assert sorted(pages) == sorted(SCRIPTS | {"mnist_grid"})


def test_compare_mlp(run):
    script = run("plot_compare_mlp")
    ours, theirs = script["results"].values()
    for here, there in zip(ours, theirs, strict=True):
        accuracies = here["test_accuracy"], there["test_accuracy"]
        assert abs(np.mean(accuracies[0]) - np.mean(accuracies[1])) < max(map(np.ptp, accuracies))
    assert script["unconverged"]["skann"] == 0
    assert script["unconverged"]["MLPClassifier"] > 0
    log_loss = {
        data: [-scores["test_neg_log_loss"].mean() for scores in (here, there)]
        for data, here, there in zip(script["DATA_SETS"], ours, theirs, strict=True)
    }
    assert sum(here > there for here, there in log_loss.values()) >= 3
    assert log_loss["breast cancer"][0] < log_loss["breast cancer"][1]


def test_imbalanced(run):
    script = run("plot_imbalanced")
    recall, precision, balanced = np.transpose(list(script["scores"].values()))
    assert (recall[1:] > 2 * recall[0]).all()  # Both ways find more of the rare rows,
    assert (precision[1:] < precision[0] / 2).all()  # with false alarms,
    assert (balanced[1:] > balanced[0] + 0.1).all()
    plain, weighted = script["mean_probability"].values()
    assert plain == pytest.approx(script["share"], abs=0.03)
    assert weighted > 4 * script["share"]


def test_tables(run):
    script = run("plot_tables")
    losses = dict(zip(script["models"], script["losses"], strict=True))
    assert losses["network, penalty chosen"] < losses["network"] - 0.05
    assert losses["network, penalty chosen"] < losses["trees, rate chosen"] + 0.01
    assert min(script["accuracies"]) > 0.74
    assert script["network"].predict_proba(script["traveller"]).shape == (1, 2)


def test_embeddings(run):
    script = run("plot_embeddings")
    plain, periodic, piecewise = script["accuracy"].values()
    assert plain < 0.7
    assert min(periodic, piecewise) > 0.95
    means = {key: losses.mean() for key, losses in script["losses"].items()}
    gains = {(data, name): means[data, "defaults"] - mean for (data, name), mean in means.items()}
    spread = np.ptp(script["losses"]["digits", "defaults"])
    assert 0.005 < gains["digits", "five members"] < spread
    assert all(gains["breast cancer", name] < 0.003 for name in script["SETTINGS"])


def test_calibration(run):
    script = run("plot_calibration")
    assert script["same_labels"]
    assert script["losses"]["after"] < 0.8 * script["losses"]["before"]


def test_callbacks(run):
    pytest.importorskip("rich")
    script = run("plot_callbacks")
    assert script["resumed"] == script["undisturbed"]
    recalls = np.array(script["recorder"].recalls)
    assert recalls.shape == (30, 10)
    assert recalls[0].min() < 0.5 < recalls[0].max()  # Some digits are read early, others late.
    assert recalls[-1].min() > 0.7


def test_streaming(run):
    script = run("plot_streaming")
    rows_seen, accuracy = np.transpose(script["shuffled"])
    forgetful = np.transpose(script["by_photograph"])[1]
    n_bytes = np.prod(script["shape"])
    assert rows_seen[-1] <= script["shape"][0]
    assert script["peak"] < n_bytes / 2
    assert accuracy[-1] > 0.85
    assert forgetful[-1] < accuracy[-1] - 0.1
    assert script["accuracy_of_fit"] > accuracy[-1]
    assert not script["path"].exists()


def test_sparse_text(run):
    script = run("plot_sparse_text")
    most_frequent = max(np.unique(script["y_test"], return_counts=True)[1])
    assert script["accuracy"] > 1.5 * most_frequent / len(script["y_test"])
    assert script["filled"] < 0.05
    guesses = script["model"].predict(["convolve", "hessian", "gamma"])
    assert guesses.tolist() == ["signal", "optimize", "special"]
    for subject, words in script["surest"].items():
        assert subject in script["model"].predict(words)


def test_optuna(run):
    pytest.importorskip("optuna")
    script = run("plot_optuna")
    assert 5 <= len(script["pruned"]) < 30
    assert script["epochs_run"] < 0.9 * 30 * script["EPOCHS"]
    assert script["test_accuracy"] > 0.95


def test_training_curves(run):
    script = run("plot_training_curves")
    overfits, smoothed, defaults = script["losses"].values()
    assert overfits[-1] > 1.5 * min(overfits)
    assert max(smoothed[-1], defaults[-1]) < overfits[-1]
    assert script["best"]["epoch"] < script["stopped"].n_iter_ < 200


def test_digits(run):
    script = run("plot_digits")
    layers = list(script["search"].best_params_.values())
    assert layers[0] in script["layers"][2:]
    assert 0 < script["mistakes"].n_wrong_ < 0.05 * len(script["y_test"])


def test_augmentation(run):
    script = run("plot_augmentation")
    plain, moved = (
        {label: np.array(script["accuracy"][name, label]) for label in script["DISTORTIONS"]}
        for name in script["networks"]
    )
    for label in plain:
        assert moved[label].mean() > plain[label].mean() + 0.15
        assert (moved[label] >= plain[label]).all()
