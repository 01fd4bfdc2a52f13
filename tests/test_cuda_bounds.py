"""The bound of the float16 scan, met: the emulator with tensor cores at their worst, and rows made for them."""

from fractions import Fraction

import pytest

import simt
from crossmodal_fast.kernels.tiles import metrics
from crossmodal_fast.kernels.tiles.cuda import resident
from tensor_cores import TensorCores, gaining, losing
from test_cuda_kernels import LEAST_TWICE, RAISED_TWICE, ROUNDED, SLOP, TWICE_ROUNDED, exactly

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))


def measured(x, y):
    """(key, score, upper bound, lower bound) of a pair for dot, as fractions, in units of codes."""
    driver, metric = TensorCores(), metrics.metric("dot", x.shape[1])
    gallery, queries = (resident.on_device(driver, rows, metric, step=1) for rows in (y, x))

    def make(name, shape, dtype):
        return driver.empty(shape, dtype)

    (rest, code, w, _), *_ = exactly(queries.bounded(gallery, make)[0])
    (a, n, r, raised), *_ = exactly(gallery.columns())
    score = Fraction(float(gallery.scores(queries, make, 0, 1, None)[0, 0]))
    margin = rest * n + code * r
    upper = score * a + abs(score) * a * Fraction(ROUNDED) + raised * w + margin
    offset = raised * w
    below = 2 * margin + Fraction(TWICE_ROUNDED) * abs(upper - offset - margin) + Fraction(SLOP) * abs(upper)
    below += Fraction(RAISED_TWICE) * abs(offset) + Fraction(LEAST_TWICE) * w
    key = sum(p * q for p, q in zip(exactly(x[0]), exactly(y[0]), strict=True))
    return key, score * a, upper, upper - below


@pytest.mark.parametrize("d", [2, 64, 1024, 4096])
def test_nine_tenths_of_the_bound_are_used(d):
    key, score, upper, _ = measured(*losing(d))
    assert Fraction(9, 10) < (key - score) / (upper - score) <= 1
    key, score, _, lower = measured(*gaining(d))
    assert Fraction(9, 10) < (score - key) / (score - lower) <= 1
