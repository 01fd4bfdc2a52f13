"""Canonical float64 values of the pairs of a list, for the GEMM family: to the bit those of `metrics.py`.

Work    one row of x against COLUMNS of y at a time; nogil
Shapes  x (m, d), y (n, d) float32 or float64, pairs (p,) -> value (p,)
Cost    2 to 6 d flops a pair, one load of a row of x for the pairs that follow each other with it
Sum     `lanes.Sums`
"""

import math
from functools import cache

import numpy as np
from numba import types
from numba.extending import intrinsic

from .jit import address_of, borrowed, kernel, part
from .lanes import DOUBLE, INT64, TERMS, Sums
from .memory import number

COLUMNS = 4  # of y that `valuer` reads at a time


@cache
def far(term, elements, bits=None):
    """The intrinsic for one row of x and COLUMNS rows of y anywhere.

    (d, x, address of the addresses of y) -> address of [totals][COLUMNS] doubles on the stack.
    """

    def added(typing, d, x, table):
        def emit(context, builder, signature, given):
            d, x, table = given
            e = Sums(builder, term, elements, bits, (1, COLUMNS))
            table = builder.inttoptr(table, INT64.as_pointer())
            totals = e.totals([x], [builder.load(builder.gep(table, [INT64(c)])) for c in range(COLUMNS)], d)
            result = e.stack(DOUBLE, COLUMNS * len(totals))
            for t, total in enumerate(totals):
                e.store(total, result, INT64(t * COLUMNS))
            return builder.ptrtoint(result, INT64)

        return types.int64(*[types.int64] * 3), emit

    return intrinsic(added)


@part()
def _cosine(product, x_square, y_square):
    """1 - product / root of both squares, clipped as `metrics` does: NaN stays NaN, a zero row is at 1 from all."""
    cosine = 0.0 if x_square == 0.0 or y_square == 0.0 else product / np.sqrt(x_square * y_square)
    if cosine < -1.0:
        cosine = -1.0
    if cosine > 1.0:
        cosine = 1.0
    return 1.0 - cosine


@cache
def _copier(real, centred):
    """Rows as they enter an angle: float64, scaled by a power of two, for correlation less their mean."""
    magnitude, total = far(TERMS["magnitude"], (real, real)), far(TERMS["entry"], ("float64", "float64"))

    @part()
    def copied(y, j_c, table, room):
        """Copy rows j of y to `room` and put their addresses into the table."""
        d, count = y.shape[1], j_c.shape[0]
        for c in range(COLUMNS):
            table[c] = address_of(y) + y.strides[0] * j_c[c if c < count else count - 1]
        tops = magnitude(d, table[0], address_of(table))
        for c in range(count):
            row, out = y[j_c[c]], room[c]
            up = -math.frexp(number(tops, c))[1]
            most = 1000 if up > 1000 else up  # 2^1073 is no float64
            factor, beyond = math.ldexp(1.0, most), math.ldexp(1.0, up - most)
            for feature in range(d):
                out[feature] = np.float64(row[feature]) * factor * beyond
        for c in range(COLUMNS):
            table[c] = address_of(room) + room.strides[0] * (c if c < count else count - 1)
        if centred:
            sums = total(d, table[0], address_of(table))
            for c in range(count):
                mean, out = number(sums, c) / d, room[c]
                at = 1
                while at < d and out[at] == out[0]:  # the mean of equal numbers need not round to them
                    at += 1
                if at == d and out[0] == out[0]:
                    out[:] = 0.0
                else:
                    for feature in range(d):
                        out[feature] -= mean

    return copied


@cache
def valuer(form, x_real, y_real):
    """values(x, y, i, j, value): fills in the canonical values of pairs. form: l2, dot, cosine or correlation.

    Pairs of one row of x should follow each other: COLUMNS of them share its loads. Euclidean pairs of float32, random
    rows of 200,000, d = 768, 2-core Zen: 0.46 us a pair from memory (1.0 one at a time), 0.14 from cache (0.34). To
    prefetch 4, 12 or all 48 lines of the next rows won nothing beyond the noise, and lost up to 3 times.
    """
    angle, centred = form in ("cosine", "correlation"), form == "correlation"
    x_copied, y_copied = ((angle and real == "float64") or centred for real in (x_real, y_real))
    elements = "float64" if x_copied else x_real, "float64" if y_copied else y_real
    term = TERMS["product and square" if angle else "product" if form == "dot" else "square gap"]
    added, own = far(term, elements), far(TERMS["product"], elements[:1] * 2)
    x_copy, y_copy = _copier(x_real, centred), _copier(y_real, centred)

    @kernel(form)
    def settle(x, y, i_p, j_p, value_p, table, x_room, room):
        x, y, i_p, j_p, value_p, table, x_room, room = borrowed((x, y, i_p, j_p, value_p, table, x_room, room))
        d, size, at, last = x.shape[1], i_p.shape[0], 0, -1
        x_at, x_square = 0, 0.0
        while at < size:
            i, end = i_p[at], at + 1
            while end < size and end < at + COLUMNS and i_p[end] == i:
                end += 1
            if i != last:
                last, x_at = i, address_of(x) + x.strides[0] * i
                if x_copied:
                    x_copy(x, i_p[at : at + 1], table, x_room)
                    x_at = address_of(x_room)
                if angle:
                    for c in range(COLUMNS):
                        table[c] = x_at
                    x_square = number(own(d, x_at, address_of(table)), 0)
            if y_copied:
                y_copy(y, j_p[at:end], table, room)
            else:
                for c in range(COLUMNS):
                    table[c] = address_of(y) + y.strides[0] * j_p[at + c if at + c < end else end - 1]
            totals = added(d, x_at, address_of(table))
            for c in range(end - at):
                value = number(totals, c)
                value_p[at + c] = _cosine(value, x_square, number(totals, COLUMNS + c)) if angle else value
            at = end

    def values(x, y, i_p, j_p, value_p):
        rooms = [
            np.empty((rows, x.shape[1])) for rows in (int(x_copied), COLUMNS * y_copied)
        ]  # in a kernel: 0.4 s more
        settle(x, y, i_p, j_p, value_p, np.empty(COLUMNS, np.int64), *rooms)

    return values
