"""A second queue of launches: what waits for what, on an emulator that launches as late as it may."""

import gc

import numpy as np
import pytest

import crossmodal_fast as cmf
import simt
from crossmodal_fast.kernels.tiles.cuda import ring, search
from crossmodal_fast.kernels.tiles.cuda.lists import Lists
from emulated import emulated
from simt.driver import Late

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

RNG = np.random.default_rng(31)
X, Y = (RNG.standard_normal((rows, 8)).astype(np.float32) for rows in (70, 1500))
BIAS = RNG.standard_normal(70), RNG.standard_normal(1500)


@pytest.fixture
def small(monkeypatch):
    """Blocks and tiles so small that a search has several of each, and says which lanes it had."""
    for name, size in (("QUERY_ROWS", 32), ("FIRST", 8), ("TILE_SCORES", 1 << 13), ("CAPACITY_OF_FEW", 256)):
        monkeypatch.setattr(search, name, size)
    made, begun = [], Late.__init__
    monkeypatch.setattr(Late, "__init__", lambda lane, driver: made.append(lane) or begun(lane, driver))
    return made


def same(metric="euclidean", **filters):
    with emulated():
        found = cmf.topk(X, Y, 5, metric, backend="cuda", **filters)
    wanted = cmf.topk(X, Y, 5, metric, backend="numpy", **filters)
    return all(np.array_equal(part, other) for part, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("metric", "filters"), [
    ("euclidean", {}), ("dot", {"bias": BIAS}), ("cosine", {"exclude": np.arange(70)}),
    ("euclidean", {"mask": np.arange(1500) % 3 > 0}), ("cityblock", {}),
])  # fmt: skip
def test_tiles_are_read_beside_those_that_follow(metric, filters, small):
    assert same(metric, **filters)
    assert len(small) == 1
    assert not small[0].waiting


def test_what_a_tile_has_of_its_own_keeps_all_in_one_queue(small):
    assert same(mask=RNG.random((70, 1500)) < 0.5)
    assert same("minkowski", metric_kwargs={"p": 3})
    assert not small


def test_small_searches_have_one_queue(monkeypatch, small):
    monkeypatch.setattr(search, "TILE_SCORES", 1 << 20)
    assert same()
    assert not small


def stop(done, total):
    raise KeyboardInterrupt


def stopped(small):
    """The queue of a search that was stopped while the device was at work, once all that it held is given back."""
    with emulated(), pytest.raises(KeyboardInterrupt):
        cmf.topk(X, Y, 5, backend="cuda", progress=stop)
    gc.collect()
    return small[0]


def test_a_search_that_is_stopped_leaves_nothing_in_the_queue(small):
    assert not stopped(small).waiting


def test_a_search_that_does_not_wait_at_its_end_is_caught(monkeypatch, small):
    join = Late.join
    monkeypatch.setattr(Late, "join", lambda lane, mark=None: mark and join(lane, mark))
    with pytest.raises(AssertionError, match="was given back before"):
        join(stopped(small))


def one_place(self, shape, dtype):
    if self.block is None:
        self.block = self.driver.empty(1 << 20, np.uint8)
    return self.driver.view(self.block, 0, shape, np.dtype(dtype))


FAULTS = {
    "a tile is written while it is read": ("read", lambda self: None),
    "one place is taken by all tiles": ("place", lambda self, name, shape, dtype: one_place(self, shape, dtype)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault, monkeypatch, small):
    monkeypatch.setattr(ring.Ring, *FAULTS[fault])
    assert not same()


def test_values_that_follow_nothing_are_caught(monkeypatch, small):
    values = Lists.values

    def early(lists):
        with pytest.MonkeyPatch.context() as without:
            without.setattr(Late, "follow", lambda lane: None)
            return values(lists)

    monkeypatch.setattr(Lists, "values", early)
    with pytest.raises(AssertionError, match="was not told to wait"):
        same()


def test_a_lane_that_follows_nothing_is_caught(monkeypatch, small):
    monkeypatch.setattr(Late, "follow", lambda lane: None)
    with pytest.raises(AssertionError, match="was not told to wait"):
        same()


def test_answers_that_are_read_too_early_are_caught(monkeypatch, small):
    from crossmodal_fast.kernels.tiles.cuda.workspace import Workspace

    answer = Workspace.answer
    monkeypatch.setattr(Workspace, "answer", lambda make, after=None: answer(make))
    with pytest.raises((ValueError, IndexError, AssertionError)):
        assert same()
