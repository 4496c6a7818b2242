"""The allowed values of the parameters of `ANNClassifier`, alone and in combination."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skann.engine.activations import ACTIVATIONS
from skann.engine.batches import Examples
from skann.engine.embeddings import EMBEDDINGS
from skann.engine.initializers import INITIALIZERS
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES
from skann.engine.settings import Architecture, Embedding

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_AUTO = StrOptions({"auto"})
# Vectors as long as the parameter vector that training holds: the parameters, their gradient, two
# copies, and the state of the optimizer.
_VECTORS = 5
# Number of functions of each number that an embedding combines.
_N_FUNCTIONS = 16


def _one_of(names: Iterable[str]) -> StrOptions:
    """Return a constraint to some names, which error messages list in sorted order."""
    return StrOptions(dict.fromkeys(sorted(names)).keys())


CONSTRAINTS: dict[str, list] = {
    "hidden_layer_sizes": ["array-like", _COUNT],
    "n_members": [_COUNT],
    "activation": [_one_of(ACTIVATIONS), "array-like"],
    "solver": [_one_of([*OPTIMIZERS, "lbfgs"])],
    "alpha": [_AUTO, _NOT_NEGATIVE],
    "batch_size": [_AUTO, _COUNT],
    "learning_rate": [_one_of(SCHEDULES), callable],
    "learning_rate_init": [_AUTO, _POSITIVE],
    "power_t": [_NOT_NEGATIVE],
    "max_iter": [_AUTO, _COUNT],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_NOT_NEGATIVE],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [_SHARE],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "beta_1": [_SHARE],
    "beta_2": [_AUTO, _SHARE],
    "epsilon": [_POSITIVE],
    "n_iter_no_change": [_COUNT, Options(Real, {np.inf})],
    "max_fun": [_COUNT],
    "categorical_features": ["array-like", _one_of(["from_dtype"]), None],
    "numerical_embedding": [_one_of(EMBEDDINGS), None],
    "embedding_width": [_COUNT],
    "embedding_scale": [_POSITIVE],
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
    "dtype": [_one_of(["float32", "float64"])],
    "input_scaling": [_one_of(["standard", "maxabs", "robust"]), None],
    "input_clip": [_POSITIVE, None],
    "dropout": [_AUTO, _SHARE, "array-like"],
    "input_dropout": [_SHARE],
    "input_noise": [_NOT_NEGATIVE],
    "augmentation": [callable, None],
    "normalization": [_one_of(["batch", "layer"]), None],
    "kernel_initializer": [_AUTO, _one_of(INITIALIZERS)],
    "label_smoothing": [_AUTO, _SHARE],
    "max_norm": [_POSITIVE, None],
    "gradient_clip_norm": [_POSITIVE, None],
    "warmup": [_SHARE],
    "ema_decay": [_SHARE, None],
    "scoring": [_one_of(["loss", *get_scorer_names()]), callable, None],
}


_NOISE = "L-BFGS compares the losses of successive steps, so they must not be random"
_STEPS = "it applies to steps on mini-batches, and L-BFGS does not use mini-batches"
# Values that L-BFGS accepts, apart from zero.
_HARMLESS = (None, "auto", "one_cycle", "layer")
NOT_WITH_LBFGS: dict[str, str] = {
    **dict.fromkeys(("dropout", "input_dropout", "input_noise", "augmentation"), _NOISE),
    "normalization": "'batch' needs mini-batches, and L-BFGS does not use mini-batches",
    "n_members": "L-BFGS would treat the members as one network and stop them at the same time",
    **dict.fromkeys(
        ("max_norm", "gradient_clip_norm", "learning_rate", "warmup", "ema_decay"), _STEPS
    ),
}
_NOT_WITH_PARTIAL_FIT: dict[str, tuple] = {
    "early_stopping": (True, "Set early_stopping=False."),
    "class_weight": ("balanced", "Pass a dict, for example from compute_class_weight."),
}


def check_together(parameters: Mapping[str, Any], of_stream: bool = False) -> None:
    """Raise an error if parameters cannot be used together.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters, each of them valid by itself.
    of_stream : bool
        Whether they are used by `partial_fit`.

    Raises
    ------
    ValueError
        If the solver or `partial_fit` does not support a parameter.
    """
    not_with_solver = NOT_WITH_LBFGS if parameters["solver"] == "lbfgs" else {}
    for name, because in not_with_solver.items():
        value = parameters[name]
        if _asks_for_something(name, value):
            raise ValueError(
                f"{name}={value!r} cannot be used with solver='lbfgs': {because}. Use the default"
                f" of {name}, or choose another solver."
            )
    for name, (value, instead) in _NOT_WITH_PARTIAL_FIT.items():
        if of_stream and parameters[name] == value:
            raise ValueError(
                f"{name}={value!r} cannot be used with partial_fit: it needs all rows at once, but"
                f" each call sees only some of them. {instead}"
            )


def _asks_for_something(name: str, value: Any) -> bool:
    if name == "n_members":
        return value > 1
    return value not in _HARMLESS if isinstance(value, str | None) else bool(np.any(value))


def check_rows(parameters: Mapping[str, Any], examples: Examples, batch_size: int) -> None:
    """Raise an error if parameters cannot be used with the training rows.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters.
    examples : Examples
        The training rows, without the rows that are held out.
    batch_size : int
        Maximum number of rows in a batch.

    Raises
    ------
    ValueError
        If X is sparse and `input_noise`, `augmentation`, `numerical_embedding` or robust scaling
        needs a dense X, or if batch normalisation would have batches of one row.
    """
    if parameters["input_noise"] and sparse.issparse(examples.X):
        raise ValueError(
            f"input_noise={parameters['input_noise']!r} cannot be used with sparse X, because it"
            " would replace the zeros. Set input_noise=0, or pass X.toarray()."
        )
    if parameters["input_scaling"] == "robust" and sparse.issparse(examples.X):
        raise ValueError(
            "input_scaling='robust' cannot be used with sparse X, because subtracting the medians"
            " would replace the zeros. Set input_scaling='maxabs', or pass X.toarray()."
        )
    if parameters["augmentation"] is not None and sparse.issparse(examples.X):
        raise ValueError(
            "augmentation needs dense rows, but X is sparse. Set augmentation=None, or pass"
            " X.toarray()."
        )
    if parameters["numerical_embedding"] is not None and sparse.issparse(examples.X):
        raise ValueError(
            "numerical_embedding needs dense rows, but X is sparse. Set numerical_embedding=None,"
            " or pass X.toarray()."
        )
    if parameters["normalization"] == "batch" and min(batch_size, len(examples)) == 1:
        raise ValueError(
            "normalization='batch' needs batches of at least two rows, but a batch has one row,"
            f" with batch_size={batch_size} and {len(examples)} row(s) to train on. Use larger"
            " batches, or set normalization='layer' or None."
        )


def make_architecture(
    parameters: Mapping[str, Any],
    n_features: int,
    n_outputs: int,
    loss: str = "multiclass",
    n_numbers: int = 0,
) -> Architecture:
    """Return the architecture of a network.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters. The length of `dropout` is checked, too.
    n_features, n_outputs : int
        Number of inputs and outputs of the network.
    loss : str
        Name of the loss.
    n_numbers : int
        Number of inputs that are numbers. They come first.

    Returns
    -------
    Architecture

    Raises
    ------
    ValueError
        If `hidden_layer_sizes`, `activation` or `dropout` has the wrong length or an invalid entry.
    """
    hidden = parameters["hidden_layer_sizes"]
    sizes = per_layer("hidden_layer_sizes", hidden, 1 if _is_one(hidden) else len(hidden))
    activations = per_layer("activation", parameters["activation"], len(sizes))
    if not isinstance(parameters["dropout"], str):
        per_layer("dropout", parameters["dropout"], len(sizes))
    kind, embedding = parameters["numerical_embedding"], None
    if kind is not None and n_numbers:
        embedding = Embedding(kind, n_numbers, int(parameters["embedding_width"]), _N_FUNCTIONS)
    return Architecture(
        (n_features, *map(int, sizes), n_outputs),
        tuple(map(str, activations)),
        parameters["normalization"],
        int(parameters["n_members"]),
        loss,
        embedding,
    )


def check_memory(architecture: Architecture, dtype: str) -> None:
    """Raise an error if there is not enough memory to train a network.

    Parameters
    ----------
    architecture : Architecture
        Architecture of the network.
    dtype : str
        Computing dtype.

    Raises
    ------
    MemoryError
        If the parameters and the other vectors of training do not fit into memory.
    """
    n_bytes = _VECTORS * architecture.n_parameters * np.dtype(dtype).itemsize
    try:
        np.empty(n_bytes, np.uint8)  # This takes no memory until something is written to it.
    except (MemoryError, ValueError) as error:
        n_features, *hidden, _ = architecture.layer_sizes
        n_members = architecture.n_members
        with_members = f" with n_members={n_members}" if n_members > 1 else ""
        raise MemoryError(
            f"hidden_layer_sizes={tuple(hidden)!r}{with_members} gives a network of"
            f" {architecture.n_parameters:,} parameters for {n_features:,} features. Training needs"
            f" at least {n_bytes / 1e9:,.0f} GB of memory, more than is available. Choose smaller"
            " layers."
        ) from error


def per_layer(name: str, value: Any, n_hidden: int) -> list:
    """Return the value of a parameter for each hidden layer.

    Parameters
    ----------
    name : str
        Name of the parameter.
    value : object or sequence
        Value of the parameter: one value for all hidden layers, or a list of one for each.
    n_hidden : int
        Number of hidden layers.

    Returns
    -------
    list
        One value for each hidden layer.

    Raises
    ------
    ValueError
        If the list has the wrong length or an invalid entry.

    Examples
    --------
    >>> from skann.parameters import per_layer
    >>> per_layer("dropout", 0.1, 2)
    [0.1, 0.1]
    """
    values = [value] * n_hidden if _is_one(value) else list(value)
    if len(values) != n_hidden:
        raise ValueError(
            f"{name} must be one value for all hidden layers or a list of one value for each. There"
            f" are {n_hidden} hidden layers, but {name}={value!r} has {len(values)} values."
        )
    names = _one_of(ACTIVATIONS)
    constraint = {"hidden_layer_sizes": _COUNT, "activation": names, "dropout": _SHARE}[name]
    for entry in values:
        if isinstance(entry, bool) or not constraint.is_satisfied_by(entry):
            raise ValueError(
                f"Each value of {name} must be {constraint}; got {entry!r} in {value!r}."
            )
    return values


def _is_one(value: Any) -> bool:
    """Tell whether a value is a single value, not a sequence with ordered entries."""
    unordered = isinstance(value, str | dict | set) or not hasattr(value, "__len__")
    return unordered or getattr(value, "ndim", 1) == 0
