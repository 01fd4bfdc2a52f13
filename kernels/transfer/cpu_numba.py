"""`transfer` on Numba: each matrix read once, with all of the rows that it maps; many rows of one matrix go to BLAS.

Work    jobs of matrices, or of a range of rows of one, shared out among the threads of the pool; nogil
Shapes  e (n, d_in), m (d_out, d_in) or (g, d_out, d_in), bias (d_out,) or (g, d_out), which (n,) -> out (n, d_out)
Cost    reading the matrices, at the speed of the memory up to FEW_ROWS rows each; scratch at most max_bytes
Sum     lanes over the features with fmuladd, then the lanes, in the dtype of out: fewer roundings than d_in; bias last

One matrix with many rows: our float32 tile reaches 85 % of OpenBLAS's product, so that there is none here.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..tiles import pool, simd
from ..tiles.jit import borrowed, kernel
from ..tiles.simd import INT32, INT64
from . import cpu_numpy

ROWS_M, ROWS_E = 3, 4  # of a register tile: 12 totals, 3 of M and 1 of E fill the 16 registers of AVX2
LINE = 64  # bytes
AHEAD = 2  # tiles of M that are fetched while one is multiplied: left to the CPU, 0.57 of the bandwidth instead of 0.75
INTO_L1 = 3  # the hint of llvm.prefetch; 2 (L2) was no better
FEW_ROWS = 16  # of a matrix; with more, BLAS is quicker
BLOCK_BYTES = 1 << 27  # of rows of E read at a time: a matrix is read once a block
JOB_BYTES, LEAST_JOB_BYTES = 1 << 23, 1 << 18  # of matrices
JOBS_PER_THREAD = 4
LEAST_ROWS = 16
BIAS_BYTES = 1 << 20  # of biases added at a time


def declines(e, m, bias, which, *, precision, out, **_):
    return cpu_numpy.declines(e, m, bias, which, precision=precision, out=out)


@cache
def _tile(kind, machine):
    """The intrinsic that multiplies rows of M by rows of E.

    Addresses of the first row of M, bytes to the next, how many differ from the last; the same for E, d, totals (m, e);
    and the address of what M has next: as many bytes as are read here are fetched from there.
    """
    lanes = machine.lanes(kind)
    vector, width = ir.VectorType(kind.lane, lanes), 4 if kind.name == "float32" else 8
    cells = [(a, k) for a in range(ROWS_M) for k in range(ROWS_E)]
    fetched = -(-ROWS_M * lanes * width // LINE)  # lines a step

    def multiplied(typing, m, m_stride, m_last, e, e_stride, d, totals, ahead):
        def emit(context, b, signature, given):
            m, m_stride, m_last, e, e_stride, d, totals, ahead = given
            emitter = simd.Emitter(b, kind, machine)
            numbers = [b.select(b.icmp_signed("<", INT64(a), m_last), INT64(a), m_last) for a in range(ROWS_M)]
            sides = [b.add(m, b.mul(m_stride, number)) for number in numbers]
            rows = [b.add(e, b.mul(e_stride, INT64(k))) for k in range(ROWS_E)]
            nothing, suffix = ir.Constant(vector, [0.0] * lanes), f"v{lanes}f{8 * width}"

            def added(total, at, load):
                left = [load(side, at) for side in sides]
                result = {}
                for k, row in enumerate(rows):
                    right = emitter.load(row, at, kind.lane)
                    for a in range(ROWS_M):
                        result[a, k] = emitter.multiply_add(left[a], right, total[a, k])
                return result

            def fetch(at):
                start = b.add(ahead, b.mul(at, INT64(ROWS_M * width)))
                for line in range(fetched):
                    place = b.inttoptr(b.add(start, INT64(line * LINE)), ir.IntType(8).as_pointer())
                    kinds = ir.FunctionType(ir.VoidType(), [place.type, INT32, INT32, INT32])
                    fetcher = cgutils.get_or_insert_function(b.module, kinds, "llvm.prefetch.p0")
                    b.call(fetcher, [place, INT32(0), INT32(INTO_L1), INT32(1)])

            def masked(side, at):
                """What is left of a row of M: nothing behind it is touched."""
                left = _spread(b, b.trunc(b.sub(d, at), INT32), lanes)
                there = b.icmp_signed(">", left, ir.Constant(left.type, list(range(lanes))))
                place = emitter.at(side, at, kind.lane, True)
                return emitter.call(f"llvm.masked.load.{suffix}.p0", vector, place, INT32(width), there, nothing)

            whole = b.mul(b.sdiv(d, INT64(lanes)), INT64(lanes))
            before, loop, after = b.block, b.append_basic_block("steps"), b.append_basic_block("multiplied")
            b.cbranch(b.icmp_signed(">", whole, INT64(0)), loop, after)
            b.position_at_end(loop)
            at, total = b.phi(INT64), {cell: b.phi(vector) for cell in cells}
            fetch(at)
            result = added(total, at, lambda side, at: emitter.load(side, at, kind.lane))
            following = b.add(at, INT64(lanes))
            b.cbranch(b.icmp_signed("<", following, whole), loop, after)
            b.position_at_end(after)
            found = {cell: b.phi(vector) for cell in cells}
            for phi, start in ((at, INT64(0)), *((total[cell], nothing) for cell in cells)):
                phi.add_incoming(start, before)
            at.add_incoming(following, loop)
            for cell in cells:
                total[cell].add_incoming(result[cell], loop)
                found[cell].add_incoming(nothing, before)
                found[cell].add_incoming(result[cell], loop)
            adder = ir.FunctionType(kind.lane, [kind.lane, vector])
            adder = cgutils.get_or_insert_function(b.module, adder, f"llvm.vector.reduce.fadd.{suffix}")
            for (a, k), lanes_of in added(found, whole, masked).items():
                sum_of = b.call(adder, [kind.lane(-0.0), lanes_of], fastmath=("reassoc",))
                b.store(sum_of, emitter.at(totals, INT64(a * ROWS_E + k), kind.lane, False))
            return INT64(0)

        return types.int64(*[types.int64] * 8), emit

    return intrinsic(multiplied)


def _spread(b, scalar, lanes):
    undefined = ir.Constant(ir.VectorType(INT32, lanes), ir.Undefined)
    zero = ir.Constant(undefined.type, [0] * lanes)
    return b.shuffle_vector(b.insert_element(undefined, scalar, INT32(0)), undefined, zero)


@cache
def _mapper(kind, machine):
    """The kernel that maps the rows of some matrices; see the parameters there."""
    multiplied, lanes = _tile(kind, machine), machine.lanes(kind)
    real = np.float32 if kind.name == "float32" else np.float64

    @kernel(kind.name, machine.name)
    def map_rows(e, order, starts, matrices, stride, first, last, out):
        """Rows order[starts[g]:starts[g + 1]] of e by rows first..last of the matrix at address matrices[g], its rows
        `stride` bytes apart. Returns 0 times the sum of the result: NaN if some of it is not finite."""
        e, order, starts, matrices, out = borrowed((e, order, starts, matrices, out))
        d, spoiled = e.shape[1], real(0)
        room = np.zeros((FEW_ROWS, (d // lanes + 1) * lanes), e.dtype)
        totals = np.empty((ROWS_M, ROWS_E), e.dtype)
        room_at, totals_at = room.ctypes.data, totals.ctypes.data
        for g in range(matrices.shape[0]):
            start, rows = starts[g], starts[g + 1] - starts[g]
            for i in range(rows):
                row = order[start + i]
                for c in range(d):
                    room[i, c] = e[row, c]
            for r in range(first, last, ROWS_M):
                at = matrices[g] + r * stride
                for i in range(0, rows, ROWS_E):
                    multiplied(at, stride, last - r - 1, room_at + i * room.strides[0], room.strides[0], d, totals_at,
                               at + AHEAD * ROWS_M * stride)  # fmt: skip
                    for k in range(min(ROWS_E, rows - i)):
                        row = order[start + i + k]
                        for a in range(min(ROWS_M, last - r)):
                            out[row, r + a] = totals[a, k]
                            spoiled += totals[a, k] * real(0)
        return spoiled

    return map_rows


def transfer(e, m, bias, which, *, out, max_bytes, precision, tick=None):
    """Fill out (n, d_out)."""
    if which is None and len(e) > FEW_ROWS:
        cpu_numpy.transfer(e, m, bias, which, out=out, max_bytes=max_bytes, precision=precision, tick=tick)
        return
    single = which is None
    if single:
        m, which = np.asarray(m[:])[None], np.zeros(len(e), np.int64)
    if bias is not None:
        bias = np.broadcast_to(bias, m.shape[:2])
    step, threads = _sizes(len(e), m, out, max_bytes)
    with pool.at_most(threads), np.errstate(over="ignore", invalid="ignore"):
        for start, stop in e.blocks(step):
            _block(e, m, which, single, out, start, stop)
            if bias is not None:
                part = max(1, BIAS_BYTES // (out.itemsize * m.shape[1]))
                for at in range(start, stop, part):
                    rows = slice(at, min(at + part, stop))
                    out[rows] += bias[which[rows]].astype(out.dtype, copy=False)
            if tick is not None:
                tick(stop, len(e))


def _sizes(n, m, out, max_bytes):
    """(rows of E at a time, threads) that fit."""
    d_out, d_in = m.shape[1:]
    row = out.itemsize * (3 * d_in + 2 * d_out) + 64
    thread = out.itemsize * (FEW_ROWS + 1) * (d_in + 32) + (
        0 if _plain(m, out.dtype) else 2 * out.itemsize * d_out * d_in
    )
    rows, threads = min(max(1, n), max(LEAST_ROWS, BLOCK_BYTES // row)), pool.threads()
    while (needed := threads * thread + rows * row + BIAS_BYTES + out.itemsize * d_out) > max_bytes:
        if rows > LEAST_ROWS:
            rows = max(LEAST_ROWS, rows // 2)
        elif threads > 1:
            threads -= 1
        else:
            raise ValueError(f"max_bytes must be at least {needed} for M of shape {(d_out, d_in)}, got {max_bytes}")
    return rows, threads


def _plain(m, dtype):
    """Whether the kernel can read the matrices where they are."""
    return (
        isinstance(m, np.ndarray) and m.dtype == dtype and m.dtype.isnative and m.flags.aligned
        and (m.strides[-1] == m.itemsize or m.shape[-1] == 1)
    )  # fmt: skip


def _block(e, m, which, single, out, start, stop):
    """Rows start..stop of out, without the bias."""
    named = which[start:stop]
    order = np.argsort(named, kind="stable")
    starts = np.flatnonzero(np.diff(named[order], prepend=-1, append=-1))
    numbers = named[order[starts[:-1]]]
    block = np.ascontiguousarray(e.unchecked(start, stop).astype(out.dtype, copy=False))
    straight = out.flags.c_contiguous
    target = out[start:stop] if straight else np.empty((stop - start, out.shape[1]), out.dtype)
    few = np.diff(starts) <= FEW_ROWS
    spoiled = _mapped(block, order, starts, m, numbers, few, target)
    for g in np.flatnonzero(~few):
        rows = order[starts[g] : starts[g + 1]]
        mapped = block[rows] @ cpu_numpy._matrix(m, numbers[g], False, out.dtype).T
        spoiled |= not np.isfinite(mapped).all()
        target[rows] = mapped
    if spoiled and e.check_finite:  # an overflow, or somebody's infinity
        e.block(start, stop)
        for number in numbers:
            cpu_numpy._matrix(m[0] if single else m, None if single else number, True, out.dtype)
    if not straight:
        out[start:stop] = target


def _mapped(block, order, starts, m, numbers, few, target):
    """The groups of few rows; whether some of the result is not finite."""
    d_out, plain, spoiled = m.shape[1], _plain(m, target.dtype), []
    bytes_of = d_out * m.shape[2] * target.itemsize
    chosen, groups = np.flatnonzero(few), []
    share = bytes_of * len(chosen) // (JOBS_PER_THREAD * pool.threads()) + 1
    size = min(JOB_BYTES, max(LEAST_JOB_BYTES, share))
    at_once, rows = max(1, size // bytes_of), max(ROWS_M, -(-d_out * size // bytes_of) // ROWS_M * ROWS_M)
    if not plain:
        at_once, rows = 1, d_out
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)  # what stands between has many rows
    for run in runs:
        groups += [run[at : at + at_once] for at in range(0, len(run), at_once)]
    kind = simd.KINDS[target.dtype.name]
    mapper = _mapper(kind, simd.runnable()[0])

    def job(group, first):
        last = min(first + rows, d_out)
        if plain:
            stride, matrices = m.strides[1], m.ctypes.data + numbers[group] * m.strides[0]
        else:
            matrix = np.ascontiguousarray(cpu_numpy._matrix(m, numbers[group[0]], False, target.dtype))
            stride, matrices = matrix.strides[0], np.array([matrix.ctypes.data])
        edges = starts[group[0] : group[-1] + 2]
        spoiled.append(mapper(block, order, edges, matrices, stride, first, last, target))

    pool.run([
        lambda group=group, first=first: job(group, first)
        for group in groups if len(group) for first in range(0, d_out, rows)
    ])  # fmt: skip
    return not np.isfinite(spoiled).all()
