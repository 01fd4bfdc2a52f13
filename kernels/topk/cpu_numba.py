"""`topk` on Numba: integer codes swept by register tiles, canonical values for what the bound leaves.

Work    blocks of queries x blocks of the gallery; threads share out panels, no two write the same list
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k)), and for k_columns > 0 (value (n, k_columns), index)
Cost    2 m n d operations in int6 to int16, then about 2 d flops for each candidate; scratch at most max_bytes
Sum     canonical (`tiles/canonical.py`); the scan is exact in integers, its rounding inside the bound
"""

import time

import numpy as np

from ..tiles import engine, exact, pool, selfjoin
from ..tiles.best import WIDER, Best


def declines(x, y, metric, *, out, filters, precision, **_):
    return engine.declines(precision, x.shape[1])


@pool.fewer_if_short
def topk(x, y, metric, *, out, filters, max_bytes, precision, prepared=None, tick=None, limit=None):
    """Fill `out`, [(distances, indices) of the rows] and maybe [.. of the columns]; returns Stats.

    `prepared` is y encoded before (`tiles/prepared.py`). `limit` (m,): pairs of a row whose ordered value is above
    its limit may be left out.
    """
    began = time.perf_counter()
    k, k_columns = (*(indices.shape[1] for _, indices in out), 0)[:2]
    search = keeper = None
    if k_columns == 0 and prepared is None and limit is None and selfjoin.fits(x, y, metric, filters):
        tick = tick and selfjoin.Forward(tick, len(y))
        search = engine.search(x, y, metric, filters, precision, max_bytes, None, tick, k, k)
        keeper = selfjoin.swept(search, out, k)
    if keeper is None:
        search = engine.search(x, y, metric, filters, precision, max_bytes, prepared, tick, k, k_columns)
        keeper = Best(search, out, k, k_columns, limit)
        if precision == "auto" and search.precision in WIDER and not search.fits(keeper):
            wider = WIDER[search.precision]
            search = engine.search(x, y, metric, filters, wider, max_bytes, prepared, tick, k, k_columns)
            keeper = Best(search, out, k, k_columns, limit)
        if search.bounded:
            search.visit(keeper)
        else:
            keeper.alone()
        keeper.finish()
    _again(search, out[0], keeper.crowded, limit)
    search.stats.scan_seconds = time.perf_counter() - began - search.stats.prepare_seconds
    return search.stats


def _again(search, out, crowded, limit):
    """A wider scan for some rows."""
    distances, indices = out
    k, rows_of_all = indices.shape[1], np.concatenate([np.zeros(0, np.int64), *crowded])
    for rows in exact.chunks(rows_of_all, max(1, search.max_bytes // (64 * k))):
        found = np.empty((len(rows), k), distances.dtype), np.empty((len(rows), k), np.int64)
        stats = topk(
            search.x.at(rows), search.y, search.metric, out=[found], filters=search.filters.of(rows),
            max_bytes=search.max_bytes - len(rows) * k * 16, precision=WIDER[search.precision],
            limit=None if limit is None else limit[rows],
        )  # fmt: skip
        distances[rows], indices[rows] = found
        search.stats.candidates[rows] += stats.candidates
