"""Encoded rows: the residual is an upper bound in exact arithmetic, and no sum of products leaves int32."""

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import panels, simd

KINDS = sorted(simd.KINDS)
REALS = ["float32", "float64"]


def encoded(rows, name, centre=None, own_mean=False, unit=0.0, whole=False, width=16, first=0, bump=0, total_rows=None):
    """Panels of rows, and their codes as a matrix."""
    kind = simd.KINDS[name]
    found = panels.empty(total_rows or first + len(rows), rows.shape[1], kind, width)
    words = found.codes.view(np.int32 if kind.exact else found.codes.dtype)[..., 0]
    centre = np.zeros(rows.shape[1], rows.dtype) if centre is None else centre.astype(rows.dtype)
    numbers = found.scale, found.residual, found.norm, found.total
    panels.encoder(kind)(rows, centre, own_mean, first, np.int32(bump), unit, words, *numbers, whole=whole)
    return found, matrix(found.codes)[first : first + len(rows), : rows.shape[1]]


def matrix(codes):
    count, steps, width, group = codes.shape
    return codes.transpose(0, 2, 1, 3).reshape(count * width, steps * group)


def whole(numbers):
    """(integers, one): floats as multiples of 1 / one, their finest step; all steps are powers of two."""
    ratios = [float(number).as_integer_ratio() for number in numbers]
    one = max(bottom for _, bottom in ratios)
    return [top * (one // bottom) for top, bottom in ratios], one


def is_bounded(row, centre, own_mean, codes, scale, residual):
    """Whether |v - scale * codes| <= residual, in integers."""
    d = len(row)
    (*values, step, most), _ = whole((*row, *centre[:d], scale, residual))
    values, centre = values[:d], values[d:]
    codes, one = whole(codes)
    size = d if own_mean else 1
    moved = [sum(values)] * d if own_mean else centre
    values = [size * value - other for value, other in zip(values, moved, strict=True)]
    lost = sum((value * one - size * step * code) ** 2 for value, code in zip(values, codes, strict=True))
    return lost <= (size * one * most) ** 2


def hostile(real, d):
    """Rows of every order of magnitude, some with one huge feature, some constant, some of zeros."""
    random = np.random.default_rng(d)
    plain = random.standard_normal((8, d)).astype(real)
    rows = [*plain[:4], np.zeros(d), np.full(d, 0.1), np.full(d, -7.0), np.round(plain[4] * 40)]
    rows += [plain[5] * scale for scale in (1e30, 1e-30, 1e-36, 1e-20, 1e20, 1e-12, 2.0**-75)]
    rows += [plain[5] * scale for scale in ((1e-300, 1e-170, 1e-320, 1e200, 1e300) if real == "float64" else (1e-42,))]
    spike, crumbs = plain[6].copy(), plain[7] * np.exp2(-(np.arange(d) % 300) / 2.0)
    spike[d // 2] = 1e6
    rows += [spike, crumbs, plain[7] + 1e6, np.where(np.arange(d) == 0, 1.0, 1e-30), np.eye(1, d, d - 1)[0]]
    return np.ascontiguousarray(rows, real)


@pytest.mark.parametrize("own_mean", [False, True])
@pytest.mark.parametrize("unit", [0.0, 4.0])
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", KINDS)
def test_the_residual_bounds_what_the_codes_leave_out(name, real, unit, own_mean):
    held = 0
    for d in (1, 2, 3, 7, 64, 129):
        rows = hostile(real, d)
        centre = np.random.default_rng(1).standard_normal(d).astype(np.float32)
        for middle in (np.zeros(d),) if own_mean else (np.zeros(d), centre):
            found, codes = encoded(rows, name, middle, own_mean, unit)
            for i, row in enumerate(rows):
                if not np.isnan(found.norm[i]):
                    held += 1
                    numbers = found.scale[i], found.residual[i]
                    assert is_bounded(row, middle, own_mean, codes[i], *numbers), (d, i, row[:4], numbers)
    assert held > 100


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("d", "own_mean"), [(5000, False), (5000, True), (70_000, True)])
def test_the_residual_bounds_long_rows(name, d, own_mean):
    rows = np.random.default_rng(3).standard_normal((3, d))
    rows[1, 17] = 1e4
    rows[2] = np.sign(rows[2])
    found, codes = encoded(rows.astype(np.float32), name, own_mean=own_mean)
    assert np.isfinite(found.norm[:3]).all()
    for i, row in enumerate(rows.astype(np.float32)):
        assert is_bounded(row, np.zeros(d), own_mean, codes[i], found.scale[i], found.residual[i])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("real", REALS)
def test_the_residual_is_no_larger_than_it_need_be(name, real):
    """Half a step a feature at most; float codes lose what their dtype loses."""
    rows = np.random.default_rng(4).standard_normal((40, 96)).astype(real)
    found, codes = encoded(rows, name)
    true = np.sqrt(((rows.astype(np.float64) - found.scale[:40, None] * codes.astype(np.float64)) ** 2).sum(axis=1))
    assert (found.residual[:40] <= 1.001 * true + 2.0 ** (-49 if name == "float64" else -20) * found.norm[:40]).all()
    if simd.KINDS[name].exact:
        assert (true <= 0.51 * np.sqrt(96) * found.scale[:40]).all()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("real", REALS)
def test_norms_and_sums_of_codes(name, real):
    rows = np.random.default_rng(5).standard_normal((37, 51)).astype(real) * 3
    centre = np.random.default_rng(6).standard_normal(51).astype(np.float32)
    found, codes = encoded(rows, name, centre, first=5)
    norm = np.linalg.norm(rows.astype(np.float64) - centre, axis=1)
    np.testing.assert_allclose(found.norm[5:42], norm, rtol=1e-7 if real == "float32" else 1e-14)
    if simd.KINDS[name].exact:
        np.testing.assert_array_equal(found.total[5:42], codes.astype(np.int64).sum(axis=1))
    assert (found.norm[:5] == 0).all()
    assert (found.norm[42:] == 0).all()
    assert not matrix(found.codes)[:5].any()
    assert not matrix(found.codes)[42:].any()
    assert not matrix(found.codes)[:, 51:].any()


@pytest.mark.parametrize("name", KINDS)
def test_rows_that_no_code_holds_are_declared(name):
    random = np.random.default_rng(7)
    rows = random.standard_normal((8, 20))
    rows[0, 3], rows[1, 19], rows[2, 0] = np.nan, np.inf, -np.inf
    rows[3] *= 1e300
    rows[4] *= 1e-170
    rows[5] *= 1e-320
    rows[6] *= 1e60
    for unit in (0.0, 1.0):
        found, codes = encoded(rows, name, unit=unit)
        lost = [0, 1, 2, 3, 4, 5, 6]
        assert np.isnan(found.norm[lost]).all()
        assert not codes[lost].any()
        assert np.isfinite(found.norm[7])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("real", REALS)
def test_a_constant_row_counts_as_zero_for_correlation(name, real):
    rows = np.repeat(np.array([0.1, 1 / 3, 1e6, 0.0, 7e-5]), 111).reshape(5, 111).astype(real)
    found, codes = encoded(rows, name, own_mean=True)
    assert (found.norm[:5] == 0).all()
    assert (found.residual[:5] == 0).all()
    assert not codes.any()


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize(("name", "largest"), [("int6", 31), ("int7", 63), ("int8", 127), ("int16", 3000)])
def test_whole_numbers_are_held_as_they_are(name, largest, real):
    rows = np.random.default_rng(8).integers(-largest, largest + 1, (50, 77)).astype(real)
    for centre in (np.zeros(77), np.full(77, 5.0)):
        fits = rows - centre
        found, codes = encoded(rows, name, centre, whole=True)
        held = np.abs(fits).max(axis=1) <= largest
        assert held.any()
        assert (found.scale[:50][held] == 1).all()
        assert (found.residual[:50][held] == 0).all()
        np.testing.assert_array_equal(codes[held], fits[held])
        for i in np.flatnonzero(~held):
            assert is_bounded(rows[i], centre, False, codes[i], found.scale[i], found.residual[i])


@pytest.mark.parametrize("name", ["int6", "int7", "int8", "int16"])
def test_a_broken_promise_of_whole_numbers_costs_precision_only(name):
    rows = (np.random.default_rng(9).standard_normal((20, 60)) * 30).astype(np.float32)
    for centre in (np.zeros(60), np.full(60, 2.0**-30)):
        for given in (rows, np.round(rows)):
            found, codes = encoded(given, name, centre, whole=True)
            for i in range(20):
                assert is_bounded(given[i], centre, False, codes[i], found.scale[i], found.residual[i])


def test_whole_numbers_too_long_for_int16_keep_their_limit():
    rows = np.full((1, 300), 3000, np.float32)  # norm 51,962
    found, codes = encoded(rows, "int16", whole=True)
    assert found.scale[0] > 1
    assert (codes.astype(np.int64) ** 2).sum() < 2**31


@pytest.mark.parametrize("d", [1, 2, 100, 4097, 70_000, 133_144])
def test_no_sum_of_products_leaves_int32(d):
    """Of the worst rows: all of one size, or one feature alone."""
    for name, limit in (("int6", 2**31 // 31**2), ("int7", 2**31 // 63**2), ("int8", 133_144), ("int16", 10**9)):
        rows = np.stack([np.ones(d), -np.ones(d), np.eye(1, d)[0], np.random.default_rng(d).standard_normal(d)])
        for factor in (1.0, 3.7, 1 / 3, 1e-25):
            found, codes = encoded((rows * factor).astype(np.float32), name)
            assert (np.isfinite(found.norm[:4]) == (d <= limit)).all()
            assert ((codes.astype(np.int64) ** 2).sum(axis=1) < 2**31).all(), (name, factor)
            assert np.abs(codes.astype(np.int64)).max() <= simd.KINDS[name].largest


def test_int8_has_no_codes_for_longer_rows():
    found, codes = encoded(np.ones((2, 133_145), np.float32), "int8")
    assert np.isnan(found.norm[:2]).all()
    assert not codes.any()


@pytest.mark.parametrize(("name", "bump"), [("int6", 32), ("int7", 64), ("int6", 128), ("int8", 128)])
def test_codes_without_a_sign(name, bump):
    rows = np.random.default_rng(10).standard_normal((6, 30)).astype(np.float32)
    (signed, plain), (unsigned, bumped) = (encoded(rows, name, width=6, bump=number) for number in (0, bump))
    np.testing.assert_array_equal(bumped.view(np.uint8), (plain.astype(np.int16) + bump).astype(np.uint8))
    np.testing.assert_array_equal(unsigned.total, signed.total)
