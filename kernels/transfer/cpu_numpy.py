"""`transfer` on NumPy: one BLAS product a block of rows, or a block's rows grouped by their matrix.

Work    blocks of rows; with `which`, a stable counting of the block's rows by matrix, then one product a matrix
Shapes  e (n, d_in), m (d_out, d_in) or (g, d_out, d_in), bias (d_out,) or (g, d_out), which (n,) -> out (n, d_out)
Cost    2 n d_in d_out flops; scratch at most max_bytes
Sum     BLAS's own order in the dtype of out
"""

import numpy as np

from ..tiles.finite import first_unfinite, scratch

BLOCK_ROWS = 4096
LEAST_ROWS = 16


def declines(e, m, bias, which, *, precision, out, **_):
    allowed = ("auto", out.dtype.name)
    return None if precision in allowed else f"it computes in {out.dtype.name} here, not precision={precision!r}"


def transfer(e, m, bias, which, *, out, max_bytes, precision, tick=None):
    """Fill out (n, d_out)."""
    d_out, d_in = m.shape[-2:]
    rows = min(max(1, len(e)), BLOCK_ROWS)
    item, held = out.dtype.itemsize, _held(m, out.dtype)
    while (needed := item * 3 * rows * (d_in + d_out) + 16 * rows + held) > max_bytes:
        if rows <= LEAST_ROWS:
            raise ValueError(f"max_bytes must be at least {needed} for M of shape {(d_out, d_in)}, got {max_bytes}")
        rows = max(LEAST_ROWS, rows // 2)
    with np.errstate(over="ignore", invalid="ignore"):
        single = None if which is not None else _matrix(m, None, e.check_finite, out.dtype)
        for start, stop in e.blocks(rows):
            block = e.block(start, stop).astype(out.dtype, copy=False)
            if single is not None:
                np.matmul(block, single.T, out=out[start:stop])
                if bias is not None:
                    out[start:stop] += bias.astype(out.dtype, copy=False)
            else:
                _grouped(block, m, bias, which[start:stop], out[start:stop], e.check_finite)
            if tick is not None:
                tick(stop, len(e))


def _grouped(block, m, bias, which, out, check_finite):
    order = np.argsort(which, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        number = which[rows[0]]
        mapped = block[rows] @ _matrix(m, number, check_finite, out.dtype).T
        if bias is not None:
            mapped += np.broadcast_to(bias, m.shape[:2])[number].astype(out.dtype, copy=False)
        out[rows] = mapped


def _matrix(m, number, check_finite, dtype):
    matrix = np.asarray(m[:] if number is None else m[number])
    if check_finite and (at := first_unfinite(matrix)) is not None:
        place = at if number is None else (int(number), *at)
        raise ValueError(f"M must be finite, got {matrix[at]} at M[{', '.join(map(str, place))}]")
    return matrix.astype(dtype, copy=False)


def _held(m, dtype):
    """Bytes beside one matrix while it is read, checked and turned into what BLAS takes."""
    size = m.shape[-1] * m.shape[-2]
    stored = isinstance(m, np.ndarray)
    straight = stored and m.flags.aligned and m.itemsize in m.strides[-2:] and min(m.strides[-2:]) > 0
    read = 0 if stored else size * np.dtype(m.dtype).itemsize
    cast = 0 if m.dtype == dtype and (straight or not stored) else size * dtype.itemsize
    return read + max(cast, scratch(m.shape[-2:]))
