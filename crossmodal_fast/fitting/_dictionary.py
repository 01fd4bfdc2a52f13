"""Pairs induced from two sets of rows in one space, by CSLS in both directions."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import rows_of, whole
from ..preprocess import unit_rows

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

NEIGHBOURS = 10  # whose mean similarity CSLS takes for the density around a row (Conneau et al. 2018)


class Dictionary(NamedTuple):
    """Row `rows[p]` of X with row `columns[p]` of Y, (p,) ascending, and how alike the pairs are on average.

    Examples
    --------
    >>> induced([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]).similarity
    1.0
    """

    rows: Indices
    columns: Indices
    similarity: float  # mean cosine: the criterion by which MUSE selects without supervision


def induced(X: ArrayLike, Y: ArrayLike, neighbours: int = NEIGHBOURS) -> Dictionary:
    """Pairs of two sets in one space: the union of each row's best column and each column's best row by CSLS.

    Parameters
    ----------
    X, Y : array_like, shape (m, d), (n, d)
    neighbours : int, default 10
        Over which r, the mean cosine of a row to its nearest on the other side, is taken in CSLS = 2 cos - r_i - r_j.

    Returns
    -------
    Dictionary
        rows (p,) and columns (p,) int64, ascending; similarity, the mean cosine of the pairs.

    Notes
    -----
    Exact, two passes of `topk_both`: the largest CSLS is the least cosine distance plus r_i / 2 + r_j / 2, the bias of
    the second pass. Nothing m x n is kept. Source: Conneau et al. 2018.

    Examples
    --------
    >>> induced([[1.0, 0.0], [0.0, 1.0]], [[0.1, 1.0], [1.0, 0.2]]).columns
    array([1, 0])
    """
    from .._operations import topk_both
    from ..matching import correction

    X, Y = rows_of("X", X), rows_of("Y", Y)
    bias = correction(X, Y, "csls", neighbours=whole("neighbours", neighbours))
    best = topk_both(X, Y, 1, "cosine", bias=bias)
    columns, rows = (found.indices[:, 0] for found in best)
    pairs = np.unique(np.concatenate([np.arange(len(X)) * len(Y) + columns, rows * len(Y) + np.arange(len(Y))]))
    rows, columns = np.divmod(pairs, len(Y))
    return Dictionary(rows, columns, float(cosines(X[rows], Y[columns]).mean()))


def cosines(X: Array, Y: Array) -> Float64:
    """Of row i with row i: (n,); 0 for a row of zeros."""
    x, y = (unit_rows(name, np.asarray(side, np.float64)) for name, side in (("X", X), ("Y", Y)))
    found: Float64 = np.einsum("ij,ij->i", x, y)
    return found
