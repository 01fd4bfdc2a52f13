"""Canonical values of tiles of pairs by direct SIMD loops, for every metric that is not SciPy's own.

Work    `fill`: rows x columns pairs, a block of them in registers at a time, x and y read once for a block; nogil
Shapes  x (.., d), y (.., d) as `prepared` gives them, x_stat, y_stat (..,) -> value (rows, columns) float64
Cost    a vector operation takes 4 features (AVX2): 2 additions of cityblock, 1 division of canberra, see below
Sum     canonical and exact, but for minkowski and jensenshannon, which come within `error` of it

Minkowski raises a gap to p by products and a square root (2 p whole, p <= MOST_PRODUCTS) or as 2^(p log2 gap).
Jensen-Shannon adds up s log2(s / 2) of s = x + y, one logarithm a feature; the entropies of the rows are their `stat`.

Floor of cityblock: 2 d / 4 additions in two pipes, d / 4 cycles a pair. Measured on a 2-core Zen (AVX2, both cores
busy with other work, CPU time of one thread): 10 ns at d = 64, 104 ns at d = 768, half as fast as the floor; the loop
is 48 operations and 12 conversions for 64 terms. SciPy's cdist took so many times as long (float32, one thread,
d = 64, 256, 768): cityblock 3.1, 5.1, 5.3; chebyshev 2.7, 3.9, 4.2; canberra 2.6, 3.2, 2.9 (the divider's limit);
braycurtis 2.3, 2.8, 3.1; hamming 5.6, 8.3, 9.6; of bool, as bits, hamming 12, 28, 57 and jaccard 30, 59, 181;
jensenshannon 11 to 12; minkowski 49 to 86 (p = 3), 25 (p = 1.5), 5 (p = 7.3).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import bits, metrics
from .canonical import DOUBLE, INT32, INT64, TERMS, Sums, Term

MOST_FEATURES = 1 << 20  # for which `error` speaks unless it is told
MOST_PRODUCTS = 8.5  # powers by products and a square root: beyond, the logarithm is as fast
POWERS = 1 / 16, 64.0  # of minkowski; outside, overflow and underflow leave no useful bound
LOGARITHM_TERMS = 9  # of atanh: s^2 <= 0.0295, what follows is below 2^-50
POWER_TERMS = 12  # of the exponential: (ln 2 / 2)^12 / 12! < 2^-47
POWER_ERROR = 2.0**-39  # of `_power`, relative: |p log2| <= 1024 carries ln 2 (2^-42 + 2^-43), its polynomials 2^-42
CEILING = 2.0**1023


# -------------------------------------------------------------------------------------------------------- vectors of IR


def _relative_gap(e, x, y):
    gap, size = e.absolute(e.b.fsub(x, y)), e.b.fadd(e.absolute(x), e.absolute(y))
    some = e.b.fcmp_unordered("!=", size, e.spread(0.0, size.type))
    return (e.b.select(some, e.b.fdiv(gap, size), e.spread(0.0, size.type)),)  # 0/0 stays the gap, 0


def _multiplied(e, value, power):
    """value to a power that is a multiple of 1/2."""
    square, product, left = value, None, int(power)
    while left:
        if left % 2:
            product = square if product is None else e.b.fmul(product, square)
        square, left = (e.b.fmul(square, square) if left > 1 else square), left // 2
    if power != int(power):
        root = e.call("llvm.sqrt", value)
        product = root if product is None else e.b.fmul(product, root)
    return product


def _polynomial(e, at, coefficients):
    """Ascending coefficients, neighbours joined (Estrin): with Horner's chain the power took 1.4 times as long."""
    terms = [e.spread(coefficient, at.type) for coefficient in coefficients]
    while len(terms) > 1:
        terms, odd = (
            [e.call("llvm.fmuladd", high, at, low) for low, high in zip(terms[::2], terms[1::2], strict=False)],
            terms[len(terms) & ~1 :],
        )
        terms, at = terms + odd, e.b.fmul(at, at)
    return terms[0]


def _logarithm(e, value, subnormal):
    """log2 of positive finite numbers, within 2^-48 + 2^-52 |log2|; subnormal ones only where asked for."""
    b, kind, real = e.b, ir.VectorType(INT64, value.type.count), value.type
    bias = e.spread(1023.0 + 2.0**52, real)
    if subnormal:
        low = b.fcmp_ordered("<", value, e.spread(2.0**-1022, real))
        value = b.select(low, b.fmul(value, e.spread(2.0**54, real)), value)
        bias = b.select(low, e.spread(1023.0 + 54.0 + 2.0**52, real), bias)
    word = b.bitcast(value, kind)
    # the root of 1/2 rounds up to 1: with its mantissa added, the exponent counts from there
    above = b.add(word, e.spread(0x3FF0000000000000 - 0x3FE6A09E667F3BCD, kind))
    exponent = b.lshr(above, e.spread(52, kind))
    mantissa = b.sub(word, b.shl(b.sub(exponent, e.spread(1023, kind)), e.spread(52, kind)))
    whole = b.fsub(b.bitcast(b.or_(exponent, e.spread(0x4330000000000000, kind)), real), bias)  # int64 to double
    near_one = b.bitcast(mantissa, real)  # in [root of 1/2, root of 2)
    one = e.spread(1.0, real)
    s = b.fdiv(b.fsub(near_one, one), b.fadd(near_one, one))
    square = b.fmul(s, s)
    series = _polynomial(e, square, [2 / math.log(2) / (2 * k + 1) for k in range(LOGARITHM_TERMS)])
    return e.call("llvm.fmuladd", s, series, whole)


