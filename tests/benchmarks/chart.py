"""The chart of a benchmark."""

from itertools import pairwise
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox

from tests.benchmarks.report import medians, number
from tests.benchmarks.runner import Results, Row

# Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).
_SKANN, _FLOOR, _PEERS = "#0072B2", "#999999", "#E69F00"
_MARKERS = {"skann": ("o-", _SKANN), "floor": ("s:", "#666666"), "sklearn": ("^--", "#D55E00")}
# As their projects write them.
_NAMES = {
    "floor": "matrix products alone",
    "sklearn": "scikit-learn MLPClassifier",
    "sklearn, column-major": "scikit-learn MLPClassifier, column-major",
    "jax": "JAX",
    "torch": "PyTorch",
    "keras on jax": "Keras on JAX",
    "keras on tensorflow": "Keras on TensorFlow",
    "keras on torch": "Keras on PyTorch",
    "logistic regression": "scikit-learn LogisticRegression",
    "hist gradient boosting": "scikit-learn HistGradientBoosting",
    "realmlp": "RealMLP",
    "xgboost": "XGBoost",
}
# Places of a label beside its point: offset in points, and alignment. Our labels try them in this
# order, the others in reverse.
_PLACES = (
    (0, 7, "center", "bottom"),
    (9, 0, "left", "center"),
    (-9, 0, "right", "center"),
    (6, -6, "left", "top"),
    (0, -7, "center", "top"),
)
_BAR_INCHES = 0.26
_MAX_COLUMNS = 2
_DPI = 150


def save_chart(results: Results, folder: Path) -> list[Path]:
    """Draw the medians, and write the chart as SVG and PNG.

    Parameters
    ----------
    results : Results
        What was measured.
    folder : Path
        Where to.

    Returns
    -------
    list of Path
        The files.
    """
    draw = {
        "bars": _draw_bars,
        "lines": _draw_lines,
        "differences": _draw_differences,
        "front": _draw_front,
    }[results.benchmark.chart]
    paths = [folder / f"{results.benchmark.name}{suffix}" for suffix in (".svg", ".png")]
    # Text stays text in SVG; the same results give the same file.
    with rc_context({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "skann"}):
        figure = draw(results)
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=_DPI)
    return paths


