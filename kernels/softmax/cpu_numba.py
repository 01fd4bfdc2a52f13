"""`softmax` on Numba: tiles of distances, each added to its running sums while it is in L2.

Work    stripes of rows, shared out among the threads of the pool, each with all columns of a block; a stripe's sums of
        columns wait for those of the stripes before it
Shapes  x (m, d), y (n, d) or None, u (m,), v (n,) -> rows (m,), columns (n,), either of them None
Cost    2 m n d flops in float32 for float32 rows, in float64 else; m n exponentials for each side; scratch at most
        max_bytes
Sum     of `tiles/expansion.py`, then of `tiles/exponential.py`: stripes and columns ascending, whatever the threads

Metrics that no product gives are left to NumPy: their distances cost far more than the exponentials.
"""

import threading

import numpy as np

from ..tiles import pool
from ..tiles.expansion import BLOCK_COLUMNS, Filling
from ..tiles.exponential import adder, turned_adder
from ..tiles.jit import plain
from . import cpu_numpy

PRECISIONS = ("auto", "float32", "float64")
STRIPES = 16  # of a block at least, so that few rows keep several threads busy
READY_ROWS, READY_COLUMNS = 64, 1024  # of ready scores in a stripe; of them that are added at a time: half an L2
READY_BYTES = 1 << 24  # of them in a stripe
SUM_BYTES = 48  # of a running sum, its shift, and what finishing takes
WAITING = 3  # sums of columns of a stripe that a thread may hold: under way, waiting, merged


def declines(x, y, metric, *, precision, **_):
    if precision not in PRECISIONS:
        return f"it computes in float32 or float64, not precision={precision!r}"
    if precision == "float32" and (y is None or metric.form is None):
        return "it computes what no product gives in float64, not precision='float32'"
    return None


def softmax(x, y, metric, *, beta, bias, rows, columns, max_bytes, precision, tick=None):
    """Fill rows (m,) and columns (n,)."""
    if y is not None and metric.form is None:
        keywords = {"rows": rows, "columns": columns, "max_bytes": max_bytes, "precision": "auto", "tick": tick}
        cpu_numpy.softmax(x, y, metric, beta=beta, bias=bias, **keywords)
        return
    held = SUM_BYTES * (len(bias[0]) + len(bias[1]))
    constant, sign = (1.0 if y is not None and metric.name in cpu_numpy.UNIT else 0.0), 1.0
    if y is not None and not metric.descending:
        sign = -1.0
    sums = _Sums(sign * beta, [part + beta * constant for part in bias], rows is not None, columns is not None)
    if y is None:
        _ready(x, sums, max_bytes - held, held)
    else:
        _Summing(x, y, metric, sums, max_bytes, held, precision).run(tick)
    with np.errstate(all="ignore"):
        for out, (largest, total) in zip((rows, columns), sums.sides, strict=True):
            if out is not None:
                np.log(total, out=out)
                out += np.where(np.isinf(largest), 0.0, largest)


class _Sums:
    """The running sums of both sides, and the order in which stripes reach those of the columns."""

    def __init__(self, scale, shifts, of_rows, of_columns):
        self.scale, (self.u, self.v), self.of_rows, self.of_columns = scale, shifts, of_rows, of_columns
        self.sides = [(np.full(len(shift), -np.inf), np.zeros(len(shift))) for shift in shifts]
        self.turn, self.next, self.waiting = threading.Lock(), 0, {}

    def start(self):
        """A new block, stripes numbered from 0."""
        self.next = 0

    def stripe(self, number, tiles, first, count, left, width):
        """Add tiles (columns from .. to, tile, its columns from .. to) of rows first.. to the sums."""
        rows = slice(first, first + count)
        mine = np.full(width, -np.inf), np.zeros(width)
        for start, tile, a, b in tiles:
            at = slice(start, start + b - a)
            if self.of_rows:
                largest, total = (part[rows] for part in self.sides[0])
                shift = self.v[left:][at]
                adder(tile.dtype.name)(tile, a, b, self.scale, shift, largest, total)
            if self.of_columns:
                turned_adder(tile.dtype.name)(tile, a, b, self.scale, self.u[rows], mine[0][at], mine[1][at])
        if self.of_columns:
            with self.turn:
                self.waiting[number] = mine
                while self.next in self.waiting:
                    self._merge(left, *self.waiting.pop(self.next))
                    self.next += 1

    def _merge(self, left, largest, total):
        most, sums = (part[left : left + len(largest)] for part in self.sides[1])
        with np.errstate(all="ignore"):
            top = np.maximum(most, largest)
            base = np.where(np.isinf(top), 0.0, top)
            sums *= np.where(sums > 0, np.exp(most - base), 1.0)
            sums += np.where(total > 0, np.exp(largest - base), 1.0) * total
        most[:] = top


class _Summing(Filling):
    """Distances of products, of which only the sums stay."""

    def __init__(self, x, y, metric, sums, max_bytes, held, precision):
        self.sums, self.held = sums, held
        single = x.dtype == y.dtype == np.float32
        super().__init__(x, y, metric, np.empty((0, 0), np.float32 if single else np.float64), max_bytes, precision)

    def _scratch(self):
        return super()._scratch() + WAITING * 16 * min(len(self.y), BLOCK_COLUMNS)

    def _jobs(self, x, y, first, left):
        rows, columns = self._job(self.ending.kind)
        height = self.machine.rows
        rows = min(rows, max(height, -(-x.rows // (STRIPES * height)) * height))
        self.sums.start()
        for number, i in enumerate(range(0, x.rows, rows)):
            count = min(rows, x.rows - i)
            yield lambda number=number, i=i, count=count: self.sums.stripe(
                number, self._tiles(x.part(i, count), y, first + i, left, columns), first + i, count, left, y.rows
            )

    def _tiles(self, x, y, first, left, columns):
        for j in range(0, y.rows, columns):
            shape = x.rows, min(columns, y.rows - j)
            target = np.empty(shape, self.out.dtype)
            place = first, left + j
            if not self._filled(self.ending, [x, y.part(j, shape[1])], target, (0, 0), shape, place):
                self._again(target, (0, 0), shape, place)
            yield j, target, 0, shape[1]


def _ready(x, sums, max_bytes, held):
    """Sums of ready scores, read in whole rows."""
    m, n = x.shape
    row = 16 * n
    thread = 32 * READY_COLUMNS + WAITING * 16 * n
    if (needed := held + row + thread) > max_bytes + held:
        raise ValueError(f"max_bytes must be at least {needed} (one row of {n} scores), got {max_bytes + held}")
    rows = max(1, min(READY_ROWS, READY_BYTES // (8 * n), (max_bytes - thread) // row, -(-m // STRIPES)))
    reading = threading.Lock()

    def tiles(start, stop):
        with reading:
            block = x.block(start, stop)
        block = plain(block)
        for left in range(0, n, READY_COLUMNS):
            yield left, block, left, min(left + READY_COLUMNS, n)

    with pool.at_most(max(1, min(pool.threads(), max_bytes // (thread + row * rows)))):
        pool.run([
            lambda number=number, start=start, stop=stop: sums.stripe(
                number, tiles(start, stop), start, stop - start, 0, n
            )
            for number, (start, stop) in enumerate(x.blocks(rows))
        ])  # fmt: skip
