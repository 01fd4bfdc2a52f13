"""From what a method found, in the units of its pairs, to a map in the caller's units."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocess import power_below
from ._map import TransferMap
from ._pairs import Pairs

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """Y ~ X W in units of the sizes of the pairs; with sized=False W is a mere rotation, X W in units of x_size."""

    W: Float64
    sized: bool = True
    bias: Float64 | None = None  # what takes mean to mean where left out
    details: dict[str, Any] = field(default_factory=dict)
    name: str | None = None  # the method's where left out


def map_of(pairs: Pairs, found: Solution, method: str) -> TransferMap:
    """The map that a method made of some pairs, with its rank and residual on them."""
    W = found.W
    with np.errstate(over="ignore", invalid="ignore"):
        M = W.T * (pairs.y_size / pairs.x_size if found.sized else 1.0)
    if not np.isfinite(M).all():
        raise ValueError(
            f"A and B must be of sizes whose ratio float64 holds, got {pairs.x_size:g} and {pairs.y_size:g}"
        )
    bias = pairs.y_mean - pairs.x_mean @ M.T if found.bias is None else found.bias
    return TransferMap(
        M,
        bias,
        found.name or method,
        len(pairs.x_basis.singular),
        _residual(pairs, found),
        found.details,
    )


def _residual(pairs: Pairs, found: Solution) -> float:
    """||Y - predicted|| / ||Y||, the predictions' mean apart from that of Y included."""
    X, Y, W = pairs.X, pairs.Y, found.W
    stretch = 1.0 if found.sized else pairs.x_size / pairs.y_size
    missed = _norm(Y - X @ W * stretch) if stretch <= 1 else stretch * _norm(Y / stretch - X @ W)
    if found.bias is not None:
        M = W.T * (pairs.y_size / pairs.x_size if found.sized else 1.0)
        with np.errstate(over="ignore"):
            aside = np.sqrt(pairs.total) * _norm((pairs.y_mean - pairs.x_mean @ M.T - found.bias) / pairs.y_size)
        missed = float(np.hypot(missed, aside))
    size = _norm(Y)
    return missed / size if size else 0.0


def _norm(values: Float64) -> float:
    """Frobenius, without squares that leave float64."""
    if not values.any():
        return 0.0
    size = float(power_below(np.abs(values).max()))
    return size * float(np.linalg.norm(values / size))
