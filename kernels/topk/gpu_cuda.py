"""`topk` on CUDA: fp16 codes on the tensor cores, canonical values for what the bound leaves.

Work    blocks of queries x parts of the gallery, one part where all of it fits the device (`tiles/cuda/search.py`,
        `tiles/cuda/best.py`); queries that no list can hold are searched on the host, by NumPy's kernel
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k))
Cost    2 m n d fp16 operations, then as there; device memory at most max_bytes
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import time

import numpy as np

from ..tiles import filters as searches
from ..tiles import metrics
from ..tiles import plan as host
from ..tiles.cuda import driver as drivers
from ..tiles.cuda.best import Best, Found, best, onward
from ..tiles.cuda.resident import refused
from ..tiles.cuda.search import Search, fitted, objection
from . import cpu_numpy


def declines(x, y, metric, *, out, filters, precision, **_):
    if len(out) > 1:
        return "it does not search columns yet"
    return objection(metric, filters, precision)


def topk(x, y, metric, *, out, filters, max_bytes, precision, prepared=None, tick=None):
    """Fill `out`, [(distances, indices) of the rows]; returns Stats. `prepared` is y kept on the device."""
    ((distances, indices),), driver, k = out, drivers.current(), out[0][1].shape[1]
    host.plan(len(x), len(y), x.shape[1], k, 0, max_bytes)  # of NumPy's kernel: said now, not when it is needed
    began, biased = time.perf_counter(), filters.bias is not None

    def searched(room):
        search = Search(driver, x, y, metric, filters, k, max_bytes, room, prepared)
        stats = searches.Stats(np.zeros(len(x), np.int64), np.zeros(len(x), bool), "float16", search.prepare_seconds)

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
            refused(x, rows.start, rows.stop, answer["said"][0])
            search.done(queries)
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
