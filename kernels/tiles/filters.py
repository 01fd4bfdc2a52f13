"""What a search is told about its pairs, and what it reports."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Filters:
    """Which pairs may match, and the bias added to their values."""

    exclude: np.ndarray | None = None  # (m,) int64, -1 for none
    mask: np.ndarray | None = None  # (n,) or (m, n) bool, any sliceable store
    bias: tuple[np.ndarray, np.ndarray] | None = None  # float64 (m,), (n,)

    def allowed(self, rows, columns):
        """(r, c) mask of the pairs that may match, None where all may."""
        if self.exclude is None and self.mask is None:
            return None
        allowed = np.ones((len(rows), len(columns)), bool)
        if self.mask is not None and len(self.mask.shape) == 1:
            allowed &= self.mask[columns]
        elif self.mask is not None:
            allowed &= self._mask_of(rows, columns)
        if self.exclude is not None:
            allowed &= columns != self.exclude[rows][:, None]
        return allowed

    def _mask_of(self, rows, columns):
        if isinstance(self.mask, np.ndarray):
            return self.mask[np.ix_(rows, columns)]
        part = self.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # stores know slices
        return np.asarray(part)[np.ix_(rows - rows[0], columns - columns[0])]

    def of(self, rows):
        """The filters of some of the rows, at ascending positions."""
        mask = self.mask
        if mask is not None and len(mask.shape) == 2:
            near = type(mask) is np.ndarray and len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
            mask = mask[rows[0] : rows[-1] + 1] if near else PickedMask(mask, rows)
        return Filters(
            None if self.exclude is None else self.exclude[rows],
            mask,
            None if self.bias is None else (self.bias[0][rows], self.bias[1]),
        )

    def among(self, start, stop, reading):
        """The filters of a search among gallery rows start to stop, numbered from 0; stores are read under the lock."""
        exclude, mask, columns = self.exclude, self.mask, slice(start, stop)
        if exclude is not None:
            exclude = np.where((exclude >= start) & (exclude < stop), exclude - start, -1)
        if mask is not None:
            array = isinstance(mask, np.ndarray)
            mask = mask[..., columns] if array else MaskOfColumns(mask, columns, reading)
        return Filters(exclude, mask, None if self.bias is None else (self.bias[0], self.bias[1][columns]))

    def turned(self, m, n):
        """The filters of the columns' search among the rows, of m rows and n columns."""
        bias, mask, exclude = self.bias and self.bias[::-1], None, None
        if self.mask is not None:
            mask = TurnedMask(self, (n, m))
        elif self.exclude is not None:
            given = np.flatnonzero(self.exclude >= 0)
            exclude = np.full(n, -1)
            exclude[self.exclude[given]] = given
            if np.count_nonzero(exclude >= 0) < len(given):  # some column is left out by several rows
                exclude, mask = None, TurnedMask(self, (n, m))
        return Filters(exclude, mask, bias)

    def sums(self, rows, columns):
        """u_i + v_j of pairs, None without a bias."""
        return None if self.bias is None else self.bias[0][rows] + self.bias[1][columns]


class TurnedMask:
    """Which pairs may match, by column and row, asked for by slices."""

    def __init__(self, filters, shape):
        self.filters, self.shape = filters, shape

    def __getitem__(self, part):
        columns, rows = (np.arange(size)[one] for size, one in zip(self.shape, part, strict=True))
        return self.filters.allowed(rows, columns).T


@dataclass
class Stats:
    """What the certificate let through."""

    candidates: np.ndarray  # (m,) int64: canonical values computed per query
    widened: np.ndarray  # (m,) bool: queries that needed a float64 scan or canonical values throughout
    precision: str = "float64"
    prepare_seconds: float = 0.0
    scan_seconds: float = 0.0
    again: Any = None  # again(X, distances, indices) does another search like this one, where that is quicker

    @classmethod
    def of(cls, several):
        """Of searches of the same queries in shares of a gallery, at the same time."""
        several = list(several)
        return cls(
            sum(stats.candidates for stats in several),
            np.any([stats.widened for stats in several], axis=0),
            several[0].precision,
            max(stats.prepare_seconds for stats in several),
        )


class PickedMask:
    """Some rows of a mask (m, n), asked for by slices."""

    def __init__(self, mask, rows):
        self.mask, self.rows, self.shape = mask, rows, (len(rows), mask.shape[1])

    def __getitem__(self, part):
        rows, columns = self.rows[part[0]], part[1]
        if isinstance(self.mask, np.ndarray):
            return self.mask[rows, columns]
        return np.asarray(self.mask[rows[0] : rows[-1] + 1, columns])[rows - rows[0]]


class MaskOfColumns:
    """Some neighbouring columns of a mask (n,) or (m, n), asked for by slices, one reader at a time."""

    def __init__(self, mask, columns, reading):
        self.mask, self.start, self.reading = mask, columns.start, reading
        self.shape = (*mask.shape[:-1], columns.stop - columns.start)

    def __getitem__(self, part):
        *rows, columns = part if isinstance(part, tuple) else (part,)
        first, last, _ = columns.indices(self.shape[-1])
        with self.reading:
            return np.asarray(self.mask[(*rows, slice(self.start + first, self.start + last))])
