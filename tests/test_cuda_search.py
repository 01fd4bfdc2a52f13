"""`topk(..., backend="cuda")` from end to end on the emulator: the bits of NumPy, whatever the scores lose."""

import contextlib
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import simt
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles import filters, metrics, worth
from crossmodal_fast.kernels.tiles.cuda import bounds, resident, search
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from crossmodal_fast.kernels.tiles.prepared import Prepared
from searches import crowd, crowd_filters
from simt.driver import Emulated
from stores import PairStore

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

RNG = np.random.default_rng(11)


@pytest.fixture
def emulated(monkeypatch):
    """Puts an emulated GPU in place of CuPy, and says that it is there."""
    monkeypatch.setattr(_dispatch, "LIBRARY", {"numba": "numba"})
    with contextlib.ExitStack() as stack:

        def place(**options):
            driver = Emulated(**options)
            stack.enter_context(drivers.replaced(driver))
            return driver

        yield place


def same(x, y, k, metric, **keywords):
    found, wanted = (
        cmf.topk(x, y, k, metric, backend=backend, return_stats=True, **keywords) for backend in ("cuda", "numpy")
    )
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0].view(np.uint8), wanted[0].view(np.uint8))
    return found[2]


def normal(m, n, d, dtype=np.float32):
    return RNG.standard_normal((m, d)).astype(dtype), RNG.standard_normal((n, d)).astype(dtype)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "dot", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_are_those_of_numpy(metric, dtype, emulated, monkeypatch):
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 512)
    x, y = normal(9, 1500, 24, dtype)
    driver = emulated(hostile=bounds.accumulation(24) / 2)
    stats = same(x, y, 7, metric)
    assert not np.any(stats.widened)
    assert stats.candidates.max() < 400
    assert driver.launched.count("filter") >= 2
    assert set(driver.launched) == set(search.KERNELS)


@pytest.fixture
def short_lists(monkeypatch):
    """Lists so short that small inputs take many chunks, overflow and are repaired."""
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 8)


METRICS = ["euclidean", "dot", "cosine"]
HARD = [
    pytest.param(name, metric, marks=() if (at + shift) % len(METRICS) == 0 else pytest.mark.heavy)
    for at, name in enumerate(cases.CASES)
    for shift, metric in enumerate(METRICS)
]


@pytest.mark.parametrize(("name", "metric"), HARD)
def test_hard_rows_give_the_same_bits(name, metric, emulated, short_lists):
    x, y = cases.arrays(name)
    emulated(hostile=bounds.accumulation(x.shape[1]) / 2)
    same(x, y, min(3, len(y)), metric, check_finite=False)


