"""`ranks` on NumPy: bounds count what is surely nearer, canonical values decide the rest.

Work    blocks of queries x blocks of the gallery x tiles, then the pairs of each tile's rows
Shapes  x (m, d), y (n, d), row (e,) ascending, positive (e,) -> better, before, equal (e,) int64
Cost    2 m n (d + 5) flops in float32; scratch at most max_bytes
Sum     canonical (`tiles/metrics.py`)
"""

import time

import numpy as np

from ..tiles import loop

PIECE_ROWS = 128  # pairs compared with a tile at a time: a copy of that many of its rows


def declines(x, y, metric, *, filters, precision, **_):
    return loop.declines(precision)


def ranks(x, y, metric, *, row, positive, target=None, filters, max_bytes, precision, prepared=None, tick=None):
    """(better, before, equal, Stats); with the ordered values of the positives as `target` they may lie outside y."""
    began = time.perf_counter()
    scan = loop.visit(x, y, metric, filters, 1, 0, max_bytes, precision, prepared, tick)
    target = scan.exact(row, positive) if target is None else target
    scan.stats.candidates[:] = 0
    better, before, equal = (np.zeros(len(row), np.int64) for _ in range(3))
    for _, queries in scan.query_blocks():
        for group in scan.gallery_blocks():
            for tile in scan.tiles(queries, group):
                for pairs, owner in _pairs(tile, row):
                    part = _count(scan, tile, owner, target[pairs], positive[pairs])
                    for total, counted in zip((better, before, equal), part, strict=True):
                        total[pairs] += counted
    scan.stats.scan_seconds = time.perf_counter() - began - scan.stats.prepare_seconds
    return better, before, equal, scan.stats


def _pairs(tile, row):
    """Pieces of the pairs whose row the tile holds: their numbers, and the tile's row of each."""
    first, last = np.searchsorted(row, tile.owner, "left"), np.searchsorted(row, tile.owner, "right")
    owner = np.repeat(np.arange(len(tile.owner)), last - first)
    pairs = np.arange(len(owner)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[owner]
    for start in range(0, len(pairs), PIECE_ROWS):
        yield pairs[start : start + PIECE_ROWS], owner[start : start + PIECE_ROWS]


def _count(scan, tile, owner, target, positive):
    """better, before and equal of each pair within one tile."""
    held = tile.at(owner)
    if held.value is None:
        low, high = held.key(np.arange(len(owner)), target)
        nan = np.isnan(target)
        undecided = held.reaches(np.where(nan, -np.inf, low))
        surely = undecided & held.surely_above(np.where(nan, np.inf, high))
        undecided &= ~surely
        better = np.count_nonzero(surely, axis=1)
        pair, column = np.divmod(np.flatnonzero(undecided), undecided.shape[1])
        value = scan.exact(held.owner[pair], held.partner[column])
    else:
        better = np.zeros(len(owner), np.int64)
        keep = np.ones(held.value.shape, bool) if held.allowed is None else held.allowed
        pair, column = np.divmod(np.flatnonzero(keep), keep.shape[1])
        value = held.value[pair, column]
    goal, partner = target[pair], held.partner[column]
    nearer = (value < goal) | ((value == value) & (goal != goal))
    tied = ((value == goal) | ((value != value) & (goal != goal))) & (partner != positive[pair])
    masks = nearer, tied & (partner < positive[pair]), tied
    counted = [np.bincount(pair[mask], minlength=len(owner)) for mask in masks]
    return better + counted[0], counted[1], counted[2]
