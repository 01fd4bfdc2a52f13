"""The law on trial: against exact fractions, against plain Python floats, against SciPy."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cases import CASES, METRICS, MINKOWSKI_P, arrays, law_kwargs
from crossmodal_fast.kernels.pairwise import reference as pairwise_law
from crossmodal_fast.kernels.softmax import reference as softmax_law
from crossmodal_fast.kernels.topk import reference as topk_law
from crossmodal_fast.kernels.transfer import reference as transfer_law
from grids import naming

WHOLE = ["integers-float32", "ties-int32", "int8", "uint8", "bool", "integers-float64"]
TIES = ["integers-float32", "ties-int32", "bool", "duplicates-12x20x16x5", "all-equal", "all-zero", "sparse"]


def exact(x, y, metric):
    """The metric on whole numbers without any rounding but the last."""
    rows = [[[Fraction(float(value)) for value in row] for row in side] for side in (x, y)]
    pair = {
        "sqeuclidean": lambda a, b: sum((s - t) ** 2 for s, t in zip(a, b, strict=True)),
        "dot": lambda a, b: sum(s * t for s, t in zip(a, b, strict=True)),
        "cityblock": lambda a, b: sum(abs(s - t) for s, t in zip(a, b, strict=True)),
        "chebyshev": lambda a, b: max(abs(s - t) for s, t in zip(a, b, strict=True)),
        "hamming": lambda a, b: Fraction(sum(s != t for s, t in zip(a, b, strict=True)), len(a)),
        "jaccard": lambda a, b: Fraction(
            sum((s != 0) != (t != 0) for s, t in zip(a, b, strict=True)),
            max(1, sum(s != 0 or t != 0 for s, t in zip(a, b, strict=True))),
        ),
    }[metric]
    return [[pair(a, b) for b in rows[1]] for a in rows[0]]


@pytest.mark.parametrize("metric", ["sqeuclidean", "dot", "cityblock", "chebyshev", "hamming", "jaccard"])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_have_no_rounding_but_the_last(name, metric):
    x, y = arrays(name)
    true = exact(x, y, metric)
    value = pairwise_law.pairwise_distances(x, y, metric)
    assert value.tolist() == [[float(entry) for entry in row] for row in true]


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "dot", "cityblock", "hamming"])
@pytest.mark.parametrize("name", WHOLE)
def test_topk_of_whole_numbers_is_a_sort_of_fractions(name, metric):
    x, y = arrays(name)
    true = exact(x, y, "sqeuclidean" if metric == "euclidean" else metric)
    sign = -1 if metric == "dot" else 1
    order = [sorted(range(len(y)), key=lambda j: (sign * row[j], j)) for row in true]
    value, index = topk_law.topk(x, y, len(y), metric)
    assert index.tolist() == order
    root = math.sqrt if metric == "euclidean" else float
    assert value.tolist() == [[root(row[j]) for j in best] for row, best in zip(true, order, strict=True)]


def plain_total(terms):
    """The canonical sum in Python floats."""
    lane = [0.0] * 8
    for i, term in enumerate(terms):
        lane[i % 8] += term
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]))


def plain_scaled(row):
    exponent = math.frexp(max(map(abs, row)))[1]
    return [math.ldexp(value, -exponent) for value in row]


def plain_centred(row):
    mean = plain_total(row) / len(row)
    return [0.0 if len(set(row)) == 1 else value - mean for value in row]


def plain_cosine(a, b):
    xx, yy = (plain_total(s * s for s in row) for row in (a, b))
    if xx == 0 or yy == 0:
        return 1.0
    return 1 - min(1.0, max(-1.0, plain_total(s * t for s, t in zip(a, b, strict=True)) / math.sqrt(xx * yy)))


PLAIN = {
    "sqeuclidean": lambda a, b: plain_total((s - t) * (s - t) for s, t in zip(a, b, strict=True)),
    "euclidean": lambda a, b: math.sqrt(PLAIN["sqeuclidean"](a, b)),
    "dot": lambda a, b: plain_total(s * t for s, t in zip(a, b, strict=True)),
    "cosine": lambda a, b: plain_cosine(plain_scaled(a), plain_scaled(b)),
    "correlation": lambda a, b: plain_cosine(plain_centred(plain_scaled(a)), plain_centred(plain_scaled(b))),
    "cityblock": lambda a, b: plain_total(abs(s - t) for s, t in zip(a, b, strict=True)),
    "canberra": lambda a, b: plain_total(
        abs(s - t) / (abs(s) + abs(t)) if s or t else 0.0 for s, t in zip(a, b, strict=True)
    ),
    "hellinger": lambda a, b: math.sqrt(0.5 * PLAIN["sqeuclidean"]([*map(math.sqrt, a)], [*map(math.sqrt, b)])),
}


@pytest.mark.parametrize("metric", PLAIN)
def test_vectorised_over_pairs_equals_plain_floats(metric):
    for name in CASES:
        if "1e200" in name or "bfloat16" in name:
            continue
        x, y = (rows[:5] for rows in arrays(name, metric))
        value = pairwise_law.pairwise_distances(x, y, metric)
        plain = [[PLAIN[metric](a, b) for b in y.astype(np.float64).tolist()] for a in x.astype(np.float64).tolist()]
        assert value.tolist() == plain, name


SCIPY_NAMES = [
    name
    for name in CASES
    if not any(part in name for part in ("1e200", "1e-310", "1e-170", "1e150", "scales-float64", "no-query"))
]


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric not in ("dot", "hellinger")])
def test_the_law_agrees_with_scipy(metric):
    for name in SCIPY_NAMES:
        with naming(name):
            as_scipy_says(name, metric)


def as_scipy_says(name, metric):
    x, y = (rows.astype(np.float64) for rows in arrays(name, metric))
    value = pairwise_law.pairwise_distances(x, y, metric, **law_kwargs(metric))
    with np.errstate(all="ignore"):
        expected = cdist(x, y, metric, **law_kwargs(metric))
    tolerance = {"rtol": 1e-12}
    if metric in ("cosine", "correlation"):
        flat = [(rows == rows[:, :1]).all(1) if metric == "correlation" else ~rows.any(1) for rows in (x, y)]
        expected[flat[0]], expected[:, flat[1]] = 1.0, 1.0  # DESIGN section 2; SciPy: 0/0 or rounding noise
        tolerance = {"rtol": 0, "atol": 1e-9 if metric == "correlation" else 1e-14}
    if metric == "jensenshannon":
        noise = np.isnan(expected) & (value < 1e-7)  # the root of a rounding below zero, which the law counts as zero
        value, expected = np.square(value), np.square(np.where(noise, 0.0, expected))
        tolerance = {"rtol": 1e-9, "atol": 1e-15}
    np.testing.assert_allclose(value, expected, **tolerance)


@pytest.mark.parametrize("metric", METRICS)
def test_topk_and_pairwise_state_the_same_law(metric):
    """Two files that share nothing: `topk` is a stable sort of `pairwise_distances`."""
    for name in CASES:
        x, y = arrays(name, metric)
        value = pairwise_law.pairwise_distances(x, y, metric, **law_kwargs(metric))
        key = -value if metric == "dot" else value
        if metric == "euclidean":
            key = pairwise_law.pairwise_distances(x, y, "sqeuclidean")
        best, index = topk_law.topk(x, y, len(y), metric, **law_kwargs(metric))
        np.testing.assert_array_equal(index, np.argsort(key, axis=1, kind="stable"), name)
        np.testing.assert_array_equal(best, np.take_along_axis(value, index, axis=1), name)


@pytest.mark.parametrize("name", TIES)
def test_equal_values_come_lowest_index_first(name):
    x, y = arrays(name)
    value, index = topk_law.topk(x, y, len(y), "sqeuclidean")
    tied = value[:, 1:] == value[:, :-1]
    assert tied.any()
    assert (index[:, 1:] > index[:, :-1])[tied].all()


def test_nan_comes_last_and_empty_slots_after_it():
    x = np.array([[0.0], [np.nan]])
    y = np.array([[2.0], [np.nan], [1.0], [np.nan]])
    value, index = topk_law.topk(x, y, 4, mask=[True, True, True, False])
    assert index.tolist() == [[2, 0, 1, -1], [0, 1, 2, -1]]
    np.testing.assert_array_equal(value, [[1, 2, np.nan, np.inf], [np.nan, np.nan, np.nan, np.inf]])
    value, index = topk_law.topk(x, y, 4, "dot", mask=[True, True, True, False])
    np.testing.assert_array_equal(value[0], [0, 0, np.nan, -np.inf])
    assert index[0].tolist() == [0, 2, 1, -1]


def test_bias_is_added_after_the_root_and_its_own_sum_comes_first():
    x, y, u, v = np.array([[0.0]]), np.array([[3.0], [4.0]]), np.array([1e17]), np.array([-1e17, -1e17 - 16])
    value, index = topk_law.topk(x, y, 2, "euclidean", bias=(u, v))
    assert value.tolist() == [[-12.0, 3.0]]  # (3 + 1e17) - 1e17 would be 0
    assert index.tolist() == [[1, 0]]


def test_excluded_pairs_are_out_in_both_directions():
    x = np.arange(4.0)[:, None]
    rows, columns = topk_law.topk_both(x, x, 3, 4, exclude=[0, -1, 2, 3])
    assert rows[1].tolist() == [[1, 2, 3], [1, 0, 2], [1, 3, 0], [2, 1, 0]]
    assert columns[1].tolist() == [[1, 2, 3, -1], [1, 0, 2, 3], [1, 3, 0, -1], [2, 1, 0, -1]]


@pytest.mark.parametrize(("p", "metric"), [(1.0, "cityblock"), (2.0, "euclidean"), (np.inf, "chebyshev")])
def test_minkowski_delegates(p, metric):
    x, y = arrays("normal-9x31x8")
    expected = topk_law.topk(x, y, 31, metric)
    for part, other in zip(topk_law.topk(x, y, 31, "minkowski", p=p), expected, strict=True):
        np.testing.assert_array_equal(part, other)
    np.testing.assert_array_equal(
        pairwise_law.pairwise_distances(x, y, "minkowski", p=p), pairwise_law.pairwise_distances(x, y, metric)
    )


def test_minkowski_of_one_pair():
    value = pairwise_law.pairwise_distances(np.array([[1.0, 2]]), np.array([[3.0, -1]]), "minkowski", p=MINKOWSKI_P)
    assert value[0, 0] == pytest.approx(35 ** (1 / 3), rel=1e-15)


@pytest.mark.parametrize("with_bias", [False, True])
def test_transfer_against_fractions(with_bias):
    rng = np.random.default_rng(5)
    e, m, bias = rng.standard_normal((4, 11)), rng.standard_normal((3, 11)), rng.standard_normal(3)
    value = transfer_law.transfer(e, m, bias if with_bias else None)
    for r in range(4):
        for o in range(3):
            terms = [Fraction(a) * Fraction(b) for a, b in zip(e[r].tolist(), m[o].tolist(), strict=True)]
            true = sum(terms) + (Fraction(float(bias[o])) if with_bias else 0)
            bound = 13 * Fraction(1, 2**53) * (sum(map(abs, terms)) + abs(Fraction(float(bias[o]))))
            assert abs(Fraction(float(value[r, o])) - true) <= bound
    whole = rng.integers(-9, 10, (4, 11)), rng.integers(-9, 10, (3, 11))
    assert (transfer_law.transfer(*whole) == whole[0] @ whole[1].T).all()


def test_transfer_takes_the_matrix_each_row_names():
    rng = np.random.default_rng(6)
    e, m, bias = rng.integers(-9, 10, (5, 4)), rng.integers(-9, 10, (3, 2, 4)), rng.integers(-9, 10, (3, 2))
    which = [2, 0, 2, 1, 1]
    expected = [m[number] @ row + bias[number] for row, number in zip(e, which, strict=True)]
    assert (transfer_law.transfer_which(e, m, which, bias) == expected).all()


def test_transfer_divides_by_the_length():
    e, m = np.array([[1.0, 0], [0, 2], [0, 0], [3, 4]]), np.array([[3.0, 0], [4, 0], [0, 1]])
    expected = [[0.6, 0.8, 0], [0, 0, 1], [0, 0, 0], np.array([9, 12, 4]) / np.sqrt(241)]
    for scale in (1e-300, 1, 1e200):
        np.testing.assert_allclose(transfer_law.transfer(scale * e, m, normalize=True), expected, rtol=1e-15)
    which, biases = [1, 0, 1, 1], np.array([[0.0, 0, 0], [0, 0, 5]])
    value = transfer_law.transfer_which(e, np.array([m, m]), which, biases, normalize=True)
    np.testing.assert_allclose(value[2], [0, 0, 1])
    np.testing.assert_allclose(value[0], np.array([3, 4, 5]) / np.sqrt(50))


@pytest.mark.parametrize("spread", [0.0, 1e-5, 1.0, 30.0])
def test_log_sums_against_sixty_digits(spread):
    """Within what the judge grants the law, whatever the number of terms."""
    scores = spread * np.random.default_rng(8).uniform(-1, 0, (3, 5000))
    scores[:, 0] = 0
    with localcontext(prec=60):
        for found, terms in zip(softmax_law.softmax(scores), (scores, scores.T), strict=True):
            for value, row in list(zip(found, terms.tolist(), strict=True))[:5]:
                true = sum(Decimal(term).exp() for term in row).ln()
                assert abs(Decimal(float(value)) - true) <= (10 + math.log(len(row))) * 2.0**-53


def test_log_sums_of_what_is_not_finite():
    inf, nan = np.inf, np.nan
    scores = np.array([[-inf, -inf, -inf], [inf, 800.0, -inf], [inf, nan, 0.0], [nan, -inf, -inf], [-inf, 2.0, -inf]])
    rows, columns = softmax_law.softmax(scores)
    np.testing.assert_array_equal(rows, [-inf, inf, nan, nan, 2.0])
    np.testing.assert_array_equal(columns, [nan, nan, 0.0])
    np.testing.assert_array_equal(softmax_law.softmax(scores[:, :0])[0], np.full(5, -inf))
