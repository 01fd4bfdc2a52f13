"""A certified search on Numba: both sides encoded, tiles swept by the pool's threads, an epilogue for each operation.

Work    queries in blocks; per block the gallery in blocks of codes, encoded and swept piece by piece by all threads
Shapes  x (m, d), y (n, d) behind `Rows` -> what the keeper of an operation makes of the scores
Cost    encoding reads each side once, the sweep 2 m n d operations; scratch as `Search.sizes` says
Sum     none of its own

A keeper says what the epilogue of its operation needs:
    kernel(kind, machine), owns_columns, mirrored, per_query(), per_row(): bytes of its state
    until(first, most)                          the row behind the next block of queries
    begin(x: Queries, ranges)                   before that block
    raises()                                    whether its thresholds rise between blocks of the gallery
    gallery(left, right, y: Columns)            before a block of the gallery
    state(number of the range, rows, columns): (level or None, state) of a job; slices count from the blocks' first
    emptied(state)                              a kernel had no more room
    block(left, right, y: Columns), end(odd)    after a block of the gallery; after all of it, with the odd positions:
                                                the row to go on with
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from . import canonical, cost, metrics, packed, panels, pool, probe, sides, simd, sweep
from .encode import WIDEST
from .filters import Stats
from .jit import plain

LONGEST = 1 << 23  # features for which the encoder's allowances for its sums hold
LEAST_PIECE = 1 << 15  # of rows that one job encodes or settles
QUERY_BYTES = 160 << 10  # of query codes in one job: a third of an L2 of 512 KiB
GALLERY_BYTES = 1 << 24  # of codes made and swept while they are in L3
MASK_BYTES = 1 << 22  # of a mask (m, n) that a job reads at once
CALL_WORK = 1 << 31  # multiply-adds between two looks at Ctrl-C: about 50 ms, more where many pairs reach their limit
FIRST_ROWS, GROWTH = 4096, 4  # swept before thresholds are raised for the first time; each time after, as much more
JOBS_PER_THREAD = 4  # so that nobody waits long for the last
BUSY = 0.8  # share of the threads that have work, of jobs of one length
OVERHEAD = 1 << 18  # of objects and temporaries whatever the sizes
ROW_BYTES = 128  # numbers beside the codes of a row
PRECISIONS = tuple(simd.KINDS)
NOBODY, EVERYBODY = np.empty(0, np.int64), np.empty((0, 0), bool)


@dataclass
class Search:
    """One search of x in y: in which codes, on which register tile, under which filters."""

    x: object
    y: object
    metric: metrics.Metric
    filters: object
    precision: str
    stats: object
    max_bytes: int
    prepared: object = None
    tick: object = None
    measure: sides.Measure | None = None  # None where every pair needs its canonical value
    # stores need not bear two readers; where all of them do, nobody waits
    reading: contextlib.AbstractContextManager = field(default_factory=threading.Lock)
    noting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bounded(self):
        return self.measure is not None

    def __post_init__(self):
        self.machine, self.kind = simd.runnable()[0], simd.KINDS[self.precision]
        self.real = sides.REAL[self.precision]
        self.piece = packed.PIECE_BYTES
        self.width, self.height = self.machine.columns(self.kind), self.machine.rows
        stores = self.x.store, self.y.store, self.filters.mask
        if all(isinstance(one, np.ndarray | None) or getattr(one, "many_readers", False) for one in stores):
            self.reading = contextlib.nullcontext()

    # ----------------------------------------------------------------------------------------------------------- sides

    def queries(self, first, last, symmetric):
        bias = None if self.filters.bias is None else self.filters.bias[0][first:last]
        began = time.perf_counter()
        found = self._panels(self.x, first, last, 0)
        found = sides.queries(found, self.measure, self.precision, last - first, bias, symmetric)
        self.stats.prepare_seconds += time.perf_counter() - began
        return found

    def columns(self, spans):
        """(left, right, Columns) of blocks of the gallery."""
        unfiltered = self.filters.bias is None and (self.filters.mask is None or len(self.filters.mask.shape) == 2)
        for left, right, found, columns in self.prepared.chunks() if self.prepared else self._encoded(spans):
            if not (columns and unfiltered):
                columns = self._columns(found, left, right)
            yield left, right, columns

    def _encoded(self, spans):
        for left, right in spans:
            began = time.perf_counter()
            found = self._panels(self.y, left, right, 1)
            self.stats.prepare_seconds += time.perf_counter() - began
            yield left, right, found, None

    def _spans(self, most, start, growing):
        """(left, right) of blocks of the gallery from a row on; growing: small ones first."""
        n = len(self.y)
        step = min(most, -(-FIRST_ROWS // self.width) * self.width) if growing else most
        while start < n:
            yield start, min(start + step, n)
            start, step = start + step, min(most, GROWTH * step)

    def _panels(self, rows, start, stop, side):
        return packed.encoded(rows, start, stop, side, self.precision, self.measure, self.piece, self.reading)

    def _columns(self, found, left, right):
        mask, bias = self.filters.mask, self.filters.bias
        mask = mask[left:right] if mask is not None and len(mask.shape) == 1 else None
        bias = bias if bias is None else bias[1][left:right]
        return sides.columns(found, self.measure, self.precision, right - left, bias, mask)

    # -------------------------------------------------------------------------------------------------------- sweeping

    def visit(self, keeper):
        """Every block of queries against all of the gallery."""
        query_rows, gallery_rows = self.sizes(keeper)
        m, n, block, held = len(self.x), len(self.y), 0, None
        blocks = -(-m // query_rows) if m else 0
        first = 0
        while first < m:
            last = keeper.until(first, query_rows)
            x = self.queries(first, last, keeper.owns_columns)
            ranges, step = self.shares(x.side.codes.shape[0], keeper)
            keeper.begin(x, ranges)
            odd = [NOBODY]
            start = first // self.width * self.width if keeper.mirrored else 0
            spans = self._spans(gallery_rows, start, keeper.raises() and blocks == 1)
            for left, right, y in held or self.columns(spans):
                if held is None and blocks > 1 and right - left == n:
                    held = [(left, right, y)]
                odd.append(left + np.flatnonzero(y.odd))
                keeper.gallery(left, right, y)
                self._sweep(keeper, x, y.side, (ranges, step), first, left)
                keeper.block(left, right, y)
                if self.tick is not None:
                    self.tick(min(block * n + right, blocks * n), blocks * n)
            block += 1
            first = keeper.end(np.concatenate(odd))

    def sizes(self, keeper):
        """Rows of a block of queries and of the gallery."""
        m, n, d = len(self.x), len(self.y), self.x.shape[1]
        height, width = self.height, self.prepared.longest() if self.prepared else self.width
        code = np.dtype(self.kind.code).itemsize * self.kind.group * panels.steps_of(d, self.kind)
        per_row = (0 if self.prepared else code) + ROW_BYTES + keeper.per_row()
        masked = self.filters.mask is not None and len(self.filters.mask.shape) == 2
        scratch, whole = pool.threads() * (3 + masked), -(-n // width) * width * per_row

        def held(queries):
            ranges, _ = self.shares(queries // height, keeper)
            return queries * (code + ROW_BYTES + ranges * keeper.per_query())

        least_piece = max(LEAST_PIECE, 128 * d)
        while (room := self.max_bytes - OVERHEAD - keeper.fixed() - scratch * self.piece) < held(
            height
        ) + width * per_row:
            if self.piece <= least_piece:
                needed = OVERHEAD + keeper.fixed() + scratch * least_piece + held(height) + width * per_row
                raise pool.Short(f"max_bytes must be at least {needed} for d={d} and {keeper}, got {self.max_bytes}")
            self.piece = max(least_piece, self.piece // 2)
        queries, wanted = -(-max(m, 1) // height) * height, min(whole, max(width * per_row, room // 2))
        while queries > height and held(queries) + wanted > room:
            queries = max(height, queries // 2 // height * height)
        rows = (room - held(queries)) // per_row
        if queries >= m:
            rows = min(rows, max(GALLERY_BYTES // code, 64 * width))
        if masked:
            rows = min(rows, self.piece // height)
        return queries, max(width, rows // width * width)

    def fits(self, keeper):
        """Whether `max_bytes` is enough."""
        piece = self.piece
        try:
            self.sizes(keeper)
        except ValueError:
            return False
        finally:
            self.piece = piece
        return True

    def shares(self, count, keeper):
        """(gallery ranges, query panels a job): enough jobs for all threads; columns belong to one job each.

        Every range has lists and thresholds of its own, whose beginnings cost codes of bytes more than an idle thread:
        200 queries of 100,000 rows (int8, d = 768, 2 threads) took 225 ms in 8 ranges and 58 in 2.
        """
        threads = pool.threads()
        if keeper.owns_columns:
            return threads, count
        wanted = JOBS_PER_THREAD * threads if threads > 1 else 1
        step = max(1, min(count, self._job_panels()))
        jobs = -(-count // step)
        if jobs < wanted <= count * 2 and count > 2 * wanted:
            step = -(-count // wanted)
            jobs = -(-count // step)
        ranges = 1 if 2 * jobs > wanted else -(-wanted // jobs)
        return (_fewest(jobs, threads, ranges) if self.kind.code == "int8" else ranges), step

    def _job_panels(self):
        """Panels of queries that stay in L2, and whose masks fit."""
        steps = panels.steps_of(self.x.shape[1], self.kind)
        panel = steps * self.height * self.kind.group * np.dtype(self.kind.code).itemsize
        return max(1, QUERY_BYTES // panel)

    def _sweep(self, keeper, x, y, shares, first, left):
        ranges, step = shares
        kernel, total = keeper.kernel(self.kind, self.machine), y.codes.shape[0]
        height = np.ones(total)  # of each panel's column of work
        if keeper.mirrored:
            height = np.clip(left - first + self.width * (1 + np.arange(total)), 0, x.side.codes.shape[0] * self.height)
        parts = cuts(height, ranges)
        share = max(stop - start for start, stop in parts)
        work = share * self.width * self.height * self.x.shape[1]
        most = max(1, min(self._job_panels(), CALL_WORK // work))
        masked = self.filters.mask is not None and len(self.filters.mask.shape) == 2
        if masked:
            most = max(1, self.piece // (self.height * share * self.width))

        def job(number, p):
            panel = slice(*parts[number])
            across = slice(panel.start * self.width, panel.stop * self.width)
            part = y.codes[panel], y.start[across], y.scale[across], y.offset[across], y.margin[panel]
            room = sweep.workroom(self.kind, self.machine, self.real, min(step, most), x.side.codes.shape[1])
            for top in range(p, min(p + step, x.side.codes.shape[0]), most):
                pool.go_on()
                bottom = min(top + most, p + step)
                down = slice(top * self.height, bottom * self.height)
                queries = x.side.codes[top:bottom], x.side.scale[down], x.side.margin[down]
                level, state = keeper.state(number, down, across)
                pairs = self._pairs(
                    slice(first + down.start, first + down.stop), slice(left + across.start, left + across.stop)
                )
                ahead = left + across.start - first - down.start if keeper.mirrored else sweep.FAR
                place = np.zeros(2, np.int64)
                while True:
                    kernel(
                        queries,
                        part,
                        part[3] if level is None else level,
                        state,
                        left + across.start,
                        *pairs,
                        ahead,
                        place,
                        room,
                    )
                    if place[0] == part[0].shape[0]:
                        break
                    keeper.emptied(state)
                keeper.emptied(state)

        pool.run(
            [
                lambda number=number, p=p: job(number, p)
                for number in range(len(parts))
                for p in range(0, x.side.codes.shape[0], step)
            ]
        )

    def _pairs(self, rows, columns):
        """exclude and mask of a job, empty where there is none."""
        exclude, mask = self.filters.exclude, self.filters.mask
        excluded = NOBODY if exclude is None else np.full(rows.stop - rows.start, -1, np.int64)
        if exclude is not None:
            found = exclude[rows]
            excluded[: len(found)] = found
        if mask is None or len(mask.shape) == 1:
            return excluded, EVERYBODY
        with self.reading:
            found = np.asarray(mask[rows, columns])
        allowed = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        allowed[: found.shape[0], : found.shape[1]] = found
        return excluded, allowed

    # -------------------------------------------------------------------------------------------------------- settling

    def values(self, row, column):
        """Ordered canonical values of pairs; one thread."""
        value = np.empty(len(row))
        x, y = matrix(self.x), matrix(self.y)
        direct = x is not None and y is not None and x.dtype == y.dtype
        form = self.metric.name if self.metric.form == "cosine" else self.metric.form
        if direct:
            canonical.valuer(form, x.dtype.name, y.dtype.name)(x, y, row, column, value)
        else:
            alike = self.x.dtype == self.y.dtype  # a store of float32 rows: widened in the kernel, not in memory
            kind = self.x.dtype if alike else np.dtype(np.float64)
            kernel = canonical.valuer(form, kind.name, kind.name)
            step = max(1, self.piece // (32 * self.x.shape[1]))
            for start in range(0, len(row), step):
                part = slice(start, start + step)
                with self.reading:
                    left, right = self.x.picked(row[part]), self.y.picked(column[part])
                at = np.arange(len(left))
                kernel(plain(left, kind), plain(right, kind), at, at, value[part])
        return metrics.ordered(self.metric, value, self.filters.sums(row, column))

    def told(self, share):
        """Report progress as a share of the gallery's rows."""
        if self.tick is not None:
            self.tick(round(share * len(self.y)), len(self.y))

    def counted(self, row, times=1):
        """Note canonical values computed for rows."""
        with self.noting:
            self.stats.candidates += times * np.bincount(row, minlength=len(self.stats.candidates))


