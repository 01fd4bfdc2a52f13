"""Sides of the integer scan from numbers of rows made by hand: units, what has no bound, offsets, margins, goals."""

from fractions import Fraction

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import encode, metrics, sides, simd
from crossmodal_fast.kernels.tiles.panels import Panels
from crossmodal_fast.kernels.tiles.rows import Rows

D, WIDTH = 6, 4
FORMS = {"sqeuclidean": "l2", "cosine": "cosine", "dot": "dot"}
RAISED = 1 + 2.0**-20  # of every margin
GROWTH = (D + 21) * 2.0**-53 / (1 - 4 * (D + 21) * 2.0**-53) + 3 * (D + 21) * 2.0**-53  # test_error_numbers.py
CLOSE = {"rtol": 2.0**-23, "atol": 0}  # one rounding to float32


def rows(values, dtype=np.float64):
    return Rows("gallery", np.asarray(values, dtype), False)


def metric(name, d=D):
    return metrics.metric(name, d)


def measured(form="l2", units=(4.0, 4.0)):
    return sides.Measure(form, False, np.zeros(D), units)


def panels(scale, residual, norm, total=None, kind="int8"):
    """Panels of WIDTH whose codes nobody looks at."""
    count = -(-len(scale) // WIDTH)
    numbers = np.zeros((3, count * WIDTH))
    numbers[:, : len(scale)] = scale, residual, norm
    sums = np.zeros(count * WIDTH, np.int64)
    if total is not None:
        sums[: len(total)] = total
    return Panels(np.zeros((count, 2, WIDTH, 2), simd.KINDS[kind].code), *numbers, sums)


# -------------------------------------------------------------------------------------------------------------- measure


def test_the_unit_is_the_power_of_two_next_to_the_median_norm():
    for norms, unit in (
        ([3.0], 4), ([4.0], 8), ([1.0, 3.0, 100.0], 4), ([0.0, 0.0, 5.0], 8), ([np.inf, np.nan, 0.3], 0.5), ([0.0], 1),
        ([], 1), ([2.0**-30], 2.0**-29), ([1e200, 1e200, 5.0], 8),  # whose squares overflow
    ):  # fmt: skip
        found = sides._unit(rows(np.reshape(norms, (-1, 1))), np.zeros(1))
        assert found == unit
    assert sides._unit(rows([[10.0, 4.0], [10.0, 4.0]]), np.array([7.0, 0.0])) == 8
    assert isinstance(sides._unit(rows([[3.0]]), np.zeros(1)), float)


def test_what_a_key_is_made_of():
    random = np.random.default_rng(0)
    y = 3 * random.standard_normal((40, D)) + np.linspace(20, 30, D)
    x = random.standard_normal((9, D))
    expected = np.median(y, axis=0).astype(np.float32).astype(float)
    for name in ("euclidean", "sqeuclidean"):
        found = sides.measure(metric(name), rows(y), rows(x))
        assert (found.form, found.own_mean) == ("l2", False)
        np.testing.assert_array_equal(found.centre, expected)
        unit = sides._unit(rows(y), expected)
        assert found.units == (unit, unit)
        assert unit in (4.0, 8.0)
        assert found.unit == unit * unit
    for x_given, units in ((rows(x), (4.0, 64.0)), (None, (64.0, 64.0))):
        found = sides.measure(metric("dot"), rows(y), x_given)
        assert (found.form, found.own_mean, found.units) == ("dot", False, units)
        assert not found.centre.any()
    for name in ("cosine", "correlation"):
        found = sides.measure(metric(name), rows(y), rows(x))
        assert (found.form, found.own_mean, found.units) == ("cosine", name == "correlation", (1.0, 1.0))
        assert not found.centre.any()
        assert found.centre.shape == (D,)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int64, np.float32])
def test_centres_of_whole_numbers_are_whole(dtype):
    y = np.tile(np.array([[60], [63]]), (3, D))
    centre = sides.measure(metric("sqeuclidean"), rows(y, dtype)).centre
    assert centre.tolist() == ([61.5] * D if dtype == np.float32 else [62.0] * D)


