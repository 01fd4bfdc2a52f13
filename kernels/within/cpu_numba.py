"""`within` on Numba: tiles keep what may lie inside the radius, canonical values decide.

Work    blocks of queries x blocks of the gallery; threads share out panels, each writes its own pairs
Shapes  x (m, d), y (n, d), radius (m,) -> counts (m,), indices (r,), distances (r,)
Cost    2 m n d operations in int6 to int16, 2 d flops for each pair kept; scratch at most max_bytes, beside the result
Sum     canonical (`tiles/canonical.py`); the scan is exact in integers, its rounding inside the bound
"""

import time

import numpy as np

from ..tiles import engine, exact, gather, metrics, pool, results
from .cpu_numpy import ROUNDED

PAIR_BYTES = 64  # of a pair that waits for its value
WAITING = 8  # pieces for pairs that wait for their block's end


def declines(x, y, metric, *, filters, precision, **_):
    return engine.declines(precision, x.shape[1])


@pool.fewer_if_short
def within(x, y, metric, *, radius, dtype, filters, max_bytes, precision, prepared=None, tick=None):
    """(counts, indices, distances, Stats); rows follow each other, each ordered as `topk`."""
    began = time.perf_counter()
    search = engine.search(x, y, metric, filters, precision, max_bytes, prepared, tick)
    keeper = _Inside(search, radius, dtype)
    if search.bounded:
        search.visit(keeper)
    else:
        keeper.alone()
    search.stats.scan_seconds = time.perf_counter() - began - search.stats.prepare_seconds
    keeper.until(len(x), 0)
    return *keeper.results.joined(), search.stats


class _Inside:
    """Pairs inside the radius, block of queries by block of queries."""

    owns_columns = mirrored = False

    def __init__(self, search, radius, dtype):
        self.search, self.radius, self.dtype, self.results = search, radius, dtype, None
        self.biased = search.filters.bias is not None
        with np.errstate(over="ignore"):  # a square beyond float64 excludes nothing
            square = search.metric.rooted and not self.biased
            self.limit = metrics.ordered(search.metric, radius * radius * ROUNDED if square else radius)

    def __str__(self):
        return "a radius"

    def per_query(self):
        return 16

    def per_row(self):
        return 0

    def fixed(self):
        return 2 * pool.threads() * self._room() * PAIR_BYTES + WAITING * self.search.piece

    def _room(self):
        tile = self.search.height * self.search.width if self.search.bounded else 1
        return max(tile, self.search.piece // (2 * PAIR_BYTES))

    def raises(self):
        return False

    def kernel(self, kind, machine):
        return gather.gatherer(kind, machine)

    def until(self, first, most):
        if self.results is None:
            m, n, pairs = len(self.search.x), len(self.search.y), WAITING * self.search.piece // results.PAIR_BYTES
            self.results = results.Results(m, n, self.search.metric, self.dtype, self.biased, pairs)
        self.first, self.last = first, self.results.begin(first, most)
        return self.last

    def begin(self, x, ranges):
        first, last, self.x = self.first, self.last, x
        self.low = np.full(len(x.scale), np.inf, x.side.scale.dtype)
        self.low[: last - first] = x.keys(np.arange(last - first), self.limit[first:last])[0]
        self.low[: last - first][x.lost] = np.inf

    def gallery(self, left, right, y):
        self.low[self.results.stop - self.first :] = np.inf  # put off to the next block

    def state(self, number, down, across):
        pairs = np.empty((self._room(), 2), np.int64)
        return None, (self.low[down], pairs, np.zeros(1, np.int64), self.first + down.start)

    def emptied(self, state):
        _, pairs, size, _ = state
        row, column = pairs[: size[0]].T.copy()
        size[0] = 0
        self._keep(row, column, self.search.values(row, column))
        self.search.counted(row)

    def _keep(self, row, column, value):
        given, radius = metrics.returned(self.search.metric, value, np.float64, self.biased), self.radius[row]
        inside = given >= radius if self.search.metric.descending else given <= radius
        if inside.any():
            self.results.add(row[inside], column[inside], value[inside])

    def block(self, left, right, y):
        """Pairs are settled when a job ends."""

    def end(self, odd):
        rows, everybody = np.arange(self.first, self.last), np.arange(len(self.search.y))
        for own, partners in ((rows[~self.x.lost], odd), (rows[self.x.lost], everybody)):
            exact.inside(self.search, own, partners, self.limit[own], self._keep)
        return self.results.end()

    def alone(self):
        first, everybody = 0, np.arange(len(self.search.y))
        most = exact.blocks(self.search, 16, self.fixed, self)
        while first < len(self.search.x):
            rows = np.arange(first, self.until(first, most))
            exact.inside(self.search, rows, everybody, self.limit[rows], self._keep)
            first = self.results.end()
            self.search.told(first / len(self.search.x))
