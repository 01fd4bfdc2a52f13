"""Each CUDA kernel, run on a CPU by tests/simt, against NumPy: bit for bit, under several schedules and sanitisers."""

import ml_dtypes
import numpy as np
import pytest

import simt
from crossmodal_fast.kernels.tiles import metrics

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

FLAVOURS = [("plain", 0), ("plain", 1), ("race", 3), ("address", 4)]
FLAVOURS += [
    pytest.param((flavour, seed), marks=pytest.mark.heavy) for flavour in ("plain", "race") for seed in (5, 6, 7)
]
INPUT = {"float32": "float", "float64": "double", "float16": "float16", "bfloat16": "bfloat16", "int8": "signed char"}
CODE_BITS = 14
LOWEST = np.finfo(np.float32).min
FAR = 2.0**-20  # SLOP of bounds.cuh


@pytest.fixture(params=FLAVOURS, ids=lambda flavour: "-".join(map(str, flavour)))
def run(request):
    """Launch a kernel of a file in one of the builds, with one seed."""
    flavour, seed = request.param

    def launch(kernel, grid, arguments, block=256, **macros):
        library = simt.build(simt.CUDA / f"{kernel}.cu", flavour, **macros)
        library.launch(kernel, grid, block, arguments, seed=seed)

    return launch


def same_bits(found, wanted):
    np.testing.assert_array_equal(found.view(np.uint8), np.ascontiguousarray(wanted).view(np.uint8))


# -------------------------------------------------------------------------------------------------------------- prepare


def wide(rng, m, d, exponents):
    return rng.standard_normal((m, d)) * 2.0 ** rng.integers(-exponents, exponents, (m, d))


def hard_rows(dtype):
    """Zero rows, one feature that is subnormal, the largest and smallest numbers, many scales."""
    rng = np.random.default_rng(17)
    if dtype == "int8":
        return rng.integers(-128, 128, (21, 37)).astype(np.int8)
    rows = wide(rng, 21, 37, 10 if dtype == "float16" else 30).astype(dtype)
    limits = ml_dtypes.finfo(dtype)
    rows[3], rows[4], rows[5] = 0, limits.smallest_subnormal, limits.max
    rows[6, 1:] = 0
    rows[7] = (rows[8].astype(np.float64) * float(limits.smallest_normal)).astype(dtype)
    rows[9, ::2] = limits.smallest_subnormal
    return rows


