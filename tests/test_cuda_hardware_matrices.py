"""Distances, transfer and log-sum-exps on a real GPU, where there is one: their bounds, on the rows of the emulator."""

import numpy as np
import pytest

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
