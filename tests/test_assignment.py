"""One-to-one matching: greedy and the largest total, with its dual proof, against brute force and SciPy."""

import re
from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import crossmodal_fast as cmf
from crossmodal_fast import Assignment, match
from crossmodal_fast.matching import _assignment
from matching import FAST, cosine, greedy_pairs, sides

SHAPES = [(1, 1), (1, 7), (7, 1), (6, 6), (5, 9), (9, 5), (40, 40), (33, 60), (60, 33)]
SOLVERS = ("dense", "sparse")


def proves(found, score, tolerance=1e-12):
    """Dual feasible, prices of the longer side >= 0 and 0 where unmatched, no gap, and SciPy's total."""
    m, n = score.shape
    assert isinstance(found, Assignment)
    assert len(found.rows) == min(m, n) == len(set(found.rows.tolist())) == len(set(found.columns.tolist()))
    np.testing.assert_allclose(found.scores, score[found.rows, found.columns], rtol=1e-12, atol=1e-12)
    scale = np.abs(score).max()
    assert (found.u[:, None] + found.v - score).min() >= -tolerance * scale
    for side, matched, free in ((found.v, found.columns, m <= n), (found.u, found.rows, m > n)):
        if free:
            assert side.min() >= 0
            np.testing.assert_array_equal(np.delete(side, matched), 0)
    assert abs(found.gap) <= tolerance * scale * min(m, n)
    assert found.gap == pytest.approx(found.u.sum() + found.v.sum() - found.scores.sum(), abs=1e-12 * scale)
    best = score[linear_sum_assignment(score, maximize=True)].sum()
    np.testing.assert_allclose(found.scores.sum(), best, rtol=1e-12, atol=tolerance * scale)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_assignment_of_embeddings(m, n, solver):
    X, Y = sides(m, n, seed=m + n)
    proves(match(X, Y, "assignment", solver=solver, candidates=2, **FAST), cosine(X, Y))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_assignment_of_ready_scores_with_many_ties(m, n, solver):
    score = np.random.default_rng(m * n).integers(-3, 4, (m, n)).astype(np.float64)
    proves(match(score, method="assignment", solver=solver, candidates=3, metric="precomputed"), score)
    proves(match(1e6 + score, method="assignment", solver=solver, metric="precomputed"), 1e6 + score)


@pytest.mark.parametrize("solver", SOLVERS)
def test_assignment_is_the_best_permutation(solver):
    score = np.random.default_rng(1).standard_normal((6, 6))
    best = max(sum(score[i, j] for i, j in enumerate(order)) for order in permutations(range(6)))
    found = match(score, method="assignment", solver=solver, metric="precomputed")
    assert found.scores.sum() == pytest.approx(best)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("metric", ["euclidean", "dot", "cityblock"])
def test_assignment_of_other_metrics(metric, solver):
    X, Y = sides(20, 24)
    d = cmf.pairwise_distances(X, Y, metric, backend="numpy")
    proves(match(X, Y, "assignment", solver=solver, metric=metric, **FAST), d if metric == "dot" else -d)


def test_hubs_make_the_candidates_grow():
    """All rows want the same few columns: one candidate each is far from enough."""
    rng = np.random.default_rng(2)
    score = rng.standard_normal((60, 80)) + 10 * (np.arange(80) < 5)
    proves(match(score, method="assignment", solver="sparse", candidates=1, metric="precomputed"), score)


def test_rows_that_are_all_equal():
    X = np.ones((12, 3))
    for solver in SOLVERS:
        found = match(X, X, "assignment", solver=solver, candidates=1, **FAST)
        proves(found, np.ones((12, 12)))
    assert match(X, X, "greedy", **FAST).pairs.tolist() == [[i, i] for i in range(12)]


def test_auto_makes_no_large_matrix(monkeypatch):
    X, Y = sides()
    seen = []
    sparse = _assignment._sparse
    monkeypatch.setattr(_assignment, "_sparse", lambda *given: (seen.append(1), sparse(*given))[1])
    match(X, Y, "assignment", **FAST)
    assert not seen
    monkeypatch.setattr(_assignment, "DENSE", 23 * 17 - 1)
    match(X, Y, "assignment", **FAST)
    assert seen == [1]
    found = match(X.astype(np.float32), Y, "assignment", dtype=np.float32, **FAST)
    assert found.scores.dtype == np.float32
    assert found.gap == pytest.approx(0, abs=1e-12)


