"""`topk(..., backend="cuda")` on a real GPU, where there is one: the hard rows of the emulator, the bits of NumPy."""

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import columns, graph, search
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from searches import border, everything, flat


def obstacle():
    return _dispatch.obstacle("topk", "cuda") or drivers.obstacle()


pytestmark = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


def same(x, y, k, metric, **keywords):
    found, wanted = (
        cmf.topk(x, y, k, metric, backend=backend, return_stats=True, **keywords) for backend in ("cuda", "numpy")
    )
    np.testing.assert_array_equal(found[1], wanted[1])
    numbers = ~np.isnan(wanted[0])  # any NaN is NaN: theirs has another sign than x86's
    np.testing.assert_array_equal(np.isnan(found[0]), ~numbers)
    np.testing.assert_array_equal(found[0][numbers].view(np.uint8), wanted[0][numbers].view(np.uint8))
    return found[2]


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", cases.CASES)
def test_hard_rows(name, metric):
    x, y = cases.arrays(name)
    same(x, y, min(3, len(y)), metric, check_finite=False)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", cases.CASES)
def test_pairs_of_hard_rows(name, metric):
    x, y = cases.arrays(name)
    distance = cmf.pairwise_distances(x, y, metric, dtype=np.float64, backend="numpy", check_finite=False)
    radius = np.nan_to_num(np.sort(distance, axis=1)[:, len(y) // 2], nan=1.0)
    found, wanted = (
        cmf.within(x, y, radius, metric, backend=backend, check_finite=False) for backend in ("cuda", "numpy")
    )
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part, other)
    positives = np.random.default_rng(1).integers(0, len(y), len(x))
    for ties in ("index", "optimistic", "pessimistic"):
        ranks = [
            cmf.ranks(x, y, positives, metric, ties=ties, backend=backend, check_finite=False)
            for backend in ("cuda", "numpy")
        ]
        np.testing.assert_array_equal(*ranks)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
def test_pairs_of_many_rows(metric):
    rng = np.random.default_rng(22)
    x, y = (rng.standard_normal((rows, 96)).astype(np.float32) for rows in (1500, 20_000))
    gallery, positives = cmf.Gallery(y, metric), rng.integers(0, len(y), len(x))
    radius = np.sort(gallery.topk(x, 300, backend="numpy").distances, axis=1)[:, 150]
    found, wanted = (gallery.within(x, radius, backend=backend) for backend in ("cuda", "numpy"))
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part, other)
    np.testing.assert_array_equal(*(gallery.ranks(x, positives, backend=backend) for backend in ("cuda", "numpy")))


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows(metric, dtype):
    rng = np.random.default_rng(21)
    x, y = (rng.standard_normal((rows, 96)).astype(dtype) for rows in (3000, 20_000))
    stats = same(x, y, 10, metric, exclude=rng.integers(-1, len(y), len(x)))
    assert not np.any(stats.widened)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine", "cityblock"])
def test_many_tiles_are_read_beside_those_that_follow(metric, monkeypatch):
    """Two streams: a race would move an answer, once in a while."""
    for name, size in (("QUERY_ROWS", 512), ("FIRST", 128), ("TILE_SCORES", 1 << 20)):
        monkeypatch.setattr(search, name, size)
    rng = np.random.default_rng(26)
    x, y = (rng.standard_normal((rows, 96)).astype(np.float32) for rows in (3000, 20_000))
    gallery = cmf.Gallery(y, metric)
    wanted = gallery.topk(x, 10, backend="numpy")
    for _ in range(5):
        for part, other in zip(gallery.topk(x, 10, backend="cuda"), wanted, strict=True):
            np.testing.assert_array_equal(part, other)


def both(x, y, k, metric, **keywords):
    """How often the lists of the columns were tightened, for the bits of NumPy on both sides; 0: two passes."""
    tightened, tighten = [], columns.Columns.tighten
    with mock.patch.object(columns.Columns, "tighten", lambda made: tightened.append(1) or tighten(made)):
        found = cmf.topk_both(x, y, k, metric, backend="cuda", **keywords)
    wanted = cmf.topk_both(x, y, k, metric, backend="numpy", **keywords)
    for side, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(side.indices, other.indices)
        np.testing.assert_array_equal(side.distances, other.distances)
    return len(tightened)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", [name for name in cases.CASES if name != "no-query"])
