"""Matching two modalities: pairs of rows with their scores, from embeddings or from a ready score matrix.

A method asks its `Source` for the best columns of each row, or for those and the best rows of each column, and keeps
some of the pairs. A new method is one such function, whose keyword arguments are its options, and a line in `METHODS`.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import brief, one_of
from .._arrays import given_back
from .._config import config_context, resolve
from .._search import running
from ._alignment import itermax
from ._assignment import assignment
from ._greedy import greedy
from ._hubness import csls, margin, nnn
from ._neighbours import mutual, topk
from ._proximity import mutual_proximity
from ._results import Matches, with_scores
from ._scaling import dissim_local, local_scaling, nicdm
from ._softmax import dual_softmax, inverted_softmax, qb_norm, softmax_prior
from ._sources import FILTERS, source_of
from ._transport import sinkhorn


@dataclass(frozen=True)
class Method:
    """A way of choosing pairs; `filters`: what may restrict which of them match; `of_none`: also without rows."""

    run: Callable[..., Matches]
    filters: tuple[str, ...] = FILTERS
    of_none: bool = False

    @cached_property
    def options(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.run).parameters)[1:]


ITSELF = ("exclude_self",)

METHODS: dict[str, Method] = {
    "topk": Method(topk, of_none=True),
    "mutual": Method(mutual),
    "csls": Method(csls),
    "margin": Method(margin),
    "nnn": Method(nnn),
    "inverted_softmax": Method(inverted_softmax, filters=()),
    "dual_softmax": Method(dual_softmax, filters=()),
    "softmax_prior": Method(softmax_prior, filters=()),
    "qb_norm": Method(qb_norm, filters=()),
    "local_scaling": Method(local_scaling, filters=ITSELF),
    "nicdm": Method(nicdm, filters=ITSELF),
    "dissim_local": Method(dissim_local, filters=ITSELF),
    "mutual_proximity": Method(mutual_proximity, filters=ITSELF),
    "greedy": Method(greedy, filters=()),
    "assignment": Method(assignment, filters=()),
    "sinkhorn": Method(sinkhorn, filters=()),
    "itermax": Method(itermax, filters=()),
}


def match(
    X: ArrayLike,
    Y: ArrayLike | None = None,
    method: str = "topk",
    *,
    k: int | None = None,
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
    method : str, default "topk"
        One of those below.
    k : int, default 1
        Columns of each row, where the method takes it.
    metric : str, default "cosine"
        As in `topk`, or "precomputed".
    **keywords
        Options of the method; those of `topk` (mask, exclude, bias, metric_kwargs, dtype, backend, max_bytes, ..); with
        metric="precomputed" the control arguments, of which max_bytes counts.

    Returns
    -------
    Matches
        rows (p,) int64 and columns (p,) int64, ascending rows, best first within a row, ties by lowest column; scores
        (p,), always higher is better. s_ij is the similarity for cosine, correlation and dot (1 - distance for the
        first two), minus the distance for other metrics, the score itself for precomputed.

    Raises
    ------
    ValueError
        An unknown method, k out of range, wrong shapes, non-finite values.
    TypeError
        A keyword that does not apply.

    Notes
    -----
    Methods, with their options and the score that they return:

    - "topk" (k): the k best columns of each row; s_ij.
    - "mutual" (k): of these, the pairs where the row is also among the k best of its column (k=1: mutual nearest
      neighbours, each row and column at most once); s_ij.
    - "csls" (k, neighbours=10, retrieval): 2 s_ij - r_i - r_j, r being means over the nearest `neighbours` of the other
      side. Transductive: r_j depends on all queries. Conneau et al. 2018.
    - "margin" (k, margin="ratio", neighbours=4, retrieval="max"): with b_ij = (r_i + r_j) / 2, "absolute" s_ij,
      "distance" s_ij - b_ij, or "ratio" s_ij / b_ij, the last among the `neighbours` of a row (or column) only. A pair
      mining method: transductive. Artetxe and Schwenk 2019.
    - "nnn" (bank, k, alpha=0.75, neighbours=128, retrieval): s_ij - alpha r_j, r_j being the mean over the nearest
      `neighbours` in a bank (b, d) of queries (precomputed: their scores (b, n)). Chowdhury et al. 2024.
    - "inverted_softmax" (k, beta=20, bank, retrieval): beta s_ij - L_j, L_j = log sum_i exp(beta s_ij) over the
      queries, which makes it transductive, or over a bank. Smith et al. 2017.
    - "dual_softmax" (k, beta=20, retrieval): 2 beta s_ij - L_i - L_j, the log of both softmaxes multiplied;
      transductive. "softmax_prior" (k, beta=20): s_ij exp(beta s_ij - L_j); transductive. Cheng et al. 2021.
    - "qb_norm" (bank, k, beta=20, activation=1): beta s_ij - L_j over the bank for queries whose best column is one of
      the `activation` best of a bank query, else beta s_ij. Bogolin et al. 2022.
    - "local_scaling" (k, neighbours=10, retrieval): -d_ij^2 / (s_i s_j), d the distance, s the distance to the
      neighbours-th nearest on the other side: the log of Zelnik-Manor and Perona's affinity (2004). "nicdm": the same
      with -d_ij / (m_i m_j)^1/2, m the mean distance to the nearest `neighbours`. "dissim_local", of squared Euclidean
      distances: |x_i - c_i|^2 + |y_j - c_j|^2 - d_ij^2, c the centroid of the nearest (Hara et al. 2016).
      "mutual_proximity" (k, distribution="normal", retrieval): P(D_i > d_ij) P(D_j > d_ij), D_i being the distances of
      row i to all columns, D_j of column j to all rows, both taken as normal (the score is the logarithm) or with
      "empirical" as they are. Schnitzer et al. 2012. Transductive; all four take exclude_self, to match a set with
      itself, and ready scores that are minus distances (dissim_local none).
    - "greedy" (candidates=16): one to one, the best pair of all first; s_ij. Transductive.
    - "assignment" (solver="auto", candidates=16): one to one, the largest total; s_ij. Returns an `Assignment` with the
      dual solution u, v and the gap that it leaves. "dense" (SciPy, O(n^3)) makes the matrix; "sparse" starts from the
      best `candidates` of each row and adds what the dual solution shows to be missing; "auto" is "dense" up to 2**22
      scores that fit. Equal totals: either. Transductive.
    - "sinkhorn" (k, epsilon=0.05, marginals, rho, iterations=1000, tolerance=1e-6, levels=4, keep_scores=False,
      retrieval): log P_ij of the entropic plan for costs of the distance (minus the score for dot and precomputed).
      Returns a `Plan` with potentials f, g, the error and the iterations. marginals: (a, b), positive, uniform where
      left out; rho: unbalanced, the weight of the marginals' divergence; levels: so many larger epsilon first, each
      twice the next; keep_scores: hold the (m, n) scores in memory instead of computing them in each iteration, and
      where max_bytes is 3 times their size one exponential of each, which serves many iterations.
      Transductive. Cuturi 2013.
    - "itermax" (rounds=2, alpha=0.9): mutual best pairs, then again with scores alpha times as good where one side is
      aligned; s_ij. For short sequences: it holds the scores. Transductive. Jalili Sabet et al. 2020.

    retrieval : "forward", the k best columns of each row; "backward", the k best rows of each column; "intersect", the
    pairs found both ways; "union", those found either way; "max", of these the best first, each row and column once.

    Scores are ordered exactly: float64 values of the rows as given, plus float64 biases, ties by lowest index. The
    biases of the softmaxes and of sinkhorn are sums within the bound of `logsumexp`, moments those of
    `pairwise_distances`: backends may differ where scores are nearer to each other than that. All other methods give
    the same bits on every backend and for every number of threads.

    Cost is that of `topk` and `topk_both`: one pass, two for corrections, and for the first, second and fourth of the
    scaled ones and softmax_prior again for rows that are not settled by then. Precomputed: as many passes over X.

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> match([[0.9, 0.1], [0.8, 0.7]], method="mutual", metric="precomputed").pairs
    array([[0, 0]])
    """
    chosen, options = method_of(method, k, keywords)
    with threads_once(keywords):
        source = source_of(X, Y, metric, keywords, chosen.of_none)
        found = chosen.run(source, **options)
    return given_back(X, with_scores(found, np.asarray(found.scores).astype(source.dtype, copy=False)))


@contextmanager
def threads_once(keywords: dict[str, Any]) -> Iterator[None]:
    """`n_threads` for all operations of a method, taken out of the keywords: to tell BLAS takes milliseconds."""
    settled = resolve({"n_threads": keywords.pop("n_threads", None), "progress": False})
    with running(settled, "matching"), config_context(n_threads=None):
        yield


def method_of(name: str, k: Any, keywords: dict[str, Any]) -> tuple[Method, dict[str, Any]]:
    """The method and its options, which are taken out of the keywords; what it does not take is refused."""
    chosen = METHODS[one_of("method", name, METHODS)]
    options = {option: keywords.pop(option) for option in sorted(OPTIONS & keywords.keys())}
    if k is not None:
        options["k"] = k
    foreign = [option for option in options if option not in chosen.options]
    refused = [option for option in FILTERS if option not in chosen.filters]
    foreign += [option for option in refused if keywords.get(option) is not None and keywords[option] is not False]
    for option in foreign:
        value = {**options, **keywords}[option]
        takes = ", ".join(chosen.options)
        raise TypeError(f"{option} must be left out with method={name!r}, which takes {takes}, got {brief(value)}")
    return chosen, options


OPTIONS = {name for method in METHODS.values() for name in method.options} - {"k"}
