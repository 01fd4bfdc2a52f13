"""The tile loop on a device: blocks of queries, parts of the gallery, tiles of scores; and what all of it takes.

Work    products of fp16 codes on the tensor cores (`resident.py`), or keys of all pairs where a metric has no bound by
        products (`direct.py`), a tile at a time; what is done with a tile is the caller's
Shapes  x (m, d), y (n, d) -> tiles of scores (m, width) float16, or of keys float32
Cost    2 m n d operations; device memory as in `plan`
Sum     of the tensor cores, inside the bound (`bounds.py`), or canonical
"""

import contextlib
import time
import weakref
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..encode import space
from ..filters import Stats
from . import again, direct, resident
from . import driver as drivers
from .lanes import TILES
from .resident import held_as, uploaded
from .ring import Ring
from .workspace import Spare

KERNELS = ("prepare", "bound", "filter", "tighten", "rerank", "order")  # of topk by products
ROWS, COLUMNS = 128, 256  # of a block of filter.cu
# 320 MB of float16: an H100's cuBLAS did 680 TFLOP/s for 10,000 x 32,768 x 768, 608 for 8192 columns, 502 for 2048, and
# 520 where scores were float32. Tiles that stay in its L2 do not help the filter: in one graph, without Python, all of
# 10,000 x 1,000,000 x 768, products and filters, took 33 to 40 ms in tiles of 10 to 80 MB, 30 in these
TILE_SCORES = 160 << 20
QUERY_ROWS, FIRST, LEAST_ROWS = 5120, 1280, 256
PASSING_ROWS = 16384  # queries at once where the gallery comes in parts: every block of them has all of it copied again
FEW, LEAST_CAPACITY, CAPACITY_OF_FEW = 256, 1024, 4096  # few queries can hold more: launches outweigh what that costs
KEPT_SHARE = 0.8  # of the free memory, that a gallery may keep


