"""What shards found, put together: by (key, position in the whole), NaN last. The key is rounded once, at the end."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .._search import TopK, ranked
from ..kernels.tiles import metrics
from ..kernels.tiles.shortlist import foremost
from ._shard import Found, Inside, Way

Array = npt.NDArray[Any]


def best(k: int, *found: Found) -> Found:
    """The k best of several shards; fewer columns where they hold fewer."""
    return Found(*foremost(*(np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)), k))


def limit_of(k: int, found: Found) -> Array:
    """(m,) the key that k rows are not above; +inf where there are fewer."""
    if found.key.shape[1] < k:
        return np.full(len(found.key), np.inf)
    last, full = found.key[:, k - 1], found.position[:, k - 1] >= 0
    return np.where(full & ~np.isnan(last), last, np.inf)


def finished(found: Found, k: int, way: Way, dtype: Any, biased: bool) -> tuple[Array, Array]:
    """Distances and indices (m, k), empty slots filled."""
    (m, w), metric = found.key.shape, way.compared(1)
    key, index = np.full((m, k), np.inf), np.full((m, k), -1, np.int64)
    key[:, :w], index[:, :w] = np.where(found.position < 0, np.inf, found.key), found.position
    return TopK(metrics.returned(metric, key, dtype, biased), index)


def gathered(*found: Inside) -> Inside:
    """The pairs of several shards, each row in order."""
    row = np.concatenate([np.repeat(np.arange(len(part.counts)), part.counts) for part in found])
    key, index = (np.concatenate([part[at] for part in found]) for at in (1, 2))
    order = np.lexsort((index, key, row))
    counts = np.sum([part.counts for part in found], axis=0)
    return Inside(counts, key[order], index[order])


def listed(found: Inside, way: Way, dtype: Any, biased: bool) -> tuple[Array, Array, Array]:
    """Counts (m,), indices and distances (r,)."""
    return found.counts, found.position, metrics.returned(way.compared(1), found.key, dtype, biased)


def summed(*counts: Array) -> Array:
    total: Array = np.sum(counts, axis=0)
    return total


def placed(size: int, where: list[Array], found: list[Array]) -> Array:
    """Numbers of several shards at their places."""
    whole = np.empty(size)
    for at, part in zip(where, found, strict=True):
        whole[at] = part
    return whole


def rank(ties: str, counts: Array) -> Array:
    better, before, equal = counts
    return ranked(ties, (better, before, equal))
