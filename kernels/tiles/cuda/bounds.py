"""What prepare.cu measured of rows -> the numbers that filter.cu and tighten.cu bound keys with.

Work    elementwise on (m,) and (n,), in float64, rounded to float32 away from the pair
Shapes  `rows` -> (m, 4) float32 (|rest|, |code|, w, q), slack (m,); `columns` -> (n, 4) float32 (a, n, r, offset)
Cost    a dozen passes over vectors
Sum     none; see the package docstring for key and bound

A row beyond what float32 can bound (not finite, or of a scale far from the others') gets an infinite margin: it is kept
everywhere, and where that fills a list the query is searched again without bounds.
"""

from dataclasses import dataclass
from typing import Any

from ..encode import OFFSET, SAFE_BITS

CODE_BITS = 14  # as prepare.cu
TERMS, FRACTION_BITS = 16, 22  # of a tensor core's sum, and the bits it keeps: the worst of Volta to Blackwell
SPLITS = 32  # of a product's sum in cuBLAS, at most
ROUNDINGS = 2.0**-20  # of the bound itself, in float32
RAISED = 2.0**-18  # above the roundings of an offset and of w
LEAST_RAISE = 2.0**-30  # in units of codes: a subnormal score may be flushed to zero
SCALES = 60  # bits between the scale of a row and the largest of the gallery


@dataclass(frozen=True)
class Measured:
    """Rows on the device, as prepare.cu left them."""

    rows: Any  # (n, d), as given
    code: Any  # (n, d) float16
    exponent: Any
    norm: Any
    code_norm: Any
    rest: Any
    square: Any  # float64, canonical, of the row over 2**exponent

    def __len__(self):
        return len(self.exponent)

    def __getitem__(self, part):
        return Measured(*(getattr(self, name)[part] for name in self.__dataclass_fields__))


def accumulation(d):
    """A of the package docstring: what summing d products in a tensor core may lose, of |code_x||code_y|."""
    share = -(-d // TERMS) * ((TERMS + 1) * 2.0**-FRACTION_BITS + 2.0**-23) + SPLITS * 2.0**-23
    return share * (1 + share) + ROUNDINGS


def largest(xp, y):
    """Exponent of the largest finite row: the unit of the gallery."""
    return int(xp.where(xp.isfinite(y.norm) & (y.norm > 0), y.exponent, -SAFE_BITS).max())


def _bounded(xp, exponent, norm, form, unit):
    safe = xp.isfinite(norm)
    if form != "cosine":
        safe &= (xp.abs(exponent) < SAFE_BITS) & (xp.abs(exponent - unit) <= SCALES) | (norm == 0)
    return safe


def columns(xp, y, form, d, unit, bias=None, allowed=None):
    """Of every gallery row; `bias` (n,) and `allowed` (n,) as in a search, on the device."""
    norm, shift = y.norm.astype(xp.float64), xp.clip(y.exponent - unit, -SCALES, 0)
    safe = _bounded(xp, y.exponent, y.norm, form, unit)
    if form == "cosine":
        length = xp.sqrt(y.square) * 2.0**CODE_BITS
        scale = xp.where(length > 0, 1 / xp.where(length > 0, length, 1), 0)
    else:
        scale = xp.ldexp(xp.ones(len(y)), shift)
    offset = xp.zeros(len(y))
    if form == "l2":
        offset = y.square * xp.ldexp(xp.ones(len(y)), 2 * shift) * 2.0 ** (2 * CODE_BITS - 1)
    if bias is not None:
        offset = offset + OFFSET[form] * bias * _bias_unit(form, unit)
        safe &= xp.abs(offset) < 2.0**SCALES
    raised = RAISED * xp.abs(offset) + LEAST_RAISE - offset
    rest = (y.rest.astype(xp.float64) + accumulation(d) * y.code_norm.astype(xp.float64)) * scale
    made = xp.stack([scale, norm * scale * (1 + 1e-6), rest * (1 + 1e-6), raised], axis=1)
    made = xp.where(safe[:, None], made, xp.asarray([[1.0, xp.inf, 0.0, 0.0]]))
    if allowed is not None:
        made = xp.where(allowed[:, None], made, xp.asarray([[0.0, 0.0, 0.0, -xp.inf]]))
    return made.astype(xp.float32)


def rows(xp, x, form, d, unit, bias=None):
    """Of every query: its float4, and the slack between its keys and canonical values."""
    safe = _bounded(xp, x.exponent, x.norm, form, unit)
    shift = xp.clip(unit - x.exponent, -SCALES, SCALES)
    weight = xp.sqrt(x.square) * 2.0**CODE_BITS if form == "cosine" else xp.ldexp(xp.ones(len(x)), shift)
    rounding = 4 * (d + 16) * 2.0**-53
    if form == "l2":
        slack = rounding * x.square * xp.ldexp(xp.ones(len(x)), -shift) * 2.0 ** (2 * CODE_BITS)
    else:
        slack = rounding * weight
    if bias is not None:
        slack = slack + 2.0**-48 * abs(OFFSET[form]) * xp.abs(bias) * _bias_unit(form, unit) * weight
    slack = slack * (1 + 1e-6)
    rest, code_norm = (part.astype(xp.float64) * (1 + 1e-6) for part in (x.rest, x.code_norm))
    made = xp.stack([rest, code_norm, weight, xp.ones(len(x))], axis=1)
    made = xp.where(safe[:, None], made, xp.asarray([[xp.inf, xp.inf, 0.0, 1.0]]))
    return made.astype(xp.float32), slack.astype(xp.float32)


def _bias_unit(form, unit):
    """A bias of one, in units of a row whose w is one."""
    return 1.0 if form == "cosine" else 2.0 ** min(1000, 2 * (CODE_BITS - unit))
