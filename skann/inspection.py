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
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_info

from skann.engine.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from skann.engine.network import Architecture, Network

__all__ = ["LayerSummary", "NetworkSummary"]

DOCUMENTATION = "https://skann.readthedocs.io/en/stable/"

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

# Vectors that SciPy's L-BFGS-B works with, as measured: ten pairs of steps and gradients, and
# thirteen for bounds, indices and the points of a line search.
_LBFGS_VECTORS = 33

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
    training_bytes : dict of str to int
        Memory of what training adds: "gradient", "optimizer" and "copies" of the parameters.
    multiply_adds_per_row : int
        Of the matrix products of one forward and one backward pass.
    rows_per_epoch : int or None
        Rows of an epoch; None where that is not known.
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
    training_bytes: dict[str, int]
    multiply_adds_per_row: int
    rows_per_epoch: int | None

    @property
    def multiply_adds_per_epoch(self) -> int | None:
        """Estimated cost of an epoch; None where the number of rows is not known."""
        if self.rows_per_epoch is None:
            return None
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
        return f'<div class="skann-summary">{title}{self._html_body()}</div>'

    def _html_body(self, table_class: str = "", row_class: str = "") -> str:
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
        parts = ", ".join(f"{name} {_in_bytes(n)}" for name, n in self.training_bytes.items())
        total = _in_bytes(sum(self.training_bytes.values()))
        yield "Training adds", f"{total} ({parts})"
        cost = f"about {_rounded(self.multiply_adds_per_row)} multiply-adds a row"
        if self.multiply_adds_per_epoch is not None:
            cost += f", {_rounded(self.multiply_adds_per_epoch)} for {self.rows_per_epoch:,} rows"
        yield "Cost of epoch", cost


class InspectionMixin:
    """Gives an estimator a summary, and puts it into scikit-learn's HTML representation."""

    def summary(self, n_samples: int | None = None) -> NetworkSummary:
        """Describe the fitted network: layers, parameters, memory, cost.

        Of a classifier that is the last step of a Pipeline it is `pipeline[-1].summary()`, of
        a search `search.best_estimator_.summary()`, or with a Pipeline
        `search.best_estimator_[-1].summary()`.

        The cost of an epoch is an estimate. It counts the multiply-adds of the matrix products
        for dense rows: forward one for each weight, backward two, one for the gradient of the
        weight and one for that of the layer's input, which the first layer needs not compute.
        Activations, normalisation, the steps of the optimizer and validation come on top, and
        with "lbfgs" the further evaluations of a line search. Sparse rows cost less in the
        first layer.

        The memory that training adds is that of vectors as long as the parameters: gradient,
        state of the optimizer, and copies of the parameters to go back to. A batch and its
        activations come on top.

        Parameters that were set after the fit change nothing.

        Parameters
        ----------
        n_samples : int, default=None
            Rows of the epoch whose cost is estimated; None for the mean number of rows of
            the epochs in `history_`. That is not known with "lbfgs" and `warm_start`.

        Returns
        -------
        NetworkSummary
            Prints as a table, and holds the numbers as attributes.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is no network yet.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skann import ANNClassifier
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> ANNClassifier((32, 16), random_state=0).fit(X, y).summary()
        ANNClassifier
        <BLANKLINE>
        layer     output shape  activation  normalization  dropout  parameters
        --------  ------------  ----------  -------------  -------  ----------
        input     (n, 4)        -           -              -                 0
        hidden 1  (n, 32)       relu        -              0.1             160
        hidden 2  (n, 16)       relu        -              -               528
        output    (n, 3)        softmax     -              -                51
        <BLANKLINE>
        Features:      4: sepal length (cm), sepal width (cm), petal length (cm), petal width (cm)
        Classes:       3: 0, 1, 2
        Parameters:    739
        Memory:        3.0 kB of parameters (float32)
        Training adds: 14.8 kB (gradient 3.0 kB, optimizer 5.9 kB, copies 5.9 kB)
        Cost of epoch: about 1,936 multiply-adds a row, 290,400 for 150 rows
        """
        return _summarize(self, n_samples)

    def _record_fit(self) -> None:
        """Keep the parameters of a fit, before the network of the fit before is replaced."""
        record = _told_parameters(self)
        if hasattr(self, "_network"):  # It goes on: scaling as it was, and so are the rows counted.
            earlier = _told_of_fit(self)
            record["input_scaling"] = earlier["input_scaling"]
            record["warm_start"] |= earlier["warm_start"]
        self._fit_record = record

    # scikit-learn has no public way to add to the HTML of an estimator. What it looks for by
    # private names stands here alone; where it has changed, its own HTML is shown.
    _doc_link_module = "skann"
    _doc_link_template = f"{DOCUMENTATION}generated/skann.{{estimator_name}}.html"

    def _get_fitted_attr_html(self, *args: Any, **kwargs: Any) -> Any:
        """Put the network before the table of fitted attributes, also within a pipeline."""
        attributes = super()._get_fitted_attr_html(*args, **kwargs)  # type: ignore[misc]
        table = getattr(attributes, "_html_repr", None)
        # Within a fitted ensemble, say, that fits clones, there is no network.
        if callable(table) and hasattr(self, "_network"):
            network = (
                '<div class="estimator-table"><details open><summary>Network</summary>'
                f"{_summarize(self)._html_body('parameters-table', 'default')}</details></div>"
            )
            attributes._html_repr = lambda: network + table()
        return attributes


