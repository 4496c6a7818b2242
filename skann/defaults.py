"""Values of ``"auto"``: from the parameters and the shape of the data to `Settings`."""

import math
import threading
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
    """Settings in which every ``"auto"`` has been replaced.

    Attributes
    ----------
    alpha : float
        Strength of the L2 penalty.
    batch_size : int
        Number of rows in a mini-batch.
    learning_rate_init : float
        Learning rate that the schedule multiplies.
    max_iter : int
        Maximum number of epochs, or of iterations of L-BFGS.
    dropout : list of float
        Dropout rate of each hidden layer.
    label_smoothing : float
        Share of each target that is spread evenly over all classes.
    beta_2 : float
        Decay rate of the second moment in Adam and AdamW.
    """

    alpha: float
    batch_size: int
    learning_rate_init: float
    max_iter: int
    dropout: list[float]
    label_smoothing: float
    beta_2: float


# Fewer rows need a stronger penalty: alpha times the number of rows is constant between two bounds.
# The penalty is divided by the rows of a mini-batch, with L-BFGS by all rows.
_ALPHA_TIMES_ROWS, _LEAST_ALPHA, _LARGEST_ALPHA, _ALPHA_LBFGS = 225, 0.05, 0.6, 1.0
_MANY_ROWS = 10_000
# For decoupled weight decay, which is not part of the loss.
_ALPHA_ADAMW = 0.01
# L-BFGS uses neither, because it minimises the log-loss itself. Dropout applies to the first
# hidden layer only: in later layers it costs accuracy on large data.
_DROPOUT, _LABEL_SMOOTHING = 0.1, 0.02

# For each solver, the peak rate of a schedule with an end, and the rate of one without an end. With
# few rows, and so few steps, Adam has a higher peak and forgets earlier gradients sooner.
_RATES = {"adam": (1e-2, 1e-3), "adamw": (1e-2, 1e-3), "sgd": (0.05, 0.01), "lbfgs": (1.0, 1.0)}
_ADAM_ON_FEW_ROWS, _BETA_2_ON_FEW_ROWS, _BETA_2 = 1.5e-2, 0.95, 0.999

# With `partial_fit`, a batch of any size has the penalty of a batch of this many rows.
_STREAM_BATCH = 128

# Rows that a fit sees in total: more of them hardly raise the accuracy. Large data sets still need
# a minimum number of epochs.
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
    """Replace each ``"auto"`` by the rules in the docstring of `ANNClassifier`.

    Parameters
    ----------
    parameters : mapping of str to object
        Parameters of the estimator: `solver`, `learning_rate` and the names in `Resolved`.
    n_rows : int
        Number of training rows.
    n_hidden : int
        Number of hidden layers.
    mean_weight : float
        Mean of the row weights that are above 0.
    of_stream : bool
        Whether the rows come from a call of `partial_fit`, so that the total number is unknown.

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
    alpha = min(max(_ALPHA_TIMES_ROWS / n_rows, _LEAST_ALPHA), _LARGEST_ALPHA)
    if of_stream:
        alpha = _LEAST_ALPHA * batch_size / _STREAM_BATCH
    alpha = {"lbfgs": _ALPHA_LBFGS, "adamw": _ALPHA_ADAMW}.get(solver, alpha)
    if solver != "adamw":
        # The penalty is divided by the mean weight. With weights that sum to one, as in boosting,
        # it would otherwise be so strong that nothing is learned.
        alpha *= min(1.0, mean_weight)
    dropout = [0.0 if is_lbfgs else _DROPOUT, *[0.0] * n_hidden][:n_hidden]
    label_smoothing = 0.0 if is_lbfgs else _LABEL_SMOOTHING
    beta_2 = _BETA_2_ON_FEW_ROWS if of_stream or n_rows < _MANY_ROWS else _BETA_2
    return Resolved(
        float(given_or(alpha, "alpha")),
        batch_size,
        float(given_or(_rate(solver, n_rows, has_end), "learning_rate_init")),
        int(given_or(_max_iter(solver, n_rows, has_end), "max_iter")),
        per_layer("dropout", given_or(dropout, "dropout"), n_hidden),
        float(given_or(label_smoothing, "label_smoothing")),
        float(given_or(beta_2, "beta_2")),
    )


def _rate(solver: str, n_rows: int, has_end: bool) -> float:
    peak, lasting = _RATES[solver]
    if solver == "adam" and n_rows < _MANY_ROWS:
        peak = _ADAM_ON_FEW_ROWS
    return peak if has_end else lasting


def _batch_size(n_rows: int) -> int:
    if n_rows >= _MANY_ROWS:
        return 256
    return min(max(2 ** round(math.log2(3 * math.sqrt(n_rows))), 32), 128)


def _max_iter(solver: str, n_rows: int, has_end: bool) -> int:
    if solver == "lbfgs":
        return _LBFGS_ITERATIONS
    if not has_end:  # Such a schedule runs until the loss stops falling.
        return 200
    return min(max(math.ceil(_ROWS_SHOWN / n_rows), _MIN_EPOCHS), _MAX_EPOCHS)


def make_settings(
    parameters: Mapping[str, Any],
    architecture: Architecture,
    train: Examples,
    of_stream: bool = False,
) -> Settings:
    """Return the settings of a fit.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters of the estimator.
    architecture : Architecture
        Architecture of the network.
    train : Examples
        Training rows.
    of_stream : bool
        Whether the rows come from a call of `partial_fit`.

    Returns
    -------
    Settings
    """
    # A NumPy float64 would turn float32 arrays into float64, which is slower and changes bits.
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
    """Return the dtype that a fit computes in; L-BFGS needs float64."""
    return "float64" if parameters["solver"] == "lbfgs" else str(parameters["dtype"])


def _fits_run_in_threads() -> bool:
    """Tell whether this is a job of joblib's threading backend; other backends limit threads."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return bool(get_active_backend()[0].nesting_level) and not in_main_thread
