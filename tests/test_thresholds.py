"""Thresholds raised by canonical values between blocks of the gallery: fewer candidates, the same answers."""

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import best, cost, engine, metrics, probe, sides, simd
from crossmodal_fast.kernels.tiles.rows import Rows

METRICS = ("sqeuclidean", "cosine", "correlation", "dot")
K = 5
QUERIES = 25 * simd.runnable()[0].rows  # so many panels that two threads share them out, with all of the gallery each


@pytest.fixture
def raised(monkeypatch):
    """Rows whose thresholds were raised between blocks, counted while small blocks come first."""
    counts, plain = [], best.Best._raise

    def counted(keeper, lists, owners, floor, results=None):
        before = lists.least[owners].copy()
        plain(keeper, lists, owners, floor, results)
        assert (lists.least[owners] >= before).all()
        wanting = lists.least[owners] < np.inf
        np.testing.assert_array_equal(lists.least[owners][wanting], lists.lows[owners, 0][wanting])
        if results is None:  # not after the last block, where there is nothing left to raise them for
            counts.append(np.count_nonzero(lists.least[owners] > before))

    monkeypatch.setattr(engine, "FIRST_ROWS", 64)
    monkeypatch.setattr(cost, "FEW_VALUES", 1)
    monkeypatch.setattr(best.Best, "_raise", counted)
    return counts


def rows(seed=0):
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal((QUERIES, 20), dtype=np.float32), generator.standard_normal((900, 20))
    y[300:600] = y[:300]  # ties across blocks
    return x, y.astype(np.float32)


def agree(x, y, metric, precision="int6", **keywords):
    with cmf.config_context(n_threads=2):
        ours = cmf.topk(x, y, K, metric=metric, backend="numba", precision=precision, **keywords)
    law = cmf.topk(x, y, K, metric=metric, backend="numpy", **keywords)
    np.testing.assert_array_equal(ours[1], law[1])
    np.testing.assert_array_equal(ours[0], law[0])


@pytest.mark.parametrize("precision", cost.RAISED)
@pytest.mark.parametrize("metric", METRICS)
def test_answers_stay(raised, metric, precision):
    agree(*rows(), metric, precision)
    assert len(raised) >= 2
    assert raised[0] > 0


@pytest.mark.parametrize("metric", METRICS)
def test_filters_and_hostile_rows(raised, metric):
    x, y = rows(1)
    generator = np.random.default_rng(2)
    x[3], x[4] = 0, x[5]
    y[7], y[8], y[9], y[11] = 0, 1e30, 1e-30, np.nan
    x[6] = np.nan
    mask = generator.random(len(y)) < 0.7
    mask[:70] = False  # the first block has nobody
    bias = generator.standard_normal(len(x)), generator.standard_normal(len(y))
    exclude = generator.integers(-1, len(y), len(x))
    agree(x, y, metric, mask=mask, exclude=exclude, bias=bias, check_finite=False)
    agree(x, y, metric, mask=generator.random((len(x), len(y))) < 0.03, check_finite=False)
    assert raised


def test_a_threshold_above_the_kth_value_is_caught(raised, monkeypatch):
    plain = sides.Queries.keys

    def nearer(queries, row, order):
        return plain(queries, row, order - 0.4 * np.abs(order))

    monkeypatch.setattr(sides.Queries, "keys", nearer)
    with pytest.raises(AssertionError):
        agree(*rows(), "sqeuclidean")


def test_only_where_it_pays():
    assert cost.raises(108_000, 10)
    assert not cost.raises(9_000, 10)
    assert not cost.raises(100_000, 1000)


def test_the_look_counts_one_margin():
    x, y = (Rows(name, part) for name, part in zip("xy", rows(4), strict=True))
    metric = metrics.metric("sqeuclidean", 20, {})
    measure = sides.measure(metric, y, x)
    two, one = probe.shares(x, y, measure, K), probe.shares(x, y, measure, K, ("int6",))
    assert one["int6"] < two["int6"]
    assert one["int8"] == two["int8"]


def test_a_job_settles_no_more_candidates_than_the_workspace_counts(monkeypatch):
    """The same answers where jobs are small, and no job beyond what `fixed` allows for it."""
    x, y = rows()
    monkeypatch.setattr(best, "OWNED", 64)
    left, found = best._left, []

    def watched(*arguments):
        answer = left(*arguments)
        found.append(len(answer[0]))
        return answer

    monkeypatch.setattr(best, "_left", watched)
    agree(x, y, "sqeuclidean")
    assert len(found) > 20
    assert max(found) <= 64 + 4 * K + best.ROOM["int6"]
    sizes = np.random.default_rng(5).integers(0, 200, 1000)
    jobs = best._jobs(sizes)
    assert [job.start for job in jobs[1:]] == [job.stop for job in jobs[:-1]]
    assert (jobs[0].start, jobs[-1].stop) == (0, 1000)
    assert max((sizes[job] + 1).sum() for job in jobs) <= 64 + 200
