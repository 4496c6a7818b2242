"""Nested arrays and JSON in one ``.npz`` file, written completely or not at all.

Reading a file runs no code. It returns what was written or raises an error: the file holds a hash
of its own content.
"""

import errno
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_JSON, _HASH, _ARRAY = "json", "hash", "__array__"
# Age at which a temporary file is removed, as the leftover of a killed write. The file of a write
# that is still running is younger.
_LEFTOVER_SECONDS = 600.0


def write(path: Path, tree: dict[str, Any]) -> None:
    """Write a tree of arrays, numbers and strings to a file, completely or not at all.

    Parameters
    ----------
    path : Path
        Path of the file. An existing file is replaced once the new one is on the disk.
    tree : dict
        Nested dicts with string keys, holding lists, arrays, numbers and strings.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skann.npz_tree import read, write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.npz"), {"numbers": [2**100, np.arange(2)], "name": "a"})
    ...     read(Path(folder, "a.npz"))
    {'numbers': [1267650600228229401496703205376, array([0, 1])], 'name': 'a'}
    """
    arrays: dict[str, NDArray] = {}

    def name_array(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{value!r} cannot be written.")
        # Numbered, because names made of the keys could collide with each other or with "json".
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {_ARRAY: name}

    text = json.dumps(tree, default=name_array)
    arrays[_JSON] = np.frombuffer(text.encode(), np.uint8)
    arrays[_HASH] = np.array(hash_of(*arrays.values()))
    # A name for each process and thread, in case several of them write to the same path.
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    temporary = path.with_name(f".{path.name}.{writer}.tmp")
    try:
        with _naming(path):
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def make_ready(path: Path) -> None:
    """Raise errors of `write` that can be detected early; remove leftovers of killed writes.

    Parameters
    ----------
    path : Path
        Path of the file.

    Raises
    ------
    OSError
        If the folder is missing or not writable, or if the path is a folder.
    """
    with _naming(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()
    with suppress(OSError):  # A leftover that cannot be removed is no reason to stop.
        for leftover in path.parent.glob("*.tmp"):
            age = time.time() - leftover.stat().st_mtime
            if leftover.name.startswith(f".{path.name}.") and age > _LEFTOVER_SECONDS:
                leftover.unlink()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"The checkpoint {path} cannot be written: {error.strerror}. Use a path in a folder"
            " that exists, is writable and has enough space",
        ) from error


def read(path: Path) -> dict[str, Any]:
    """Read a file that `write` has written.

    Parameters
    ----------
    path : Path
        Path of the file.

    Returns
    -------
    dict

    Raises
    ------
    OSError
        If there is no such file or it cannot be read.
    ValueError
        If the file is incomplete, damaged, changed or not a checkpoint.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as npz:
                arrays = dict(npz)
            if str(arrays.pop(_HASH, "")) != hash_of(*arrays.values()):
                raise ValueError("its content does not match its hash")
            return json.loads(
                arrays[_JSON].tobytes(), object_hook=lambda node: arrays.get(node.get(_ARRAY), node)
            )
        # NumPy, zipfile and json raise many types of errors, depending on which byte is wrong.
        except Exception as error:
            raise ValueError(
                f"{path} is not a checkpoint of skann, or it is incomplete or damaged: {error}."
                " Use an unchanged file written by Checkpoint, or call fit to start again."
            ) from error


def hash_of(*parts: Any) -> str:
    """Hash arrays, independently of memory and byte order, and values by their `repr`.

    Parameters
    ----------
    *parts : object
        The arrays and values to hash.

    Returns
    -------
    str
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            array = np.ascontiguousarray(part, part.dtype.newbyteorder("="))
            digest.update(array.data)
            part = array.dtype.str, array.shape
        digest.update(repr(part).encode())
    return digest.hexdigest()
