"""The rows of a search, read block by block, and the values of their pairs.

Work    a block prepared for the loops by the job that wants it; metrics without loops by NumPy, in blocks
Shapes  ascending positions of x or y -> (rows, stat); two such -> the state of an epilogue of `visit.py`
Cost    3 to 10 d operations a pair in float64; scratch two pieces a thread
Sum     canonical (`direct.py`; metrics with pow or log, and SciPy's: `metrics.py`), or near that (`near.py`)
"""

import numpy as np

from . import blocks, direct, metrics, nearness, pool
from .jit import entry
from .visit import BIASED, COLUMNS, DESCENDING, ROOTED, ROWS, visitor

GIVEN_ROWS, GIVEN_COLUMNS = 32, 256  # that NumPy computes at once: eight lanes of it fill half an L2


class Values:
    """The canonical values of pairs of a search, tile by tile, or bounds of them."""

    def __init__(self, search, bounds=False):
        """bounds: by loops that come near, where the metric has such."""
        self.search, self.metric, d = search, search.metric, search.x.shape[1]
        self.near = bounds and nearness.covers(self.metric)
        self.fast = self.near or direct.covers(self.metric)
        self.parameter, self.error = 0.0, np.zeros(0)
        if self.near:
            self.parameter = nearness.parameter(self.metric)
            self.error = np.array([*nearness.error(self.metric, d), nearness.ceiling(self.metric)])
        biased = search.filters.bias is not None
        stores = search.x.store.dtype, search.y.store.dtype
        self.real = np.promote_types(search.x.dtype, search.y.dtype)  # of both sides: each pair of dtypes is a kernel
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
        block = block != 0 if self.packs else block.astype(self.real, copy=False)
        return direct.prepared(self.metric, block)

    def visit(self, name, x, y, positions, state):
        """One epilogue over the pairs of two prepared blocks at their positions."""
        pool.go_on()
        rows, columns = positions
        filters, low_rc = self.search.filters, np.empty((ROWS, COLUMNS))
        room = low_rc, np.empty((ROWS, COLUMNS)) if self.near else low_rc
        allowed = None
        if filters.exclude is not None or filters.mask is not None:
            with self.search.reading:
                allowed = filters.allowed(rows, columns)
        bias = (np.zeros(0),) * 2 if filters.bias is None else (filters.bias[0][rows], filters.bias[1][columns])
        allowed = np.empty((0, 0), bool) if allowed is None else allowed
        if self.fast:
            fill = direct.filler(self.metric, x[0].dtype.name, y[0].dtype.name)
        else:
            fill, nothing = blocks.given, np.zeros(0)
            x, y = (self._by_numpy(x[0], y[0]), nothing), (np.empty((0, 0)), nothing)
        table = blocks.table(x[0], y[0], (x[1], y[1]), self.search.x.shape[1], self.parameter, low_rc)
        how = entry(fill, blocks.ARGUMENTS), table.ctypes.data, bias, positions, self.rule, self.error
        visitor(name)(*how, allowed, state, room)

    def _by_numpy(self, x, y):
        value = np.empty((len(x), len(y)))
        with np.errstate(all="ignore"):
            for left in range(0, len(x), GIVEN_ROWS):
                for right in range(0, len(y), GIVEN_COLUMNS):
                    at = np.s_[left : left + GIVEN_ROWS], np.s_[right : right + GIVEN_COLUMNS]
                    value[at] = metrics.block(self.metric, x[at[0]], y[at[1]])
        return value
