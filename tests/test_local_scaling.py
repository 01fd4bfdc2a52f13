"""Local scaling, NICDM, DisSimLocal and mutual proximity against brute force; corrections as biases of searches."""

import re

import numpy as np
import pytest
from scipy.stats import norm

import crossmodal_fast as cmf
from crossmodal_fast import match
from crossmodal_fast.matching import CORRECTIONS, _proximity, _scaling, _wider, correction
from matching import FAST, agrees, cosine, sides

RETRIEVALS = ("forward", "backward", "intersect", "union", "max")
METHODS = ("local_scaling", "nicdm", "dissim_local", "mutual_proximity")


def distance(X, Y):
    return np.sqrt(np.square(X[:, None] - Y).sum(axis=2))


def nearest(d, neighbours, axis):
    """The least distances of each row (axis 1) or column, ascending along the last axis; inf counts as none."""
    return np.sort(d if axis else d.T, axis=1)[:, :neighbours]


def scaled(d, neighbours, kind):
    """By brute force; where d is inf a pair may not match."""
    sizes = []
    for axis in (1, 0):
        near = nearest(d, neighbours, axis)
        there = np.isfinite(near)
        last = near[np.arange(len(near)), there.sum(axis=1) - 1]
        mean = np.where(there, near, 0).sum(axis=1) / there.sum(axis=1)
        sizes.append(last if kind == "local_scaling" else mean)
    product = sizes[0][:, None] * sizes[1]
    return -(d**2) / product if kind == "local_scaling" else -d / np.sqrt(product)


def dissim(X, Y, neighbours):
    d = np.square(distance(X, Y))
    x_near, y_near = (np.argsort(one, axis=1, kind="stable")[:, :neighbours] for one in (d, d.T))
    x_gap = np.square(X - Y[x_near].mean(axis=1)).sum(axis=1)
    y_gap = np.square(Y - X[y_near].mean(axis=1)).sum(axis=1)
    return x_gap[:, None] + y_gap - d


def proximity(d, kind):
    """log MP of normal distances, MP of counted ones; where d is inf a pair may not match."""
    there = np.isfinite(d)
    if kind == "normal":
        plain = np.where(there, d, np.nan)
        parts = [
            norm.logsf(d, np.nanmean(plain, axis=axis, keepdims=True), np.nanstd(plain, axis=axis, keepdims=True))
            for axis in (1, 0)
        ]
        return np.where(there, parts[0] + parts[1], -np.inf)
    own = (there[:, None, :] & (d[:, None, :] > d[:, :, None])).sum(axis=2) / there.sum(axis=1, keepdims=True)
    other = (there.T[:, None, :] & (d.T[:, None, :] > d.T[:, :, None])).sum(axis=2).T / there.sum(axis=0)
    return np.where(there, own * other, -np.inf)


def expected(X, Y, d, method, options):
    if method == "dissim_local":
        return dissim(X, Y, options.get("neighbours", 10))
    if method == "mutual_proximity":
        return proximity(d, options.get("distribution", "normal"))
    return scaled(d, options.get("neighbours", 10), method)


CASES = [
    ("local_scaling", {"neighbours": 4}),
    ("nicdm", {"neighbours": 1}),
    ("nicdm", {}),
    ("dissim_local", {"neighbours": 5}),
    ("mutual_proximity", {}),
    ("mutual_proximity", {"distribution": "empirical"}),
]


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize(("method", "options"), CASES)
def test_against_brute_force(method, options, retrieval, monkeypatch):
    monkeypatch.setattr(_wider, "SPARE", 1)  # so that rows must look again
    monkeypatch.setattr(_scaling, "ROWS_OF_A_PART", 4)
    X, Y = sides(37, 29, 5)
    d = distance(X, Y)
    score = expected(X, Y, d, method, options)
    for k in (1, 3, 29):
        agrees(
            match(X, Y, method, metric="euclidean", k=k, retrieval=retrieval, **options, **FAST), score, k, retrieval
        )
        if method != "dissim_local":
            agrees(
                match(-d, None, method, metric="precomputed", k=k, retrieval=retrieval, **options), score, k, retrieval
            )


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_set_with_itself(method, options):
    """As scikit-hubness has it: a row is no neighbour of itself."""
    X, _ = sides(31, 1, 6, seed=3)
    d = distance(X, X)
    np.fill_diagonal(d, np.inf)
    if method == "dissim_local":
        near = np.argsort(d, axis=1, kind="stable")[:, : options["neighbours"]]
        gap = np.square(X - X[near].mean(axis=1)).sum(axis=1)
        score = gap[:, None] + gap - d**2
    else:
        score = expected(X, X, d, method, options)
    agrees(match(X, X, method, metric="euclidean", k=2, exclude_self=True, **options, **FAST), score, 2)


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean", "cityblock"])
@pytest.mark.parametrize("method", ["local_scaling", "nicdm", "mutual_proximity"])
def test_other_metrics(method, metric):
    X, Y = sides()
    d = cmf.pairwise_distances(X, Y, metric, backend="numpy")
    agrees(match(X, Y, method, metric=metric, k=2, **FAST), expected(X, Y, d, method, {}), 2, rtol=1e-7)


