"""Logarithm to base 2 and power of vectors of doubles, in LLVM IR, with stated errors.

Work    a vector at a time, without a branch and without a table
Shapes  a vector of doubles -> a vector of doubles
Cost    logarithm: 1 division and about 25 operations; power: about 60; by products: one for each doubling
Sum     none
"""

import math

from llvmlite import ir

from .lanes import INT64

LOGARITHM_TERMS = 9  # of atanh: s^2 <= 0.0295, what follows is below 2^-50
POWER_TERMS = 12  # of the exponential: (ln 2 / 2)^12 / 12! < 2^-47


def by_products(e, value, exponent):
    """value to an exponent that is a multiple of 1/2."""
    square, product, left = value, None, int(exponent)
    while left:
        if left % 2:
            product = square if product is None else e.b.fmul(product, square)
        square, left = (e.b.fmul(square, square) if left > 1 else square), left // 2
    if exponent != int(exponent):
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


def logarithm(e, value, subnormal):
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


def power(e, value, exponent, subnormal=True):
    """value^exponent of numbers >= 0, subnormal ones only where asked for; 0, infinity and NaN stay.

    A result from 2^1023 on may be infinite, one below 2^-1022 zero.
    """
    b, kind, real = e.b, ir.VectorType(INT64, value.type.count), value.type
    at = b.fmul(logarithm(e, value, subnormal), e.spread(exponent, real))
    for side, limit in (("<", 1024.0), (">", -1023.0)):
        limit = e.spread(limit, real)
        at = b.select(b.fcmp_ordered(side, at, limit), at, limit)
    rounder = e.spread(1.5 * 2.0**52, real)
    rounded = b.fadd(at, rounder)
    part_of_one = b.fsub(at, b.fsub(rounded, rounder))
    exponential = _polynomial(e, part_of_one, [math.log(2) ** k / math.factorial(k) for k in range(POWER_TERMS)])
    whole = b.add(b.bitcast(rounded, kind), e.spread(1023 - 0x4338000000000000, kind))
    result = b.fmul(exponential, b.bitcast(b.shl(whole, e.spread(52, kind)), real))
    usual = b.and_(
        b.fcmp_ordered(">", value, e.spread(0.0, real)), b.fcmp_ordered("<", value, e.spread(math.inf, real))
    )
    return b.select(usual, result, value)
