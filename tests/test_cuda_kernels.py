"""Each CUDA kernel, run on a CPU by tests/simt, against NumPy: bit for bit, under several schedules and sanitisers."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

import simt
from crossmodal_fast.kernels.tiles import metrics
from crossmodal_fast.kernels.tiles.cuda import bounds

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

FLAVOURS = [("plain", 0), ("plain", 1), ("race", 3), ("address", 4)]
FLAVOURS += [
    pytest.param((flavour, seed), marks=pytest.mark.heavy) for flavour in ("plain", "race") for seed in (5, 6, 7)
]
INPUT = {"float32": "float", "float64": "double", "float16": "float16", "bfloat16": "bfloat16", "int8": "signed char"}
CODE_BITS = 14
LOWEST = np.finfo(np.float32).min
ROUNDED, TWICE_ROUNDED = float.fromhex("0x1.004p-11"), float.fromhex("0x1.01p-10")  # of bounds.cuh, as what follows
SLOP, RAISED_TWICE, LEAST_TWICE = 2.0**-20, 2.0**-17, 2.0**-29


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


def prepared(rows, run, dtype, centre=None, turn=1):
    m, d = rows.shape
    made = {
        "code": np.full((m, d + 3), np.nan, np.float16), "exponent": np.zeros(m, np.int32),
        "norm": np.zeros(m, np.float32),
        "code_norm": np.zeros(m, np.float32), "rest": np.zeros(m, np.float32), "square": np.zeros(m),
        "first_bad": np.full(1, m, np.int32), "largest": np.full(1, -400, np.int32),
    }  # fmt: skip
    bits = rows.view(np.uint16) if dtype == "bfloat16" else rows
    sizes = np.int32(m), np.int32(d), centre, np.uint32(turn), np.int32(d + 3)
    run("prepare", -(-m * 8 // 64), [bits, *sizes, *made.values()], block=64, INPUT=INPUT[dtype])
    np.testing.assert_array_equal(made["code"][:, d:].view(np.uint16), 0)
    return made | {"code": np.ascontiguousarray(made["code"][:, :d])}


SELDOM = pytest.mark.heavy
TYPES = ["float32", "float64", "int8", *(pytest.param(name, marks=SELDOM) for name in ("float16", "bfloat16"))]


@pytest.mark.parametrize("dtype", TYPES)
def test_prepare_gives_the_codes_and_raised_norms(dtype, run):
    rows = hard_rows(dtype)
    centre = np.linspace(-3, 5, rows.shape[1]) if dtype == "float64" else None
    turn = 1 if dtype == "float64" else 8
    made = prepared(rows, run, dtype, centre, turn)
    given = rows.astype(np.float64) - (0 if centre is None else centre)
    exponent = np.frexp(np.abs(given).max(axis=1))[1]
    unit = np.ldexp(given, -exponent[:, None])
    code = (unit * 2.0**CODE_BITS).astype(np.float16)
    same_bits(made["code"][np.arange(len(rows)) * turn % len(rows)], code)
    same_bits(made["exponent"], exponent.astype(np.int32))
    same_bits(made["square"], metrics.row_sum(unit * unit))
    held = code.astype(np.float64) / 2.0**CODE_BITS
    for name, part in (("norm", unit), ("code_norm", held), ("rest", unit - held)):
        true = np.sqrt((part.astype(np.longdouble) ** 2).sum(axis=1)) * 2.0**CODE_BITS
        assert (made[name] >= true).all()
        assert (made[name] <= true * (1 + 2e-5) + 1e-44).all()
    assert made["first_bad"][0] == len(rows)
    assert made["largest"][0] == exponent.max()


def test_prepare_names_the_first_row_that_is_not_finite(run):
    rows = np.random.default_rng(3).standard_normal((40, 9)).astype(np.float32)
    rows[31, 2], rows[17, 8], rows[38, 0] = np.inf, np.nan, -np.inf
    made = prepared(rows, run, "float32")
    assert made["first_bad"][0] == 17
    assert np.isinf(made["norm"][[17, 31, 38]]).all()
    assert not made["code"][[17, 31, 38]].any()
    assert np.isfinite(np.delete(made["rest"], [17, 31, 38])).all()
    assert made["largest"][0] == np.frexp(np.abs(np.delete(rows, [17, 31, 38], axis=0)).max())[1]


def test_a_finite_row_that_its_centre_makes_infinite_is_no_bad_row(run):
    rows, centre = np.full((3, 4), 1.7e308), np.array([-1e308, 0, 0, 0])
    made = prepared(rows, run, "float64", centre)
    assert made["first_bad"][0] == 3
    assert np.isinf(made["norm"]).all()


# ---------------------------------------------------------------------------------------------------------------- bound


def exactly(value):
    return np.frompyfunc(Fraction, 1, 1)(np.asarray(value, np.float64))


@pytest.mark.parametrize(("form", "biased"), [(0, False), (1, True), (2, True)])
def test_bounds_hold_the_keys_of_exact_arithmetic(form, biased, run):
    """Of every pair, in whole fractions, with scores that are as wrong as the bound allows for."""
    rng = np.random.default_rng(form)
    m, n, d, step = 9, 13, 6, 8
    x, y = wide(rng, m, d, 6), wide(rng, n, d, 6)
    y[2], y[5, 1:], x[3] = 0, 0, 0
    x[4], y[6] = 1, [1, -1] * (d // 2)  # at right angles: nothing but the loss makes room
    sides = [prepared(rows, run, "float64") for rows in (x, y)]
    bias = (rng.standard_normal(m), rng.standard_normal(n)) if biased else (None, None)
    unit, losses = sides[1]["largest"], (np.float64(bounds.loss(d)), np.float64(2.0 ** bounds.score_bits(d)))
    made = []
    for side, (part, added) in enumerate(zip(sides, bias, strict=True)):
        count = len(part["exponent"])
        out, slack, reach = np.zeros((count, 4), np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
        whole_numbers = np.full(count, 7, np.int32), np.full(count, 7, np.int32)
        measured = [part[name] for name in ("exponent", "norm", "code_norm", "rest", "square")]
        run("bound", 2, [np.int32(count), unit, None, *losses, np.int32(d), *measured, added, None,
                         np.uint32(step if side else 1), out, slack, reach, *whole_numbers],
            block=32, FORM=form, SIDE=side)  # fmt: skip
        made.append(out)
        if side == 0:
            np.testing.assert_array_equal(reach, LOWEST)
            np.testing.assert_array_equal(np.stack(whole_numbers), 0)
            assert (slack >= 0).all()
            assert (slack <= 1e-8 * out[:, 2] * np.maximum(1, x.max() ** 2)).all()
    row, column = exactly(made[0]), exactly(made[1])
    place = np.arange(n) * step % n
    codes = [exactly(part["code"]) for part in sides]
    product = codes[0] @ codes[1][place].T / Fraction(float(losses[1]))
    lost = Fraction(float(losses[0])) * np.outer(*(
        exactly(part["code_norm"])[at] for part, at in ((sides[0], slice(None)), (sides[1], place))
    ))  # fmt: skip
    sign = rng.choice([-1, 1], lost.shape)
    sign[4, place == 6] = -1
    wrong = sign * lost * Fraction(9, 10) / Fraction(float(losses[1]))
    score = np.array([[float(value) for value in line] for line in product + wrong]).astype(np.float16)
    margin = np.outer(row[:, 0], column[:, 1]) + np.outer(row[:, 1], column[:, 2])
    offset = np.outer(row[:, 2], column[:, 3])
    upper = exactly(score) * column[:, 0] + abs(exactly(score)) * column[:, 0] * Fraction(1, 2048) + offset + margin
    lower = upper - 2 * margin - abs(exactly(score)) * column[:, 0] * Fraction(1, 1023)
    lower = lower - abs(offset) * Fraction(RAISED_TWICE) - row[:, 2][:, None] * Fraction(LEAST_TWICE)
    inner = exactly(x) @ exactly(y[place]).T
    if form == 2:
        # both sides over |x||y|: keys are cosines less bias, in units of w
        lengths = [np.sqrt((rows**2).sum(axis=1)) for rows in (x, y[place])]
        scale = np.outer(*(np.where(length > 0, 1 / np.where(length > 0, length, 1), 0) for length in lengths))
        key = inner * exactly(scale) - (exactly(bias[1][place]) if biased else 0)
        key = key * row[:, 2][:, None]
        rounding = Fraction(1, 2**45)
    else:
        key = inner - (exactly((y[place] ** 2).sum(axis=1)) / 2 if form == 0 else 0)
        key = key + (exactly(bias[1][place]) if biased else 0)
        own = np.where(sides[0]["square"] == 0, unit[0], sides[0]["exponent"])  # a row of zeros has no scale
        exponents = [exactly(2.0 ** -own.astype(np.float64)), Fraction(2.0 ** -float(unit[0]))]
        key = key * exponents[0][:, None] * exponents[1] * 2**28
        rounding = Fraction(1, 2**45)
    spare = rounding * (1 + abs(key))
    assert (upper + spare >= key).all()
    assert (lower - spare <= key).all()

    out, added, widest, turn = np.zeros((m, 4), np.float32), np.zeros(m, np.float32), sides[0]["largest"], 5
    measured = [sides[0][name] for name in ("exponent", "norm", "code_norm", "rest", "square")]
    run("bound", 2, [np.int32(m), unit, None, *losses, np.int32(d), *measured, bias[0], None, np.uint32(turn), out,
                     *[None] * 4, widest, added], block=32, FORM=form, SIDE=0, TURNED=1)  # fmt: skip
    order = np.arange(m) * turn % m
    np.testing.assert_array_equal(out[:, :3], made[0][order, :3])
    q, p = exactly(out)[:, 3:], exactly(added)[:, None]
    if form == 2:
        common = inner * exactly(scale) - exactly(bias[1][place])[None] - exactly(bias[0])[:, None]
    else:
        common = inner - (exactly((y[place] ** 2).sum(axis=1)) / 2 if form == 0 else 0)
        common = common - (exactly((x**2).sum(axis=1))[:, None] / 2 if form == 0 else 0)
        common = common + (np.add.outer(exactly(bias[0]), exactly(bias[1][place])) if biased else 0)
        common = common * Fraction(2) ** (28 - int(unit[0]) - int(widest[0]))
    common, below = common[order], (upper - lower)[order]
    upper = upper[order] * q + p
    assert (upper >= common).all()
    assert (upper - q * below - Fraction(RAISED_TWICE) * abs(p) - Fraction(SLOP) * abs(upper) <= common).all()


def test_a_row_that_no_bound_holds_is_kept_and_one_that_is_left_out_is_not(run):
    y = np.array([[1.0, 2], [np.nan, 0], [2.0**90, 1], [3, 4]])
    made = prepared(y, run, "float64")
    allowed, out = np.array([1, 1, 1, 0], np.uint8), np.zeros((4, 4), np.float32)
    measured = [made[name] for name in ("exponent", "norm", "code_norm", "rest", "square")]
    small = np.array([2], np.int32)
    run("bound", 1, [np.int32(4), small, None, np.float64(0), np.float64(1), np.int32(2), *measured, None, allowed,
                     np.uint32(1), out, None, None, None, None], block=32, FORM=1, SIDE=1)  # fmt: skip
    np.testing.assert_array_equal(out[1:], [[0, 0, 0, np.inf], [0, 0, 0, np.inf], [0, 0, 0, -np.inf]])
    assert np.isfinite(out[0]).all()
    slack, reach = np.zeros(4, np.float32), np.array([5, 6, 7, -np.inf], np.float32)
    counts = np.zeros(4, np.int32), np.zeros(4, np.int32)
    run("bound", 1, [np.int32(4), small, small + 1, np.float64(0), np.float64(1), np.int32(2), *measured, None, None,
                     np.uint32(1), out, slack, reach, *counts], block=32, FORM=1, SIDE=0)  # fmt: skip
    np.testing.assert_array_equal(out[1:3], [[0, 0, 1, 1]] * 2)
    assert np.isinf(slack[1:3]).all()
    np.testing.assert_array_equal(reach, np.array([10, LOWEST, LOWEST, LOWEST], np.float32))  # a unit half as large


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
    step = 8
    order = np.uint32(step), np.uint32(n)
    arguments = [x, y, sizes[0], *order, list_mc, count, sizes[1], *squares, *exponents, *bias, value]
    run("rerank", m, arguments, block=64, INPUT=INPUT[dtype], METRIC=form)
    wanted = np.full((m, capacity), -7.0)
    for i in range(m):
        held = list_mc[i, : count[i]].astype(np.int64) * step % n
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
    raised = np.float32(score + np.abs(score) * np.float64(np.float32(ROUNDED)))  # rounded once
    upper = np.float32(raised * np.float64(column[:, 0]) + (column[:, 3] * row[:, None, 2] + margin))
    return row, column, margin, score, upper


def padded(score, stride):
    """The tile as a product leaves it: 16 bits, rows apart, NaN between them."""
    made = np.full((len(score), stride), np.nan, np.float16)
    made[:, : score.shape[1]] = score
    return made


def held(list_mc, count, i):
    return np.sort(list_mc[i, : min(count[i], list_mc.shape[1])])


@pytest.mark.parametrize("restricted", [False, True])
def test_filter_keeps_what_reaches_the_threshold(restricted, run):
    rng = np.random.default_rng(restricted)
    m, n, capacity, first_row, first_column = 131, 269, 160, 5, 1000
    row, column, _, score, upper = tile(rng, m, n)
    threshold, offset = whole(rng, m, low=-10, high=90), whole(rng, m)
    threshold[:2] = LOWEST, np.inf
    column[7, 3] = -np.inf  # a row of the gallery that takes no part
    upper[:, 7] = -np.inf
    column_threshold = whole(rng, n, low=0, high=90)
    exclude = (first_column + rng.integers(-3, n, m)).astype(np.int32) if restricted else None
    allowed = (rng.random((m, 280)) < 0.8).astype(np.uint8) if restricted else None
    may = allowed[:, :n] != 0 if restricted else np.ones((m, n), bool)
    if restricted:
        may &= first_column + np.arange(n) != exclude[:, None]
    lists = np.zeros((m, capacity), np.uint64), np.zeros((n, capacity), np.uint64)
    counts = np.zeros(m, np.int32), np.zeros(n, np.int32)
    sizes, most = map(np.int32, (m, n, 320, first_row, first_column)), np.int32(capacity)
    of_rows = [row, column, threshold, exclude, allowed, np.int64(280), lists[0], counts[0], most]
    run("filter", (-(-n // 256), -(-m // 128)),
        [padded(score, 320), *sizes, *of_rows, offset, column_threshold, lists[1], counts[1], most],
        BOTH=1)  # fmt: skip
    keep = may & (upper >= threshold[:, None])
    np.testing.assert_array_equal(counts[0], keep.sum(axis=1))
    assert (counts[0] > capacity).any()
    assert 0 < np.count_nonzero(keep[:, :256]) < keep[:, :256].size
    for i in range(m):
        wanted = np.sort(key_of(upper[i], first_column + np.arange(n))[keep[i]])
        found = held(lists[0], counts[0], i)
        if counts[0][i] <= capacity:
            np.testing.assert_array_equal(found, wanted)
        else:
            assert np.isin(found, wanted).all()
            assert len(np.unique(found)) == capacity
    turned = np.float32(upper.astype(np.float64) * row[:, 3:] + offset[:, None])
    keep = may & (turned >= column_threshold)
    np.testing.assert_array_equal(counts[1], keep.sum(axis=0))
    for j in range(n):
        wanted = np.sort(key_of(turned[:, j], first_row + np.arange(m))[keep[:, j]])
        np.testing.assert_array_equal(held(lists[1], counts[1], j), wanted)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_filter_of_rows_alone_keeps_what_no_bound_excludes(kind, run):
    rng = np.random.default_rng(9)
    row, column, _, score, _ = tile(rng, 3, 40)
    column[4] = 0, 0, 0, np.inf  # a gallery row that is not finite
    tile_mn = np.zeros((3, 48), kind)
    tile_mn[:, :40], tile_mn[:, 40:] = score, np.nan
    lists, counts = np.zeros((3, 8), np.uint64), np.zeros(3, np.int32)
    run("filter", 1, [tile_mn, *map(np.int32, (3, 40, 48, 0, 0)), row, column, np.full(3, 1e30, np.float32), None, None,
                      np.int64(0), lists, counts, np.int32(8), None, None, None, None, np.int32(0)],
        SCORE="float16" if kind == np.float16 else "float")  # fmt: skip
    np.testing.assert_array_equal(counts, 1)
    np.testing.assert_array_equal(lists[:, 0], key_of(np.inf, 4))


def test_scores_in_float32_are_bounds_as_they_are(run):
    score = np.random.default_rng(2).standard_normal((5, 72)).astype(np.float32)
    row, column = np.tile(np.float32([0, 0, 1, 1]), (5, 1)), np.tile(np.float32([1, 0, 0, 0]), (72, 1))
    lists, counts, threshold = np.zeros((5, 72), np.uint64), np.zeros(5, np.int32), score[:, 7].copy()
    run("filter", 1, [score, *map(np.int32, (5, 72, 72, 0, 0)), row, column, threshold, None, None, np.int64(0), lists,
                      counts, np.int32(72), None, None, None, None, np.int32(0)], SCORE="float")  # fmt: skip
    for i in range(5):
        wanted = key_of(score[i], range(72))[score[i] >= score[i, 7]]
        np.testing.assert_array_equal(held(lists, counts, i), np.sort(wanted))


@pytest.mark.parametrize("by_column", [False, True])
def test_tighten_raises_thresholds_and_drops(by_column, run):
    rng = np.random.default_rng(4 + by_column)
    m, n, capacity, k = 6, 600, 300, 7
    row, column, margin, _, upper = tile(rng, n if by_column else m, m if by_column else n)
    offset, slack = whole(rng, n), whole(rng, m, low=0, high=2)
    one, parts = np.float32, column[:, 3] * row[:, None, 2]
    below = (one(2.000001) * margin + one(TWICE_ROUNDED) * np.abs(upper - parts - margin) + one(SLOP) * np.abs(upper)
             + one(RAISED_TWICE) * np.abs(parts) + one(LEAST_TWICE) * row[:, None, 2])  # fmt: skip
    low = upper - below
    if by_column:
        upper = np.float32(upper * row[:, 3:] + offset[:, None])
        low = upper - row[:, 3:] * below - one(SLOP) * np.abs(upper) - one(RAISED_TWICE) * np.abs(offset)[:, None]
        upper, low = upper.T, low.T
    assert low.dtype == np.float32
    count = np.array([300, 5, 7, 301, 0, 257], np.int32)  # fewer than k, exactly k, one lost
    before = np.full(m, LOWEST, np.float32)
    before[5] = 1e30
    partner = np.stack([rng.permutation(n)[:capacity] for _ in range(m)])
    keys = np.stack([key_of(upper[i, partner[i]], partner[i]) for i in range(m)])
    made, threshold, counts, lost = keys.copy(), before.copy(), count.copy(), np.full(m, -1, np.int32)
    own, other = (column, row) if by_column else (row, column)
    sizes = map(np.int32, (capacity, k))
    run("tighten", m, [made, counts, *sizes, own, other, offset, slack, threshold, lost], TURNED=int(by_column))
    np.testing.assert_array_equal(lost, np.where(count > capacity, 1, -1))
    for i in range(m):
        at = partner[i, : min(count[i], capacity)]
        floor = max(before[i], np.sort(low[i, at])[-k] - slack[i]) if len(at) >= k else before[i]
        stays = upper[i, at] >= floor
        if not by_column:
            assert threshold[i] == floor
        elif threshold[i] != floor:  # it comes back from the turned bound by a division
            assert abs(threshold[i] - floor) <= 1e-6 * (np.abs(upper[i, at]).max() + np.abs(offset).max())
            continue
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
    count = np.array([300, 299, 0, 305], np.int32)
    found = np.zeros((m, k)), np.zeros((m, k), np.int64)
    step, total, base = 7, 5000, 10**12
    before = np.full((m, k), np.inf), np.full((m, k), -1)
    before[0][1, : k // 2], before[1][1, : k // 2] = np.sort(whole(rng, k // 2)), 3 * np.arange(k // 2)
    order_of = np.int32(capacity), np.uint32(step), np.uint32(total), np.int64(base)
    run("order", m, [key_of(rng.random((m, capacity)), index), value, count, *order_of, *before, np.int32(k), *found])
    for i in range(m):
        size, early = min(count[i], capacity), k // 2 if i == 1 else 0
        values = np.r_[value[i, :size], before[0][i, :early]]
        rows = np.r_[base + index[i, :size] * step % total, before[1][i, :early]]
        order = np.lexsort((rows, values))[:k]
        empty = k - len(order)
        np.testing.assert_array_equal(found[0][i], np.r_[values[order], np.full(empty, np.inf)])
        np.testing.assert_array_equal(found[1][i], np.r_[rows[order], np.full(empty, -1)])
