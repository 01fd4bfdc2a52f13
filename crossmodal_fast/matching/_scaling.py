"""Corrections for hubs by the scale of a neighbourhood: distances d_ij against those around row i and around column j.

    local scaling    -d_ij^2 / (s_i s_j)      s: distance to the k-th nearest       Zelnik-Manor and Perona 2004
    NICDM            -d_ij / (m_i m_j)^1/2    m: mean distance of the k nearest     Schnitzer et al. 2012
    DisSimLocal      |x_i - c_i|^2 + |y_j - c_j|^2 - d_ij^2    c: centroid of the k nearest      Hara et al. 2016

The nearest are those of the other side. DisSimLocal is a bias. The first two order the columns of a row by d_ij / w_j,
w = s^1/2 or m^1/2, which no bias does, but one settles it: ordered by d_ij - c w_j, those with a ratio below c come
first. c is a ratio that a row's nearest reach already.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import whole
from ..preprocess import BLOCK_BYTES
from ._hubness import nearest
from ._neighbours import Sides, checked, chosen, retrieved
from ._results import Best, Float64, Indices, Matches, finite
from ._source import Source
from ._sources import Embeddings
from ._wider import best_of, wider

PARTS = 16  # of the rows, by the ratio that they are searched for, so that c is near the ratio of each
ROWS_OF_A_PART = 64  # at least
SLACK = 1e-12  # of c: ratios nearer to each other than the rounding of a biased search
SQUARED = ("euclidean", "sqeuclidean")

Size = Callable[[Float64], Float64]  # distances of the nearest (rows, k), inf in empty slots -> w (rows,)


def _of_last(distances: Float64) -> Float64:
    last = np.maximum(np.isfinite(distances).sum(axis=1) - 1, 0)
    return np.asarray(np.sqrt(distances[np.arange(len(distances)), last]))


def _of_mean(distances: Float64) -> Float64:
    there = np.isfinite(distances)
    total = np.where(there, distances, 0.0).sum(axis=1)
    return np.asarray(np.sqrt(total / np.maximum(there.sum(axis=1), 1)))


def local_scaling(source: Source, *, k: int = 1, neighbours: int = 10, retrieval: str = "forward") -> Matches:
    """Squared distances in units of those to the last of the nearest."""
    return _scaled(source, k, neighbours, retrieval, _of_last, power=2)


def nicdm(source: Source, *, k: int = 1, neighbours: int = 10, retrieval: str = "forward") -> Matches:
    """Distances in units of the mean ones to the nearest: non-iterative contextual dissimilarity."""
    return _scaled(source, k, neighbours, retrieval, _of_mean, power=1)


def dissim_local(source: Source, *, k: int = 1, neighbours: int = 10, retrieval: str = "forward") -> Matches:
    """Squared Euclidean distances less those to the centroids of the nearest."""
    checked(source, k, retrieval)
    neighbours = whole("neighbours", neighbours)
    plain = isinstance(source, Embeddings) and source.metric in SQUARED and source.kwargs is None
    if not plain:
        got = f"metric={source.metric!r}" if isinstance(source, Embeddings) else "ready scores"
        raise ValueError(
            "metric must be euclidean or sqeuclidean, without metric_kwargs, for the centroids of dissim_local, "
            f"got {got}"
        )
    assert isinstance(source, Embeddings)
    squared = source.by("sqeuclidean")
    near, _ = nearest(squared, neighbours)
    spread = _spread(squared.x, squared.y, near.rows), _spread(squared.y, squared.x, near.columns)
    return retrieved(squared, k, retrieval, spread)


def _spread(own: Any, others: Any, near: Best) -> Float64:
    """Squared distance of each row to the centroid of its partners; 0 where it has none."""
    found = np.zeros(own.shape[0])
    step = max(1, BLOCK_BYTES // (8 * own.shape[1] * (near.partners.shape[1] + 2)))
    for start in range(0, own.shape[0], step):
        partners = near.partners[start : start + step]
        there = partners >= 0
        rows = np.asarray(own[start : start + step]).astype(np.float64)
        nearby = np.asarray(others[np.maximum(partners, 0).ravel()]).astype(np.float64)
        gap = (nearby.reshape(*partners.shape, -1) - rows[:, None]) * there[:, :, None]
        mean = gap.sum(axis=1) / np.maximum(there.sum(axis=1), 1)[:, None]
        found[start : start + step] = np.square(mean).sum(axis=1)
    return found


def _scaled(source: Source, k: int, neighbours: int, retrieval: str, size: Size, power: int) -> Matches:
    k = checked(source, k, retrieval)
    near, _ = nearest(source, max(k, whole("neighbours", neighbours)))
    sides = [_distances(source, side) for side in (near.rows, near.columns)]
    own, other = (_sizes(name, side[:, :neighbours], size) for name, side in zip("XY", sides, strict=True))

    def found(one: Source, some: Best, distances: Float64, mine: Float64, theirs: Float64) -> Best:
        best = _least_ratios(one, Best(some.partners, distances), theirs, k)
        return Best(best.partners, -((best.scores / mine[:, None]) ** power))

    rows = found(source, near.rows, sides[0], own, other)
    if retrieval == "forward":
        return Sides(rows, rows).forward()
    return chosen(Sides(rows, found(source.turned(), near.columns, sides[1], other, own)), retrieval)


def _distances(source: Source, near: Best) -> Float64:
    """Of the nearest, inf in empty slots."""
    finite(near.scores[near.partners >= 0])
    found = source.constant - near.scores
    if (found < 0).any():
        raise ValueError(
            f"distances must be at least 0 to be scaled, got {found[found < 0][0]:g}; "
            "use a metric other than dot, or ready scores that are minus distances"
        )
    return found


def _sizes(name: str, distances: Float64, size: Size) -> Float64:
    """w of each row; 1 where it has no partner."""
    found = np.where(np.isfinite(distances[:, 0]), size(distances), 1.0)
    if not found.all():
        raise ValueError(
            f"neighbours must be more than the equal rows on the other side, got {distances.shape[1]} at distance 0 "
            f"of row {int(np.argmin(found))} of {name}"
        )
    return found


def _least_ratios(source: Source, near: Best, size: Float64, k: int) -> Best:
    """The k least d_ij / size_j of each row; near holds distances of at least k columns, or of all there are."""
    m, n = source.shape
    reached = np.sort(near.scores / size[near.partners], axis=1)[:, k - 1]
    limit = np.where(np.isfinite(reached), reached, 0.0)  # without so many partners: `near` has all there are
    least, most = size.min(), size.max()

    def valued(rows: Indices, width: int) -> tuple[Best, NDArray[np.bool_]]:
        c = float(limit[rows].max())
        part = source if len(rows) == m else source.part(rows, np.arange(n))
        found = part.by_rows(width, (np.zeros(len(rows)), c * size))
        ahead = source.constant - found.scores  # d_ij - c w_j, ascending
        ratio = np.maximum(ahead / size[found.partners] + c, 0.0)
        best = best_of(found.partners, -ratio, k)
        last = ahead[:, -1]
        others = c + last / np.where(last > 0, most, least)  # no column left out has a smaller ratio
        settled = (-best.scores[:, -1] < others - SLACK * c) | (found.partners[:, -1] < 0)
        return Best(best.partners, -best.scores), settled | (width == n)

    parts = min(PARTS, max(1, m // ROWS_OF_A_PART))
    return wider(source, k, valued, order=np.argsort(limit, kind="stable"), parts=parts)
