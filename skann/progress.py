"""Progress of a search and of the fits within it, on a terminal or as plain lines."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Client, Connection, Listener
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from sklearn.callback import CallbackContext

LINE_SECONDS = 5.0  # between two lines where the output is not a terminal
REFRESHES_PER_SECOND = 8.0


class SearchProgress:
    """Show how far a search is, and each fit that is running, epoch by epoch.

    On a terminal there is one bar for the search and one for each fit that is running at the
    moment, in this process or in a worker; where they are too many for the height of the
    terminal, the rest is counted. Where the output is not a terminal, there is a plain line
    every few seconds. It serves as well to watch a single fit.

    scikit-learn's own `sklearn.callback.ProgressBar` shows no epochs below a `Pipeline` by default,
    and with ``max_propagation_depth=None`` it keeps a bar for every fit that has ever run.

    Raises
    ------
    ImportError
        If rich is not installed.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skann import ANNClassifier
    >>> from skann.callbacks import SearchProgress
    >>> pipeline = make_pipeline(StandardScaler(), ANNClassifier())
    >>> grid = {"annclassifier__hidden_layer_sizes": [64, 128]}
    >>> search = GridSearchCV(pipeline, grid, n_jobs=2).set_callbacks(SearchProgress())
    """

    # scikit-learn's protocol: hand this callback down to estimators at any depth.
    max_propagation_depth = None

    def __init__(self) -> None:
        if find_spec("rich") is None:
            raise ImportError(
                "SearchProgress draws with rich, which is not installed. Install it with:"
                " python -m pip install rich"
            )
        # One per running fit, as one callback may serve several; pickled along to the workers.
        self._addresses: dict[UUID, _Address] = {}

    def setup(self, estimator: Any, context: CallbackContext) -> None:
        """Open the display; called before the outermost fit."""
        self._addresses[context.root_uuid] = _Run.start().address

    def teardown(self, estimator: Any, context: CallbackContext) -> None:
        """Close the display; called after the outermost fit, also if it failed."""
        address = self._addresses.pop(context.root_uuid, None)
        if address is not None:
            _runs.pop(address).stop()

    def on_fit_task_begin(self, estimator: Any, context: CallbackContext) -> None:
        """Note that a search or one of its fits begins."""
        if _is_search(context):
            self._tell(context, "search_began", context.max_subtasks)
        elif _is_fit_of_search(context):
            self._tell(context, "fit_began", _worker(), context.task_id)

    def on_fit_task_end(self, estimator: Any, context: CallbackContext) -> None:
        """Note that an epoch, a fit of a search or a search has ended."""
        if context.task_name == "epoch":
            self._tell(
                context,
                "epoch_ended",
                _worker(),
                _title(context),
                _label(estimator),
                context.task_id + 1,
                context.parent.max_subtasks,
            )
        elif _is_search(context):
            self._tell(context, "search_ended")
        elif _is_fit_of_search(context):
            self._tell(context, "fit_ended", _worker())

    def _tell(self, context: CallbackContext, event: str, *values: Any) -> None:
        address = self._addresses.get(context.root_uuid)
        if address is not None:
            _send(address, (event, values))


# What the tasks of scikit-learn's callbacks mean here ------------------------------------------


def _is_search(context: CallbackContext) -> bool:
    """Whether the task runs fits side by side, as each round of a search does."""
    return bool(context.max_subtasks) and not context.sequential_subtasks


def _is_fit_of_search(context: CallbackContext) -> bool:
    return context.parent is not None and _is_search(context.parent)


def _title(context: CallbackContext) -> str:
    """Tell the last fit of a search, of the best on all the data, from any other."""
    sources = (task.source_task_name or "" for task in _ancestors(context))
    return "refit" if any(name.startswith("refit") for name in sources) else "fit"


def _label(estimator: Any) -> str:
    """Say what is fitted in a few words, such as "layers 128, 64"."""
    sizes = getattr(estimator, "hidden_layer_sizes", None)
    if sizes is None:
        return type(estimator).__name__
    sizes = [sizes] if isinstance(sizes, Integral) else sizes
    return "layers " + (", ".join(str(size) for size in sizes) or "none")


def _ancestors(context: CallbackContext) -> Iterator[CallbackContext]:
    while context is not None:
        yield context
        context = context.parent


def _worker() -> tuple[int, int]:
    """Return who is calling. A worker runs one fit at a time, so this names a running fit."""
    return os.getpid(), threading.get_ident()


# What is going on -------------------------------------------------------------------------------


@dataclass
class _Fit:
    """A fit that is running."""

    title: str
    number: int | None = None  # within the search, from 1; None outside one
    label: str = ""
    epochs: int = 0
    max_epochs: int | None = None

    @property
    def fraction(self) -> float:
        return self.epochs / self.max_epochs if self.max_epochs else 0.0

    @property
    def progress(self) -> str:
        if not self.epochs:
            return "starting"
        of_all = f" of {self.max_epochs}" if self.max_epochs else ""
        return f"{self.epochs}{of_all} epochs"


class _Board:
    """The state of one run: written to by events, from any thread, and read by a display."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.began = time.monotonic()
        self.n_fits = 0
        self.n_done = 0
        self.running: dict[tuple[int, int], _Fit] = {}
        self._n_earlier = 0  # fits in the rounds of a halving search that are over

    def search_began(self, n_fits: int) -> None:
        self._n_earlier = self.n_fits
        self.n_fits += n_fits

    def search_ended(self) -> None:
        self.n_done = self.n_fits
        self.running.clear()

    def fit_began(self, worker: tuple[int, int], task_id: int) -> None:
        self.fit_ended(worker)  # scikit-learn does not report the end of a fit that failed
        number = self._n_earlier + task_id + 1
        self.running[worker] = _Fit(f"fit {number}", number)

    def fit_ended(self, worker: tuple[int, int]) -> None:
        if self.running.pop(worker, None) is not None:
            self.n_done += 1

    def epoch_ended(
        self,
        worker: tuple[int, int],
        title: str,
        label: str,
        epochs: int,
        max_epochs: int | None,
    ) -> None:
        fit = self.running.setdefault(worker, _Fit(title))
        fit.label, fit.epochs, fit.max_epochs = label, epochs, max_epochs

    @property
    def progress(self) -> float:
        """The number of fits done, with fractions for those that are running."""
        numbered = (fit.fraction for fit in self.running.values() if fit.number is not None)
        return self.n_done + sum(numbered)

    @property
    def seconds(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes}:{seconds:02d}"


