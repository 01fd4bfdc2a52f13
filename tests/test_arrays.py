"""Arrays of every kind into the functions of the engine, and results of the same kind out of them."""

import sys
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import crossmodal_fast as cmf
import crossmodal_fast._gallery as galleries
import crossmodal_fast._operations as operations
import crossmodal_fast._search as searches
from crossmodal_fast._arrays import given_back, taken
from foreign import MATRICES, Exporter, OnDevice, arrow_lists, frame, library, tensorflow

RNG = np.random.default_rng(211)
X, Y, M = (RNG.integers(-9, 9, shape).astype(np.float32) for shape in ((6, 5), (11, 5), (3, 5)))
MASK, RADIUS = RNG.random((6, 11)) < 0.7, np.arange(6.0, 12.0)
POSITIVES, BIAS = np.arange(6), (np.arange(6.0), np.arange(11.0) / 8)
SEVERAL = np.array([0, 0, 2, 2, 3, 3, 4]), np.arange(4)  # positives as (indptr, indices)
NUMPY = {"backend": "numpy"}


OPERATIONS = {
    "pairwise_distances": lambda of: cmf.pairwise_distances(of(X), of(Y), dtype="f4", **NUMPY),
    "similarity": lambda of: cmf.similarity(of(X), of(Y), dtype="f4", **NUMPY),
    "topk": lambda of: cmf.topk(of(X), of(Y), 3, mask=of(MASK), exclude=of(POSITIVES), dtype="f4", **NUMPY),
    "topk_both": lambda of: cmf.topk_both(of(X), of(Y), 3, bias=tuple(map(of, BIAS)), dtype="f4", **NUMPY),
    "within": lambda of: cmf.within(of(X), of(Y), of(RADIUS), dtype="f4", **NUMPY),
    "ranks": lambda of: cmf.ranks(of(X), of(Y), of(POSITIVES), **NUMPY),
    "ranks, several": lambda of: cmf.ranks(of(X), of(Y), tuple(map(of, SEVERAL)), **NUMPY),
    "logsumexp": lambda of: cmf.logsumexp(of(X), of(Y), axis="both", **NUMPY),
    "transfer": lambda of: cmf.transfer(of(X), of(M), of(np.arange(3.0, dtype="f4")), **NUMPY),
    "Gallery.topk": lambda of: cmf.Gallery(of(Y), ids=of(np.arange(11) + 70)).topk(
        of(X), 3, exclude=of(POSITIVES + 70), **NUMPY
    ),
    "Gallery.within": lambda of: cmf.Gallery(of(Y), copy=False).within(of(X), of(RADIUS), **NUMPY),
    "Gallery.ranks": lambda of: cmf.Gallery(of(Y), "cosine").ranks(of(X), of(POSITIVES), **NUMPY),
    "Gallery.ranks, several": lambda of: cmf.Gallery(of(Y)).ranks(
        of(X), tuple(map(of, SEVERAL)), **NUMPY
    ),
}  # fmt: skip


def flat(found):
    """The arrays of a result, one after another."""
    return [part for side in found for part in flat(side)] if isinstance(found, tuple) else [found]


def as_numpy(found):
    return found.fetched() if isinstance(found, OnDevice) else np.asarray(found)


def rounds_as_jax(form, expected):
    """JAX holds 64 bits only where it is told to."""
    return expected.astype(expected.dtype.name.replace("64", "32")) if form == "jax" else expected


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("form", MATRICES)
def test_every_operation_takes_it_and_gives_it_back(form, operation):
    call, of = OPERATIONS[operation], MATRICES[form]
    expected = call(lambda array: np.asarray(array.tolist()) if form == "list" else array)
    found = call(of)
    assert type(found) is type(expected) or not isinstance(expected, tuple)
    like = type(of(X)) if form in ("device", "torch", "jax", "tensorflow") else np.ndarray
    for part, right in zip(flat(found), flat(expected), strict=True):
        assert type(part) is like
        assert as_numpy(part).dtype == rounds_as_jax(form, right).dtype
        np.testing.assert_array_equal(as_numpy(part), rounds_as_jax(form, right))


