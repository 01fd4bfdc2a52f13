"""The direct SIMD loops: to the bit the canonical values of NumPy, or within the error that they state."""

import warnings

import numpy as np
import pytest

from cases import METRICS, SOME_QUERIES, arrays, metric_kwargs
from crossmodal_fast.kernels.tiles import bits, blocks, direct, metrics, nearness, simd, tile
from crossmodal_fast.kernels.tiles.jit import entry
from crossmodal_fast.kernels.tiles.rows import Rows
from grids import naming, thinned

ROWS, COLUMNS, UNTOUCHED = 6, 16, -7.0  # of a tile
EXACT = tuple(name for name in METRICS if name not in ("minkowski", "jensenshannon"))
WIDTHS = (128, 256, 512)  # LLVM splits what the CPU has not
POWERS = (0.0625, 0.3, 0.5, 1.5, 2.5, 3.0, 7.0, 7.3, 8.5, 64.0)


def taken(rows):
    """As the engine hands them on: bool, float32 or float64."""
    rows = np.asarray(rows)
    return rows if rows.dtype == bool else Rows("x", rows, False).unchecked(0, len(rows))


def values(metric, x, y, lane_bits=None):
    """Values of all pairs by the loops."""
    x, y = taken(x), taken(y)
    if metric.name == "hamming" and not direct.packs(metric, x.dtype, y.dtype):
        x, y = (rows.astype(np.float32) if rows.dtype == bool else rows for rows in (x, y))
    (left, x_stat), (right, y_stat) = direct.prepared(metric, x), direct.prepared(metric, y)
    assert left.flags.c_contiguous
    assert right.flags.c_contiguous
    parameter = nearness.parameter(metric) if nearness.covers(metric) else 0.0
    fill, held = direct.filler(metric, left.dtype.name, right.dtype.name, lane_bits), np.empty((ROWS, COLUMNS))
    table = blocks.table(left, right, (x_stat, y_stat), x.shape[1], parameter, held)
    value = np.empty((len(x), len(y)))
    for i in range(0, len(x), ROWS):
        for j in range(0, len(y), COLUMNS):
            here = value[i : i + ROWS, j : j + COLUMNS]
            held[:] = UNTOUCHED
            fill(table.ctypes.data, i, j, *here.shape)
            here[:] = held[: here.shape[0], : here.shape[1]]
            assert (held[here.shape[0] :] == UNTOUCHED).all()
            assert (held[:, here.shape[1] :] == UNTOUCHED).all()
    return value


def law(metric, x, y):
    return metrics.block(metric, *(taken(rows).astype(np.float64) for rows in (x, y)))


