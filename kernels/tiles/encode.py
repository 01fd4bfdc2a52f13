"""Rows to codes: what the certified scan multiplies, with the norms and offsets that its bound needs.

Work    one pass over the rows in pieces of PIECE_BYTES
Shapes  vectors (b, d) -> Group(codes (b, d + 5), norm, offset, weight (b,)), rows of like norm together
Cost    about 6 passes over the rows; scratch 3 PIECE_BYTES
Sum     norms in float64, any order: `growth` covers them

A code row is [x / scale | high, low | norm / scale | 1, 1], high + low = (growth * weight - offset) / offset_scale in
two pieces of the scan's dtype. `operand` turns code rows of x into the left side of the GEMM, whose product with the
code rows of y is then the upper bound h_ij / unit of the key (see the package docstring).
"""

from dataclasses import dataclass, replace

import numpy as np

from . import metrics

PIECE_BYTES = 1 << 19  # of float64 rows encoded at a time: half an L2
WIDEST = 1 << 20  # features beyond which float32 has no useful bound
EXTRA = 5  # columns behind the d features of a code row
CLASS_BITS = 32  # rows whose norms lie within 2**32 share a scale: their squares span half of float32's exponents
SAFE_BITS = 400  # norms outside 2**-400 .. 2**400 have squares that float64 may not hold
SAMPLE = 256  # rows that decide about the centre: a median over them costs 3 ms at d = 768
SAMPLE_BYTES = 1 << 20
CENTRE_PAYS = 0.7  # centred norms below this share of the plain ones: smaller margins for one more pass
VALUES = ("codes", "norm", "offset", "weight")  # of a group, a row each
OFFSET = {"l2": 0.5, "cosine": 1.0, "dot": -1.0}  # what one unit of bias is worth in units of the key
ROUNDED_UP = 1 + 1e-6  # above the rounding of a norm to float32


@dataclass(frozen=True)
class Space:
    """Where keys are linear: the metric, and for L2 the point that is subtracted from both sides."""

    metric: metrics.Metric
    centre: np.ndarray | None = None

    def vectors(self, rows):
        """Float64 rows and their norms as the key sees them: centred, or of unit length."""
        squares_fit = rows.dtype != np.float64 and self.metric.name == "cosine"  # no need to scale: a third of the time
        rows = rows.astype(np.float64)
        if self.metric.form == "cosine" and not squares_fit:
            rows = self.metric.rows(rows)
        elif self.centre is not None:
            rows -= self.centre
        norm = np.sqrt(np.einsum("bd,bd->b", rows, rows))
        lost = norm == 0
        if lost.any():
            lost[lost] = rows[lost].any(axis=1)  # squares below float64: not a zero row
        safe = (norm < 2.0**SAFE_BITS) & ((norm > 2.0**-SAFE_BITS) | (norm == 0)) & ~lost
        if self.metric.form == "cosine":
            rows *= 1.0 / np.where(norm > 0, norm, 1.0)[:, None]
            norm = np.where(norm > 0, 1.0, norm)
        return rows, norm, safe


