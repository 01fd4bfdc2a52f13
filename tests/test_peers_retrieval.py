"""Measures beside torchmetrics, `semantic_search` beside sentence-transformers: random embeddings, where installed."""

import numpy as np
import pytest

import crossmodal_fast as cmf
from imported_peers import peer_or_none

torchmetrics, library = peer_or_none("torchmetrics"), peer_or_none("sentence_transformers")
needs_torchmetrics = pytest.mark.skipif(torchmetrics is None, reason="torchmetrics is not installed")
needs_library = pytest.mark.skipif(library is None, reason="sentence_transformers is not installed")

M, N, D = 40, 70, 16
MEASURES = [  # without map@k, which torchmetrics divides by the right rows found, and trec_eval and ours by all of them
    ("map", "RetrievalMAP", {}),
    ("mrr", "RetrievalMRR", {}),
    ("ndcg", "RetrievalNormalizedDCG", {}),
    ("ndcg@10", "RetrievalNormalizedDCG", {"top_k": 10}),
    ("precision@5", "RetrievalPrecision", {"top_k": 5}),
    ("recall@5", "RetrievalRecall", {"top_k": 5}),
    ("hit_rate@5", "RetrievalHitRate", {"top_k": 5}),
    ("r_precision", "RetrievalRPrecision", {}),
    ("auroc", "RetrievalAUROC", {}),
]


@pytest.fixture(autouse=True)
def numpy_backend():
    with cmf.use_backend("numpy"):
        yield


def task(graded, empty):
    """(queries, gallery, relevance (M, N)): 0 to 9 right rows a query, none only where `empty` allows it."""
    random = np.random.default_rng(31)
    queries, gallery = random.standard_normal((M, D)), random.standard_normal((N, D))
    scores = queries @ gallery.T
    near = scores + 3 * random.standard_normal((M, N))  # better than chance
    count = random.integers(0 if empty else 1, 10, M)
    relevance = (near.argsort(axis=1).argsort(axis=1) >= N - count[:, None]).astype(np.int64)
    if graded:
        relevance *= random.integers(1, 4, (M, N))
    return queries, gallery, relevance


def theirs(kind, options, scores, relevance, action):
    import torch

    measure = getattr(torchmetrics.retrieval, kind)(empty_target_action=action, **options)
    indexes = torch.from_numpy(np.repeat(np.arange(M), N))
    target = torch.from_numpy(relevance.ravel())
    graded = kind == "RetrievalNormalizedDCG"
    # RetrievalMAP takes rows of scores up to 0 for wrong, RetrievalAUROC squeezes scores outside 0..1 until they tie.
    scores = (scores - scores.min() + 1) / (np.ptp(scores) + 2)
    measure.update(torch.from_numpy(scores.ravel()), target if graded else target > 0, indexes=indexes)
    return float(measure.compute())


@needs_torchmetrics
@pytest.mark.parametrize("action", ["skip", "neg", "pos"])
@pytest.mark.parametrize(("name", "kind", "options"), MEASURES, ids=[name for name, *_ in MEASURES])
@pytest.mark.filterwarnings("ignore")  # of torch and its compiler
def test_measures_are_those_of_torchmetrics(name, kind, options, action):
    queries, gallery, relevance = task(kind == "RetrievalNormalizedDCG", empty=True)
    scores = queries @ gallery.T
    expected = theirs(kind, options, scores, relevance, action)
    rows, columns = np.nonzero(relevance)
    positives = np.concatenate([[0], np.cumsum((relevance > 0).sum(axis=1))]), columns
    found = cmf.evaluate.retrieval(
        queries, gallery, positives, grades=relevance[rows, columns], metric="dot", metrics=name, empty=action
    )
    assert found[name] == pytest.approx(expected, abs=1e-6)
    run, qrels = (
        {str(i): {str(j): value for j, value in enumerate(row)} for i, row in enumerate(table.tolist())}
        for table in (scores, relevance)
    )
    found = cmf.evaluate.rankings(run, qrels, name, empty=action)
    assert found[name] == pytest.approx(expected, abs=1e-6)


@needs_library
@pytest.mark.parametrize("score", ["cos_sim", "dot_score"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.filterwarnings("ignore")
def test_semantic_search_is_that_of_the_library(score, dtype):
    import torch

    random = np.random.default_rng(32)
    queries, corpus = (torch.from_numpy(random.standard_normal((n, 48)).astype(dtype)).float() for n in (60, 900))
    for given in ({}, {"top_k": 3, "query_chunk_size": 25, "corpus_chunk_size": 301}, {"top_k": 2000}):
        given = given | {"score_function": getattr(library.util, score)}
        expected = library.util.semantic_search(queries, corpus, **given)
        found = cmf.compat.sentence_transformers.semantic_search(queries, corpus, **given)
        with cmf.compat.patch("sentence_transformers"):
            assert library.util.semantic_search(queries, corpus, **given) == found
        for mine, other in zip(found, expected, strict=True):
            assert len(mine) == len(other)
            values = [[hit["score"] for hit in hits] for hits in (mine, other)]
            np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-5)
            if given.get("top_k") != 2000:  # of 900 scores some are equal in float32
                assert [hit["corpus_id"] for hit in mine] == [hit["corpus_id"] for hit in other]
