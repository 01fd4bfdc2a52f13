"""The k best gallery rows of every query through the CUDA kernels of this folder.

Work    the gallery is prepared whole; then, for a block of queries, chunks of its rows: product of codes, filter,
        tighten. The first chunk fills the lists, so that every later one meets thresholds; an owner whose list
        overflows is filtered again with the better threshold that this gave it, a few times
Shapes  x (m, d), y (n, d) `Rows` -> value (m, k) float64 ordered, index (m, k) int64, certified (m,) bool
Cost    2 m n d fp16 operations, some k log(n / k) candidates a query; device memory as in `plan`
Sum     canonical (rerank.cu); what cannot be certified is left to the caller

Expected candidates of a chunk of c rows after s others, none better placed than the rest: k c / s. A chunk therefore
grows with what has been seen, up to what leaves half of the list free.
"""

from dataclasses import dataclass

import numpy as np

from . import bounds
from .bounds import Measured

KERNELS = ("prepare", "filter", "tighten", "rerank", "order")
BLOCK = 256  # threads
LANES = 8  # threads of a row in prepare.cu
# 128 MB of float32. An H100 took 3.8 ms for 2048 x 262,144 x 768 in tiles of 24 MB, which stay in its L2, 2.8 in tiles
# of 96 MB, 2.5 in tiles of 512 MB: launches from Python, 20 to 35 us each, outweigh the L2
TILE_SCORES = 32 << 20
QUERY_ROWS, LEAST_CAPACITY = 2048, 512
REDO = 3  # times that an overflowing list is filtered again
LOWEST = float(np.finfo(np.float32).min)  # a threshold that excludes nothing
INPUT = {"float32": "float", "float64": "double"}
METRIC = {"l2": 0, "dot": 1, "cosine": 2}  # of rerank.cu


@dataclass(frozen=True)
class Plan:
    """Queries held at once, candidates that a list of one may hold, scores of a tile."""

    query_rows: int
    capacity: int
    tile_scores: int


def plan(m, n, d, k, itemsize, max_bytes):
    """The largest sizes that fit, or ValueError with the least `max_bytes` that would do."""
    capacity = min(n, max(LEAST_CAPACITY, 4 * k))

    def needed(query_rows, tile_scores):
        gallery = n * (d * (2 + itemsize) + 64)
        queries = query_rows * (d * (2 + itemsize) + 96 + 16 * capacity + 16 * k)
        return gallery + queries + 5 * tile_scores  # scores, and a byte of their mask

    query_rows = min(max(1, m), QUERY_ROWS)
    while query_rows:
        least = query_rows * capacity  # the first chunk fills the lists
        for tile_scores in (max(least, min(TILE_SCORES, query_rows * n)), least):
            if needed(query_rows, tile_scores) <= max_bytes:
                return Plan(query_rows, capacity, tile_scores)
        query_rows //= 2
    raise ValueError(f"max_bytes must be at least {needed(1, capacity)} for d={d} and k={k}, got {max_bytes}")


