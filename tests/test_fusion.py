"""Fusion by its definitions, written out for one query at a time; the identity of early and late; every sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmodal_fast import fusion
from crossmodal_fast.fusion import _tables, concatenate, fuse, reciprocal_rank_fusion, weighted_sum
from crossmodal_fast.matching import Matches, match
from crossmodal_fast.preprocess import normalize

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def cosine(X, Y):
    return normalize(X) @ normalize(Y).T


def views(n, seed=0, widths=(5, 3, 8)):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, width)) * 10.0**width for width in widths]


def tables(m=6, n=9, count=3, seed=0, gaps=0.0, ties=False):
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 4, (count, m, n)).astype(float) if ties else rng.standard_normal((count, m, n))
    found[rng.random(found.shape) < gaps] = np.nan
    return list(found)


def by_hand(values, normalizer):
    """One query's list (dict item -> score)."""
    low, high = min(values.values()), max(values.values())
    order = sorted(values, key=lambda item: (-values[item], item))
    mean = sum(values.values()) / len(values)
    deviation = (sum((x - mean) ** 2 for x in values.values()) / len(values)) ** 0.5
    return {
        "none": lambda item: values[item],
        "minmax": lambda item: (values[item] - low) / max(high - low, 1e-9),
        "max": lambda item: values[item] / max(high, 1e-9),
        "sum": lambda item: (values[item] - low) / max(sum(x - low for x in values.values()), 1e-9),
        "zmuv": lambda item: (values[item] - mean) / max(deviation, 1e-9),
        "rank": lambda item: 1 - order.index(item) / len(values),
        "inverted_minmax": lambda item: (high - values[item]) / max(high - low, 1e-9),
        "rrf": lambda item: 1 / (60 + order.index(item) + 1),
    }[normalizer]


def lists_of(matrix):
    return [{j: x for j, x in enumerate(row) if not np.isnan(x)} for row in matrix]


BY_LIST = [name for name in fusion.NORMALIZERS if name != "borda"]  # which sees the other lists: test_fusion_rules.py


# ---- early


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5], [0.0, 1.0, 1.0]])
def test_cosine_of_the_concatenation_is_the_weighted_mean_of_cosines(weights):
    queries, gallery = views(6), views(9, seed=1)
    w = np.ones(3) if weights is None else np.array(weights)
    expected = sum(weight * cosine(q, g) for weight, q, g in zip(w, queries, gallery, strict=True)) / w.sum()
    early = concatenate(queries, weights) @ concatenate(gallery, weights).T
    np.testing.assert_allclose(early, expected, atol=1e-12)
    late = weighted_sum([cosine(q, g) for q, g in zip(queries, gallery, strict=True)], weights)
    np.testing.assert_allclose(late, early, atol=1e-12)


def test_a_missing_view_hands_its_weight_to_the_others():
    queries, gallery = views(2), views(9, seed=1)
    queries[1][0] = 0
    fused = concatenate(queries, [1.0, 5.0, 2.0])
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1)
    scores = fused @ concatenate(gallery, [1.0, 5.0, 2.0]).T
    without = (cosine(queries[0], gallery[0]) + 2 * cosine(queries[2], gallery[2])) / 3
    np.testing.assert_allclose(
        scores[0] / without[0], (3 / 8) ** 0.5, rtol=1e-10
    )  # one factor: the order is that of the rest


@pytest.mark.parametrize(("dtypes", "expected"), [("fff", "float32"), ("fed", "float64"), ("feB", "float32")])
def test_dtype_of_the_concatenation(dtypes, expected):
    fused = concatenate([np.arange(6).reshape(3, 2).astype(code) for code in dtypes])
    assert fused.dtype == expected
    assert fused.shape == (3, 6)


# ---- late


