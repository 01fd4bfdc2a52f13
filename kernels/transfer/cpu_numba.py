"""`transfer` on Numba: each matrix read once, with all of the rows that it maps; many rows of one matrix go to BLAS.

Work    jobs of matrices, or of a range of rows of one, shared out among the threads of the pool; nogil
Shapes  e (n, d_in), m (d_out, d_in) or (g, d_out, d_in), bias (d_out,) or (g, d_out), which (n,) -> out (n, d_out)
Cost    reading the matrices, at the speed of the memory for few rows each; scratch at most max_bytes
Sum     `tiles/mapper.py`: in the dtype of out, fewer roundings than d_in, the bias last

One matrix with many rows: our float32 tile reaches 85 % of OpenBLAS's product, so that there is none here.
"""

import numpy as np

from ..tiles import pool, simd
from ..tiles.mapper import MOST_ROWS, MULTIPLYING, READING, ROWS, mapper
from ..tiles.matrices import matrix, to_unit, unit_bytes
from . import cpu_numpy

BLOCK_BYTES = 1 << 27  # of rows of E read at a time: a matrix is read once a block
JOB_BYTES, LEAST_JOB_BYTES = 1 << 23, 1 << 18  # of matrices
JOBS_PER_THREAD = 4
LEAST_ROWS = 16
BIAS_BYTES = 1 << 18  # of the biases of a job


def declines(e, m, bias, which, *, precision, out, **_):
    return cpu_numpy.declines(e, m, bias, which, precision=precision, out=out)


def transfer(e, m, bias, which, *, normalize, out, max_bytes, precision, tick=None):
    """Fill out (n, d_out)."""
    if which is None and len(e) > MOST_ROWS:
        cpu_numpy.transfer(
            e, m, bias, which, normalize=normalize, out=out, max_bytes=max_bytes, precision=precision, tick=tick
        )
        return
    _Call(e, m, bias, which, normalize, out).run(max_bytes, tick)


