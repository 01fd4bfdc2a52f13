"""The trial: each judge says yes to the law itself and no to every way of spoiling it."""

import numpy as np
import pytest

import judge
from cases import arrays
from crossmodal_fast.kernels.pairwise import reference as pairwise_law
from crossmodal_fast.kernels.ranks import reference as ranks_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.transfer import reference as transfer_law
from crossmodal_fast.kernels.within import reference as within_law

K = 4


def lawful(dtype=np.float32):
    x, y = arrays("normal-9x31x8")
    value, index = topk_law.topk(x, y, K)
    return (value.astype(dtype), index.copy()), (value, index)


def swapped_neighbours(distances, indices):
    indices[0, :2] = indices[0, 1::-1]
    return distances, indices


def next_float(distances, indices):
    distances[-1, -1] = np.nextafter(distances[-1, -1], np.float32(np.inf))
    return distances, indices


def sign_of_zero(distances, indices):
    return -0.0 * distances, indices


def one_nan(distances, indices):
    distances[2, 1] = np.nan
    return distances, indices


SPOILED = {
    "index at": [swapped_neighbours, lambda d, i: (d, np.where(i == i[3, 0], 0, i)), lambda d, i: (d, i + 1)],
    "distance at": [next_float, one_nan, lambda d, i: (d * np.float32(1 + 2e-7), i), lambda d, i: (d * d, i)],
    "indices are int32": [lambda d, i: (d, i.astype(np.int32))],
    "distances are float64": [lambda d, i: (d.astype(np.float64), i)],
    "indices have shape": [lambda d, i: (d[:, :-1], i[:, :-1]), lambda d, i: (d[:-1], i[:-1])],
    "distances have shape": [lambda d, i: (d[..., None], i)],
}


@pytest.mark.parametrize(("message", "spoil"), [(text, spoil) for text, all_ in SPOILED.items() for spoil in all_])
def test_same_bits_can_say_no(message, spoil):
    answer, law = lawful()
    judge.same_bits(answer, law, np.float32)
    with pytest.raises(AssertionError, match=message):
        judge.same_bits(spoil(*answer), law, np.float32)


def test_same_bits_sees_the_sign_of_zero_and_one_bit_of_float64():
    law = np.zeros((2, 3)), np.arange(6).reshape(2, 3)
    judge.same_bits(law, law, np.float64)
    with pytest.raises(AssertionError, match="distance at"):
        judge.same_bits(sign_of_zero(*law), law, np.float64)
    with pytest.raises(AssertionError, match="distance at"):
        judge.same_bits((law[0] + 5e-324, law[1]), law, np.float64)


def test_same_bits_takes_every_nan_for_the_same():
    other_nan = np.array([[0x7FF8000000000001]], np.uint64).view(np.float64)
    law = np.array([[np.nan]]), np.array([[0]])
    judge.same_bits((other_nan, law[1]), law, np.float64)


def test_same_bits_rounds_once_and_lets_overflow_be_inf():
    law = np.array([[1.0, 1e60]]), np.array([[0, 1]])
    judge.same_bits((np.array([[1, np.inf]], np.float32), law[1]), law, np.float32)


def lawful_rows():
    """`within` of a case whose rows have different numbers of partners."""
    x, y = arrays("integers-float32")
    indptr, index, value = within_law.within(x, y, np.arange(1.0, 12.0))
    assert len(set(np.diff(indptr).tolist())) > 3
    return (indptr, index, value.astype(np.float32)), (indptr.copy(), index.copy(), value)


def without(pair):
    """`within` that misses one pair."""

    def spoil(indptr, indices, distances):
        later = np.searchsorted(indptr, pair, "right")
        indptr[later:] -= 1
        return indptr, np.delete(indices, pair), np.delete(distances, pair)

    return spoil


def moved_border(indptr, indices, distances):
    indptr[5] += 1
    return indptr, indices, distances


