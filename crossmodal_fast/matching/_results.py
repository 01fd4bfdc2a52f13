"""What a method returns: pairs with scores."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]


class Matches(NamedTuple):
    """Matched pairs: row `rows[p]` of X with row `columns[p]` of Y, by ascending row, best first within a row."""

    rows: Indices
    columns: Indices
    scores: Array

    @property
    def pairs(self) -> Indices:
        """(p, 2): rows and columns side by side."""
        return np.column_stack([self.rows, self.columns])


def pairs_of(columns: Indices, scores: Array) -> Matches:
    """Flattened, empty slots left out."""
    taken = columns >= 0
    rows = np.repeat(np.arange(len(columns), dtype=np.int64), columns.shape[1]).reshape(columns.shape)
    return Matches(rows[taken], columns[taken], scores[taken])
