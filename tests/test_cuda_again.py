"""Small searches done again by their launches alone: the same answers, and what sends them the long way round."""

import pickle

import numpy as np
import pytest

import crossmodal_fast as cmf
import simt
from cases import BFLOAT16
from crossmodal_fast.kernels.tiles.cuda import again, search, workspace
from emulated import emulated

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

RNG = np.random.default_rng(37)
Y = RNG.standard_normal((900, 8)).astype(np.float32)


def queries(m=3, dtype=np.float32):
    return RNG.standard_normal((m, 8)).astype(dtype)


@pytest.fixture
def plans(monkeypatch):
    """How often a search was planned."""
    made, begun = [], search.Search.__init__
    monkeypatch.setattr(search.Search, "__init__", lambda *given, **more: made.append(1) or begun(*given, **more))
    return made


def same(gallery, x, k=4, **more):
    found, wanted = (gallery.topk(x, k, backend=name, return_stats=True, **more) for name in ("cuda", "numpy"))
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0], wanted[0])
    return found[2]


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine", "correlation"])
def test_the_third_search_is_not_planned(metric, plans):
    gallery = cmf.Gallery(Y, metric)
    with emulated() as driver:
        first = same(gallery, queries())
        asked = len(driver.launched)
        for x in (queries(), 1000 * queries(), np.repeat(queries(), 2, axis=1)[:, ::2]):
            driver.launched.clear()
            stats = same(gallery, x)
            assert len(driver.launched) < asked
            assert (stats.backend, stats.precision, stats.widened.any()) == ("cuda", first.precision, False)
            assert stats.prepare_seconds == 0 < stats.scan_seconds
    assert len(plans) == 1


def test_a_search_that_tells_of_its_progress_is_planned(plans):
    gallery, told = cmf.Gallery(Y), []
    with emulated():
        for _ in range(3):
            same(gallery, queries(), progress=lambda done, total: told.append((done, total)))
    assert told.count((2700, 2700)) >= 3
    assert len(plans) == 3


def test_another_backend_or_dtype_is_what_runs():
    """What the gallery holds for CUDA is not taken where something else is asked for."""
    gallery, x = cmf.Gallery(Y), queries()
    with emulated() as driver:
        for _ in range(2):
            same(gallery, x)
        driver.launched.clear()
        assert gallery.topk(x, 4, backend="numpy", return_stats=True)[2].backend == "numpy"
        with cmf.use_backend("numpy"):
            gallery.topk(x, 4)
        assert not driver.launched
        for backend, more in (("cuda", {"precision": "int8"}), ("cuda", {"check_finite": 2}), ("tpu", {})):
            with pytest.raises((ValueError, cmf.BackendUnavailable)):
                gallery.topk(x, 4, backend=backend, **more)
        wide = gallery.topk(x, 4, backend="cuda", dtype="float64").distances
        np.testing.assert_array_equal(wide, gallery.topk(x, 4, backend="numpy", dtype="float64").distances)
    with pytest.raises(cmf.BackendUnavailable):  # the driver is gone
        gallery.topk(x, 4, backend="cuda")


def test_numbers_are_not_taken_for_bits():
    """bfloat16 lies on the device as the bits of uint16."""
    gallery = cmf.Gallery(Y.astype(np.float64))
    with emulated():
        for dtype in (BFLOAT16, np.uint16, ">f4", np.float32, np.float16, np.uint16):
            for _ in range(2):
                same(gallery, np.abs(100 * queries()).astype(dtype))


def test_another_device_is_not_asked(plans):
    gallery, x = cmf.Gallery(Y), queries()
    with emulated(devices=2) as driver:
        for _ in range(2):
            same(gallery, x)
        with driver.on(1):
            same(gallery, x)
            same(gallery, x)
    assert len(plans) == 2


