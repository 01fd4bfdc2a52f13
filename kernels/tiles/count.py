"""Count: how many scores of a row are surely above a goal, and the pairs that the bound cannot place.

Work    an epilogue of `sweep`; the goals of a row one after the other, a word of marks at a time
Shapes  goals of row i: numbers starts[i]..ends[i] of low, high (goals,) -> better (goals,) int64, and undecided
        pairs (capacity, 2) int64: goal and position, size (2,) int64: pairs written, the most that a tile may add
Cost    one compare in registers a score, two more for each goal of a row in a tile that reaches the lowest
Sum     none
"""

from functools import cache

import numpy as np

from . import simd
from .jit import part
from .sweep import loop, marker

GOALS = 64  # of a row in one visit of the tiles: more are counted in another


@part()
def allowed(exclude, mask, i, j, position, columns):
    """A word with a bit for each of the columns from j on that row i may match."""
    word = np.int64(-1)
    if exclude.shape[0] and 0 <= exclude[i] - position < columns:
        word &= ~(np.int64(1) << (exclude[i] - position))
    if mask.shape[0]:
        for c in range(min(columns, mask.shape[1] - j)):
            if not mask[i, j + c]:
                word &= ~(np.int64(1) << c)
    return word


@cache
def counter(kind, machine):
    """state = (lowest, starts, ends (rows,), low, high, better, pairs, size); GOALS of a row at most."""
    marked, lowest_bit, ones = marker(kind, machine), simd.lowest_bit, simd.ones
    rows, columns = machine.rows, machine.columns(kind)

    @part()
    def full(state):
        return state[7][0] + state[7][1] > state[6].shape[0]

    @part()
    def limits(row, margin, limit, x_scale, state):
        for r in range(rows):
            limit[0, r] = state[0][row + r] - margin[r]

    @part()
    def epilogue(row, column, totals, tile, job):
        margin, limit, hits, x_scale, y_scale, y_offset, _ = tile
        first_column, exclude, mask, state = job
        _, starts, ends, low, high, better, pairs, size = state
        for turn in range(GOALS):
            some = False
            for r in range(rows):
                goal = starts[row + r] + turn
                limit[0, r] = limit[1, r] = np.inf
                if goal < ends[row + r]:
                    limit[0, r], limit[1, r] = low[goal] - margin[r], high[goal] + margin[r]
                    some = True
            if not some:
                return
            for test in range(2):
                marked(test, row, column, totals, limit, hits, x_scale, y_scale, y_offset)
            for r in range(rows):
                goal = starts[row + r] + turn
                word = hits[0, r]
                if word == 0:
                    continue
                word &= allowed(exclude, mask, row + r, column, first_column + column, columns)
                better[goal] += ones(word & hits[1, r])
                word &= ~hits[1, r]
                while word != 0:
                    pairs[size[0], 0], pairs[size[0], 1] = goal, first_column + column + lowest_bit(word)
                    word &= word - 1
                    size[0] += 1

    return loop("count", kind, machine, limits, epilogue, full=full)
