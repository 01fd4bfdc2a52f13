"""`pairwise` on NumPy: float64 BLAS in pieces of the features, entries outside the bound computed directly.

Work    rectangles (`tiles/rectangle.py`); BLAS threads only
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops; scratch at most max_bytes
Sum     of the rectangles
"""

import numpy as np

from ..tiles import metrics, rectangle
from ..tiles.encode import space


def declines(x, y, metric, *, precision, **_):
    return None if precision in ("auto", "float64") else f"it computes in float64, not precision={precision!r}"


def pairwise(x, y, metric, *, out, max_bytes, precision, tick=None):
    """Fill out (m, n)."""
    alone = y is None
    y = x if alone else y
    tile_rows, tile_columns = rectangle.sizes(len(x), len(y), x.shape[1], max_bytes)
    where = space(metric, y)
    step = tile_rows if alone else tile_columns
    for right, end in y.blocks(step):
        columns = y.block(right, end).astype(np.float64)
        known = rectangle.encoded(where, columns)
        for left, stop in x.blocks(tile_rows):
            if alone and left > right:
                break
            rows = columns if alone and left == right else x.block(left, stop).astype(np.float64)
            value = rectangle.values(where, rows, columns, known, out.dtype)
            out[left:stop, right:end] = metrics.returned(metric, metrics.ordered(metric, value), out.dtype)
            if alone and left < right:
                out[right:end, left:stop] = out[left:stop, right:end].T
            elif alone:  # nor is a product with itself symmetric to the last bit
                below = np.tril_indices(end - right, -1)
                square = out[right:end, right:end]
                square[below] = square.T[below]
        if tick is not None:
            tick(end, len(y))