def measured(driver, rows):
    """`Measured` of host rows (b, d), float32 or float64."""
    xp, (m, d) = driver.xp, rows.shape
    on_device = driver.array(rows)
    code = xp.empty((m, d), xp.float16)
    exponent, norms, square = xp.empty(m, xp.int32), [xp.empty(m, xp.float32) for _ in range(3)], xp.empty(m)
    bad = xp.full(1, m, xp.int32)  # rows are checked where they are read
    arguments = [on_device, np.int32(m), np.int32(d), code, exponent, *norms, square, bad]
    driver.launch("prepare", -(-m * LANES // BLOCK), BLOCK, arguments, INPUT=INPUT[rows.dtype.name])
    return Measured(on_device, code, exponent, *norms, square)


class Search:
    """One gallery on the device, searched by blocks of queries."""

    def __init__(self, driver, gallery, metric, filters, k, sizes):
        self.driver, self.gallery, self.metric, self.filters, self.k, self.sizes = (
            driver,
            gallery,
            metric,
            filters,
            k,
            sizes,
        )
        self.unit = bounds.largest(driver.xp, gallery)
        mask = filters.mask
        self.mask = mask if mask is not None and len(mask.shape) == 2 else None
        allowed = None if mask is None or self.mask is not None else driver.array(np.asarray(mask[:], bool))
        self.bias = None if filters.bias is None else driver.array(filters.bias[1])
        self.columns = bounds.columns(driver.xp, gallery, metric.form, self.d, self.unit, self.bias, allowed)

    @property
    def d(self):
        return self.gallery.code.shape[1]

    def block(self, rows, start, tick=None):
        """Answer for host rows that are the queries from `start` on: value, index, certified, candidates."""
        driver, xp = self.driver, self.driver.xp
        queries, m, n, capacity = measured(driver, rows), len(rows), len(self.gallery), self.sizes.capacity
        stop = start + m
        bias = None if self.filters.bias is None else driver.array(self.filters.bias[0][start:stop])
        self.own, self.slack = bounds.rows(xp, queries, self.metric.form, self.d, self.unit, bias)
        exclude = self.filters.exclude
        self.exclude = None if exclude is None else driver.array(exclude[start:stop].astype(np.int32))
        self.threshold = xp.full(m, LOWEST, xp.float32)
        self.list, self.count = xp.empty((m, capacity), xp.uint64), xp.zeros(m, xp.int32)
        self.lost, failed = xp.zeros(m, xp.int32), np.zeros(m, bool)
        first = 0
        while first < n:
            last = min(n, first + self._chunk(first, m))
            failed |= self._scan(queries, start, first, last, failed)
            first = last
            if tick is not None:
                tick(last)
        return *self._ranked(queries, bias, failed), failed

    def _chunk(self, seen, m):
        """Gallery rows of the next chunk."""
        free = self.sizes.capacity // 2
        grown = max(seen * free // self.k, free) if seen else self.sizes.capacity
        return max(1, min(grown, self.sizes.tile_scores // m))

    def _scan(self, queries, start, first, last, failed):
        """One chunk; returns the queries whose lists overflow in the end."""
        driver, xp, m = self.driver, self.driver.xp, len(queries)
        score = xp.empty((m, last - first), xp.float32)
        driver.gemm(queries.code, self.gallery.code[first:last], score)
        allowed = None
        if self.mask is not None:
            allowed = driver.array(np.ascontiguousarray(self.mask[start : start + m, first:last], np.uint8))
        reach = xp.where(driver.array(failed), xp.float32(xp.inf), self.threshold)
        for _ in range(REDO):
            self._keep(score, first, last, reach, allowed)
            lost = driver.host(self.lost)
            if not lost.any():
                return lost > 0
            reach = xp.where(self.lost > 0, self.threshold, xp.float32(xp.inf))
        return lost > 0

    def _keep(self, score, first, last, reach, allowed):
        driver, (m, width), capacity = self.driver, score.shape, np.int32(self.sizes.capacity)
        driver.launch("filter", (-(-width // 128), -(-m // 64)), BLOCK, [
            score, *map(np.int32, (m, width, 0, first)), self.own, self.columns[first:last], reach, self.exclude,
            allowed, np.int64(width), self.list, self.count, capacity, None, None, None, None, np.int32(0),
        ])  # fmt: skip
        driver.launch("tighten", m, BLOCK, [
            self.list, self.count, capacity, np.int32(self.k), self.own, self.columns, None, self.slack, self.threshold,
            np.int32(first), self.lost,
        ], TURNED=0)  # fmt: skip

    def _ranked(self, queries, bias, failed):
        driver, xp, m, gallery = self.driver, self.driver.xp, len(queries), self.gallery
        capacity = np.int32(self.sizes.capacity)
        value = xp.empty((m, self.sizes.capacity))
        driver.launch("rerank", m, BLOCK, [
            queries.rows, gallery.rows, np.int32(self.d), self.list, self.count, capacity, queries.square,
            gallery.square, queries.exponent, gallery.exponent, bias, self.bias, value,
        ], INPUT=INPUT[queries.rows.dtype.name], METRIC=METRIC[self.metric.form])  # fmt: skip
        best, index, certified = xp.empty((m, self.k)), xp.empty((m, self.k), xp.int64), xp.empty(m, xp.uint8)
        lost = driver.array(failed.astype(np.int32))
        driver.launch("order", m, BLOCK, [
            self.list, value, self.count, lost, capacity, np.int32(self.k), best, index, certified,
        ])  # fmt: skip
        return driver.host(best), driver.host(index), driver.host(self.count)
