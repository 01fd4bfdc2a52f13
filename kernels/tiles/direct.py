"""Canonical values of tiles of pairs by direct SIMD loops, for the metrics that need no pow and no log.

Work    loops of `tile.py`: terms of a vector of features, and what is made of their totals
Shapes  rows as `prepared` gives them -> float64 values to the bit those of `metrics`
Cost    a vector operation takes 4 features (AVX2): 2 additions of cityblock, 1 division of canberra, see below
Sum     canonical

Floor of cityblock: 2 d / 4 additions in two pipes, d / 4 cycles a pair. Measured on a 2-core Zen (AVX2, both cores
busy with other work, CPU time of one thread): 10 ns at d = 64, 104 ns at d = 768, half as fast as the floor; the loop
is 48 operations and 12 conversions for 64 terms. SciPy's cdist took so many times as long (float32, one thread,
d = 64, 256, 768): cityblock 3.1, 5.1, 5.3; chebyshev 2.7, 3.9, 4.2; canberra 2.6, 3.2, 2.9 (the divider's limit);
braycurtis 2.3, 2.8, 3.1; hamming 5.6, 8.3, 9.6; of bool, as bits, hamming 12, 28, 57 and jaccard 30, 59, 181.
"""

from dataclasses import replace

import numpy as np

from . import bits, metrics, near, nearness, tile
from .jit import plain
from .lanes import DOUBLE, TERMS, Term
from .tile import Loop

# --------------------------------------------------------------------------------------------------------------- terms


def _relative_gap(e, x, y):
    gap, size = e.absolute(e.b.fsub(x, y)), e.b.fadd(e.absolute(x), e.absolute(y))
    some = e.b.fcmp_unordered("!=", size, e.spread(0.0, size.type))
    return (e.b.select(some, e.b.fdiv(gap, size), e.spread(0.0, size.type)),)  # 0/0 stays the gap, 0


_GAP = Term("gap", lambda e, x, y: (e.absolute(e.b.fsub(x, y)),))
_GAP_AND_SUM = Term("gap and sum", lambda e, x, y: (e.absolute(e.b.fsub(x, y)), e.absolute(e.b.fadd(x, y))), totals=2)
_DIFFERS = Term("differs", lambda e, x, y: (e.b.fcmp_unordered("!=", x, y),), fold="count", native=True)


# ------------------------------------------------------------------------------------------------------------- endings


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


# ------------------------------------------------------------------------------------------------------------- by name


_LOOPS = {
    "dot": Loop(TERMS["product"]),
    "cosine": Loop(TERMS["product"], _cosine),
    "correlation": Loop(TERMS["product"], _cosine),
    "euclidean": Loop(TERMS["square gap"]),
    "sqeuclidean": Loop(TERMS["square gap"]),  # and the same kernels
    "hellinger": Loop(TERMS["square gap"], _root_of_half),
    "cityblock": Loop(_GAP),
    "chebyshev": Loop(replace(_GAP, fold="max")),
    "canberra": Loop(Term("relative gap", _relative_gap)),
    "braycurtis": Loop(_GAP_AND_SUM, _ratio, (1, 4)),
    "hamming": Loop(_DIFFERS, _share),
}


def covers(metric):
    """Whether these loops, or those of bits, give the metric's canonical values."""
    return metric.scipy is None and (metric.name in _LOOPS or metric.name == "jaccard")


def packs(metric, *dtypes):
    """Whether sides of these dtypes meet as words of bits: truth values, and bool compared with bool."""
    return metric.name == "jaccard" or (metric.name == "hamming" and all(np.dtype(dtype) == bool for dtype in dtypes))


# ------------------------------------------------------------------------------------- these loops and those of `near`


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
            stat = nearness.entropies(metric, rows)
        else:
            stat = np.zeros(len(rows)) if metric.stat is None else metric.stat(rows)
    return plain(rows), stat


def filler(metric, x_dtype_name, y_dtype_name, lane_bits=None):
    """`tile.filler` for sides as `prepared` gives them."""
    if x_dtype_name == y_dtype_name == "uint64":
        return bits.filler(metric.name)
    if nearness.covers(metric):
        name, loop = near.key(metric), near.loop(metric)
    else:
        name, loop = "euclidean" if metric.name == "sqeuclidean" else metric.name, _LOOPS[metric.name]
    return tile.filler(name, loop, (x_dtype_name, y_dtype_name), lane_bits)