def _draw_bars(results: Results) -> Figure:
    """Draw a bar for each contestant, a picture for each case; skann and the floor stand out."""
    cases: dict[str, list[Row]] = {}
    for row in _without_variants(results):
        cases.setdefault(row.case, []).append(row)
    n_columns = min(len(cases), _MAX_COLUMNS)
    n_rows = -(-len(cases) // n_columns)
    most_bars = max(len(rows) for rows in cases.values())
    figure = Figure(
        figsize=(5.5 * n_columns + 1, n_rows * (_BAR_INCHES * most_bars + 0.9) + 0.5),
        layout="constrained",
    )
    pictures = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (case, rows) in zip(pictures, cases.items(), strict=False):
        _draw_case(axes, case, rows, results)
        # All bars as thick as those of the case that has most of them.
        axes.set_ylim(len(rows) - most_bars - 0.6, len(rows) - 0.4)
    for axes in pictures[len(cases) :]:
        axes.set_axis_off()
    figure.suptitle(f"{results.benchmark.title}\n(median and range; lower is better)")
    return figure


def _draw_case(axes: Axes, case: str, rows: list[Row], results: Results) -> None:
    measure = results.benchmark.measure
    rows = sorted(rows, key=lambda row: medians(row)[measure], reverse=True)
    for place, row in enumerate(rows):
        values = [measures[measure] for measures in row.rounds]
        value = medians(row)[measure]
        colour = _SKANN if row.contestant.startswith("skann") else _PEERS
        if row.contestant == "floor":
            colour = _FLOOR
        error = [[value - min(values)], [max(values) - value]]
        axes.barh(place, value, color=colour, height=0.75)
        axes.errorbar(value, place, xerr=error, color="black", lw=1, capsize=2)
        text = f"{number(value)} {results.benchmark.unit}"
        accuracy = medians(row)["accuracy"]
        if accuracy >= 0:
            text += f", accuracy {accuracy:.1%}"
        axes.annotate(
            text,
            (max(*values, value), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(rows)), [_name(row.contestant) for row in rows])
    axes.set_title(case, fontsize=11)
    axes.margins(x=0)
    # Room for the numbers beside the bars.
    longest = max(measures[measure] for row in rows for measures in row.rounds)
    axes.set_xlim(0, max(longest, 0) * 1.8 or 1)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    _tidy(axes)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _draw_lines(results: Results) -> Figure:
    """Draw the measure over the setting that varies; all scales are logarithmic."""
    all_rows = _without_variants(results)
    names = list(dict.fromkeys(row.settings["axis"] for row in all_rows))
    figure = Figure(figsize=(3.2 * len(names) + 1, 4.3), layout="constrained")
    pictures = figure.subplots(1, len(names), squeeze=False, sharey=True).ravel()
    measure = results.benchmark.measure
    for axes, name in zip(pictures, names, strict=True):
        rows = [row for row in all_rows if row.settings["axis"] == name]
        for contestant in dict.fromkeys(row.contestant for row in rows):
            style, colour = _MARKERS.get(contestant, ("d-.", "#CC79A7"))
            points = [
                (row.settings[name], medians(row)[measure])
                for row in rows
                if row.contestant == contestant
            ]
            axes.plot(*zip(*points, strict=True), style, color=colour, label=_name(contestant))
        axes.set(xscale="log", yscale="log", xlabel=name)
        values = sorted({row.settings[name] for row in rows})
        axes.set_xticks(values, [f"{value:,}" for value in values], rotation=30, ha="right")
        axes.xaxis.set_minor_locator(NullLocator())
        _tidy(axes)
    pictures[0].set_ylabel(f"{measure} (log scale, lower is better)")
    pictures[0].yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    pictures[0].yaxis.set_minor_formatter(NullFormatter())
    # Outside: inside it would hide a line sooner or later.
    handles, names = pictures[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(results.benchmark.title)
    return figure


def _draw_differences(results: Results) -> Figure:
    """Draw how far each case is from the first one, with two standard errors to either side."""
    rows = results.rows[::-1]
    found = [medians(row) for row in rows]
    ending = "_difference"
    names = [name.removesuffix(ending) for name in found[0] if name.endswith(ending)]
    figure = Figure(
        figsize=(3.6 * len(names) + 2.2, _BAR_INCHES * len(rows) + 1.4), layout="constrained"
    )
    pictures = figure.subplots(1, len(names), squeeze=False, sharey=True).ravel()
    for axes, name in zip(pictures, names, strict=True):
        better = 1 if name == "accuracy" else -1
        for place, measures in enumerate(found):
            value, error = measures[name + ending], 2 * measures[f"{name}_error"]
            colour = _FLOOR
            if abs(value) > error:
                colour = _SKANN if value * better > 0 else _PEERS
            axes.errorbar(value, place, xerr=error, fmt="o", ms=5, color=colour, capsize=2)
        axes.axvline(0, color="black", lw=0.8)
        axes.set_title(f"{name.replace('_', '-')}, {'higher' if better > 0 else 'lower'} is better")
        axes.set_xlabel("difference to the defaults")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        _tidy(axes)
        axes.tick_params(axis="y", length=0)
    pictures[0].set_yticks(range(len(rows)), [row.case for row in rows])
    figure.suptitle(
        f"{results.benchmark.title}\n"
        "(with two standard errors to either side; blue is better and orange worse by more)"
    )
    return figure


def _draw_front(results: Results) -> Figure:
    """Draw accuracy over all cases against the time they took, and who is ahead.

    The front joins those who are more accurate than everybody who is as fast.
    """
    points = {
        row.contestant: (medians(row)["seconds"], medians(row)["accuracy"])
        for row in results.rows
        if row.case == "total"
    }
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    axes = figure.subplots()
    front: list[tuple[float, float]] = []
    for point in sorted(points.values()):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    axes.step(*zip(*front, strict=True), where="post", color=_FLOOR, lw=1, zorder=0)
    for contestant, point in points.items():
        is_ours = contestant.startswith("skann")
        axes.plot(*point, "o", ms=9, color=_SKANN if is_ours else _PEERS)
    axes.set(
        xscale="log",
        xlabel="seconds to fit all sets (log scale, lower is better)",
        ylabel="mean accuracy (higher is better)",
    )
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.margins(0.12, 0.14)
    _tidy(axes)
    n_sets = len({row.case for row in results.rows}) - 1
    figure.suptitle(f"{results.benchmark.title}: test accuracy and time to fit {n_sets} sets")
    _label_points(axes, points, front)
    return figure


def _label_points(
    axes: Axes, points: dict[str, tuple[float, float]], front: list[tuple[float, float]]
) -> None:
    """Write the name of each point beside it, away from points, other names and the front."""
    axes.figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    taken = [Bbox([centre, centre]).padded(6) for centre in to_pixels(list(points.values()))]
    for (x, y), (next_x, next_y) in pairwise(front):
        level, rise = [(x, y), (next_x, y)], [(next_x, y), (next_x, next_y)]
        taken += [Bbox(to_pixels(part)).padded(2) for part in (level, rise)]
    for contestant, point in points.items():
        is_ours = contestant.startswith("skann")
        for dx, dy, ha, va in _PLACES if is_ours else reversed(_PLACES):
            label = axes.annotate(
                _name(contestant).replace("scikit-learn ", "scikit-learn\n"),
                point,
                (dx, dy),
                textcoords="offset points",
                ha=ha,
                va=va,
                fontweight="bold" if is_ours else "normal",
            )
            place = label.get_window_extent()
            is_inside = axes.bbox.contains(*place.min) and axes.bbox.contains(*place.max)
            if is_inside and not place.count_overlaps(taken):
                break
            label.remove()
        else:
            axes.add_artist(label)
        taken.append(place)


def _name(contestant: str) -> str:
    return _NAMES.get(contestant, contestant)


def _without_variants(results: Results) -> list[Row]:
    """Leave the variants of skann to the table, unless nobody else took part."""
    others = [row for row in results.rows if not row.contestant.startswith("skann, ")]
    return others or results.rows


def _tidy(axes: Axes) -> None:
    """Leave out what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(alpha=0.25)
