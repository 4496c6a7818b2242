"""What a fitted network is made of and what it costs, and which versions it runs on."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import sklearn

from skann.engine.kernels import active_name
from skann.engine.losses import LOSSES
from skann.engine.settings import Architecture
from skann.model import FittedModel
from skann.version import VERSION

__all__ = ["LayerSummary", "NetworkSummary"]

_OPTIONAL = (
    "distributed",
    "numba",
    "onnx",
    "onnxruntime",
    "optuna",
    "pillow",
    "rich",
    "skl2onnx",
    "skops",
)


@dataclass(frozen=True)
class LayerSummary:
    """A layer of a network.

    Listed in the `layers` of a `NetworkSummary`.

    Parameters
    ----------
    name : str
        "input", "embedding" where there is one, "hidden 1" and so on, "output".
    output_shape : tuple
        ``(None, n_units)``; None stands for the rows.
    activation : str or None
        Name of the activation, of the embedding, for the outputs of their link; None for the
        inputs.
    normalization : str or None
        "batch" or "layer" in hidden layers.
    dropout : float
        Share of the outputs that training drops; for the inputs `input_dropout`.
    n_parameters : int
        Weights, biases and parameters of the normalisation, its averages included, of all
        members.
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

    Made by the method `summary` of an `ANNClassifier`. Printed it is a table.

    Parameters
    ----------
    name : str
        Class of the estimator.
    layers : list of LayerSummary
        From the inputs to the outputs.
    input_scaling : str or None
        "standard" or "maxabs".
    columns : str or None
        What the columns of a table hold; None where each of them is an input.
    n_members : int
        Networks whose probabilities are averaged. The other numbers count all of them.
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
    input_scaling: str | None
    columns: str | None
    n_members: int
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
        rows = [["layer", "output shape", "activation", "normalization", "dropout", "parameters"]]
        for layer in self.layers:
            values = vars(layer).values()
            rows.append([f"{v:,}" if isinstance(v, int) else str(v or "-") for v in values])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, ["-" * width for width in widths])
        template = "  ".join(f"{{:{width}}}" for width in widths[:-1]) + f"  {{:>{widths[-1]}}}"
        facts = (
            *([] if self.columns is None else [f"Columns:       {self.columns}"]),
            f"Input scaling: {self.input_scaling}",
            *([] if self.n_members == 1 else [f"Members:       {self.n_members}"]),
            f"Parameters:    {self.n_parameters:,} in {self.dtype}, {self.parameter_bytes:,} bytes",
            f"Cost of epoch: about {self.multiply_adds_per_row:,} multiply-adds a row,"
            f" {self.multiply_adds_per_epoch:,} for {self.rows_per_epoch:,} rows",
        )
        return "\n".join([self.name, "", *(template.format(*row) for row in rows), "", *facts])

    __repr__ = __str__


def summarize(model: FittedModel, name: str, dropout: tuple[float, ...]) -> NetworkSummary:
    """Describe the network of a fitted model.

    Parameters
    ----------
    model : FittedModel
        The model.
    name : str
        Class of the estimator.
    dropout : tuple of float
        Share that training drops of the inputs and of each hidden layer.

    Returns
    -------
    NetworkSummary
    """
    network, architecture = model.network, model.network.architecture
    return NetworkSummary(
        name=name,
        layers=_layers(model, dropout),
        input_scaling=None if model.scaling is None else model.scaling.kind,
        columns=model.encoding.summary(),
        n_members=architecture.n_members,
        dtype=str(network.parameters.dtype),
        n_parameters=architecture.n_parameters,
        n_trainable=architecture.n_trainable,
        parameter_bytes=network.parameters.nbytes,
        multiply_adds_per_row=_multiply_adds(architecture),
        rows_per_epoch=model.n_rows,
    )


def _multiply_adds(architecture: Architecture) -> int:
    """Count those of a row: forward one for each weight, backward one for each gradient."""
    n_features, (_, fan_out) = architecture.layer_sizes[0], architecture.weight_shapes[0]
    # The rows themselves need no gradient, nor do the functions of their numbers.
    without = n_features * fan_out
    if architecture.embedding is not None:
        without += architecture.embedding.n_weights
    return 3 * architecture.n_weights - architecture.n_members * without


def _layers(model: FittedModel, dropout: tuple[float, ...]) -> list[LayerSummary]:
    architecture = model.network.architecture
    sizes, activations, normalization, n_members, *_ = architecture
    n_hidden = len(activations)
    per_unit = [{None: 1, "layer": 3, "batch": 5}[normalization]] * n_hidden + [1]
    shapes = zip(per_unit, architecture.weight_shapes, strict=True)
    columns = (
        ["input", *(f"hidden {number}" for number in range(1, n_hidden + 1)), "output"],
        [(None, size) for size in sizes],
        [None, *activations, LOSSES[model.labels.kind].out_activation],
        [None, *[normalization] * n_hidden, None],
        [*dropout, 0.0],
        [0, *(n_members * (fan_in + more) * fan_out for more, (fan_in, fan_out) in shapes)],
    )
    layers = [LayerSummary(*values) for values in zip(*columns, strict=True)]
    embedding = architecture.embedding
    if embedding is not None:
        shape = (None, architecture.weight_shapes[0][0])
        functions = 2 * embedding.n_numbers * embedding.n_functions
        n_parameters = n_members * (embedding.n_weights + functions)
        layers.insert(1, LayerSummary("embedding", shape, embedding.kind, None, 0.0, n_parameters))
    return layers


def show_versions() -> None:
    """Print the versions of all that results and speed depend on, for a bug report.

    Below those of skann and what it may use, with the kernels in use, those that
    `sklearn.show_versions` prints.

    Examples
    --------
    >>> import skann
    >>> skann.show_versions()  # doctest: +ELLIPSIS
    skann: ...
    """
    print(f"skann: {VERSION}")
    for package in _OPTIONAL:
        try:
            print(f"{package}: {version(package)}")
        except PackageNotFoundError:
            print(f"{package}: not installed")
    print(f"kernels: {active_name()}")
    sklearn.show_versions()
