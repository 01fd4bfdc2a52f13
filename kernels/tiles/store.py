"""Rows as the sides of a product whose error is known: codes, and what a value and its limit take from every row.

Work    one pass over the rows: the vector that counts, its norm, its codes, while the row is in L1; nogil
Shapes  rows (b, d) -> codes (panels, steps, width), numbers (3, panels * width): base, weight, limit as in `products`
Cost    3 reads of a row in L1, one write of its codes; scratch one row in float64
Sum     norms in float64, PIECE features at a time; the mean of `correlation` in eight lanes, as canonical

u = 2**-24 and S = |x| + |y|. A float32 code is a coordinate (of x less the centre, or of x / |x|) times a factor,
formed in float64 and rounded once: the distance of two rows of codes is off by at most u S. Of their product the chunks
lose g = n u / (1 - n u), n features a chunk (Higham 2002, 3.1: fmuladd or not, each term meets at most n roundings),
and less than a unit each when cut to whole numbers, LENGTH**2 units being |x||y|:

    G = g + chunks / LENGTH**2,   |value - d**2| <= 2 u S d + u**2 S**2 + 2 G |x||y|,   |x||y| <= S**2 / 4

With r = S / d that is at most P d**2 where (u**2 + G / 2) r**2 + 2 u r <= P: wherever d**2 >= S**2 / r**2 for the
largest such r. The limit asks for it with S**2 <= 2 (|x|**2 + |y|**2), a sum of numbers of one row each. Products of
rows as they are (dot) and of unit rows (cosine, correlation) are within (2 u + u**2 + G) |x||y| everywhere.
Float64 codes: u = 2**-53, one addition a chunk and 8 more roundings in G; the squares lose as much: G for G / 2.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from .jit import kernel, part
from .products import CHUNKS, GROUP, LENGTH

PIECE = 64  # features of a partial sum of squares
SHARE = {"l2": 0.9, "cosine": 0.8, "dot": 0.8}  # of the promise for all this; the last roundings take up to 2 u
SAFE_BITS = {"float32": 60, "float64": 400}  # norms within 2**-b .. 2**b: values are normal numbers
SINGLE, DOUBLE, DOUBLE_FEATURES = 1e-6, 1e-13, 256  # promised, DESIGN section 2
REASSOCIATED = {"reassoc", "nsz", "contract"}


class Ending(NamedTuple):
    """What becomes of a product, for one metric, kind of codes and output."""

    form: str  # l2, cosine, dot
    own_mean: bool  # correlation
    centre: np.ndarray  # (d,) float64
    kind: str
    chunk: int  # features
    limit: float  # of l2: share of |x|**2 + |y|**2; of cosine: as it is; of dot: -inf
    rooted: bool

    @property
    def ceiling(self):
        return 2.0 if self.form == "cosine" else np.inf


def error(kind, n, d):
    """(G, error of |x| or of a coordinate) relative, of products of codes in chunks of n features."""
    u = 2.0**-24 if kind == "float32" else 2.0**-53
    chunks = -(-d // n)
    if kind == "float32":
        return n * u / (1 - n * u) + chunks / LENGTH**2 + 4 * (PIECE + d / PIECE + 8) * 2.0**-53, u
    return 1.01 * (n + chunks + 8) * u, u


def promised(dtype, d):
    return SINGLE if dtype == np.float32 else DOUBLE * max(1.0, d / DOUBLE_FEATURES)


def endings(metric, centre, kind, dtype, d):
    """Those for values of this accuracy, the quicker first; none where these codes cannot have it."""
    found = (_ending(metric, centre, kind, chunk, dtype, d) for chunk in CHUNKS[kind])
    return [each for each in found if each is not None]


def _ending(metric, centre, kind, chunk, dtype, d):
    growth, u = error(kind, chunk, d)
    form, own_mean = metric.form, metric.name == "correlation"
    most = SHARE[form] * promised(dtype, d)
    if form == "l2":
        room = most * (2 if metric.rooted else 1)  # the root halves a relative error
        square = u * u + growth / (2 if kind == "float32" else 1)
        reach = (np.sqrt(u * u + square * room) - u) / square
        limit = 2 * (1 + 1e-5) / reach**2
    elif 2 * u + u * u + growth > most:
        return None
    else:
        limit = 2 * (2 * u + growth) if form == "cosine" else -np.inf  # a duplicate is at 0, by its canonical value
    return Ending(form, own_mean, centre, kind, chunk, limit, metric.rooted)


@part(fastmath=REASSOCIATED)
def _square(values, start, stop):
    total = 0.0
    for c in range(start, stop):
        total += values[c] * values[c]
    return total


@part()
def _deviations(row, values):
    """Row less its canonical mean; a constant row counts as zero."""
    d = row.shape[0]
    lanes = np.zeros(8)
    for c in range(d):
        lanes[c % 8] += row[c]
    mean = (((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))) / d
    c = 0
    while c < d and row[c] == row[0]:
        c += 1
    for at in range(d):
        values[at] = 0.0 if c == d else row[at] - mean


@cache
def encoder(kind):
    """The kernel that encodes rows into panels from row `first` on: codes, square of the norm, 1 / factor."""
    single = kind == "float32"
    most = 2.0 ** SAFE_BITS[kind]
    real = np.float32 if single else np.float64

    @kernel(kind)
    def encode(rows, centre, own_mean, unit, first, codes, square, factors):
        d, width = rows.shape[1], codes.shape[2]
        values, panel = np.empty(d), np.empty((width, d), real)
        for i in range(rows.shape[0]):
            if own_mean:
                _deviations(rows[i], values)
            else:
                for c in range(d):
                    values[c] = rows[i, c] - centre[c]
            total = 0.0
            for start in range(0, d, PIECE):
                total += _square(values, start, min(start + PIECE, d))
            length, factor = np.sqrt(total), 1.0
            if length > 1.0 / most and length < most:
                if single:
                    factor = LENGTH / length
                elif unit:
                    factor = 1.0 / length
            else:  # without a bound, but for a row of zeros
                for c in range(d):
                    if length != 0.0 or values[c] != 0.0:
                        total, values[c] = np.nan, 0.0
            column = (first + i) % width
            row = panel[column]
            for c in range(d):
                row[c] = real(values[c] * factor)
            if single:
                for c in range(d):
                    values[c] = row[c]
                coded = 0.0
                for start in range(0, d, PIECE):
                    coded += _square(values, start, min(start + PIECE, d))
                if total == total:
                    total = coded / (factor * factor)
            square[i], factors[i] = total, factor
            if column == width - 1 or i == rows.shape[0] - 1:  # row by row it took 4.3 ns an entry at d = 768, where
                turned = codes[(first + i) // width]  # each has a cache line of its own and a panel is larger than L1
                for c in range(d):
                    for r in range(max(0, column - i), column + 1):
                        turned[c, r] = panel[r, c]

    return encode


class Side:
    """Encoded rows of one side: 0 for x, 1 for y."""

    def __init__(self, ending, side, rows, d, width):
        self.ending, self.side, self.rows, self.width = ending, side, rows, width
        self.panels = -(-rows // width)
        self.codes = np.empty((self.panels, -(-d // GROUP) * GROUP, width), ending.kind)
        self.codes[:, d:] = 0
        self.codes[-1 if rows % width else self.panels :] = 0
        self.numbers = np.zeros((3, self.panels * width))

    def part(self, first, rows):
        """Some of the rows, whole panels."""
        found = Side.__new__(Side)
        found.__dict__.update(self.__dict__)  # `copy` takes four times as long
        left, right = first // self.width, -(-(first + rows) // self.width)
        found.rows, found.panels, found.codes = rows, right - left, self.codes[left:right]
        found.numbers = np.ascontiguousarray(self.numbers[:, left * self.width : right * self.width])
        return found

    def encode(self, rows, first):
        """Rows (b, d), float32 or float64, C order, become rows first.. of this side; whether some have no bound."""
        ending, unit = self.ending, self.ending.form == "cosine"
        square, factor = np.empty((2, len(rows)))
        encoder(ending.kind)(rows, ending.centre, ending.own_mean, unit, first, self.codes, square, factor)
        base, weight, limit = self.numbers[:, first : first + len(rows)]
        if unit:
            base[:], limit[:] = (0, 0) if self.side else (1, ending.limit)
            weight[:] = 1 / LENGTH if ending.kind == "float32" else 1
        elif ending.form == "l2":
            base[:], limit[:], weight[:] = square, ending.limit * square, 1 / factor
        else:
            base[:], limit[:], weight[:] = 0, ending.limit, 1 / factor
        if self.side == 0:
            weight *= {"l2": -2, "cosine": -1, "dot": 1}[ending.form]
        lost = np.isnan(square)
        base[lost] = np.nan  # reaches no limit
        return lost.any()
