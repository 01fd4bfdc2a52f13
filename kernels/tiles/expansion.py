"""All distances by products: both sides encoded in blocks, jobs of a rectangle of `out` each, repairs.

Work    jobs of whole panels of both sides, shared out among the threads of the pool; what the bound does not cover by
        canonical value, a rectangle with much of that once more in float64
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops in float32 for float32 results, in float64 else; out is written once; scratch at most max_bytes
Sum     float32 chunks in int32 totals, or float64 chunks in float64 totals (`tiles/products.py`); bound in
        `tiles/store.py`
"""

import threading

import numpy as np

from . import canonical, metrics, pool, simd
from .distances import put
from .encode import space
from .jit import plain
from .products import sweeper
from .store import Side, endings

PANEL_BYTES = 1 << 18  # of codes of y in a job: half an L2
JOB_ROWS, JOB_COLUMNS = 4096, 1024
JOB_WORK = 4e7  # multiply-adds, two thirds of a millisecond; a job takes 0.1 ms of Python
BLOCK_ROWS, BLOCK_COLUMNS = 16384, 8192  # encoded at a time; x is encoded once if one block holds it
PIECE_BYTES = 1 << 19  # of rows that one job encodes
PAIRS = 4096  # to be repaired at a time
REPAIR_BYTES = 1 << 19  # of rows for them
MANY = 1 / 16  # of a job's entries to repair: float64 tiles are quicker
FEW = 1 / 1024  # of them with longer chunks, which save an eighth of the 10 ns
LEAST_MANY = 64  # of them whatever the job
SAMPLE = 64  # rows of x and of y that are tried
"""Tiles in float32 cost 10 ns an entry at d = 768, in float64 20, a canonical value 200 and more."""


