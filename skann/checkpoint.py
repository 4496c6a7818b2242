"""Reading and writing a `TrainingState`, with the fingerprint of its fit, as a checkpoint file."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse

from skann import npz_tree
from skann.engine.batches import Examples
from skann.engine.kernels import VARIABLE
from skann.engine.memory import made_on_first_use
from skann.engine.rows import Scaling
from skann.engine.state import TrainingState
from skann.model import FittedModel
from skann.npz_tree import hash_of
from skann.tables import Encoding
from skann.targets import Labels
from skann.version import VERSION

# Raise it with every change to the content of a file: reading checks nothing but this number.
_FORMAT = 2
# Number of rows of X that are hashed. This takes milliseconds, however large X is.
_FINGERPRINT_ROWS = 1000
# Entries of the header that must not change, and what to do if they have changed.
_SURROUNDINGS = {
    "blas_threads": (
        "{was} BLAS thread(s), but there are {now} now. Another number of threads sums in another"
        " order, which changes the last bits of the result. Start Python with"
        " OPENBLAS_NUM_THREADS={was} (or MKL_NUM_THREADS), or resume inside"
        " threadpoolctl.threadpool_limits({was}, 'blas')."
    ),
    "kernels": (
        "the kernels of {was}, but those of {now} are in use now. They round differently, which"
        f" changes the last bits of the result. Set the environment variable {VARIABLE}={{was}}."
    ),
}


@dataclass
class Origin:
    """What a fit starts from, as recorded in its checkpoints.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters of the estimator.
    labels : Labels
        Maps the class labels to integer codes.
    given : Examples
        The rows given to `fit`, before the validation split.
    held_out : Examples or None
        The validation data given to `fit`.
    stream : mapping
        State of the random number generator before the first draw.
    n_threads : int
        Number of threads that BLAS uses.
    kernels : {"numpy", "numba"}
        Implementation of the kernels.
    """

    parameters: Mapping[str, Any]
    labels: Labels
    given: Examples
    held_out: Examples | None
    stream: Mapping[str, Any]
    n_threads: int
    kernels: str

    @made_on_first_use
    def header(self) -> dict[str, Any]:
        """Return everything that a checkpoint holds beside the state of training."""
        classes = self.labels.classes.tolist()
        fingerprint = _fingerprint(self.given, classes, "")
        if self.held_out is not None:
            fingerprint |= _fingerprint(self.held_out, classes, "_val")
        return {
            "format": _FORMAT,
            "versions": _versions(),
            "parameters": _comparable_parameters(self.parameters),
            "fingerprint": fingerprint,
            "blas_threads": self.n_threads,
            "kernels": self.kernels,
            "stream": self.stream,
        }


def _fingerprint(given: Examples, classes: list, suffix: str) -> dict[str, str]:
    """Hash what `fit` was given: some rows of X, all labels and all weights."""
    hashes = {f"X{suffix}": _hash_of_rows(given.X)}
    hashes[f"y{suffix}"] = hash_of(given.targets, classes)
    if given.weights is not None:
        hashes[f"sample_weight{suffix}"] = hash_of(given.weights)
    return hashes


def _hash_of_rows(X: Any) -> str:
    """Hash the shape, the dtype and up to 1000 rows spread evenly over X."""
    shape = X.shape
    if shape[0] > _FINGERPRINT_ROWS:
        X = X[np.linspace(0, shape[0] - 1, _FINGERPRINT_ROWS).astype(np.intp)]
    if not sparse.issparse(X):
        return hash_of(shape, np.asarray(X))
    X = sparse.csr_array(X)
    # The hash must not depend on whether SciPy uses 32-bit or 64-bit indices.
    return hash_of(shape, X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64))


def save(path: Path, model: FittedModel) -> None:
    """Write the model of a running fit; an existing file is replaced once the new one is complete.

    Parameters
    ----------
    path : Path
        Path of the file.
    model : FittedModel
        The model, with its `state` and `origin`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    fitted = {"scaling": model.scaling, "encoding": model.encoding, "training": vars(model.state)}
    npz_tree.write(path, model.origin.header | fitted)


