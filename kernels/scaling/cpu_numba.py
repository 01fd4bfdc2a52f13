"""`scaling` on Numba: four rows of the kernel at a time, their sums and then their shares of the columns' sums.

Work    stripes of rows, shared out among the threads of the pool; a thread reads four rows from memory, and again from
        its cache
Shapes  scores, kernel (m, n) of one dtype, C order; goals, potentials: pairs of (m,), (n,); weights (m,)
Cost    one reading of the kernel an iteration; scratch of STRIPES n float64
Sum     float64: of a row by columns ascending up to the order within a vector; of a column by fours of rows, then by
        stripes, whatever the threads
"""

import math
from functools import cache

import numpy as np

from ..tiles import pool
from ..tiles.exponential import builder
from ..tiles.jit import borrowed, kernel, part, plain
from ..tiles.scalings import iterate

STRIPES = 32
ROWS = 4  # at a time: v and the columns' sums are read from L2 a quarter as often


def scaling(scores, kernel, *, beta, goals, share, potentials, weights, tolerance, iterations):
    """(iterations done, error, whether to stop); `kernel` is room for what is made of the scores."""
    (m, n), name = scores.shape, kernel.dtype.name
    scores, make, add = plain(scores), builder(name), sweeper(name)
    step = -(-m // (STRIPES * ROWS)) * ROWS
    stripes = [slice(start, start + step) for start in range(0, m, step)]
    partial = np.empty((len(stripes), n))

    def build(shift):
        top = np.empty(m)
        pool.run([
            lambda rows=rows: make(scores[rows], beta, shift, kernel[rows], top[rows]) for rows in stripes
        ])  # fmt: skip
        return top

    def sweep(v, lead):
        log_w = np.empty(m)
        pool.run([
            lambda at=at, rows=rows: add(kernel[rows], v, lead[rows], share, log_w[rows], partial[at])
            for at, rows in enumerate(stripes)
        ])  # fmt: skip
        return log_w, np.add.reduce(partial, axis=0)

    return iterate(
        build, sweep, goals=goals, share=share, potentials=potentials, weights=weights, tolerance=tolerance,
        iterations=iterations,
    )  # fmt: skip


@part(fastmath={"reassoc", "contract"})
def _products(k, i, v):
    """Sums of four rows' entries times v."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for j in range(v.shape[0]):
        one += k[i[0], j] * v[j]
        two += k[i[1], j] * v[j]
        three += k[i[2], j] * v[j]
        four += k[i[3], j] * v[j]
    return one, two, three, four


@part(fastmath={"contract"})
def _spread(k, i, w, total):
    """Four rows times a number each, added to the columns' sums."""
    for j in range(total.shape[0]):
        total[j] += (k[i[0], j] * w[0] + k[i[1], j] * w[1]) + (k[i[2], j] * w[2] + k[i[3], j] * w[3])


@cache
def sweeper(name):
    """The kernel that reads a stripe of this dtype."""

    @kernel(name)
    def sweep(k, v, lead, share, log_w, total):
        k, v, lead, log_w, total = borrowed(k), borrowed(v), borrowed(lead), borrowed(log_w), borrowed(total)
        last = k.shape[0] - 1
        for j in range(total.shape[0]):
            total[j] = 0.0
        w = np.empty(ROWS)
        for start in range(0, k.shape[0], ROWS):
            i = start, min(start + 1, last), min(start + 2, last), min(start + 3, last)
            sums = _products(k, i, v)
            for slot in range(ROWS):
                w[slot] = 0.0  # behind the last row: the same one again, of no weight
                if start + slot <= last:
                    log_w[start + slot] = lead[start + slot] - share * math.log(sums[slot])
                    w[slot] = math.exp(log_w[start + slot])
            _spread(k, i, w, total)

    return sweep