SPOILED_ROWS = {
    "row 10 has": [lambda p, i, d: without(len(i) - 1)(p, i, d)],
    "row 4 has": [moved_border],
    "row .* has": [without(0), without(40), lambda p, i, d: (p[::-1], i, d), lambda p, i, d: (p + 1, i, d)],
    "indptr is int32": [lambda p, i, d: (p.astype(np.int32), i, d)],
    "indptr has shape": [lambda p, i, d: (p[:-1], i, d)],
    "index at": [lambda p, i, d: (p, i[::-1], d[::-1]), lambda p, i, d: (p, np.roll(i, 1), d)],
    "distance at": [lambda p, i, d: (p, i, np.nextafter(d, np.float32(9))), lambda p, i, d: (p, i, d * d)],
    "distances are float64": [lambda p, i, d: (p, i, d.astype(np.float64))],
    "indices have shape": [lambda p, i, d: (p, i[:-1], d[:-1])],
}


@pytest.mark.parametrize(("message", "spoil"), [(text, spoil) for text, all_ in SPOILED_ROWS.items() for spoil in all_])
def test_same_rows_can_say_no(message, spoil):
    answer, law = lawful_rows()
    judge.same_rows(answer, law, np.float32)
    with pytest.raises(AssertionError, match=message):
        judge.same_rows(spoil(*answer), law, np.float32)


@pytest.mark.parametrize("ties", ["index", "mean"])
def test_same_ranks_can_say_no(ties):
    x, y = arrays("integers-float32")
    law = ranks_law.ranks(x, y, np.arange(11), np.arange(11), ties)
    judge.same_ranks(law, law, ties)
    other = np.int64 if ties == "mean" else np.float64
    one_more = law + (np.arange(11) == 7)
    for message, spoiled in (
        ("rank of pair 0", law - 1),
        ("rank of pair 7", one_more),
        ("ranks are", law.astype(other)),
        ("ranks have shape", law[:-1]),
        ("ranks have shape", law[None]),
    ):
        with pytest.raises(AssertionError, match=message):
            judge.same_ranks(spoiled, law, ties)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "correlation", "dot", "cityblock"])
@pytest.mark.parametrize(("dtype", "inside", "outside"), [(np.float32, 8e-7, 1.3e-6), (np.float64, 8e-14, 1.3e-13)])
def test_pairwise_judge_draws_the_line_where_design_does(metric, dtype, inside, outside):
    x, y = arrays("normal-17x130x64")
    value = pairwise_law.pairwise_distances(x, y, metric)
    scale = {"cosine": 1.0, "correlation": 1.0}.get(metric, value)
    if metric == "dot":
        scale = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)[None].astype(np.float64)
    judge.pairwise_within_bound(value.astype(dtype), x, y, metric)
    judge.pairwise_within_bound((value + inside * scale).astype(dtype), x, y, metric)
    for spoiled in (value + outside * scale, value - outside * scale, value[::-1]):
        with pytest.raises(AssertionError, match="entry"):
            judge.pairwise_within_bound(spoiled.astype(dtype), x, y, metric)
    one_wrong = value.copy()
    one_wrong[3, 7] += 2 * outside * np.broadcast_to(scale, value.shape)[3, 7]
    with pytest.raises(AssertionError, match=r"entry \(3, 7\)"):
        judge.pairwise_within_bound(one_wrong.astype(dtype), x, y, metric)
    with pytest.raises(AssertionError, match="shape"):
        judge.pairwise_within_bound(value[:-1].astype(dtype), x, y, metric)


def test_pairwise_judge_knows_where_float32_ends():
    x, y = arrays("huge-values-1e30")
    value = pairwise_law.pairwise_distances(x, y, "sqeuclidean")
    judge.pairwise_within_bound(np.full(value.shape, np.inf, np.float32), x, y, "sqeuclidean")
    for wrong in (np.float32(3e38), np.float32(np.nan), np.float32(-np.inf)):
        with pytest.raises(AssertionError, match="entry"):
            judge.pairwise_within_bound(np.full(value.shape, wrong), x, y, "sqeuclidean")
    with pytest.raises(AssertionError, match="entry"):
        judge.pairwise_within_bound(np.full(value.shape, np.inf, np.float32), x, y, "euclidean")


@pytest.mark.parametrize("name", ["near-duplicates-1e-7", "offset-1e6", "places-float32"])
def test_pairwise_judge_rejects_the_expanded_form(name):
    """|x|^2 + |y|^2 - 2 <x, y> in float32 cancels on these: the judge must see it."""
    x, y = arrays(name)
    square = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    with pytest.raises(AssertionError, match="entry"):
        judge.pairwise_within_bound(np.sqrt(np.maximum(square, 0)), x, y, "euclidean")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("with_bias", [False, True])
