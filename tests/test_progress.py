"""The progress of searches: what is counted, what is shown, and what never breaks."""

import io
import os
import pickle
import re
import select
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import AutoPropagatedCallback, FitCallback
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("rich")

from rich.console import Console

from skann import ANNClassifier, progress
from skann.progress import SearchProgress

SIZES = "annclassifier__hidden_layer_sizes"


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture
def lines_at_once(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)


def pipeline(**params):
    return make_pipeline(StandardScaler(), ANNClassifier(max_iter=3, random_state=0, **params))


def grid_search(n_jobs, **params):
    return GridSearchCV(pipeline(), {SIZES: [4, (5, 3)]}, cv=3, n_jobs=n_jobs, **params)


def without_times(text):
    return re.sub(r" \(\d+:\d\d\)$", "", text, flags=re.MULTILINE).splitlines()


def test_follows_the_protocols_of_scikit_learn():
    callback = SearchProgress()
    assert isinstance(callback, FitCallback)
    assert isinstance(callback, AutoPropagatedCallback)
    assert callback.max_propagation_depth is None


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_lines_count_every_fit_and_epoch(data, capsys, lines_at_once, n_jobs):
    grid_search(n_jobs).set_callbacks(SearchProgress()).fit(*data)
    lines = without_times(capsys.readouterr().out)
    counts = [int(line.split()[1]) for line in lines if line.startswith("search")]
    assert counts == list(range(7))
    assert "search: 6 of 6 fits" in lines
    assert [line for line in lines if line.startswith("refit")][-1].endswith("3 of 3 epochs")


def test_lines_are_few(data, capsys):
    grid_search(1).set_callbacks(SearchProgress()).fit(*data)
    lines = without_times(capsys.readouterr().out)
    assert lines[0] == "search: 6 of 6 fits"
    assert len(lines) == 2


@pytest.mark.parametrize("estimator", [pipeline(), ANNClassifier((4, 2), max_iter=3)])
def test_one_fit_without_a_search(data, capsys, lines_at_once, estimator):
    estimator.set_callbacks(SearchProgress()).fit(*data)
    lines = without_times(capsys.readouterr().out)
    assert [line.split(": ")[1] for line in lines] == [f"{n} of 3 epochs" for n in (1, 2, 3)]
    assert all(line.startswith("fit, layers ") for line in lines)


def test_rounds_of_a_halving_search_add_up(data, capsys, lines_at_once):
    search = HalvingGridSearchCV(
        pipeline(), {SIZES: [2, 3, 4, 5]}, cv=2, factor=2, min_resources=40, refit=False
    )
    search.set_callbacks(SearchProgress()).fit(*data)
    n_fits = 2 * sum(search.n_candidates_)
    assert without_times(capsys.readouterr().out)[-1] == f"search: {n_fits} of {n_fits} fits"


class Failing(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise ValueError("no")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:.*(does not support callbacks|non-finite):UserWarning")
def test_failed_fits_count_as_done(data, capsys, lines_at_once):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ANNClassifier(max_iter=2)),
        {"annclassifier": [Failing(), ANNClassifier((3,), max_iter=2)]},
        cv=2,
        refit=False,
    )
    search.set_callbacks(SearchProgress()).fit(*data)
    counts = [line.split()[1] for line in without_times(capsys.readouterr().out)]
    assert counts == ["0", "1", "2", "3", "4"]


def test_an_error_closes_the_display_and_is_raised(data):
    X, y = data
    search = grid_search(1, error_score="raise").set_callbacks(SearchProgress())
    search.estimator.set_params(annclassifier__alpha=-1)
    with pytest.raises(ValueError, match="alpha"):
        search.fit(X, y)
    assert not progress._runs


