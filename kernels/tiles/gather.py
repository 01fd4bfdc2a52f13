"""Gather: every pair whose score reaches the limit of its row.

Work    an epilogue of `sweep` that writes pairs down until there is no room for another tile
Shapes  limit (rows,) -> pairs (capacity, 2) int64: row and position, size (1,) int64
Cost    one compare in registers a score; a write for each pair
Sum     none
"""

from functools import cache

from . import simd
from .jit import part
from .sweep import loop, marker, may


@cache
def gatherer(kind, machine):
    """state = (limit, pairs, size, first row)."""
    marked, lowest_bit = marker(kind, machine), simd.lowest_bit
    tile_pairs = machine.rows * machine.columns(kind)

    @part()
    def full(state):
        return state[2][0] + tile_pairs > state[1].shape[0]

    @part()
    def limits(row, margin, limit, x_scale, state):
        for r in range(margin.shape[0]):
            limit[0, r] = state[0][row + r] - margin[r]

    @part()
    def epilogue(row, column, totals, tile, job):
        margin, limit, hits, x_scale, y_scale, y_offset, _ = tile
        first_column, exclude, mask, state = job
        _, pairs, size, first_row = state
        marked(0, row, column, totals, limit, hits, x_scale, y_scale, y_offset)
        for r in range(margin.shape[0]):
            word = hits[0, r]
            while word != 0:
                j = column + lowest_bit(word)
                word &= word - 1
                if may(exclude, mask, row + r, j, first_column + j):
                    pairs[size[0], 0], pairs[size[0], 1] = first_row + row + r, first_column + j
                    size[0] += 1

    return loop("gather", kind, machine, limits, epilogue, full=full)
