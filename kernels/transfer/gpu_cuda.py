"""`transfer` on CUDA: each matrix copied to the device once a block of rows, with all of the rows that it maps.

Work    blocks of rows; their matrices as many at a time as fit, `tiles/cuda/mapper.py`
Shapes  e (n, d_in), m (d_out, d_in) or (g, d_out, d_in), bias (d_out,) or (g, d_out), which (n,) -> out (n, d_out)
Cost    copying the matrices and rows there and the result back; memory on the device and here at most max_bytes
Sum     in the dtype of out, full precision; lengths in float64
"""

import numpy as np

from ..tiles.cuda import driver as drivers
from ..tiles.cuda.mapper import finished, mapped
from ..tiles.cuda.memory import refuse
from ..tiles.cuda.resident import lying
from ..tiles.cuda.search import fitted
from ..tiles.matrices import held, matrix
from . import cpu_numpy

LEAST_ROWS = 16
ROW_BYTES = 64  # of the numbers of a row: its matrix, its places


def declines(e, m, bias, which, *, precision, out, **_):
    return cpu_numpy.declines(e, m, bias, which, precision=precision, out=out) or drivers.obstacle()


def transfer(e, m, bias, which, *, normalize, out, max_bytes, precision, tick=None):
    """Fill out (n, d_out)."""
    if not out.size or not e.shape[1]:
        cpu_numpy.transfer(
            e, m, bias, which, normalize=normalize, out=out, max_bytes=max_bytes, precision=precision, tick=tick
        )
        return
    driver = drivers.current()
    call = _Call(driver, e, m, bias, which, normalize, out)
    fitted(driver, max_bytes, lambda room: call.run(max_bytes, room, tick))


class _Call:
    """One call: its blocks of rows."""

    def __init__(self, driver, e, m, bias, which, normalize, out):
        self.driver, self.e, self.m, self.normalize, self.out = driver, e, m, normalize, out
        self.single = which is None
        self.which = np.zeros(len(e), np.int64) if self.single else which
        self.shape = (1, *m.shape) if self.single else m.shape
        self.bias = None if bias is None else np.broadcast_to(bias, self.shape[:2])

    def run(self, max_bytes, room, tick):
        rows, matrices = self._sizes(max_bytes, room)
        for start, stop in self.e.blocks(rows):
            self._block(start, stop, matrices)
            if tick is not None:
                tick(stop, len(self.e))

    def _sizes(self, max_bytes, room):
        """(rows, matrices) at a time: all rows if half of the room holds them, since a block reads its matrices."""
        (g, d_out, d_in), item = self.shape, self.out.itemsize
        row, each = item * (4 * d_in + 5 * d_out) + ROW_BYTES, item * d_out * d_in
        fixed = held(self.m, self.out.dtype) + each  # one matrix on its way
        rows = max(1, min(len(self.e), max(LEAST_ROWS, room // 2 // row)))
        while (needed := fixed + rows * row + each) > room:
            if rows <= LEAST_ROWS:
                refuse(needed, max_bytes, room, f"for M of shape {(d_out, d_in)}")
            rows = max(LEAST_ROWS, rows // 2)
        return rows, min(g, 1 + (room - needed) // each)

    def _block(self, start, stop, matrices):
        """Rows start..stop of out."""
        driver, dtype = self.driver, self.out.dtype
        named = self.which[start:stop]
        order = np.argsort(named, kind="stable")
        starts = np.flatnonzero(np.diff(named[order], prepend=-1, append=-1))
        numbers = named[order[starts[:-1]]]
        there = lying(self.e)
        rows = self.e.unchecked(start, stop) if there is None else there[start:stop]
        e = driver.array(rows.astype(dtype, copy=False))
        result = driver.empty((stop - start, self.out.shape[1]), dtype)
        for first in range(0, len(numbers), matrices):
            last = min(first + matrices, len(numbers))
            mapped(driver, e, self._copied(numbers[first:last]), order, starts[first : last + 1], result)
        biases = group = None
        if self.bias is not None:
            biases = driver.array(self.bias[numbers].astype(dtype, copy=False))
            place = np.empty(len(order), np.int32)
            place[order] = np.repeat(np.arange(len(numbers), dtype=np.int32), np.diff(starts))
            group = driver.array(place)
        unfinite = finished(driver, result, biases, group, self.normalize)
        if self.e.check_finite and driver.host(unfinite).any():  # an overflow, or somebody's infinity
            self.e.block(start, stop)
            for number in numbers:
                matrix(self.m, None if self.single else number, True, dtype)
        driver.into(self.out[start:stop], result)

    def _copied(self, numbers):
        """These matrices on the device; runs of those that lie there as they are needed, in one copy each."""
        dtype = self.out.dtype
        target = self.driver.empty((len(numbers), *self.shape[1:]), dtype)
        straight = isinstance(self.m, np.ndarray) and self.m.dtype == dtype and self.m.flags.c_contiguous
        if straight and not self.single:
            runs = np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers) > 1) + 1)
            for run in runs:
                self.driver.put(target[run[0] : run[-1] + 1], self.m[numbers[run[0]] : numbers[run[-1]] + 1])
        else:
            for at, number in enumerate(numbers):
                self.driver.put(target[at], matrix(self.m, None if self.single else number, False, dtype))
        return target
