"""What a fitted network is made of, in text and HTML, and which versions it runs on."""

import html
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from numbers import Integral
from typing import Any

from threadpoolctl import threadpool_info

from skann.engine.losses import LOSSES
from skann.model import FittedModel
from skann.version import VERSION

__all__ = ["LayerSummary", "NetworkSummary"]

_REQUIRED = ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl")
_OPTIONAL = (
    "distributed",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "rich",
    "skl2onnx",
    "skops",
)

_COLUMNS = ("layer", "output shape", "activation", "normalization", "dropout", "parameters")
_MAX_NAMES, _MAX_NAME_LENGTH = 5, 24


@dataclass(frozen=True)
class LayerSummary:
    """A layer of a network.

    Listed in the `layers` of a `NetworkSummary`.

    Parameters
    ----------
    name : str
        "input", "hidden 1" and so on, "output".
    output_shape : tuple
        ``(None, n_units)``; None stands for the rows.
    activation : str or None
        Name of the activation, for the outputs of their link; None for the inputs.
    normalization : str or None
        "batch" or "layer" in hidden layers.
    dropout : float
        Share of the outputs that training drops; for the inputs `input_dropout`.
    n_parameters : int
        Weights, biases and parameters of the normalisation, its averages included.
    """

    name: str
    output_shape: tuple[None, int]
    activation: str | None
    normalization: str | None
    dropout: float
    n_parameters: int