# How it is shown --------------------------------------------------------------------------------


class _Display(Protocol):
    def update(self, event: str) -> None: ...

    def stop(self) -> None: ...


class _Lines:
    """A plain line now and then."""

    def __init__(self, board: _Board) -> None:
        self._board = board
        self._told_at = board.began
        self._told = ""

    def update(self, event: str) -> None:
        if event == "search_ended" or time.monotonic() - self._told_at >= LINE_SECONDS:
            self._print()

    def stop(self) -> None:
        self._print()

    def _print(self) -> None:
        text = self._text()
        if text and text != self._told:
            with suppress(OSError):  # no one reads on: that is no reason to stop a fit
                print(f"{text} ({self._board.seconds})", flush=True)
        self._told, self._told_at = text, time.monotonic()

    def _text(self) -> str:
        board = self._board
        for fit in board.running.values():
            if fit.number is None:  # the refit, or a fit outside any search
                return f"{fit.title}, {fit.label}: {fit.progress}"
        return f"search: {board.n_done} of {board.n_fits} fits" if board.n_fits else ""


class _Bars:
    """Bars on a terminal, redrawn from the board a few times a second by a thread of rich."""

    def __init__(self, board: _Board, console: Console) -> None:
        from rich.live import Live

        self._board = board
        self._live = Live(
            self,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stderr=sys.stderr.isatty(),  # warnings go above the bars, if not to a file
        )
        try:
            self._live.start()
        except BaseException:  # Ctrl-C at this very moment, say
            self.stop()
            raise

    def update(self, event: str) -> None:
        """Leave the drawing to the thread."""

    def stop(self) -> None:
        try:
            self._live.stop()  # draws once more and shows the cursor again
        finally:
            _terminal.release()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Answer rich, which asks this each time it draws."""
        yield self.table(console.height)

    def table(self, height: int) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        table.add_column(min_width=8)
        table.add_column(min_width=20)  # the bars should not jump from one setting to the next
        with self._board.lock:
            self._add_search(table)
            fits = sorted(self._board.running.values(), key=lambda fit: fit.number or 0)
            room = max(height - 4, 1)  # one line each: the search, "more", the prompt, and to spare
            for fit in fits[:room]:
                table.add_row(f"  {fit.title}", fit.label, _bar(fit.fraction), fit.progress)
            if len(fits) > room:
                table.add_row(f"  and {len(fits) - room} more")
        return table

    def _add_search(self, table: Table) -> None:
        board = self._board
        if board.n_fits:
            done = f"{board.n_done} of {board.n_fits} fits"
            bar = _bar(board.progress / board.n_fits)
            table.add_row("search", board.seconds, bar, done)


def _bar(fraction: float) -> Any:
    from rich.progress_bar import ProgressBar

    return ProgressBar(
        total=1.0, completed=fraction, width=30, complete_style="cyan", finished_style="green"
    )


_terminal = threading.Lock()  # held by the bars on it, as a terminal has room for one set


def _open_display(board: _Board) -> _Display:
    """Draw bars if this process has a terminal to itself, else write lines."""
    from rich.console import Console

    console = Console()
    has_bars = console.is_terminal and not console.is_dumb_terminal
    is_worker = multiprocessing.parent_process() is not None  # others draw on the same terminal
    if has_bars and not is_worker and _terminal.acquire(blocking=False):
        return _Bars(board, console)
    return _Lines(board)


# From the workers to the display ----------------------------------------------------------------

# What happens to a connection when the process on the other side ends.
_GONE = (OSError, EOFError, multiprocessing.AuthenticationError)


class _Address(NamedTuple):
    """Where the events of a run go: a picklable name for a `_Run`."""

    pid: int
    socket: Any
    key: bytes


class _Run:
    """A board, its display, and the listener through which workers write to it."""

    @classmethod
    def start(cls) -> _Run:
        run = cls()
        _runs[run.address] = run
        return run

    def __init__(self) -> None:
        self._board = _Board()
        key = os.urandom(32)
        self._listener = Listener(authkey=key, backlog=128)
        self.address = _Address(os.getpid(), self._listener.address, key)
        self._stopped = False
        try:
            self._display = _open_display(self._board)
        except BaseException:
            self._listener.close()
            raise
        threading.Thread(target=self._accept, name="search-progress", daemon=True).start()

    def take(self, message: tuple[str, tuple[Any, ...]]) -> None:
        event, values = message
        with self._board.lock:
            if not self._stopped:
                getattr(self._board, event)(*values)
                self._display.update(event)

    def stop(self) -> None:
        with self._board.lock:
            self._stopped = True
        # Closing a socket does not wake the thread that waits on it; a call does, and then that
        # thread closes it. Not from here, so that nothing on the other side can hold up a fit.
        threading.Thread(target=self._wake, daemon=True).start()
        self._display.stop()

    def _wake(self) -> None:
        with suppress(*_GONE):
            Client(self.address.socket, authkey=self.address.key).close()

    def _accept(self) -> None:
        with self._listener:
            while not self._stopped:
                with suppress(*_GONE):
                    connection = self._listener.accept()
                    threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with connection, suppress(*_GONE):
            while True:
                self.take(connection.recv())
                connection.send(None)  # so that the last events arrive before the fit returns


_runs: dict[_Address, _Run] = {}  # of this process

# A worker's line to the process that shows its progress. Kept for the next fit, which comes with a
# fresh copy of the callback.
_line: tuple[_Address, Connection] | None = None
_line_lock = threading.Lock()


def _send(address: _Address, message: tuple[str, tuple[Any, ...]]) -> None:
    """Deliver an event. If the other side is gone, a fit goes on without being watched."""
    if address.pid == os.getpid():
        run = _runs.get(address)
        if run is not None:
            run.take(message)
    else:
        with _line_lock, suppress(*_GONE):
            _call(address, message)


def _call(address: _Address, message: tuple[str, tuple[Any, ...]]) -> None:
    global _line
    if _line is None or _line[0] != address:
        _line = (address, Client(address.socket, authkey=address.key))
    connection = _line[1]
    connection.send(message)
    connection.recv()
