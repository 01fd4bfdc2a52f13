"""Where bounds are tight: neighbours closer together than float32, or the canonical value, can tell apart."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import GEMM_FAMILY, output_dtype
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.within import reference as within_law
from grids import thinned


def every_search(x, y, k, metric, backend, bias=None, **control):
    """topk, topk_both, within and ranks at the border between the k-th neighbour and the next."""
    control["backend"] = backend
    swapped = None if bias is None else bias[::-1]
    value, index = topk_law.topk(x, y, len(y), metric, bias=bias)
    columns = topk_law.topk(y, x, min(2, len(x)), metric, bias=swapped)
    first, dtype = (value[:, :k], index[:, :k]), output_dtype(x, y)
    judge.same_bits(cmf.topk(x, y, k, metric, bias=bias, **control), first, dtype)
    both = cmf.topk_both(x, y, (k, min(2, len(x))), metric, bias=bias, **control)
    for answer, law in zip(both, (first, columns), strict=True):
        judge.same_bits(answer, law, dtype)
    radius = value[:, k - 1]
    law = within_law.within(x, y, radius, metric, bias=bias)
    judge.same_rows(cmf.within(x, y, radius, metric, bias=bias, **control), law, dtype)
    row, positive = np.repeat(np.arange(len(x)), 2), index[:, k - 1 : k + 1].ravel()
    law = ranks_law.ranks(x, y, row, positive, "index", metric, bias=bias)
    answer = cmf.ranks(x, y, (np.arange(len(x) + 1) * 2, positive), metric, bias=bias, **control)
    judge.same_ranks(answer, law, "index")


def shell(m, n, d, gap, dtype, seed=141):
    """Gallery rows around every query at the distance 1, give or take `gap`, in random directions."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, d)) / np.sqrt(d)
    direction = rng.standard_normal((n, d))
    direction *= ((1 + gap * rng.standard_normal(n)) / np.linalg.norm(direction, axis=1))[:, None]
    return x.astype(dtype), (x[np.arange(n) % m] + direction).astype(dtype)


@pytest.mark.parametrize(("metric", "gap", "d"), thinned(2, GEMM_FAMILY, [1e-6, 1e-7, 1e-9], [100, 1000]))
def test_shells(d, gap, metric, backend):
    """Hundreds of neighbours whose float32 scores collide and swap."""
    for dtype in (np.float32, np.float64):
        every_search(*shell(3, 400, d, gap, dtype), 20, metric, backend)


@pytest.mark.parametrize("metric", GEMM_FAMILY)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_shells_within_the_rounding_of_float64(precision, metric, backend):
    every_search(*shell(2, 300, 200, 1e-16, np.float64), 20, metric, backend, precision=precision)


def orthogonal(n, d, size, seed=142):
    """One query; small rows of the score 1, and rows `size` long whose scores cancel to about 1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(d)
    x /= np.linalg.norm(x)
    large = rng.standard_normal((n, d))
    large = size * (large - (large @ x)[:, None] * x) + x
    small = x + 1e-3 * rng.standard_normal((n, d)) / np.sqrt(d)
    y = np.concatenate([large, small])[rng.permutation(2 * n)]
    return x[None].astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("d", [8, 100])
def test_long_rows_whose_products_cancel(d, size, backend):
    """Each pair has a margin of its own: small rows raise the threshold, long ones are off by far more than theirs."""
    x, y = orthogonal(200, d, size)
    every_search(x, y, 25, "dot", backend)
    every_search(np.concatenate([x, -x, x[:, ::-1]]), y, 7, "dot", backend)


@pytest.mark.parametrize(
    ("metric", "distance", "precision"),
    thinned(2, ["euclidean", "sqeuclidean", "dot"], [1e4, 1e8, 1e12, 1e16], ["float32", "float64"]),
)
def test_queries_so_far_away_that_canonical_values_tie(distance, precision, metric, backend):
    """Seen from there the gallery is one point: the order is that of roundings, which the bound must leave room for."""
    rng = np.random.default_rng(143)
    x, y = distance * rng.standard_normal((6, 20)), rng.standard_normal((300, 20))
    every_search(x, y, 15, metric, backend, precision=precision)
    every_search(y[:50], x, 3, metric, backend, precision=precision)


@pytest.mark.parametrize("size", [1e-38, 1e-43, 1e-44, 1e-45])
def test_biases_that_float32_loses(size, backend):
    """Beside rows of length 1 the bias decides among zero rows, at values where float32 has a handful of steps."""
    rng = np.random.default_rng(144)
    x = rng.standard_normal((3, 6))
    y = np.zeros((200, 6))
    y[::2] = -x.sum(axis=0) + 0.1 * rng.standard_normal((100, 6))
    bias = np.zeros(3), 8 * size * rng.random(200)
    for dtype in (np.float32, np.float64):
        every_search(np.abs(x).astype(dtype), -np.abs(y).astype(dtype), 12, "dot", backend, bias=bias)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "dot"])
@pytest.mark.parametrize("size", [1e-7, 1.0, 1e7])
def test_biases_that_nearly_cancel_the_distances(size, metric, backend):
    """value + v_j is the same for all, but for the last bits."""
    rng = np.random.default_rng(145)
    x, y = (np.sqrt(size) * rng.standard_normal((count, 60)) for count in (1, 250))
    value, index = topk_law.topk(x, y, 250, metric)
    exact = np.empty(250)
    exact[index[0]] = value[0]
    for gap in (1e-7, 1e-16):
        bias = np.zeros(1), -exact * (1 + gap * rng.standard_normal(250))
        every_search(x, y, 20, metric, backend, bias=bias)
        every_search(x.astype(np.float32), y.astype(np.float32), 20, metric, backend, bias=bias)