@pytest.mark.parametrize("form", ["device", "torch", "jax", "tensorflow"])
def test_results_are_on_the_device_of_the_first_argument(form):
    queries = MATRICES[form](X)
    distances, indices = cmf.topk(queries, Y, 2, **NUMPY)
    assert type(distances) is type(indices) is type(queries)
    assert distances.device == indices.device == queries.device
    assert type(cmf.topk(X, MATRICES[form](Y), 2, **NUMPY).distances) is np.ndarray


# ---- copies


class Seen(searches.Rows):
    held: list[np.ndarray]

    def __init__(self, name, store, check_finite=True):
        super().__init__(name, store, check_finite)
        self.held.append(self)


def rows_seen(monkeypatch, call):
    """The rows that the engine was given by a call."""
    monkeypatch.setattr(Seen, "held", [], raising=False)
    for module in (searches, operations, galleries):
        monkeypatch.setattr(module, "Rows", Seen)
    call()
    return Seen.held


SHARED = ("fortran", "spread", "backwards", "read-only", "interface", "dlpack", "convertible", "arrow-lists", "torch")


def memory_of(form, rows):
    """What is handed over, and the memory that it stands for."""
    if form == "jax":
        given = MATRICES[form](rows)
        return given, np.from_dlpack(given)
    if form == "tensorflow":
        given = tensorflow(rows)
        return given, np.asarray(memoryview(given))
    if form == "pandas":
        given = frame(rows)
        return given, given.to_numpy()
    if form == "arrow-lists":
        given = arrow_lists(rows)
        return given, given.values.to_numpy()
    given = MATRICES[form](rows)
    return given, given if isinstance(given, np.ndarray) else rows


@pytest.mark.parametrize("form", [*SHARED, "jax", "tensorflow", "pandas"])
def test_memory_of_the_host_is_read_where_it_is(form, monkeypatch):
    (queries, x), (gallery, y) = memory_of(form, X.copy()), memory_of(form, Y.copy())
    calls = (
        lambda: cmf.topk(queries, gallery, 2, **NUMPY),
        lambda: cmf.pairwise_distances(queries, gallery, **NUMPY),
        lambda: cmf.Gallery(gallery, copy=False).topk(queries, 2, **NUMPY),
    )
    for call in calls:
        held = rows_seen(monkeypatch, call)
        assert len(held) > 1
        for rows in held:
            memory = x if len(rows) == len(X) else y
            assert np.shares_memory(rows.block(0, len(rows)), memory)


def test_a_copy_is_noticed():
    assert not np.shares_memory(taken("X", OnDevice(X)), X)
    with pytest.raises(AssertionError):
        assert np.shares_memory(np.array(taken("X", Exporter(X))), X)


def test_a_device_is_read_once_for_each_array():
    queries, gallery = OnDevice(X), OnDevice(Y)
    cmf.topk(queries, gallery, 2, **NUMPY)
    assert queries.copies == gallery.copies == 1


class OfCuPy(OnDevice):
    """What is known of a library by its name alone."""

    __module__ = "cupy._core"

    def __dlpack__(self, **wanted):
        raise BufferError("CuPy copies by get")

    def get(self):
        self.copies += 1
        return self._rows.copy()


def test_cupy_is_asked_for_a_copy():
    queries = OfCuPy(X)
    found = cmf.topk(queries, OfCuPy(Y), 2, **NUMPY)
    assert queries.copies == 1
    np.testing.assert_array_equal(found.indices.fetched(), cmf.topk(X, Y, 2, **NUMPY).indices)


def test_a_gallery_copies_unless_told_not_to():
    memory = Y.copy()
    assert not np.shares_memory(cmf.Gallery(Exporter(memory)).vectors, memory)
    assert np.shares_memory(cmf.Gallery(Exporter(memory), copy=False).vectors, memory)


def test_results_share_memory_with_what_was_computed():
    torch = library("torch")
    computed = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(given_back(torch.zeros(1), computed).numpy(), computed)
    backwards, scalar = given_back(torch.zeros(1), (computed[::-1], np.array(3.0)))
    np.testing.assert_array_equal(backwards.numpy(), computed[::-1])
    assert scalar.shape == ()


# ---- sparse


