"""`topk` on CUDA: fp16 codes on the tensor cores, canonical values for what the bound leaves, or for all pairs.

Work    blocks of queries x parts of the gallery, one part where all of it fits the device (`tiles/cuda/search.py`,
        `tiles/cuda/best.py`), on each of the devices that share it (`tiles/cuda/shares.py`); queries that no list can
        hold are searched on the host, by NumPy's kernel. Columns are searched like rows, in a pass of their own
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k)), and for two of `out` (value (n, k_columns), index)
Cost    2 m n d fp16 operations, or some in float64 for metrics without products; device memory at most max_bytes
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import threading
import time

import numpy as np

from ..tiles import metrics, pool
from ..tiles import plan as host
from ..tiles.cuda import again, direct, shares
from ..tiles.cuda import driver as drivers
from ..tiles.cuda.best import Best, Found, best, onward
from ..tiles.cuda.search import Search, fitted, objection
from ..tiles.cuda.search import least as device_least
from ..tiles.filters import Stats
from ..tiles.shortlist import foremost
from . import cpu_numpy

KEPT_BY_ONE = 1 << 18  # bytes of an answer that one thread puts into its place, where pages are new: 1 ms a MB
WAITING_BYTES = 64  # of an entry that waits for those of other devices: found, joined, sorted


def declines(x, y, metric, *, out, filters, precision, **_):
    return objection(metric, filters, precision)


def topk(x, y, metric, *, out, filters, max_bytes, precision, prepared=None, tick=None, limit=None):
    """Fill `out`, [(distances, indices) of the rows] and maybe [.. of the columns]; returns Stats.

    `prepared` is y kept on the device, or on the devices that share it; nothing is left out that `limit` would let.
    """
    if len(out) > 1:
        return _both(x, y, metric, out=out, filters=filters, max_bytes=max_bytes, precision=precision, tick=tick)
    ((distances, indices),), driver, k = out, drivers.current(), out[0][1].shape[1]
    host.plan(len(x), len(y), x.shape[1], k, 0, max_bytes)  # of NumPy's kernel: said now, not when it is needed
    began, biased = time.perf_counter(), filters.bias is not None

    def keep(rows, value, index):
        def stretch(start, stop):
            indices[rows][start:stop] = index[start:stop]
            distances[rows][start:stop] = metrics.returned(metric, value[start:stop], distances.dtype, biased)

        pool.over(len(index), index.nbytes + value.nbytes, stretch, KEPT_BY_ONE)

    parts = shares.of(driver, x, y, filters, prepared)
    if len(parts) == 1:
        with driver.on(parts[0].device):
            stats = _searched(driver, x, parts[0], metric, k, max_bytes, keep, tick)
    else:
        stats = _merged(driver, x, parts, metric, k, max_bytes, keep, tick)
    lost = np.flatnonzero(stats.widened)
    if len(lost):
        found = np.empty((len(lost), k), distances.dtype), np.empty((len(lost), k), np.int64)
        wider = cpu_numpy.topk(x.at(lost), y, metric, out=[found], filters=filters.of(lost), max_bytes=max_bytes,
                               precision="auto")  # fmt: skip
        distances[lost], indices[lost] = found
        stats.candidates[lost] += wider.candidates
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return stats


def _searched(driver, x, part, metric, k, max_bytes, keep, tick):
    """keep(rows, value, index) takes the k best of a block of queries among the rows of one device; returns Stats."""
    y = part.y

    def told(done):
        if tick is not None:
            tick(done, len(x) * len(y))

    def searched(room):
        search = Search(driver, x, y, metric, part.filters, k, max_bytes, room, part.prepared, beside=True)
        stats, late = search.stats(), metric.name in direct.NEAR  # NumPy ranks: the next block is under way first

        def block(queries):
            found, rows = Found(), slice(queries.number[0], queries.number[-1] + 1)
            for here, ahead in search.parts():
                with drivers.noted(search.calls):
                    lists = Best(here, queries, found)
                    ranked = None if late else lists.ranked(found)
                ahead()
                yield
                answer, failed = best(lists, found, lists.ranked(found) if late else ranked)
                stats.candidates[rows] += answer["count"]
                stats.widened[rows] |= failed
                told(rows.start * len(y) + len(queries) * (here.start + len(here)))
                if here is not search.part:
                    found = onward(lists, answer, found)
            stats.again = again.note(search, queries, answer, max_bytes)
            search.done(queries, answer["said"])
            keep(rows, answer["value"], answer["index"])

        search.run(block)
        return stats

    return fitted(driver, max_bytes, searched)


def _merged(driver, x, parts, metric, k, max_bytes, keep, tick):
    """The same of several devices: what they find is put together on the host, in half of max_bytes at most."""
    m, n, stats, reading = len(x), sum(len(part.y) for part in parts), [], threading.Lock()
    step = max(1, max_bytes // (2 * WAITING_BYTES * k * len(parts)))
    for first in range(0, max(1, m), step):
        rows = np.arange(first, min(first + step, m))
        queries = x.part(first, first + len(rows), reading)

        def share(part, told, queries=queries, rows=rows):
            return _waiting(driver, queries, part.of(rows), metric, k, max_bytes, told)

        told = tick and (lambda done, first=first: tick(first * n + done, m * n))
        values, indices, found = zip(*shares.each(driver, parts, share, told), strict=True)
        keep(slice(first, first + len(rows)), *foremost(np.hstack(values), np.hstack(indices), k))
        stats.append(Stats.of(found))
    joined = (np.concatenate([getattr(part, name) for part in stats]) for name in ("candidates", "widened"))
    return Stats(*joined, stats[0].precision, sum(part.prepare_seconds for part in stats))


def _waiting(driver, x, part, metric, k, max_bytes, tick):
    """(value, index, Stats) of one of several devices, rows numbered among all."""
    shape = len(x), min(k, len(part.y))
    value, index = np.empty(shape), np.empty(shape, np.int64)

    def keep(rows, new_value, new_index):
        value[rows], index[rows] = new_value, np.where(new_index < 0, -1, new_index + part.start)

    return value, index, _searched(driver, x, part, metric, shape[1], max_bytes, keep, tick)


def _both(x, y, metric, *, out, filters, tick, max_bytes, **control):
    turned = filters.turned(len(x), len(y))
    halves = (x, y, out[:1], filters), (y, x, out[1:], turned)
    least = max(max(host.needed(len(rows), len(others), x.shape[1], found.shape[1]),
                    device_least(rows, others, metric, mine, found.shape[1]))
                for rows, others, ((_, found),), mine in halves)  # fmt: skip
    if max_bytes < least:  # said now, not when half of the work is done
        k = max(found.shape[1] for _, found in out)
        raise ValueError(f"max_bytes must be at least {least} for d={x.shape[1]} and k={k}, got {max_bytes}")
    found = []
    for number, (rows, others, part, mine) in enumerate(halves):
        told = tick and (lambda done, total, number=number: tick(number * total + done, 2 * total))
        found.append(topk(rows, others, metric, out=part, filters=mine, tick=told, max_bytes=max_bytes, **control))
    stats, other = found
    stats.prepare_seconds += other.prepare_seconds
    stats.scan_seconds += other.scan_seconds
    return stats
