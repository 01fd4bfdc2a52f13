"""Few rows mapped by each of many matrices, which are read once, where they are.

Work    one call: some matrices after another, all rows of each; a tile multiplies some rows of M by ROWS of E; nogil
Shapes  e (n, d_in), matrices at addresses, bias (g, d_out) or (0, d_out) -> rows of out (n, d_out)
Cost    reading M, 2 n d_in d_out flops; scratch MOST_ROWS rows of E
Sum     lanes and chains over the features with fmuladd, then chains and lanes, in the dtype of out; bias last; lengths
        in float64, in any order

To map 4 rows by 768 x 768 float32 on a busy 2-core Zen 3 took 1.0 to 1.1 times as long as a bare read of the same
matrices, in pairs, with one row of M at a time and 4 chains: M is one stream of lines that are fetched FETCHED bytes
ahead. It took 1.15 times with 3 rows of M, which share what is loaded of E (2 rows: 1.1); 1.15 without llvm.prefetch;
1.25 with 2 chains, whose multiply-adds wait for each other. FETCHED from 8 to 32 KiB, into L1 or L2, was the same, 64
KiB 1.07. With 8 rows to map 3 rows of M are quicker, 1.25 for 1.5, with 16 1.6 for 2.5: multiplying takes longer than
reading.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import address_of, borrowed, kernel, part
from .simd import INT32, INT64, Emitter

ROWS = 4  # of E in a tile
MOST_ROWS = 16  # of E for a matrix; with more, BLAS is quicker
LINE = 64  # bytes
FETCHED = 1 << 14  # bytes from what is multiplied to what is fetched
INTO_L2, READ, DATA = 2, 0, 1  # of llvm.prefetch
REASSOCIATED = {"reassoc", "nsz", "contract"}


class Tile(NamedTuple):
    """What one loop multiplies by ROWS rows of E."""

    rows: int  # of M
    vectors: int  # of each that a step takes
    chains: int  # sums of a pair of rows, vectors in turn


READING = Tile(rows=1, vectors=4, chains=4)  # 16 totals: reading M counts
MULTIPLYING = Tile(rows=3, vectors=2, chains=1)  # 12 totals, 3 of M and 1 of E fill the 16 registers of AVX2


class _Mapping(Emitter):
    """The IR of a tile: M and E from two addresses, their rows some bytes apart."""

    def __init__(self, builder, kind, machine, tile, m, m_stride, m_last, e, e_stride):
        super().__init__(builder, kind, machine)
        b, self.tile, self.width = builder, tile, 4 if kind.name == "float32" else 8
        self.cells = [(a, k, chain) for a in range(tile.rows) for k in range(ROWS) for chain in range(tile.chains)]
        self.nothing = ir.Constant(self.vector, [0.0] * self.lanes)
        numbers = [b.select(b.icmp_signed("<", INT64(a), m_last), INT64(a), m_last) for a in range(tile.rows)]
        self.m_rows = [b.add(m, b.mul(m_stride, number)) for number in numbers]
        self.e_rows = [b.add(e, b.mul(e_stride, INT64(k))) for k in range(ROWS)]

    def step(self, total, at, load):
        """Totals with the features from `at` on."""
        found = dict(total)
        for vector in range(self.tile.vectors):
            place, chain = self.builder.add(at, INT64(vector * self.lanes)), vector % self.tile.chains
            left = [load(row, place) for row in self.m_rows]
            for k, row in enumerate(self.e_rows):
                right = self.load(row, place, self.kind.lane)
                for a in range(self.tile.rows):
                    found[a, k, chain] = self.multiply_add(left[a], right, found[a, k, chain])
        return found

    def whole(self, row, at):
        return self.load(row, at, self.kind.lane)

    def rest(self, d):
        """A load of what is left of a row of M: nothing behind it is touched."""
        b = self.builder

        def load(row, at):
            left = self.spread(b.trunc(b.sub(d, at), INT32))
            there = b.icmp_signed(">", left, ir.Constant(left.type, list(range(self.lanes))))
            place = self.at(row, at, self.kind.lane, True)
            name = f"llvm.masked.load.{self.suffix}.p0"
            return self.call(name, self.vector, place, INT32(self.width), there, self.nothing)

        return load

    def fetch(self, ahead, at):
        """As many bytes as a step reads of M."""
        b, tile = self.builder, self.tile
        start = b.add(ahead, b.mul(at, INT64(tile.rows * self.width)))
        for line in range(-(-tile.rows * tile.vectors * self.lanes * self.width // LINE)):
            place = b.inttoptr(b.add(start, INT64(line * LINE)), ir.IntType(8).as_pointer())
            self.call("llvm.prefetch.p0", ir.VoidType(), place, INT32(READ), INT32(INTO_L2), INT32(DATA))

    def steps(self, d, ahead):
        """Totals over all d features."""
        b, each = self.builder, INT64(self.tile.vectors * self.lanes)
        end = b.mul(b.sdiv(d, each), each)
        start = dict.fromkeys(self.cells, self.nothing)

        def body(at, total):
            self.fetch(ahead, at)
            return self.step(total, at, self.whole)

        total = self.joined(b.icmp_signed(">", end, INT64(0)), start, lambda: self.loop(start, each, end, body))
        return self.joined(b.icmp_signed("<", end, d), total, lambda: self.step(total, end, self.rest(d)))

    def loop(self, start, each, end, body):
        b = self.builder
        before, loop, after = b.block, b.append_basic_block("steps"), b.append_basic_block("multiplied")
        b.branch(loop)
        b.position_at_end(loop)
        at, total = b.phi(INT64), {cell: b.phi(self.vector) for cell in self.cells}
        found, following = body(at, total), b.add(at, each)
        b.cbranch(b.icmp_signed("<", following, end), loop, after)
        for phi, first, later in ((at, INT64(0), following), *((total[c], start[c], found[c]) for c in self.cells)):
            phi.add_incoming(first, before)
            phi.add_incoming(later, loop)
        b.position_at_end(after)
        return found

    def joined(self, condition, otherwise, emit):
        """What `emit` gives where the condition holds."""
        b, before = self.builder, self.builder.block
        with b.if_then(condition):
            found, inside = emit(), b.block
        joined = {cell: b.phi(self.vector) for cell in self.cells}
        for cell, phi in joined.items():
            phi.add_incoming(otherwise[cell], before)
            phi.add_incoming(found[cell], inside)
        return joined

    def store(self, total, totals):
        """[rows of M][ROWS] sums of the chains and lanes."""
        b, kind = self.builder, self.kind.lane
        adder = ir.FunctionType(kind, [kind, self.vector])
        adder = cgutils.get_or_insert_function(b.module, adder, f"llvm.vector.reduce.fadd.{self.suffix}")
        for a in range(self.tile.rows):
            for k in range(ROWS):
                lanes_of = total[a, k, 0]
                for chain in range(1, self.tile.chains):
                    lanes_of = b.fadd(lanes_of, total[a, k, chain])
                sum_of = b.call(adder, [kind(-0.0), lanes_of], fastmath=("reassoc",))
                b.store(sum_of, self.at(totals, INT64(a * ROWS + k), kind, False))


def _multiplier(kind, machine, tile):
    """The intrinsic of a tile.

    Addresses of the first row of M, bytes to the next, how many differ from the last; the same for E, d, totals
    [rows][ROWS]; and the address of what M has next, of which as many bytes are fetched as are read.
    """

    def multiplied(typing, m, m_stride, m_last, e, e_stride, d, totals, ahead):
        def emit(context, builder, signature, given):
            *sides, d, totals, ahead = given
            mapping = _Mapping(builder, kind, machine, tile, *sides)
            mapping.store(mapping.steps(d, ahead), totals)
            return INT64(0)

        return types.int64(*[types.int64] * 8), emit

    return intrinsic(multiplied)


@part(fastmath=REASSOCIATED)
def _square(row, largest):
    total = 0.0
    for c in range(row.shape[0]):
        value = row[c] / largest
        total += value * value
    return total


@cache
def _unit(single):
    """`matrices.to_unit` of one row."""
    real = np.float32 if single else np.float64

    @part()
    def unit(row):
        largest = 1.0
        if not single:
            largest = 0.0
            for c in range(row.shape[0]):
                if not abs(row[c]) <= largest:
                    largest = abs(row[c])
        length = np.sqrt(_square(row, largest)) if largest != 0.0 else 0.0
        if length == np.inf:
            length = np.nan
        if length != 0.0:
            for c in range(row.shape[0]):
                row[c] = real(row[c] / largest / length)

    return unit


@cache
def mapper(kind, machine, tile):
    """The kernel that maps the rows of some matrices; see the parameters there."""
    multiplied, padded = _multiplier(kind, machine, tile), machine.lanes(kind) * tile.vectors
    single = kind.name == "float32"
    unit, real, height = _unit(single), np.float32 if single else np.float64, tile.rows

    @kernel(kind.name, machine.name, "reading" if tile is READING else "multiplying")
    def map_rows(e, order, starts, matrices, stride, first, last, bias, normalize, out):
        """Rows order[starts[g]:starts[g + 1]] of e by rows first..last of the matrix at address matrices[g], its rows
        `stride` bytes apart, plus bias[g] if there is any; with `normalize` results of all rows get length 1. Returns 0
        times the sum of the products: NaN if some of it is not finite."""
        e, order, starts, matrices, bias, out = borrowed((e, order, starts, matrices, bias, out))
        d, spoiled = e.shape[1], real(0)
        room = np.zeros((MOST_ROWS, (d // padded + 1) * padded), e.dtype)
        totals = np.empty((height, ROWS), e.dtype)
        room_at, totals_at = address_of(room), address_of(totals)
        ahead = stride * max(1, FETCHED // max(1, abs(stride)))
        for g in range(matrices.shape[0]):
            start, rows = starts[g], starts[g + 1] - starts[g]
            for i in range(rows):
                row = order[start + i]
                for c in range(d):
                    room[i, c] = e[row, c]
            for r in range(first, last, height):
                at = matrices[g] + r * stride
                for i in range(0, rows, ROWS):
                    multiplied(at, stride, last - r - 1, room_at + i * room.strides[0], room.strides[0], d, totals_at,
                               at + ahead)  # fmt: skip
                    for k in range(min(ROWS, rows - i)):
                        row = order[start + i + k]
                        for a in range(min(height, last - r)):
                            out[row, r + a] = totals[a, k]
                            spoiled += totals[a, k] * real(0)
            for i in range(rows):
                row = order[start + i]
                if bias.shape[0]:
                    for r in range(first, last):
                        out[row, r] += bias[g, r]
                if normalize:
                    unit(out[row])
        return spoiled

    return map_rows