def prepared(rows, run, dtype):
    m, d = rows.shape
    made = {
        "code": np.zeros((m, d), np.float16), "exponent": np.zeros(m, np.int32), "norm": np.zeros(m, np.float32),
        "code_norm": np.zeros(m, np.float32), "rest": np.zeros(m, np.float32), "square": np.zeros(m),
        "first_bad": np.full(1, m, np.int32),
    }  # fmt: skip
    bits = rows.view(np.uint16) if dtype == "bfloat16" else rows
    run("prepare", -(-m * 8 // 64), [bits, np.int32(m), np.int32(d), *made.values()], block=64, INPUT=INPUT[dtype])
    return made


SELDOM = pytest.mark.heavy
TYPES = ["float32", "float64", "int8", *(pytest.param(name, marks=SELDOM) for name in ("float16", "bfloat16"))]


@pytest.mark.parametrize("dtype", TYPES)
def test_prepare_gives_the_codes_and_raised_norms(dtype, run):
    rows = hard_rows(dtype)
    made = prepared(rows, run, dtype)
    given = rows.astype(np.float64)
    exponent = np.frexp(np.abs(given).max(axis=1))[1]
    unit = np.ldexp(given, -exponent[:, None])
    code = (unit * 2.0**CODE_BITS).astype(np.float16)
    same_bits(made["code"], code)
    same_bits(made["exponent"], exponent.astype(np.int32))
    same_bits(made["square"], metrics.row_sum(unit * unit))
    held = code.astype(np.float64) / 2.0**CODE_BITS
    for name, part in (("norm", unit), ("code_norm", held), ("rest", unit - held)):
        true = np.sqrt((part.astype(np.longdouble) ** 2).sum(axis=1)) * 2.0**CODE_BITS
        assert (made[name] >= true).all()
        assert (made[name] <= true * (1 + 2e-5) + 1e-44).all()
    assert made["first_bad"][0] == len(rows)


def test_prepare_names_the_first_row_that_is_not_finite(run):
    rows = np.random.default_rng(3).standard_normal((40, 9)).astype(np.float32)
    rows[31, 2], rows[17, 8], rows[38, 0] = np.inf, np.nan, -np.inf
    made = prepared(rows, run, "float32")
    assert made["first_bad"][0] == 17
    assert np.isinf(made["norm"][[17, 31, 38]]).all()
    assert not made["code"][[17, 31, 38]].any()
    assert np.isfinite(np.delete(made["rest"], [17, 31, 38])).all()


# --------------------------------------------------------------------------------------------------------------- rerank


FORMS = {0: "sqeuclidean", 1: "dot", 2: "cosine"}


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("form", "dtype"), [(0, "float32"), (1, "float64"), (2, "float64"), (2, "int8")])
def test_rerank_gives_canonical_values(form, dtype, biased, run):
    rng = np.random.default_rng(form)
    x, y = hard_rows(dtype)[:7], hard_rows(dtype)[::-1].copy()
    m, n, capacity = len(x), len(y), 16
    metric = metrics.metric(FORMS[form], x.shape[1])
    exponents = [np.frexp(np.abs(rows.astype(np.float64)).max(axis=1))[1].astype(np.int32) for rows in (x, y)]
    units = [np.ldexp(rows.astype(np.float64), -e[:, None]) for rows, e in zip((x, y), exponents, strict=True)]
    squares = [metrics.row_sum(unit * unit) for unit in units]
    count = rng.integers(0, capacity + 1, m).astype(np.int32)
    count[1:3] = 0, capacity + 5  # overflowed: what is held counts
    list_mc = np.stack([rng.permutation(n)[:capacity] for _ in range(m)]).astype(np.uint64)
    bias = (rng.standard_normal(m), rng.standard_normal(n)) if biased else (None, None)
    value = np.full((m, capacity), -7.0)
    sizes = np.int32(x.shape[1]), np.int32(capacity)
    arguments = [x, y, sizes[0], list_mc, count, sizes[1], *squares, *exponents, *bias, value]
    run("rerank", m, arguments, block=64, INPUT=INPUT[dtype], METRIC=form)
    wanted = np.full((m, capacity), -7.0)
    for i in range(m):
        held = list_mc[i, : count[i]].astype(np.int64)
        if not len(held):
            continue
        pairs = metrics.pairs(
            metric, np.repeat(x[i : i + 1], len(held), 0).astype(np.float64), y[held].astype(np.float64)
        )
        wanted[i, : len(held)] = metrics.ordered(metric, pairs, bias[0][i] + bias[1][held] if biased else None)
    same_bits(value, wanted)


# ----------------------------------------------------------------------------------------------- filter, tighten, order


def key_of(upper, index):
    bits = np.asarray(upper, np.float32).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    return ordered.astype(np.uint64) << np.uint64(32) | np.asarray(index).astype(np.uint64)


def whole(rng, *shape, low=-8, high=9):
    """Whole numbers: every bound is exact, and many of them lie on a threshold."""
    return rng.integers(low, high, shape).astype(np.float32)


def tile(rng, m, n):
    row = np.stack([whole(rng, m, low=0, high=3), whole(rng, m, low=0, high=3), 2 ** whole(rng, m, low=-1, high=2),
                    2 ** whole(rng, m, low=-2, high=3)], axis=1)  # fmt: skip
    column = np.stack([2 ** whole(rng, n, low=-1, high=2), whole(rng, n, low=0, high=3), whole(rng, n, low=0, high=3),
                       whole(rng, n)], axis=1)  # fmt: skip
    margin = row[:, None, 0] * column[None, :, 1] + row[:, None, 1] * column[None, :, 2]
    score = 8 * whole(rng, m, n)
    upper = score * column[:, 0] + (column[:, 3] * row[:, None, 2] + margin)
    return row, column, margin, score, upper


def held(list_mc, count, i):
    return np.sort(list_mc[i, : min(count[i], list_mc.shape[1])])


@pytest.mark.parametrize("restricted", [False, True])
def test_filter_keeps_what_reaches_the_threshold(restricted, run):
    rng = np.random.default_rng(restricted)
    m, n, capacity, first_row, first_column = 67, 139, 96, 5, 1000
    row, column, _, score, upper = tile(rng, m, n)
    threshold, offset = whole(rng, m, low=-10, high=90), whole(rng, m)
    threshold[:2] = LOWEST, np.inf
    column[7, 3] = -np.inf  # a row of the gallery that takes no part
    upper[:, 7] = -np.inf
    column_threshold = whole(rng, n, low=0, high=90)
    exclude = (first_column + rng.integers(-3, n, m)).astype(np.int32) if restricted else None
    allowed = (rng.random((m, 150)) < 0.8).astype(np.uint8) if restricted else None
    may = allowed[:, :n] != 0 if restricted else np.ones((m, n), bool)
    if restricted:
        may &= first_column + np.arange(n) != exclude[:, None]
    lists = np.zeros((m, capacity), np.uint64), np.zeros((n, capacity), np.uint64)
    counts = np.zeros(m, np.int32), np.zeros(n, np.int32)
    sizes, most = map(np.int32, (m, n, first_row, first_column)), np.int32(capacity)
    of_rows = [row, column, threshold, exclude, allowed, np.int64(150), lists[0], counts[0], most]
    run("filter", (-(-n // 128), -(-m // 64)),
        [score, *sizes, *of_rows, offset, column_threshold, lists[1], counts[1], most])  # fmt: skip
    keep = may & (upper >= threshold[:, None])
    np.testing.assert_array_equal(counts[0], keep.sum(axis=1))
    assert (counts[0] > capacity).any()
    assert 0 < np.count_nonzero(keep[:, :128]) < keep[:, :128].size
    for i in range(m):
        wanted = np.sort(key_of(upper[i], first_column + np.arange(n))[keep[i]])
        found = held(lists[0], counts[0], i)
        if counts[0][i] <= capacity:
            np.testing.assert_array_equal(found, wanted)
        else:
            assert np.isin(found, wanted).all()
            assert len(np.unique(found)) == capacity
    turned = upper * row[:, 3:] + offset[:, None]
    keep = may & (turned >= column_threshold)
    np.testing.assert_array_equal(counts[1], keep.sum(axis=0))
    for j in range(n):
        wanted = np.sort(key_of(turned[:, j], first_row + np.arange(m))[keep[:, j]])
        np.testing.assert_array_equal(held(lists[1], counts[1], j), wanted)


def test_filter_of_rows_alone_keeps_what_no_bound_excludes(run):
    rng = np.random.default_rng(9)
    row, column, _, score, _ = tile(rng, 3, 40)
    column[4, 1] = np.inf  # a gallery row that is not finite
    row[:, 0] = [0, 1, 2]  # times inf: NaN, inf, inf
    lists, counts = np.zeros((3, 8), np.uint64), np.zeros(3, np.int32)
    run("filter", 1, [score, *map(np.int32, (3, 40, 0, 0)), row, column, np.full(3, 1e30, np.float32), None, None,
                      np.int64(0), lists, counts, np.int32(8), None, None, None, None, np.int32(0)])  # fmt: skip
    np.testing.assert_array_equal(counts, 1)
    np.testing.assert_array_equal(lists[:, 0], key_of(np.inf, 4))


@pytest.mark.parametrize("by_column", [False, True])
def test_tighten_raises_thresholds_and_drops(by_column, run):
    rng = np.random.default_rng(4 + by_column)
    m, n, capacity, k, redo_from = 6, 600, 300, 7, 450
    row, column, margin, _, upper = tile(rng, n if by_column else m, m if by_column else n)
    offset, slack = whole(rng, n), whole(rng, m, low=0, high=2)
    parts = np.abs(column[:, 3] * row[:, None, 2])
    if by_column:
        upper = np.float32(upper * row[:, 3:] + offset[:, None])
        margin, parts = margin * row[:, 3:], parts * row[:, 3:] + np.abs(offset)[:, None]
    low = upper - 2 * margin - np.float32(FAR) * (np.abs(upper) + parts)
    assert low.dtype == np.float32
    if by_column:
        upper, low = upper.T, low.T
    count = np.array([300, 5, 7, 301, 0, 257], np.int32)  # fewer than k, exactly k, one lost
    before = np.full(m, LOWEST, np.float32)
    before[5] = 1e30
    partner = np.stack([rng.permutation(n)[:capacity] for _ in range(m)])
    keys = np.stack([key_of(upper[i, partner[i]], partner[i]) for i in range(m)])
    made, threshold, counts, lost = keys.copy(), before.copy(), count.copy(), np.full(m, -1, np.int32)
    own, other = (column, row) if by_column else (row, column)
    sizes = map(np.int32, (capacity, k))
    run("tighten", m, [made, counts, *sizes, own, other, offset, slack, threshold, np.int32(redo_from), lost],
        TURNED=int(by_column))  # fmt: skip
    np.testing.assert_array_equal(lost, np.maximum(0, count - capacity))
    for i in range(m):
        at = partner[i, : min(count[i], capacity)]
        floor = max(before[i], np.sort(low[i, at])[-k] - slack[i]) if len(at) >= k else before[i]
        stays = upper[i, at] >= floor
        if count[i] > capacity:
            stays &= at < redo_from
        assert threshold[i] == floor
        np.testing.assert_array_equal(held(made, counts, i), np.sort(keys[i, : len(at)][stays]))


@pytest.mark.parametrize("k", [1, 9, 400])
def test_order_sorts_by_value_then_index(k, run):
    rng = np.random.default_rng(k)
    m, capacity = 4, 300
    value = whole(rng, m, capacity).astype(np.float64)
    value[rng.random((m, capacity)) < 0.1] = np.nan
    value[rng.random((m, capacity)) < 0.1] = np.inf
    value[value == 0] = -0.0
    value[:, ::3] = np.abs(value[:, ::3])  # zeros of both signs are equal
    index = np.stack([rng.permutation(5000)[:capacity] for _ in range(m)])
    count, lost = np.array([300, 299, 0, 305], np.int32), np.array([0, 0, 0, 5], np.int32)
    found = np.zeros((m, k)), np.zeros((m, k), np.int64), np.zeros(m, np.uint8)
    run(
        "order",
        m,
        [key_of(rng.random((m, capacity)), index), value, count, lost, np.int32(capacity), np.int32(k), *found],
    )
    for i in range(m):
        size = min(count[i], capacity)
        order = np.lexsort((index[i, :size], value[i, :size]))[:k]
        empty = k - len(order)
        np.testing.assert_array_equal(found[0][i], np.r_[value[i, order], np.full(empty, np.inf)])
        np.testing.assert_array_equal(found[1][i], np.r_[index[i, order], np.full(empty, -1)])
    np.testing.assert_array_equal(found[2], [1, 1, 1, 0])
