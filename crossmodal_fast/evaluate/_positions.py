"""From the ranks that a search gives for positives, by tie policy, to a `Listing`; and measures of ranks one has."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import numbers_of, one_of, whole
from .._validate import flag
from ._chosen import chosen_measures
from ._listing import Float64, Indices, Listing, grouped, settled
from ._measures import EMPTY, checked_ranks, owners
from ._positives import grades_of
from ._summary import columns_of, group_labels, settle_empty, summary

Array = NDArray[Any]


def listed(bounds: Indices, grades: Float64, ranks_by: Callable[[str], Array], ties: str, n: int) -> Listing:
    """Of each query's positives, given as CSR, by a tie policy, among n listed items."""
    owner, counts = owners(bounds), np.diff(bounds)
    retrieved = np.full(len(counts), n)
    ideal = owner, grades, retrieved, retrieved - counts
    if ties == "expected":
        best, worst = (np.asarray(ranks_by(side), dtype=np.int64) for side in ("optimistic", "pessimistic"))
        return grouped(owner, best, worst, grades, *ideal)
    if ties == "mean":
        first, order = _places(ranks_by, bounds, grades, "optimistic")
        last, _ = _places(ranks_by, bounds, grades, "pessimistic")
        return settled(owner, (first + last) / 2, grades[order], *ideal)
    places, order = _places(ranks_by, bounds, grades, ties)
    return settled(owner, places, grades[order], *ideal)


def _places(ranks_by: Callable[[str], Array], bounds: Indices, grades: Float64, ties: str) -> tuple[Float64, Indices]:
    """Ranks of each query's positives, ascending, those that share one set after one another; and whose they are."""
    owner = owners(bounds)
    ranks = np.asarray(ranks_by(ties), dtype=np.int64)
    order = np.lexsort((grades if ties == "pessimistic" else -grades, ranks, owner))
    ranks = ranks[order]
    # rank - place may only grow (or, seen from the end under "pessimistic", only shrink): one scan, queries kept apart.
    place = np.arange(len(ranks)) - bounds[owner]
    apart = place - owner * (2 * ranks.max(initial=0) + 2)
    if ties == "pessimistic":
        settled_ranks = np.minimum.accumulate((ranks - apart)[::-1])[::-1]
    else:
        settled_ranks = np.maximum.accumulate(ranks - apart)
    return np.asarray(settled_ranks + apart, dtype=np.float64), order


def from_ranks(
    ranks: ArrayLike,
    n: int,
    metrics: str | Iterable[str],
    *,
    indptr: ArrayLike | None = None,
    grades: ArrayLike | None = None,
    empty: str = "error",
    groups: ArrayLike | None = None,
    per_query: bool = False,
) -> dict[str, Any]:
    """Measures of ranks that are known, such as those of `ranks`.

    Parameters
    ----------
    ranks : array_like, shape (m,), or (p,) with indptr
        1-based rank of every positive, inf where it was not found; within a query in any order, but no two the same.
    n : int
        Items that each query was ranked among.
    metrics : str or sequence of str
        As in `retrieval`.
    indptr : array_like, shape (m + 1,), optional
        For several positives, or none: those of query i are ranks[indptr[i]:indptr[i + 1]].
    grades : array_like, shape of ranks, optional
    empty, groups, per_query
        As in `retrieval`.

    Returns
    -------
    dict
        Each measure by its name: a float, or (m,) with per_query. Cost: one sort of the ranks. Source: as of the
        measures, in the module's docstring; Järvelin and Kekäläinen 2002 for those of gain.

    Examples
    --------
    >>> from_ranks([1, 4, 2], 10, "hit_rate@1,mrr")["mrr"]
    0.5833333333333334
    """
    one_of("empty", empty, EMPTY)
    per_query, chosen = flag("per_query", per_query), chosen_measures(metrics)
    flat = numbers_of("ranks", ranks)
    bounds, flat = checked_ranks(np.arange(flat.size + 1) if indptr is None else indptr, flat)
    grade, m, listed_items = grades_of(grades, flat.shape), len(bounds) - 1, whole("n", n)
    past = np.isfinite(flat) & (flat > listed_items)
    if past.any():
        raise ValueError(f"ranks must be at most n, {n}, or inf, got {flat[past][0]}")
    owner = owners(bounds)
    order = np.lexsort((-grade, flat, owner))
    found = order[np.isfinite(flat[order])]
    retrieved = np.full(m, listed_items)
    unfound = np.maximum(retrieved - np.bincount(owner[found], minlength=m), 0)
    listing = settled(owner[found], flat[found], grade[found], owner, grade, retrieved, unfound)
    values, missing = columns_of([listing], chosen)
    values = settle_empty(values, missing, chosen, empty)
    group = group_labels(groups, m)
    if per_query:
        return values
    return summary(values, chosen, group[~missing] if group is not None and empty == "skip" else group)
