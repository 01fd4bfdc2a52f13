"""`pairwise` on Numba: register tiles that finish their values, canonical values where the bound exceeds the promise.

Work    both sides encoded in blocks, then jobs of a rectangle of `out` each, shared out among the threads of the pool
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops in float32 for float32 results, in float64 else; out is written once; scratch at most max_bytes
Sum     float32 chunks in int32 totals, or float64 chunks in float64 totals (`tiles/products.py`); bound in
        `tiles/store.py`
"""

import threading
from functools import cache

import numpy as np

from ..tiles import canonical, direct, metrics, pool, simd
from ..tiles.encode import space
from ..tiles.jit import kernel
from ..tiles.plan import PAIR_BYTES
from ..tiles.products import sweeper
from ..tiles.store import Side, ending
from . import cpu_numpy

PRECISIONS = ("auto", "float32", "float64")
VALUES, FAST_VALUES = (32, 256), (128, 512)  # rows and columns of a job of canonical values, by NumPy and by loops
PANEL_BYTES = 1 << 18  # of codes of y in a job: half an L2
JOB_ROWS, JOB_COLUMNS = 4096, 1024
JOB_WORK = 2e7  # multiply-adds, half a millisecond
BLOCK_ROWS, BLOCK_COLUMNS = 16384, 8192  # encoded at a time; x is encoded once if one block holds it
PIECE_BYTES = 1 << 19  # of rows that one job encodes
PAIRS = 4096  # to be repaired at a time
REPAIR_BYTES = 1 << 19  # of rows for them
MANY = 1 / 16  # of a job's entries to repair: float64 tiles are quicker
LEAST_MANY = 64  # of them whatever the job
SAMPLE = 64  # rows of x and of y that are tried
"""Tiles in float32 cost 10 ns an entry at d = 768, in float64 20, a canonical value 200 and more."""


def declines(x, y, metric, *, precision, **_):
    if precision not in PRECISIONS:
        return f"it computes in float32 or float64, not precision={precision!r}"
    if metric.form is None and precision == "float32":
        return f"it computes metric={metric.name!r} in float64, not precision='float32'"
    return None


def pairwise(x, y, metric, *, out, max_bytes, precision, tick=None):
    """Fill out (m, n)."""
    if metric.form is not None:
        _Filling(x, y, metric, out, max_bytes, precision).run(tick)
    elif not _canonical(x, y, metric, out, max_bytes, tick):
        cpu_numpy.pairwise(x, y, metric, out=out, max_bytes=max_bytes, precision="auto", tick=tick)


# ---------------------------------------------------------------------------------- metrics without products: canonical


@cache
def _storer(name, fill, reals):
    @kernel(name, *reals)
    def store(x, y, x_stat, y_stat, d, parameter, value_mn):
        fill(x, y, x_stat, y_stat, 0, 0, x.shape[0], y.shape[0], d, parameter, value_mn)

    return store


