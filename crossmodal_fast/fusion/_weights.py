"""Weights of modalities."""

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import brief, numbers_of
from ._normalizers import Float64


def weights_of(weights: ArrayLike | None, count: int) -> Float64:
    if count == 0:
        raise ValueError("at least one modality must be given to be fused, got none")
    weight = np.ones(count) if weights is None else numbers_of("weights", weights)
    with np.errstate(over="ignore"):
        sound = weight.shape == (count,) and (weight >= 0).all() and 0 < weight.sum() < np.inf
    if not sound:
        raise ValueError(
            f"weights must be {count} finite numbers, at least 0 and not all 0, one for each modality, "
            f"got {brief(weights)}"
        )
    return weight
