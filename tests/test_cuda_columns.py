"""`topk_both(..., backend="cuda")` in one pass, on the emulator: the bits of NumPy, and every pair multiplied once."""

import gc
import weakref
from unittest import mock

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import simt
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import bounds, columns, resident, search
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from emulated import emulated
from searches import crowd, crowd_filters
from simt.driver import Emulated, Late
from stores import PairStore

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

METRICS = ["euclidean", "dot", "cosine"]


@pytest.fixture(autouse=True)
def short_lists(monkeypatch):
    """Lists so short that small inputs take several blocks and steps."""
    monkeypatch.setattr(columns, "LEAST_CAPACITY", 64)
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 64)


def normal(m, n, d=12, seed=41):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, d)).astype(np.float32), rng.standard_normal((n, d)).astype(np.float32)


def passes(x, y, k, metric="euclidean", *, device=None, **keywords):
    """(searches, products) for the bits of NumPy on both sides: how many began, and of a pair, as a mean."""
    with emulated(**(device or {})) as driver:
        pairs, gemm = [], driver.gemm
        with mock.patch.object(driver, "gemm", lambda a, b, *more: pairs.append(len(a) * len(b)) or gemm(a, b, *more)):
            found = cmf.topk_both(x, y, k, metric, backend="cuda", **keywords)
    wanted = cmf.topk_both(x, y, k, metric, backend="numpy", **keywords)
    for side, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(side.indices, other.indices)
        np.testing.assert_array_equal(side.distances.view(np.uint8), other.distances.view(np.uint8))
    return driver.launched.count("prepare") / 2, sum(pairs) / (len(x) * len(y))


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "dot", "cosine", "correlation"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_every_pair_is_multiplied_once(metric, dtype):
    x, y = normal(400, 290)
    hostile = {"hostile": bounds.accumulation(x.shape[1]) / 2}
    x, y = (side if dtype.startswith("float") else 30 * side for side in (x, y))
    assert passes(x.astype(dtype), y.astype(dtype), (3, 5), metric, device=hostile) == (1, 1)


HARD = [
    pytest.param(name, metric, turned, marks=() if (at + shift + turned) % len(METRICS) == 0 else pytest.mark.heavy)
    for at, name in enumerate(cases.CASES)
    if name != "no-query"
    for shift, metric in enumerate(METRICS)
    for turned in (0, 1)
]


@pytest.mark.parametrize(("name", "metric", "turned"), HARD)
def test_hard_rows_give_the_same_bits(name, metric, turned, monkeypatch):
    monkeypatch.setattr(columns, "LEAST_CAPACITY", 4)
    monkeypatch.setattr(columns, "EACH", 3)
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 8)
    x, y = cases.arrays(name)[:: -1 if turned else 1]
    hostile = {"hostile": bounds.accumulation(x.shape[1]) / 2}
    searches, _ = passes(x, y, (min(3, len(y)), min(2, len(x))), metric, check_finite=False, device=hostile)
    assert searches in (1, 2)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_by_the_lower_index_on_both_sides(metric):
    x, y = (np.repeat(side, 12, axis=0)[::-1] for side in normal(25, 20, seed=3))
    passes(np.round(x), np.round(y), (15, 14), metric)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", ["none", "rows", "pairs", "bias"])
def test_masks_exclusions_and_biases(name, metric):
    x, y = crowd(m=150, n=180)
    keywords = crowd_filters(len(x), len(y))[name]
    searches, _ = passes(x, y, (4, 3), metric, **keywords)
    assert searches == (0 if (name, metric) == ("bias", "euclidean") else 1)


@pytest.mark.parametrize("exclude", [np.arange(150), np.full(150, 7)])
def test_a_pair_that_is_left_out_is_so_for_both_sides(exclude):
    x, y = normal(150, 150)
    assert passes(x, np.concatenate([x[:100], y[:50]]), (3, 2), "cosine", exclude=exclude)[0] == 1


def test_a_bias_on_squares_and_a_mask_in_a_store_take_two_passes():
    x, y = crowd(m=80, n=90)
    assert passes(x, y, (4, 3), "sqeuclidean", **crowd_filters(80, 90)["bias"])[0] == 2
    mask = crowd_filters(80, 90)["pairs"]["mask"]
    with emulated() as driver:
        found = cmf.topk_both(x, y, 2, mask=PairStore(mask), backend="cuda")
    assert driver.launched.count("prepare") == 4
    for side, other in zip(found, cmf.topk_both(x, y, 2, mask=mask, backend="numpy"), strict=True):
        np.testing.assert_array_equal(side.indices, other.indices)


