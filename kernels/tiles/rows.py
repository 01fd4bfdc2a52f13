"""Rows of a caller's matrix, read in blocks: native float32 or float64, checked once as they are read."""

from functools import cache

import numpy as np

CHECK_BYTES = 1 << 18  # of a block looked at at a time: stays in L2 between the read and the check
READ_BYTES = 1 << 22
EXACT_IN_FLOAT32 = ("float16", "bfloat16", "float32", "int8", "uint8", "bool")


@cache
def holding(dtype):
    """float32 where that holds every value of a dtype, else float64. The name of a dtype takes NumPy 5 us."""
    return np.dtype(np.float32 if np.dtype(dtype).name in EXACT_IN_FLOAT32 else np.float64)


@cache
def holding_all(*dtypes):
    """The same for several."""
    return np.result_type(*map(holding, dtypes))


class Rows:
    """(n, d) matrix behind any sliceable store: an array, a memmap, an HDF5 or zarr data set.

    `block(start, stop)` and `take(index)` give float32 where that holds every value of the store's dtype, else float64.
    A block is checked for NaN and infinity if `check_finite`; `take` re-reads rows that a block has shown. `first` is
    the number of its first row in sentences, where the store is a part of what the caller gave.
    """

    def __init__(self, name, store, check_finite=True, first=0):
        self.name, self.store, self.check_finite, self.first = name, store, check_finite, first
        self.shape = store.shape
        self.dtype = holding(store.dtype)

    def __len__(self):
        return self.shape[0]

    def unchecked(self, start, stop):
        return np.asarray(self.store[start:stop]).astype(self.dtype, copy=False)

    def given(self, start, stop):
        """As the store has them, unchecked."""
        return np.asarray(self.store[start:stop]).astype(self.store.dtype, copy=False)

    def block(self, start, stop):
        rows = self.unchecked(start, stop)
        if self.check_finite and np.dtype(self.store.dtype).kind not in "biu":
            step = max(1, CHECK_BYTES // (rows.itemsize * max(1, rows.shape[1])))
            for first in range(0, len(rows), step):
                if not np.isfinite(rows[first : first + step]).all():
                    row = first + int(np.argmin(np.isfinite(rows[first : first + step]).all(axis=1)))
                    value = rows[row][~np.isfinite(rows[row])][0]
                    raise ValueError(
                        f"{self.name} must be finite, got {value} in row {self.first + start + row}; "
                        "check_finite=False sorts such rows last"
                    )
        return rows

    def refuse_unfinite(self):
        """Read all rows for their check alone."""
        if self.check_finite:
            for start, stop in self.blocks(max(1, READ_BYTES // (self.dtype.itemsize * max(1, self.shape[1])))):
                self.block(start, stop)

    def take(self, index):
        """Rows at `index`, float64."""
        return self.picked(index).astype(np.float64, copy=False)

    def picked(self, index):
        """Rows at `index`. Stores other than arrays are asked for ascending, distinct rows, unless `any_order`."""
        if isinstance(self.store, np.ndarray) or getattr(self.store, "any_order", False):
            return np.asarray(self.store[index]).astype(self.dtype, copy=False)
        distinct, inverse = np.unique(index, return_inverse=True)
        return np.asarray(self.store[distinct]).astype(self.dtype, copy=False)[inverse]

    def blocks(self, step, first=0):
        """(start, stop) over all rows from the first on."""
        return ((start, min(start + step, len(self))) for start in range(first, len(self), step))

    def at(self, index):
        """Some of the rows, at ascending positions."""
        return Rows(self.name, _Picked(self.store, index), self.check_finite)

    def part(self, start, stop, reading):
        """Those from start to stop; stores other than arrays need not bear two readers, and are read under the lock."""
        array = isinstance(self.store, np.ndarray)
        store = self.store[start:stop] if array else _Stretch(self.store, start, stop, reading)
        return Rows(self.name, store, self.check_finite, self.first + start)


class _Picked:
    """Some rows of a store, read when they are asked for."""

    def __init__(self, store, index):
        self.store, self.index = store, index
        self.shape, self.dtype = (len(index), store.shape[1]), store.dtype

    def __getitem__(self, part):
        return np.asarray(self.store[self.index[part]])


class _Stretch:
    """Rows start to stop of a store, one reader at a time."""

    def __init__(self, store, start, stop, reading):
        self.store, self.start, self.reading = store, start, reading
        self.shape, self.dtype = (stop - start, store.shape[1]), store.dtype

    def __getitem__(self, part):
        if isinstance(part, slice):
            first, last, step = part.indices(len(self))
            part = slice(self.start + first, self.start + last, step)
        else:
            part = self.start + part
        with self.reading:
            return np.asarray(self.store[part])

    def __len__(self):
        return self.shape[0]
