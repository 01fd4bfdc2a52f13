"""The tile loop: upper bounds of the key, or canonical values, for every pair of a block of queries and the gallery.

Work    per gallery block: encode (or take the prepared codes), then one GEMM per tile of queries
Shapes  x (m, d), y (n, d) -> Tile(high (r, c) or value (r, c)), owner (r,), partner (c,) positions
Cost    2 m n (d + 5) flops in BLAS, one write and the epilogue's reads of every tile; scratch as in `plan`
Sum     BLAS's own order, covered by `encode.growth`; canonical values by `metrics`
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from . import metrics
from .encode import EXTRA, Group, Space, biased, encode, growth, operand, scan_dtype, space
from .encoded import encode_all
from .filters import Filters, Stats
from .plan import PAIR_BYTES, WIDE_COLUMNS, Plan, plan
from .rows import Rows

VALUE_ROWS, VALUE_COLUMNS = 32, 256  # of a block of canonical values: eight lanes of it fill half an L2
VALUE = {"l2": (0.0, 0.5), "cosine": (1.0, 1.0), "dot": (0.0, 1.0)}  # key = constant + p - worth * ordered value
FLUSHED = {"float32": 2.0**-90, "float64": 2.0**-200}  # above all that underflow can take from a score, in units


@dataclass
class Tile:
    """Scores of owners (rows) against partners (columns): `high`, upper bounds in `unit`, or canonical `value`."""

    owner: np.ndarray
    partner: np.ndarray
    high: np.ndarray | None = None
    value: np.ndarray | None = None
    allowed: np.ndarray | None = None
    unit: float = 1.0
    slack: np.ndarray | None = None  # (r, 1) or (1, 1): float64 error of what the key leaves out
    margin: Callable | None = None  # (row, column) -> T
    most: Callable | None = None  # row -> the largest T of that row
    key: Callable | None = None  # row, ordered value of a pair of it -> bounds of its key, float64
    widen: Callable | None = None  # rows -> tiles of the same rows, scanned in float64
    widen_turned: Callable | None = None

    def reaches(self, threshold):
        """(r, c) mask of the scores whose upper bound is not below the owner's threshold; masked pairs never are."""
        real = self.high.dtype.type
        with np.errstate(over="ignore"):  # a threshold far outside the scale of the tile
            limit = (threshold[:, None] - self.slack) / self.unit - FLUSHED[self.high.dtype.name]
        limit = np.clip(limit, -np.finfo(real).max / 2, np.finfo(real).max).astype(real)
        return self.high >= np.nextafter(limit, real(-np.inf))

    def bounds(self, row, column):
        """Lower and upper bounds of the key, float64."""
        score = self.high[row, column] * np.float64(self.unit)
        slack = np.broadcast_to(self.slack, self.high.shape)[row, column] + FLUSHED[self.high.dtype.name] * self.unit
        return score - 2 * self.margin(row, column) - slack, score + slack

    def at(self, rows):
        """A tile of some of the rows, repeated as asked for."""
        owner, allowed = self.owner[rows], None if self.allowed is None else self.allowed[rows]
        if self.high is None:
            return Tile(owner, self.partner, value=self.value[rows], allowed=allowed)
        return Tile(
            owner, self.partner, self.high[rows], None, allowed, self.unit, self.slack[rows],
            lambda row, column: self.margin(rows[row], column), lambda row: self.most(rows[row]),
            lambda row, order: self.key(rows[row], order),
        )  # fmt: skip

    def surely_above(self, key):
        """(r, c) mask of the scores whose lower bound is above a key of the owner's."""
        row = np.arange(len(self.owner))
        room = 4 * self.most(row) + 2 * self.slack[:, 0] + 4 * FLUSHED[self.high.dtype.name] * self.unit
        return self.reaches(key + room)  # twice 2 T: once for the bound, once for the rounding of the limit

    def turned(self):
        """The same scores with the columns as owners."""
        high, value, allowed, slack = (
            None if part is None else part.T for part in (self.high, self.value, self.allowed, self.slack)
        )
        margin = self.margin
        return Tile(
            self.partner, self.owner, high, value, allowed, self.unit, slack,
            None if margin is None else lambda row, column: margin(column, row), None, None,
            self.widen_turned, self.widen,
        )  # fmt: skip


