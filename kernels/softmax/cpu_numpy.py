"""`softmax` on NumPy: rectangles of scores, each added to the running sums of its rows and of its columns.

Work    rectangles (`tiles/rectangle.py`) or blocks of ready scores; BLAS threads only
Shapes  x (m, d), y (n, d) or None, u (m,), v (n,) -> rows (m,), columns (n,), either of them None
Cost    2 m n d flops in float64, m n exponentials for each side; scratch at most max_bytes
Sum     of `tiles/rectangle.py` and `tiles/running.py`
"""

import numpy as np

from ..tiles import metrics, rectangle
from ..tiles.encode import space
from ..tiles.running import Running

SPARE = 3  # rectangles beside those of the values: scores, terms, exponentials
SUM_BYTES = 48  # of a running sum and what its update takes
UNIT = ("cosine", "correlation")  # metrics that are 1 - score


def declines(x, y, metric, *, precision, **_):
    return None if precision in ("auto", "float64") else f"it computes in float64, not precision={precision!r}"


def softmax(x, y, metric, *, beta, bias, rows, columns, max_bytes, precision, tick=None):
    """Fill rows (m,) and columns (n,)."""
    u, v = bias
    single = x.dtype == np.float32 and (y is None or y.dtype == np.float32)
    fixed = SUM_BYTES * (len(u) + len(v))
    sums = [None if out is None else Running(len(out), single) for out in (rows, columns)]
    blocks = _ready(x, max_bytes, fixed) if y is None else _scores(x, y, metric, single, max_bytes, fixed, tick)
    with np.errstate(all="ignore"):
        for left, right, score in blocks:
            score *= beta
            stop, end = left + score.shape[0], right + score.shape[1]
            if sums[0] is not None:
                sums[0].add(left, score + v[right:end])
            if sums[1] is not None:
                sums[1].add(right, score.T + u[left:stop])
        for out, found in zip((rows, columns), sums, strict=True):
            if out is not None:
                found.result(out)


def _scores(x, y, metric, single, max_bytes, fixed, tick):
    """(first row, first column, scores) of all pairs."""
    tile_rows, tile_columns = rectangle.sizes(len(x), len(y), x.shape[1], max_bytes, fixed, SPARE)
    where, dtype = space(metric, y), np.dtype(np.float32 if single else np.float64)
    for right, end in y.blocks(tile_columns):
        block = y.block(right, end).astype(np.float64)
        known = rectangle.encoded(where, block)
        for left, stop in x.blocks(tile_rows):
            value = rectangle.values(where, x.block(left, stop).astype(np.float64), block, known, dtype)
            distance = metrics.returned(metric, metrics.ordered(metric, value), np.dtype(np.float64))
            if not metric.descending:
                np.subtract(1.0 if metric.name in UNIT else 0.0, distance, out=distance)
            yield left, right, distance
        if tick is not None:
            tick(end, len(y))


def _ready(x, max_bytes, fixed):
    """The same of ready scores, read in whole rows."""
    m, n = x.shape
    width = 8 * n * (2 + SPARE)
    if (needed := fixed + width) > max_bytes:
        raise ValueError(f"max_bytes must be at least {needed} (one row of {n} scores), got {max_bytes}")
    at_once = rectangle.ROWS * rectangle.COLUMNS
    step = max(1, min((max_bytes - fixed) // width, max(1, at_once // n), max(1, m)))
    for start, stop in x.blocks(step):
        yield start, 0, x.block(start, stop).astype(np.float64)
