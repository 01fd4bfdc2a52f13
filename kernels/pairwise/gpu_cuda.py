"""`pairwise` on CUDA: float64 products of tiles, canonical values where their bound exceeds the promise, or of all.

Work    `tiles/cuda/expansion.py`, or `tiles/cuda/direct.py` for metrics without products; tiles in the order of
        `tiles/cuda/tiling.py`, each copied to its place in out
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops in float64, or those of the metric's terms (half for x against itself); out is copied from the
        device; memory there and here, beside out, at most max_bytes
Sum     of the tiles
"""

import numpy as np

from ..tiles.cuda import direct
from ..tiles.cuda import driver as drivers
from ..tiles.cuda.search import fitted
from ..tiles.cuda.tiling import measured, over, tiling

PRODUCT_BYTES = 8  # of an entry
COPIES = 5  # of results: of two tiles on the device, as they are and turned, and of one here


def declines(x, y, metric, *, precision, **_):
    if not (metric.form or direct.covers(metric)):
        return f"it has no kernel for metric={metric.name!r} yet"
    if precision not in ("auto", "float64"):
        return f"it computes in float64, not precision={precision!r}"
    return drivers.obstacle()


def pairwise(x, y, metric, *, out, max_bytes, precision, tick=None):
    """Fill out (m, n)."""
    driver = drivers.current()
    fitted(driver, max_bytes, lambda room: _fill(driver, x, y, metric, out, max_bytes, room, tick))


def _fill(driver, x, y, metric, out, max_bytes, room, tick):
    alone = y is None
    y = x if alone else y
    pair_bytes = PRODUCT_BYTES + COPIES * max(4, out.itemsize)
    sizes = tiling(x, y, metric, pair_bytes, max_bytes, room, alone=alone)
    measure = measured(driver, metric, x, y, out.dtype)
    copies, dtype = _Copies(driver, out), np.float32 if out.dtype == np.float32 else np.float64

    def visit(rows, columns, left, right):
        tile = measure.distances(rows, columns, dtype, mirrored=alone and left == right)
        copies.add(tile, left, right, turned=alone and left < right)

    over(measure, x, y, sizes, visit, tick, alone=alone)
    copies.finish()


class _Copies:
    """Tiles on their way into out: one is copied while the device works on the next."""

    def __init__(self, driver, out):
        self.driver, self.out, self.waiting = driver, out, []

    def add(self, tile, left, right, *, turned):
        new = [(left, right, tile)]
        if turned:
            new.append((right, left, self.driver.xp.ascontiguousarray(tile.T)))
        ready = self.driver.mark()
        self.finish()
        self.waiting = [(place, part, ready) for *place, part in new]

    def finish(self):
        with np.errstate(over="ignore"):  # of float16
            for (first, start), part, ready in self.waiting:
                rows, columns = part.shape
                self.driver.into(self.out[first : first + rows, start : start + columns], part, ready)
        self.waiting = []
