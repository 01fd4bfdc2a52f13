"""Truth values as bits: hamming of bool rows, jaccard of anything, by popcount.

Work    a row of x against COLUMNS rows of y at a time; nogil
Shapes  rows (b, d) -> words (b, ceil(d / 64)) uint64, zeros after the last feature, ones (b,) float64
Cost    xor, popcount and add for 64 features of a pair
Sum     whole numbers: counted in int64, to the bit the float64 sums of `metrics`
"""

from functools import cache

import numpy as np
from numba import types
from numba.extending import intrinsic

from .blocks import FEATURES, VALUE, WORDS, X_STAT, Y_STAT, X, Y, row
from .jit import kernel, part
from .memory import number, put, whole

WORD = 64


def packed(rows):
    """(words, how many features of each row are true): what is not 0 is true, NaN too."""
    octets = np.packbits(rows != 0, axis=1, bitorder="little")
    whole = np.zeros((len(rows), -(-rows.shape[1] // WORD) * (WORD // 8)), np.uint8)
    whole[:, : octets.shape[1]] = octets
    return whole.view(np.uint64), np.count_nonzero(rows, axis=1).astype(np.float64)


@intrinsic
def _ones(typing, word):
    """How many bits are set."""

    def emit(context, builder, signature, given):
        return builder.ctpop(given[0])

    return types.int64(types.int64), emit


@part()
def _hamming(differ, x_ones, y_ones, d):
    return differ / d


@part()
def _jaccard(differ, x_ones, y_ones, d):
    present = (x_ones + y_ones + differ) / 2  # either is true: twice those in both, once those in one
    return 0.0 if present == 0.0 else differ / present


@cache
def filler(name):
    """`tile.filler` for words."""
    ending = {"hamming": _hamming, "jaccard": _jaccard}[name]

    @kernel(name)
    def fill(table, i, j, rows, columns):
        words, d = whole(table, WORDS), whole(table, FEATURES)
        for r in range(rows):
            x, x_ones = row(table, X, i + r), number(whole(table, X_STAT), i + r)
            for c in range(columns):
                y, count = row(table, Y, j + c), 0
                for at in range(words):
                    count += _ones(whole(x, at) ^ whole(y, at))
                value = ending(np.float64(count), x_ones, number(whole(table, Y_STAT), j + c), d)
                put(row(table, VALUE, r), c, value)

    return fill
