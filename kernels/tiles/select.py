"""Select: what may be among the k best of its row, of its column, or of both, from one visit of the tiles.

Work    an epilogue of `sweep`; a score that reaches its owner's threshold is offered, a threshold only rises
Shapes  `Lists` of owners: candidates (owners, capacity), heaps (owners, k)
Cost    one compare in registers a score; log k for each new lower bound, a sweep of the list when it is full
Sum     none

Columns compare K_ij - p_i: their limits T_j join the offsets, c (o_j + T_j), and c p_i becomes the limit of the row.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from . import simd
from .jit import kernel, part
from .sweep import loop, marker, may

ENTRY_BYTES = 16  # of a candidate, its upper bound in float64 at most


class Lists(NamedTuple):
    """Candidates of owners: upper bounds of their keys and positions, and a heap of the k largest lower bounds."""

    high: np.ndarray  # (owners, capacity)
    where: np.ndarray  # (owners, capacity) int64
    count: np.ndarray  # (owners,) int64; -1: more than capacity cannot be told apart
    lows: np.ndarray  # (owners, k), smallest first
    least: np.ndarray  # (owners,) the smallest, side by side: the threshold; +inf: wants no more


def lists(owners, capacity, k, dtype):
    return Lists(
        np.empty((owners, capacity), dtype),
        np.empty((owners, capacity), np.int64),
        np.zeros(owners, np.int64),
        np.full((owners, k), -np.inf, dtype),
        np.full(owners, -np.inf, dtype),
    )


@part()
def raise_smallest(heaps, i, value):
    """Put a value in place of the smallest of heap i."""
    slot, size = 0, heaps.shape[1]
    while True:
        child = 2 * slot + 1
        if child + 1 < size and heaps[i, child + 1] < heaps[i, child]:
            child += 1
        if child >= size or heaps[i, child] >= value:
            break
        heaps[i, slot] = heaps[i, child]
        slot = child
    heaps[i, slot] = value


@part()
def offer(owners, i, least, most, position):
    """Add a candidate of owner i. An owner whose candidates no bound tells apart is given up."""
    high, where, count, lows, threshold = owners
    if not most >= threshold[i]:
        return
    if least > threshold[i]:
        raise_smallest(lows, i, least)
        threshold[i] = lows[i, 0]
    capacity, kept = high.shape[1], count[i]
    if kept == capacity:
        kept = 0
        for slot in range(capacity):
            if high[i, slot] >= threshold[i]:
                high[i, kept], where[i, kept] = high[i, slot], where[i, slot]
                kept += 1
        if 4 * kept > 3 * capacity:
            count[i] = -1
            threshold[i] = np.inf
            return
    high[i, kept], where[i, kept] = most, position
    count[i] = kept + 1


@cache
def selector(kind, machine):
    """Keep what may be among the k best of every row: state = (`Lists` of the rows,)."""
    marked, lowest_bit = marker(kind, machine), simd.lowest_bit

    @part()
    def limits(row, margin, limit, x_scale, state):
        threshold = state[0][4]
        for r in range(margin.shape[0]):
            limit[0, r] = threshold[row + r] - margin[r]

    @part()
    def epilogue(row, column, totals, tile, job):
        margin, limit, hits, x_scale, y_scale, y_offset, _ = tile
        first_column, exclude, mask, state = job
        marked(0, row, column, totals, limit, hits, x_scale, y_scale, y_offset)
        for r in range(margin.shape[0]):
            i, word = row + r, hits[0, r]
            while word != 0:
                j = column + lowest_bit(word)
                word &= word - 1
                if may(exclude, mask, i, j, first_column + j):
                    score = x_scale.dtype.type(totals[r, j - column]) * y_scale[j] - x_scale[i] * y_offset[j]
                    offer(state[0], i, score - margin[r], score + margin[r], first_column + j)

    return loop("select", kind, machine, limits, epilogue)


@cache
def both_selector(kind, machine, mirrored=False):
    """The same for rows and columns: state = (`Lists` of the rows, those of the columns, p, first row).

    mirrored: rows and columns are the same, a pair is met once, above the diagonal, and one on it belongs to its row.
    """
    marked, lowest_bit = marker(kind, machine), simd.lowest_bit

    @part()
    def limits(row, margin, limit, x_scale, state):
        threshold, p = state[0][4], state[2]
        for r in range(margin.shape[0]):
            i = row + r
            limit[0, r] = threshold[i] - margin[r]
            limit[1, r] = x_scale[i] * p[i] - margin[r]

    @part()
    def epilogue(row, column, totals, tile, job):
        margin, limit, hits, x_scale, y_scale, y_offset, level = tile
        first_column, exclude, mask, state = job
        lists, columns, p, first_row = state
        for test in range(2):
            marked(test, row, column, totals, limit, hits, x_scale, y_scale, level if test else y_offset)
            for r in range(margin.shape[0]):
                i, word = row + r, hits[test, r]
                while word != 0:
                    j = column + lowest_bit(word)
                    word &= word - 1
                    if mirrored and first_row + i + test > first_column + j:
                        continue
                    if not may(exclude, mask, i, j, first_column + j):
                        continue
                    score = x_scale.dtype.type(totals[r, j - column]) * y_scale[j] - x_scale[i] * y_offset[j]
                    least, most = score - margin[r], score + margin[r]
                    if test == 0:
                        offer(lists, i, least, most, first_column + j)
                    else:
                        offer(columns, j, least / x_scale[i] - p[i], most / x_scale[i] - p[i], first_row + i)
                        level[j] = y_offset[j] + columns[4][j]

    return loop("mirrored" if mirrored else "both", kind, machine, limits, epilogue, tests=2)


@kernel()
def survivors(high, where, count, floor, first_row, owner_p, partner_p):
    """Write the candidates that reach their owner's floor; returns how many. Owners given up have none."""
    size = 0
    for i in range(floor.shape[0]):
        for slot in range(count[i]):
            if high[i, slot] >= floor[i]:
                owner_p[size], partner_p[size] = first_row + i, where[i, slot]
                size += 1
    return size


@kernel()
def leaders(high, where, count, floor, heap, partner_ok, taken_out):
    """Write the candidates with the k largest upper bounds of each owner, -1 where no more reach its floor.

    heap (1, k). Those that are taken out reach no floor any more.
    """
    for i in range(count.shape[0]):
        heap[:] = -np.inf
        for slot in range(count[i]):
            if high[i, slot] >= floor[i] and high[i, slot] > heap[0, 0]:
                raise_smallest(heap, 0, high[i, slot])
        taken = 0
        for slot in range(count[i]):
            if high[i, slot] >= floor[i] and high[i, slot] >= heap[0, 0] and taken < partner_ok.shape[1]:
                partner_ok[i, taken] = where[i, slot]
                taken += 1
                if taken_out:
                    high[i, slot] = np.nan
        partner_ok[i, taken:] = -1