def test_a_centre_that_float32_does_not_hold():
    y = np.full((5, D), 1e60) + 1e50 * np.arange(5)[:, None]
    assert not sides.measure(metric("sqeuclidean"), rows(y)).centre.any()


def test_queries_of_a_kept_gallery():
    x = rows([[3.0] + [0.0] * (D - 1)])
    dot, l2 = measured("dot", (16.0, 8.0)), measured("l2", (8.0, 8.0))
    assert sides.with_queries(dot, x).units == (4.0, 8.0)
    assert sides.with_queries(dot, x).form == "dot"
    assert sides.with_queries(l2, x) is l2


# ---------------------------------------------------------------------------------------------------- what has no bound


@pytest.mark.parametrize("side", ["queries", "columns"])
@pytest.mark.parametrize("form", ["l2", "dot"])
def test_rows_of_another_order_of_magnitude(form, side):
    """36 bits of the unit, both ends excluded; zero rows have a bound, rows without a norm none."""
    norm = 4.0 * 2.0 ** np.array([35.9, 36, -35.9, -36, 0, 0, 40, -40])
    norm[4:6] = 0, np.nan
    odd = [False, True, False, True, False, True, True, True]
    found = panels(norm / 100 + (norm == 0), norm / 1000, norm)
    if side == "queries":
        assert sides.queries(found, measured(form), "int16", 8).lost.tolist() == odd
    else:
        odd[0] = True  # far larger than the others
        assert sides.columns(found, measured(form), "int16", 8).odd.tolist() == odd


@pytest.mark.parametrize("side", [sides.queries, sides.columns])
def test_angles_have_no_order_of_magnitude(side):
    norm = np.array([1e200, 1e-200, 0.0, np.nan, 1.0])
    found = side(panels(norm / 100 + (norm == 0), norm / 1000, norm), measured("cosine", (1.0, 1.0)), "int8", 5)
    assert (found.lost if side is sides.queries else found.odd).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("side", [sides.queries, sides.columns])
def test_biases_that_float32_does_not_hold(side):
    """In units of the key: 2**72, the first that is too large; below 2**-100 the first that is too small, but for 0."""
    found = panels(np.full(8, 0.04), np.full(8, 0.001), np.full(8, 4.0))
    bias = 2.0 ** np.array([71.9, 72, -99.9, -100, -100.1, 0, 0, 80]) * 16
    bias[5:7] = 0, np.nan
    bias[3] = -bias[3]
    found = side(found, measured("dot"), "float64", 8, bias)
    odd = (found.lost if side is sides.queries else found.odd).tolist()
    assert odd == [False, True, False, False, True, False, True, True]


@pytest.mark.parametrize("count", [40, 320])
def test_few_large_rows_do_not_widen_the_margins_of_their_neighbours(count):
    """Norms beyond 64 units, one in 64 and one more: else they are rows as all others."""
    most = count // 64 + 1
    for large in (most, most + 1):
        norm = np.full(count, 4.0)
        norm[:large] = 4.0 * 65
        found = sides.columns(panels(norm / 100, norm / 1000, norm), measured(), "int16", count)
        assert found.odd.sum() == (large if large == most else 0)
    norm[:] = 4.0
    norm[0] = 4.0 * 64
    assert not sides.columns(panels(norm / 100, norm / 1000, norm), measured(), "int16", count).odd.any()


def test_rows_whose_numbers_leave_float32():
    scale, norm = np.array([1e-45, 1e40, 1.0, 1e-30]), np.full(4, 4.0)
    lost = sides.queries(panels(scale, norm / 1e3, norm), measured("dot"), "int8", 4).lost
    assert lost.tolist() == [True, False, False, False]
    assert not sides.queries(panels(scale, norm / 1e3, norm), measured("dot"), "float64", 4).lost.any()
    odd = sides.columns(panels(scale, norm / 1e3, norm), measured("dot"), "int8", 4).odd
    assert odd.tolist() == [False, True, False, False]
    large = panels(np.array([4e-18, 4e-17]), np.zeros(2), np.full(2, 4 * 2.0**35.9))
    assert sides.queries(large, measured("l2"), "int8", 2).lost.tolist() == [True, False]  # by p / scale
    residual = np.array([1.0, 1e41, 1.0, 1.0])
    for side in (sides.queries, sides.columns):
        found = side(panels(np.ones(4), residual, norm), measured("dot"), "int8", 4)
        assert (found.lost if side is sides.queries else found.odd).tolist() == [False, True, False, False]


