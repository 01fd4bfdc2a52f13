"""Matching two modalities: pairs of rows with their scores, from embeddings or from a ready score matrix.

A method asks its `_Source` for the best columns of each row, or for those and the best rows of each column, and keeps
some of the pairs. A new method is one such function and a line in `METHODS`.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _validate
from ._arguments import one_of, rows_of, whole
from ._config import Control, resolve
from .preprocess import result_dtype

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

BLOCK_BYTES = 1 << 25  # of workspace at a time, less where max_bytes says so: 32 MiB
BYTES_PER_SCORE = 32  # of workspace while a block is searched: a float64 copy, its partition, an int32 sum, masks
SIMILARITIES = ("cosine", "correlation")  # distances that are 1 - similarity


def scores_of(distances: Array, metric: str) -> Array:
    """Distances as `topk` returns them, turned so that higher is better; in place."""
    if metric == "dot":
        return distances
    if metric in SIMILARITIES:
        return np.subtract(1, distances, out=distances)
    return np.negative(distances, out=distances)


class Matches(NamedTuple):
    """Matched pairs: row `rows[p]` of X with row `columns[p]` of Y, by ascending row, best first within a row."""

    rows: Indices
    columns: Indices
    scores: Array

    @property
    def pairs(self) -> Indices:
        """(p, 2): rows and columns side by side."""
        return np.column_stack([self.rows, self.columns])


class _Source(Protocol):
    """Where scores come from. (columns, scores), each (m, k), best first; column -1 marks an empty slot."""

    def by_rows(self, k: int) -> tuple[Indices, Array]: ...

    def by_both(self, k: int) -> tuple[tuple[Indices, Array], Indices]:
        """`by_rows`, and the k best rows of each column, (n, k)."""
        ...


class _Embeddings:
    def __init__(self, X: ArrayLike, Y: ArrayLike, metric: str, keywords: dict[str, Any]) -> None:
        self.x, self.y, self.metric, self.keywords = X, Y, metric, keywords

    def by_rows(self, k: int) -> tuple[Indices, Array]:
        from ._operations import topk

        distances, columns = topk(self.x, self.y, k, self.metric, **self.keywords)[:2]
        return np.asarray(columns), scores_of(np.asarray(distances), self.metric)

    def by_both(self, k: int) -> tuple[tuple[Indices, Array], Indices]:
        from ._operations import topk_both

        of_rows, of_columns = topk_both(self.x, self.y, k, self.metric, **self.keywords)[:2]
        scores = scores_of(np.asarray(of_rows[0]), self.metric)
        return (np.asarray(of_rows[1]), scores), np.asarray(of_columns[1])


class _Precomputed:
    def __init__(self, scores: Array, max_bytes: int) -> None:
        self.scores = scores
        width = BYTES_PER_SCORE * scores.shape[1]
        if max_bytes < width:
            raise ValueError(
                f"max_bytes must be at least {width} (one row of {scores.shape[1]} scores), got {max_bytes}"
            )
        self.step = max(1, min(BLOCK_BYTES, max_bytes) // width)

    def _blocks(self) -> Iterator[tuple[int, Float64]]:
        for start in range(0, len(self.scores), self.step):
            block = np.asarray(self.scores[start : start + self.step])
            finite = np.isfinite(block)
            if not finite.all():
                row = int(np.argmin(finite.all(axis=1)))
                value = block[row][~finite[row]][0]
                raise ValueError(
                    f"X must hold finite scores, got {value} in row {start + row}; rule a pair out by a low one"
                )
            yield start, block.astype(np.float64, copy=False)

    def _check(self, k: int, most: int, side: str) -> None:
        if not 1 <= whole("k", k, least=None) <= most:
            raise ValueError(f"k must be in 1..{most} (the {side} of X), got {k}")

    def by_rows(self, k: int) -> tuple[Indices, Array]:
        self._check(k, self.scores.shape[1], "columns")
        return self._joined([_best(block, k) for _, block in self._blocks()])

    def by_both(self, k: int) -> tuple[tuple[Indices, Array], Indices]:
        self._check(k, min(self.scores.shape), "shorter side")
        of_rows = []
        rows, values = np.empty((self.scores.shape[1], 0), np.int64), np.empty((self.scores.shape[1], 0))
        for start, block in self._blocks():
            of_rows.append(_best(block, k))
            more_rows, more_values = _best(block.T, min(k, len(block)))
            rows, values = np.hstack([rows, more_rows + start]), np.hstack([values, more_values])
            order = np.argsort(-values, axis=1, kind="stable")[
                :, :k
            ]  # equal scores: earlier, so lower, rows stay first
            rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
        return self._joined(of_rows), rows

    def _joined(self, found: list[tuple[Indices, Float64]]) -> tuple[Indices, Array]:
        columns, values = (np.concatenate(part) for part in zip(*found, strict=True))
        return columns, values.astype(result_dtype(self.scores.dtype))


def _best(block: Float64, k: int) -> tuple[Indices, Float64]:
    """The k largest of each row, largest first, ties by lowest column: columns and values, (rows, k)."""
    n = block.shape[1]
    kth = np.partition(block, n - k, axis=1)[:, n - k, None]
    above, equal = block > kth, block == kth
    room = k - above.sum(axis=1, keepdims=True)
    equal &= equal.cumsum(axis=1, dtype=np.int32) <= room
    columns = np.nonzero(above | equal)[1].reshape(-1, k)
    values = np.take_along_axis(block, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _pairs(columns: Indices, scores: Array) -> Matches:
    """Flattened, empty slots left out."""
    taken = columns >= 0
    rows = np.repeat(np.arange(len(columns), dtype=np.int64), columns.shape[1]).reshape(columns.shape)
    return Matches(rows[taken], columns[taken], scores[taken])


def _topk(source: _Source, k: int) -> Matches:
    return _pairs(*source.by_rows(k))


def _mutual(source: _Source, k: int) -> Matches:
    of_rows, rows = source.by_both(k)
    found = _pairs(*of_rows)
    back = _pairs(rows, rows)  # (column, one of its best rows)
    n = len(rows)
    both = np.isin(found.rows * n + found.columns, back.columns * n + back.rows)
    return Matches(*(part[both] for part in found))


METHODS: dict[str, Callable[[_Source, int], Matches]] = {"topk": _topk, "mutual": _mutual}


def match(
    X: ArrayLike,
    Y: ArrayLike | None = None,
    method: str = "topk",
    *,
    k: int = 1,
    metric: str = "cosine",
    **keywords: Any,
) -> Matches:
    """Pairs of rows that belong together, as a flat list with scores.

    Parameters
    ----------
    X : array_like, shape (m, d), or (m, n) with metric="precomputed"
        Queries; or ready scores of any real dtype, finite, higher is better, read in blocks so that a memory map may be
        larger than memory.
    Y : array_like, shape (n, d)
        Gallery; None with metric="precomputed".
    method : {"topk", "mutual"}, default "topk"
        "topk": the k best columns of each row. "mutual": of these, the pairs where the row is also among the k best of
        its column (k=1: mutual nearest neighbours, each row and column at most once).
    k : int, default 1
    metric : str, default "cosine"
        As in `topk`, or "precomputed".
    **keywords
        Those of `topk` (mask, exclude, bias, metric_kwargs, dtype, backend, max_bytes, ..); with metric="precomputed"
        the control arguments, of which max_bytes counts.

    Returns
    -------
    Matches
        rows (p,) int64 and columns (p,) int64, ascending rows, best first within a row, ties by lowest column; scores
        (p,), always higher is better: the similarity for cosine, correlation and dot (1 - distance for the first two),
        minus the distance for other metrics, the scores themselves for precomputed.

    Raises
    ------
    ValueError
        An unknown method, k out of range, wrong shapes, non-finite values.
    TypeError
        A keyword that does not apply.

    Notes
    -----
    Exact, as `topk` and `topk_both`; cost is theirs, one pass for both directions. Precomputed: one pass over X.

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> match([[0.9, 0.1], [0.8, 0.7]], method="mutual", metric="precomputed").pairs
    array([[0, 0]])
    """
    return METHODS[one_of("method", method, METHODS)](_source(X, Y, metric, keywords), k)


def _source(X: ArrayLike, Y: ArrayLike | None, metric: str, keywords: dict[str, Any]) -> _Source:
    if metric == "precomputed":
        if Y is not None:
            raise ValueError(
                f"Y must be None with metric='precomputed', where X holds the scores, got shape {np.shape(Y)}"
            )
        unknown = sorted(set(keywords) - set(Control.__annotations__))
        if unknown:
            raise TypeError(
                f"keywords must be control arguments where scores are ready or fused, got {', '.join(unknown)}"
            )
        return _Precomputed(rows_of("X", X), resolve(cast(Control, keywords)).max_bytes)
    if Y is None:
        raise ValueError(f"Y must be given with metric={metric!r}, got None; ready scores go with metric='precomputed'")
    x, y = _validate.matrix("X", X), _validate.matrix("Y", Y)
    for name, rows in (("X", x), ("Y", y)):
        if len(rows.shape) != 2:
            raise ValueError(f"{name} must have shape (rows, d), got {tuple(rows.shape)}; match one batch at a time")
    return _Embeddings(x, y, metric, keywords)