def test_counted_proximities_and_their_ties():
    """Whole numbers: many equal distances, all orders decided by counts and lowest columns."""
    rng = np.random.default_rng(5)
    d = rng.integers(0, 6, (40, 33)).astype(float)
    agrees(
        match(-d, None, "mutual_proximity", metric="precomputed", k=4, distribution="empirical"),
        proximity(d, "empirical"),
        4,
    )


def test_equal_rows_go_by_lowest_index():
    X = np.random.default_rng(0).standard_normal((12, 4))
    Y = np.concatenate([X[:6]] * 3) + 0.1
    for method in METHODS:
        found = (
            match(X[:6], Y, method, metric="euclidean", k=3, neighbours=7, **FAST)
            if method != "mutual_proximity"
            else match(X[:6], Y, method, metric="euclidean", k=3, **FAST)
        )
        assert (np.diff(found.columns.reshape(6, 3), axis=1) == 6).all(), method


def test_one_pair_and_equal_distances():
    for method in ("local_scaling", "nicdm", "mutual_proximity"):
        assert match([[1.0]], [[3.0]], method, metric="euclidean").pairs.tolist() == [[0, 0]]
    assert match(-np.ones((3, 4)), None, "mutual_proximity", metric="precomputed").columns.tolist() == [0, 0, 0]
    assert match(-np.ones((3, 4)), None, "local_scaling", metric="precomputed").scores.tolist() == [-1.0] * 3


def test_far_pairs_keep_their_order():
    """Probabilities next to 1 and to 0, which only logarithms tell apart."""
    X = np.arange(400.0)[:, None] * 1e-3 + 100
    Y = np.concatenate([X[::-1][:3] + 1e-5, np.full((397, 1), 200.0)])
    found = match(X, Y, "mutual_proximity", metric="euclidean", k=3, **FAST)
    agrees(found, proximity(distance(X, Y), "normal"), 3, rtol=1e-6)


def test_hubs_are_fewer():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30))
    shares = {}
    for method in ("topk", *METHODS):
        found = match(X, X, method, metric="euclidean", k=5, exclude_self=True, **FAST)
        shares[method] = cmf.evaluate.hubness(found.columns.reshape(-1, 5), 200)["skewness"]
    assert all(shares[method] < 0.7 * shares["topk"] for method in METHODS), shares


def test_memory_is_bounded(monkeypatch):
    """No block of candidates is larger than what is allowed, whatever the width."""
    monkeypatch.setattr(_wider, "BLOCK_CANDIDATES", 64)
    X, Y = sides(20, 40, 3)
    seen = []
    real = _proximity.best_of
    monkeypatch.setattr(
        _proximity, "best_of", lambda partners, *rest: seen.append(partners.shape) or real(partners, *rest)
    )
    d = distance(X, Y)
    agrees(match(X, Y, "mutual_proximity", metric="euclidean", k=2, **FAST), proximity(d, "normal"), 2)
    assert max(rows for rows, _ in seen) <= 4


