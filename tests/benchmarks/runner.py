"""Runs a benchmark: a process for every contestant, one running at a time, round by round."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.benchmarks.base import Benchmark, CannotTakePartError, Case, Measures, Options
from tests.benchmarks.contestants import CONTESTANTS

_ROOT = Path(__file__).parents[2]


class ContestantError(RuntimeError):
    """A contestant cannot go on; the message says why."""


class Row(NamedTuple):
    """What a contestant measured at a case.

    Attributes
    ----------
    case, contestant : str
        Names.
    settings : dict
        Of the case.
    rounds : list of dict
        Measures of each round.
    """

    case: str
    contestant: str
    settings: dict[str, Any]
    rounds: list[Measures]


class Results(NamedTuple):
    """What came of a benchmark.

    Attributes
    ----------
    benchmark : Benchmark
        Which.
    data : str
        What the data was.
    rows : list of Row
        In the order of the table.
    left_out : dict of str to str
        Who does not take part, everywhere or at a case, and why.
    failed : bool
        Whether any of them was installed and failed.
    """

    benchmark: Benchmark
    data: str
    rows: list[Row]
    left_out: dict[str, str]
    failed: bool


class Process:
    """The process of a contestant, started at once and alive until closed.

    Parameters
    ----------
    contestant : str
        Its name.
    """

    def __init__(self, contestant: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker"],
            cwd=_ROOT,
            env={
                **os.environ,
                "PYTHONWARNINGS": "ignore",  # in processes that it starts as well
                **CONTESTANTS[contestant].environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, **request: Any) -> Measures:
        """Send a request and wait for the answer.

        Raises
        ------
        ContestantError
            If it fails or the process ends.
        CannotTakePartError
            If it has a reason not to take part.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContestantError(f"its process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "left_out" in answer:
            raise CannotTakePartError(answer["left_out"])
        if "error" in answer:
            raise ContestantError(answer["error"])
        return answer


class Processes:
    """The processes of contestants, started as they are needed and closed together."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._by_name: dict[str, Process] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Process:
        return self._by_name[name]

    def start(self, names: Sequence[str]) -> None:
        """Start those that are not running, all at once: nothing is measured yet."""
        for name in names:
            if name not in self._by_name:
                self._by_name[name] = self._stack.enter_context(Process(name))


class Runner:
    """Runs one benchmark.

    Parameters
    ----------
    benchmark : Benchmark
        Which.
    options : Options
        Of its cases.
    rounds : int
        How many.
    contestants : sequence of str
        Of these, those that the benchmark has and that are installed take part.
    only : sequence of str
        Cases whose names contain one of these.
    processes : Processes
        Where contestants run, unless the benchmark wants new ones for every turn.
    say : callable
        Gets a line now and then about what is going on.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        options: Options,
        rounds: int,
        contestants: Sequence[str],
        only: Sequence[str],
        processes: Processes,
        say: Callable[[str], None],
    ) -> None:
        self._benchmark = benchmark
        self._options = options
        self._n_rounds = rounds
        self._processes = processes
        self._say = say
        self._cases = [
            case for case in benchmark.cases(options) if any(text in case.name for text in only)
        ]
        self._failed = False
        self._left_out: dict[str, str] = {}
        self._names = [name for name in benchmark.contestants if name in contestants]
        for name in self._names:
            if missing := CONTESTANTS[name].missing():
                self._left_out[name] = f"{' and '.join(missing)} not installed"
        self._names = [name for name in self._names if name not in self._left_out]

    def run(self, after_case: Callable[[Results], object]) -> Results:
        """Run all cases and return what was measured.

        Parameters
        ----------
        after_case : callable
            Gets what there is so far, after each case.

        Returns
        -------
        Results
        """
        benchmark = self._benchmark
        with TemporaryDirectory() as folder:
            self._folder = folder
            data = "drawn or built in"
            if benchmark.files is not None and self._cases:
                self._say("preparing the data")
                data = benchmark.files(Path(folder), self._options)
            if not benchmark.fresh:
                self._processes.start(self._names)
            rows: list[Row] = []
            for case in self._cases:
                rows += self._run_case(case)
                after_case(Results(benchmark, data, rows, self._left_out, self._failed))
        if benchmark.total:
            rows += totals(rows)
        return Results(benchmark, data, rows, self._left_out, self._failed)

    def _run_case(self, case: Case) -> list[Row]:
        names = [name for name in self._names if name in (case.contestants or self._names)]
        for name in self._names:
            if name in case.left_out:
                self._left_out[f"{name} ({case.name})"] = case.left_out[name]
        if not self._benchmark.fresh:
            for name in list(names):
                self._say(f"{case.name}: getting {name} ready")
                self._guarded(names, name, case, partial(self._get_ready, case=case))
        measured: dict[str, list[Measures]] = {name: [] for name in names}
        for round_ in range(self._n_rounds):
            # Every other round backwards, so that nobody always follows the same one.
            for name in list(names) if round_ % 2 == 0 else names[::-1]:
                self._say(f"{case.name}: round {round_ + 1} of {self._n_rounds}, {name}")
                measure = partial(self._measure, case=case, round_=round_)
                if measures := self._guarded(names, name, case, measure):
                    measured[name].append(measures)
        return [Row(case.name, name, case.settings, measured[name]) for name in names]

    def _guarded(
        self, names: list[str], name: str, case: Case, do: Callable[[str], Measures]
    ) -> Measures:
        """Do something; if the contestant fails, note why and leave it out of the case."""
        try:
            return do(name)
        except (ContestantError, CannotTakePartError) as error:
            names.remove(name)
            self._left_out[f"{name} ({case.name})"] = str(error)
            self._failed |= isinstance(error, ContestantError)
            return {}

    def _get_ready(self, name: str, case: Case) -> Measures:
        return self._processes[name].ask(**self._request(name, case))

    def _measure(self, name: str, case: Case, round_: int) -> Measures:
        if not self._benchmark.fresh:
            return self._processes[name].ask(round=round_)
        with Process(name) as process:
            process.ask(**self._request(name, case))
            return process.ask(round=round_)

    def _request(self, name: str, case: Case) -> dict[str, Any]:
        return {
            "benchmark": self._benchmark.name,
            "contestant": name,
            "folder": self._folder,
            "settings": case.settings,
        }


def totals(rows: list[Row]) -> list[Row]:
    """Return a case that adds up the seconds of all others and averages everything else.

    Parameters
    ----------
    rows : list of Row
        All cases, with as many rounds each.

    Returns
    -------
    list of Row
        For each contestant that has a row at every case: others would not compare.
    """
    n_cases = len({row.case for row in rows})
    summary = []
    for name in dict.fromkeys(row.contestant for row in rows):
        rounds = [row.rounds for row in rows if row.contestant == name]
        if len(rounds) == n_cases:
            measured = [_total(*measures) for measures in zip(*rounds, strict=True)]
            summary.append(Row("total", name, {}, measured))
    return summary


def _total(*measured: Measures) -> Measures:
    means = {name: fmean(measures[name] for measures in measured) for name in measured[0]}
    return means | {"seconds": sum(measures["seconds"] for measures in measured)}
