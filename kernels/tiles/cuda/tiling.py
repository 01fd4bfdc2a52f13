"""Tiles of all pairs of rows: their sizes, and the way through them.

Work    for every block of columns all blocks of rows; x stays on the device where half of the room holds it
Shapes  x (m, d), y (n, d) `Rows` -> `Side`s of (r, d) and (c, d), a tile after the other
Cost    y is copied and made into vectors once, x once or once a block of columns
Sum     none
"""

from dataclasses import dataclass

import numpy as np

from . import direct
from .expansion import SAMPLE, Expansion, row_bytes, where
from .memory import refuse
from .resident import lying

EDGE = 4096  # rows and columns of a tile that is not narrow: 1024 blocks of 128 x 128 keep 132 processors busy
TILE_PAIRS = EDGE * EDGE  # 128 MB of products; a launch takes 10 us, such a product of 768 features 0.5 ms
ROUND = 128  # rows and columns of a block of cuBLAS
TILE_ROWS = 1 << 18  # a grid is at most 65,535 blocks high, of 8 rows or of 64
LEAST = 16  # rows and columns
SAMPLE_COPIES = 4  # of the rows that decide about the centre


@dataclass(frozen=True)
class Tiling:
    """Rows and columns of a tile, and whether all rows of x stay on the device."""

    rows: int
    columns: int
    held: bool


def even(count, most):
    """Nearly equal parts of at most so many, in whole blocks of cuBLAS where that is more than one."""
    block = ROUND if min(count, most) > ROUND else 1
    most = most // block * block
    part = -(-count // max(1, -(-count // most)))
    return max(1, min(most, -(-part // block) * block))


def tiling(x, y, metric, pair_bytes, max_bytes, room, *, fixed=0, owner_bytes=0, alone=False):
    """The largest that fit into `room` beside `fixed` bytes; owner_bytes: more for a row or a column of a tile.

    alone: y is x. ValueError where the least is more than max_bytes, or than the room.
    """
    m, n, d = len(x), len(y), x.shape[1]
    each = row_bytes(d, np.result_type(x.dtype, y.dtype).itemsize)
    looking = SAMPLE_COPIES * 8 * d * min(n, SAMPLE) if metric.form == "l2" else 0  # before the first tile
    rows = max(1, min(m, EDGE))
    columns = rows if alone else max(1, min(n, TILE_PAIRS // rows))
    if not alone:
        rows = max(1, min(m, max(LEAST, TILE_PAIRS // columns), TILE_ROWS))

    def needed(there):
        tile = (rows + columns) * owner_bytes + rows * columns * pair_bytes
        return fixed + max(looking, there * each + tile)

    while needed(rows + columns) > room:
        if rows <= LEAST and columns <= LEAST:
            refuse(needed(rows + columns), max_bytes, room, f"for d={d}")
        if alone:
            rows = columns = max(LEAST, rows // 2)
        else:
            rows, columns = (rows, max(LEAST, columns // 2)) if columns > rows else (max(LEAST, rows // 2), columns)
    there = m if alone else m + columns
    return Tiling(even(m, rows), even(n, columns), m * each <= room // 2 and needed(there) <= room)


def measured(driver, metric, x, y, result):
    """What gives the distances of tiles, as accurate as this dtype: products, or values where the metric has none."""
    dtype = np.result_type(x.dtype, y.dtype)
    if metric.form is None:
        return direct.Values(driver, metric, dtype)
    return Expansion(driver, where(metric, y), x.shape[1], dtype, result)


def read(driver, rows, start, stop):
    """A block of `Rows`, checked: from the host, or where it lies on the device."""
    there = lying(rows)
    if there is None:
        return rows.block(start, stop)
    part = driver.xp.ascontiguousarray(there[start:stop].astype(rows.dtype, copy=False))
    if rows.check_finite and not bool(driver.xp.isfinite(part).all()):
        rows.block(start, stop)  # says which
    return part


def over(measure, x, y, sizes, visit, tick=None, *, alone=False):
    """visit(rows, columns, left, right) for every tile, alone: for those that are not below the diagonal."""
    held = measure.side(read(measure.driver, x, 0, len(x))) if sizes.held and len(x) else None
    for right, end in y.blocks(sizes.columns):
        columns = held[right:end] if alone and held else measure.side(read(measure.driver, y, right, end))
        for left, stop in x.blocks(sizes.rows):
            if alone and left > right:
                break
            if alone and left == right:
                rows = columns
            else:
                rows = held[left:stop] if held else measure.side(read(measure.driver, x, left, stop))
            visit(rows, columns, left, right)
            del rows  # before there are others
        del columns
        if tick is not None:
            tick(end, len(y))
