"""The k best gallery rows of a block of queries: their lists, tightened, ranked by canonical value.

Work    every tile is filtered into a list a query; lists are tightened before one in a million is full. One that
        overflows leaves a better threshold, with which its query is swept again, a few times
Shapes  value (m, k) float64 ordered, index (m, k) int64
Cost    candidates of c rows after s others, all being in random order: k c / s as a mean, c / s times a gamma variable
        of order k. Where lists were half full by the mean, most searches for 10 of 2000 queries had one to sweep again
Sum     canonical (rerank.cu)
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .derived import BLOCK
from .lists import Lists
from .search import COLUMNS, LEAST_CAPACITY
from .workspace import Workspace

REDO = 4  # sweeps of a query whose list overflows
SPREAD, BEYOND = 5, 8  # k + 5 sqrt(k) + 8: more than a gamma variable of order k is once in 10**6


def further(seen, capacity, k):
    """How many partners in random order, after `seen` of them, a tightened list has room for."""
    return max(1, seen * (capacity - 2 * k) // (k + math.ceil(SPREAD * math.sqrt(k)) + BEYOND))


@dataclass
class Found:
    """The best so far, on the device; thresholds are in units of the gallery rows whose largest exponent is `unit`."""

    value: Any = None  # (m, k) float64
    index: Any = None  # (m, k) int64
    threshold: Any = None  # (m,) float32
    unit: Any = None
    seen: int = 0  # rows that they come from

    def of(self, at):
        """The best of some queries."""
        return Found() if self.value is None else Found(self.value[at], self.index[at])


class Best(Lists):
    """The k best; making it sweeps the whole part, and waits for nothing."""

    def __init__(self, part, queries, found):
        super().__init__(part, queries, found.unit, found.threshold)
        self.k = part.search.k
        self._sweep(found.seen)

    def _sweep(self, seen):
        at, n = 0, len(self.part)
        first = self.capacity if n <= self.capacity else min(self.capacity, max(LEAST_CAPACITY, 4 * self.k))
        while at < n:
            step = further(seen, self.capacity, self.k) if seen and n > self.capacity else first
            stop = n if step >= n - at else at + (step if step < COLUMNS else step // COLUMNS * COLUMNS)
            for tile in self.part.tiles(self.queries, at, stop):
                self.filter(tile)
            self.tighten(self.k)
            seen, at = seen + stop - at, stop

    def ranked(self, found):
        """Order the k best of these and those found before; they are in the workspace once the returned mark passes."""
        m, k, make = len(self.queries), self.k, self.make
        self.lane.launch("order", m, BLOCK, [
            self.keys, self.values(), self.count, np.int32(self.capacity), *self.order(), np.int64(self.part.start),
            found.value, found.index, np.int32(k), make("value", (m, k), np.float64), make("index", (m, k), np.int64),
        ])  # fmt: skip
        return self.lane.mark()


def best(lists, found, ranked):
    """(answer, failed (m,)) of queries, from their lists, which are `ranked` with what was found before.

    Waits for the device: queries whose lists overflowed are swept again; what no list could hold has failed. The answer
    is that of `Workspace`: value, index, count.
    """
    part, driver, search = lists.part, lists.driver, lists.part.search
    answer = lists.make.answer(ranked)
    lost, threshold = np.flatnonzero(answer["lost"]), None
    for _ in range(REDO):
        if not len(lost):
            break
        at, make = driver.array(lost), Workspace(driver, len(lost), search.k)
        threshold = lists.threshold[at] if threshold is None else threshold
        before = Found(threshold=threshold, unit=part.held.largest, seen=len(part))
        again = Best(part, lists.queries.of(lost, at, make), before)
        redone = make.answer(again.ranked(found.of(at)))
        if part is not search.part:  # they go on from there; where all is one part another search may have them by then
            lists.threshold[at] = again.threshold
        for name in ("value", "index"):
            answer[name][lost] = redone[name]
        answer["count"][lost] += redone["count"]
        still = np.flatnonzero(redone["lost"])
        lost, threshold = lost[still], again.threshold[driver.array(still)]
    failed = np.zeros(len(lists.queries), bool)
    failed[lost] = True
    return answer, failed


def onward(lists, answer, found):
    """`Found` for the next part."""
    driver, part = lists.driver, lists.part
    best = driver.array(answer["value"]), driver.array(answer["index"])
    return Found(*best, lists.threshold, part.held.largest, found.seen + len(part))
