"""`direct.cu` and `derive.cu` on the emulator: the values of the law, bit for bit, and keys that are sure to hold."""

import numpy as np
import pytest

import cases
import simt
from crossmodal_fast.kernels.tiles import metrics, nearness, reference
from crossmodal_fast.kernels.tiles.cuda import direct
from simt.driver import Emulated

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

LOWEST = np.finfo(np.float32).min
RNG = np.random.default_rng(41)


def every(*usual):
    """Parameters of a test: every metric that comes to the bit, all but the usual ones heavy."""
    exact = (name for name in direct.METRIC if name not in direct.NEAR)
    return [pytest.param(name, marks=() if name in usual else pytest.mark.heavy) for name in exact]


SELDOM = "bfloat16", "uint8", "bool"
METRICS = every("correlation", "canberra", "braycurtis")  # the others differ from them in a line


def numbers(rows):
    """Rows as a search reads them where their own dtype has no kernel."""
    exact = rows.dtype.name in ("float16", "bfloat16", "float32", "int8", "uint8", "bool")
    return rows.astype(np.float32 if exact else np.float64)


class Launching(Emulated):
    """Launches as it is told to."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def launch(self, kernel, grid, block, arguments, **macros):
        self.run(kernel, grid, arguments, block=block, **macros)


def held(driver, metric, rows, step=1):
    """Host rows on the device, as they are."""
    bits = rows.view(np.uint16) if rows.dtype.name == "bfloat16" else rows
    return direct.on_device(driver, driver.array(bits), metric, step=step)


def sides(driver, metric, *rows):
    return [held(driver, metric, part) for part in rows]


def filled(fill, driver, x, y, name, dtype, **more):
    metric = metrics.metric(name, x.shape[1])
    out = np.full((len(x), len(y)), -7.0, dtype)
    fill(*sides(driver, metric, x, y), out, **more)
    return out


def wanted(x, y, name):
    value = reference.canonical(x, y, name)
    return np.sqrt(value) if name == "euclidean" else value


def same(x, y, name, driver=None):
    """NaN is NaN, of either sign."""
    found = filled(direct.values, driver or Emulated(), x, y, name, np.float64)
    np.testing.assert_array_equal(found, wanted(x, y, name))


@pytest.mark.parametrize("name", METRICS)
def test_hard_rows_give_the_values_of_the_law(name):
    for case in cases.SOME_QUERIES:
        x, y = (numbers(rows) for rows in cases.arrays(case, name))
        dtype = np.promote_types(x.dtype, y.dtype)
        same(x.astype(dtype), y.astype(dtype), name)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.heavy)])
def test_every_edge_of_tiles_and_steps(name, dtype):
    for m, n, d in ((33, 65, 64), (1, 31, 65), (2, 2, 1), (3, 5, 130), (32, 32, 8)):
        x, y = (np.abs(RNG.standard_normal((rows, d))).astype(dtype) for rows in (m, n))
        x[0, : d // 2] = 0
        y[::3] = np.round(y[::3])
        y[0] = x[-1]
        same(x, y, name)


@pytest.mark.parametrize("name", METRICS)
def test_rows_that_are_not_finite(name):
    x, y = (np.abs(RNG.standard_normal((rows, 11))).astype(np.float32) for rows in (5, 9))
    x[1, 0], x[3] = np.nan, np.inf
    y[2, 9], y[4, 3], y[8] = np.nan, np.inf, 0
    same(x, y, name)


@pytest.mark.parametrize("name", every("cityblock"))
@pytest.mark.parametrize("case", ["float16", "int8", *(pytest.param(c, marks=pytest.mark.heavy) for c in SELDOM)])
def test_rows_are_taken_as_they_are(case, name):
    x, y = cases.arrays(case)
    same(x, y, name)


def pairs(name, run):
    """More than one tile of rows, columns and features."""
    rng = np.random.default_rng(8)
    x, y = (np.abs(rng.standard_normal((rows, 67))) for rows in (33, 35))
    same(x, y, name, Launching(run))


@pytest.mark.parametrize(("flavour", "seed"), [("race", 3), ("address", 4)])
@pytest.mark.parametrize("name", every("cityblock"))
def test_no_race_and_no_stray_access(flavour, seed, name):
    pairs(name, Emulated(flavour, seed).run)


@pytest.mark.parametrize("name", every("hamming"))
def test_values_are_rounded_once_and_the_rest_of_a_row_stays(name):
    x, y = (RNG.integers(0, 3, (rows, 13)) * np.float32(1e-20) for rows in (5, 7))
    driver, metric = Emulated(), metrics.metric(name, 13)
    out = np.full((5, 9), -7.0, np.float32)
    direct.values(*sides(driver, metric, x, y), out)
    np.testing.assert_array_equal(out[:, :7], wanted(x, y, name).astype(np.float32))
    np.testing.assert_array_equal(out[:, 7:], -7.0)


def rounded_up(number):
    nearest = number.astype(np.float32)
    return np.where(nearest < number, np.nextafter(nearest, np.float32(np.inf)), nearest)


def raised(name, biased, run):
    rng = np.random.default_rng(9)
    x, y = (np.abs(rng.standard_normal((rows, 9))) * 10.0 ** rng.integers(-42, 42, (rows, 1)) for rows in (20, 40))
    x[3], y[::9], y[5] = np.nan, x[0], np.inf
    bias = (rng.standard_normal(20), rng.standard_normal(40)) if biased else None
    found = filled(direct.keys, Launching(run), x, y, name, np.float32, bias=bias)
    sums = bias[0][:, None] + bias[1] if biased else None
    with np.errstate(all="ignore"):
        key = rounded_up(-metrics.ordered(metrics.metric(name, 9), reference.canonical(x, y, name), sums))
    np.testing.assert_array_equal(found, np.where(key > LOWEST, key, LOWEST))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", every("cityblock"))
def test_keys_are_raised_values(name, biased):
    raised(name, biased, Emulated().run)


def near_keys(name, keywords, x, y, bias=None):
    """(keys, what they stand for) of a metric that comes near: each key holds, or is infinite."""
    metric, d = metrics.metric(name, x.shape[1], keywords), x.shape[1]
    driver, found = Emulated(), np.full((len(x), len(y)), -7.0, np.float32)
    direct.keys(*sides(driver, metric, x, y), found, bias=bias)
    sums = None if bias is None else bias[0][:, None] + bias[1]
    with np.errstate(all="ignore"):
        order = -metrics.ordered(metric, metrics.block(metric, x.astype(np.float64), y.astype(np.float64)), sums)
        wide = found.astype(np.float64)
        low = wide - 2.0**-20 * np.abs(wide) - np.float32(direct.slack(metric, d))
    assert (np.isnan(order) | (wide >= np.maximum(order, LOWEST))).all()
    assert (np.isposinf(found) | (found == LOWEST) | (low <= order)).all()
    return found, order


NEAR = [
    ("minkowski", {"p": 7.3}), pytest.param("jensenshannon", None, marks=pytest.mark.heavy),
    *(pytest.param("minkowski", {"p": p}, marks=pytest.mark.heavy) for p in (1 / 16, 0.5, 0.9, 3, 8.5, 10.5, 64)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keywords"), NEAR)
def test_keys_of_near_values_hold_on_hard_rows(name, keywords):
    for case in cases.SOME_QUERIES:
        x, y = (numbers(rows) for rows in cases.arrays(case, name))
        dtype = np.promote_types(x.dtype, y.dtype)
        near_keys(name, keywords, x.astype(dtype), y.astype(dtype))


@pytest.mark.parametrize(("name", "keywords"), NEAR)
def test_keys_of_near_values_tell_rows_apart(name, keywords):
    x, y = (np.abs(RNG.standard_normal((rows, 40))).astype(np.float32) for rows in (9, 60))
    found, order = near_keys(name, keywords, x, y)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, order, rtol=1e-4)


@pytest.mark.parametrize(("name", "keywords"), NEAR)
def test_keys_of_near_values_under_biases_of_all_sizes(name, keywords):
    x, y = (np.abs(RNG.standard_normal((rows, 12))) for rows in (4, 40))
    value = metrics.block(metrics.metric(name, 12, keywords), x, y)
    for size in (1e-300, 1e-16, 1.0, 1e16, 1e300):
        near_keys(name, keywords, x, y, (size * RNG.standard_normal(4), size * RNG.standard_normal(40)))
    near_keys(name, keywords, x, y, (np.zeros(4), -value[0] * (1 + 1e-15)))  # nearly cancel the values


@pytest.mark.parametrize(("name", "keywords"), NEAR)
def test_keys_of_near_values_that_overflow_or_are_none(name, keywords):
    x, y = (np.abs(RNG.standard_normal((rows, 8))) for rows in (6, 30))
    y[::3] *= 10.0 ** np.linspace(10, 307, 10)[:, None]
    x[2:4] *= 1e200
    x[4, 2], x[5], y[1, 1], y[2] = np.nan, np.inf, np.inf, 0
    near_keys(name, keywords, x, y)


def test_an_error_that_is_too_small_is_seen(monkeypatch):
    y = np.abs(RNG.standard_normal((20, 300)))
    y[1:] = y[0] * (1 + 2.0**-50 * RNG.integers(0, 9, (19, 300)))
    near_keys("jensenshannon", None, y, y)
    monkeypatch.setattr(nearness, "error", lambda *of: (0.0, 0.0))
    with pytest.raises(AssertionError):
        near_keys("jensenshannon", None, y, y)


def derived(name, run):
    rng = np.random.default_rng(10)
    rows = np.abs(rng.standard_normal((9, 19))) * 10.0 ** rng.integers(-300, 300, (9, 1))
    rows[3], rows[4], rows[5] = 0.123, 0, 5e-324  # the mean of 0.123 is another number
    metric = metrics.metric(name, 19)
    made = held(Launching(run), metric, rows)
    prepared = metric.rows(rows)
    np.testing.assert_array_equal(made.rows, prepared)
    if name == "jensenshannon":
        np.testing.assert_allclose(made.stat, nearness.entropies(metric, prepared), rtol=1e-14)
    else:
        np.testing.assert_array_equal(made.stat, metric.stat(prepared) if metric.stat else 0.0)


@pytest.mark.parametrize("name", direct.WAY)
def test_rows_are_derived_as_the_metric_prepares_them(name):
    derived(name, Emulated("race").run)
