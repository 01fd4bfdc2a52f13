"""Canonical float64 values of pairs of rows on Numba, to the bit those of `metrics.py`, and the k best of them.

Work    `Sums`: rows x columns pairs at once, totals in registers; `valuer`: the pairs of a list, one row of x against
        COLUMNS of y at a time; `best`: pairs merged into their owner's list; nogil
Shapes  x (m, d), y (n, d) float32 or float64, pairs (p,) -> value (p,); pairs sorted by owner -> value, partner (m, k)
Cost    2 to 6 d flops a pair, one load of a row for all pairs of a block; best: p log k and what it moves
Sum     term i goes to lane i mod 8, added in order of i without FMA; the tree of `metrics`

A vector holds `lanes` of the eight: lane sets follow each other over the same rows, so that 128, 256 and 512 bits run
one text. A short last step is padded with zeros, whose terms leave every lane as it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import simd
from .jit import borrowed, kernel, part

LANES = 8
COLUMNS = 4  # of y that `valuer` reads at a time
FLOAT, DOUBLE, BIT, INT32, INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(1), ir.IntType(32), ir.IntType(64)
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


# --------------------------------------------------------------------------------------------------------- in registers


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


@cache
def far(term, elements, bits=None):
    """The intrinsic for one row of x and COLUMNS rows of y anywhere.

    (d, x, address of the addresses of y) -> address of [totals][COLUMNS] doubles on the stack.
    """

    def added(typing, d, x, table):
        def emit(context, builder, signature, given):
            d, x, table = given
            e = Sums(builder, term, elements, bits, (1, COLUMNS))
            table = builder.inttoptr(table, INT64.as_pointer())
            totals = e.totals([x], [builder.load(builder.gep(table, [INT64(c)])) for c in range(COLUMNS)], d)
            result = e.stack(DOUBLE, COLUMNS * len(totals))
            for t, total in enumerate(totals):
                e.store(total, result, INT64(t * COLUMNS))
            return builder.ptrtoint(result, INT64)

        return types.int64(*[types.int64] * 3), emit

    return intrinsic(added)


@intrinsic
def read(typing, address, at):
    """Double number `at` of an address."""

    def emit(context, builder, signature, given):
        return builder.load(builder.gep(builder.inttoptr(given[0], DOUBLE.as_pointer()), [given[1]]))

    return types.float64(types.int64, types.int64), emit


@intrinsic
def start(typing, array):
    """Address of the first entry: `array.ctypes.data`, which takes ten times as long to compile."""

    def emit(context, builder, signature, given):
        return builder.ptrtoint(context.make_array(signature.args[0])(context, builder, given[0]).data, INT64)

    return types.int64(array), emit


# -------------------------------------------------------------------------------------------------- the pairs of a list


@part()
def _cosine(product, x_square, y_square):
    """1 - product / root of both squares, clipped as `metrics` does: NaN stays NaN, a zero row is at 1 from all."""
    cosine = 0.0 if x_square == 0.0 or y_square == 0.0 else product / np.sqrt(x_square * y_square)
    if cosine < -1.0:
        cosine = -1.0
    if cosine > 1.0:
        cosine = 1.0
    return 1.0 - cosine


@cache
def _copier(real, centred):
    """Rows as they enter an angle: float64, scaled by a power of two, for correlation less their mean."""
    magnitude, total = far(TERMS["magnitude"], (real, real)), far(TERMS["entry"], ("float64", "float64"))

    @part()
    def copied(y, j_c, table, room):
        """Copy rows j of y to `room` and put their addresses into the table."""
        d, count = y.shape[1], j_c.shape[0]
        for c in range(COLUMNS):
            table[c] = start(y) + y.strides[0] * j_c[c if c < count else count - 1]
        tops = magnitude(d, table[0], start(table))
        for c in range(count):
            row, out = y[j_c[c]], room[c]
            up = -math.frexp(read(tops, c))[1]
            most = 1000 if up > 1000 else up  # 2^1073 is no float64
            factor, beyond = math.ldexp(1.0, most), math.ldexp(1.0, up - most)
            for feature in range(d):
                out[feature] = np.float64(row[feature]) * factor * beyond
        for c in range(COLUMNS):
            table[c] = start(room) + room.strides[0] * (c if c < count else count - 1)
        if centred:
            sums = total(d, table[0], start(table))
            for c in range(count):
                mean, out = read(sums, c) / d, room[c]
                at = 1
                while at < d and out[at] == out[0]:  # the mean of equal numbers need not round to them
                    at += 1
                if at == d and out[0] == out[0]:
                    out[:] = 0.0
                else:
                    for feature in range(d):
                        out[feature] -= mean

    return copied


@cache
def valuer(form, x_real, y_real):
    """values(x, y, i, j, value): fills in the canonical values of pairs. form: l2, dot, cosine or correlation.

    Pairs of one row of x should follow each other: COLUMNS of them share its loads. Euclidean pairs of float32, random
    rows of 200,000, d = 768, 2-core Zen: 0.46 us a pair from memory (1.0 one at a time), 0.14 from cache (0.34). To
    prefetch 4, 12 or all 48 lines of the next rows won nothing beyond the noise, and lost up to 3 times.
    """
    angle, centred = form in ("cosine", "correlation"), form == "correlation"
    x_copied, y_copied = ((angle and real == "float64") or centred for real in (x_real, y_real))
    elements = "float64" if x_copied else x_real, "float64" if y_copied else y_real
    term = TERMS["product and square" if angle else "product" if form == "dot" else "square gap"]
    added, own = far(term, elements), far(TERMS["product"], elements[:1] * 2)
    x_copy, y_copy = _copier(x_real, centred), _copier(y_real, centred)

    @kernel(form)
    def settle(x, y, i_p, j_p, value_p, table, x_room, room):
        x, y, i_p, j_p, value_p, table, x_room, room = borrowed((x, y, i_p, j_p, value_p, table, x_room, room))
        d, size, at, last = x.shape[1], i_p.shape[0], 0, -1
        x_at, x_square = 0, 0.0
        while at < size:
            i, end = i_p[at], at + 1
            while end < size and end < at + COLUMNS and i_p[end] == i:
                end += 1
            if i != last:
                last, x_at = i, start(x) + x.strides[0] * i
                if x_copied:
                    x_copy(x, i_p[at : at + 1], table, x_room)
                    x_at = start(x_room)
                if angle:
                    for c in range(COLUMNS):
                        table[c] = x_at
                    x_square = read(own(d, x_at, start(table)), 0)
            if y_copied:
                y_copy(y, j_p[at:end], table, room)
            else:
                for c in range(COLUMNS):
                    table[c] = start(y) + y.strides[0] * j_p[at + c if at + c < end else end - 1]
            totals = added(d, x_at, start(table))
            for c in range(end - at):
                value = read(totals, c)
                value_p[at + c] = _cosine(value, x_square, read(totals, COLUMNS + c)) if angle else value
            at = end

    def values(x, y, i_p, j_p, value_p):
        rooms = [
            np.empty((rows, x.shape[1])) for rows in (int(x_copied), COLUMNS * y_copied)
        ]  # in a kernel: 0.4 s more
        settle(x, y, i_p, j_p, value_p, np.empty(COLUMNS, np.int64), *rooms)

    return values


@kernel()
def best(owner_p, partner_p, value_p, first_row, value_mk, index_mk):
    """Merge each owner's pairs into its row of k by (value, partner), NaN last; pairs come owner by owner.

    A row may hold earlier ones in that order; index -1 (value +inf) marks the empty slots at its end.
    """
    k, at, size = value_mk.shape[1], 0, owner_p.shape[0]
    while at < size:
        row, end = owner_p[at], at
        while end < size and owner_p[end] == row:
            end += 1
        i = row - first_row
        filled = _held(index_mk[i])
        for p in range(at, end):
            value, partner = value_p[p], partner_p[p]
            if filled == k and not _before(value, partner, value_mk[i, k - 1], index_mk[i, k - 1]):
                continue
            low, high = 0, filled
            while low < high:
                middle = (low + high) // 2
                if _before(value_mk[i, middle], index_mk[i, middle], value, partner):
                    low = middle + 1
                else:
                    high = middle
            filled = min(filled + 1, k)
            for slot in range(filled - 1, low, -1):
                value_mk[i, slot], index_mk[i, slot] = value_mk[i, slot - 1], index_mk[i, slot - 1]
            value_mk[i, low], index_mk[i, low] = value, partner
        at = end


@part()
def _held(index_k):
    """How many slots are taken."""
    low, high = 0, index_k.shape[0]
    while low < high:
        middle = (low + high) // 2
        if index_k[middle] < 0:
            high = middle
        else:
            low = middle + 1
    return low


@part()
def _before(a, i, b, j):
    """Whether value a of partner i comes before b of j: NaN after everything, then the lower index."""
    if a == b or (a != a and b != b):
        return i < j
    return a < b or (a == a and b != b)
