"""Distances of a rectangle of pairs on NumPy: float64 BLAS in pieces of the features, the rest canonical.

Work    one rectangle at a time; BLAS threads only
Shapes  rows (r, d), columns (c, d) float64 -> (r, c) float64, before the root and the sign of `metrics`
Cost    2 r c d flops
Sum     float64; in pieces of PIECE features for float64 results, so that the bound grows with PIECE + d / PIECE, not d
"""

import numpy as np

from . import metrics
from .plan import PAIR_BYTES

PIECE = 64  # features a product: 7e-15 instead of 9e-14 at d = 768, for one more pass over the tile every 64
ROWS, COLUMNS = 256, 1024  # float64, 2 MiB
LEAST = 16
SHARE = (
    0.8  # of the promised accuracy that the expansion may use; the canonical value and the last rounding have the rest
)


def sizes(m, n, d, max_bytes, fixed=0, spare=0):
    """(rows, columns) that fit, beside `fixed` bytes and `spare` more rectangles."""
    rows, columns = min(max(m, 1), ROWS), min(n, COLUMNS)
    rectangles = 6 + spare
    while (
        needed := fixed + 8 * (3 * (rows + columns) * (d + 8) + rectangles * rows * columns) + 4 * PAIR_BYTES
    ) > max_bytes:
        if rows <= LEAST and columns <= LEAST:
            raise ValueError(f"max_bytes must be at least {needed} for d={d}, got {max_bytes}")
        rows, columns = (rows, max(1, columns // 2)) if columns > rows else (max(1, rows // 2), columns)
    return rows, columns


def encoded(where, columns):
    """What `values` takes of the columns, once for all rows."""
    return where.vectors(columns) if where.metric.form else None


def values(where, rows, columns, known, dtype):
    """Values of all pairs, accurate enough for results of this dtype; `known`: the columns `encoded`."""
    return _expanded(where, rows, columns, known, dtype) if where.metric.form else _direct(where.metric, rows, columns)


def _direct(metric, rows, columns):
    """Canonical values, in blocks whose eight lanes fit a cache."""
    value = np.empty((len(rows), len(columns)))
    held = PAIR_BYTES // (16 * rows.shape[1])
    down, across = max(1, min(32, held)), max(1, min(256, held))
    for right in range(0, len(columns), across):
        for left in range(0, len(rows), down):
            part = np.s_[left : left + down], np.s_[right : right + across]
            value[part] = metrics.block(metric, rows[part[0]], columns[part[1]])
    return value


def _expanded(where, rows, columns, known, dtype):
    """Values by the expansion, repaired where its bound exceeds the promise."""
    metric, d = where.metric, rows.shape[1]
    with np.errstate(all="ignore"):  # unsafe rows are repaired below
        x, x_norm, x_safe = where.vectors(rows)
        y, y_norm, y_safe = known
        piece = PIECE if dtype == np.float64 else d
        value = x[:, :piece] @ y[:, :piece].T
        for start in range(piece, d, piece):
            value += x[:, start : start + piece] @ y[:, start : start + piece].T
        growth = 1.01 * (min(piece, d) + -(-d // piece) + 8) * 2.0**-53
        repair = ~(x_safe[:, None] & y_safe)
        if metric.form == "l2":
            value *= -2
            value += _squares(x, piece)[:, None]
            value += _squares(y, piece)
            promise = SHARE * (1e-13 * max(1, d / 256) if dtype == np.float64 else 1e-6)
            repair |= ~(value * promise > growth * (x_norm[:, None] + y_norm) ** 2)
        elif metric.form == "cosine":
            np.subtract(1.0, value, out=value)
            repair |= value < 8 * (d + 8) * 2.0**-53  # so that duplicates are at 0, as in `topk`
            np.minimum(value, 2.0, out=value)
    row, column = np.divmod(np.flatnonzero(repair), len(columns))
    step = max(1, PAIR_BYTES // (48 * d))
    for start in range(0, len(row), step):
        r, c = row[start : start + step], column[start : start + step]
        value[r, c] = metrics.pairs(metric, rows[r], columns[c])
    return value


def _squares(rows, piece):
    parts = (rows[:, start : start + piece] for start in range(0, rows.shape[1], piece))
    return sum(np.einsum("bd,bd->b", part, part) for part in parts)