@pytest.mark.parametrize("metric", ["sqeuclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", ["none", "rows", "pairs", "bias"])
def test_masks_exclusions_and_biases(name, metric, emulated, short_lists):
    x, y = crowd(m=9, n=180)
    emulated()
    same(x, y, 4, metric, **crowd_filters(len(x), len(y))[name])


def test_a_list_that_overflows_is_swept_again(emulated, short_lists):
    """Rows that come nearer and nearer in the very order in which they are looked at."""
    x, y = normal(3, 1, 12)
    nearer = np.empty((600, 12), np.float32)
    nearer[np.arange(600) * resident.step_for(600) % 600] = x[0] + y * np.geomspace(1, 0.1, 600)[:, None]
    driver = emulated()
    stats = same(x[:1], nearer, 3, "euclidean")
    assert driver.launched.count("rerank") > 1
    assert not np.any(stats.widened)


def test_rows_in_order_of_their_distance_meet_a_search_as_if_shuffled(emulated, short_lists):
    x, y = normal(3, 1, 12)
    nearer = x[0] + y * np.geomspace(1, 0.1, 600, dtype=np.float32)[:, None]
    driver = emulated()
    stats = same(x[:1], nearer, 3, "euclidean")
    assert driver.launched.count("rerank") == 1
    assert stats.candidates.max() < 60


def test_what_no_list_can_hold_is_searched_on_the_host(emulated, short_lists):
    x, y = normal(4, 200, 6)
    y[:] = y[0]
    x[2] = 0
    emulated()
    stats = same(x, y, 3, "cosine", check_finite=False)
    assert np.all(stats.widened)


def test_rows_that_are_not_finite(emulated, short_lists):
    x, y = normal(5, 90, 7)
    y[11, 2], y[40, 3], y[77] = np.nan, np.inf, -np.inf
    x[1, 0], x[3, 1] = np.nan, np.inf
    emulated()
    same(x, y, 6, "euclidean", check_finite=False)
    with pytest.raises(ValueError, match="gallery must be finite, got nan in row 11"):
        cmf.topk(x, y, 3, backend="cuda")


@pytest.mark.parametrize("flavour", ["race", "address"])
def test_no_race_and_no_stray_access(flavour, emulated, short_lists):
    x, y = normal(5, 150, 9)
    emulated(flavour=flavour)
    same(x, y, 4, "euclidean", exclude=np.arange(5))


def test_a_bound_that_is_too_small_is_seen(emulated, monkeypatch, short_lists):
    x, y = normal(20, 600, 24)
    emulated(hostile=0.01)
    monkeypatch.setattr(bounds, "accumulation", lambda d: 0.0)
    with pytest.raises(AssertionError):
        same(x, y, 5, "dot")


def test_little_memory_takes_parts_of_the_gallery(emulated):
    x, y = normal(7, 5000, 400)
    driver, done = emulated(), []
    wanted = cmf.topk(x, y, 3, backend="numpy")
    with pytest.raises(ValueError, match=r"max_bytes must be at least \d+ for d=400 and k=3") as said:
        cmf.topk(x, y, 3, backend="cuda", max_bytes=3_500_000 // 4)
    least = int(re.search(r"least (\d+)", str(said.value))[1])
    for max_bytes, parts in ((least, 3), (3 * least // 2, 2), (60_000_000, 1)):
        driver.launched.clear()
        found = cmf.topk(x, y, 3, backend="cuda", max_bytes=max_bytes, progress=lambda *part: done.append(part))
        np.testing.assert_array_equal(found.indices, wanted.indices)
        np.testing.assert_array_equal(found.distances, wanted.distances)
        assert driver.launched.count("rerank") >= parts
        assert done[-1] == (7 * 5000, 7 * 5000)
    assert driver.launched.count("rerank") == 1
    with pytest.raises(ValueError, match=f"max_bytes must be at least {least} for d=400 and k=3, got {least - 1}"):
        cmf.topk(x, y, 3, backend="cuda", max_bytes=least - 1)


def test_a_gallery_that_passes_by_meets_many_queries_at_once(monkeypatch):
    monkeypatch.setattr(search, "LEAST_ROWS", 1000)
    row, room = 768 * 6 + 72, 1 << 30
    kept, passing = (search.plan(10_000, n, 768, 10, row, room, room) for n in (50_000, 1_000_000))
    assert kept.rows == 50_000
    assert passing.rows < 1_000_000
    assert len(kept.blocks(10_000, 50_000)) > 3
    assert passing.blocks(10_000, 1_000_000) == [(0, 10_000)]
    assert search.plan(20_000, 1_000_000, 768, 10, row, room, room).query_rows >= search.QUERY_ROWS
    with pytest.raises(ValueError, match="max_bytes must be at least"):
        search.plan(20_000, 1_000_000, 768, 10, row, 1 << 20, 1 << 20)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
def test_parts_of_very_different_scale(metric, emulated, short_lists, monkeypatch):
    """Thresholds go on from part to part, in units of each."""
    monkeypatch.setattr(search, "LEAST_ROWS", 40)
    x, y = normal(6, 200, 10, np.float64)
    y *= 2.0 ** np.repeat([0, 30, -35, 3, -2], 40)[:, None]
    emulated(free=500_000)
    for scale in (1, 2.0**20, 2.0**-30):
        same(scale * x, y, 5, metric, exclude=np.array([3, 50, 199, -1, 0, 120]), bias=None)


def test_a_device_that_is_out_of_memory_takes_smaller_tiles(emulated):
    x, y = normal(40, 3000, 16)
    driver = emulated(largest=80_000)
    same(x, y, 3, "cosine")
    assert driver.released >= 1
    emulated(free=1000)
    with pytest.raises(ValueError, match=r"the device must have \d+ bytes free for d=16 and k=3, got 1000"):
        cmf.topk(x, y, 3, backend="cuda")


def test_a_gallery_stays_on_the_device(emulated, short_lists):
    x, y = normal(9, 300, 8)
    driver = emulated()
    for metric in ("euclidean", "dot", "cosine"):
        gallery = cmf.Gallery(y[:200], metric, ids=np.arange(1000, 1200))
        gallery.topk(x, 3, backend="cuda")
        before = gallery.nbytes
        driver.launched.clear()
        gallery.topk(x.astype(np.float64), 3, backend="cuda")
        assert driver.launched.count("prepare") == 1  # of the queries
        gallery.add(y[200:], ids=np.arange(1200, 1300))
        gallery.remove(np.arange(1020, 1060))
        assert before < gallery.nbytes
        wanted = cmf.topk(x, np.delete(y, np.arange(20, 60), axis=0), 3, metric, backend="numpy")
        found = gallery.topk(x, 3, backend="cuda", return_stats=True)
        np.testing.assert_array_equal(found[0], wanted.distances)
        np.testing.assert_array_equal(found[1], 1000 + np.delete(np.arange(300), np.arange(20, 60))[wanted.indices])
        masked = np.random.default_rng(3).random((9, 260)) < 0.5
        same(x, np.delete(y, np.arange(20, 60), axis=0), 3, metric, mask=masked)
        by_mask = [gallery.topk(x, 3, backend=backend, mask=masked)[1] for backend in ("cuda", "numpy")]
        np.testing.assert_array_equal(*by_mask)


def test_a_mask_of_pairs_needs_no_other_codes(emulated):
    x, y = normal(9, 700, 8)
    gallery, mask, driver = cmf.Gallery(y), RNG.random((9, 700)) < 0.3, emulated()
    gallery.topk(x, 3, backend="cuda")
    driver.launched.clear()
    found, wanted = (gallery.topk(x, 3, mask=mask, backend=backend).indices for backend in ("cuda", "numpy"))
    np.testing.assert_array_equal(found, wanted)
    assert driver.launched.count("prepare") == 1  # of the queries


@pytest.mark.parametrize("kind", ["memmap", "store"])
def test_a_mask_of_pairs_on_disk_is_read_by_neighbouring_columns(kind, emulated, tmp_path, monkeypatch):
    x, y = normal(9, 700, 8)
    mask, seen, allowed = RNG.random((9, 700)) < 0.3, [], filters.Filters.allowed
    np.save(tmp_path / "mask.npy", mask)
    given = np.load(tmp_path / "mask.npy", mmap_mode="r") if kind == "memmap" else PairStore(mask)
    monkeypatch.setattr(filters.Filters, "allowed", lambda made, i, j: seen.append(j) or allowed(made, i, j))
    gallery = cmf.Gallery(y)
    emulated()
    found = gallery.topk(x, 3, mask=given, backend="cuda").indices
    assert seen
    assert all(np.all(np.diff(columns) == 1) for columns in seen)
    np.testing.assert_array_equal(found, gallery.topk(x, 3, mask=mask, backend="numpy").indices)


def test_lists_that_hold_a_part_take_it_at_once(emulated):
    x, y = normal(4, 1000, 512)
    driver = emulated(free=2_300_000)
    same(x, y, 500, "euclidean")
    assert driver.launched.count("filter") < 20


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"metric": "seuclidean"}, "it has no kernel for metric='seuclidean' yet"),
        ({"metric": "minkowski", "metric_kwargs": {"p": 0.01}}, "it has no kernel for metric='minkowski' yet"),
        ({"precision": "int8"}, "it scans in float16, not precision='int8'"),
        ({"metric": "canberra", "precision": "float16"}, "it scans in float64, not precision='float16'"),
    ],
)
def test_what_it_cannot_do_is_said(keywords, reason, emulated):
    emulated()
    x, y = normal(3, 30, 4)
    with pytest.raises(cmf.BackendUnavailable, match=re.escape(f"cuda: {reason}")):
        cmf.topk(x, y, 2, backend="cuda", **keywords)
    assert cmf.topk(x, y, 2, backend="auto", return_stats=True)[2].backend != "cuda"


