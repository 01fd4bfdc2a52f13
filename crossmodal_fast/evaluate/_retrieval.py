"""From embeddings or ready scores to measures: rank the positives of every query, by counting or by sorting."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import one_of, rows_of
from .._config import Control, resolve
from .._validate import TIES
from ._measures import (
    EMPTY,
    average_precision,
    cut_offs,
    filled,
    first_ranks,
    hit_rate,
    mean_rank,
    median_rank,
    mrr,
    owners,
)
from ._positives import Positives, positives_of

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]
Part = tuple[Indices, Callable[[str], Array]]  # indptr of some queries' positives; ties -> their ranks

BLOCK_SCORES = 1 << 21  # scores in work at a time: 16 MiB of float64
BYTES_PER_SCORE = 24  # of workspace while a block is ranked: the scores, their negative, a sorted row at most as long
FEW_POSITIVES = 32  # a query, below which `ranks` counts: at 70 it took 1.5 times, at 1000 8 times as long as sorting


def retrieval(
    queries: ArrayLike,
    gallery: ArrayLike | None = None,
    positives: Any = None,
    *,
    labels: tuple[ArrayLike, ArrayLike] | None = None,
    metric: str = "cosine",
    k: int | Sequence[int] = (1, 5, 10),
    ties: str = "index",
    empty: str = "error",
    exclude_self: bool = False,
    **control: Any,
) -> dict[str, float]:
    """Search every query in the gallery and measure where its positives come.

    Parameters
    ----------
    queries : array_like, shape (m, d), or (m, n) with metric="precomputed"
        Or ready scores, finite, higher is better, read in blocks.
    gallery : array_like, shape (n, d)
        None with metric="precomputed".
    positives : array_like (m,), or (indptr, indices), optional
        The right gallery row of each query, -1 for none; or CSR: those of query i are indices[indptr[i]:indptr[i + 1]].
        Left out, with no labels either: row i belongs to row i, and m == n.
    labels : (array_like (m,), array_like (n,)), optional
        Instead of positives: all gallery rows with the query's label are right.
    metric : str, default "cosine"
        As in `pairwise_distances`, or "precomputed".
    k : int or sequence of int, default (1, 5, 10)
        Cut-offs of hit_rate@k and map@k.
    ties : {"index", "optimistic", "pessimistic", "mean"}, default "index"
        Where equal scores come: by gallery row; positives first; last; the mean of those two ranks. Positives that are
        equal among themselves follow one another.
    empty : {"error", "skip", "neg", "pos"}, default "error"
        A query without positives: raise; leave it out; count it as never found (rank inf); as found first.
    exclude_self : bool, default False
        Gallery row i is no answer to query i, nor a positive of it. Needs m == n.
    **control
        As in `ranks`, and metric_kwargs. Of a ready score matrix max_bytes bounds the block in work.

    Returns
    -------
    dict
        queries (how many were counted), hit_rate@k for each k, mrr, median_rank, mean_rank (of the best positive), map,
        and map@k with the number of positives as denominator.

    Notes
    -----
    Up to 32 positives a query on average the ranks are those of `ranks`: exact, at its cost. With more, blocks of
    float64 scores are sorted: m n log n, and values within 1e-13 of each other may change places. map is over the full
    list.

    Examples
    --------
    >>> retrieval([[0.1, 0.9], [0.2, 0.3]], positives=[0, 1], metric="precomputed", k=(1,))["hit_rate@1"]
    0.5
    """
    one_of("ties", ties, TIES)
    one_of("empty", empty, EMPTY)
    cuts = cut_offs(k)
    settled = resolve(cast(Control, {name: value for name, value in control.items() if name != "metric_kwargs"}))
    rows, others, m, n = _sides(queries, gallery, metric)
    if exclude_self and m != n:
        raise ValueError(
            f"exclude_self must be False unless there are as many queries as gallery rows, got {m} and {n}"
        )
    truth = positives_of(positives, labels, m, n)
    if others is not None and truth.counts.sum() <= FEW_POSITIVES * m:
        parts = _counted(rows, others, metric, truth, exclude_self, control)
    else:
        step = _rows_per_block(n, settled.max_bytes)
        parts = _sorted(_score_blocks(rows, others, metric, step, control), truth, exclude_self)
    first, precisions = [], []
    for bounds, ranks_by in parts:
        ranks = _positions(ranks_by, bounds, ties)
        first.append(first_ranks(ranks, bounds))
        precisions.append(np.stack([average_precision(ranks, bounds, cut) for cut in (None, *cuts)], axis=1))
    best, precision = np.concatenate(first), np.concatenate(precisions)
    missing = np.isinf(best)
    counted = filled(best, missing, empty, np.inf)
    means = [float(np.mean(filled(column, missing, empty, 0.0))) for column in precision.T]
    return {
        "queries": len(counted),
        **{f"hit_rate@{cut}": hit_rate(counted, cut) for cut in cuts},
        "mrr": mrr(counted),
        "median_rank": median_rank(counted),
        "mean_rank": mean_rank(counted),
        "map": means[0],
        **{f"map@{cut}": mean for cut, mean in zip(cuts, means[1:], strict=True)},
    }


def _sides(queries: ArrayLike, gallery: ArrayLike | None, metric: str) -> tuple[Array, Array | None, int, int]:
    if (gallery is None) != (metric == "precomputed"):
        raise ValueError(
            f"gallery must be given unless metric='precomputed', where queries holds the scores, got metric={metric!r}"
        )
    rows = rows_of("queries", queries)
    others = None if gallery is None else rows_of("gallery", gallery)
    return rows, others, len(rows), rows.shape[1] if others is None else len(others)


def _counted(
    rows: Array, others: Array, metric: str, truth: Positives, exclude_self: bool, control: dict[str, Any]
) -> Iterator[Part]:
    """All queries at once, by `ranks`: exact."""
    from .._operations import ranks

    bounds, columns = truth.csr(0, len(rows))
    if exclude_self:
        bounds, columns = _without_self(bounds, columns, 0)
    yield (
        bounds,
        lambda ties: ranks(rows, others, (bounds, columns), metric, ties=ties, exclude_self=exclude_self, **control),
    )


def _sorted(blocks: Iterator[tuple[int, Array]], truth: Positives, exclude_self: bool) -> Iterator[Part]:
    """Blocks of queries, by sorting their scores."""
    for start, scores in blocks:
        for begin, end in truth.spans(start, start + len(scores)):
            bounds, columns = truth.csr(begin, end)
            if exclude_self:
                scores[np.arange(begin, end) - start, np.arange(begin, end)] = np.nan  # sorts behind everything
                bounds, columns = _without_self(bounds, columns, begin)
            rows = scores[begin - start : end - start]
            yield bounds, partial(_ranks_in_rows, rows, np.split(columns, bounds[1:-1]))


def _rows_per_block(n: int, max_bytes: int) -> int:
    if max_bytes < BYTES_PER_SCORE * n:
        raise ValueError(f"max_bytes must be at least {BYTES_PER_SCORE * n} (one row of {n} scores), got {max_bytes}")
    return max(1, min(BLOCK_SCORES, max_bytes // BYTES_PER_SCORE) // n)


def _score_blocks(
    rows: Array, others: Array | None, metric: str, step: int, control: dict[str, Any]
) -> Iterator[tuple[int, Array]]:
    """(first row, scores (rows, n) float64, higher is better)."""
    from .._operations import pairwise_distances

    for start in range(0, len(rows), step):
        if others is not None:
            scores = pairwise_distances(rows[start : start + step], others, metric, dtype=np.float64, **control)
            yield start, scores if metric == "dot" else np.negative(scores, out=scores)
        else:
            scores = np.array(rows[start : start + step], dtype=np.float64)
            finite = np.isfinite(scores)
            if not finite.all():
                row = int(np.argmin(finite.all(axis=1)))
                value = scores[row][~finite[row]][0]
                raise ValueError(f"queries must hold finite scores, got {value} in row {start + row}")
            yield start, scores


def _ranks_in_rows(scores: Array, columns: list[Indices], ties: str) -> Float64:
    """1-based ranks of some columns of each row; equal positives share one unless ties go by index."""
    found = [np.empty(0)]
    for row, wanted in zip(-scores, columns, strict=True):
        if ties == "index":
            place = np.empty(len(row))
            place[np.argsort(row, kind="stable")] = np.arange(1, len(row) + 1)
            found.append(place[wanted])
        elif ties == "optimistic":
            found.append(np.searchsorted(np.sort(row), row[wanted], side="left") + 1.0)
        else:
            found.append(np.searchsorted(np.sort(row), row[wanted], side="right") + 0.0)
    return np.concatenate(found)


def _positions(ranks_by: Callable[[str], Array], bounds: Indices, ties: str) -> Float64:
    """Ranks of each query's positives, ascending, those that share one set after one another."""
    if ties == "mean":
        return (_positions(ranks_by, bounds, "optimistic") + _positions(ranks_by, bounds, "pessimistic")) / 2
    owner = owners(bounds)
    ranks = np.asarray(ranks_by(ties), dtype=np.int64)
    ranks = ranks[np.lexsort((ranks, owner))]
    # rank - place may only grow (or, seen from the end under "pessimistic", only shrink): one scan, queries kept apart.
    place = np.arange(len(ranks)) - bounds[owner]
    apart = place - owner * (2 * ranks.max(initial=0) + 2)
    if ties == "pessimistic":
        settled = np.minimum.accumulate((ranks - apart)[::-1])[::-1]
    else:
        settled = np.maximum.accumulate(ranks - apart)
    return np.asarray(settled + apart, dtype=np.float64)


def _without_self(bounds: Indices, columns: Indices, start: int) -> tuple[Indices, Indices]:
    owner = owners(bounds)
    kept = columns != owner + start
    return np.concatenate([[0], np.bincount(owner[kept], minlength=len(bounds) - 1).cumsum()]), columns[kept]
