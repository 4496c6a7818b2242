"""What a benchmark is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

# What one turn of a contestant measured: "seconds", "accuracy" and whatever else there is.
Measures = dict[str, float]

# Measures once; the argument is the round, which serves as the seed.
Turn = Callable[[int], Measures]


class CannotTakePartError(Exception):
    """A contestant, or all of them, has no result here; no failure, the message says why."""


class Options(NamedTuple):
    """What the command line says.

    Attributes
    ----------
    quick : bool
        Sizes so tiny that they only show that the benchmark works.
    gigabytes : float
        Size of the memory-mapped file.
    """

    quick: bool = False
    gigabytes: float = 4.0


class Case(NamedTuple):
    """One setting at which contestants are compared.

    Attributes
    ----------
    name : str
        What to call it in the table.
    settings : dict
        Keyword arguments of `Benchmark.prepare`; they go through JSON.
    contestants : sequence of str or None
        Who takes part; None for all of the benchmark's.
    left_out : dict of str to str
        Contestants that do not take part, and why.
    """

    name: str
    settings: dict[str, Any]
    contestants: Sequence[str] | None = None
    left_out: dict[str, str] = {}


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes
    ----------
    name : str
        What to call it on the command line; also the name of its module in `suite`.
    title : str
        One line for the table and the chart.
    contestants : sequence of str
        Names from the registry in `contestants`.
    cases : callable
        `Options` to the cases.
    prepare : callable
        ``(contestant, folder, **settings)`` to a `Turn`. Runs in the contestant's process,
        where everything that is not measured happens: loading, compiling, warming up.
    files : callable or None
        ``(folder, options)`` writes the files that contestants read to a folder, once, and
        returns a line about the data; may raise `CannotTakePartError` for all contestants.
    measure : str
        What ratios and the chart are about.
    unit : str
        Its unit.
    rounds : int
        Rounds by default.
    fresh : bool
        Whether every turn gets a new process: peak memory leaves traces.
    total : bool
        Whether to add a case that adds up the seconds of the others and averages the rest.
    chart : {"bars", "lines", "differences", "front"}
        "lines" draws the measure over the setting named `axis`, one picture for each `axis`;
        "differences" draws what is named ``..._difference``, with its ``..._error``, by case;
        "front" draws the accuracy of the totals over their seconds.
    notes : sequence of str
        Lines to print below the table.
    """

    name: str
    title: str
    contestants: Sequence[str]
    cases: Callable[[Options], list[Case]]
    prepare: Callable[..., Turn]
    files: Callable[[Path, Options], str] | None = None
    measure: str = "seconds"
    unit: str = "s"
    rounds: int = 5
    fresh: bool = False
    total: bool = False
    chart: Literal["bars", "lines", "differences", "front"] = "bars"
    notes: Sequence[str] = field(default_factory=tuple)
