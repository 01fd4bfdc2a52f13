"""The terms of pairs of rows added up in eight lanes, in LLVM IR: the canonical sum, of a block of pairs in registers.

Work    `Sums`: rows x columns pairs at once; x and y are read once for all of them
Shapes  addresses of rows of d features, float32 or float64 -> a vector of doubles for each total, [rows][columns]
Cost    a load of each row, then the operations of the term, for `lanes` features at a time
Sum     term i goes to lane i mod 8, added in order of i without FMA; the tree of `metrics`

A vector holds `lanes` of the eight: lane sets follow each other over the same rows, so that 128, 256 and 512 bits run
one text. A short last step is padded with zeros, whose terms leave every lane as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir
from numba.core import cgutils

from . import simd

LANES = 8
FLOAT, DOUBLE, INT32, INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
ELEMENT = {"float32": FLOAT, "float64": DOUBLE}


@dataclass(frozen=True)
class Term:
    """What a pair adds up, `totals` of it at a time.

    `vectors(e, x, y)` gives the terms of a vector of features. `fold`: add, max (numbers >= 0 or NaN, which wins) or
    count (of bits). `native`: sides of the same dtype meet as they are, not as float64.
    """

    name: str
    vectors: Callable
    totals: int = 1
    fold: str = "add"
    native: bool = False


def _square_gap(e, x, y):
    gap = e.b.fsub(x, y)
    return (e.b.fmul(gap, gap),)


TERMS = {
    term.name: term
    for term in (
        Term("square gap", _square_gap),
        Term("product", lambda e, x, y: (e.b.fmul(x, y),)),
        Term("product and square", lambda e, x, y: (e.b.fmul(x, y), e.b.fmul(y, y)), totals=2),
        Term("entry", lambda e, x, y: (y,)),
        Term("magnitude", lambda e, x, y: (e.absolute(y),), fold="max"),
    )
}


class Sums:
    """The IR that adds up the terms of `rows` x `columns` pairs; `parameter` is a double that terms may read."""

    def __init__(self, builder, term, elements, bits, block, parameter=None):
        self.b, self.term, self.parameter = builder, term, parameter
        self.elements = [ELEMENT[name] for name in elements]
        same = self.elements[0] is self.elements[1]
        self.real = self.elements[0] if term.native and same else DOUBLE
        width = 64 if self.real is DOUBLE else 32
        self.lanes = min(LANES, (bits or simd.runnable()[0].bits) // width)
        self.whole = ir.IntType(width)
        self.vector = self.of(self.real)
        self.lane = self.real if term.fold == "add" else self.whole
        self.rows, self.columns = block
        self.pairs = self.rows * self.columns

    def of(self, element, lanes=None):
        return ir.VectorType(element, lanes or self.lanes)

    def call(self, name, *operands):
        """An LLVM intrinsic on vectors, `name` without its suffix."""
        vector = operands[0].type
        suffix = f"v{vector.count}f{64 if vector.element is DOUBLE else 32}"
        kind = ir.FunctionType(vector, [operand.type for operand in operands])
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, f"{name}.{suffix}"), operands)

    def absolute(self, value):
        return self.call("llvm.fabs", value)

    def spread(self, value, like):
        """A number, or a value, in all lanes of a vector like another."""
        if isinstance(value, int | float):
            return ir.Constant(like, [value] * like.count)
        undefined = ir.Constant(like, ir.Undefined)
        first = self.b.insert_element(undefined, value, INT32(0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, like.count), [0] * like.count))

    # ------------------------------------------------------------------------------------------------------------ folds

    def joined(self, total, other):
        """One more term, or the other half of a tree."""
        if self.term.fold == "add":
            return self.b.fadd(total, other)
        if self.term.fold == "count":
            return self.b.add(total, other)
        larger = self.b.icmp_signed(">", other, total)  # of numbers without sign: their bits have their order, and NaN
        return self.b.select(larger, other, total)  # lies above infinity. maxpd would lose it

    def taken(self, term):
        """A vector of terms in the type of the lanes."""
        if self.term.fold == "add":
            return term
        kind = self.of(self.whole, term.type.count)
        return self.b.zext(term, kind) if self.term.fold == "count" else self.b.bitcast(term, kind)

    def given(self, total):
        """Totals as doubles."""
        kind = self.of(DOUBLE, total.type.count)
        if self.term.fold == "count":
            return self.b.sitofp(total, kind)
        return self.b.bitcast(total, kind)

    def tree(self, vectors):
        """Neighbouring lanes joined until one is left of every vector; the totals in the order of the vectors."""
        lanes = vectors[0].type.count
        while lanes > 1:
            paired = len(vectors) % 2 == 0
            vectors = list(zip(vectors[::2], vectors[1::2], strict=True)) if paired else [(v, v) for v in vectors]
            vectors = [self._neighbours(*both, paired) for both in vectors]
            lanes //= 2
        return vectors

    def _neighbours(self, left, right, paired):
        size = left.type.count * (2 if paired else 1)
        sides = (ir.Constant(ir.VectorType(INT32, size // 2), list(range(side, size, 2))) for side in (0, 1))
        return self.joined(*(self.b.shuffle_vector(left, right, side) for side in sides))

    # ------------------------------------------------------------------------------------------------------------ loops

    def totals(self, x, y, d):
        """For each total a vector of doubles, [rows][columns]; x and y: addresses of rows of d features."""
        b = self.b
        steps, rest = b.lshr(d, INT64(3)), b.and_(d, INT64(LANES - 1))
        with_rest = b.icmp_unsigned(">", rest, INT64(0))
        tails = [self._tail(side, rows) for side, rows in enumerate((x, y))]
        with b.if_then(with_rest):
            self._copy(tails, (x, y), b.shl(steps, INT64(3)), rest)
        sets = LANES // self.lanes
        found = self.stack(self.lane, sets * self.term.totals * self.pairs)
        often = b.add(b.lshr(d, INT64(62)), INT64(sets))  # a constant would be unrolled: twice the code to compile
        with cgutils.for_range(b, often, intp=INT64) as lane_set:
            first = b.mul(lane_set.index, INT64(self.lanes))
            for t, vectors in enumerate(self._lane_set(x, y, tails, first, steps, with_rest)):
                at = b.add(b.mul(lane_set.index, INT64(self.term.totals * self.pairs)), INT64(t * self.pairs))
                for vector in self.tree(vectors):
                    self.store(vector, found, at)
                    at = b.add(at, INT64(vector.type.count))
        result = []
        for t in range(self.term.totals):
            starts = [(each * self.term.totals + t) * self.pairs for each in range(sets)]
            parts = [self.load(found, INT64(at), self.lane, self.pairs) for at in starts]
            while len(parts) > 1:
                parts = [self.joined(*both) for both in zip(parts[::2], parts[1::2], strict=True)]
            result.append(self.given(parts[0]))
        return result

    def _lane_set(self, x, y, tails, first, steps, with_rest):
        """Sums of one set of lanes: for every total its vectors, pair by pair."""
        b = self.b
        cells = [(t, r, c) for t in range(self.term.totals) for r in range(self.rows) for c in range(self.columns)]
        total = {cell: cgutils.alloca_once(b, self.of(self.lane)) for cell in cells}
        for place in total.values():
            b.store(ir.Constant(self.of(self.lane), None), place)
        start = b.select(b.icmp_unsigned(">", steps, INT64(0)), INT64(0), INT64(1))
        stop = b.select(with_rest, INT64(2), INT64(1))
        with cgutils.for_range_slice(b, start, stop, INT64(1), intp=INT64) as (segment, _):  # rows, then their tails
            last = b.icmp_unsigned("==", segment, INT64(1))
            places = [
                [b.select(last, tail, row) for tail, row in zip(*side, strict=True)]
                for side in zip(tails, (x, y), strict=True)
            ]
            with cgutils.for_range(b, b.select(last, INT64(1), steps), intp=INT64) as step:
                at = b.add(b.shl(step.index, INT64(3)), first)
                left = [self._features(place, at, self.elements[0]) for place in places[0]]
                for c in range(self.columns):
                    right = self._features(places[1][c], at, self.elements[1])
                    for r in range(self.rows):
                        for t, term in enumerate(self.term.vectors(self, left[r], right)):
                            place = total[t, r, c]
                            b.store(self.joined(b.load(place), self.taken(term)), place)
        return [[b.load(place) for cell, place in total.items() if cell[0] == t] for t in range(self.term.totals)]

    def _features(self, address, at, element):
        value = self.load(self.b.inttoptr(address, element.as_pointer()), at, element, self.lanes)
        return value if element is self.real else self.b.fpext(value, self.vector)

    def stack(self, element, size):
        return self.b.bitcast(cgutils.alloca_once(self.b, ir.ArrayType(element, size)), element.as_pointer())

    def load(self, base, at, element, lanes):
        place = self.b.bitcast(self.b.gep(base, [at]), self.of(element, lanes).as_pointer())
        return self.b.load(place, align=4 if element in (FLOAT, INT32) else 8)

    def store(self, vector, base, at):
        place = self.b.bitcast(self.b.gep(base, [at]), vector.type.as_pointer())
        self.b.store(vector, place, align=4 if vector.type.element in (FLOAT, INT32) else 8)

    def _tail(self, side, rows):
        """Addresses of eight features on the stack for each row."""
        element = self.elements[side]
        size = LANES * (8 if element is DOUBLE else 4)
        base = self.b.ptrtoint(self.stack(element, LANES * len(rows)), INT64)
        return [self.b.add(base, INT64(size * r)) for r in range(len(rows))]

    def _copy(self, tails, sides, start, rest):
        """The last features of every row, and zeros after them."""
        b = self.b
        for element, places in zip(self.elements, tails, strict=True):
            for place in places:
                self.store(
                    ir.Constant(self.of(element, LANES), None), b.inttoptr(place, element.as_pointer()), INT64(0)
                )
        with cgutils.for_range(b, rest, intp=INT64) as feature:
            for element, places, rows in zip(self.elements, tails, sides, strict=True):
                for place, row in zip(places, rows, strict=True):
                    place, row = (b.inttoptr(address, element.as_pointer()) for address in (place, row))
                    b.store(b.load(b.gep(row, [b.add(start, feature.index)])), b.gep(place, [feature.index]))
