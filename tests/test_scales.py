"""Norms far apart: rows of one tile fall into groups of scales, each with a margin of its own."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import GEMM_FAMILY
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from grids import thinned
from least import least_max_bytes

SPANS = {"float32-30": (np.float32, 30), "float64-30": (np.float64, 30), "float64-250": (np.float64, 250)}
LADDER = (1e-30, 1e-10, 1e-3, 1.0, 1e4, 1e12, 1e30)


def spread(span, m=15, n=80, d=7, seed=131):
    """Directions shared by both sides, so that who is near is decided among rows of like norm, zero rows and copies."""
    dtype, decades = SPANS[span]
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal((8, d))

    def rows(count):
        near = direction[rng.integers(0, 8, count)] + 1e-4 * rng.standard_normal((count, d))
        return (near * 10.0 ** rng.uniform(-decades, decades, (count, 1))).astype(dtype)

    x, y = rows(m), rows(n)
    y[::17], x[3] = 0, 0
    y[1::29] = y[2::29][: len(y[1::29])]
    x[5], x[6] = y[1], -y[4]
    return x, y


def both_ways(x, y, k, metric, backend, **keywords):
    expected = topk_law.topk_both(x, y, *k, metric, **keywords)

    def call(**more):
        return cmf.topk_both(x, y, k, metric, backend=backend, **keywords, **more)

    for more in ({}, {"max_bytes": least_max_bytes(call)}, {"precision": "float64"}):
        for answer, side in zip(call(**more), expected, strict=True):
            judge.same_bits(answer, side, x.dtype)


@pytest.mark.parametrize("metric", GEMM_FAMILY)
@pytest.mark.parametrize("span", SPANS)
def test_both_ways(span, metric, backend):
    x, y = spread(span)
    both_ways(x, y, (5, 3), metric, backend)
    both_ways(y, x, (1, 40), metric, backend)


@pytest.mark.parametrize(
    ("metric", "span", "size"), thinned(3, ["sqeuclidean", "cosine", "dot"], SPANS, [1e-30, 1.0, 1e200])
)
def test_both_ways_with_a_bias(size, span, metric, backend):
    x, y = spread(span)
    rng = np.random.default_rng(132)
    u, v = size * rng.standard_normal(len(x)), size * rng.standard_normal(len(y))
    v[::5], u[::4] = 0, 0
    both_ways(x, y, (5, 3), metric, backend, bias=(u, v))


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "dot"])
@pytest.mark.parametrize("span", SPANS)
def test_both_ways_with_biases_far_apart(span, metric, backend):
    x, y = spread(span)
    sizes = 10.0 ** np.random.default_rng(138).uniform(-30, 30, len(x) + len(y))
    both_ways(x, y, (5, 3), metric, backend, bias=(sizes[: len(x)], sizes[len(x) :]))
    both_ways(x, y, (5, 3), metric, backend, bias=(0 * sizes[: len(x)], -sizes[len(x) :]))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot", "cityblock"])
def test_biases_whose_sum_overflows(metric, backend):
    """Finite each, together they may be infinite: a value like another, reached without a warning."""
    x, y = spread("float32-30")
    rng = np.random.default_rng(139)
    for low in (0, -1):
        bias = tuple(np.finfo(float).max * rng.uniform(low, 1, len(rows)) for rows in (x, y))
        with np.errstate(over="ignore"):
            expected = topk_law.topk_both(x, y, 5, 3, metric, bias=bias)
        for answer, side in zip(cmf.topk_both(x, y, (5, 3), metric, bias=bias, backend=backend), expected, strict=True):
            judge.same_bits(answer, side, np.float32)


@pytest.mark.parametrize(
    ("metric", "span", "precision"),
    thinned(2, GEMM_FAMILY, SPANS, ["float32", "float64"], always=["float64-250"]),
)
def test_within_and_ranks(span, precision, metric, backend):
    x, y = spread(span)
    value, index = topk_law.topk(x, y, len(y), metric)
    control = {"precision": precision, "backend": backend}
    for rank in (0, 20, 70):
        for radius in (np.nan_to_num(value[:, rank]), np.nan_to_num(value[0, rank])):
            expected = within_law.within(x, y, np.broadcast_to(radius, len(x)), metric)
            judge.same_rows(cmf.within(x, y, radius, metric, **control), expected, x.dtype)
        positives = index[:, rank]
        expected = ranks_law.ranks(x, y, np.arange(len(x)), positives, "mean", metric)
        answer = cmf.ranks(x, y, positives, metric, ties="mean", **control)
        judge.same_ranks(answer, expected, "mean")


def steps(seed, count, d=7, dtype=np.float32):
    """Rows of one of seven norms each."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, d)) * rng.choice(LADDER, (count, 1))).astype(dtype)


@pytest.mark.parametrize("metric", GEMM_FAMILY)
def test_a_gallery_of_several_scales_grown_and_shrunk(metric, backend):
    """Rows come and go in every group; whole groups appear and vanish."""
    x, y = steps(133, 20), steps(134, 150)
    gallery = cmf.Gallery(y, metric)
    ids = np.arange(150)

    def agrees():
        value, index = topk_law.topk(x, y, min(9, len(y)), metric)
        judge.same_bits(gallery.topk(x, min(9, len(y)), backend=backend), (value, ids[index]), np.float32)
        radius = value[:, -1]
        indptr, index, value = within_law.within(x, y, radius, metric)
        judge.same_rows(gallery.within(x, radius, backend=backend), (indptr, ids[index], value), np.float32)
        positives = np.arange(len(x)) % len(y)
        expected = ranks_law.ranks(x, y, np.arange(len(x)), positives, "index", metric)
        judge.same_ranks(gallery.ranks(x, ids[positives], backend=backend), expected, "index")

    agrees()
    largest = np.abs(y).max(axis=1) > 1e20
    assert 0 < largest.sum() < 150
    gallery.remove(ids[largest])
    y, ids = y[~largest], ids[~largest]
    agrees()
    more = np.concatenate([np.float32(1e7) * steps(135, 40), x[:5], np.zeros((2, 7), np.float32)])
    gallery.add(more, ids=1000 + np.arange(47))
    y, ids = np.concatenate([y, more]), np.concatenate([ids, 1000 + np.arange(47)])
    agrees()
    gallery.remove(ids[::2])
    y, ids = y[1::2], ids[1::2]
    agrees()
    gallery.add(steps(136, 30, dtype=np.float64))
    y, ids = np.concatenate([y.astype(np.float64), steps(136, 30, dtype=np.float64)]), gallery.ids
    value, index = topk_law.topk(x, y, 9, metric)
    judge.same_bits(gallery.topk(x, 9, backend=backend), (value, ids[index]), np.float64)
    gallery.remove(ids[1:])
    assert gallery.topk(x, 1, backend=backend).indices.tolist() == [[ids[0]]] * 20


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
def test_one_huge_row_widens_nobody_else(metric, backend):
    """The margin of each pair is its own: a row of another scale costs no candidates."""
    rng = np.random.default_rng(137)
    x, y = (rng.standard_normal((count, 24)).astype(np.float32) for count in (40, 3000))
    _, _, plain = cmf.topk(x, y, 10, metric, return_stats=True, backend=backend)
    y[7] *= 1e9
    y[8] *= 1e-9
    _, _, mixed = cmf.topk(x, y, 10, metric, return_stats=True, backend=backend)
    assert mixed.candidates.sum() < 1.1 * plain.candidates.sum() + 80
    assert not mixed.widened.any()
