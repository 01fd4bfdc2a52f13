"""Alignment of two short sequences, such as the words of two sentences: iterated mutual best pairs."""

import numpy as np

from .._arguments import number, whole
from ._results import Array, Float64, Matches, sorted_pairs
from ._source import Source


def itermax(source: Source, *, rounds: int = 2, alpha: float = 0.9) -> Matches:
    """Pairs that are best for each other, then again with scores discounted where one side is aligned already."""
    rounds, alpha = whole("rounds", rounds), number("alpha", alpha, most=1.0)
    score = source.exact()
    rows, columns = (np.zeros(size, bool) for size in score.shape)
    found = [np.empty((0, 2), np.int64)]
    for _ in range(rounds):
        pairs = _mutual(_discounted(score, rows, columns, alpha))
        if not len(pairs):
            break
        found.append(pairs)
        rows[pairs[:, 0]], columns[pairs[:, 1]] = True, True
    left, right = np.concatenate(found).T
    return sorted_pairs(left, right, score[left, right])


def _discounted(score: Float64, rows: Array, columns: Array, alpha: float) -> Float64:
    """Scores alpha times as good where one side is aligned, and out of question where both are."""
    worse = np.where(score > 0, score * alpha, score / alpha if alpha else -np.inf)
    one, both = rows[:, None] != columns, rows[:, None] & columns
    return np.where(both, -np.inf, np.where(one, worse, score))


def _mutual(score: Float64) -> Array:
    """(p, 2) pairs that are the first best of their row and of their column."""
    column, row = score.argmax(axis=1), score.argmax(axis=0)
    rows = np.arange(len(score))
    good = (row[column] == rows) & (score[rows, column] > -np.inf)
    return np.column_stack([rows[good], column[good]])
