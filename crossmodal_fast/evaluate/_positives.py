"""Which gallery rows are right for which query: given one by one, as CSR, or by label."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, brief, label_pair, numbers_of
from ._measures import checked_bounds, owners

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

BLOCK_POSITIVES = 1 << 20  # positives in work at a time: 8 MiB of int64, and as much again for their ranks


@dataclass(frozen=True)
class Positives:
    """Positives of queries start..stop as CSR, made when asked for: under labels they may be as many as the scores."""

    counts: Indices
    csr: Callable[[int, int], tuple[Indices, Indices, Float64]]  # indptr, gallery rows, grades

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """start..stop in runs of at most BLOCK_POSITIVES positives (or one query)."""
        while start < stop:
            running = np.cumsum(self.counts[start:stop])
            end = start + max(1, int(np.searchsorted(running, BLOCK_POSITIVES, side="right")))
            yield start, min(end, stop)
            start = end


def count_positives(query_labels: ArrayLike, gallery_labels: ArrayLike) -> Indices:
    """How many gallery items share each query's label: (m,), (n,) -> (m,) int64.

    Cost: a sort of n. Source: direct from the definition.

    Examples
    --------
    >>> count_positives(["cat", "cow"], ["cat", "dog", "cat"])
    array([2, 0])
    """
    wanted, offered = label_pair(("query_labels", query_labels), ("gallery_labels", gallery_labels))
    return _counts(wanted, np.sort(offered))


def positives_of(positives: Any, labels: Any, grades: Any, m: int, n: int) -> Positives:
    """As `retrieval` takes them: for m queries and n gallery rows."""
    if labels is not None:
        if grades is not None:
            raise ValueError("grades must be left out where labels are given, got both")
        if positives is not None:
            raise ValueError("positives must be left out where labels are given, got both")
        return _by_label(labels, m, n)
    if positives is None:
        if m != n:
            raise ValueError(f"positives or labels must be given for {m} queries and {n} gallery rows, got neither")
        positives = np.arange(m)
    if isinstance(positives, tuple) and len(positives) == 2:
        columns = _columns(positives[1], n)
        bounds = checked_bounds(positives[0], columns.size, "indices")
        if len(bounds) != m + 1:
            raise ValueError(f"indptr must have {m + 1} entries, one more than there are queries, got {len(bounds)}")
        _refuse_repeats(owners(bounds), columns)
    else:
        columns = _columns(positives, n, none=-1)
        if columns.shape != (m,):
            raise ValueError(f"positives must have shape ({m},), one for each query, or be CSR, got {columns.shape}")
        bounds = np.concatenate([[0], np.cumsum(columns != -1)])
    grade, given = grades_of(grades, columns.shape), columns != -1
    columns, grade = columns[given], grade[given]

    def csr(start: int, stop: int) -> tuple[Indices, Indices, Float64]:
        taken = slice(bounds[start], bounds[stop])
        return bounds[start : stop + 1] - bounds[start], columns[taken], grade[taken]

    return Positives(np.diff(bounds), csr)


def grades_of(value: Any, shape: tuple[int, ...]) -> Float64:
    """Grades of positives, 1 for all where there are none."""
    if value is None:
        return np.ones(shape)
    grades = numbers_of("grades", value)
    if grades.shape != shape:
        raise ValueError(f"grades must have shape {shape}, one for each positive, got {grades.shape}")
    wrong = ~((grades > 0) & np.isfinite(grades))
    if wrong.any():
        raise ValueError(f"grades must be finite and above 0, got {grades[wrong][0]}; leave out what is not relevant")
    return grades


def _refuse_repeats(owner: Indices, columns: Indices) -> None:
    order = np.lexsort((columns, owner))
    again = np.flatnonzero((np.diff(owner[order]) == 0) & (np.diff(columns[order]) == 0))
    if again.size:
        at = order[again[0]]
        raise ValueError(f"positives must name a row once per query, got {columns[at]} twice for query {owner[at]}")


def _columns(value: Any, n: int, none: int | None = None) -> Indices:
    columns = array_of("positives", value)
    if columns.dtype.kind not in "iu" and columns.size:
        raise TypeError(f"positives must hold whole numbers, got dtype {columns.dtype}")
    wrong = columns[((columns < 0) & (columns != none)) | (columns >= n)] if columns.size else columns
    if wrong.size:
        raise ValueError(f"positives must be in 0..{n - 1} (the gallery rows), got {wrong.flat[0]}")
    return columns.astype(np.int64)


def _by_label(labels: Any, m: int, n: int) -> Positives:
    if not isinstance(labels, tuple | list | np.ndarray) or len(labels) != 2:
        raise TypeError(f"labels must be a pair, of the queries and of the gallery rows, got {brief(labels)}")
    shapes = [np.shape(array_of("labels", side)) for side in labels]
    if shapes != [(m,), (n,)]:
        raise ValueError(
            f"labels must have shapes ({m},) and ({n},), one for each query and gallery row, "
            f"got {shapes[0]} and {shapes[1]}"
        )
    wanted, offered = label_pair(("labels[0]", labels[0]), ("labels[1]", labels[1]))
    order = np.argsort(offered, kind="stable")
    ordered = offered[order]
    first = np.searchsorted(ordered, wanted, side="left")
    counts = _counts(wanted, ordered)

    def csr(start: int, stop: int) -> tuple[Indices, Indices, Float64]:
        bounds = np.concatenate([[0], np.cumsum(counts[start:stop])])
        owner = owners(bounds)
        columns = order[first[start:stop][owner] + np.arange(bounds[-1]) - bounds[owner]]
        return bounds, columns, np.ones(len(columns))

    return Positives(counts, csr)


def _counts(wanted: Array, ordered: Array) -> Indices:
    return np.searchsorted(ordered, wanted, side="right") - np.searchsorted(ordered, wanted, side="left")
