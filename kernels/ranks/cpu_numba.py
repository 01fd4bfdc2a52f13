"""`ranks` on Numba: tiles count what is surely nearer, canonical values decide the rest.

Work    blocks of queries x blocks of the gallery; threads share out panels, each counts for itself
Shapes  x (m, d), y (n, d), row (e,) ascending, positive (e,) -> better, before, equal (e,) int64
Cost    2 m n d operations in int6 to int16, two compares more for each pair e; scratch at most max_bytes
Sum     canonical (`tiles/canonical.py`); the scan is exact in integers, its rounding inside the bound
"""

import time

import numpy as np

from ..tiles import count, engine, exact, pool

PAIR_BYTES = 96  # of an undecided pair


def declines(x, y, metric, *, filters, precision, **_):
    return engine.declines(precision, x.shape[1])


@pool.fewer_if_short
def ranks(x, y, metric, *, row, positive, target=None, filters, max_bytes, precision, prepared=None, tick=None):
    """(better, before, equal, Stats); with the ordered values of the positives as `target` they may lie outside y."""
    began = time.perf_counter()
    search = engine.search(x, y, metric, filters, precision, max_bytes, prepared, tick)
    counts, turn = np.zeros((3, len(row)), np.int64), np.arange(len(row)) - np.searchsorted(row, row)
    for first in range(0, int(turn.max(initial=0)) + 1, count.GOALS):  # of each row as many as one visit counts
        part = np.flatnonzero((turn >= first) & (turn < first + count.GOALS))
        keeper = _Counts(search, row[part], positive[part], None if target is None else target[part])
        if search.bounded:
            search.visit(keeper)
        else:
            keeper.alone()
        counts[:, part] = keeper.counts
    search.stats.scan_seconds = time.perf_counter() - began - search.stats.prepare_seconds
    return *counts, search.stats


class _Counts:
    """better, before, equal of every pair (row, positive), and what the bound could not decide."""

    owns_columns = mirrored = False

    def __init__(self, search, row, positive, target=None):
        self.search, self.row, self.positive = search, row, positive
        self.counts = tuple(np.zeros(len(row), np.int64) for _ in range(3))
        self.known, self.target = target is not None, np.empty(len(row)) if target is None else target
        self.most = int(np.bincount(row).max(initial=1))  # goals of a row

    def __str__(self):
        return f"{len(self.row)} positives"

    def per_query(self):
        return 16

    def per_row(self):
        return 0

    def fixed(self):
        most = engine.JOBS_PER_THREAD * pool.threads()
        return len(self.row) * (24 + 8 * most) + 2 * pool.threads() * self._room() * PAIR_BYTES

    def _room(self):
        return max(self._tile(), self.search.piece // (2 * PAIR_BYTES))

    def _tile(self):
        """Undecided pairs of a tile at the most."""
        return self.search.height * self.search.width * self.most if self.search.bounded else 1

    def raises(self):
        return False

    def kernel(self, kind, machine):
        return count.counter(kind, machine)

    def until(self, first, most):
        self.first, self.last = first, min(first + most, len(self.search.x))
        return self.last

    def begin(self, x, ranges):
        first, last, self.x = self.first, self.last, x
        goals = slice(*np.searchsorted(self.row, [first, last]))
        self.goals, local = goals, self.row[goals] - first
        self._targets(goals)
        self.low, self.high = x.keys(local, self.target[goals])
        nan = np.isnan(self.target[goals])
        self.low[nan], self.high[nan] = -np.inf, np.inf
        self.high = np.nextafter(self.high, np.inf)  # surely above, not at it
        self.lowest = np.full(len(x.scale), np.inf, self.low.dtype)
        np.minimum.at(self.lowest, local, self.low)
        self.lowest[: last - first][x.lost] = np.inf
        at = np.arange(len(x.scale))
        self.starts, self.ends = (np.searchsorted(local, at, side) for side in ("left", "right"))
        self.ends[: last - first][x.lost] = 0
        self.better = np.zeros((ranges, len(local)), np.int64)

    def _targets(self, goals):
        if self.known:
            return
        step = max(1, self.search.piece // 64)
        for start in range(goals.start, goals.stop, step):
            part = slice(start, min(start + step, goals.stop))
            self.target[part] = exact.pairs(self.search, self.row[part], self.positive[part])

    def gallery(self, left, right, y):
        """Nothing to hold for its rows."""

    def state(self, number, down, across):
        pairs = np.empty((self._room(), 2), np.int64)
        of_rows = self.lowest[down], self.starts[down], self.ends[down]
        return None, (*of_rows, self.low, self.high, self.better[number], pairs, np.array([0, self._tile()]))

    def emptied(self, state):
        *_, pairs, size = state
        goal, column = pairs[: size[0]].T.copy()
        size[0] = 0
        self._settle(goal + self.goals.start, column)

    def _settle(self, goal, column):
        """Undecided pairs by canonical value. Only their counts are touched: others grow meanwhile."""
        row = self.row[goal]
        value = exact.pairs(self.search, row, column)
        self.search.counted(row)
        aim, positive = self.target[goal], self.positive[goal]
        nearer = (value < aim) | ((value == value) & (aim != aim))
        tied = ((value == aim) | ((value != value) & (aim != aim))) & (column != positive)
        with self.search.noting:
            for total, mask in zip(self.counts, (nearer, tied & (column < positive), tied), strict=True):
                np.add.at(total, goal[mask], 1)

    def block(self, left, right, y):
        """Pairs are settled when a job ends."""

    def end(self, odd):
        self.counts[0][self.goals] += self.better.sum(axis=0)
        rows, everybody = np.arange(self.first, self.last), np.arange(len(self.search.y))
        self._exactly(rows[~self.x.lost], odd)
        self._exactly(rows[self.x.lost], everybody)
        return self.last

    def alone(self):
        everybody = np.arange(len(self.search.y))
        for first, last in self.search.x.blocks(exact.blocks(self.search, 16, self.fixed, self)):
            self._targets(slice(*np.searchsorted(self.row, [first, last])))
            self._exactly(np.arange(first, last), everybody)
            self.search.told(last / len(self.search.x))

    def _exactly(self, rows, partners):
        """All pairs of rows with partners by canonical value."""
        goals = *(np.searchsorted(self.row, rows, side) for side in ("left", "right")), self.target, self.positive
        exact.count(self.search, rows, partners, goals, self.counts, self._settle)
