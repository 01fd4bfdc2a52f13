"""`topk` on CUDA: fp16 codes on the tensor cores, canonical values for what the bound leaves, or for all pairs.

Work    blocks of queries x parts of the gallery, one part where all of it fits the device (`tiles/cuda/search.py`,
        `tiles/cuda/best.py`); queries that no list can hold are searched on the host, by NumPy's kernel. Columns are
        searched like rows, in a pass of their own
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k)), and for two of `out` (value (n, k_columns), index)
Cost    2 m n d fp16 operations, or some in float64 for metrics without products; device memory at most max_bytes
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import time

import numpy as np

from ..tiles import metrics
from ..tiles import plan as host
from ..tiles.cuda import driver as drivers
from ..tiles.cuda.best import Best, Found, best, onward
from ..tiles.cuda.search import Search, fitted, objection
from . import cpu_numpy


def declines(x, y, metric, *, out, filters, precision, **_):
    return objection(metric, filters, precision)


def topk(x, y, metric, *, out, filters, max_bytes, precision, prepared=None, tick=None):
    """Fill `out`, [(distances, indices) of the rows] and maybe [.. of the columns]; returns Stats.

    `prepared` is y kept on the device.
    """
    if len(out) > 1:
        return _both(x, y, metric, out=out, filters=filters, max_bytes=max_bytes, precision=precision, tick=tick)
    ((distances, indices),), driver, k = out, drivers.current(), out[0][1].shape[1]
    host.plan(len(x), len(y), x.shape[1], k, 0, max_bytes)  # of NumPy's kernel: said now, not when it is needed
    began, biased = time.perf_counter(), filters.bias is not None

    def searched(room):
        search = Search(driver, x, y, metric, filters, k, max_bytes, room, prepared)
        stats = search.stats()

        def block(queries):
            found, rows = Found(), slice(queries.number[0], queries.number[-1] + 1)
            for part, ahead in search.parts():
                lists = Best(part, queries, found)
                ahead()
                yield
                answer, failed = best(lists, found)
                stats.candidates[rows] += answer["count"]
                stats.widened[rows] |= failed
                if tick is not None:
                    tick(rows.start * len(y) + len(queries) * (part.start + len(part)), len(x) * len(y))
                if part is not search.part:
                    found = onward(lists, answer, found)
            search.done(queries, answer["said"])
            indices[rows] = answer["index"]
            distances[rows] = metrics.returned(metric, answer["value"], distances.dtype, biased)

        search.run(block)
        return stats

    stats = fitted(driver, max_bytes, searched)
    lost = np.flatnonzero(stats.widened)
    if len(lost):
        found = np.empty((len(lost), k), distances.dtype), np.empty((len(lost), k), np.int64)
        wider = cpu_numpy.topk(x.at(lost), y, metric, out=[found], filters=filters.of(lost), max_bytes=max_bytes,
                               precision="auto")  # fmt: skip
        distances[lost], indices[lost] = found
        stats.candidates[lost] += wider.candidates
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return stats


def _both(x, y, metric, *, out, filters, tick, **control):
    def half(before):
        return tick and (lambda done, total: tick(before * total + done, 2 * total))

    stats = topk(x, y, metric, out=out[:1], filters=filters, tick=half(0), **control)
    turned = topk(y, x, metric, out=out[1:], filters=filters.turned(len(x), len(y)), tick=half(1), **control)
    stats.prepare_seconds += turned.prepare_seconds
    stats.scan_seconds += turned.scan_seconds
    return stats
