"""The tile loop on Numba: panels of x against panels of y, an epilogue for the tiles with a score at its limit.

Work    one call per job, a range of query panels and a range of gallery panels; nogil, no two jobs write one state.
        A gallery panel stays in L1, the query panels in L2; rows longer than BLOCK_BYTES are multiplied block by block
Shapes  codes (panels, steps, width, group) of either side; row values in the order of the panels
Cost    2 m n d operations at the speed of the tile; about 20 ns for each pair that reaches its limit
Sum     integer totals exact; the float steps of a score are inside the margin

With c = 1 / s_x a score is s_y <code_x, code_y> - c o_y, the key K (see the package docstring) in units of s_x. It is
off by at most  a_x Y + b_x R + c O + w_x,  a = residual_x / s_x, b = (|x| + residual_x) / s_x, and over each panel of y
Y = max |y|, R = max(residual_y + g (|y| + residual_y)), O = g max |o_y|; w covers what float64 loses on terms of x
alone. One huge row widens the margin of its own panel only.
"""

from typing import NamedTuple

import numpy as np

from . import simd
from .jit import address_of, borrowed, kernel, part

FAR = 1 << 62
BLOCK_BYTES = 1 << 14  # of one row of codes multiplied at a time: a panel of 16 is half an L2 (int16: 8192 features)


class Side(NamedTuple):
    """A side of the scan, its row values in the dtype of scores."""

    codes: np.ndarray  # (panels, steps, width, group)
    start: np.ndarray  # y: (panels * width,) what the totals begin with
    scale: np.ndarray  # y: s; x: c = 1 / s
    offset: np.ndarray  # y: o, infinite where nobody may match; x: p
    margin: np.ndarray  # y: (panels, 3) Y, R, O; x: (rows, 3) a, b, w


@part()
def never(state):
    return False


@part()
def may(exclude, mask, i, j, position):
    """Whether a pair of the job may match; exclude (rows,) and mask (rows, columns) are those of the job, or empty."""
    return (exclude.shape[0] == 0 or exclude[i] != position) and (mask.shape[0] == 0 or mask[i, j])


@part()
def address(values, at):
    return address_of(values) + values.itemsize * at


def loop(name, kind, machine, limits, epilogue, tests=1, full=never):
    """The kernel that visits all tiles of a job.

    limits(row, margin, limit, x_scale, state) fills limit (tests, rows). epilogue(row, column, totals, tile, job) gets
    the tiles where a test passed: tile = (margin, limit, hits, x_scale, y_scale, y_offset, level), job = (first column,
    exclude, mask, state). The kernel returns before a tile while full(state), and goes on at place = (q, p) when called
    again; it is done at q = panels of y. `workroom` makes its scratch.
    """
    tile, added = simd.tile(kind, machine, tests), simd.tile(kind, machine, 0)
    rows, columns = machine.rows, machine.columns(kind)
    block = BLOCK_BYTES // (np.dtype(kind.code).itemsize * kind.group)

    @kernel(name, kind.name, machine.name)
    def sweep(x, y, level, state, first_column, exclude, mask, ahead, place, room):
        """level: offsets of the second test, if there is one; state: what limits and epilogue work on.

        Tiles below the diagonal are left out, where column j of the job is row j + ahead; FAR ahead there are none.
        """
        x_codes, x_scale, x_margin = borrowed(x)
        y_codes, y_start, y_scale, y_offset, y_margin = borrowed(y)
        level, exclude, mask = borrowed((level, exclude, mask))
        held = borrowed(state)
        totals, margin, limit, hits = borrowed(room)
        steps, x_bytes, y_bytes = x_codes.shape[1], x_codes.strides[0], y_codes.strides[0]
        wide, deep = x_scale.itemsize, totals.strides[0]
        x_at, y_at, start_at, totals_at = (
            address_of(x_codes),
            address_of(y_codes),
            address_of(y_start),
            address_of(totals),
        )
        row_at, scale_at, offset_at, level_at = (
            address_of(x_scale), address_of(y_scale), address_of(y_offset), address_of(level)
        )  # fmt: skip
        limit_at, other_at = address_of(limit), address_of(limit) + limit.strides[0]
        last = (steps - 1) // block * block  # the steps before the last block
        x_last, y_last = last * x_codes.strides[1], last * y_codes.strides[1]
        for q in range(place[0], y_codes.shape[0]):
            column, low = q * columns, place[1]
            stop = min(x_codes.shape[0], max(0, (ahead + column + columns - 1) // rows + 1))
            begin, apart = start_at + y_start.itemsize * column, 0
            for s in range(0, last, block):
                for p in range(low, stop):
                    here = totals_at + p * deep
                    added(
                        x_at + p * x_bytes + s * x_codes.strides[1], y_at + q * y_bytes + s * y_codes.strides[1],
                        here if s else begin, columns if s else 0, block, here, 0, 0, 0, 0, 0, 0, 0,
                    )  # fmt: skip
            for p in range(low, stop):
                if full(held):
                    place[0], place[1] = q, p
                    return
                row, mine = p * rows, p if last else 0
                if last:
                    begin, apart = totals_at + p * deep, columns
                for r in range(rows):
                    i = row + r
                    margin[r] = (
                        x_margin[i, 0] * y_margin[q, 0]
                        + x_margin[i, 1] * y_margin[q, 1]
                        + x_scale[i] * y_margin[q, 2]
                        + x_margin[i, 2]
                    )
                limits(row, margin, limit, x_scale, held)
                if tile(
                    x_at + p * x_bytes + x_last, y_at + q * y_bytes + y_last, begin, apart, steps - last,
                    totals_at + mine * deep, scale_at + wide * column, offset_at + wide * column, row_at + wide * row,
                    limit_at, level_at + wide * column, row_at + wide * row, other_at,
                ):  # fmt: skip
                    epilogue(
                        row, column, totals[mine], (margin, limit, hits, x_scale, y_scale, y_offset, level),
                        (first_column, exclude, mask, held),
                    )  # fmt: skip
            place[1] = 0
        place[0] = y_codes.shape[0]

    return sweep


def workroom(kind, machine, real, panels, steps):
    """Scratch of one call: totals of a tile (of every panel of x where rows take blocks), margins, limits, hits."""
    rows = machine.rows
    held = panels if steps * np.dtype(kind.code).itemsize * kind.group > BLOCK_BYTES else 1
    return (
        np.empty((held, rows, machine.columns(kind)), kind.total), np.empty(rows, real), np.empty((2, rows), real),
        np.empty((2, rows), np.int64),
    )  # fmt: skip


def marker(kind, machine):
    """The function that marks which scores of a stored tile reach limit[test]."""
    marks = simd.marks(kind, machine)

    @part()
    def marked(test, row, column, totals, limit, hits, x_scale, y_scale, offset):
        marks(
            address_of(totals), address(y_scale, column), address(offset, column), address(x_scale, row),
            address_of(limit) + test * limit.strides[0], address_of(hits) + test * hits.strides[0],
        )  # fmt: skip

    return marked
