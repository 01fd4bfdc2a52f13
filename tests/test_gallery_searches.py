"""`Gallery.within` and `.ranks` are the plain functions with ids for positions; no search changes the gallery."""

import dataclasses

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import CASES, GEMM_FAMILY, METRICS, arrays, law_kwargs, metric_kwargs, output_dtype
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from grids import thinned
from least import least_max_bytes
from test_ranks import TIES, several
from test_topk import FILTERED_CASES, filters
from test_within import reached


def identifiers(n):
    """Distinct numbers in no order, none of them a position."""
    return np.random.default_rng(111).permutation(10 * n)[:n] + n


def named(keywords, ids):
    """The same filters with ids in `exclude`."""
    if "exclude" not in keywords:
        return keywords
    return keywords | {"exclude": np.where(keywords["exclude"] < 0, -1, ids[keywords["exclude"]])}


def check(x, y, metric, backend, ties="index", gallery=None, **keywords):
    """Both searches in a gallery with ids, with the default workspace and the least possible one."""
    ids = identifiers(len(y))
    if gallery is None:
        gallery = cmf.Gallery(y, metric, ids, metric_kwargs=metric_kwargs(metric))
    control = named({name: value for name, value in keywords.items() if name != "precision"}, ids)
    control |= {"backend": backend} | {name: keywords.pop(name) for name in ("precision",) if name in keywords}
    radius = reached(x, y, metric, 1 / 4, **keywords)
    indptr, index, value = within_law.within(x, y, radius, metric, **law_kwargs(metric), **keywords)
    least = least_max_bytes(lambda max_bytes: gallery.within(x, radius, max_bytes=max_bytes, **control))
    for max_bytes in (None, least):
        answer = gallery.within(x, radius, max_bytes=max_bytes, **control)
        judge.same_rows(answer, (indptr, ids[index], value), output_dtype(x, y))
    indptr, positives = several(len(x), len(y), 112)
    row = np.repeat(np.arange(len(x)), np.diff(indptr))
    expected = ranks_law.ranks(x, y, row, positives, ties, metric, **law_kwargs(metric), **keywords)
    for max_bytes in (None, least):
        answer = gallery.ranks(x, (indptr, ids[positives]), ties=ties, max_bytes=max_bytes, **control)
        judge.same_ranks(answer, expected, ties)


@pytest.mark.parametrize(
    ("metric", "name"),
    thinned(2, METRICS, ["normal-17x130x64", "integers-float32", "offset-1e6", "mixed-scales-float32"]),
)
def test_equals_the_law(name, metric, backend):
    x, y = arrays(name, metric)
    check(x, y, metric, backend, TIES[METRICS.index(metric) % len(TIES)])


@pytest.mark.parametrize(("name", "metric"), thinned(3, CASES, ["euclidean", "cosine", "dot"]))
def test_every_case(name, metric, backend):
    check(*arrays(name), metric, backend)


@pytest.mark.parametrize(
    ("kind", "name", "metric"),
    thinned(3, filters(1, 1, 0), FILTERED_CASES[:3], ["euclidean", "cosine", "dot", "cityblock"]),
)
def test_filters_with_ids(kind, name, metric, backend):
    x, y = arrays(name)
    check(x, y, metric, backend, "pessimistic", **filters(len(x), len(y), 20)[kind])


def test_one_positive_a_query_by_id(backend):
    x, y = arrays("normal-9x31x8")
    ids, positives = identifiers(31), np.arange(9) + 3
    answer = cmf.Gallery(y, ids=ids).ranks(x, ids[positives], backend=backend)
    judge.same_ranks(answer, cmf.ranks(x, y, positives, backend=backend), "index")


@pytest.mark.parametrize("metric", GEMM_FAMILY)
@pytest.mark.parametrize("name", ["normal-17x130x64", "near-duplicates-1e-7", "huge-row-1e30", "zero-rows-float64"])
def test_a_gallery_scanned_in_float64_encodes_anew(name, metric, backend):
    x, y = arrays(name)
    gallery = cmf.Gallery(y, metric, identifiers(len(y)))
    check(x, y, metric, backend, gallery=gallery, precision="float64")
    value, index = topk_law.topk(x, y, 5, metric)
    distances, indices, stats = gallery.topk(x, 5, precision="float64", return_stats=True, backend=backend)
    judge.same_bits((distances, indices), (value, identifiers(len(y))[index]), output_dtype(x, y))
    assert stats.precision == "float64"


