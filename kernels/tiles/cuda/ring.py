"""Memory of the tiles of a search: one place that all of them take, or a ring, where there is a lane that reads them.

Work    a tile lies behind the one before; what it overwrites has been read, by the lane's marks
Shapes  bytes: as many of the largest tile as a lane wants, in which many small ones have room
Cost    an event a tile
Sum     none
"""

import numpy as np

from .workspace import ALIGNED


class Ring:
    """`place(name, shape, dtype)`: memory of the next tile; `read()`: all that reads it has been launched."""

    def __init__(self, driver, lane, largest):
        self.driver, self.lane, self.largest = driver, lane, largest
        self.block, self.at, self.unread = None, (0, 0), []

    @property
    def nbytes(self):
        return 0 if self.block is None else self.block.nbytes

    def place(self, name, shape, dtype):
        size, tiles = int(np.prod(shape)) * np.dtype(dtype).itemsize, self.lane.tiles
        if self.nbytes < tiles * size:
            self.lane.join()
            self.block, self.unread = None, []
            self.block = self.driver.empty(tiles * max(size, self.largest), np.uint8)
        start = -(-self.at[1] // ALIGNED) * ALIGNED if tiles > 1 else 0
        start = start if start + size <= self.nbytes else 0
        below = [at for at, (first, stop, _) in enumerate(self.unread) if first < start + size and start < stop]
        if below:
            self.lane.join(self.unread[below[-1]][2])
            del self.unread[: below[-1] + 1]
        self.at = start, start + size
        return self.driver.view(self.block, start, shape, np.dtype(dtype))

    def read(self):
        if self.lane.tiles > 1:
            self.unread.append((*self.at, self.lane.mark()))