def _power(e, value, power, subnormal=True):
    """value^power of numbers >= 0, subnormal ones only where asked for; 0, infinity and NaN stay.

    A result from 2^1023 on may be infinite, one below 2^-1022 zero.
    """
    b, kind, real = e.b, ir.VectorType(INT64, value.type.count), value.type
    at = b.fmul(_logarithm(e, value, subnormal), e.spread(power, real))
    for side, limit in (("<", 1024.0), (">", -1023.0)):
        limit = e.spread(limit, real)
        at = b.select(b.fcmp_ordered(side, at, limit), at, limit)
    rounder = e.spread(1.5 * 2.0**52, real)
    rounded = b.fadd(at, rounder)
    part_of_one = b.fsub(at, b.fsub(rounded, rounder))
    exponential = _polynomial(e, part_of_one, [math.log(2) ** k / math.factorial(k) for k in range(POWER_TERMS)])
    exponent = b.add(b.bitcast(rounded, kind), e.spread(1023 - 0x4338000000000000, kind))
    result = b.fmul(exponential, b.bitcast(b.shl(exponent, e.spread(52, kind)), real))
    usual = b.and_(
        b.fcmp_ordered(">", value, e.spread(0.0, real)), b.fcmp_ordered("<", value, e.spread(math.inf, real))
    )
    return b.select(usual, result, value)


def _power_gap(e, x, y, products, rooting):
    gap = e.absolute(e.b.fsub(x, y))
    return (_multiplied(e, gap, products) if products else _power(e, gap, e.parameter, rooting),)


def _mixed_entropy(e, x, y):
    both = e.b.fadd(x, y)
    logarithm = _logarithm(e, e.b.fmul(both, e.spread(0.5, both.type)), False)
    least = e.b.icmp_signed(
        "==", e.b.bitcast(both, ir.VectorType(INT64, e.lanes)), e.spread(1, ir.VectorType(INT64, e.lanes))
    )
    logarithm = e.b.select(least, e.spread(-math.inf, both.type), logarithm)  # half of it is 0: share / 0 in `metrics`
    return (e.b.fmul(both, logarithm),)


# -------------------------------------------------------------------------------------------------------- endings of IR


def _plain(e, totals, stats, d):
    return totals[0]


def _cosine(e, totals, stats, d):
    b, kind = e.b, totals[0].type
    nought, one, least = (e.spread(number, kind) for number in (0.0, 1.0, -1.0))
    squares = stats()
    size, empty = e.call("llvm.sqrt", b.fmul(*squares)), (b.fcmp_ordered("==", square, nought) for square in squares)
    cosine = b.select(b.or_(*empty), nought, b.fdiv(totals[0], size))
    cosine = b.select(b.fcmp_ordered("<", cosine, least), least, cosine)  # in this form NaN stays NaN
    return b.fsub(one, b.select(b.fcmp_ordered(">", cosine, one), one, cosine))


def _ratio(e, totals, stats, d):
    return e.b.fdiv(*totals)


def _share(e, totals, stats, d):
    return e.b.fdiv(totals[0], e.spread(e.b.sitofp(d, DOUBLE), totals[0].type))


def _root_of_half(e, totals, stats, d):
    return e.call("llvm.sqrt", e.b.fmul(e.spread(0.5, totals[0].type), totals[0]))


def _divergence(e, totals, stats, d):
    b, kind, (x, y) = e.b, totals[0].type, stats()
    nought, infinity = e.spread(0.0, kind), e.spread(math.inf, kind)
    scale = e.spread(b.fdiv(DOUBLE(0.5 * math.log(2)), e.parameter), kind)
    half = b.fmul(b.fsub(b.fadd(x, y), totals[0]), scale)
    root = e.call("llvm.sqrt", b.select(b.fcmp_ordered("<", half, nought), nought, half))
    massless = b.or_(b.fcmp_ordered("==", x, infinity), b.fcmp_ordered("==", y, infinity))
    return b.select(massless, infinity, root)


