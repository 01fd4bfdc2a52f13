"""What a method returns: pairs with scores."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import given_back, taken

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]


class Matches(NamedTuple):
    """Matched pairs, (p,) each: row `rows[p]` of X with row `columns[p]` of Y, by ascending row, best first in a row.

    Examples
    --------
    >>> Matches(np.array([0, 1]), np.array([1, 0]), np.array([0.9, 0.8])).pairs
    array([[0, 1],
           [1, 0]])
    """

    rows: Any
    columns: Any
    scores: Any

    @property
    def pairs(self) -> Any:
        """(p, 2): rows and columns side by side."""
        sides = [np.asarray(taken(name, side)) for name, side in zip(self._fields, self[:2], strict=False)]
        return given_back(self.rows, np.column_stack(sides))


class Best(NamedTuple):
    """The best partners of each owner, best first, (owners, k) each; partner -1 marks an empty slot."""

    partners: Indices
    scores: Float64


def finite(values: Float64) -> Float64:
    """Numbers that a method computes with, checked: NaN and overflow leave it nothing to decide by."""
    good = np.isfinite(values)
    if not good.all():
        raise ValueError(f"scores must be finite for a method that computes with them, got {values[~good][0]}")
    return values


def with_scores(found: Matches, scores: Array) -> Matches:
    """The same pairs, and whatever else a method returns, with other scores."""
    changed = found._replace(scores=scores)
    for name, value in getattr(found, "__dict__", {}).items():
        setattr(changed, name, value)
    return changed


def pairs_of(found: Best) -> Matches:
    """Flattened, empty slots left out."""
    partners, scores = found
    taken = partners >= 0
    owners = np.repeat(np.arange(len(partners), dtype=np.int64), partners.shape[1]).reshape(partners.shape)
    return Matches(owners[taken], partners[taken], scores[taken])


def sorted_pairs(rows: Indices, columns: Indices, scores: Float64) -> Matches:
    """Pairs in the order of `Matches`, equal scores of a row by lowest column."""
    order = np.lexsort((columns, -scores, rows))
    return Matches(rows[order], columns[order], scores[order])
