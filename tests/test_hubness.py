"""CSLS, margins and NNN against brute force; their identities and their sentences."""

import re

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import match
from crossmodal_fast.matching import _ready, _sources
from crossmodal_fast.matching._known import settled
from matching import FAST, agrees, cosine, mean_of_best, retrieved, sides

RETRIEVALS = ("forward", "backward", "intersect", "union", "max")


def both_ways(X, Y, score, metric, **options):
    """From embeddings and from ready scores."""
    yield match(X, Y, metric=metric, **options, **FAST)
    yield match(score, metric="precomputed", **options)


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize(("neighbours", "k"), [(1, 1), (4, 3), (10, 2), (40, 1)])
def test_csls(retrieval, neighbours, k):
    X, Y = sides()
    s = cosine(X, Y)
    expected = 2 * s - mean_of_best(s, neighbours)[:, None] - mean_of_best(s, neighbours, axis=0)
    options = {"method": "csls", "neighbours": neighbours, "k": k, "retrieval": retrieval}
    for found in both_ways(X, Y, s, "cosine", **options):
        agrees(found, expected, k, retrieval)


def test_csls_of_all_neighbours_is_centring_one_side_at_a_time():
    """k = n: x_i (y_j - mean y) + (x_i - mean x) y_j, formulas section 10."""
    X, Y = sides(19, 19)
    expected = X @ (Y - Y.mean(axis=0)).T + (X - X.mean(axis=0)) @ Y.T
    agrees(match(X, Y, "csls", metric="dot", neighbours=19, k=19, **FAST), expected, 19)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "dot", "correlation", "cityblock"])
def test_csls_of_other_metrics(metric):
    X, Y = sides()
    d = cmf.pairwise_distances(X, Y, metric, backend="numpy")
    s = {"dot": d, "correlation": 1 - d}.get(metric, -d)
    expected = 2 * s - mean_of_best(s, 10)[:, None] - mean_of_best(s, 10, axis=0)
    agrees(match(X, Y, "csls", metric=metric, k=2, **FAST), expected, 2)


def test_csls_where_not_all_pairs_may_match():
    X, Y = sides(12, 9)
    s, mask = cosine(X, Y), np.random.default_rng(1).random((12, 9)) < 0.6
    mask[3] = False
    u, v = np.linspace(0, 1, 12), np.linspace(0, 1, 9)
    s = s - (u[:, None] + v)  # biases are in units of the distance
    rows = [np.sort(s[i, mask[i]])[-4:].mean() if mask[i].any() else 0 for i in range(12)]
    columns = [np.sort(s[mask[:, j], j])[-4:].mean() for j in range(9)]
    expected = np.where(mask, 2 * s - np.array(rows)[:, None] - columns, -np.inf)
    found = match(X, Y, "csls", neighbours=4, mask=mask, bias=(u, v), **FAST)
    assert found.pairs.tolist() == [[i, int(expected[i].argmax())] for i in range(12) if i != 3]
    np.testing.assert_allclose(found.scores, np.delete(expected.max(axis=1), 3), rtol=1e-12)


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("margin", ["absolute", "distance", "ratio"])
def test_margins(margin, retrieval):
    X, Y = (np.abs(side) for side in sides(seed=2))
    s = cosine(X, Y)
    base = (mean_of_best(s, 4)[:, None] + mean_of_best(s, 4, axis=0)) / 2
    expected = {"absolute": s, "distance": s - base, "ratio": s / base}[margin]
    options = {"method": "margin", "margin": margin, "retrieval": retrieval, "k": 1}
    for found in both_ways(X, Y, s, "cosine", **options):
        if margin != "ratio":
            agrees(found, expected, 1, retrieval)
            continue
        forward = {(i, max(near, key=lambda j: expected[i, j])) for i, near in enumerate(np.argsort(-s, axis=1)[:, :4])}
        backward = {(max(near, key=lambda i: expected[i, j]), j) for j, near in enumerate(np.argsort(-s, axis=0)[:4].T)}
        wanted = {
            "forward": forward,
            "backward": backward,
            "intersect": forward & backward,
            "union": forward | backward,
        }
        if retrieval == "max":
            pairs = np.array(sorted(forward | backward))
            only = np.full(s.shape, -np.inf)
            only[tuple(pairs.T)] = expected[tuple(pairs.T)]
            wanted["max"] = {pair for pair in retrieved(only, 1, "max") if only[pair] > -np.inf}
        assert set(map(tuple, found.pairs.tolist())) == wanted[retrieval]
        np.testing.assert_allclose(found.scores, expected[found.rows, found.columns], rtol=1e-12)


@pytest.mark.parametrize("neighbours", [1, 5, 128])
def test_nnn(neighbours):
    X, Y = sides()
    bank = sides(31, 1, seed=3)[0]
    s, of_bank = cosine(X, Y), cosine(bank, Y)
    expected = s - 0.75 * mean_of_best(of_bank, neighbours, axis=0)
    agrees(match(X, Y, "nnn", bank=bank, neighbours=neighbours, k=3, **FAST), expected, 3)
    found = match(s, method="nnn", bank=of_bank, neighbours=neighbours, k=3, metric="precomputed")
    agrees(found, expected, 3)
    agrees(match(X, Y, "nnn", bank=bank, alpha=0, **FAST), s)


def test_equal_rows_go_by_lowest_index():
    X = np.repeat(np.eye(3), 2, axis=0)
    for method, options in {"csls": {}, "margin": {"retrieval": "forward"}, "nnn": {"bank": X}}.items():
        assert match(X, X, method, **options, **FAST).columns.tolist() == [0, 0, 2, 2, 4, 4]
    assert match(X, X, "margin", **FAST).pairs.tolist() == [
        [0, 0],
        [2, 2],
        [4, 4],
    ]
    for margin in ("absolute", "distance"):
        found = match(X, X, "margin", margin=margin, k=2, **FAST)
        assert found.pairs.tolist() == [[i, i] for i in range(6)]


