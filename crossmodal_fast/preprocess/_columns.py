"""Steps that shift and scale each column by itself."""

import numpy as np

from ._moments import column_means
from ._rows import Array, Float64, power_below, row_blocks
from ._step import Invertible

CONSTANT_CUTOFF = 1e-12  # of the mean's size: a standard deviation below it is the rounding of the mean


class Center(Invertible):
    """Subtract the training mean. Learns `mean_` (d,). Cost: one pass to fit."""

    _learned = ("mean_",)
    mean_: Float64

    def _fit(self, rows: Array) -> None:
        self.mean_ = column_means("X", rows)

    def _forward(self, block: Float64) -> Float64:
        return block - self.mean_

    def _backward(self, block: Float64) -> Float64:
        return block + self.mean_


class Standardize(Invertible):
    """Subtract the training mean, divide by the standard deviation (ddof 0); a constant column is divided by 1.

    Learns `mean_` (d,) and `scale_` (d,). Cost: two passes to fit.
    """

    _learned = ("mean_", "scale_")
    mean_: Float64
    scale_: Float64

    def _fit(self, rows: Array) -> None:
        self.mean_ = column_means("X", rows)
        total, scale = np.zeros((2, rows.shape[1]))  # of each column: sum of squares in units of scale**2
        for _, gap in row_blocks("X", rows):
            gap -= self.mean_
            largest = np.abs(gap).max(axis=0)
            larger = np.where(largest > 0, np.maximum(scale, power_below(largest)), scale)
            unit = np.where(larger > 0, larger, 1.0)
            total = total * np.square(scale / unit) + np.square(gap / unit).sum(axis=0)
            scale = larger
        deviation = scale * np.sqrt(total / len(rows))
        self.scale_ = np.where(deviation <= CONSTANT_CUTOFF * np.abs(self.mean_), 1.0, deviation)

    def _forward(self, block: Float64) -> Float64:
        return (block - self.mean_) / self.scale_

    def _backward(self, block: Float64) -> Float64:
        return block * self.scale_ + self.mean_
