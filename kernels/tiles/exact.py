"""Every pair by its canonical value: what no bound covers, and the metrics that have none.

Work    jobs of a chunk of owners and a range of partners, both read and prepared block by block by the job itself
Shapes  positions of x and of y -> what the epilogue of an operation makes of the values (rows, columns) of a tile
Cost    3 to 10 d operations a pair in float64; scratch three pieces a thread
Sum     canonical (`values.py`)

Where values come near (`near.py`), they decide what they can, and the canonical values of the rest are NumPy's.
"""

import numpy as np

from . import merge, metrics, nearness, pool
from .select import ENTRY_BYTES, lists, survivors
from .values import Values
from .visit import COLUMNS, ROWS

NEAR_ROOM = 128  # candidates of an owner beyond 4 k, where values come near
LEAST_PIECE = 1 << 15  # of rows that a job prepares
LISTED_BYTES, UNDECIDED_BYTES = 32, 64  # of a pair that waits in a list, and of one that waits for its canonical value


class Turned:
    """A search with its sides changed over, as far as `best` knows it."""

    def __init__(self, search):
        self.x, self.y, self.filters = search.y, search.x, _TurnedFilters(search.filters)
        self.metric, self.piece, self.bounded = search.metric, search.piece, search.bounded
        self.reading, self.noting = search.reading, search.noting

    def counted(self, owners, times=1):
        """Queries are the other side."""


class _TurnedFilters:
    def __init__(self, filters):
        self.filters, self.exclude, self.mask = filters, filters.exclude, filters.mask
        self.bias = None if filters.bias is None else filters.bias[::-1]

    def allowed(self, rows, columns):
        return np.ascontiguousarray(self.filters.allowed(columns, rows).T)

    def sums(self, rows, columns):
        return self.filters.sums(columns, rows)


def _run(search, jobs):
    """All jobs; where one found rows that are not finite, the first such row is named, whoever was first to see one."""
    try:
        pool.run(jobs)
    except ValueError:
        for side in (search.x, search.y):
            side.refuse_unfinite()
        raise


def chunks(positions, step):
    return [positions[start : start + step] for start in range(0, len(positions), step)]


