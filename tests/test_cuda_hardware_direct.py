"""Metrics by their own terms on a real GPU, where there is one: the hard rows of the emulator, the bits of NumPy."""

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
from test_cuda_hardware import obstacle
from test_cuda_metrics import EXACT, OTHERS, same

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))

RNG = np.random.default_rng(61)


@pytest.mark.parametrize("metric", OTHERS)
@pytest.mark.parametrize("name", cases.CASES)
def test_hard_rows(name, metric):
    x, y = cases.arrays(name, metric)
    same(x, y, min(3, len(y)), metric, check_finite=False)


@pytest.mark.parametrize("metric", OTHERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows(metric, dtype):
    x, y = (np.abs(RNG.standard_normal((rows, 24))).astype(dtype) for rows in (300, 6000))
    if metric in ("hamming", "jaccard"):  # many values, else all rows are at the same distance
        x, y = (np.round(rows) for rows in (x, y))
    same(x, y, 10, metric, exclude=RNG.integers(-1, len(y), len(x)))


@pytest.mark.parametrize("metric", [*OTHERS, "euclidean"])
def test_biases_and_masks(metric):
    x, y = (np.abs(RNG.standard_normal((rows, 17))).astype(np.float32) for rows in (90, 700))
    same(x, y, 5, metric, bias=(RNG.standard_normal(90), RNG.standard_normal(700)), mask=RNG.random((90, 700)) < 0.7)


@pytest.mark.parametrize("metric", EXACT)
@pytest.mark.parametrize("name", cases.SOME_QUERIES)
def test_all_distances(name, metric):
    x, y = cases.arrays(name, metric)
    found, wanted = (cmf.pairwise_distances(x, y, metric, backend=backend) for backend in ("cuda", "numpy"))
    np.testing.assert_array_equal(found, wanted, strict=True)
