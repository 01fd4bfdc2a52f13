"""Every pair by its canonical value: what no bound covers, and the metrics that have none.

Work    jobs of a chunk of owners and a range of partners, both read and prepared block by block by the job itself
Shapes  positions of x and of y -> what the epilogue of an operation makes of the values (rows, columns) of a tile
Cost    3 to 10 d operations a pair in float64; scratch two pieces a thread
Sum     canonical (`tiles/direct.py`; metrics with pow or log, and SciPy's: `tiles/metrics.py`)
"""

from functools import cache

import numpy as np

from . import canonical, direct, metrics, pool
from .jit import borrowed, kernel, part
from .select import ENTRY_BYTES, lists, offer, survivors

ROWS, COLUMNS = 8, 16  # of a tile
BIASED, ROOTED, DESCENDING = 1, 2, 4  # bits of a rule: what makes an ordered value of a canonical one
NEAR_ROOM = 128  # candidates of an owner beyond 4 k, where values come close
LEAST_PIECE = 1 << 15  # of rows that a job prepares
GIVEN_ROWS, GIVEN_COLUMNS = 32, 256  # that NumPy computes at once: eight lanes of it fill half an L2


@part()
def before(a, i, b, j):
    """Whether value a of partner i comes before b of j: NaN after everything, then the lower index."""
    if a == b or (a != a and b != b):
        return i < j
    return a < b or (a == a and b != b)


@part()
def insert(value_mk, index_mk, i, value, partner):
    """Put a pair among the k first of row i; index -1 is an empty slot."""
    slot = value_mk.shape[1] - 1
    if index_mk[i, slot] >= 0 and not before(value, partner, value_mk[i, slot], index_mk[i, slot]):
        return
    while slot > 0 and (
        index_mk[i, slot - 1] < 0 or before(value, partner, value_mk[i, slot - 1], index_mk[i, slot - 1])
    ):
        value_mk[i, slot], index_mk[i, slot] = value_mk[i, slot - 1], index_mk[i, slot - 1]
        slot -= 1
    value_mk[i, slot], index_mk[i, slot] = value, partner


@part()
def _given(x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc):
    """Values that are there already: x (m, n)."""
    for r in range(rows):
        for c in range(columns):
            value_rc[r, c] = x[i + r, j + c]


def _loop(name, key, fill, reals, epilogue):
    """The kernel of a job: each tile to epilogue(i, j, rows, columns, value_rc, x_at, y_at, allowed, state)."""

    @kernel(name, key, *reals)
    def visit(x, y, stats, bias, positions, d, parameter, rule, allowed, state, value_rc):
        x_stat, y_stat = borrowed(stats)
        u, v = borrowed(bias)
        x_at, y_at = borrowed(positions)
        x, y, allowed, value_rc = borrowed((x, y, allowed, value_rc))
        held = borrowed(state)
        m, n = x_at.shape[0], y_at.shape[0]
        for j in range(0, n, COLUMNS):
            columns = min(COLUMNS, n - j)
            for i in range(0, m, ROWS):
                rows = min(ROWS, m - i)
                fill(x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc)
                if rule:
                    for r in range(rows):
                        for c in range(columns):
                            value = value_rc[r, c]
                            if rule & BIASED:
                                if rule & ROOTED:
                                    value = np.sqrt(value)
                                value += u[i + r] + v[j + c]
                            value_rc[r, c] = -value if rule & DESCENDING else value
                epilogue(i, j, rows, columns, value_rc, x_at, y_at, allowed, held)

    return visit


@part()
def _may(allowed, i, j):
    return allowed.shape[0] == 0 or allowed[i, j]


@part()
def _best(i, j, rows, columns, value_rc, x_at, y_at, allowed, state):
    """state = (value, index) of the rows."""
    for c in range(columns):
        for r in range(rows):
            if not value_rc[r, c] > state[0][i + r, -1] and _may(allowed, i + r, j + c):
                insert(state[0], state[1], i + r, value_rc[r, c], y_at[j + c])


