"""Register tiles in LLVM IR: rows x columns of scores, and which of them reach their limit, without a score matrix.

Work    one call multiplies a panel of x with a panel of y and compares in registers; scores are stored only if one
        reaches its limit
Shapes  x [steps][rows][group], y [steps][columns][group] -> scores [rows][columns]; `marks`: hits [rows], bit c for
        column c
Cost    rows * columns * group multiply-adds a step; a load of every operand, a broadcast of every x
Sum     features ascending, `group` of them at once in an integer lane (exact), one at a time with fmuladd in floats

A score passes where  total * scale[c] >= limit[r] + row[r] * offset[c].
"""

from dataclasses import dataclass
from functools import cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

AT_ONCE = 2  # steps folded cell by cell, their y from memory; more of them wait for the loads
BIT, BYTE, SHORT, INT32, INT64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()


@dataclass(frozen=True)
class Kind:
    """What is multiplied: `group` codes of `code` fill one lane, which holds a `total`.

    Codes are within `largest`. Sums of `fold` steps of them fit in int16, and codes come in so many steps.
    """

    name: str
    code: str
    group: int
    lane: ir.Type
    total: str
    largest: int = 0
    fold: int = 1

    @property
    def exact(self):
        return self.group > 1


KINDS = {
    kind.name: kind
    for kind in (
        Kind("int6", "int8", 4, INT32, "int32", 31, 8),  # (31 + 32) 31 2 a half lane and step: 31,248 of 32,767
        Kind("int7", "int8", 4, INT32, "int32", 63, 2),  # (63 + 64) 63 2: 32,004
        Kind("int8", "int8", 4, INT32, "int32", 127),
        Kind("int16", "int16", 2, INT32, "int32", 32767),
        Kind("float32", "float32", 1, FLOAT, "float32"),
        Kind("float64", "float64", 1, DOUBLE, "float64"),
    )
}


@dataclass(frozen=True)
class Machine:
    """Register tile of a kind of CPU: `rows` x `vectors` accumulators, `vectors` of y and one broadcast of x."""

    name: str
    bits: int
    rows: int
    vectors: int
    needs: tuple[str, ...]

    def columns(self, kind):
        return self.vectors * self.lanes(kind)

    def lanes(self, kind):
        return self.bits // (64 if kind.lane is DOUBLE else 32)

    def bump(self, kind):
        """What is added to the codes of x where an instruction multiplies unsigned by signed bytes."""
        if kind.code != "int8" or not (self.vnni or self.folds(kind)):
            return 0
        return 128 if self.vnni else kind.largest + 1

    def folds(self, kind):
        """Whether sums of some steps are kept in int16, which vpmaddubsw gives without saturating."""
        return kind.fold > 1 and self.name in ("avx512", "avx2")

    @property
    def vnni(self):
        """Whether an instruction multiplies the codes of a lane and adds them to its total."""
        return self.name.endswith("vnni")


MACHINES = (  # fastest first
    Machine("avx512vnni", 512, 14, 2, ("avx512f", "avx512bw", "avx512vnni")),  # 28 + 2 + 1 of 32 registers
    Machine("avx512", 512, 14, 2, ("avx512f", "avx512bw")),
    Machine("avxvnni", 256, 6, 2, ("avx2", "fma", "avxvnni")),  # 12 + 2 + 1 of 16 registers
    # On Zen 3, from L1: float32 at 0.92 to 0.97 of the FMA peak, int16 at 0.83 of what vpmaddwd and vpaddd reach in
    # registers. 5x2, 4x2, 3x3, 8x1 and 12x1 were no faster; 4x3 spills
    Machine("avx2", 256, 6, 2, ("avx2", "fma")),
    Machine("neon", 128, 8, 3, ("neon", "dotprod")),  # 24 + 3 + 1 of 32 registers
    Machine("portable", 128, 4, 2, ()),  # 8 + 2 + 1 of the 16 that SSE2 has
)


@cache
def runnable():
    """The machines whose tiles this CPU executes, fastest first."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()  # NUMBA_ENABLE_AVX and the like included
    found = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if name.startswith("apple-m"):  # LLVM need not know the features where it knows the name
        found |= {"neon", "dotprod"}
    return tuple(machine for machine in MACHINES if found.issuperset(machine.needs))


@cache
def processor():
    """LLVM's name of the CPU that code is made for: "znver4"."""
    return cpu_target.target_context.codegen().magic_tuple()[1]