def test_both_sides_of_hard_rows(name, metric):
    x, y = cases.arrays(name)
    both(x, y, (min(3, len(y)), min(2, len(x))), metric, check_finite=False)
    both(y, x, (min(3, len(x)), min(2, len(y))), metric, check_finite=False)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
def test_both_sides_of_many_rows(metric, monkeypatch):
    rng = np.random.default_rng(25)
    x, y = (rng.standard_normal((rows, 96)).astype(np.float32) for rows in (6000, 9000))
    assert both(x, y, (10, 7), metric) > 2
    assert both(x, y, (10, 7), metric, exclude=np.arange(6000), mask=np.arange(9000) % 5 > 0) > 2
    monkeypatch.setattr(search, "TILE_SCORES", 1 << 20)  # tiles that are read beside those that follow
    assert both(x[np.argsort(x[:, 0])], y, (10, 7), metric) > 2
    assert both(x, y, (10, 7), metric, max_bytes=1 << 24) == 0


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine", "correlation"])
def test_small_searches_again(metric):
    rng = np.random.default_rng(27)
    gallery = cmf.Gallery(rng.standard_normal((5000, 48)).astype(np.float32), metric)
    for m in (1, 1, 1, 7, 7, 1, 7, 7):
        x = rng.standard_normal((m, 48)).astype(np.float32)
        found, wanted = (gallery.topk(x, 5, backend=backend) for backend in ("cuda", "numpy"))
        for part, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(part, other)


def test_small_searches_on_other_streams_and_by_several_threads():
    import cupy as cp

    rng = np.random.default_rng(28)
    gallery = cmf.Gallery(rng.standard_normal((20_000, 64)).astype(np.float32))
    several = [rng.standard_normal((4, 64)).astype(np.float32) for _ in range(40)]
    wanted = [gallery.topk(x, 5, backend="numpy") for x in several]

    def searched(x):
        return gallery.topk(x, 5, backend="cuda")

    def elsewhere(x):
        with cp.cuda.Stream(non_blocking=True):
            return searched(x)

    for call in (searched, elsewhere):
        for _ in range(3):
            searched(several[0])
        with ThreadPoolExecutor(4) as threads:
            for found, other in zip(threads.map(call, several), wanted, strict=True):
                np.testing.assert_array_equal(found.indices, other.indices)
                np.testing.assert_array_equal(found.distances, other.distances)


def test_small_searches_are_graphs(monkeypatch):
    """And one by one where CUDA makes none, with the same answer; other products in between do not spoil them."""
    import cupy as cp

    rng, seen = np.random.default_rng(29), []
    gallery = cmf.Gallery(rng.standard_normal((20_000, 64)).astype(np.float32))
    x, a = rng.standard_normal((3, 64)).astype(np.float32), cp.ones((512, 4096), cp.float16)
    wanted = gallery.topk(x, 5, backend="numpy")
    begun = graph.Graph.__call__
    monkeypatch.setattr(graph.Graph, "__call__", lambda *given: seen.append(1) or begun(*given))
    for wrong in (False, True):
        for _ in range(4):
            product = a @ a.T
            found = gallery.topk(x, 5, backend="cuda")
            np.testing.assert_array_equal(found.indices, wanted.indices)
            np.testing.assert_array_equal(found.distances, wanted.distances)
            assert bool((product == 4096).all())
        assert len(seen) == 3
        gallery = cmf.Gallery(gallery.vectors)
        if not wrong:
            monkeypatch.setattr(graph, "cublas", lambda _: (_ for _ in ()).throw(OSError()))


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine", "cityblock"])
def test_shares_of_a_gallery(metric):
    """All devices, and one of them three times over."""
    rng = np.random.default_rng(23)
    x, y = (rng.standard_normal((rows, 48)).astype(np.float32) for rows in (300, 5000))
    y[5::9] = y[4]
    third = border(x, y, 7, metric)
    wanted = everything(x, y, third, metric, backend="numpy")
    for devices in ("all", [0, 0, 0]):
        for part, other in zip(
            flat(everything(x, y, third, metric, backend="cuda", devices=devices)), flat(wanted), strict=True
        ):
            np.testing.assert_array_equal(part, other)
