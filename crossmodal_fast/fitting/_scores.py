"""How well predictions find their targets."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]


def reciprocal_ranks(predictions: ArrayLike, targets: Any, metric: str) -> Float64:
    """1 / rank of target i among all targets, searched by prediction i: (n,); ties at the mean of their ranks."""
    from .._operations import ranks

    return np.asarray(1.0 / ranks(predictions, targets, np.arange(len(targets)), metric, ties="mean"))


def mean_reciprocal_rank(predictions: ArrayLike, targets: Any, metric: str) -> float:
    """Their mean."""
    return float(reciprocal_ranks(predictions, targets, metric).mean())
