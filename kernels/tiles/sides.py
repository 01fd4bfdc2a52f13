"""Encoded rows as the sides of a scan: scales, offsets and margins in the units of the tile's scores.

Work    elementwise on numbers per row
Shapes  Panels of rows -> Queries or Columns; row values (panels * width,), gallery margins one a panel
Cost    some 20 passes over numbers per row
Sum     none

All keys are divided by a power of two, so that float32 holds them: of the sample's median norm (L2, dot) or of 1, where
rows count with unit length (cosine, correlation). Rows of another order of magnitude are `odd`: no scan sees them.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from . import simd
from .encode import OFFSET, growth, sampled, space
from .loop import VALUE
from .sweep import Side

SAFE_BITS = 36  # norms within 2**-36 .. 2**36 of the unit: c o, up to 2**(3 * 36 + 17), is a float32
LARGE, SELDOM = 64.0, 64  # norms, in units, of rows better compared by canonical value, if no more than one in so many
REAL = dict.fromkeys(simd.KINDS, np.float32) | {"float64": np.float64}  # of scores
CENTRED = 2.0**-20  # share of |x|^2 that centring in float32 may cost it, 2 x 2**-24 and room
SLACK = {np.float32: 2.0**-20, np.float64: 2.0**-49}  # 16 roundings of a score; it takes 10


@dataclass(frozen=True)
class Measure:
    """What a metric's key is made of: rows of unit length or as they are, |y|^2 / 2 or nothing to subtract."""

    form: str  # l2, cosine, dot
    own_mean: bool  # correlation
    centre: np.ndarray  # (d,) float64, whole float32 numbers, subtracted from rows of both sides
    units: tuple[float, float]  # of x and of y, powers of two

    @property
    def unit(self):
        return self.units[0] * self.units[1]


def measure(metric, y, x=None):
    """Centre and units from a sample of the gallery; those of the queries of a dot product from theirs."""
    centre = space(metric, y).centre
    with np.errstate(over="ignore"):
        centre = np.zeros(y.shape[1]) if centre is None else centre.astype(np.float32).astype(np.float64)
    if np.dtype(y.store.dtype).kind in "biu":
        centre = np.rint(centre)  # differences stay whole: their codes leave nothing out
    if not np.isfinite(centre).all():
        centre = np.zeros(y.shape[1])
    if metric.form == "cosine":
        return Measure("cosine", metric.name == "correlation", centre, (1.0, 1.0))
    unit = _unit(y, centre)
    return Measure(metric.form, False, centre, (unit if metric.form == "l2" or x is None else _unit(x, centre), unit))


def with_queries(measure, x):
    """The measure of a prepared gallery, with the unit of the queries of a dot product."""
    return replace(measure, units=(_unit(x, measure.centre), measure.units[1])) if measure.form == "dot" else measure


def _unit(rows, centre):
    """The power of two next to the median norm of a sample."""
    if len(rows) == 0:
        return 1.0
    with np.errstate(all="ignore"):
        sample = rows.take(sampled(rows)) - centre
        norm = np.sqrt(np.einsum("bd,bd->b", sample, sample))
    norm = norm[np.isfinite(norm) & (norm > 0)]
    return float(np.ldexp(1.0, int(np.frexp(np.median(norm))[1]))) if len(norm) else 1.0


def _relative(panels, form, unit, rows):
    """scale, residual, norm of the rows that count, in units; which rows no bound covers."""
    size = np.where(panels.norm > 0, panels.norm, 1.0) if form == "cosine" else unit
    scale, residual, norm = (part / size for part in (panels.scale, panels.residual, panels.norm))
    fits = np.isfinite(panels.norm)
    if form != "cosine":
        fits &= (norm < 2.0**SAFE_BITS) & ((norm > 2.0**-SAFE_BITS) | (norm == 0))
    fits[rows:] = True
    return scale, residual, norm, ~fits


def _unsafe(shift):
    """Biases, in units, that float32 could not hold, or not as normal numbers."""
    size = np.abs(shift)
    return ~(size < 2.0 ** (2 * SAFE_BITS)) | ((size < 2.0**-100) & (shift != 0))


def _weight(norm, form):
    return norm * norm / 2 if form == "l2" else np.full(len(norm), float(form == "cosine"))


