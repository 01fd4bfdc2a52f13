"""Pairs that come in any order and do not fit: counts, indices and distances as one sort of all of them gives."""

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import metrics
from crossmodal_fast.kernels.tiles.results import Results
from grids import naming

METRICS = {name: metrics.metric(name, 3, {}) for name in ("euclidean", "sqeuclidean", "dot")}


def pairs(m, n, share, seed=0):
    """Some pairs of every row, few values so that many are tied, in the order in which a gallery is read."""
    rng = np.random.default_rng(seed)
    column, row = np.nonzero(rng.random((n, m)) < share)
    return row, column, rng.integers(0, 9, len(row)).astype(np.float64)


def gathered(m, n, found, room, metric, dtype=np.float32, most=1000, told=True):
    """The pairs offered block by block, each time in pieces, to a `Results` that holds `room` of them."""
    results, first, blocks = Results(m, n, metric, dtype, False, room), 0, 0
    while first < m:
        last, blocks = results.begin(first, most), blocks + 1
        mine = (found[0] >= first) & (found[0] < last)
        row, column, value = (part[mine] for part in found)
        for start in range(0, len(row), 50):
            if told:
                results.seen = (1 + column[start]) / n
            results.add(row[start : start + 50], column[start : start + 50], value[start : start + 50])
        first = results.end()
    return results.joined(), blocks


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(("m", "n", "share"), [(7, 90, 0.3), (24, 25, 1.0), (1, 120, 0.9), (30, 60, 0.01), (5, 9, 0)])
def test_any_room_gives_the_same(m, n, share, name, told):
    found, metric = pairs(m, n, share), METRICS[name]
    row, column, value = (part[np.lexsort((found[1], found[2], found[0]))] for part in found)
    for room in (4, 9, 60, 700, 10**9):
        (counts, indices, distances), _ = gathered(m, n, found, room, metric, told=told)
        with naming(room):
            assert counts.tolist() == np.bincount(row, minlength=m).tolist()
            assert indices.tolist() == column.tolist()
            assert distances.dtype == np.float32
            assert distances.tolist() == metrics.returned(metric, value, np.float32).tolist()


def test_no_row():
    (counts, indices, distances), blocks = gathered(0, 5, pairs(0, 5, 1), 100, METRICS["dot"])
    assert (len(counts), len(indices), len(distances), blocks) == (0, 0, 0, 0)


def test_a_cut_block_is_not_cut_again_and_again():
    """2,000 rows of 20 pairs, room for 4,000: ten blocks are the least."""
    m, n = 2000, 40
    found = pairs(m, n, 0.5)
    _, blocks = gathered(m, n, found, 4000, METRICS["euclidean"])
    assert blocks <= 16


def test_a_row_with_all_the_room_is_read_as_often_as_needed_and_no_more():
    found = pairs(1, 4000, 1.0)
    _, blocks = gathered(1, 4000, found, 400, METRICS["euclidean"])
    assert blocks <= 4000 / 200 + 1


def test_blocks_of_at_most_so_many_rows():
    results = Results(100, 10, METRICS["dot"], np.float64, False, 10**6)
    assert results.begin(0, 30) == 30
    assert results.end() == 30
    assert results.begin(90, 30) == 100
