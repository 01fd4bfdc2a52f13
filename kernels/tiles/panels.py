"""Rows to panels of codes: what the register tiles multiply, with what the bound needs to know of every row.

Work    one pass over the rows: norm and largest magnitude, then codes and what they leave out, while the row is in L1
Shapes  rows (b, d) -> codes (panels, steps, width, group), and for every row scale, residual, norm, sum of codes
Cost    3 reads of a row in L1, one write of its codes; scratch two rows
Sum     norms in float64, what codes leave out in float32, any order: the residual is rounded up by what that can lose

A row v (x less the centre, or less its mean) becomes v ~ scale * codes with |v - scale * codes| <= residual, measured.
int8 codes fill -127..127, int7 codes -63..63, int6 codes -31..31, each in a byte. int16 codes have a norm below
2**15.5, so that no partial sum of products can leave int32 (Cauchy-Schwarz). Float codes are the row over a power of
two, or over its norm. A row that its codes cannot hold gets the norm NaN and codes of zero.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from .jit import kernel

REASSOCIATED = {"reassoc", "nsz", "contract"}  # lets a sum use lanes; NaN and infinity keep their meaning
SMALLEST = 2.0**-100  # step of a code whose inverse and whose products float32 still holds
TINIEST = 2.0**-900  # square of a norm below which squares of the features may be gone
LARGEST_NORM = 2.0**120  # float32 holds such a row
LONGEST = 46340.0  # norm of int16 codes: its square is below 2**31
ROUNDING = {"float32": (2.0**-21, 2.0**-149), "float64": (2.0**-50, 2.0**-1000)}  # of a feature on its way to the code,
# of four steps twice as much as they may lose, and where it is subnormal


class Panels(NamedTuple):
    """Encoded rows. `scale`, `residual`, `norm` float64 (rows,), `total` int64: the sum of a row's codes."""

    codes: np.ndarray
    scale: np.ndarray
    residual: np.ndarray
    norm: np.ndarray
    total: np.ndarray


def steps_of(d, kind):
    return -(-d // (kind.group * kind.fold)) * kind.fold


def widest(kind):
    """Features beyond which sums of products of bytes may leave int32."""
    return 2**31 // kind.largest**2 if kind.code == "int8" else math.inf


def empty(rows, d, kind, width):
    """Panels for so many rows. Codes are zero where none are written: behind the last row, for rows that get none."""
    panels = -(-rows // width)
    codes = np.zeros((panels, steps_of(d, kind), width, kind.group), kind.code)
    return Panels(codes, *(np.zeros(panels * width) for _ in range(3)), np.zeros(panels * width, np.int64))


@cache
def encoder(kind):
    """encode(rows, centre, own_mean, first, bump, unit, words, scale, residual, norm, total, whole=False).

    Fills the places from `first` on of panels of `kind`, given as words [panels, steps, width], from rows of float32 or
    float64. `bump` is added to the codes. `whole` promises whole numbers: codes that hold such a row less the centre
    itself leave the residual 0.
    """
    fill = _filler(kind)
    real = np.float64 if kind.name == "float64" else np.float32
    word = np.int32 if kind.exact else real

    def encode(rows, centre, own_mean, first, bump, unit, words, scale, residual, norm, total, whole=False):
        values = np.empty(rows.shape[1] + 1, real)
        codes = np.zeros(words.shape[1] * kind.group, kind.code)  # its end stays zero
        whole = bool(whole and not own_mean and (centre == np.rint(centre)).all())
        centre = centre.astype(np.promote_types(centre.dtype, real))  # in which the difference is taken
        room = values, values.view(np.int32), codes, codes.view(word)
        fill(rows, centre, own_mean, first, bump, unit, whole, *room, words, scale, residual, norm, total)

    return encode


def _filler(kind):
    """The kernel behind `encoder`; values and bits, codes and row_words are its scratch, each seen in two ways.

    One function without helpers, views or slices: it compiles in a third of the time.
    """
    real = np.float64 if kind.name == "float64" else np.float32
    exact, largest, most = kind.exact, float(kind.largest), float(widest(kind))
    shift, down = real(largest + 1.5), np.int32(largest + 1)  # to positive numbers, which truncation rounds, and back
    rounding, faintest = ROUNDING[np.dtype(real).name]
    unsigned = np.int32(0x7FFFFFFF)

    @kernel(kind.name, fastmath=REASSOCIATED)
    def encode(
        rows, centre, own_mean, first, bump, unit, whole, values, bits, codes, row_words, words, scale, residual, norm,
        total,
    ):  # fmt: skip
        d, width = rows.shape[1], words.shape[2]
        root = math.sqrt(d)
        shortest = LONGEST - 2.0 - 0.51 * root
        for i in range(rows.shape[0]):
            at = first + i
            mean = np.float64(rows[i, 0]) if own_mean else 0.0
            same = 0
            while same < d and rows[i, same] - centre[same] == mean:
                same += 1
            flat = same == d  # then every value is exactly 0
            if own_mean and not flat:
                mean = 0.0
                for c in range(d):
                    mean += np.float64(rows[i, c])
                mean /= d
            square = 0.0
            for c in range(d):
                value = np.float64(rows[i, c] - centre[c]) - mean
                values[c] = value
                square += value * value
            length = math.sqrt(square)
            step = unit if unit > 0.0 else length
            held = length < step * 2.0**60
            if exact:
                top = np.int32(0)
                for c in range(d):  # floats without their sign are in the order of their bits
                    size = np.int32(bits[c] & unsigned)
                    if size > top:
                        top = size
                bits[d] = top
                step = values[d] / largest
                if largest > 127.0 and length / shortest > step:
                    step = length / shortest
                held = d <= most and shortest > 0.0
                if whole and step <= 1.0:
                    step = 1.0
            if flat:
                step, held = 1.0, held or not exact
            if not (held and step > SMALLEST and step < 1.0 / SMALLEST and length < LARGEST_NORM) or (
                square < TINIEST and not flat
            ):  # nor for NaN
                scale[at], norm[at], total[at], residual[at] = 1.0, np.nan, 0, 0.0
                continue
            inverse, lost, count = real(1.0 / step), real(0.0), np.int32(0)
            if exact:
                for c in range(d):
                    scaled = values[c] * inverse
                    code = np.int32(np.int32(scaled + shift) - down)
                    codes[c] = np.int32(code + bump)
                    left = scaled - real(code)
                    lost += left * left
                    count = np.int32(count + code)
            else:
                for c in range(d):
                    codes[c] = values[c] * inverse
            scale[at], norm[at], total[at] = step, length, count
            residual[at] = 0.0
            if not (flat or (whole and exact and step == 1.0 and lost == 0.0)):
                left_out = step * math.sqrt(lost) * (1.0 + d * 2.0**-23 + 1e-5)
                residual[at] = left_out + length * rounding + (1.0 + step) * root * faintest
            if own_mean and not flat:
                residual[at] += root * (d + 2) * 2.0**-52 * (length + abs(mean))
            panel, column = at // width, at % width
            for s in range(row_words.shape[0]):
                words[panel, s, column] = row_words[s]

    return encode