@part()
def _both(i, j, rows, columns, value_rc, x_at, y_at, allowed, state):
    """state = (value, index) of the rows, (value, index) of the columns."""
    for c in range(columns):
        for r in range(rows):
            if _may(allowed, i + r, j + c):
                if not value_rc[r, c] > state[0][i + r, -1]:
                    insert(state[0], state[1], i + r, value_rc[r, c], y_at[j + c])
                if not value_rc[r, c] > state[2][j + c, -1]:
                    insert(state[2], state[3], j + c, value_rc[r, c], x_at[i + r])


@part()
def _inside(i, j, rows, columns, value_rc, x_at, y_at, allowed, state):
    """state = (limit of each row, pairs, values, size): what is not above the limit."""
    limit, pairs, values, size = state
    for r in range(rows):
        for c in range(columns):
            if value_rc[r, c] <= limit[i + r] and _may(allowed, i + r, j + c):
                pairs[size[0], 0], pairs[size[0], 1] = x_at[i + r], y_at[j + c]
                values[size[0]] = value_rc[r, c]
                size[0] += 1


@part()
def _counted(i, j, rows, columns, value_rc, x_at, y_at, allowed, state):
    """state = (first and last goal of each row, goal, positive, better, before, equal)."""
    first, last, goals, positive, better, earlier, equal = state
    for r in range(rows):
        for e in range(first[i + r], last[i + r]):
            goal = goals[e]
            for c in range(columns):
                value = value_rc[r, c]
                if value > goal or not _may(allowed, i + r, j + c):
                    continue
                partner = y_at[j + c]
                if value < goal or (value == value and goal != goal):
                    better[e] += 1
                elif (value == goal or goal != goal) and partner != positive[e]:
                    equal[e] += 1
                    earlier[e] += partner < positive[e]


@part()
def _offered(i, j, rows, columns, value_rc, x_at, y_at, allowed, state):
    """state = (`Lists` of the rows, (relative, absolute) error, value that stands for all above)."""
    lists, error, ceiling = state
    for c in range(columns):
        for r in range(rows):
            if _may(allowed, i + r, j + c):
                value = value_rc[r, c]
                room = 2 * (error[0] * value + error[1])
                least, most = -value - room, room - value
                if not value < ceiling:  # infinite, or not surely finite, or NaN
                    least, most = -np.inf, -ceiling * (1 - 2 * error[0])
                    if value != value:
                        most = np.inf
                offer(lists, i + r, least, most, y_at[j + c])


EPILOGUES = {"offered": _offered, "best": _best, "both": _both, "inside": _inside, "counted": _counted}


@cache
def _visitor(name, key, metric, reals):
    fill = _given if metric is None else direct.filler(metric, *reals)
    return _loop(name, key, fill, reals, EPILOGUES[name])


