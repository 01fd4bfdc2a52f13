"""The k best of a block of queries over a gallery that comes in parts: float64 keys are kept between them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._config import Config
from .._search import Pairs, select
from ..kernels.tiles import metrics

Array = NDArray[Any]


class MaskWindow:
    """Some rows and columns of a stored mask (m, n), read where a search asks for them, by two slices.

    A byte for each pair of 6,000 queries with a stretch of 700,000 rows would be four times a max_bytes of 1 GB.
    """

    def __init__(self, mask: Any, rows: slice, columns: slice) -> None:
        self._mask, self._starts, self.dtype = mask, (rows.start, columns.start), mask.dtype
        self.shape = rows.stop - rows.start, columns.stop - columns.start

    def __getitem__(self, part: tuple[slice, slice]) -> Array:
        spans = [one.indices(size)[:2] for one, size in zip(part, self.shape, strict=True)]
        inside = tuple(slice(at + first, at + last) for at, (first, last) in zip(self._starts, spans, strict=True))
        return np.asarray(self._mask[inside])


@dataclass(frozen=True)
class Restrictions:
    """exclude (m,), mask (n,) or (m, n), bias ((m,), (n,)), each checked or None."""

    exclude: Array | None
    mask: Any
    bias: tuple[Array, Array] | None

    def of(self, rows: slice, columns: slice) -> Pairs:
        """What they say about some pairs."""
        exclude = mask = bias = None
        if self.exclude is not None:
            excluded = self.exclude[rows]
            inside = (excluded >= columns.start) & (excluded < columns.stop)
            exclude = np.where(inside, excluded - columns.start, -1)
        if self.mask is not None:
            if len(self.mask.shape) == 1:
                mask = self.mask[columns]
            elif isinstance(self.mask, np.ndarray):
                mask = self.mask[rows, columns]
            else:
                mask = MaskWindow(self.mask, rows, columns)
        if self.bias is not None:
            bias = self.bias[0][rows], self.bias[1][columns]
        return Pairs(False, exclude, mask, bias)


class Best(NamedTuple):
    """The k best so far: values (m, k) float64, ascending as they are ordered, and indices (m, k), -1 for none."""

    values: Array
    indices: Array

    def limit(self) -> Array:
        """(m,) the value that a row from behind must be below; +inf where there are fewer than k."""
        last = self.values[:, -1]
        return np.where((self.indices[:, -1] < 0) | np.isnan(last), np.inf, last)

    def with_others(self, values: Array, indices: Array) -> "Best":
        k = self.values.shape[1]
        both, partners = np.hstack([self.values, values]), np.hstack([self.indices, indices])
        order = np.lexsort((partners, both, partners < 0), axis=1)[:, :k]
        return Best(np.take_along_axis(both, order, 1), np.take_along_axis(partners, order, 1))


@dataclass(frozen=True)
class Order:
    """How a metric's values are kept between parts: euclidean by its squares, whose roots may tie where they do not."""

    metric: str
    keywords: dict[str, Any]
    rooted: bool
    descending: bool

    @property
    def kept_as(self) -> tuple[str, dict[str, Any]]:
        """Metric and keywords of the values that are kept."""
        return ("sqeuclidean", {}) if self.rooted else (self.metric, self.keywords)

    def values(self, distances: Array) -> Array:
        return -distances if self.descending else distances

    def distances(self, value: Array, dtype: Any) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.sqrt(value) if self.rooted else value
            return (0.0 - found if self.descending else found).astype(dtype)


def order_of(metric: str, keywords: dict[str, Any], d: int, biased: bool) -> Order:
    found = metrics.metric(metric, d, keywords)  # minkowski may be euclidean, which with weights is another's
    return Order(metric, keywords, found.rooted and not biased, found.descending)


def nothing(m: int, k: int) -> Best:
    return Best(np.full((m, k), np.inf), np.full((m, k), -1, np.int64))


def searched(
    queries: Array,
    rows: slice,
    parts: Iterator[tuple[int, Array]],
    best: Best,
    order: Order,
    restrictions: Restrictions,
    settled: Config,
    told: Callable[[Best, int], None],
) -> tuple[Best, int]:
    """(the best of the queries with all parts as well, rows of the gallery); `told` hears of both after each part."""
    k, seen = best.values.shape[1], 0
    for start, part in parts:
        seen = start + len(part)
        sides = ("queries", queries), ("gallery", _validate.gallery("gallery", part))
        pairs = restrictions.of(rows, slice(start, seen))
        ((distances, indices),), _ = select(
            *sides, (min(k, len(part)), 0), *order.kept_as, pairs, np.float64, settled, limit=best.limit()
        )
        best = best.with_others(order.values(distances), np.where(indices < 0, -1, indices + start))
        told(best, seen)
    return best, seen
