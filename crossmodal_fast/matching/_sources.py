"""Where scores come from: embeddings, or a ready score matrix read in blocks."""

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arguments import rows_of, whole
from .._config import Control, resolve
from ..preprocess import result_dtype
from ._results import Array, Float64, Indices

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


class Source(Protocol):
    """Where scores come from. (columns, scores), each (m, k), best first; column -1 marks an empty slot."""

    def by_rows(self, k: int) -> tuple[Indices, Array]: ...

    def by_both(self, k: int) -> tuple[tuple[Indices, Array], Indices]:
        """`by_rows`, and the k best rows of each column, (n, k)."""
        ...


class Embeddings:
    def __init__(self, X: ArrayLike, Y: ArrayLike, metric: str, keywords: dict[str, Any]) -> None:
        self.x, self.y, self.metric, self.keywords = X, Y, metric, keywords

    def by_rows(self, k: int) -> tuple[Indices, Array]:
        from .._operations import topk

        distances, columns = topk(self.x, self.y, k, self.metric, **self.keywords)[:2]
        return np.asarray(columns), scores_of(np.asarray(distances), self.metric)

    def by_both(self, k: int) -> tuple[tuple[Indices, Array], Indices]:
        from .._operations import topk_both

        of_rows, of_columns = topk_both(self.x, self.y, k, self.metric, **self.keywords)[:2]
        scores = scores_of(np.asarray(of_rows[0]), self.metric)
        return (np.asarray(of_rows[1]), scores), np.asarray(of_columns[1])


class Precomputed:
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
        return self._joined([best(block, k) for _, block in self._blocks()])

    def by_both(self, k: int) -> tuple[tuple[Indices, Array], Indices]:
        self._check(k, min(self.scores.shape), "shorter side")
        of_rows = []
        rows, values = np.empty((self.scores.shape[1], 0), np.int64), np.empty((self.scores.shape[1], 0))
        for start, block in self._blocks():
            of_rows.append(best(block, k))
            more_rows, more_values = best(block.T, min(k, len(block)))
            rows, values = np.hstack([rows, more_rows + start]), np.hstack([values, more_values])
            order = np.argsort(-values, axis=1, kind="stable")[
                :, :k
            ]  # equal scores: earlier, so lower, rows stay first
            rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
        return self._joined(of_rows), rows

    def _joined(self, found: list[tuple[Indices, Float64]]) -> tuple[Indices, Array]:
        columns, values = (np.concatenate(part) for part in zip(*found, strict=True))
        return columns, values.astype(result_dtype(self.scores.dtype))


def best(block: Float64, k: int) -> tuple[Indices, Float64]:
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


def source_of(X: ArrayLike, Y: ArrayLike | None, metric: str, keywords: dict[str, Any]) -> Source:
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
        return Precomputed(rows_of("X", X), resolve(cast(Control, keywords)).max_bytes)
    if Y is None:
        raise ValueError(f"Y must be given with metric={metric!r}, got None; ready scores go with metric='precomputed'")
    x, y = _validate.matrix("X", X), _validate.matrix("Y", Y)
    for name, rows in (("X", x), ("Y", y)):
        if len(rows.shape) != 2:
            raise ValueError(f"{name} must have shape (rows, d), got {tuple(rows.shape)}; match one batch at a time")
    return Embeddings(x, y, metric, keywords)