class Values:
    """The canonical values of pairs of a search, tile by tile."""

    def __init__(self, search, near=False):
        """near: by loops that come close, where the metric has none that give its canonical value."""
        self.search, self.metric = search, search.metric
        self.fast = direct.covers(self.metric) and (near or direct.error(self.metric) == (0.0, 0.0))
        biased = search.filters.bias is not None
        stores = search.x.store.dtype, search.y.store.dtype
        self.packs = self.fast and direct.packs(self.metric, *stores)
        self.rule = BIASED * biased + ROOTED * (biased and self.metric.rooted) + DESCENDING * self.metric.descending

    def step(self):
        """Rows of a block of either side: with what their preparation takes, a fourth of a piece."""
        return max(1, self.search.piece // (32 * self.search.x.shape[1]))

    def rows(self, side, positions):
        """Prepared rows at ascending positions, all of them in a run or not."""
        source = (self.search.x, self.search.y)[side]
        with self.search.reading, np.errstate(all="ignore"):
            if len(positions) and positions[-1] - positions[0] == len(positions) - 1:
                block = source.block(positions[0], positions[-1] + 1)
            else:
                block = source.take(positions)
        if not self.fast:
            return block.astype(np.float64), None
        with np.errstate(all="ignore"):
            return direct.prepared(self.metric, block != 0 if self.packs else block)

    def visit(self, name, x, y, positions, state):
        """One epilogue over the pairs of two prepared blocks at their positions."""
        pool.go_on()
        rows, columns = positions
        filters, value_rc = self.search.filters, np.empty((ROWS, COLUMNS))
        allowed = None
        if filters.exclude is not None or filters.mask is not None:
            with self.search.reading:
                allowed = filters.allowed(rows, columns)
        bias = (np.zeros(0),) * 2 if filters.bias is None else (filters.bias[0][rows], filters.bias[1][columns])
        allowed = np.empty((0, 0), bool) if allowed is None else allowed
        d = self.search.x.shape[1]
        if self.fast:
            reals = x[0].dtype.name, y[0].dtype.name
            kernel = _visitor(name, direct.key(self.metric), self.metric, reals)
            stats, parameter = (x[1], y[1]), direct.parameter(self.metric)
            kernel(x[0], y[0], stats, bias, positions, d, parameter, self.rule, allowed, state, value_rc)
            return
        kernel, nothing = _visitor(name, "given", None, ("float64",)), np.zeros(0)
        value = np.empty((len(rows), len(columns)))
        with np.errstate(all="ignore"):
            for left in range(0, len(rows), GIVEN_ROWS):
                for right in range(0, len(columns), GIVEN_COLUMNS):
                    at = np.s_[left : left + GIVEN_ROWS], np.s_[right : right + GIVEN_COLUMNS]
                    value[at] = metrics.block(self.metric, x[0][at[0]], y[0][at[1]])
        kernel(value, value, (nothing, nothing), bias, positions, d, 0.0, self.rule, allowed, state, value_rc)


class Turned:
    """A search with its sides changed over, as far as `best` knows it."""

    def __init__(self, search):
        self.x, self.y, self.metric, self.piece, self.reading = (
            search.y,
            search.x,
            search.metric,
            search.piece,
            search.reading,
        )
        self.filters, self.search = _TurnedFilters(search.filters), search

    def counted(self, owners, times=1):
        """Queries are the other side."""


class _TurnedFilters:
    def __init__(self, filters):
        self.filters, self.exclude, self.mask = filters, filters.exclude, filters.mask
        self.bias = None if filters.bias is None else filters.bias[::-1]

    def allowed(self, rows, columns):
        return np.ascontiguousarray(self.filters.allowed(columns, rows).T)


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


def best(search, owners, partners, value_ok, index_ok, columns=None):
    """Merge the k best of the partners into the rows of the owners; with columns = (value, index), theirs as well.

    owners, partners: ascending positions; value_ok, index_ok (owners, k), columns (partners, k_columns).
    """
    if not len(owners) or not len(partners):
        return
    values, threads = Values(search), pool.threads()
    step = min(values.step(), max(ROWS, -(-len(owners) // (4 * threads) // ROWS) * ROWS))
    pieces = chunks(np.arange(len(owners)), step)
    parts = _ranges(
        np.arange(len(partners)), threads if columns else -(-4 * threads // len(pieces)) if threads > 1 else 1
    )
    found = [(value_ok, index_ok)]
    for _ in parts[1:]:
        found.append((np.full(value_ok.shape, np.inf), np.full(index_ok.shape, -1, np.int64)))

    def job(number, mine):
        for block in chunks(parts[number], values.step()):
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
        merge(value, index, value_ok, index_ok)
    search.counted(owners, len(partners))


def comes_near(search):
    """Whether `near_best` knows the search's metric."""
    metric = search.metric
    return search.filters.bias is None and direct.covers(metric) and direct.error(metric) != (0.0, 0.0)


def near_best(search, owners, partners, value_ok, index_ok):
    """`best` by values that come close, and canonical values of what they leave; returns who was given up (owners,).

    For metrics with pow or log: their canonical value is NumPy's. Once, under load (2-core Zen 3, 100 x 20,000 x 64),
    this took a 6th to a 21st of the time of the NumPy backend.
    """
    values, threads, k = Values(search, near=True), pool.threads(), index_ok.shape[1]
    capacity, given_up = 4 * k + NEAR_ROOM, np.zeros(len(owners), bool)
    error, ceiling = np.array(direct.error(search.metric, search.x.shape[1])), direct.ceiling(search.metric)
    step = max(1, min(values.step(), search.piece // (4 * ENTRY_BYTES * capacity), -(-len(owners) // (4 * threads))))
    pieces = chunks(np.arange(len(owners)), step)
    parts = _ranges(np.arange(len(partners)), -(-4 * threads // len(pieces)) if threads > 1 else 1)

    def job(own, part):
        found, x = lists(len(own), capacity, k, np.float64), values.rows(0, owners[own])
        for block in chunks(part, values.step()):
            positions = owners[own], partners[block]
            values.visit("offered", x, values.rows(1, partners[block]), positions, (tuple(found), error, ceiling))
        row, column = np.empty((2, int(np.maximum(found.count, 0).sum())), np.int64)
        floor, high = found.lows[:, 0].copy(), np.empty(len(row))
        size = survivors(found.high, found.where, found.count, floor, 0, row, column, high)
        row, column = row[:size], column[:size]
        value = pairs(search, owners[own[row]], column)
        search.counted(owners[own[row]])
        with search.noting:
            given_up[own[found.count < 0]] = True
            canonical.best(own[row], column, value, 0, value_ok, index_ok)

    _run(search, [lambda own=own, part=part: job(own, part) for own in pieces for part in parts])
    return given_up


def merge(value, index, value_ok, index_ok):
    """Fold rows of results into others."""
    owner, slot = np.nonzero(index >= 0)
    canonical.best(owner, index[owner, slot], value[owner, slot], 0, value_ok, index_ok)


def inside(search, owners, partners, limit, keep):
    """Call keep(row, column, value) with the pairs whose ordered value is not above the owner's limit, in no order."""
    values = Values(search)
    step = max(1, min(values.step(), int((search.piece // 32) ** 0.5)))  # the pairs of two blocks fit a piece

    def job(own):
        pairs, value, size = np.empty((step * step, 2), np.int64), np.empty(step * step), np.zeros(1, np.int64)
        x = values.rows(0, owners[own])
        for block in chunks(np.arange(len(partners)), step):
            size[0] = 0
            y, positions = values.rows(1, partners[block]), (owners[own], partners[block])
            values.visit("inside", x, y, positions, (limit[own], pairs, value, size))
            if size[0]:
                keep(*pairs[: size[0]].T.copy(), value[: size[0]].copy())

    if len(owners) and len(partners):
        _run(search, [lambda own=own: job(own) for own in chunks(np.arange(len(owners)), step)])
        search.counted(owners, len(partners))


def count(search, owners, partners, goals, counts):
    """Add to counts = (better, before, equal); goals = (first and last goal of each owner, value, positive)."""
    first, last, value, positive = goals
    values = Values(search)
    step = min(values.step(), max(ROWS, -(-len(owners) // (4 * pool.threads()) // ROWS) * ROWS))

    def job(own):
        x = values.rows(0, owners[own])
        for block in chunks(np.arange(len(partners)), values.step()):
            positions = owners[own], partners[block]
            values.visit("counted", x, values.rows(1, partners[block]), positions,
                         (first[own], last[own], value, positive, *counts))  # fmt: skip

    if len(owners) and len(partners):
        _run(search, [lambda own=own: job(own) for own in chunks(np.arange(len(owners)), step)])
        search.counted(owners, len(partners))


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
            raise ValueError(f"max_bytes must be at least {needed} for {found}, got {search.max_bytes}")
        search.piece = max(least_piece, search.piece // 2)
    return max(1, room // max(1, per_owner))
