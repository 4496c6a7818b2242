"""The command line: ``python -m tests.benchmarks [name ...]``."""

import argparse
import sys
from pathlib import Path

from tests.benchmarks import suite
from tests.benchmarks.base import CannotTakePartError, Options
from tests.benchmarks.chart import save_chart
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.report import as_json, table
from tests.benchmarks.runner import Processes, Results, Runner
from tests.benchmarks.writing import replace_file


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Compare skann with its peers. Each contestant has a process of its own; one"
        " runs at a time, round by round. Peers that are not installed are left out: python -m"
        ' pip install ".[benchmark]"',
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="name", help=f"of {', '.join(suite.NAMES)} (default: all)")
    add("--list", action="store_true", help="list benchmarks, cases and contestants, and stop")
    add("--rounds", type=int, metavar="N", help="turns of each contestant (default: by benchmark)")
    add("--quick", action="store_true", help="tiny sizes, which show that it works, nothing else")
    add(
        "--output",
        type=Path,
        default=Path("benchmarks"),
        metavar="FOLDER",
        help="where NAME.json, after each case, NAME.svg and NAME.png go (default: benchmarks)",
    )
    add(
        "--cases",
        nargs="+",
        default=[""],
        metavar="TEXT",
        help='only cases with one of these in their name: "batch 2"',
    )
    add(
        "--contestants",
        nargs="+",
        choices=CONTESTANTS,
        default=list(CONTESTANTS),
        metavar="NAME",
        help="only these",
    )
    add(
        "--gigabytes",
        type=float,
        default=4.0,
        metavar="SIZE",
        help="of the memory-mapped file of the memory benchmark (default: 4)",
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in suite.NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(suite.NAMES)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be 1 or more, got {options.rounds}")
    if options.gigabytes <= 0:
        parser.error(f"--gigabytes must be above 0, got {options.gigabytes:g}")
    options.names = options.names or list(suite.NAMES)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; return 1 if an installed contestant failed."""
    asked = parse(arguments)
    options = Options(asked.quick, asked.gigabytes)
    if asked.list:
        _list(asked.names, options)
        return 0
    asked.output.mkdir(parents=True, exist_ok=True)
    if asked.quick:
        # Starting processes would take most of the time.
        with Processes() as processes:
            return max(_run(name, asked, options, processes) for name in asked.names)
    statuses = []
    for name in asked.names:
        with Processes() as processes:
            statuses.append(_run(name, asked, options, processes))
    return max(statuses)


def _run(name: str, asked: argparse.Namespace, options: Options, processes: Processes) -> int:
    """Run a benchmark, print its table and write its files."""
    benchmark = suite.load(name)

    def say(line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr, flush=True)

    def save(results: Results) -> None:
        if results.rows:
            replace_file(asked.output / f"{name}.json", as_json(results, options).encode())

    rounds = asked.rounds or (1 if asked.quick else benchmark.rounds)
    runner = Runner(benchmark, options, rounds, asked.contestants, asked.cases, processes, say)
    try:
        results = runner.run(after_case=save)
    except CannotTakePartError as error:
        print(f"\n{name}: left out: {error}\n", flush=True)
        return 0
    print(f"\n{name}: {table(results)}\n", flush=True)
    save(results)
    if results.rows:
        save_chart(results, asked.output)
    return int(results.failed)


def _list(names: list[str], options: Options) -> None:
    for name in names:
        benchmark = suite.load(name)
        print(f"{name}: {benchmark.title}, {benchmark.rounds} rounds")
        for case in benchmark.cases(options):
            print(f"    {case.name}: {', '.join(case.contestants or benchmark.contestants)}")
    for name, contestant in CONTESTANTS.items():
        if missing := contestant.missing():
            print(f"Left out: {name}: {' and '.join(missing)} not installed")


if __name__ == "__main__":
    sys.exit(main())
