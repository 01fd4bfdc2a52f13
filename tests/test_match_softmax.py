"""Inverted and dual softmax, softmax prior and QB-Norm against brute force; their sentences."""

import re

import numpy as np
import pytest

import crossmodal_fast as cmf
from crossmodal_fast import match
from matching import FAST, agrees, cosine, sides

BETAS = (1.0, 20.0, 60.0)


def log_sum(terms, axis):
    return np.logaddexp.reduce(terms, axis=axis, keepdims=True)


def expected(method, s, beta, of_bank=None):
    bank = s if of_bank is None else of_bank
    over_queries = beta * s - log_sum(beta * bank, 0)
    if method == "inverted_softmax":
        return over_queries
    if method == "dual_softmax":
        return over_queries + beta * s - log_sum(beta * s, 1)
    if method == "softmax_prior":
        return s * np.exp(over_queries)
    hubs = set(bank.argmax(axis=1).tolist())
    active = np.array([int(row.argmax()) in hubs for row in s])
    return np.where(active[:, None], over_queries, beta * s)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("method", ["inverted_softmax", "dual_softmax", "softmax_prior"])
def test_over_the_queries(method, beta):
    X, Y = sides()
    s = cosine(X, Y)
    wanted = expected(method, s, beta)
    for k in (1, 3, 17):
        agrees(match(X, Y, method, beta=beta, k=k, **FAST), wanted, k)
        agrees(match(s, method=method, beta=beta, k=k, metric="precomputed"), wanted, k)


@pytest.mark.parametrize("retrieval", ["forward", "backward", "intersect", "max"])
@pytest.mark.parametrize("method", ["inverted_softmax", "dual_softmax"])
def test_directions(method, retrieval):
    X, Y = sides(seed=5)
    found = match(X, Y, method, beta=8, k=2, retrieval=retrieval, **FAST)
    agrees(found, expected(method, cosine(X, Y), 8), 2, retrieval)


@pytest.mark.parametrize("method", ["inverted_softmax", "qb_norm"])
def test_over_a_bank(method):
    X, Y = sides()
    bank = sides(9, 1, seed=3)[0]
    s, of_bank = cosine(X, Y), cosine(bank, Y)
    wanted = expected(method, s, 20.0, of_bank)
    agrees(match(X, Y, method, bank=bank, k=4, **FAST), wanted, 4)
    agrees(match(s, method=method, bank=of_bank, k=4, metric="precomputed"), wanted, 4)


def test_qb_norm_leaves_queries_alone_whose_best_is_no_hub():
    X = np.eye(4)
    found = match(X, X, "qb_norm", bank=X[:2], beta=2, **FAST)
    sums = np.log(np.exp(2.0) + 1)
    np.testing.assert_allclose(found.scores, [2 - sums, 2 - sums, 2, 2], rtol=1e-12)
    everywhere = match(X, X, "qb_norm", bank=X[:2], beta=2, activation=4, **FAST)
    np.testing.assert_allclose(everywhere.scores, [2 - sums, 2 - sums, 2 - np.log(2), 2 - np.log(2)], rtol=1e-12)


def test_normalising_over_queries_leaves_the_other_direction_as_it_is():
    X, Y = sides(40, 30, seed=6)
    plain, corrected = (
        match(Y, X, "topk", k=5, **FAST),
        match(X, Y, "inverted_softmax", k=5, retrieval="backward", **FAST),
    )
    backward = np.array(sorted(zip(corrected.columns, corrected.rows, strict=True)))
    np.testing.assert_array_equal(backward, np.array(sorted(map(tuple, plain.pairs))))


def test_dual_softmax_does_not_care_which_side_is_which():
    X, Y = sides(seed=7)
    one, other = (
        match(X, Y, "dual_softmax", retrieval="max", **FAST),
        match(Y, X, "dual_softmax", retrieval="max", **FAST),
    )
    assert set(map(tuple, one.pairs.tolist())) == {(i, j) for j, i in other.pairs.tolist()}


@pytest.mark.parametrize("metric", ["dot", "euclidean", "cityblock"])
def test_other_metrics(metric):
    X, Y = sides()
    d = cmf.pairwise_distances(X, Y, metric, backend="numpy")
    s = d if metric == "dot" else -d
    for method in ("inverted_softmax", "dual_softmax", "softmax_prior"):
        agrees(match(X, Y, method, metric=metric, beta=0.7, k=2, **FAST), expected(method, s, 0.7), 2)


def test_the_prior_searches_wider_where_its_bound_does_not_decide():
    """Scores of every sign and size, far from where the bound touches the logarithm."""
    rng = np.random.default_rng(8)
    s = rng.choice([-1, 1], (30, 400)) * 10.0 ** rng.uniform(-6, 0, (30, 400))
    s[:4] = -np.abs(s[:4])
    agrees(match(s, method="softmax_prior", metric="precomputed", beta=0.5, k=6), expected("softmax_prior", s, 0.5), 6)


def test_equal_rows_go_by_lowest_index():
    X = np.repeat(np.eye(3), 2, axis=0)
    for method in ("inverted_softmax", "dual_softmax", "softmax_prior", "qb_norm"):
        options = {"bank": X} if method == "qb_norm" else {}
        assert match(X, X, method, **options, **FAST).columns.tolist() == [0, 0, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: match(np.eye(3), np.eye(3), "inverted_softmax", beta=0), ValueError,
         "beta must be a finite number above 0, got 0"),
        (lambda: match(np.eye(3), np.eye(3), "dual_softmax", beta=np.inf), ValueError,
         "beta must be a finite number above 0, got inf"),
        (lambda: match(np.eye(3), np.eye(3), "dual_softmax", bank=2), TypeError,
         "bank must be left out with method='dual_softmax', which takes k, beta, retrieval, got 2"),
        (lambda: match(np.eye(3), np.eye(3), "softmax_prior", exclude_self=True), TypeError,
         "exclude_self must be left out with method='softmax_prior', which takes k, beta, got True"),
        (lambda: match(np.eye(3), np.eye(3), "qb_norm"), ValueError,
         "bank must be given with method='qb_norm', got None; bank=X takes the queries themselves"),
        (lambda: match(np.eye(3), np.eye(3), "qb_norm", bank=np.eye(3), activation=0), ValueError,
         "activation must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
