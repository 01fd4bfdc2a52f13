"""`pairwise` on NumPy: float64 BLAS in pieces of the features, entries outside the bound computed directly.

Work    tiles of TILE_ROWS x TILE_COLUMNS; BLAS threads only
Shapes  x (m, d), y (n, d) or None for x itself -> out (m, n)
Cost    2 m n d flops; scratch at most max_bytes
Sum     float64; in pieces of PIECE features for float64 results, so that the bound grows with PIECE + d / PIECE, not d
"""

import numpy as np

from ..tiles import metrics
from ..tiles.encode import space
from ..tiles.plan import PAIR_BYTES

PIECE = 64  # features a product: 7e-15 instead of 9e-14 at d = 768, for one more pass over the tile every 64
TILE_ROWS, TILE_COLUMNS = 256, 1024  # float64, 2 MiB
LEAST = 16
SHARE = (
    0.8  # of the promised accuracy that the expansion may use; the canonical value and the last rounding have the rest
)


def declines(x, y, metric, *, precision, **_):
    return None if precision in ("auto", "float64") else f"it computes in float64, not precision={precision!r}"


def pairwise(x, y, metric, *, out, max_bytes, precision, tick=None):
    """Fill out (m, n)."""
    alone = y is None
    y = x if alone else y
    tile_rows, tile_columns = _tile(len(x), len(y), x.shape[1], max_bytes)
    where = space(metric, y)
    step = tile_rows if alone else tile_columns
    for right, end in y.blocks(step):
        columns = y.block(right, end).astype(np.float64)
        encoded = where.vectors(columns) if metric.form else None
        for left, stop in x.blocks(tile_rows):
            if alone and left > right:
                break
            rows = columns if alone and left == right else x.block(left, stop).astype(np.float64)
            value = (
                _expanded(where, rows, columns, encoded, out.dtype) if metric.form else _direct(metric, rows, columns)
            )
            out[left:stop, right:end] = metrics.returned(metric, metrics.ordered(metric, value), out.dtype)
            if alone and left < right:
                out[right:end, left:stop] = out[left:stop, right:end].T
            elif alone:  # nor is a product with itself symmetric to the last bit
                below = np.tril_indices(end - right, -1)
                square = out[right:end, right:end]
                square[below] = square.T[below]
        if tick is not None:
            tick(end, len(y))


def _tile(m, n, d, max_bytes):
    rows, columns = min(max(m, 1), TILE_ROWS), min(n, TILE_COLUMNS)
    while (needed := 8 * (3 * (rows + columns) * (d + 8) + 6 * rows * columns) + 4 * PAIR_BYTES) > max_bytes:
        if rows <= LEAST and columns <= LEAST:
            raise ValueError(f"max_bytes must be at least {needed} for d={d}, got {max_bytes}")
        rows, columns = (rows, max(1, columns // 2)) if columns > rows else (max(1, rows // 2), columns)
    return rows, columns


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


def _expanded(where, rows, columns, encoded, dtype):
    """Values by the expansion, repaired where its bound exceeds the promise."""
    metric, d = where.metric, rows.shape[1]
    with np.errstate(all="ignore"):  # unsafe rows are repaired below
        x, x_norm, x_safe = where.vectors(rows)
        y, y_norm, y_safe = encoded
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
