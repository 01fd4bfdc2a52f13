"""Rows mapped by matrices that lie on the device.

Work    by cuBLAS where a matrix maps many rows, or all map as many; else mapping.cu, ROWS rows of one matrix a tile;
        then finish.cu
Shapes  e (n, d_in), m (g, d_out, d_in), biases (g, d_out) or None -> (n, d_out), of one dtype, on the device
Cost    2 n d_in d_out flops; with few rows a matrix, reading the matrices once
Sum     of these, in that dtype; lengths in float64
"""

import numpy as np

BLOCK, WARPS = 256, 8  # threads of a block
ROWS, OUTPUTS = 8, 64  # of a block of mapping.cu
MANY_ROWS = 512  # of one matrix: a product of its own, 20 to 35 us from Python, is then worth its launch
EQUAL_ROWS = 17  # that every matrix maps: one product of all; below, reading the matrices is what it costs
REAL = {"float32": "float", "float64": "double"}


def tiles(starts, chosen):
    """(tiles, 3) int32 (group, place of its first row, rows) of the groups chosen; `starts` as in `mapped`."""
    counts = np.diff(starts)[chosen]
    each = -(-counts // ROWS)
    group = np.repeat(chosen, each)
    within = np.arange(len(group)) - np.repeat(np.cumsum(each) - each, each)
    first = starts[group] + ROWS * within
    return np.stack([group, first, np.minimum(ROWS, starts[group + 1] - first)], axis=1).astype(np.int32)


def mapped(driver, e, m, order, starts, out):
    """Fill the rows order[starts[0]:starts[-1]] of out: those from starts[i] to starts[i + 1] by matrix i."""
    counts = np.diff(starts)
    if len(m) == 1 and counts[0] == len(e):
        driver.product(e, m[0], out)
        return
    on_device = driver.array(order.astype(np.int32))
    if len(m) > 1 and counts[0] >= EQUAL_ROWS and (counts == counts[0]).all():
        _together(driver, e, m, on_device[starts[0] : starts[-1]], out)
        return
    for group in np.flatnonzero(counts > MANY_ROWS):
        _together(driver, e, m[group : group + 1], on_device[starts[group] : starts[group + 1]], out)
    table = tiles(starts, np.flatnonzero(counts <= MANY_ROWS))
    if len(table):
        (_, d_out, d_in), dtype = m.shape, out.dtype
        driver.launch("mapping", (len(table), -(-d_out // OUTPUTS)), BLOCK, [
            e, m, np.int32(d_in), np.int32(d_out), on_device, driver.array(table), out,
        ], REAL=REAL[dtype.name])  # fmt: skip


def _together(driver, e, m, rows, out):
    """As many rows for each of the matrices, by cuBLAS."""
    g, d_out, d_in = m.shape
    result = driver.empty((g, len(rows) // g, d_out), out.dtype)
    driver.products(driver.xp.take(e, rows, axis=0).reshape(g, -1, d_in), m, result)
    out[rows] = result.reshape(-1, d_out)


def finished(driver, out, biases, group, normalize):
    """Add the bias of each row's group, bring rows to length 1; whether all was finite before that."""
    unfinite = driver.xp.zeros(1, np.int32)
    driver.launch("finish", -(-len(out) // WARPS), BLOCK, [
        out, *map(np.int32, out.shape), biases, group, np.int32(normalize), unfinite,
    ], REAL=REAL[out.dtype.name])  # fmt: skip
    return unfinite
