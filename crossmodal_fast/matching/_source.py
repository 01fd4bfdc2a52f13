"""What a method asks for scores: they come from embeddings, or from a ready score matrix. Higher is better, float64.

A method never sees more of the (m, n) scores than their best, or their log-sum-exps: with biases (u, v) of its own,
every score is s_ij + (u_i + v_j).
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .._config import Control
from ._known import Known
from ._results import Array, Best, Float64, Indices

SIMILARITIES = ("cosine", "correlation")  # distances that are 1 - similarity

Bias = tuple[Float64, Float64]


def scores_of(distances: Array, metric: str) -> Array:
    """Distances (m, k) as `topk` returns them, turned so that higher is better; in place.

    1 - distance for cosine and correlation, the value itself for dot, else minus the distance. Cost: one pass.

    Examples
    --------
    >>> scores_of(np.array([[0.25, 1.0]]), "cosine")
    array([[0.75, 0.  ]])
    """
    if metric == "dot":
        return distances
    if metric in SIMILARITIES:
        return np.subtract(1, distances, out=distances)
    return np.negative(distances, out=distances)


class Source(Protocol):
    """Scores of m rows with n columns; `constant` less a score is the cost of a pair, a distance where there is one."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    constant: float
    control: Control
    own_excluded: bool  # row i is no partner of column i

    def checked(self, k: Any, both: bool) -> int:
        """k, if there are so many columns and, for both directions, rows."""
        ...

    def by_rows(self, k: int, bias: Bias | None = None) -> Best: ...

    def by_both(self, k: tuple[int, int], bias: Bias | None = None) -> tuple[Best, Best]:
        """The best columns of each row and the best rows of each column, one pass."""
        ...

    def near(self, k: tuple[int, int]) -> tuple[Best, Best, Known]:
        """`by_both` without biases, and what it knows of the rows."""
        ...

    def again(self, k: int, bias: Bias, known: Known) -> Best:
        """`by_rows` with biases, for rows that were searched without."""
        ...

    def log_sums(self, beta: float, axis: str, bias: Bias | None = None) -> Any:
        """As `logsumexp` has them: biases are added to beta * score."""
        ...

    def of_bank(self, bank: ArrayLike) -> "Source":
        """The scores of other rows with the same columns."""
        ...

    def part(self, rows: Indices, columns: Indices) -> "Source":
        """Some rows with some columns, ascending."""
        ...

    def at_least(self, rows: Indices, columns: Indices) -> Indices:
        """How many columns of row rows[p] score as well as columns[p] or better, itself included: (p,)."""
        ...

    def tiles(self) -> Iterator[tuple[slice, slice, Float64]]:
        """All scores, some rows with some columns at a time, within the accuracy of `pairwise_distances`."""
        ...

    def turned(self) -> "Source":
        """The same scores, rows and columns changed about."""
        ...

    def dense(self, dtype: npt.DTypeLike = np.float64) -> Array:
        """All scores, within the accuracy of `pairwise_distances`."""
        ...

    def exact(self) -> Float64:
        """All scores, to the bit: those of equal rows are equal."""
        ...


class Part:
    """Some rows, and of them some columns, of a store, read when they are asked for."""

    def __init__(self, store: Any, rows: Indices, columns: Indices | None = None) -> None:
        self.store, self.rows, self.columns = store, rows, columns
        self.shape = (len(rows), store.shape[1] if columns is None else len(columns))
        self.dtype = store.dtype

    def __getitem__(self, part: Any) -> Array:
        found = np.asarray(self.store[self.rows[part]])
        return found if self.columns is None else found[:, self.columns]


def part_of(store: Any, rows: Indices) -> Any:
    """Some rows, ascending; the store itself where these are all."""
    return store if len(rows) == store.shape[0] else Part(store, rows)


def filled(source: Source, best: Best, rows: Indices, k: int, bias: Bias) -> Best:
    """The best of all rows, some of them searched."""
    if len(rows) == source.shape[0]:
        return source.by_rows(k, bias)
    part = source.part(rows, np.arange(source.shape[1])).by_rows(k, (bias[0][rows], bias[1]))
    for whole, found in zip(best, part, strict=True):
        whole[rows] = found
    return best
