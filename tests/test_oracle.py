"""Values, orders and ranks against exact arithmetic: fractions, and sixty digits where a metric takes roots or logs.

What float64 may differ by is stated beside each metric (docs/accuracy.md, "Canonical values themselves"). Where exact
values are further apart than that, every order must be theirs; where they are equal and the metric promises the same
bits for equal values, the lowest index comes first.
"""

from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import crossmodal_fast as cmf
from cases import METRICS, NON_NEGATIVE, metric_kwargs

DIGITS, UNIT = 60, Decimal(2) ** -53


def decimal(value):
    value = Fraction(value)
    return Decimal(value.numerator) / Decimal(value.denominator)


def inner(a, b):
    return sum(s * t for s, t in zip(a, b, strict=True))


def gaps(a, b):
    return [abs(s - t) for s, t in zip(a, b, strict=True)]


def cosine(a, b):
    square = inner(a, a) * inner(b, b)
    return Decimal(1) if square == 0 else 1 - decimal(inner(a, b)) / decimal(square).sqrt()


def correlation(a, b):
    return cosine(*([s - sum(row) / len(row) for s in row] for row in (a, b)))


def canberra(a, b):
    return sum(Fraction(abs(s - t), abs(s) + abs(t)) if s or t else Fraction(0) for s, t in zip(a, b, strict=True))


def jensenshannon(a, b):
    p, q = ([decimal(s / sum(row)) for s in row] for row in (a, b))

    def to_the_middle(own, other):
        return sum((s * (s / ((s + t) / 2)).ln() for s, t in zip(own, other, strict=True) if s), Decimal(0))

    return max(Decimal(0), (to_the_middle(p, q) + to_the_middle(q, p)) / 2).sqrt()


def hellinger(a, b):
    return (sum((decimal(s).sqrt() - decimal(t).sqrt()) ** 2 for s, t in zip(a, b, strict=True)) / 2).sqrt()


def jaccard(a, b):
    present = sum(bool(s or t) for s, t in zip(a, b, strict=True))
    return Fraction(sum(bool(s) != bool(t) for s, t in zip(a, b, strict=True)), max(1, present))


EXACT = {
    "euclidean": lambda a, b: decimal(sum(gap * gap for gap in gaps(a, b))).sqrt(),
    "sqeuclidean": lambda a, b: sum(gap * gap for gap in gaps(a, b)),
    "cosine": cosine,
    "correlation": correlation,
    "dot": inner,
    "cityblock": lambda a, b: sum(gaps(a, b)),
    "chebyshev": lambda a, b: max(gaps(a, b)),
    "minkowski": lambda a, b: decimal(sum(gap**3 for gap in gaps(a, b))) ** (1 / Decimal(3)),
    "canberra": canberra,
    "braycurtis": lambda a, b: Fraction(sum(gaps(a, b)), sum(abs(s + t) for s, t in zip(a, b, strict=True))),
    "jensenshannon": jensenshannon,
    "hamming": lambda a, b: Fraction(sum(s != t for s, t in zip(a, b, strict=True)), len(a)),
    "jaccard": jaccard,
    "hellinger": hellinger,
}  # fmt: skip


def size(row):
    return decimal(inner(row, row)).sqrt()


def allowance(metric, value, a, b):
    """What a float64 value of this pair may differ from the exact one by."""
    d = len(a)
    steps = Decimal(d) / 8 + 6  # of a sum in eight lanes, its terms rounded once or twice before
    if metric == "dot":
        return steps * UNIT * decimal(sum(abs(s * t) for s, t in zip(a, b, strict=True)))
    if metric == "cosine":
        return (2 * steps + 2) * UNIT
    if metric == "correlation":  # a mean is off by (d / 8 + 4) v times the mean magnitude
        means = Decimal(0)
        for row in (a, b):
            length = size([s - sum(row) / d for s in row])
            means += size(row) / length if length else 0
        return (2 * steps + 2) * UNIT + 2 * steps * UNIT * means
    if metric == "hellinger":  # roots are rounded before they are subtracted
        return steps * UNIT * value + UNIT * (decimal(sum(a)) + decimal(sum(b))).sqrt() * 2
    if metric == "jensenshannon":  # the root of what the terms, of size 1 together, were rounded by
        return min(steps * 8 * UNIT / value if value else Decimal(1), (steps * 8 * UNIT).sqrt())
    # the third of a logarithm up to 88 is rounded before it is a power
    share = {"chebyshev": 1, "hamming": 1, "jaccard": 1, "minkowski": 2 * steps + 64, "braycurtis": 2 * steps}
    return share.get(metric, steps) * UNIT * value


