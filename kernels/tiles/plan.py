"""Sizes of blocks and tiles under a memory cap."""

from dataclasses import dataclass

from .encode import EXTRA, PIECE_BYTES
from .shortlist import ENTRY_BYTES

TILE_ROWS, TILE_SCORES = 512, 1 << 20  # a float32 tile of 4 MiB: stays in L3 between the GEMM and the comparison
CODE_BYTES = 1 << 24  # of gallery rows encoded at a time; wider blocks for few queries cost only Python's overhead less
WIDE_COLUMNS = 2048  # of a tile scanned again in float64
LEAST_ROWS, LEAST_COLUMNS = 16, 64
QUERY_ROWS = 16384  # of queries held at once: their codes are read once per gallery block
PAIR_BYTES = 1 << 22  # of scratch for canonical values
COLUMN_BYTES = 16  # float64 values of the columns between query blocks, and their merge
SPARE = 32  # entries a query may have on the shortlist beyond its 2 k


@dataclass(frozen=True)
class Plan:
    """How many queries are held at once, the tile, and how many candidates may wait for their canonical value."""

    query_rows: int
    tile_rows: int
    tile_columns: int
    capacity: int
    column_capacity: int


def _bytes(sizes, d, k_rows, k_columns, encoded):
    """Scratch of the scan: codes, a part of a tile again in float64, masks, shortlists."""
    query_rows, tile_rows, tile_columns = sizes
    inner = d + EXTRA
    waiting = query_rows * (2 * k_rows + SPARE) + tile_columns * (1 + (2 * k_columns + SPARE if k_columns else 0))
    codes = query_rows * (inner * 8 + 64) + tile_columns * ((0 if encoded else inner * 12) + 64)
    wide = min(tile_columns, WIDE_COLUMNS) * inner * 20 + tile_rows * inner * 16
    tile = tile_rows * tile_columns * (4 + 8 + 8 + 4)  # scores, canonical values, positions, masks
    return waiting * ENTRY_BYTES + codes + wide + tile + 4 * PIECE_BYTES + PAIR_BYTES


def _least(m, n):
    return [min(m, LEAST_ROWS), min(m, LEAST_ROWS), min(n, LEAST_COLUMNS)]


def needed(m, n, d, k):
    """The least `max_bytes` for the k best of every row."""
    return _bytes(_least(max(1, m), max(1, n)), d, k, 0, False)


def plan(m, n, d, k_rows, k_columns, max_bytes, encoded=False):
    """The largest sizes that fit, or ValueError with the least `max_bytes` that would do. `encoded`: the gallery is."""
    m, n = max(1, m), max(1, n)
    rows = min(m, TILE_ROWS)
    columns = TILE_SCORES // rows if encoded else min(TILE_SCORES // rows, CODE_BYTES // (4 * (d + EXTRA)))
    sizes = [min(m, QUERY_ROWS), rows, min(n, max(columns, TILE_SCORES // TILE_ROWS))]
    least = _least(m, n)
    fixed = n * k_columns * COLUMN_BYTES
    while fixed + _bytes(sizes, d, k_rows, k_columns, encoded) > max_bytes:
        if sizes == least:
            needed = fixed + _bytes(least, d, k_rows, k_columns, encoded)
            found = f"d={d} and k={max(k_rows, k_columns)}"
            raise ValueError(f"max_bytes must be at least {needed} for {found}, got {max_bytes}")
        shrink = max(range(3), key=lambda axis: sizes[axis] / least[axis])
        sizes[shrink] = max(least[shrink], sizes[shrink] // 2)
        sizes[1] = min(sizes[0], sizes[1])
    query_rows, tile_rows, tile_columns = sizes
    return Plan(
        query_rows,
        tile_rows,
        tile_columns,
        query_rows * (2 * k_rows + SPARE) + tile_columns,
        tile_columns * (2 * k_columns + SPARE),
    )
