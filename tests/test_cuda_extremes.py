"""Searches with backend="cuda" where scales and biases leave bounds little room: the bits of NumPy, on the emulator."""

import gc
import re
import weakref

import numpy as np
import pytest

import crossmodal_fast as cmf
import simt
from crossmodal_fast.kernels.tiles.cuda import resident, search
from emulated import emulated
from searches import same

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

RNG = np.random.default_rng(29)
FAR = 2.0**80  # further from 1 than float32 can bound


def as_numpy(call, **options):
    """call(backend): once on the emulator, once on NumPy, which must say the same; returns the driver."""
    with emulated(**options) as driver:
        same(call("cuda"), call("numpy"))
    return driver


def topk_by_parts(x, y, metric, monkeypatch, **keywords):
    """The first half of y is one part of the gallery, the second another."""
    monkeypatch.setattr(search, "LEAST_ROWS", len(y) // 2)
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", len(y) // 2)

    def call(backend):
        return cmf.topk(x, y, 3, metric, backend=backend, **keywords)

    with emulated(free=1), pytest.raises(ValueError, match="bytes free") as said:
        call("cuda")
    driver = as_numpy(call, free=int(re.search(r"have (\d+) bytes", str(said.value))[1]))
    assert driver.launched.count("order") == 2


def test_a_part_with_fewer_rows_than_k_excludes_nothing_of_the_next(monkeypatch):
    y = RNG.uniform(0.5, 2, (16, 8)) * np.repeat([1, FAR / 2], 8)[:, None]
    x = RNG.uniform(0.5, 2, (1, 8)) * 2.0**20
    topk_by_parts(x, y, "sqeuclidean", monkeypatch, mask=np.arange(16) >= 7)


def test_a_query_without_bounds_in_the_second_part_takes_none_from_the_first(monkeypatch):
    """Products of the codes are below 0 there, those of the rows above."""
    y = np.zeros((16, 8))
    y[:8] = RNG.uniform(1, 2, (8, 8)) / 2**30
    y[8:, 0] = 1 + 2.0**-11 * np.linspace(0.3, 0.49, 8)
    y[8:, 1], y[8:, 2] = -1, -(2.0**-13)
    y[8:] *= FAR
    topk_by_parts(np.eye(1, 8) + np.eye(1, 8, 1) + np.eye(1, 8, 2), y, "dot", monkeypatch)


def test_a_query_of_zeros_takes_its_scale_from_every_part(monkeypatch):
    y = RNG.uniform(0.9, 1, (16, 16)) * RNG.choice([-1, 1], (16, 16)) * 2.0**49.4
    y[8:] *= 0.8
    y[0] = FAR
    topk_by_parts(np.zeros((1, 16)), y, "sqeuclidean", monkeypatch)


@pytest.mark.parametrize("scale", [FAR, 1 / FAR])
def test_a_query_of_zeros_among_rows_of_any_scale(scale):
    x, y = np.zeros((2, 6)), RNG.standard_normal((40, 6)) * scale
    y -= np.median(y, axis=0)  # no centre: it would not be a query of zeros
    radius = np.full(2, np.median((y**2).sum(1)))
    as_numpy(lambda backend: cmf.within(x, y, radius, "sqeuclidean", backend=backend))
    as_numpy(lambda backend: cmf.ranks(x, y, [3, 4], "sqeuclidean", backend=backend))


@pytest.mark.parametrize("small", [0, -10, -25, -50])
def test_a_bias_that_takes_the_squares_away(small, monkeypatch):
    """What is left of a distance hangs on the last bits of squares that cancel."""
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 64)
    x, y = RNG.standard_normal((4, 33)) * 2.0**small, RNG.standard_normal((200, 33))
    bias = np.zeros(4), -np.einsum("nd,nd->n", y, y)
    as_numpy(lambda backend: cmf.topk(x, y, 3, "sqeuclidean", bias=bias, backend=backend))
    radius = cmf.topk(x, y, 9, "sqeuclidean", bias=bias, dtype=np.float64, backend="numpy").distances[:, -1]
    as_numpy(lambda backend: cmf.within(x, y, radius, "sqeuclidean", bias=bias, backend=backend))


