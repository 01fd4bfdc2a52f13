"""Which pairs of a block of queries and a part of the gallery may match, and how their values are kept and told."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._search import Pairs
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