@dataclass(frozen=True, repr=False)
class NetworkSummary:
    """What a fitted network is made of and what it costs.

    Made by the method `summary` of an `ANNClassifier`. Printed it is a table, in a notebook it
    is shown as one.

    Parameters
    ----------
    name : str
        Class of the estimator.
    layers : list of LayerSummary
        From the inputs to the outputs.
    feature_names : list of str or None
        Names of the features, if they have any.
    input_scaling : str or None
        "standard" or "maxabs".
    output_names : list of str
        Names of the classes or labels.
    dtype : str
        Computing dtype.
    n_parameters : int
        Length of the parameter vector.
    n_trainable : int
        Those that have a gradient: all but the averages of batch normalisation.
    parameter_bytes : int
        Memory of the parameters.
    multiply_adds_per_row : int
        Of the matrix products of one forward and one backward pass.
    rows_per_epoch : int
        Rows of an epoch.
    """

    name: str
    layers: list[LayerSummary]
    feature_names: list[str] | None
    input_scaling: str | None
    output_names: list[str]
    dtype: str
    n_parameters: int
    n_trainable: int
    parameter_bytes: int
    multiply_adds_per_row: int
    rows_per_epoch: int

    @property
    def multiply_adds_per_epoch(self) -> int:
        """Estimated cost of an epoch."""
        return self.multiply_adds_per_row * self.rows_per_epoch

    def __str__(self) -> str:
        rows = [_COLUMNS, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = []
        for *cells, number in rows:
            left = (cell.ljust(width) for cell, width in zip(cells, widths[:-1], strict=True))
            lines.append("  ".join([*left, number.rjust(widths[-1])]))
        facts = [f"{name + ':':<15}{text}" for name, text in self._facts()]
        return "\n".join([self.name, "", *lines, "", *facts])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = f"<strong>{html.escape(self.name)}</strong>"
        return f'<div class="skann-summary">{title}{self.html_body()}</div>'

    def html_body(self, table_class: str = "", row_class: str = "") -> str:
        """Return the table and the facts, with classes of a style sheet or as the page has it."""
        left = '<t{0} style="text-align: left; padding: .2em .6em">{1}</t{0}>'
        # Without !important, the style sheet of scikit-learn's diagram would prevail.
        right = '<t{0} style="text-align: right !important; padding: .2em .6em">{1}</t{0}>'

        def row(kind: str, texts: Iterable[str]) -> str:
            *cells, number = (html.escape(text) for text in texts)
            return "".join([left.format(kind, cell) for cell in cells]) + right.format(kind, number)

        head = row("h", _COLUMNS)
        body = "".join(f'<tr class="{row_class}">{row("d", cells)}</tr>' for cells in self._cells())
        facts = "<br>".join(
            f"{name}: {html.escape(text, quote=False)}" for name, text in self._facts()
        )
        return (
            f'<table class="{table_class}"><thead><tr>{head}</tr></thead>'
            f'<tbody>{body}</tbody></table><div style="padding: .6em">{facts}</div>'
        )

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for layer in self.layers:
            yield (
                layer.name,
                f"(n, {layer.output_shape[1]})",
                layer.activation or "-",
                layer.normalization or "-",
                f"{layer.dropout:g}" if layer.dropout else "-",
                f"{layer.n_parameters:,}",
            )

    def _facts(self) -> Iterator[tuple[str, str]]:
        n_features = f"{self.layers[0].output_shape[1]:,}"
        names = f": {_listed(self.feature_names)}" if self.feature_names else ""
        yield "Features", n_features + names
        if self.input_scaling is not None:
            yield "Input scaling", self.input_scaling
        # Labels that do not exclude each other have an output each, and each its logistic link.
        output = self.layers[-1]
        has_one_each = output.output_shape[1] == len(self.output_names)
        kind = "Labels" if has_one_each and output.activation == "logistic" else "Classes"
        yield kind, f"{len(self.output_names):,}: {_listed(self.output_names)}"
        averages = self.n_parameters - self.n_trainable
        note = f", {averages:,} of them averages of batch normalisation" if averages else ""
        yield "Parameters", f"{self.n_parameters:,}{note}"
        yield "Memory", f"{_in_bytes(self.parameter_bytes)} of parameters ({self.dtype})"
        cost = f"about {_rounded(self.multiply_adds_per_row)} multiply-adds a row"
        cost += f", {_rounded(self.multiply_adds_per_epoch)} for {self.rows_per_epoch:,} rows"
        yield "Cost of epoch", cost


def show_versions() -> None:
    """Print the versions of all that results and speed depend on, for a bug report.

    Examples
    --------
    >>> import skann
    >>> skann.show_versions()  # doctest: +ELLIPSIS
    System
        python: 3...
    """
    sections = {
        "System": [
            ("python", sys.version.replace("\n", " ")),
            ("executable", sys.executable),
            ("platform", platform.platform()),
            ("processors", str(os.cpu_count())),
        ],
        "Packages": [("skann", VERSION)] + [(name, _version(name)) for name in _REQUIRED],
        "BLAS and OpenMP": [
            (library["internal_api"], _library(library)) for library in threadpool_info()
        ]
        or [("none", "that threadpoolctl can find")],
        "Optional packages": [(name, _version(name)) for name in _OPTIONAL],
    }
    for title, entries in sections.items():
        print(title)
        for name, text in entries:
            print(f"    {name}: {text}")


def summarize(
    model: FittedModel,
    name: str,
    feature_names: Iterable[Any] | None,
    dropout: tuple[float, ...],
    n_samples: int | None = None,
) -> NetworkSummary:
    """Describe the network of a fitted model.

    Parameters
    ----------
    model : FittedModel
        The model.
    name : str
        Class of the estimator.
    feature_names : iterable or None
        Names of the features.
    dropout : tuple of float
        Share that training drops of the inputs and of each hidden layer.
    n_samples : int or None
        Rows of the epoch whose cost is estimated; None for those of the fit.

    Returns
    -------
    NetworkSummary
    """
    if n_samples is not None and (not isinstance(n_samples, Integral) or n_samples < 1):
        raise ValueError(f"n_samples must be a positive integer or None; got {n_samples!r}.")
    network, architecture = model.network, model.network.architecture
    return NetworkSummary(
        name=name,
        input_scaling=None if model.scaling is None else model.scaling.kind,
        layers=_layers(model, dropout),
        feature_names=None if feature_names is None else _texts(feature_names),
        output_names=_texts(model.labels.classes),
        dtype=str(network.parameters.dtype),
        n_parameters=architecture.n_parameters,
        n_trainable=architecture.n_trainable,
        parameter_bytes=network.parameters.nbytes,
        multiply_adds_per_row=_multiply_adds(architecture.layer_sizes),
        rows_per_epoch=model.n_rows if n_samples is None else int(n_samples),
    )


def _layers(model: FittedModel, dropout: tuple[float, ...]) -> list[LayerSummary]:
    architecture = model.network.architecture
    sizes, normalization = architecture.layer_sizes, architecture.normalization
    layers = [LayerSummary("input", (None, sizes[0]), None, None, dropout[0], 0)]
    per_unit = {None: 0, "layer": 2, "batch": 4}[normalization]
    shapes = list(pairwise(sizes))
    for number, ((fan_in, fan_out), activation, rate) in enumerate(
        zip(shapes[:-1], architecture.activations, dropout[1:], strict=True), start=1
    ):
        n_parameters = (fan_in + 1 + per_unit) * fan_out
        shape = (None, fan_out)
        layers.append(
            LayerSummary(f"hidden {number}", shape, activation, normalization, rate, n_parameters)
        )
    fan_in, fan_out = shapes[-1]
    link = LOSSES[model.labels.kind].out_activation
    layers.append(LayerSummary("output", (None, fan_out), link, None, 0.0, (fan_in + 1) * fan_out))
    return layers


def _multiply_adds(layer_sizes: tuple[int, ...]) -> int:
    products = [fan_in * fan_out for fan_in, fan_out in pairwise(layer_sizes)]
    return 3 * sum(products) - products[0]


def _texts(names: Iterable[Any]) -> list[str]:
    return [str(name) for name in names]


def _listed(names: list[str]) -> str:
    """Join names on one line: the first and the last of many, the beginning of long ones."""
    shown = [" ".join(name.split()) for name in names]
    if len(shown) > _MAX_NAMES:
        shown = [*shown[: _MAX_NAMES - 2], "...", shown[-1]]
    return ", ".join(
        name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 3]}..."
        for name in shown
    )


def _in_bytes(number: int) -> str:
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"


def _rounded(number: int) -> str:
    for size, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:,}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _library(library: dict[str, Any]) -> str:
    details = [library.get(key) for key in ("version", "threading_layer", "architecture")]
    known = ", ".join(detail for detail in details if detail)
    return f"threads: {library['num_threads']}, {known or 'version unknown'}, {library['filepath']}"
