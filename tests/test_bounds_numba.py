"""Inputs made to break the bound of the scan on Numba: each of them once did."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.tiles import encode, sides, simd
from crossmodal_fast.kernels.tiles.rows import Rows
from crossmodal_fast.kernels.topk import reference as law

CODES = ("int6", "int7", "int8", "int16", pytest.param("float32", marks=pytest.mark.heavy), "float64")


def far_from_the_origin(seed, n=1500, d=32):
    """Rows around a centre, and the centre itself as the gallery's sample gives it."""
    rng = np.random.default_rng(seed)
    y = (rng.standard_normal((n, d)) * 1.3 + 2.3).astype(np.float32)
    sample = y[encode.sampled(Rows("gallery", y))].astype(np.float64)
    return rng, np.median(sample, axis=0).astype(np.float32)[None], y


@pytest.mark.parametrize("precision", CODES)
@pytest.mark.parametrize("spread", [1e-6, 1e-7, 1e-9])
def test_a_bias_that_cancels_the_norm_leaves_its_errors(spread, precision):
    rng, x, y = far_from_the_origin(5)
    square = ((x.astype(np.float64) - y) ** 2).sum(axis=1)
    bias = np.zeros(1), spread * rng.standard_normal(len(y)) - square
    answer = cmf.topk(x, y, 10, "sqeuclidean", bias=bias, backend="numba", precision=precision)
    judge.same_bits(answer, law.topk(x, y, 10, "sqeuclidean", bias=bias), np.float32)
    positives = np.array([700])
    rank = cmf.ranks(x, y, positives, "sqeuclidean", bias=bias, backend="numba", precision=precision)
    judge.same_ranks(
        rank, ranks_law.ranks(x, y, np.zeros(1, int), positives, "index", "sqeuclidean", bias=bias), "index"
    )


@pytest.mark.parametrize("precision", CODES)
@pytest.mark.parametrize("metric", ["sqeuclidean", "dot", "cosine"])
def test_small_queries_under_large_biases(metric, precision):
    rng, n, d = np.random.default_rng(6), 200, 8
    y = rng.standard_normal((n, d)).astype(np.float32)
    x = (rng.standard_normal((3, d)) * 2.0**-38.5).astype(np.float32)
    x = np.concatenate([x, rng.standard_normal((9, d)).astype(np.float32)])
    v = np.zeros(n)
    v[[0, 40]] = np.array([2.0**82, 1.5 * 2.0**82]) * (1 if metric == "dot" else -1)
    bias = np.zeros(len(x)), v
    answer = cmf.topk(x, y, 1, metric, bias=bias, backend="numba", precision=precision, n_threads=1)
    judge.same_bits(answer, law.topk(x, y, 1, metric, bias=bias), np.float32)


@pytest.mark.parametrize("machine", simd.runnable(), ids=lambda machine: machine.name)
@pytest.mark.parametrize("k", [3, 200])
def test_rows_beyond_the_range_of_the_unit(k, machine, monkeypatch):
    monkeypatch.setattr(simd, "runnable", lambda: (machine,))
    rng = np.random.default_rng(7)
    y = rng.standard_normal((200, 8)).astype(np.float32)
    y[120:] *= np.float32(2.0**38.5)
    x = (rng.standard_normal((3, 8)) * 2.0**-38.5).astype(np.float32)
    judge.same_bits(cmf.topk(x, y, k, backend="numba"), law.topk(x, y, k), np.float32)
    mask = np.arange(200) >= 120
    judge.same_bits(cmf.topk(x, y, 3, mask=mask, backend="numba"), law.topk(x, y, 3, mask=mask), np.float32)


def test_float32_says_where_its_bound_ends():
    x = np.broadcast_to(np.float32(1), (1, encode.WIDEST + 1))
    with pytest.raises(cmf.BackendUnavailable, match=r"no useful bound beyond 1048576 features, got d=1048577"):
        cmf.topk(x, x, 1, precision="float32", backend="numba")


def rounded_against_it(precision, d):
    """A query whose roundings all point along the rows, and two rows along them: the further of which looks nearer.

    Rows are (1, .., 1), both ways, which codes hold; every feature of the query but one lies 0.49 of a step above its
    code. The sum of its features is a little above 0, so that the second row is the better by a little.
    """
    largest = simd.KINDS[precision].largest
    x = np.full(d, 0.49)
    x[0] = largest  # with which a step is 1
    for at in range(1, d):
        x[at] -= np.clip(np.floor(x.sum()), 0, 4 * largest // d)
    return x[None], np.stack([-np.ones(d), np.ones(d)])


@pytest.mark.parametrize(("precision", "d"), [("int6", 64), ("int7", 64), ("int8", 64), ("int16", 16)])
def test_four_fifths_of_the_margin_are_too_little(precision, d, monkeypatch):
    """The bound is that tight, and a search that leans on less of it is wrong."""
    x, y = rounded_against_it(precision, d)
    assert 0 < x.sum() < 1
    found = {}
    queries = sides.queries
    for share in (1.0, 0.8):

        def narrowed(*given, share=share):
            made = queries(*given)
            return made._replace(side=made.side._replace(margin=made.side.margin * np.float32(share)))

        monkeypatch.setattr(sides, "queries", narrowed)
        found[share] = cmf.topk(x, y, 1, "dot", backend="numba", precision=precision, n_threads=1).indices[0, 0]
    assert found == {1.0: 1, 0.8: 0}
