"""Inputs made to meet the bound of a float scan: roundings that all go one way, under a product that adds in order.

A sum that stands at 1 loses every term of half a last place, and gains half of one from every term a little larger. The
query is (1, a, .., a): with the first row of the gallery its product loses, with the second it gains, and the first is
the better by less than either. Any order of adding is allowed to BLAS; `in_order` is the worst one, and OpenBLAS's own
for two rows and columns or more, up to 320 features.
"""

from fractions import Fraction
from unittest import mock

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import encode, loop, sides

BITS = {"float32": 24, "float64": 53}


def in_order(left, right, out):
    """A product as BLAS may take it: feature after feature, each product and each sum rounded."""
    out[...] = 0
    for c in range(left.shape[1]):
        out += left[:, c, None] * right[None, c]
    return out


def one_way(d, dtype):
    """(query, two rows): the product with the first loses what the bound allows for, that with the second gains it."""
    half = BITS[dtype] // 2  # a step of the smaller features, squared: half a last place of 1
    x = np.full((1, d), 2.0 ** -(BITS[dtype] - half))
    loses, gains = np.full((2, d), 2.0**-half)
    gains *= 1 + 2.0**-10
    x[0, 0] = gains[0] = 1
    lead = 4 if dtype == "float32" else 5 * d // 16  # last places: canonical values lose and gain in one of eight lanes
    loses[0] = 1 + lead * 2.0 ** -BITS[dtype]
    return x, np.stack([loses, gains])


def unit_one_way(d):
    """The same with rows of length 1, whose products stay below 1: half of each is in a feature that the other lacks.

    So a sum stands at a half, where terms of a fourth of the last place of 1 are lost: half the bound at most.
    """
    first, small = np.sqrt(0.5) * (1 + 2.0**-9), 2.0**-12.5 * (1 - 2.0**-12)
    x, y = np.full((1, d), small), np.full((2, d), small)
    y[1, 3:] *= 1 + 2.0**-10
    x[0, 0], y[:, 0] = first, (first + 2.0**-21, first)
    x[0, 1:3], y[:, 1:3] = (1, 0), (0, 1)
    for rows, own in ((x, 1), (y, 2)):
        rows[:, own] = 0
        rows[:, own] = np.sqrt(1 - (rows * rows).sum(axis=1))
    return x, y


def exact_product(x, y):
    return sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rows_are_what_they_are_made_to_be(dtype):
    x, y = one_way(256, dtype)
    np.testing.assert_array_equal(x.astype(dtype), x)
    np.testing.assert_array_equal(y.astype(dtype), y)
    better, other = (exact_product(x[0], row) for row in y)
    assert 0 < better - other < Fraction(100, 2 ** BITS[dtype])


def indices(share, x, y, metric, dtype, **more):
    """What a search finds whose bound is only a share of what it should be."""
    growth = encode.growth

    def narrowed(d, kind):
        return share * growth(d, kind)

    with (
        mock.patch.object(encode, "growth", narrowed),
        mock.patch.object(loop, "growth", narrowed),
        mock.patch.object(np, "matmul", in_order),
    ):
        return cmf.topk(x, y, 1, metric, backend="numpy", precision=dtype, **more).indices.tolist()


@pytest.mark.parametrize(("metric", "dtype", "share"), [
    ("dot", "float32", 0.9), ("sqeuclidean", "float32", 0.8),  # of L2's bound a part is for |y|^2 / 2, which is smaller
    ("cosine", "float32", 0.4),
    ("dot", "float64", 0.18),  # of the bound in float64 three quarters are for other steps, and they come in here too
])  # fmt: skip
def test_so_much_of_the_bound_is_too_little(metric, dtype, share):
    """The bound is that tight, and a search that leans on less of it is wrong."""
    x, y = one_way(256, dtype) if metric != "cosine" else unit_one_way(256)
    if metric == "sqeuclidean":
        x, y = 8 * x, np.concatenate([y, -y, np.roll(-y, 3, axis=1)])  # a gallery with its centre at 0
    found = {part: indices(part, x, y, metric, dtype) for part in (1.0, share)}
    assert found == {1.0: [[0]], share: [[1]]}


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.heavy), "float64"])
def test_so_much_of_the_bound_of_float_codes_on_numba_is_too_little(precision, monkeypatch):
    """Its tiles add feature after feature. Beside the product the bound holds the roundings of a score."""
    x, y = one_way(256, precision)
    share, columns = {"float32": 0.8, "float64": 0.18}[precision], sides.columns
    found = {}
    for part in (1.0, share):

        def narrowed(*given, part=part):
            made = columns(*given)
            return made._replace(side=made.side._replace(margin=made.side.margin * part))

        monkeypatch.setattr(sides, "columns", narrowed)
        found[part] = cmf.topk(x, y, 1, "dot", backend="numba", precision=precision, n_threads=1).indices[0, 0]
    assert found == {1.0: 0, share: 1}
