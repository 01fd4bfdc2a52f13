"""Every pair of two blocks of rows by its value: a tile at a time, and what an operation makes of it.

Work    tiles of ROWS x COLUMNS: filled, ordered, handed to the epilogue while they are in L1; nogil
Shapes  a filler, its `blocks`, positions of their rows, allowed (rows, columns) or (0, 0) -> state of the epilogue
Cost    that of the loop, and a compare or two a pair
Sum     that of the loop
"""

from functools import cache

import numpy as np

from .jit import borrowed, called, kernel, part
from .merge import insert
from .select import offer

ROWS, COLUMNS = 8, 16  # of a tile
LARGEST = np.finfo(np.float64).max
BIASED, ROOTED, DESCENDING = 1, 2, 4  # bits of a rule: what makes an ordered value of a canonical one


@part()
def _may(allowed, i, j):
    return allowed.shape[0] == 0 or allowed[i, j]


@part()
def _best(i, j, rows, columns, value_rc, _, x_at, y_at, allowed, state):
    """state = (value, index) of the rows."""
    for c in range(columns):
        for r in range(rows):
            if not value_rc[r, c] > state[0][i + r, -1] and _may(allowed, i + r, j + c):
                insert(state[0], state[1], i + r, value_rc[r, c], y_at[j + c])


@part()
def _both(i, j, rows, columns, value_rc, _, x_at, y_at, allowed, state):
    """state = (value, index) of the rows, (value, index) of the columns."""
    for c in range(columns):
        for r in range(rows):
            if _may(allowed, i + r, j + c):
                if not value_rc[r, c] > state[0][i + r, -1]:
                    insert(state[0], state[1], i + r, value_rc[r, c], y_at[j + c])
                if not value_rc[r, c] > state[2][j + c, -1]:
                    insert(state[2], state[3], j + c, value_rc[r, c], x_at[i + r])


@part()
def _inside(i, j, rows, columns, low_rc, high_rc, x_at, y_at, allowed, state):
    """state = (limit of each row, pairs, values, size): what is not, or not surely, above the limit."""
    limit, pairs, values, size = state
    for r in range(rows):
        for c in range(columns):
            if low_rc[r, c] <= limit[i + r] and _may(allowed, i + r, j + c):
                pairs[size[0], 0], pairs[size[0], 1] = x_at[i + r], y_at[j + c]
                values[size[0]] = low_rc[r, c]
                size[0] += 1


@part()
def _counted(i, j, rows, columns, value_rc, _, x_at, y_at, allowed, state):
    """state = (first and last goal of each row, goal, positive, better, before, equal)."""
    first, last, goals, positive, better, earlier, equal = state
    for r in range(rows):
        for e in range(first[i + r], last[i + r]):
            goal = goals[e]
            for c in range(columns):
                value = value_rc[r, c]
                if value > goal or not _may(allowed, i + r, j + c):
                    continue
                partner = y_at[j + c]
                if value < goal or (value == value and goal != goal):
                    better[e] += 1
                elif (value == goal or goal != goal) and partner != positive[e]:
                    equal[e] += 1
                    earlier[e] += partner < positive[e]


@part()
def _compared(i, j, rows, columns, low_rc, high_rc, x_at, y_at, allowed, state):
    """state = (first and last goal of each row, goal, better, pairs, size): undecided ones are goal and partner."""
    first, last, goals, better, pairs, size = state
    for r in range(rows):
        for e in range(first[i + r], last[i + r]):
            goal = goals[e]
            for c in range(columns):
                if low_rc[r, c] > goal or not _may(allowed, i + r, j + c):
                    continue
                if high_rc[r, c] < (goal if goal == goal else np.inf):  # all numbers come before NaN
                    better[e] += 1
                else:
                    pairs[size[0], 0], pairs[size[0], 1] = e, y_at[j + c]
                    size[0] += 1


@part()
def _offered(i, j, rows, columns, low_rc, high_rc, x_at, y_at, allowed, state):
    """state = (`Lists` of the rows,): keys are at most LARGEST, as an infinite threshold is of an owner given up."""
    for c in range(columns):
        for r in range(rows):
            if _may(allowed, i + r, j + c):
                low, high = low_rc[r, c], high_rc[r, c]
                least = LARGEST if high < -LARGEST else -high
                most = -low if low > -LARGEST else LARGEST  # NaN: anything
                offer(state[0], i + r, least, most, y_at[j + c])


EPILOGUES = {
    "best": _best, "both": _both, "counted": _counted,  # of values
    "inside": _inside,  # of either
    "offered": _offered, "compared": _compared,  # of bounds
}  # fmt: skip


@part()
def _bounded(low_rc, high_rc, rows, columns, error):
    """Bounds of the canonical values in place of near ones."""
    relative, absolute, ceiling = error[0], error[1], error[2]
    for r in range(rows):
        for c in range(columns):
            value = low_rc[r, c]
            room = 2 * (relative * value + absolute)
            low_rc[r, c], high_rc[r, c] = value - room, value + room
            if not value < ceiling:  # infinite, or not surely finite, or NaN
                low_rc[r, c], high_rc[r, c] = ceiling * (1 - 2 * relative), np.inf
                if value != value:
                    low_rc[r, c] = -np.inf


@part()
def _ordered(value_rc, rows, columns, i, j, u, v, rule):
    """What is sorted in place of canonical values; it rises with them, where it does not descend."""
    for r in range(rows):
        for c in range(columns):
            value = value_rc[r, c]
            if rule & BIASED:
                if rule & ROOTED:
                    value = np.sqrt(value)
                value += u[i + r] + v[j + c]
            value_rc[r, c] = -value if rule & DESCENDING else value


@cache
def visitor(name):
    """The kernel that hands each tile of a filler to an epilogue.

    visit(fill, table, bias, positions, rule, error, allowed, state, room). fill, table: `entry` of a filler and address
    of its `blocks`, whose value is room[0]. error: none where the filler gives canonical values, and the matrices of
    `room` are the same; (relative, absolute, what stands for all above) where its values come near (`near.py`). Those
    metrics neither take a root nor descend.
    """
    epilogue = EPILOGUES[name]

    @kernel(name)
    def visit(fill, table, bias, positions, rule, error, allowed, state, room):
        u, v = borrowed(bias)
        x_at, y_at = borrowed(positions)
        low_rc, high_rc = borrowed(room)
        allowed, error = borrowed((allowed, error))
        held = borrowed(state)
        m, n = x_at.shape[0], y_at.shape[0]
        for j in range(0, n, COLUMNS):
            columns = min(COLUMNS, n - j)
            for i in range(0, m, ROWS):
                rows = min(ROWS, m - i)
                called(fill, (table, i, j, rows, columns))
                if error.shape[0]:
                    _bounded(low_rc, high_rc, rows, columns, error)
                if rule:
                    _ordered(low_rc, rows, columns, i, j, u, v, rule)
                    if error.shape[0]:
                        _ordered(high_rc, rows, columns, i, j, u, v, rule)
                epilogue(i, j, rows, columns, low_rc, high_rc, x_at, y_at, allowed, held)

    return visit
