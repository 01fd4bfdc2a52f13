"""All products of two sides, finished in registers: distances in the output's dtype, each written once.

Work    one call a job: its panels of x against its panels of y, nogil; a panel of x stays in L1, those of y in L2,
        and rows of out are written from left to right
Shapes  codes (panels, steps, width), numbers (3, panels * width) float64 -> a part of out (m, n), C order
Cost    2 m n d flops; a tile of totals in L1, read and written every chunk of features
Sum     chunks of CHUNKS features in the codes' dtype with fmuladd, ascending; chunks in int32, cut to whole numbers, or
        float64

    v_ij = base_i + base_j + weight_i weight_j <code_i, code_j>,   to be repaired where not v_ij >= limit_i + limit_j

Float32 codes have a norm below LENGTH, so that every sum of chunks is below 2**31 (Cauchy-Schwarz) and fits int32: one
conversion and one addition for eight scores, where totals in float64 would take four. One thread of a Zen 3 did 60
GFLOP/s of the 70 that OpenBLAS reached beside it, and 35 of 38 in float64. Down the columns of out instead of along its
rows it was half as fast at d = 64: 192 rows of it wait for the rest of their cache lines then.
"""

from functools import cache

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import simd
from .jit import address_of, borrowed, kernel
from .simd import DOUBLE, FLOAT, INT32, INT64

GROUP = 8  # features the loop takes at a time; rows are padded to it
CHUNKS = {"float32": (16, 8), "float64": (64,)}  # features a chunk: so many roundings instead of d, the quicker first
LENGTH = 46340.0  # norm of float32 codes: its square is below 2**31 by more than the roundings of all chunks


class _Finisher(simd.Emitter):
    """The IR of a tile of products with its ending."""

    def __init__(self, builder, kind, machine, result):
        super().__init__(builder, kind, machine)
        self.total = INT32 if kind.name == "float32" else DOUBLE
        self.totals = ir.VectorType(self.total, self.lanes)
        self.wide = ir.VectorType(DOUBLE, self.lanes)
        self.result = FLOAT if result == "float32" else DOUBLE

    def multiplied(self, x, y, groups, most):
        """Totals of the products of so many groups of GROUP features, `most` groups a chunk."""
        b, zero = self.builder, self.zeros(self.totals)
        before, loop = b.block, b.append_basic_block("chunks")
        b.branch(loop)
        b.position_at_end(loop)
        first = b.phi(INT64)
        first.add_incoming(INT64(0), before)
        total = {cell: b.phi(self.totals) for cell in self.cells}  # spilled: a load and a store a chunk
        left = b.sub(groups, first)
        following = b.add(first, b.select(b.icmp_signed("<", left, most), left, most))
        product = self.chunk(x, y, first, following)
        result = {}
        for cell, value in product.items():
            whole = self.total is INT32
            result[cell] = b.add(total[cell], b.fptosi(value, self.totals)) if whole else b.fadd(total[cell], value)
            total[cell].add_incoming(zero, before)
            total[cell].add_incoming(result[cell], b.block)
        first.add_incoming(following, b.block)
        after = b.append_basic_block("multiplied")
        b.cbranch(b.icmp_signed("<", following, groups), loop, after)
        b.position_at_end(after)
        return result

    def chunk(self, x, y, first, end):
        """Products of the groups first..end in the codes' dtype."""
        b, zero = self.builder, self.zeros(self.vector)
        before, loop, after = b.block, b.append_basic_block("groups"), b.append_basic_block("chunk")
        b.branch(loop)
        b.position_at_end(loop)
        at = b.phi(INT64)
        last = {cell: b.phi(self.vector) for cell in self.cells}
        product = self.group(x, y, at, last)
        following = b.add(at, INT64(1))
        for phi, start, later in ((at, first, following), *((last[cell], zero, product[cell]) for cell in self.cells)):
            phi.add_incoming(start, before)
            phi.add_incoming(later, loop)
        b.cbranch(b.icmp_signed("<", following, end), loop, after)
        b.position_at_end(after)
        return product

    def group(self, x, y, at, product):
        """GROUP features more."""
        b, rows, columns = self.builder, self.machine.rows, self.machine.columns(self.kind)
        for step in range(GROUP):
            feature = b.add(b.mul(at, INT64(GROUP)), INT64(step))
            x_at, y_at = b.mul(feature, INT64(rows)), b.mul(feature, INT64(columns))
            panel = [
                self.load(y, b.add(y_at, INT64(v * self.lanes)), self.kind.lane) for v in range(self.machine.vectors)
            ]
            values = [self.broadcast(x, b.add(x_at, INT64(r)), self.kind.lane) for r in range(rows)]
            product = {(r, v): self.multiply_add(values[r], panel[v], product[r, v]) for r, v in self.cells}
        return product

    def zeros(self, vector):
        return ir.Constant(vector, [0] * self.lanes)

    def numbers(self, read, address, stride, row):
        """base, weight and limit from a place on: `read` spreads those of a row or loads those of columns."""
        b = self.builder
        for part in range(3):
            yield read(address, b.add(b.mul(INT64(part), stride), INT64(row)), DOUBLE)

    def finished(self, total, x, x_stride, y, y_stride, ceiling, out, out_stride, rooted):
        """Stores every value; which are to be repaired, a vector of bits for each cell."""
        b, found = self.builder, {}
        most = self.spread(ceiling)
        columns = [list(self.numbers(self.load, y, y_stride, v * self.lanes)) for v in range(self.machine.vectors)]
        for r in range(self.machine.rows):
            base, weight, limit = self.numbers(self.broadcast, x, x_stride, r)
            for v, (y_base, y_weight, y_limit) in enumerate(columns):
                score = total[r, v] if self.total is DOUBLE else b.sitofp(total[r, v], self.wide)
                name = f"llvm.fmuladd.v{self.lanes}f64"
                value = self.call(name, self.wide, b.fmul(score, y_weight), weight, b.fadd(base, y_base))
                found[r, v] = b.fcmp_unordered("<", value, b.fadd(limit, y_limit))
                value = b.select(b.fcmp_ordered("<", value, most), value, most)
                place = b.add(b.mul(INT64(r), out_stride), INT64(v * self.lanes))
                self.written(value, self.at(out, place, self.result, True), rooted)
        return found

    def written(self, value, place, rooted):
        """Values of float32 codes are normal numbers of float32: their root is taken there, in half the time."""
        b, narrow = self.builder, ir.VectorType(FLOAT, self.lanes)
        early = self.result is FLOAT and self.total is INT32
        if early:
            value = b.fptrunc(value, narrow)
        if rooted:
            value = self.call(f"llvm.sqrt.v{self.lanes}f{32 if early else 64}", value.type, value)
        if self.result is FLOAT and not early:
            value = b.fptrunc(value, narrow)
        b.store(value, place, align=4 if self.result is FLOAT else 8)


