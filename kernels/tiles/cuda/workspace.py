"""Arrays of one block of queries, by name and shape: a search of a kept gallery finds those of the search before.

What comes back to the host lies side by side, so that one copy brings it: a copy waits 17 us, whatever its size.
"""

import numpy as np

KEPT_BYTES = 64 << 20  # larger ones go back to the pool
ALIGNED = 256


class Workspace:
    """`workspace(name, shape, dtype)`: that array, whatever is in it; `answer()`: what is in those that come back."""

    def __init__(self, driver, m, k):
        self.driver, self.held, self.nbytes, self.ready, self.noted = driver, {}, 0, False, None
        parts = {
            "value": ((m, k), np.float64), "index": ((m, k), np.int64), "count": ((m,), np.int32),
            "lost": ((m,), np.int32), "said": ((2,), np.int32),
        }  # fmt: skip
        self.layout, size = {}, 0
        for name, (shape, dtype) in parts.items():
            nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
            self.layout[name] = size, shape, np.dtype(dtype), nbytes
            size += -(-nbytes // ALIGNED) * ALIGNED
        self.block = driver.empty(size, np.uint8)
        self.returned = {name: driver.view(self.block, *at[:3]) for name, at in self.layout.items()}

    def __call__(self, name, shape, dtype):
        if name in self.returned:
            return self.returned[name]
        key = name, shape, dtype
        found = self.held.get(key)
        if found is None:
            found = self.held[key] = self.driver.empty(shape, dtype)
            self.nbytes += found.nbytes
        return found

    def answer(self, after=None):
        """Name -> array on the host. Waits for the device, or for a mark alone."""
        return self.split(self.driver.host(self.block, after))

    def split(self, block):
        """Name -> array of a block that has come to the host."""
        return {
            name: block[at : at + nbytes].view(dtype).reshape(shape)
            for name, (at, shape, dtype, nbytes) in self.layout.items()
        }


class Spare:
    """Workspaces that nobody uses, of one gallery."""

    def __init__(self):
        self.left = {}

    def taken(self, driver, m, k):
        """One for m queries and their k best."""
        try:
            return self.left[m, k].pop()  # at once: another thread may look as well
        except (KeyError, IndexError):
            return Workspace(driver, m, k)

    def noted(self, m, k):
        """One whose last search is noted, or None."""
        try:
            found = self.left[m, k].pop()
        except (KeyError, IndexError):
            return None
        if found.noted is None:
            self.back(found, m, k)
            return None
        return found

    def back(self, workspace, m, k):
        """It may be used again: nothing on the device works on it any more."""
        workspace.ready = True
        if workspace.nbytes <= KEPT_BYTES:
            self.left = {(m, k): [workspace]}  # of the last kind alone