class Emitter:
    """The IR of one tile."""

    def __init__(self, builder, kind, machine):
        self.builder, self.kind, self.machine = builder, kind, machine
        self.lanes = machine.lanes(kind)
        self.score = DOUBLE if kind.lane is DOUBLE else FLOAT
        self.vector = ir.VectorType(kind.lane, self.lanes)
        self.suffix = f"v{self.lanes}f{64 if kind.lane is DOUBLE else 32}"  # of functions on vectors of floats
        self.scores = ir.VectorType(self.score, self.lanes)
        self.cells = [(r, v) for r in range(machine.rows) for v in range(machine.vectors)]

    def call(self, name, result, *operands):
        types_of = ir.FunctionType(result, [operand.type for operand in operands])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, types_of, name), operands)

    def at(self, address, offset, element, as_vector):
        pointer = self.builder.gep(self.builder.inttoptr(address, element.as_pointer()), [offset])
        if as_vector:
            pointer = self.builder.bitcast(pointer, ir.VectorType(element, self.lanes).as_pointer())
        return pointer

    def load(self, address, offset, element):
        width = 8 if element is DOUBLE else 4
        return self.builder.load(self.at(address, offset, element, True), align=width)

    def broadcast(self, address, offset, element):
        return self.spread(self.builder.load(self.at(address, offset, element, False)))

    def spread(self, scalar):
        """A vector of it."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, INT32(0))
        lane_0 = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lane_0)

    # ------------------------------------------------------------------------------------------------- multiply, add

    def multiply_add(self, x, y, total):
        if self.kind.code == "int8":
            return self.bytes_added(x, y, total)
        if self.kind.name == "int16" and self.machine.vnni:
            return self.call(f"llvm.x86.avx512.vpdpwssd.{self.machine.bits}", self.vector, total, x, y)
        if self.kind.name == "int16":
            return self.builder.add(total, self.pairs(x, y))
        return self.call(f"llvm.fmuladd.{self.suffix}", self.vector, x, y, total)

    def bytes_added(self, x, y, total):
        """total + the sum of four products of bytes, or of two in each half lane."""
        codes = ir.VectorType(BYTE, 4 * self.lanes)
        if self.machine.folds(self.kind):
            name = {512: "llvm.x86.avx512.pmaddubs.w.512", 256: "llvm.x86.avx2.pmadd.ub.sw"}[self.machine.bits]
            operands = (self.builder.bitcast(operand, codes) for operand in (x, y))
            return self.builder.add(total, self.call(name, total.type, *operands))
        if self.machine.vnni:
            return self.call(f"llvm.x86.avx512.vpdpbusd.{self.machine.bits}", self.vector, total, x, y)
        if self.machine.name == "neon":
            x, y = (self.builder.bitcast(operand, codes) for operand in (x, y))
            return self.call("llvm.aarch64.neon.sdot.v4i32.v16i8", self.vector, total, x, y)
        for half in ("low", "high"):  # as pairs of int16: the even bytes, then the odd ones
            total = self.builder.add(total, self.pairs(*(self.widened(operand, half) for operand in (x, y))))
        return total

    def widened(self, codes, half):
        """The even (low) or odd (high) bytes of each lane as two int16."""
        shorts = ir.VectorType(SHORT, 2 * self.lanes)
        eight = ir.Constant(shorts, [8] * (2 * self.lanes))
        found = self.builder.bitcast(codes, shorts)
        if half == "low":
            found = self.builder.shl(found, eight)
        return self.builder.bitcast(self.builder.ashr(found, eight), self.vector)

    def pairs(self, x, y):
        """Of each lane the sum of two products of int16, exact in int32."""
        shorts = ir.VectorType(SHORT, 2 * self.lanes)
        x, y = (self.builder.bitcast(operand, shorts) for operand in (x, y))
        names = {512: "llvm.x86.avx512.pmaddw.d.512", 256: "llvm.x86.avx2.pmadd.wd"}
        if self.machine.bits in names:
            return self.call(names[self.machine.bits], self.vector, x, y)
        if self.machine.name == "neon":
            return self.call("llvm.aarch64.neon.addp.v4i32", self.vector, *self.halves(x, y))
        wide = ir.VectorType(INT32, 2 * self.lanes)  # LLVM finds pmaddwd, or smull and addp, in this
        product = self.builder.mul(self.builder.sext(x, wide), self.builder.sext(y, wide))
        sides = (
            ir.Constant(ir.VectorType(INT32, self.lanes), list(range(first, 2 * self.lanes, 2))) for first in (0, 1)
        )
        even, odd = (self.builder.shuffle_vector(product, ir.Constant(wide, ir.Undefined), side) for side in sides)
        return self.builder.add(even, odd)

    def halves(self, x, y):
        """The products of the lower and of the upper int16 of two vectors."""
        for first in (0, self.lanes):
            some = ir.Constant(ir.VectorType(INT32, self.lanes), list(range(first, first + self.lanes)))
            left, right = (self.builder.shuffle_vector(side, side, some) for side in (x, y))
            yield self.builder.mul(self.builder.sext(left, self.vector), self.builder.sext(right, self.vector))

    # ----------------------------------------------------------------------------------------------------- the tile

    def totals(self, x, y, start, start_step, steps):
        """The loop over the steps; rows of `start` lie start_step apart, 0 for one row that all share."""
        b, first = self.builder, {}
        for r, v in self.cells:
            offset = b.add(b.mul(INT64(r), start_step), INT64(v * self.lanes))
            first[r, v] = self.load(start, offset, self.kind.lane)
        folds = self.machine.folds(self.kind)
        if folds and self.kind.fold > AT_ONCE:
            return self.folded(x, y, first, steps)
        before, loop, after = b.block, b.append_basic_block("steps"), b.append_basic_block("scored")
        b.branch(loop)
        b.position_at_end(loop)
        step = b.phi(INT64)
        total = {cell: b.phi(self.vector) for cell in self.cells}
        result = (self.fold_of_steps if folds else self.step)(x, y, step, total)
        following = b.add(step, INT64(self.kind.fold if folds else 1))
        step.add_incoming(INT64(0), before)
        step.add_incoming(following, loop)
        for cell in self.cells:
            total[cell].add_incoming(first[cell], before)
            total[cell].add_incoming(result[cell], loop)
        b.cbranch(b.icmp_signed("<", following, steps), loop, after)
        b.position_at_end(after)
        return result

    def fold_of_steps(self, x, y, step, total):
        """The totals with the products of `fold` steps, cell by cell, so that no int16 lanes wait."""
        b, machine, columns = self.builder, self.machine, self.machine.columns(self.kind)
        steps, result = range(self.kind.fold), {}
        zeros, ones = self.shorts(0), self.shorts(1)
        x_at, y_at = b.mul(step, INT64(machine.rows)), b.mul(step, INT64(columns))
        panel = {
            (s, v): self.load(y, b.add(y_at, INT64(s * columns + v * self.lanes)), self.kind.lane)
            for s in steps for v in range(machine.vectors)
        }  # fmt: skip
        for r in range(machine.rows):
            values = [self.broadcast(x, b.add(x_at, INT64(s * machine.rows + r)), self.kind.lane) for s in steps]
            for v in range(machine.vectors):
                short = zeros
                for s in steps:
                    short = self.bytes_added(values[s], panel[s, v], short)
                result[r, v] = b.add(total[r, v], self.pairs(short, ones))
        return result

    def shorts(self, number):
        return ir.Constant(ir.VectorType(SHORT, 2 * self.lanes), [number] * (2 * self.lanes))

    def step(self, x, y, step, total):
        """The totals with the products of one step."""
        b, rows, columns = self.builder, self.machine.rows, self.machine.columns(self.kind)
        x_at, y_at = b.mul(step, INT64(rows)), b.mul(step, INT64(columns))
        panel = [self.load(y, b.add(y_at, INT64(v * self.lanes)), self.kind.lane) for v in range(self.machine.vectors)]
        result = {}
        for r in range(rows):
            value = self.broadcast(x, b.add(x_at, INT64(r)), self.kind.lane)
            for v in range(self.machine.vectors):
                result[r, v] = self.multiply_add(value, panel[v], total[r, v])
        return result

    def folded(self, x, y, start, steps):
        """The same where int16 lanes take `fold` steps, a loop in the loop: unrolled, LLVM spills the lanes."""
        b, lanes, zeros, ones = self.builder, ir.VectorType(SHORT, 2 * self.lanes), self.shorts(0), self.shorts(1)
        before, outer, inner = b.block, b.append_basic_block("folds"), b.append_basic_block("steps")
        widened, after = b.append_basic_block("widened"), b.append_basic_block("scored")
        b.branch(outer)
        b.position_at_end(outer)
        first = b.phi(INT64)
        total = {cell: b.phi(self.vector) for cell in self.cells}
        last = b.add(first, INT64(self.kind.fold))
        b.branch(inner)
        b.position_at_end(inner)
        step = b.phi(INT64)
        short = {cell: b.phi(lanes) for cell in self.cells}
        result = self.step(x, y, step, short)
        following = b.add(step, INT64(1))
        step.add_incoming(first, outer)
        step.add_incoming(following, inner)
        for cell in self.cells:
            short[cell].add_incoming(zeros, outer)
            short[cell].add_incoming(result[cell], inner)
        self.never_unrolled(b.cbranch(b.icmp_signed("<", following, last), inner, widened))
        b.position_at_end(widened)
        first.add_incoming(INT64(0), before)
        first.add_incoming(last, widened)
        found = {cell: b.add(total[cell], self.pairs(value, ones)) for cell, value in result.items()}
        for cell in self.cells:
            total[cell].add_incoming(start[cell], before)
            total[cell].add_incoming(found[cell], widened)
        b.cbranch(b.icmp_signed("<", last, steps), outer, after)
        b.position_at_end(after)
        return found

    def never_unrolled(self, branch):
        module = self.builder.module
        wish = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        branch.set_metadata("llvm.loop", module.add_metadata([wish]))

    def passed(self, total, scale, offset, row, limit):
        """Which scores reach their limit, a vector of bits for each cell."""
        b, vectors = self.builder, range(self.machine.vectors)
        scales = [self.load(scale, INT64(v * self.lanes), self.score) for v in vectors]
        offsets = [self.load(offset, INT64(v * self.lanes), self.score) for v in vectors]
        found = {}
        width = 64 if self.score is DOUBLE else 32
        for r in range(self.machine.rows):
            each, least = (self.broadcast(address, INT64(r), self.score) for address in (row, limit))
            for v in vectors:
                value = b.sitofp(total[r, v], self.scores) if self.kind.exact else total[r, v]
                needed = self.call(f"llvm.fmuladd.v{self.lanes}f{width}", self.scores, each, offsets[v], least)
                found[r, v] = b.fcmp_ordered(">=", b.fmul(value, scales[v]), needed)
        return found

    def stored_if_any(self, total, found, scores):
        """The scores, if a single bit is set; 1 if they were stored."""
        b, bits = self.builder, ir.IntType(self.lanes)
        any_bit = found[0][0, 0]
        for cells in found:
            for bit in cells.values():
                any_bit = b.or_(any_bit, bit)
        stored = b.icmp_unsigned("!=", b.bitcast(any_bit, bits), bits(0))
        with b.if_then(stored, likely=False):
            self.store(total, scores)
        return b.zext(stored, INT64)

    def store(self, total, scores):
        for cell, value in total.items():
            self.builder.store(value, self.at(scores, self.place(*cell), self.kind.lane, True), align=4)

    def place(self, r, v):
        return INT64(r * self.machine.columns(self.kind) + v * self.lanes)

    def stored(self, scores):
        """Scores that a tile has written."""
        return {cell: self.load(scores, self.place(*cell), self.kind.lane) for cell in self.cells}

    def words(self, found, hits):
        """A word for each row: bit c is set where column c passed."""
        b, bits = self.builder, ir.IntType(self.lanes)
        for r in range(self.machine.rows):
            word = INT64(0)
            for v in range(self.machine.vectors):
                part = b.zext(b.bitcast(found[r, v], bits), INT64)
                word = b.or_(word, b.shl(part, INT64(v * self.lanes)))
            b.store(word, self.at(hits, INT64(r), INT64, False))


@cache
def tile(kind, machine, tests=1):
    """The intrinsic of one register tile: 1 if a score passed a test and all were written to `scores`, else 0.

    With tests=0 all are written, for more steps to start from. Addresses and numbers, all int64; the second
    (offset, row, limit) is read only with tests=2.
    """

    def scored(typing, x, y, start, start_step, steps, scores, scale, offset, row, limit, offset_2, row_2, limit_2):
        def emit(context, builder, signature, given):
            return tile_code(builder, kind, machine, tests, given)

        return types.int64(*[types.int64] * 13), emit

    return intrinsic(scored)


def tile_code(builder, kind, machine, tests, given):
    """The IR of `tile`, whose 13 arguments are given."""
    x, y, start, start_step, steps, scores, scale, *limits = given
    e = Emitter(builder, kind, machine)
    total = e.totals(x, y, start, start_step, steps)
    if not tests:
        e.store(total, scores)
        return INT64(1)
    found = [e.passed(total, scale, *limits[at : at + 3]) for at in range(0, 3 * tests, 3)]
    return e.stored_if_any(total, found, scores)


@cache
def marks(kind, machine):
    """The intrinsic that writes which of a tile's scores pass: hits [rows] int64."""

    def marked(typing, scores, scale, offset, row, limit, hits):
        def emit(context, builder, signature, given):
            scores, scale, offset, row, limit, hits = given
            e = Emitter(builder, kind, machine)
            e.words(e.passed(e.stored(scores), scale, offset, row, limit), hits)
            return INT64(0)

        return types.int64(*[types.int64] * 6), emit

    return intrinsic(marked)


@intrinsic
def lowest_bit(typing, word):
    """Position of the lowest set bit."""

    def emit(context, builder, signature, given):
        return builder.cttz(given[0], BIT(1))

    return types.int64(types.int64), emit


@intrinsic
def ones(typing, word):
    """Number of set bits."""

    def emit(context, builder, signature, given):
        return builder.ctpop(given[0])

    return types.int64(types.int64), emit
