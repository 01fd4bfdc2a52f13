"""One-to-one matching of the largest total beside SciPy and lapx, which are given the matrix: see `toolkit`."""

from functools import lru_cache, partial

import numpy as np
from tool import Tool, rows_of, unit

import crossmodal_fast as cmf


def cost_of(x, y):
    return 1 - unit(x.astype(np.float64)) @ unit(y.astype(np.float64)).T


def our_assignment(x, y, backend):
    """match(method="assignment"), with the proof that it is the best"""
    return partial(cmf.match, x, y, "assignment", backend=backend)


def scipy_assignment(x, y):
    """1 - x @ y.T in float64, linear_sum_assignment"""
    from scipy.optimize import linear_sum_assignment

    return lambda: linear_sum_assignment(cost_of(x, y))


def lapx_assignment(x, y):
    """1 - x @ y.T in float64, lap.lapjv"""
    import lap

    def matched():
        _, columns, _ = lap.lapjv(cost_of(x, y), extend_cost=len(x) != len(y))
        rows = np.flatnonzero(columns >= 0)
        return rows, columns[rows]

    return matched


@lru_cache(maxsize=1)
def best_of(case):
    """(costs in float64, the total of the best matching, the column of each row in it or -1)."""
    from scipy.optimize import linear_sum_assignment

    cost = cost_of(*rows_of(case))
    rows, columns = linear_sum_assignment(cost)
    best = np.full(len(cost), -1)
    best[rows] = columns
    return cost, cost[rows, columns].sum(), best


def judged_assignment(case, answer):
    """What the total is off the best one, as a share of it, and the rows with another partner."""
    cost, total, best = best_of(case)
    rows, columns = (np.asarray(part) for part in answer[:2])
    one_to_one = len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows) == min(cost.shape)
    error = abs(cost[rows, columns].sum() / total - 1)
    return error if one_to_one else np.inf, int(np.count_nonzero(columns != best[rows]))


ASSIGNMENT = Tool(
    rows_of, our_assignment, {"SciPy": scipy_assignment, "lapx": lapx_assignment}, judged_assignment, 1e-12
)
