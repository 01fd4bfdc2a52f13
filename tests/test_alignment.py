"""Iterated mutual best pairs, and ragged batches, against brute force; their sentences."""

import re

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import match, match_segments
from matching import FAST, cosine, sides


def iterated(score, rounds, alpha):
    """The definition in loops."""
    m, n = score.shape
    found = []
    for _ in range(rounds):
        rows, columns = {i for i, _ in found}, {j for _, j in found}

        def worth(i, j, rows=rows, columns=columns):
            if i in rows and j in columns:
                return -np.inf
            if i in rows or j in columns:
                return score[i, j] * alpha if score[i, j] > 0 else score[i, j] / alpha
            return score[i, j]

        now = np.array([[worth(i, j) for j in range(n)] for i in range(m)])
        new = [
            (i, j)
            for i in range(m)
            for j in range(n)
            if now[i, j] > -np.inf and now[i].argmax() == j and now[:, j].argmax() == i
        ]
        if not new:
            break
        found += new
    return sorted(found)


@pytest.mark.parametrize("rounds", [1, 2, 5])
@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.0])
def test_itermax(rounds, alpha):
    for seed, (m, n) in enumerate([(1, 1), (1, 6), (8, 5), (12, 12), (7, 15)]):
        X, Y = sides(m, n, seed=seed)
        s = cosine(X, Y)
        found = match(X, Y, "itermax", rounds=rounds, alpha=alpha, **FAST)
        assert sorted(map(tuple, found.pairs.tolist())) == iterated(s, rounds, alpha)
        np.testing.assert_allclose(found.scores, s[found.rows, found.columns], rtol=1e-12)
        ties = np.random.default_rng(seed).integers(-2, 3, (m, n))
        found = match(ties, method="itermax", rounds=rounds, alpha=alpha, metric="precomputed")
        assert sorted(map(tuple, found.pairs.tolist())) == iterated(ties, rounds, alpha)


def test_one_round_is_mutual_nearest_neighbours():
    X, Y = sides()
    for part, other in zip(match(X, Y, "itermax", rounds=1, **FAST), match(X, Y, "mutual", **FAST), strict=True):
        np.testing.assert_array_equal(part, other)


def test_equal_rows_go_by_lowest_index():
    X = np.repeat(np.random.default_rng(1).standard_normal((3, 40)), 3, axis=0)
    found = match(X, X, "itermax", rounds=1, **FAST)
    assert found.pairs.tolist() == [[0, 0], [3, 3], [6, 6]]


LENGTHS = [(4, 5), (0, 3), (1, 1), (6, 2), (3, 0), (0, 0), (9, 9)]


def ragged(seed=2):
    rng = np.random.default_rng(seed)
    X, Y = (rng.standard_normal((sum(side), 7)) for side in zip(*LENGTHS, strict=True))
    return X, Y, *(np.concatenate([[0], np.cumsum(side)]) for side in zip(*LENGTHS, strict=True))


@pytest.mark.parametrize(
    "method", ["topk", "mutual", "csls", "itermax", "assignment", "greedy", "sinkhorn", "dual_softmax"]
)
def test_segments_are_matched_as_if_alone(method):
    X, Y, left, right = ragged()
    options = {**FAST, "iterations": 20} if method == "sinkhorn" else FAST
    found = match_segments(X, Y, left, right, method, **options)
    assert found.indptr[0] == 0
    for b in range(len(LENGTHS)):
        part = slice(*found.indptr[b : b + 2])
        if 0 in LENGTHS[b]:
            assert part.start == part.stop
            continue
        alone = match(X[left[b] : left[b + 1]], Y[right[b] : right[b + 1]], method, **options)
        for ours, theirs in zip(found[1:3], alone, strict=False):
            np.testing.assert_array_equal(ours[part], theirs)
        if method in ("topk", "mutual", "itermax", "greedy"):
            np.testing.assert_array_equal(found.scores[part], alone.scores)
        np.testing.assert_allclose(found.scores[part], alone.scores, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "dot", "correlation", "hamming", "seuclidean"])
