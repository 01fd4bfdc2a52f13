"""Every search reads stores that are no arrays, block by block: slices, and rows in ascending order only."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import arrays, output_dtype
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from least import least_max_bytes
from stores import PairStore, Store
from test_ranks import several
from test_within import reached

METRICS = ("euclidean", "cosine", "dot", "cityblock")


def sides(x, y):
    """Stores in place of one side and of both."""
    return [(Store(x), y), (x, Store(y)), (Store(x), Store(y))]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["normal-9x31x8", "integers-float64", "mixed-scales-float32", "int8"])
def test_both_sides_of_every_search(name, metric, backend):
    x, y = arrays(name)
    dtype = output_dtype(x, y)
    radius, positives = reached(x, y, metric), several(len(x), len(y))
    row = np.repeat(np.arange(len(x)), np.diff(positives[0]))
    for queries, gallery in sides(x, y):
        answer = cmf.topk(queries, gallery, 6, metric, backend=backend)
        judge.same_bits(answer, topk_law.topk(x, y, 6, metric), dtype)
        both = cmf.topk_both(queries, gallery, (6, 3), metric, backend=backend)
        for side, expected in zip(both, topk_law.topk_both(x, y, 6, 3, metric), strict=True):
            judge.same_bits(side, expected, dtype)
        answer = cmf.within(queries, gallery, radius, metric, backend=backend)
        judge.same_rows(answer, within_law.within(x, y, radius, metric), dtype)
        answer = cmf.ranks(queries, gallery, positives, metric, backend=backend)
        judge.same_ranks(answer, ranks_law.ranks(x, y, row, positives[1], "index", metric), "index")


@pytest.mark.parametrize("metric", METRICS)
def test_pairwise_and_transfer(metric, backend):
    x, y = arrays("normal-9x31x8")
    for queries, gallery in sides(x, y):
        answer = cmf.pairwise_distances(queries, gallery, metric, backend=backend)
        judge.pairwise_within_bound(answer, x, y, metric)
    judge.pairwise_within_bound(cmf.pairwise_distances(Store(x), metric=metric, backend=backend), x, x, metric)
    judge.transfer_within_bound(cmf.transfer(Store(x), y, backend=backend), x, y)


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
def test_parameters_over_all_rows_of_stores(metric, backend):
    x, y = (rows.astype(np.float64) for rows in arrays("normal-9x31x8"))
    expected = cmf.topk(x, y, 5, metric, backend=backend)
    for queries, gallery in sides(x, y):
        for part, other in zip(cmf.topk(queries, gallery, 5, metric, backend=backend), expected, strict=True):
            np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("metric", METRICS)
def test_a_batch_of_queries_in_one_store(metric, backend):
    x, y = arrays("normal-9x31x8")
    distances, indices = cmf.topk(np.stack([x, x[::-1]]), Store(y), 4, metric, backend=backend)
    for at, queries in enumerate((x, x[::-1])):
        judge.same_bits((distances[at], indices[at]), topk_law.topk(queries, y, 4, metric), np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("store", [Store, np.asarray])
def test_a_mask_of_pairs(store, metric, backend):
    x, y = arrays("mixed-scales-float32")  # groups of scales: rows of a tile that are no neighbours
    mask = np.random.default_rng(121).random((len(x), len(y))) < 0.3
    mask[0] = False
    expected = topk_law.topk_both(x, y, 9, 3, metric, mask=mask)
    radius = reached(x, y, metric, mask=mask)
    positives = np.arange(len(x))
    queries, gallery = store(x), store(y)

    def call(**more):
        return cmf.topk_both(queries, gallery, (9, 3), metric, mask=PairStore(mask), backend=backend, **more)

    for max_bytes in (None, least_max_bytes(call)):
        for side, lawful in zip(call(max_bytes=max_bytes), expected, strict=True):
            judge.same_bits(side, lawful, np.float32)
    answer = cmf.topk(queries, gallery, 9, metric, mask=PairStore(mask), backend=backend)
    judge.same_bits(answer, expected[0], np.float32)
    answer = cmf.within(queries, gallery, radius, metric, mask=PairStore(mask), backend=backend)
    judge.same_rows(answer, within_law.within(x, y, radius, metric, mask=mask), np.float32)
    answer = cmf.ranks(queries, gallery, positives, metric, mask=PairStore(mask), backend=backend)
    expected = ranks_law.ranks(x, y, positives, positives, "index", metric, mask=mask)
    judge.same_ranks(answer, expected, "index")


def test_a_mask_of_gallery_rows(backend):
    x, y = arrays("normal-9x31x8")
    mask = np.arange(31) % 3 > 0
    answer = cmf.topk(x, y, 5, mask=Store(mask), backend=backend)
    judge.same_bits(answer, topk_law.topk(x, y, 5, mask=mask), np.float32)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("metric", METRICS)
def test_a_gallery_of_a_store(metric, copy, backend):
    x, y = arrays("normal-17x130x64")
    gallery = cmf.Gallery(Store(y), metric, copy=copy)
    for queries in (x, Store(x)):
        judge.same_bits(gallery.topk(queries, 6, backend=backend), topk_law.topk(x, y, 6, metric), np.float32)
    gallery.add(Store(x))
    gallery.remove([3, 4])
    kept = np.delete(np.concatenate([y, x]), [3, 4], axis=0)
    value, index = topk_law.topk(x, kept, 6, metric)
    answer = gallery.topk(x, 6, backend=backend)
    judge.same_bits(answer, (value, np.delete(np.arange(147), [3, 4])[index]), np.float32)


def test_never_more_than_a_block_at_a_time(backend):
    """A small workspace reads small pieces of the vectors and of the mask."""
    rng = np.random.default_rng(122)
    x, y = (rng.standard_normal((rows, 64)).astype(np.float32) for rows in (500, 20_000))
    mask = np.ones((500, 20_000), bool)
    queries, gallery, pairs = Store(x), Store(y), PairStore(mask)
    cmf.topk(queries, gallery, 3, mask=pairs, max_bytes=1 << 24, backend=backend)
    assert gallery.read * 64 * 4 < 1 << 24
    assert pairs.read < 1 << 24
