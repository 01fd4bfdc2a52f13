"""A look at the rows before a long search: how many candidates codes of bytes would leave of these data.

Work    QUERIES rows of x and ROWS of y, evenly spread: their keys, and what codes leave out of some of them. No BLAS:
        its threads took 30 ms to meet where others had the cores
Shapes  rows (m, d), (n, d) -> share of the gallery, one number a kind
Cost    2 QUERIES ROWS d flops and the same reads again: 2 ms at d = 256, 10 at 768 (2-core Zen 3)
Sum     float64; nothing depends on it but time
"""

from statistics import NormalDist

import numpy as np

from . import simd

QUERIES, ROWS, CODED = 16, 512, 32  # looked at; rows whose codes are tried
TAIL = 16  # best of the sample: a normal tail through them says where the k-th best of the gallery is


def nbytes(d):
    """Bytes that a look takes: the sample, less the centre, and what comes between."""
    return 4 * 8 * (QUERIES + ROWS) * d


def shares(x, y, measure, k, raised=()):
    """Of each kind of bytes the share of the gallery within two margins of the k-th best, beyond the k best.

    Within one margin of those kinds whose thresholds are `raised` to canonical values.
    """
    with np.errstate(all="ignore"):
        left, right = (_sampled(rows, most, measure) for rows, most in ((x, QUERIES), (y, ROWS)))
        key, size = np.einsum("id,jd->ij", left, right), np.linalg.norm(right, axis=1)
        if measure.form == "l2":
            key -= size**2 / 2
        least = _kth(key, k / len(y))
        reach = np.linalg.norm(left, axis=1)[:, None] * size
        found = {}
        for name, kind in simd.KINDS.items():
            if kind.code == "int8":
                margin = sum(_lost(rows[:CODED], kind.largest) for rows in (left, right)) * reach
                reached = least - (1 if name in raised else 2) * margin
                lost = np.count_nonzero(key < reached) / key.size  # NaN is not
                found[name] = max(0.0, 1 - lost - k / len(y))
    return found


def _kth(key, share):
    """What that share of all keys of a row would reach, (rows, 1)."""
    size = key.shape[1]
    if share * size >= TAIL or size < 2 * TAIL:
        best = min(size, max(1, round(share * size)))
        return np.partition(key, -best, axis=1)[:, -best, None]
    top = np.partition(key, -TAIL, axis=1)[:, -TAIL:]
    normal = [NormalDist().inv_cdf(1 - (rank + 0.5) / size) for rank in range(TAIL)]
    slope = (top.mean(axis=1) - top.min(axis=1)) / (np.mean(normal) - normal[-1])
    return (top.mean(axis=1) + slope * (NormalDist().inv_cdf(1 - share) - np.mean(normal)))[:, None]


def _sampled(rows, most, measure):
    """Rows as the scan sees them."""
    found = rows.take(np.arange(0, len(rows), -(-len(rows) // most))) - measure.centre
    if measure.own_mean:
        found -= found.mean(axis=1, keepdims=True)
    return found / np.linalg.norm(found, axis=1, keepdims=True) if measure.form == "cosine" else found


def _lost(rows, largest):
    """Mean share of a row's length that its codes leave out."""
    length = np.linalg.norm(rows, axis=1)
    rows, length = rows[length > 0], length[length > 0]
    step = np.abs(rows).max(axis=1, keepdims=True) / largest
    lost = np.linalg.norm(rows - step * np.rint(rows / step), axis=1) / length
    return lost.mean() if len(lost) else 0.0
