"""Neighbours of rows among themselves, from half of the tiles: the bits of a search of two sides."""

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import engine, selfjoin
from searches import same

pytestmark = pytest.mark.usefixtures("of_any_length")


@pytest.fixture
def of_any_length(monkeypatch):
    monkeypatch.setattr(selfjoin, "LEAST", 1)


@pytest.fixture
def joined(monkeypatch):
    """What became of searches that fit: True where pairs were met once."""
    swept, found = selfjoin.swept, []

    def watched(*arguments):
        keeper = swept(*arguments)
        found.append(keeper is not None)
        return keeper

    monkeypatch.setattr(selfjoin, "swept", watched)
    return found


def rows(n, d, seed=0, whole=False):
    rng = np.random.default_rng(seed)
    return (rng.integers(-2, 3, (n, d)) if whole else rng.standard_normal((n, d))).astype(np.float32)


def both_ways(x, k, metric="euclidean", **keywords):
    """Of x against itself and against a copy, by NumPy."""
    control = {name: keywords.pop(name) for name in ("n_threads", "max_bytes", "precision") if name in keywords}
    answer = cmf.topk(x, x, k, metric, backend="numba", return_stats=True, **control, **keywords)
    same(answer[:2], cmf.topk(x, x.copy(), k, metric, backend="numpy", **keywords))
    return answer[2]


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "correlation", "dot"])
def test_equals_a_search_of_two_sides(metric, exclude_self, joined):
    for n, d, k, whole in ((2, 3, 1, True), (97, 5, 9, True), (300, 40, 10, False), (33, 20, 32, False)):
        both_ways(rows(n, d, n, whole), k, metric, exclude_self=exclude_self)
    assert joined == [True] * 4


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
def test_threads_and_blocks_do_not_show(n_threads, joined):
    x = rows(900, 24, whole=True)
    for max_bytes in (1 << 30, (2 + n_threads) << 20, (1 + n_threads) << 20):
        stats = both_ways(x, 6, exclude_self=True, n_threads=n_threads, max_bytes=max_bytes)
        assert not stats.widened.any()
    assert joined[0]


@pytest.mark.parametrize(
    "precision", ["int8", "int16", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("int6", "float64"))]
)
def test_every_precision(precision, joined):
    assert both_ways(rows(400, 30), 5, precision=precision).precision == precision
    assert joined == [True]


def test_rows_that_the_bound_does_not_tell_apart(joined):
    for precision, copies in (("int8", 3500), ("int16", 500)):
        x = np.repeat(rows(1, 16), copies, axis=0)
        control = {"exclude_self": True, "precision": precision, "return_stats": True, "backend": "numba"}
        distances, indices, stats = cmf.topk(x, x, 4, **control)
        first = [[other for other in range(5) if other != row][:4] for row in range(copies)]
        assert indices.tolist() == first
        assert not distances.any()
        assert stats.widened.any()
    assert joined == [True, True]


def test_what_a_pair_is_not_the_same_both_ways_for(joined):
    x = rows(120, 10)
    rng = np.random.default_rng(1)
    mask, bias = rng.random((120, 120)) < 0.5, (rng.standard_normal(120), rng.standard_normal(120))
    for filters in ({"mask": mask}, {"mask": mask[0]}, {"bias": bias}, {"exclude": np.arange(120)[::-1].copy()}):
        both_ways(x, 4, "sqeuclidean", **filters)
    assert joined == []
    both_ways(x, 4, exclude=np.arange(120))
    assert joined == [True]


def test_rows_of_another_order_of_magnitude(joined):
    for row, scale in ((7, 1e20), (119, 1e20), (60, 1e-20)):
        x = rows(120, 10)
        x[row] *= np.float32(scale)
        both_ways(x, 4, exclude_self=True)
        both_ways(x, 4, "dot")
    assert False in joined


def test_the_same_memory_is_enough(joined):
    x = rows(50, 8)
    x.flags.writeable = False
    cmf.topk(x, x[:], 3, backend="numba")
    cmf.topk(x, x[::-1], 3, backend="numba")
    cmf.topk(x, x[:, ::-1], 3, backend="numba")
    cmf.topk(x[:20], x, 3, backend="numba")
    assert joined == [True]


def test_half_of_the_tiles_are_multiplied(monkeypatch):
    """Rows of a block that lie below all of its columns are never met: the job says how far ahead its columns are."""
    assert engine.cuts(np.arange(1, 101), 2) == [(0, 71), (71, 100)]
    assert engine.cuts(np.ones(100), 3) == [(0, 34), (34, 67), (67, 100)]
    assert engine.cuts(np.zeros(3), 2) == [(0, 1), (1, 3)]
    assert engine.cuts(np.ones(1), 4) == [(0, 1)]
    met = []

    def counted(*arguments):
        kernel = selector(*arguments, mirrored=True)

        def call(x, y, level, state, first, exclude, mask, ahead, place, room):
            height, width = (len(side[1]) // side[0].shape[0] for side in (x, (y[0], y[2])))
            last = first + width * (1 + np.arange(y[0].shape[0])) - 1
            met.append(sum(np.clip((last - first + ahead) // height + 1, 0, x[0].shape[0])))
            return kernel(x, y, level, state, first, exclude, mask, ahead, place, room)

        return call

    selector = selfjoin.select.both_selector
    monkeypatch.setattr(selfjoin._SelfJoin, "kernel", lambda self, kind, machine: counted(kind, machine))
    x = rows(960, 16)
    cmf.topk(x, x, 3, backend="numba", n_threads=2)
    machine, kind = engine.simd.runnable()[0], engine.simd.KINDS["int16"]
    assert 0.5 < sum(met) * machine.rows * machine.columns(kind) / 960**2 < 0.56


def test_progress_does_not_go_back_where_the_search_begins_again(joined):
    x, seen = rows(3000, 32), []
    x[-1] *= np.float32(1e30)
    cmf.topk(x, x, 3, backend="numba", max_bytes=3 << 20, n_threads=2, progress=lambda *told: seen.append(told))
    assert joined == [False]
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {3000}
    assert seen[-1] == (3000, 3000)


def test_rows_longer_than_any_bound(joined, monkeypatch):
    monkeypatch.setattr(selfjoin, "LONGEST", 8)
    monkeypatch.setattr(engine, "LONGEST", 8)
    both_ways(rows(30, 9), 3)
    assert joined == []