def same(value, expected):
    """To the bit, the sign of zero included; any NaN is NaN."""
    np.testing.assert_array_equal(np.isnan(value), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(value[number].view(np.int64), expected[number].view(np.int64))


def within_error(metric, value, expected, d):
    """By the stated error; at the ceiling the true value may be anything above."""
    relative, absolute = nearness.error(metric, d)
    assert 0 < relative + absolute < 1e-3, "an error that says nothing"
    np.testing.assert_array_equal(np.isnan(value), np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        close = np.abs(value - expected) <= relative * expected + absolute
        beyond = (value >= nearness.ceiling(metric)) & (expected >= value * (1 - relative))
    odd = ~(close | beyond | np.isnan(expected) | (value == expected))
    assert not odd.any(), (value[odd][:3], expected[odd][:3], relative, absolute)


def agree(metric, x, y, lane_bits=None):
    value, expected = values(metric, x, y, lane_bits), law(metric, x, y)
    if metric.name in EXACT:
        assert direct.covers(metric)
        same(value, expected)
    else:
        within_error(metric, value, expected, x.shape[1])


@pytest.mark.parametrize("metric", METRICS)
def test_every_case(metric):
    for name in SOME_QUERIES:
        x, y = arrays(name, metric)
        with naming(name):
            agree(metrics.metric(metric, x.shape[1], metric_kwargs(metric)), x, y)


def rows_of(count, d, seed, dtype=np.float64):
    """Magnitudes from 1e-3 to 1e3, zeros and repeated entries among them."""
    rng = np.random.default_rng(seed)
    rows = np.abs(rng.standard_normal((count, d))) * 10.0 ** rng.integers(-3, 4, (count, d))
    rows[rng.random(rows.shape) < 0.2] = 0.0
    rows[rng.random(rows.shape) < 0.2] = 1.5
    rows[count // 2] = 0.0
    return rows.astype(dtype)


@pytest.mark.parametrize(("metric", "lane_bits"), thinned(3, METRICS, WIDTHS))
def test_every_width_and_tail(metric, lane_bits):
    for d in (*range(1, 18), 40, 71):
        x, y = (rows_of(count, d, d + count, np.float32) for count in (7, 19))
        agree(metrics.metric(metric, d, metric_kwargs(metric)), x, y, lane_bits)


@pytest.mark.parametrize(
    ("metric", "kinds"), thinned(3, METRICS, ["float32-float64", "float64-float32", "float64-float64"])
)
def test_every_dtype_and_shape_of_tile(metric, kinds):
    kinds = kinds.split("-")
    for m, n in ((1, 1), (1, 5), (2, 4), (3, 16), (6, 17), (13, 33)):
        x, y = rows_of(m, 11, m, kinds[0]), rows_of(n, 11, n, kinds[1])
        agree(metrics.metric(metric, 11, metric_kwargs(metric)), x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_finite(metric, dtype):
    x, y = rows_of(9, 19, 1, dtype), rows_of(21, 19, 2, dtype)
    signs = (np.inf,) if metric in ("hellinger", "jensenshannon") else (np.inf, -np.inf)
    for at, number in enumerate((np.nan, *signs)):
        x[2 * at, (3, 18)[at % 2]] = number  # in a whole step and in the tail
        y[3 * at + 1, 3] = number
        y[3 * at + 2] = number
    agree(metrics.metric(metric, 19, metric_kwargs(metric)), x, y)


def test_chebyshev_keeps_a_nan_whatever_follows():
    x, y = np.zeros((1, 64)), np.tile(np.linspace(0, 9, 64), (64, 1))
    np.fill_diagonal(y, np.nan)
    assert np.isnan(values(metrics.metric("chebyshev", 64), x, y)).all()


# ------------------------------------------------------------------------------------------------------------- bounds


def wide(count, d, seed, decades):
    """Magnitudes over many decades in a row, over more between the rows; zeros, equal and nearly equal rows."""
    rng = np.random.default_rng(seed)
    exponent = rng.uniform(-decades, decades, (count, 1)) + rng.uniform(-decades / 9, decades / 9, (count, d))
    with np.errstate(over="ignore", under="ignore"):
        rows = np.abs(rng.standard_normal((count, d))) * 10.0**exponent
    rows[rng.random(rows.shape) < 0.1] = 0.0
    rows[1] = rows[0]
    rows[2] = rows[0] * (1 + 1e-15)
    rows[3] = 0.0
    return rows


@pytest.mark.parametrize("power", POWERS)
def test_minkowski_stays_within_its_error(power):
    metric = metrics.metric("minkowski", 37, {"p": power})
    assert nearness.covers(metric)
    for seed, decades in enumerate((1, 20, 100, 290)):
        x, y = wide(12, 37, seed, decades), wide(30, 37, seed + 9, decades)
        y[:12] = np.where(np.arange(37) % 5 == 0, x * (1 + 2.0**-30), x)  # small differences of large numbers
        within_error(metric, values(metric, x, y), law(metric, x, y), 37)


@pytest.mark.parametrize("power", POWERS)
def test_minkowski_at_the_ends_of_float64(power):
    """Gaps whose powers, sums or roots come next to overflow and underflow, and subnormal ones."""
    metric = metrics.metric("minkowski", 8, {"p": power})
    edges = [np.finfo(np.float64).max, 2.0**1022, 2.0**-1022, 2.0**-1074, 3 * 2.0**-1074, 1.0, 0.0]
    with np.errstate(over="ignore", under="ignore"):
        for limit in np.array([1024.0, 1023.0, 1021.0, -1021.0, -1023.0, -1074.0]):
            for share in (1 - 2.0**-50, 1 - 2.0**-30, 1.0, 1 + 2.0**-50):
                edges += [np.exp2(limit / power) * share, np.exp2(limit * power) * share]
    edges = np.array([edge for edge in edges if np.isfinite(edge)])
    y = np.zeros((3 * len(edges), 8))
    y[: len(edges), 3] = edges
    y[len(edges) : 2 * len(edges)] = edges[:, None]
    y[2 * len(edges) :, ::3] = edges[:, None]
    x = np.zeros((1, 8))
    within_error(metric, values(metric, x, y), law(metric, x, y), 8)


@pytest.mark.parametrize("base", [None, 2.0, 1.001])
@pytest.mark.parametrize("d", [1, 2, 23, 700])
def test_jensenshannon_stays_within_its_error(base, d):
    metric = metrics.metric("jensenshannon", d, {"base": base} if base else None)
    for seed, decades in enumerate((1, 20, 290)):
        x, y = wide(11, d, seed, decades), wide(30, d, seed + 9, decades)
        y[:11] = x * (1 + 1e-9 * np.random.default_rng(seed).standard_normal(x.shape))
        y[11] = 2.0 ** -np.arange(d, dtype=float)
        within_error(metric, values(metric, x, y), law(metric, x, y), d)


def test_jensenshannon_of_the_least_share():
    """The middle of 5e-324 and 0 rounds to 0: NumPy's term is infinite."""
    metric = metrics.metric("jensenshannon", 3)
    x, y = np.array([[1, 5e-324, 0.0]]), np.array([[1, 0, 0.0], [1, 5e-324, 0], [1, 1e-323, 0], [0, 0, 0]])
    expected = law(metric, x, y)
    assert np.isinf(expected[0, [0, 3]]).all()
    np.testing.assert_array_equal(values(metric, x, y)[0, [0, 3]], np.inf)
    np.testing.assert_allclose(values(metric, x, y)[0, [1, 2]], expected[0, [1, 2]], atol=nearness.error(metric, 3)[1])


def test_the_error_is_not_far_too_wide():
    """Random rows: a margin of a millionth at d = 64."""
    metric = metrics.metric("jensenshannon", 64)
    assert nearness.error(metric, 64)[1] < 1e-6
    assert all(nearness.error(metrics.metric("minkowski", 64, {"p": p}))[0] < 1e-8 for p in POWERS)
    assert all(nearness.error(metrics.metric("minkowski", 64, {"p": p}))[1] < 1e-4 for p in POWERS)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("seuclidean", {"V": np.ones(3)}), ("cityblock", {"w": np.ones(3)}), ("minkowski", {"p": 65.0}),
        ("minkowski", {"p": 0.01}), ("jensenshannon", {"base": 0.5}), ("jensenshannon", {"base": 1.0}),
    ],
)  # fmt: skip
def test_what_is_not_covered(name, keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = metrics.metric(name, 3, keywords)
        assert not direct.covers(metric)
        assert not nearness.covers(metric)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_covered(name):
    metric = metrics.metric(name, 3, metric_kwargs(name))
    assert direct.covers(metric) == (name in EXACT)
    assert nearness.covers(metric) != direct.covers(metric)


def test_kernels_that_differ_have_other_keys():
    """Those of euclidean and sqeuclidean do not."""
    keys = {
        filler_of(metrics.metric(name, 3, keywords))._cache.name
        for name, keywords in [
            *((n, None) for n in METRICS if n != "minkowski"),
            *(("minkowski", {"p": p}) for p in POWERS),
        ]
    }
    assert len(keys) == len(METRICS) - 2 + len({p for p in POWERS if 2 * p == int(2 * p) and p <= 8.5}) + 2


@pytest.mark.parametrize("name", METRICS)
def test_one_filler_for_all_calls(name):
    """Metrics with parameters are new objects in each call: none may bring a kernel of its own."""
    one, other = (metrics.metric(name, 9, metric_kwargs(name)) for _ in range(2))
    assert filler_of(one) is filler_of(other)


def filler_of(metric):
    reals = ("uint64",) * 2 if direct.packs(metric, bool, bool) else ("float32",) * 2
    return direct.filler(metric, *reals)


# --------------------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("d", [1, 7, 8, 63, 64, 65, 200])
@pytest.mark.parametrize("name", ["hamming", "jaccard"])
def test_bits(name, d):
    rng = np.random.default_rng(d)
    x, y = rng.random((7, d)) < 0.3, rng.random((37, d)) < 0.3
    x[0], y[1], y[2] = False, False, True
    words, ones = bits.packed(x)
    assert words.shape == (7, -(-d // 64))
    np.testing.assert_array_equal(ones, x.sum(axis=1))
    agree(metrics.metric(name, d), x, y)


def test_hamming_of_bool_with_numbers():
    rng = np.random.default_rng(0)
    agree(metrics.metric("hamming", 20), rng.random((7, 20)) < 0.5, rng.integers(0, 2, (9, 20)).astype(np.float32))


def test_rows_of_float32_are_not_copied():
    rows = rows_of(4, 9, 0, np.float32)
    for name in ("cityblock", "euclidean", "dot", "hamming", "braycurtis"):
        assert direct.prepared(metrics.metric(name, 9), rows)[0] is rows


# ------------------------------------------------------------------------------------------------------- machine code


@pytest.mark.skipif(simd.runnable()[0].bits < 256, reason="vectors of 256 bits are in AVX2")
@pytest.mark.parametrize(("name", "wanted"), [("cityblock", "vandpd"), ("canberra", "vdivpd"), ("euclidean", "vmulpd")])
def test_the_loop_is_packed_and_has_no_fma(name, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "crossmodal_fast.kernels.tiles.jit.folder", lambda: tmp_path
    )  # assembly is not kept with a kernel
    tile.filler.cache_clear()
    fill = direct.filler(metrics.metric(name, 20), "float32", "float32")
    entry(fill, blocks.ARGUMENTS)
    tile.filler.cache_clear()
    text = fill.inspect_asm(fill.signatures[0])
    loop = max(loops(text), key=lambda lines: sum("vsubpd" in line for line in lines))
    for instruction in ("vcvtps2pd", "vsubpd", "vaddpd", wanted):
        assert any(instruction in line and "mm" in line for line in loop), instruction
    assert not any("call" in line for line in loop)
    assert "vfmadd" not in text
    assert "vfmsub" not in text


def loops(text):
    """Blocks of assembly that end in a jump to their own label."""
    label, lines = "", []
    for line in text.splitlines():
        if line.startswith(".LBB"):
            label, lines = line.partition(":")[0], []
        lines.append(line)
        if line.lstrip().startswith("j") and line.split()[-1] == label:
            yield lines
