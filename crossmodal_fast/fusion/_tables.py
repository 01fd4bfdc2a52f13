"""Scores of several modalities as tables (modalities, queries, candidates), from matrices or from ranked lists."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import array_of, numbers_of, rows_of, several
from ..matching import Matches
from ._normalizers import Float64, Mask, Normalizer

Indices = NDArray[np.int64]

BLOCK_SCORES = 1 << 21  # of all modalities in work at a time: 16 MiB of float64


@dataclass(frozen=True)
class Table:
    """Scores of some queries' candidates by all modalities, (modalities, queries, candidates)."""

    values: Float64  # NaN where the modality has no score
    asked: Mask  # whose weight counts in a mean: a matrix for what it scores, a list for all candidates of its query
    weight: Float64  # (modalities, 1, 1)

    @cached_property
    def heard(self) -> Mask:
        there = ~np.isnan(self.values)
        return there if (self.weight > 0).all() else there & (self.weight > 0)

    @cached_property
    def voices(self) -> NDArray[np.int64]:
        """By how many modalities each candidate is scored: h of Fox and Shaw, (queries, candidates)."""
        return np.asarray(np.sum(self.heard, axis=0, dtype=np.int64))

    @property
    def share(self) -> Float64:
        """Weight of the modalities that score a candidate, (queries, candidates)."""
        return self._weighed(self.heard)

    @property
    def share_asked(self) -> Float64:
        """Weight of the modalities that are asked about a candidate, (queries, candidates)."""
        return self._weighed(self.asked)

    def _weighed(self, counted: Mask) -> Float64:
        found = np.zeros(counted.shape[1:])
        for w, mask in zip(self.weight.flat, counted, strict=True):
            found += w * mask
        return found

    def added(self, values: Any) -> Float64:
        """Weighted sum of `values`, shaped like the scores, over what has a score."""
        # one after another: a sum over the first axis with where= took 1.5 times as long
        found = np.zeros(self.values.shape[1:])
        for w, value, heard in zip(self.weight.flat, values, self.heard, strict=True):
            found += np.where(heard, w * value, 0.0)
        return found


Rule = Callable[[Table], Float64]  # -> (queries, candidates), NaN where nothing can be said


def applied(scores: Sequence[Any], weight: Float64, normalizer: Normalizer, rule: Rule) -> Any:
    """`rule` over all queries: (m, n) of matrices, `Matches` of lists."""
    try:
        with np.errstate(over="raise"):
            if are_lists(scores):
                lists = [_checked_matches(f"scores[{v}]", part) for v, part in enumerate(scores)]
                return _fused_lists(lists, weight[:, None, None], normalizer, rule)
            return _fused_matrices(checked_matrices(scores), weight[:, None, None], normalizer, rule)
    except FloatingPointError:
        raise ValueError(
            "scores must be fused within the range of float64, got larger ones; make them smaller"
        ) from None


def _fused_matrices(matrices: Sequence[NDArray[Any]], weight: Float64, normalizer: Normalizer, rule: Rule) -> Float64:
    fused = np.empty(matrices[0].shape)
    for taken, values in matrix_blocks(matrices, normalizer):
        fused[taken] = rule(Table(values, ~np.isnan(values), weight))
    return fused


def are_lists(scores: Sequence[Any]) -> bool:
    return all(isinstance(score, Matches) for score in scores)


def one_kind(scores: Any) -> list[Any]:
    """`scores` as a list of matrices alone or of `Matches` alone."""
    given = several("scores", scores)
    lists = [isinstance(score, Matches) for score in given]
    if any(lists) and not all(lists):
        raise TypeError("scores must be all matrices or all Matches, got both")
    return given


def checked_matrices(scores: Sequence[Any]) -> list[NDArray[Any]]:
    matrices = [rows_of(f"scores[{v}]", matrix) for v, matrix in enumerate(scores)]
    shapes = [matrix.shape for matrix in matrices]
    if len(set(shapes)) > 1:
        raise ValueError(f"scores must be matrices of one shape, got {' and '.join(map(str, shapes))}")
    return matrices