def test_a_hub_is_corrected():
    """A gallery row near everything takes all queries from theirs, but not from CSLS."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((40, 20))
    Y = np.vstack([X + 0.8 * rng.standard_normal(X.shape), 3 * X.mean(axis=0)])
    Y[-1] += X.sum(axis=0) / 3
    truth = np.arange(40)
    plain, corrected = (match(X, Y, method, **FAST).columns for method in ("topk", "csls"))
    assert np.mean(corrected == truth) >= np.mean(plain == truth)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: match(np.eye(3), np.eye(3), "csls", beta=2), TypeError,
         "beta must be left out with method='csls', which takes k, neighbours, retrieval, got 2"),
        (lambda: match(np.eye(3), np.eye(3), "csls", neighbours=0), ValueError, "neighbours must be at least 1, got 0"),
        (lambda: match(np.eye(3), np.eye(3), "csls", neighbours="ten"), TypeError,
         "neighbours must be a whole number, got 'ten'"),
        (lambda: match(np.eye(3), np.eye(3), "csls", retrieval="both"), ValueError,
         "retrieval must be one of forward, backward, intersect, union, max, got 'both'"),
        (lambda: match(np.eye(3), np.eye(3), "csls", k=4), ValueError, "k must be in 1..3 (the rows of Y), got 4"),
        (lambda: match(np.eye(5), np.eye(3, 5), "csls", k=4, retrieval="max"), ValueError,
         "k must be in 1..3 (the rows of the shorter side), got 4"),
        (lambda: match(np.eye(3), np.eye(3), "margin", margin=2), ValueError,
         "margin must be one of absolute, distance, ratio, got 2"),
        (lambda: match(np.eye(5), np.eye(5), "margin", k=3, neighbours=2), ValueError,
         "k must be at most 2, the neighbours whose ratios are compared, got 3"),
        (lambda: match(-np.ones((2, 2)), method="margin", metric="precomputed"), ValueError,
         "margin must be 'absolute' or 'distance' where a mean of the nearest scores is not above 0, got 'ratio'"),
        (lambda: match(np.eye(3), np.eye(3), "nnn"), ValueError,
         "bank must be given with method='nnn', got None; bank=X takes the queries themselves"),
        (lambda: match(np.eye(3), np.eye(3), "nnn", bank=np.eye(4)), ValueError,
         "bank and Y must have the same number of features, got 4 and 3"),
        (lambda: match(np.eye(3), np.eye(3), "nnn", bank=np.ones((2, 2, 3))), ValueError,
         "bank must have shape (rows, d), got (2, 2, 3)"),
        (lambda: match(np.eye(3), method="nnn", bank=np.eye(4), metric="precomputed"), ValueError,
         "bank must hold scores of 3 columns, as X does, got shape (4, 4)"),
        (lambda: match(np.eye(3), method="nnn", bank=np.eye(3) * np.nan, metric="precomputed"), ValueError,
         "bank must hold finite scores, got nan in row 0; rule a pair out by a low one"),
        (lambda: match(np.eye(3), np.eye(3), "nnn", bank=np.eye(3), alpha=-1), ValueError,
         "alpha must be finite and at least 0, got -1"),
        (lambda: match(np.empty((0, 3)), np.eye(3), "csls"), ValueError,
         "X must have at least one row, got shape (0, 3)"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


def everything_uncertain(known, k, bias, n):
    found, _ = settled(known, k, bias, n)
    return found, np.zeros(len(found.values), bool)


@pytest.mark.parametrize("method", ["csls", "margin"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot", "cityblock", "precomputed"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_what_the_first_search_knows_is_what_a_second_one_finds(method, metric, k, monkeypatch):
    """To the bit: among equal rows, hubs, and columns that are far from everything; with some rows left to search."""
    rng = np.random.default_rng(11)
    X, Y = rng.standard_normal((60, 5)), rng.standard_normal((45, 5))
    X[7:12], Y[3:9], Y[20:24] = X[7], Y[3], -3 * X[:4]
    given = (X @ Y.T, None) if metric == "precomputed" else (X, Y)
    options = {"neighbours": 4, "k": k, "retrieval": "forward", "metric": metric}
    options |= {} if metric == "precomputed" else FAST
    options |= {"margin": "distance"} if method == "margin" else {}
    shares = []

    def noted(*arguments):
        found, certain = settled(*arguments)
        shares.append(certain.mean())
        return found, certain

    place = _ready if metric == "precomputed" else _sources
    monkeypatch.setattr(place, "settled", noted)
    found = match(*given, method, **options)
    monkeypatch.setattr(place, "settled", everything_uncertain)
    searched = match(*given, method, **options)
    for part, other in zip(found, searched, strict=True):
        np.testing.assert_array_equal(part, other)
    assert 0 <= shares[0] < 1
    assert shares[0] == 0 or k <= 4
    if k == 1 and metric != "euclidean":
        assert shares[0] > 0


def test_filters_are_asked_again():
    rng = np.random.default_rng(12)
    X = rng.standard_normal((30, 5))
    found = match(X, X, "csls", exclude_self=True, **FAST)
    assert not (found.rows == found.columns).any()
    score = cosine(X, X)
    np.fill_diagonal(score, -np.inf)
    near = mean_of_best(score, 10)
    agrees(found, 2 * score - near[:, None] - near)
