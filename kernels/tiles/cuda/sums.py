"""Running log-sum-exps on the device: tiles of scores are added to those of their rows and of their columns.

Work    a stretch of partners at a time (row_sums.cu, column_sums.cu), stretches in their order (merge.cu)
Shapes  scores (r, c) float64 -> largest, total of the owners, (m,) or (n,)
Cost    a reading of a tile and an exponential in float64 a score and side, two launches a side
Sum     float64; no atomics, so that a call gives the same bits again
"""

import numpy as np

BLOCK, WARPS = 256, 8  # threads of a block
STRETCH = (512, 128)  # partners of a stretch, by axis: 16 terms a thread, which stay in its registers


class Sums:
    """Log-sum-exps of `size` owners, the rows (axis 0) or the columns (1) of the scores; shift: of their partners."""

    def __init__(self, driver, axis, size, scale, shift):
        self.driver, self.axis, self.scale, self.shift = driver, axis, np.float64(scale), driver.array(shift)
        self.top, self.total = driver.xp.full(size, -np.inf), driver.xp.zeros(size)

    def add(self, score, left, right):
        """Scores of rows left.. and columns right.."""
        driver, places = self.driver, (left, right)
        owners, partners = (score.shape[at] for at in (self.axis, 1 - self.axis))
        first, start = places[self.axis], places[1 - self.axis]
        stretch = STRETCH[self.axis]
        stretches = -(-partners // stretch)
        part = [driver.empty((stretches, owners)) for _ in range(2)]
        grid = (stretches, -(-owners // WARPS)) if self.axis == 0 else (-(-owners // 32), stretches)
        driver.launch("column_sums" if self.axis else "row_sums", grid, BLOCK, [
            score, *map(np.int32, (*score.shape, stretch)), self.scale, self.shift[start : start + partners], *part,
        ])  # fmt: skip
        mine = slice(first, first + owners)
        arguments = [*part, np.int32(stretches), np.int32(owners), self.top[mine], self.total[mine]]
        driver.launch("merge", -(-owners // BLOCK), BLOCK, arguments)

    def result(self, out):
        """Fill out (size,) on the host."""
        top = self.driver.host(self.top)
        with np.errstate(divide="ignore"):
            np.log(self.driver.host(self.total), out=out)
        out += np.where(np.isinf(top), 0.0, top)