@pytest.mark.parametrize("normalizer", BY_LIST)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_weighted_sum_of_matrices(normalizer, ties, gaps):
    scores, weights = tables(gaps=gaps, ties=ties, seed=3), [1.0, 3.0, 0.5]
    fused = weighted_sum(scores, weights, normalizer=normalizer)
    rows = [lists_of(matrix) for matrix in scores]
    for i, j in np.ndindex(fused.shape):
        there = [v for v in range(3) if j in rows[v][i]]
        total = sum(weights[v] * by_hand(rows[v][i], normalizer)(j) for v in there)
        if there:
            np.testing.assert_allclose(fused[i, j], total / sum(weights[v] for v in there), rtol=1e-9, atol=1e-11)
        else:
            assert np.isnan(fused[i, j])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_reciprocal_rank_fusion_of_matrices(ties, gaps):
    scores = tables(gaps=gaps, ties=ties, seed=4)
    fused = reciprocal_rank_fusion(scores)
    rows = [lists_of(matrix) for matrix in scores]
    for i, j in np.ndindex(fused.shape):
        expected = sum(by_hand(rows[v][i], "rrf")(j) for v in range(3) if j in rows[v][i])
        np.testing.assert_allclose(fused[i, j], expected, rtol=1e-12)


def as_matches(matrix):
    rows, columns = np.nonzero(~np.isnan(matrix))
    values = matrix[rows, columns]
    order = np.lexsort((columns, -values, rows))
    return Matches(rows[order], columns[order], values[order])


@pytest.mark.parametrize("normalizer", [*BY_LIST, "rrf"])
@pytest.mark.parametrize("ties", [False, True])
def test_lists(normalizer, ties):
    scores, weights = tables(gaps=0.5, ties=ties, seed=5), [1.0, 3.0, 0.5]
    scores[1][2] = np.nan  # one query without a list in one modality
    lists = [as_matches(matrix) for matrix in scores]
    fused = (
        reciprocal_rank_fusion(lists, weights)
        if normalizer == "rrf"
        else weighted_sum(lists, weights, normalizer=normalizer)
    )
    expected = []
    for i in range(6):
        rows = [lists_of(matrix)[i] for matrix in scores]
        share = 1.0 if normalizer == "rrf" else sum(w for w, row in zip(weights, rows, strict=True) if row)
        items = {
            j: sum(w * by_hand(row, normalizer)(j) for w, row in zip(weights, rows, strict=True) if j in row) / share
            for j in sorted(set().union(*rows))
        }
        expected += [(i, j, items[j]) for j in sorted(items, key=lambda j: (-round(items[j], 9), j))]
    np.testing.assert_allclose(fused.scores, [score for *_, score in expected], rtol=1e-9, atol=1e-11)
    assert list(zip(fused.rows.tolist(), fused.columns.tolist(), strict=True)) == [(i, j) for i, j, _ in expected]


def test_lists_may_come_in_any_order():
    rng = np.random.default_rng(8)
    lists = [as_matches(matrix) for matrix in tables(ties=True, gaps=0.3, seed=8)]
    orders = [rng.permutation(len(one.rows)) for one in lists]
    mixed = [Matches(*(part[order] for part in one)) for one, order in zip(lists, orders, strict=True)]
    for found, right in zip(reciprocal_rank_fusion(mixed), reciprocal_rank_fusion(lists), strict=True):
        np.testing.assert_array_equal(found, right)


def test_the_textbook_case():
    first = Matches(np.array([0, 0, 0]), np.array([7, 1, 4]), np.array([0.9, 0.5, 0.1]))
    second = Matches(np.array([0, 0, 0]), np.array([2, 3, 7]), np.array([30.0, 20.0, 10.0]))
    fused = reciprocal_rank_fusion([first, second])
    assert fused.columns.tolist() == [7, 2, 1, 3, 4]
    np.testing.assert_allclose(fused.scores, [1 / 61 + 1 / 63, 1 / 61, 1 / 62, 1 / 62, 1 / 63], rtol=1e-14)


def test_full_lists_fuse_like_matrices():
    scores = tables(seed=6)
    lists = [match(matrix, k=9, metric="precomputed") for matrix in scores]
    for fused, matrix in [
        (reciprocal_rank_fusion(lists), reciprocal_rank_fusion(scores)),
        (weighted_sum(lists, normalizer="zmuv"), weighted_sum(scores, normalizer="zmuv")),
    ]:
        np.testing.assert_allclose(fused.scores, matrix[fused.rows, fused.columns], rtol=1e-12)
        assert len(fused.rows) == matrix.size


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_reciprocal_ranks_do_not_see_monotone_maps(seed):
    scores = tables(seed=seed, ties=True)
    bent = [np.exp(scores[0]), scores[1] ** 3 - 5, 100 * scores[2]]
    np.testing.assert_array_equal(reciprocal_rank_fusion(bent), reciprocal_rank_fusion(scores))