class Sized:
    """Rows of a size that nobody has to hold."""

    dtype = np.dtype(np.float32)

    def __init__(self, *shape):
        self.shape = shape

    def __len__(self):
        return self.shape[0]


def test_auto_weighs_what_is_computed_against_what_is_copied(monkeypatch):
    monkeypatch.setattr(worth.pool, "threads", lambda: 16)
    monkeypatch.setitem(sys.modules, "cupy", None)
    by_dot, gallery = metrics.metric("dot", 768), Sized(1_000_000, 768)

    def objects(m, operation="topk", metric=by_dot, **keywords):
        return worth.objection("cuda", operation, Sized(m, 768), gallery, metric, **keywords)

    kept = Prepared(gallery, {"cuda 0 dot": None})
    assert objects(100_000) is None
    assert objects(1000) == "1.5e+12 operations do not pay for 3.1e+09 bytes to copy"
    assert objects(1000, prepared=kept) is None
    assert objects(1, prepared=kept) is not None
    assert objects(100_000, "ranks") is None
    assert objects(100_000, "pairwise") == worth.OTHER_BITS
    assert "cityblock" in objects(100_000, metric=metrics.metric("cityblock", 768))
    monkeypatch.delitem(sys.modules, "cupy")  # it would have to be loaded, and its kernels compiled
    assert objects(100_000, prepared=kept) is None
    assert objects(1000, prepared=kept) is not None


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["none", "rows", "pairs", "bias"])
def test_both_sides(name, metric, emulated, short_lists):
    if (name, metric) == ("bias", "euclidean"):
        metric = "sqeuclidean"
    x, y = crowd(m=19, n=90)
    emulated()
    filters, done = crowd_filters(len(x), len(y))[name], []
    found, wanted = (
        cmf.topk_both(x, y, (4, 3), metric, backend=backend, progress=lambda *part: done.append(part), **filters)
        for backend in ("cuda", "numpy")
    )
    for side, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(side.indices, other.indices)
        np.testing.assert_array_equal(side.distances, other.distances)
    total = 19 * 90 * (2 if name == "bias" and metric == "sqeuclidean" else 1)  # of two passes, or of one
    assert (19 * 90, total) in done
    assert (total, total) in done


