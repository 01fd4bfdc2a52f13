"""`topk_both` is `topk` of the rows and of the columns, bit for bit, from one pass."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import SOME_QUERIES, arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.topk import reference as law
from grids import cases_by_metrics, thinned
from least import least_max_bytes
from test_topk import FEW_METRICS, FILTERED_CASES, filters


def check(x, y, k, metric, backend, **keywords):
    k_rows, k_columns = (k, k) if isinstance(k, int) else k
    expected = law.topk_both(x, y, k_rows, k_columns, metric, **law_kwargs(metric), **keywords)

    def call(**more):
        return cmf.topk_both(x, y, k, metric, metric_kwargs=metric_kwargs(metric), backend=backend, **keywords, **more)

    for max_bytes in (None, least_max_bytes(call)):
        for answer, side in zip(call(max_bytes=max_bytes), expected, strict=True):
            judge.same_bits(answer, side, output_dtype(x, y))


@pytest.mark.parametrize(("name", "metric"), cases_by_metrics("topk_both", SOME_QUERIES))
def test_equals_the_law(name, metric, backend):
    x, y = arrays(name, metric)
    check(x, y, (min(len(y), 9), min(len(x), 4)), metric, backend)


@pytest.mark.parametrize("name", ["normal-17x130x64", "integers-float32", "huge-row-1e30"])
def test_one_k_for_both(name, backend):
    x, y = arrays(name)
    check(x, y, 5, "euclidean", backend)
    check(x, y, 1, "cosine", backend)
    check(x, y, len(x), "dot", backend)


@pytest.mark.parametrize(("kind", "name", "metric"), thinned(4, filters(1, 1, 0), FILTERED_CASES, FEW_METRICS))
def test_filters(kind, name, metric, backend):
    x, y = arrays(name)
    check(x, y, (6, 5), metric, backend, **filters(len(x), len(y), 8)[kind])


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_exclude_self(metric, backend):
    _, y = arrays("duplicates-12x20x16x5")
    expected = law.topk_both(y, y, 3, 6, metric, exclude=np.arange(len(y)))
    both = cmf.topk_both(y, y, (3, 6), metric, exclude_self=True, backend=backend)
    for answer, side in zip(both, expected, strict=True):
        judge.same_bits(answer, side, np.float32)


def test_batches_broadcast(backend):
    rng = np.random.default_rng(12)
    x, y = rng.integers(-4, 5, (2, 1, 7, 5)).astype(np.float32), rng.integers(-4, 5, (3, 9, 5)).astype(np.float32)
    rows, columns = cmf.topk_both(x, y, (4, 2), backend=backend)
    assert rows.indices.shape == (2, 3, 7, 4)
    assert columns.indices.shape == (2, 3, 9, 2)
    for a, b in np.ndindex(2, 3):
        expected = law.topk_both(x[a, 0], y[b], 4, 2)
        judge.same_bits((rows.distances[a, b], rows.indices[a, b]), expected[0], np.float32)
        judge.same_bits((columns.distances[a, b], columns.indices[a, b]), expected[1], np.float32)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_rows_that_are_not_finite_sort_last_if_not_refused(metric, backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8"))
    y[[3, 20]], x[[1, 4]] = np.nan, np.nan
    expected = law.topk_both(x, y, 31, 9, metric)
    both = cmf.topk_both(x, y, (31, 9), metric, check_finite=False, backend=backend)
    for answer, side in zip(both, expected, strict=True):
        judge.same_bits(answer, side, np.float32)


def test_stats_come_third(backend):
    x, y = arrays("normal-9x31x8")
    rows, columns, stats = cmf.topk_both(x, y, 3, return_stats=True, backend=backend)
    for answer, side in zip((rows, columns), law.topk_both(x, y, 3, 3), strict=True):
        judge.same_bits(answer, side, np.float32)
    assert stats.backend == backend


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_many_tiles(metric, backend):
    rng = np.random.default_rng(31)
    x = rng.standard_normal((570, 12)).astype(np.float32)
    y = np.concatenate([x[::-1], rng.standard_normal((1900, 12)).astype(np.float32)])
    y[5::10] = y[4::10]
    expected = law.topk_both(x, y, 7, 20, metric)
    for max_bytes in (None, 1 << 25):
        both = cmf.topk_both(x, y, (7, 20), metric, max_bytes=max_bytes, backend=backend)
        for answer, side in zip(both, expected, strict=True):
            judge.same_bits(answer, side, np.float32)