class _Call:
    """One call: its blocks of rows, its jobs."""

    def __init__(self, e, m, bias, which, normalize, out):
        self.single = which is None
        if self.single:
            m, which = np.asarray(m[:])[None], np.zeros(len(e), np.int64)
        self.e, self.m, self.which, self.normalize, self.out = e, m, which, normalize, out
        self.bias = None if bias is None else np.broadcast_to(bias, m.shape[:2])
        self.plain = (  # the kernel can read the matrices where they are
            isinstance(m, np.ndarray) and m.dtype == out.dtype and m.dtype.isnative and m.flags.aligned
            and (m.strides[-1] == m.itemsize or m.shape[-1] == 1)
        )  # fmt: skip

    def run(self, max_bytes, tick):
        step, threads = self._sizes(max_bytes)
        named = np.count_nonzero(np.bincount(self.which))
        tile = READING if len(self.e) <= ROWS * named else MULTIPLYING  # of the call: blocks leave the bits
        self.mapper = mapper(simd.KINDS[self.out.dtype.name], simd.runnable()[0], tile)
        with pool.at_most(threads), np.errstate(over="ignore", invalid="ignore"):
            for start, stop in self.e.blocks(step):
                self._block(start, stop)
                if tick is not None:
                    tick(stop, len(self.e))

    def _sizes(self, max_bytes):
        """(rows of E at a time, threads) that fit."""
        n, (d_out, d_in), item = len(self.e), self.m.shape[1:], self.out.itemsize
        row = item * (3 * d_in + 2 * d_out) + 64
        thread = item * (MOST_ROWS + 1) * (d_in + 64) + 3 * (BIAS_BYTES + item * d_out)
        thread += 0 if self.plain else 2 * item * d_out * d_in
        fixed = 8 * len(self.m) + (unit_bytes(d_out) + MOST_ROWS * item * d_out if self.normalize else 0)
        rows, threads = min(max(1, n), max(LEAST_ROWS, BLOCK_BYTES // row)), pool.threads()
        while (needed := fixed + threads * thread + rows * row) > max_bytes:
            if rows > LEAST_ROWS:
                rows = max(LEAST_ROWS, rows // 2)
            elif threads > 1:
                threads -= 1
            else:
                raise ValueError(f"max_bytes must be at least {needed} for M of shape {(d_out, d_in)}, got {max_bytes}")
        return rows, threads

    def _block(self, start, stop):
        """Rows start..stop of out."""
        named, dtype = self.which[start:stop], self.out.dtype
        order = np.argsort(named, kind="stable")
        starts = np.flatnonzero(np.diff(named[order], prepend=-1, append=-1))
        numbers = named[order[starts[:-1]]]
        block = np.ascontiguousarray(self.e.unchecked(start, stop).astype(dtype, copy=False))
        straight = self.out.flags.c_contiguous
        target = self.out[start:stop] if straight else np.empty((stop - start, self.out.shape[1]), dtype)
        few = np.diff(starts) <= MOST_ROWS
        spoiled = self._mapped(block, order, starts, numbers, few, target)
        for g in np.flatnonzero(~few):
            rows = order[starts[g] : starts[g + 1]]
            mapped = block[rows] @ matrix(self.m, numbers[g], False, dtype).T
            spoiled |= not np.isfinite(mapped).all()
            if self.bias is not None:
                mapped += self.bias[numbers[g]].astype(dtype, copy=False)
            if self.normalize:
                to_unit(mapped)
            target[rows] = mapped
        if spoiled and self.e.check_finite:  # an overflow, or somebody's infinity
            self.e.block(start, stop)
            for number in numbers:
                matrix(self.m[0] if self.single else self.m, None if self.single else number, True, dtype)
        if not straight:
            self.out[start:stop] = target

    def _mapped(self, block, order, starts, numbers, few, target):
        """The groups of few rows; whether some product is not finite."""
        m, d_out, spoiled = self.m, target.shape[1], []
        chosen, groups = np.flatnonzero(few), []
        at_once, rows = self._job(len(chosen))
        for run in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1):  # what stands between has many rows
            groups += [run[at : at + at_once] for at in range(0, len(run), at_once)]
        whole = rows >= d_out

        def job(group, first):
            last = min(first + rows, d_out)
            if self.plain:
                stride, matrices = m.strides[1], m.ctypes.data + numbers[group] * m.strides[0]
            else:
                found = np.ascontiguousarray(matrix(m, numbers[group[0]], False, target.dtype))
                stride, matrices = found.strides[0], np.array([found.ctypes.data])
            edges = starts[group[0] : group[-1] + 2]
            bias = np.empty((0, d_out), target.dtype)
            if self.bias is not None:
                bias = self.bias[numbers[group]].astype(target.dtype, copy=False)
            unit = self.normalize and whole
            spoiled.append(self.mapper(block, order, edges, matrices, stride, first, last, bias, unit, target))

        pool.run([
            lambda group=group, first=first: job(group, first) for group in groups for first in range(0, d_out, rows)
        ])  # fmt: skip
        if self.normalize and not whole:  # a matrix shared out: no job has whole rows of the result
            for g in chosen:
                mapped = target[order[starts[g] : starts[g + 1]]]
                to_unit(mapped)
                target[order[starts[g] : starts[g + 1]]] = mapped
        return not np.isfinite(spoiled).all()

    def _job(self, matrices):
        """(matrices, rows of them) of a job."""
        d_out, d_in = self.m.shape[1:]
        if not self.plain:
            return 1, max(1, d_out)
        bytes_of = max(1, d_out * d_in * self.out.itemsize)
        share = bytes_of * matrices // (JOBS_PER_THREAD * pool.threads()) + 1
        size = min(JOB_BYTES, max(LEAST_JOB_BYTES, share))
        most = max(1, BIAS_BYTES // (self.out.itemsize * max(1, d_out)))
        height = MULTIPLYING.rows
        return max(1, min(size // bytes_of, most)), max(height, -(-d_out * size // bytes_of) // height * height)