class Queries(NamedTuple):
    """Rows that are searched for, one value a row; `lost` rows have no bound."""

    side: Side
    lost: np.ndarray  # (rows,)
    scale: np.ndarray  # c, float64
    offset: np.ndarray  # p
    weight: np.ndarray  # what the error of p is a share of
    measure: Measure

    def keys(self, row, order):
        """Bounds of the scores of pairs of given rows with given ordered values, rounded outwards."""
        constant, worth = VALUE[self.measure.form]
        unit, real = self.measure.unit, self.side.scale.dtype.type
        with np.errstate(all="ignore"):
            centre = (constant - worth * order) / unit + self.offset[row]
            share = 2 * growth(len(self.measure.centre), "float64") + 2.0**-48
            reach = share * ((constant + np.abs(order)) / unit + self.weight[row]) + CENTRED * self.weight[row]
            low, high = ((centre + sign * reach) * self.scale[row] for sign in (-1, 1))
            low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
            return np.nextafter(low.astype(real), real(-np.inf)), np.nextafter(high.astype(real), real(np.inf))


def queries(panels, measure, precision, rows, bias=None, symmetric=False):
    """Encoded rows as `Queries`; `symmetric` where columns compare them with each other."""
    form, real = measure.form, REAL[precision]
    with np.errstate(all="ignore"):
        scale, residual, norm, odd = _relative(panels, form, measure.units[0], rows)
        weight = _weight(norm, form) * (measure.units[0] / measure.units[1])  # in units of the key
        offset = weight.copy() if form == "l2" else np.zeros(len(norm))
        if bias is not None:
            shift = np.zeros(len(norm))
            shift[:rows] = OFFSET[form] * bias / measure.unit
            offset, weight = offset + shift, weight + np.abs(shift) + 1.0 / measure.unit
            odd |= _unsafe(shift)
        error = growth(len(measure.centre), "float64") + (CENTRED if symmetric else 0.0)
        margin = np.stack([residual, norm + residual, error * weight], axis=1) / scale[:, None] * (1 + 2.0**-20)
        narrow = margin.astype(real)
        odd |= ~np.isfinite(narrow).all(axis=1) | ~np.isfinite((1 / scale).astype(real))
        odd |= ~np.isfinite((offset / scale).astype(real))
    narrow[odd], offset[odd], scale[odd], weight[odd] = 0, 0, 1, 0
    nobody = np.where(odd | (np.arange(len(odd)) >= rows), np.inf, offset)  # in columns no limit lets them pass
    side = Side(panels.codes, np.zeros(0, np.int32), (1 / scale).astype(real), nobody.astype(real), narrow)
    return Queries(side, odd[:rows], 1 / scale, offset, weight, measure)


class Columns(NamedTuple):
    """Rows that are searched in; `odd` rows (rows,) have no bound and do not take part."""

    side: Side
    odd: np.ndarray


def columns(panels, measure, precision, rows, bias=None, allowed=None):
    """Encoded rows as `Columns`. Rows that nobody may match have an infinite offset."""
    kind, machine, real = simd.KINDS[precision], simd.runnable()[0], REAL[precision]
    form = measure.form
    d, width = len(measure.centre), panels.codes.shape[2]
    with np.errstate(all="ignore"):
        scale, residual, norm, odd = _relative(panels, form, measure.units[1], rows)
        offset, weight = np.zeros(len(norm)), np.zeros(len(norm))
        if form == "l2":
            offset = weight = _weight(norm, form) * (measure.units[1] / measure.units[0])
        if bias is not None:
            shift = np.zeros(len(norm))
            shift[:rows] = OFFSET[form] * bias / measure.unit
            odd |= _unsafe(shift)
            offset, weight = offset + shift, weight + np.abs(shift)  # their errors do not cancel where they do
        error = SLACK[real] + growth(d, "float64" if kind.exact else kind.name)
        per_row = np.stack([norm, residual + error * (norm + residual), error * weight], axis=1)
        odd |= ~np.isfinite(per_row.astype(real)).all(axis=1) | ~np.isfinite(scale.astype(real))
    large = (norm > LARGE) & ~odd
    if np.count_nonzero(large) <= rows // SELDOM + 1:  # else they would widen the margins of their panels
        odd |= large
    odd[rows:] = False
    if allowed is not None:
        odd[:rows] &= allowed
    out = odd.copy()
    out[rows:] = True
    if allowed is not None:
        out[:rows] |= ~allowed
    per_row[out] = 0
    margin = per_row.reshape(-1, width, 3).max(axis=1) * (1 + 2.0**-20)
    start = (-machine.bump(kind) * panels.total).astype(kind.total)
    offset, scale = np.where(out, np.inf, offset), np.where(out, 1.0, scale)
    side = Side(panels.codes, start, scale.astype(real), offset.astype(real), margin.astype(real))
    return Columns(side, odd[:rows])
