"""Matching against a brute-force loop, from embeddings and from ready scores; every sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossmodal_fast as cmf
from crossmodal_fast.matching import METHODS, Matches, _ready, match

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def ranked(row, k):
    """Columns of the k largest, ties by lowest column."""
    return sorted(range(len(row)), key=lambda j: (-row[j], j))[:k]


def brute(scores, method, k):
    found = []
    for i, row in enumerate(scores):
        for j in ranked(row, k):
            if method == "topk" or i in ranked(scores[:, j], k):
                found.append((i, j, row[j]))
    return found


def whole_numbers(m, n, seed=0, most=4):
    return np.random.default_rng(seed).integers(0, most, (m, n))


def listed(matches):
    return list(zip(matches.rows.tolist(), matches.columns.tolist(), matches.scores.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["topk", "mutual"]),
)
def test_scores_with_many_ties_against_the_loop(m, n, k, seed, method):
    scores = whole_numbers(m, n, seed)
    k = min(k, n, m) if method == "mutual" else min(k, n)
    assert listed(match(scores, method=method, k=k, metric="precomputed")) == brute(scores, method, k)


@pytest.mark.parametrize("method", ["topk", "mutual"])
@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("rows_at_a_time", [1, 2, 5, 8])
def test_blocks_do_not_matter(method, k, rows_at_a_time):
    scores = whole_numbers(13, 9)
    found = match(
        scores, method=method, k=k, metric="precomputed", max_bytes=rows_at_a_time * 9 * _ready.BYTES_PER_SCORE
    )
    assert listed(found) == brute(scores, method, k)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64", "bool", ">f4"])
def test_dtypes_of_scores(dtype):
    scores = whole_numbers(7, 5).astype(dtype)
    found = match(scores, method="topk", k=5, metric="precomputed")
    assert listed(found) == brute(scores.astype(int), "topk", 5)
    assert found.scores.dtype == (np.float64 if dtype in ("int64", "float64") else np.float32)
    assert found.rows.dtype == found.columns.dtype == np.int64


def test_a_memory_mapped_score_matrix(tmp_path):
    scores = np.random.default_rng(0).standard_normal((40, 30))
    np.save(tmp_path / "scores.npy", scores)
    mapped = np.load(tmp_path / "scores.npy", mmap_mode="r")
    assert listed(match(mapped, k=4, metric="precomputed", max_bytes=5000)) == brute(scores, "topk", 4)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "dot", "euclidean", "sqeuclidean", "cityblock"])
@pytest.mark.parametrize("method", ["topk", "mutual"])
def test_embeddings_give_the_pairs_of_their_scores(metric, method):
    rng = np.random.default_rng(1)
    X, Y = rng.integers(-3, 4, (15, 6)).astype(np.float64), rng.integers(-3, 4, (11, 6)).astype(np.float64)
    scores = cmf.pairwise_distances(X, Y, metric)
    scores = {"dot": scores, "cosine": 1 - scores, "correlation": 1 - scores}.get(metric, -scores)
    found = match(X, Y, method, k=2, metric=metric)
    np.testing.assert_allclose(found.scores, scores[found.rows, found.columns], atol=1e-12)
    if metric not in ("cosine", "correlation"):  # whole numbers: the order is exact, ties included
        assert [pair[:2] for pair in listed(found)] == [pair[:2] for pair in brute(scores, method, 2)]


def test_keywords_reach_the_search():
    X = np.eye(4, dtype=np.float32)
    assert match(X, X, exclude_self=True).columns.tolist() == [1, 0, 0, 0]
    mask = np.ones((4, 4), bool)
    mask[2] = False
    assert match(X, X, k=2, mask=mask).rows.tolist() == [0, 0, 1, 1, 3, 3]  # empty slots are left out
    assert match(X, X, "mutual", mask=mask).pairs.tolist() == [[0, 0], [1, 1], [3, 3]]
    assert match(X, X, "mutual", bias=(np.zeros(4), -4 * np.eye(4)[1])).pairs.tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="backend"):
        match(X, X, backend="abacus")


def test_mutual_pairs_of_k_one_use_every_row_and_column_once():
    rng = np.random.default_rng(2)
    found = match(rng.standard_normal((50, 8)), rng.standard_normal((40, 8)), "mutual")
    assert len(set(found.rows.tolist())) == len(set(found.columns.tolist())) == len(found.rows) > 0


def test_matches_unpack_and_pair():
    rows, columns, scores = found = match([[1.0, 2.0]], metric="precomputed")
    assert isinstance(found, Matches)
    assert (rows.tolist(), columns.tolist(), scores.tolist()) == ([0], [1], [2.0])
    assert found.pairs.tolist() == [[0, 1]]
    assert found.pairs.dtype == np.int64


def test_max_bytes_bounds_the_rows_in_work(monkeypatch):
    scores = np.random.default_rng(6).integers(0, 5, (40, 9))
    expected = match(scores, k=3, metric="precomputed")
    seen = []
    best = _ready.best
    monkeypatch.setattr(_ready, "best", lambda block, k: (seen.append(len(block)), best(block, k))[1])
    found = match(scores, k=3, metric="precomputed", max_bytes=32 * 9 * 7)
    with cmf.config_context(max_bytes=32 * 9 * 16):
        match(scores, k=3, metric="precomputed")
    assert seen == [7, 7, 7, 7, 7, 5, 16, 16, 8]
    for part, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, right)


NAMES = ", ".join(METHODS)
NAN = np.zeros((4, 3))
NAN[2, 1] = np.nan


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: match(NAN, NAN, "cslss"), ValueError, f"method must be one of {NAMES}, got 'cslss'"),
        (lambda: match(NAN, metric="precomputed"), ValueError,
         "X must hold finite scores, got nan in row 2; rule a pair out by a low one"),
        (lambda: match(NAN, method="mutual", metric="precomputed"), ValueError,
         "X must hold finite scores, got nan in row 2; rule a pair out by a low one"),
        (lambda: match(np.eye(3), k=4, metric="precomputed"), ValueError,
         "k must be in 1..3 (the columns of X), got 4"),
        (lambda: match(np.eye(3), k=0, metric="precomputed"), ValueError,
         "k must be in 1..3 (the columns of X), got 0"),
        (lambda: match(np.ones((2, 5)), method="mutual", k=3, metric="precomputed"), ValueError,
         "k must be in 1..2 (the shorter side of X), got 3"),
        (lambda: match(np.eye(3), max_bytes=95, metric="precomputed"), ValueError,
         "max_bytes must be at least 96 (one row of 3 scores), got 95"),
        (lambda: match(np.eye(3), mask=None, bias=None, metric="precomputed"), TypeError,
         "keywords must be control arguments where scores are ready or fused, got bias, mask"),
        (lambda: match(np.eye(3), k=2.5, metric="precomputed"), TypeError, "k must be a whole number, got 2.5"),
        (lambda: match(np.eye(3), k=True, method="mutual", metric="precomputed"), TypeError,
         "k must be a whole number, got True"),
        (lambda: match(np.eye(3), max_bytes=0, metric="precomputed"), ValueError,
         "max_bytes must be a whole number of bytes above 0, got 0"),
        (lambda: match(np.eye(3), np.eye(3), ["topk"]), ValueError, f"method must be one of {NAMES}, got ['topk']"),
        (lambda: match([[1.0], [2.0, 3.0]], np.eye(3)), TypeError,
         "X must be rows of numbers of one length, got [[1.0], [2.0, 3.0]]"),
        (lambda: match([[1.0], [2.0, 3.0]], metric="precomputed"), TypeError,
         "X must be an array, or lists of one length, got [[1.0], [2.0, 3.0]]"),
        (lambda: match(np.ma.masked_less(np.eye(3), 1), metric="precomputed"), TypeError,
         "X must be an array without masked entries, got a masked array; fill it first"),
        (lambda: match(np.eye(3), np.eye(3), metric="precomputed"), ValueError,
         "Y must be None with metric='precomputed', where X holds the scores, got shape (3, 3)"),
        (lambda: match(np.ones(3), metric="precomputed"), ValueError,
         "X must have shape (n, d) with n, d >= 1, got (3,)"),
        (lambda: match(np.eye(3), np.eye(3), "assignment", foo=2, bar=3), TypeError,
         "keywords must be options of the method or keywords of topk, got bar, foo"),
        (lambda: match(np.eye(3)), ValueError,
         "Y must be given with metric='cosine', got None; ready scores go with metric='precomputed'"),
        (lambda: match(np.ones((2, 3, 4)), np.eye(4)), ValueError,
         "X must have shape (rows, d), got (2, 3, 4); match one batch at a time"),
        (lambda: match(np.eye(4), [1.0, 2.0]), ValueError,
         "Y must have shape (..., rows, features), got (2,)"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


@pytest.mark.parametrize(
    ("method", "options"),
    [("csls", {}), ("margin", {"margin": "distance"}), ("inverted_softmax", {}), ("dual_softmax", {}),
     ("softmax_prior", {}), ("assignment", {"solver": "dense"}), ("assignment", {"solver": "sparse"}), ("sinkhorn", {}),
     ("itermax", {})],
)  # fmt: skip
def test_methods_that_compute_with_scores_refuse_what_is_not_finite(method, options):
    with_nan = np.eye(4)
    with_nan[1, 1] = np.nan
    for X, Y, metric in [(with_nan, np.eye(4), "cosine"), (1e200 * np.eye(4), 1e200 * np.eye(4), "dot")]:
        with pytest.raises(ValueError, match=r"^scores must be finite for a method that computes with them, got "):
            match(X, Y, method, metric=metric, check_finite=False, backend="numpy", **options)


def test_clip_mutual_neighbours():
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    image, text = np.load(path)
    found = match(image, text, "mutual")
    assert (len(found.rows), int((found.rows == found.columns).sum())) == (258, 208)
    ready = match(
        1 - cmf.pairwise_distances(image, text, "cosine", dtype=np.float64), method="mutual", metric="precomputed"
    )
    np.testing.assert_array_equal(ready.pairs, found.pairs)
