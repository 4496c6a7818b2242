"""Nested arrays and JSON in one file, written whole or not at all."""

import errno
import os
import pickle

import numpy as np
import pytest

from skann.npz_tree import make_ready, read, write
from tests.results import assert_same

TREE = {
    "array": np.arange(6.0).reshape(2, 3),
    "nested": {"list": [1, 2.5, None, True, "ä", [np.array([], np.int8)]], "empty": {}},
    "huge": 2**100,
    "infinite": -np.inf,
    "scalar": np.float32(0.5),
    "order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "a.b": np.ones(2),
    "a": {"b": np.zeros(3)},
    "json": np.ones(1),
    "file": np.ones(1),
}
# JSON has lists alone, and numbers of Python.
AS_READ = TREE | {"scalar": 0.5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tree.npz"


class TestRoundTrip:
    def test_what_is_read_is_what_was_written(self, path):
        write(path, TREE)
        assert_same(read(path), AS_READ)
        assert os.listdir(path.parent) == ["tree.npz"]

    def test_tuples_become_lists(self, path):
        write(path, {"a": (1, (np.arange(2),))})
        assert_same(read(path), {"a": [1, [np.arange(2)]]})

    def test_a_file_that_is_there_is_replaced(self, path):
        write(path, TREE)
        write(path, {"a": 1})
        assert read(path) == {"a": 1}

    def test_reading_leaves_the_file_closed_and_the_arrays_writable(self, path):
        write(path, TREE)
        tree = read(path)
        path.unlink()
        tree["array"][0] = 7
        assert (tree["array"][0] == 7).all()


class TestDamage:
    @pytest.fixture
    def whole(self, path):
        write(path, TREE)
        return path.read_bytes()

    def test_a_file_that_is_cut_short_is_named(self, path, whole):
        for length in [0, 1, 3, 4, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=f"{path} is not .*incomplete or damaged"):
                read(path)

    def test_no_wrong_byte_changes_what_is_read(self, path, whole):
        n_refused = 0
        for position in range(0, len(whole), 3):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            path.write_bytes(damaged)
            try:
                tree = read(path)
            except ValueError as error:
                assert str(path) in str(error)  # noqa: PT017
                n_refused += 1
            else:
                assert_same(tree, AS_READ)
        assert n_refused > len(whole) / 3 / 2

    @pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04N.", pickle.dumps({"a": 1})])
    def test_something_else_is_refused(self, path, content):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path} is not "):
            read(path)

    def test_arrays_without_json_are_refused(self, path):
        np.savez(path, a=np.arange(3))
        with pytest.raises(ValueError, match=f"{path} is not "):
            read(path)

    def test_a_single_array_is_refused(self, path):
        with open(path, "wb") as file:
            np.save(file, np.arange(3))
        with pytest.raises(ValueError, match=f"{path} is not "):
            read(path)

    def test_json_that_names_a_missing_array_is_refused(self, path):
        text = b'{"a": {"__array__": "b"}}'
        np.savez(path, json=np.frombuffer(text, np.uint8))
        with pytest.raises(ValueError, match=f"{path} is not "):
            read(path)

    def test_reading_runs_no_code(self, path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(path.with_name("executed")),)

        np.savez(path, json=np.array([Evil()], dtype=object))
        with pytest.raises(ValueError, match=f"{path} is not "):
            read(path)
        assert os.listdir(path.parent) == [path.name]

    def test_a_missing_file_is_named(self, path):
        with pytest.raises(FileNotFoundError, match=path.name):
            read(path)


class TestCannotBeWritten:
    def bad_paths(self, tmp_path):
        (tmp_path / "file").write_text("")
        return {
            tmp_path / "missing" / "tree.npz": FileNotFoundError,
            tmp_path / "file" / "tree.npz": NotADirectoryError,
            tmp_path: IsADirectoryError,
        }

    def test_an_error_leaves_nothing_behind(self, tmp_path):
        for path, error in self.bad_paths(tmp_path).items():
            with pytest.raises(error):
                write(path, TREE)
        assert os.listdir(tmp_path) == ["file"]
        assert not list(tmp_path.parent.glob(".*.tmp"))

    def test_the_error_can_be_had_before(self, tmp_path):
        for path, error in self.bad_paths(tmp_path).items():
            with pytest.raises(error):
                make_ready(path)
        assert os.listdir(tmp_path) == ["file"]
        assert not list(tmp_path.parent.glob(".*.tmp"))

    def test_looking_changes_nothing(self, path):
        make_ready(path)
        assert os.listdir(path.parent) == []
        write(path, TREE)
        make_ready(path)
        assert os.listdir(path.parent) == [path.name]
        assert_same(read(path), AS_READ)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="as root all may")
    @pytest.mark.parametrize("attempt", [make_ready, lambda path: write(path, TREE)])
    def test_a_folder_that_may_not_be_written_to(self, path, attempt):
        path.parent.chmod(0o500)
        with pytest.raises(PermissionError):
            attempt(path)

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
    def test_a_write_that_breaks_off_leaves_the_earlier_file(self, path, monkeypatch, error):
        def fsync(descriptor):
            raise error

        write(path, TREE)
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(type(error)):
            write(path, {"a": 1})
        assert os.listdir(path.parent) == [path.name]
        assert_same(read(path), AS_READ)

    def test_what_cannot_be_written_leaves_nothing(self, path):
        with pytest.raises(TypeError):
            write(path, {"a": object()})
        assert os.listdir(path.parent) == []
