"""All distances by canonical values: of metrics that no product gives, pieces of both sides in every job.

Work    pieces of both sides read and prepared once a block, then jobs of a piece of each, on the threads of the pool
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    3 to 10 m n d operations in float64; scratch at most max_bytes
Sum     canonical (`tiles/direct.py`; metrics with pow or log, and SciPy's: `tiles/metrics.py`)
"""

import numpy as np

from . import blocks, direct, metrics, pool
from .plan import PAIR_BYTES

VALUES, FAST_VALUES = (32, 256), (128, 512)  # rows and columns of a job of canonical values, by NumPy and by loops


def filled(x, y, metric, out, max_bytes, tick):
    """Fill out by canonical values, pieces of both sides in every job; False if the threads do not fit `max_bytes`."""
    alone, d = y is None, x.shape[1]
    y = x if alone else y
    fast = direct.covers(metric)
    held = max(1, PAIR_BYTES // (16 * d))
    down, across = (min(most, held) for most in (FAST_VALUES if fast else VALUES))
    thread = (0 if fast else 4 * PAIR_BYTES) + 24 * down * across
    fixed = 48 * (d + 8) * (down + across)  # a piece of each side, and what its preparation takes
    room = max_bytes - fixed - thread
    rows, columns = (room // (32 * (d + 8)) // step * step for step in (down, across))
    if room < 0 or not rows or not columns:
        return False
    threads = min(pool.threads(), 1 + (room - 16 * (d + 8) * (rows + columns)) // thread)
    real = np.promote_types(x.dtype, y.dtype)  # of both sides: each pair of dtypes is a kernel

    def pieces(side, first, last, step):
        found = []
        for start in range(first, last, step):
            block = side.block(start, min(start + step, last))
            block = block.astype(real if fast else np.float64, copy=False)
            found.append((start, direct.prepared(metric, block) if fast else (block, None)))
        return found

    def job(i, j, left, right):
        shape = len(left[0]), len(right[0])
        if fast:
            value = np.empty(shape)
            fill = direct.filler(metric, left[0].dtype.name, right[0].dtype.name)
            table = blocks.table(left[0], right[0], (left[1], right[1]), d, 0.0, value)
            fill(table.ctypes.data, 0, 0, *shape)
        else:
            value = metrics.block(metric, left[0], right[0])
        put(out, metrics.returned(metric, metrics.ordered(metric, value), out.dtype), (i, j), alone)

    with pool.at_most(threads):
        for left, right in y.blocks(columns):
            mine = pieces(y, left, right, across)
            for first, last in x.blocks(rows):
                if not alone or first < right:
                    others = pieces(x, first, last, down)
                    pool.run(
                        [
                            lambda i=i, j=j, one=one, other=other: job(i, j, one, other)
                            for i, one in others
                            for j, other in mine
                            if not alone or i < j + across
                        ]
                    )
            if tick is not None:
                tick(right, len(y))
    return True


def put(out, filled, place, alone):
    """A rectangle of values into out; alone, what is not below the diagonal, on both sides of it."""
    (i, j), (rows, columns) = place, filled.shape
    target = out[i : i + rows, j : j + columns]
    if not alone:
        target[...] = filled
        return
    above = np.arange(i, i + rows)[:, None] <= np.arange(j, j + columns)
    np.copyto(target, filled, where=above)
    np.copyto(out[j : j + columns, i : i + rows], filled.T, where=above.T)
