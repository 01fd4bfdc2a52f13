"""`topk(..., backend="cuda")` on a real GPU, where there is one: the hard rows of the emulator, the bits of NumPy."""

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
from crossmodal_fast import _dispatch
from crossmodal_fast.kernels.tiles.cuda import driver as drivers


def obstacle():
    return _dispatch.obstacle("topk", "cuda") or drivers.obstacle()


pytestmark = pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))


def same(x, y, k, metric, **keywords):
    found, wanted = (
        cmf.topk(x, y, k, metric, backend=backend, return_stats=True, **keywords) for backend in ("cuda", "numpy")
    )
    np.testing.assert_array_equal(found[1], wanted[1])
    numbers = ~np.isnan(wanted[0])  # any NaN is NaN: theirs has another sign than x86's
    np.testing.assert_array_equal(np.isnan(found[0]), ~numbers)
    np.testing.assert_array_equal(found[0][numbers].view(np.uint8), wanted[0][numbers].view(np.uint8))
    return found[2]


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("name", cases.CASES)
def test_hard_rows(name, metric):
    x, y = cases.arrays(name)
    same(x, y, min(3, len(y)), metric, check_finite=False)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows(metric, dtype):
    rng = np.random.default_rng(21)
    x, y = (rng.standard_normal((rows, 96)).astype(dtype) for rows in (3000, 20_000))
    stats = same(x, y, 10, metric, exclude=rng.integers(-1, len(y), len(x)))
    assert not np.any(stats.widened)
