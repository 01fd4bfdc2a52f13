"""`within` on CUDA: tiles of fp16 scores keep what may lie inside the radius, canonical values decide.

Work    blocks of queries x parts of the gallery x tiles, each as wide as the lists of what it keeps allow
Shapes  x (m, d), y (n, d), radius (m,) -> counts (m,), indices (r,), distances (r,)
Cost    2 m n d fp16 operations, 3 d in float64 for each pair kept; device memory at most max_bytes, and a quarter of it
        on the host for pairs that wait
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import time

import numpy as np

from ..tiles import metrics
from ..tiles.cuda import driver as drivers
from ..tiles.cuda.goals import interval
from ..tiles.cuda.lists import Lists
from ..tiles.cuda.search import Search, fitted, objection
from ..tiles.results import PAIR_BYTES, Results
from .cpu_numpy import ROUNDED

LOWEST = np.finfo(np.float32).min  # a threshold that excludes nothing but rows that take no part
WAITING = 1 / 4  # of max_bytes


def declines(x, y, metric, *, filters, precision, **_):
    return objection(metric, filters, precision)


def within(x, y, metric, *, radius, dtype, filters, max_bytes, precision, prepared=None, tick=None):
    """(counts, indices, distances, Stats); rows follow each other, each ordered as `topk`."""
    began, biased = time.perf_counter(), filters.bias is not None
    with np.errstate(over="ignore"):  # a square beyond float64 excludes nothing
        limit = metrics.ordered(metric, radius * radius * ROUNDED if metric.rooted and not biased else radius)

    def searched(room):
        search = Search(drivers.current(), x, y, metric, filters, 1, max_bytes, room, prepared)
        stats = search.stats()
        results = Results(len(x), len(y), metric, dtype, biased, int(WAITING * max_bytes) // PAIR_BYTES)
        first = 0
        while first < len(x):
            queries = search.queries(first, results.begin(first, search.sizes.query_rows))
            for part, ahead in search.parts():
                lists = Lists(part, queries)
                low, _ = interval(lists, limit[queries.number], np.arange(len(queries)))
                lists.threshold[...] = lists.driver.xp.maximum(low, LOWEST)
                ahead()
                for count in lists.kept():
                    stats.candidates[queries.number] += count
                    _inside(lists, count, radius, results, biased)
                results.seen = (part.start + len(part)) / len(y)
                if tick is not None:
                    tick(first * len(y) + (results.stop - first) * (part.start + len(part)), len(x) * len(y))
            search.done(queries, queries.make.answer()["said"])
            first = results.end()
        return *results.joined(), stats

    *found, stats = fitted(drivers.current(), max_bytes, searched)
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return *found, stats


def _inside(lists, count, radius, results, biased):
    """Hand over the listed pairs that are inside."""
    metric, part, rows, most = lists.metric, lists.part, lists.queries.number, int(count.max(initial=0))
    if not most:
        return
    keys, value = lists.listed(most)
    row, slot = np.nonzero(np.arange(keys.shape[1]) < count[:, None])
    column = part.rows_of(keys[row, slot])
    given = metrics.returned(metric, value[row, slot], np.float64, biased)
    inside = given >= radius[rows[row]] if metric.descending else given <= radius[rows[row]]
    results.add(rows[row[inside]], column[inside], value[row[inside], slot[inside]])
