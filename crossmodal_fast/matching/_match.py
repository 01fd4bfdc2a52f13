"""Matching two modalities: pairs of rows with their scores, from embeddings or from a ready score matrix.

A method asks its `Source` for the best columns of each row, or for those and the best rows of each column, and keeps
some of the pairs. A new method is one such function and a line in `METHODS`.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from .._arguments import one_of
from ._neighbours import mutual, topk
from ._results import Matches
from ._sources import Source, source_of

METHODS: dict[str, Callable[[Source, int], Matches]] = {"topk": topk, "mutual": mutual}


def match(
    X: ArrayLike,
    Y: ArrayLike | None = None,
    method: str = "topk",
    *,
    k: int = 1,
    metric: str = "cosine",
    **keywords: Any,
) -> Matches:
    """Pairs of rows that belong together, as a flat list with scores.

    Parameters
    ----------
    X : array_like, shape (m, d), or (m, n) with metric="precomputed"
        Queries; or ready scores of any real dtype, finite, higher is better, read in blocks so that a memory map may be
        larger than memory.
    Y : array_like, shape (n, d)
        Gallery; None with metric="precomputed".
    method : {"topk", "mutual"}, default "topk"
        "topk": the k best columns of each row. "mutual": of these, the pairs where the row is also among the k best of
        its column (k=1: mutual nearest neighbours, each row and column at most once).
    k : int, default 1
    metric : str, default "cosine"
        As in `topk`, or "precomputed".
    **keywords
        Those of `topk` (mask, exclude, bias, metric_kwargs, dtype, backend, max_bytes, ..); with metric="precomputed"
        the control arguments, of which max_bytes counts.

    Returns
    -------
    Matches
        rows (p,) int64 and columns (p,) int64, ascending rows, best first within a row, ties by lowest column; scores
        (p,), always higher is better: the similarity for cosine, correlation and dot (1 - distance for the first two),
        minus the distance for other metrics, the scores themselves for precomputed.

    Raises
    ------
    ValueError
        An unknown method, k out of range, wrong shapes, non-finite values.
    TypeError
        A keyword that does not apply.

    Notes
    -----
    Exact, as `topk` and `topk_both`; cost is theirs, one pass for both directions. Precomputed: one pass over X.

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> match([[0.9, 0.1], [0.8, 0.7]], method="mutual", metric="precomputed").pairs
    array([[0, 0]])
    """
    return METHODS[one_of("method", method, METHODS)](source_of(X, Y, metric, keywords), k)
