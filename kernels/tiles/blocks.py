"""Two blocks of rows and the matrix for the values of their pairs, as a table of addresses: what every filler is given.

Work    `given`: values that are there already, copied
Shapes  x (.., words), y (.., words), x_stat, y_stat (..,) float64, value (rows, columns) float64
Cost    a load of each number
Sum     none

With a table in place of arrays a filler has one signature whatever the dtypes, so that its callers, which take its
address, are compiled once: built into each caller, the tests compiled 92 of them for 6 epilogues.
"""

from typing import NamedTuple

import numpy as np

from .jit import kernel, part
from .memory import number, put, whole


class Blocks(NamedTuple):
    """Addresses, strides in bytes, sizes, and the bits of a float64; in a table each is an int64."""

    x: int
    x_stride: int
    y: int
    y_stride: int
    value: int
    value_stride: int
    x_stat: int
    y_stat: int
    words: int  # of a row: features, or words of bits
    d: int
    parameter: int


ARGUMENTS = 5  # of a filler: the table's address, i, j, rows, columns
X, Y, VALUE = (Blocks._fields.index(name) for name in ("x", "y", "value"))  # the stride follows
X_STAT, Y_STAT, WORDS, FEATURES = (Blocks._fields.index(name) for name in ("x_stat", "y_stat", "words", "d"))


def table(x, y, stats, d, parameter, value_rc):
    """The table of rows x and y; whoever uses it keeps all of them alive."""
    x_stat, y_stat = (stat.ctypes.data for stat in stats)
    sides = [number for side in (x, y, value_rc) for number in (side.ctypes.data, side.strides[0])]
    return np.array(Blocks(*sides, x_stat, y_stat, x.shape[1], d, int(np.float64(parameter).view(np.int64))))


@part()
def row(table, block, at):
    """Address of a row of X, Y or VALUE."""
    return whole(table, block) + whole(table, block + 1) * at


@kernel()
def given(table, i, j, rows, columns):
    """The filler for values that are there already: x (m, n)."""
    for r in range(rows):
        source, target = row(table, X, i + r), row(table, VALUE, r)
        for c in range(columns):
            put(target, c, number(source, j + c))
