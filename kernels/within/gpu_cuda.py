"""`within` on CUDA: tiles of fp16 scores keep what may lie inside the radius, canonical values decide.

Work    blocks of queries x parts of the gallery x tiles, each as wide as the lists of what it keeps allow; devices that
        share the gallery take a block together
Shapes  x (m, d), y (n, d), radius (m,) -> counts (m,), indices (r,), distances (r,)
Cost    2 m n d fp16 operations, 3 d in float64 for each pair kept; device memory at most max_bytes, and a quarter of it
        on the host for pairs that wait
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import threading
import time

import numpy as np

from ..tiles import metrics
from ..tiles.cuda import driver as drivers
from ..tiles.cuda import shares
from ..tiles.cuda.goals import interval
from ..tiles.cuda.lists import Lists
from ..tiles.cuda.search import Search, fitted, objection
from ..tiles.filters import Stats
from ..tiles.results import PAIR_BYTES, Results
from .cpu_numpy import ROUNDED

LOWEST = np.finfo(np.float32).min  # a threshold that excludes nothing but rows that take no part
WAITING = 1 / 4  # of max_bytes


def declines(x, y, metric, *, filters, precision, **_):
    return objection(metric, filters, precision)


def within(x, y, metric, *, radius, dtype, filters, max_bytes, precision, prepared=None, tick=None):
    """(counts, indices, distances, Stats); rows follow each other, each ordered as `topk`."""
    began, biased, driver = time.perf_counter(), filters.bias is not None, drivers.current()
    parts = shares.of(driver, x, y, filters, prepared)
    if len(parts) > 1:
        x = x.part(0, len(x), threading.Lock())
    with np.errstate(over="ignore"):  # a square beyond float64 excludes nothing
        limit = metrics.ordered(metric, radius * radius * ROUNDED if metric.rooted and not biased else radius)

    def searched(room):
        def begun(part, _):
            return Search(driver, x, part.y, metric, part.filters, 1, max_bytes, room, part.prepared)

        searches = dict(zip(parts, shares.each(driver, parts, begun), strict=True))
        stats = {part: search.stats() for part, search in searches.items()}
        results = Results(len(x), len(y), metric, dtype, biased, int(WAITING * max_bytes) // PAIR_BYTES)
        first, most = 0, min(search.sizes.query_rows for search in searches.values())
        while first < len(x):
            last = results.begin(first, most)

            def swept(part, told, first=first, last=last):
                search = searches[part]
                queries = search.queries(first, last)
                for here, ahead in search.parts():
                    lists = Lists(here, queries)
                    low, _ = interval(lists, limit[queries.number], np.arange(len(queries)))
                    lists.threshold[...] = lists.driver.xp.maximum(low, LOWEST)
                    ahead()
                    for count in lists.kept():
                        stats[part].candidates[queries.number] += count
                        _inside(lists, count, radius, results, biased, part.start)
                    told(here.start + len(here))
                search.done(queries, queries.make.answer()["said"])

            def told(seen, first=first):
                results.seen = seen / len(y)
                if tick is not None:
                    tick(first * len(y) + (results.stop - first) * seen, len(x) * len(y))

            shares.each(driver, parts, swept, told)
            first = results.end()
        return *results.joined(), Stats.of(stats.values())

    *found, stats = fitted(driver, max_bytes, searched)
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return *found, stats


def _inside(lists, count, radius, results, biased, start):
    """Hand over the listed pairs that are inside."""
    metric, part, rows, most = lists.metric, lists.part, lists.queries.number, int(count.max(initial=0))
    if not most:
        return
    keys, value = lists.listed(most)
    row, slot = np.nonzero(np.arange(keys.shape[1]) < count[:, None])
    column = part.rows_of(keys[row, slot])
    given = metrics.returned(metric, value[row, slot], np.float64, biased)
    inside = given >= radius[rows[row]] if metric.descending else given <= radius[rows[row]]
    results.add(rows[row[inside]], start + column[inside], value[row[inside], slot[inside]])