def _root(e, totals, stats, d):
    return _below(e, _power(e, _below(e, totals[0]), e.b.fdiv(DOUBLE(1.0), e.parameter)))


def _below(e, value):
    """At most CEILING: whether `metrics` overflows just above is not known here. NaN stays."""
    limit = e.spread(CEILING, value.type)
    return e.b.select(e.b.fcmp_ordered(">", value, limit), limit, value)


# -------------------------------------------------------------------------------------------------------------- by name


class Loop(NamedTuple):
    """Terms of a metric, what follows their totals, and how many rows and columns share the registers."""

    term: Term
    ending: Callable = _plain
    block: tuple[int, int] = (2, 4)


_GAP = Term("gap", lambda e, x, y: (e.absolute(e.b.fsub(x, y)),))
_GAP_AND_SUM = Term("gap and sum", lambda e, x, y: (e.absolute(e.b.fsub(x, y)), e.absolute(e.b.fadd(x, y))), totals=2)
_DIFFERS = Term("differs", lambda e, x, y: (e.b.fcmp_unordered("!=", x, y),), fold="count", native=True)
_LOOPS = {
    "dot": Loop(TERMS["product"]),
    "cosine": Loop(TERMS["product"], _cosine),
    "correlation": Loop(TERMS["product"], _cosine),
    "euclidean": Loop(TERMS["square gap"]),
    "sqeuclidean": Loop(TERMS["square gap"]),
    "hellinger": Loop(TERMS["square gap"], _root_of_half),
    "cityblock": Loop(_GAP),
    "chebyshev": Loop(replace(_GAP, fold="max")),
    "canberra": Loop(Term("relative gap", _relative_gap)),
    "braycurtis": Loop(_GAP_AND_SUM, _ratio, (1, 4)),
    "hamming": Loop(_DIFFERS, _share),
    "jensenshannon": Loop(Term("mixed entropy", _mixed_entropy), _divergence, (1, 4)),
}


def _loop(name, products, rooting):
    if name != "minkowski":
        return _LOOPS[name]
    return Loop(Term("power gap", lambda e, x, y: _power_gap(e, x, y, products, rooting)), _root, (1, 4))


# -------------------------------------------------------------------------------------------------------- the interface


def covers(metric):
    """Whether these loops compute the metric."""
    if metric.scipy is not None:
        return False
    if metric.name == "minkowski":
        return POWERS[0] <= parameter(metric) <= POWERS[1]
    if metric.name == "jensenshannon":  # a base of at most 1 turns the sign, or divides by 0
        return 0.0 < parameter(metric) < np.inf
    return True


def parameter(metric):
    """The number that `fill` takes: p of minkowski, the logarithm of jensenshannon's base."""
    if metric.name == "minkowski":
        return float(metric.terms.keywords["p"])
    if metric.name == "jensenshannon":
        base = getattr(metric.finish, "keywords", {}).get("base", np.e)
        with np.errstate(all="ignore"):
            return float(np.log(base))
    return 0.0


def key(metric):
    """What tells kernels with this metric's filler from others."""
    products, rooting = _way(metric)
    return f"{metric.name}{products or ''}{'-rooting' * rooting}"


def _way(metric):
    """Of minkowski (p if products and a square root reach it, else 0; whether a power of a subnormal gap counts)."""
    p = parameter(metric) if metric.name == "minkowski" else 0.0
    products = p if 2 * p == int(2 * p) and p <= MOST_PRODUCTS else 0.0
    return products, not products and 0.0 < p < 1.0


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
    if metric.name == "jensenshannon":
        under_root = growth * (4 * math.log(d) + 8) + 2.0**-45
        return 2.0**-50, math.sqrt(under_root / parameter(metric)) * (1 + 2.0**-20)
    return 0.0, 0.0


def ceiling(metric):
    """A value of this or more stands for any up to infinity: the sum of powers may overflow in `metrics`."""
    if metric.name != "minkowski":
        return np.inf
    return 2.0 ** (1023 * min(1.0, 1 / parameter(metric))) * (1 - 2.0**-30)


def packs(metric, *dtypes):
    """Whether sides of these dtypes meet as words of bits: truth values, and bool compared with bool."""
    return metric.name == "jaccard" or (metric.name == "hamming" and all(np.dtype(dtype) == bool for dtype in dtypes))


def prepared(metric, block):
    """(rows, stat) of a side, by NumPy: float32 stays where the metric takes rows as they are; bits as `bits.packed`.

    A bool block gives words for hamming: where the other side is not bool, ask with rows as float32.
    """
    if packs(metric, block.dtype):
        return bits.packed(block)
    if block.dtype != np.float32:
        block = block.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        rows = block if metric.rows is metrics.Metric.rows else metric.rows(block.astype(np.float64, copy=False))
        if metric.name == "jensenshannon":
            stat = _negative_entropy(rows)
            stat[metric.stat(rows)] = np.inf
        else:
            stat = np.zeros(len(rows)) if metric.stat is None else metric.stat(rows)
    return np.ascontiguousarray(rows), stat