def test_threads_and_backends():
    X, Y = (side.astype(np.float32) for side in sides(60, 50))
    for method in METHODS[:3]:
        one, two = (match(X, Y, method, metric="euclidean", backend="numpy", n_threads=n) for n in (1, 2))
        assert all((a == b).all() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("metric", ["cosine", "dot", "precomputed"])
@pytest.mark.parametrize("method", CORRECTIONS)
def test_corrections_as_biases(method, metric):
    """The pairs of `match` come from `topk` with the correction as its bias, and `evaluate` finds where they are."""
    X, Y = sides(23, 23)
    given = (cosine(X, Y), None) if metric == "precomputed" else (X, Y)
    options = {"bank": given[0][:9]} if method == "nnn" else {}
    control = {} if metric == "precomputed" else FAST
    bias = correction(*given, method, metric=metric, **options, **control)
    best = match(*given, method, metric=metric, k=23, **options, **control)
    if metric == "precomputed":
        order = np.argsort(-(given[0] + bias[0][:, None] + bias[1]), axis=1, kind="stable")
    else:
        order = cmf.topk(X, Y, 23, metric, bias=bias, **FAST).indices
    assert (best.columns.reshape(23, 23) == order).all()
    ranks = np.argmax(order == np.arange(23)[:, None], axis=1) + 1
    found = cmf.evaluate.retrieval(*given, metric=metric, bias=bias, metrics="mean_rank,mrr", **control)
    assert found == {"queries": 23, "mean_rank": ranks.mean(), "mrr": pytest.approx((1 / ranks).mean())}


def test_a_bias_where_scores_are_sorted():
    """More positives than are counted one by one."""
    X, Y = sides(9, 80)
    labels = np.zeros(9, int), np.arange(80) % 2
    bias = correction(X, Y, "csls", **FAST)
    score = cosine(X, Y) - bias[0][:, None] - bias[1]
    for metric, given in (("cosine", (X, Y)), ("precomputed", (score, None))):
        own = {} if metric == "precomputed" else {"bias": bias}
        found = cmf.evaluate.retrieval(*given, labels=labels, metric=metric, metrics="map", **own)
        order = np.argsort(-score, axis=1)
        hits = labels[1][order] == 0
        expected_map = [(np.cumsum(row) / np.arange(1, 81))[row].mean() for row in hits]
        assert found["map"] == pytest.approx(np.mean(expected_map))


X, Y = sides(6, 7)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: match(X, Y, "nicdm", metric="dot"), ValueError, "distances must be at least 0 to be scaled, got"),
        (
            lambda: match(X, Y, "nicdm", metric="dot"),
            ValueError,
            "use a metric other than dot, or ready scores that are minus distances",
        ),
        (
            lambda: match(np.zeros((3, 2)), np.zeros((4, 2)), "local_scaling", metric="euclidean"),
            ValueError,
            "neighbours must be more than the equal rows on the other side, got 4 at distance 0 of row 0 of X",
        ),
        (
            lambda: match(X, Y, "dissim_local"),
            ValueError,
            "metric must be euclidean or sqeuclidean, without metric_kwargs, for the centroids of dissim_local, "
            "got metric='cosine'",
        ),
        (lambda: match(X, None, "dissim_local", metric="precomputed"), ValueError, "of dissim_local, got ready scores"),
        (
            lambda: match(X, Y, "mutual_proximity", distribution="gauss"),
            ValueError,
            "distribution must be one of normal, empirical, got 'gauss'",
        ),
        (lambda: match(X, Y, "nicdm", k=8), ValueError, "k must be in 1..7 (the rows of Y), got 8"),
        (lambda: match(X, Y, "nicdm", neighbours=0), ValueError, "neighbours must be at least 1, got 0"),
        (
            lambda: match(X, Y, "nicdm", mask=np.ones(7, bool)),
            TypeError,
            "mask must be left out with method='nicdm', which takes k, neighbours, retrieval, got an array of shape",
        ),
        (
            lambda: correction(X, Y, "csls", k=3),
            TypeError,
            "k must be left out of the correction 'csls', which takes neighbours, got 3",
        ),
        (
            lambda: correction(X, Y, "qb_norm"),
            ValueError,
            "method must be one of csls, nnn, inverted_softmax, dual_softmax, got 'qb_norm'",
        ),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        call()
