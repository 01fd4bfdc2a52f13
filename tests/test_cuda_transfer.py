"""`transfer(..., backend="cuda")` on the emulator keeps its bound: one matrix, many, few rows each and many."""

import re

import numpy as np
import pytest

import cases
import crossmodal_fast as cmf
import judge
import simt
from crossmodal_fast.kernels.tiles.cuda import mapper
from emulated import FLAVOURS, emulated, launcher, runs_in_its_least
from stores import Store
from test_transfer import SCALES, maps

pytestmark = pytest.mark.skipif(simt.obstacle() is not None, reason=str(simt.obstacle()))

SHAPES = [(1, 1, 1), (5, 3, 7), (20, 33, 20), (0, 4, 3), (7, 1, 300)]  # n, d_out, d_in
KINDS = [np.float16, cases.BFLOAT16, np.float32, np.float64, np.int8, np.bool_, np.int64]


@pytest.fixture(params=FLAVOURS, ids=lambda flavour: "-".join(map(str, flavour)))
def run(request):
    return launcher(*request.param)


def judged(e, m, bias, which, flavour="plain", **keywords):
    """Row by row, as it is and with length 1; the launches of both."""
    with emulated(flavour=flavour) as driver:
        plain, unit = (
            cmf.transfer(e, m, bias, which=which, normalize=normalize, backend="cuda", **keywords)
            for normalize in (False, True)
        )
    assert plain.dtype == cases.output_dtype(e, m)
    for number in range(len(m)):
        mine = which == number
        shift = None if bias is None else bias[number]
        judge.transfer_within_bound(plain[mine], e[mine], m[number], shift)
        judge.unit_transfer_within_bound(unit[mine], e[mine], m[number], shift)
    return driver


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_matrix(shape, dtype):
    e, m, bias = maps(*shape, dtype)
    e[::3] = 0
    for shift in (None, bias):
        with emulated():
            judge.transfer_within_bound(cmf.transfer(e, m, shift, backend="cuda"), e, m, shift)
            answer = cmf.transfer(e, m, shift, normalize=True, backend="cuda")
        judge.unit_transfer_within_bound(answer, e, m, shift)


