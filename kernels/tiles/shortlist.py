"""Select: the k best partners of every owner, from tiles of bounds or of values.

Work    `offer` keeps what beats the owner's threshold; `tighten` raises the thresholds; `settle` replaces bounds by
        canonical values and keeps k an owner. An owner is a row of x (a column for the other direction of `topk_both`)
Shapes  entries: owner, partner (e,) int64, low, high, value (e,) float64 -> `result`: value, partner (count, k)
Cost    one compare per score; a sort of the waiting entries per gallery block; scratch `capacity` entries
Sum     none: values come from `metrics`

Thresholds: the k-th largest lower bound over any k partners is a floor for the k-th best key, and whoever's upper bound
lies below it is out for good, ties included (DESIGN: certify). A threshold only rises. When more wait than `capacity`,
they are settled: memory stays bounded however many pairs the bound cannot tell apart.
"""

from typing import NamedTuple

import numpy as np

ENTRY_BYTES = 41 * 3  # an entry, its sorted copy and the sort's own arrays
CROWD = 4  # times k (+ FEW) candidates of one owner in one tile: first a better threshold, then a wider scan
FEW = 48


class Entries(NamedTuple):
    owner: np.ndarray
    partner: np.ndarray
    low: np.ndarray  # bounds of the key, larger is nearer
    high: np.ndarray
    value: np.ndarray  # canonical, `ordered` ascending
    known: np.ndarray  # whether value is set

    def __getitem__(self, part):
        return Entries(*(column[part] for column in tuple(self)))

    def __len__(self):
        return len(self.owner)


def _entries(owner, partner, low=None, high=None, value=None):
    size = len(owner)
    known = np.full(size, value is not None)
    return Entries(
        owner,
        partner,
        np.full(size, -np.inf) if low is None else low,
        np.full(size, np.inf) if high is None else high,
        np.zeros(size) if value is None else value,
        known,
    )


def _rank_within(owner):
    """Position of each entry among its owner's, for entries sorted by owner."""
    position = np.arange(len(owner))
    starts = np.r_[True, owner[1:] != owner[:-1]] if len(owner) else np.zeros(0, bool)
    return position - np.maximum.accumulate(np.where(starts, position, 0))