def test_weights_of_reciprocal_ranks_are_taken_as_they_are():
    scores = tables()[:2]
    np.testing.assert_allclose(
        reciprocal_rank_fusion(scores, [2.0, 0.0], k=0), 2 * reciprocal_rank_fusion(scores[:1], k=0), rtol=1e-14
    )


def test_blocks_do_not_matter(monkeypatch):
    scores = tables(m=13)
    whole = weighted_sum(scores, normalizer="zmuv")
    monkeypatch.setattr(_tables, "BLOCK_SCORES", 9 * 4 * 3)
    np.testing.assert_array_equal(weighted_sum(scores, normalizer="zmuv"), whole)


INFINITE = tables()[0]
INFINITE[4, 2] = np.inf


def test_lists_may_be_lists_in_any_order_and_empty():
    given = Matches(np.array([0, 0, 2]), np.array([1, 3, 0]), np.array([0.9, 0.1, 0.5]))
    as_lists = Matches([2, 0, 0], [0, 3, 1], [0.5, 0.1, 0.9])
    none = Matches(*(np.empty(0, dtype=np.int64) for _ in range(2)), np.empty(0))
    for late in (weighted_sum, reciprocal_rank_fusion):
        expected = late([given, given])
        for one, other in ((late([as_lists, given]), expected), (late([given, none]), late([given], [1.0]))):
            for part, right in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, right)
        assert [len(part) for part in late([none, none])] == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: concatenate([]), ValueError, "at least one modality must be given to be fused, got none"),
        (lambda: weighted_sum([]), ValueError, "at least one modality must be given to be fused, got none"),
        (lambda: concatenate([np.eye(2), np.eye(3)]), ValueError,
         "views must have one row per item in each, got [2, 3] rows"),
        (lambda: concatenate([np.eye(2), np.ones(3)]), ValueError,
         "views[1] must have shape (n, d) with n, d >= 1, got (3,)"),
        (lambda: concatenate([np.eye(2)], [1, 2]), ValueError,
         "weights must be 1 finite numbers, at least 0 and not all 0, one for each modality, got [1, 2]"),
        (lambda: weighted_sum([np.eye(2)] * 2, [1, -1]), ValueError,
         "weights must be 2 finite numbers, at least 0 and not all 0, one for each modality, got [1, -1]"),
        (lambda: weighted_sum([np.eye(2)], normalizer="softmax"), ValueError,
         "normalizer must be one of none, minmax, zmuv, sum, max, rank, inverted_minmax, borda, got 'softmax'"),
        (lambda: reciprocal_rank_fusion([np.eye(2)], k=-1.0), ValueError,
         "k must be finite and at least 0, got -1.0"),
        (lambda: reciprocal_rank_fusion([np.eye(2)], k="60"), TypeError, "k must be a number, got '60'"),
        (lambda: concatenate(None), TypeError, "views must be a sequence, got None"),
        (lambda: weighted_sum(3), TypeError, "scores must be a sequence, got 3"),
        (lambda: concatenate([np.eye(2), [[1.0, np.nan]] * 2]), ValueError,
         "views[1] must be finite, got nan in row 0; remove or fill such rows first"),
        (lambda: concatenate([np.eye(2), [[1.0], [2.0, 3.0]]]), TypeError,
         "views[1] must be an array, or lists of one length, got [[1.0], [2.0, 3.0]]"),
        (lambda: weighted_sum([np.eye(2)] * 2, ["a", "b"]), TypeError, "weights must hold numbers, got dtype <U1"),
        (lambda: weighted_sum([np.eye(2)] * 2, [1e308, 1e308]), ValueError,
         "weights must be 2 finite numbers, at least 0 and not all 0, one for each modality, got [1e+308, 1e+308]"),
        (lambda: weighted_sum([np.eye(2)], normalizer=["max"]), ValueError,
         "normalizer must be one of none, minmax, zmuv, sum, max, rank, inverted_minmax, borda, got ['max']"),
        (lambda: weighted_sum([Matches([0], [0, 1], [0.5, 0.5])]), ValueError,
         "scores[0] must hold rows, columns and scores of one length, got shapes ((1,), (2,), (2,))"),
        (lambda: weighted_sum([Matches([0.0], [0], [0.5])]), TypeError,
         "scores[0] must hold whole numbers as rows and columns, got dtype float64"),
        (lambda: weighted_sum([Matches([0], [-1], [0.5])]), ValueError,
         "scores[0] must hold rows and columns from 0, got -1"),
        (lambda: weighted_sum([Matches([0], [1], [np.nan])]), ValueError,
         "scores[0] must hold finite scores, got nan; leave such pairs out"),
        (lambda: weighted_sum([Matches([4, 2, 4], [1, 1, 1], [0.5, 0.4, 0.3])]), ValueError,
         "scores[0] must hold each pair once, got row 4 with column 1 twice"),
        (lambda: weighted_sum([np.eye(2), np.eye(3)]), ValueError,
         "scores must be matrices of one shape, got (2, 2) and (3, 3)"),
        (lambda: weighted_sum([tables()[0], INFINITE]), ValueError,
         "scores[1] must be finite, or NaN where missing, got infinity in row 4"),
        (lambda: weighted_sum([np.eye(2), as_matches(np.eye(2))]), TypeError,
         "scores must be all matrices or all Matches, got both"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


# ---- real data


@pytest.fixture(scope="module")
def mfeat():
    """Cosines of 500 test with 1500 training digits in each of six views, and both sides' labels."""
    path = DATA / "mfeat" / "mfeat.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    data = np.load(path)
    train = np.arange(2000) % 200 < 150
    scored = {}
    for name in ("fac", "fou", "kar", "mor", "pix", "zer"):
        X = data[name].astype(np.float64)
        X = (X - X[train].mean(axis=0)) / (X[train].std(axis=0) + 1e-9)
        scored[name] = (X[~train], X[train])
    return scored, data["label"][~train], data["label"][train]


def measured(scores, wanted, offered):
    from crossmodal_fast import evaluate

    found = evaluate.retrieval(scores, metric="precomputed", labels=(wanted, offered), k=(1,))
    return found["hit_rate@1"], found["map"]


@pytest.mark.parametrize(
    ("fuse", "expected"),
    [
        (lambda scores: weighted_sum(scores), (0.9880, 0.8283)),
        (lambda scores: weighted_sum(scores, normalizer="minmax"), (0.9880, 0.8182)),
        (lambda scores: weighted_sum(scores, normalizer="zmuv"), (0.9840, 0.7865)),
        (lambda scores: reciprocal_rank_fusion(scores), (0.9860, 0.7653)),
        (lambda scores: fuse(scores, method="borda"), (0.9800, 0.7877)),
        (lambda scores: fuse(scores, method="min", normalizer="minmax"), (0.9720, 0.6763)),
        (lambda scores: fuse(scores, method="max", normalizer="minmax"), (0.7480, 0.5887)),
        (lambda scores: fuse(scores, method="product", normalizer="minmax"), (0.9880, 0.8089)),
    ],
    ids=["CombSUM", "CombSUM min-max", "CombSUM zmuv", "RRF", "Borda", "CombMIN", "CombMAX", "log-product"],
)
def test_mfeat_late(mfeat, fuse, expected):
    scored, wanted, offered = mfeat
    found = measured(fuse([cosine(*pair) for pair in scored.values()]), wanted, offered)
    assert found == pytest.approx(expected, abs=5e-5)


def test_mfeat_early_equals_combsum(mfeat):
    scored, wanted, offered = mfeat
    queries, gallery = (concatenate([pair[side] for pair in scored.values()]) for side in (0, 1))
    assert measured(queries @ gallery.T, wanted, offered) == pytest.approx((0.9880, 0.8283), abs=5e-5)
    np.testing.assert_allclose(
        queries @ gallery.T, weighted_sum([cosine(*pair) for pair in scored.values()]), atol=1e-12
    )


@pytest.mark.parametrize(
    ("view", "expected"),
    [("fac", (0.9600, 0.6850)), ("fou", (0.8000, 0.4495)), ("kar", (0.9540, 0.5598)), ("mor", (0.6640, 0.5634)),
     ("pix", (0.9660, 0.6641)), ("zer", (0.7900, 0.4745))],
)  # fmt: skip
def test_mfeat_single_views(mfeat, view, expected):
    scored, wanted, offered = mfeat
    assert measured(cosine(*scored[view]), wanted, offered) == pytest.approx(expected, abs=5e-5)
