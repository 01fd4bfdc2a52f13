"""Means, spreads and principal directions of rows, summed so that neither an offset nor a scale costs digits."""

from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from ._rows import Array, Float64, power_below, row_blocks

RANK_CUTOFF = 1e-6  # of the largest singular value: float32 rows that sum to 1 leave a ratio of 1e-8, which is noise
CONSTANT_CUTOFF = 1e-12  # of the mean's size: a standard deviation below it is the rounding of the mean


def column_means(name: str, rows: Array, weight: Float64 | None = None) -> Float64:
    """(Weighted) mean of each column (d,), summed about the first row so that data far from the origin lose nothing."""
    rough = np.asarray(rows[0], dtype=np.float64)
    weight = np.ones(len(rows)) if weight is None else weight
    total = np.zeros(rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for taken, block in row_blocks(name, rows):
            total += weight[taken] @ (block - rough)
        mean = cast(Float64, rough + total / weight.sum())
    return _sound(name, mean)


def _sound(name: str, mean: Float64) -> Float64:
    if not np.isfinite(mean).all():
        raise ValueError(f"{name} must have sums that float64 holds, got more; divide it by 2**100 first")
    return mean


def column_deviations(rows: Array, mean: Float64) -> Float64:
    """Standard deviation of each column (d,), ddof 0; 1 for a constant one."""
    total, scale = np.zeros((2, rows.shape[1]))  # of each column: sum of squares in units of scale**2
    for _, gap in row_blocks("X", rows):
        gap -= mean
        largest = np.abs(gap).max(axis=0)
        larger = np.where(largest > 0, np.maximum(scale, power_below(largest)), scale)
        unit = np.where(larger > 0, larger, 1.0)
        total = total * np.square(scale / unit) + np.square(gap / unit).sum(axis=0)
        scale = larger
    return without_constants(scale * np.sqrt(total / len(rows)), mean)


def without_constants(deviation: Float64, mean: Float64) -> Float64:
    """1 where a deviation is 0, or the rounding of the mean."""
    return np.where(deviation <= CONSTANT_CUTOFF * np.abs(mean), 1.0, deviation)


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred second moment of rows, which can be merged (Chan, Golub, LeVeque 1979).

    Either all of X_c^T X_c (d, d) in units of one scale**2, or its diagonal (d,) in units of a scale for each column;
    scales are powers of two, so that no square leaves float64.
    """

    count: int
    mean: Float64  # (d,)
    scatter: Float64  # (d, d) or (d,)
    scale: Float64  # () or (d,); 0 where nothing varies

    @classmethod
    def of(cls, block: Float64, full: bool) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _sound("X", block[0] + (block - block[0]).mean(axis=0))
        gap = block - mean
        scale = _scale(gap, full)
        gap /= _divisor(scale)
        return cls(len(block), mean, gap.T @ gap if full else np.square(gap).sum(axis=0), scale)

    def merged(self, other: "Moments") -> "Moments":
        full, count = self.scatter.ndim == 2, self.count + other.count
        with np.errstate(over="ignore"):
            gap = _sound("X", other.mean - self.mean)
        scale = np.maximum(np.maximum(self.scale, other.scale), _scale(gap[None], full))
        unit = _divisor(scale)
        part = gap / unit
        between = np.outer(part, part) if full else part * part
        scatter = self.scatter * np.square(self.scale / unit) + other.scatter * np.square(other.scale / unit)
        scatter += between * (self.count * (other.count / count))
        return Moments(count, self.mean + gap * (other.count / count), scatter, scale)

    @property
    def columns(self) -> int:
        return len(self.mean)

    @property
    def deviation(self) -> Float64:
        """Of each column (d,), ddof 0; 1 for a constant one."""
        total = self.scatter.diagonal() if self.scatter.ndim == 2 else self.scatter
        return without_constants(self.scale * np.sqrt(total / self.count), self.mean)


def _scale(gap: Float64, full: bool) -> Any:
    largest = np.abs(gap).max(axis=None if full else 0)
    return np.where(largest > 0, power_below(largest), 0.0)


def _divisor(scale: Float64) -> Any:
    return np.where(scale > 0, scale, 1.0)


@dataclass(frozen=True)
class Spectrum:
    """Principal directions of rows: the second moment of (rows - mean) / (deviation * scale) as V diag(values) V^T."""

    mean: Float64  # (d,), zero where the rows are not centred
    deviation: Float64  # (d,), 1 unless of a correlation
    scale: float  # a power of two, so that no square leaves float64
    values: Float64  # (r,), descending
    vectors: Float64  # (d, r), of each column the entry of largest magnitude positive

    @property
    def variances(self) -> Float64:
        """The values in squared units of the rows; infinite where float64 cannot hold them."""
        with np.errstate(over="ignore"):
            return self.values * self.scale * self.scale

    @property
    def rank(self) -> int:
        return int((self.values > RANK_CUTOFF**2 * self.values[0]).sum())


def spectrum(rows: Array, *, centered: bool = True, correlation: bool = False) -> Spectrum:
    """Of the covariance X_c^T X_c / (n - 1), the correlation, or, not centred, of X^T X."""
    n, d = rows.shape
    _enough(n, centered)
    mean = column_means("X", rows) if centered else np.zeros(d)
    deviation = column_deviations(rows, mean) * np.sqrt(n / (n - 1)) if correlation else np.ones(d)
    divisor = n - 1 if centered else 1
    scale, scatter = 0.0, np.zeros((0, 0) if n <= d else (d, d))
    for _, gap in row_blocks("X", rows):
        gap -= mean
        if correlation:
            gap /= deviation
        if not (largest := np.abs(gap).max()):
            continue
        larger = max(scale, float(power_below(largest)))
        if n > d:
            gap /= larger
            scatter *= (scale / larger) ** 2
            scatter += gap.T @ gap
        scale = larger
    _varies(scale, n, centered)
    if n > d:
        return _decomposed(mean, deviation, scale, scatter / divisor)
    # the covariance would be larger than the rows
    _, singular, vectors_t = np.linalg.svd(
        (np.asarray(rows, np.float64) - mean) / deviation / scale, full_matrices=False
    )
    return Spectrum(mean, deviation, scale, singular**2 / divisor, _signed(vectors_t.T))


def spectrum_of(found: Moments, *, centered: bool = True, correlation: bool = False) -> Spectrum:
    """The same of moments gathered before."""
    _enough(found.count, centered)
    mean, scale = found.mean, float(found.scale)
    if not centered:
        larger = max(scale, float(_scale(mean[None], full=True)))
        _varies(larger, found.count, centered)
        part = mean / larger
        scatter = found.scatter * (scale / larger) ** 2 + np.outer(part, part) * found.count
        return _decomposed(np.zeros(len(mean)), np.ones(len(mean)), larger, scatter)
    _varies(scale, found.count, centered)
    covariance = found.scatter / (found.count - 1)
    if not correlation:
        return _decomposed(mean, np.ones(len(mean)), scale, covariance)
    deviation = found.deviation * np.sqrt(found.count / (found.count - 1))
    share = scale / deviation
    return _decomposed(mean, deviation, 1.0, covariance * share * share[:, None])


def _enough(n: int, centered: bool) -> None:
    if n < 2 and centered:
        raise ValueError(f"X must have at least 2 rows to have a covariance, got {n}")


def _varies(scale: float, n: int, centered: bool) -> None:
    if scale == 0:
        what = "equal rows" if centered else "rows of zeros"
        raise ValueError(f"X must vary to have a principal direction, got {n} {what}")


def _decomposed(mean: Float64, deviation: Float64, scale: float, moment: Float64) -> Spectrum:
    values, vectors = np.linalg.eigh(moment)
    return Spectrum(mean, deviation, scale, values[::-1].clip(min=0), _signed(vectors[:, ::-1]))


def _signed(vectors: Float64) -> Float64:
    leading = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return vectors * np.where(leading < 0, -1.0, 1.0)
