"""The k best gallery rows of a block of queries: lists of candidates, tightened, ranked by canonical value.

Work    every tile is filtered into a list a query; lists are tightened when they may be half full. One that overflows
        leaves a better threshold, with which its query is swept again, a few times
Shapes  value (m, k) float64 ordered, index (m, k) int64
Cost    candidates expected of c rows after s others, all being in random order: k c / s
Sum     canonical (rerank.cu)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .resident import BLOCK, FORM, INPUT
from .search import COLUMNS, ROWS
from .workspace import Workspace

REDO = 4  # sweeps of a query whose list overflows


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


class Lists:
    """Candidates of a block of queries among the rows of one part; making it sweeps them, and waits for nothing."""

    def __init__(self, part, queries, found):
        self.part, self.queries, self.driver, search = part, queries, part.driver, part.search
        self.capacity, self.k, self.metric, self.make = search.sizes.capacity, search.k, search.metric, queries.make
        self.keys = self.make("keys", (len(queries), self.capacity), np.uint64)
        self.own, self.slack, self.threshold, self.count, self.lost = queries.held.bounded(
            part.held, self.make, queries.bias, found.unit, found.threshold
        )
        self._sweep(found.seen)

    def _sweep(self, seen):
        at, n, exclude = 0, len(self.part), self.part.excluded(self.queries)
        while at < n:
            free = self.capacity - 2 * self.k
            step = max(1, seen * free // (2 * self.k)) if seen else self.capacity
            stop = min(n, at + (step if step < COLUMNS else step // COLUMNS * COLUMNS))
            for tile in self.part.tiles(self.queries, at, stop):
                self._filter(tile, exclude)
            self.driver.launch("tighten", len(self.queries), BLOCK, [
                self.keys, self.count, np.int32(self.capacity), np.int32(self.k), self.own, self.part.columns, None,
                self.slack, self.threshold, self.lost,
            ], TURNED=0)  # fmt: skip
            seen, at = seen + stop - at, stop

    def _filter(self, tile, exclude):
        (m, stride), first = tile.score.shape, tile.first
        self.driver.launch("filter", (-(-tile.width // COLUMNS), -(-m // ROWS)), BLOCK, [
            tile.score, *map(np.int32, (m, tile.width, stride, 0, first)), self.own,
            self.part.columns[first : first + tile.width], self.threshold, exclude, tile.allowed,
            np.int64(tile.width), self.keys, self.count, np.int32(self.capacity), None, None, None, None, np.int32(0),
        ])  # fmt: skip

    def ranked(self, found):
        """Order the k best of these and those found before; what they are is in the workspace."""
        driver, m, part, make = self.driver, len(self.queries), self.part, self.make
        queries, gallery, capacity = self.queries.held, part.held, np.int32(self.capacity)
        order = np.uint32(gallery.step), np.uint32(len(part))
        value = make("values", self.keys.shape, np.float64)
        driver.launch("rerank", m, BLOCK, [
            queries.rows, gallery.rows, np.int32(queries.rows.shape[1]), *order, self.keys, self.count, capacity,
            queries.square, gallery.square, queries.exponent, gallery.exponent, self.queries.bias, part.bias, value,
        ], INPUT=INPUT[queries.rows.dtype.name], GALLERY=INPUT[gallery.rows.dtype.name],
           METRIC=FORM[self.metric.form])  # fmt: skip
        driver.launch("order", m, BLOCK, [
            self.keys, value, self.count, capacity, *order, np.int64(part.start), found.value, found.index,
            np.int32(self.k), make("value", (m, self.k), np.float64), make("index", (m, self.k), np.int64),
        ])  # fmt: skip


def best(lists, found):
    """(answer, failed (m,)) of queries, from their lists and what was found before; `found` goes on from there.

    Waits for the device: queries whose lists overflowed are swept again; what no list could hold has failed. The answer
    is that of `Workspace`: value, index, count.
    """
    part, driver, search = lists.part, lists.driver, lists.part.search
    lists.ranked(found)
    answer = lists.make.answer()
    lost, threshold = np.flatnonzero(answer["lost"]), lists.threshold
    for _ in range(REDO):
        if not len(lost):
            break
        at, make = driver.array(lost), Workspace(driver, len(lost), search.k)
        before = Found(threshold=threshold[at], unit=part.held.largest, seen=len(part))
        again = Lists(part, lists.queries.of(lost, at, make), before)
        again.ranked(found.of(at))
        redone, threshold[at] = make.answer(), again.threshold
        for name in ("value", "index"):
            answer[name][lost] = redone[name]
        answer["count"][lost] += redone["count"]
        lost = lost[np.flatnonzero(redone["lost"])]
    failed = np.zeros(len(lists.queries), bool)
    failed[lost] = True
    return answer, failed


def onward(lists, answer, found):
    """`Found` for the next part."""
    driver, part = lists.driver, lists.part
    best = driver.array(answer["value"]), driver.array(answer["index"])
    return Found(*best, lists.threshold, part.held.largest, found.seen + len(part))
