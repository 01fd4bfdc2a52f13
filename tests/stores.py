"""Sliceable stores that are no arrays: the least that a memmap, an HDF5 data set and a zarr array have in common."""

import numpy as np


class Store:
    """Rows by slices and by ascending, distinct numbers, as HDF5 asks for them; `read` counts the most at a time."""

    def __init__(self, rows):
        self._rows, self.shape, self.dtype, self.read = rows, rows.shape, rows.dtype, 0

    def __getitem__(self, part):
        if isinstance(part, np.ndarray):
            assert part.ndim == 1, "a store takes one list of rows"
            assert (np.diff(part) > 0).all(), "a store is asked for ascending, distinct rows"
        else:
            assert isinstance(part, slice), f"a store is asked for slices or rows, got {part!r}"
        found = self._rows[part].copy()
        self.read = max(self.read, len(found))
        return found


class PairStore:
    """A value for every pair, by two slices; `read` counts the most at a time."""

    def __init__(self, pairs):
        self._pairs, self.shape, self.dtype, self.read = pairs, pairs.shape, pairs.dtype, 0

    def __getitem__(self, part):
        rows, columns = part
        assert isinstance(rows, slice), f"a store of pairs is asked for two slices, got {part!r}"
        assert isinstance(columns, slice), f"a store of pairs is asked for two slices, got {part!r}"
        found = self._pairs[part].copy()
        self.read = max(self.read, found.size)
        return found