@cache
def tile(kind, machine, result, rooted):
    """The intrinsic of one register tile: 1 if an entry is to be repaired and `hits` says which, else 0."""

    def stored(typing, x, y, groups, most, x_numbers, x_stride, y_numbers, y_stride, ceiling, out, out_stride, hits):
        def emit(context, builder, signature, given):
            x, y, groups, most, *ending, hits = given
            e = _Finisher(builder, kind, machine, result)
            found = e.finished(e.multiplied(x, y, groups, most), *ending, rooted)
            any_bit = None
            for bit in found.values():
                any_bit = bit if any_bit is None else builder.or_(any_bit, bit)
            bits = ir.IntType(e.lanes)
            some = builder.icmp_unsigned("!=", builder.bitcast(any_bit, bits), bits(0))
            with builder.if_then(some, likely=False):
                e.words(found, hits)
            return builder.zext(some, INT64)

        kinds = [types.int64] * 8 + [types.float64] + [types.int64] * 3
        return types.int64(*kinds), emit

    return intrinsic(stored)


@cache
def sweeper(kind, machine, result, rooted):
    """The kernel that fills a part of `out` and lists the pairs to repair; see the parameters there."""
    multiplied, lowest_bit = tile(kind, machine, result, rooted), simd.lowest_bit
    rows, columns = machine.rows, machine.columns(kind)

    @kernel(kind.name, machine.name, result, "root" if rooted else "plain")
    def sweep(x, y, chunk, ceiling, first_i, first_j, alone, mirrored, out, top, left, m, n, start, pairs, room):
        """x, y: (codes, numbers) of rows first_i.. and first_j..; out[top:top + m, left:left + n] is filled; if
        `alone`, where x is y, on and above the diagonal, and its mirror image if `mirrored`. Tiles from `start` on;
        returns (pairs listed, the tile to go on with)."""
        x_codes, x_numbers = borrowed(x)
        y_codes, y_numbers = borrowed(y)
        out, pairs = borrowed(out), borrowed(pairs)
        buffer, hits = borrowed(room)
        groups, most = x_codes.shape[1] // GROUP, chunk // GROUP
        x_at, y_at, x_numbers_at, y_numbers_at, out_at, buffer_at = (
            address_of(x_codes), address_of(y_codes), address_of(x_numbers), address_of(y_numbers), address_of(out),
            address_of(buffer),
        )  # fmt: skip
        hits_at, size = address_of(hits), out.itemsize
        panels, count = y_codes.shape[0], 0
        p, q = start // panels, start % panels - 1
        for at in range(start, panels * x_codes.shape[0]):
            q += 1
            if q == panels:
                p, q = p + 1, 0
            row, column = p * rows, q * columns
            i, j = first_i + row, first_j + column
            if alone and i >= j + columns:
                continue
            if count + rows * columns > pairs.shape[1]:
                return count, at
            whole = row + rows <= m and column + columns <= n and not (alone and i + rows > j)
            target, stride = buffer_at, columns
            if whole:
                target, stride = out_at + size * ((top + row) * out.shape[1] + left + column), out.shape[1]
            some = multiplied(
                x_at + p * x_codes.strides[0], y_at + q * y_codes.strides[0], groups, most,
                x_numbers_at + 8 * row, x_numbers.shape[1], y_numbers_at + 8 * column, y_numbers.shape[1],
                ceiling, target, stride, hits_at,
            )  # fmt: skip
            if not whole:
                for r in range(min(rows, m - row)):
                    for c in range(min(columns, n - column)):
                        if not alone or i + r <= j + c:
                            out[top + row + r, left + column + c] = buffer[r, c]
            if mirrored:
                for c in range(min(columns, n - column)):
                    for r in range(min(rows, m - row, j + c - i)):
                        out[left + column + c, top + row + r] = out[top + row + r, left + column + c]
            if some:
                for r in range(min(rows, m - row)):
                    word = hits[r]
                    while word != 0:
                        c = lowest_bit(word)
                        word &= word - 1
                        if column + c < n and (not alone or i + r <= j + c):
                            pairs[0, count], pairs[1, count] = row + r, column + c
                            count += 1
        return count, panels * x_codes.shape[0]

    return sweep
