"""What ``"auto"`` stands for: from parameters and the shape of the data to `Settings`."""

import math
import threading
from bisect import bisect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from joblib.parallel import get_active_backend

from skann.engine.batches import Examples
from skann.engine.schedules import find_schedule
from skann.engine.settings import Architecture, Settings
from skann.parameters import per_layer
from skann.targets import mean_positive_weight


class Resolved(NamedTuple):
    """Settings without an ``"auto"`` left.

    Attributes
    ----------
    alpha : float
        Strength of the penalty.
    batch_size : int
        Rows of a batch.
    learning_rate_init : float
        Rate that the schedule multiplies.
    max_iter : int
        Most epochs, or iterations of L-BFGS.
    dropout : list of float
        Share of the units of each hidden layer that is dropped.
    label_smoothing : float
        Share of the target that goes to all classes evenly.
    """

    alpha: float
    batch_size: int
    learning_rate_init: float
    max_iter: int
    dropout: list[float]
    label_smoothing: float


# With mini-batches the penalty is divided by the rows of a batch, with L-BFGS by all rows. Below
# the first number of rows, from there on, and from the second on.
_ALPHA_ROWS, _ALPHAS, _ALPHA_LBFGS = (500, 2_500), (0.4, 0.1, 0.05), 1.0
_ROWS_FOR_LARGE_BATCHES = 10_000
# Of decoupled decay, which is no part of the loss.
_ALPHA_ADAMW = 0.01
# Not for L-BFGS, which minimises the log-loss itself. Dropout is of the first hidden layer:
# in the others it costs accuracy on large data.
_DROPOUT, _LABEL_SMOOTHING = 0.1, 0.02

# Rates for a schedule that ends near zero, and for one that need not. The former are peaks.
_RATES = {"adam": (1e-2, 1e-3), "adamw": (1e-2, 1e-3), "sgd": (0.05, 0.01), "lbfgs": (1.0, 1.0)}

# Rows of the batch whose penalty every batch of a stream has, however many rows a call has.
_STREAM_BATCH = 128

# Rows shown in all, after which more of them hardly raise the accuracy, and the epochs that
# large data sets need all the same.
_ROWS_SHOWN = 400_000
_MIN_EPOCHS, _MAX_EPOCHS = 10, 40
_LBFGS_ITERATIONS = 2000


def resolve(
    parameters: Mapping[str, Any],
    n_rows: int,
    n_hidden: int,
    mean_weight: float = 1.0,
    of_stream: bool = False,
) -> Resolved:
    """Replace ``"auto"`` by the rules that the docstring of `ANNClassifier` states.

    Parameters
    ----------
    parameters : mapping of str to object
        Gives `solver`, `learning_rate` and all that `Resolved` holds.
    n_rows : int
        Training rows.
    n_hidden : int
        Hidden layers.
    mean_weight : float
        Of the rows' weights above 0.
    of_stream : bool
        Whether the rows are those of a call of `partial_fit`, which say nothing about all rows.

    Returns
    -------
    Resolved

    Examples
    --------
    >>> from skann import ANNClassifier
    >>> from skann.defaults import resolve
    >>> resolve(ANNClassifier().get_params(), 60_000, 2).batch_size
    256
    """
    solver, has_end = parameters["solver"], find_schedule(parameters["learning_rate"]).has_end
    is_lbfgs = solver == "lbfgs"

    def given_or(automatic: Any, name: str) -> Any:
        return automatic if isinstance(parameters[name], str) else parameters[name]

    batch_size = n_rows if is_lbfgs else int(given_or(_batch_size(n_rows), "batch_size"))
    batch_size = batch_size if of_stream else min(batch_size, n_rows)
    alpha = _ALPHAS[bisect(_ALPHA_ROWS, n_rows)]
    if of_stream:
        alpha = _ALPHAS[-1] * batch_size / _STREAM_BATCH
    alpha = {"lbfgs": _ALPHA_LBFGS, "adamw": _ALPHA_ADAMW}.get(solver, alpha)
    if solver != "adamw":
        # The penalty is divided by the weights: of weights that sum to one, as in boosting, it
        # would leave nothing to learn.
        alpha *= min(1.0, mean_weight)
    dropout = [0.0 if is_lbfgs else _DROPOUT, *[0.0] * n_hidden][:n_hidden]
    label_smoothing = 0.0 if is_lbfgs else _LABEL_SMOOTHING
    return Resolved(
        float(given_or(alpha, "alpha")),
        batch_size,
        float(given_or(_RATES[solver][0 if has_end else 1], "learning_rate_init")),
        int(given_or(_max_iter(solver, n_rows, has_end), "max_iter")),
        per_layer("dropout", given_or(dropout, "dropout"), n_hidden),
        float(given_or(label_smoothing, "label_smoothing")),
    )


def _batch_size(n_rows: int) -> int:
    if n_rows >= _ROWS_FOR_LARGE_BATCHES:
        return 256
    return min(max(2 ** round(math.log2(3 * math.sqrt(n_rows))), 32), 128)


def _max_iter(solver: str, n_rows: int, has_end: bool) -> int:
    if solver == "lbfgs":
        return _LBFGS_ITERATIONS
    if not has_end:  # A schedule without an end runs until the loss no longer falls.
        return 200
    return min(max(math.ceil(_ROWS_SHOWN / n_rows), _MIN_EPOCHS), _MAX_EPOCHS)


def make_settings(
    parameters: Mapping[str, Any],
    architecture: Architecture,
    train: Examples,
    of_stream: bool = False,
) -> Settings:
    """Return what a fit is to do.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters of the estimator.
    architecture : Architecture
        Of its network.
    train : Examples
        Training rows.
    of_stream : bool
        Whether the rows are those of a call of `partial_fit`.

    Returns
    -------
    Settings
    """
    # A NumPy float64 would make arrays in float32 compute in float64: slower, other bits.
    values = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in parameters.items()
    }
    n_hidden, mean_weight = len(architecture.activations), mean_positive_weight(train.weights)
    values |= resolve(values, len(train), n_hidden, mean_weight, of_stream)._asdict()
    values |= {
        "architecture": architecture,
        "dtype": computing_dtype(parameters),
        "loss": architecture.loss,
        "dropout": tuple(map(float, values["dropout"])),
        "one_thread": _fits_run_in_threads(),
    }
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})


def computing_dtype(parameters: Mapping[str, Any]) -> str:
    """Return the dtype that a fit computes in: L-BFGS needs float64."""
    return "float64" if parameters["solver"] == "lbfgs" else str(parameters["dtype"])


def _fits_run_in_threads() -> bool:
    """Tell whether this is a job of joblib's threading backend; others limit their workers."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return bool(get_active_backend()[0].nesting_level) and not in_main_thread
