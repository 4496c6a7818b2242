"""What the parameters of `ANNClassifier` may be, alone and together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils._param_validation import Hidden, Interval, Options, StrOptions

from skann.engine.activations import ACTIVATIONS
from skann.engine.batches import Examples
from skann.engine.initializers import INITIALIZERS
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES
from skann.engine.settings import Architecture

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_AUTO = StrOptions({"auto"})
# Training holds the parameters, their gradient, two earlier copies and the optimizer's state.
_VECTORS = 5


def _one_of(names: Iterable[str]) -> StrOptions:
    """Return the constraint to some names, which its message lists in order: a set has none."""
    return StrOptions(dict.fromkeys(sorted(names)).keys())


def _scorer_names(*, of_regression: bool) -> list[str]:
    """Return one part of scikit-learn's list, which has the metrics of all kinds of estimators."""
    return [
        name
        for name in get_scorer_names()
        if get_scorer(name)._score_func.__module__.endswith("_regression") == of_regression
    ]


CONSTRAINTS: dict[str, list] = {
    "hidden_layer_sizes": ["array-like", _COUNT],
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
    "beta_2": [_SHARE],
    "epsilon": [_POSITIVE],
    "n_iter_no_change": [_COUNT, Options(Real, {np.inf})],
    "max_fun": [_COUNT],
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
    "dtype": [_one_of(["float32", "float64"])],
    "input_scaling": [_one_of(["standard", "maxabs"]), None],
    "input_clip": [_POSITIVE, None],
    "dropout": [_AUTO, _SHARE, "array-like"],
    "input_dropout": [_SHARE],
    "input_noise": [_NOT_NEGATIVE],
    "normalization": [_one_of(["batch", "layer"]), None],
    "kernel_initializer": [_AUTO, _one_of(INITIALIZERS)],
    "label_smoothing": [_AUTO, _SHARE],
    "max_norm": [_POSITIVE, None],
    "gradient_clip_norm": [_POSITIVE, None],
    "warmup": [Interval(Real, 0, 1, closed="left")],
    "ema_decay": [_SHARE, None],
    "scoring": [
        _one_of(["loss", *_scorer_names(of_regression=False)]),
        Hidden(_one_of(_scorer_names(of_regression=True))),  # They may suit ordered labels.
        callable,
        None,
    ],
}


class Exclusion(NamedTuple):
    """Two parameters' values that cannot be used together.

    Attributes
    ----------
    parameter : str
        The parameter that has to give way.
    values : tuple or None
        Its values that are excluded; None for all but those that leave it out.
    other, value : str, object
        The other parameter, and its value.
    because : str
        Why.
    """

    parameter: str
    values: tuple | None
    other: str
    value: Any
    because: str

    def applies(self, parameters: Mapping[str, Any]) -> bool:
        """Return whether parameters are such a pair."""
        value = parameters[self.parameter]
        is_given = not _leaves_out(value) if self.values is None else value in self.values
        return is_given and bool(parameters[self.other] == self.value)


_NOISE = "L-BFGS compares losses from step to step, which must not be random"
_STEPS = "it belongs to the steps on mini-batches, which L-BFGS does not make"

EXCLUSIONS: list[Exclusion] = [
    Exclusion("dropout", None, "solver", "lbfgs", _NOISE),
    Exclusion("input_dropout", None, "solver", "lbfgs", _NOISE),
    Exclusion("input_noise", None, "solver", "lbfgs", _NOISE),
    Exclusion(
        "normalization",
        ("batch",),
        "solver",
        "lbfgs",
        "the statistics of a batch are those of mini-batches, which L-BFGS does not make",
    ),
    Exclusion("max_norm", None, "solver", "lbfgs", _STEPS),
    Exclusion("gradient_clip_norm", None, "solver", "lbfgs", _STEPS),
    Exclusion("learning_rate", None, "solver", "lbfgs", _STEPS),
    Exclusion("warmup", None, "solver", "lbfgs", _STEPS),
    Exclusion("ema_decay", None, "solver", "lbfgs", _STEPS),
    Exclusion(
        "normalization", ("batch",), "batch_size", 1, "the variance of one row is not defined"
    ),
]


def check_together(parameters: Mapping[str, Any]) -> None:
    """Raise an error if parameters cannot be used together.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters, valid each for itself.

    Raises
    ------
    ValueError
        If `EXCLUSIONS` has a pair of them.
    """
    for exclusion in EXCLUSIONS:
        if exclusion.applies(parameters):
            name, other = exclusion.parameter, exclusion.other
            raise ValueError(
                f"{name}={parameters[name]!r} cannot be used with"
                f" {other}={exclusion.value!r}: {exclusion.because}. Leave {name} at its default"
                f" or choose another {other}."
            )


def check_partial_fit(parameters: Mapping[str, Any]) -> None:
    """Raise an error if parameters cannot be used with `partial_fit`.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters, valid each for itself.

    Raises
    ------
    ValueError
        If one of them needs all rows at once.
    """
    if parameters["early_stopping"]:
        raise ValueError(
            "partial_fit does not work with early_stopping=True: it sees one batch of rows"
            " at a time and cannot hold a part back. Set early_stopping=False."
        )
    if parameters["class_weight"] == "balanced":
        raise ValueError(
            "partial_fit does not work with class_weight='balanced', which needs the counts"
            " of all rows. Compute them with sklearn.utils.class_weight.compute_class_weight"
            " and give a dict."
        )


