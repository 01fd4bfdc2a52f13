"""Distances of tiles of pairs through float64 products on the device, as accurate as `pairwise_distances` promises.

Work    rows become vectors (vectors.cu), a tile of them a product (cuBLAS), that its distances (distances.cu)
Shapes  rows (r, d), columns (c, d) float32 or float64 -> (r, c) float32 or float64, on the device
Cost    2 r c d flops in float64, which data centre GPUs do half as fast as those of float32 or as fast, others 1/32 or
        1/64 as fast; 4 launches a tile, 5 or 6 with pieces
Sum     float64; in pieces of PIECE features for float64 results, so that the bound grows with PIECE + d / PIECE, not d

The bound is that of `tiles/rectangle.py`, for any order in which a product is added up. Squares are summed in eight
lanes, d / 8 + 3 roundings. A canonical value and the last rounding have the rest of the promise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..encode import Space, space
from ..rectangle import SHARE
from .derived import INPUT

BLOCK, LANES = 256, 8  # threads; threads of a row in vectors.cu
ROWS, COLUMNS = 64, 128  # of a block of distances.cu
PIECE = 128  # features a product for float64 results: 16 flops a byte of the tile, which is read and written again
FORM = {"euclidean": 0, "sqeuclidean": 0, "dot": 1, "cosine": 2, "correlation": 3}  # of forms.cuh
UNIT = 2.0**-53
SAMPLE = 32  # rows of y that decide about the centre: a median of 256 rows takes 3 ms at d = 768, a large tile 1 ms


@dataclass(frozen=True)
class Side:
    """Rows on the device, as vectors.cu made them: float64."""

    vector: Any
    exact: Any  # rows to repair from
    square: Any
    factor: Any

    def __len__(self):
        return len(self.square)

    def __getitem__(self, part):
        return Side(self.vector[part], self.exact[part], self.square[part], self.factor[part])


def row_bytes(d, itemsize):
    """Bytes of a row of a side: read and converted on the host, as given, as a vector and exact on the device."""
    return d * (3 * itemsize + 16) + 32


def where(metric, y):
    """The `Space` of the distances to these rows, as a few of them show it."""
    if metric.form != "l2" or not len(y):
        return Space(metric)
    return space(metric, y.at(np.arange(0, len(y), -(-len(y) // SAMPLE))))


class Expansion:
    """One metric on one device: sides, and the distances of tiles of them."""

    def __init__(self, driver, shown, d, dtype, result):
        """shown: the `Space` of the rows; dtype: theirs; result: what is promised, the accuracy of float64 or less."""
        self.driver, self.metric, self.d, self.dtype = driver, shown.metric, d, dtype
        self.centre = None if shown.centre is None else driver.array(shown.centre)
        self.form = np.int32(FORM[self.metric.name])
        double = result == np.float64
        self.piece = min(PIECE, d) if double else d
        roundings = max(self.piece + -(-d // self.piece), d // LANES + 4) + 8
        growth, promise = 1.01 * roundings * UNIT, SHARE * (1e-13 * max(1, d / 256) if double else 1e-6)
        self.limit = np.float64(growth / promise if self.metric.form == "l2" else 8 * (d + 8) * UNIT)

    def side(self, rows):
        """`Side` of host rows (r, d)."""
        return self.encoded(self.driver.array(rows.astype(self.dtype, copy=False)))

    def encoded(self, rows):
        """`Side` of rows (r, d) that are on the device."""
        driver, (m, d) = self.driver, rows.shape
        vector, square, factor = driver.empty((m, d)), driver.empty(m), driver.empty(m)
        exact = None if self.centre is None else driver.empty((m, d))
        arguments = [rows, np.int32(m), np.int32(d), self.form, self.centre, vector, exact, square, factor]
        driver.launch("vectors", -(-m * LANES // BLOCK), BLOCK, arguments, INPUT=INPUT[self.dtype])
        return Side(vector, vector if exact is None else exact, square, factor)

    def products(self, x, y):
        """(r, c) float64, in pieces."""
        product = self.driver.empty((len(x), len(y)))
        for start in range(0, self.d, self.piece):
            part = np.s_[:, start : start + self.piece]
            self.driver.product(x.vector[part], y.vector[part], product, added=start > 0)
        return product

    def finish(self, x, y, product, out, *, mirrored=False):
        """Fill out (r, c), which may be the product; mirrored: x is y, below the diagonal is what is above it."""
        rows, columns = out.shape
        self.driver.launch("distances", (-(-columns // COLUMNS), -(-rows // ROWS)), BLOCK, [
            product, *map(np.int32, (rows, columns, self.d)), self.form, *map(np.int32, (self.metric.rooted, mirrored)),
            self.limit, x.exact, x.square, x.factor, y.exact, y.square, y.factor, out,
        ], OUTPUT=INPUT[out.dtype])  # fmt: skip

    def distances(self, x, y, dtype, *, mirrored=False):
        """(r, c) of this dtype, float32 or float64."""
        product = self.products(x, y)
        in_place = dtype == np.float64 and not mirrored
        out = product if in_place else self.driver.empty((len(x), len(y)), dtype)
        self.finish(x, y, product, out, mirrored=mirrored)
        return out
