"""`ranks` on CUDA: tiles of fp16 scores count what is surely nearer, canonical values settle the rest.

Work    blocks of queries x parts of the gallery x tiles, each as wide as the lists of what it leaves open allow
Shapes  x (m, d), y (n, d), row (e,) ascending, positive (e,) -> better, before, equal (e,) int64
Cost    2 m n d fp16 operations, 2 float32 operations a score and a goal of its row, 3 d in float64 for each pair left
        open; device memory at most max_bytes
Sum     canonical (`tiles/cuda/rerank.cu`)
"""

import threading
import time

import numpy as np

from ..tiles.cuda import driver as drivers
from ..tiles.cuda import shares
from ..tiles.cuda.derived import BLOCK
from ..tiles.cuda.goals import interval, of_pairs
from ..tiles.cuda.lists import Lists
from ..tiles.cuda.search import COLUMNS, Search, fitted, objection
from ..tiles.filters import Stats

COUNTED_ROWS = 64  # of a block of count.cu


def declines(x, y, metric, *, filters, precision, **_):
    return objection(metric, filters, precision)


def ranks(x, y, metric, *, row, positive, target=None, filters, max_bytes, precision, prepared=None, tick=None):
    """(better, before, equal, Stats); with the ordered values of the positives as `target` they may lie outside y."""
    began, driver = time.perf_counter(), drivers.current()
    parts = shares.of(driver, x, y, filters, prepared)
    if len(parts) > 1:
        x = x.part(0, len(x), threading.Lock())
    target = of_pairs(x, y, metric, filters, row, positive) if target is None else target

    def counted(part, told):
        def searched(room):
            search = Search(driver, x, part.y, metric, part.filters, 1, max_bytes, room, part.prepared)
            counts, stats, n = np.zeros((3, len(row)), np.int64), search.stats(), len(part.y)
            for queries in search.blocks():
                rows = slice(queries.number[0], queries.number[-1] + 1)
                goals = slice(*np.searchsorted(row, [rows.start, rows.stop]))
                local = row[goals] - rows.start, positive[goals] - part.start, target[goals]
                for here, ahead in search.parts():
                    found = _Counts(here, queries, *local)
                    ahead()
                    for count in found.kept():
                        stats.candidates[rows] += count
                        found.settle()
                    counts[:, goals] += found.total
                    told(rows.start * n + len(queries) * (here.start + len(here)))
                search.done(queries, queries.make.answer()["said"])
            return counts, stats

        return fitted(driver, max_bytes, searched)

    counts, stats = zip(
        *shares.each(driver, parts, counted, tick and (lambda done: tick(done, len(x) * len(y)))), strict=True
    )
    stats = Stats.of(stats)
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return *sum(counts), stats


class _Counts(Lists):
    """better, before and equal of goals, and the lists of what count.cu cannot decide."""

    def __init__(self, part, queries, owner, positive, target):
        super().__init__(part, queries)
        driver = self.driver
        self.low, self.high = interval(self, target, owner)
        self.start = driver.array(np.searchsorted(owner, np.arange(len(queries) + 1)).astype(np.int32))
        self.goals = driver.array(target), driver.array(positive)
        self.decided, self.open = (driver.array(np.zeros((rows, len(owner)), np.int32)) for rows in (1, 3))
        self.total = np.zeros((3, len(owner)), np.int64)

    def filter(self, tile):
        self.decided.fill(0)
        (m, stride), first = tile.score.shape, tile.first
        self.driver.launch("count", (-(-tile.width // COLUMNS), -(-m // COUNTED_ROWS)), BLOCK, [
            tile.score, *map(np.int32, (m, tile.width, stride, first)), self.own,
            self.part.columns[first : first + tile.width], self.exclude, tile.allowed, np.int64(tile.width), self.start,
            self.low, self.high, self.decided, self.keys, self.count, np.int32(self.capacity),
        ], **self.part.held.macros)  # fmt: skip

    def settle(self):
        """Decide what is listed, and add all that the tile gives to the total."""
        self.open.fill(0)
        self.driver.launch("settle", len(self.queries), BLOCK, [
            self.keys, self.values(), self.count, np.int32(self.capacity), self.own, self.part.columns, self.start,
            self.low, self.high, *self.goals, *self.order(), np.int64(self.part.start), *self.open,
        ], **self.part.held.macros)  # fmt: skip
        self.total += self.driver.host(self.open)
        self.total[0] += self.driver.host(self.decided)[0]