def test_sparse_rows_are_made_dense_in_blocks():
    gallery = sparse.random_array((20_000, 800), density=0.01, rng=np.random.default_rng(5), dtype=np.float32)
    gallery = gallery.tocsr()
    queries, dense = gallery[:4], gallery.toarray()
    mask = sparse.csr_array(RNG.random((4, 20_000)) < 0.9)
    expected = cmf.topk(dense[:4], dense, 3, mask=mask.toarray(), **NUMPY)
    tracemalloc.start()
    found = cmf.topk(queries, gallery, 3, mask=mask, max_bytes=16 << 20, **NUMPY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for part, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, right)
    assert peak < (18 << 20) < dense.nbytes / 3  # the block beside the workspace


@pytest.mark.parametrize("dtype", [np.float64, np.int8, bool])
def test_sparse_dtypes_are_those_of_dense_rows(dtype):
    x, y = ((rows > 4).astype(dtype) for rows in (X, Y))
    found = cmf.topk(sparse.coo_array(x), sparse.csr_array(y), 4, "cityblock", **NUMPY)
    expected = cmf.topk(x, y, 4, "cityblock", **NUMPY)
    for part, right in zip(found, expected, strict=True):
        assert part.dtype == right.dtype
        np.testing.assert_array_equal(part, right)


def test_compressed_rows_are_not_copied():
    for kind in (sparse.csr_array, sparse.csr_matrix):
        given = kind(Y)
        assert np.shares_memory(taken("X", given).matrix.data, given.data)
    np.testing.assert_array_equal(taken("X", sparse.csc_matrix(Y))[2], Y[2])


def test_entries_of_a_sparse_matrix_are_checked():
    spoiled = sparse.csr_array(np.where(np.arange(55).reshape(11, 5) == 27, np.nan, Y))
    with pytest.raises(ValueError, match="gallery must be finite, got nan in row 5"):
        cmf.topk(X, spoiled, 2, **NUMPY)


# ---- tables


def test_columns_of_pandas():
    pandas = library("pandas")
    whole, half = pandas.array([1, 2, 3], dtype="Int64"), pandas.array([0.5, 1.5, 2.5], dtype="Float32")
    mixed = pandas.DataFrame({"a": whole, "b": half, "c": [True, False, True], "d": np.arange(3, dtype=np.uint8)})
    mixed["e"] = pandas.arrays.SparseArray([0.0, 0.0, 1.0])
    expected = np.array([[1, 0.5, 1, 0, 0], [2, 1.5, 0, 1, 0], [3, 2.5, 1, 2, 1]])
    np.testing.assert_array_equal(taken("X", mixed), expected)
    assert taken("X", mixed).dtype == np.float64
    assert taken("X", mixed[["c", "d"]]).dtype == np.uint8
    assert taken("ids", mixed["a"]).dtype == np.int64
    np.testing.assert_array_equal(taken("labels", pandas.Series(["a", "b"])), ["a", "b"])
    np.testing.assert_array_equal(taken("labels", pandas.Categorical(["a", "b"])), ["a", "b"])
    shuffled = pandas.DataFrame(Y, index=np.arange(11)[::-1])  # labels of rows are not positions
    np.testing.assert_array_equal(cmf.topk(X, shuffled, 2, **NUMPY).indices, cmf.topk(X, Y, 2, **NUMPY).indices)
    with pytest.raises(ValueError, match="gallery must be finite, got nan in row 1"):
        cmf.topk(X, pandas.DataFrame(Y).where(pandas.DataFrame(Y) != Y[1, 2]), 2, **NUMPY)


def test_columns_of_arrow():
    arrow = library("pyarrow")
    lists = arrow.array(Y.tolist(), arrow.list_(arrow.float32()))
    for form in (lists, lists.cast(arrow.large_list(arrow.float32())), lists.cast(arrow.list_(arrow.float32(), 5))):
        np.testing.assert_array_equal(taken("X", form), Y)
        np.testing.assert_array_equal(taken("X", form[3:7]), Y[3:7])
        np.testing.assert_array_equal(taken("X", arrow.chunked_array([form[:3], form[3:]])), Y)
        assert taken("X", arrow.chunked_array([], form.type)).shape[0] == 0
    assert np.shares_memory(taken("X", arrow.chunked_array([lists])), lists.values.to_numpy())
    np.testing.assert_array_equal(taken("X", arrow.record_batch({"a": [1.5], "b": [2]})), [[1.5, 2]])
    assert taken("X", arrow.table({})).shape == (0, 0)
    np.testing.assert_array_equal(taken("mask", arrow.array([True, False])), [True, False])
    np.testing.assert_array_equal(taken("labels", arrow.array(["a", "b"]).dictionary_encode()), ["a", "b"])


