"""Mutual proximity: how likely a distance is exceeded, as seen from the row and as seen from the column.

    MP_ij = P(D_i > d_ij) P(D_j > d_ij)     D_i: distances of row i to all columns, D_j: of column j to all rows

Each factor falls with the distance, and the other is at most 1: the nearest columns of a row settle which are best.
Source: Schnitzer et al. 2012.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._arguments import one_of
from ._neighbours import Sides, checked, chosen
from ._results import Best, Float64, Indices, Matches, finite
from ._source import Source
from ._wider import best_of, wider

CONSTANT = 1e-12  # of the mean: a standard deviation below it is rounding


class Proximity(Protocol):
    """A distribution of distances, of the rows and of the columns of a source."""

    source: Source
    most: float  # a factor at most

    def factors(self, rows: Indices, columns: Indices, distances: Float64) -> tuple[Float64, Float64]:
        """(p,) of some pairs, as seen from the row and from the column; the first one falls with the distance."""
        ...

    def joined(self, own: Float64, other: Any) -> Float64:
        """What two factors make."""
        ...

    def turned(self) -> "Proximity":
        """Rows and columns changed about."""
        ...


class Normal:
    """Of the mean and the standard deviation (ddof 0) of all distances, as logarithms."""

    most = 0.0

    def __init__(self, source: Source, moments: tuple["_Moments", "_Moments"] | None = None) -> None:
        self.source, self.moments = source, moments or _moments(source)

    def factors(self, rows: Indices, columns: Indices, distances: Float64) -> tuple[Float64, Float64]:
        from scipy.special import log_ndtr

        own, other = (
            np.asarray(log_ndtr((side.mean[at] - distances) / side.deviation[at]))
            for side, at in zip(self.moments, (rows, columns), strict=True)
        )
        return own, other

    def joined(self, own: Float64, other: Any) -> Float64:
        return np.asarray(own + other)

    def turned(self) -> "Normal":
        return Normal(self.source.turned(), self.moments[::-1])


class Empirical:
    """Of the shares of all distances that are larger."""

    most = 1.0

    def __init__(self, source: Source, other: Source | None = None) -> None:
        self.source, self.other = source, source.turned() if other is None else other

    def factors(self, rows: Indices, columns: Indices, distances: Float64) -> tuple[Float64, Float64]:
        return _share_beyond(self.source, rows, columns), _share_beyond(self.other, columns, rows)

    def joined(self, own: Float64, other: Any) -> Float64:
        return np.asarray(own * other)

    def turned(self) -> "Empirical":
        return Empirical(self.other, self.source)


def _share_beyond(source: Source, rows: Indices, columns: Indices) -> Float64:
    """Of the columns that a row may have, those that are farther than the given one: (p,)."""
    there = source.shape[1] - source.own_excluded
    return (there - source.at_least(rows, columns)) / there


DISTRIBUTIONS: dict[str, type[Normal] | type[Empirical]] = {"normal": Normal, "empirical": Empirical}


def mutual_proximity(
    source: Source, *, k: int = 1, distribution: str = "normal", retrieval: str = "forward"
) -> Matches:
    """Pairs that few others are nearer than, on either side."""
    kind = DISTRIBUTIONS[one_of("distribution", distribution, DISTRIBUTIONS)]
    k = checked(source, k, retrieval)
    proximity = kind(source)
    rows = _nearest(proximity, k)
    if retrieval == "forward":
        return Sides(rows, rows).forward()
    return chosen(Sides(rows, _nearest(proximity.turned(), k)), retrieval)


def _nearest(proximity: Proximity, k: int) -> Best:
    """The k columns of the highest proximity of each row."""
    source = proximity.source
    m, n = source.shape

    def valued(rows: Indices, width: int) -> tuple[Best, NDArray[np.bool_]]:
        part = source if len(rows) == m else source.part(rows, np.arange(n))
        partners, scores = part.by_rows(width)
        there = partners >= 0
        own, other = np.zeros(partners.shape), np.zeros(partners.shape)
        owners = np.broadcast_to(rows[:, None], partners.shape)
        own[there], other[there] = proximity.factors(owners[there], partners[there], source.constant - scores[there])
        best = best_of(partners, proximity.joined(own, other), k)
        settled = (best.scores[:, -1] > proximity.joined(own[:, -1], proximity.most)) | ~there[:, -1]
        return best, settled | (width == n)

    return wider(source, k, valued)


class _Moments:
    """Mean and standard deviation of the distances of each owner, gathered in parts (Chan, Golub, LeVeque 1979)."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.total = np.zeros((3, size))

    def take(self, part: slice, distances: Float64, there: NDArray[np.bool_], axis: int) -> None:
        count = there.sum(axis=axis)
        mean = np.sum(distances, axis=axis, where=there) / np.maximum(count, 1)
        gap = distances - np.expand_dims(mean, axis)
        joint = np.maximum(self.count[part] + count, 1)
        apart = mean - self.mean[part]
        self.total[part] += np.sum(gap * gap, axis=axis, where=there) + apart**2 * self.count[part] * (count / joint)
        self.mean[part] += apart * (count / joint)
        self.count[part] += count

    @property
    def deviation(self) -> Float64:
        """Of each owner; 1 where all distances are equal."""
        found: Float64 = np.sqrt(self.total / np.maximum(self.count, 1))
        return np.where(found > CONSTANT * np.abs(self.mean), found, 1.0)


def _moments(source: Source) -> tuple[_Moments, _Moments]:
    found = _Moments(source.shape[0]), _Moments(source.shape[1])
    for rows, columns, scores in source.tiles():
        distances = source.constant - finite(scores)
        there = np.ones(distances.shape, dtype=np.bool_)
        if source.own_excluded:
            there = np.arange(rows.start, rows.stop)[:, None] != np.arange(columns.start, columns.stop)
        for moments, part, axis in zip(found, (rows, columns), (1, 0), strict=True):
            moments.take(part, distances, there, axis)
    return found