def test_segments_of_other_metrics(metric):
    X, Y, left, right = ragged()
    metric_kwargs = {"V": np.full(7, 2.0)} if metric == "seuclidean" else None
    found = match_segments(X, Y, left, right, "topk", metric=metric, metric_kwargs=metric_kwargs)
    part = slice(*found.indptr[3:5])
    alone = match(X[left[3] : left[4]], Y[right[3] : right[4]], metric=metric, metric_kwargs=metric_kwargs)
    for ours, theirs in zip(found[1:], alone, strict=True):
        np.testing.assert_array_equal(ours[part], theirs)


def test_segments_take_options_dtypes_and_orders():
    X, Y, left, right = ragged()
    found = match_segments(X.astype(np.float32), Y.astype(np.float32), left, right, "topk", k=1, metric="euclidean")
    assert found.scores.dtype == np.float32
    backwards = range(len(LENGTHS) - 1, -1, -1)  # another packing of the same segments
    turned = [
        np.concatenate([side[edges[b] : edges[b + 1]] for b in backwards]) for side, edges in ((X, left), (Y, right))
    ]
    edges = [np.concatenate([[0], np.cumsum(np.diff(edge)[::-1])]) for edge in (left, right)]
    one, other = match_segments(X, Y, left, right), match_segments(*turned, *edges)
    for b in backwards:
        mine, theirs = slice(*one.indptr[b : b + 2]), slice(*other.indptr[len(LENGTHS) - 1 - b :][:2])
        for part, same in zip(one[1:], other[1:], strict=True):
            np.testing.assert_array_equal(part[mine], same[theirs])


def test_nothing_but_empty_segments():
    found = match_segments(np.empty((0, 3)), np.ones((2, 3)), [0, 0], [0, 2])
    assert [part.tolist() for part in found] == [[0, 0], [], [], []]
    assert cmf.match_segments is match_segments


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda x: match(x, x, "itermax", rounds=0), ValueError, "rounds must be at least 1, got 0"),
        (lambda x: match(x, x, "itermax", alpha=2), ValueError, "alpha must be in 0..1, got 2"),
        (lambda x: match_segments(x, x, [0, 3], [0, 2]), ValueError,
         "y_offsets must ascend from 0 to 3 in one list, got [0, 2]"),
        (lambda x: match_segments(x, x, [0, 2, 1, 3], [0, 3]), ValueError,
         "x_offsets must ascend from 0 to 3 in one list, got [0, 2, 1, 3]"),
        (lambda x: match_segments(x, x, [[0, 3]], [0, 3]), ValueError,
         "x_offsets must ascend from 0 to 3 in one list, got [[0, 3]]"),
        (lambda x: match_segments(x, x, [0.0, 3.0], [0, 3]), TypeError,
         "x_offsets must be whole numbers, got dtype float64"),
        (lambda x: match_segments(x, x, [0, 1, 3], [0, 3]), ValueError,
         "x_offsets and y_offsets must have equally many segments, got 2 and 1"),
        (lambda x: match_segments(x, x, [0, 3], [0, 3], "topk", mask=[True]), TypeError,
         "mask must be left out where segments are matched, got [True]"),
        (lambda x: match_segments(x, x, [0, 3], [0, 3], "nnn", bank=[[1.0]]), TypeError,
         "bank must be left out where segments are matched, got [[1.0]]"),
        (lambda x: match_segments(x, x, [0, 3], [0, 3], foo=1), TypeError,
         "keywords must be options of the method or keywords of topk, got foo"),
        (lambda x: match_segments(x * np.nan, x, [0, 3], [0, 3]), ValueError,
         "X must be finite, got nan in row 0; check_finite=False sorts such rows last"),
        (lambda x: match_segments(x, x[:, :2], [0, 3], [0, 3]), ValueError,
         "X and Y must have the same number of features, got 3 and 2"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call(np.eye(3))
