"""`transfer` keeps its stated bound: rows e_j = M e_i."""

import numpy as np
import pytest

import crossmodal_fast as cmf
import judge
from cases import BFLOAT16, output_dtype
from least import least_max_bytes
from stores import Store

DTYPES = [np.float16, BFLOAT16, np.float32, np.float64, np.int8, np.uint8, np.bool_, np.int64]
MIXED = [(np.float32, np.float64), (np.int8, np.float32), (np.float64, np.float16)]
LEADING = [((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 1)), ((), (4,)), ((2,), ()), ((0,), ())]
SHAPES = [(1, 1, 1), (5, 3, 7), (40, 33, 20), (3, 200, 5), (0, 4, 3), (600, 9, 8), (7, 1, 300)]  # n, d_out, d_in


def maps(n, d_out, d_in, dtype, seed=51):
    rng = np.random.default_rng(seed)
    scale = 1.0 if np.issubdtype(dtype, np.floating) or dtype == BFLOAT16 else 60.0
    return tuple(
        np.abs(scale * rng.standard_normal(shape)).clip(0, 120).astype(dtype)
        if dtype in (np.uint8, np.bool_)
        else (scale * rng.standard_normal(shape)).clip(-120, 120).astype(dtype)
        for shape in ((n, d_in), (d_out, d_in), (d_out,))
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_keeps_its_bound(shape, dtype, backend):
    e, m, vector = maps(*shape, dtype)
    for bias in (None, vector):

        def call(max_bytes, bias=bias):
            return cmf.transfer(e, m, bias, max_bytes=max_bytes, backend=backend)

        for max_bytes in (None, least_max_bytes(call)):
            answer = call(max_bytes)
            assert answer.dtype == output_dtype(e, m)
            judge.transfer_within_bound(answer, e, m, bias)


@pytest.mark.parametrize(("e_dtype", "m_dtype"), MIXED)
def test_mixed_dtypes(e_dtype, m_dtype, backend):
    e, m = maps(6, 5, 20, e_dtype)[0], maps(6, 5, 20, m_dtype)[1]
    answer = cmf.transfer(e, m, backend=backend)
    assert answer.dtype == output_dtype(e, m)
    judge.transfer_within_bound(answer, e, m)


@pytest.mark.parametrize("scale", [1e-42, 1e-25, 1e18])
def test_scales_of_float32(scale, backend):
    e, m, bias = maps(6, 5, 20, np.float64)
    e, m, bias = (scale * e).astype(np.float32), m.astype(np.float32), (scale * bias).astype(np.float32)
    judge.transfer_within_bound(cmf.transfer(e, m, bias, backend=backend), e, m, bias)


def test_cancellation_stays_within_the_bound(backend):
    e, m, _ = maps(20, 10, 64, np.float32)
    e = np.hstack([e, e])
    m = np.hstack([m, -m])
    judge.transfer_within_bound(cmf.transfer(e, m, backend=backend), e, m)


@pytest.mark.parametrize(("leading_e", "leading_m"), LEADING)
def test_batches_broadcast(leading_e, leading_m, backend):
    rng = np.random.default_rng(52)
    e, m = rng.standard_normal((*leading_e, 6, 5)), rng.standard_normal((*leading_m, 4, 5))
    leading = np.broadcast_shapes(leading_e, leading_m)
    biases = [None, rng.standard_normal(4), rng.standard_normal((*leading_m, 4)), rng.standard_normal((*leading, 4))]
    wide_e, wide_m = (np.broadcast_to(part, (*leading, *part.shape[-2:])) for part in (e, m))
    for bias in biases:
        answer = cmf.transfer(e, m, bias, backend=backend)
        assert answer.shape == (*leading, 6, 4)
        wide_bias = None if bias is None else np.broadcast_to(bias, (*leading, 4))
        for at in np.ndindex(leading):
            judge.transfer_within_bound(answer[at], wide_e[at], wide_m[at], None if bias is None else wide_bias[at])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_each_row_names_its_matrix(rows, with_bias, dtype, backend):
    rng = np.random.default_rng(53)
    e, m = rng.standard_normal((rows, 12)).astype(dtype), rng.standard_normal((7, 9, 12)).astype(dtype)
    bias = rng.standard_normal((7, 9)).astype(dtype) if with_bias else None
    which = rng.integers(0, 6, rows)  # nobody names the last matrix

    def call(**more):
        return cmf.transfer(e, m, bias, which=which, backend=backend, **more)

    for max_bytes in (None, least_max_bytes(call)):
        answer = call(max_bytes=max_bytes)
        assert answer.shape == (rows, 9)
        assert answer.dtype == dtype
        for row, number in enumerate(which):
            one = None if bias is None else bias[number]
            judge.transfer_within_bound(answer[row : row + 1], e[row : row + 1], m[number], one)


def test_a_bias_of_each_problem_is_added_to_its_own_rows(backend):
    """Of a batch of five the bias has a row each: not one a row of E, though there are five of those too."""
    e, m = np.zeros((5, 5, 3)), np.ones((4, 3))
    bias = np.arange(20.0).reshape(5, 4)
    answer = cmf.transfer(e, m, bias, backend=backend)
    np.testing.assert_array_equal(answer, np.broadcast_to(bias[:, None], (5, 5, 4)))
    which = [0, 4, 4, 2, 1]
    answer = cmf.transfer(e[0], np.ones((5, 4, 3)), bias, which=which, backend=backend)
    np.testing.assert_array_equal(answer, bias[which])
    answer = cmf.transfer(e[0], np.ones((5, 4, 3)), bias[0], which=which, backend=backend)
    np.testing.assert_array_equal(answer, np.broadcast_to(bias[0], (5, 4)))


def test_lists_without_anything_in_them(backend):
    e, m, bias = maps(6, 5, 20, np.float32)
    assert cmf.transfer(e[:0], m[None], bias, which=[], backend=backend).shape == (0, 5)
    for normalize in (False, True):
        none = cmf.transfer(e, m[None, :0], which=[0] * 6, normalize=normalize, backend=backend)
        assert none.shape == (6, 0)


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16, np.float32, np.float64])
def test_the_first_number_that_is_not_finite_is_found_in_every_dtype(dtype, backend):
    """Also behind the first piece that is looked at, and in a matrix that is no array."""
    stores = (Store,) if backend == "numpy" else ()
    e, m = np.zeros((2, 700)), np.zeros((900, 700), dtype)
    m[830, 4], m[830, 699], m[899, 0] = np.nan, np.inf, -np.inf
    for matrix in (m, np.asfortranarray(m), *(store(m) for store in stores)):
        with pytest.raises(ValueError, match=r"^M must be finite, got nan at M\[830, 4\]$"):
            cmf.transfer(e, matrix, backend=backend)
    with pytest.raises(ValueError, match=r"^bias must be finite, got -inf$"):
        cmf.transfer(e, np.zeros((900, 700)), m[-1:, :1].ravel(), backend=backend)
    m[np.isnan(m) | np.isinf(m)] = 0
    assert not cmf.transfer(e, m, backend=backend).any()


