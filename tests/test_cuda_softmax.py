"""`logsumexp(..., backend="cuda")` on the emulator keeps its bound, and gives the same bits again."""

import itertools
import re

import numpy as np
import pytest
from scipy.special import logsumexp

import cases
import crossmodal_fast as cmf
import judge
import simt
from crossmodal_fast.kernels.tiles.cuda import expansion, sums, tiling
from emulated import FLAVOURS, emulated, launcher, runs_in_its_least
from grids import thinned

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

HARD = (
    "normal-1x1x5", "one-query", "one-gallery-row", "wide-float64-4x20x300", "integers-int64", "int8", "bfloat16",
    "mixed-float32-float64", "duplicates-12x20x16x5", "all-zero", "offset-1e3", "places-float64", "zero-rows",
    "constant-rows-float64", "subnormal-1e-42", "no-query",
)  # fmt: skip


@pytest.fixture(params=FLAVOURS, ids=lambda flavour: "-".join(map(str, flavour)))
def run(request):
    return launcher(*request.param)


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles, several stretches of each."""
    monkeypatch.setattr(tiling, "EDGE", 24)
    monkeypatch.setattr(tiling, "TILE_PAIRS", 1 << 10)
    monkeypatch.setattr(sums, "STRETCH", (9, 9))


def biases(x, y):
    rng = np.random.default_rng(5)
    return 30 * rng.standard_normal(len(x)), 30 * rng.standard_normal(len(y))


def judged(x, y, metric, flavour="plain", hostile=0.0):
    u, v = biases(x, y)
    with emulated(flavour=flavour, hostile=hostile):
        answer = cmf.logsumexp(x, y, metric, beta=3.0, bias=(u, v), axis="both", backend="cuda")
    if len(x):
        judge.log_sums_within_bound(answer, x, y, metric, cases.output_dtype(x, y), beta=3.0, u=u, v=v)
    else:
        np.testing.assert_array_equal(answer.columns, np.full(len(y), -np.inf))
    return answer


@pytest.mark.parametrize(("metric", "name"), thinned(3, cases.GEMM_FAMILY, HARD))
def test_hard_rows(name, metric, small_tiles):
    x, y = cases.arrays(name)
    judged(x, y, metric, hostile=min(expansion.PIECE, x.shape[1]) * 2.0**-53)


DIRECT = ("chebyshev", "canberra", "braycurtis", "hamming", "jaccard", "hellinger")


@pytest.mark.parametrize("metric", ["cityblock", *(pytest.param(name, marks=pytest.mark.heavy) for name in DIRECT)])
def test_metrics_without_products(metric, small_tiles):
    for name in ("normal-9x31x8", "zero-rows"):
        judged(*cases.arrays(name, metric), metric)


def test_a_product_that_is_too_far_off_is_seen():
    with pytest.raises(AssertionError, match="the law says"):
        judged(*cases.arrays("unit-15x120x48"), "cosine", hostile=1e-3)


def test_one_axis_is_that_of_both_and_the_same_bits_again(small_tiles):
    x, y = cases.arrays("normal-17x130x64")
    both = judged(x, y, "euclidean")
    with emulated(seed=77):
        for axis, wanted in (("rows", both.rows), ("columns", both.columns)):
            found = cmf.logsumexp(x, y, "euclidean", beta=3.0, bias=biases(x, y), axis=axis, backend="cuda")
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64"])
def test_ready_scores(dtype, small_tiles):
    scores = (40 * np.random.default_rng(7).standard_normal((37, 53))).clip(0).astype(dtype)
    bias = biases(scores, scores.T)

    def call(max_bytes=None):
        return cmf.logsumexp(
            scores, metric="precomputed", beta=2.0, bias=bias, axis="both", max_bytes=max_bytes, backend="cuda"
        )

    with emulated() as driver:
        for answer in (call(), runs_in_its_least(driver, call)) if dtype == "float32" else (call(),):
            u, v = bias
            judge.log_sums_within_bound(answer, scores, None, "precomputed", cases.output_dtype(scores), beta=2.0, u=u,
                                        v=v)  # fmt: skip


@pytest.mark.parametrize("metric", ["euclidean", "correlation"])
def test_little_memory_does(metric):
    x, y = cases.arrays("normal-5x70x100")

    def call(max_bytes):
        return cmf.logsumexp(x, y, metric, axis="both", max_bytes=max_bytes, backend="cuda")

    with emulated() as driver:
        answer = runs_in_its_least(driver, call)
    judge.log_sums_within_bound(answer, x, y, metric, np.dtype(np.float32))


def test_infinite_and_missing_scores_give_what_the_formula_gives(small_tiles):
    rng = np.random.default_rng(21)
    scores = rng.standard_normal((40, 70))
    for value, share in ((np.inf, 0.004), (np.nan, 0.004), (-np.inf, 0.02)):
        scores[rng.random(scores.shape) < share] = value
    scores[7], scores[:, 9], scores[:, 11] = -np.inf, np.inf, -np.inf
    scores[7, 9] = -np.inf
    with emulated():
        found = cmf.logsumexp(scores, metric="precomputed", axis="both", backend="cuda", check_finite=False)
    for part, axis in zip(found, (1, 0), strict=True):
        law = logsumexp(scores, axis=axis)
        assert np.isinf(law).any()
        assert np.isnan(law).any()
        np.testing.assert_allclose(part, law, rtol=1e-13)


def test_rows_that_are_not_finite_touch_no_other():
    x, y = cases.arrays("normal-9x31x8")
    x = x.copy()
    x[4, 1] = np.nan
    with emulated():
        rows, columns = cmf.logsumexp(x, y, axis="both", check_finite=False, backend="cuda")
    assert np.isnan(columns).all()
    assert np.flatnonzero(np.isnan(rows)).tolist() == [4]


def test_a_device_with_little_left_takes_smaller_tiles():
    x, y = cases.arrays("normal-17x130x64")
    with emulated(largest=20_000, free=400_000) as driver:
        answer = cmf.logsumexp(x, y, "cosine", axis="both", backend="cuda")
        assert driver.released
    judge.log_sums_within_bound(answer, x, y, "cosine", np.dtype(np.float32))
    for given in ((x, y, "cosine"), (x @ y.T, None, "precomputed")):
        with emulated(free=1000), pytest.raises(ValueError, match=r"^the device must have \d+ bytes free"):
            cmf.logsumexp(*given, backend="cuda")


@pytest.mark.heavy  # the kernels alone run in these builds below
@pytest.mark.parametrize("flavour", ["race", "address"])
def test_no_race_and_no_stray_access(flavour, small_tiles):
    judged(*cases.arrays("zero-rows"), "euclidean", flavour)


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
        cmf.logsumexp(x, y, backend="cuda", **keywords)


# ---------------------------------------------------------------------------------------------------------- kernels


def tile(rows, columns):
    """Scores with what a sum may meet, and shifts."""
    rng = np.random.default_rng(9)
    scores = 300 * rng.standard_normal((rows, columns))
    scores[2], scores[:, 3], scores[4, ::2], scores[5, 6], scores[8, 9] = -np.inf, 7.0, -np.inf, np.inf, np.nan
    scores[10, 5], scores[10, 15] = np.inf, np.nan
    return scores, rng.standard_normal(rows), rng.standard_normal(columns)


def largest_and_total(term):
    """Of every row."""
    top = np.fmax.reduce(term, axis=1, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.exp(term - np.where(np.isinf(top), 0.0, top)[:, None]).sum(axis=1)
    return top, total


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("shape", "most"), [((17, 75), 20), ((70, 33), 20), ((140, 530), 512)])
def test_sums_of_stretches(shape, most, axis, run):
    scores, *shifts = tile(*shape)
    stretch, shift = min(most, sums.STRETCH[axis]), shifts[1 - axis]
    owners, partners = shape[axis], shape[1 - axis]
    stretches = -(-partners // stretch)
    found = [np.zeros((stretches, owners)) for _ in range(2)]
    grid = (-(-owners // 32), stretches) if axis else (stretches, -(-owners // 8))
    name = "column_sums" if axis else "row_sums"
    run(name, grid, [scores, *map(np.int32, (*shape, stretch)), np.float64(-2.0), shift, *found])
    term = -2.0 * (scores.T if axis else scores) + shift
    for s in range(stretches):
        top, total = largest_and_total(term[:, s * stretch : (s + 1) * stretch])
        np.testing.assert_array_equal(found[0][s], top)
        np.testing.assert_allclose(found[1][s], total, rtol=1e-14)


def test_stretches_are_merged_into_running_sums(run):
    scores, _, _ = tile(300, 40)
    part, split = [], (0, 11, 25, 40)
    for start, stop in itertools.pairwise(split):
        part.append(largest_and_total(scores[:, start:stop]))
    (top, total), *rest = part
    tops, totals = (np.stack(side) for side in zip(*rest, strict=True))
    run("merge", 2, [tops, totals, np.int32(2), np.int32(300), top, total])
    wanted = largest_and_total(scores)
    np.testing.assert_array_equal(top, wanted[0])
    np.testing.assert_allclose(total, wanted[1], rtol=1e-14)


def test_exponentials_are_within_four_units(run):
    terms = -np.r_[np.linspace(0, 699, 2900), np.geomspace(1e-18, 1, 200), 701, 1e5, np.inf]
    count, total = len(terms), np.zeros(len(terms))
    run("merge", -(-count // 256), [
        terms[None].copy(), np.ones((1, count)), np.int32(1), np.int32(count), np.zeros(count), total,
    ])  # fmt: skip
    exact = np.exp(terms.astype(np.longdouble))
    np.testing.assert_array_equal(total[-3:], 0)
    assert np.abs(total[:-3] / exact[:-3] - 1).max() < 4 * 2.0**-53
