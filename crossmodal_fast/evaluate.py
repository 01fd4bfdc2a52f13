"""Retrieval measures from ranks: hit rate, MRR, median and mean rank, mAP, and what chance would give.

Ranks are 1-based. Every measure but average precision looks at the best-ranked positive of a query; `first_ranks` gives
it, infinity where a query has none. Several positives come as CSR: those of query i are at `indptr[i]:indptr[i + 1]`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .preprocess import rows_of

__all__ = [
    "average_precision",
    "chance",
    "count_positives",
    "first_ranks",
    "hit_rate",
    "mean_average_precision",
    "mean_rank",
    "median_rank",
    "mrr",
    "retrieval",
]

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]
Part = tuple[Indices, Callable[[str], Array]]  # indptr of some queries' positives; ties -> their ranks

BLOCK_SCORES = 1 << 21  # scores in work at a time: 16 MiB of float64
FEW_POSITIVES = 32  # a query, below which `ranks` counts: at 70 it took 1.5 times, at 1000 8 times as long as sorting
BLOCK_POSITIVES = 1 << 20  # positives in work at a time: 8 MiB of int64, and as much again for their ranks
TIES = ("index", "optimistic", "pessimistic", "mean")
EMPTY = ("error", "skip", "neg", "pos")


# ---------------------------------------------------------------------------------------------------- from ranks


def first_ranks(ranks: ArrayLike, indptr: ArrayLike) -> Float64:
    """Best rank of each query's positives: ranks (p,) in CSR order, indptr (m + 1,) -> (m,), inf where it has none."""
    bounds, flat = _csr(indptr, ranks)
    best = np.full(len(bounds) - 1, np.inf)
    np.minimum.at(best, _owners(bounds), flat)
    return best