class SavedFit(NamedTuple):
    """A fit as read from a checkpoint.

    Attributes
    ----------
    path : Path
        Path of the file.
    header : dict
        The entries that `Origin.header` returns.
    scaling : Scaling or None
        Scaling of the inputs.
    encoding : Encoding
        Encoding of the columns of X as inputs.
    state : TrainingState
        State of the training run.
    """

    path: Path
    header: dict[str, Any]
    scaling: Scaling | None
    encoding: Encoding
    state: TrainingState

    @classmethod
    def read(cls, path: str | os.PathLike) -> Self:
        """Read a checkpoint.

        Parameters
        ----------
        path : str or path-like
            Path of the file.

        Returns
        -------
        SavedFit

        Raises
        ------
        OSError
            If there is no such file or it cannot be read.
        ValueError
            If the file is not a checkpoint, is damaged, or has another format.
        """
        path = Path(path)
        tree = npz_tree.read(path)
        if tree["format"] != _FORMAT:
            raise ValueError(
                f"The checkpoint {path} has format {tree['format']}; this version of skann reads"
                f" format {_FORMAT}. Install the versions that wrote it: {tree['versions']}."
            )
        if tree["versions"] != _versions():
            warnings.warn(
                f"The checkpoint {path} was written with {tree['versions']}, but the installed"
                f" versions are {_versions()}. The last bits of the result may differ.",
                stacklevel=4,
            )
        scaling, state = tree.pop("scaling"), TrainingState(**tree.pop("training"))
        encoding = Encoding(*tree.pop("encoding"))
        return cls(path, tree, None if scaling is None else Scaling(*scaling), encoding, state)

    def generator(self) -> np.random.Generator:
        """Return the random number generator in its state before the fit."""
        return replace(self.state, stream=self.header["stream"]).generator()

    def check(self, origin: Origin) -> None:
        """Raise an error if the checkpoint does not belong to this fit.

        Parameters
        ----------
        origin : Origin
            What the resumed fit was given.

        Raises
        ------
        ValueError
            If something differs; the message names it.
        """
        saved, given = self.header, origin.header
        this_is = f"The checkpoint {self.path} is of a fit"
        was, now = saved["parameters"], given["parameters"]
        if names := _different(was, now):
            changes = "; ".join(
                f"{name} was {was.get(name)!r}, now it is {now.get(name)!r}" for name in names
            )
            raise ValueError(
                f"{this_is} with other parameters: {changes}. Set the parameters of that fit."
            )
        if names := _different(saved["fingerprint"], given["fingerprint"]):
            raise ValueError(
                f"{this_is} on other data: {', '.join(names)}"
                f" {'differs' if len(names) == 1 else 'differ'} in shape, dtype or values, or only"
                " one of the fits was given any. Pass the data of the interrupted fit."
            )
        for name, message in _SURROUNDINGS.items():
            if saved[name] != given[name]:
                explained = message.format(was=saved[name], now=given[name])
                raise ValueError(f"{this_is} with {explained}")


def _different(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return the names of entries that differ, or that only one of the two mappings has."""
    return sorted(name for name in {*saved, *given} if saved.get(name) != given.get(name))


def _versions() -> dict[str, str]:
    return {"skann": VERSION, "numpy": np.__version__}


def _comparable_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a resumed fit must share, in the form that JSON keeps."""
    comparable = {name: _comparable(value) for name, value in parameters.items()}
    del comparable["verbose"]
    # Only an integer can be compared; the state of a generator is in the file.
    if not isinstance(parameters["random_state"], Integral):
        comparable["random_state"] = None
    return comparable


def _comparable(value: Any) -> Any:
    """Return numbers and names as they are, sequences as lists, anything else as its name."""
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, columns of pandas.
        value = value.tolist()
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, Mapping):
        return sorted((_comparable(pair) for pair in value.items()), key=repr)
    if isinstance(value, Sequence):
        return [_comparable(entry) for entry in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
