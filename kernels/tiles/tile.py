"""What kernels call to fill a tile with the values of all pairs of two blocks of rows, in LLVM IR.

Work    `filler`: `Loop.block` pairs in registers at a time, x and y read once for a block; nogil
Shapes  x (.., d), y (.., d), x_stat, y_stat (..,) -> value (rows, columns) float64
Cost    the sums of `lanes`, a load of each stat, a store of each value
Sum     `lanes.Sums`

IR as a whole: functions in between would be optimised twice, and their loops typed: 0.5 s of a cold start instead of
0.1 to 0.3.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import Blocks
from .jit import kernel
from .lanes import DOUBLE, INT32, INT64, Sums, Term


def plain(e, totals, stats, d):
    return totals[0]


class Loop(NamedTuple):
    """Terms of a metric, what follows their totals, and how many rows and columns share the registers."""

    term: Term
    ending: Callable = plain
    block: tuple[int, int] = (2, 4)


@cache
def filler(name, loop, elements, lane_bits=None):
    """The kernel fill(address of a table of `blocks.py`, i, j, rows, columns) of a loop.

    value[r, c] = value of x[i + r] with y[j + c]. name: what tells the kernel from those of other loops; lane_bits:
    width of the vectors, the CPU's own if None.
    """

    def emit(context, builder, signature, given):
        _Tile(builder, loop, elements, lane_bits, given[0]).filled(*given[1:])
        return context.get_dummy_value()

    @intrinsic
    def filled(typing, table, i, j, rows, columns):
        return types.none(*[types.int64] * 5), emit

    @kernel(name, *elements, str(lane_bits or ""))
    def fill(table, i, j, rows, columns):
        filled(table, i, j, rows, columns)

    return fill


class _Tile(Sums):
    """The IR of `fill`."""

    def __init__(self, builder, loop, elements, lane_bits, table):
        table = builder.inttoptr(table, INT64.as_pointer())
        self.blocks = Blocks(*(builder.load(builder.gep(table, [INT64(at)])) for at in range(len(Blocks._fields))))
        parameter = builder.bitcast(self.blocks.parameter, DOUBLE)
        super().__init__(builder, loop.term, elements, lane_bits, loop.block, parameter)
        self.loop = loop

    def filled(self, i, j, rows, columns):
        b = self.b
        with cgutils.for_range_slice(b, INT64(0), columns, INT64(self.columns), intp=INT64) as (c, _):
            right = [b.add(j, at) for at in self._there(c, columns, self.columns)]
            with cgutils.for_range_slice(b, INT64(0), rows, INT64(self.rows), intp=INT64) as (r, _):
                left = [b.add(i, at) for at in self._there(r, rows, self.rows)]
                x = [self._place(self.blocks.x, self.blocks.x_stride, row) for row in left]
                y = [self._place(self.blocks.y, self.blocks.y_stride, row) for row in right]
                totals = self.totals(x, y, self.blocks.words)
                value = self.loop.ending(self, totals, lambda: self._stats(left, right), self.blocks.d)
                self._kept(value, r, c, rows, columns)

    def _there(self, first, count, size):
        """`size` positions from the first on, the last one repeated where there are no more."""
        last = self.b.sub(count, INT64(1))
        positions = [self.b.add(first, INT64(step)) for step in range(size)]
        return [self.b.select(self.b.icmp_signed("<", at, last), at, last) for at in positions]

    def _place(self, base, stride, row):
        return self.b.add(base, self.b.mul(row, stride))

    def _stats(self, left, right):
        """Those of x and of y, pair by pair."""
        pairs = [(r, c) for r in left for c in right]
        found = []
        for side, stats in enumerate((self.blocks.x_stat, self.blocks.y_stat)):
            stats = self.b.inttoptr(stats, DOUBLE.as_pointer())
            vector = ir.Constant(self.of(DOUBLE, self.pairs), ir.Undefined)
            for lane, pair in enumerate(pairs):
                stat = self.b.load(self.b.gep(stats, [pair[side]]))
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
                place = b.inttoptr(self._place(self.blocks.value, self.blocks.value_stride, row), DOUBLE.as_pointer())
                with b.if_else(b.icmp_signed("<=", b.add(c, INT64(self.columns)), columns)) as (all_there, some):
                    with all_there:
                        part = self.load(room, INT64(step * self.columns), DOUBLE, self.columns)
                        self.store(part, place, c)
                    with some, cgutils.for_range(b, b.sub(columns, c), intp=INT64) as column:
                        at = b.add(column.index, INT64(step * self.columns))
                        b.store(b.load(b.gep(room, [at])), b.gep(place, [b.add(c, column.index)]))
