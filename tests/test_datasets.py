"""Where the images come from, and what happens where MNIST cannot be had."""

import os
import shutil
import socket
import threading
import time
import warnings
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skann import datasets
from skann.datasets import MnistUnavailableError, load_images

REAL_CACHE = Path(__file__).parents[2] / "shared" / "scikit_learn_data"


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def black_hole():
    """Give a proxy that takes connections and then says nothing, ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("Name or service\nnot known")

    monkeypatch.setattr(datasets, "urlopen", refuse)


def test_digits_are_all_there_and_stratified():
    images = load_images("digits")
    assert images.image_shape == (8, 8)
    assert images.X_train.shape == (1437, 64)
    assert images.X_test.shape == (360, 64)
    assert images.X_train.dtype == images.X_test.dtype == np.uint8
    assert images.note == ""
    counts = np.bincount(images.y_test)
    assert counts.min() >= 34
    everything = np.concatenate([images.X_train, images.X_test])
    assert everything.sum() == load_digits().data.sum()


def test_digits_are_the_same_every_time():
    np.testing.assert_array_equal(load_images("digits").X_test, load_images("digits").X_test)


def test_unknown_name_is_told_what_is_allowed():
    with pytest.raises(ValueError, match="'auto', 'mnist', 'digits', got 'cifar'"):
        load_images("cifar")


def test_auto_falls_back_in_one_line(empty_home, no_network, recwarn):
    images = load_images("auto")
    assert images.name == "8x8 digits"
    assert images.note == (
        "MNIST is not cached and OpenML cannot be reached (Name or service not known)."
        " Using scikit-learn's 8x8 digits instead."
    )
    assert not recwarn.list


def test_mnist_does_not_fall_back(empty_home, no_network):
    with pytest.raises(MnistUnavailableError, match="OpenML cannot be reached"):
        load_images("mnist")


def test_auto_falls_back_where_packets_are_dropped(empty_home, black_hole, monkeypatch):
    monkeypatch.setenv("https_proxy", black_hole)
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 0.5)
    assert "OpenML cannot be reached" in load_images("auto").note


def test_auto_falls_back_where_names_never_resolve(empty_home, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(datasets, "urlopen", lambda *args, **kwargs: released.wait())
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 0.2)
    note = load_images("auto").note
    released.set()
    assert "no answer within 0.2 seconds" in note


def test_a_log_in_page_is_not_openml(empty_home, monkeypatch, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<html>Welcome to our hotel</html>")
    monkeypatch.setattr(datasets, "PROBE_URL", page.as_uri())
    assert "OpenML cannot be reached" in load_images("auto").note
    assert not (empty_home / "openml").exists()


def test_auto_falls_back_when_the_download_fails(empty_home, monkeypatch, recwarn):
    def fetch(*args, **kwargs):
        assert socket.getdefaulttimeout() == datasets.STALL_SECONDS
        warnings.warn("A network error occurred while downloading. Retrying...", stacklevel=1)
        raise TimeoutError("timed out")

    monkeypatch.setattr(datasets, "_openml_problem", lambda seconds: None)
    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    before = socket.getdefaulttimeout()
    note = load_images("auto").note
    assert note.startswith("MNIST could not be loaded from OpenML (timed out).")
    assert socket.getdefaulttimeout() == before
    assert not recwarn.list
    with pytest.raises(MnistUnavailableError) as caught:
        load_images("mnist")
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_a_slow_download_is_not_cut(empty_home, monkeypatch):
    """The time-out is between packets: a server that keeps sending may take longer."""

    def drip(server):
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            for byte in b"HTTP/1.0 200 OK\r\n\r\n" + b"0" * 20:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with datasets._stalled_after(0.5), urlopen(url) as answer:
            assert answer.read() == b"0" * 20
        thread.join()


def test_says_what_to_install_without_pandas(empty_home, monkeypatch):
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    with pytest.raises(MnistUnavailableError, match=r"python -m pip install 'pandas<3\.1'"):
        load_images("mnist")


@pytest.mark.skipif(not REAL_CACHE.is_dir(), reason="the real MNIST is not beside the checkout")
def test_cached_mnist_needs_no_network(tmp_path, monkeypatch, no_network):
    pytest.importorskip("pandas")
    home = tmp_path / "home"
    # A copy, as scikit-learn deletes a cached file that it cannot parse.
    shutil.copytree(REAL_CACHE, home, copy_function=shutil.copyfile)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", os.fspath(home))
    images = load_images("auto")
    assert images.name == "MNIST"
    assert images.note == ""
    assert images.image_shape == (28, 28)
    assert images.X_train.shape == (60_000, 784)
    assert images.X_test.shape == (10_000, 784)
    assert images.X_train.dtype == np.uint8
    assert images.X_train.flags.c_contiguous
    assert images.X_train.max() == 255
    np.testing.assert_array_equal(images.y_train[:5], [5, 0, 4, 1, 9])
    np.testing.assert_array_equal(images.y_test[:5], [7, 2, 1, 0, 4])