def _ranges(positions, jobs):
    """At most so many runs of positions."""
    step = max(1, -(-len(positions) // max(1, jobs)))
    return chunks(positions, step)


def _steps(values, owners, room=None):
    """Owners and partners at a time: enough jobs for all threads, and no more pairs than there is room for."""
    rows = min(values.step(), max(ROWS, -(-len(owners) // (4 * pool.threads()) // ROWS) * ROWS))
    if room is None:
        return rows, values.step()
    rows = max(1, min(rows, room // COLUMNS))
    return rows, max(1, min(values.step(), room // rows))


# ---------------------------------------------------------------------------------------------------------- the k best


def best(search, owners, partners, value_ok, index_ok, columns=None):
    """Merge the k best of the partners into the rows of the owners; with columns = (value, index), theirs as well.

    owners, partners: ascending positions; value_ok, index_ok (owners, k), columns (partners, k_columns).
    """
    if not len(owners) or not len(partners):
        return
    if not nearness.covers(search.metric):
        _best(search, owners, partners, value_ok, index_ok, columns)
        return
    given_up = _near_best(search, owners, partners, value_ok, index_ok)
    search.stats.widened[owners[given_up]] = True
    if columns is not None:  # once more: lists of both sides at once would take too much room
        _near_best(Turned(search), partners, owners, *columns)


def _best(search, owners, partners, value_ok, index_ok, columns=None):
    values, threads = Values(search), pool.threads()
    step, width = _steps(values, owners)
    pieces = chunks(np.arange(len(owners)), step)
    parts = _ranges(
        np.arange(len(partners)), threads if columns else -(-4 * threads // len(pieces)) if threads > 1 else 1
    )
    found = [(value_ok, index_ok)]
    for _ in parts[1:]:
        found.append((np.full(value_ok.shape, np.inf), np.full(index_ok.shape, -1, np.int64)))

    def job(number, mine):
        for block in chunks(parts[number], width):
            y = values.rows(1, partners[block])
            for own in mine:
                x, state = values.rows(0, owners[own]), [held[own[0] : own[-1] + 1] for held in found[number]]
                if columns is not None:
                    state += [held[block[0] : block[-1] + 1] for held in columns]
                name = "best" if columns is None else "both"
                values.visit(name, x, y, (owners[own], partners[block]), tuple(state))

    shares = [pieces] if columns is not None else [[piece] for piece in pieces]
    _run(
        search, [lambda number=number, mine=mine: job(number, mine) for number in range(len(parts)) for mine in shares]
    )
    for value, index in found[1:]:
        merge.rows(value, index, value_ok, index_ok)
    search.counted(owners, len(partners))


def _near_best(search, owners, partners, value_ok, index_ok):
    """The same by bounds, and the canonical values of what they leave; returns who was given up (owners,).

    Once, under load (2-core Zen 3, 100 x 20,000 x 64), this took a 6th to a 21st of the time of the NumPy backend.
    """
    values, threads, k = Values(search, bounds=True), pool.threads(), index_ok.shape[1]
    capacity = 4 * k + NEAR_ROOM
    step = max(1, min(values.step(), search.piece // (4 * ENTRY_BYTES * capacity), -(-len(owners) // (4 * threads))))
    pieces = chunks(np.arange(len(owners)), step)
    parts = _ranges(np.arange(len(partners)), -(-4 * threads // len(pieces)) if threads > 1 else 1)
    given_up = np.zeros((len(parts), len(owners)), bool)

    def job(own, number):
        found, x = lists(len(own), capacity, k, np.float64), values.rows(0, owners[own])
        for block in chunks(parts[number], values.step()):
            y, positions = values.rows(1, partners[block]), (owners[own], partners[block])
            values.visit("offered", x, y, positions, (tuple(found),))
        row, column = np.empty((2, int(np.maximum(found.count, 0).sum())), np.int64)
        size = survivors(found.high, found.where, found.count, found.least, 0, row, column)
        row, column = own[row[:size]], column[:size]
        value = pairs(search, owners[row], column)
        search.counted(owners[row])
        given_up[number, own] = found.count < 0
        with search.noting:
            merge.listed(row, column, value, 0, value_ok, index_ok)

    _run(search, [lambda own=own, number=number: job(own, number) for own in pieces for number in range(len(parts))])
    for part, lost in zip(parts, given_up, strict=True):
        if lost.any():
            held = value_ok[lost], index_ok[lost]
            _best(search, owners[lost], partners[part], *held)
            value_ok[lost], index_ok[lost] = held
    return given_up.any(axis=0)


# ------------------------------------------------------------------------------------------- inside a limit, and counts


def inside(search, owners, partners, limit, keep):
    """Call keep(row, column, value) with the pairs whose ordered value is not above the owner's limit, in no order.

    Of pairs that bounds leave, also those above it.
    """
    if not len(owners) or not len(partners):
        return
    values = Values(search, bounds=True)
    rows, columns = _steps(values, owners, search.piece // (UNDECIDED_BYTES if values.near else LISTED_BYTES))

    def job(own):
        pair, value, size = np.empty((rows * columns, 2), np.int64), np.empty(rows * columns), np.zeros(1, np.int64)
        x = values.rows(0, owners[own])
        for block in chunks(np.arange(len(partners)), columns):
            size[0] = 0
            y, positions = values.rows(1, partners[block]), (owners[own], partners[block])
            values.visit("inside", x, y, positions, (limit[own], pair, value, size))
            if size[0]:
                row, column = pair[: size[0]].T.copy()
                if values.near:
                    value[: size[0]] = pairs(search, row, column)
                    search.counted(row)
                keep(row, column, value[: size[0]].copy())

    _run(search, [lambda own=own: job(own) for own in chunks(np.arange(len(owners)), rows)])
    if not values.near:
        search.counted(owners, len(partners))


def count(search, owners, partners, goals, counts, settle):
    """Add to counts = (better, before, equal); goals = (first and last goal of each owner, value, positive).

    settle(goal, partner) adds the pairs that bounds leave.
    """
    if not len(owners) or not len(partners):
        return
    first, last, value, positive = goals
    values, most = Values(search, bounds=True), int((last - first).max(initial=1))
    rows, columns = _steps(values, owners, search.piece // (UNDECIDED_BYTES * most) if values.near else None)

    def job(own):
        x, of_rows = values.rows(0, owners[own]), (first[own], last[own], value)
        pair, size = np.empty((rows * columns * most if values.near else 0, 2), np.int64), np.zeros(1, np.int64)
        for block in chunks(np.arange(len(partners)), columns):
            y, positions = values.rows(1, partners[block]), (owners[own], partners[block])
            if not values.near:
                values.visit("counted", x, y, positions, (*of_rows, positive, *counts))
                continue
            size[0] = 0
            values.visit("compared", x, y, positions, (*of_rows, counts[0], pair, size))
            settle(*pair[: size[0]].T.copy())

    _run(search, [lambda own=own: job(own) for own in chunks(np.arange(len(owners)), rows)])
    if not values.near:
        search.counted(owners, len(partners))


# ------------------------------------------------------------------------------------------------------- pairs, blocks


def pairs(search, row, column):
    """Ordered canonical values of pairs of any metric."""
    if search.bounded:
        return search.values(row, column)
    value, step = np.empty(len(row)), max(1, search.piece // (64 * search.x.shape[1]))
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        with search.reading:
            x, y = search.x.take(row[part]), search.y.take(column[part])
        value[part] = metrics.pairs(search.metric, x, y)
    return metrics.ordered(search.metric, value, search.filters.sums(row, column))


def blocks(search, per_owner, fixed, what):
    """Owners at a time under `max_bytes`; settles the piece."""
    least_piece = max(LEAST_PIECE, 128 * search.x.shape[1])
    while (room := search.max_bytes - fixed() - 3 * pool.threads() * search.piece) < per_owner * ROWS:
        if search.piece <= least_piece:
            needed = fixed() + 3 * pool.threads() * least_piece + per_owner * ROWS
            found = f"d={search.x.shape[1]} and {what}"
            raise pool.Short(f"max_bytes must be at least {needed} for {found}, got {search.max_bytes}")
        search.piece = max(least_piece, search.piece // 2)
    return max(1, room // max(1, per_owner))
