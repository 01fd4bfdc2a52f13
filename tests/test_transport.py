"""Sinkhorn: marginals, the plan by brute force in the log domain, its limits, and its sentences."""

import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import crossmodal_fast as cmf
from crossmodal_fast import Plan, match
from matching import FAST, agrees, cosine, sides


def log_sum(terms, axis):
    return np.logaddexp.reduce(terms, axis=axis)


def potentials(cost, epsilon, a, b, rho=np.inf, iterations=500):
    """Formulas section 5, on the whole matrix."""
    f, g = np.zeros(len(a)), np.zeros(len(b))
    share = 1 if np.isinf(rho) else rho / (rho + epsilon)
    for _ in range(iterations):
        f = share * epsilon * (np.log(a) - log_sum((g - cost) / epsilon, 1))
        g = share * epsilon * (np.log(b) - log_sum((f[:, None] - cost) / epsilon, 0))
    return (f[:, None] + g - cost) / epsilon


def log_plan(found, cost, epsilon):
    return (found.f[:, None] + found.g - cost) / epsilon


@pytest.mark.parametrize("keep_scores", [False, True])
@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_plan_and_its_marginals(dtype, levels, keep_scores):
    X, Y = (side.astype(dtype) for side in sides())
    cost, epsilon = 1 - cosine(*(side.astype(np.float64) for side in (X, Y))), 0.1
    close = 1e-5 if dtype == np.float32 else 1e-9
    found = match(
        X, Y, "sinkhorn", epsilon=epsilon, levels=levels, k=17, tolerance=close / 100, keep_scores=keep_scores, **FAST
    )
    assert isinstance(found, Plan)
    assert found.error <= close / 100
    assert found.scores.dtype == dtype
    plan = log_plan(found, cost, epsilon)
    np.testing.assert_allclose(np.exp(plan).sum(axis=1), 1 / 23, rtol=close)
    np.testing.assert_allclose(np.exp(plan).sum(axis=0), 1 / 17, rtol=close)
    np.testing.assert_allclose(
        plan, potentials(cost, epsilon, np.full(23, 1 / 23), np.full(17, 1 / 17)), atol=10 * close
    )
    agrees(found, plan, 17, rtol=1e-5 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("rho", [None, 0.5])
def test_other_marginals_and_unbalanced_plans(rho):
    X, Y = sides(9, 12, seed=1)
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0.5, 2, 9), rng.uniform(0.5, 2, 12)
    if rho is None:
        b *= a.sum() / b.sum()
    cost = cmf.pairwise_distances(X, Y, "euclidean", backend="numpy")
    found = match(X, Y, "sinkhorn", metric="euclidean", epsilon=0.3, marginals=(a, b), rho=rho, tolerance=1e-12, **FAST)
    expected = potentials(cost, 0.3, a, b, np.inf if rho is None else rho)
    np.testing.assert_allclose(log_plan(found, cost, 0.3), expected, atol=1e-8)
    agrees(found, expected, 1, rtol=1e-7)


@pytest.mark.parametrize("retrieval", ["backward", "intersect", "max"])
def test_directions(retrieval):
    X, Y = sides(seed=3)
    s = cosine(X, Y)
    found = match(s, method="sinkhorn", metric="precomputed", epsilon=0.2, retrieval=retrieval)
    agrees(found, log_plan(found, -s, 0.2), 1, retrieval)


def test_a_small_epsilon_leads_to_the_assignment():
    """n times the dual value is the least cost, and the plan's best pairs are the assignment."""
    X, Y = sides(8, 8, seed=4)
    score = cosine(X, Y)
    rows, columns = linear_sum_assignment(score, maximize=True)
    gaps = []
    for epsilon in (0.2, 0.05, 0.02):
        found = match(score, method="sinkhorn", metric="precomputed", epsilon=epsilon, iterations=400, **FAST)
        gaps.append(abs(found.f.sum() / 8 + found.g.sum() / 8 + score[rows, columns].mean()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.02 * np.log(64)  # the entropy of a plan is at most log(8 * 8)
    np.testing.assert_array_equal(found.columns, columns)


def test_a_large_epsilon_spreads_evenly():
    X, Y = sides(6, 4)
    found = match(X, Y, "sinkhorn", epsilon=1e6, k=4, **FAST)
    np.testing.assert_allclose(found.scores, np.log(1 / 24), rtol=1e-5)


def test_it_stops_where_it_is_told_to():
    X, Y = sides()
    found = match(X, Y, "sinkhorn", epsilon=0.01, iterations=3, levels=0, **FAST)
    assert found.iterations == 3
    plan = np.exp(log_plan(found, 1 - cosine(X, Y), 0.01))
    assert found.error == pytest.approx(np.abs(plan.sum(axis=1) - 1 / 23).sum(), rel=1e-9)
    assert found.error > 1e-3


def test_equal_rows_go_by_lowest_index():
    X = np.repeat(np.eye(3), 2, axis=0)
    assert match(X, X, "sinkhorn", **FAST).columns.tolist() == [0, 0, 2, 2, 4, 4]
    assert match(X, X[:1], "sinkhorn", **FAST).columns.tolist() == [0] * 6


def test_both_backends_agree():
    X, Y = (side.astype(np.float32) for side in sides(40, 30, seed=5))
    found = [match(X, Y, "sinkhorn", backend=backend, iterations=30, tolerance=0) for backend in ("numpy", "numba")]
    np.testing.assert_allclose(found[0].f, found[1].f, atol=1e-5)
    np.testing.assert_array_equal(found[0].pairs, found[1].pairs)


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"k": 4}, ValueError, "k must be in 1..3 (the rows of Y), got 4"),
        ({"retrieval": 1}, ValueError, "retrieval must be one of forward, backward, intersect, union, max, got 1"),
        ({"epsilon": 0}, ValueError, "epsilon must be a finite number above 0, got 0"),
        ({"rho": -1}, ValueError, "rho must be a finite number above 0, got -1"),
        ({"tolerance": -1}, ValueError, "tolerance must be finite and at least 0, got -1"),
        ({"iterations": 0}, ValueError, "iterations must be at least 1, got 0"),
        ({"levels": 1.5}, TypeError, "levels must be a whole number, got 1.5"),
        ({"keep_scores": 1}, ValueError, "keep_scores must be True or False, got 1"),
        ({"keep_scores": True, "max_bytes": 100}, ValueError,
         "max_bytes must be at least 144 with keep_scores=True, got 100"),
        ({"marginals": np.ones(3)}, TypeError,
         "marginals must be a pair (of the rows, of the columns), got an array of shape (3,)"),
        ({"marginals": ([1.0, 1.0], [1.0] * 3)}, ValueError, "marginals[0] must have shape (3,), got (2,)"),
        ({"marginals": ([1.0] * 3, [1.0, 0.0, 1.0])}, ValueError,
         "marginals[1] must be finite and above 0, got 0.0; leave such rows out"),
        ({"marginals": ([1.0] * 3, [1.0, 1.0, 2.0])}, ValueError,
         "marginals must have equal sums without rho, got 3 and 4"),
        ({"bias": (0, 0)}, TypeError,
         "bias must be left out with method='sinkhorn', which takes k, epsilon, marginals, rho, iterations, tolerance, "
         "levels, keep_scores, retrieval, got (0, 0)"),
    ],
)  # fmt: skip
def test_sentences(options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        match(EYE, EYE, "sinkhorn", **options)
