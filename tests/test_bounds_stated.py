"""How near real errors come to those that docs/accuracy.md states: rows made so that all roundings go one way.

Each share is that of the best attack known, and stands in docs/attacks.md as it is asserted here. Where it stays below
a half, the docstring says why.
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast.kernels.tiles import metrics, nearness
from test_bounds_float import BITS, exact_product, in_order, one_way
from test_direct import law, values


def decimal(fraction):
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)


# ------------------------------------------------------------------------------------------------------------- transfer


def mapped(d, dtype, **more):
    """(two features of a mapped row, their exact values, the sums of magnitudes) under a product that adds in order."""
    e, rows = (part.astype(dtype) for part in one_way(d, dtype))
    m = np.stack([rows[1] / 2, rows[0]])
    with mock.patch.object(np, "matmul", lambda left, right, out: in_order(left, right, out)):
        found = cmf.transfer(e, m, backend="numpy", **more)[0]
    exact = [exact_product(row, e[0]) for row in m]
    return found, exact, exact  # of numbers that are not negative


@pytest.mark.parametrize("dtype", BITS)
def test_transfer_errs_by_what_it_may(dtype):
    """Of gamma for d_in + 2 steps, 0.98 at d_in = 256: BLAS as it is, for two rows and more, loses as much."""
    found, exact, size = mapped(256, dtype)
    unit = 258 * Fraction(1, 2 ** BITS[dtype])
    gamma = unit / (1 - unit)
    share = [(Fraction(float(v)) - y) / (gamma * s) for v, y, s in zip(found, exact, size, strict=True)]
    assert Fraction(98, 100) < share[0] <= 1
    assert -1 <= share[1] < -Fraction(98, 100)


@pytest.mark.parametrize("dtype", BITS)
def test_unit_rows_of_transfer_err_by_half_of_what_they_may(dtype):
    """Half is all there is: docs/accuracy.md shows why."""
    found, exact, size = mapped(256, dtype, normalize=True)
    unit = 258 * 2.0 ** -BITS[dtype]
    with localcontext(prec=60):
        exact = [decimal(value) for value in exact]
        length = (exact[0] ** 2 + exact[1] ** 2).sqrt()
        error = float(Decimal(float(found[0])) - exact[0] / length)
    w = [unit / (1 - unit) * float(part) for part in size]
    bound = (w[0] + math.hypot(*w)) / float(length) + 2.0 ** -BITS[dtype] + 6 * 2.0**-53
    assert 0.47 < error / bound <= 0.5


# ------------------------------------------------------------------------------------------------------------ distances


def exact_square(x, y):
    return sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))


def chunks_one_way(opposite, chunks=63, features=16):
    """Rows of chunks of features, each a 1 and numbers whose products it loses; some chunks have the opposite sign.

    Codes have the square 46340^2, a chunk of 63 a little above 2^25: the products are just below half its last place.
    """
    small = np.sqrt(1.97 * chunks / 46340.0**2)
    x = np.full((chunks, features), small)
    x[:, 0] = 1
    y = x.copy()
    y[:opposite, 0] = -1
    return x.reshape(1, -1).astype(np.float32), y.reshape(1, -1).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "opposite", "share"), [("euclidean", 20, 0.65), ("sqeuclidean", 24, 0.55), ("dot", 8, 0.5)]
)
def test_half_of_the_promise_of_distances_is_used_on_numba(metric, opposite, share):
    x, y = chunks_one_way(opposite)
    found = Fraction(float(cmf.pairwise_distances(x, np.concatenate([y, -y]), metric, backend="numba")[0, 0]))
    if metric == "dot":
        true, scale = exact_product(x[0], y[0]), Fraction(float(np.linalg.norm(x) * np.linalg.norm(y)))
    else:
        true = exact_square(x[0], y[0])
        true = scale = true if metric == "sqeuclidean" else Fraction(math.sqrt(true))
    assert share < abs(found - true) / scale * 10**6 <= 1


def blas_adds_in_order(d):
    x, y = one_way(d, "float64")
    return float((np.tile(x, (4, 1)) @ np.tile(y[:1], (8, 1)).T)[0, 0]) == y[0, 0]  # of the size that is judged


@pytest.mark.parametrize(("dtype", "shares"), [(np.float32, (0.33, 0.4)), (np.float64, (0.16, 0.21))])
def test_two_fifths_of_the_promise_of_distances_are_used_on_numpy(dtype, shares):
    """Half of what the expansion may lose: of S^2 in its bound, half is for squares of rows, which are added in lanes.

    A pair as near as is left to the expansion: 0.8 of the promise is its share, the rest is for roundings afterwards.
    For float64 the features go in pieces of 64, and the limit itself is computed from a value that is off by as much.
    """
    d, promise, beyond = (128, 1e-6, 1.001) if dtype == np.float32 else (256, 1e-13, 1.3)
    if not blas_adds_in_order(d):
        pytest.skip("this BLAS does not add feature after feature")
    steps = d + 9 if dtype == np.float32 else 64 + d // 64 + 8
    least = 2 * math.sqrt(1.01 * steps * 2.0**-53 / (0.8 * promise)) * beyond
    rows = np.full((2, d), 2.0**-27)
    rows[1] *= 1 + 2.0**-10  # products with these are above half a last place
    rows[:, 0], rows[:, -1] = 1, least
    x = np.full((4, d), 2.0**-26)
    x[:, 0], x[:, -1] = 1, 0
    x, y = x.astype(dtype), np.concatenate([rows, rows, -rows, -rows]).astype(dtype)
    found = cmf.pairwise_distances(x, y, "sqeuclidean", backend="numpy")[0]
    true = [exact_square(x[0], row) for row in y[:2]]
    share = [float((Fraction(float(v)) - t) / t) / promise for v, t in zip(found, true, strict=False)]
    assert shares[0] < share[0] <= 1
    assert -1 <= share[1] < -shares[1]


# ---------------------------------------------------------------------------------------------------------- log-sum-exp


@pytest.mark.parametrize("count", [1000, 100_000])
def test_two_fifths_of_the_bound_of_log_sums_are_used(count):
    """Distances from the largest term that float32 rounds by half a last place, all of them the same way.

    What they weigh is at most log N of 10 + log N, nearly so where they are many and 8 to 16 below the largest. The 10
    are for exponentials, of which NumPy's and ours take 1 or 2: a half is out of reach below 10^5 terms.
    """
    below = {1000: 4 + 0.999 * 2.0**-22, 100_000: 8.679480552196503 + 0.999 * 2.0**-21}[count]
    bias = np.full(count, -below)
    bias[0] = 0
    scores = np.zeros((1, count), np.float32)
    found = cmf.logsumexp(scores, metric="precomputed", bias=(np.zeros(1), bias), backend="numpy")[0]
    with localcontext(prec=60):
        true = (1 + (count - 1) * Decimal(-below).exp()).ln()
        error = float(Decimal(float(found)) - true)
    bound = (10 + math.log(count)) * 2.0**-24 + 2.0**-51 * below + (count + 8) * 2.0**-53
    assert {1000: 0.2, 100_000: 0.4}[count] < error / bound <= 1


# -------------------------------------------------------------------------------------------- what comes before a bound


def test_a_mean_errs_by_a_sixth_of_what_it_may():
    """Of what correlation allows for: numbers that a sum in order rounds down by nearly half a last place each.

    Partial sums grow up to the whole, so half of d v is the most; and ours and the canonical mean, each with half of E,
    would have to err in opposite ways.
    """
    d = 512
    row, total = np.ones(d), 0.0
    for c in range(d):
        if c >= 4:
            row[c] += np.spacing(total) / 2 - 2.0**-52
        total += row[c]
    exact = sum(map(Fraction, row.tolist())) / d
    apart = abs(exact - Fraction(total / d)) * Fraction(math.sqrt(d))
    length = float(np.linalg.norm(row - row.mean()))
    share = apart / Fraction(2 * (d + 2) * 2.0**-53 * math.sqrt(d) * (length + 1))
    assert Fraction(16, 100) < share <= Fraction(1, 2)


def near_share(metric, x, y):
    """The largest error of a near value, of what `nearness.error` allows for."""
    found, true = values(metric, x, y), law(metric, x, y)
    relative, absolute = nearness.error(metric, x.shape[1])
    return float((np.abs(found - true) / (relative * true + absolute)).max())


@pytest.mark.parametrize(("p", "least"), [(3.0, 0.003), pytest.param(7.3, 0.003, marks=pytest.mark.heavy)])
def test_near_values_of_minkowski_err_by_little_of_what_they_may(p, least):
    """A power is allowed 2^-39 of itself, whatever its exponent: |p log2| <= 1024 costs 10 bits, a polynomial's proof 3
    more. What is measured is a hundredth at most: that costs candidates within 1e-11 of each other, and nothing else.
    """
    rng = np.random.default_rng(1)
    metric, shares = metrics.metric("minkowski", 1, {"p": p}), []
    for _ in range(20):
        x = 2.0 ** (1021 / p * rng.uniform(-1, 1, (32, 1))) * rng.uniform(0.5, 1, (32, 1))
        shares.append(near_share(metric, x, np.zeros((1, 1))))
    assert least < max(shares) <= 1


@pytest.mark.heavy
def test_near_values_of_minkowski_that_vanish_err_by_what_they_may():
    """The absolute part: gaps whose powers are below float64 count as nothing."""
    metric = metrics.metric("minkowski", 1, {"p": 63.9})
    x = 2.0 ** np.linspace(-1080 / 63.9, -1010 / 63.9, 4000)[:, None]
    assert 0.62 < near_share(metric, x, np.zeros((1, 1))) <= 1


@pytest.mark.parametrize("d", [8, 64])
def test_near_values_of_jensenshannon_err_by_a_tenth_of_what_they_may(d):
    """Rows that are nearly equal, where what is under the root is all rounding: the root of a hundredth. Its bound adds
    up magnitudes of d terms of either formula; their signs differ, and their errors with them.
    """
    rng = np.random.default_rng(0)
    metric, shares = metrics.metric("jensenshannon", d, None), []
    for trial in range(30):
        x = rng.random((32, d)) ** rng.integers(1, 9)
        y = np.abs(x * (1 + 10.0 ** -rng.integers(6, 17) * rng.standard_normal((32, d))))
        y = rng.permuted(x, axis=1) if trial % 3 == 0 else y
        shares.append(near_share(metric, *(rows / rows.sum(axis=1, keepdims=True) for rows in (x, y))))
    assert 0.1 < max(shares) <= 1