class Shortlist:
    """The k best partners of `owners` (ascending positions); `exact(owner, partner)` gives ordered canonical values.

    limit (owners,): pairs with ordered values above it may be left out.
    """

    def __init__(self, owners, k, capacity, exact, limit=None):
        self.owners, self.k, self.capacity, self.exact = owners, k, capacity, exact
        self.threshold = np.full(len(owners), -np.inf)  # of the key
        self.worst = np.full(len(owners), np.inf) if limit is None else limit.copy()  # k-th best canonical value so far
        self.limit = limit
        self.settled = 0
        self._parts = []
        self._waiting = 0

    def offer(self, tile):
        """Take from a tile whatever may be among the k best of its owners."""
        slot = np.searchsorted(self.owners, tile.owner)
        if tile.value is not None:
            self._offer_values(tile, slot)
            return
        if self.limit is not None and tile.key is not None:
            low, _ = tile.key(np.arange(len(slot)), self.limit[slot])
            self.threshold[slot] = np.fmax(self.threshold[slot], low)
        keep = tile.reaches(self.threshold[slot])
        if np.count_nonzero(keep) > CROWD * self.k + FEW:
            self._thin(tile, slot, keep)
        row, column = np.divmod(np.flatnonzero(keep), keep.shape[1])
        for part in self._pieces(len(row)):
            r, c = row[part], column[part]
            low, high = tile.bounds(r, c)
            self._add(_entries(slot[r], tile.partner[c], low, high))

    def _thin(self, tile, slot, keep):
        """Strike candidates of crowded owners: by a threshold from this tile, then by a wider scan."""
        crowded, width = self._crowded(keep), keep.shape[1]
        if not len(crowded) or width < self.k:
            return
        # partition at the front of the negated scores: 2 ms a 512 x 2048 tile, at the back 6, argpartition 11 (Zen 5)
        least = -np.partition(-tile.high[crowded], self.k - 1, axis=1)[:, self.k - 1 : self.k]
        row, column = np.divmod(np.flatnonzero(tile.high[crowded] >= least), width)  # k a row, or more with ties
        low = tile.bounds(crowded[row], column)[0]
        floor = np.minimum.reduceat(low, np.searchsorted(row, np.arange(len(crowded))))
        self.threshold[slot[crowded]] = np.maximum(self.threshold[slot[crowded]], floor)
        keep[crowded] = tile.reaches(self.threshold[slot])[crowded]
        if tile.widen is not None and len(crowded := self._crowded(keep)):
            keep[crowded] = False
            for wide in tile.widen(crowded):
                self.offer(wide)

    def _crowded(self, keep):
        return np.flatnonzero(np.count_nonzero(keep, axis=1) > CROWD * self.k + FEW)

    def _offer_values(self, tile, slot):
        """Canonical values need no bound: drop what k others of the same owner precede, keep ties."""
        keep = ~(tile.value > self.worst[slot][:, None])
        if tile.allowed is not None:
            keep &= tile.allowed
        if np.count_nonzero(keep) > len(keep) * (self.k + FEW) and keep.shape[1] >= self.k:
            value = tile.value if tile.allowed is None else np.where(tile.allowed, tile.value, np.nan)
            keep &= ~(tile.value > np.partition(value, self.k - 1, axis=1)[:, self.k - 1 : self.k])
        row, column = np.divmod(np.flatnonzero(keep), keep.shape[1])
        for part in self._pieces(len(row)):
            r, c = row[part], column[part]
            self._add(_entries(slot[r], tile.partner[c], value=tile.value[r, c]))

    def _pieces(self, size):
        step = max(1, self.capacity // 4)
        return [slice(start, start + step) for start in range(0, size, step)]

    def _add(self, entries):
        self._parts.append(entries)
        self._waiting += len(entries)
        if self._waiting - self.settled > self.capacity // 2:
            self.tighten()
            if self._waiting - self.settled > self.capacity // 4:
                self.settle()

    def _joined(self):
        if len(self._parts) != 1:
            nothing = _entries(np.zeros(0, np.int64), np.zeros(0, np.int64))
            self._parts = [Entries(*(np.concatenate(columns) for columns in zip(nothing, *self._parts, strict=True)))]
        return self._parts[0]

    def _replace(self, entries):
        self._parts, self._waiting = [entries], len(entries)

    def tighten(self):
        """Raise each threshold to the owner's k-th largest lower bound; strike whoever cannot reach it."""
        entries = self._joined()
        order = np.lexsort((-entries.low, entries.owner))
        last = order[_rank_within(entries.owner[order]) == self.k - 1]
        owner = entries.owner[last]
        self.threshold[owner] = np.maximum(self.threshold[owner], entries.low[last])
        self._replace(entries[entries.high >= self.threshold[entries.owner]])

    def settle(self):
        """Canonical values for all that wait; the k first by (value, partner) stay."""
        entries = self._joined()
        unknown = np.flatnonzero(~entries.known)
        entries.value[unknown] = self.exact(self.owners[entries.owner[unknown]], entries.partner[unknown])
        entries.known[unknown] = True
        order = np.lexsort((entries.partner, entries.value, entries.owner))
        rank = _rank_within(entries.owner[order])
        last = order[rank == self.k - 1]
        self.worst[entries.owner[last]] = entries.value[last]
        self._replace(entries[order[rank < self.k]])
        self.settled = self._waiting

    def result(self):
        """Ordered values (count, k) and partners, empty slots +inf and -1."""
        self.settle()
        entries = self._joined()
        value = np.full((len(self.worst), self.k), np.inf)
        partner = np.full((len(self.worst), self.k), -1, np.int64)
        slot = _rank_within(entries.owner)
        value[entries.owner, slot] = entries.value
        partner[entries.owner, slot] = entries.partner
        return value, partner


def foremost(value, partner, k):
    """The k first of every row of (m, entries) by (value, partner), NaN after all numbers, empty slots last."""
    order = np.lexsort((partner, value, partner < 0), axis=1)[:, :k]
    return np.take_along_axis(value, order, 1), np.take_along_axis(partner, order, 1)
