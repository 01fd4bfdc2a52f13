"""Paired rows, checked and reduced to few rows of the same second moments, which is all that most methods look at.

One pass of QR over the rows turns any number of pairs into at most d_in + d_out equivalent ones, so memory stays
bounded and nothing is squared before the small decompositions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import numbers_of, rows_of
from ..preprocess import RANK_CUTOFF, column_means, power_below

ROWS = 4096  # at a time, or more where there are many columns
WELL = 1e5  # trace of the inverse Gram matrix of a row: 1e-10 of the smallest singular value is lost at most

Array = NDArray[Any]
Float64 = NDArray[np.float64]


class Rows(NamedTuple):
    """The pairs themselves, as the caller gave them; weight (n,) float64."""

    source: Array
    target: Array
    weight: Float64


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows X (r, d_in) and Y (r, d_out) with the X^T X, X^T Y and Y^T Y of all centred, weighted pairs.

    They are in units of `x_size` and `y_size`, powers of two, so that no square leaves float64. The means are zeros
    where no intercept is wanted.
    """

    X: Float64
    Y: Float64
    x_size: float
    y_size: float
    x_mean: Float64
    y_mean: Float64
    total: float  # sum of weights
    count: int  # of pairs with a weight above 0
    centered: bool
    rows: Rows | None = None

    @cached_property
    def x_basis(self) -> "Basis":
        """Of X; the SVD is made once."""
        return basis_of(self.X)

    @cached_property
    def y_basis(self) -> "Basis":
        """Of Y."""
        return basis_of(self.Y)

    @property
    def shape(self) -> tuple[int, int]:
        """(d_in, d_out)."""
        return self.X.shape[1], self.Y.shape[1]

    @property
    def degrees(self) -> float:
        """What turns X^T X into a covariance: n - 1 for weights of 1. Weights are relative, those of their mean 1."""
        return self.total * (self.count - 1) / self.count


class Basis(NamedTuple):
    """A thin SVD, rows = left diag(singular) right^T, without the directions that are rounding noise."""

    left: Float64  # (r, k)
    singular: Float64  # (k,), descending
    right: Float64  # (d, k)


def basis_of(rows: Float64) -> Basis:
    left, singular, right_t = np.linalg.svd(rows, full_matrices=False)
    kept = singular > RANK_CUTOFF * singular[0]
    return Basis(left[:, kept], singular[kept], right_t[kept].T)


def paired_rows(A: ArrayLike, B: ArrayLike, sample_weight: ArrayLike | None = None) -> Rows:
    """The arguments of everything that is fitted on pairs, checked but for NaN."""
    source, target = rows_of("A", A), rows_of("B", B)
    if len(source) != len(target):
        raise ValueError(f"B must have one row for each of the {len(source)} rows of A, got {len(target)}")
    return Rows(source, target, _weights(sample_weight, len(source)))


def gathered(rows: Rows, center: bool = True) -> Pairs:
    """Two passes over the rows, about 2 n (d_in + d_out)^2 flops; some 10 (d_in + d_out)^2 float64 of memory."""
    source, target, weight = rows
    x_mean, y_mean = column_means("A", source, weight), column_means("B", target, weight)
    if not center:
        x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
    X, Y = _compressed(rows, x_mean, y_mean)
    return sized(X, Y, x_mean, y_mean, float(weight.sum()), int((weight > 0).sum()), center, rows)


def sized(
    X: Float64, Y: Float64, x_mean: Float64, y_mean: Float64, total: float, count: int, center: bool,
    rows: Rows | None = None,
) -> Pairs:  # fmt: skip
    """Pairs of rows that stand for all, brought to sizes whose squares float64 holds."""
    x_size, y_size = (float(power_below(np.abs(side).max())) if side.any() else 1.0 for side in (X, Y))
    return Pairs(X / x_size, Y / y_size, x_size, y_size, x_mean, y_mean, total, count, center, rows)


