"""`topk` on NumPy: BLAS scores with a certified margin, canonical values for what the margin leaves.

Work    blocks of queries x blocks of the gallery x tiles; BLAS threads only
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k)), and for k_columns > 0 (value (n, k_columns), index)
Cost    2 m n (d + 5) flops in float32, then as in `tiles/shortlist.py`; scratch at most max_bytes
Sum     canonical (`tiles/metrics.py`); the scan's own order is inside the bound (`tiles/encode.py`)
"""

import time

import numpy as np

from ..tiles import loop, metrics
from ..tiles.shortlist import Shortlist, foremost


def declines(x, y, metric, *, out, filters, precision, **_):
    return loop.declines(precision)


def topk(x, y, metric, *, out, filters, max_bytes, precision, prepared=None, tick=None, limit=None):
    """Fill `out`, [(distances, indices) of the rows] and maybe [.. of the columns]; returns Stats.

    `prepared` is y encoded before (`tiles/prepared.py`). `limit` (m,): pairs of a row whose ordered value is above
    its limit may be left out.
    """
    began = time.perf_counter()
    k, k_columns = (*(indices.shape[1] for _, indices in out), 0)[:2]
    scan = loop.visit(x, y, metric, filters, k, k_columns, max_bytes, precision, prepared, tick)
    sizes, stats, n, biased = scan.plan, scan.stats, len(y), filters.bias is not None

    column_value = np.full((n, k_columns), np.inf)
    column_index = np.full((n, k_columns), -1, np.int64)
    for owners, queries in scan.query_blocks():
        rows = Shortlist(owners, k, sizes.capacity, scan.exact, None if limit is None else limit[owners])
        for group in scan.gallery_blocks():
            columns = Shortlist(group.index, k_columns, sizes.column_capacity, scan.exact_turned)
            for tile in scan.tiles(queries, group):
                rows.offer(tile)
                if k_columns:
                    columns.offer(tile.turned())
                    columns.tighten()
            rows.tighten()
            if k_columns:
                _merge(column_value, column_index, group.index, *columns.result())
        value, out[0][1][owners] = rows.result()
        out[0][0][owners] = metrics.returned(metric, value, out[0][0].dtype, biased)
    if k_columns:
        out[1][0][:], out[1][1][:] = metrics.returned(metric, column_value, out[1][0].dtype, biased), column_index
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return stats


def _merge(value, index, owners, new_value, new_index):
    """Fold another block's best into (n, k) values and indices in place; empty slots stay last."""
    both = np.hstack([value[owners], new_value]), np.hstack([index[owners], new_index])
    value[owners], index[owners] = foremost(*both, value.shape[1])
