"""`within` on NumPy: the scan keeps what may lie inside the radius, canonical values decide.

Work    blocks of queries x blocks of the gallery x tiles; BLAS threads only
Shapes  x (m, d), y (n, d), radius (m,) -> counts (m,), indices (r,), distances (r,)
Cost    2 m n (d + 5) flops in float32; scratch at most max_bytes, beside the result; `tiles/results.py` says what a
        result costs that outgrows it
Sum     canonical (`tiles/metrics.py`)
"""

import time

import numpy as np

from ..tiles import loop, metrics
from ..tiles.plan import plan
from ..tiles.results import PAIR_BYTES, Results

SHARES = 2, 3, 4, 8, 16  # one part of max_bytes for pairs that wait, the largest that leaves enough for the scan
WAITING, PIECES = 2, 4  # times the plan's capacity: its 123 bytes an entry are 2 pairs that wait and a quarter in work
ROUNDED = 1 + 2.0**-50  # a radius squared, rounded up past the rounding of the root


def declines(x, y, metric, *, filters, precision, **_):
    return loop.declines(precision)


def within(x, y, metric, *, radius, dtype, filters, max_bytes, precision, prepared=None, tick=None):
    """(counts, indices, distances, Stats); rows follow each other, each ordered as `topk`."""
    began = time.perf_counter()
    room = _room(x, y, max_bytes)
    scan = loop.visit(x, y, metric, filters, 1, 0, max_bytes - room, precision, prepared, None)
    biased = filters.bias is not None
    with np.errstate(over="ignore"):  # a square beyond float64 excludes nothing
        limit = metrics.ordered(metric, radius * radius * ROUNDED if metric.rooted and not biased else radius)
    pairs = WAITING * scan.plan.capacity + room // PAIR_BYTES
    results = Results(len(x), len(y), metric, dtype, biased, pairs)
    first = done = 0
    while first < len(x):
        last, seen = results.begin(first, scan.plan.query_rows), 0
        queries = scan.encoded(scan.x, first, last, 0)
        results.seen = scan.plan.tile_columns / len(y)
        for group in scan.gallery_blocks():
            if results.stop < last:
                last = results.stop
                queries = [part[part.index < last] for part in queries]
            for tile in scan.tiles(queries, group):
                for inside in _inside(scan, tile, limit, radius, biased, results):
                    results.add(*inside)
            seen += len(group)
            results.seen = seen / len(y)
            done = max(done, first * len(y) + (results.stop - first) * seen)
            if tick is not None:
                tick(done, len(x) * len(y))
        first = results.end()
    stats = scan.stats
    stats.scan_seconds = time.perf_counter() - began - stats.prepare_seconds
    return *results.joined(), stats


def _room(x, y, max_bytes):
    """Bytes for pairs that wait beside the scan: none where the scan needs all."""
    for share in SHARES:
        try:
            plan(len(x), len(y), x.shape[1], 1, 0, max_bytes - max_bytes // share)
        except ValueError:
            continue
        return max_bytes // share
    return 0


def _inside(scan, tile, limit, radius, biased, results):
    """(row, column, ordered value) of the pairs of a tile that are inside, in pieces."""
    if tile.value is None:
        keep = tile.reaches(tile.key(np.arange(len(tile.owner)), limit[tile.owner])[0])
    else:
        keep = np.ones(tile.value.shape, bool) if tile.allowed is None else tile.allowed
    found, step = np.flatnonzero(keep), -(-scan.plan.capacity // PIECES)
    for start in range(0, len(found), step):
        r, c = np.divmod(found[start : start + step], keep.shape[1])
        if tile.owner[r[-1]] >= results.stop:  # rows put off meanwhile
            wanted = tile.owner[r] < results.stop
            r, c = r[wanted], c[wanted]
        owner, partner = tile.owner[r], tile.partner[c]
        value = scan.exact(owner, partner) if tile.value is None else tile.value[r, c]
        given = metrics.returned(scan.space.metric, value, np.float64, biased)
        inside = given >= radius[owner] if scan.space.metric.descending else given <= radius[owner]
        yield owner[inside], partner[inside], value[inside]
