"""Ready rankings: trec_eval's own numbers, tie rules by hand, ids and files of all sorts, sentences."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from crossmodal_fast.evaluate import rankings, read_qrels, read_run, retrieval

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "trec_eval"
OTHERS = {"runid", "relstring", "num_q", "infAP", "binG", "G", "ndcg_rel", "Rndcg", "num_nonrel_judged_ret", "rbp",
          "rbp_resid", "unj_5", "unj_10", "unj_20"}  # fmt: skip


def trec(name):
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is absent")
    return DATA / name


def expected(name):
    return [line.split() for line in trec(name).read_text().splitlines() if line.split()[0] not in OTHERS]


def test_trec_eval_means():
    told = {name: value for name, _, value in expected("out.test.a")}
    found = rankings(read_run(trec("results.test")), read_qrels(trec("qrels.test")), told)
    assert found.pop("queries") == 3
    assert len(told) == 86  # the 83 of published measures, and three counts
    assert {name: f"{value:.4f}" for name, value in found.items()} == {
        name: f"{float(value):.4f}" for name, value in told.items()
    }


def test_trec_eval_per_topic():
    told = {(name, topic): value for name, topic, value in expected("out.test.aq") if topic != "all"}
    names = sorted({name for name, _ in told})
    found = rankings(read_run(trec("results.test")), read_qrels(trec("qrels.test")), names, per_query=True)
    topics = found.pop("query")
    assert topics == ["301", "302", "303"]
    assert len(told) == 252
    assert {
        (name, topic): f"{value:.4f}"
        for name, values in found.items()
        for topic, value in zip(topics, values, strict=True)
    } == {key: f"{float(value):.4f}" for key, value in told.items()}


def test_graded_judgements():
    """By a loop over the sorted list, gains of 2, 3 and 4 among them, negative grades neither gain nor judgement."""
    run, qrels = read_run(trec("results.test")), read_qrels(trec("qrels.rel_level"))
    found = rankings(run, qrels, "ndcg,ndcg_cut_20,bpref", per_query=True)
    assert {-1, 2, 3, 4} <= set(qrels.grades)
    for at, topic in enumerate(found["query"]):
        grade = {d: g for q, d, g in zip(*qrels, strict=True) if q == topic}
        entries = [(np.float32(s), d) for q, d, s in zip(*run, strict=True) if q == topic]
        gains = [max(grade.get(d, 0), 0) for _, d in sorted(entries, reverse=True)]
        best = sorted((max(g, 0) for g in grade.values()), reverse=True)
        for name, k in (("ndcg", None), ("ndcg_cut_20", 20)):
            dcg, ideal = (sum(g / np.log2(r + 2) for r, g in enumerate(side[:k])) for side in (gains, best))
            assert found[name][at] == pytest.approx(dcg / ideal, rel=1e-12)
        judged = [grade.get(d) for _, d in sorted(entries, reverse=True) if grade.get(d, -1) >= 0]
        R, N = sum(g > 0 for g in grade.values()), sum(g == 0 for g in grade.values())
        above = [sum(h == 0 for h in judged[:r]) for r, g in enumerate(judged) if g > 0]
        assert found["bpref"][at] == pytest.approx(sum(1 - min(n, R, N) / min(R, N) for n in above) / R, rel=1e-12)


def test_a_run_that_leaves_a_topic_out():
    run, qrels = read_run(trec("results.trunc")), read_qrels(trec("qrels.test"))
    some = rankings(run, qrels, "map", missing="skip")
    every = rankings(run, qrels, "map", missing="neg")
    assert (some["queries"], every["queries"]) == (2, 3)
    assert every["map"] == pytest.approx(some["map"] * 2 / 3)


# ---- ties


QRELS = {"q": {"a": 1, "b": 0, "c": 2}}


@pytest.mark.parametrize(
    ("ties", "mrr", "ndcg"),
    [("docid", 1.0, (2 + 1 / 2) / (2 + 1 / np.log2(3))),  # c b a
     ("index", 1 / 2, (1 / np.log2(3) + 2 / 2) / (2 + 1 / np.log2(3))),  # b a c
     ("optimistic", 1.0, 1.0),  # c a b
     ("pessimistic", 1 / 2, (1 / np.log2(3) + 2 / 2) / (2 + 1 / np.log2(3))),  # b a c
     ("mean", 1 / 1.5, (2 / np.log2(2.5) + 1 / np.log2(3.5)) / (2 + 1 / np.log2(3)))],
)  # fmt: skip
def test_ties_by_hand(ties, mrr, ndcg):
    run = {"q": {"b": 0.5, "a": 0.5, "c": 0.5}}
    found = rankings(run, QRELS, "mrr,ndcg", ties=ties)
    assert (found["mrr"], found["ndcg"]) == pytest.approx((mrr, ndcg))


def test_expected_values_are_means_over_the_orders_of_ids():
    run = {"q": {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 0.5}}
    qrels = {"q": {"a": 2, "b": 0, "c": 1, "e": 1, "z": 1}}
    names = "map,mrr,ndcg@3,recall@2,map@3"
    each = []
    for order in itertools.permutations("abcd"):
        scores = {name: 2.0 - 0.1 * place for place, name in enumerate(order)} | {"e": 0.5}
        each.append(rankings({"q": scores}, qrels, names))
    found = rankings(run, qrels, names, ties="expected")
    assert found == pytest.approx({name: np.mean([one[name] for one in each]) for name in found})
    bpref = [rankings(run, qrels, "bpref", ties=ties)["bpref"] for ties in ("optimistic", "mean", "pessimistic")]
    assert bpref == pytest.approx([2 / 4, (0.5 + 0.5) / 4, 0.0])  # one judged non-relevant, before e in any case


def test_scores_that_float32_cannot_tell_apart_are_ties():
    run = {"q": {"a": 1.0 + 1e-12, "c": 1.0}}
    assert rankings(run, {"q": {"a": 1}}, "mrr") == {"queries": 1, "mrr": 0.5}
    assert rankings(run, {"q": {"a": 1}}, "mrr", ties="index") == {"queries": 1, "mrr": 1.0}
    huge = {"q": {"a": np.inf, "b": 1e300, "c": -np.inf}}
    assert rankings(huge, {"q": {"a": 1}}, "mrr", ties="index")["mrr"] == 1.0


# ---- what a ranking may be


def flat(nested):
    entries = [(q, d, value) for q, documents in nested.items() for d, value in documents.items()]
    return tuple(map(list, zip(*entries, strict=True)))


def nested_problem(seed=0, kind=str):
    rng = np.random.default_rng(seed)
    run = {kind(q): {kind(d): float(s) for d, s in zip(rng.permutation(40)[:12], rng.integers(0, 9, 12), strict=True)}
           for q in range(9)}  # fmt: skip
    qrels = {kind(q): {kind(d): int(g) for d, g in zip(rng.permutation(40)[:15], rng.integers(-1, 3, 15), strict=True)}
             for q in rng.permutation(9)}  # fmt: skip
    return run, qrels


@pytest.mark.parametrize("ties", ["docid", "index", "expected"])
def test_dicts_and_flat_sequences_are_one(ties):
    run, qrels = nested_problem()
    names = "map,mrr,ndcg@5,num_rel"
    found = rankings(run, qrels, names, ties=ties)
    assert rankings(flat(run), flat(qrels), names, ties=ties) == found
    as_arrays = [tuple(map(np.array, flat(side))) for side in (run, qrels)]
    assert rankings(*as_arrays, names, ties=ties) == found


def test_whole_numbers_as_ids_are_ordered_as_numbers():
    run, qrels = nested_problem(kind=int)
    text = [{f"{q:03}": {f"{d:03}": v for d, v in one.items()} for q, one in side.items()} for side in (run, qrels)]
    assert rankings(run, qrels, "map,mrr") == rankings(*text, "map,mrr")
    numpy_ids = [{np.int64(q): one for q, one in side.items()} for side in (run, qrels)]
    assert rankings(*numpy_ids, "map,mrr") == rankings(run, qrels, "map,mrr")


def test_rankings_and_retrieval_agree():
    rng = np.random.default_rng(1)
    scores, labels = rng.permuted(np.tile(np.arange(30.0), (8, 1)), axis=1), rng.integers(0, 3, 30)
    wanted = rng.integers(0, 3, 8)
    run = {i: dict(enumerate(row.tolist())) for i, row in enumerate(scores)}
    qrels = {i: {j: int(labels[j] == wanted[i]) for j in range(30)} for i in range(8)}
    names = "map,mrr,ndcg@7,precision@4,r_precision,bpref,map_11pt,utility,f1@3,median_rank"
    expected_values = retrieval(scores, labels=(wanted, labels), metric="precomputed", metrics=names)
    assert rankings(run, qrels, names) == pytest.approx(expected_values)


@pytest.mark.parametrize(("empty", "value"), [("skip", 1.0), ("neg", 0.5), ("pos", 1.0)])
def test_queries_without_relevant_documents(empty, value):
    run, qrels = {"q": {"a": 1.0}, "r": {"a": 1.0}}, {"q": {"a": 1}, "r": {"a": 0}}
    found = rankings(run, qrels, "map", empty=empty)
    assert found["map"] == value
    assert found["queries"] == (1 if empty == "skip" else 2)
    assert rankings(run, qrels, "map", empty=empty, per_query=True)["query"] == ["q", "r"][: found["queries"]]


def test_empty_lists_and_lists_that_are_not_judged():
    qrels = {"q": {"a": 1}, "r": {"b": 1}}
    found = rankings({"q": {"a": 1.0}, "r": {}, "other": {"a": 1.0}}, qrels, "map,mean_rank", missing="neg")
    assert found == {"queries": 2, "map": 0.5, "mean_rank": np.inf}
    assert rankings({"q": {"x": 1.0}, "r": {"b": 2.0}}, qrels, "map")["map"] == 0.5


def test_groups_follow_the_order_of_the_judgements():
    qrels = {"q": {"a": 1}, "r": {"a": 1}, "s": {"a": 1}}
    run = {"s": {"a": 1.0}, "r": {"b": 2.0, "a": 1.0}, "q": {"b": 2.0, "c": 3.0, "d": 4.0, "a": 1.0}}
    assert rankings(run, qrels, "mrr", groups=[0, 0, 1])["mrr"] == pytest.approx(((1 / 4 + 1 / 2) / 2 + 1) / 2)


# ---- files and sentences


def test_files_by_hand(tmp_path):
    (tmp_path / "run").write_text("q Q0 a 1 0.5 name junk\n\nq\tQ0\tb\t2\t2e-1\n")
    (tmp_path / "qrels").write_text("q 0 b 1\nq 0 a -1\n")
    run, qrels = read_run(tmp_path / "run"), read_qrels(tmp_path / "qrels")
    assert (run.queries, run.documents, run.scores.tolist()) == (["q", "q"], ["a", "b"], [0.5, 0.2])
    assert rankings(run, qrels, "mrr")["mrr"] == 0.5


@pytest.mark.parametrize(
    ("read", "text", "sentence"),
    [(read_run, "q Q0 a 1\n", "must hold lines of query Q0 document rank score, got 4 fields in line 1"),
     (read_run, "\n", "must hold lines of query Q0 document rank score, got none"),
     (read_run, "q Q0 a 1 0.5\nq Q0 b 2 high\n", "must have a number as score, got 'high' in line 2"),
     (read_qrels, "q 0 a\n", "must hold lines of query 0 document grade, got 3 fields in line 1"),
     (read_qrels, "q 0 a yes\n", "must have a number as grade, got 'yes' in line 1")],
)  # fmt: skip
def test_files_that_are_none(tmp_path, read, text, sentence):
    path = tmp_path / "x"
    path.write_text(text)
    whole = f"'{path}' {sentence}"
    with pytest.raises(ValueError, match=f"^{re.escape(whole)}$"):
        read(path)


RUN = {"q": {"a": 1.0}}


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: rankings([1], QRELS), TypeError,
         "run must be {query: {document: score}} or a tuple (queries, documents, scores), got [1]"),
        (lambda: rankings(RUN, {"q": ["a"]}), TypeError,
         "qrels must hold a dict of documents for each query, got ['a']"),
        (lambda: rankings({"q": {"a": "high"}}, QRELS), TypeError,
         "scores of run must hold numbers, got dtype <U4"),
        (lambda: rankings({"q": {"a": np.nan}}, QRELS), ValueError,
         "scores of run must be numbers, got nan for 'a'"),
        (lambda: rankings(RUN, {"q": {"a": np.inf}}), ValueError, "grades of qrels must be finite, got inf for 'a'"),
        (lambda: rankings((["q"], ["a", "b"], [1]), QRELS), ValueError,
         "run must have equally many queries, documents and scores, got 1, 2 and 1"),
        (lambda: rankings((["q"], "a", [1]), QRELS), TypeError,
         "documents of run must be a sequence, got 'a'"),
        (lambda: rankings((np.eye(2), ["a"], [1]), QRELS), ValueError,
         "queries of run must have shape (e,), one for each entry, got (2, 2)"),
        (lambda: rankings(RUN, (["q", "q"], ["a", "a"], [1, 2])), ValueError,
         "qrels must name a document once per query, got 'a' again for 'q'"),
        (lambda: rankings((["q", "q"], ["a", "a"], [1, 2]), QRELS), ValueError,
         "run must name a document once per query, got 'a' again for 'q'"),
        (lambda: rankings((["q", 1], ["a", "a"], [1, 2]), QRELS), TypeError,
         "ids of run and qrels must be all text or all whole numbers, got int, str"),
        (lambda: rankings({"q": {1: 1.0}}, QRELS), TypeError,
         "ids of run and qrels must be all text or all whole numbers, got int, str"),
        (lambda: rankings({"p": {"a": 1.0}}, QRELS), ValueError,
         "run must hold a query that the qrels judge, got none; ids must be equal, text or numbers"),
        (lambda: rankings({}, QRELS), ValueError,
         "run must hold a query that the qrels judge, got none; ids must be equal, text or numbers"),
        (lambda: rankings(RUN, {}), ValueError,
         "run must hold a query that the qrels judge, got none; ids must be equal, text or numbers"),
        (lambda: rankings(RUN, QRELS | {"r": {"a": 1}}), ValueError,
         "run must hold all 2 judged queries, got none for 1, 'r' first; missing='skip' or 'neg' allows it"),
        (lambda: rankings(RUN, QRELS, ties="random"), ValueError,
         "ties must be one of docid, index, optimistic, pessimistic, mean, expected, got 'random'"),
        (lambda: rankings(RUN, QRELS, missing="pos"), ValueError,
         "missing must be one of error, skip, neg, got 'pos'"),
        (lambda: rankings(RUN, {"q": {"a": 0}}), ValueError,
         "every query must have a positive, got 1 without, query 0 first; empty='skip', 'neg' or 'pos' allows it"),
    ],
)  # fmt: skip
def test_sentences(call, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()
