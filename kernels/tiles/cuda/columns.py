"""Both sides from one pass: every tile is filtered into the lists of its rows and into those of its columns.

Work    blocks of queries meet the whole gallery, as in `best.py`; the lists of the columns live through all blocks. The
        first block is no longer than such a list, for their thresholds let everything pass; the others grow as parts of
        a gallery do. Queries are taken in an order in which any stretch of them is a sample
Shapes  x (m, d), y (n, d), both on the device whole -> of a stretch of columns: number (c,), value (c, k) float64,
        index (c, k) int64, lost (c,) bool
Cost    2 m n d operations, where a pass for each side takes twice as many; 8 capacity + 16 bytes a column, and all of x
Sum     canonical (rerank.cu, owners and partners changed)

A list that overflows is lost, and said to be: its column is searched by a pass of its own.
"""

import numpy as np

from . import resident
from .best import Best, further
from .derived import BLOCK
from .direct import LOWEST
from .resident import held_as, step_for, uploaded
from .search import LEAST_ROWS, ROWS, Queries, Search, by_products, least_beside, plan
from .workspace import Workspace

LEAST_CAPACITY, EACH = 256, 8  # of the list of a column: blocks grow by 7 where k is 10, by 4 where it is large


def possible(metric, filters):
    """Whether a pass can hold the columns' keys: a bias on squares would hide what these lost."""
    mask = filters.mask
    stored = mask is not None and len(mask.shape) == 2 and type(mask) is not np.ndarray  # read by neighbouring rows
    return by_products(metric, filters) and not (metric.form == "l2" and filters.bias is not None) and not stored


