"""`within` on NumPy: the scan keeps what may lie inside the radius, canonical values decide.

Work    blocks of queries x blocks of the gallery x tiles; BLAS threads only
Shapes  x (m, d), y (n, d), radius (m,) -> counts (m,), indices (r,), distances (r,)
Cost    2 m n (d + 5) flops in float32; scratch at most max_bytes, beside the result
Sum     canonical (`tiles/metrics.py`)
"""

import time

import numpy as np

from ..tiles import loop, metrics

ROUNDED = 1 + 2.0**-50  # a radius squared, rounded up past the rounding of the root


def declines(x, y, metric, *, precision, **_):
    return loop.declines(precision)


def within(x, y, metric, *, radius, dtype, filters, max_bytes, precision, prepared=None, tick=None):
    """(counts, indices, distances, Stats); rows follow each other, each ordered as `topk`."""
    began = time.perf_counter()
    scan = loop.visit(x, y, metric, filters, 1, 0, max_bytes, precision, prepared, tick)
    biased = filters.bias is not None
    with np.errstate(over="ignore"):  # a square beyond float64 excludes nothing
        limit = metrics.ordered(metric, radius * radius * ROUNDED if metric.rooted and not biased else radius)
    counts, indices, distances = np.zeros(len(x), np.int64), [], []
    for owners, queries in scan.query_blocks():
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for group in scan.gallery_blocks():
            for tile in scan.tiles(queries, group):
                found += _inside(scan, tile, limit, radius, biased)
        row, column, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((column, value, row))
        counts[owners] = np.bincount(row - owners[0], minlength=len(owners))
        indices.append(column[order])
        distances.append(metrics.returned(metric, value[order], dtype, biased))
    stats = scan.stats
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return (
        counts,
        np.concatenate([np.zeros(0, np.int64), *indices]),
        np.concatenate([np.zeros(0, dtype), *distances]),
        stats,
    )


def _inside(scan, tile, limit, radius, biased):
    """(row, column, ordered value) of the pairs of a tile that are inside, in pieces."""
    if tile.value is None:
        keep = tile.reaches(tile.key(np.arange(len(tile.owner)), limit[tile.owner])[0])
    else:
        keep = np.ones(tile.value.shape, bool) if tile.allowed is None else tile.allowed
    row, column = np.divmod(np.flatnonzero(keep), keep.shape[1])
    for start in range(0, len(row), scan.plan.capacity):
        r, c = row[start : start + scan.plan.capacity], column[start : start + scan.plan.capacity]
        owner, partner = tile.owner[r], tile.partner[c]
        value = scan.exact(owner, partner) if tile.value is None else tile.value[r, c]
        given = metrics.returned(scan.space.metric, value, np.float64, biased)
        inside = given >= radius[owner] if scan.space.metric.descending else given <= radius[owner]
        yield owner[inside], partner[inside], value[inside]