def test_whole_numbers_are_exact(backend):
    rng = np.random.default_rng(54)
    e, m, bias = rng.integers(-50, 51, (30, 40)), rng.integers(-50, 51, (20, 40)), rng.integers(-50, 51, 20)
    expected = e @ m.T + bias
    for dtype in (np.float32, np.float64, np.int64, np.int8):
        answer = cmf.transfer(e.astype(dtype), m.astype(dtype), bias.astype(dtype), backend=backend)
        np.testing.assert_array_equal(answer, expected)


def test_out_is_filled_and_returned(backend):
    e, m, bias = maps(6, 5, 20, np.float32)
    out = np.full((6, 5), np.nan, np.float32)
    assert cmf.transfer(e, m, bias, out=out, backend=backend) is out
    judge.transfer_within_bound(out, e, m, bias)


def test_memory_order_does_not_matter(backend):
    e, m, bias = maps(6, 5, 20, np.float32)
    wide = np.zeros((6, 40), np.float32)
    wide[:, ::2] = e
    for rows, matrix in (
        (np.asfortranarray(e), np.asfortranarray(m)),
        (wide[:, ::2], m[::-1][::-1]),
        (e.astype(">f4"), m.astype(">f4")),
        (e.tolist(), m),
    ):
        judge.transfer_within_bound(cmf.transfer(rows, matrix, bias, backend=backend), e, m, bias)


