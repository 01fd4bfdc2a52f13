"""Values that come near: minkowski and jensenshannon, whose canonical values take pow and log of NumPy.

Work    loops of `tile.py`, whose values are within `nearness.error` of the canonical ones
Shapes  rows as `direct.prepared` gives them
Cost    minkowski: products and a square root, or logarithm and power of a gap; jensenshannon: one logarithm a feature
Sum     lanes as in the canonical sum; the terms are off by their rounding

SciPy's cdist took so many times as long (2-core Zen, float32, one thread, d = 64, 256, 768): jensenshannon 11 to 12;
minkowski 49 to 86 (p = 3), 25 (p = 1.5), 5 (p = 7.3).
"""

import math
from functools import cache

from llvmlite import ir

from .lanes import DOUBLE, INT64, Term
from .nearness import CEILING, parameter, products
from .powers import by_products, logarithm, power
from .tile import Loop

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
    return products(metric), not products(metric) and 0.0 < p < 1.0