@pytest.mark.parametrize("metric", ["cityblock", "euclidean"])
def test_a_bias_beyond_float32_where_keys_are_values(metric):
    x, y = RNG.standard_normal((3, 4)), RNG.standard_normal((20, 4))
    bias = np.array([1e100, -1e100, 1e-100]), RNG.standard_normal(20)
    radius = np.array([1e100, -1e100, 0])
    as_numpy(lambda backend: cmf.within(x, y, radius, metric, bias=bias, dtype=np.float64, backend=backend))
    as_numpy(lambda backend: cmf.ranks(x, y, [1, 2, 3], metric, bias=bias, backend=backend))


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_what_was_not_finite_in_one_search_hides_nothing_in_the_next(metric):
    x, y = RNG.standard_normal((5, 6)), RNG.standard_normal((50, 6))
    first, second = x.copy(), x.copy()
    first[1], second[3] = np.nan, np.nan
    with emulated():
        gallery = cmf.Gallery(y, metric)
        gallery.topk(first, 2, backend="cuda", check_finite=False)
        with pytest.raises(ValueError, match="queries must be finite, got nan in row 3"):
            gallery.topk(second, 2, backend="cuda")


@pytest.fixture
def alive(monkeypatch):
    """Calls count(driver): how many arrays of this driver are there, at any time; cycles are not collected."""

    def count(driver):
        made, empty, array = [], driver.empty, driver.array

        def noted(make):
            def call(*arguments):
                found = make(*arguments)
                made.append(weakref.ref(found))
                return found

            return call

        driver.empty, driver.array = noted(empty), noted(array)
        return lambda: sum(array() is not None for array in made)

    gc.collect()
    gc.disable()
    yield count
    gc.enable()


@pytest.mark.parametrize("operation", ["topk", "topk_both", "within", "ranks"])
def test_a_search_leaves_nothing_on_the_device(operation, alive):
    """At once, not when Python looks for cycles: the next search needs the memory."""
    x, y = RNG.standard_normal((6, 8)), RNG.standard_normal((60, 8))
    third = {"topk": 3, "topk_both": 3, "within": 1.0, "ranks": np.arange(6)}[operation]
    with emulated() as driver:
        left = alive(driver)
        getattr(cmf, operation)(x, y, third, bias=None, backend="cuda", mask=np.ones(60, bool))
        assert left() == 0


def test_what_ran_out_of_memory_holds_none_when_the_device_gives_back(alive):
    x, y = RNG.standard_normal((40, 16)), RNG.standard_normal((3000, 16))
    left = []
    with emulated(largest=400_000) as driver:
        count = alive(driver)
        driver.release = lambda: left.append(count())
        cmf.topk(x, y, 3, "cosine", backend="cuda")
    assert left
    assert not any(left)


def test_lists_that_hold_the_whole_gallery_are_filled_at_once():
    x, y = RNG.standard_normal((2, 8)), RNG.standard_normal((300, 8))
    driver = as_numpy(lambda backend: cmf.topk(x, y, 200, "dot", backend=backend))
    assert driver.launched.count("filter") == 1


@pytest.mark.parametrize("operation", ["topk", "within", "ranks"])
def test_tiles_of_a_search_share_their_memory(operation, monkeypatch):
    """Of all widths, and of blocks of queries that are under way together."""
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 64)
    monkeypatch.setattr(search, "QUERY_ROWS", 8)
    x, y = RNG.standard_normal((24, 8)), RNG.standard_normal((1500, 8))
    third = {"topk": 3, "within": 1e-9, "ranks": np.arange(24)}[operation]
    views, scores = [], resident.Resident.scores

    def noted(held, queries, make, *more):
        views.append(scores(held, queries, make, *more))
        return views[-1]

    monkeypatch.setattr(resident.Resident, "scores", noted)
    as_numpy(lambda backend: getattr(cmf, operation)(x, y, third, "euclidean", backend=backend))
    starts = [view.ctypes.data for view in views]
    assert len(views) > len(set(starts)) + 1
    assert len(set(starts[len(starts) // 2 :])) == 1
