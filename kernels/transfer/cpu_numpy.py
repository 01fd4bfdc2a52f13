"""`transfer` on NumPy: one BLAS product a block of rows, or a block's rows grouped by their matrix.

Work    blocks of rows; with `which`, a stable counting of the block's rows by matrix, then one product a matrix; bias
        and lengths while the results of a block are in a cache
Shapes  e (n, d_in), m (d_out, d_in) or (g, d_out, d_in), bias (d_out,) or (g, d_out), which (n,) -> out (n, d_out)
Cost    2 n d_in d_out flops; scratch at most max_bytes
Sum     BLAS's own order in the dtype of out; lengths in float64
"""

import numpy as np

from ..tiles.matrices import held, matrix, to_unit, unit_bytes

BLOCK_ROWS = 4096  # with 512 lengths find the results in L2, and BLAS loses more than they gain
LEAST_ROWS = 16


def declines(e, m, bias, which, *, precision, out, **_):
    allowed = ("auto", out.dtype.name)
    return None if precision in allowed else f"it computes in {out.dtype.name} here, not precision={precision!r}"


def transfer(e, m, bias, which, *, normalize, out, max_bytes, precision, tick=None):
    """Fill out (n, d_out)."""
    d_out, d_in = m.shape[-2:]
    rows = min(max(1, len(e)), BLOCK_ROWS)
    fixed = held(m, out.dtype) + (unit_bytes(d_out) if normalize else 0)
    while (needed := out.itemsize * 3 * rows * (d_in + d_out) + 16 * rows + fixed) > max_bytes:
        if rows <= LEAST_ROWS:
            raise ValueError(f"max_bytes must be at least {needed} for M of shape {(d_out, d_in)}, got {max_bytes}")
        rows = max(LEAST_ROWS, rows // 2)
    with np.errstate(over="ignore", invalid="ignore"):
        single = None if which is not None else matrix(m, None, e.check_finite, out.dtype)
        for start, stop in e.blocks(rows):
            block = e.block(start, stop).astype(out.dtype, copy=False)
            if single is not None:
                np.matmul(block, single.T, out=out[start:stop])
                _end(out[start:stop], bias, normalize)
            else:
                _grouped(block, m, bias, which[start:stop], normalize, out[start:stop], e.check_finite)
            if tick is not None:
                tick(stop, len(e))


def _grouped(block, m, bias, which, normalize, out, check_finite):
    order = np.argsort(which, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        number = which[rows[0]]
        mapped = block[rows] @ matrix(m, number, check_finite, out.dtype).T
        _end(mapped, None if bias is None else np.broadcast_to(bias, m.shape[:2])[number], normalize)
        out[rows] = mapped


def _end(mapped, bias, normalize):
    if bias is not None:
        mapped += bias.astype(mapped.dtype, copy=False)
    if normalize:
        to_unit(mapped)