@dataclass(frozen=True)
class Plan:
    """Queries held at once, candidates that a list of one may hold, gallery rows held at once, scores of a tile."""

    query_rows: int
    capacity: int
    rows: int
    tile_scores: int

    def blocks(self, m, n):
        """(start, stop) of queries.

        With many, and the gallery on the device, the first and the last are short, for nothing hides their copies.
        """
        short = FIRST if m > 2 * FIRST and self.query_rows >= FIRST and self.rows >= n else 0
        inner = m - 2 * short
        step = max(1, -(-inner // max(1, -(-inner // self.query_rows))))
        edges = [0, *range(short, m - short, step), m - short, m] if short else [*range(0, m, step), m]
        return [(start, stop) for start, stop in pairwise(edges) if start < stop]

    def scores(self):
        """Those of the largest tile."""
        return _tile(self.query_rows, self.rows, self.tile_scores)

    def groups(self, n):
        """(start, stop) of the gallery rows that are on the device together."""
        return [(start, min(start + self.rows, n)) for start in range(0, n, self.rows)]


def objection(metric, filters, precision):
    """Why no search on CUDA can do this, in words; None if nothing is in the way."""
    if not (metric.form or direct.bounds(metric)):
        return f"it has no kernel for metric={metric.name!r} yet"
    scan = "float16" if by_products(metric, filters) else "float64"
    if precision not in ("auto", scan):
        return f"it scans in {scan}, not precision={precision!r}"
    return drivers.obstacle()


def by_products(metric, filters):
    """Whether products of codes bound what a search orders by; a root plus a bias they do not."""
    return metric.form is not None and not (metric.rooted and filters.bias is not None)


def _way(metric, filters):
    """Where keys come from, and the bytes of a score."""
    return (resident, 2) if by_products(metric, filters) else (direct, 4)


def fitted(driver, max_bytes, attempt):
    """attempt(bytes of the device), with half as many after it ran out of memory."""
    room = min(max_bytes, driver.room())
    while True:
        with contextlib.suppress(driver.out_of_memory):
            return attempt(room)
        driver.release()  # not before: until here the error holds the frames of the attempt, and their arrays
        room //= 2


def plan(m, n, d, k, row, max_bytes, room, kept=False, masked=False, score=2):
    """The largest sizes that fit into `room`, or ValueError with the least that would do; row, score: bytes of one."""
    sizes = m, n, d, k, row, max_bytes, room, kept, masked, score
    usual = _plan(QUERY_ROWS, *sizes)
    return usual if usual.rows >= n else max(usual, _plan(PASSING_ROWS, *sizes), key=lambda found: found.query_rows)


def least(x, y, metric, filters, k):
    """The least bytes of the device for the k best of every row."""
    way, score = _way(metric, filters)
    row = max(way.row_bytes(metric, x.shape[1], held_as(rows).itemsize) for rows in (x, y))
    masked = filters.mask is not None and len(filters.mask.shape) == 2
    return sum(_needed(len(x), len(y), k, row, False, score + masked)(1, min(len(y), LEAST_ROWS), 0).values())


def least_beside(m, n, k, row, score):
    """Bytes that a search takes beside the rows of a gallery, all of them held, for blocks that are worth a launch."""
    return sum(_needed(m, n, k, row, True, score)(min(m, LEAST_ROWS), n, 0).values())


def _capacity(m, n, k):
    return min(n, max(LEAST_CAPACITY if m > FEW else CAPACITY_OF_FEW, 4 * k))


def _tile(query_rows, rows, tile_scores):
    """Scores of the largest tile."""
    return query_rows * max(COLUMNS, min(tile_scores // query_rows, rows + COLUMNS))


def _needed(m, n, k, row, kept, score):
    capacity = _capacity(m, n, k)

    def needed(query_rows, rows, tile_scores):
        gallery = 0 if kept else rows * row * (1 if rows == n else 2)
        return {
            "query_rows": min(3, -(-m // query_rows)) * query_rows * (row + 16 * capacity + 48 * k),
            "rows": gallery + 16 * rows,
            "tile_scores": TILES * _tile(query_rows, rows, tile_scores) * score,
        }

    return needed


def _plan(most, m, n, d, k, row, max_bytes, room, kept, masked, score):
    sizes = {"query_rows": min(max(1, m), most), "rows": n, "tile_scores": TILE_SCORES}
    least = {"query_rows": 1, "rows": n if kept else min(n, LEAST_ROWS), "tile_scores": 0}
    needed = _needed(m, n, k, row, kept, score + masked)
    while sum((parts := needed(**sizes)).values()) > room:
        if sizes["tile_scores"] <= sizes["query_rows"] * COLUMNS:
            parts["tile_scores"] = 0  # a narrower tile is none
        halvable = [name for name in sizes if sizes[name] > least[name] and parts[name]]
        if not halvable:
            enough = sum(needed(**sizes).values())
            if enough > max_bytes:
                raise ValueError(f"max_bytes must be at least {enough} for d={d} and k={k}, got {max_bytes}")
            raise ValueError(f"the device must have {enough} bytes free for d={d} and k={k}, got {room}")
        name = max(halvable, key=parts.get)
        sizes[name] = max(least[name], -(-sizes[name] // 2))
    return Plan(capacity=_capacity(m, n, k), **sizes)


@dataclass(frozen=True)
class Queries:
    """Some queries on the device, with their numbers among all."""

    held: Any  # `Resident` or `Compared`
    number: np.ndarray
    make: Any  # their `Workspace`
    given: Any  # their rows, as they were copied to the device
    bias: Any = None  # (m,) float64 on the device
    first: int = 0  # the place of the first among all, where they are not in order

    def __len__(self):
        return len(self.number)

    def of(self, index, at, make):
        """Some of them; `at` is the index on the device."""
        bias = None if self.bias is None else self.bias[at]
        return Queries(self.held.of(at), self.number[index], make, None, bias)


@dataclass(frozen=True)
class Tile:
    """Scores of all queries of a block with `width` rows from place `first` on."""

    first: int
    width: int
    score: Any  # (m, stride)
    allowed: Any  # (m, width) uint8 on the device, or None


class Search:
    """One search: its queries in blocks, its gallery in parts that the device holds, one where all of it fits."""

    def __init__(self, driver, x, y, metric, filters, k, max_bytes, room, prepared=None, beside=False):
        """beside: what is done with a tile is launched on the lane."""
        self.driver, self.x, self.y, self.metric, self.filters, self.k = driver, x, y, metric, filters, k
        began, d = time.perf_counter(), x.shape[1]
        mask = filters.mask
        self.pairwise = mask is not None and len(mask.shape) == 2
        # neighbouring columns of a mask on disk are read together: then codes lie in the order of rows, and do not stay
        near = isinstance(mask, np.memmap) or not isinstance(mask, np.ndarray)
        self.step = 1 if self.pairwise and near else None
        self.allowed = None if mask is None or self.pairwise else np.asarray(mask[:], bool)
        self.way, score = _way(metric, filters)
        kept, (mine, row) = None, (self.way.row_bytes(metric, d, held_as(rows).itemsize) for rows in (x, y))
        if prepared is not None and self.step is None and len(y) * row <= KEPT_SHARE * room:
            kept = prepared.of(f"cuda {driver.device} {self.way.key(metric)}", self._whole)
        self.kept, row = kept is not None, max(mine, row)
        self.sizes = self._plan(row, score, max_bytes, room)
        self.groups, self.part = self.sizes.groups(len(y)), None
        # what a tile has of its own, or a part, goes back to the pool while the lane may still read it
        alone = len(self.groups) == 1 and not self.pairwise and metric.name not in direct.NEAR
        self.lane = driver.lane(beside and alone and len(x) * len(y) > self.sizes.tile_scores)
        self.calls = again.calls_of(self) if beside else None
        self.ring = Ring(driver, self.lane, self.sizes.scores() * score)
        if len(self.groups) == 1:
            self.part = Part(self, self._whole(y) if kept is None else kept, 0)  # it stays for all blocks
            self.centre = self.part.held.centre
        else:
            self.centre = self._centre(y)
        self.spare = Spare() if self.part is None else self.part.held.spare
        self.prepare_seconds = time.perf_counter() - began

    def _plan(self, row, score, max_bytes, room):
        sizes = len(self.x), len(self.y), self.x.shape[1], self.k, row, max_bytes, room
        return plan(*sizes, self.kept, self.pairwise, score)

    def _centre(self, rows):
        centre = space(self.metric, rows).centre if self.way is resident else None
        return None if centre is None else self.driver.array(centre)

    def _whole(self, rows):
        """All rows of a gallery on the device."""
        return self._held(rows, 0, uploaded(self.driver, rows, 0, len(rows)), self._centre(rows))

    def _held(self, rows, start, on, centre):
        """Rows from `start` on, which lie on the device, ready for a search."""
        held = self.way.on_device(self.driver, on, self.metric, centre, self.step)
        said = self.driver.host(held.said)  # waits: another search may find them on another stream
        if rows.check_finite or self.way is direct:
            self.refuse(rows, start, start + len(held), said)
        return held

    def refuse(self, rows, start, stop, said):
        """Raise what is wrong with the first of rows start to stop that is, by what was said of them on the device."""
        self.way.refused(self.metric, rows, start, stop, said)

    def stats(self):
        """`Stats` to be filled."""
        m, scan = len(self.x), "float16" if self.way is resident else "float64"
        return Stats(np.zeros(m, np.int64), np.zeros(m, bool), scan, self.prepare_seconds)

    def blocks(self):
        """`Queries`, block by block. The place of the next is taken, and marked, before the device works on this."""
        driver, x = self.driver, self.x
        edges, places = self.sizes.blocks(len(x), len(self.y)), []
        for number, (start, stop) in enumerate(edges):
            while len(places) < min(number + 2, len(edges)):
                first, last = edges[len(places)]
                make = self.spare.taken(driver, last - first, self.k)
                target = make("rows", (last - first, x.shape[1]), held_as(x))
                places.append((make, target, None if len(edges) == 1 else driver.mark()))
            yield self.queries(start, stop, *places[number])
            places[number] = None

    def queries(self, start, stop, make=None, target=None, mark=None):
        """Those from start to stop; their place may be filled once the mark has passed."""
        driver, x, bias = self.driver, self.x, self.filters.bias
        make = make or self.spare.taken(driver, stop - start, self.k)
        on = uploaded(driver, x, start, stop, target, mark)
        with drivers.noted(self.calls):
            held = self.way.on_device(driver, on, self.metric, self.centre, 1, make)
        rows = np.arange(start, stop)
        return Queries(held, rows, make, on, None if bias is None else driver.array(bias[0][rows]))

    def rows(self, queries):
        """Their numbers, as an index."""
        return slice(int(queries.number[0]), int(queries.number[-1]) + 1)

    def done(self, queries, said):
        """The device is through with these queries, and has said what is wrong with them: that is raised.

        Their arrays may serve again, unless there was something, which would be taken for a fault of the next.
        """
        first, stop = int(queries.number[0]), int(queries.number[-1]) + 1
        self.refuse(self.x, first, stop, said)
        if said[0] >= len(queries):
            self.spare.back(queries.make, len(queries), self.k)

    def run(self, block):
        """Call block(queries) for all: what it does after its first `yield` waits until the next block is under way."""
        before = iter(())
        try:
            for queries in self.blocks():
                work = block(queries)
                next(work)
                if self.part is None:  # parts that come and go hold one block at a time
                    before, work = work, iter(())
                for _ in before:
                    pass
                before = work
            for _ in before:
                pass
        finally:
            self.lane.join()  # it may still read what is given back now

    def parts(self):
        """(`Part`, ahead) of the gallery; `ahead()` begins to copy the next rows while the device works on these."""
        if self.part is not None:
            yield self.part, lambda: None
            return
        copies = _Copies(self)
        for number, (start, _) in enumerate(self.groups):
            yield Part(self, self._held(self.y, start, copies.of(number), self.centre), start), copies.ahead
            copies.done(number)


class _Copies:
    """Two buffers of gallery rows on the device, filled in turn."""

    def __init__(self, search):
        self.driver, self.y, self.groups = search.driver, search.y, search.groups
        shape = search.sizes.rows, self.y.shape[1]
        self.buffers = [self.driver.empty(shape, held_as(self.y)) for _ in range(2)]
        self.marks, self.filled = [None, None], []

    def ahead(self):
        number = len(self.filled)
        if number < len(self.groups):
            self.filled.append(
                uploaded(self.driver, self.y, *self.groups[number], self.buffers[number % 2], self.marks[number % 2])
            )

    def of(self, number):
        while len(self.filled) <= number:
            self.ahead()
        return self.filled[number]

    def done(self, number):
        self.marks[number % 2] = self.driver.mark()


class Part:
    """Rows of the gallery that are on the device, numbered from `start` on."""

    def __init__(self, search, held, start):
        self.search = weakref.proxy(search)  # which has this: a cycle would keep both, and a gallery on the device
        self.driver, self.start = search.driver, start
        self.held = held
        rows = slice(start, start + len(held))
        bias, allowed = search.filters.bias, search.allowed
        self.bias = None if bias is None else self.driver.array(bias[1][rows])
        self.columns = self.held.plain
        if bias is not None or allowed is not None:
            self.columns = self.held.columns(self.bias, None if allowed is None else self.driver.array(allowed[rows]))

    def __len__(self):
        return len(self.held)

    def excluded(self, queries):
        """(m,) int32 on the device: the place that a query must not be matched with, -1 for none; or None."""
        exclude = self.search.filters.exclude
        if exclude is None or self.search.pairwise:
            return None
        row = exclude[queries.number] - self.start
        here = (row >= 0) & (row < len(self))
        place = np.where(here, row, 0) * self.held.turn % len(self)
        return self.driver.array(np.where(here, place, -1).astype(np.int32))

    def rows_of(self, keys):
        """Numbers of the rows of keys, on the host."""
        return self.start + (keys & np.uint64(0xFFFFFFFF)).astype(np.int64) * self.held.step % len(self)

    def tiles(self, queries, first, last, one=False):
        """`Tile`s of queries with the rows at places first to last, or the first of them alone."""
        most = max(COLUMNS, self.search.sizes.tile_scores // len(queries) // COLUMNS * COLUMNS)
        bias = None if self.bias is None else (queries.bias, self.bias)
        while first < last:
            width = min(most, last - first)
            score = self.held.scores(queries.held, self.search.ring.place, first, width, bias)
            tile = Tile(first, width, score, self._allowed(queries, first, width))
            self.search.lane.follow()
            yield tile
            self.search.ring.read()
            first = last if one else first + width

    def _allowed(self, queries, first, width):
        if not self.search.pairwise:
            return None
        columns = self.start + np.arange(first, first + width) * self.held.step % len(self)
        return self.driver.array(self.search.filters.allowed(queries.number, columns).view(np.uint8))