@pytest.mark.parametrize("exclude", [[4, -1, 2], [1, 1, -1]])
def test_both_sides_without_some_pairs(exclude, emulated):
    emulated()
    x, y = normal(3, 30, 4)
    found, wanted = (cmf.topk_both(x, y, 3, exclude=exclude, backend=backend) for backend in ("cuda", "numpy"))
    for side, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(side.indices, other.indices)


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_a_bad_query_leaves_nothing_behind(metric, emulated):
    """Not even where it is let pass: arrays of a search serve the next one."""
    x, y = normal(6, 40, 5)
    emulated()
    gallery = cmf.Gallery(y, metric)
    bad, worse = x.copy(), x.copy()
    bad[1, 2], worse[4, 0] = np.nan, np.inf
    for _ in range(2):
        gallery.topk(x, 2, backend="cuda")
        gallery.topk(bad, 2, backend="cuda", check_finite=False)
        with pytest.raises(ValueError, match="queries must be finite, got inf in row 4"):
            gallery.topk(worse, 2, backend="cuda")
        found, wanted = (gallery.topk(x, 2, backend=backend) for backend in ("cuda", "numpy"))
        np.testing.assert_array_equal(found.indices, wanted.indices)


def test_callers_on_many_threads_share_a_gallery(emulated):
    x, y = normal(24, 200, 6)
    emulated()
    gallery = cmf.Gallery(y, "dot")
    wanted = gallery.topk(x, 3, backend="numpy").indices
    with ThreadPoolExecutor(4) as threads:
        parts = [x[at : at + 6] for at in (0, 6, 12, 18)] * 4
        found = list(threads.map(lambda part: gallery.topk(part, 3, backend="cuda").indices, parts))
    np.testing.assert_array_equal(np.vstack(found[:4]), wanted)
    np.testing.assert_array_equal(np.vstack(found[12:]), wanted)


def test_kernels_are_one_text_for_cupy():
    """CuPy keeps cubins by the text that it compiles: headers are part of it, each once."""
    for kernel in (path.stem for path in simt.CUDA.glob("*.cu")):
        text = drivers.source(kernel)
        assert "#include" not in text
        assert text.count("#define CROSSMODAL_INSTRUCTIONS") == 1


KEPT = {"euclidean": ["prepare", "wait", "bound", "wait"], "cityblock": ["derive", "wait", "wait"]}


@pytest.mark.parametrize("metric", KEPT)
def test_what_a_gallery_keeps_is_there_before_another_stream_may_look(metric, emulated, monkeypatch):
    """Whatever is made to stay is waited for, also where rows are not checked."""
    x, y = normal(3, 300, 8)
    driver, log = emulated(), []
    run, host = driver.run, driver.host
    monkeypatch.setattr(driver, "run", lambda name, *rest, **macros: log.append(name) or run(name, *rest, **macros))
    monkeypatch.setattr(driver, "host", lambda *given: log.append("wait") or host(*given))
    gallery = cmf.Gallery(y, metric, check_finite=False)
    gallery.topk(x, 2, backend="cuda", check_finite=False)
    assert log[: len(KEPT[metric])] == KEPT[metric]
    for change in (lambda: gallery.add(y[:5]), lambda: gallery.remove([3])):
        log.clear()
        change()
        assert log[-1] == "wait"
