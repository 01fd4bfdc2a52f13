"""Searches whose candidates come by a bound on what they are wanted for: rows that it does not settle go wider."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .._config import resolve
from ._results import Best, Float64, Indices
from ._source import Source

SPARE = 16  # candidates beyond 2 k, before more are asked for
WIDENED = 4  # times as many then
BLOCK_CANDIDATES = 1 << 21  # of some rows at a time, less where max_bytes says so
BYTES_PER_CANDIDATE = 64  # of what is made of them: partners, scores, values, their order

Valued = Callable[[Indices, int], tuple[Best, NDArray[np.bool_]]]


def wider(source: Source, k: int, valued: Valued, *, order: Indices | None = None, parts: int = 1) -> Best:
    """The k best columns of each row, in blocks.

    valued(rows (r,), width) looks at `width` candidates of some rows, ascending: the k best, (r, k) each, and which
    rows they settle. With all n columns they settle all. Rows that stand together in `order` share a block, of which
    there are at least `parts`.
    """
    m, n = source.shape
    most = max(1, min(BLOCK_CANDIDATES, resolve(source.control).max_bytes // BYTES_PER_CANDIDATE))
    partners, scores = np.empty((m, k), np.int64), np.empty((m, k))
    rows, width = np.arange(m) if order is None else order, min(n, 2 * k + SPARE)
    while len(rows):
        left = []
        for block in np.array_split(rows, min(len(rows), max(parts, -(-len(rows) * width // most)))):
            block = np.sort(block)
            (partners[block], scores[block]), settled = valued(block, width)
            left.append(block[~settled])
        rows = np.concatenate(left) if width < n else rows[:0]
        width = min(n, WIDENED * width)
    return Best(partners, scores)


def best_of(partners: Indices, values: Float64, k: int) -> Best:
    """The k largest values of each row, ties by lowest partner; empty slots (-1) last."""
    values = np.where(partners >= 0, values, -np.inf)
    hidden = np.where(partners >= 0, partners, np.iinfo(np.int64).max)
    order = np.lexsort((hidden, -values), axis=1)[:, :k]
    return Best(np.take_along_axis(partners, order, axis=1), np.take_along_axis(values, order, axis=1))
