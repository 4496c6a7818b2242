"""A `TrainingState` with the fingerprint of its fit, to a file and back."""

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

# To be raised with every change to what a file holds: nothing in it is checked but this number.
_FORMAT = 2
# Rows of X that its fingerprint looks at: milliseconds, however large X is.
_FINGERPRINT_ROWS = 1000
# What of the header must be as it was, beside parameters and data, and what to do if it is not.
_SURROUNDINGS = {
    "blas_threads": (
        "{was} BLAS thread(s); now there are {now}, which sum in another order and so give other"
        " bits. Start Python with OPENBLAS_NUM_THREADS={was} (or MKL_NUM_THREADS), or resume inside"
        " threadpoolctl.threadpool_limits({was}, 'blas')."
    ),
    "kernels": (
        "the kernels of {was}; now those of {now} are in use, which round otherwise and so give"
        f" other bits. Set the environment variable {VARIABLE}={{was}}."
    ),
}


@dataclass
class Origin:
    """What a fit starts from, as its checkpoints note it.

    Parameters
    ----------
    parameters : mapping of str to object
        All parameters of the estimator.
    labels : Labels
        The labels of the codes.
    given : Examples
        The rows given to `fit`, before any are held out.
    held_out : Examples or None
        The validation data given to `fit`.
    stream : mapping
        State of the random stream before anything is drawn.
    n_threads : int
        Threads that BLAS uses.
    kernels : {"numpy", "numba"}
        Implementation of the inner operations.
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
        """Return what a checkpoint holds beside the state of training."""
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
    """Hash what `fit` was given: some rows of X, and labels and weights in full."""
    hashes = {f"X{suffix}": _hash_of_rows(given.X)}
    hashes[f"y{suffix}"] = hash_of(given.targets, classes)
    if given.weights is not None:
        hashes[f"sample_weight{suffix}"] = hash_of(given.weights)
    return hashes


def _hash_of_rows(X: Any) -> str:
    """Hash shape, dtype and up to 1000 rows spread evenly over X."""
    shape = X.shape
    if shape[0] > _FINGERPRINT_ROWS:
        X = X[np.linspace(0, shape[0] - 1, _FINGERPRINT_ROWS).astype(np.intp)]
    if not sparse.issparse(X):
        return hash_of(shape, np.asarray(X))
    X = sparse.csr_array(X)
    # Whether SciPy indexes with 32 or 64 bits makes no difference.
    return hash_of(shape, X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64))


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
    fitted = {"scaling": model.scaling, "encoding": model.encoding, "training": vars(model.state)}
    npz_tree.write(path, model.origin.header | fitted)


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
    encoding : Encoding
        Of the given columns as inputs.
    state : TrainingState
        Of the run.
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
            The file.

        Returns
        -------
        SavedFit

        Raises
        ------
        OSError
            If there is no such file or it may not be read.
        ValueError
            If it is no checkpoint, damaged, or of another format.
        """
        path = Path(path)
        tree = npz_tree.read(path)
        if tree["format"] != _FORMAT:
            raise ValueError(
                f"The checkpoint {path} has format {tree['format']}; this version of skann reads"
                f" format {_FORMAT}. Use the versions that wrote it: {tree['versions']}."
            )
        if tree["versions"] != _versions():
            warnings.warn(
                f"The checkpoint {path} was written with {tree['versions']}; these are"
                f" {_versions()}. The last bits of the result may differ.",
                stacklevel=4,
            )
        scaling, state = tree.pop("scaling"), TrainingState(**tree.pop("training"))
        encoding = Encoding(*tree.pop("encoding"))
        return cls(path, tree, None if scaling is None else Scaling(*scaling), encoding, state)

    def generator(self) -> np.random.Generator:
        """Return the random generator as it was before the fit."""
        return replace(self.state, stream=self.header["stream"]).generator()

    def check(self, origin: Origin) -> None:
        """Raise an error if a fit cannot go on with what the checkpoint holds.

        Parameters
        ----------
        origin : Origin
            What the fit has been given.

        Raises
        ------
        ValueError
            Names what differs.
        """
        saved, given = self.header, origin.header
        this_is = f"The checkpoint {self.path} is of a fit"
        was, now = saved["parameters"], given["parameters"]
        if names := _different(was, now):
            changes = "; ".join(
                f"{name} was {was.get(name)!r}, now it is {now.get(name)!r}" for name in names
            )
            raise ValueError(
                f"{this_is} with other parameters: {changes}. Set those of the interrupted fit."
            )
        if names := _different(saved["fingerprint"], given["fingerprint"]):
            raise ValueError(
                f"{this_is} to other data: {', '.join(names)}"
                f" {'differs' if len(names) == 1 else 'differ'} in shape, dtype or values, or in"
                " being given at all. Give what the interrupted fit was given."
            )
        for name, message in _SURROUNDINGS.items():
            if saved[name] != given[name]:
                explained = message.format(was=saved[name], now=given[name])
                raise ValueError(f"{this_is} with {explained}")


def _different(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return the names of entries that differ, or that only one of the two has."""
    return sorted(name for name in {*saved, *given} if saved.get(name) != given.get(name))


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
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, Mapping):
        return sorted((_comparable(pair) for pair in value.items()), key=repr)
    if isinstance(value, Sequence):
        return [_comparable(entry) for entry in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
