"""What kernels call to fill a tile with the values of all pairs of two blocks of rows, in LLVM IR.

Work    `filler`: `Loop.block` pairs in registers at a time, x and y read once for a block; nogil
Shapes  x (.., d), y (.., d), x_stat, y_stat (..,) -> value_rc (rows, columns) float64
Cost    the sums of `lanes`, a load of each stat, a store of each value
Sum     `lanes.Sums`

IR as a whole: a function in between would be optimised twice, and its loops typed: 0.5 s of a cold start instead of
0.1 to 0.3.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .lanes import DOUBLE, INT32, INT64, Sums, Term


def plain(e, totals, stats, d):
    return totals[0]


class Loop(NamedTuple):
    """Terms of a metric, what follows their totals, and how many rows and columns share the registers."""

    term: Term
    ending: Callable = plain
    block: tuple[int, int] = (2, 4)


@cache
def filler(loop, elements, lane_bits=None):
    """fill(x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc) of a loop.

    value_rc[r, c] = value of x[i + r] with y[j + c]. lane_bits: width of the vectors, the CPU's own if None.
    """

    def fill(typing, x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc):
        kinds = x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc

        def emit(context, builder, signature, given):
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(kinds, given, strict=True)
                if isinstance(kind, types.Array)
            ]
            whole = [context.cast(builder, given[at], kinds[at], types.int64) for at in range(4, 9)]
            number = context.cast(builder, given[9], kinds[9], types.float64)
            _Tile(builder, loop, elements, lane_bits, number, arrays).filled(*whole)
            return context.get_dummy_value()

        return types.none(*kinds), emit

    return intrinsic(fill)


class _Tile(Sums):
    """The IR of `fill`."""

    def __init__(self, builder, loop, elements, lane_bits, parameter, arrays):
        super().__init__(builder, loop.term, elements, lane_bits, loop.block, parameter)
        self.loop, self.arrays = loop, arrays

    def filled(self, i, j, rows, columns, d):
        b = self.b
        features = b.extract_value(self.arrays[0].shape, 1)
        with cgutils.for_range_slice(b, INT64(0), columns, INT64(self.columns), intp=INT64) as (c, _):
            right = [b.add(j, at) for at in self._there(c, columns, self.columns)]
            with cgutils.for_range_slice(b, INT64(0), rows, INT64(self.rows), intp=INT64) as (r, _):
                left = [b.add(i, at) for at in self._there(r, rows, self.rows)]
                x, y = ([self._place(side, at) for at in side_rows] for side, side_rows in enumerate((left, right)))
                totals = self.totals(x, y, features)
                value = self.loop.ending(self, totals, lambda: self._stats(left, right), d)
                self._kept(value, r, c, rows, columns)

    def _there(self, first, count, size):
        """`size` positions from the first on, the last one repeated where there are no more."""
        last = self.b.sub(count, INT64(1))
        positions = [self.b.add(first, INT64(step)) for step in range(size)]
        return [self.b.select(self.b.icmp_signed("<", at, last), at, last) for at in positions]

    def _place(self, array, row):
        array = self.arrays[array]
        base = self.b.ptrtoint(array.data, INT64)
        return self.b.add(base, self.b.mul(row, self.b.extract_value(array.strides, 0)))

    def _stats(self, left, right):
        """Those of x and of y, pair by pair."""
        pairs = [(r, c) for r in left for c in right]
        found = []
        for side, array in enumerate(self.arrays[2:4]):
            vector = ir.Constant(self.of(DOUBLE, self.pairs), ir.Undefined)
            for lane, pair in enumerate(pairs):
                stat = self.b.load(self.b.gep(array.data, [pair[side]]))
                vector = self.b.insert_element(vector, stat, INT32(lane))
            found.append(vector)
        return found

    def _kept(self, value, r, c, rows, columns):
        """Write the pairs that are there."""
        b, room = self.b, self.stack(DOUBLE, self.pairs)
        self.store(value, room, INT64(0))
        for step in range(self.rows):
            row = b.add(r, INT64(step))
            with b.if_then(b.icmp_signed("<", row, rows)):
                place = b.inttoptr(self._place(4, row), DOUBLE.as_pointer())
                with b.if_else(b.icmp_signed("<=", b.add(c, INT64(self.columns)), columns)) as (all_there, some):
                    with all_there:
                        part = self.load(room, INT64(step * self.columns), DOUBLE, self.columns)
                        self.store(part, place, c)
                    with some, cgutils.for_range(b, b.sub(columns, c), intp=INT64) as column:
                        at = b.add(column.index, INT64(step * self.columns))
                        b.store(b.load(b.gep(room, [at])), b.gep(place, [b.add(c, column.index)]))
