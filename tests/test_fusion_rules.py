"""Late fusion by rules: each by its definition, written out for one query at a time, of matrices and of lists alike."""

import math
import re
from statistics import median

import numpy as np
import pytest

from crossmodal_fast import Matches, fusion
from crossmodal_fast.fusion import METHODS, fuse

WEIGHTS = [1.0, 3.0, 0.5]


def tables(m=6, n=9, count=3, seed=0, gaps=0.0, ties=False):
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 4, (count, m, n)).astype(float) if ties else rng.random((count, m, n))
    found[rng.random(found.shape) < gaps] = np.nan
    return list(found)


def lists_of(matrix):
    return [{j: x for j, x in enumerate(row) if not np.isnan(x)} for row in matrix]


def as_matches(matrix):
    rows, columns = np.nonzero(~np.isnan(matrix))
    return Matches(rows, columns, matrix[rows, columns])


def rank(scores, item):
    return 1 + sorted(scores, key=lambda other: (-scores[other], other)).index(item)


def condorcet(lists, weights, items, item):
    def ahead(one, other):
        votes = 0.0
        for weight, scores in zip(weights, lists, strict=True):
            place = [rank(scores, i) if i in scores else len(items) + 1 for i in (one, other)]
            votes += weight * ((place[0] < place[1]) - (place[0] > place[1]))
        return votes

    return sum(1.0 if ahead(item, o) > 0 else 0.5 if ahead(item, o) == 0 else 0.0 for o in items if o != item)


def borda(lists, weights, items, item):
    c = len(items)
    return sum(
        weight * (c - rank(scores, item) + 1 if item in scores else (c - len(scores) + 1) / 2)
        for weight, scores in zip(weights, lists, strict=True)
        if scores
    )


def of_scores(formula):
    return lambda lists, weights, items, item: formula(
        [scores[item] for scores in lists if item in scores],
        [weight for weight, scores in zip(weights, lists, strict=True) if item in scores],
    )


def of_ranks(formula):
    return lambda lists, weights, items, item: formula(
        [rank(scores, item) for scores in lists if item in scores],
        [weight for weight, scores in zip(weights, lists, strict=True) if item in scores],
    )


def dot(x, w):
    return sum(a * b for a, b in zip(x, w, strict=True))


DEFINED = {
    "sum": of_scores(dot),
    "mnz": of_scores(lambda x, w: len(x) * dot(x, w)),
    "gmnz": of_scores(lambda x, w: len(x) ** 2 * dot(x, w)),
    "anz": of_scores(lambda x, w: dot(x, w) / sum(w)),
    "max": of_scores(lambda x, w: max(x)),
    "min": of_scores(lambda x, w: min(x)),
    "median": of_scores(lambda x, w: median(x)),
    "product": of_scores(lambda x, w: math.prod(max(a, 1e-9) ** (b / sum(w)) for a, b in zip(x, w, strict=True))),
    "reciprocal_rank": of_ranks(lambda r, w: dot([1 / (60 + a) for a in r], w)),
    "isr": of_ranks(lambda r, w: len(r) * dot([1 / a**2 for a in r], w)),
    "log_isr": of_ranks(lambda r, w: math.log(len(r)) * dot([1 / a**2 for a in r], w)),
    "logn_isr": of_ranks(lambda r, w: math.log(len(r) + 0.01) * dot([1 / a**2 for a in r], w)),
    "rbc": of_ranks(lambda r, w: dot([0.2 * 0.8 ** (a - 1) for a in r], w)),
    "borda": borda,
    "condorcet": condorcet,
}
ORDERED = ("max", "min", "median")
ZERO = ("reciprocal_rank", "isr", "log_isr", "logn_isr", "rbc")


def test_every_method_is_defined_here():
    assert set(DEFINED) == set(METHODS) - {"weighted_sum"}  # which tests/test_fusion.py defines


@pytest.mark.parametrize("method", DEFINED)
@pytest.mark.parametrize("gaps", [0.0, 0.5])
@pytest.mark.parametrize("ties", [False, True])
def test_of_matrices(method, gaps, ties):
    scores = tables(gaps=gaps, ties=ties, seed=3)
    weights = None if method in ORDERED else WEIGHTS
    fused = fuse(scores, weights, method=method)
    rows = [lists_of(matrix) for matrix in scores]
    for i, j in np.ndindex(fused.shape):
        lists = [of_modality[i] for of_modality in rows]
        items = sorted(set().union(*lists))
        if j in items:
            expected = DEFINED[method](lists, weights or [1.0] * 3, items, j)
            np.testing.assert_allclose(fused[i, j], expected, rtol=1e-12, atol=1e-12)
        else:
            assert fused[i, j] == 0 if method in ZERO else np.isnan(fused[i, j])


@pytest.mark.parametrize("method", DEFINED)
@pytest.mark.parametrize("ties", [False, True])
def test_of_lists(method, ties):
    scores = tables(gaps=0.5, ties=ties, seed=5)
    scores[1][2] = np.nan  # one query without a list in one modality
    for matrix in scores:
        matrix[4] = np.nan  # one without any
    weights = None if method in ORDERED else WEIGHTS
    fused = fuse([as_matches(matrix) for matrix in scores], weights, method=method)
    rows = [lists_of(matrix) for matrix in scores]
    expected = {}
    for i in range(6):
        lists = [of_modality[i] for of_modality in rows]
        items = sorted(set().union(*lists))
        expected |= {(i, j): DEFINED[method](lists, weights or [1.0] * 3, items, j) for j in items}
    found = list(zip(fused.rows.tolist(), fused.columns.tolist(), strict=True))
    assert sorted(found) == sorted(expected)
    np.testing.assert_allclose(fused.scores, [expected[pair] for pair in found], rtol=1e-12, atol=1e-12)
    order = np.lexsort((fused.columns, -fused.scores, fused.rows))
    np.testing.assert_array_equal(order, np.arange(len(order)))


