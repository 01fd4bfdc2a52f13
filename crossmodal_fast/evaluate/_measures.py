"""Measures of ranks that are known."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, numbers_of, one_of, several, whole

Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

EMPTY = ("error", "skip", "neg", "pos")  # what to do about queries without positives


def first_ranks(ranks: ArrayLike, indptr: ArrayLike) -> Float64:
    """Best rank of each query's positives: ranks (p,) in CSR order, indptr (m + 1,) -> (m,), inf where it has none.

    Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> first_ranks([4, 2, 7], [0, 2, 3, 3])
    array([ 2.,  7., inf])
    """
    bounds, flat = checked_ranks(indptr, ranks)
    best = np.full(len(bounds) - 1, np.inf)
    np.minimum.at(best, owners(bounds), flat)
    return best


def hit_rate(ranks: ArrayLike, k: int) -> float:
    """Share of queries whose best positive is among the first k; what CLIP papers call R@k. ranks (m,), from 1.

    Cost: one pass. Source: direct from the definition, mean of [rank <= k].

    Examples
    --------
    >>> hit_rate([1, 3, 2, 9], 2)
    0.5
    """
    return float(np.mean(_ranks_array(ranks) <= whole("k", k)))


def mrr(ranks: ArrayLike) -> float:
    """Mean of 1 / rank over queries, 0 for infinite ranks. ranks (m,), from 1.

    Cost: one pass. Source: Voorhees 1999.

    Examples
    --------
    >>> mrr([1, 2, 4, np.inf])
    0.4375
    """
    return float(np.mean(1 / _ranks_array(ranks)))


def median_rank(ranks: ArrayLike) -> float:
    """Median of the ranks (m,), from 1; the mean of the middle two where m is even, never floored.

    Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> median_rank([1, 9, 2, 5])
    3.5
    """
    return float(np.median(_ranks_array(ranks)))


def mean_rank(ranks: ArrayLike) -> float:
    """Mean of the ranks (m,), from 1.

    Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> mean_rank([1, 9, 2])
    4.0
    """
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
        Cost: one sort of the ranks. Source: Buckley and Voorhees 2000.

    Examples
    --------
    >>> average_precision([1, 4, 2], [0, 2, 3])
    array([0.75, 0.5 ])
    """
    one_of("denominator", denominator, ("positives", "capped"))
    if k is not None:
        whole("k", k)
    bounds, flat = checked_ranks(indptr, ranks)
    owner = owners(bounds)
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
    """Mean of `average_precision` over queries: ranks (p,), indptr (m + 1,); `empty` as in `retrieval`.

    Cost: one sort of the ranks. Source: as of `average_precision`, Buckley and Voorhees 2000.

    Examples
    --------
    >>> mean_average_precision([1, 4, 2], [0, 2, 3])
    0.625
    """
    each = average_precision(ranks, indptr, k, denominator=denominator)
    return float(np.mean(filled(each, np.isnan(each), empty, 0.0)))


def filled(values: Float64, missing: NDArray[np.bool_], empty: str, worst: float) -> Float64:
    """The policy for queries without positives: `worst` is what "neg" gives, 1 what "pos" gives."""
    one_of("empty", empty, EMPTY)
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


def cut_offs(k: int | Sequence[int]) -> tuple[int, ...]:
    """k of hit_rate@k and map@k: one, or several."""
    alone = k is None or isinstance(k, Integral | float | str | bytes) or not isinstance(k, Iterable)
    return tuple(whole("k", cut) for cut in ([k] if alone else several("k", k)))


def owners(bounds: Indices) -> Indices:
    """The query that each entry of a CSR belongs to."""
    return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


def checked_bounds(indptr: ArrayLike, count: int, name: str) -> Indices:
    """indptr of a CSR with `count` entries, which the sentences call `name`."""
    bounds = array_of("indptr", indptr)
    if bounds.dtype.kind not in "iu":
        raise TypeError(f"indptr must hold whole numbers, got dtype {bounds.dtype}")
    if bounds.ndim != 1 or len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != count or (bounds[1:] < bounds[:-1]).any():
        raise ValueError(
            f"indptr must ascend from 0 to the {count} {name}, with one entry more than there are queries, "
            f"got {np.array2string(bounds, threshold=6)}"
        )
    return bounds.astype(np.int64)


def checked_ranks(indptr: ArrayLike, ranks: ArrayLike) -> tuple[Indices, Float64]:
    """indptr and ranks of a CSR."""
    flat = _flat_ranks(ranks)
    return checked_bounds(indptr, len(flat), "ranks"), flat


def _ranks_array(ranks: ArrayLike) -> Float64:
    flat = _flat_ranks(ranks)
    if not flat.size:
        raise ValueError(f"ranks must have shape (m,) with m >= 1, got {flat.shape}")
    return flat


def _flat_ranks(ranks: Any) -> Float64:
    flat = numbers_of("ranks", ranks)
    if flat.ndim != 1:
        raise ValueError(f"ranks must have shape (m,) with m >= 1, got {flat.shape}")
    if not (flat >= 1).all():
        raise ValueError(f"ranks must be at least 1 (inf: not found), got {flat[~(flat >= 1)][0]}")
    return flat