def rows_of(kind, d, metric, rows):
    """A few rows: whole numbers with many ties, any numbers, or numbers of many sizes."""
    rng = np.random.default_rng([d, *map(ord, kind)])
    found = {
        "ties": lambda: rng.integers(0, 3, (rows, d)) * 1.0,
        "any": lambda: rng.standard_normal((rows, d)),
        "sizes": lambda: rng.standard_normal((rows, d)) * 2.0 ** rng.integers(-40, 40, (rows, d)),
    }[kind]()
    if kind == "ties":
        found[:, 0] += 1 + np.arange(rows) % 2  # no zero rows, none constant
        return found
    return np.abs(found) if metric in NON_NEGATIVE else found


@cache
def exactly(kind, d, metric):
    """(x, y, values, allowances) of a case, of all pairs, Decimal."""
    x, y = rows_of(kind, d, metric, 2), rows_of(kind, d, metric, 12)
    sides = [[[Fraction(value) for value in row] for row in rows.tolist()] for rows in (x, y)]
    with localcontext(prec=DIGITS):
        values = [[EXACT[metric](a, b) for b in sides[1]] for a in sides[0]]
        values = [[value if isinstance(value, Decimal) else decimal(value) for value in row] for row in values]
        room = [
            [allowance(metric, abs(value), a, b) for value, b in zip(row, sides[1], strict=True)]
            for row, a in zip(values, sides[0], strict=True)
        ]
    return x, y, values, room


EQUAL_BITS = ("euclidean", "sqeuclidean", "dot", "cityblock", "chebyshev", "hamming", "jaccard")  # for equal values
SOME = (("ties", 3), ("any", 17))
REST = (("ties", 17), ("any", 3), ("sizes", 3), ("sizes", 17))


ON_NUMBA = ("euclidean", "dot")  # in float64, which others compile kernels for as well


@pytest.mark.parametrize(
    ("metric", "backend"),
    [(metric, "numpy") for metric in METRICS]
    + [pytest.param(metric, "numba", marks=() if metric in ON_NUMBA else pytest.mark.heavy) for metric in METRICS],
)
@pytest.mark.parametrize("cases", [SOME, pytest.param(REST, marks=pytest.mark.heavy)], ids=["some", "rest"])
def test_values_orders_and_ranks_are_those_of_exact_arithmetic(cases, metric, backend):
    for kind, d in cases:
        x, y, values, room = exactly(kind, d, metric)
        kwargs = {"metric": metric, "metric_kwargs": metric_kwargs(metric), "backend": backend}
        n, sign = len(y), -1 if metric == "dot" else 1
        found = cmf.topk(x, y, n, **kwargs)
        ranks = cmf.ranks(x, y, (np.arange(len(x) + 1) * n, np.tile(np.arange(n), len(x))), **kwargs).reshape(-1, n)
        matrix = cmf.pairwise_distances(x, y, **kwargs)
        for i, row in enumerate(found.indices.tolist()):
            for slot, j in enumerate(row):
                assert abs(Decimal(float(found.distances[i, slot])) - values[i][j]) <= room[i][j], (kind, d, i, j)
                assert ranks[i, j] == slot + 1
                promised = Decimal("1e-13") * (
                    1 if metric in ("cosine", "correlation") else size_of(metric, x[i], y[j], values[i][j])
                )
                assert abs(Decimal(float(matrix[i, j])) - values[i][j]) <= promised + room[i][j], (kind, d, i, j)
            for before, after in pairwise(row):
                gap = sign * (values[i][after] - values[i][before])
                assert gap >= -(room[i][before] + room[i][after]), (kind, d, i, before, after)
                if kind == "ties" and metric in EQUAL_BITS:
                    assert gap > 0 or (gap == 0 and before < after), (kind, d, i, before, after)


def size_of(metric, x, y, value):
    return Decimal(float(np.linalg.norm(x) * np.linalg.norm(y))) if metric == "dot" else abs(value)


def test_the_oracle_can_say_no():
    """What is off by a rounding to float32 is further than any allowance."""
    for metric in METRICS:
        _, _, values, room = exactly("any", 17, metric)
        for row, most in zip(values, room, strict=True):
            for value, allowed in zip(row, most, strict=True):
                assert value == 0 or allowed < max(abs(value), 1) * Decimal(2) ** -24, metric
