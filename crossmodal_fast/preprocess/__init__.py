"""Preprocessing of embeddings: unit rows, centre, z-score, whiten, PCA. Fit on the training rows, apply anywhere.

A step has `fit`, `transform`, `fit_transform` and, where one exists, `inverse_transform`; a `Chain` is a list of steps
that behaves as one. Everything is computed in float64, block by block, and comes back in float32 for the dtypes that
float32 holds without loss (float16, bfloat16, float32, int8, uint8, bool), else in float64. A new step is a class with
`_fit` and `_forward` (and `_backward`), and a line in `STEPS`.
"""

from ._chain import STEPS, Chain
from ._columns import Center, Standardize
from ._linear import PCA, Whiten
from ._moments import RANK_CUTOFF as RANK_CUTOFF
from ._moments import column_means as column_means
from ._rows import power_below as power_below
from ._rows import result_dtype as result_dtype
from ._rows import row_blocks as row_blocks
from ._step import Step
from ._unit import Normalize, normalize
from ._unit import unit_rows as unit_rows

__all__ = ["PCA", "STEPS", "Center", "Chain", "Normalize", "Standardize", "Step", "Whiten", "normalize"]
