"""Distances, transfer and log-sum-exps on a real GPU, where there is one: their bounds, on the rows of the emulator."""

import numpy as np
import pytest
from scipy.special import logsumexp

import cases
import crossmodal_fast as cmf
import judge
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import driver as drivers
from grids import naming


def obstacle():
    return _dispatch.obstacle("pairwise", "cuda") or drivers.obstacle()


pytestmark = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY)
def test_distances_of_hard_rows(metric):
    for name in cases.CASES:
        x, y = cases.arrays(name)
        with naming(name):
            judge.pairwise_within_bound(cmf.pairwise_distances(x, y, metric, backend="cuda"), x, y, metric)
            alone = cmf.pairwise_distances(y, metric=metric, backend="cuda")
            judge.pairwise_within_bound(alone, y, y, metric)
            np.testing.assert_array_equal(alone, alone.T)


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_of_many_rows(metric, dtype):
    rng = np.random.default_rng(44)
    x, y = (rng.standard_normal((rows, 300)).astype(dtype) for rows in (530, 2100))
    y[1000:1500] = x[:500] + dtype(1e-6)
    for max_bytes in (None, 1 << 24):
        answer = cmf.pairwise_distances(x, y, metric, max_bytes=max_bytes, backend="cuda")
        judge.pairwise_within_bound(answer, x, y, metric)


def test_distances_of_staged_copies():
    """More than a buffer each way, into memory in another order too."""
    rng = np.random.default_rng(45)
    x, y = (rng.standard_normal((rows, 40)).astype(np.float32) for rows in (5000, 6000))
    wanted = cmf.pairwise_distances(x, y, backend="numpy")
    for out in (np.empty((5000, 6000), np.float32), np.empty((6000, 5000), np.float32).T):
        cmf.pairwise_distances(x, y, out=out, backend="cuda")
        np.testing.assert_allclose(out, wanted, rtol=2e-6)


SUMMED = [name for name in cases.SOME_QUERIES if not name.startswith(("huge", "mixed-scales", "integers-int64"))]


@pytest.mark.parametrize("metric", [*cases.GEMM_FAMILY, "cityblock", "braycurtis", "hellinger"])
def test_log_sums_of_hard_rows(metric):
    rng = np.random.default_rng(5)
    for name in SUMMED:
        x, y = cases.arrays(name, metric)
        u, v = 30 * rng.standard_normal(len(x)), 30 * rng.standard_normal(len(y))
        answer = cmf.logsumexp(x, y, metric, beta=3.0, bias=(u, v), axis="both", backend="cuda")
        with naming(name):
            judge.log_sums_within_bound(answer, x, y, metric, cases.output_dtype(x, y), beta=3.0, u=u, v=v)


def test_log_sums_of_many_scores():
    rng = np.random.default_rng(6)
    x, y = (rng.standard_normal((rows, 24)).astype(np.float32) for rows in (530, 2100))
    for max_bytes in (None, 1 << 22):
        answer = cmf.logsumexp(x, y, "cosine", beta=50.0, axis="both", max_bytes=max_bytes, backend="cuda")
        judge.log_sums_within_bound(answer, x, y, "cosine", np.dtype(np.float32), beta=50.0)
        again = cmf.logsumexp(x, y, "cosine", beta=50.0, axis="both", max_bytes=max_bytes, backend="cuda")
        np.testing.assert_array_equal(np.r_[again.rows, again.columns], np.r_[answer.rows, answer.columns])
    scores = rng.standard_normal((700, 3000))
    scores[3], scores[:, 9], scores[11, 5], scores[11, 2900] = -np.inf, np.inf, np.nan, np.inf
    found = cmf.logsumexp(scores, metric="precomputed", axis="both", backend="cuda", check_finite=False)
    for part, axis in zip(found, (1, 0), strict=True):
        np.testing.assert_allclose(part, logsumexp(scores, axis=axis), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("counts", "d_out", "d_in"), [
    ((1, 0, 8, 9, 3), 770, 768), ((64,) * 9, 100, 333), ((700, 3, 0, 40), 65, 1030), ((1500,), 512, 300),
])  # fmt: skip
def test_maps(counts, d_out, d_in, dtype):
    rng = np.random.default_rng(53)
    which = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    e, m = rng.standard_normal((len(which), d_in)), rng.standard_normal((len(counts), d_out, d_in))
    e, m, bias = e.astype(dtype), m.astype(dtype), rng.standard_normal((len(counts), d_out)).astype(dtype)
    for max_bytes in (None, 1 << 25):
        plain, unit = (
            cmf.transfer(e, m, bias, which=which, normalize=normalize, max_bytes=max_bytes, backend="cuda")
            for normalize in (False, True)
        )
        for number in range(len(counts)):
            mine = which == number
            judge.transfer_within_bound(plain[mine], e[mine], m[number], bias[number])
            judge.unit_transfer_within_bound(unit[mine], e[mine], m[number], bias[number])


@pytest.mark.parametrize("scale", [1e-42, 1e-25, 1e18])
@pytest.mark.parametrize("rows", [4, 40])
def test_maps_keep_subnormals(rows, scale):
    """By our kernel, by products of equal groups, by a product of all rows."""
    rng = np.random.default_rng(51)
    e, m = (scale * rng.standard_normal((rows, 20))).astype(np.float32), rng.standard_normal((2, 5, 20))
    m, which = m.astype(np.float32), np.arange(rows) % 2
    answer = cmf.transfer(e, m, which=which, backend="cuda")
    for number in range(2):
        judge.transfer_within_bound(answer[which == number], e[which == number], m[number])
    judge.transfer_within_bound(cmf.transfer(e, m[0], backend="cuda"), e, m[0])


def test_maps_are_not_taken_in_tf32():
    import cupy

    handle = cupy.cuda.device.get_cublas_handle()
    before = cupy.cuda.cublas.getMathMode(handle)
    cupy.cuda.cublas.setMathMode(handle, 3)  # CUBLAS_TF32_TENSOR_OP_MATH, somebody else's wish
    try:
        test_maps((1500,), 512, 300, np.float32)
        test_maps((64,) * 9, 100, 333, np.float32)
        assert cupy.cuda.cublas.getMathMode(handle) == 3
    finally:
        cupy.cuda.cublas.setMathMode(handle, before)
