"""From embeddings or ready scores to measures: rank the positives of every query, by counting or by sorting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import brief, one_of, rows_of
from .._config import Control, resolve
from .._validate import TIES as SETTLED
from .._validate import biases, flag
from ._chosen import chosen_measures, usual_measures
from ._measures import EMPTY, owners
from ._positions import listed
from ._positives import Positives, positives_of
from ._summary import columns_of, group_labels, settle_empty, summary

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]
Part = tuple[Indices, Float64, Callable[[str], Array]]  # indptr and grades of some queries' positives; ties -> ranks

TIES = (*SETTLED, "expected")

BLOCK_SCORES = 1 << 21  # scores in work at a time: 16 MiB of float64
BYTES_PER_SCORE = 24  # of workspace while a block is ranked: the scores, their negative, a sorted row at most as long
FEW_POSITIVES = 32  # a query, below which `ranks` counts: at 70 it took 1.5 times, at 1000 8 times as long as sorting


def retrieval(
    queries: ArrayLike,
    gallery: ArrayLike | None = None,
    positives: Any = None,
    *,
    labels: tuple[ArrayLike, ArrayLike] | None = None,
    grades: ArrayLike | None = None,
    metric: str = "cosine",
    k: int | Sequence[int] = (1, 5, 10),
    metrics: str | Iterable[str] | None = None,
    ties: str = "index",
    empty: str = "error",
    groups: ArrayLike | None = None,
    per_query: bool = False,
    exclude_self: bool = False,
    bias: tuple[ArrayLike, ArrayLike] | None = None,
    **control: Any,
) -> dict[str, Any]:
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
    grades : array_like, (m,) or (p,) as the positives, optional
        How relevant each positive is, above 0; what the measures of gain use. 1 for all if left out.
    metric : str, default "cosine"
        As in `pairwise_distances`, or "precomputed".
    k : int or sequence of int, default (1, 5, 10)
        Cut-offs of hit_rate@k and map@k, where metrics is left out.
    metrics : str or sequence of str, optional
        Names of `MEASURES`, with @k for a cut-off: "hit_rate@1,mrr,ndcg@10" or ["hit_rate@1", ..]. Left out:
        hit_rate@k, mrr, median_rank, mean_rank, map, map@k.
    ties : {"index", "optimistic", "pessimistic", "mean", "expected"}, default "index"
        Where equal scores come: by gallery row; positives first (the better grade before the other); last; the mean of
        those two ranks. Positives that are equal among themselves follow one another. "expected": the mean of the
        measure over all orders of equal scores, in closed form (McSherry and Najork 2008).
    empty : {"error", "skip", "neg", "pos"}, default "error"
        A query without positives: raise; leave it out; count it as never found (rank inf); as found first.
    groups : array_like, shape (m,), optional
        A label for each query: the mean over groups of what each group gives, so that all weigh the same.
    per_query : bool, default False
        Return the value of each query that is counted, arrays (m,) in the order of the queries, instead of their means.
    exclude_self : bool, default False
        Gallery row i is no answer to query i, nor a positive of it. Needs m == n.
    bias : (array_like (m,), array_like (n,)), optional
        Added to the distances (dot and precomputed: scores) as in `topk`; `matching.correction` makes those of CSLS and
        its like, minus the potentials f and g of a `Plan` those of Sinkhorn.
    **control
        As in `ranks`, and metric_kwargs. Of a ready score matrix max_bytes bounds the block in work.

    Returns
    -------
    dict
        queries (how many were counted), then each measure by its name. Ranks are those of the best positive; map@k has
        the number of positives as denominator, map_cap@k the smaller of it and k.

    Notes
    -----
    Up to 32 positives a query on average the ranks are those of `ranks`: exact, at its cost (twice for "mean" and
    "expected"). With more, blocks of float64 scores are sorted: m n log n, and values within 1e-13 of each other may
    change places. map is over the full list.

    Examples
    --------
    >>> retrieval([[0.1, 0.9], [0.2, 0.3]], positives=[0, 1], metric="precomputed", metrics="hit_rate@1,ndcg@2")
    {'queries': 2, 'hit_rate@1': 0.5, 'ndcg@2': 0.8154648767857288}
    """
    one_of("ties", ties, TIES)
    one_of("empty", empty, EMPTY)
    per_query, exclude_self = flag("per_query", per_query), flag("exclude_self", exclude_self)
    chosen = chosen_measures(usual_measures(k) if metrics is None else metrics)
    settled = resolve(cast(Control, {name: value for name, value in control.items() if name != "metric_kwargs"}))
    rows, others, m, n = _sides(queries, gallery, metric)
    if exclude_self and m != n:
        raise ValueError(
            f"exclude_self must be False unless there are as many queries as gallery rows, got {m} and {n}"
        )
    truth = positives_of(positives, labels, grades, m, n)
    added = biases(bias, (), m, n)
    group = group_labels(groups, m)
    if others is not None and truth.counts.sum() <= FEW_POSITIVES * m:
        parts = _counted(rows, others, metric, truth, exclude_self, {**control, "bias": added})
    else:
        step = _rows_per_block(n, settled.max_bytes)
        parts = _sorted(_score_blocks(rows, others, metric, step, added, control), truth, exclude_self)
    listings = (listed(*part, ties, n - exclude_self) for part in parts)
    values, missing = columns_of(listings, chosen)
    values = settle_empty(values, missing, chosen, empty)
    if per_query:
        return values
    kept = group[~missing] if group is not None and empty == "skip" else group
    counted = int((~missing).sum()) if empty == "skip" else m
    return {"queries": counted, **summary(values, chosen, kept)}


