"""The table and the JSON file of a benchmark."""

import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_info

from tests.benchmarks.base import Options
from tests.benchmarks.contestants import CONTESTANTS, n_cores
from tests.benchmarks.runner import Results, Row

_REFERENCES = ("skann", "floor")
_PACKAGES = ("skann", "numpy", "scipy", "scikit-learn", "threadpoolctl")


def medians(row: Row) -> dict[str, float]:
    """Return the median of each measure over the rounds."""
    return {name: median(measures[name] for measures in row.rounds) for name in row.rounds[0]}


def ratios(results: Results) -> list[dict[str, float]]:
    """Return each row's ratios to skann and to the floor, at the same case, where they run.

    Parameters
    ----------
    results : Results
        What was measured.

    Returns
    -------
    list of dict
        For each row the median of its measure over that of "skann" and "floor".
    """
    measure = results.benchmark.measure
    values = {(row.case, row.contestant): medians(row)[measure] for row in results.rows}
    return [
        {
            name: values[row.case, row.contestant] / values[row.case, name]
            for name in _REFERENCES
            if values.get((row.case, name), 0) > 0
        }
        for row in results.rows
    ]


def table(results: Results) -> str:
    """Return the table, in Markdown that is aligned for a terminal.

    Parameters
    ----------
    results : Results
        What was measured.

    Returns
    -------
    str
        A line for every contestant at every case, then notes and who was left out.
    """
    benchmark = results.benchmark
    all_ratios = ratios(results)
    # Columns that would say the same in every row are left out.
    compared = [
        name
        for row, ratio in zip(results.rows, all_ratios, strict=True)
        for name in ratio
        if name != row.contestant
    ]
    references = [name for name in _REFERENCES if name in compared]
    ranges = ["min-max"] if any(len(row.rounds) > 1 for row in results.rows) else []
    extras: dict[str, None] = {}
    for row in results.rows:
        extras |= dict.fromkeys(row.rounds[0])
    extra = [name for name in extras if name not in (benchmark.measure, "accuracy")]
    lines = [
        [
            "case",
            "contestant",
            f"median {benchmark.unit}",
            *ranges,
            *(f"to {name}" for name in references),
            "accuracy",
            *extra,
        ]
    ]
    for row, ratio in zip(results.rows, all_ratios, strict=True):
        values = [measures[benchmark.measure] for measures in row.rounds]
        middle = medians(row)
        lines.append(
            [
                row.case,
                row.contestant,
                number(median(values)),
                *(f"{number(min(values))}-{number(max(values))}" for _ in ranges),
                *(f"{ratio[name]:.2f}" if name in ratio else "" for name in references),
                # That is, unless it is not a number.
                f"{middle['accuracy']:.4f}" if middle["accuracy"] >= 0 else "",
                *(number(middle[name]) if name in middle else "" for name in extra),
            ]
        )
    text = [benchmark.title, "", f"Data: {results.data}", _blas(), "", _aligned(lines), ""]
    text += benchmark.notes
    text += [f"Left out: {name}: {reason}" for name, reason in results.left_out.items()]
    return "\n".join(text)


def number(value: float) -> str:
    """Return a number with three significant digits and no exponent.

    Examples
    --------
    >>> number(0.000123456), number(12.3456), number(12345.6), number(0)
    ('0.000123', '12.3', '12,346', '0.00')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2
    scale = abs(value)
    while 0 < scale < 1 and digits < 9:
        scale *= 10
        digits += 1
    return f"{value:.{digits - 1 if abs(value) >= 10 else digits}f}"


def as_json(results: Results, options: Options) -> str:
    """Return everything that was measured and where.

    Parameters
    ----------
    results : Results
        What was measured.
    options : Options
        At which sizes.

    Returns
    -------
    str
    """
    benchmark = results.benchmark
    content = {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "measure": benchmark.measure,
        "unit": benchmark.unit,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "data": results.data,
        "options": options._asdict(),
        "machine": machine(),
        "rows": [
            {
                "case": row.case,
                "contestant": row.contestant,
                "settings": row.settings,
                "median": medians(row),
                "ratio_to": ratio,
                "rounds": row.rounds,
            }
            for row, ratio in zip(results.rows, ratios(results), strict=True)
        ],
        "left_out": results.left_out,
        "notes": benchmark.notes,
    }
    return json.dumps(_without_nan(content), indent=1) + "\n"


def machine() -> dict[str, Any]:
    """Return what the measurements depend on: the processor, the libraries, the versions."""
    packages = [*_PACKAGES, *(package for c in CONTESTANTS.values() for package in c.packages)]
    versions = {package: _version(package) for package in dict.fromkeys(packages)}
    libraries = [
        {
            key: library.get(key)
            for key in ("internal_api", "version", "architecture", "num_threads")
        }
        for library in threadpool_info()
    ]
    return {
        "processor": _processor(),
        "cores": n_cores(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: found for package, found in versions.items() if found},
        "thread_pools": libraries,
    }


def _blas() -> str:
    """Return a line on what computes the products of NumPy, which decides much of the rest."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    kinds = [
        f"{pool['internal_api']} with kernels for {pool.get('architecture', 'this processor')},"
        f" {pool['num_threads']} threads"
        for pool in pools
    ]
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    note = (
        f" (OPENBLAS_CORETYPE={chosen} is set, which only NumPy and SciPy heed)" if chosen else ""
    )
    return f"BLAS: {'; '.join(dict.fromkeys(kinds)) or 'unknown'}{note}."


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    # Names to the left, numbers to the right.
    n_names = 2
    rows = [
        "| "
        + " | ".join(
            cell.ljust(width) if place < n_names else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
    rule = [
        f":{'-' * (width + 1)}" if place < n_names else f"{'-' * (width + 1)}:"
        for place, width in enumerate(widths)
    ]
    return "\n".join([rows[0], f"|{'|'.join(rule)}|", *rows[1:]])


def _without_nan(value: Any) -> Any:
    """Replace what JSON cannot say by null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if value != value else value
