"""Where the scores of a call come from: embeddings, or a ready score matrix."""

import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .. import _validate
from .._arguments import rows_of
from .._config import Control, resolve
from .._search import Search
from ..kernels.tiles import metrics
from ..kernels.tiles.rows import Rows
from ._known import Known, settled
from ._ready import Precomputed as Precomputed
from ._ready import without_precision
from ._results import Array, Best, Float64, Indices, finite
from ._source import SIMILARITIES, Bias, filled, part_of, scores_of
from ._source import Source as Source

TILE = 2048  # rows and columns of scores that are looked at as they are, fewer where max_bytes says so
BYTES_OF_TILE = 40  # of each of those scores: distances, their deviations and squares, masks
FILTERS = ("mask", "exclude", "exclude_self", "bias")  # of the searches: which pairs may match, and what is added


class Embeddings:
    """Scores of two sides of rows by a metric."""

    def __init__(self, X: Any, Y: Any, metric: str, keywords: dict[str, Any]) -> None:
        self.x, self.y, self.metric = X, Y, metric
        self.search = {name: value for name, value in keywords.items() if name != "dtype"}
        self.control = without_precision(keywords)
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

    def near(self, k: tuple[int, int]) -> tuple[Best, Best, Known]:
        from .._operations import topk_both

        of_rows, of_columns = topk_both(self.x, self.y, k, self.metric, **self._keywords(None))[:2]
        values = np.array(of_rows.distances) * (-1.0 if self.metric == "dot" else 1.0)
        return self._best(*of_rows), self._best(*of_columns), Known(of_rows.indices, values)

    def again(self, k: int, bias: Bias, known: Known) -> Best:
        if any(self.search.get(name) is not None and self.search[name] is not False for name in FILTERS):
            return self.by_rows(k, bias)
        found, certain = settled(known, k, (finite(bias[0]), finite(bias[1])), self.shape[1])
        best = self._best(found.values * (-1.0 if self.metric == "dot" else 1.0), found.partners)
        rows = np.flatnonzero(~certain)
        return filled(self, best, rows, k, bias) if len(rows) else best

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
        return Embeddings(part_of(self.x, rows), part_of(self.y, columns), self.metric, search)

    def at_least(self, rows: Indices, columns: Indices) -> Indices:
        from .._operations import ranks

        order = np.argsort(rows, kind="stable")
        indptr = np.searchsorted(rows[order], np.arange(self.shape[0] + 1))
        counts = np.empty(len(rows), np.int64)
        counts[order] = ranks(self.x, self.y, (indptr, columns[order]), self.metric, ties="pessimistic", **self.search)
        return counts

    def tiles(self) -> Iterator[tuple[slice, slice, Float64]]:
        from .._operations import pairwise_distances

        most = resolve(self.control).max_bytes
        side = min(TILE, max(64, math.isqrt(most // (2 * BYTES_OF_TILE))))
        control = cast(Control, {**self.control, "max_bytes": max(1, most - BYTES_OF_TILE * side * side)})
        for rows in _slices(self.shape[0], side):
            for columns in _slices(self.shape[1], side):
                distances = pairwise_distances(
                    self.x[rows], self.y[columns], self.metric, metric_kwargs=self.kwargs, dtype=np.float64, **control
                )
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


def _slices(count: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


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


def refuse_unknown(keywords: dict[str, Any]) -> None:
    if unknown := sorted(set(keywords) - set(Search.__annotations__)):
        raise TypeError(f"keywords must be options of the method or keywords of topk, got {', '.join(unknown)}")