@pytest.mark.parametrize("method", METHODS)
def test_lists_need_no_small_numbers_and_blocks_do_not_matter(method, monkeypatch):
    lists = [as_matches(matrix) for matrix in tables(gaps=0.5, ties=True, seed=6)]
    expected = fuse(lists, method=method)
    far = 2**60
    moved = [Matches(one.rows * 10**12, one.columns + far, one.scores) for one in lists]
    monkeypatch.setattr(fusion._tables, "BLOCK_SCORES", 60)
    monkeypatch.setattr(fusion._rules, "BLOCK_PAIRS", 7)
    fused = fuse(moved, method=method)
    np.testing.assert_array_equal(fused.scores, expected.scores)
    np.testing.assert_array_equal(fused.rows, expected.rows * 10**12)
    np.testing.assert_array_equal(fused.columns, expected.columns + far)


@pytest.mark.parametrize("method", METHODS)
def test_a_modality_of_weight_zero_is_not_heard(method):
    scores = tables(gaps=0.3, seed=7)
    np.testing.assert_allclose(
        fuse([*scores, 1 - scores[0]], [1.0, 1.0, 1.0, 0.0], method=method)[~np.isnan(scores).all(axis=0)],
        fuse(scores, method=method)[~np.isnan(scores).all(axis=0)],
        rtol=1e-14,
    )


def test_condorcet_elects_whom_every_majority_prefers():
    # The textbook case where plurality elects 0 and the Condorcet winner is 2.
    votes = [[[3, 1, 2.0]]] * 4 + [[[1, 3, 2.0]]] * 3 + [[[1, 2, 3.0]]] * 2
    assert fuse(votes, method="condorcet").tolist() == [[0, 1, 2]]
    assert fuse(votes[:1] + votes[4:5] + votes[7:8], [4, 3, 2], method="condorcet").tolist() == [[0, 1, 2]]


def test_two_lists_by_borda_as_ranx_has_it():
    first = Matches([0, 0, 0], [1, 2, 3], [0.3, 0.2, 0.1])
    second = Matches([0, 0], [4, 2], [0.9, 0.8])
    fused = fuse([first, second], method="borda")  # four candidates: 1, 2, 3, 4
    by_item = dict(zip(fused.columns.tolist(), fused.scores.tolist(), strict=True))
    assert by_item == {1: 4 + 1.5, 2: 3 + 3, 3: 2 + 1.5, 4: 1 + 4}


@pytest.mark.parametrize("lists", [False, True])
def test_borda_normaliser_gives_the_rest_their_share(lists):
    scores = tables(gaps=0.5, seed=9)
    given = [as_matches(matrix) for matrix in scores] if lists else scores
    fused = fuse(given, WEIGHTS, normalizer="borda")
    points = fuse(given, WEIGHTS, method="borda")
    # 1 - (r - 1)/c is the points over c, and so is 1/2 - (n - 1)/(2 c) for the rest
    if lists:
        points = Matches(*points)
        candidates = np.bincount(points.rows)[points.rows]
        found = {pair: s for *pair, s in zip(*fused, strict=True) for pair in [tuple(pair)]}
        for row, column, score, c in zip(*points, candidates, strict=True):
            np.testing.assert_allclose(found[row, column], score / c / sum(WEIGHTS), rtol=1e-12)
    else:
        candidates = (~np.isnan(scores).all(axis=0)).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(fused, points / candidates / sum(WEIGHTS), rtol=1e-12)


def test_product_of_small_scores_does_not_vanish():
    scores = [np.full((1, 2), 1e-5)] * 100
    np.testing.assert_allclose(fuse(scores, method="product"), 1e-5, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: fuse([np.eye(2)], method="best"), ValueError,
         f"method must be one of {', '.join(METHODS)}, got 'best'"),
        (lambda: fuse([np.eye(2)], method="max", k=3), TypeError,
         "keywords of method='max' must be among: none, got k"),
        (lambda: fuse([np.eye(2)], method="gmnz", k=3), TypeError,
         "keywords of method='gmnz' must be among: gamma, got k"),
        (lambda: fuse([np.eye(2)], method="gmnz", gamma=-1), ValueError, "gamma must be finite and at least 0, got -1"),
        (lambda: fuse([np.eye(2)], method="logn_isr", sigma="x"), TypeError, "sigma must be a number, got 'x'"),
        (lambda: fuse([np.eye(2)], method="rbc", phi=1.5), ValueError, "phi must be in 0..1, got 1.5"),
        (lambda: fuse([np.eye(2)] * 2, [1, 2], method="max"), ValueError,
         "weights must be equal, or 0 to leave a modality out, with method='max', got [1.0, 2.0]"),
        *((lambda given=given, keywords=keywords: fuse(given, **keywords), ValueError,
           "scores must be fused within the range of float64, got larger ones; make them smaller")
          for given, keywords in (
              ([[[1e308]]] * 3, {"method": "sum"}),
              ([Matches([0], [0], [1e308])] * 3, {"method": "sum"}),
              ([[[1e308, -1e308]]], {"normalizer": "minmax"}),
              ([np.eye(2)] * 3, {"method": "gmnz", "gamma": 1e4}),
          )),
        (lambda: fuse([-np.eye(2)], method="product"), ValueError,
         "scores must be at least 0 with method='product', got -1; normalizer='minmax' makes them so"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
