"""Distances, transfer and log-sum-exps on a real GPU, where there is one: their bounds, on the rows of the emulator."""

import numpy as np
import pytest
from scipy.special import logsumexp

import cases
import crossmodal_fast as cmf
import judge
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import driver as drivers


def obstacle():
    return _dispatch.obstacle("pairwise", "cuda") or drivers.obstacle()


pytestmark = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY)
@pytest.mark.parametrize("name", cases.CASES)
def test_distances_of_hard_rows(name, metric):
    x, y = cases.arrays(name)
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


SUMMED = [name for name in cases.SOME_QUERIES if not name.startswith(("huge", "mixed-scales", "integers-int64"))]


@pytest.mark.parametrize("metric", cases.GEMM_FAMILY)
@pytest.mark.parametrize("name", SUMMED)
def test_log_sums_of_hard_rows(name, metric):
    x, y = cases.arrays(name)
    rng = np.random.default_rng(5)
    u, v = 30 * rng.standard_normal(len(x)), 30 * rng.standard_normal(len(y))
    answer = cmf.logsumexp(x, y, metric, beta=3.0, bias=(u, v), axis="both", backend="cuda")
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
