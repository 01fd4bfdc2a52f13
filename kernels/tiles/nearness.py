"""How near the values of minkowski and jensenshannon come that backends compute without the pow and log of NumPy.

Work    a few numbers a search; `entropies`: one pass over the rows
Shapes  rows (n, d) of shares -> (n,)
Cost    one logarithm a feature for `entropies`
Sum     canonical

Minkowski raises a gap to p by products and a square root (2 p whole, p <= MOST_PRODUCTS) or as 2^(p log2 gap).
Jensen-Shannon adds up s log2(s / 2) of s = x + y, one logarithm a feature; the entropies of the rows are their `stat`.
Logarithm: within 2^-48 + 2^-52 |log2|; power: within POWER_ERROR of its size (`powers.py`, `cuda/powers.cuh`).
"""

import math

import numpy as np

from . import metrics

MOST_FEATURES = 1 << 20  # for which `error` speaks unless it is told
MOST_PRODUCTS = 8.5  # powers by products and a square root: beyond, the logarithm is as fast
POWERS = 1 / 16, 64.0  # of minkowski; outside, overflow and underflow leave no useful bound
POWER_ERROR = 2.0**-39  # of a power, relative: |p log2| <= 1024 carries ln 2 (2^-42 + 2^-43), its polynomials 2^-42
CEILING = 2.0**1023


def covers(metric):
    """Whether these loops come near the metric's values."""
    if metric.name == "minkowski":
        return metric.scipy is None and POWERS[0] <= parameter(metric) <= POWERS[1]
    if metric.name == "jensenshannon":  # a base of at most 1 turns the sign, or divides by 0
        return metric.scipy is None and 0.0 < parameter(metric) < np.inf
    return False


def parameter(metric):
    """The number that the loop takes: p of minkowski, the logarithm of jensenshannon's base."""
    if metric.name == "minkowski":
        return float(metric.terms.keywords["p"])
    base = getattr(metric.finish, "keywords", {}).get("base", np.e)
    with np.errstate(all="ignore"):
        return float(np.log(base))


def error(metric, d=MOST_FEATURES):
    """(relative, absolute): |value - canonical| <= relative * canonical + absolute, for at most d features.

    Minkowski: terms and sums differ by r of a total, the root turns that into r / p; a total below 2^40 times all that
    underflow may take, d 2^-1020, is covered by the absolute part. A value of `ceiling` or more stands for all above.
    Jensen-Shannon: what is under the root differs by the rounding of terms that add up to 2 log d in magnitude here
    and to less than 3 there; the difference of the roots is at most the root of that.
    """
    growth = (d / metrics.LANES + 16) * 2.0**-53
    if metric.name == "minkowski":
        inverse = 1 / parameter(metric)
        total = POWER_ERROR + 2.0**-50 + 2 * growth + 2.0**-40
        lost = max(math.log2(d) - 979, -1074.0)
        return 2 * max(1.0, inverse) * total + POWER_ERROR, 2.0 ** max(lost * inverse, -1000.0)
    under_root = growth * (4 * math.log(d) + 8) + 2.0**-45
    return 2.0**-50, math.sqrt(under_root / parameter(metric)) * (1 + 2.0**-20)


def ceiling(metric):
    """A value of this or more stands for any up to infinity: the sum of powers may overflow in `metrics`."""
    if metric.name != "minkowski":
        return np.inf
    return 2.0 ** (1023 * min(1.0, 1 / parameter(metric))) * (1 - 2.0**-30)


def products(metric):
    """p of minkowski where products and a square root reach it, else 0."""
    p = parameter(metric) if metric.name == "minkowski" else 0.0
    return p if 2 * p == int(2 * p) and p <= MOST_PRODUCTS else 0.0


def entropies(metric, rows):
    """The stat of jensenshannon's shares: negative entropies, infinite where a row has no mass."""
    logarithms = np.log2(np.where(rows == 0, 1.0, rows))
    found = metrics.row_sum(rows * logarithms)
    found[metric.stat(rows)] = np.inf
    return found
