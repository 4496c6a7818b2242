"""The summary of a fitted network, and the versions of the packages in use."""

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
    """Summary of one layer, an entry of `NetworkSummary.layers`.

    Parameters
    ----------
    name : str
        "input", "embedding" (if there is one), "hidden 1", "hidden 2" and so on, or "output".
    output_shape : tuple
        ``(None, n_units)``; None stands for the number of rows.
    activation : str or None
        Name of the activation or of the embedding; None for the input layer.
    normalization : str or None
        "batch" or "layer" for normalised hidden layers.
    dropout : float
        Share of the outputs that training drops; for the input layer, `input_dropout`.
    n_parameters : int
        Number of weights, biases and normalisation parameters, including running averages, of all
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
    """Summary of a fitted network: its layers, parameters, memory and cost.

    Returned by the method `summary` of `ANNClassifier`. It prints as a table.

    Parameters
    ----------
    name : str
        Class name of the estimator.
    layers : list of LayerSummary
        Summary of each layer, from the input layer to the output layer.
    input_scaling : str or None
        "standard", "maxabs" or "robust"; None without scaling.
    columns : str or None
        Number of numeric and categorical columns, in words; None if the inputs are the columns.
    n_members : int
        Number of networks whose probabilities are averaged. The other counts include all of them.
    dtype : str
        Data type of the parameters.
    n_parameters : int
        Number of parameters.
    n_trainable : int
        Number of parameters with a gradient: all except the running averages of batch
        normalisation and the fixed functions of an embedding.
    parameter_bytes : int
        Memory of the parameters in bytes.
    multiply_adds_per_row : int
        Number of multiply-adds in the matrix products of one forward and one backward pass.
    rows_per_epoch : int
        Number of rows in an epoch.
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
        """Estimated number of multiply-adds in an epoch."""
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
    """Summarise the network of a fitted model.

    Parameters
    ----------
    model : FittedModel
        The model.
    name : str
        Class name of the estimator.
    dropout : tuple of float
        Dropout rate of the inputs and of each hidden layer.

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
    """Count the multiply-adds for one row: three for each weight, less if a gradient is unused."""
    n_features, (_, fan_out) = architecture.layer_sizes[0], architecture.weight_shapes[0]
    # Neither the inputs nor the functions of an embedding need a gradient.
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
    """Print the versions of skann and of the packages it uses, for bug reports.

    The output starts with skann, its optional packages and the kernels in use. The output of
    `sklearn.show_versions` follows.

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