def test_prices_ask_again_only_the_rows_that_fell():
    """The bits of all rows in each step, from a fraction of them."""
    X, Y = sides(120, 150, seed=8)
    score = cosine(X, Y)
    columns, asked = linear_sum_assignment(score, maximize=True)[1], []
    matched = score[np.arange(120), columns]

    def needed(u, rows):
        asked.append(len(rows))
        return (score[rows] - u[rows, None]).max(axis=0)

    v, steps = np.zeros(150), 0
    while True:
        raised = np.maximum(v, (score - (matched - v[columns])[:, None]).max(axis=0))
        steps += 1
        if (raised - v).max() <= _assignment.ROUNDING * np.abs(matched).max():
            break
        v = raised
    v[np.setdiff1d(np.arange(150), columns)] = 0
    np.testing.assert_array_equal(_assignment._prices(matched, columns, needed, 150), v)
    assert steps > 5
    assert sum(asked) < 120 * steps / 2


@pytest.mark.parametrize("candidates", [1, 2, 16])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_greedy(m, n, candidates):
    X, Y = sides(m, n, seed=m + n)
    s = cosine(X, Y)
    found = match(X, Y, "greedy", candidates=candidates, **FAST)
    assert list(map(tuple, found.pairs.tolist())) == greedy_pairs(s)
    np.testing.assert_allclose(found.scores, s[found.rows, found.columns], rtol=1e-12)
    ties = np.random.default_rng(m * n).integers(0, 3, (m, n))
    found = match(ties, method="greedy", candidates=candidates, metric="precomputed")
    assert list(map(tuple, found.pairs.tolist())) == greedy_pairs(ties)


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
def test_parameters_of_a_metric_come_from_all_rows(metric):
    """Also where a method goes on with some of them."""
    X, Y = sides(30, 30, seed=3)
    score = -cmf.pairwise_distances(X, Y, metric, backend="numpy")
    found = match(X, Y, "greedy", candidates=1, metric=metric, **FAST)
    assert list(map(tuple, found.pairs.tolist())) == greedy_pairs(score)
    np.testing.assert_allclose(found.scores, score[found.rows, found.columns], rtol=1e-9)


def test_precision_is_one_of_searches():
    """What a method computes beside its searches is not asked for it."""
    X, Y = sides()
    for method in ("csls", "dual_softmax", "assignment", "sinkhorn"):
        for given, metric in (((X, Y), "cosine"), ((cosine(X, Y),), "precomputed")):
            options = {"method": method, "metric": metric, **FAST}
            one, other = (match(*given, precision=precision, **options) for precision in ("auto", "float32"))
            np.testing.assert_array_equal(one.pairs, other.pairs)


def test_greedy_has_at_least_half_of_the_best_total():
    for seed in range(5):
        score = np.random.default_rng(seed).random((30, 30))
        greedy, best = (
            match(score, method=name, metric="precomputed").scores.sum() for name in ("greedy", "assignment")
        )
        assert best / 2 <= greedy <= best + 1e-12


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: match(np.eye(3), np.eye(3), "assignment", solver="jv"), ValueError,
         "solver must be one of auto, dense, sparse, got 'jv'"),
        (lambda: match(np.eye(3), np.eye(3), "assignment", candidates=0), ValueError,
         "candidates must be at least 1, got 0"),
        (lambda: match(np.eye(3), np.eye(3), "greedy", k=2), TypeError,
         "k must be left out with method='greedy', which takes candidates, got 2"),
        (lambda: match(np.eye(3), np.eye(3), "assignment", mask=[True]), TypeError,
         "mask must be left out with method='assignment', which takes solver, candidates, got [True]"),
        (lambda: match(np.empty((0, 3)), np.eye(3), "greedy"), ValueError,
         "X must have at least one row, got shape (0, 3)"),
        (lambda: match([[np.nan, 1.0]], method="assignment", metric="precomputed"), ValueError,
         "X must hold finite scores, got nan in row 0; rule a pair out by a low one"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
