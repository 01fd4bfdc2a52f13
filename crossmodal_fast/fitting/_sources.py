"""What may be fitted: rows side by side, or the statistics of such."""

from typing import Any

from numpy.typing import ArrayLike

from .._arguments import brief
from ._pairs import Pairs, gathered, paired_rows
from ._statistics import TransferStatistics


def pairs_of(A: Any, B: ArrayLike | None, center: bool, sample_weight: ArrayLike | None = None) -> Pairs:
    """Second moments of rows A and B, or of the statistics A."""
    if not isinstance(A, TransferStatistics):
        if B is None:
            raise ValueError("B must be given unless A is TransferStatistics, got None")
        return gathered(paired_rows(A, B, sample_weight), center)
    for name, value in (("B", B), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"{name} must be left out where A is TransferStatistics, got {brief(value)}")
    return A.pairs(center)