def _fewest(jobs, threads, most):
    """The fewest ranges, so many jobs in each, that keep BUSY of the threads at work; no more than `most`."""
    for ranges in range(1, most):
        rounds = -(-jobs * ranges // threads)
        if jobs * ranges >= BUSY * rounds * threads:
            return ranges
    return most


def cuts(work, ranges):
    """(start, stop) of ranges of panels, or of owners, with as much work in each, given that of each."""
    done = np.cumsum(work)
    edges = [0, *(int(np.searchsorted(done, done[-1] * at / ranges)) + 1 for at in range(1, ranges)), len(work)]
    return [(start, min(stop, len(work))) for start, stop in pairwise(edges) if start < stop]


def search(x, y, metric, filters, precision, max_bytes, prepared, tick, k=0, k_columns=0):
    """A search as the operations begin one; not `bounded` where every pair needs its canonical value."""
    stats = Stats(np.zeros(len(x), np.int64), np.zeros(len(x), bool))
    bounded = metric.form is not None and not (metric.rooted and filters.bias is not None) and x.shape[1] <= LONGEST
    if not bounded:
        return Search(x, y, metric, filters, stats.precision, stats, max_bytes, None, tick)
    n, d, measure, shares = len(y), x.shape[1], None, None
    if prepared is None:
        measure = sides.measure(metric, y, x)
        if precision == "auto" and cost.worth_a_look(len(x), n, d, k, k_columns, max_bytes):
            shares = probe.shares(x, y, measure, k, cost.RAISED if cost.raises(n, k) else ())
    stored = not isinstance(y.store, np.ndarray)
    stats.precision = cost.precision(n, d, k, k_columns, shares, stored) if precision == "auto" else precision
    if prepared is not None:
        prepared = prepared.of(stats.precision, lambda rows: packed.pack(rows, metric, stats.precision))
        measure = prepared.measured(x)
    return Search(x, y, metric, filters, stats.precision, stats, max_bytes, prepared, tick, measure)


def declines(precision, d):
    """Why a scan on Numba cannot run at this precision, None if it can."""
    if precision == "float32" and d > WIDEST:
        return f"float32 has no useful bound beyond {WIDEST} features, got d={d}"
    if precision in ("auto", *PRECISIONS):
        return None
    return f"it scans in {', '.join(PRECISIONS)}, not precision={precision!r}"


def matrix(rows):
    """The rows as the kernels take them, where they are in memory like that."""
    store = rows.store
    held = isinstance(store, np.ndarray) and store.dtype in (np.float32, np.float64) and store.dtype.isnative
    return plain(store) if held and store.flags.c_contiguous and store.flags.aligned else None