def test_several_devices_take_two_passes():
    x, y = normal(60, 90)
    with cmf.config_context(devices="all"):
        assert passes(x, y, 3, device={"devices": 3})[0] == 6


def nearer_and_nearer(m):
    """Queries in order of their products with the last row of a gallery, of which the others know nothing."""
    x, y = normal(m, 40)
    x[:, 0], y[:, 0], y[-1] = np.linspace(-3, 3, m), 0, np.eye(12)[0]
    return x, y


def test_queries_in_order_of_their_distance_meet_the_columns_as_if_shuffled():
    assert passes(*nearer_and_nearer(600), (1, 3), "dot") == (1, 1)


def test_a_column_whose_list_overflows_is_searched_again():
    x, y = nearer_and_nearer(600)
    shuffled = np.empty_like(x)
    shuffled[np.arange(600) * resident.step_for(600) % 600] = x  # nearer and nearer in the very order of the search
    searches, products = passes(shuffled, y, (1, 3), "dot")
    assert searches == 2
    assert 1 < products < 1.2


def test_what_no_list_can_hold_has_its_canonical_values():
    x, y = normal(200, 60)
    x[:] = x[0]
    assert passes(x, y, (2, 3), "cosine")[0] == 2
    x[5:9] = 0
    passes(x, y, (2, 3), "dot")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [2.0**-70, 2.0**-30, 2.0**40, 2.0**65, 0.0])
def test_sides_of_very_different_scale(metric, scale):
    x, y = (side.astype(np.float64) for side in normal(90, 70, d=5))
    x[::2] *= scale
    passes(x, y, (3, 2), metric)
    passes(y, x, (3, 2), metric)


def test_rows_that_are_not_finite():
    x, y = normal(150, 120)
    x[40, 3], y[11, 2], y[77] = np.nan, np.inf, np.nan
    passes(x, y, 4, "dot", check_finite=False)
    bad_x, bad_y = x, y
    x, y = normal(150, 120)
    with emulated(), pytest.raises(ValueError, match="X must be finite, got nan in row 40"):
        cmf.topk_both(bad_x, y, 3, backend="cuda")
    with emulated(), pytest.raises(ValueError, match="Y must be finite, got inf in row 11"):
        cmf.topk_both(x, bad_y, 3, backend="cuda")


# -------------------------------------------------------------------------------------------------------------- memory


class Weighed(Emulated):
    """Knows how many bytes of its arrays were there at once."""

    held = most = 0

    def _weighed(self, made):
        self.held += made.nbytes
        self.most = max(self.most, self.held)
        weakref.finalize(made, self._less, made.nbytes)
        return made

    def _less(self, nbytes):
        self.held -= nbytes

    def empty(self, shape, dtype=np.float64):
        return self._weighed(super().empty(shape, dtype))

    def array(self, host):
        return self._weighed(super().array(host))


@pytest.mark.parametrize("shape", [(900, 700, 24), (300, 2000, 8)])
def test_one_pass_holds_what_it_says_and_two_take_over_where_that_has_no_room(shape):
    (x, y), said, least = normal(*shape), [], columns.Both.least
    with mock.patch.object(columns.Both, "least", lambda *about: said.append(least(*about)) or said[-1]):
        passes(x, y, 3)
    gc.collect()
    driver = Weighed()
    with mock.patch.object(_dispatch, "LIBRARY", {"numba": "numba"}), drivers.replaced(driver):
        cmf.topk_both(x, y, 3, backend="cuda", max_bytes=said[0])
    assert driver.launched.count("prepare") == 2
    assert said[0] // 3 < driver.most <= said[0]
    assert passes(x, y, 3, max_bytes=said[0])[0] == 1
    assert passes(x, y, 3, max_bytes=said[0] - 1)[0] > 1
    assert passes(x, y, 3, device={"free": said[0] - 1})[0] > 1


def test_columns_are_ranked_a_stretch_at_a_time(monkeypatch):
    monkeypatch.setattr(columns, "LEAST_ROWS", 32)
    monkeypatch.setattr(search, "TILE_SCORES", 1 << 10)
    stretches, ranked = [], columns.Columns._stretch
    monkeypatch.setattr(columns.Columns, "_stretch", lambda *about: stretches.append(about) or ranked(*about))
    assert passes(*normal(100, 300), (4, 3))[0] == 1
    assert len(stretches) > 1


def test_a_device_that_is_out_of_memory_takes_two_passes():
    x, y = normal(300, 400)
    assert passes(x, y, 3, device={"largest": 8 * 64 * 400 - 1})[0] > 1  # the columns' lists are refused


