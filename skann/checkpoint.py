"""The state of a running fit, to a file and back.

A checkpoint is one ``.npz`` file: arrays, and a JSON text with all that is no array. Reading it
runs no code.
"""

import hashlib
import json
import os
import re
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann.engine.batches import Examples
from skann.engine.memory import made_on_first_use
from skann.engine.network import Architecture
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.stopping import Epoch, Reason
from skann.engine.threads import blas_threads
from skann.parameters import CONSTRAINTS
from skann.targets import Labels

if TYPE_CHECKING:
    from skann.classifier import ANNClassifier
    from skann.engine.training import MiniBatchTraining

_FORMAT = 1
_JSON = "json"
_ARRAY = "__array__"
# No count of a fit is larger; NumPy and floats have no room for integers that are.
_LARGEST = 2**63
# Rows of X that its fingerprint looks at: milliseconds, however large X is.
_FINGERPRINT_ROWS = 1000
# What a write that was killed has left behind is removed once it is this old; a write that goes
# on is younger.
_LEFTOVER_SECONDS = 600.0


# What a checkpoint holds ------------------------------------------------------------------------


class RowSample(NamedTuple):
    """The rows of X that its fingerprint looks at, as they were given.

    Attributes
    ----------
    shape : tuple of int
        Of all of X.
    rows : ndarray or sparse array
        All of them, or up to 1000 spread evenly over X.
    """

    shape: tuple[int, ...]
    rows: Any

    @classmethod
    def of(cls, X: Any, by_rows: Any) -> Self:
        """Return a sample of X, which is not kept where its copy by rows has the same numbers."""
        if by_rows.dtype == X.dtype:
            return cls(X.shape, by_rows)
        return cls(X.shape, _spread_evenly(X))

    @property
    def hash(self) -> str:
        """A hash of numbers, dtype and shape: the same in any memory order."""
        rows = _spread_evenly(self.rows)
        if not sparse.issparse(rows):
            rows = _native(rows)
            return _hash(f"dense{rows.dtype.str}{self.shape}", rows)
        rows = sparse.csr_array(rows)
        data = _native(rows.data)
        about = f"csr_array{data.dtype.str}{self.shape}"
        # Whether SciPy indexes with 32 or 64 bits makes no difference.
        return _hash(about, data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64))


def _spread_evenly(X: Any) -> Any:
    """Return up to 1000 rows of X; X itself where it has no more."""
    n_rows = X.shape[0]
    if n_rows <= _FINGERPRINT_ROWS:
        return X
    X = X if sparse.issparse(X) else np.asarray(X)
    return X[np.linspace(0, n_rows - 1, _FINGERPRINT_ROWS).astype(np.intp)]


def _native(array: Any) -> NDArray:
    """Return an array in the byte order of the machine."""
    return np.asarray(array, array.dtype.newbyteorder("="))


@dataclass
class FitStart:
    """What a fit starts from, beside the parameters of its estimator.

    Parameters
    ----------
    labels : Labels
        The labels of the codes.
    sample : RowSample
        Of the rows given to `fit`.
    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Their encoded targets, before any rows are held out.
    sample_weight : ndarray of shape (n_samples,) or None
        Without the class weights.
    held_out : Examples or None
        The validation data given to `fit`.
    stream : dict
        State of the random stream before anything is drawn.
    """

    labels: Labels
    sample: RowSample
    targets: NDArray
    sample_weight: NDArray | None
    held_out: Examples | None
    stream: Mapping[str, Any]

    @made_on_first_use
    def fingerprint(self) -> dict[str, str | None]:
        """Hash each array given to `fit`; None where there is none.

        Of X they are those of its shape, its dtype and up to 1000 rows spread evenly over it; of
        labels and weights, of all of them.
        """
        classes = repr(self.labels.classes.tolist())
        fingerprint: dict[str, str | None] = dict.fromkeys(_FINGERPRINT)
        fingerprint["X"] = self.sample.hash
        fingerprint["y"] = _hash(self.targets, classes)
        if self.sample_weight is not None:
            fingerprint["sample_weight"] = _hash(self.sample_weight)
        if self.held_out is not None:
            X, codes, weights, _ = self.held_out
            fingerprint["X_val"] = RowSample(X.shape, X).hash
            fingerprint["y_val"] = _hash(codes, classes)
            fingerprint["sample_weight_val"] = None if weights is None else _hash(weights)
        return fingerprint


