"""`within` and `ranks` with backend="cuda" on the emulator: the answers of NumPy, whatever the scores lose."""

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import simt
from crossmodal_fast.kernels.tiles.cuda import bounds, goals, search
from least import least_max_bytes
from searches import crowd, crowd_filters
from test_cuda_search import emulated, normal  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

METRICS = ["euclidean", "dot", "cosine"]
HARD = [
    pytest.param(name, metric, marks=() if (at + shift) % len(METRICS) == 0 else pytest.mark.heavy)
    for at, name in enumerate(cases.CASES)
    for shift, metric in enumerate(METRICS)
]


@pytest.fixture
def short_lists(monkeypatch):
    """So short that small inputs take many tiles, some of them more than once."""
    monkeypatch.setattr(search, "CAPACITY_OF_FEW", 12)


def both(call):
    return [call(backend) for backend in ("cuda", "numpy")]


def same_within(x, y, radius, metric, **keywords):
    found, wanted = both(lambda backend: cmf.within(x, y, radius, metric, backend=backend, **keywords))
    np.testing.assert_array_equal(found.indptr, wanted.indptr)
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.distances.view(np.uint8), wanted.distances.view(np.uint8))
    return found


def same_ranks(x, y, positives, metric, **keywords):
    for ties in ("index", "optimistic", "pessimistic"):
        found, wanted = both(
            lambda backend, ties=ties: cmf.ranks(x, y, positives, metric, ties=ties, backend=backend, **keywords)
        )
        np.testing.assert_array_equal(found, wanted)


def radii(x, y, metric):
    """The distance of each query's median partner, so that it lies on the edge."""
    distance = cmf.pairwise_distances(x, y, metric, dtype=np.float64, backend="numpy", check_finite=False)
    middle = np.sort(distance, axis=1)[:, distance.shape[1] // 2]
    return np.where(np.isnan(middle), 1.0, middle)


@pytest.mark.parametrize(("name", "metric"), HARD)
def test_hard_rows(name, metric, emulated, short_lists):  # noqa: F811
    x, y = cases.arrays(name)
    emulated(hostile=0.9 * bounds.accumulation(x.shape[1]))
    same_within(x, y, radii(x, y, metric), metric, check_finite=False)
    same_ranks(x, y, np.random.default_rng(1).integers(0, len(y), len(x)), metric, check_finite=False)


@pytest.mark.parametrize("metric", ["sqeuclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", ["none", "rows", "pairs", "bias"])
def test_masks_exclusions_and_biases(name, metric, emulated, short_lists):  # noqa: F811
    x, y = crowd(m=9, n=180)
    emulated()
    filters = crowd_filters(len(x), len(y))[name]
    same_within(x, y, radii(x, y, metric), metric, **filters)
    rng = np.random.default_rng(4)
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 5, len(x)))])
    same_ranks(x, y, (indptr, rng.integers(0, len(y), indptr[-1])), metric, **filters)


@pytest.mark.parametrize("metric", METRICS)
def test_parts_of_a_gallery_and_blocks_of_queries(metric, emulated, short_lists, monkeypatch):  # noqa: F811
    monkeypatch.setattr(search, "LEAST_ROWS", 40)
    monkeypatch.setattr(search, "QUERY_ROWS", 7)
    monkeypatch.setattr(search, "PASSING_ROWS", 7)
    x, y = normal(20, 230, 10, np.float64)
    y *= 2.0 ** np.repeat([0, 9, -12, 3, -2], 46)[:, None]
    driver = emulated(free=30_000)
    same_within(x, y, radii(x, y, metric), metric)
    same_ranks(x, y, np.arange(20), metric, exclude=np.arange(20))
    assert driver.launched.count("prepare") > 2 * (3 + 5)


def test_every_radius_of_the_line(emulated):  # noqa: F811
    x, y = normal(6, 40, 3)
    emulated()
    for metric, radius in (("euclidean", [np.inf, -1, 0, 1e-30, 1e300, 1]), ("dot", [-np.inf, np.inf, 0, 1, -1, 5])):
        same_within(x, y, np.array(radius, np.float64), metric)
    assert len(cmf.within(x[:0], y, 1.0, backend="cuda").indices) == 0