class Both(Search):
    """A search of the rows, with `Columns`."""

    def __init__(self, driver, x, y, metric, filters, k, k_columns, max_bytes, room):
        self.k_columns = k_columns
        super().__init__(driver, x, y, metric, filters, k, max_bytes, room, beside=True)
        on = uploaded(driver, x, 0, len(x))
        self.all = resident.on_device(driver, on, metric, self.centre, 1)
        said = driver.host(self.all.said)
        if x.check_finite:
            self.refuse(x, 0, len(x), said)
        self.columns = Columns(self)

    @staticmethod
    def least(x, y, metric, filters, k, k_columns):
        """Bytes of all that stays on the device, and of blocks that are worth it."""
        masked = filters.mask is not None and len(filters.mask.shape) == 2
        row, score = _row(x, y, metric), 2 + masked
        return _kept(len(x), len(y), row, k_columns) + least_beside(len(x), len(y), k, row, score)

    def _plan(self, row, score, max_bytes, room):
        (m, d), n = self.x.shape, len(self.y)
        kept = _kept(m, n, row, self.k_columns)
        return plan(m, n, d, self.k, row, max_bytes - kept, room - kept, True, self.pairwise, score)

    def blocks(self):
        """`Queries`, block by block, so long that the columns' lists have room for what they keep of them."""
        m, columns = len(self.x), self.columns
        bias, start = columns.row_bias, 0
        while start < m:
            step = further(start, columns.capacity, columns.k) if start else columns.capacity
            step = self.sizes.query_rows if columns.capacity == m else min(step, self.sizes.query_rows)
            stop = min(m, start + (step if step < ROWS else step // ROWS * ROWS))
            number = np.arange(start, stop) * columns.step % m
            at = self.driver.array(number)
            make = Workspace(self.driver, stop - start, self.k)
            yield Queries(self.all.of(at), number, make, None, None if bias is None else bias[at], start)
            start = stop

    def rows(self, queries):
        return queries.number

    def found(self):
        """(number, value, index, lost) of all columns, once all blocks are through, in the memory of the tiles."""
        room = self.ring.nbytes
        self.ring = None
        return self.columns.found(room)

    def done(self, queries, said):
        """Nothing: all was said of all of them before."""


class Columns:
    """Lists of all columns, by place; partners in them are places of queries."""

    def __init__(self, search):
        self.driver, self.lane, self.k, self.part, self.all = (
            search.driver, search.lane, search.k_columns, search.part, search.all,
        )  # fmt: skip
        bias, (m, n) = search.filters.bias, (len(search.x), len(search.y))
        self.row_bias = None if bias is None else self.driver.array(bias[0])
        self.capacity, self.step = _capacity(m, self.k), step_for(m)
        self.keys = self.driver.empty((n, self.capacity), np.uint64)
        self.threshold, self.slack = self._filled(n, np.float32, LOWEST), self._filled(n, np.float32)
        self.count, self.lost = self._filled(n, np.int32), self._filled(n, np.int32)
        self.own, self.offset = self.all.turned(self.part.held, self.step, self.row_bias)

    def _filled(self, n, dtype, value=0):
        made = self.driver.empty(n, dtype)
        made.fill(value)
        return made

    def tighten(self):
        """Raise the thresholds by the queries met so far."""
        self.lane.launch("tighten", len(self.keys), BLOCK, [
            self.keys, self.count, np.int32(self.capacity), np.int32(self.k), self.part.columns, self.own, self.offset,
            self.slack, self.threshold, self.lost,
        ], TURNED=1)  # fmt: skip

    def found(self, room):
        """(number, value, index, lost) of all columns, a stretch at a time. The lane must have been joined."""
        n, row = len(self.keys), self.part.held.rows.strides[0]
        width = max(LEAST_ROWS, room // _ranked(self.capacity, self.k, row))
        for start in range(0, n, width):
            yield self._stretch(start, min(n, start + width))

    def _stretch(self, start, stop):
        """The same of the columns at places start to stop; what it takes on the device is given back."""
        driver, gallery, here, c = self.driver, self.part.held, slice(start, stop), stop - start
        keys, count, capacity = self.keys[here], self.count[here], np.int32(self.capacity)
        places = np.uint32(self.step), np.uint32(len(self.all))
        number = np.arange(start, stop) * gallery.step % len(gallery)
        at = driver.array(number)
        rows, square, exponent = gallery.rows[at], gallery.square[at], gallery.exponent[at]
        bias = None if self.part.bias is None else self.part.bias[at]
        values = driver.empty((c, self.capacity), np.float64)
        value, index = driver.empty((c, self.k), np.float64), driver.empty((c, self.k), np.int64)
        driver.launch("rerank", c, BLOCK, [
            rows, self.all.rows, np.int32(rows.shape[1]), *places, keys, count, capacity, square, self.all.square,
            exponent, self.all.exponent, bias, self.row_bias, values,
        ], INPUT=gallery.kind, GALLERY=self.all.kind, METRIC=gallery.form(bias is not None))  # fmt: skip
        driver.launch("order", c, BLOCK, [
            keys, values, count, capacity, *places, np.int64(0), None, None, np.int32(self.k), value, index,
        ])  # fmt: skip
        return number, driver.host(value), driver.host(index), driver.host(self.lost[here]) != 0


class Swept(Best):
    """The k best of a block of queries; the columns take what concerns them on the way."""

    def __init__(self, part, queries, found):
        self.columns = part.search.columns
        super().__init__(part, queries, found)

    def filter(self, tile):
        columns, first = self.columns, self.queries.first
        rows, here = slice(first, first + len(self.queries)), slice(tile.first, tile.first + tile.width)
        self._filter(tile, first, columns.own[rows], [
            columns.offset[rows], columns.threshold[here], columns.keys[here], columns.count[here],
            np.int32(columns.capacity),
        ], BOTH=1)  # fmt: skip

    def ranked(self, found):
        mark = super().ranked(found)
        self.columns.tighten()
        return mark


def _capacity(m, k):
    return min(m, max(LEAST_CAPACITY, EACH * k))


def _row(x, y, metric):
    return max(resident.row_bytes(metric, x.shape[1], held_as(rows).itemsize) for rows in (x, y))


def _ranked(capacity, k, row):
    """Bytes of a column while it is ranked."""
    return 8 * capacity + row + 16 * k + 40


def _kept(m, n, row, k):
    """Bytes of what stays through all blocks, and of the least stretch of columns that is ranked."""
    capacity = _capacity(m, k)
    return n * (row + 8 * capacity + 16) + m * (row + 32) + LEAST_ROWS * _ranked(capacity, k, row)