def merged(parts: Sequence[Pairs]) -> Pairs:
    """All parts as one; where they are centred, by one more row each for how far their means lie apart (Chan 1979)."""
    shares = np.array([part.total for part in parts])
    total = float(shares.sum())
    x_mean = shares / total @ np.stack([part.x_mean for part in parts])
    y_mean = shares / total @ np.stack([part.y_mean for part in parts])
    x_size, y_size = max(part.x_size for part in parts), max(part.y_size for part in parts)
    joint = []
    for part in parts:
        root = np.sqrt(part.total)
        X = np.vstack([part.X * (part.x_size / x_size), root * ((part.x_mean - x_mean) / x_size)])
        Y = np.vstack([part.Y * (part.y_size / y_size), root * ((part.y_mean - y_mean) / y_size)])
        joint.append(np.hstack([X, Y]))
    X, Y = np.split(np.linalg.qr(np.vstack(joint), mode="r"), [len(x_mean)], axis=1)
    count = sum(part.count for part in parts)
    found = sized(X, Y, x_mean, y_mean, total, count, parts[0].centered)
    return replace(found, x_size=found.x_size * x_size, y_size=found.y_size * y_size)


def informative(pairs: Pairs, name: str = "A") -> Pairs:
    """`pairs`, if that side holds anything to learn from."""
    if not (pairs.X if name == "A" else pairs.Y).any():
        rule, kind = ("rows that differ", "equal") if pairs.centered else ("a row other than zero", "zero")
        got = f"{pairs.count} {kind} rows" if pairs.count > 1 else "1 row"
        raise ValueError(f"{name} must hold {rule}, got {got}")
    return pairs


def _weights(sample_weight: ArrayLike | None, count: int) -> Float64:
    if sample_weight is None:
        return np.ones(count)
    weight = numbers_of("sample_weight", sample_weight)
    if weight.shape != (count,):
        raise ValueError(f"sample_weight must have shape ({count},), one for each pair, got {weight.shape}")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not (np.isfinite(total) and total > 0 and (weight >= 0).all()):
        raise ValueError(
            f"sample_weight must be at least 0 with a finite sum above 0, got {weight.min()} to {weight.max()}"
        )
    return weight


def _compressed(rows: Rows, x_mean: Float64, y_mean: Float64) -> tuple[Float64, Float64]:
    """R of a running QR."""
    source, target, weight = rows
    d_in, d_out = source.shape[1], target.shape[1]
    triangle: Float64 = np.empty((0, d_in + d_out))
    step = max(4 * (d_in + d_out), ROWS)  # rows: 2 to 4 widths at a time cost within 10 % of the best
    for start in range(0, len(source), step):
        taken = slice(start, start + step)
        root = np.sqrt(weight[taken])[:, None]
        block = np.empty((len(triangle) + len(root), d_in + d_out))
        block[: len(triangle)], new = triangle, block[len(triangle) :]
        np.subtract(np.asarray(source[taken], dtype=np.float64), x_mean, out=new[:, :d_in])
        np.subtract(np.asarray(target[taken], dtype=np.float64), y_mean, out=new[:, d_in:])
        new *= root
        triangle = _triangle(block)
    return triangle[:, :d_in], triangle[:, d_in:]


def _triangle(rows: Float64) -> Float64:
    """R of a QR; of columns far from dependent by Cholesky, a sixth of the time at 4000 x 192. `rows` are spoiled.

    The Gram matrix squares the condition: rounding moves singular values by WELL of its last bits at most.
    """
    largest = np.maximum(rows.max(axis=0), -rows.min(axis=0))
    size = np.where(largest > 0, power_below(np.where(largest > 0, largest, 1.0)), 1.0)
    rows /= size
    if len(rows) > rows.shape[1] and largest.all():
        try:
            factor = np.linalg.cholesky(rows.T @ rows / len(rows)).T
            if np.square(np.linalg.inv(factor)).sum() < WELL:
                return cast(Float64, factor * (np.sqrt(len(rows)) * size))
        except np.linalg.LinAlgError:  # dependent columns
            pass
    return cast(Float64, np.linalg.qr(rows, mode="r") * size)
