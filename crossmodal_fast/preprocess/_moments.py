"""Means and principal directions of rows, summed so that neither an offset nor a scale costs digits."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from ._rows import Array, Float64, power_below, row_blocks

RANK_CUTOFF = 1e-6  # of the largest singular value: float32 rows that sum to 1 leave a ratio of 1e-8, which is noise


def column_means(name: str, rows: Array, weight: Float64 | None = None) -> Float64:
    """(Weighted) mean of each column (d,), summed about the first row so that data far from the origin lose nothing."""
    rough = np.asarray(rows[0], dtype=np.float64)
    weight = np.ones(len(rows)) if weight is None else weight
    total = np.zeros(rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for taken, block in row_blocks(name, rows):
            total += weight[taken] @ (block - rough)
        mean = cast(Float64, rough + total / weight.sum())
    if not np.isfinite(mean).all():
        raise ValueError(f"{name} must have sums that float64 holds, got more; divide it by 2**100 first")
    return mean


@dataclass(frozen=True)
class Spectrum:
    """Principal directions of rows: their mean, and the covariance of (rows - mean) / scale as V diag(values) V^T."""

    mean: Float64  # (d,)
    scale: float  # a power of two, so that no square leaves float64
    values: Float64  # (r,), descending
    vectors: Float64  # (d, r)

    @property
    def variances(self) -> Float64:
        """The values in squared units of the rows; infinite where float64 cannot hold them."""
        with np.errstate(over="ignore"):
            return self.values * self.scale * self.scale


def spectrum(rows: Array) -> Spectrum:
    """Of the covariance X_c^T X_c / (n - 1)."""
    n, d = rows.shape
    if n < 2:
        raise ValueError(f"X must have at least 2 rows to have a covariance, got {n}")
    mean, scale, covariance = column_means("X", rows), 0.0, np.zeros((0, 0) if n <= d else (d, d))
    for _, gap in row_blocks("X", rows):
        gap -= mean
        if not (largest := np.abs(gap).max()):
            continue
        larger = max(scale, float(power_below(largest)))
        if n > d:
            gap /= larger
            covariance *= (scale / larger) ** 2
            covariance += gap.T @ gap
        scale = larger
    if scale == 0:
        raise ValueError(f"X must vary to have a principal direction, got {n} equal rows")
    if n > d:
        values, vectors = np.linalg.eigh(covariance / (n - 1))
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    else:  # the covariance would be larger than the rows
        _, singular, vectors_t = np.linalg.svd((np.asarray(rows, np.float64) - mean) / scale, full_matrices=False)
        values, vectors = singular**2 / (n - 1), vectors_t.T
    leading = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return Spectrum(mean, scale, values, vectors * np.where(leading < 0, -1.0, 1.0))
