"""Neighbours of rows among themselves: every pair is met once, above the diagonal, for the row and for the column.

Work    tiles above the diagonal; a pair is offered to both its rows, whose lists are joined when their block is done
Shapes  x (n, d) against itself -> out (distances (n, k), indices (n, k))
Cost    n n d operations, half of a search of y; lists for rows and columns, n k 16 bytes beside
Sum     canonical, which is symmetric to the bit

Only where both sides know all there is: no bias, no mask, nobody excluded but a row itself, and no odd rows.
"""

import numpy as np

from . import merge, select
from .best import Best
from .engine import LONGEST

# A second test and a second list for each pair: on a 2-core Zen 3, k = 10, 20,000 rows took 1.4 times as long as in a
# search of a copy at d = 64, and 1 / 1.2 at 256, as did 40,000 at 128 and 10,000 at 768
LEAST = 128  # features from where on it pays


class _Uneven(Exception):
    """Rows that no scan sees."""


def fits(x, y, metric, filters):
    """Whether a search is one of rows among themselves."""
    scanned = LEAST <= x.shape[1] <= LONGEST and metric.form is not None
    if not scanned or filters.bias is not None or filters.mask is not None or not _same(x.store, y.store):
        return False
    return filters.exclude is None or bool((filters.exclude == np.arange(len(x))).all())


def _same(one, other):
    if one is other:
        return True
    both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return both and one.dtype == other.dtype and one.__array_interface__ == other.__array_interface__


class Forward:
    """Progress in rows of the gallery that never goes back, though another search begins."""

    def __init__(self, tick, rows):
        self.tick, self.rows, self.share = tick, rows, 0.0

    def __call__(self, done, total):
        self.share = max(self.share, done / total)
        self.tick(round(self.share * self.rows), self.rows)


def swept(search, out, k):
    """The keeper that filled out, None where it could not: there are odd rows, or its lists are too many."""
    keeper = _SelfJoin(search, out, k, k)
    if not search.fits(keeper):  # a search of two sides may do with less
        return None
    try:
        search.visit(keeper)
    except _Uneven:
        return None
    return keeper


class _SelfJoin(Best):
    """Candidates of rows, behind them as rows and before them as columns."""

    mirrored = True

    def kernel(self, kind, machine):
        return select.both_selector(kind, machine, mirrored=True)

    def begin(self, x, ranges):
        if x.lost.any():
            raise _Uneven
        super().begin(x, ranges)

    def gallery(self, left, right, y):
        if y.odd.any():
            raise _Uneven
        super().gallery(left, right, y)

    def end(self, odd):
        part, results = slice(self.first, self.last), self._results()
        given_up = self._settle(self.rows, self.x.lost, self.first, results) | self.column_lost[part]
        merge.rows(self.column_value[part], self.column_index[part], *results)
        results[0][given_up], results[1][given_up] = np.inf, -1
        rows = np.arange(self.first, self.last)
        self.search.stats.widened[rows[given_up]] = True
        self._crowded(rows, given_up, results)
        self._written(rows, results)
        return self.last
