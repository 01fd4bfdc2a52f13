"""Corrections for hubs by what is near a row and near a column: r_i and r_j, means of the best scores.

    CSLS      2 s_ij - r_i - r_j                  k = 10    Conneau et al. 2018
    margin    s_ij, s_ij - b_ij or s_ij / b_ij    k = 4     b_ij = (r_i + r_j) / 2, Artetxe and Schwenk 2019
    NNN       s_ij - alpha r_j                    k = 128   r_j over a bank of queries, Chowdhury et al. 2024

All but the ratio are biases u_i + v_j: one pass finds the means, another the pairs, and nothing (m, n) is stored.
"""

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import number, one_of, whole
from ._known import Known
from ._neighbours import Sides, checked, chosen, retrieved, scaled
from ._results import Best, Float64, Indices, Matches, pairs_of
from ._source import Bias, Source

MARGINS = ("absolute", "distance", "ratio")


def means(found: Best) -> Float64:
    """Mean score of each owner's partners; 0 where there is none."""
    taken = found.partners >= 0
    total: Float64 = np.where(taken, found.scores, 0.0).sum(axis=1) / np.maximum(taken.sum(axis=1), 1)
    return total


def nearest(source: Source, neighbours: int) -> tuple[Sides, Known]:
    """The best columns of each row and the best rows of each column, all where there are fewer."""
    m, n = source.shape
    rows, columns, known = source.near((min(neighbours, n), min(neighbours, m)))
    return Sides(rows, columns), known


def densities(source: Source, neighbours: int) -> tuple[Float64, Float64]:
    """r_i (m,) and r_j (n,)."""
    near, _ = nearest(source, neighbours)
    return means(near.rows), means(near.columns)


def scaled_locally(source: Source, neighbours: int, k: int, retrieval: str) -> Matches:
    """Pairs by s_ij - r_i / 2 - r_j / 2."""
    near, known = nearest(source, neighbours)
    bias = -means(near.rows) / 2, -means(near.columns) / 2
    if retrieval == "forward":
        return pairs_of(source.again(k, bias, known))
    return retrieved(source, k, retrieval, bias)


def csls_shift(source: Source, *, neighbours: int = 10) -> Bias:
    """Half of what CSLS takes off a score."""
    r, c = densities(source, whole("neighbours", neighbours))
    return -r / 2, -c / 2


def csls(source: Source, *, k: int = 1, neighbours: int = 10, retrieval: str = "forward") -> Matches:
    """Cross-domain similarity local scaling."""
    checked(source, k, retrieval)
    return scaled(scaled_locally(source, whole("neighbours", neighbours), k, retrieval), 2.0)


def margin(
    source: Source, *, k: int = 1, margin: str = "ratio", neighbours: int = 4, retrieval: str = "max"
) -> Matches:
    """Margins of Artetxe and Schwenk."""
    one_of("margin", margin, MARGINS)
    checked(source, k, retrieval)
    if margin == "absolute":
        whole("neighbours", neighbours)
        return retrieved(source, k, retrieval)
    if margin == "distance":
        return scaled_locally(source, whole("neighbours", neighbours), k, retrieval)
    near, _ = nearest(source, whole("neighbours", neighbours))
    r, c = means(near.rows), means(near.columns)
    if k > neighbours:
        raise ValueError(f"k must be at most {neighbours}, the neighbours whose ratios are compared, got {k}")
    return chosen(Sides(_ratios(near.rows, r, c, k), _ratios(near.columns, c, r, k)), retrieval)


def _ratios(found: Best, own: Float64, other: Float64, k: int) -> Best:
    """The k best of the partners by ratio, ties by lowest partner."""
    base = (own[:, None] + other[found.partners]) / 2
    if not (base > 0)[found.partners >= 0].all():
        raise ValueError(
            "margin must be 'absolute' or 'distance' where a mean of the nearest scores is not above 0, got 'ratio'"
        )
    ratio = np.where(found.partners >= 0, found.scores / np.where(base > 0, base, 1.0), -np.inf)
    order: Indices = np.lexsort((found.partners, -ratio), axis=1)[:, :k]
    return Best(np.take_along_axis(found.partners, order, axis=1), np.take_along_axis(ratio, order, axis=1))


def nnn_shift(source: Source, *, bank: ArrayLike | None = None, alpha: float = 0.75, neighbours: int = 128) -> Bias:
    """What NNN takes off a score."""
    alpha, neighbours = number("alpha", alpha), whole("neighbours", neighbours)
    if bank is None:
        raise ValueError("bank must be given with method='nnn', got None; bank=X takes the queries themselves")
    queries = source.of_bank(bank)
    near = queries.by_both((1, min(neighbours, queries.shape[0])))[1]
    return np.zeros(source.shape[0]), -alpha * means(near)


def nnn(
    source: Source, *, bank: ArrayLike | None = None, k: int = 1, alpha: float = 0.75, neighbours: int = 128,
    retrieval: str = "forward",
) -> Matches:  # fmt: skip
    """Nearest neighbour normalisation by a bank of queries."""
    checked(source, k, retrieval)
    return retrieved(source, k, retrieval, nnn_shift(source, bank=bank, alpha=alpha, neighbours=neighbours))
