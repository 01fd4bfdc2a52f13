"""`compat.mteb`: the protocol of MTEB's search backends, by a model that only says how it compares."""

from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest

from crossmodal_fast import config_context
from crossmodal_fast.compat.mteb import SIMILARITIES, ExactSearchIndex

RANDOM = np.random.default_rng(18)
ROWS, QUERIES = (RANDOM.standard_normal((n, 6)).astype(np.float32) for n in (30, 4))
IDS = [f"doc{at}" for at in range(30)]


class Scoring(Enum):
    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"
    MAX_SIM = "MaxSim"


def model(similarity):
    return SimpleNamespace(mteb_model_meta=SimpleNamespace(similarity_fn_name=similarity))


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def scores_of(name):
    x, y = QUERIES.astype(float), ROWS.astype(float)
    gaps = np.abs(x[:, None] - y[None])
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    return {
        "cosine": x @ y.T / lengths,
        "dot": x @ y.T,
        "euclidean": -np.sqrt((gaps**2).sum(2)),
        "manhattan": -gaps.sum(2),
    }[name]


def filled(name):
    index = ExactSearchIndex(model(Scoring(name)))
    index.add_documents(ROWS[:20], IDS[:20])
    index.add_documents(ROWS[20:], IDS[20:])
    return index


@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_whole_corpus(name):
    expected, index = scores_of(name), filled(name)
    scores, positions = index.search(QUERIES, 5, similarity_fn=None)
    assert positions == np.argsort(-expected, axis=1)[:, :5].tolist()
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :5], atol=1e-12)
    assert type(scores[0][0]) is float
    assert type(positions[0][0]) is int
    assert len(index.search(QUERIES, 100, None)[0][0]) == 30
    assert ExactSearchIndex(name)._metric == index._metric


@pytest.mark.parametrize("name", SIMILARITIES)
def test_reranking(name):
    expected, index = scores_of(name), filled(name)
    ranked = {"q0": ["doc7", "doc3", "doc29"], "q1": ["doc5"], "q2": [], "q3": IDS[::-1]}
    scores, positions = index.search(
        QUERIES, 2, None, top_ranked=ranked, query_idx_to_id={i: f"q{i}" for i in range(4)}
    )
    for at, ids in enumerate(ranked.values()):
        own = np.array([expected[at, int(one[3:])] for one in ids])
        assert positions[at] == np.argsort(-own)[:2].tolist()
        np.testing.assert_allclose(scores[at], -np.sort(-own)[:2], atol=1e-12)


def test_equal_scores_keep_the_order_of_the_corpus():
    index = ExactSearchIndex("cosine")
    index.add_documents(np.repeat(ROWS[:1], 9, axis=0), IDS[:9])
    assert index.search(QUERIES[:1], 4)[1] == [[0, 1, 2, 3]]


def test_what_is_refused():
    with pytest.raises(ValueError, match="similarity must be one of cosine, dot, euclidean, manhattan, got 'MaxSim'"):
        ExactSearchIndex(model(Scoring.MAX_SIM))
    with pytest.raises(ValueError, match=r"similarity must be one of .*, got None"):
        ExactSearchIndex(None)
    index = filled("dot")
    with pytest.raises(ValueError, match="idxs must be 30, one a row of embeddings, got 2"):
        index.add_documents(ROWS, IDS[:2])
    with pytest.raises(ValueError, match="query_idx_to_id must be given with top_ranked, got None"):
        index.search(QUERIES, 2, None, top_ranked={})
    with pytest.raises(ValueError, match="top_ranked must hold ids of documents that were added, got 'elsewhere'"):
        index.search(QUERIES[:1], 2, None, top_ranked={"q": ["elsewhere"]}, query_idx_to_id={0: "q"})
    index.add_documents(ROWS[:0], [])
    index.clear()
    with pytest.raises(ValueError, match="documents must be added before a search, got none"):
        index.search(QUERIES, 2)
