"""`topk` on CUDA: fp16 codes on the tensor cores, canonical values for what the bound leaves.

Work    `tiles/cuda/search.py`; queries that it cannot certify are searched on the host, by NumPy's kernel
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k))
Cost    2 m n d fp16 operations, then as there; device memory at most max_bytes. One H100, 10,000 x 1,000,000 x 768,
        k = 100: 124 ms with the gallery prepared, a sixth of the rate of a large fp16 product; 436 ms from host arrays
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import time

import numpy as np

from ..tiles import filters as searches
from ..tiles import metrics
from ..tiles import plan as host
from ..tiles.cuda import driver as drivers
from ..tiles.cuda.search import Search, measured, plan
from . import cpu_numpy


def declines(x, y, metric, *, out, filters, precision, **_):
    if metric.form is None or metric.name == "correlation":
        return f"it has no kernel for metric={metric.name!r} yet"
    if metric.rooted and filters.bias is not None:
        return "it has no kernel for a root plus a bias yet"
    if len(out) > 1:
        return "it does not search columns yet"
    if precision not in ("auto", "float16"):
        return f"it scans in float16, not precision={precision!r}"
    return drivers.obstacle()


def topk(x, y, metric, *, out, filters, max_bytes, precision, prepared=None, tick=None):
    """Fill `out`, [(distances, indices) of the rows]; returns Stats. `prepared` is not used yet."""
    began = time.perf_counter()
    ((distances, indices),), driver = out, drivers.current()
    dtype, k = np.result_type(x.dtype, y.dtype), indices.shape[1]
    host.plan(len(x), len(y), x.shape[1], k, 0, max_bytes)  # of NumPy's kernel: said now, not when it is needed
    sizes = plan(len(x), len(y), x.shape[1], k, dtype.itemsize, max_bytes)
    gallery = measured(driver, y.block(0, len(y)).astype(dtype, copy=False))
    search = Search(driver, gallery, metric, filters, k, sizes)
    stats = searches.Stats(np.zeros(len(x), np.int64), np.zeros(len(x), bool), "float16", time.perf_counter() - began)
    began, blocks = time.perf_counter(), -(-len(x) // sizes.query_rows)
    for number, (start, stop) in enumerate(x.blocks(sizes.query_rows)):
        rows = np.ascontiguousarray(x.block(start, stop), dtype)
        report = tick and (lambda done, number=number: tick(number * len(y) + done, len(y) * blocks))
        value, indices[start:stop], stats.candidates[start:stop], stats.widened[start:stop] = search.block(
            rows, start, report
        )
        distances[start:stop] = metrics.returned(metric, value, distances.dtype, filters.bias is not None)
    lost = np.flatnonzero(stats.widened)
    if len(lost):
        found = np.empty((len(lost), k), distances.dtype), np.empty((len(lost), k), np.int64)
        wider = cpu_numpy.topk(x.at(lost), y, metric, out=[found], filters=filters.of(lost), max_bytes=max_bytes,
                               precision="auto")  # fmt: skip
        distances[lost], indices[lost] = found
        stats.candidates[lost] += wider.candidates
    stats.scan_seconds = time.perf_counter() - began
    return stats
