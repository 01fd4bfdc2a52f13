"""Where the relevant items of every query stand: what all measures look at, sparse, whatever it was made from.

Relevant items come in tie groups: `size` items of equal score behind `before` others, `relevant` of them relevant. An
item whose place is settled is a group of its own, so that one set of formulas gives measures of settled places and
expected values over all orders of ties (McSherry and Najork 2008).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

BLOCK_SLOTS = 1 << 20  # slots of tie groups in work at a time: 8 MiB of float64


@dataclass(frozen=True)
class Listing:
    """Relevant items of m queries, by query, best first.

    Shapes: g tie groups, h relevant items that were retrieved, p relevant items in all.
    """

    query: Indices  # (g,) ascending
    before: Float64  # (g,) items in front of the group, ascending within a query; k + 1/2 for a mean of two ranks
    size: Indices  # (g,)
    relevant: Indices  # (g,) at least 1
    grade: Float64  # (h,) above 0
    group: Indices  # (h,) ascending
    ideal_query: Indices  # (p,) ascending
    ideal_grade: Float64  # (p,) descending within a query
    retrieved: Indices  # (m,) items listed
    nonrelevant: Indices  # (m,) items judged not relevant
    above: Float64 | None  # (g,) of these, how many stand before the group; None where all unlisted ones were judged
    open_ties: bool

    @cached_property
    def positives(self) -> Indices:
        """(m,) relevant items in all."""
        return np.bincount(self.ideal_query, minlength=len(self.retrieved))

    @cached_property
    def first(self) -> tuple[Indices, Indices]:
        """(queries that have a group, the first group of each)."""
        firsts = np.flatnonzero(np.diff(self.query, prepend=-1))
        return self.query[firsts], firsts

    @cached_property
    def found_before(self) -> Indices:
        """(g,) relevant items of the query in front of each group."""
        running = np.cumsum(self.relevant) - self.relevant
        queries, firsts = self.first
        offset = np.zeros(len(self.retrieved), dtype=np.int64)
        offset[queries] = running[firsts]
        return cast(Indices, running - offset[self.query])

    def total(self, values: Array) -> Float64:
        """(g,) -> (m,): the sum over each query's groups."""
        return np.bincount(self.query, weights=values, minlength=len(self.retrieved)).astype(np.float64, copy=False)

    def inside(self, cut: float | Indices | None) -> Indices:
        """(g,) slots of each group among the first `cut`, one for all or (m,) one per query."""
        if cut is None:
            return self.size
        limit = cut[self.query] if isinstance(cut, np.ndarray) else cut
        return np.clip(np.floor(limit - self.before), 0, self.size).astype(np.int64)

    def found(self, cut: float | Indices | None) -> Float64:
        """(m,) relevant items among the first `cut`, expected over ties."""
        return self.total(self.relevant * (self.inside(cut) / self.size))

    def slots(self, weigh: Callable[[Float64], Float64], cut: float | None) -> Float64:
        """(g,) sum of weigh(rank) over the group's slots among the first `cut`."""
        inside = self.inside(cut)
        out = np.where(inside > 0, weigh(self.before + 1), 0.0)
        wide = np.flatnonzero(inside > 1)  # their `before` are whole
        if wide.size:
            start = self.before[wide].astype(np.int64)
            end = start + inside[wide]
            running = np.concatenate([[0.0], np.cumsum(weigh(np.arange(1.0, end.max() + 1)))])
            out[wide] = running[end] - running[start]
        return out

    def first_slots(self, weigh: Callable[[Float64], Float64], cut: float | None) -> Float64:
        """(m,) expected weigh(rank) of the best relevant item, 0 beyond `cut`."""
        out = np.zeros(len(self.retrieved))
        queries, firsts = self.first
        inside = self.inside(cut)[firsts]
        out[queries] = np.where(inside > 0, weigh(self.before[firsts] + 1), 0.0)
        wide = np.flatnonzero((self.size[firsts] > 1) & (inside > 0))
        wide = wide[np.argsort(inside[wide], kind="stable")]  # rows of one block are about equally long
        while wide.size:
            rows = max(1, BLOCK_SLOTS // int(inside[wide[-1]]))
            taken, wide = wide[-rows:], wide[:-rows]
            groups = firsts[taken]
            size, relevant, limit = self.size[groups, None], self.relevant[groups, None], inside[taken, None]
            slot = np.arange(int(limit.max()))
            # P(the first relevant item is in slot i) = relevant/size for i = 0, then times (nonrelevant left)/(left)
            passed = np.maximum(size - relevant - slot[:-1], 0) / np.maximum(size - slot[:-1] - 1, 1)
            chance = np.cumprod(np.concatenate([relevant / size, passed], axis=1), axis=1)
            value = np.where(slot < limit, chance * weigh(self.before[groups, None] + 1.0 + slot), 0.0)
            out[queries[taken]] = value.sum(axis=1)
        return out


def settled(
    query: Indices,
    rank: Float64,
    grade: Float64,
    ideal_query: Indices,
    ideal_grade: Float64,
    retrieved: Indices,
    nonrelevant: Indices,
    above: Float64 | None = None,
) -> Listing:
    """Of relevant items whose ranks are settled, ascending within a query: each is a group of its own."""
    ones = np.ones(len(query), dtype=np.int64)
    order = np.lexsort((-ideal_grade, ideal_query))
    return Listing(
        query, rank - 1, ones, ones, grade, np.arange(len(query)), ideal_query[order], ideal_grade[order],
        retrieved, nonrelevant, above, open_ties=False,
    )  # fmt: skip


def grouped(
    query: Indices,
    best: Indices,
    worst: Indices,
    grade: Float64,
    ideal_query: Indices,
    ideal_grade: Float64,
    retrieved: Indices,
    nonrelevant: Indices,
) -> Listing:
    """Of relevant items (h,) by query with the first and the last rank that their ties allow."""
    order = np.lexsort((best, query))
    query, best, worst = query[order], best[order], worst[order]
    starts = (np.diff(query, prepend=-1) != 0) | (np.diff(best, prepend=0) != 0)
    group = np.cumsum(starts) - 1
    ideal = np.lexsort((-ideal_grade, ideal_query))
    return Listing(
        query[starts], best[starts] - 1.0, (worst - best + 1)[starts], np.bincount(group, minlength=int(starts.sum())),
        grade[order], group, ideal_query[ideal], ideal_grade[ideal], retrieved, nonrelevant, None, open_ties=True,
    )  # fmt: skip