# ---- dtypes


@pytest.mark.parametrize("missing", [False, True], ids=["with ml_dtypes", "without ml_dtypes"])
def test_bfloat16_of_torch_is_read_by_its_bits(missing, monkeypatch):
    torch = library("torch")
    values = torch.tensor([[1.5, -(2.0**-130), 3e38], [0.0, -0.0, -1.25]]).bfloat16()
    if missing:
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for form in (values, values.T, values[:, ::2]):
        found = taken("X", form)
        assert found.dtype == np.float32 if missing else found.dtype.name == "bfloat16"
        np.testing.assert_array_equal(found.astype(np.float64), form.double().numpy())
        assert missing or found.ctypes.data == form.data_ptr()
    assert cmf.topk(values, values, 1, **NUMPY).distances.dtype is torch.float32


def test_dtypes_of_tensors_follow_those_of_numpy():
    torch = library("torch")
    for name in ("float16", "float32", "float64", "int8", "int64", "bool"):
        x, y = (torch.from_numpy(np.abs(rows)).to(getattr(torch, name)) for rows in (X, Y))
        found, right = cmf.topk(x, y, 2, **NUMPY), cmf.topk(x.numpy(), y.numpy(), 2, **NUMPY)
        assert found.distances.numpy().dtype == right.distances.dtype
        np.testing.assert_array_equal(found.indices, right.indices)


@pytest.mark.parametrize("form", ["device", "dlpack", "torch", "jax", "tensorflow"])
def test_no_queries(form):
    found = cmf.topk(MATRICES[form](X[:0]), MATRICES[form](Y), 2, **NUMPY)
    assert [as_numpy(part).shape for part in found] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("form", ["device", "torch", "jax"])
def test_a_batch(form):
    batch = MATRICES[form](np.stack([X, X + 1]))
    distances, indices = cmf.topk(batch, MATRICES[form](Y), 2, **NUMPY)
    assert as_numpy(distances).shape == as_numpy(indices).shape == (2, 6, 2)
    np.testing.assert_array_equal(as_numpy(indices)[1], cmf.topk(X + 1, Y, 2, **NUMPY).indices)


def test_statistics_stay_as_they_are():
    *_, stats = cmf.topk(OnDevice(X), Y, 2, return_stats=True, **NUMPY)
    assert isinstance(stats, cmf.SearchStats)


@pytest.mark.parametrize(("form", "name"), [("torch", "float16"), ("tensorflow", "float64"), ("jax", "float16")])
def test_dtype_may_be_that_of_a_tensor(form, name):
    wanted = getattr(library("jax").numpy if form == "jax" else library(form), name)
    assert cmf.topk(X, Y, 2, dtype=wanted, **NUMPY).distances.dtype == name


def test_results_are_written_into_a_tensor():
    torch = library("torch")
    out, shared = torch.empty(6, 11), np.empty((6, 11), np.float32)
    assert cmf.pairwise_distances(X, Y, out=out, **NUMPY) is out
    assert cmf.pairwise_distances(torch.from_numpy(X), Y, out=shared, **NUMPY) is shared
    np.testing.assert_array_equal(out, cmf.pairwise_distances(X, Y, **NUMPY))
    np.testing.assert_array_equal(shared, out)
    mapped = torch.empty(6, 3)
    assert cmf.transfer(X, M, out=mapped, **NUMPY) is mapped
    np.testing.assert_array_equal(mapped, cmf.transfer(X, M, **NUMPY))


def test_jax_without_64_bits_does_not_wrap_ids():
    jax = library("jax")
    gallery = cmf.Gallery(Y, ids=np.arange(11) + 2**40)
    queries = jax.numpy.asarray(X)
    with pytest.raises(
        ValueError, match="results must fit the 32 bits that JAX holds without jax_enable_x64, got 1099"
    ):
        gallery.topk(queries, 1, **NUMPY)
    with jax.enable_x64(True):
        assert int(gallery.topk(jax.numpy.asarray(X), 1, **NUMPY).indices.min()) >= 2**40
