"""Every measure by name against its definition in a loop, and its expected value against all orders of ties."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmodal_fast import evaluate, ranks
from crossmodal_fast.evaluate import MEASURES, _listing, from_ranks, retrieval


def csr(sets):
    return np.cumsum([0, *map(len, sets)]), np.array([j for one in sets for j in one], dtype=int)


def problem(seed, m=6, n=7, most=4):
    """Scores with many ties, one to n positives a query, and their grades."""
    rng = np.random.default_rng(seed)
    relevant = [sorted(rng.permutation(n)[: rng.integers(1, n + 1)].tolist()) for _ in range(m)]
    scores = rng.integers(0, most, (m, n))
    grades = [rng.integers(1, 4, len(one)).tolist() for one in relevant]
    return scores, relevant, grades


# ---- the definitions, of one list of grades from best to worst (0: not relevant), all grades, k


def first(listed):
    return next(rank for rank, grade in enumerate(listed, 1) if grade > 0)


def precisions(listed):
    return [sum(grade > 0 for grade in listed[:rank]) / rank for rank, grade in enumerate(listed, 1) if grade > 0]


def hits(listed, k):
    return sum(grade > 0 for grade in listed[:k])


def ap(listed, k):
    return sum(p for p, rank in zip(precisions(listed), places(listed), strict=True) if rank <= k)


def places(listed):
    return [rank for rank, grade in enumerate(listed, 1) if grade > 0]


def dcg(listed, gain):
    return sum(gain(grade) / math.log2(rank + 1) for rank, grade in enumerate(listed, 1))


def interpolated(listed, level, rounded=True):
    R = hits(listed, len(listed))
    needed = next(found for found in range(R + 1) if (found + 0.5 > level * R if rounded else 10 * found >= level * R))
    return max((p for found, p in enumerate(precisions(listed), 1) if found >= needed), default=0.0)


def bpref(listed):
    R, n = hits(listed, len(listed)), len(listed)
    most = min(R, n - R)
    above = [rank - found for found, rank in enumerate(places(listed), 1)]
    return sum(1 - min(n_r, most) / most if most else 1 for n_r in above) / R


def area(listed):
    pairs = [(one > other, one < other) for one, other in itertools.combinations([grade > 0 for grade in listed], 2)]
    right, wrong = (sum(side) for side in zip(*pairs, strict=True)) if pairs else (0, 0)
    return right / (right + wrong) if right + wrong else 1.0


def by_definition(listed, k):
    n, R = len(listed), hits(listed, len(listed))
    best = sorted(listed, reverse=True)
    linear, exponential = (lambda g: g), (lambda g: 2**g - 1)
    return {
        f"hit_rate@{k}": float(first(listed) <= k),
        f"success@{k}": float(first(listed) <= k),
        f"hits@{k}": hits(listed, k),
        f"precision@{k}": hits(listed, k) / k,
        f"recall@{k}": hits(listed, k) / R,
        f"recall_cap@{k}": hits(listed, k) / min(k, R),
        f"f1@{k}": 2 * hits(listed, k) / (k + R),
        "r_precision": hits(listed, R) / R,
        "r_precision@0.5": hits(listed, int(0.5 * R + 0.9)) / int(0.5 * R + 0.9),
        "mrr": 1 / first(listed),
        f"mrr@{k}": 1 / first(listed) if first(listed) <= k else 0.0,
        "mean_rank": first(listed),
        "median_rank": first(listed),
        "map": ap(listed, n) / R,
        "gm_map": ap(listed, n) / R,
        f"map@{k}": ap(listed, k) / R,
        f"map_cap@{k}": ap(listed, k) / min(k, R),
        "map_11pt": sum(interpolated(listed, level, rounded=False) for level in range(11)) / 11,
        "iprec_11pt": sum(interpolated(listed, level / 10) for level in range(11)) / 11,
        "iprec@0.3": interpolated(listed, 0.3),
        "bpref": bpref(listed),
        "gm_bpref": bpref(listed),
        "auroc": area(listed),
        "rbp@0.8": 0.2 * sum(0.8 ** (rank - 1) for rank in places(listed)),
        "dcg": dcg(listed, linear),
        f"dcg@{k}": dcg(listed[:k], linear),
        "dcg_exp": dcg(listed, exponential),
        f"dcg_exp@{k}": dcg(listed[:k], exponential),
        "ndcg": dcg(listed, linear) / dcg(best, linear),
        f"ndcg@{k}": dcg(listed[:k], linear) / dcg(best[:k], linear),
        "ndcg_exp": dcg(listed, exponential) / dcg(best, exponential),
        f"ndcg_exp@{k}": dcg(listed[:k], exponential) / dcg(best[:k], exponential),
        "set_precision": R / n,
        "set_recall": 1.0,
        "set_recall_cap": 1.0,
        "set_f1": 2 * R / (R + n),
        "set_map": R / n,
        "utility": R - (n - R),
        "num_ret": n,
        "num_rel": R,
        "num_rel_ret": R,
    }  # fmt: skip


def grades_of(row, relevant, grades):
    found = dict(zip(relevant, grades, strict=True))
    return [found.get(j, 0) for j in range(len(row))]


def orders(row, grade):
    """Every order of the items that their scores allow, as lists of grades."""
    groups = [[grade[j] for j in np.flatnonzero(row == value)] for value in np.unique(row)[::-1]]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield list(itertools.chain(*parts))


def test_the_area_under_the_curve_is_that_of_scikit_learn():
    """Equal scores count half, for the expected order of ties."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    scores, right = rng.integers(0, 5, (20, 12)), rng.random((20, 12)) < 0.4
    right[:, 0], right[:, 1] = True, False
    found = retrieval(
        scores, positives=csr([np.flatnonzero(row) for row in right]), metric="precomputed", metrics="auroc",
        ties="expected", per_query=True,
    )  # fmt: skip
    expected = [roc_auc_score(truth, row) for truth, row in zip(right, scores, strict=True)]
    np.testing.assert_allclose(found["auroc"], expected, rtol=1e-12)


