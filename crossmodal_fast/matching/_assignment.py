"""Linear assignment: the one-to-one matching of the largest total, with the dual solution that proves it.

    sum of s over pairs <= sum u_i + sum v_j   for all u, v with u_i + v_j >= s_ij, v_j >= 0 (of the shorter side: free)

Equality proves the optimum. From a few candidates of each row: match them at best, find the v of that matching, then
u_i = max_j (s_ij - v_j) over all columns by one search with the bias -v. What this adds to the dual total is the most
that all other pairs can gain; those that exceed their row's old u become candidates, until it is nothing.
"""

from collections.abc import Callable

import numpy as np

from .._arguments import one_of, whole
from .._config import resolve
from ._greedy import greedy
from ._results import Best, Float64, Indices, Matches, finite, pairs_of, sorted_pairs
from ._source import Source

SOLVERS = ("auto", "dense", "sparse")
DENSE = 1 << 22  # scores that "auto" takes as a matrix, if they fit
DENSE_BYTES = 32  # of each: distances, scores, SciPy's copy, the search for v
ADDED = 16  # candidates that a row may add at a time: 9 searches for 5,000 x 5,000 x 64, and 29 with 4
ROUNDING = 1e-13  # of the largest number: what counts as equal


class Assignment(Matches):
    """Matches, and the proof that no other assignment has a larger total.

    u : (m,), v : (n,) float64, u_i + v_j >= s_ij for every pair but for rounding; of the longer side never negative,
        and 0 where unmatched
    gap : sum(u) + sum(v) - total, how much more another assignment could have at most

    Examples
    --------
    >>> from crossmodal_fast import match
    >>> found = match([[0.9, 0.8], [0.8, 0.1]], method="assignment", metric="precomputed")
    >>> found.columns, round(found.gap, 12)
    (array([1, 0]), 0.0)
    """

    u: Float64
    v: Float64
    gap: float


def assignment(source: Source, *, solver: str = "auto", candidates: int = 16) -> Assignment:
    """Pairs of the largest total, each row and column once."""
    one_of("solver", solver, SOLVERS)
    candidates = whole("candidates", candidates)
    m, n = source.shape
    if solver == "auto":
        fits = m * n <= DENSE and DENSE_BYTES * m * n <= resolve(source.control).max_bytes
        solver = "dense" if fits else "sparse"
    side = source if m <= n else source.turned()
    columns, scores, u, v = _dense(side) if solver == "dense" else _sparse(side, candidates)
    pairs = np.arange(len(columns)), columns
    left, right = pairs if m <= n else pairs[::-1]
    found = Assignment(*sorted_pairs(left, right, scores))
    found.u, found.v = (u, v) if m <= n else (v, u)
    found.gap = float(u.sum() + v.sum() - scores.sum())
    return found


class _Edges:
    """Pairs of m rows and n columns that may be matched, by (row, column), each once."""

    def __init__(self, shape: tuple[int, int], *parts: Matches) -> None:
        rows, columns, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        finite(scores)
        _, first = np.unique(rows * shape[1] + columns, return_index=True)
        self.shape, self.pairs = shape, Matches(rows[first], columns[first], scores[first])
        order = np.argsort(self.pairs.columns, kind="stable")
        self.turned = Matches(*(part[order] for part in self.pairs))
        self.starts = np.flatnonzero(np.diff(self.turned.columns, prepend=-1))

    def needed(self, u: Float64, _: Indices) -> Float64:
        """max_i (s_ij - u_i) of each column that has a pair, else 0; of all rows, as there are few pairs."""
        rows, columns, scores = self.turned
        most = np.zeros(self.shape[1])
        most[columns[self.starts]] = np.maximum.reduceat(scores - u[rows], self.starts)
        return most

    def matched(self) -> tuple[Indices, Float64]:
        """The full matching of the largest total: column of each row, and its score."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import min_weight_full_bipartite_matching

        rows, columns, scores = self.pairs
        cost = scores.max() - scores
        cost += 1.0 + cost.max()  # a weight of 0 is no edge; the same for all changes nothing
        found = min_weight_full_bipartite_matching(csr_array((cost, (rows, columns)), shape=self.shape))[1]
        found = np.asarray(found, dtype=np.int64)
        at = np.searchsorted(rows * self.shape[1] + columns, np.arange(self.shape[0]) * self.shape[1] + found)
        return found, scores[at]


def _dense(source: Source) -> tuple[Indices, Float64, Float64, Float64]:
    """(column of each row, scores, u, v) by SciPy on the whole matrix, m <= n."""
    from scipy.optimize import linear_sum_assignment

    score = finite(source.dense())
    rows, columns = linear_sum_assignment(score, maximize=True)
    matched = score[rows, columns]

    def needed(u: Float64, rows: Indices) -> Float64:
        above = score[rows]
        above -= u[rows, None]
        return np.asarray(above.max(axis=0))

    v = _prices(matched, columns, needed, score.shape[1])
    return columns, matched, (score - v).max(axis=1), v


def _sparse(source: Source, candidates: int) -> tuple[Indices, Float64, Float64, Float64]:
    """The same from candidates, m <= n."""
    m, n = source.shape
    some, full = pairs_of(source.by_rows(min(candidates, n))), greedy(source, candidates=candidates)
    edges = _Edges(source.shape, some, full)  # greedy's, so that there is a full matching
    while True:
        columns, matched = edges.matched()
        v = _prices(matched, columns, edges.needed, n)
        beyond = source.by_rows(min(ADDED, n), (np.zeros(m), -v))
        u = matched - v[columns]
        new = beyond.scores > (u + ROUNDING * (np.abs(matched).max() + v.max()))[:, None]
        added = Best(np.where(new, beyond.partners, -1), beyond.scores + v[beyond.partners])
        wider = _Edges(source.shape, edges.pairs, pairs_of(added))
        if len(wider.pairs.rows) == len(edges.pairs.rows):
            return columns, matched, beyond.scores[:, 0], v
        edges = wider


def _prices(matched: Float64, columns: Indices, needed: Callable[[Float64, Indices], Float64], n: int) -> Float64:
    """The least v >= 0 with u_i + v_j >= s_ij: longest paths, a step for all columns at a time (Bellman and Ford).

    needed(u, rows) : max_i (s_ij - u_i) of each column over these rows, where u_i = s_i - v of the matched column

    Only rows whose u has fallen can ask for more. All rows in each step took 0.93 s of 1.4 s for 2,000 x 2,000 x 64,
    in 82 steps (two cores of a Zen 3).
    """
    v, owner = np.zeros(n), np.full(n, -1)
    owner[columns] = np.arange(len(columns))
    tiny = ROUNDING * np.abs(matched).max(initial=0.0)
    fallen = np.arange(len(matched))
    for _ in range(len(matched) + 1):  # a path has no more steps; cycles gain nothing but by rounding
        raised = np.maximum(v, needed(matched - v[columns], fallen))
        if (raised - v).max(initial=0.0) <= tiny:
            break
        fallen = owner[(raised > v) & (owner >= 0)]
        v = raised
        if not len(fallen):
            break
    v[owner < 0] = 0.0  # as the optimum has it; rounding may not
    return v