# ----------------------------------------------------------------------------------------------------- rows of length 1


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_length_1_keep_their_bound(shape, dtype, with_bias, backend):
    e, m, bias = maps(*shape, dtype)
    e[::3] = 0  # without a bias, rows of zeros
    bias = bias if with_bias else None

    def call(**more):
        return cmf.transfer(e, m, bias, normalize=True, backend=backend, **more)

    for max_bytes in (None, least_max_bytes(call)):
        answer = call(max_bytes=max_bytes)
        assert answer.dtype == output_dtype(e, m)
        judge.unit_transfer_within_bound(answer, e, m, bias)


SCALES = [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e200), (np.float64, 1e-200), (np.float64, 1e300)]


@pytest.mark.parametrize(("dtype", "scale"), SCALES)
def test_lengths_neither_overflow_nor_vanish(dtype, scale, backend):
    e, m, bias = maps(6, 5, 20, dtype)
    e, bias = dtype(scale) * e, dtype(scale) * bias
    for matrices, which in ((m, None), (np.stack([m, m]), np.arange(6) % 2)):
        answer = cmf.transfer(e, matrices, bias, which=which, normalize=True, backend=backend)
        judge.unit_transfer_within_bound(answer, e, m, bias)
        np.testing.assert_allclose(np.linalg.norm(answer, axis=1), 1, rtol=1e-6)


def test_many_rows_get_length_1(backend):
    """More than NumPy takes at a time, and more than BLAS is left to."""
    e, m, bias = maps(1500, 70, 9, np.float32)
    judge.unit_transfer_within_bound(cmf.transfer(e, m, bias, normalize=True, backend=backend), e, m, bias)
    which = np.arange(1500) // 500
    answer = cmf.transfer(e, np.stack([m, -m, m]), bias, which=which, normalize=True, backend=backend)
    for number, matrix in enumerate((m, -m, m)):
        judge.unit_transfer_within_bound(answer[which == number], e[which == number], matrix, bias)


def test_batches_of_rows_of_length_1_go_into_out(backend):
    e, m, bias = maps(24, 15, 20, np.float32)
    e, m, bias = e.reshape(4, 6, 20), m.reshape(1, 15, 20), np.stack([bias, -bias, 0 * bias, 2 * bias])
    out = np.full((15, 6, 4), np.nan, np.float32).T
    assert cmf.transfer(e, m, bias, normalize=True, out=out, backend=backend) is out
    for at in range(4):
        judge.unit_transfer_within_bound(out[at], e[at], m[0], bias[at])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_that_does_not_fit_the_dtype_has_no_length(dtype, backend):
    """One of its entries overflows before it is divided: none of the others may pass for an answer."""
    e, m, _ = maps(20, 5, 9, dtype)
    e[3] = 1
    m[2] = np.finfo(dtype).max
    e[np.arange(20) != 3, :] *= dtype(1e-3)
    for few in (e[:6], e):
        answer = cmf.transfer(few, m, normalize=True, backend=backend)
        assert np.isnan(answer[3]).all()
        judge.unit_transfer_within_bound(np.delete(answer, 3, axis=0), np.delete(few, 3, axis=0), m)