def hit_rate(ranks: ArrayLike, k: int) -> float:
    """Share of queries whose best positive is among the first k; what CLIP papers call R@k. ranks (m,), from 1."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return float(np.mean(_ranks_array(ranks) <= k))


def mrr(ranks: ArrayLike) -> float:
    """Mean of 1 / rank over queries, 0 for infinite ranks. ranks (m,), from 1."""
    return float(np.mean(1 / _ranks_array(ranks)))


def median_rank(ranks: ArrayLike) -> float:
    """Median of the ranks (m,), from 1; the mean of the middle two where m is even, never floored."""
    return float(np.median(_ranks_array(ranks)))


def mean_rank(ranks: ArrayLike) -> float:
    """Mean of the ranks (m,), from 1."""
    return float(np.mean(_ranks_array(ranks)))


def average_precision(
    ranks: ArrayLike,
    indptr: ArrayLike,
    k: int | None = None,
    *,
    denominator: str = "positives",
) -> Float64:
    """Average precision of each query, over the full list or its first k.

    Parameters
    ----------
    ranks : array_like, shape (p,)
        1-based rank of every positive, in CSR order; within a query in any order, but no two the same.
    indptr : array_like, shape (m + 1,)
    k : int, optional
        Only ranks up to k count.
    denominator : {"positives", "capped"}, default "positives"
        R, the number of positives (trec_eval's map_cut), or min(R, k). The same without k.

    Returns
    -------
    ndarray, shape (m,)
        sum_i (i / rank_i) / R over a query's positives in ascending rank, i from 1; NaN for a query without positives.
        Cost: one sort of the ranks.
    """
    if denominator not in ("positives", "capped"):
        raise ValueError(f"denominator must be 'positives' or 'capped', got {denominator!r}")
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    bounds, flat = _csr(indptr, ranks)
    owner = _owners(bounds)
    flat = flat[np.lexsort((flat, owner))]
    precision = (np.arange(len(flat)) - bounds[owner] + 1) / flat
    if k is not None:
        precision = np.where(flat <= k, precision, 0.0)
    counts = np.diff(bounds)
    total = np.bincount(owner, weights=precision, minlength=len(counts))
    most = counts if k is None or denominator == "positives" else np.minimum(counts, k)
    return cast(Float64, np.where(counts > 0, total / np.maximum(most, 1), np.nan))


def mean_average_precision(
    ranks: ArrayLike,
    indptr: ArrayLike,
    k: int | None = None,
    *,
    denominator: str = "positives",
    empty: str = "error",
) -> float:
    """Mean of `average_precision` over queries; `empty` as in `retrieval`."""
    each = average_precision(ranks, indptr, k, denominator=denominator)
    return float(np.mean(_filled(each, np.isnan(each), empty, 0.0)))


def _ranks_array(ranks: ArrayLike) -> Float64:
    values = np.asarray(ranks, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"ranks must have shape (m,) with m >= 1, got {values.shape}")
    if not (values >= 1).all():
        raise ValueError(f"ranks must be at least 1 (inf: not found), got {values[~(values >= 1)][0]}")
    return values


def _csr(indptr: ArrayLike, flat: ArrayLike, name: str = "ranks") -> tuple[Indices, Float64]:
    bounds, values = np.asarray(indptr), np.asarray(flat, dtype=np.float64)
    if (
        bounds.ndim != 1
        or len(bounds) < 2
        or bounds[0] != 0
        or bounds[-1] != values.size
        or (np.diff(bounds) < 0).any()
    ):
        raise ValueError(
            f"indptr must ascend from 0 to the {values.size} {name}, with one entry more than there are queries, "
            f"got {np.array2string(bounds, threshold=6)}"
        )
    return bounds.astype(np.int64), values


def _owners(bounds: Indices) -> Indices:
    return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


def _filled(values: Float64, missing: NDArray[np.bool_], empty: str, worst: float) -> Float64:
    """The policy for queries without positives: `worst` is what "neg" gives, 1 what "pos" gives."""
    _one_of("empty", empty, EMPTY)
    if empty == "error" and missing.any():
        raise ValueError(
            f"every query must have a positive, got {int(missing.sum())} without, query {int(missing.argmax())} first; "
            "empty='skip', 'neg' or 'pos' allows it"
        )
    if empty == "skip":
        if missing.all():
            raise ValueError(f"at least one query must have a positive, got none for all {len(missing)}")
        return values[~missing]
    return np.where(missing, 1.0 if empty == "pos" else worst, values)


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


# ---------------------------------------------------------------------------------------------------- chance


def count_positives(query_labels: ArrayLike, gallery_labels: ArrayLike) -> Indices:
    """How many gallery items share each query's label: (m,), (n,) -> (m,) int64."""
    wanted, ordered = np.asarray(query_labels), np.sort(np.asarray(gallery_labels))
    return np.searchsorted(ordered, wanted, side="right") - np.searchsorted(ordered, wanted, side="left")


def chance(
    n: int, positives: ArrayLike = 1, *, k: Sequence[int] = (1, 5, 10), empty: str = "error"
) -> dict[str, float]:
    """Expected measures of a random order of the gallery, in closed form.

    Parameters
    ----------
    n : int
        Gallery items.
    positives : int or array_like, shape (m,)
        Number of positives R of each query, in 0..n.
    k : sequence of int
        Cut-offs for hit_rate@k and map@k; beyond n they count as n.
    empty : {"error", "skip", "neg", "pos"}, default "error"
        As in `retrieval`.

    Returns
    -------
    dict
        The keys of `retrieval` but queries and median_rank, each the mean over queries of
        hit_rate@k = 1 - C(n-R, k) / C(n, k); mrr = sum_r P(first = r) / r; mean_rank = (n + 1) / (R + 1);
        map = H_n / n * (1 - a) + a with a = (R - 1) / (n - 1); map@k likewise from the first k terms. Cost: n for each
        distinct R. Source: elementary; the map is that of one tie group of n items in McSherry and Najork 2008.

    Examples
    --------
    >>> chance(4, k=(1, 2))["hit_rate@2"]
    0.5
    """
    counts = np.atleast_1d(np.asarray(positives, dtype=np.int64))
    if n < 1 or counts.min() < 0 or counts.max() > n:
        raise ValueError(f"positives must be in 0..n with n at least 1, got {counts.min()}..{counts.max()} and n = {n}")
    for cut in k:
        if cut < 1:
            raise ValueError(f"k must be at least 1, got {cut}")
    distinct, inverse = np.unique(counts, return_inverse=True)
    position = np.arange(1, n + 1)
    rows = []
    for R in distinct.tolist():
        # P(first > r) as a running product, r = 0..n
        later = np.concatenate([[1.0], np.cumprod(np.maximum(n - R - position + 1, 0) / (n - position + 1))])
        a = (R - 1) / (n - 1) if n > 1 else 1.0
        terms = np.cumsum(R / n * (1 + (position - 1) * a) / position) / max(R, 1)
        cuts = [min(cut, n) for cut in k]
        rows.append(
            [
                *(1 - later[cuts]),
                ((later[:-1] - later[1:]) / position).sum(),
                (n + 1) / (R + 1),
                terms[-1],
                *terms[[cut - 1 for cut in cuts]],
            ]
        )
    each = np.array(rows)[inverse]
    names = [*(f"hit_rate@{cut}" for cut in k), "mrr", "mean_rank", "map", *(f"map@{cut}" for cut in k)]
    missing = counts == 0
    return {
        name: float(np.mean(_filled(column, missing, empty, np.inf if name == "mean_rank" else 0.0)))
        for name, column in zip(names, each.T, strict=True)
    }


# ---------------------------------------------------------------------------------------------------- from embeddings


def retrieval(
    queries: ArrayLike,
    gallery: ArrayLike | None = None,
    positives: Any = None,
    *,
    labels: tuple[ArrayLike, ArrayLike] | None = None,
    metric: str = "cosine",
    k: Sequence[int] = (1, 5, 10),
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
    k : sequence of int, default (1, 5, 10)
        Cut-offs of hit_rate@k and map@k.
    ties : {"index", "optimistic", "pessimistic", "mean"}, default "index"
        Where equal scores come: by gallery row; positives first; last; the mean of those two ranks. Positives that are
        equal among themselves follow one another.
    empty : {"error", "skip", "neg", "pos"}, default "error"
        A query without positives: raise; leave it out; count it as never found (rank inf); as found first.
    exclude_self : bool, default False
        Gallery row i is no answer to query i, nor a positive of it. Needs m == n.
    **control
        Of `ranks` and `pairwise_distances`; metric_kwargs too.

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
    _one_of("ties", ties, TIES)
    _one_of("empty", empty, EMPTY)
    cuts = tuple(k)
    rows, others, m, n = _sides(queries, gallery, metric)
    if exclude_self and m != n:
        raise ValueError(
            f"exclude_self must be False unless there are as many queries as gallery rows, got {m} and {n}"
        )
    truth = _truth(positives, labels, m, n)
    if others is not None and truth.counts.sum() <= FEW_POSITIVES * m:
        parts = _counted(rows, others, metric, truth, exclude_self, control)
    else:
        parts = _sorted(_score_blocks(rows, others, metric, control), truth, exclude_self)
    first, precisions = [], []
    for bounds, ranks_by in parts:
        ranks = _positions(ranks_by, bounds, ties)
        first.append(first_ranks(ranks, bounds))
        precisions.append(np.stack([average_precision(ranks, bounds, cut) for cut in (None, *cuts)], axis=1))
    best, precision = np.concatenate(first), np.concatenate(precisions)
    missing = np.isinf(best)
    counted = _filled(best, missing, empty, np.inf)
    means = [float(np.mean(_filled(column, missing, empty, 0.0))) for column in precision.T]
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
    rows: Array, others: Array, metric: str, truth: "_Truth", exclude_self: bool, control: dict[str, Any]
) -> Iterator[Part]:
    """All queries at once, by `ranks`: exact."""
    from ._operations import ranks

    bounds, columns = truth.csr(0, len(rows))
    if exclude_self:
        bounds, columns = _without_self(bounds, columns, 0)
    yield (
        bounds,
        lambda ties: ranks(rows, others, (bounds, columns), metric, ties=ties, exclude_self=exclude_self, **control),
    )


def _sorted(blocks: Iterator[tuple[int, Array]], truth: "_Truth", exclude_self: bool) -> Iterator[Part]:
    """Blocks of queries, by sorting their scores."""
    for start, scores in blocks:
        for begin, end in truth.spans(start, start + len(scores)):
            bounds, columns = truth.csr(begin, end)
            if exclude_self:
                scores[np.arange(begin, end) - start, np.arange(begin, end)] = np.nan  # sorts behind everything
                bounds, columns = _without_self(bounds, columns, begin)
            rows = scores[begin - start : end - start]
            yield bounds, partial(_ranks_in_rows, rows, np.split(columns, bounds[1:-1]))


def _score_blocks(
    rows: Array, others: Array | None, metric: str, control: dict[str, Any]
) -> Iterator[tuple[int, Array]]:
    """(first row, scores (rows, n) float64, higher is better)."""
    from ._operations import pairwise_distances

    step = max(1, BLOCK_SCORES // (rows.shape[1] if others is None else len(others)))
    for start in range(0, len(rows), step):
        if others is not None:
            scores = pairwise_distances(rows[start : start + step], others, metric, dtype=np.float64, **control)
            yield start, scores if metric == "dot" else np.negative(scores, out=scores)
        else:
            scores = np.array(rows[start : start + step], dtype=np.float64)
            finite = np.isfinite(scores).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise ValueError(f"queries must hold finite scores, got NaN or infinity in row {row}")
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
    owner = _owners(bounds)
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
    owner = _owners(bounds)
    kept = columns != owner + start
    return np.concatenate([[0], np.bincount(owner[kept], minlength=len(bounds) - 1).cumsum()]), columns[kept]


@dataclass(frozen=True)
class _Truth:
    """Positives of queries start..stop as CSR, made when asked for: under labels they may be as many as the scores."""

    counts: Indices
    csr: Callable[[int, int], tuple[Indices, Indices]]

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """start..stop in runs of at most BLOCK_POSITIVES positives (or one query)."""
        while start < stop:
            running = np.cumsum(self.counts[start:stop])
            end = start + max(1, int(np.searchsorted(running, BLOCK_POSITIVES, side="right")))
            yield start, min(end, stop)
            start = end


def _truth(positives: Any, labels: tuple[ArrayLike, ArrayLike] | None, m: int, n: int) -> _Truth:
    if labels is not None:
        if positives is not None:
            raise ValueError("positives must be left out where labels are given, got both")
        return _truth_by_label(np.asarray(labels[0]), np.asarray(labels[1]), m, n)
    if positives is None:
        if m != n:
            raise ValueError(f"positives or labels must be given for {m} queries and {n} gallery rows, got neither")
        positives = np.arange(m)
    if isinstance(positives, tuple):
        bounds, columns = np.asarray(positives[0]), np.asarray(positives[1])
        _csr(bounds, columns, "indices")
        if len(bounds) != m + 1:
            raise ValueError(f"indptr must have {m + 1} entries, one more than there are queries, got {len(bounds)}")
    else:
        columns = np.asarray(positives)
        if columns.shape != (m,):
            raise ValueError(f"positives must have shape ({m},), one for each query, or be CSR, got {columns.shape}")
        bounds = np.concatenate([[0], np.cumsum(columns != -1)])
        columns = columns[columns != -1]
    if columns.dtype.kind not in "iu" and columns.size:
        raise TypeError(f"positives must hold whole numbers, got dtype {columns.dtype}")
    if columns.size and not (columns.min() >= 0 and columns.max() < n):
        worst = columns.min() if columns.min() < 0 else columns.max()
        raise ValueError(f"positives must be in 0..{n - 1} (the gallery rows), got {worst}")
    bounds, columns = bounds.astype(np.int64), columns.astype(np.int64)
    return _Truth(
        np.diff(bounds),
        lambda start, stop: (bounds[start : stop + 1] - bounds[start], columns[bounds[start] : bounds[stop]]),
    )


def _truth_by_label(wanted: Array, offered: Array, m: int, n: int) -> _Truth:
    if wanted.shape != (m,) or offered.shape != (n,):
        raise ValueError(
            f"labels must have shapes ({m},) and ({n},), one for each query and gallery row, "
            f"got {wanted.shape} and {offered.shape}"
        )
    order = np.argsort(offered, kind="stable")
    first = np.searchsorted(offered[order], wanted, side="left")
    counts = count_positives(wanted, offered)

    def csr(start: int, stop: int) -> tuple[Indices, Indices]:
        bounds = np.concatenate([[0], np.cumsum(counts[start:stop])])
        owner = _owners(bounds)
        return bounds, order[first[start:stop][owner] + np.arange(bounds[-1]) - bounds[owner]]

    return _Truth(counts, csr)