def show_versions() -> None:
    """Print the versions of all that results and speed depend on, for a bug report.

    Examples
    --------
    >>> import skann
    >>> skann.show_versions()  # doctest: +ELLIPSIS
    System
        python: 3...
    """
    from skann import __version__

    sections = {
        "System": [
            ("python", sys.version.replace("\n", " ")),
            ("executable", sys.executable),
            ("platform", platform.platform()),
            ("processors", str(os.cpu_count())),
        ],
        "Packages": [("skann", __version__)] + [(name, _version(name)) for name in _REQUIRED],
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


def _summarize(estimator: Any, n_samples: int | None = None) -> NetworkSummary:
    """Describe the network of an estimator; parameters as in `InspectionMixin.summary`."""
    check_is_fitted(
        estimator,
        msg="This %(name)s has no network yet, because the data decide what its first and last"
        " layer are. Call 'fit' before 'summary'.",
    )
    if n_samples is not None and (not isinstance(n_samples, Integral) or n_samples < 1):
        raise ValueError(f"n_samples must be a whole number above 0 or None; got {n_samples!r}.")
    network, record = estimator._network, _told_of_fit(estimator)
    architecture = network.architecture
    names = getattr(estimator, "feature_names_in_", None)
    return NetworkSummary(
        name=type(estimator).__name__,
        layers=_layers(estimator, architecture, record),
        feature_names=None if names is None else _texts(names),
        input_scaling=record["input_scaling"],
        output_names=_texts(estimator.classes_),
        dtype=str(network.parameters.dtype),
        n_parameters=architecture.n_parameters,
        n_trainable=architecture.n_trainable,
        parameter_bytes=network.parameters.nbytes,
        training_bytes=_training_bytes(record, network),
        multiply_adds_per_row=_multiply_adds(architecture.layer_sizes),
        rows_per_epoch=_rows_per_epoch(estimator, record) if n_samples is None else int(n_samples),
    )


def _told_parameters(estimator: Any) -> dict[str, Any]:
    """Return what a summary tells of the parameters, as they are now."""
    return {
        "solver": str(estimator.solver),
        "early_stopping": bool(estimator.early_stopping),
        "averages": estimator.ema_decay is not None,
        "warm_start": bool(estimator.warm_start),
        "input_dropout": float(estimator.input_dropout),
        "input_scaling": estimator.input_scaling,
    }


def _told_of_fit(estimator: Any) -> dict[str, Any]:
    """Return the same as it was in the fit; as it is now, if the model was saved without."""
    record = vars(estimator).get("_fit_record")
    if record is not None:
        return record
    record = _told_parameters(estimator)
    record["input_scaling"] = record["input_scaling"] if hasattr(estimator, "_scaling") else None
    return record


def _layers(
    estimator: Any, architecture: "Architecture", record: dict[str, Any]
) -> list[LayerSummary]:
    sizes, normalization = architecture.layer_sizes, architecture.normalization
    layers = [LayerSummary("input", (None, sizes[0]), None, None, record["input_dropout"], 0)]
    per_unit = {None: 0, "layer": 2, "batch": 4}[normalization]
    shapes = list(pairwise(sizes))
    for number, ((fan_in, fan_out), activation, dropout) in enumerate(
        zip(shapes[:-1], architecture.activations, estimator.dropout_, strict=True), start=1
    ):
        n_parameters = (fan_in + 1 + per_unit) * fan_out
        shape = (None, fan_out)
        layers.append(
            LayerSummary(
                f"hidden {number}", shape, activation, normalization, dropout, n_parameters
            )
        )
    fan_in, fan_out = shapes[-1]
    n_parameters = (fan_in + 1) * fan_out
    link = estimator.out_activation_
    layers.append(LayerSummary("output", (None, fan_out), link, None, 0.0, n_parameters))
    return layers


def _multiply_adds(layer_sizes: tuple[int, ...]) -> int:
    products = [fan_in * fan_out for fan_in, fan_out in pairwise(layer_sizes)]
    return 3 * sum(products) - products[0]


def _rows_per_epoch(estimator: Any, record: dict[str, Any]) -> int | None:
    # With warm_start, t_ counts the rows of earlier fits, which history_ has forgotten.
    if record["warm_start"] or not estimator.t_ or not estimator.history_:
        return None
    return round(estimator.t_ / len(estimator.history_))


def _training_bytes(record: dict[str, Any], network: "Network") -> dict[str, int]:
    one = network.trainable.nbytes
    best = record["early_stopping"]
    if record["solver"] == "lbfgs":
        # The gradient of a chunk of rows, that of all rows and SciPy's.
        gradient, optimizer, copies = 3 * one, _LBFGS_VECTORS * one, 2 + best
    else:
        average = 2 * record["averages"]
        gradient, optimizer, copies = one, _n_moments(record["solver"]) * one, 2 + best + average
    copied = copies * network.parameters.nbytes
    return {"gradient": gradient, "optimizer": optimizer, "copies": copied}


def _n_moments(solver: str) -> int:
    """Return how many vectors an optimizer keeps from step to step, by asking one."""
    optimizer = OPTIMIZERS[solver](
        np.zeros(1),
        np.zeros(1),
        n_weights=1,
        momentum=0.0,
        nesterovs_momentum=False,
        beta_1=0.0,
        beta_2=0.0,
        epsilon=1.0,
    )
    return sum(isinstance(value, np.ndarray) for value in optimizer.state().values())


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