def _negative_entropy(shares):
    logarithm = np.log2(np.where(shares == 0, 1.0, shares))
    return metrics.row_sum(shares * logarithm)


@cache
def _filler(name, products, rooting, elements, lane_bits):
    loop = _loop(name, products, rooting)

    def fill(typing, x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc):
        kinds = x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc

        def emit(context, builder, signature, given):
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(kinds, given, strict=True)
                if isinstance(kind, types.Array)
            ]
            whole = [context.cast(builder, given[at], kinds[at], types.int64) for at in range(4, 9)]
            number = context.cast(builder, given[9], kinds[9], types.float64)
            _Tile(builder, loop, elements, lane_bits, number, arrays).filled(*whole)
            return context.get_dummy_value()

        return types.none(*kinds), emit

    return intrinsic(fill)


class _Tile(Sums):
    """The IR of `fill`."""

    def __init__(self, builder, loop, elements, lane_bits, parameter, arrays):
        super().__init__(builder, loop.term, elements, lane_bits, loop.block, parameter)
        self.loop, self.arrays = loop, arrays

    def filled(self, i, j, rows, columns, d):
        b = self.b
        features = b.extract_value(self.arrays[0].shape, 1)
        with cgutils.for_range_slice(b, INT64(0), columns, INT64(self.columns), intp=INT64) as (c, _):
            right = [b.add(j, at) for at in self._there(c, columns, self.columns)]
            with cgutils.for_range_slice(b, INT64(0), rows, INT64(self.rows), intp=INT64) as (r, _):
                left = [b.add(i, at) for at in self._there(r, rows, self.rows)]
                x, y = ([self._place(side, at) for at in side_rows] for side, side_rows in enumerate((left, right)))
                totals = self.totals(x, y, features)
                value = self.loop.ending(self, totals, lambda: self._stats(left, right), d)
                self._kept(value, r, c, rows, columns)

    def _there(self, first, count, size):
        """`size` positions from the first on, the last one repeated where there are no more."""
        last = self.b.sub(count, INT64(1))
        positions = [self.b.add(first, INT64(step)) for step in range(size)]
        return [self.b.select(self.b.icmp_signed("<", at, last), at, last) for at in positions]

    def _place(self, array, row):
        array = self.arrays[array]
        base = self.b.ptrtoint(array.data, INT64)
        return self.b.add(base, self.b.mul(row, self.b.extract_value(array.strides, 0)))

    def _stats(self, left, right):
        """Those of x and of y, pair by pair."""
        pairs = [(r, c) for r in left for c in right]
        found = []
        for side, array in enumerate(self.arrays[2:4]):
            vector = ir.Constant(self.of(DOUBLE, self.pairs), ir.Undefined)
            for lane, pair in enumerate(pairs):
                stat = self.b.load(self.b.gep(array.data, [pair[side]]))
                vector = self.b.insert_element(vector, stat, INT32(lane))
            found.append(vector)
        return found

    def _kept(self, value, r, c, rows, columns):
        """Write the pairs that are there."""
        b, room = self.b, self.stack(DOUBLE, self.pairs)
        self.store(value, room, INT64(0))
        for step in range(self.rows):
            row = b.add(r, INT64(step))
            with b.if_then(b.icmp_signed("<", row, rows)):
                place = b.inttoptr(self._place(4, row), DOUBLE.as_pointer())
                with b.if_else(b.icmp_signed("<=", b.add(c, INT64(self.columns)), columns)) as (all_there, some):
                    with all_there:
                        part = self.load(room, INT64(step * self.columns), DOUBLE, self.columns)
                        self.store(part, place, c)
                    with some, cgutils.for_range(b, b.sub(columns, c), intp=INT64) as column:
                        at = b.add(column.index, INT64(step * self.columns))
                        b.store(b.load(b.gep(room, [at])), b.gep(place, [b.add(c, column.index)]))


def filler(metric, x_dtype_name, y_dtype_name, lane_bits=None):
    """What kernels call as fill(x, y, x_stat, y_stat, i, j, rows, columns, d, parameter, value_rc).

    value_rc[r, c] = value of x[i + r] with y[j + c], as `metrics.pairs` gives it or within `error` of that. lane_bits:
    width of the vectors, the CPU's own if None. IR as a whole: a function in between would be optimised twice, and its
    loops typed: 0.5 s of a cold start instead of 0.1 to 0.3.
    """
    if x_dtype_name == y_dtype_name == "uint64":
        return bits.filler(metric.name)
    products, rooting = _way(metric)
    return _filler(metric.name, products, rooting, (x_dtype_name, y_dtype_name), lane_bits)
