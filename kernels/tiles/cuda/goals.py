"""Canonical values that pairs are compared with: where their keys lie, and what they are.

Shapes  value (goals,) float64, owner (goals,) -> low, high (goals,) float32 on the device
Sum     goal.cu; canonical values of pairs of the host by `metrics.pairs`
"""

import numpy as np

from .. import metrics

PIECE_BYTES = 1 << 22  # of rows of the host at a time


def interval(lists, value, owner):
    """(low, high) of goals: no pair with that value has a key outside."""
    return lists.queries.held.interval(lists, value, owner)


def of_pairs(x, y, metric, filters, row, column):
    """(e,) ordered canonical values of pairs, on the host."""
    value, step = np.empty(len(row)), max(1, PIECE_BYTES // (48 * x.shape[1]))
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        value[part] = metrics.pairs(metric, x.take(row[part]), y.take(column[part]))
    return metrics.ordered(metric, value, filters.sums(row, column))
