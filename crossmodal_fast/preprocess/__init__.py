"""Preprocessing of embeddings, sounds and texts: fit on the training rows, apply anywhere.

A step has `fit`, `transform`, `fit_transform` and, where one exists, `inverse_transform`; a `Chain` is a list of steps
that behaves as one. Where the statistic allows, `partial_fit` takes training rows in parts and `merge` what another
step has gathered. Everything is computed in float64, block by block, and comes back in float32 for the dtypes that
float32 holds without loss (float16, bfloat16, float32, int8, uint8, bool), else in float64. A new step is a class with
`_fit` and `_forward` (and `_backward`), and a line in `STEPS`.

    each row       Normalize, CenterRows, StandardizeRows, MinMaxRows, Hellinger, Truncate
    each column    Center, Standardize, MinMax, UnitColumns
    directions     PCA, Whiten, AllButTheTop, RandomProjection
    other rows     Relative
    two sides      GapShift
    sounds         LogMel, with `mel_filters`, `mel_power` and `stretched`
    texts          HashedText
"""

from ._audio import LogMel, mel_filters, mel_power, stretched
from ._chain import STEPS, Chain
from ._columns import Center, MinMax, Standardize, UnitColumns
from ._gap import GapShift
from ._linear import PCA, AllButTheTop
from ._moments import RANK_CUTOFF as RANK_CUTOFF
from ._moments import column_means as column_means
from ._relative import RandomProjection, Relative
from ._rows import BLOCK_BYTES as BLOCK_BYTES
from ._rows import mapped as mapped
from ._rows import power_below as power_below
from ._rows import result_dtype as result_dtype
from ._rows import row_blocks as row_blocks
from ._step import Step
from ._text import HashedText
from ._unit import CenterRows, Hellinger, MinMaxRows, Normalize, StandardizeRows, Truncate, normalize
from ._unit import unit_rows as unit_rows
from ._whitening import Whiten

__all__ = [
    "PCA", "STEPS", "AllButTheTop", "Center", "CenterRows", "Chain", "GapShift", "HashedText", "Hellinger", "LogMel",
    "MinMax", "MinMaxRows", "Normalize", "RandomProjection", "Relative", "Standardize", "StandardizeRows", "Step",
    "Truncate", "UnitColumns", "Whiten", "mel_filters", "mel_power", "normalize", "stretched",
]  # fmt: skip
