"""Tiles of scores added to running log-sum-exps, on Numba: a polynomial for the exponential, in float32 or float64.

Work    a row of a tile at a time: its largest term, its exponentials into a buffer in L1, their sum; nogil
Shapes  tile (r, c) C order, columns left..right of it -> largest, total of its rows (r,) or of its columns (c,)
Cost    two readings of the tile from L2; 1.7 ns a float32 term on a busy Zen 3, where NumPy took 2.2 for the
        exponential alone
Sum     terms and sums in float64, columns ascending up to the order within a vector; exponentials in the tile's dtype

    exp(t) = 2**k p(r),   k = t log2(e) rounded,   r = t - k log(2) in two pieces,   -NEGLIGIBLE <= t <= 0

p is the series up to r**DEGREE / DEGREE!: |r| <= 0.3466 leaves 5e-9 of it in float32, 3e-18 in float64. With Horner's
roundings, each halved by r at least, and those of r, an exponential is within 4 units of its last place.

Loops of one kind of number each: one that went from the tile's float32 to the sum's float64 and back through the
polynomial was vectorised by four or not at all, and took three times as long.
"""

import math
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import borrowed, kernel, part
from .running import NEGLIGIBLE

LEAST = -NEGLIGIBLE
LOG2E = 1.4426950408889634
HIGH = {"float32": 0.693359375, "float64": 0.6931471803691238}  # few bits: k times it is exact
LOW = {name: math.log(2) - high for name, high in HIGH.items()}
LOW["float64"] = 1.9082149292705877e-10  # log(2) - HIGH, beyond what a difference of doubles shows
DEGREE = {"float32": 7, "float64": 13}
BIASED = {"float32": 127, "float64": 1023}  # exponent of 1
MANTISSA = {"float32": 23, "float64": 52}  # bits


@intrinsic
def _float32_of(typing, bits):
    def emit(context, builder, signature, given):
        return builder.bitcast(given[0], ir.FloatType())

    return types.float32(types.int32), emit


@intrinsic
def _float64_of(typing, bits):
    def emit(context, builder, signature, given):
        return builder.bitcast(given[0], ir.DoubleType())

    return types.float64(types.int64), emit


@cache
def exponentials(name):
    """exp(t) of an array of this dtype in its place, without a branch; NaN stays."""
    real, whole = (np.float32, np.int32) if name == "float32" else (np.float64, np.int64)
    of_bits = _float32_of if name == "float32" else _float64_of
    log2e, half, high, low = real(LOG2E), real(0.5), real(HIGH[name]), real(LOW[name])
    one, bias, shift = real(1), whole(BIASED[name]), whole(MANTISSA[name])
    c2, c3, c4, c5, c6, c7 = (real(1 / math.factorial(n)) for n in range(2, 8))
    c8, c9, c10, c11, c12, c13 = (real(1 / math.factorial(n)) for n in range(8, 14))
    wide = DEGREE[name] > 7

    @part(fastmath={"contract"})
    def exponentials(terms):
        for c in range(terms.shape[0]):
            t = terms[c]
            k = np.int32(t * log2e - half)  # cut towards 0: t is not positive
            power = real(k)
            r = (t - power * high) - power * low
            tail = c7
            if wide:
                tail += r * (c8 + r * (c9 + r * (c10 + r * (c11 + r * (c12 + r * c13)))))
            p = one + r * (one + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * tail))))))
            terms[c] = p * of_bits(whole((whole(k) + bias) << shift))

    return exponentials


@part(fastmath={"reassoc", "nnan", "nsz"})
def _largest(row, scale, shift):
    found = -np.inf
    for c in range(shift.shape[0]):
        found = max(found, scale * row[c] + shift[c])
    return found


@part(fastmath={"reassoc"})
def _summed(terms):
    total = 0.0
    for c in range(terms.shape[0]):
        total += terms[c]
    return total


@part()
def _rescaled(total, before, after):
    """A sum relative to `before`, relative to `after` instead."""
    return total * math.exp(before - after) if total > 0.0 and before != after else total


