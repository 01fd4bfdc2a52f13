"""Arrays of a GPU, as far as a machine without one can tell: CUDA kernels read them where they lie."""

import sys
import types

import numpy as np
import pytest

import crossmodal_fast as cmf
import simt
from crossmodal_fast._arrays import on_device
from crossmodal_fast.kernels.tiles import metrics, worth
from crossmodal_fast.kernels.tiles.cuda.resident import uploaded
from crossmodal_fast.kernels.tiles.cuda.tiling import read
from crossmodal_fast.kernels.tiles.rows import Rows
from test_cuda_search import emulated, normal  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))


class Held(np.ndarray):
    """What CuPy holds: the emulator's memory; copies to the host are counted, by bytes."""

    fetched = 0

    def get(self):
        Held.fetched += self.nbytes
        return np.array(self)


class Tensor:
    """A tensor of another library on a GPU."""

    def __init__(self, rows, requires_grad=False):
        self.rows, self.shape, self.dtype, self.requires_grad = rows, rows.shape, rows.dtype, requires_grad

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **_):
        raise BufferError("it is on a GPU")


@pytest.fixture
def cupy(monkeypatch):
    """Takes tensors over, and counts."""
    Held.fetched = 0
    module = types.SimpleNamespace(ndarray=Held, from_dlpack=lambda tensor: tensor.rows.view(Held))
    monkeypatch.setitem(sys.modules, "cupy", module)


@pytest.mark.parametrize("metric", ["dot", "euclidean", "cityblock"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8])
def test_searches_read_them_where_they_are(metric, dtype, emulated, cupy):  # noqa: F811
    x, y = (np.round(4 * rows).astype(dtype) for rows in normal(9, 400, 8))
    driver = emulated()
    found = cmf.topk(Tensor(x), Tensor(y), 3, metric, backend="cuda")
    sample = 200 * 8 * y.itemsize if metric == "euclidean" else 0  # for the centre
    assert Held.fetched <= sample
    wanted = cmf.topk(x, y, 3, metric, backend="numpy")
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.distances, wanted.distances)
    assert driver.launched


def test_no_operation_needs_the_host(emulated, cupy):  # noqa: F811
    x, y = normal(9, 60, 8)
    emulated()
    on = Tensor(x), Tensor(y)
    np.testing.assert_array_equal(
        cmf.within(*on, 3.0, "dot", backend="cuda").indices, cmf.within(x, y, 3.0, "dot", backend="numpy").indices
    )
    sides = cmf.topk_both(*on, 2, "cosine", backend="cuda"), cmf.topk_both(x, y, 2, "cosine")
    for part, other in zip(*sides, strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)
    np.testing.assert_allclose(
        cmf.pairwise_distances(*on, "dot", backend="cuda"), cmf.pairwise_distances(x, y, "dot"), rtol=1e-6, atol=1e-5
    )
    np.testing.assert_allclose(cmf.transfer(on[0], y[:5], backend="cuda"), x @ y[:5].T, rtol=1e-5, atol=1e-5)
    sums = cmf.logsumexp(Tensor(x.astype(np.float64)), metric="precomputed", backend="cuda")
    np.testing.assert_allclose(sums, np.logaddexp.reduce(x.astype(np.float64), axis=1), rtol=1e-12)
    assert Held.fetched == 0
    gallery = cmf.Gallery(on[1], "dot", copy=False)
    np.testing.assert_array_equal(gallery.topk(on[0], 2, backend="cuda").indices, cmf.topk(x, y, 2, "dot").indices)


@pytest.mark.parametrize("order", ["F", "strided"])
def test_rows_in_any_order_reach_kernels_in_theirs(order, emulated, cupy):  # noqa: F811
    x, y = normal(9, 60, 8)
    wide = np.zeros((120, 16), np.float32)
    wide[::2, ::2] = y
    given = np.asfortranarray(y) if order == "F" else wide[::2, ::2]
    driver, rows = emulated(), Rows("Y", on_device(Tensor(given)))
    assert read(driver, rows, 3, 50).flags.c_contiguous
    assert uploaded(driver, rows, 3, 50).flags.c_contiguous
    found = cmf.topk(Tensor(x), Tensor(given), 3, "dot", backend="cuda")
    np.testing.assert_array_equal(found.indices, cmf.topk(x, y, 3, "dot").indices)


def test_other_backends_copy_what_they_need(cupy):
    x, y = normal(5, 30, 4)
    found = cmf.topk(Tensor(x), Tensor(y), 2, backend="numpy")
    np.testing.assert_array_equal(found.indices, cmf.topk(x, y, 2, backend="numpy").indices)
    assert Held.fetched >= x.nbytes + y.nbytes


def test_auto_stays_on_the_device(emulated, cupy):  # noqa: F811
    x, y = normal(4, 30, 6)
    emulated()
    for metric in ("euclidean", "cityblock"):
        assert cmf.topk(Tensor(x), Tensor(y), 2, metric, return_stats=True)[2].backend == "cuda"
        assert cmf.topk(Tensor(x), y, 2, metric, return_stats=True)[2].backend == "cuda"
        assert cmf.topk(x, y, 2, metric, return_stats=True)[2].backend == "numpy"
    by_dot = metrics.metric("dot", 768)
    here, there = (
        types.SimpleNamespace(shape=(10_000, 768), dtype=np.dtype(np.float32), store=store, __len__=None)
        for store in (x, types.SimpleNamespace(on_device=x))
    )
    assert worth.objection("cuda", "pairwise", here, here, by_dot) == worth.OTHER_BITS
    assert worth.objection("cuda", "pairwise", here, there, by_dot) is None
    assert worth.objection("cuda", "pairwise", there, None, by_dot) is None


def test_what_is_not_finite_is_said_with_its_row(emulated, cupy):  # noqa: F811
    x, y = normal(5, 30, 4)
    y[7, 2] = np.inf
    emulated()
    for call in (cmf.topk, cmf.pairwise_distances):
        with pytest.raises(ValueError, match=r"must be finite, got inf in row 7"):
            call(Tensor(x), Tensor(y), *([2] if call is cmf.topk else []), backend="cuda")


def test_gradients_are_refused_as_anywhere(cupy):
    x, _ = normal(5, 30, 4)
    assert on_device(Tensor(x, requires_grad=True)) is None
    assert on_device(x) is None
    assert on_device(Tensor(x[0])) is None
    assert on_device(Tensor(x.astype(complex))) is None
    held = on_device(Tensor(x))
    np.testing.assert_array_equal(np.asarray(held), x)
    assert held.on_device.base is x
