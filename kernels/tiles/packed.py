"""A gallery in panels of codes, kept between searches: rows are added and removed without encoding the others again.

Work    chunks of CHUNK_ROWS, encoded by all threads
Shapes  rows (n, d) -> chunks of (first, last, Panels, Columns)
Cost    one read of the rows, one write of the codes
Sum     none
"""

import threading
from dataclasses import dataclass, replace

import numpy as np

from . import panels, pool, sides, simd
from .jit import plain

PIECE_BYTES = 1 << 22  # of rows that one job encodes
CHUNK_ROWS = 1 << 16  # rows encoded and swept together: 100 MB of int16 codes at d = 768


@dataclass(frozen=True)
class Packed:
    """Chunks that follow each other; searches may go on while others replace them."""

    metric: object
    precision: str
    measure: sides.Measure
    parts: tuple = ()

    def measured(self, x):
        return sides.with_queries(self.measure, x)

    def chunks(self):
        first = 0
        for found, columns, count in self.parts:
            yield first, first + count, found, columns
            first += count

    def longest(self):
        return max(len(found.scale) for found, _, _ in self.parts)

    def extended(self, rows, start):
        """With the rows from `start` on behind those already here; a short last chunk is encoded again with them."""
        parts = list(self.parts)
        if parts and parts[-1][2] < CHUNK_ROWS:
            start -= parts.pop()[2]
        for first in range(start, len(rows), CHUNK_ROWS):
            parts.append(self._part(rows, first, min(first + CHUNK_ROWS, len(rows))))
        return replace(self, parts=tuple(parts))

    def kept(self, rows, kept):
        """Of what is left of the rows: chunks before the first that went stay as they are."""
        first, parts = 0, []
        for part in self.parts:
            if not kept[first : first + part[2]].all():
                break
            parts.append(part)
            first += part[2]
        return replace(self, parts=tuple(parts)).extended(rows, first)

    def _part(self, rows, first, last):
        found = encoded(rows, first, last, 1, self.precision, self.measure, PIECE_BYTES, threading.Lock())
        return found, sides.columns(found, self.measure, self.precision, last - first), last - first

    @property
    def nbytes(self):
        return sum(
            array.nbytes for found, columns, _ in self.parts for array in (*found, *columns.side[1:], columns.odd)
        )


def pack(rows, metric, precision):
    return Packed(metric, precision, sides.measure(metric, rows)).extended(rows, 0)


def encoded(rows, start, stop, side, precision, measure, piece, reading):
    """Panels of rows start..stop of a side (0: x, 1: y), read and encoded by all threads."""
    kind, machine = simd.KINDS[precision], simd.runnable()[0]
    width = machine.columns(kind) if side else machine.rows
    found = panels.empty(stop - start, rows.shape[1], kind, width)
    words = found.codes.view(np.int32 if kind.exact else found.codes.dtype)[..., 0]
    bump = np.int32(0 if side else machine.bump(kind))
    unit = 0.0 if measure.form == "cosine" else measure.units[side]
    dtype = np.dtype(np.float64 if precision == "float64" else rows.dtype)  # its slack has no room for float32 centring
    centre, encoder = measure.centre.astype(dtype), panels.encoder(kind)
    step = width * max(1, piece // (rows.dtype.itemsize * rows.shape[1] * width))
    odd, whole = [], np.dtype(rows.store.dtype).kind in "biu"

    def job(first):
        last = min(first + step, stop)
        with reading:
            block = plain(rows.unchecked(first, last), dtype)
        numbers = found.scale, found.residual, found.norm, found.total
        encoder(block, centre, measure.own_mean, first - start, bump, unit, words, *numbers, whole)
        if not np.isfinite(found.norm[first - start : last - start]).all():
            odd.append(first)

    pool.run([lambda first=first: job(first) for first in range(start, stop, step)])
    for first in sorted(odd):  # raises where the caller wants finite rows only, at the first that is not
        rows.block(first, min(first + step, stop))
    return found
