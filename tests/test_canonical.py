"""Values of listed pairs, to the bit those of NumPy, and the k best of them against a plain sort."""

import numpy as np
import pytest

from cases import SOME_QUERIES, arrays
from crossmodal_fast.kernels.tiles import canonical, lanes, memory, merge, metrics
from crossmodal_fast.kernels.tiles.jit import address_of
from crossmodal_fast.kernels.tiles.rows import Rows
from grids import naming

FORMS = {"l2": "euclidean", "dot": "dot", "cosine": "cosine", "correlation": "correlation"}


def settled(form, x, y, i, j):
    value = np.full(len(i), -9.0)
    canonical.valuer(form, x.dtype.name, y.dtype.name)(x, y, i, j, value)
    return value


def agree(form, x, y, i, j):
    x, y = (np.ascontiguousarray(Rows("x", rows, False).unchecked(0, len(rows))) for rows in (x, y))
    value = settled(form, x, y, i, j)
    metric = metrics.metric(FORMS[form], x.shape[1])
    expected = metrics.block(metric, x.astype(np.float64), y.astype(np.float64))[i, j]
    np.testing.assert_array_equal(np.isnan(value), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(value[number].view(np.int64), expected[number].view(np.int64))


@pytest.mark.parametrize("form", FORMS)
def test_every_case(form):
    for name in SOME_QUERIES:
        x, y = arrays(name)
        with naming(name):
            agree(form, x, y, np.repeat(np.arange(len(x)), len(y)), np.tile(np.arange(len(y)), len(x)))


@pytest.mark.parametrize("d", [*range(1, 18), 100])
@pytest.mark.parametrize("form", FORMS)
def test_pairs_in_any_order(form, d):
    """Owners in groups of any size, alone, and coming back; a row against itself."""
    rng = np.random.default_rng(d)
    x = rng.standard_normal((9, d)).astype(np.float32)
    i = np.concatenate([np.repeat(rng.integers(0, 9, 30), rng.integers(1, 11, 30)), rng.integers(0, 9, 20)])
    agree(form, x, x, i, rng.integers(0, 9, len(i)))


@pytest.mark.parametrize("kinds", [(np.float32, np.float32), (np.float64, np.float32), (np.float32, np.float64)])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_finite(form, kinds):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 13)), rng.standard_normal((12, 13))
    for rows in (x, y):
        rows[1, 3], rows[2, 12], rows[3, 0] = np.nan, np.inf, -np.inf
        rows[4], rows[5], rows[6], rows[7] = np.inf, np.nan, 0.0, -2.5
    x, y = x.astype(kinds[0]), y.astype(kinds[1])
    agree(form, x, y, np.repeat(np.arange(8), 12), np.tile(np.arange(12), 8))


def test_no_pairs():
    none = np.empty(0, np.int64)
    assert settled("l2", np.ones((2, 3)), np.ones((2, 3)), none, none).shape == (0,)


@pytest.mark.parametrize("bits", [128, 256, 512])
def test_every_width_of_vectors(bits):
    """The sums alone, with the vectors of other CPUs."""
    from numba import njit

    added = canonical.far(lanes.TERMS["square gap"], ("float32", "float64"), bits)
    start, read = address_of, memory.number

    @njit
    def four(x, y, value):
        table = np.array([start(y) + y.strides[0] * c for c in range(canonical.COLUMNS)])
        totals = added(x.shape[0], start(x), start(table))
        for c in range(canonical.COLUMNS):
            value[c] = read(totals, c)

    for d in (1, 8, 13, 40):
        rng = np.random.default_rng(d)
        x, y, value = rng.standard_normal(d).astype(np.float32), rng.standard_normal((4, d)), np.empty(4)
        four(x, y, value)
        expected = metrics.block(metrics.metric("sqeuclidean", d), x[None].astype(np.float64), y)[0]
        assert value.tolist() == expected.tolist(), d


# --------------------------------------------------------------------------------------------------------------- best


def naive(pairs, k):
    """The k first of (value, partner): numbers, then NaN, then empty slots."""
    pairs = sorted(pairs, key=lambda pair: (np.isnan(pair[0]), 0.0 if np.isnan(pair[0]) else pair[0], pair[1]))[:k]
    return pairs + [(np.inf, -1)] * (k - len(pairs))


def random_values(rng, size):
    """Many ties, NaN and infinity among them."""
    value = rng.integers(0, 4, size).astype(np.float64)
    value[rng.random(size) < 0.2] = np.nan
    value[rng.random(size) < 0.2] = np.inf
    return value


@pytest.mark.parametrize("k", [1, 2, 3, 7, 40])
def test_best_is_a_merge_of_sorted_pairs(k):
    rng = np.random.default_rng(k)
    for _ in range(60):
        owners, first, partners = 5, 3, rng.permutation(60)
        value, index = np.full((owners, k), np.inf), np.full((owners, k), -1, np.int64)
        given = [[] for _ in range(owners)]
        for part in np.array_split(partners, rng.integers(1, 6)):  # no pair comes twice
            owner = np.sort(rng.integers(0, owners, len(part)))
            values = random_values(rng, len(part))
            for pair in zip(owner, values, part, strict=True):
                given[pair[0]].append((pair[1], pair[2]))
            merge.listed(owner + first, part.astype(np.int64), values, first, value, index)
            for i in range(owners):
                expected = naive(given[i], k)
                np.testing.assert_array_equal(value[i], [pair[0] for pair in expected])
                np.testing.assert_array_equal(index[i], [pair[1] for pair in expected])


def test_best_leaves_other_rows_alone():
    value, index = np.array([[1.0, 2.0], [np.inf, np.inf]]), np.array([[7, 8], [-1, -1]])
    merge.listed(np.array([1]), np.array([4]), np.array([np.nan]), 0, value, index)
    assert index.tolist() == [[7, 8], [4, -1]]
    assert value[0].tolist() == [1, 2]
    assert np.isnan(value[1, 0])
    assert value[1, 1] == np.inf