def test_transfer_judge_draws_the_line_at_the_bound(dtype, with_bias):
    rng = np.random.default_rng(3)
    e, m = rng.standard_normal((5, 20)), rng.standard_normal((7, 20))
    bias = 1e3 * rng.standard_normal(7) if with_bias else None
    value = transfer_law.transfer(e, m, bias)
    judge.transfer_within_bound(value.astype(dtype), e, m, bias)
    u = 2.0**-24 if dtype == np.float32 else 2.0**-53
    step = 30 * u * np.abs(e) @ np.abs(m).T + (0 if bias is None else u * np.abs(bias))
    rounding = 2 * u * np.abs(value)
    for spoiled in (
        value + 2 * step + rounding,
        value - 2 * step - rounding,
        value[:, ::-1],
        value * 0,
        value + np.nan,
    ):
        with pytest.raises(AssertionError, match="entry"):
            judge.transfer_within_bound(spoiled.astype(dtype), e, m, bias)
    with pytest.raises(AssertionError, match="shape"):
        judge.transfer_within_bound(value.T.astype(dtype), e, m, bias)


def test_transfer_judge_knows_a_bias_that_is_rounded_before_it_is_added():
    """As float32 both roundings may go one way; `make fuzz` met it."""
    e, m, bias = (np.array(part) for part in ([[0.9087669849395752]], [[0.8505905866622925]], [-1445.7235775166125]))
    answer = e.astype(np.float32) * m.astype(np.float32) + bias.astype(np.float32)
    assert abs(answer - (e * m + bias)) > 1.05 * 2.0**-24 * abs(bias)
    judge.transfer_within_bound(answer, e, m, bias)
    with pytest.raises(AssertionError, match="entry"):
        judge.transfer_within_bound(np.nextafter(answer, np.float32(-np.inf)), e, m, bias)


def test_transfer_judge_misses_neither_a_dropped_bias_nor_a_dropped_feature():
    rng = np.random.default_rng(4)
    e, m, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 33), (9, 33), (9,)))
    judge.transfer_within_bound(e @ m.T + bias, e, m, bias)
    with pytest.raises(AssertionError, match="entry"):
        judge.transfer_within_bound(e @ m.T, e, m, bias)
    with pytest.raises(AssertionError, match="entry"):
        judge.transfer_within_bound(e[:, 1:] @ m[:, 1:].T + bias, e, m, bias)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_transfer_judge_draws_the_line_at_the_bound(dtype):
    rng = np.random.default_rng(5)
    e, m, bias = rng.standard_normal((5, 20)), rng.standard_normal((7, 20)), rng.standard_normal(7)
    e[4] = 0
    value, mapped = (transfer_law.transfer(e, m, bias, normalize) for normalize in (True, False))
    judge.unit_transfer_within_bound(value.astype(dtype), e, m, bias)
    judge.unit_transfer_within_bound(transfer_law.transfer(e, m, normalize=True).astype(dtype), e, m)
    u = 2.0**-24 if dtype == np.float32 else 2.0**-53
    width = 30 * u * np.abs(e) @ np.abs(m).T + 2 * u * np.abs(bias)
    step = (width + np.linalg.norm(width, axis=1, keepdims=True)) / np.linalg.norm(mapped, axis=1, keepdims=True)
    for spoiled in (value + 2 * step + 40 * u, value * (1 + 400 * u), mapped, value[:, ::-1], -value, value + np.nan):
        with pytest.raises(AssertionError, match="entry"):
            judge.unit_transfer_within_bound(spoiled.astype(dtype), e, m, bias)
    spoiled = transfer_law.transfer(e, m, normalize=True).astype(dtype)
    spoiled[4, 0] = np.finfo(dtype).tiny  # a row of zeros stays what it is
    with pytest.raises(AssertionError, match="entry"):
        judge.unit_transfer_within_bound(spoiled, e, m)


RNG = np.random.default_rng(5)
AFTER_IMPORT = np.random.default_rng(5).random(3)


@pytest.mark.parametrize("number", [0, 1])
def test_the_numbers_of_a_test_do_not_hang_on_those_before_it(number):
    np.testing.assert_array_equal(RNG.random(3), AFTER_IMPORT)