@dataclass
class Scan:
    """One visit of x against y; make one with `visit`. `symmetric` keys compare across queries too, as columns need."""

    x: Rows
    y: Rows
    space: Space
    plan: Plan
    filters: Filters
    stats: Stats
    dtype: str
    symmetric: bool = False
    groups: list[Group] | None = None
    tick: Callable[[int, int], None] | None = None
    _done: int = field(default=0, init=False)
    _scores: np.ndarray | None = field(default=None, init=False)

    def query_blocks(self):
        """Groups of queries, one list per block of them."""
        for start, stop in self.x.blocks(self.plan.query_rows):
            yield np.arange(start, stop), self.encoded(self.x, start, stop, 0)

    def gallery_blocks(self):
        """Groups of gallery rows of at most a tile's width."""
        width = self.plan.tile_columns
        for group in self.groups or ():
            for start in range(0, len(group), width):
                piece = group[start : start + width]
                yield from self._biased(piece, 1)
                self._report(len(piece))
        if self.groups is None:
            for start, stop in self.y.blocks(width):
                yield from self.encoded(self.y, start, stop, 1)
                self._report(stop - start)

    def encoded(self, rows, start, stop, side):
        """Groups of a block of rows: of queries (side 0) or of the gallery (1)."""
        began = time.perf_counter()
        groups = encode(rows.block(start, stop), np.arange(start, stop), self.space, self.dtype)
        groups = [part for group in groups for part in self._biased(group, side)]
        self.stats.prepare_seconds += time.perf_counter() - began
        return groups

    def _biased(self, group, side):
        bias = None if self.filters.bias is None else self.filters.bias[side][group.index]
        return biased(group, bias, self.space.metric.form)

    def _report(self, rows):
        self._done += rows
        if self.tick is not None:
            self.tick(self._done, len(self.y) * -(-len(self.x) // self.plan.query_rows))

    def tiles(self, queries: list[Group], columns: Group) -> Iterator[Tile]:
        """All queries of a block against one group of gallery rows."""
        for group in queries:
            for start in range(0, len(group), self.plan.tile_rows):
                rows = group[start : start + self.plan.tile_rows]
                if rows.codes is None or columns.codes is None:
                    yield self._values(rows.index, columns.index)
                else:
                    yield self._bounds(rows, columns)

    def _values(self, rows, columns):
        value = np.empty((len(rows), len(columns)))
        held = PAIR_BYTES // (16 * self.x.shape[1])  # rows of both sides in float64
        down, across = max(1, min(VALUE_ROWS, held)), max(1, min(VALUE_COLUMNS, held))
        for right in range(0, len(columns), across):
            y = self.y.take(columns[right : right + across])
            for left in range(0, len(rows), down):
                x = self.x.take(rows[left : left + down])
                value[left : left + down, right : right + across] = metrics.block(self.space.metric, x, y)
        self.stats.candidates[rows] += len(columns)
        self.stats.widened[rows] |= self.space.metric.form is not None
        value = metrics.ordered(self.space.metric, value, self.filters.sums(rows[:, None], columns[None]))
        return Tile(rows, columns, value=value, allowed=self.filters.allowed(rows, columns))

    def _bounds(self, x, y):
        left, unit = operand(x, y, self.symmetric)
        if self._scores is None:  # one buffer for all tiles: fresh pages cost as much as a product over 30 features
            self._scores = np.empty(self.plan.tile_rows * self.plan.tile_columns, left.dtype)
        high = self._scores[: len(x) * len(y)].reshape(len(x), len(y))
        np.matmul(left, y.codes[:, : left.shape[1]].T, out=high)
        allowed = self.filters.allowed(x.index, y.index)
        if allowed is not None:
            high[~allowed] = -np.inf
        d = x.codes.shape[1] - EXTRA
        share = growth(d, high.dtype) * (1 + 1e-4)
        slack = np.zeros((1, 1)) if self.symmetric else growth(d, np.float64) * x.weight[:, None]

        def margin(row, column):
            weight = y.weight[column] + x.weight[row] if self.symmetric else y.weight[column]
            return share * (x.norm[row] * y.norm[column] + weight)

        def most(row):
            return share * (x.norm[row] * y.norm.max() + y.weight.max())

        def key(row, order):
            """Where keys leave p out: K = constant + p - worth * order, each term with its float64 error."""
            constant, worth = VALUE[self.space.metric.form]
            with np.errstate(all="ignore"):  # an order that is infinite gives a NaN that reaches nothing
                centre = constant + x.offset[row] - worth * order
                reach = 2 * growth(d, np.float64) * (constant + x.weight[row] + np.abs(order))
                return centre - reach, centre + reach

        tile = Tile(x.index, y.index, high, None, allowed, unit, slack, margin, most, key)
        if high.dtype != np.float64:
            tile.widen = lambda rows: self._wider(x.index[rows], y.index)
            tile.widen_turned = lambda columns: (tile.turned() for tile in self._wider(x.index, y.index[columns]))
        return tile

    def _wider(self, rows, columns):
        """The same pairs scanned in float64."""
        wide = replace(self, dtype="float64", plan=replace(self.plan, tile_rows=max(1, self.plan.tile_rows // 4)))
        self.stats.widened[rows] = True
        x = encode(self.x.take(rows), rows, self.space, "float64")
        queries = [part for group in x for part in self._biased(group, 0)]
        for start in range(0, len(columns), WIDE_COLUMNS):
            piece = columns[start : start + WIDE_COLUMNS]
            for group in encode(self.y.take(piece), piece, self.space, "float64"):
                for part in self._biased(group, 1):
                    yield from wide.tiles(queries, part)

    def exact(self, rows, columns):
        """Ordered canonical values of pairs."""
        value = np.empty(len(rows))
        step = max(1, PAIR_BYTES // (48 * self.x.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            value[part] = metrics.pairs(self.space.metric, self.x.take(rows[part]), self.y.take(columns[part]))
        np.add.at(self.stats.candidates, rows, 1)
        return metrics.ordered(self.space.metric, value, self.filters.sums(rows, columns))

    def exact_turned(self, columns, rows):
        return self.exact(rows, columns)


def visit(x, y, metric, filters, k, k_columns, max_bytes, precision, prepared, tick):
    """A `Scan` that waits for k candidates a row (and k_columns a column), of y as given or encoded before."""
    if metric.rooted and filters.bias is not None:  # a root plus a bias is no linear key
        metric, prepared = metrics.unbounded(metric), None
    dtype = "float64" if precision == "float64" else scan_dtype(x.shape[1])
    where, groups = None, None
    if prepared and metric.form and dtype == scan_dtype(x.shape[1]):
        held = prepared.of("numpy", lambda rows: encode_all(rows, metric))
        where, groups = held.space, held.groups
    where = where or space(metric, y)
    encoded = groups is not None and filters.bias is None  # a bias goes into a copy of the codes
    sizes = plan(len(x), len(y), x.shape[1], k, k_columns, max_bytes, encoded)
    stats = Stats(np.zeros(len(x), np.int64), np.zeros(len(x), bool), dtype if metric.form else "float64")
    return Scan(x, y, where, sizes, filters, stats, dtype, k_columns > 0, groups, tick)


def declines(precision):
    """Why a NumPy scan cannot run at this precision, None if it can."""
    if precision in ("auto", "float32", "float64"):
        return None
    return f"it scans in float32 or float64, not precision={precision!r}"
