"""Lists of candidates of a block of queries among the rows of one part of a gallery.

Work    tiles are filtered into a list a query, whose thresholds may be raised; then canonical values of what is left
Shapes  keys (m, capacity) uint64, count (m,) int32, values (m, capacity) float64
Cost    8 and 8 bytes a place
Sum     canonical (rerank.cu)
"""

import numpy as np

from .. import metrics
from ..plan import PAIR_BYTES
from .derived import BLOCK
from .direct import NEAR
from .search import COLUMNS, ROWS


class Lists:
    """Empty ones; a query's threshold lets everything pass, or goes on from that of rows whose unit was `before`."""

    def __init__(self, part, queries, before=None, threshold=None):
        self.part, self.queries, self.driver, search = part, queries, part.driver, part.search
        self.lane, self.capacity, self.metric = search.lane, search.sizes.capacity, search.metric
        self.make = queries.make
        self.keys = self.make("keys", (len(queries), self.capacity), np.uint64)
        self.own, self.slack, self.threshold, self.count, self.lost = queries.held.bounded(
            part.held, self.make, queries.bias, before, threshold
        )
        self.exclude = part.excluded(queries)

    def filter(self, tile):
        """Keep what reaches the thresholds; a list that is full counts on."""
        self._filter(tile, 0, self.own, [None, None, None, None, np.int32(0)], **self.part.held.macros)

    def _filter(self, tile, first_row, own, of_columns, **macros):
        (m, stride), first = tile.score.shape, tile.first
        self.lane.launch("filter", (-(-tile.width // COLUMNS), -(-m // ROWS)), BLOCK, [
            tile.score, *map(np.int32, (m, tile.width, stride, first_row, first)), own,
            self.part.columns[first : first + tile.width], self.threshold, self.exclude, tile.allowed,
            np.int64(tile.width), self.keys, self.count, np.int32(self.capacity), *of_columns,
        ], **macros)  # fmt: skip

    def tighten(self, k):
        """Raise the thresholds to the k-th largest lower bounds; a list that was full is lost."""
        self.lane.launch("tighten", len(self.queries), BLOCK, [
            self.keys, self.count, np.int32(self.capacity), np.int32(k), self.own, self.part.columns, None,
            self.slack, self.threshold, self.lost,
        ], TURNED=0, **self.part.held.macros)  # fmt: skip

    def kept(self):
        """Counts (m,) of lists, on the host, tile after tile: they hold all that was kept of it, and of it alone.

        A tile is twice as wide as the one before where its lists were nearly empty, and done again by halves where one
        of them was too short. Waits for the device at every tile.
        """
        at, width = 0, self.capacity
        while at < len(self.part):
            self.count.fill(0)
            (tile,) = self.part.tiles(self.queries, at, min(at + width, len(self.part)), one=True)
            self.filter(tile)
            count = self.driver.host(self.count)
            fullest = int(count.max(initial=0))
            if fullest > self.capacity:
                width = tile.width // 2
                continue
            yield count
            at += tile.width
            width = 2 * tile.width if 4 * fullest < self.capacity else tile.width

    def listed(self, most):
        """(keys, values), both (m, most), on the host."""
        return tuple(self.driver.host(array[:, :most]) for array in (self.keys, self.values()))

    def order(self):
        """How places become rows of the part: step and number, as kernels take them."""
        return np.uint32(self.part.held.step), np.uint32(len(self.part))

    def values(self):
        """(m, capacity) canonical values, ascending is better, of all that is listed."""
        if self.metric.name in NEAR:
            return self._by_numpy()
        queries, gallery = self.queries.held, self.part.held
        made = self.make("values", self.keys.shape, np.float64)
        self.lane.follow()  # that may be memory which the current stream still reads
        self.lane.launch("rerank", len(self.queries), BLOCK, [
            queries.rows, gallery.rows, np.int32(queries.rows.shape[1]), *self.order(), self.keys, self.count,
            np.int32(self.capacity), queries.square, gallery.square, queries.exponent, gallery.exponent,
            self.queries.bias, self.part.bias, made,
        ], INPUT=queries.kind, GALLERY=gallery.kind, METRIC=gallery.form(self.queries.bias is not None))  # fmt: skip
        return made

    def _by_numpy(self):
        """The same where pow or log decide: by NumPy, from the rows on the host."""
        search, driver = self.part.search, self.driver
        count = np.minimum(driver.host(self.count), self.capacity)
        keys, value = driver.host(self.keys), np.empty(self.keys.shape)
        query, slot = np.nonzero(np.arange(self.capacity) < count[:, None])
        step = max(1, PAIR_BYTES // (32 * search.x.shape[1]))
        for at in range(0, len(query), step):
            here = query[at : at + step], slot[at : at + step]
            i, j = self.queries.number[here[0]], self.part.rows_of(keys[here])
            pairs = metrics.pairs(self.metric, search.x.take(i), search.y.take(j))
            value[here] = metrics.ordered(self.metric, pairs, search.filters.sums(i, j))
        return driver.array(value)