def check_rows(parameters: Mapping[str, Any], examples: Examples) -> None:
    """Raise an error if parameters cannot be used with the training rows.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters.
    examples : Examples
        The rows, without those that are held out.

    Raises
    ------
    ValueError
        If `input_noise` would fill a sparse X, or batch normalisation has a single row.
    """
    if parameters["input_noise"] and sparse.issparse(examples.X):
        raise ValueError(
            f"input_noise={parameters['input_noise']!r} cannot be used with sparse X, whose zeros"
            " it would fill. Set input_noise=0, or give X.toarray()."
        )
    if parameters["normalization"] == "batch" and len(examples) == 1:
        raise ValueError(
            "normalization='batch' needs the variance of several rows, but there is one to train"
            " on. Set normalization='layer' or None, or give more rows."
        )


def _leaves_out(value: Any) -> bool:
    """Return whether a value means that a regulariser or the like is not used."""
    if value is None or isinstance(value, str):
        return value in (None, "auto", "one_cycle")
    return not (value if _is_one(value) else any(np.any(entry) for entry in value))


def make_architecture(
    parameters: Mapping[str, Any], n_features: int, n_outputs: int
) -> Architecture:
    """Return what a network is made of.

    Parameters
    ----------
    parameters : mapping of str to object
        Gives `hidden_layer_sizes`, `activation` and `normalization`; `dropout` is checked against
        them.
    n_features, n_outputs : int
        Inputs and outputs of the network.

    Returns
    -------
    Architecture

    Raises
    ------
    ValueError
        If `hidden_layer_sizes`, `activation` or `dropout` is a list of the wrong length or has
        an entry that cannot be used.
    """
    hidden = parameters["hidden_layer_sizes"]
    sizes = [hidden] if _is_one(hidden) else list(hidden)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(
                "hidden_layer_sizes must be a positive integer or a sequence of them, one for"
                f" each hidden layer, such as 100, (128, 64) or () for none; got {hidden!r}."
            )
    activations = _one_per_layer(
        "activation",
        parameters["activation"],
        len(sizes),
        lambda name: isinstance(name, str) and name in ACTIVATIONS,
        f"one of {', '.join(sorted(ACTIVATIONS))}",
    )
    if not isinstance(parameters["dropout"], str):
        dropout_rates(parameters["dropout"], len(sizes))
    return Architecture(
        (n_features, *map(int, sizes), n_outputs),
        tuple(map(str, activations)),
        parameters["normalization"],
    )


def check_memory(architecture: Architecture, dtype: str) -> None:
    """Raise an error if there is not enough memory to train a network.

    Parameters
    ----------
    architecture : Architecture
        Of the network.
    dtype : str
        Computing dtype.

    Raises
    ------
    MemoryError
        If memory does not hold the parameters with what training needs beside them.
    """
    n_bytes = _VECTORS * architecture.n_parameters * np.dtype(dtype).itemsize
    try:
        np.empty(n_bytes, np.uint8)  # Takes no memory as long as nothing is written to it.
    except (MemoryError, ValueError) as error:
        n_features, *hidden, _ = architecture.layer_sizes
        raise MemoryError(
            f"hidden_layer_sizes={tuple(hidden)!r} makes a network of"
            f" {architecture.n_parameters:,} parameters for {n_features:,} features;"
            f" training it takes at least {n_bytes / 1e9:,.0f} GB of memory,"
            " which this machine does not give. Choose smaller layers."
        ) from error


def check_same_architecture(wanted: Architecture, known: Architecture) -> None:
    """Raise an error if a fitted network cannot go on as what the parameters ask for.

    Parameters
    ----------
    wanted, known : Architecture
        What the parameters ask for now, and what the network is made of.

    Raises
    ------
    ValueError
        If they differ.
    """
    names = ("hidden_layer_sizes", "activation", "normalization")
    given = wanted._replace(layer_sizes=wanted.layer_sizes[1:-1])
    for name, value, made, going in zip(names, given, wanted, known, strict=True):
        if made != going:
            raise ValueError(
                f"{name}={value!r} makes a network of {made}, but the one to go on with has"
                f" {going}. Fit a clone to start again."
            )


def dropout_rates(dropout: float | str | Sequence[float], n_hidden: int) -> tuple[float, ...]:
    """Return the dropout rate of each hidden layer.

    Parameters
    ----------
    dropout : float, "auto" or sequence of float
        As given to the estimator, or what "auto" stands for.
    n_hidden : int
        Number of hidden layers.

    Returns
    -------
    tuple of float

    Raises
    ------
    ValueError
        If there is not one rate for each layer or a rate is not in [0, 1).

    Examples
    --------
    >>> from skann.parameters import dropout_rates
    >>> dropout_rates(0.1, 2)
    (0.1, 0.1)
    """
    rates = _one_per_layer(
        "dropout",
        dropout,
        n_hidden,
        lambda rate: isinstance(rate, Real) and not isinstance(rate, bool) and 0 <= float(rate) < 1,
        "a number from 0 to below 1",
    )
    return tuple(map(float, rates))


def _one_per_layer(
    name: str, value: Any, n_hidden: int, is_valid: Callable[[Any], bool], what: str
) -> list:
    """Return a list of one value per hidden layer, from such a list or from one for all."""
    values = [value] * n_hidden if _is_one(value) else list(value)
    if len(values) != n_hidden:
        raise ValueError(
            f"{name} must be one value for all hidden layers or a list of one for each; there are"
            f" {n_hidden} hidden layers, but {name}={value!r} has {len(values)} values."
        )
    for entry in values:
        if not is_valid(entry):
            raise ValueError(f"Each value of {name} must be {what}; got {entry!r} in {value!r}.")
    return values


def _is_one(value: Any) -> bool:
    """Return whether a value is no sequence, whose entries have an order."""
    unordered = isinstance(value, str | dict | set) or not hasattr(value, "__len__")
    return unordered or getattr(value, "ndim", 1) == 0
