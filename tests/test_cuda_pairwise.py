"""`pairwise_distances(..., backend="cuda")` on the emulator keeps its accuracy, whatever a product may lose."""

import re
from dataclasses import replace

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import judge
import simt
from crossmodal_fast.kernels.tiles import metrics
from crossmodal_fast.kernels.tiles.cuda import expansion, tiling
from emulated import FLAVOURS, emulated, launcher, runs_in_its_least
from grids import thinned

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

HARD = (
    "duplicates-float64", "near-duplicates-1e-7", "near-duplicates-1e-15", "offset-1e6", "offset-1e6-float64",
    "places-float32", "zero-rows", "constant-rows-float64", "huge-values-1e30", "huge-values-1e200", "huge-row-1e150",
    "subnormal-1e-42", "subnormal-1e-310", "small-values-1e-170", "mixed-scales-float64", "mixed-float32-float64",
    "bfloat16", "int8", "one-gallery-row", "no-query", "normal-20x50x1",
)  # fmt: skip


@pytest.fixture(params=FLAVOURS, ids=lambda flavour: "-".join(map(str, flavour)))
def run(request):
    return launcher(*request.param)


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles, several pieces of the features."""
    monkeypatch.setattr(tiling, "EDGE", 24)
    monkeypatch.setattr(tiling, "TILE_PAIRS", 1 << 10)
    monkeypatch.setattr(expansion, "PIECE", 5)


def same(x, y, metric, hostile=0.0, **keywords):
    """Two sets and one with itself, products off by as much as float64 may lose in them."""
    with emulated(hostile=hostile):
        answer = cmf.pairwise_distances(x, y, metric, backend="cuda", check_finite=False, **keywords)
        judge.pairwise_within_bound(answer, x, y, metric)
        alone = cmf.pairwise_distances(y, metric=metric, backend="cuda", check_finite=False, **keywords)
        judge.pairwise_within_bound(alone, y, y, metric)
        np.testing.assert_array_equal(alone, alone.T)
    return answer


@pytest.mark.parametrize(("metric", "name"), thinned(3, cases.GEMM_FAMILY, HARD))
def test_hard_rows(name, metric, small_tiles):
    x, y = cases.arrays(name)
    same(x, y, metric, hostile=min(expansion.PIECE, x.shape[1]) * 2.0**-53)


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY)
def test_rows_that_are_not_finite(metric):
    x, y = (rows.copy() for rows in cases.arrays("normal-9x31x8"))
    x[4, 1], x[5], y[3, 2], y[7], y[8] = np.nan, np.inf, -np.inf, np.inf, 0
    with np.errstate(invalid="ignore"):  # the judge takes |x||y|
        same(x, y, metric)
    with emulated(), pytest.raises(ValueError, match="Y must be finite, got -inf in row 3"):
        cmf.pairwise_distances(x[:3], y, metric, backend="cuda")


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY)
def test_a_bound_that_is_too_small_is_seen(metric):
    x, y = cases.arrays("normal-17x130x64")
    with pytest.raises(AssertionError, match="the law says"):
        same(x, y, metric, hostile=1e-4)


def test_what_the_bound_holds_for_is_not_computed_again(monkeypatch):
    """Ordinary rows need no repair, in float64 neither: without rows to repair from they are right all the same."""
    side = expansion.Expansion.side

    def spoiled(self, rows):
        found = side(self, rows)
        return replace(found, exact=np.full_like(found.exact, np.nan))

    monkeypatch.setattr(expansion.Expansion, "side", spoiled)
    for name in ("normal-17x130x64", "normal-float64", "wide-float64-4x20x300", "offset-1e6", "offset-1e3"):
        x, y = cases.arrays(name)
        for metric in cases.GEMM_FAMILY:
            with emulated():
                judge.pairwise_within_bound(cmf.pairwise_distances(x, y, metric, backend="cuda"), x, y, metric)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_out_may_lie_anyhow(dtype, small_tiles):
    x, y = cases.arrays("normal-9x31x8")
    for out in (np.empty((9, 31), dtype), np.empty((31, 9), dtype).T, np.empty((18, 62), dtype)[::2, ::2]):
        out[...] = np.nan
        with emulated():
            assert cmf.pairwise_distances(x, y, dtype=dtype, out=out, backend="cuda") is out
        if dtype != np.float16:
            judge.pairwise_within_bound(out, x, y)
        np.testing.assert_allclose(out, cmf.pairwise_distances(x, y, backend="numpy"), rtol=2e-3)


def test_nothing_and_too_much():
    with emulated():
        assert cmf.pairwise_distances(np.empty((0, 3)), backend="cuda").shape == (0, 0)
        assert cmf.pairwise_distances(np.empty((0, 3)), np.ones((2, 3)), backend="cuda").shape == (0, 2)
        far = cmf.pairwise_distances([[1e5]], [[-1e5]], dtype=np.float16, backend="cuda")
    assert np.isposinf(far).all()


@pytest.mark.parametrize(("metric", "alone"), [("euclidean", False), ("cosine", False), ("cosine", True)])
def test_little_memory_does(metric, alone):
    x, y = cases.arrays("normal-5x70x100")
    sides = (y, None) if alone else (x, y)

    def call(max_bytes):
        return cmf.pairwise_distances(*sides, metric, max_bytes=max_bytes, backend="cuda")

    with emulated() as driver:
        answer = runs_in_its_least(driver, call)
        assert metric == "euclidean" or driver.launched.count("distances") > 4
    judge.pairwise_within_bound(answer, sides[0], y, metric)


def test_a_device_with_little_left_takes_smaller_tiles():
    x, y = cases.arrays("normal-17x130x64")
    with emulated(largest=20_000, free=400_000) as driver:
        judge.pairwise_within_bound(cmf.pairwise_distances(x, y, "cosine", backend="cuda"), x, y, "cosine")
        assert driver.released
    with (
        emulated(free=1000),
        pytest.raises(ValueError, match=r"^the device must have \d+ bytes free for d=64, got 1000"),
    ):
        cmf.pairwise_distances(x, y, backend="cuda")


@pytest.mark.heavy  # the kernels alone run in these builds below
@pytest.mark.parametrize("flavour", ["race", "address"])
def test_no_race_and_no_stray_access(flavour, small_tiles):
    for name, metric in (("near-duplicates-1e-7", "euclidean"), ("zero-rows", "correlation")):
        x, y = cases.arrays(name)
        with emulated(flavour=flavour):
            judge.pairwise_within_bound(cmf.pairwise_distances(x, y, metric, backend="cuda"), x, y, metric)


def test_parts_are_even_and_whole_blocks():
    asked = (10_000, 4096), (9, 4096), (4097, 4096), (300, 40), (0, 1), (129, 129)
    assert [tiling.even(*sizes) for sizes in asked] == [3456, 9, 2176, 38, 1, 128]


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"metric": "jensenshannon"}, "it has no kernel for metric='jensenshannon' yet"),
        ({"precision": "float32"}, "it computes in float64, not precision='float32'"),
    ],
)
def test_what_it_cannot_do_is_said(keywords, reason):
    x, y = cases.arrays("normal-9x31x8")
    with emulated(), pytest.raises(cmf.BackendUnavailable, match=re.escape(f"cuda: {reason}")):
        cmf.pairwise_distances(x, y, backend="cuda", **keywords)


# ---------------------------------------------------------------------------------------------------------- kernels

SELDOM_DOUBLE = [np.float32, pytest.param(np.float64, marks=pytest.mark.heavy)]  # whole calls run in both


def bits(found, wanted):
    np.testing.assert_array_equal(found.view(np.int64), wanted.view(np.int64))


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY[1:])
@pytest.mark.parametrize("dtype", SELDOM_DOUBLE)
def test_vectors_are_canonical(metric, dtype, run):
    rows = np.random.default_rng(5).standard_normal((21, 19)).astype(dtype)
    rows[3], rows[4], rows[5], rows[6, 1:] = 0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max / 32, 0
    rows[7] *= dtype(1e-30)
    rows[8:11] = np.array([[0.1], [0.3], [0.7]])  # of which a mean may be off
    (m, d), given = rows.shape, rows.astype(np.float64)
    centre = np.linspace(-1, 1, d) if metric == "sqeuclidean" else None
    vector, exact = np.zeros((m, d)), np.zeros((m, d))
    square, factor = np.zeros(m), np.zeros(m)
    run("vectors", -(-m * 8 // 64), [
        rows, np.int32(m), np.int32(d), np.int32(expansion.FORM[metric]), centre, vector, exact, square, factor,
    ], block=64, INPUT=expansion.INPUT[rows.dtype])  # fmt: skip
    wanted = metrics.metric(metric, d).rows(given) - (0.0 if centre is None else centre)
    with np.errstate(over="ignore", under="ignore"):
        total = metrics.row_sum(wanted * wanted)
    bits(vector, wanted)
    bits(exact, given)
    bits(square, total)
    norm = np.sqrt(total)
    if metric in ("cosine", "correlation"):
        bits(factor, np.divide(1.0, norm, out=np.zeros(m), where=norm != 0))
    else:
        safe = (norm < 2.0**400) & (norm > 2.0**-400) | ~wanted.any(axis=1)
        assert safe.sum() == (m if dtype == np.float32 or metric != "dot" else m - 2) - (
            dtype == np.float64 and metric == "sqeuclidean"
        )
        np.testing.assert_array_equal(factor, np.where(safe, norm, np.nan))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "dot", "cosine"])
def test_distances_are_the_product_s_or_canonical(metric, mirrored, run):
    """Products that are wrong on purpose tell which entries came from them."""
    rng, d, (rows, columns) = np.random.default_rng(6), 19, (67, 67) if mirrored else (67, 140)
    x = rng.standard_normal((rows, d))
    y = x if mirrored else rng.standard_normal((columns, d))
    y[[5, 6, 40, 66]] = x[[3, 4, 5, 6]]
    found = metrics.metric(metric, d)
    square = [metrics.row_sum(side * side) for side in (x, y)]
    factor = [np.sqrt(one) if metric != "cosine" else 1 / np.sqrt(one) for one in square]
    factor[1][11] = np.nan
    if mirrored:
        factor[0] = factor[1]
    product, limit = x @ y.T + rng.standard_normal((rows, columns)) / 8, 0.02
    out = np.zeros((rows, columns))
    run("distances", (-(-columns // 128), -(-rows // 64)), [
        product, *map(np.int32, (rows, columns, d, expansion.FORM[metric], found.rooted, mirrored)), np.float64(limit),
        x, square[0], factor[0], y, square[1], factor[1], out,
    ], OUTPUT="double")  # fmt: skip
    if mirrored:
        product = np.triu(product) + np.triu(product, 1).T
    if found.form == "l2":
        value = (square[0][:, None] + square[1]) - 2 * product
        good = value > limit * (factor[0][:, None] + factor[1]) ** 2
    elif found.form == "dot":
        value, good = product, ~np.isnan(factor[0][:, None] + factor[1])
    else:
        value = 1 - product * (factor[0][:, None] * factor[1])
        good, value = value >= limit, np.minimum(value, 2)
    canonical = metrics.block(found, x, y)
    if metric == "cosine":
        i, j = np.indices(good.shape)
        canonical = found.finish([metrics.pairs(metrics.metric("dot", d), x[i.ravel()], y[j.ravel()])],
                                 square[0][i.ravel()], square[1][j.ravel()]).reshape(good.shape)  # fmt: skip
    value = np.where(good, value, canonical)
    assert 0 < np.count_nonzero(~good) < good.size / 2
    np.testing.assert_array_equal(out, np.sqrt(value) if found.rooted else value)