def test_every_measure_is_defined_here():
    assert {name.partition("@")[0] for name in by_definition([1, 0, 2], 2)} == set(MEASURES)


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_settled_places(ties, seed, k):
    scores, relevant, grades = problem(seed)
    favour = {"index": 0, "optimistic": -1, "pessimistic": 1}[ties]
    expected = []
    for row, positives, grade in zip(scores, relevant, grades, strict=True):
        worth = grades_of(row, positives, grade)
        listed = sorted(range(len(row)), key=lambda j: (-row[j], favour * worth[j], j))
        expected.append(by_definition([worth[j] for j in listed], k))
    found = retrieval(
        scores, None, csr(relevant), grades=np.concatenate(grades), metric="precomputed", ties=ties,
        metrics=expected[0], per_query=True,
    )  # fmt: skip
    for name, values in found.items():
        np.testing.assert_allclose(values, [one[name] for one in expected], rtol=1e-12, atol=1e-14, err_msg=name)


WITH_TIES = [name for name in by_definition([1, 0], 1) if MEASURES[name.partition("@")[0]].ties]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_expected_values_are_means_over_all_orders(seed, k):
    scores, relevant, grades = problem(seed, m=3, n=6, most=3)
    names = [name.replace("@1", f"@{k}") if name.endswith("@1") else name for name in WITH_TIES]
    found = retrieval(
        scores, None, csr(relevant), grades=np.concatenate(grades), metric="precomputed", ties="expected",
        metrics=names, per_query=True,
    )  # fmt: skip
    for i, row in enumerate(scores):
        each = [by_definition(listed, k) for listed in orders(row, grades_of(row, relevant[i], grades[i]))]
        for name in names:
            mean = sum(one[name] for one in each) / len(each)
            assert found[name][i] == pytest.approx(mean, rel=1e-12, abs=1e-14), name


def test_wide_ties_in_small_blocks(monkeypatch):
    scores, relevant, _ = problem(3, m=40, n=30, most=2)
    keywords = {"metric": "precomputed", "ties": "expected", "metrics": "mrr,hit_rate@3,mrr@9", "per_query": True}
    whole = retrieval(scores, None, csr(relevant), **keywords)
    monkeypatch.setattr(_listing, "BLOCK_SLOTS", 64)
    small = retrieval(scores, None, csr(relevant), **keywords)
    for name, values in whole.items():
        np.testing.assert_allclose(small[name], values, rtol=1e-14)


