"""Retrieval measures against loops over sorted lists and over all permutations; trec_eval's own numbers; sentences."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmodal_fast import evaluate
from crossmodal_fast.evaluate import _positives, _retrieval, average_precision, chance, first_ranks, retrieval
from crossmodal_fast.preprocess import Center, normalize

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def order_of(row, relevant, ties):
    """Columns as the tie policy lays them out; not for 'mean'."""
    favour = {"index": 0, "optimistic": -1, "pessimistic": 1}[ties]
    return sorted(range(len(row)), key=lambda j: (-row[j], favour * (j in relevant), j))


def by_hand(row, relevant, ties, k):
    listed = order_of(row, relevant, ties)
    hits, precisions = 0, []
    for rank, j in enumerate(listed, 1):
        if j in relevant:
            hits += 1
            precisions.append((rank, hits / rank))
    return {
        "rank": precisions[0][0],
        "map": sum(p for _, p in precisions) / len(relevant),
        "map@k": sum(p for rank, p in precisions if rank <= k) / len(relevant),
    }


def csr(sets):
    return np.cumsum([0, *map(len, sets)]), np.array([j for one in sets for j in one], dtype=int)


def problem(m=9, n=12, seed=0, most=5):
    rng = np.random.default_rng(seed)
    relevant = [rng.permutation(n)[: rng.integers(1, n + 1)].tolist() for _ in range(m)]
    return rng.integers(0, most, (m, n)), relevant


# ---- measures against loops


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_several_positives_with_many_ties(ties, seed, k):
    scores, relevant = problem(seed=seed)
    found = retrieval(scores, None, csr(relevant), metric="precomputed", k=(k,), ties=ties)
    each = [by_hand(row, positives, ties, k) for row, positives in zip(scores, relevant, strict=True)]
    ranks = [one["rank"] for one in each]
    expected = {
        "queries": len(scores),
        f"hit_rate@{k}": sum(rank <= k for rank in ranks) / len(ranks),
        "mrr": sum(1 / rank for rank in ranks) / len(ranks),
        "median_rank": float(np.median(ranks)),
        "mean_rank": sum(ranks) / len(ranks),
        "map": sum(one["map"] for one in each) / len(each),
        f"map@{k}": sum(one["map@k"] for one in each) / len(each),
    }
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_mean_policy_takes_the_mean_of_both_ranks():
    scores = np.array([[2, 1, 1, 1, 0]])
    found = retrieval(scores, None, [2], metric="precomputed", k=(2, 3), ties="mean")
    assert (found["mean_rank"], found["hit_rate@2"], found["hit_rate@3"], found["map"]) == (3.0, 0.0, 1.0, 1 / 3)
    scores, relevant = problem()
    first, last, mean = (
        retrieval(scores, None, csr(relevant), metric="precomputed", ties=ties)["mean_rank"]
        for ties in ("optimistic", "pessimistic", "mean")
    )
    assert first < last
    assert mean == pytest.approx((first + last) / 2)


def test_a_list_that_is_all_positives_and_all_ties_is_perfect_under_every_policy():
    for ties in ("index", "optimistic", "pessimistic", "mean"):
        found = retrieval(np.zeros((2, 7)), None, csr([range(7)] * 2), metric="precomputed", ties=ties)
        assert (found["map"], found["hit_rate@1"], found["mean_rank"]) == (1, 1, 1)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("ties", ["index", "optimistic"])
def test_embeddings_give_what_their_scores_give(metric, ties):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20, 5)), rng.standard_normal((30, 5))
    scores = {
        "cosine": normalize(X) @ normalize(Y).T,
        "dot": X @ Y.T,
        "euclidean": -np.linalg.norm(X[:, None] - Y, axis=2),
    }[metric]
    positives = rng.integers(0, 30, 20)
    assert retrieval(X, Y, positives, metric=metric, ties=ties) == retrieval(
        scores, None, positives, metric="precomputed", ties=ties
    )


@pytest.mark.parametrize("ties", _retrieval.TIES)
@pytest.mark.parametrize("metric", ["dot", "sqeuclidean", "cityblock"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_counting_and_sorting_agree(monkeypatch, ties, metric, exclude_self):
    rng = np.random.default_rng(1)
    X, Y = rng.integers(-2, 3, (2, 40, 4)).astype(np.float32)  # whole numbers: both are exact, and ties are many
    options = {
        "labels": rng.integers(0, 6, (2, 40)), "metric": metric, "ties": ties,
        "exclude_self": exclude_self, "empty": "skip",
    }  # fmt: skip
    counted = retrieval(X, Y, **options)
    monkeypatch.setattr(_retrieval, "FEW_POSITIVES", 0)
    assert retrieval(X, Y, **options) == counted
    monkeypatch.setattr(_retrieval, "BLOCK_SCORES", 40 * 3)
    assert retrieval(X, Y, **options) == counted


def test_labels_are_the_positives_of_equal_label():
    scores = problem()[0]
    wanted, offered = np.array(list("abcabcabc")), np.array(list("aabbccabcabc"))
    sets = [np.flatnonzero(offered == label).tolist() for label in wanted]
    assert retrieval(scores, labels=(wanted, offered), metric="precomputed") == retrieval(
        scores, None, csr(sets), metric="precomputed"
    )
    np.testing.assert_array_equal(evaluate.count_positives(wanted, offered), [len(one) for one in sets])


def test_left_out_positives_are_the_diagonal():
    scores = problem(9, 9)[0]
    assert retrieval(scores, metric="precomputed") == retrieval(scores, None, np.arange(9), metric="precomputed")


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic", "mean"])
def test_self_is_excluded_from_gallery_and_positives(ties):
    scores, labels = problem(8, 8)[0], np.array([0, 1, 0, 1, 0, 1, 0, 1])
    found = retrieval(scores, labels=(labels, labels), metric="precomputed", ties=ties, exclude_self=True)
    others = [[j for j in range(8) if j != i] for i in range(8)]
    sets = [[others[i].index(j) for j in others[i] if labels[j] == labels[i]] for i in range(8)]
    without = np.array([row[kept] for row, kept in zip(scores, others, strict=True)])
    assert found == retrieval(without, None, csr(sets), metric="precomputed", ties=ties)


@pytest.mark.parametrize(("rows", "positives"), [(1, 1), (2, 5), (4, 1 << 20)])
@pytest.mark.parametrize("given_as", ["csr", "labels"])
def test_blocks_do_not_matter(monkeypatch, rows, positives, given_as):
    scores, relevant = problem()
    labels = np.arange(9) % 3, np.arange(12) % 3
    truth = {"positives": csr(relevant)} if given_as == "csr" else {"labels": labels}
    whole = retrieval(scores, metric="precomputed", **truth)
    monkeypatch.setattr(_retrieval, "BLOCK_SCORES", 12 * rows)
    monkeypatch.setattr(_positives, "BLOCK_POSITIVES", positives)
    assert retrieval(scores, metric="precomputed", **truth) == whole


@pytest.mark.parametrize(
    ("empty", "queries", "hit", "mrr", "mean_rank", "mean_ap"),
    [
        ("skip", 2, 0.5, 0.75, 1.5, 0.75),
        ("neg", 3, 1 / 3, 0.5, math.inf, 0.5),
        ("pos", 3, 2 / 3, 2.5 / 3, 4 / 3, 2.5 / 3),
    ],
)
def test_queries_without_positives(empty, queries, hit, mrr, mean_rank, mean_ap):
    scores = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1]])
    found = retrieval(scores, None, [0, -1, 1], metric="precomputed", k=(1,), empty=empty)
    assert found == pytest.approx(
        {"queries": queries, "hit_rate@1": hit, "mrr": mrr, "median_rank": found["median_rank"], "mean_rank": mean_rank,
         "map": mean_ap, "map@1": hit}
    )  # fmt: skip


def test_max_bytes_bounds_the_block_and_changes_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((2, 90, 3))
    labels = rng.integers(0, 2, (2, 90))
    seen = []
    blocks = _retrieval._score_blocks
    monkeypatch.setattr(_retrieval, "_score_blocks", lambda *given: (seen.append(given[3]), blocks(*given))[1])
    whole = retrieval(X, Y, labels=labels, metric="euclidean")
    scores = -np.linalg.norm(X[:, None] - Y, axis=2)
    assert retrieval(scores, labels=labels, metric="precomputed", max_bytes=24 * 90 * 7) == pytest.approx(whole)
    assert seen == [(1 << 21) // 90, 7]


def test_one_cut_off_will_do():
    scores = problem(9, 9)[0]
    assert retrieval(scores, metric="precomputed", k=3) == retrieval(scores, metric="precomputed", k=(3,))
    assert chance(9, k=3) == chance(9, k=(3,))


def test_positives_may_be_a_tuple():
    scores = problem(3, 4)[0]
    assert retrieval(scores, None, (1, 2, 3), metric="precomputed") == retrieval(
        scores, None, [1, 2, 3], metric="precomputed"
    )


# ---- measures from ranks


def test_measures_from_ranks():
    ranks = [1, 2, 2, 10]
    assert evaluate.hit_rate(ranks, 2) == 0.75
    assert evaluate.mrr(ranks) == (1 + 0.5 + 0.5 + 0.1) / 4
    assert evaluate.median_rank(ranks) == 2
    assert evaluate.median_rank([1, 2]) == 1.5
    assert evaluate.mean_rank(ranks) == 3.75
    assert evaluate.mrr([1, np.inf]) == 0.5


def test_first_ranks_and_average_precision_in_csr():
    indptr, ranks = [0, 2, 2, 5], [4, 2, 9, 1, 3]
    np.testing.assert_array_equal(first_ranks(ranks, indptr), [2, np.inf, 1])
    full = [(1 / 2 + 2 / 4) / 2, np.nan, (1 + 2 / 3 + 3 / 9) / 3]
    np.testing.assert_allclose(average_precision(ranks, indptr), full)
    np.testing.assert_allclose(average_precision(ranks, indptr, 3), [1 / 4, np.nan, (1 + 2 / 3) / 3])
    np.testing.assert_allclose(average_precision(ranks, indptr, 1, denominator="capped"), [0, np.nan, 1])
    np.testing.assert_allclose(evaluate.mean_average_precision(ranks, indptr, empty="skip"), (full[0] + full[2]) / 2)
    np.testing.assert_allclose(evaluate.mean_average_precision(ranks, indptr, empty="neg"), (full[0] + full[2]) / 3)
    np.testing.assert_allclose(evaluate.mean_average_precision(ranks, indptr, empty="pos"), (full[0] + full[2] + 1) / 3)


def test_one_positive_makes_map_the_mrr():
    scores = np.random.default_rng(0).standard_normal((30, 40))
    found = retrieval(scores, None, np.arange(30), metric="precomputed")
    assert found["map"] == found["mrr"]


# ---- chance


@pytest.mark.parametrize(("n", "R"), [(1, 1), (4, 1), (5, 2), (6, 3), (5, 5), (6, 4)])
def test_chance_is_the_mean_over_all_orders(n, R):
    scores = np.array(list(itertools.permutations(range(n))))
    m = len(scores)
    found = retrieval(scores, None, csr([range(R)] * m), metric="precomputed", k=(1, 2, 9))
    expected = chance(n, R, k=(1, 2, 9))
    assert expected == pytest.approx({name: found[name] for name in expected}, rel=1e-12)
    assert set(found) - set(expected) == {"queries", "median_rank"}


def test_chance_averages_over_queries_and_follows_the_policy_for_none():
    mixed = chance(6, [1, 3, 3], k=(2,))
    one, three = chance(6, 1, k=(2,)), chance(6, 3, k=(2,))
    assert mixed == pytest.approx({name: (one[name] + 2 * three[name]) / 3 for name in one})
    assert chance(6, [1, 0], k=(2,), empty="skip") == pytest.approx(one)
    assert chance(6, [1, 0], k=(2,), empty="neg")["mrr"] == pytest.approx(one["mrr"] / 2)
    assert chance(6, [1, 0], k=(2,), empty="pos")["map"] == pytest.approx((one["map"] + 1) / 2)


def test_a_random_order_does_as_chance_says():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((4000, 30)), rng.integers(0, 4, 30)
    wanted = rng.integers(0, 4, 4000)
    found = retrieval(scores, labels=(wanted, labels), metric="precomputed")
    expected = chance(30, evaluate.count_positives(wanted, labels))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=0.05, abs=0.01)


# ---- sentences

EYE = np.eye(3)
NAN = np.array([[1.0, 2.0], [np.nan, 0.0]])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: evaluate.hit_rate([1], 0), ValueError, "k must be at least 1, got 0"),
        (lambda: average_precision([1], [0, 1], 0), ValueError, "k must be at least 1, got 0"),
        (lambda: chance(3, k=(0,)), ValueError, "k must be at least 1, got 0"),
        (lambda: evaluate.mrr([]), ValueError, "ranks must have shape (m,) with m >= 1, got (0,)"),
        (lambda: evaluate.mrr([2, 0]), ValueError, "ranks must be at least 1 (inf: not found), got 0.0"),
        (lambda: first_ranks([1, 2], [0, 1]), ValueError,
         "indptr must ascend from 0 to the 2 ranks, with one entry more than there are queries, got [0 1]"),
        (lambda: average_precision([1], [0, 1], denominator="all"), ValueError,
         "denominator must be one of positives, capped, got 'all'"),
        (lambda: retrieval(EYE, metric="precomputed", ties="random"), ValueError,
         "ties must be one of index, optimistic, pessimistic, mean, expected, got 'random'"),
        (lambda: retrieval(EYE, metric="precomputed", empty="no"), ValueError,
         "empty must be one of error, skip, neg, pos, got 'no'"),
        (lambda: retrieval(EYE, None, [0, -1, -1], metric="precomputed"), ValueError,
         "every query must have a positive, got 2 without, query 1 first; empty='skip', 'neg' or 'pos' allows it"),
        (lambda: retrieval(EYE, None, [-1, -1, -1], metric="precomputed", empty="skip"), ValueError,
         "at least one query must have a positive, got none for all 3"),
        (lambda: retrieval(EYE), ValueError,
         "gallery must be given unless metric='precomputed', where queries holds the scores, got metric='cosine'"),
        (lambda: retrieval(EYE, EYE, metric="precomputed"), ValueError,
         "gallery must be given unless metric='precomputed', where queries holds the scores, got metric='precomputed'"),
        (lambda: retrieval(NAN, metric="precomputed"), ValueError,
         "queries must hold finite scores, got nan in row 1"),
        (lambda: retrieval(EYE[0], EYE), ValueError, "queries must have shape (n, d) with n, d >= 1, got (3,)"),
        (lambda: retrieval(EYE[:2], metric="precomputed", exclude_self=True), ValueError,
         "exclude_self must be False unless there are as many queries as gallery rows, got 2 and 3"),
        (lambda: retrieval(EYE[:2], metric="precomputed"), ValueError,
         "positives or labels must be given for 2 queries and 3 gallery rows, got neither"),
        (lambda: retrieval(EYE, None, [0, 1, 2], labels=([1], [1]), metric="precomputed"), ValueError,
         "positives must be left out where labels are given, got both"),
        (lambda: retrieval(EYE, labels=([1], [1]), metric="precomputed"), ValueError,
         "labels must have shapes (3,) and (3,), one for each query and gallery row, got (1,) and (1,)"),
        (lambda: retrieval(EYE, None, [0, 1], metric="precomputed"), ValueError,
         "positives must have shape (3,), one for each query, or be CSR, got (2,)"),
        (lambda: retrieval(EYE, None, [0, 1, 3], metric="precomputed"), ValueError,
         "positives must be in 0..2 (the gallery rows), got 3"),
        (lambda: retrieval(EYE, None, [0, 1, -2], metric="precomputed"), ValueError,
         "positives must be in 0..2 (the gallery rows), got -2"),
        (lambda: retrieval(EYE, None, [0.0, 1.0, 2.0], metric="precomputed"), TypeError,
         "positives must hold whole numbers, got dtype float64"),
        (lambda: retrieval(EYE, None, ([0, 2], [0, 1]), metric="precomputed"), ValueError,
         "indptr must have 4 entries, one more than there are queries, got 2"),
        (lambda: retrieval(EYE, None, ([0, 2, 1, 2], [0, 1]), metric="precomputed"), ValueError,
         "indptr must ascend from 0 to the 2 indices, with one entry more than there are queries, got [0 2 1 2]"),
        (lambda: chance(3, 4), ValueError, "positives must be in 0..3 (the gallery rows), got 4..4"),
        (lambda: chance(3, []), ValueError, "positives must be a number or have shape (m,) with m >= 1, got (0,)"),
        (lambda: chance(3, [1.5]), TypeError, "positives must hold whole numbers, got dtype float64"),
        (lambda: chance(2.5), TypeError, "n must be a whole number, got 2.5"),
        (lambda: chance(0, 0), ValueError, "n must be at least 1, got 0"),
        (lambda: chance(3, k=2.5), TypeError, "k must be a whole number, got 2.5"),
        (lambda: evaluate.hit_rate([1], 2.5), TypeError, "k must be a whole number, got 2.5"),
        (lambda: retrieval(EYE, metric="precomputed", k="5"), TypeError, "k must be a whole number, got '5'"),
        (lambda: retrieval(EYE, metric="precomputed", k=(1, None)), TypeError, "k must be a whole number, got None"),
        (lambda: average_precision([0], [0, 1]), ValueError, "ranks must be at least 1 (inf: not found), got 0.0"),
        (lambda: first_ranks([np.nan], [0, 1]), ValueError, "ranks must be at least 1 (inf: not found), got nan"),
        (lambda: first_ranks([[1]], [0, 1]), ValueError, "ranks must have shape (m,) with m >= 1, got (1, 1)"),
        (lambda: evaluate.mrr(["a"]), TypeError, "ranks must hold numbers, got dtype <U1"),
        (lambda: average_precision([1], [0, 0.5, 1]), TypeError, "indptr must hold whole numbers, got dtype float64"),
        (lambda: retrieval(EYE, EYE, (np.arange(4) * 2, [0, 1, 2, 2, 1, 0])), ValueError,
         "positives must name a row once per query, got 2 twice for query 1"),
        (lambda: retrieval(EYE, EYE, mask=EYE > 0), TypeError,
         "control arguments must be among ['backend', 'check_finite', 'devices', 'max_bytes', 'n_threads', "
         "'precision', 'progress'], got 'mask'"),
        (lambda: retrieval(EYE, metric="precomputed", backend="abacus"), ValueError,
         "backend must be 'auto' or one of ['cuda', 'numba', 'numpy'], got 'abacus'"),
        (lambda: retrieval(EYE, metric="precomputed", max_bytes=71), ValueError,
         "max_bytes must be at least 72 (one row of 3 scores), got 71"),
        (lambda: retrieval(EYE, EYE, labels=[1, 1, 1]), TypeError,
         "labels must be a pair, of the queries and of the gallery rows, got [1, 1, 1]"),
        (lambda: retrieval(EYE, EYE, labels=([1, 2, 3], ["1", "2", "3"])), TypeError,
         "labels must be of one kind on all sides, text or numbers, got int64 in labels[0] and <U1 in labels[1]"),
        (lambda: retrieval(EYE, EYE, labels=([1, 2, np.nan], [1, 2, 3])), ValueError,
         "labels[0] must not be NaN, got it in row 2; leave such rows out"),
        (lambda: evaluate.count_positives([None], ["a"]), TypeError,
         "query_labels must be all text or all numbers, got dtype object"),
        (lambda: evaluate.count_positives(["a"], [["a"]]), ValueError,
         "gallery_labels must have shape (n,), one for each row, got (1, 1)"),
        (lambda: chance(3, [0, 1]), ValueError,
         "every query must have a positive, got 1 without, query 0 first; empty='skip', 'neg' or 'pos' allows it"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


# ---- real data


@pytest.mark.parametrize(
    ("direction", "expected"),
    [((0, 1), {"hit_rate@1": 0.552, "hit_rate@5": 0.808, "hit_rate@10": 0.892, "mrr": 0.6670}),
     ((1, 0), {"hit_rate@1": 0.506, "hit_rate@5": 0.766, "hit_rate@10": 0.862, "mrr": 0.6304})],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_cosine(direction, expected, dtype):
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    features = np.load(path).astype(dtype)
    found = retrieval(features[direction[0]], features[direction[1]], ties="optimistic")
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=5e-5)


def test_clip_centred():
    path = DATA / "clip500" / "features_clip.npy"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    image, text = (Center().fit_transform(normalize(side)) for side in np.load(path).astype(np.float64))
    for sides, expected in {((0, 1)): (0.542, 0.882), ((1, 0)): (0.500, 0.862)}.items():
        found = retrieval(*((image, text)[side] for side in sides), ties="optimistic")
        assert (found["hit_rate@1"], found["hit_rate@10"]) == pytest.approx(expected, abs=5e-4)


def trec(name):
    path = DATA / "trec_eval" / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return [line.split() for line in path.read_text().splitlines()]


def test_trec_eval_average_precision_and_reciprocal_rank():
    """Per topic: rank by float32 score, then docno, both descending; positives that were not retrieved have no rank."""
    relevant = {}
    for topic, _, docno, grade in trec("qrels.test"):
        if int(grade) >= 1:
            relevant.setdefault(topic, set()).add(docno)
    runs = {}
    for topic, _, docno, _, score, _ in trec("results.test"):
        runs.setdefault(topic, []).append((np.float32(score), docno))
    expected = {(name, topic): value for name, topic, value in trec("out.test.aq")}
    ranks, sizes = [], []
    for topic, documents in runs.items():
        listed = [docno for _, docno in sorted(documents, reverse=True)]
        found = [rank for rank, docno in enumerate(listed, 1) if docno in relevant[topic]]
        ranks += found + [np.inf] * (len(relevant[topic]) - len(found))
        sizes.append(len(relevant[topic]))
    indptr = np.cumsum([0, *sizes])
    for cut, name in [(None, "map"), (10, "map_cut_10"), (100, "map_cut_100")]:
        for topic, value in zip(runs, average_precision(ranks, indptr, cut), strict=True):
            assert f"{value:.4f}" == expected[name, topic]
    for topic, rank in zip(runs, first_ranks(ranks, indptr), strict=True):
        assert f"{1 / rank:.4f}" == expected["recip_rank", topic]
    assert f"{evaluate.mean_average_precision(ranks, indptr):.4f}" == "0.1785"
    assert f"{evaluate.mrr(first_ranks(ranks, indptr)):.4f}" == "0.4064"
    assert f"{evaluate.hit_rate(first_ranks(ranks, indptr), 10):.4f}" == "0.6667"
