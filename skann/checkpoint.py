"""A `TrainingState` with the fingerprint of its fit, to a file and back."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skann import npz_tree
from skann.engine.batches import Examples
from skann.engine.memory import made_on_first_use
from skann.engine.optimizers import OPTIMIZERS
from skann.engine.rows import Scaling
from skann.engine.settings import Architecture, Settings
from skann.engine.state import TrainingState
from skann.engine.stopping import Epoch, Reason
from skann.model import FittedModel
from skann.targets import Labels
from skann.version import VERSION

_FORMAT = 1
# No count of a fit is larger; NumPy and floats have no room for integers that are.
_LARGEST = 2**63
# Rows of X that its fingerprint looks at: milliseconds, however large X is.
_FINGERPRINT_ROWS = 1000


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
class Origin:
    """What a fit starts from, as its checkpoints note it.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters of the estimator.
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
    stream : mapping
        State of the random stream before anything is drawn.
    n_threads : int
        Threads that BLAS uses.
    """

    parameters: Mapping[str, Any]
    labels: Labels
    sample: RowSample
    targets: NDArray
    sample_weight: NDArray | None
    held_out: Examples | None
    stream: Mapping[str, Any]
    n_threads: int

    @made_on_first_use
    def header(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside the state of training."""
        return {
            "format": _FORMAT,
            "versions": _versions(),
            "parameters": _comparable_parameters(self.parameters),
            "fingerprint": self.fingerprint,
            "blas_threads": self.n_threads,
            "stream": self.stream,
        }

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
            X, weights = self.held_out.X, self.held_out.weights
            fingerprint["X_val"] = RowSample(X.shape, X).hash
            fingerprint["y_val"] = _hash(self.held_out.targets, classes)
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