def test_one_tie_group_is_chance():
    found = retrieval(np.zeros((1, 50)), None, csr([range(7)]), metric="precomputed", ties="expected")
    expected = evaluate.chance(50, 7)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_gain_is_that_of_scikit_learn():
    """Its ndcg_score takes means over ties in the same way."""
    metrics = pytest.importorskip("sklearn.metrics")
    scores, relevant, grades = problem(8, m=12, n=9)
    worth = np.array([grades_of(row, *pair) for row, *pair in zip(scores, relevant, grades, strict=True)])
    found = retrieval(
        scores, None, csr(relevant), grades=np.concatenate(grades), metric="precomputed", ties="expected",
        metrics="ndcg,ndcg@4,dcg@4,dcg_exp",
    )  # fmt: skip
    expected = {
        "ndcg": metrics.ndcg_score(worth, scores), "ndcg@4": metrics.ndcg_score(worth, scores, k=4),
        "dcg@4": metrics.dcg_score(worth, scores, k=4), "dcg_exp": metrics.dcg_score(2.0**worth - 1, scores),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_without_ties_every_policy_agrees():
    rng = np.random.default_rng(4)
    scores = rng.permuted(np.tile(np.arange(20.0), (8, 1)), axis=1)
    names = [name for name in by_definition([1], 3) if MEASURES[name.partition("@")[0]].ties]
    answers = [
        retrieval(scores, None, rng.permuted(np.arange(8)) * 0 + 3, metric="precomputed", ties=ties, metrics=names)
        for ties in ("index", "optimistic", "pessimistic", "mean", "expected")
    ]
    for answer in answers[1:]:
        assert answer == pytest.approx(answers[0], rel=1e-12)


def test_embeddings_with_ties_are_counted_as_their_scores():
    rng = np.random.default_rng(5)
    X, Y = rng.integers(-2, 3, (2, 12, 3)).astype(np.float64)
    relevant = [rng.permutation(12)[:4].tolist() for _ in range(12)]
    keywords = {"metrics": "map,mrr,ndcg@5,bpref", "grades": rng.integers(1, 4, 48), "ties": "index"}
    for ties in ("index", "mean", "expected"):
        keywords |= {"ties": ties, "metrics": "map,mrr,ndcg@5"}
        counted = retrieval(X, Y, csr(relevant), metric="dot", backend="numpy", **keywords)
        assert counted == pytest.approx(retrieval(X @ Y.T, None, csr(relevant), metric="precomputed", **keywords))


def test_half_ranks_count_once_they_are_passed():
    scores = np.array([[2, 1, 1, 0]])
    names = "hit_rate@2,precision@2,hit_rate@3,precision@3,mean_rank"
    found = retrieval(scores, None, [1], metric="precomputed", ties="mean", metrics=names)
    assert list(found.values())[1:] == [0, 0, 1, 1 / 3, 2.5]


@pytest.mark.parametrize("ties", ["index", "expected"])
def test_without_itself_a_row_is_neither_listed_nor_graded(ties):
    rng = np.random.default_rng(9)
    scores = rng.permuted(np.tile(np.arange(7.0), (7, 1)), axis=1)
    relevant = [[i, (i + 1) % 7, (i + 3) % 7] for i in range(7)]
    keywords = {"metric": "precomputed", "metrics": "ndcg,set_precision,utility,precision@3", "ties": ties}
    found = retrieval(scores, None, csr(relevant), grades=[3, 1, 2] * 7, exclude_self=True, **keywords)
    others = np.array([[j for j in range(7) if j != i] for i in range(7)])
    places = [[others[i].tolist().index(j) for j in one[1:]] for i, one in enumerate(relevant)]
    without = np.take_along_axis(scores, others, axis=1)
    assert found == retrieval(without, None, csr(places), grades=[1, 2] * 7, **keywords)


def test_counts_are_no_worse_for_queries_without_positives():
    scores, names = np.array([[2, 1, 0], [2, 1, 0]]), "num_rel,num_ret,num_rel_ret,mrr"
    for empty, mrr in (("pos", 0.75), ("neg", 0.25)):
        found = retrieval(scores, None, [-1, 1], metric="precomputed", metrics=names, empty=empty)
        assert found == {"queries": 2, "num_rel": 1, "num_ret": 6, "num_rel_ret": 1, "mrr": mrr}


def test_groups_weigh_the_same():
    scores = np.array([[2, 1, 0], [2, 1, 0], [2, 1, 0]])
    keywords = {"metric": "precomputed", "metrics": "mrr,num_rel", "groups": ["a", "b", "b"]}
    found = retrieval(scores, None, [0, 1, 2], **keywords)
    assert found == {"queries": 3, "mrr": (1 + (1 / 2 + 1 / 3) / 2) / 2, "num_rel": 3.0}
    assert retrieval(scores, None, [0, -1, 2], empty="skip", **keywords)["mrr"] == (1 + 1 / 3) / 2


def test_known_ranks():
    rng = np.random.default_rng(6)
    X, Y = rng.standard_normal((2, 30, 4))
    relevant = [rng.permutation(30)[: rng.integers(1, 5)].tolist() for _ in range(30)]
    grades = rng.integers(1, 4, sum(map(len, relevant)))
    names = list(by_definition([1], 4))
    known = ranks(X, Y, csr(relevant), "cosine", backend="numpy")
    found = from_ranks(known, 30, names, indptr=csr(relevant)[0], grades=grades)
    expected = retrieval(X, Y, csr(relevant), grades=grades, metrics=names, backend="numpy")
    assert found == pytest.approx({name: expected[name] for name in names})
    assert from_ranks([1, np.inf, 4], 9, "hit_rate@1,mrr,recall@5,num_rel_ret") == pytest.approx(
        {"hit_rate@1": 1 / 3, "mrr": 1.25 / 3, "recall@5": 2 / 3, "num_rel_ret": 2}
    )
    assert from_ranks([2], 3, "mrr", indptr=[0, 0, 1], empty="neg", per_query=True)["mrr"].tolist() == [0, 0.5]


def test_what_is_relevant_but_has_no_grade_weighs_one():
    scores, relevant, _ = problem(7)
    keywords = {"metric": "precomputed", "metrics": "ndcg,ndcg_exp"}
    ones = np.ones(sum(map(len, relevant)))
    plain = retrieval(scores, None, csr(relevant), **keywords)
    assert plain == retrieval(scores, None, csr(relevant), grades=ones, **keywords)
    assert plain["ndcg"] == pytest.approx(plain["ndcg_exp"])


EYE = np.eye(3)


def measured(metrics, **keywords):
    return retrieval(EYE, metric="precomputed", metrics=metrics, **keywords)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: measured("accuracy"), ValueError,
         f"metrics must be among {', '.join(MEASURES)}, with @k where they take one, got 'accuracy'"),
        (lambda: measured("hit_rate"), ValueError,
         "metrics must have a whole number above 0 as k behind the @, got 'hit_rate'"),
        (lambda: measured("ndcg@0"), ValueError,
         "metrics must have a whole number above 0 as k behind the @, got 'ndcg@0'"),
        (lambda: measured("mrr@1.5"), ValueError,
         "metrics must have a whole number above 0 as k behind the @, got 'mrr@1.5'"),
        (lambda: measured("iprec@1.5"), ValueError,
         "metrics must have a number in 0..1 as level behind the @, got 'iprec@1.5'"),
        (lambda: measured("r_precision@0"), ValueError,
         "metrics must have a number above 0 as factor behind the @, got 'r_precision@0'"),
        (lambda: measured("mean_rank@3"), ValueError,
         "metrics must be without @ for what takes no cut-off, got 'mean_rank@3'"),
        (lambda: measured([]), ValueError, "metrics must name at least one measure, got none"),
        (lambda: measured(3), TypeError, "metrics must be names of measures, got 3"),
        (lambda: measured([1]), TypeError, "metrics must be names of measures, got 1"),
        (lambda: measured("bpref", ties="expected"), ValueError,
         "ties must be settled for bpref, which has no expected value, got 'expected'"),
        (lambda: measured("mrr", groups=[1, 2]), ValueError,
         "groups must have shape (3,), one for each query, got (2,)"),
        (lambda: measured("mrr", grades=[1, 2]), ValueError,
         "grades must have shape (3,), one for each positive, got (2,)"),
        (lambda: retrieval(EYE, None, [0, 1, 2], metric="precomputed", grades=[1, 0, 1]), ValueError,
         "grades must be finite and above 0, got 0.0; leave out what is not relevant"),
        (lambda: retrieval(EYE, labels=([1] * 3, [1] * 3), metric="precomputed", grades=[1] * 3), ValueError,
         "grades must be left out where labels are given, got both"),
        (lambda: measured("mrr", per_query="yes"), ValueError, "per_query must be True or False, got 'yes'"),
        (lambda: from_ranks([4], 3, "mrr"), ValueError, "ranks must be at most n, 3, or inf, got 4.0"),
        (lambda: from_ranks(2, 3, "mrr"), ValueError, "ranks must have shape (m,) with m >= 1, got ()"),
        (lambda: from_ranks([2], 3, "mrr", indptr=[0, 0, 1]), ValueError,
         "every query must have a positive, got 1 without, query 0 first; empty='skip', 'neg' or 'pos' allows it"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
