"""Steps that shift and scale each column by itself."""

from dataclasses import dataclass

import numpy as np

from ._moments import Moments, column_deviations, column_means
from ._rows import Array, Float64
from ._step import Gathering, Invertible


class Center(Gathering, Invertible):
    """Subtract the training mean: x - mean(X), for rows (n, d).

    Learns `mean_` (d,), summed about the first row. Cost: one pass to fit. Source: direct from the definition.

    Examples
    --------
    >>> Center().fit_transform([[1.0, 5.0], [3.0, 5.0]])
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    _learned = ("mean_",)
    mean_: Float64

    def _fit(self, rows: Array) -> None:
        self.mean_ = column_means("X", rows)

    def _settle(self, gathered: Moments) -> None:
        self.mean_ = gathered.mean

    def _forward(self, block: Float64) -> Float64:
        return block - self.mean_

    def _backward(self, block: Float64) -> Float64:
        return block + self.mean_


class Standardize(Gathering, Invertible):
    """Subtract the training mean, divide by the standard deviation (ddof 0); a constant column is divided by 1.

    Learns `mean_` (d,) and `scale_` (d,). Cost: two passes to fit. Source: direct from the definition, (x - mean) / sd.

    Examples
    --------
    >>> Standardize().fit_transform([[1.0, 5.0], [3.0, 5.0]])
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    _learned = ("mean_", "scale_")
    mean_: Float64
    scale_: Float64

    def _fit(self, rows: Array) -> None:
        self.mean_ = column_means("X", rows)
        self.scale_ = column_deviations(rows, self.mean_)

    def _settle(self, gathered: Moments) -> None:
        self.mean_, self.scale_ = gathered.mean, gathered.deviation

    def _forward(self, block: Float64) -> Float64:
        return (block - self.mean_) / self.scale_

    def _backward(self, block: Float64) -> Float64:
        return block * self.scale_ + self.mean_


@dataclass(frozen=True)
class _Extremes:
    low: Float64  # (d,)
    high: Float64  # (d,)

    def merged(self, other: "_Extremes") -> "_Extremes":
        return _Extremes(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def columns(self) -> int:
        return len(self.low)


class MinMax(Gathering, Invertible):
    """(x - min) / (max - min) of each training column: 0..1 there; a constant column becomes 0.

    Learns `min_` (d,) and `range_` (d,). Cost: one pass to fit. Source: direct from the definition.

    Examples
    --------
    >>> MinMax().fit([[1.0, 5.0], [3.0, 5.0]]).transform([[2.0, 5.0]])
    array([[0.5, 0. ]])
    """

    _learned = ("min_", "range_")
    min_: Float64
    range_: Float64

    def _gather(self, block: Float64) -> _Extremes:
        return _Extremes(block.min(axis=0), block.max(axis=0))

    def _settle(self, gathered: _Extremes) -> None:
        with np.errstate(over="ignore"):
            spread = gathered.high - gathered.low
        if np.isinf(spread).any():
            raise ValueError("X must have ranges that float64 holds, got more; divide it by 2 first")
        self.min_, self.range_ = gathered.low, np.where(spread == 0, 1.0, spread)

    def _forward(self, block: Float64) -> Float64:
        return (block - self.min_) / self.range_

    def _backward(self, block: Float64) -> Float64:
        return block * self.range_ + self.min_


class UnitColumns(Gathering, Invertible):
    """Divide each column by its length over the training rows; a column of zeros stays (unitdim of VecMap).

    Learns `length_` (d,). Cost: one pass to fit. The length grows with the square root of the number of rows: it is a
    recipe for rows that are transformed together. Source: direct from the definition; Artetxe, Labaka, Agirre 2018.

    Examples
    --------
    >>> UnitColumns().fit_transform([[3.0, 1.0], [4.0, 0.0]])
    array([[0.6, 1. ],
           [0.8, 0. ]])
    """

    _learned = ("length_",)
    length_: Float64

    def _settle(self, gathered: Moments) -> None:
        with np.errstate(over="ignore"):
            length = np.hypot(gathered.scale * np.sqrt(gathered.scatter), np.sqrt(gathered.count) * gathered.mean)
        if np.isinf(length).any():
            raise ValueError("X must have columns whose lengths float64 holds, got longer; divide it by 2**100 first")
        self.length_ = np.where(length == 0, 1.0, length)

    def _forward(self, block: Float64) -> Float64:
        return block / self.length_

    def _backward(self, block: Float64) -> Float64:
        return block * self.length_
