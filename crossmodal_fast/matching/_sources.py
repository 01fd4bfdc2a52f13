"""Where scores come from: embeddings, or a ready score matrix read in blocks. Higher is better, float64.

A method never sees more of the (m, n) scores than their best, or their log-sum-exps: with biases (u, v) of its own,
every score is s_ij + (u_i + v_j).
"""

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .. import _validate
from .._arguments import rows_of, whole
from .._config import Control, resolve
from .._search import Search
from ..kernels.tiles import metrics
from ..kernels.tiles.rows import Rows
from ..preprocess import result_dtype
from ._results import Array, Best, Float64, Indices, finite

BLOCK_BYTES = 1 << 25  # of workspace at a time, less where max_bytes says so: 32 MiB
TILE = 2048  # rows and columns of scores that are looked at as they are: 32 MiB
BYTES_PER_SCORE = 32  # of workspace while a block is searched: a float64 copy, its partition, an int32 sum, masks
SIMILARITIES = ("cosine", "correlation")  # distances that are 1 - similarity
FILTERS = ("mask", "exclude", "exclude_self", "bias")  # of the searches: which pairs may match, and what is added

Bias = tuple[Float64, Float64]


def scores_of(distances: Array, metric: str) -> Array:
    """Distances (m, k) as `topk` returns them, turned so that higher is better; in place where they are an array."""
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


class Embeddings:
    """Scores of two sides of rows by a metric."""

    def __init__(self, X: Any, Y: Any, metric: str, keywords: dict[str, Any]) -> None:
        self.x, self.y, self.metric = X, Y, metric
        self.search = {name: value for name, value in keywords.items() if name != "dtype"}
        self.control = _without_precision(keywords)
        self.shape = int(X.shape[0]), int(Y.shape[0])
        self.dtype = _validate.output_dtype(keywords.get("dtype"), X, Y)
        self.constant = 1.0 if metric in SIMILARITIES else 0.0
        self.kwargs = keywords.get("metric_kwargs")
        self.own_excluded = bool(keywords.get("exclude_self"))

    def checked(self, k: Any, both: bool) -> int:
        side = "the shorter side" if both else "Y"
        return _validate.neighbours("k", k, min(self.shape) if both else self.shape[1], side)

    def _keywords(self, bias: Bias | None) -> dict[str, Any]:
        """Those of a search, our biases added to the caller's, which are in units of the metric."""
        keywords = {**self.search, "dtype": np.float64}
        if bias is not None:
            sign = 1.0 if self.metric == "dot" else -1.0
            u, v = (sign * finite(part) for part in bias)
            given = _validate.biases(self.search.get("bias"), (), *self.shape)
            keywords["bias"] = (u, v) if given is None else (given[0] + u, given[1] + v)
        return keywords

    def by_rows(self, k: int, bias: Bias | None = None) -> Best:
        from .._operations import topk

        return self._best(*topk(self.x, self.y, k, self.metric, **self._keywords(bias))[:2])

    def by_both(self, k: tuple[int, int], bias: Bias | None = None) -> tuple[Best, Best]:
        from .._operations import topk_both

        of_rows, of_columns = topk_both(self.x, self.y, k, self.metric, **self._keywords(bias))[:2]
        return self._best(*of_rows), self._best(*of_columns)

    def _best(self, distances: Array, partners: Indices) -> Best:
        return Best(partners, scores_of(distances, self.metric))

    def log_sums(self, beta: float, axis: Any, bias: Bias | None = None) -> Any:
        from .._operations import logsumexp

        return logsumexp(
            self.x, self.y, self.metric, beta=beta, axis=axis, bias=bias, metric_kwargs=self.kwargs, **self.control
        )

    def of_bank(self, bank: ArrayLike) -> "Embeddings":
        rows = _validate.gallery("bank", bank)
        _validate.same_features("bank", rows, "Y", self.y)
        if len(rows.shape) != 2:
            raise ValueError(f"bank must have shape (rows, d), got {tuple(rows.shape)}")
        keywords = {name: value for name, value in self.search.items() if name not in FILTERS}
        return Embeddings(rows, self.y, self.metric, keywords)

    def part(self, rows: Indices, columns: Indices) -> "Embeddings":
        search = dict(self.search)
        if search.pop("exclude_self", False):
            place = np.searchsorted(columns, rows)
            there = columns[np.minimum(place, len(columns) - 1)] == rows
            search["exclude"] = np.where(there, place, -1)
        return Embeddings(Part(self.x, rows), Part(self.y, columns), self.metric, search)

    def at_least(self, rows: Indices, columns: Indices) -> Indices:
        from .._operations import ranks

        order = np.argsort(rows, kind="stable")
        indptr = np.searchsorted(rows[order], np.arange(self.shape[0] + 1))
        counts = np.empty(len(rows), np.int64)
        counts[order] = ranks(self.x, self.y, (indptr, columns[order]), self.metric, ties="pessimistic", **self.search)
        return counts

    def tiles(self) -> Iterator[tuple[slice, slice, Float64]]:
        from .._operations import pairwise_distances

        for rows in _slices(self.shape[0]):
            for columns in _slices(self.shape[1]):
                distances = pairwise_distances(
                    self.x[rows], self.y[columns], self.metric, metric_kwargs=self.kwargs, dtype=np.float64,
                    **self.control,
                )  # fmt: skip
                yield rows, columns, scores_of(distances, self.metric)

    def by(self, metric: str) -> "Embeddings":
        """The same rows by another metric."""
        return Embeddings(self.x, self.y, metric, {**self.search, "dtype": self.dtype})

    def turned(self) -> "Embeddings":
        return Embeddings(self.y, self.x, self.metric, self.search)

    def dense(self, dtype: npt.DTypeLike = np.float64) -> Array:
        from .._operations import pairwise_distances

        distances = pairwise_distances(
            self.x, self.y, self.metric, metric_kwargs=self.kwargs, dtype=dtype, **self.control
        )
        return scores_of(distances, self.metric)

    def exact(self) -> Float64:
        found = self.by_rows(self.shape[1])
        score = np.empty(self.shape)
        np.put_along_axis(score, found.partners, finite(found.scores), axis=1)
        return score


