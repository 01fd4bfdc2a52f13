"""What a random order of the gallery would give, in closed form."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import array_of, whole
from ._chosen import chosen_measures, usual_measures
from ._listing import grouped
from ._summary import columns_of, settle_empty, summary


def chance(
    n: int,
    positives: ArrayLike = 1,
    *,
    k: int | Sequence[int] = (1, 5, 10),
    metrics: str | Iterable[str] | None = None,
    empty: str = "error",
) -> dict[str, float]:
    """Expected measures of a random order of the gallery, in closed form.

    Parameters
    ----------
    n : int
        Gallery items.
    positives : int or array_like, shape (m,)
        Number of positives R of each query, in 0..n.
    k : int or sequence of int
        Cut-offs for hit_rate@k and map@k, where metrics is left out; beyond n they count as n.
    metrics : str or sequence of str, optional
        As in `retrieval`, of measures that have an expected value under ties; every grade is 1.
    empty : {"error", "skip", "neg", "pos"}, default "error"
        As in `retrieval`.

    Returns
    -------
    dict
        The measures that were asked for, or hit_rate@k, mrr, mean_rank, map and map@k: each is what ties="expected"
        gives where all n items are equal, such as mean_rank = (n + 1) / (R + 1). Cost: n for each distinct R.
        Source: McSherry and Najork 2008.

    Examples
    --------
    >>> chance(4, k=(1, 2))["hit_rate@2"]
    0.5
    """
    counts = np.atleast_1d(array_of("positives", positives))
    if counts.size and counts.dtype.kind not in "iu":
        raise TypeError(f"positives must hold whole numbers, got dtype {counts.dtype}")
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"positives must be a number or have shape (m,) with m >= 1, got {counts.shape}")
    if counts.min() < 0 or counts.max() > whole("n", n):
        raise ValueError(f"positives must be in 0..{n} (the gallery rows), got {counts.min()}..{counts.max()}")
    asked = usual_measures(k, without="median_rank") if metrics is None else metrics
    chosen = chosen_measures(asked)
    distinct, inverse = np.unique(counts, return_inverse=True)
    owner = np.repeat(np.arange(len(distinct)), distinct)
    first, grade, listed = np.ones(len(owner), dtype=np.int64), np.ones(len(owner)), np.full(len(distinct), n)
    listing = grouped(owner, first, first * n, grade, owner, grade, listed, listed - distinct)
    values, missing = columns_of([listing], chosen)
    settled = settle_empty({name: each[inverse] for name, each in values.items()}, missing[inverse], chosen, empty)
    return summary(settled, chosen)
