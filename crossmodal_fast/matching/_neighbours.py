"""Nearest neighbours of one direction or of both, by the scores as they are or with biases."""

from dataclasses import dataclass

import numpy as np

from .._arguments import one_of
from ._results import Best, Float64, Indices, Matches, pairs_of, sorted_pairs, with_scores
from ._source import Bias, Source

RETRIEVALS = ("forward", "backward", "intersect", "union", "max")


@dataclass
class Sides:
    """The k best of each row and of each column."""

    rows: Best
    columns: Best

    def forward(self) -> Matches:
        return pairs_of(self.rows)

    def backward(self) -> Matches:
        columns, rows, scores = pairs_of(self.columns)
        return sorted_pairs(rows, columns, scores)

    def intersect(self) -> Matches:
        """Pairs that are among the best of their row and of their column."""
        found, (columns, rows, _) = self.forward(), pairs_of(self.columns)
        n = len(self.columns.partners)
        both = np.isin(found.rows * n + found.columns, rows * n + columns)
        return Matches(*(part[both] for part in found))

    def union(self) -> Matches:
        """Pairs that are among the best of their row or of their column, each once."""
        found, others = self.forward(), self.backward()
        n = len(self.columns.partners)
        new = ~np.isin(others.rows * n + others.columns, found.rows * n + found.columns)
        parts = (np.concatenate([one, two[new]]) for one, two in zip(found, others, strict=True))
        return sorted_pairs(*parts)

    def max(self) -> Matches:
        """Of the pairs of both directions the best first, each row and column once."""
        found = [np.concatenate(parts) for parts in zip(self.forward(), self.backward(), strict=True)]
        return sorted_pairs(*one_to_one(*found))


def one_to_one(rows: Indices, columns: Indices, scores: Float64) -> tuple[Indices, Indices, Float64]:
    """Pairs by (score descending, row, column), each taken if its row and its column are free."""
    order = np.lexsort((columns, rows, -scores))
    used_rows, used_columns, taken = set(), set(), []
    for pair, row, column in zip(order.tolist(), rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            taken.append(pair)
    return rows[taken], columns[taken], scores[taken]


def checked(source: Source, k: int, retrieval: str) -> int:
    """k, if there are so many to retrieve: asked before a method computes what may take long."""
    return source.checked(k, both=one_of("retrieval", retrieval, RETRIEVALS) != "forward")


def retrieved(source: Source, k: int, retrieval: str, bias: Bias | None = None) -> Matches:
    """Pairs by the biased scores: of the rows, of the columns, of both, or one to one."""
    k = checked(source, k, retrieval)
    if retrieval == "forward":
        return pairs_of(source.by_rows(k, bias))
    return chosen(Sides(*source.by_both((k, k), bias)), retrieval)


def chosen(sides: Sides, retrieval: str) -> Matches:
    found: Matches = getattr(sides, retrieval)()
    return found


def scaled(found: Matches, factor: float) -> Matches:
    return with_scores(found, found.scores * factor)


def topk(source: Source, *, k: int = 1) -> Matches:
    """The k best columns of each row."""
    return retrieved(source, k, "forward")


def mutual(source: Source, *, k: int = 1) -> Matches:
    """Of the k best columns of each row those of which the row is one of the k best."""
    return retrieved(source, k, "intersect")