def sampled(rows):
    """Positions of the rows that decide: at most SAMPLE, and SAMPLE_BYTES in float64."""
    most = max(8, min(SAMPLE, SAMPLE_BYTES // (8 * rows.shape[1])))
    return np.arange(0, len(rows), -(-len(rows) // most))


def scan_dtype(d):
    """Dtype of the codes of rows of d features, unless asked otherwise."""
    return "float32" if d <= WIDEST else "float64"


def space(metric, gallery):
    """The space for one gallery: L2 is centred at the median of a sample where that shortens the rows."""
    if metric.form != "l2" or len(gallery) == 0:
        return Space(metric)
    sample = gallery.take(sampled(gallery))
    sample = sample[(np.abs(sample) < 2.0**SAFE_BITS).all(axis=1)]
    if not len(sample):
        return Space(metric)
    centre = np.median(sample, axis=0)
    plain, centred = (np.median(np.einsum("bd,bd->b", rows, rows)) for rows in (sample, sample - centre))
    return Space(metric, centre) if centred < CENTRE_PAYS**2 * plain else Space(metric)


def growth(d, dtype):
    """g of the bound: the share of |x||y| + |o| + |p| by which a scan of this dtype, and float64 steps, may be off."""
    inner = d + EXTRA + 16
    share = inner * np.finfo(dtype).eps / 2
    return share / (1 - 4 * share) + 3 * inner * 2.0**-53


@dataclass(frozen=True)
class Group:
    """Rows of one scale. `codes` is None where no bound is safe: those are compared by canonical value."""

    index: np.ndarray  # (g,) int64, ascending: positions in the matrix
    codes: np.ndarray | None = None
    norm: np.ndarray | None = None
    offset: np.ndarray | None = None
    weight: np.ndarray | None = None
    scale: float = 1.0
    offset_scale: float = 1.0

    def __len__(self):
        return len(self.index)

    def __getitem__(self, part):
        if self.codes is None:
            return Group(self.index[part])
        return Group(self.index[part], self.codes[part], self.norm[part], self.offset[part], self.weight[part],
                     self.scale, self.offset_scale)  # fmt: skip

    def alike(self, other):
        """Whether rows of both can be one group."""
        return (self.codes is None) == (other.codes is None) and self.scale == other.scale

    @property
    def nbytes(self):
        return sum(
            part.nbytes for part in (self.index, self.codes, self.norm, self.offset, self.weight) if part is not None
        )


def encode(rows, index, space, dtype):
    """Groups of the rows (b, d) at positions `index`."""
    b, d = rows.shape
    if space.metric.form is None:
        return [Group(index)]
    codes = np.empty((b, d + EXTRA), dtype)
    norm, level, safe = np.empty(b), np.empty(b, np.int64), np.empty(b, bool)
    step = max(1, PIECE_BYTES // (8 * d))
    with np.errstate(all="ignore"):  # unsafe rows are garbage here and dropped below
        for start in range(0, b, step):
            piece = slice(start, start + step)
            vectors, norm[piece], safe[piece] = space.vectors(rows[piece])
            size = np.where(safe[piece] & (norm[piece] > 0), norm[piece], 1.0)
            level[piece] = np.floor_divide(np.frexp(size)[1] + CLASS_BITS // 2, CLASS_BITS)
            if level[piece].any():
                vectors *= np.ldexp(1.0, -CLASS_BITS * level[piece])[:, None]
            codes[piece, :d] = vectors
    weight = norm * norm / 2 if space.metric.form == "l2" else np.zeros(b)
    groups = [] if safe.all() else [Group(index[~safe])]
    for shared in np.unique(level[safe]):
        part = slice(None) if safe.all() and (level == shared).all() else np.flatnonzero(safe & (level == shared))
        scale = float(np.ldexp(1.0, CLASS_BITS * int(shared)))
        groups.append(_finished(Group(index[part], codes[part], norm[part], weight[part], weight[part], scale)))
    return groups


def _finished(group):
    """The group with the columns behind its features filled in."""
    largest = group.weight.max() or 2.0**-1000  # without offsets the product alone sets the unit
    offset_scale = float(np.ldexp(1.0, int(np.frexp(largest)[1])))
    codes = group.codes
    d = codes.shape[1] - EXTRA
    raised = (growth(d, codes.dtype) * group.weight - group.offset) / offset_scale
    codes[:, d] = raised
    codes[:, d + 1] = raised - codes[:, d]
    codes[:, d + 2] = group.norm * (ROUNDED_UP / group.scale)
    codes[:, d + 3 :] = 1
    return replace(group, offset_scale=offset_scale)


def joined(first, second):
    """One group of the rows of two that are alike."""
    index = np.concatenate([first.index, second.index])
    if first.codes is None:
        return Group(index)
    parts = (np.concatenate([getattr(side, name) for side in (first, second)]) for name in VALUES)
    return _finished(Group(index, *parts, first.scale))


def biased(group, bias, form):
    """Groups that also hold a bias (g,) of their rows; the codes given stay as they are."""
    if bias is None or group.codes is None:
        return [group]
    shift = OFFSET[form] * bias
    weight = group.weight + np.abs(shift) + (form == "cosine")  # 1 - cos rounds like 1, zero rows included
    safe = np.abs(shift) < 2.0**SAFE_BITS
    held = replace(group, codes=group.codes.copy(), offset=group.offset + shift, weight=weight)
    if safe.all():
        return [_finished(held)]
    parts = [Group(group.index[~safe])]
    if safe.any():
        parts.append(_finished(held[np.flatnonzero(safe)]))
    return parts


def operand(x, y, symmetric):
    """Left side of the GEMM for code rows of x against those of y, and the unit of the product.

    `symmetric` keeps p_i, which is the same for a whole row and matters only where columns are compared.
    """
    d = x.codes.shape[1] - EXTRA
    unit = max(x.scale * y.scale, y.offset_scale, x.offset_scale if symmetric else 0.0)
    left = np.empty((len(x), d + (EXTRA if symmetric else EXTRA - 2)), x.codes.dtype)
    share = x.scale * y.scale / unit
    np.multiply(x.codes[:, :d], x.codes.dtype.type(share), out=left[:, :d])
    left[:, d : d + 2] = y.offset_scale / unit
    left[:, d + 2] = growth(d, x.codes.dtype) * share * ROUNDED_UP * (x.norm / x.scale)
    if symmetric:
        np.multiply(x.codes[:, d : d + 2], x.codes.dtype.type(x.offset_scale / unit), out=left[:, d + 3 :])
    return left, unit