class Precomputed:
    """Ready scores."""

    own_excluded = False

    def __init__(self, scores: Any, control: Control, name: str = "X", constant: float = 0.0) -> None:
        self.scores, self.name, self.constant = scores, name, constant
        self.control = _without_precision(dict(control))
        self.shape = int(scores.shape[0]), int(scores.shape[1])
        self.dtype = result_dtype(scores.dtype)
        self.max_bytes = resolve(control).max_bytes
        self.width = BYTES_PER_SCORE * self.shape[1]
        if self.max_bytes < self.width:
            raise ValueError(
                f"max_bytes must be at least {self.width} (one row of {self.shape[1]} scores), got {self.max_bytes}"
            )

    def checked(self, k: Any, both: bool) -> int:
        most, side = (min(self.shape), "shorter side") if both else (self.shape[1], "columns")
        if not 1 <= whole("k", k, least=None) <= most:
            raise ValueError(f"k must be in 1..{most} (the {side} of X), got {k}")
        return int(k)

    def _blocks(self, bias: Bias | None) -> Iterator[tuple[int, Float64]]:
        step = max(1, min(BLOCK_BYTES, self.max_bytes) // self.width)
        for start in range(0, self.shape[0], step):
            block = np.asarray(self.scores[start : start + step])
            finite = np.isfinite(block)
            if not finite.all():
                row = int(np.argmin(finite.all(axis=1)))
                value = block[row][~finite[row]][0]
                raise ValueError(
                    f"{self.name} must hold finite scores, got {value} in row {start + row}; "
                    "rule a pair out by a low one"
                )
            block = block.astype(np.float64, copy=False)
            if bias is not None:
                shift = bias[0][start : start + step, None] + bias[1]
                block = np.add(block, shift, out=shift)
            yield start, block

    def by_rows(self, k: int, bias: Bias | None = None) -> Best:
        return _joined([best(block, k) for _, block in self._blocks(bias)])

    def by_both(self, k: tuple[int, int], bias: Bias | None = None) -> tuple[Best, Best]:
        of_rows = []
        rows, values = np.empty((self.shape[1], 0), np.int64), np.empty((self.shape[1], 0))
        for start, block in self._blocks(bias):
            of_rows.append(best(block, k[0]))
            more_rows, more_values = best(block.T, min(k[1], len(block)))
            rows, values = np.hstack([rows, more_rows + start]), np.hstack([values, more_values])
            order = np.argsort(-values, axis=1, kind="stable")[:, : k[1]]  # equal scores: earlier, so lower, rows first
            rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
        return _joined(of_rows), Best(rows, values)

    def log_sums(self, beta: float, axis: Any, bias: Bias | None = None) -> Any:
        from .._operations import logsumexp

        return logsumexp(self.scores, metric="precomputed", beta=beta, axis=axis, bias=bias, **self.control)

    def of_bank(self, bank: ArrayLike) -> "Precomputed":
        scores = rows_of("bank", bank)
        if scores.shape[1] != self.shape[1]:
            raise ValueError(
                f"bank must hold scores of {self.shape[1]} columns, as X does, got shape {tuple(scores.shape)}"
            )
        return Precomputed(scores, self.control, "bank", self.constant)

    def part(self, rows: Indices, columns: Indices) -> "Precomputed":
        return Precomputed(Part(self.scores, rows, columns), self.control, constant=self.constant)

    def at_least(self, rows: Indices, columns: Indices) -> Indices:
        order = np.argsort(rows, kind="stable")
        indptr = np.searchsorted(rows[order], np.arange(self.shape[0] + 1))
        counts = np.empty(len(rows), np.int64)
        for start, block in self._blocks(None):
            for row, scores in enumerate(block, start):
                pairs = order[indptr[row] : indptr[row + 1]]
                below = np.searchsorted(np.sort(scores), scores[columns[pairs]], side="left")
                counts[pairs] = self.shape[1] - below
        return counts

    def tiles(self) -> Iterator[tuple[slice, slice, Float64]]:
        for start, block in self._blocks(None):
            yield slice(start, start + len(block)), slice(0, self.shape[1]), block

    def turned(self) -> "Precomputed":
        return Precomputed(self.scores.T, self.control, constant=self.constant)

    def dense(self, dtype: npt.DTypeLike = np.float64) -> Array:
        return np.concatenate([block.astype(dtype, copy=False) for _, block in self._blocks(None)])

    def exact(self) -> Float64:
        return self.dense()


def _slices(count: int) -> list[slice]:
    return [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]


def _joined(found: list[Best]) -> Best:
    return Best(*(np.concatenate(part) for part in zip(*found, strict=True)))


def best(block: Float64, k: int) -> Best:
    """The k largest of each row, largest first, ties by lowest column: columns and values, (rows, k)."""
    n = block.shape[1]
    kth = np.partition(block, n - k, axis=1)[:, n - k, None]
    above, equal = block > kth, block == kth
    room = k - above.sum(axis=1, keepdims=True)
    equal &= equal.cumsum(axis=1, dtype=np.int32) <= room
    columns = np.nonzero(above | equal)[1].reshape(-1, k)
    values = np.take_along_axis(block, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return Best(np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1))


def source_of(X: ArrayLike, Y: ArrayLike | None, metric: str, keywords: dict[str, Any], of_none: bool) -> Source:
    """Where the scores of a call come from; `of_none`: X may be without rows."""
    if _validate.ready_scores(X, Y, metric):
        unknown = sorted(set(keywords) - set(Control.__annotations__))
        if unknown:
            raise TypeError(
                f"keywords must be control arguments where scores are ready or fused, got {', '.join(unknown)}"
            )
        return Precomputed(rows_of("X", X), cast(Control, keywords))
    x, y = _validate.matrix("X", X) if of_none else _validate.gallery("X", X), _validate.gallery("Y", Y)
    for name, rows in (("X", x), ("Y", y)):
        if len(rows.shape) != 2:
            raise ValueError(f"{name} must have shape (rows, d), got {tuple(rows.shape)}; match one batch at a time")
    _validate.same_features("X", x, "Y", y)
    refuse_unknown(keywords)
    given = _validate.metric_keywords(metric, keywords.get("metric_kwargs"), x.shape[1])
    settled = metrics.keywords(metric, given, Rows("X", x), Rows("Y", y))
    if settled.keys() != given.keys():  # V or VI of all rows, also where a method looks at some of them
        keywords = {**keywords, "metric_kwargs": settled}
    return Embeddings(x, y, metric, keywords)


def _without_precision(keywords: dict[str, Any]) -> Control:
    """The control arguments, but for that of searches: sums and distances choose their own."""
    known = Control.__annotations__.keys() - {"precision"}
    return cast(Control, {name: keywords[name] for name in known if name in keywords})


def refuse_unknown(keywords: dict[str, Any]) -> None:
    if unknown := sorted(set(keywords) - set(Search.__annotations__)):
        raise TypeError(f"keywords must be options of the method or keywords of topk, got {', '.join(unknown)}")
