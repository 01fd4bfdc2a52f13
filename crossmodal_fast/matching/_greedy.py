"""Greedy one-to-one matching from short lists: pairs by (score descending, row, column), taken if both are free.

A pair that is the best one left for its row and for its column is taken whatever else is, so that all such pairs can be
taken at once, and the order of the rest does not change (locally dominant edges, Preis 1999). Lists that run dry are
made anew among what is free, twice as long.
"""

import numpy as np

from .._arguments import whole
from ._results import Indices, Matches, sorted_pairs
from ._source import Source


def greedy(source: Source, *, candidates: int = 16) -> Matches:
    """The best pair of all, then the best of what is left, and so on."""
    size = whole("candidates", candidates)
    rows, columns = (np.arange(side) for side in source.shape)
    found = []
    while len(rows) and len(columns):
        part = source if (len(rows), len(columns)) == source.shape else source.part(rows, columns)
        of_rows, of_columns = part.by_both((min(size, len(columns)), min(size, len(rows))))
        partner, place = dominant(of_rows.partners, of_columns.partners)
        matched = np.flatnonzero(partner >= 0)
        taken = partner[matched]
        found.append((rows[matched], columns[taken], of_rows.scores[matched, place[matched]]))
        rows, columns = np.delete(rows, matched), np.delete(columns, taken)
        size *= 2
    parts = [np.concatenate(part) for part in zip(*found, strict=True)]
    return sorted_pairs(*parts)


def dominant(of_rows: Indices, of_columns: Indices) -> tuple[Indices, Indices]:
    """(column of each row, or -1; its place in the row's list) as far as the lists, best first, decide it."""
    row_free, column_free = np.ones(len(of_rows), bool), np.ones(len(of_columns), bool)
    place, column_place = np.zeros(len(of_rows), np.int64), np.zeros(len(of_columns), np.int64)
    partner = np.full(len(of_rows), -1)
    while True:
        first = _first_free(of_rows, place, row_free, column_free)
        first_row = _first_free(of_columns, column_place, column_free, row_free)
        rows = np.flatnonzero(first >= 0)
        rows = rows[first_row[first[rows]] == rows]
        if not len(rows):
            return partner, place
        partner[rows] = first[rows]
        row_free[rows], column_free[first[rows]] = False, False


def _first_free(lists: Indices, place: Indices, open_: Indices, free: Indices) -> Indices:
    """The first free partner of each owner that is open, -1 where its list has none; places move on."""
    found = np.full(len(lists), -1)
    owners = np.flatnonzero(open_ & (place < lists.shape[1]))
    while len(owners):
        partner = lists[owners, place[owners]]
        good = free[partner]
        found[owners[good]] = partner[good]
        owners = owners[~good]
        place[owners] += 1
        owners = owners[place[owners] < lists.shape[1]]
    return found
