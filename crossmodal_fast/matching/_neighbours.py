"""Nearest neighbours, of one direction or of both."""

import numpy as np

from ._results import Matches, pairs_of
from ._sources import Source


def topk(source: Source, k: int) -> Matches:
    return pairs_of(*source.by_rows(k))


def mutual(source: Source, k: int) -> Matches:
    of_rows, rows = source.by_both(k)
    found = pairs_of(*of_rows)
    back = pairs_of(rows, rows)  # (column, one of its best rows)
    n = len(rows)
    both = np.isin(found.rows * n + found.columns, back.columns * n + back.rows)
    return Matches(*(part[both] for part in found))