def matrix_blocks(matrices: Sequence[NDArray[Any]], normalizer: Normalizer) -> Iterator[tuple[slice, Float64]]:
    """(queries taken, normalised scores of all modalities) until all queries are through."""
    m, n = matrices[0].shape
    step = max(1, BLOCK_SCORES // (n * len(matrices)))
    for start in range(0, m, step):
        values = np.stack([np.asarray(matrix[start : start + step], dtype=np.float64) for matrix in matrices])
        if (infinite := np.isinf(values)).any():
            v, row = np.argwhere(infinite.any(axis=2))[0]
            raise ValueError(f"scores[{v}] must be finite, or NaN where missing, got infinity in row {start + row}")
        yield slice(start, start + values.shape[1]), normalizer(values)


def _checked_matches(name: str, given: Matches) -> Matches:
    """In order of row and column, once it is sure that they can be added up."""
    rows, columns, scores = array_of(name, given.rows), array_of(name, given.columns), numbers_of(name, given.scores)
    shapes = rows.shape, columns.shape, scores.shape
    if rows.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"{name} must hold rows, columns and scores of one length, got shapes {shapes}")
    for part in (rows, columns):
        if part.size and part.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold whole numbers as rows and columns, got dtype {part.dtype}")
        if part.size and part.min() < 0:
            raise ValueError(f"{name} must hold rows and columns from 0, got {part.min()}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must hold finite scores, got {scores[~np.isfinite(scores)][0]}; leave such pairs out")
    order = np.lexsort((columns, rows))  # by column within a row, so that ties go to the lowest
    found = Matches(rows[order].astype(np.int64), columns[order].astype(np.int64), scores[order])
    again = np.flatnonzero((np.diff(found.rows) == 0) & (np.diff(found.columns) == 0))
    if again.size:
        row, column = found.rows[again[0]], found.columns[again[0]]
        raise ValueError(f"{name} must hold each pair once, got row {row} with column {column} twice")
    return found


def _numbered(ids: Indices) -> tuple[Indices, Indices]:
    """Ids by number, and the number of each given one: ids may be too large to be multiplied."""
    highest = int(ids.max(initial=-1))
    if highest < ids.size:
        return np.arange(highest + 1), ids
    known, numbers = np.unique(ids, return_inverse=True)
    return known, numbers


def _fused_lists(lists: Sequence[Matches], weight: Float64, normalizer: Normalizer, rule: Rule) -> Matches:
    """Each query's candidates are the union of its lists; what the rule says nothing about is left out."""
    queries, query = _numbered(np.concatenate([part.rows for part in lists]))
    items, item = _numbered(np.concatenate([part.columns for part in lists]))
    pairs, pair = np.unique(query * max(1, len(items)) + item, return_inverse=True)
    pair_query, pair_item = np.divmod(pairs, max(1, len(items)))
    starts = np.searchsorted(pair_query, np.arange(len(queries) + 1))
    width = int(np.diff(starts).max(initial=1))
    ends = np.cumsum([0] + [len(part.rows) for part in lists])
    fused = np.empty(len(pairs))
    step = max(1, BLOCK_SCORES // (width * len(lists)))
    for first in range(0, len(queries), step):
        last = min(first + step, len(queries))
        low, high = starts[first], starts[last]
        values = np.full((len(lists), last - first, width), np.nan)
        for v, part in enumerate(lists):
            of_list = pair[ends[v] : ends[v + 1]]  # ascending, as the list is in order
            begin, end = np.searchsorted(of_list, (low, high))
            inside = of_list[begin:end]
            owner = pair_query[inside]
            values[v, owner - first, inside - starts[owner]] = part.scores[begin:end]
        asked = np.broadcast_to(~np.isnan(values).all(axis=2, keepdims=True), values.shape)
        owner = pair_query[low:high]
        table = Table(normalizer(values), asked, weight)
        fused[low:high] = rule(table)[owner - first, np.arange(low, high) - starts[owner]]
    known = ~np.isnan(fused)
    order = np.flatnonzero(known)[np.lexsort((pair_item[known], -fused[known], pair_query[known]))]
    return Matches(queries[pair_query[order]], items[pair_item[order]], fused[order])