def _sides(queries: ArrayLike, gallery: ArrayLike | None, metric: str) -> tuple[Array, Array | None, int, int]:
    if (gallery is None) != (isinstance(metric, str) and metric == "precomputed"):
        raise ValueError(
            "gallery must be given unless metric='precomputed', where queries holds the scores, "
            f"got metric={brief(metric)}"
        )
    rows = rows_of("queries", queries)
    others = None if gallery is None else rows_of("gallery", gallery)
    return rows, others, len(rows), rows.shape[1] if others is None else len(others)


def _counted(
    rows: Array, others: Array, metric: str, truth: Positives, exclude_self: bool, control: dict[str, Any]
) -> Iterator[Part]:
    """All queries at once, by `ranks`: exact."""
    from .._operations import ranks

    bounds, columns, grades = truth.csr(0, len(rows))
    if exclude_self:
        bounds, columns, grades = _without_self(bounds, columns, grades, 0)
    yield (
        bounds,
        grades,
        lambda ties: ranks(rows, others, (bounds, columns), metric, ties=ties, exclude_self=exclude_self, **control),
    )


def _sorted(blocks: Iterator[tuple[int, Array]], truth: Positives, exclude_self: bool) -> Iterator[Part]:
    """Blocks of queries, by sorting their scores."""
    for start, scores in blocks:
        for begin, end in truth.spans(start, start + len(scores)):
            bounds, columns, grades = truth.csr(begin, end)
            if exclude_self:
                scores[np.arange(begin, end) - start, np.arange(begin, end)] = np.nan  # sorts behind everything
                bounds, columns, grades = _without_self(bounds, columns, grades, begin)
            rows = scores[begin - start : end - start]
            yield bounds, grades, partial(_ranks_in_rows, rows, np.split(columns, bounds[1:-1]))


def _rows_per_block(n: int, max_bytes: int) -> int:
    if max_bytes < BYTES_PER_SCORE * n:
        raise ValueError(f"max_bytes must be at least {BYTES_PER_SCORE * n} (one row of {n} scores), got {max_bytes}")
    return max(1, min(BLOCK_SCORES, max_bytes // BYTES_PER_SCORE) // n)


def _score_blocks(
    rows: Array, others: Array | None, metric: str, step: int, bias: Any, control: dict[str, Any]
) -> Iterator[tuple[int, Array]]:
    """(first row, scores (rows, n) float64, higher is better)."""
    from .._operations import pairwise_distances

    for start in range(0, len(rows), step):
        if others is not None:
            scores = pairwise_distances(rows[start : start + step], others, metric, dtype=np.float64, **control)
            _add(scores, bias, start)
            yield start, scores if metric == "dot" else np.negative(scores, out=scores)
        else:
            scores = np.array(rows[start : start + step], dtype=np.float64)
            finite = np.isfinite(scores)
            if not finite.all():
                row = int(np.argmin(finite.all(axis=1)))
                value = scores[row][~finite[row]][0]
                raise ValueError(f"queries must hold finite scores, got {value} in row {start + row}")
            _add(scores, bias, start)
            yield start, scores


def _add(scores: Array, bias: Any, start: int) -> None:
    if bias is not None:
        u, v = bias
        scores += u[start : start + len(scores), None] + v


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


def _without_self(bounds: Indices, columns: Indices, grades: Float64, start: int) -> tuple[Indices, Indices, Float64]:
    owner = owners(bounds)
    kept = columns != owner + start
    counts = np.bincount(owner[kept], minlength=len(bounds) - 1)
    return np.concatenate([[0], counts.cumsum()]), columns[kept], grades[kept]
