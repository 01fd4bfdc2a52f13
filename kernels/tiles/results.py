"""Pairs in any order -> rows one behind the other, each in order: a result that may be larger than the workspace.

Work    pairs of a block of queries wait for the block's end; where there is no room for more, the later rows of the
        block are put off with their pairs, to be searched in the next block
Shapes  (row, column, ordered value) of pairs -> counts (m,), indices (r,), distances (r,)
Cost    a sort of what waits; scratch PAIR_BYTES for each pair that may wait; a cut wastes what the rows put off have
        cost, which are as many as the pairs so far and `seen` say, and the next block is made no larger than fits
Sum     none

One row with more pairs than may wait is read several times, each time for what comes next in its order.

    results = Results(m, n, metric, dtype, biased, pairs)
    first = 0
    while first < m:
        last = results.begin(first, most)      # rows first..last - 1; at most `most` of them
        ...results.seen = 0.25                 # at times: the share of the gallery that the block has seen
        ...results.add(row, column, value)     # any thread; rows from `results.stop` on need no more search
        first = results.end()
    counts, indices, distances = results.joined()
"""

import mmap
import threading

import numpy as np

from . import metrics

PAIR_BYTES = 40  # of a pair that waits: 20 held, 12 for the sort, the rest while room is made
PIECE = 1 << 14  # pairs copied at a time
ROOM_USED = 0.75  # of the room, by blocks after the first: rows differ


class Results:
    """The pairs of m queries, gathered block by block; `pairs` of them may wait."""

    def __init__(self, m, n, metric, dtype, biased, pairs):
        self.metric, self.dtype, self.biased = metric, np.dtype(dtype), biased
        self.counts = np.zeros(m, np.int64)
        self.room = max(4, min(pairs, m * n))
        self.row, self.column, self.value = (own_pages(self.room, kind) for kind in (np.int32, np.int64, np.float64))
        self.first = self.stop = self.size = 0
        self.floor = self.ceiling = None  # (value, column): of one row, the last pair written, the last that may wait
        self.mean, self.seen = 0.0, 1.0  # pairs a row in the last block; share of the gallery seen in this one
        self._chunks, self._adding = [], threading.Lock()

    def begin(self, first, most):
        """Wait for pairs of the rows from `first` on; returns the row behind the last of them."""
        rows = 1 if self.floor else min(most, len(self.counts) - first)
        if self.mean:
            rows = max(1, min(rows, int(ROOM_USED * self.room / self.mean)))
        self.first, self.stop, self.size, self.seen = first, first + rows, 0, 1.0
        return self.stop

    def add(self, row, column, value):
        """Take pairs (e,) of the block, values as `metrics.ordered` gives them."""
        step = max(1, self.room // 4)
        with self._adding:
            for start in range(0, len(row), step):
                piece = slice(start, start + step)
                pairs = self._wanted(row[piece], column[piece], value[piece])
                while self.size + len(pairs[0]) > self.room:
                    self._make_room()
                    pairs = self._wanted(*pairs)
                place = slice(self.size, self.size + len(pairs[0]))
                self.row[place], self.column[place], self.value[place] = pairs[0] - self.first, *pairs[1:]
                self.size = place.stop

    def _wanted(self, row, column, value):
        keep = row < self.stop
        if self.floor:
            keep &= _after(self.floor, value, column)
        if self.ceiling:
            keep &= ~_after(self.ceiling, value, column)
        return (row, column, value) if keep.all() else (row[keep], column[keep], value[keep])

    def _make_room(self):
        row, column, value = (part[: self.size] for part in (self.row, self.column, self.value))
        if self.stop > self.first + 1:
            ends = np.cumsum(np.bincount(row, minlength=self.stop - self.first))
            fit = min(0.5, ROOM_USED * self.seen) * self.size
            self.stop = self.first + max(1, int(np.searchsorted(ends, fit, side="right")))
            kept = row < self.stop - self.first
        else:
            kept = np.lexsort((column, value))[: self.size // 2]
            self.ceiling = value[kept[-1]], column[kept[-1]]
        for part in (row, column, value):
            left = part[kept]
            part[: len(left)] = left
        self.size = len(left)

    def end(self):
        """Write the block's rows; returns the row to go on with, the same one where it has more pairs."""
        row, column, value = (part[: self.size] for part in (self.row, self.column, self.value))
        order = np.lexsort((column, value, row))
        indices, distances = own_pages(self.size, np.int64), own_pages(self.size, self.dtype)
        for start in range(0, self.size, PIECE):
            part = slice(start, start + PIECE)
            indices[part] = column[order[part]]
            distances[part] = metrics.returned(self.metric, value[order[part]], self.dtype, self.biased)
        self._chunks.append((indices, distances))
        self.counts[self.first : self.stop] += np.bincount(row, minlength=self.stop - self.first)
        self.mean = self.size / (self.stop - self.first)
        self.floor, self.ceiling = self.ceiling, None
        return self.first if self.floor else self.stop

    def joined(self):
        """(counts, indices, distances); what they are made of goes as they grow."""
        self.row = self.column = self.value = None
        total, start = int(self.counts.sum()), 0
        indices, distances = np.empty(total, np.int64), np.empty(total, self.dtype)
        self._chunks.reverse()
        while self._chunks:
            chunk = self._chunks.pop()
            part = slice(start, start + len(chunk[0]))
            indices[part], distances[part] = chunk
            start = part.stop
        return self.counts, indices, distances


def _after(pair, value, column):
    return (value > pair[0]) | ((value == pair[0]) & (column > pair[1]))


def own_pages(count, dtype):
    """An uninitialised array whose memory goes back to the system with it: malloc may keep what it has freed."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    size = np.dtype(dtype).itemsize * count
    try:
        return np.frombuffer(mmap.mmap(-1, max(1, size), **private), dtype, count) if count else np.empty(0, dtype)
    except OSError as error:
        raise MemoryError(f"no {size} bytes for the pairs of a search") from error
