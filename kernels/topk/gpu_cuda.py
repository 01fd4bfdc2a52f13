"""`topk` on CUDA: fp16 codes on the tensor cores, canonical values for what the bound leaves, or for all pairs.

Work    blocks of queries x parts of the gallery, one part where all of it fits the device (`tiles/cuda/search.py`,
        `tiles/cuda/best.py`), on each of the devices that share it (`tiles/cuda/shares.py`); queries that no list can
        hold are searched on the host, by NumPy's kernel. Columns take what is theirs from the pass of the rows where
        the device holds both sides and all lists (`tiles/cuda/columns.py`); elsewhere they have a pass of their own
Shapes  x (m, d), y (n, d) -> (value (m, k), index (m, k)), and for two of `out` (value (n, k_columns), index)
Cost    2 m n d fp16 operations a pass, or some in float64 for metrics without products; device memory at most
        max_bytes
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import threading
import time

import numpy as np

from ..tiles import metrics, pool
from ..tiles import plan as host
from ..tiles.cuda import again, columns, direct, shares
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
    driver, k = drivers.current(), out[0][1].shape[1]
    host.plan(len(x), len(y), x.shape[1], k, 0, max_bytes)  # of NumPy's kernel: said now, not when it is needed
    began, keep = time.perf_counter(), _keeping(metric, filters, *out)
    parts = shares.of(driver, x, y, filters, prepared)
    if len(parts) == 1:
        with driver.on(parts[0].device):
            stats = _searched(driver, x, parts[0], metric, k, max_bytes, keep, tick)
    else:
        stats = _merged(driver, x, parts, metric, k, max_bytes, keep, tick)
    _widened(x, y, metric, out, filters, max_bytes, stats)
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return stats


def _keeping(metric, filters, side):
    """keep(rows, value, index) puts answers into their places by all threads; rows are a slice or numbers."""
    distances, indices = side

    def keep(rows, value, index):
        def stretch(start, stop):
            here = slice(rows.start + start, rows.start + stop) if isinstance(rows, slice) else rows[start:stop]
            found = metrics.returned(metric, value[start:stop], distances.dtype, filters.bias is not None)
            distances[here], indices[here] = found, index[start:stop]

        pool.over(len(index), index.nbytes + value.nbytes, stretch, KEPT_BY_ONE)

    return keep


def _widened(x, y, metric, out, filters, max_bytes, stats):
    """Search the queries that no list could hold on the host."""
    lost = np.flatnonzero(stats.widened)
    if len(lost):
        wider = _again(cpu_numpy.topk, lost, x, y, metric, out, filters, max_bytes)
        stats.candidates[lost] += wider.candidates


def _again(search, lost, x, y, metric, out, filters, max_bytes):
    """Search some of the queries once more, another way; returns their Stats."""
    found = [tuple(np.empty((len(lost), array.shape[1]), array.dtype) for array in out[0])]
    stats = search(x.at(lost), y, metric, out=found, filters=filters.of(lost), max_bytes=max_bytes, precision="auto")
    for array, part in zip(out[0], found[0], strict=True):
        array[lost] = part
    return stats


def _searched(driver, x, part, metric, k, max_bytes, keep, tick):
    """keep(rows, value, index) takes the k best of a block of queries among the rows of one device; returns Stats."""

    def searched(room):
        search = Search(driver, x, part.y, metric, part.filters, k, max_bytes, room, part.prepared, beside=True)
        return _run(search, Best, max_bytes, keep, tick)

    return fitted(driver, max_bytes, searched)


def _run(search, lists_of, max_bytes, keep, tick):
    """keep(rows, value, index) takes the k best of every block of a search; returns Stats."""
    stats, late, before = search.stats(), search.metric.name in direct.NEAR, 0  # NumPy ranks: the next block goes first
    m, n = len(search.x), len(search.y)

    def block(queries):
        nonlocal before
        found, rows = Found(), search.rows(queries)
        for here, ahead in search.parts():
            with drivers.noted(search.calls):
                lists = lists_of(here, queries, found)
                ranked = None if late else lists.ranked(found)
            ahead()
            yield
            answer, failed = best(lists, found, lists.ranked(found) if late else ranked)
            stats.candidates[rows] += answer["count"]
            stats.widened[rows] |= failed
            if tick is not None:
                tick(before * n + len(queries) * (here.start + len(here)), m * n)
            if here is not search.part:
                found = onward(lists, answer, found)
        before += len(queries)
        stats.again = again.note(search, queries, answer, max_bytes)
        search.done(queries, answer["said"])
        keep(rows, answer["value"], answer["index"])

    search.run(block)
    return stats


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


def _both(x, y, metric, *, out, filters, tick, max_bytes, precision):
    turned = filters.turned(len(x), len(y))
    halves = (x, y, out[:1], filters), (y, x, out[1:], turned)
    least = max(max(host.needed(len(rows), len(others), x.shape[1], found.shape[1]),
                    device_least(rows, others, metric, mine, found.shape[1]))
                for rows, others, ((_, found),), mine in halves)  # fmt: skip
    if max_bytes < least:  # said now, not when half of the work is done
        k = max(found.shape[1] for _, found in out)
        raise ValueError(f"max_bytes must be at least {least} for d={x.shape[1]} and k={k}, got {max_bytes}")
    stats = _one_pass(x, y, metric, out, filters, turned, max_bytes, tick)
    return _two_passes(halves, metric, max_bytes, precision, tick) if stats is None else stats


def _one_pass(x, y, metric, out, filters, turned, max_bytes, tick):
    """Fill both of `out`; returns Stats, or None where the device cannot hold all that takes."""
    driver, began = drivers.current(), time.perf_counter()
    parts, (k, k_columns) = shares.of(driver, x, y, filters, None), (index.shape[1] for _, index in out)
    if len(parts) > 1 or not columns.possible(metric, filters):
        return None

    keep, keep_columns = (_keeping(metric, filters, side) for side in out)

    def searched(room):
        if columns.Both.least(x, y, metric, filters, k, k_columns) > room:
            return None
        search, lost = columns.Both(driver, x, y, metric, filters, k, k_columns, max_bytes, room), []
        stats = _run(search, columns.Swept, max_bytes, keep, tick)
        for number, value, index, overflowed in search.found():
            keep_columns(number, value, index)
            lost.append(number[overflowed])
        return stats, np.sort(np.concatenate(lost))

    with driver.on(parts[0].device):
        found = fitted(driver, max_bytes, searched)
    if found is None:
        return None
    stats, lost = found
    _widened(x, y, metric, out[:1], filters, max_bytes, stats)
    if len(lost):
        _again(topk, lost, y, x, metric, out[1:], turned, max_bytes)
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return stats


def _two_passes(halves, metric, max_bytes, precision, tick):
    """Search the columns among the rows as well."""
    found = []
    for number, (rows, others, part, mine) in enumerate(halves):
        told = tick and (lambda done, total, number=number: tick(number * total + done, 2 * total))
        found.append(topk(rows, others, metric, out=part, filters=mine, tick=told, max_bytes=max_bytes,
                          precision=precision))  # fmt: skip
    stats, other = found
    stats.prepare_seconds += other.prepare_seconds
    stats.scan_seconds += other.scan_seconds
    return stats
