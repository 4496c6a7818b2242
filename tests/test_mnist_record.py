"""The example that aims at the best accuracy on MNIST, run small."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "mnist_record.py"


@pytest.mark.parametrize("options", [[], ["--validate"]])
def test_prints_every_accuracy_and_their_median(options, capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(["--data", "digits", "--seeds", "0", "1", "--epochs", "5", *options])
    *lines, last = capsys.readouterr().out.splitlines()
    accuracies = [float(re.search(r"accuracy (0\.\d+)", line)[1]) for line in lines]
    assert len(accuracies) == 2
    assert all(accuracy > 0.9 for accuracy in accuracies)
    assert float(last.split()[-1]) == pytest.approx(sum(accuracies) / 2, abs=1e-4)
