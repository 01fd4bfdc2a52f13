"""Fusing modalities: early, by their embeddings; in between, by what they have in common; late, by scores or ranks.

Late fusion takes score matrices (higher is better, all of one shape) and gives a score matrix, or takes ranked lists
(`Matches`, as `match` gives) and gives `Matches`. A missing modality is a zero row (embeddings), a NaN score (matrices)
or a row without entries (lists): the weights of the others are renormalised. A new normaliser is a function and a line
in `NORMALIZERS`, a new rule of late fusion one in `METHODS`.
"""

from ._canonical import GCCA
from ._early import concatenate, hadamard
from ._late import fuse, reciprocal_rank_fusion, weighted_sum
from ._learning import learn_weights
from ._normalizers import NORMALIZERS
from ._rules import METHODS

__all__ = [
    "GCCA", "METHODS", "NORMALIZERS", "concatenate", "fuse", "hadamard", "learn_weights", "reciprocal_rank_fusion",
    "weighted_sum",
]  # fmt: skip
