"""`pairwise` on CUDA: float64 products of tiles, canonical values where their bound exceeds the promise.

Work    `tiles/cuda/expansion.py`, a tile after the other, each copied to where it belongs in out
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops in float64 (half for x against itself); out is copied from the device; memory there and here,
        beside out, at most max_bytes
Sum     of the tiles
"""

import numpy as np

from ..tiles.cuda import driver as drivers
from ..tiles.cuda.expansion import Expansion, sizes, where
from ..tiles.cuda.search import fitted

PRODUCT_BYTES, COPIES = 8, 3  # of an entry; of a tile of results: on the device, turned, on the way into out


def declines(x, y, metric, *, precision, **_):
    if metric.form is None:
        return f"it has no kernel for metric={metric.name!r} yet"
    if precision not in ("auto", "float64"):
        return f"it computes in float64, not precision={precision!r}"
    return drivers.obstacle()


def pairwise(x, y, metric, *, out, max_bytes, precision, tick=None):
    """Fill out (m, n)."""
    driver = drivers.current()
    fitted(driver, max_bytes, lambda room: _fill(driver, x, y, metric, out, max_bytes, room, tick))


def _fill(driver, x, y, metric, out, max_bytes, room, tick):
    alone, d = y is None, x.shape[1]
    y = x if alone else y
    pair_bytes = PRODUCT_BYTES + COPIES * max(4, out.itemsize)
    tile_rows, tile_columns = sizes(x, y, metric, pair_bytes, max_bytes, room, square=alone)
    expansion = Expansion(driver, where(metric, y), d, np.result_type(x.dtype, y.dtype), out.dtype)
    for right, end in y.blocks(tile_columns):
        columns = expansion.side(y.block(right, end))
        for left, stop in x.blocks(tile_rows):
            if alone and left > right:
                break
            same = alone and left == right
            rows = columns if same else expansion.side(x.block(left, stop))
            tile = expansion.distances(rows, columns, mirrored=same)
            with np.errstate(over="ignore"):  # of float16
                driver.into(out[left:stop, right:end], tile)
                if alone and not same:
                    driver.into(out[right:end, left:stop], driver.xp.ascontiguousarray(tile.T))
            del rows, tile  # before there are others
        del columns
        if tick is not None:
            tick(end, len(y))
