"""Searches of a part of a gallery that know what other parts have shown: what `crossmodal_fast.dask` is built on."""

import numpy as np
import pytest

from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.ranks import reference as ranks_reference
from crossmodal_fast.kernels.tiles import metrics
from crossmodal_fast.kernels.tiles.filters import Filters
from crossmodal_fast.kernels.tiles.rows import Rows
from crossmodal_fast.kernels.topk import reference
from emulated import emulated

METRICS = ["sqeuclidean", "cosine", "dot", "cityblock"]  # the forms of the bound, and none
CONTROL = {"max_bytes": 1 << 26, "precision": "auto"}


def rows(metric, n=300):
    """Whole numbers, so that many values are equal."""
    random = np.random.default_rng(len(metric))
    return random.integers(-2, 3, (40, 6)).astype(np.float32), random.integers(-2, 3, (n, 6)).astype(np.float32)


def kernel(operation, backend, x, y, metric, **keywords):
    arguments = Rows("x", x), Rows("y", y), metrics.metric(metric, x.shape[1])
    keywords = {"filters": Filters(), **CONTROL, **keywords}
    return _dispatch.implementation(operation, backend, *arguments, **keywords)[1](*arguments, **keywords)


@pytest.mark.parametrize("metric", METRICS)
def test_topk_below_a_limit(backend, metric):
    """All that is not above the limit is found, in order, as if there were none."""
    (x, y), k = rows(metric), 7
    expected, index = reference.topk(x, y, k, metric)
    sign = -1 if metric == "dot" else 1
    for at in (k - 1, 2):  # the k-th best is found, and the best three are
        found = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
        kernel("topk", backend, x, y, metric, out=[found], limit=sign * expected[:, at])
        np.testing.assert_array_equal(found[1][:, : at + 1], index[:, : at + 1])
        np.testing.assert_array_equal(found[0][:, : at + 1], expected[:, : at + 1])
    nothing = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
    stats = kernel("topk", backend, x, y, metric, out=[nothing], limit=np.full(len(x), np.inf))
    np.testing.assert_array_equal(nothing[1], index)
    assert stats.candidates.min() >= k


def test_a_limit_saves_candidates(backend):
    random = np.random.default_rng(5)
    x, y = (random.standard_normal((n, 24)).astype(np.float32) for n in (64, 4000))
    found = np.empty((64, 10)), np.empty((64, 10), np.int64)
    alone = kernel("topk", backend, x, y, "sqeuclidean", out=[found], limit=None)
    told = kernel("topk", backend, x, y, "sqeuclidean", out=[found], limit=np.full(64, 1e-9))
    assert told.candidates.sum() < alone.candidates.sum() / 5


@pytest.mark.parametrize("metric", METRICS)
def test_ranks_of_partners_elsewhere(backend, metric):
    """Counts over parts add up to those of the whole, equal values being before or behind by position."""
    (x, y), cut = rows(metric), 120
    row, positive = np.repeat(np.arange(len(x)), 2), np.random.default_rng(1).integers(0, len(y), 2 * len(x))
    target = metrics.ordered(
        metrics.metric(metric, 6),
        metrics.pairs(metrics.metric(metric, 6), x[row].astype(np.float64), y[positive].astype(np.float64)),
    )
    total = np.zeros((3, len(row)), np.int64)
    for start, part in ((0, y[:cut]), (cut, y[cut:])):
        *counts, _ = kernel("ranks", backend, x, part, metric, row=row, positive=positive - start, target=target)
        total += counts
    *whole, _ = kernel("ranks", backend, x, y, metric, row=row, positive=positive)
    np.testing.assert_array_equal(total, whole)
    np.testing.assert_array_equal(1 + total[0] + total[1], ranks_reference.ranks(x, y, row, positive, metric=metric))


@pytest.mark.heavy
@pytest.mark.parametrize("metric", METRICS)
def test_on_the_emulator(metric):
    with emulated():
        test_topk_below_a_limit("cuda", metric)
        test_ranks_of_partners_elsewhere("cuda", metric)


def test_a_part_names_its_rows_by_their_place_in_the_whole():
    bad = np.array([[0.0], [np.nan]])
    with pytest.raises(ValueError, match="gallery must be finite, got nan in row 101"):
        Rows("gallery", bad, first=100).refuse_unfinite()