def test_rows_that_are_not_finite(emulated, short_lists):  # noqa: F811
    x, y = normal(5, 90, 7)
    y[11, 2], y[40, 3], y[77] = np.nan, np.inf, -np.inf
    x[1, 0], x[3, 1] = np.nan, np.inf
    emulated()
    same_within(x, y, np.array([3.0, 3, np.inf, np.inf, 4]), "euclidean", check_finite=False)
    same_ranks(x, y, np.array([11, 40, 77, 11, 0]), "euclidean", check_finite=False)
    with pytest.raises(ValueError, match="queries must be finite, got nan in row 1"):
        cmf.within(x, y[:9], 1.0, backend="cuda")
    with pytest.raises(ValueError, match="queries must be finite, got nan in row 1"):
        cmf.ranks(x, y[:9], [0] * 5, backend="cuda")


@pytest.mark.parametrize("flavour", ["race", "address"])
def test_no_race_and_no_stray_access(flavour, emulated, short_lists):  # noqa: F811
    x, y = normal(5, 150, 9)
    emulated(flavour=flavour)
    same_within(x, y, 3.5, "euclidean", exclude=np.arange(5))
    same_ranks(x, y, ([0, 2, 2, 3, 5, 6], [1, 140, 9, 9, 30, 149]), "cosine")


def test_a_goal_that_is_too_narrow_is_seen(emulated, monkeypatch, short_lists):  # noqa: F811
    x, y = normal(20, 600, 24)
    emulated(hostile=0.9 * bounds.accumulation(24))
    monkeypatch.setattr(bounds, "loss", lambda d: 0.0)
    y = np.round(y)  # codes without a rest: what scores lose is all that there is
    with pytest.raises(AssertionError):
        same_ranks(np.round(x), y, np.arange(20), "dot")


def test_a_gallery_serves_all_of_them(emulated):  # noqa: F811
    x, y = normal(9, 300, 8)
    driver = emulated()
    gallery = cmf.Gallery(y, "cosine", ids=np.arange(500, 800))
    gallery.topk(x, 3, backend="cuda")
    driver.launched.clear()
    found, wanted = both(lambda backend: gallery.within(x, 0.7, backend=backend))
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(*both(lambda backend: gallery.ranks(x, np.arange(500, 509), backend=backend)))
    assert driver.launched.count("prepare") == 2  # of the queries


def test_values_of_pairs_come_in_pieces(monkeypatch):
    monkeypatch.setattr(goals, "PIECE_BYTES", 1000)
    x, y = normal(7, 30, 5)
    rows = [cmf.kernels.tiles.rows.Rows(name, part) for name, part in (("queries", x), ("gallery", y))]
    metric = cmf.kernels.tiles.metrics.metric("sqeuclidean", 5)
    row, column = np.divmod(np.arange(210), 30)
    filters = cmf.kernels.tiles.filters.Filters(bias=(np.arange(7.0), np.arange(30.0)))
    value = goals.of_pairs(*rows, metric, filters, row, column)
    wanted = cmf.pairwise_distances(x, y, "sqeuclidean", dtype=np.float64) + np.add.outer(np.arange(7), np.arange(30))
    np.testing.assert_allclose(value, wanted.ravel(), rtol=1e-12)


@pytest.mark.parametrize(("m", "n"), [(3, 900), (900, 3), (40, 40)])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_both_ways_ask_once_for_the_memory_of_the_greedier(metric, m, n, emulated):  # noqa: F811
    x, y = normal(m, n, 7)
    emulated()
    least = least_max_bytes(lambda max_bytes: cmf.topk_both(x, y, 2, metric, backend="cuda", max_bytes=max_bytes))
    with pytest.raises(ValueError, match=f"max_bytes must be at least {least} for d=7 and k=2, got {least - 1}"):
        cmf.topk_both(x, y, 2, metric, backend="cuda", max_bytes=least - 1)
    found = cmf.topk_both(x, y, 2, metric, backend="cuda", max_bytes=least)
    wanted = cmf.topk_both(x, y, 2, metric, backend="numpy")
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part.indices, other.indices)
        np.testing.assert_array_equal(part.distances, other.distances)