@part()
def _endless(total, term):
    """A sum with an infinite term, and one more: NaN stays."""
    return np.nan if total != total or term != term else np.inf


@part()
def _added(terms, total):
    for c in range(terms.shape[0]):
        total[c] += terms[c]


@part()
def _raised(row, scale, shift, top):
    for c in range(top.shape[0]):
        term = scale * row[c] + shift
        top[c] = term if term > top[c] else top[c]


@part()
def _below(row, scale, shift, top, terms):
    """How far the terms of a row are below one number."""
    for c in range(terms.shape[0]):
        t = (scale * row[c] + shift[c]) - top
        terms[c] = LEAST if t < LEAST else t


@part()
def _below_each(row, scale, shift, top, terms):
    """How far they are below a number each."""
    for c in range(terms.shape[0]):
        t = (scale * row[c] + shift) - top[c]
        terms[c] = LEAST if t < LEAST else t


@cache
def adder(name):
    """The kernel that adds a tile of this dtype to the sums of its rows."""
    real, exp = np.dtype(name).type, exponentials(name)

    @kernel(name)
    def add_rows(tile, left, right, scale, shift, largest, total):
        """Terms scale * tile[i, c] + shift[c - left]."""
        tile, shift, largest, total = borrowed(tile), borrowed(shift), borrowed(largest), borrowed(total)
        terms = np.empty(right - left, real)
        for i in range(tile.shape[0]):
            row = tile[i, left:right]
            top = max(largest[i], _largest(row, scale, shift))
            if top == -np.inf:  # all terms are nothing, or NaN
                for c in range(right - left):
                    if row[c] != row[c]:
                        total[i] = np.nan
                continue
            if top == np.inf:
                for c in range(right - left):
                    total[i] = _endless(total[i], scale * row[c] + shift[c])
                largest[i] = top
                continue
            _below(row, scale, shift, top, terms)
            exp(terms)
            total[i] = _rescaled(total[i], largest[i], top) + _summed(terms)
            largest[i] = top

    return add_rows


@cache
def turned_adder(name):
    """The kernel that adds a tile of this dtype to the sums of its columns."""
    real, exp = np.dtype(name).type, exponentials(name)

    @kernel(name)
    def add_columns(tile, left, right, scale, shift, largest, total):
        """Terms scale * tile[i, c] + shift[i] of columns left..right."""
        tile, shift, largest, total = borrowed(tile), borrowed(shift), borrowed(largest), borrowed(total)
        terms, top, before = np.empty(right - left, real), np.empty(right - left), np.empty(right - left)
        for c in range(right - left):
            top[c], before[c] = largest[c], total[c]
        for i in range(tile.shape[0]):
            _raised(tile[i, left:right], scale, shift[i], top)
        for c in range(right - left):
            total[c] = _rescaled(total[c], largest[c], top[c])
            largest[c] = top[c]
            top[c] = 0.0 if top[c] == -np.inf else top[c]  # all terms are nothing: far below, they stay so
        for i in range(tile.shape[0]):
            _below_each(tile[i, left:right], scale, shift[i], top, terms)
            exp(terms)
            _added(terms, total)
        for c in range(right - left):
            if largest[c] == np.inf:
                total[c] = before[c]
                for i in range(tile.shape[0]):
                    total[c] = _endless(total[c], scale * tile[i, left + c] + shift[i])

    return add_columns


@cache
def builder(name):
    """The kernel that keeps the exponentials of scores of this dtype, each row relative to its largest term."""
    exp = exponentials(name)

    @kernel(name)
    def build(scores, scale, shift, kept, top):
        """Terms scale * scores[i, c] + shift[c]."""
        scores, shift, kept, top = borrowed(scores), borrowed(shift), borrowed(kept), borrowed(top)
        for i in range(scores.shape[0]):
            top[i] = _largest(scores[i], scale, shift)
            _below(scores[i], scale, shift, top[i], kept[i])
            exp(kept[i])

    return build
