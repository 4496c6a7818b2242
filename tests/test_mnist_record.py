"""The example that aims at the best accuracy on MNIST, run small."""

import re
import runpy
from pathlib import Path
from urllib.request import ProxyHandler, build_opener, install_opener

import pytest
import sklearn.datasets

EXAMPLE = Path(__file__).parent.parent / "examples" / "mnist_record.py"


@pytest.mark.parametrize("options", [[], ["--validate"], ["--augment", "--epochs", "10"]], ids=str)
def test_prints_every_accuracy_and_their_median(options, capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(["--data", "digits", "--seeds", "0", "1", "--epochs", "5", *options])
    data, *lines, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"8x8 digits: \d+ images to train on, \d+ to .*", data)
    accuracies = [float(re.search(r"accuracy (0\.\d+)", line)[1]) for line in lines]
    assert len(accuracies) == 2
    assert all(accuracy > 0.9 for accuracy in accuracies)
    assert float(last.split()[-1]) == pytest.approx(sum(accuracies) / 2, abs=1e-4)


@pytest.fixture
def no_mnist(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)


def test_says_so_when_the_images_are_not_those_of_mnist(no_mnist, capsys):
    runpy.run_path(str(EXAMPLE))["main"](["--seeds", "0", "--epochs", "1"])
    assert "Using scikit-learn's 8x8 digits instead." in capsys.readouterr().out


def test_ends_with_one_line_where_mnist_was_asked_for_and_cannot_be_had(no_mnist):
    with pytest.raises(
        SystemExit, match=r"error: MNIST cannot be loaded from OpenML \(no route to host\)"
    ):
        runpy.run_path(str(EXAMPLE))["main"](["--data", "mnist"])


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Let requests end at a port where nothing listens, and nothing be cached."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    install_opener(build_opener(ProxyHandler({"https": "http://127.0.0.1:9"})))
    yield
    install_opener(None)


def test_nothing_but_the_network_is_in_the_way_of_openml(no_network):
    with pytest.raises(SystemExit, match=r"from OpenML \(<urlopen error"):
        runpy.run_path(str(EXAMPLE))["main"](["--data", "mnist"])


@pytest.mark.parametrize("option", [["--epochs", "0"], ["--seeds", "1", "-1"]], ids=str)
def test_refuses_bad_numbers_before_it_loads_anything(option, no_mnist, capsys):
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(EXAMPLE))["main"](["--data", "mnist", *option])
    assert f"argument {option[0]}: must be" in capsys.readouterr().err