def _canonical(x, y, metric, out, max_bytes, tick):
    """Fill out by canonical values, pieces of both sides in every job; False if the threads do not fit `max_bytes`."""
    alone, d = y is None, x.shape[1]
    y = x if alone else y
    fast = direct.covers(metric)
    held = max(1, PAIR_BYTES // (16 * d))
    down, across = (min(most, held) for most in (FAST_VALUES if fast else VALUES))
    thread = (0 if fast else 4 * PAIR_BYTES) + 24 * down * across
    fixed = 48 * (d + 8) * (down + across)  # a piece of each side, and what its preparation takes
    room = max_bytes - fixed - thread
    rows, columns = (room // (32 * (d + 8)) // step * step for step in (down, across))
    if room < 0 or not rows or not columns:
        return False
    threads = min(pool.threads(), 1 + (room - 16 * (d + 8) * (rows + columns)) // thread)

    def pieces(side, first, last, step):
        found = []
        for start in range(first, last, step):
            block = side.block(start, min(start + step, last))
            found.append((start, direct.prepared(metric, block) if fast else (block.astype(np.float64), None)))
        return found

    def job(i, j, left, right):
        shape = len(left[0]), len(right[0])
        if fast:
            value = np.empty(shape)
            reals = left[0].dtype.name, right[0].dtype.name
            store = _storer(metric.name, direct.filler(metric, *reals), reals)
            store(left[0], right[0], left[1], right[1], d, 0.0, value)
        else:
            value = metrics.block(metric, left[0], right[0])
        _put(out, metrics.returned(metric, metrics.ordered(metric, value), out.dtype), (i, j), alone)

    with pool.at_most(threads):
        for left, right in y.blocks(columns):
            mine = pieces(y, left, right, across)
            for first, last in x.blocks(rows):
                if not alone or first < right:
                    others = pieces(x, first, last, down)
                    pool.run(
                        [
                            lambda i=i, j=j, one=one, other=other: job(i, j, one, other)
                            for i, one in others
                            for j, other in mine
                            if not alone or i < j + across
                        ]
                    )
            if tick is not None:
                tick(right, len(y))
    return True


def _put(out, filled, place, alone):
    """A rectangle of values into out; alone, what is not below the diagonal, on both sides of it."""
    (i, j), (rows, columns) = place, filled.shape
    target = out[i : i + rows, j : j + columns]
    if not alone:
        target[...] = filled
        return
    above = np.arange(i, i + rows)[:, None] <= np.arange(j, j + columns)
    np.copyto(target, filled, where=above)
    np.copyto(out[j : j + columns, i : i + rows], filled.T, where=above.T)


# --------------------------------------------------------------------------------------------------- products in tiles


class _Filling:
    """One call: its endings, its blocks, its jobs."""

    def __init__(self, x, y, metric, out, max_bytes, precision):
        self.alone = y is None
        self.x, self.y, self.metric, self.out = x, x if y is None else y, metric, out
        self.machine = simd.runnable()[0]
        self.reading = threading.Lock()  # stores other than arrays need not bear two readers
        centre = space(metric, self.y).centre
        centre = np.zeros(x.shape[1]) if centre is None else centre
        self.endings = [ending(metric, centre, kind, out.dtype, x.shape[1]) for kind in ("float32", "float64")]
        if out.dtype != np.float32 or precision == "float64":
            self.endings[0] = None
        self.threads, self.rows, self.columns = self._sizes(max_bytes)
        if self.endings[0] is not None and precision == "auto" and len(x) and not self._pays():
            self.endings[0] = None
        self.ending = self.endings[0] or self.endings[1]

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
        while (codes := (sum(sizes) + 2 * SAMPLE) * row) > (max_bytes - scratch) // 2 and max(sizes) > least:
            largest = sizes.index(max(sizes))
            sizes[largest] = max(least, sizes[largest] // 2)
        if codes + scratch > max_bytes:
            raise ValueError(f"max_bytes must be at least {codes + scratch} for d={d}, got {max_bytes}")
        return min(pool.threads(), (max_bytes - codes) // scratch), *sizes

    def _pays(self):
        """Whether float32 codes leave few entries of a sample to repair."""
        found, panels = self.endings[0], []
        for side, rows in enumerate((self.x, self.y)):
            step = max(1, -(-len(rows) // SAMPLE))
            sample = rows.take(np.arange(0, len(rows), step)).astype(rows.dtype)
            panels.append(self._side(found, side, len(sample)))
            panels[-1].encode(np.ascontiguousarray(sample), 0)
        shape = tuple(side.rows for side in panels)
        target = np.empty(shape, self.out.dtype)
        count = self._swept(found, panels, target, (0, 0), shape, 0, (0, -SAMPLE if self.alone else 0))[0]
        return count <= MANY / 2 * shape[0] * shape[1]

    # ------------------------------------------------------------------------------------------------------ encoding

    def _read(self, rows, first, last):
        if isinstance(rows.store, np.ndarray):
            return np.ascontiguousarray(rows.unchecked(first, last))
        with self.reading:
            return np.ascontiguousarray(rows.unchecked(first, last))

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
            _put(self.out, target, place, self.alone)

    def _filled(self, found, sides, target, corner, shape, place):
        """Sweep and repair; False if float32 codes leave too much of it."""
        at, tiles = 0, sides[0].panels * sides[1].panels
        most = MANY * sides[0].width * sides[1].width if found is self.endings[0] else np.inf
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
        sweep = sweeper(simd.KINDS[found.kind], self.machine, target.dtype.name, found.rooted)
        room = np.empty((height, width), target.dtype), np.empty(height, np.int64)
        codes = [(side.codes, side.numbers) for side in sides]
        count, at = sweep(
            *codes, found.ceiling, *place, self.alone, mirrored, target, *corner, *shape, start, pairs, room
        )  # fmt: skip
        return count, at, pairs

    def _again(self, target, corner, shape, place):
        """The rectangle in float64, a few columns at a time."""
        found, (i, j) = self.endings[1], place
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
            return np.ascontiguousarray(rows.take(distinct)), inverse
        with self.reading:
            return np.ascontiguousarray(rows.take(distinct)), inverse
