"""Nested arrays and JSON in one ``.npz`` file, written whole or not at all.

Reading it runs no code, and gives what was written or an error: the file holds a hash of itself.
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
# What a write that was killed has left behind is removed once it is this old; a write that goes
# on is younger.
_LEFTOVER_SECONDS = 600.0


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
        # Numbered: names made of keys might be the same, or "json".
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {_ARRAY: name}

    text = json.dumps(tree, default=name_array)
    arrays[_JSON] = np.frombuffer(text.encode(), np.uint8)
    arrays[_HASH] = np.array(hash_of(*arrays.values()))
    # A name for each process and thread, in case several write to one path.
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
    """Raise the error of `write` if it shows by now; remove what killed writes have left.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    OSError
        If its folder is missing or may not be written to, or if it is a folder itself.
    """
    with _naming(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()
    with suppress(OSError):  # Not tidy, but no reason not to train.
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
            f"The checkpoint {path} cannot be written: {error.strerror}. Give a path in a"
            " folder that exists, has room and may be written to",
        ) from error


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
        If it is incomplete, damaged, changed or something else.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as npz:
                arrays = dict(npz)
            if str(arrays.pop(_HASH, "")) != hash_of(*arrays.values()):
                raise ValueError("its content has not the hash that skann writes with it")
            return json.loads(
                arrays[_JSON].tobytes(), object_hook=lambda node: arrays.get(node.get(_ARRAY), node)
            )
        # NumPy, zipfile and json raise a dozen kinds, depending on which byte is wrong.
        except Exception as error:
            raise ValueError(
                f"{path} is not a checkpoint of skann, or it is incomplete or damaged: {error}."
                " Give the file of a Checkpoint as it was written, or call fit."
            ) from error


def hash_of(*parts: Any) -> str:
    """Hash arrays, in any memory and byte order, and values with a `repr`.

    Parameters
    ----------
    *parts : object
        What to hash.

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
