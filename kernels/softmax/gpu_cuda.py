"""`softmax` on CUDA: tiles of distances, or of ready scores, each added to its running sums on the device.

Work    `tiles/cuda/expansion.py` or, for metrics without products, `tiles/cuda/direct.py`; then `tiles/cuda/sums.py`
Shapes  x (m, d), y (n, d) or None, u (m,), v (n,) -> rows (m,), columns (n,), either of them None
Cost    2 m n d flops in float64, or those of the metric's terms, and m n exponentials for each side; memory on the
        device and here at most max_bytes
Sum     of both
"""

import numpy as np

from ..tiles.cuda import direct
from ..tiles.cuda import driver as drivers
from ..tiles.cuda import sums as running
from ..tiles.cuda.memory import refuse
from ..tiles.cuda.search import fitted
from ..tiles.cuda.tiling import TILE_PAIRS, TILE_ROWS, measured, over, read, tiling

UNIT = ("cosine", "correlation")  # metrics that are 1 - score
SUM_BYTES = 64  # of a running sum, its shift, and what finishing takes
PART_BYTES = 16  # of a sum of a stretch
PAIR_BYTES = 8  # of a distance, which takes the place of its product
READY_BYTES = 32  # of a ready score: read and converted on the host, as given, in float64


def declines(x, y, metric, *, precision, **_):
    if y is not None and not (metric.form or direct.covers(metric)):
        return f"it has no kernel for metric={metric.name!r} yet"
    if precision not in ("auto", "float64"):
        return f"it computes in float64, not precision={precision!r}"
    return drivers.obstacle()


def softmax(x, y, metric, *, beta, bias, rows, columns, max_bytes, precision, tick=None):
    """Fill rows (m,) and columns (n,)."""
    driver = drivers.current()
    fitted(driver, max_bytes, lambda room: _sum(driver, x, y, metric, beta, bias, rows, columns, max_bytes, room, tick))


def _sum(driver, x, y, metric, beta, bias, rows, columns, max_bytes, room, tick):
    fixed = SUM_BYTES * (len(bias[0]) + len(bias[1]))
    scale, constant = (beta, 0.0) if y is None or metric.descending else (-beta, beta * (metric.name in UNIT))
    sums = [
        (running.Sums(driver, axis, len(out), scale, bias[1 - axis] + constant), out)
        for axis, out in enumerate((rows, columns))
        if out is not None
    ]

    def add(tile, left, right):
        for side, _ in sums:
            side.add(tile, left, right)

    if y is None:
        _ready(driver, x, add, max_bytes, room, fixed)
    else:
        _distances(driver, x, y, metric, add, max_bytes, room, fixed, tick)
    for side, out in sums:
        side.result(out)


def _pair_bytes(score):
    """Of a score and its share of the sums of stretches, those of rows or those of columns."""
    return score + -(-PART_BYTES // min(running.STRETCH))


def _distances(driver, x, y, metric, add, max_bytes, room, fixed, tick):
    pair = _pair_bytes(PAIR_BYTES)
    sizes = tiling(x, y, metric, pair, max_bytes, room, fixed=fixed, owner_bytes=PART_BYTES)
    measure = measured(driver, metric, x, y, np.result_type(x.dtype, y.dtype))

    def visit(rows, columns, left, right):
        add(measure.distances(rows, columns, np.float64), left, right)

    over(measure, x, y, sizes, visit, tick)


def _ready(driver, x, add, max_bytes, room, fixed):
    """The same of ready scores, read in whole rows."""
    n = x.shape[1]
    fixed, row = fixed + PART_BYTES * n, _pair_bytes(READY_BYTES) * n + PART_BYTES
    if fixed + row > room:
        refuse(fixed + row, max_bytes, room, f"(one row of {n} scores)")
    for start, stop in x.blocks(max(1, min((room - fixed) // row, TILE_PAIRS // n, TILE_ROWS))):
        add(driver.array(read(driver, x, start, stop)).astype(np.float64, copy=False), start, 0)