def problem(counts, d_out, d_in, dtype, seed=53):
    """Rows in a random order, so many for each matrix."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    e, m = rng.standard_normal((len(which), d_in)), rng.standard_normal((len(counts), d_out, d_in))
    return e.astype(dtype), m.astype(dtype), rng.standard_normal((len(counts), d_out)).astype(dtype), which


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d_out", "d_in"), [(9, 12), (70, 13), (3, 1030)])
def test_few_rows_of_each_matrix(d_out, d_in, dtype):
    driver = judged(*problem((1, 0, 8, 9, 3), d_out, d_in, dtype))
    assert set(driver.launched) == {"mapping", "finish"}


@pytest.mark.parametrize(
    ("counts", "launched"),
    [
        ((21, 3, 0, 12), {"mapping", "finish"}),
        ((17, 17, 17), {"finish"}),
        ((20, 13), {"finish"}),
        ((0, 25), {"finish"}),
    ],
)
def test_many_rows_of_a_matrix_go_to_a_product(counts, launched, monkeypatch):
    monkeypatch.setattr(mapper, "MANY_ROWS", 12)
    assert set(judged(*problem(counts, 9, 10, np.float32)).launched) == launched


def test_biases_and_stores_of_other_dtypes():
    e, m, bias, which = problem((3, 2, 4), 5, 6, np.float32)
    judged(e, m.astype(np.float16), bias.astype(np.float64), which)
    judged(e.astype(np.float64), np.asfortranarray(m), bias, which)
    judged(e, m[::-1], None, which)
    with emulated():
        answer = cmf.transfer(Store(e), Store(m[0]), bias[0], backend="cuda")
        shared = cmf.transfer(e, m, bias[0], which=which, backend="cuda")
    judge.transfer_within_bound(answer, e, m[0], bias[0])
    for row, number in enumerate(which):
        judge.transfer_within_bound(shared[row : row + 1], e[row : row + 1], m[number], bias[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_numbers_are_exact_whatever_lies_where(dtype):
    rng = np.random.default_rng(54)
    e, m = rng.integers(-50, 51, (30, 40)), rng.integers(-50, 51, (4, 20, 40))
    which = rng.integers(0, 4, 30)
    expected = np.stack([m[number] @ row for row, number in zip(e, which, strict=True)])
    out = np.empty((20, 30), dtype).T
    with emulated():
        assert cmf.transfer(e.astype(dtype), m.astype(dtype), which=which, out=out, backend="cuda") is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("dtype", "scale"), SCALES)
def test_lengths_neither_overflow_nor_vanish(dtype, scale):
    e, m, bias = maps(6, 5, 20, dtype)
    e, bias = dtype(scale) * e, dtype(scale) * bias
    with emulated():
        answer = cmf.transfer(e, np.stack([m, m]), bias, which=np.arange(6) % 2, normalize=True, backend="cuda")
    judge.unit_transfer_within_bound(answer, e, m, bias)
    np.testing.assert_allclose(np.linalg.norm(answer, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-42, 1e-25, 1e18])
def test_scales_of_float32(scale):
    e, m, bias, which = problem((2, 3), 5, 20, np.float64)
    judged((scale * e).astype(np.float32), m.astype(np.float32), (scale * bias).astype(np.float32), which)


def test_a_row_that_does_not_fit_the_dtype_has_no_length():
    e, m, _ = maps(8, 5, 9, np.float32)
    e, m[2] = np.float32(1e-3) * e, np.finfo(np.float32).max
    e[3] = 1
    for normalize in (False, True):
        with emulated():
            answer = cmf.transfer(e, m[None], which=[0] * 8, normalize=normalize, backend="cuda")
        assert np.isnan(answer[3]).all() if normalize else np.isinf(answer[3, 2])
        assert np.isfinite(np.delete(answer, 3, axis=0)).all()


def test_numbers_that_are_not_finite_are_named_or_pass():
    e, m, _, which = problem((3, 2, 4), 5, 6, np.float32)
    bad = m.copy()
    bad[2, 1, 4] = np.nan
    with emulated():
        with pytest.raises(ValueError, match=r"^M must be finite, got nan at M\[2, 1, 4\]$"):
            cmf.transfer(e, bad, which=which, backend="cuda")
        with pytest.raises(ValueError, match=r"^M must be finite, got nan at M\[1, 4\]$"):
            cmf.transfer(e, bad[2], backend="cuda")
        answer = cmf.transfer(e, bad, which=which, check_finite=False, backend="cuda")
        assert np.isnan(answer).sum() == 4
        e[4, 1] = np.inf
        with pytest.raises(ValueError, match=r"^E must be finite, got inf in row 4;"):
            cmf.transfer(e, m, which=which, backend="cuda")


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_little_memory_does(dtype):
    e, m, bias, which = problem((5, 20, 1, 3, 8), 30, 40, dtype)

    def ragged(max_bytes):
        return cmf.transfer(e, m, bias, which=which, max_bytes=max_bytes, backend="cuda")

    def single(max_bytes):
        return cmf.transfer(e, m[0], bias[0], normalize=True, max_bytes=max_bytes, backend="cuda")

    with emulated() as driver:
        answer = runs_in_its_least(driver, ragged)
        assert driver.launched.count("finish") == -(-len(e) // 16)
        unit = runs_in_its_least(driver, single)
    judge.unit_transfer_within_bound(unit, e, m[0], bias[0])
    for row, number in enumerate(which):
        judge.transfer_within_bound(answer[row : row + 1], e[row : row + 1], m[number], bias[number])


def test_a_device_with_little_left_takes_a_few_at_a_time():
    e, m, bias, which = problem((5, 20, 1, 3, 8), 30, 40, np.float32)
    with emulated() as driver:
        wanted = cmf.transfer(e, m, bias, which=which, backend="cuda")
    with emulated(largest=20_000, free=200_000) as driver:
        np.testing.assert_array_equal(cmf.transfer(e, m, bias, which=which, backend="cuda"), wanted)
        assert driver.released
    with emulated(free=1000), pytest.raises(ValueError, match=r"^the device must have \d+ bytes free for M of shape"):
        cmf.transfer(e, m, bias, which=which, backend="cuda")


@pytest.mark.heavy  # the kernels alone run in these builds below
@pytest.mark.parametrize("flavour", ["race", "address"])
def test_no_race_and_no_stray_access(flavour):
    judged(*problem((1, 9, 3), 11, 1030, np.float32), flavour)


def test_what_it_cannot_do_is_said():
    e, m, _ = maps(5, 3, 7, np.float32)
    reason = re.escape("cuda: it computes in float32 here, not precision='float16'")
    with emulated(), pytest.raises(cmf.BackendUnavailable, match=reason):
        cmf.transfer(e, m, precision="float16", backend="cuda")


# ---------------------------------------------------------------------------------------------------------- kernels

SELDOM_DOUBLE = [np.float32, pytest.param(np.float64, marks=pytest.mark.heavy)]  # whole calls run in both


@pytest.mark.parametrize(("d_out", "d_in"), [(70, 24), (5, 1050), (66, 7)])
@pytest.mark.parametrize("dtype", SELDOM_DOUBLE)
def test_mapping_is_exact_on_whole_numbers(dtype, d_out, d_in, run):
    rng = np.random.default_rng(8)
    counts = np.array([3, 0, 11, 1])
    starts, order = np.r_[0, np.cumsum(counts)], rng.permutation(15)
    e, m = rng.integers(-9, 10, (15, d_in)), rng.integers(-9, 10, (4, d_out, d_in))
    table = mapper.tiles(starts, np.array([0, 2]))
    np.testing.assert_array_equal(table, [[0, 0, 3], [2, 3, 8], [2, 11, 3]])
    out = np.full((15, d_out), 77, dtype)
    run("mapping", (len(table), -(-d_out // 64)), [
        e.astype(dtype), m.astype(dtype), np.int32(d_in), np.int32(d_out), order.astype(np.int32), table, out,
    ], REAL=mapper.REAL[out.dtype.name])  # fmt: skip
    for group in range(4):
        rows = order[starts[group] : starts[group + 1]]
        wanted = 77 if group in (1, 3) else e[rows] @ m[group].T
        np.testing.assert_array_equal(out[rows], wanted)


@pytest.mark.parametrize("dtype", SELDOM_DOUBLE)
def test_finish_adds_divides_and_reports(dtype, run):
    rng = np.random.default_rng(8)
    rows, bias = rng.standard_normal((13, 70)).astype(dtype), rng.standard_normal((3, 70)).astype(dtype)
    rows[4] *= dtype(1e-30 if dtype == np.float32 else 1e-290)
    bias[0], group = 0, np.r_[0, 1, 2, 2, 0, np.arange(8) % 3].astype(np.int32)
    rows[0] = 0
    for unit in (0, 1):
        for spoilt in (None, np.inf, np.nan):
            given, unfinite = rows.copy(), np.zeros(1, np.int32)
            if spoilt is not None:
                given[6, 69] = spoilt
            wanted = given + bias[group]
            run("finish", 2, [given, np.int32(13), np.int32(70), bias, group, np.int32(unit), unfinite],
                REAL=mapper.REAL[given.dtype.name])  # fmt: skip
            assert unfinite[0] == (spoilt is not None)
            if unit:
                wide = wanted.astype(np.longdouble)  # whose squares neither overflow nor vanish
                with np.errstate(invalid="ignore"):
                    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
                    wide /= np.where(length == 0, 1, length)
                if spoilt is not None:
                    wide[6] = np.nan
                np.testing.assert_allclose(given, wide.astype(dtype), rtol=2 * np.finfo(dtype).eps)
            else:
                np.testing.assert_array_equal(given, wanted)
