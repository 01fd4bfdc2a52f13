"""The k best of the rows of a block of queries, and of the columns of a block of the gallery: a keeper of `engine.py`.

Work    lists of candidates while tiles are swept (`select.py`), then canonical values of what the bound leaves
Shapes  out [(distances, indices) of the rows] and maybe [.. of the columns]
Cost    about 2 d flops for each candidate; scratch lists of 4 k + ROOM candidates an owner
Sum     canonical (`canonical.py`)
"""

import numpy as np

from . import cost, exact, merge, metrics, pool, select
from .engine import cuts

WIDER = dict.fromkeys(("int6", "int7", "int8"), "int16")  # for queries whose candidates the codes do not tell apart
PROMISING = 3  # candidates for each of the k best from where on those with the largest bounds are valued first
FEW = 4  # rows that canonical values settle sooner than the gallery is encoded again
OWNED = 1 << 13  # candidates that one job settles: 16 owners a job took 1.3 to 1.8 times as long as 2**14 candidates
CANDIDATE_BYTES = 72  # of a candidate that is settled
LEADER = 3  # candidates in whose room one raises a threshold
# Candidates of an owner beyond 4 k: white noise leaves 220 of 100,000 rows in int8, 290 in int7 with raised thresholds,
# 12 in int16 (k = 10, d = 768), sentences 236 of 108,000 in int6
ROOM = {"int6": 3072, "int7": 3072, "int8": 1536} | dict.fromkeys(("int16", "float32", "float64"), 128)
# Few owners may have more: of 64 normal rows among 488,000 (int7, d = 768) 16 to 19 filled their lists and had the
# gallery read again; with four times the room none, in 0.56 of the CPU time
MORE, FEW_OWNERS = 4, 1 / 4  # times the room, where that part of max_bytes holds all lists


def empty(owners, k):
    """(value, index) with nothing in them."""
    return np.full((owners, k), np.inf), np.full((owners, k), -1, np.int64)


def _left(lists, floor, start, first):
    """owner, partner of the candidates that reach the floors of the owners from `start` on."""
    rows = slice(start, start + len(floor))
    size = sum(int(np.maximum(part.count[rows], 0).sum()) for part in lists)
    (owner, partner), size = np.empty((2, size), np.int64), 0
    for part in lists:
        reach = part.high[rows], part.where[rows], part.count[rows], floor, first + start
        size += select.survivors(*reach, owner[size:], partner[size:])
    return owner[:size], partner[:size]


