"""Values that come near: minkowski and jensenshannon, whose canonical values take pow and log of NumPy.

Work    loops of `tile.py` and what they state about their values: within `error` of the canonical ones
Shapes  rows as `direct.prepared` gives them
Cost    minkowski: products and a square root, or logarithm and power of a gap; jensenshannon: one logarithm a feature
Sum     lanes as in the canonical sum; the terms are off by their rounding

Minkowski raises a gap to p by products and a square root (2 p whole, p <= MOST_PRODUCTS) or as 2^(p log2 gap).
Jensen-Shannon adds up s log2(s / 2) of s = x + y, one logarithm a feature; the entropies of the rows are their `stat`.
SciPy's cdist took so many times as long (2-core Zen, float32, one thread, d = 64, 256, 768): jensenshannon 11 to 12;
minkowski 49 to 86 (p = 3), 25 (p = 1.5), 5 (p = 7.3).
"""

import math
from functools import cache

import numpy as np
from llvmlite import ir

from . import metrics
from .lanes import DOUBLE, INT64, Term
from .powers import POWER_ERROR, by_products, logarithm, power
from .tile import Loop

MOST_FEATURES = 1 << 20  # for which `error` speaks unless it is told
MOST_PRODUCTS = 8.5  # powers by products and a square root: beyond, the logarithm is as fast
POWERS = 1 / 16, 64.0  # of minkowski; outside, overflow and underflow leave no useful bound
CEILING = 2.0**1023


# --------------------------------------------------------------------------------------------------------------- loops


@cache
def _powers(products, rooting):
    """Minkowski's. products: p, or 0 where they do not reach it; rooting: whether a power of a subnormal gap counts."""

    def power_gap(e, x, y):
        gap = e.absolute(e.b.fsub(x, y))
        return (by_products(e, gap, products) if products else power(e, gap, e.parameter, rooting),)

    return Loop(Term("power gap", power_gap), _root, (1, 4))


def _root(e, totals, stats, d):
    return _below(e, power(e, _below(e, totals[0]), e.b.fdiv(DOUBLE(1.0), e.parameter)))


def _below(e, value):
    """At most CEILING: whether `metrics` overflows just above is not known here. NaN stays."""
    limit = e.spread(CEILING, value.type)
    return e.b.select(e.b.fcmp_ordered(">", value, limit), limit, value)


def _mixed_entropy(e, x, y):
    both = e.b.fadd(x, y)
    found = logarithm(e, e.b.fmul(both, e.spread(0.5, both.type)), False)
    least = e.b.icmp_signed(
        "==", e.b.bitcast(both, ir.VectorType(INT64, e.lanes)), e.spread(1, ir.VectorType(INT64, e.lanes))
    )
    found = e.b.select(least, e.spread(-math.inf, both.type), found)  # half of it is 0: share / 0 in `metrics`
    return (e.b.fmul(both, found),)


def _divergence(e, totals, stats, d):
    b, kind, (x, y) = e.b, totals[0].type, stats()
    nought, infinity = e.spread(0.0, kind), e.spread(math.inf, kind)
    scale = e.spread(b.fdiv(DOUBLE(0.5 * math.log(2)), e.parameter), kind)
    half = b.fmul(b.fsub(b.fadd(x, y), totals[0]), scale)
    root = e.call("llvm.sqrt", b.select(b.fcmp_ordered("<", half, nought), nought, half))
    massless = b.or_(b.fcmp_ordered("==", x, infinity), b.fcmp_ordered("==", y, infinity))
    return b.select(massless, infinity, root)


_ENTROPIES = Loop(Term("mixed entropy", _mixed_entropy), _divergence, (1, 4))


def loop(metric):
    return _ENTROPIES if metric.name == "jensenshannon" else _powers(*_way(metric))


def key(metric):
    products, rooting = _way(metric)
    return f"{metric.name}{products or ''}{'-rooting' * rooting}"


def _way(metric):
    p = parameter(metric) if metric.name == "minkowski" else 0.0
    products = p if 2 * p == int(2 * p) and p <= MOST_PRODUCTS else 0.0
    return products, not products and 0.0 < p < 1.0


def entropies(metric, rows):
    """The stat of jensenshannon's shares: negative entropies, infinite where a row has no mass."""
    logarithms = np.log2(np.where(rows == 0, 1.0, rows))
    found = metrics.row_sum(rows * logarithms)
    found[metric.stat(rows)] = np.inf
    return found


# -------------------------------------------------------------------------------------------------- what they promise


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
