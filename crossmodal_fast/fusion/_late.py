"""The public functions of late fusion."""

import inspect
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from .._arguments import one_of
from .._arrays import given_back
from ..matching import Matches
from ._normalizers import NORMALIZERS
from ._rules import METHODS
from ._tables import applied, one_kind
from ._weights import weights_of


def fuse(
    scores: Sequence[Any],
    weights: ArrayLike | None = None,
    *,
    method: str = "weighted_sum",
    normalizer: str = "none",
    **options: Any,
) -> Any:
    """One score of each pair, from the scores or the ranks that several modalities give it.

    Parameters
    ----------
    scores : sequence of array_like (m, n), or sequence of Matches
        One per modality, higher is better. NaN in a matrix: this modality has no score for the pair. A list: the pairs
        it does not hold.
    weights : array_like, shape (modalities,), optional
        Non-negative, 1 each where left out; a modality of weight 0 is not heard. max, min and median take equal ones.
    method : str, default "weighted_sum"
        With x the scores and r the ranks (from 1, ties by lowest column) that the h heard modalities give a pair, w
        their weights, sums over them:

        - weighted_sum: sum w x / sum w, as `weighted_sum`.
        - sum, mnz, gmnz, anz: sum w x; h times that; h^gamma times that (gamma=2); sum w x / sum w.
        - max, min, median: of x.
        - product: prod x^(w / sum w), log-linear pooling; x >= 0, what is below 1e-9 counts as 1e-9.
        - reciprocal_rank: sum w / (k + r) (k=60), as `reciprocal_rank_fusion`.
        - isr, log_isr, logn_isr: h, log h or log(h + sigma) (sigma=0.01) times sum w / r^2.
        - rbc: sum w (1 - phi) phi^(r - 1) (phi=0.8).
        - borda: sum w (c - r + 1), c the candidates of the query over all modalities; those that a list leaves out
          share the points that are left, (c - len(list) + 1) / 2 each; an empty list gives none.
        - condorcet: how many other candidates the pair beats by the majority of weights, a draw counting half
          (Copeland). What a modality ranks is ahead of what it leaves out.
    normalizer : str, default "none"
        Applied first, as in `weighted_sum`.
    **options
        The keywords that the method has above: gamma, k, sigma, phi.

    Returns
    -------
    ndarray (m, n) float64, or Matches
        In a matrix NaN where no modality scores the pair (0 for the methods of reciprocal ranks, isr and rbc). Of lists
        the union of each query's, best first, ties by lowest column.

    Raises
    ------
    TypeError, ValueError
        The scores are of several shapes or kinds or infinite; an unknown method, normaliser or keyword.

    Notes
    -----
    Cost: some passes over the scores, a sort of each row for ranks; condorcet takes modalities x c^2 a query. Sources:
    Fox and Shaw 1994 (sum, mnz, anz, max, min, median), Lee 1997 (gmnz), Cormack, Clarke, Büttcher 2009
    (reciprocal_rank), Mourão et al. 2015 (isr), Bailey et al. 2017 (rbc), Aslam and Montague 2001 (borda), Montague and
    Aslam 2002 (condorcet).

    Examples
    --------
    >>> fuse([[[0.0, 1.0]], [[0.5, 0.25]]], method="max")
    array([[0.5, 1. ]])
    >>> fuse([[[0.9, 0.1, 0.5]], [[0.2, 0.1, 0.3]], [[0.3, 0.2, 0.4]]], method="condorcet")
    array([[1., 0., 2.]])
    """
    given = one_kind(scores)
    make, normal = (
        METHODS[one_of("method", method, METHODS)],
        NORMALIZERS[one_of("normalizer", normalizer, NORMALIZERS)],
    )
    known = list(inspect.signature(make).parameters)
    for name in options:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise TypeError(f"keywords of method={method!r} must be among: {allowed}, got {name}")
    found = applied(given, weights_of(weights, len(given)), normal, make(**options))
    return given_back(given[0].rows if isinstance(given[0], Matches) else given[0], found)


def weighted_sum(scores: Sequence[Any], weights: ArrayLike | None = None, *, normalizer: str = "none") -> Any:
    """Weighted mean of the modalities' scores (CombSUM, linear combination).

    Parameters
    ----------
    scores : sequence of array_like (m, n), or sequence of Matches
        One per modality. NaN in a matrix: this modality has no score for the pair.
    weights : array_like, shape (modalities,), optional
        Non-negative; scaled to sum to 1 over the modalities that are there. Equal where left out.
    normalizer : {"none", "minmax", "zmuv", "sum", "max", "rank", "inverted_minmax", "borda"}, default "none"
        Applied first to each row (each query's list) of each modality. minmax: (x - min) / (max - min). zmuv: zero
        mean, unit variance (divisor n). sum: (x - min) / sum(x - min). max: x / max. rank: 1 - (rank - 1) / n.
        inverted_minmax: (max - x) / (max - min), for distances. borda: 1 - (rank - 1) / c, c the candidates of the
        query over all modalities, and 1/2 - (n - 1) / (2 c) for those that the list leaves out. A divisor below 1e-9
        becomes 1e-9.

    Returns
    -------
    ndarray (m, n) float64, or Matches
        For matrices the mean over the modalities that score the pair, NaN where none does. For lists, items that a list
        does not hold add 0 from it; the union of the lists, best first, ties by lowest column.

    Notes
    -----
    Cost: a few passes over the scores, a sort for "rank". Definitions: Fox and Shaw 1994 (CombSUM); Renda and Straccia
    2003 (normalisers).

    Examples
    --------
    >>> weighted_sum([[[0.0, 1.0]], [[0.5, 0.25]]], weights=[3, 1])
    array([[0.125 , 0.8125]])
    """
    return fuse(scores, weights, normalizer=normalizer)


def reciprocal_rank_fusion(scores: Sequence[Any], weights: ArrayLike | None = None, *, k: float = 60.0) -> Any:
    """Sum over the modalities of weight / (k + rank): blind to the scale of the scores.

    Parameters
    ----------
    scores : sequence of array_like (m, n), or sequence of Matches
        One per modality; only the order within a row counts, ties by lowest column. NaN: not ranked.
    weights : array_like, shape (modalities,), optional
        Non-negative; 1 each where left out.
    k : float, default 60
        At least 0. The larger, the less the first ranks stand out.

    Returns
    -------
    ndarray (m, n) float64, or Matches
        What no modality ranks has score 0 in a matrix and is absent from a list. Lists are best first, ties by lowest
        column.

    Notes
    -----
    Cost: one sort per row. Source: Cormack, Clarke, Büttcher 2009; ranks start at 1.

    Examples
    --------
    >>> reciprocal_rank_fusion([[[0.9, 0.1]], [[0.8, 0.3]]], k=1)
    array([[1.        , 0.66666667]])
    """
    return fuse(scores, weights, method="reciprocal_rank", k=k)