# -------------------------------------------------------------------------------------------------------------- queries

SCALE, RESIDUAL, NORM = (np.array(part) for part in ([0.03, 0.5, 0.0625], [0.01, 0.7, 0.0], [3.0, 11.0, 0.0]))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bias", [None, np.array([5.0, -300.0, 0.0])])
@pytest.mark.parametrize("form", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("precision", ["int8", "float64"])
def test_queries(precision, form, bias, symmetric):
    units = {"l2": (4.0, 4.0), "dot": (4.0, 32.0), "cosine": (1.0, 1.0)}[form]
    measure, given = measured(form, units), panels(SCALE, RESIDUAL, NORM)
    found = sides.queries(given, measure, precision, 3, bias, symmetric)
    size = np.where(NORM > 0, NORM, 1.0) if form == "cosine" else units[0]
    scale, residual, norm = SCALE / size, RESIDUAL / size, NORM / size
    offset = norm**2 / 2 * units[0] / units[1] if form == "l2" else np.zeros(3)
    weight = offset if form == "l2" else np.full(3, float(form == "cosine")) * units[0] / units[1]
    if bias is not None:
        shift = {"l2": 0.5, "cosine": 1.0, "dot": -1.0}[form] * bias / (units[0] * units[1])
        offset, weight = offset + shift, weight + abs(shift) + 1 / (units[0] * units[1])
    error = GROWTH + (2.0**-20 if symmetric else 0.0)
    margin = np.stack([residual, norm + residual, error * weight], axis=1) / scale[:, None] * RAISED
    close = CLOSE if precision == "int8" else {"rtol": 1e-14}
    assert not found.lost.any()
    assert found.lost.shape == (3,)
    assert (
        found.side.margin.dtype == found.side.scale.dtype == np.dtype("float32" if precision == "int8" else "float64")
    )
    np.testing.assert_allclose(found.scale[:3], 1 / scale, rtol=1e-14)
    np.testing.assert_allclose(found.offset[:3], offset, rtol=1e-14)
    np.testing.assert_allclose(found.weight[:3], weight, rtol=1e-14)
    np.testing.assert_allclose(found.side.scale[:3], 1 / scale, **close)
    np.testing.assert_allclose(found.side.offset[:3], offset, **close)
    np.testing.assert_allclose(found.side.margin[:3], margin, **close)
    assert np.isposinf(found.side.offset[3:]).all()  # in columns no limit lets them pass
    assert found.side.codes is given.codes
    assert found.side.start.shape == (0,)
    assert found.measure is measure


def test_queries_alone_compare_no_columns():
    given = panels(SCALE, RESIDUAL, NORM)
    margin, other = (sides.queries(given, measured(), "int8", 3, None, *more).side.margin for more in ((), (True,)))
    np.testing.assert_array_equal(margin, sides.queries(given, measured(), "int8", 3, None, False).side.margin)
    assert (margin[:2, 2] < other[:2, 2]).all()


def test_queries_without_a_bound_have_numbers_that_do_no_harm():
    norm = np.array([3.0, np.nan, 2.0])
    found = sides.queries(panels(SCALE, RESIDUAL, norm), measured(), "int8", 3)
    assert found.lost.tolist() == [False, True, False]
    assert found.side.margin[1].tolist() == [0, 0, 0]
    assert (found.scale[1], found.offset[1], found.weight[1], found.side.scale[1]) == (1, 0, 0, 1)
    assert np.isposinf(found.side.offset[[1, 3]]).all()
    assert np.isfinite(found.side.offset[[0, 2]]).all()


# -------------------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize("bias", [None, np.array([5.0, -300.0, 0.0, 8.0, 1.0])])
@pytest.mark.parametrize("form", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("precision", ["int6", "int8", "float32", "float64"])
def test_columns(precision, form, bias):
    scale, residual, norm = (np.r_[part, part[:2] * 1.5] for part in (SCALE, RESIDUAL, NORM))
    units = {"l2": (4.0, 4.0), "dot": (4.0, 32.0), "cosine": (1.0, 1.0)}[form]
    given = panels(scale, residual, norm, [7, -9, 0, 1000, 3], precision)
    found = sides.columns(given, measured(form, units), precision, 5, bias)
    size = np.where(norm > 0, norm, 1.0) if form == "cosine" else units[1]
    scale, residual, norm = scale / size, residual / size, norm / size
    offset = norm**2 / 2 * units[1] / units[0] if form == "l2" else np.zeros(5)
    weight = offset
    if bias is not None:
        shift = {"l2": 0.5, "cosine": 1.0, "dot": -1.0}[form] * bias / (units[0] * units[1])
        offset, weight = offset + shift, weight + abs(shift)
    real = "float64" if precision == "float64" else "float32"
    slack = 2.0**-49 if real == "float64" else 2.0**-20
    error = slack + float(encode.growth(D, "float32" if precision == "float32" else "float64"))
    row = np.stack([norm, residual + error * (norm + residual), error * weight], axis=1) * RAISED
    close = CLOSE if real == "float32" else {"rtol": 1e-14}
    assert not found.odd.any()
    assert found.side.margin.dtype == found.side.scale.dtype == found.side.offset.dtype == real
    np.testing.assert_allclose(found.side.scale[:5], scale, **close)
    np.testing.assert_allclose(found.side.offset[:5], offset, **close)
    np.testing.assert_allclose(found.side.margin, [row[:4].max(axis=0), row[4]], **close)
    kind, machine = simd.KINDS[precision], simd.runnable()[0]
    assert found.side.start[:5].tolist() == [-machine.bump(kind) * total for total in (7, -9, 0, 1000, 3)]
    assert found.side.start.dtype == kind.total
    assert np.isposinf(found.side.offset[5:]).all()
    assert (found.side.scale[5:] == 1).all()
    assert found.side.codes is given.codes


@pytest.mark.parametrize("allowed", [None, [True, False, True, False, True]])
def test_columns_that_nobody_may_match(allowed):
    """Their numbers widen no margin; a row without a bound that nobody may match needs no canonical value."""
    norm, residual = np.array([3.0, 8.0, np.nan, np.nan, 2.0]), np.array([0.1, 9.0, 5.0, 0.1, 0.1])
    given = None if allowed is None else np.array(allowed)
    found = sides.columns(panels(np.ones(5), residual, norm), measured("dot"), "int8", 5, None, given)
    out = np.isposinf(found.side.offset[:5])
    assert found.odd.tolist() == [False, False, True, allowed is None, False]
    assert out.tolist() == ([False, False, True, True, False] if allowed is None else [False, True, True, True, False])
    assert (found.side.scale[:5][out] == 1).all()
    widest = 0.75 if allowed else 2.0
    np.testing.assert_allclose(found.side.margin[0, 0], widest, rtol=2e-6)
    np.testing.assert_allclose(found.side.margin[1, 0], 0.5, rtol=2e-6)


# ---------------------------------------------------------------------------------------------------------------- goals


@pytest.mark.parametrize("precision", ["int8", "float64"])
@pytest.mark.parametrize("bias", [None, np.array([5.0, -300.0, 0.0])])
@pytest.mark.parametrize("form", ["l2", "cosine", "dot"])
def test_goals_bound_the_scores_of_given_values(form, bias, precision):
    """((constant - worth * value) / unit + p) c, in fractions, is between; no wider than what its parts may lose."""
    units = {"l2": (4.0, 4.0), "dot": (4.0, 32.0), "cosine": (1.0, 1.0)}[form]
    found = sides.queries(panels(SCALE, RESIDUAL, NORM), measured(form, units), precision, 3, bias)
    constant, worth = {"l2": (0, Fraction(1, 2)), "cosine": (1, 1), "dot": (0, 1)}[form]
    unit = units[0] * units[1]
    row = np.array([0, 1, 2, 0, 1])
    order = np.array([2.0, -7.5, 0.0, 1e-3, 123.0])
    low, high = found.keys(row, order)
    assert low.dtype == high.dtype == found.side.scale.dtype
    for at, i in enumerate(row):
        exact = (constant - worth * Fraction(order[at])) / Fraction(unit) + Fraction(found.offset[i])
        exact *= Fraction(found.scale[i])
        assert Fraction(float(low[at])) < exact < Fraction(float(high[at]))
        share = 2 * GROWTH + 2.0**-48
        reach = share * ((constant + abs(order[at])) / unit + found.weight[i]) + 2.0**-20 * found.weight[i]
        room = 2 * reach * found.scale[i] * (1 + 1e-6)
        step = 4 * abs(np.spacing(low.dtype.type(float(exact)))) + 1e-300
        assert float(high[at]) - float(low[at]) <= room + step
        assert float(high[at]) - float(low[at]) >= room * (1 - 1e-5)


def test_goals_of_weights_alone():
    """What float64 may lose of p is added to what centring in float32 may."""
    found = sides.queries(panels(SCALE, RESIDUAL, NORM), measured(), "float64", 3)
    low, high = found.keys(np.arange(2), np.zeros(2))
    reach = (2 * GROWTH + 2.0**-48 + 2.0**-20) * found.weight[:2] * found.scale[:2]
    np.testing.assert_allclose(high - low, 2 * reach, rtol=1e-9)


def test_goals_of_values_that_are_no_numbers():
    found = sides.queries(panels(SCALE, RESIDUAL, NORM), measured(), "int8", 3)
    low, high = found.keys(np.zeros(3, int), np.array([np.nan, np.inf, -np.inf]))
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


# ------------------------------------------------------------------------------------------------------------ the bound


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("precision", ["int8", "int16", "float64"])
def test_scores_are_within_their_margins(precision, name):
    """Codes rounded by hand: what a tile makes of them is the key but for the margin, in exact arithmetic."""
    random = np.random.default_rng(5)
    x, y = (3 * random.standard_normal((3, D)) for _ in range(2))
    if name == "cosine":
        x, y = (part / np.linalg.norm(part, axis=1)[:, None] for part in (x, y))
    largest = {"int8": 127, "int16": 10_000, "float64": 2.0**40}[precision]
    codes, numbers = [], []
    for part in (x, y):
        scale = np.abs(part).max(axis=1) / largest
        code = np.rint(part / scale[:, None])
        codes.append(code)
        residual = np.linalg.norm(part - scale[:, None] * code, axis=1) * (1 + 1e-6) + 1e-300
        numbers.append((scale, residual, np.linalg.norm(part, axis=1)))
    form = FORMS[name]
    measure = measured(form, (1.0, 1.0) if form == "cosine" else (4.0, 4.0))
    left = sides.queries(panels(*numbers[0]), measure, precision, 3)
    right = sides.columns(panels(*numbers[1]), measure, precision, 3)
    for i in range(3):
        a = left.side.margin[i].astype(float)
        for j in range(3):
            most = right.side.margin[0].astype(float)
            margin = a[0] * most[0] + a[1] * most[1] + float(left.side.scale[i]) * most[2] + a[2]
            score = Fraction(codes[0][i] @ codes[1][j]) * Fraction(float(right.side.scale[j]))
            score -= Fraction(float(left.side.scale[i])) * Fraction(float(right.side.offset[j]))
            product = sum(Fraction(p) * Fraction(q) for p, q in zip(x[i].tolist(), y[j].tolist(), strict=True))
            key = product - (sum(Fraction(q) ** 2 for q in y[j].tolist()) / 2 if form == "l2" else 0)
            key *= Fraction(left.scale[i]) / Fraction(measure.unit)
            assert abs(score - key) <= Fraction(margin)