class Filling:
    """One call: its endings, its blocks, its jobs."""

    held = 0  # bytes that a kind of call needs beside codes and scratch

    def __init__(self, x, y, metric, out, max_bytes, precision):
        self.alone, self.result = y is None, out.dtype.name  # a name takes NumPy 5 us
        self.x, self.y, self.metric, self.out = x, x if y is None else y, metric, out
        self.machine = simd.runnable()[0]
        self.reading = threading.Lock()  # stores other than arrays need not bear two readers
        centre = space(metric, self.y).centre
        centre = np.zeros(x.shape[1]) if centre is None else centre
        single, (self.exact,) = (
            endings(metric, centre, kind, out.dtype, x.shape[1]) for kind in ("float32", "float64")
        )
        self.threads, self.rows, self.columns = self._sizes(max_bytes)
        self.ending = self.exact
        if out.dtype == np.float32 and precision != "float64":
            self.ending = self._chosen(single, precision)

    # --------------------------------------------------------------------------------------------------------- sizes

    def _job(self, kind):
        """Rows and columns of a job, whole panels: the same for any number of threads."""
        d, height, width = self.x.shape[1], self.machine.rows, self.machine.columns(simd.KINDS[kind])
        columns = max(width, min(JOB_COLUMNS, PANEL_BYTES // (d * np.dtype(kind).itemsize)) // width * width)
        rows = min(JOB_ROWS, int(JOB_WORK / (columns * d))) // height * height
        return max(height, rows), columns

    def _scratch(self):
        """Bytes a thread needs beside the codes."""
        d = self.x.shape[1]
        height, width = self.machine.rows, self.machine.columns(simd.KINDS["float32"])
        encoding = 3 * max(PIECE_BYTES, 8 * d * width)
        rows, columns = self._job("float32")
        again = 8 * d * (rows + width) * 2 + encoding
        return (
            again + 40 * PAIRS + 4 * max(REPAIR_BYTES, 16 * d) + rows * columns * self.out.dtype.itemsize + 256 * height
        )

    def _sizes(self, max_bytes):
        """(threads, rows of x, rows of y) that fit; the rows do not depend on the threads, nor then do the jobs."""
        d, least = self.x.shape[1], 64
        row = 8 * (d + 8) + 64  # float64 codes; whether float32 will do is not known yet
        scratch = self._scratch()
        sizes = [min(max(1, len(self.x)), BLOCK_ROWS), min(len(self.y), BLOCK_COLUMNS)]
        room = max_bytes - self.held
        while (codes := (sum(sizes) + 2 * SAMPLE) * row) > (room - scratch) // 2 and max(sizes) > least:
            largest = sizes.index(max(sizes))
            sizes[largest] = max(least, sizes[largest] // 2)
        if codes + scratch > room:
            raise ValueError(f"max_bytes must be at least {codes + scratch + self.held} for d={d}, got {max_bytes}")
        return min(pool.threads(), (room - codes) // scratch), *sizes

    def _chosen(self, single, precision):
        """The quickest of the float32 endings that leaves few entries of a sample to repair, or that of float64."""
        for found in single:
            last = found is single[-1]
            if last and (precision == "float32" or not len(self.x)):
                return found
            if len(self.x) and self._repaired(found) <= (MANY / 2 if last else FEW):
                return found
        return self.exact

    def _repaired(self, found):
        """The share of a sample's entries to repair."""
        panels = []
        for side, rows in enumerate((self.x, self.y)):
            step = max(1, -(-len(rows) // SAMPLE))
            sample = rows.take(np.arange(0, len(rows), step)).astype(rows.dtype)
            panels.append(self._side(found, side, len(sample)))
            panels[-1].encode(plain(sample), 0)
        shape = tuple(side.rows for side in panels)
        target = np.empty(shape, self.out.dtype)
        count = self._swept(found, panels, target, (0, 0), shape, 0, (0, -1))[0]  # alone: above the diagonal
        return count / max(1, shape[0] * (shape[0] - 1) // 2 if self.alone else shape[0] * shape[1])

    # ------------------------------------------------------------------------------------------------------ encoding

    def _read(self, rows, first, last):
        if isinstance(rows.store, np.ndarray):
            return plain(rows.unchecked(first, last))
        with self.reading:
            return plain(rows.unchecked(first, last))

    def _side(self, found, side, rows):
        width = self.machine.columns(simd.KINDS[found.kind]) if side else self.machine.rows
        return Side(found, side, rows, self.x.shape[1], width)

    def _encoded(self, side, first, last):
        """Rows first..last of a side, read and encoded by all threads."""
        rows = (self.x, self.y)[side]
        panels, odd = self._side(self.ending, side, last - first), []

        def job(start, stop):
            if panels.encode(self._read(rows, start, stop), start - first):
                odd.append((start, stop))

        step = self._step(panels)
        spans = [(start, min(start + step, last)) for start in range(first, last, step)]
        pool.run([lambda span=span: job(*span) for span in spans])
        for span in sorted(odd):
            rows.block(*span)  # raises where the caller wants finite rows only
        return panels

    def _step(self, panels):
        width = panels.codes.shape[2]
        return width * max(1, PIECE_BYTES // (8 * self.x.shape[1] * width))

    # ------------------------------------------------------------------------------------------------------- filling

    def run(self, tick):
        m, n = len(self.x), len(self.y)
        held = None
        with pool.at_most(self.threads):
            for left in range(0, n, self.columns):
                right = min(left + self.columns, n)
                y = self._encoded(1, left, right)
                for first in range(0, min(m, right) if self.alone else m, self.rows):
                    last = min(first + self.rows, m)
                    x = held or self._encoded(0, first, last)
                    held = x if self.rows >= m else None
                    pool.run(self._jobs(x, y, first, left))
                if tick is not None:
                    tick(right, n)

    def _jobs(self, x, y, first, left):
        rows, columns = self._job(self.ending.kind)
        for i in range(0, x.rows, rows):
            for j in range(0, y.rows, columns):
                shape, place = (min(rows, x.rows - i), min(columns, y.rows - j)), (first + i, left + j)
                if not (self.alone and place[0] >= place[1] + shape[1]):
                    yield lambda i=i, j=j, shape=shape, place=place: self._fill(
                        [x.part(i, shape[0]), y.part(j, shape[1])], shape, place
                    )

    def _fill(self, sides, shape, place):
        """The rectangle of out with its upper left entry at `place`."""
        straight = self.out.flags.c_contiguous
        target = self.out if straight else np.empty(shape, self.out.dtype)
        corner = place if straight else (0, 0)
        if not self._filled(self.ending, sides, target, corner, shape, place):
            self._again(target, corner, shape, place)
        if not straight:
            put(self.out, target, place, self.alone)

    def _filled(self, found, sides, target, corner, shape, place):
        """Sweep and repair; False if float32 codes leave too much of it."""
        at, tiles = 0, sides[0].panels * sides[1].panels
        most = MANY * sides[0].width * sides[1].width if found is not self.exact else np.inf
        while at < tiles:
            start = at
            count, at, pairs = self._swept(found, sides, target, corner, shape, start, place)
            if count > max(most * (at - start), LEAST_MANY):
                return False
            self._repair(pairs[:, :count], target, corner, place)
        return True

    def _swept(self, found, sides, target, corner, shape, start, place):
        """(number of pairs to repair, tile to go on with, pairs)"""
        (height, width), pairs = (side.width for side in sides), np.empty((2, PAIRS), np.int64)
        mirrored = self.alone and target is self.out
        sweep = sweeper(simd.KINDS[found.kind], self.machine, self.result, found.rooted)
        room = np.empty((height, width), target.dtype), np.empty(height, np.int64)
        codes = [(side.codes, side.numbers) for side in sides]
        count, at = sweep(
            *codes, found.chunk, found.ceiling, *place, self.alone, mirrored, target, *corner, *shape, start, pairs,
            room,
        )  # fmt: skip
        return count, at, pairs

    def _again(self, target, corner, shape, place):
        """The rectangle in float64, a few columns at a time."""
        found, (i, j) = self.exact, place
        x = self._side(found, 0, shape[0])
        for start in range(0, shape[0], step := self._step(x)):
            x.encode(self._read(self.x, i + start, i + min(start + step, shape[0])), start)
        step = self._step(self._side(found, 1, 1))
        for start in range(0, shape[1], step):
            stop = min(start + step, shape[1])
            y = self._side(found, 1, stop - start)
            y.encode(self._read(self.y, j + start, j + stop), 0)
            self._filled(
                found, [x, y], target, (corner[0], corner[1] + start), (shape[0], stop - start), (i, j + start)
            )

    def _repair(self, pairs, target, corner, place):
        """Canonical values of pairs of a rectangle."""
        form = self.metric.name if self.metric.form == "cosine" else self.metric.form
        values = canonical.valuer(form, "float64", "float64")
        step = max(1, REPAIR_BYTES // (16 * self.x.shape[1]))
        for start in range(0, pairs.shape[1], step):
            i, j = pairs[:, start : start + step]
            (x, at_x), (y, at_y) = (
                self._taken(rows, index) for rows, index in ((self.x, i + place[0]), (self.y, j + place[1]))
            )
            value = np.empty(len(i))
            values(x, y, at_x, at_y, value)
            value = metrics.returned(self.metric, metrics.ordered(self.metric, value), target.dtype)
            target[i + corner[0], j + corner[1]] = value
            if self.alone and target is self.out:
                target[j + corner[1], i + corner[0]] = value

    def _taken(self, rows, index):
        distinct, inverse = np.unique(index, return_inverse=True)
        if isinstance(rows.store, np.ndarray):
            return plain(rows.take(distinct)), inverse
        with self.reading:
            return plain(rows.take(distinct)), inverse