def _hash(*parts: NDArray | str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


@dataclass
class FitInProgress:
    """A fit between two epochs, which can be saved.

    Parameters
    ----------
    estimator : ANNClassifier
        The estimator that is being fitted.
    start : FitStart
        What it has started from.
    training : MiniBatchTraining
        The training.
    """

    estimator: "ANNClassifier"
    start: FitStart
    training: "MiniBatchTraining"

    @made_on_first_use
    def _header(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "versions": _versions(),
            "parameters": _comparable_parameters(self.estimator),
            "fingerprint": self.start.fingerprint,
            "blas_threads": blas_threads(),
            "stream": self.start.stream,
            "rows_seen_before": self.estimator.t_,
            "scaling": getattr(self.estimator, "_scaling", None),
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint; one that is there already is lost only to a complete new one.

        Parameters
        ----------
        path : Path
            The file.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        tree = {**self._header, "training": self.training.state()}
        try:
            write(path, tree)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The checkpoint {path} cannot be written: {error.strerror}. Give a path in a"
                " folder that exists, has room and may be written to",
            ) from error


class SavedFit(NamedTuple):
    """A fit as a checkpoint holds it.

    Attributes
    ----------
    path : Path
        The file.
    fingerprint : dict
        Of the data (see `FitStart`).
    blas_threads : int
        Threads that BLAS used.
    stream : dict
        State of the random stream before anything was drawn.
    rows_seen_before : int
        `t_` when the fit began.
    scaling : list or None
        Of the inputs, the values of a `skann.engine.batches.Scaling`.
    training : dict
        State of the training (see `MiniBatchTraining.state`).
    """

    path: Path
    fingerprint: dict[str, str | None]
    blas_threads: int
    stream: dict[str, Any]
    rows_seen_before: int
    scaling: list | None
    training: dict[str, Any]

    @classmethod
    def read(cls, path: str | os.PathLike, estimator: "ANNClassifier") -> Self:
        """Read a checkpoint of a fit with the parameters of an estimator.

        Parameters
        ----------
        path : str or path-like
            The file.
        estimator : ANNClassifier
            The estimator that is to go on.

        Returns
        -------
        SavedFit

        Raises
        ------
        OSError
            If there is no such file or it may not be read.
        ValueError
            If it is no checkpoint or damaged, or of a fit with other parameters.
        """
        path = Path(path)
        tree = read(path)
        if not isinstance(tree, dict) or not {"format", "versions"} <= set(tree):
            raise ValueError(f"{path} is not a checkpoint of ANNClassifier.")
        _check_form(path, tree["format"], int, "format")
        if tree["format"] != _FORMAT:
            raise ValueError(
                f"The checkpoint {path} has format {tree['format']}; this version of skann reads"
                f" format {_FORMAT}. Use the versions that wrote it: {tree['versions']}."
            )
        _check_form(path, tree, _HEADER_FORM, "the file")
        # No fit writes arrays there, which cannot be compared as the other values are.
        parameters = {name: _comparable(value) for name, value in tree["parameters"].items()}
        _check_parameters(path, parameters, _comparable_parameters(estimator))
        if tree["versions"] != _versions():
            warnings.warn(
                f"The checkpoint {path} was written with {tree['versions']}; these are"
                f" {_versions()}. The last bits of the result may differ.",
                stacklevel=4,
            )
        return cls(
            path,
            tree["fingerprint"],
            tree["blas_threads"],
            tree["stream"],
            tree["rows_seen_before"],
            tree["scaling"],
            tree["training"],
        )

    def check_training(self, estimator: "ANNClassifier", architecture: Architecture) -> None:
        """Raise an error if scaling or training are not what such a fit writes to its file.

        Parameters
        ----------
        estimator : ANNClassifier
            The estimator that is to go on.
        architecture : Architecture
            Of its network.

        Raises
        ------
        ValueError
            Names what is wrong.
        """
        if estimator.solver not in OPTIMIZERS:
            raise ValueError(f"{self.path} is damaged: solver='lbfgs' writes no checkpoints.")
        _check_form(self.path, self.scaling, _scaling_form(architecture), "scaling")
        _check_form(self.path, self.training, _training_form(estimator, architecture), "training")
        history = self.training["stopping"]["history"]
        _check_form(self.path, self.training["n_epochs"], len(history), "training.n_epochs")

    def restore(self, estimator: "ANNClassifier") -> None:
        """Give an estimator what the fit had found out before the first epoch.

        Parameters
        ----------
        estimator : ANNClassifier
            The estimator that is to go on.
        """
        estimator.t_ = self.rows_seen_before
        if self.scaling is not None:
            estimator._scaling = tuple(self.scaling)

    def random_stream(self) -> np.random.Generator:
        """Return the random stream as it was before the fit."""
        rng = np.random.default_rng()
        rng.bit_generator.state = self.stream
        return rng

    def check_data(self, start: FitStart) -> None:
        """Raise an error if the data is not that of the fit.

        Parameters
        ----------
        start : FitStart
            Holds the data.

        Raises
        ------
        ValueError
            Names what differs.
        """
        given = start.fingerprint
        different = [name for name in given if given[name] != self.fingerprint[name]]
        if different:
            raise ValueError(
                f"The checkpoint {self.path} is of a fit to other data: {', '.join(different)}"
                f" {'differs' if len(different) == 1 else 'differ'} in shape, dtype or values, or"
                " in being given at all. Give what the interrupted fit was given."
            )

    def check_threads(self) -> None:
        """Raise an error if BLAS uses another number of threads than in the fit.

        Raises
        ------
        ValueError
            With both numbers.
        """
        if blas_threads() != self.blas_threads:
            raise ValueError(
                f"The checkpoint {self.path} is of a fit with {self.blas_threads} BLAS thread(s);"
                f" now there are {blas_threads()}, which sum in another order and so give other"
                f" bits. Start Python with OPENBLAS_NUM_THREADS={self.blas_threads} (or"
                " MKL_NUM_THREADS), or resume inside"
                f" threadpoolctl.threadpool_limits({self.blas_threads}, 'blas')."
            )


_FINGERPRINT = ("X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val")
_STREAM = object()
_HEADER_FORM = {
    "format": int,
    "versions": {"skann": str, "numpy": str},
    "parameters": dict,
    "fingerprint": dict.fromkeys(_FINGERPRINT, (str, None)),
    "blas_threads": int,
    "stream": _STREAM,
    "rows_seen_before": int,
    "scaling": (list, None),
    "training": dict,
}


def _scaling_form(architecture: Architecture) -> tuple:
    features = np.empty(architecture.layer_sizes[0])
    with_factor = [(features, None), features, (float, None), bool]
    return with_factor, [None, None, float, False], None


def _training_form(estimator: "ANNClassifier", architecture: Architecture) -> dict[str, Any]:
    parameters = np.empty(architecture.n_parameters, estimator.dtype)
    trainable = parameters[: architecture.n_trainable]
    names = ("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon")
    settings = {name: getattr(estimator, name) for name in names}
    optimizer = OPTIMIZERS[estimator.solver](trainable, trainable, 0, **settings).state()
    average = {"values": parameters, "n_updates": int}
    epoch = dict.fromkeys(Epoch._fields, (float, None)) | {"loss": float, "seconds": float}
    return {
        "n_epochs": int,
        "n_rows_seen": int,
        "learning_rate_init": float,
        "parameters": parameters,
        "proven": parameters,
        "average": None if estimator.ema_decay is None else average,
        "optimizer": {
            name: value if isinstance(value, np.ndarray) else type(value)
            for name, value in optimizer.items()
        },
        "stopping": {
            "history": _Repeated(epoch),
            "best_loss": float,
            "best_validation_score": float,
            "best_parameters": (parameters, None),
            "n_without_improvement": int,
            "reason": (*get_args(Reason), None),
        },
        "rng": _STREAM,
    }


class _Repeated(NamedTuple):
    """The form of a list of any length whose entries have one form."""

    form: Any


def _check_form(path: Path, value: Any, form: Any, where: str) -> None:
    """Raise an error if a part of a checkpoint has not the form that a fit gives it."""
    if fault := _fault(value, form, where):
        raise ValueError(f"{path} is not a checkpoint, or it is damaged: {fault}.")


def _fault(value: Any, form: Any, where: str) -> str:
    """Return what is wrong with a part of a checkpoint; empty if nothing is.

    Its form is a dict or list of forms, a tuple of forms to choose from, an array of the same
    shape and dtype, a type, or the value itself.
    """
    if isinstance(form, _Repeated):
        form = [form.form] * len(value) if isinstance(value, list) else list
    elif isinstance(form, tuple):
        faults = [_fault(value, one, where) for one in form]
        return "" if "" in faults else faults[0]
    if isinstance(form, dict):
        if type(value) is dict and value.keys() == form.keys():
            parts = (_fault(value[name], form[name], f"{where}.{name}") for name in form)
            return next(filter(None, parts), "")
        return f"{where} must have the entries {', '.join(form)}"
    if isinstance(form, list):
        if type(value) is list and len(value) == len(form):
            pairs = enumerate(zip(value, form, strict=True))
            parts = (_fault(*pair, f"{where}.{position}") for position, pair in pairs)
            return next(filter(None, parts), "")
        return f"{where} must be a list of {len(form)} values"
    is_right, expected = _compare(value, form)
    return "" if is_right else f"{where} must be {expected}"


def _compare(value: Any, form: Any) -> tuple[bool, str]:
    """Return whether a single value has its form, and that form in words."""
    if form is _STREAM:
        return _is_stream(value), "the state of a random stream"
    if form is int:
        return type(value) is int and 0 <= value < _LARGEST, "an integer from 0"
    if form is float:
        is_integer = type(value) is int and abs(value) < _LARGEST
        return type(value) is float or is_integer, "a number"
    if isinstance(form, type):
        return type(value) is form, f"of type {form.__name__}"
    if isinstance(form, np.ndarray):
        is_right = isinstance(value, np.ndarray) and value.shape == form.shape
        expected = f"an array of shape {form.shape} and dtype {form.dtype}"
        return is_right and value.dtype == form.dtype, expected
    return type(value) is type(form) and value == form, repr(form)


def _is_stream(value: Any) -> bool:
    try:
        np.random.default_rng().bit_generator.state = value
    except Exception:  # NumPy raises half a dozen kinds.
        return False
    return True


def _versions() -> dict[str, str]:
    from skann import __version__  # It imports this module.

    return {"skann": __version__, "numpy": np.__version__}


def _comparable_parameters(estimator: "ANNClassifier") -> dict[str, Any]:
    """Return the parameters that a resumed fit must share, as JSON holds them."""
    # A subclass may take fewer, which decide on all others, and some of its own.
    ours = {name: getattr(estimator, name) for name in CONSTRAINTS}
    parameters = estimator.get_params(deep=False) | ours
    del parameters["verbose"]
    # Any other is used up: the state of the stream is in the file.
    if not isinstance(parameters["random_state"], Integral):
        parameters["random_state"] = None
    return {name: _comparable(value) for name, value in parameters.items()}


def _comparable(value: Any) -> Any:
    """Return numbers and names as they are, sequences as lists, all else by name."""
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, pandas' columns.
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        pairs = [[_comparable(key), _comparable(entry)] for key, entry in value.items()]
        return sorted(pairs, key=repr)
    if isinstance(value, Sequence):
        return [_comparable(entry) for entry in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _check_parameters(path: Path, saved: dict[str, Any], given: dict[str, Any]) -> None:
    different = [
        f"{name} was {saved.get(name)!r}, now it is {given.get(name)!r}"
        for name in sorted({*saved, *given})
        if name not in saved or name not in given or saved[name] != given[name]
    ]
    if different:
        raise ValueError(
            f"The checkpoint {path} is of a fit with other parameters: {'; '.join(different)}."
            " Set those of the interrupted fit."
        )


# The file ---------------------------------------------------------------------------------------


def write(path: Path, tree: dict[str, Any]) -> None:
    """Write a tree of arrays, numbers and strings to a file, at once or not at all.

    Parameters
    ----------
    path : Path
        The file. What is there is replaced when everything new is on the disk.
    tree : dict
        With string keys; dicts, lists, arrays, numbers and strings inside.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skann.checkpoint import read, write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.npz"), {"numbers": [2**100, np.arange(2)], "name": "a"})
    ...     read(Path(folder, "a.npz"))
    {'numbers': [1267650600228229401496703205376, array([0, 1])], 'name': 'a'}
    """
    arrays: dict[str, Any] = {}
    text = json.dumps(_without_arrays(tree, "", arrays))
    arrays[_JSON] = np.frombuffer(text.encode(), np.uint8)
    # A name for each process and thread, in case several write to one path.
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    temporary = path.with_name(f"{_leftover_prefix(path)}{writer}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict

    Raises
    ------
    OSError
        If there is no such file or it may not be read.
    ValueError
        If it is incomplete, damaged or something else.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as npz:
                arrays = {name: npz[name] for name in npz.files}
            if _JSON not in arrays:
                raise ValueError("it has no state of a fit")
            return _with_arrays(json.loads(arrays[_JSON].tobytes()), arrays)
        # NumPy, zipfile and json raise a dozen kinds, depending on which byte is wrong.
        except Exception as error:
            raise ValueError(
                f"{path} is not a checkpoint, or it is incomplete or damaged: {error}"
            ) from error


def remove_leftovers(path: Path) -> None:
    """Remove what writes to `path` that were killed have left beside it.

    Parameters
    ----------
    path : Path
        The file.
    """
    with suppress(OSError):  # Not tidy, but no reason not to train.
        for leftover in path.parent.glob("*.tmp"):
            age = time.time() - leftover.stat().st_mtime
            if leftover.name.startswith(_leftover_prefix(path)) and age > _LEFTOVER_SECONDS:
                leftover.unlink()


def _leftover_prefix(path: Path) -> str:
    return f".{path.name}."


def _sync_folder(folder: Path) -> None:
    """Bring the new name of a file to the disk, where folders can be synchronised."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _without_arrays(value: Any, name: str, arrays: dict[str, NDArray]) -> Any:
    """Put the arrays of a tree into `arrays`; return the tree with their names instead."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    prefix = f"{name}." if name else ""
    if isinstance(value, dict):
        return {
            key: _without_arrays(entry, f"{prefix}{key}", arrays) for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _without_arrays(entry, f"{prefix}{position}", arrays)
            for position, entry in enumerate(value)
        ]
    return value


def _with_arrays(value: Any, arrays: dict[str, NDArray]) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        return {key: _with_arrays(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_arrays(entry, arrays) for entry in value]
    return value