def save(path: Path, model: FittedModel) -> None:
    """Write the model of a running fit; a file that is there is lost only to a complete new one.

    Parameters
    ----------
    path : Path
        The file.
    model : FittedModel
        With `state` and `origin`.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    scaling = None if model.scaling is None else list(model.scaling)
    tree = {**model.origin.header, "scaling": scaling, "training": vars(model.state)}
    with _naming_checkpoint(path):
        npz_tree.write(path, tree)


def check_writable(path: Path) -> None:
    """Raise an error, the same as `save`, if a file cannot be written."""
    with _naming_checkpoint(path):
        npz_tree.check_writable(path)


@contextmanager
def _naming_checkpoint(path: Path) -> Iterator[None]:
    try:
        yield
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
    header : dict
        As in `Origin`.
    scaling : Scaling or None
        Of the inputs.
    state : TrainingState
        Of the run.
    """

    path: Path
    header: dict[str, Any]
    scaling: Scaling | None
    state: TrainingState

    @classmethod
    def read(cls, path: str | os.PathLike, parameters: Mapping[str, Any]) -> Self:
        """Read a checkpoint of a fit with the same parameters.

        Parameters
        ----------
        path : str or path-like
            The file.
        parameters : mapping of str to object
            Of the estimator that is to go on.

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
        try:
            tree = npz_tree.read(path)
        except ValueError as error:
            raise ValueError(f"{path} is not a checkpoint of ANNClassifier: {error}") from error
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
        saved = {name: _comparable(value) for name, value in tree["parameters"].items()}
        _check_parameters(path, saved, _comparable_parameters(parameters))
        if tree["versions"] != _versions():
            warnings.warn(
                f"The checkpoint {path} was written with {tree['versions']}; these are"
                f" {_versions()}. The last bits of the result may differ.",
                stacklevel=4,
            )
        scaling, training = tree.pop("scaling"), tree.pop("training")
        _check_form(path, set(training), set(_STATE_FIELDS), "training")
        return cls(
            path,
            tree,
            None if scaling is None else Scaling(*scaling),
            TrainingState(**training),
        )

    def generator(self) -> np.random.Generator:
        """Return the random generator as it was before the fit."""
        rng = np.random.default_rng()
        rng.bit_generator.state = self.header["stream"]
        return rng

    def check(self, origin: Origin, settings: Settings) -> None:
        """Raise an error if a fit cannot go on with what the checkpoint holds.

        Parameters
        ----------
        origin : Origin
            What the fit has been given.
        settings : Settings
            What it is to do.

        Raises
        ------
        ValueError
            Names what differs or is damaged.
        """
        saved, given = self.header["fingerprint"], origin.fingerprint
        different = [name for name in given if given[name] != saved[name]]
        if different:
            raise ValueError(
                f"The checkpoint {self.path} is of a fit to other data: {', '.join(different)}"
                f" {'differs' if len(different) == 1 else 'differ'} in shape, dtype or values, or"
                " in being given at all. Give what the interrupted fit was given."
            )
        if settings.solver not in OPTIMIZERS:
            fault = f"a fit with solver={settings.solver!r} has no state that can be saved"
            raise _damaged(self.path, fault)
        scaling = None if self.scaling is None else list(self.scaling)
        _check_form(self.path, scaling, _scaling_form(settings.architecture), "scaling")
        clip = None if self.scaling is None else self.scaling.clip
        if clip is not None and not clip > 0:
            raise ValueError(
                f"{self.path} is not a checkpoint, or it is damaged: scaling.2 must be above 0."
            )
        training = vars(self.state)
        _check_form(self.path, training, _training_form(settings), "training")
        epochs = training["epochs"]
        n_epochs = len(epochs["stopping"]["history"])
        _check_form(self.path, epochs["n_epochs"], n_epochs, "training.epochs.n_epochs")
        if n_epochs > settings.max_iter:
            raise _damaged(self.path, f"it has {n_epochs} epochs of {settings.max_iter}")
        n_threads = self.header["blas_threads"]
        if origin.n_threads != n_threads:
            raise ValueError(
                f"The checkpoint {self.path} is of a fit with {n_threads} BLAS thread(s); now"
                f" there are {origin.n_threads}, which sum in another order and so give other"
                f" bits. Start Python with OPENBLAS_NUM_THREADS={n_threads} (or"
                " MKL_NUM_THREADS), or resume inside"
                f" threadpoolctl.threadpool_limits({n_threads}, 'blas')."
            )


_STATE_FIELDS = tuple(TrainingState.__dataclass_fields__)
_FINGERPRINT = ("X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val")
_STREAM, _ANYTHING = object(), object()
_HEADER_FORM = {
    "format": int,
    "versions": {"skann": str, "numpy": str},
    "parameters": dict,
    "fingerprint": dict.fromkeys(_FINGERPRINT, (str, None)),
    "blas_threads": int,
    "stream": _STREAM,
    "scaling": ([_ANYTHING] * len(Scaling._fields), None),
    "training": dict,
}


def _scaling_form(architecture: Architecture) -> tuple:
    features = np.empty(architecture.layer_sizes[0])
    with_factor = [(features, None), features, (float, None), bool, str]
    return with_factor, [None, None, float, False, None], None


def _training_form(settings: Settings) -> dict[str, Any]:
    architecture = settings.architecture
    parameters = np.empty(architecture.n_parameters, settings.dtype)
    trainable = parameters[: architecture.n_trainable]
    names = ("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon")
    hyperparameters = {name: getattr(settings, name) for name in names}
    optimizer = OPTIMIZERS[settings.solver](trainable, trainable, 0, **hyperparameters).state()
    average = {"decay": settings.ema_decay, "values": parameters, "n_updates": int}
    epoch = dict.fromkeys(Epoch._fields, (float, None)) | {"loss": float, "seconds": float}
    return {
        "parameters": parameters,
        "stream": _STREAM,
        "n_rows_seen": int,
        "solver": settings.solver,
        "optimizer": {
            name: value if isinstance(value, np.ndarray) else type(value)
            for name, value in optimizer.items()
        },
        "average": None if settings.ema_decay is None else average,
        "epochs": {
            "n_epochs": int,
            "learning_rate": float,
            "proven": parameters,
            "stopping": {
                "history": _Repeated(epoch),
                "best_loss": float,
                "best_validation_score": float,
                "best_parameters": (parameters, None),
                "n_without_improvement": int,
                "reason": (*get_args(Reason), None),
            },
        },
    }


class _Repeated(NamedTuple):
    """The form of a list of any length whose entries have one form."""

    form: Any


def _check_form(path: Path, value: Any, form: Any, where: str) -> None:
    """Raise an error if a part of a checkpoint has not the form that a fit gives it."""
    if fault := _fault(value, form, where):
        raise _damaged(path, fault)


def _damaged(path: Path, fault: str) -> ValueError:
    return ValueError(f"{path} is not a checkpoint, or it is damaged: {fault}.")


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
    if form is _ANYTHING:
        return True, "anything"
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
    return {"skann": VERSION, "numpy": np.__version__}


def _comparable_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a resumed fit must share, as JSON holds them."""
    comparable = {name: _comparable(value) for name, value in parameters.items()}
    del comparable["verbose"]
    # Any other is used up: the state of the stream is in the file.
    if not isinstance(parameters["random_state"], Integral):
        comparable["random_state"] = None
    return comparable


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