def test_progress_is_that_of_one_pass():
    (x, y), done = normal(300, 100), []
    with emulated():
        cmf.topk_both(x, y, 3, backend="cuda", progress=lambda *part: done.append(part))
    assert len(done) > 1
    assert [total for _, total in done] == [30_000] * len(done)
    assert sorted(done) == done
    assert done[-1][0] == 30_000


# --------------------------------------------------------------------------------------------------------- second queue


@pytest.fixture
def lanes(monkeypatch):
    """Tiles so small that they are read in a second queue, as late as they may be."""
    for name, size in (("QUERY_ROWS", 64), ("TILE_SCORES", 1 << 13)):
        monkeypatch.setattr(search, name, size)
    made, begun = [], Late.__init__
    monkeypatch.setattr(Late, "__init__", lambda lane, driver: made.append(lane) or begun(lane, driver))
    return made


@pytest.mark.parametrize(("metric", "name"), [("euclidean", "none"), ("dot", "bias"), ("cosine", "rows")])
def test_tiles_are_read_beside_those_that_follow(metric, name, lanes):
    x, y = crowd(m=200, n=700)
    assert passes(x, y, (4, 3), metric, **crowd_filters(200, 700)[name])[0] == 1
    assert len(lanes) == 1
    assert not lanes[0].waiting


def test_columns_that_are_ranked_before_their_lists_are_ready_are_caught(lanes, monkeypatch):
    join = Late.join
    monkeypatch.setattr(Late, "join", lambda lane, mark=None: mark and join(lane, mark))
    passes(*normal(200, 700), (4, 3))  # lists that are not tightened hold more than they need
    gc.collect()
    with pytest.raises(AssertionError, match="was given back before"):
        join(lanes[0])


def test_a_lane_that_follows_nothing_is_caught(lanes, monkeypatch):
    monkeypatch.setattr(Late, "follow", lambda lane: None)
    with pytest.raises(AssertionError, match="was not told to wait"):
        passes(*normal(200, 700), (4, 3))


@pytest.mark.parametrize("flavour", ["race", "address"])
def test_no_race_and_no_stray_access(flavour):
    x, y = crowd(m=90, n=80)
    passes(x, y, (4, 3), exclude=np.arange(90) % 80, device={"flavour": flavour})


# ------------------------------------------------------------------------------------------------------ planted faults


def too_high(self):
    """Thresholds of the columns that only their nearest partner reaches."""
    self.k, k = 1, self.k
    tighten(self)
    self.k = k


def never_lost(self):
    for number, value, index, lost in ranked(self):
        yield number, value, index, lost & False


tighten, ranked = columns.Columns.tighten, columns.Both.found
FAULTS = {
    "thresholds of columns that are too high": (columns.Columns, "tighten", too_high, normal(300, 40)),
    "a list that overflows is not said to": (columns.Both, "found", never_lost, nearer_and_nearer(600)),
    "queries are numbered as they are met": (columns.Both, "rows", search.Search.rows, normal(300, 40)),
    "columns are not told which block they meet": (
        search.Queries, "first", property(lambda queries: 0, lambda queries, first: None), normal(300, 40),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault, monkeypatch):
    owner, name, spoiled, (x, y) = FAULTS[fault]
    monkeypatch.setattr(columns, "step_for", lambda count: 1 if "overflows" in fault else resident.step_for(count))
    passes(x, y, (1, 3), "dot")
    monkeypatch.setattr(owner, name, spoiled)

    def several():  # which candidates a list loses depends on the order of threads
        for seed in range(1, 9):
            passes(x, y, (1, 3), "dot", device={"seed": seed})

    with pytest.raises((AssertionError, ValueError)):
        several()


def test_a_bound_that_is_too_small_is_seen(monkeypatch):
    x, y = normal(400, 60, d=24)
    passes(x, y, (1, 5), "dot", device={"hostile": bounds.accumulation(24) / 2})
    monkeypatch.setattr(bounds, "accumulation", lambda d: 0.0)
    with pytest.raises(AssertionError):
        passes(x, y, (1, 5), "dot", device={"hostile": 0.01})


def test_lists_that_hold_all_queries_do_not_shorten_blocks(monkeypatch):
    """With k of half of them no list can overflow, and none has room to grow by."""
    monkeypatch.setattr(search, "QUERY_ROWS", 64)
    x, y = normal(200, 90)
    begun = []
    monkeypatch.setattr(columns.Swept, "__init__", noted(begun, columns.Swept.__init__))
    assert passes(x, y, (3, 100)) == (1, 1)
    assert len(begun) == 4


def noted(calls, plain):
    return lambda *given: calls.append(1) or plain(*given)