def _jobs(sizes):
    """Owners for each job, given the candidates of each: about OWNED together, or a share of them for each thread."""
    work = sizes + 1
    ranges = max(2 * pool.threads(), -(-int(work.sum()) // OWNED))
    return [slice(*cut) for cut in cuts(work, ranges)]


class Best:
    """Candidates of owners, then the k best; rows that want a wider scan are left in `crowded`."""

    mirrored = False

    def __init__(self, search, out, k, k_columns, limit=None):
        self.search, self.out, self.k, self.k_columns, self.limit = search, out, k, k_columns, limit
        self.owns_columns, room, n = k_columns > 0, ROOM[search.precision], len(search.y)
        self.column_capacity = 2 * k_columns + room
        self.column_value, self.column_index = empty(n, k_columns)
        self.column_lost, self.crowded = np.zeros(n, bool), []
        panels = max(1, -(-len(search.x) // search.height))
        lists = search.shares(panels, self)[0] * panels * search.height * room * select.ENTRY_BYTES
        times = min(MORE, int(FEW_OWNERS * search.max_bytes) // lists)
        self.capacity = 4 * k + times * room
        if times < 1 or not (search.bounded and search.fits(self)):  # without a scan there are no lists
            self.capacity = 4 * k + room

    def __str__(self):
        return f"k={max(self.k, self.k_columns)}"

    def per_query(self):
        return self.capacity * select.ENTRY_BYTES + 40 * self.k + 32

    def per_row(self):
        return self.column_capacity * select.ENTRY_BYTES + 40 * self.k_columns + 32 if self.owns_columns else 0

    def fixed(self):
        settled = OWNED + max(self.capacity, self.column_capacity)  # by a thread at a time
        return len(self.search.y) * (self.k_columns * 16 + 1) + pool.threads() * settled * CANDIDATE_BYTES

    def kernel(self, kind, machine):
        return (select.both_selector if self.owns_columns else select.selector)(kind, machine)

    def until(self, first, most):
        self.first, self.last = first, min(first + most, len(self.search.x))
        return self.last

    def begin(self, x, ranges):
        first, last, self.x = self.first, self.last, x
        self.rows = [select.lists(len(x.scale), self.capacity, self.k, x.side.scale.dtype) for _ in range(ranges)]
        for part in self.rows:
            part.least[last - first :] = np.inf
            part.least[: last - first][x.lost] = np.inf
        self.columns = None
        if self.limit is not None:
            self._limited(last - first)

    def _limited(self, count):
        """Thresholds that begin at the limits of the rows, as if their k best so far were there."""
        low, _ = self.x.keys(np.arange(count), self.limit[self.first : self.last])
        for part in self.rows:
            part.lows[:count], part.least[:count] = low[:, None], np.maximum(part.least[:count], low)

    def gallery(self, left, right, y):
        if self.owns_columns:
            self.columns = select.lists(len(y.side.scale), self.column_capacity, self.k_columns, y.side.scale.dtype)
            self.columns.least[right - left :] = np.inf
            self.columns.least[: right - left][y.odd] = np.inf
            self.level = y.side.offset - y.side.offset.dtype.type(np.inf)

    def state(self, number, down, across):
        rows = tuple(part[down] for part in self.rows[number])
        if not self.owns_columns:
            return None, (rows,)
        columns = tuple(part[across] for part in self.columns)
        return self.level[across], (rows, columns, self.x.side.offset[down], self.first + down.start)

    def emptied(self, state):
        """Lists make their own room."""

    def block(self, left, right, y):
        if self.owns_columns:
            held = self.column_value[left:right], self.column_index[left:right]
            self.column_lost[left:right] |= self._settle([self.columns], y.odd, left, held)
        elif self.raises() and right < len(self.search.y):
            lists, jobs = self.rows[0], _jobs(np.full(self.last - self.first, LEADER * self.k))
            pool.run([lambda owners=owners: self._raise(lists, owners, lists.least[owners]) for owners in jobs])

    def raises(self):
        """Whether canonical values between blocks of the gallery raise thresholds: of rows with one list."""
        pays = self.search.precision in cost.RAISED and cost.raises(len(self.search.y), self.k)
        return pays and not self.owns_columns and len(self.rows) == 1

    def _raise(self, lists, owners, floor, results=None):
        """Thresholds of owners from canonical values of the k candidates with the largest bounds.

        With results these candidates are done: they join the results and leave the list.

        The thresholds are a margin above lower bounds. In int6, 2000 x 108,000 sentences then take 0.7 to 0.85 of the
        CPU time, 2000 x 100,000 normal rows (d = 256) 0.8, and none of these is given up where all were. int8 lost 5 to
        10 %: its margins strike enough by themselves.
        """
        count, k = lists.count[owners], lists.lows.shape[1]
        partner = np.empty((len(count), k), np.int64)
        heap = np.empty((1, k), lists.high.dtype)
        taken_out = results is not None
        select.leaders(lists.high[owners], lists.where[owners], count, floor, heap, partner, taken_out)
        (owner, slot), first = np.nonzero(partner >= 0), self.first + owners.start
        found = value, _ = empty(len(count), k)
        self._valued(first + owner, partner[owner, slot], False, first, found)
        if taken_out:
            merge.rows(*found, *(part[owners] for part in results))
        lows, _ = self.x.keys(np.repeat(np.arange(owners.start, owners.stop), k), value[:, ::-1].ravel())
        lows = lows.reshape(value.shape)
        higher = lows[:, 0] > lists.least[owners]  # not of rows that want no more
        lists.lows[owners][higher], lists.least[owners][higher] = lows[higher], lows[higher, 0]

    def end(self, odd):
        search, results = self.search, self._results()
        rows, everybody = np.arange(self.first, self.last), np.arange(len(search.y))
        odd_rows = self.x.lost
        given_up = self._settle(self.rows, odd_rows, self.first, results)
        search.stats.widened[rows[given_up]] = True
        self._merged(rows, ~(odd_rows | given_up), odd, results)
        self._crowded(rows, given_up, results)
        if self.owns_columns and given_up.any():
            self._only_columns(rows[given_up], odd)
        self._merged(rows, odd_rows, everybody, results)
        self._written(rows, results)
        return self.last

    def alone(self):
        """Without a scan: every pair by canonical value."""
        everybody = np.arange(len(self.search.y))
        self.columns = None
        step = exact.blocks(self.search, 40 * self.k * 4, self.fixed, self)
        for first in range(0, len(self.search.x), step):
            self.until(first, step)
            rows, results = np.arange(self.first, self.last), self._results()
            self._merged(rows, np.ones(len(rows), bool), everybody, results)
            self._written(rows, results)
            self.search.told(self.last / len(self.search.x))

    def finish(self):
        """What waits for the last block of queries: all columns."""
        self.rows = self.columns = None
        if not self.owns_columns:
            return
        lost = np.flatnonzero(self.column_lost)
        if len(lost):
            value, index = empty(len(lost), self.k_columns)
            exact.best(exact.Turned(self.search), lost, np.arange(len(self.search.x)), value, index)
            self.column_value[lost], self.column_index[lost] = value, index
        self._out(1, slice(None), self.column_value, self.column_index)

    def _crowded(self, rows, given_up, results):
        """Rows whose candidates the bound did not tell apart: another scan, or every pair by canonical value."""
        if self.search.precision in WIDER and np.count_nonzero(given_up) > FEW:
            self.crowded.append(rows[given_up])
        else:
            self._merged(rows, given_up, np.arange(len(self.search.y)), results, columns=False)

    def _results(self):
        return empty(self.last - self.first, self.k)

    def _written(self, rows, results):
        self._out(0, slice(self.first, self.last), *results)

    def _out(self, side, rows, value, index):
        distances, indices = self.out[side]
        biased = self.search.filters.bias is not None
        distances[rows] = metrics.returned(self.search.metric, value, distances.dtype, biased)
        indices[rows] = index

    def _merged(self, rows, some, partners, results, columns=True):
        """The pairs of some rows with partners by canonical value, folded into the results of both sides."""
        if not some.any() or not len(partners):
            return
        held = [part[some] for part in results]
        theirs = [self.column_value[partners], self.column_index[partners]] if self.owns_columns and columns else None
        exact.best(self.search, rows[some], partners, *held, theirs)
        for part, found in zip(results, held, strict=True):
            part[some] = found
        if theirs:
            self.column_value[partners], self.column_index[partners] = theirs

    def _only_columns(self, rows, odd):
        """Odd columns have seen nothing of the rows that were given up."""
        if len(odd):
            value, index = self.column_value[odd], self.column_index[odd]
            exact.best(exact.Turned(self.search), odd, rows, value, index)
            self.column_value[odd], self.column_index[odd] = value, index

    def _settle(self, lists, lost, first, results):
        """Canonical values for the candidates of the owners from `first` on, and the best of them; who was given up."""
        count, turned = len(lost), lists is not self.rows
        given_up = ~lost & (np.stack([part.count[:count] for part in lists]) < 0).any(axis=0)
        out = lost | given_up

        def floors(owners):
            lows = np.concatenate([part.lows[owners] for part in lists], axis=1)  # of disjoint partners
            k = lists[0].lows.shape[1]
            floor = np.partition(lows, -k, axis=1)[:, -k].copy()  # the k-th largest lower bound of all
            floor[out[owners]] = np.inf
            return floor

        def job(owners):
            floor = floors(owners)
            owner, partner = _left(lists, floor, owners.start, first)
            if not turned and len(owner) >= PROMISING * self.k * len(floor):
                for part in lists:
                    self._raise(part, owners, floor, results)
                owner, partner = _left(lists, floors(owners), owners.start, first)
            if len(lists) > 1:
                order = np.argsort(owner, kind="stable")
                owner, partner = owner[order], partner[order]
            self._valued(owner, partner, turned, first, results)

        sizes = sum(np.maximum(part.count[:count], 0) for part in lists)
        pool.run([lambda owners=owners: job(owners) for owners in _jobs(sizes)])
        return given_up

    def _valued(self, owner, partner, turned, first, results):
        pairs = (partner, owner) if turned else (owner, partner)
        value = self.search.values(*pairs)
        self.search.counted(owner if self.mirrored else pairs[0])
        merge.listed(owner, partner, value, first, *results)
