import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from skann.engine import rows
from skann.engine.rows import DenseRows, Scaling, SparseRows, laid_out_by_rows, make_rows

pytestmark = pytest.mark.kernels

DTYPES = ["u1", "i1", "<i8", ">i8", ">i4", "f2", "<f4", ">f4", "f8", "?"]
LAYOUTS = ["C", "F", "every second column", "reversed rows", "read-only", "unaligned"]


def in_layout(X, layout):
    if layout == "F":
        return np.asfortranarray(X)
    if layout == "every second column":
        wide = np.zeros((len(X), 2 * X.shape[1]), X.dtype)
        wide[:, ::2] = X
        return wide[:, ::2]
    if layout == "reversed rows":
        return X[::-1].copy()[::-1]
    if layout == "unaligned":
        raw = np.zeros(X.nbytes + 1, np.uint8)[1:]
        unaligned = raw.view(X.dtype).reshape(X.shape)
        unaligned[...] = X
        return unaligned
    X = X.copy()
    X.flags.writeable = layout != "read-only"
    return X


def numbers(n_rows, n_features, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 100, (n_rows, n_features)).astype(dtype)


@given(
    dtype=st.sampled_from(DTYPES),
    computing=st.sampled_from(["float32", "float64"]),
    layout=st.sampled_from(LAYOUTS),
    n_features=st.integers(1, 5),
    use_subset=st.booleans(),
    use_scaling=st.booleans(),
    data=st.data(),
)
@settings(deadline=None, max_examples=150)
def test_dense_rows_are_those_of_numpy_indexing(
    dtype, computing, layout, n_features, use_subset, use_scaling, data
):
    X = in_layout(numbers(12, n_features, dtype), layout)
    before = X.copy()
    subset = np.array([7, 3, 3, 11, 0, 5]) if use_subset else None
    presented = (X if subset is None else X[subset]).astype(computing)
    scaling = None
    if use_scaling:
        scaling = Scaling(np.arange(n_features) / 3.0, np.arange(1, n_features + 1) / 7.0)
        presented = ((presented - scaling.shift) * scaling.factor).astype(computing)
    rows = DenseRows(X, computing, 12, scaling, subset)
    assert len(rows) == len(presented)
    indices = np.array(
        data.draw(st.lists(st.integers(0, len(presented) - 1), min_size=1, max_size=12)), np.intp
    )
    gathered = rows.gather(indices)
    assert gathered.dtype == computing
    np.testing.assert_allclose(gathered, presented[indices], rtol=1e-5, atol=1e-4)
    start = data.draw(st.integers(0, len(presented) - 1))
    stop = data.draw(st.integers(start + 1, len(presented)))
    chunk = rows.chunk(start, stop)
    assert chunk.dtype == computing
    np.testing.assert_allclose(chunk, presented[start:stop], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(X, before)


def test_gathering_reuses_one_buffer():
    X = numbers(10, 3, "u1")
    rows = make_rows(X, np.float32, 4)
    first = rows.gather(np.array([0, 1, 2, 3]))
    second = rows.gather(np.array([5, 6]))
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, X[[5, 6]])


def test_a_chunk_in_the_computing_dtype_is_a_view():
    X = numbers(10, 3, "f4")
    assert np.shares_memory(make_rows(X, np.float32, 4).chunk(2, 5), X)


def test_rows_of_a_memory_map_are_read_from_the_file(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.uint8, (9, 4))
    X[...] = numbers(9, 4, "u1")
    X.flush()
    rows = make_rows(np.load(tmp_path / "X.npy", mmap_mode="r"), np.float32, 5)
    np.testing.assert_array_equal(rows.gather(np.array([8, 0, 4])), X[[8, 0, 4]])


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8"])
@pytest.mark.parametrize("use_subset", [False, True])
def test_sparse_rows_are_scaled_but_never_shifted(container, dtype, use_subset):
    dense = numbers(12, 5, dtype)
    dense[dense < 60] = 0
    X = container(dense)
    subset = np.array([7, 3, 3, 11]) if use_subset else None
    scaling = Scaling(None, np.arange(1.0, 6.0))
    rows = make_rows(X, np.float32, 12, scaling, subset)
    assert isinstance(rows, SparseRows)
    presented = (dense if subset is None else dense[subset]) * scaling.factor
    assert len(rows) == len(presented)
    gathered = rows.gather(np.array([2, 0, 2]))
    assert gathered.dtype == np.float32
    np.testing.assert_allclose(gathered.toarray(), presented[[2, 0, 2]])
    np.testing.assert_allclose(rows.chunk(1, 3).toarray(), presented[1:3])
    np.testing.assert_array_equal(X.toarray(), dense)


def test_sparse_rows_under_a_scaling_that_shifts_are_made_dense():
    dense = numbers(12, 5, "f8")
    scaling = Scaling(np.full(5, 3.0), np.arange(1.0, 6.0))
    rows = make_rows(sparse.csr_array(dense), np.float32, 12, scaling)
    expected = make_rows(dense, np.float32, 12, scaling)
    for of in (lambda rows: rows.chunk(1, 3), lambda rows: rows.gather(np.array([2, 0, 2]))):
        np.testing.assert_allclose(of(rows), of(expected), rtol=1e-6)


class TestLayout:
    @pytest.mark.parametrize("layout", ["C", "read-only", "every second column", "reversed rows"])
    def test_rows_that_can_be_gathered_are_left_alone(self, layout):
        X = in_layout(numbers(20, 6, "u1"), layout)
        assert laid_out_by_rows(X, np.float32) is X

    @pytest.mark.parametrize(
        ("own", "computing", "expected"),
        [
            ("i8", "float32", "float32"),
            ("i8", "float64", "i8"),
            ("u1", "float32", "u1"),
            ("f8", "float32", "float32"),
            ("f2", "float64", "f2"),
        ],
    )
    def test_column_major_is_copied_in_the_narrower_dtype(self, own, computing, expected):
        X = np.asfortranarray(numbers(1100, 3, own))
        got = laid_out_by_rows(X, computing)
        assert got.flags.c_contiguous
        assert got.dtype == expected
        np.testing.assert_array_equal(got, X)

    @pytest.mark.parametrize(
        "container",
        [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.csc_matrix],
    )
    def test_sparse_becomes_a_csr_array(self, container):
        dense = numbers(5, 4, "f8")
        got = laid_out_by_rows(container(dense), np.float32)
        assert isinstance(got, sparse.csr_array)
        np.testing.assert_array_equal(got.toarray(), dense)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("subset", [None, np.arange(2)])
def test_rows_do_not_wait_for_the_rows_of_another_fit(monkeypatch, dtype, subset):
    is_in, may_go_on = threading.Event(), threading.Event()

    def slow_empty(shape, dtype):
        is_in.set()
        may_go_on.wait(60)
        return np.empty(shape, dtype)

    def gather():
        return DenseRows(np.ones((2, 3), dtype), np.float32, 2, None, subset).gather(np.arange(2))

    with ThreadPoolExecutor(2) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(rows, "aligned_empty", slow_empty)
            slow = pool.submit(gather)
            is_in.wait(60)
        try:
            assert pool.submit(gather).result(timeout=10).tolist() == [[1] * 3] * 2
        finally:
            may_go_on.set()
        assert slow.result().tolist() == [[1] * 3] * 2