def arrays_in(held):
    """All arrays in dictionaries, tuples and data classes, in order."""
    if isinstance(held, np.ndarray):
        yield held
    elif isinstance(held, dict | tuple) or dataclasses.is_dataclass(held):
        parts = held if isinstance(held, tuple) else held.values() if isinstance(held, dict) else vars(held).values()
        for part in parts:
            yield from arrays_in(part)


@pytest.mark.parametrize("metric", GEMM_FAMILY)
@pytest.mark.parametrize("name", ["normal-17x130x64", "mixed-scales-float32"])
def test_a_bias_leaves_the_codes_as_they_are(name, metric, backend):
    """The bias of one search must not be in the next."""
    x, y = arrays(name)
    gallery = cmf.Gallery(y, metric)
    positives, rng = np.arange(len(x)), np.random.default_rng(113)
    plain = gallery.topk(x, 6, backend=backend), gallery.within(x, 1.0), gallery.ranks(x, positives)
    before = [np.copy(codes) for codes in arrays_in(gallery._held.prepared.made)]
    assert before
    for size in (0.1, 1e6, 1e200):
        bias = size * rng.standard_normal(len(x)), size * rng.standard_normal(len(y))
        judge.same_bits(gallery.topk(x, 6, bias=bias, backend=backend), topk_law.topk(x, y, 6, metric, bias=bias),
                        np.float32)  # fmt: skip
        gallery.within(x, 1.0, bias=bias, backend=backend)
        gallery.ranks(x, positives, bias=bias, backend=backend)
        for codes, as_they_were in zip(arrays_in(gallery._held.prepared.made), before, strict=False):
            np.testing.assert_array_equal(codes, as_they_were)
        again = gallery.topk(x, 6), gallery.within(x, 1.0), gallery.ranks(x, positives)
        for side, other in zip((*again[0], *again[1], again[2]), (*plain[0], *plain[1], plain[2]), strict=True):
            np.testing.assert_array_equal(side, other)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_grown_and_shrunk(metric, backend):
    x, y = arrays("normal-17x130x64")
    ids = identifiers(130)
    gallery = cmf.Gallery(y[:100], metric, ids[:100])
    gallery.add(np.concatenate([y[:30], y[100:]]), ids=np.concatenate([10_000 + np.arange(30), ids[100:]]))
    gallery.remove(10_000 + np.arange(30))
    assert gallery.ids.tolist() == ids.tolist()
    check(x, y, metric, backend, gallery=gallery)


def test_rows_that_are_not_finite(backend):
    x, y = (rows.copy() for rows in arrays("normal-9x31x8"))
    y[[3, 20]], x[1] = np.nan, np.nan
    gallery = cmf.Gallery(y, check_finite=False)
    control = {"check_finite": False, "backend": backend}
    radius = np.full(9, np.inf)
    judge.same_rows(gallery.within(x, radius, **control), within_law.within(x, y, radius), np.float32)
    positives = np.array([3, 20, 0, 1, 2, 3, 20, 30, 4])
    expected = ranks_law.ranks(x, y, np.arange(9), positives)
    judge.same_ranks(gallery.ranks(x, positives, **control), expected, "index")


def test_lists_without_anything_in_them(backend):
    x, y = arrays("normal-9x31x8")
    gallery = cmf.Gallery(y)
    assert gallery.topk(x[:0], 3, exclude=[], backend=backend).indices.shape == (0, 3)
    assert gallery.within(x[:0], [], exclude=[], backend=backend).indptr.tolist() == [0]
    assert gallery.ranks(x[:0], [], backend=backend).tolist() == []
    assert gallery.ranks(x, ([0] * 10, []), backend=backend).tolist() == []
    gallery.remove([])
    assert len(gallery) == 31


@pytest.mark.parametrize("operation", ["topk", "within", "ranks"])
def test_progress_is_told_in_order_and_to_the_end(operation, backend):
    x, y = np.zeros((600, 3), np.float32), np.arange(15_000, dtype=np.float32).reshape(5000, 3)
    gallery, told = cmf.Gallery(y), []
    argument = {"topk": 1, "within": 9.0, "ranks": np.zeros(600, int)}[operation]
    control = {"progress": lambda done, total: told.append((done, total)), "max_bytes": 1 << 26, "backend": backend}
    getattr(gallery, operation)(x, argument, **control)
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[-1] == totals[0]
