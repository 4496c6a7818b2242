"""What the parameters of `ANNClassifier` may be, alone and together."""

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils._param_validation import Hidden, Interval, Options, StrOptions

from skann.engine.activations import ACTIVATIONS
from skann.engine.batches import Examples
from skann.engine.initializers import INITIALIZERS
from skann.engine.network import Architecture
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.schedules import SCHEDULES

if TYPE_CHECKING:
    from skann.targets import Labels

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
    "calibration": [StrOptions({"temperature"}), None],
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

    def applies(self, estimator: Any) -> bool:
        """Return whether an estimator's parameters are such a pair."""
        value = getattr(estimator, self.parameter)
        is_given = not _leaves_out(value) if self.values is None else value in self.values
        return is_given and bool(getattr(estimator, self.other) == self.value)


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
    Exclusion("warmup", None, "solver", "lbfgs", _STEPS),
    Exclusion("ema_decay", None, "solver", "lbfgs", _STEPS),
    Exclusion(
        "normalization", ("batch",), "batch_size", 1, "the variance of one row is not defined"
    ),
]


def check_together(estimator: Any) -> None:
    """Raise an error if parameters cannot be used together.

    Parameters
    ----------
    estimator : ANNClassifier
        Its parameters are valid each for itself.

    Raises
    ------
    ValueError
        If `EXCLUSIONS` has a pair of them.
    """
    for exclusion in EXCLUSIONS:
        if exclusion.applies(estimator):
            name, other = exclusion.parameter, exclusion.other
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} cannot be used with"
                f" {other}={exclusion.value!r}: {exclusion.because}. Leave {name} at its default"
                f" or choose another {other}."
            )


def check_partial_fit(estimator: Any) -> None:
    """Raise an error if parameters cannot be used with `partial_fit`.

    Parameters
    ----------
    estimator : ANNClassifier
        Its parameters are valid each for itself.

    Raises
    ------
    ValueError
        If one of them needs all rows at once.
    """
    if estimator.early_stopping:
        raise ValueError(
            "partial_fit does not work with early_stopping=True: it sees one batch of rows"
            " at a time and cannot hold a part back. Set early_stopping=False."
        )
    if estimator.class_weight == "balanced":
        raise ValueError(
            "partial_fit does not work with class_weight='balanced', which needs the counts"
            " of all rows. Compute them with sklearn.utils.class_weight.compute_class_weight"
            " and give a dict."
        )
    if estimator.calibration is not None:
        raise ValueError(
            "partial_fit does not work with calibration, which needs all rows to hold some"
            " back. Set calibration=None."
        )


def check_rows(estimator: Any, examples: Examples) -> None:
    """Raise an error if parameters cannot be used with the training rows.

    Parameters
    ----------
    estimator : ANNClassifier
        Its parameters are valid.
    examples : Examples
        The rows, without those that are held out.

    Raises
    ------
    ValueError
        If `input_noise` would fill a sparse X, or batch normalisation has a single row.
    """
    if estimator.input_noise and sparse.issparse(examples.X):
        raise ValueError(
            f"input_noise={estimator.input_noise!r} cannot be used with sparse X, whose zeros it"
            " would fill. Set input_noise=0, or give X.toarray()."
        )
    if estimator.normalization == "batch" and len(examples) == 1:
        raise ValueError(
            "normalization='batch' needs the variance of several rows, but there is one to train"
            " on. Set normalization='layer' or None, or give more rows."
        )


def _leaves_out(value: Any) -> bool:
    """Return whether a value means that a regulariser or the like is not used."""
    if value is None or isinstance(value, str):
        return value is None or value == "auto"
    return not (value if _is_one(value) else any(np.any(entry) for entry in value))


def make_architecture(estimator: Any, n_outputs: int) -> Architecture:
    """Return what the network of an estimator is made of.

    Parameters
    ----------
    estimator : ANNClassifier
        Gives `hidden_layer_sizes`, `activation`, `normalization` and the number of features;
        `dropout` is checked against them.
    n_outputs : int
        Outputs of the network.

    Returns
    -------
    Architecture

    Raises
    ------
    ValueError
        If `hidden_layer_sizes`, `activation` or `dropout` is a list of the wrong length or has
        an entry that cannot be used.
    MemoryError
        If memory does not hold the parameters with what training needs beside them.
    """
    hidden = estimator.hidden_layer_sizes
    sizes = [hidden] if _is_one(hidden) else list(hidden)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(
                "hidden_layer_sizes must be a whole number above 0 or a sequence of them, one"
                " for each hidden layer, such as 100, (128, 64) or () for none; got"
                f" {hidden!r}."
            )
    activations = _one_per_layer(
        "activation",
        estimator.activation,
        len(sizes),
        lambda name: isinstance(name, str) and name in ACTIVATIONS,
        f"one of {', '.join(sorted(ACTIVATIONS))}",
    )
    if not isinstance(estimator.dropout, str):
        dropout_rates(estimator.dropout, len(sizes))  # An error here costs no earlier fit.
    architecture = Architecture(
        (estimator.n_features_in_, *map(int, sizes), n_outputs),
        tuple(map(str, activations)),
        estimator.normalization,
    )
    _check_memory(estimator, architecture)
    return architecture


def _check_memory(estimator: Any, architecture: Architecture) -> None:
    """Raise an error if there is not enough memory for training, before an earlier fit is lost."""
    dtype = np.dtype("float64" if estimator.solver == "lbfgs" else estimator.dtype)
    n_numbers = _VECTORS * architecture.n_parameters
    try:
        np.empty(n_numbers, dtype)  # Takes no memory as long as nothing is written to it.
    except (MemoryError, ValueError) as error:
        raise MemoryError(
            f"hidden_layer_sizes={estimator.hidden_layer_sizes!r} makes a network of"
            f" {architecture.n_parameters:,} parameters for {estimator.n_features_in_:,} features;"
            f" training it takes at least {n_numbers * dtype.itemsize / 1e9:,.0f} GB of memory,"
            " which this machine does not give. Choose smaller layers."
        ) from error


def check_can_continue(estimator: Any, labels: "Labels", architecture: Architecture) -> None:
    """Raise an error if a fitted estimator cannot go on with these classes and parameters.

    Parameters
    ----------
    estimator : ANNClassifier
        The fitted estimator.
    labels : Labels
        The labels to go on with.
    architecture : Architecture
        What its parameters ask for now.

    Raises
    ------
    ValueError
        If the classes or the layers are others.
    """
    known = estimator._labels
    if not labels.are_those_of(known):
        raise ValueError(
            "warm_start=True needs the classes of the previous fit,"
            f" {known.classes.tolist()}; y has {labels.classes.tolist()}. Set"
            " warm_start=False to start again."
        )
    for made, going in zip(architecture, estimator._network.architecture, strict=True):
        if made != going:
            raise ValueError(
                f"hidden_layer_sizes={estimator.hidden_layer_sizes!r},"
                f" activation={estimator.activation!r} and"
                f" normalization={estimator.normalization!r} make a network of {made}, but the"
                f" one to go on with has {going}. Fit a clone to start again."
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