def test_another_kind_of_search_is_planned(plans):
    gallery, x = cmf.Gallery(Y), queries()
    with emulated():
        same(gallery, x)
        for more in (
            {"x": queries(4)}, {"k": 5}, {"x": queries(dtype=np.float64)}, {"max_bytes": 1 << 29},
            {"mask": np.arange(900) % 2 > 0}, {"exclude": np.arange(3)}, {"bias": (np.ones(3), np.ones(900))},
        ):  # fmt: skip
            before = len(plans)
            same(gallery, **({"x": x} | more))
            assert len(plans) == before + 1, more
        same(gallery, x)
        gallery.add(queries(2))
        before = len(plans)
        same(gallery, x)
    assert len(plans) == before + 1


def test_rows_that_are_not_finite_are_refused_or_sorted_last(plans):
    gallery, x = cmf.Gallery(Y), queries()
    x[1, 3] = np.nan
    with emulated():
        same(gallery, queries())
        with pytest.raises(ValueError, match="row 1"):
            gallery.topk(x, 4, backend="cuda")
        same(gallery, x, check_finite=False)
        same(gallery, queries())
    assert len(plans) >= 3


def test_lists_that_overflow_are_repaired(plans, monkeypatch):
    gallery = cmf.Gallery(np.vstack([Y, np.repeat(Y[:1], 40, axis=0)]))
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 32)
    with emulated():
        same(gallery, queries())
        same(gallery, np.vstack([queries(2), Y[:1]]))
        same(gallery, queries())
    assert len(plans) >= 2


def test_two_callers_do_not_share_what_is_noted(plans):
    from concurrent.futures import ThreadPoolExecutor

    gallery, several = cmf.Gallery(Y), [queries() for _ in range(8)]
    with emulated(), ThreadPoolExecutor(4) as threads:
        same(gallery, queries())
        found = list(threads.map(lambda x: gallery.topk(x, 4, backend="cuda").indices, several))
    for x, indices in zip(several, found, strict=True):
        np.testing.assert_array_equal(indices, gallery.topk(x, 4, backend="numpy").indices)


def test_what_a_caller_does_in_between_is_not_noted():
    gallery, other, x = cmf.Gallery(Y), cmf.Gallery(Y[:300]), queries()
    with emulated():
        gallery.topk(x, 4, backend="cuda", progress=lambda *_: other.within(x, 2.0, backend="cuda"))
        (held,) = gallery._held.prepared.made.values()
        (kept,) = held.spare.left[3, 4]
        assert len(kept.noted.calls) == 7  # prepare, bound, product, filter, tighten, rerank, order
        gallery.topk(x, 4, backend="cuda", progress=lambda *_: gallery.topk(queries(), 4, backend="cuda"))
        same(gallery, queries())


def test_a_device_that_is_full_goes_the_long_way(monkeypatch, plans):
    gallery = cmf.Gallery(Y)
    with emulated() as driver:
        same(gallery, queries())
        monkeypatch.setattr(driver, "replay", lambda *_: (_ for _ in ()).throw(driver.out_of_memory()))
        same(gallery, queries())
    assert len(plans) == 2


def test_a_copy_of_a_gallery_begins_anew(plans):
    gallery = cmf.Gallery(Y)
    with emulated():
        same(gallery, queries())
        same(pickle.loads(pickle.dumps(gallery)), queries())
    assert len(plans) == 2


def test_scores_that_take_much_are_not_kept(plans, monkeypatch):
    for module in (again, workspace):
        monkeypatch.setattr(module, "KEPT_BYTES", 1000)
    gallery = cmf.Gallery(Y)
    with emulated():
        same(gallery, queries())
        same(gallery, queries())
    assert len(plans) == 2


def test_calls_that_are_not_those_of_the_search_are_seen(monkeypatch):
    """The trial of these tests: a launch that is left out gives another answer."""
    gallery, note = cmf.Gallery(Y), again.note
    monkeypatch.setattr(again, "note", lambda search, *given: search.calls.pop() and note(search, *given))
    with emulated():
        same(gallery, queries())
        with pytest.raises(AssertionError):
            same(gallery, queries())