def test_one_callback_serves_several_fits_and_is_pickled_after(data, capsys):
    callback = SearchProgress()
    first, second = (pipeline().set_callbacks(callback) for _ in range(2))
    threads = [threading.Thread(target=model.fit, args=data) for model in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().out.count("3 of 3 epochs") == 2
    assert pickle.loads(pickle.dumps(first)).predict(data[0]).shape == data[1].shape


def test_set_up_in_workers_it_still_works(data):
    model = pipeline().set_callbacks(SearchProgress())
    assert np.isfinite(cross_val_score(model, *data, cv=2, n_jobs=2)).all()


def test_no_thread_stays_behind(data):
    grid_search(1).set_callbacks(SearchProgress()).fit(*data)
    for _ in range(100):
        if not any(thread.name == "search-progress" for thread in threading.enumerate()):
            return
        time.sleep(0.05)
    pytest.fail("the thread that listens to workers is still there")


def test_a_worker_goes_on_when_no_one_listens():
    nowhere = progress._Address(pid=-1, socket="/nowhere", key=b"key")
    progress._send(nowhere, ("search_ended", ()))


def test_a_closed_pipe_does_not_stop_a_fit(data, monkeypatch, lines_at_once):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    grid_search(1).set_callbacks(SearchProgress()).fit(*data)


def test_says_what_to_install_without_rich(monkeypatch):
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"python -m pip install rich$"):
        SearchProgress()


def test_importing_the_callbacks_needs_no_rich():
    code = "import sys; sys.modules['rich'] = None; import skann.progress"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("height", [24, 10, 3])
def test_bars_fit_the_terminal(height):
    bars = object.__new__(progress._Bars)
    bars._board = board = progress._Board()
    board.search_began(100)
    for worker in range(64):
        board.fit_began((worker, 0), worker)
        board.epoch_ended((worker, 0), "fit", "layers 512, 256", 3, 10)
    console = Console(file=io.StringIO(), width=80, height=height)
    console.print(bars.table(height))
    rows = console.file.getvalue().rstrip().splitlines()
    shown = sum(" fit " in row for row in rows)
    assert len(rows) <= max(height, 3)
    assert rows[0].startswith("search")
    assert rows[-1].strip() == f"and {64 - shown} more"


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

ON_A_TERMINAL = """
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skann import ANNClassifier
from skann.progress import SearchProgress

if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(400, 4))
    pipeline = make_pipeline(StandardScaler(), ANNClassifier(max_iter={epochs}))
    grid = dict(annclassifier__hidden_layer_sizes=[8, 16])
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs={n_jobs}, refit=False)
    search.set_callbacks(SearchProgress()).fit(X, X[:, 0] > 0)
"""


def run_on_a_terminal(code, tmp_path, ctrl_c_after=None):
    """Run code on a terminal of 24 rows, and return what it wrote there."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "LINES": "24", "COLUMNS": "80"},
        # Makes the terminal the controlling one, so that a typed Ctrl-C becomes a signal.
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(follower)
    written = b""
    while True:
        ready, _, _ = select.select([leader], [], [], 60)
        try:
            chunk = os.read(leader, 65536) if ready else b""
        except OSError:  # how Linux says that the other end is closed
            chunk = b""
        if not chunk:
            break
        written += chunk
        if ctrl_c_after is not None and ctrl_c_after in written.decode(errors="replace"):
            ctrl_c_after = None
            os.write(leader, b"\x03")
    os.close(leader)
    process.wait()
    return written.decode(errors="replace")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_draws_bars_on_a_terminal(tmp_path, n_jobs):
    text = run_on_a_terminal(ON_A_TERMINAL.format(epochs=1000, n_jobs=n_jobs), tmp_path)
    assert "4 of 4 fits" in text
    assert "of 1000 epochs" in text
    assert text.count(HIDE_CURSOR) == text.count(SHOW_CURSOR) == 1


def test_shows_the_cursor_again_after_ctrl_c(tmp_path):
    code = ON_A_TERMINAL.format(epochs=10**6, n_jobs=2)
    text = run_on_a_terminal(code, tmp_path, ctrl_c_after="epochs")
    assert text.count(HIDE_CURSOR) == text.count(SHOW_CURSOR) == 1
