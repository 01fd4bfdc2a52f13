"""`compat.sentence_transformers` against its definitions, and beside the library where that is installed."""

import math

import numpy as np
import pytest

from crossmodal_fast import config_context
from crossmodal_fast.compat import sentence_transformers as ours
from imported_peers import parameters, peer_or_none

PEER = peer_or_none("sentence_transformers")
needs_peer = pytest.mark.skipif(PEER is None, reason="sentence_transformers is not installed")
RANDOM = np.random.default_rng(14)
ROWS = RANDOM.standard_normal((40, 8)).astype(np.float32)
QUERIES = RANDOM.standard_normal((7, 8)).astype(np.float32)
CENTRES = RANDOM.standard_normal((4, 8))
CROWDS = np.concatenate(
    [centre + 0.1 * RANDOM.standard_normal((size, 8)) for centre, size in zip(CENTRES, (9, 4, 12, 2), strict=True)]
)


@pytest.fixture(autouse=True)
def numpy_backend():
    with config_context(backend="numpy"):
        yield


def unit(rows):
    return rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)


def gaps(a, b):
    return a[:, None].astype(float) - b[None].astype(float)


DEFINITIONS = {
    "cos_sim": lambda a, b: unit(a) @ unit(b).T,
    "dot_score": lambda a, b: a.astype(float) @ b.astype(float).T,
    "euclidean_sim": lambda a, b: -np.sqrt((gaps(a, b) ** 2).sum(2)),
    "manhattan_sim": lambda a, b: -np.abs(gaps(a, b)).sum(2),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_search(name):
    expected = DEFINITIONS[name](QUERIES, ROWS)
    np.testing.assert_allclose(getattr(ours, name)(QUERIES, ROWS), expected, rtol=1e-5, atol=1e-6)
    found = ours.semantic_search(QUERIES, ROWS, top_k=5, score_function=getattr(ours, name))
    assert len(found) == 7
    for hits, scores in zip(found, expected, strict=True):
        assert [hit["corpus_id"] for hit in hits] == np.argsort(-scores)[:5].tolist()
        np.testing.assert_allclose([hit["score"] for hit in hits], np.sort(scores)[::-1][:5], atol=1e-12)
        assert all(type(hit["corpus_id"]) is int and type(hit["score"]) is float for hit in hits)
        assert list(hits[0]) == ["corpus_id", "score"]


def test_ten_are_found_by_cosine_and_no_more_than_there_are():
    assert [len(hits) for hits in ours.semantic_search(QUERIES, ROWS)] == [10] * 7
    assert ours.semantic_search(QUERIES, ROWS) == ours.semantic_search(QUERIES, ROWS, 2, 3, 10, ours.cos_sim)
    assert [len(hits) for hits in ours.semantic_search(QUERIES, ROWS[:3])] == [3] * 7
    assert ours.semantic_search(QUERIES[:0], ROWS) == []
    assert ours.semantic_search(QUERIES, ROWS[:0]) == [[]] * 7


def test_one_query_and_lists_of_rows():
    expected = ours.semantic_search(QUERIES, ROWS, top_k=2)
    assert ours.semantic_search(QUERIES[0], ROWS, top_k=2) == expected[:1]
    assert ours.semantic_search(list(QUERIES), list(ROWS), top_k=2) == expected
    assert ours.semantic_search(QUERIES.tolist(), ROWS.tolist(), top_k=2) == expected


def test_equal_scores_go_by_the_lowest_index_and_zeros_score_nothing():
    rows = np.array([[0, 0], [0, 1], [0, 2], [0, 1]], np.float32)
    found = ours.semantic_search([[0, 5]], rows)[0]
    assert [(hit["corpus_id"], hit["score"]) for hit in found] == [(1, 1.0), (2, 1.0), (3, 1.0), (0, 0.0)]


def mined(scores, top_k):
    """Every pair of a row and one of its top_k others once, by plain loops."""
    pairs = set()
    for i, row in enumerate(scores):
        others = sorted((j for j in range(len(row)) if j != i), key=lambda j: (-row[j], j))
        pairs |= {(min(i, j), max(i, j)) for j in others[:top_k]}
    return sorted(pairs, key=lambda pair: (-scores[pair], pair))


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize(("top_k", "max_pairs"), [(1, 500000), (3, 20), (100, 500000)])
def test_paraphrases(name, top_k, max_pairs):
    scores = DEFINITIONS[name](ROWS, ROWS)
    found = ours.paraphrase_mining_embeddings(
        ROWS, top_k=top_k, max_pairs=max_pairs, score_function=getattr(ours, name)
    )
    expected = mined(scores, top_k)[:max_pairs]
    assert [(i, j) for _, i, j in found] == expected
    np.testing.assert_allclose([score for score, *_ in found], [scores[pair] for pair in expected], atol=1e-12)
    assert [type(part) for part in found[0]] == [float, int, int]


def test_paraphrases_of_nothing():
    assert ours.paraphrase_mining_embeddings(ROWS[:1]) == []


class Model:
    """Embeds by number of letters and of vowels."""

    def encode(self, sentences, **given):
        self.given = given
        return np.array([[len(text), sum(letter in "aeiou" for letter in text)] for text in sentences], np.float32)


def test_paraphrases_of_sentences():
    model, texts = Model(), ["a tree", "some trees", "rhythm", "a bird"]
    found = ours.paraphrase_mining(model, texts, batch_size=8, top_k=2, prompt="query: ")
    assert found == ours.paraphrase_mining_embeddings(model.encode(texts), top_k=2)
    ours.paraphrase_mining(model, texts, batch_size=8, prompt="query: ")
    assert model.given == {
        "show_progress_bar": False, "batch_size": 8, "convert_to_tensor": False, "prompt": "query: ",
    }  # fmt: skip


def communities(scores, threshold, least):
    """The definition by plain loops."""
    least = min(least, len(scores))
    found = []
    for row in scores:
        members = [j for j in sorted(range(len(row)), key=lambda j: (-row[j], j)) if row[j] >= threshold]
        if len(members) >= least:
            found.append(members)
    kept, taken = [], set()
    for members in sorted(found, key=len, reverse=True):
        left = [j for j in members if j not in taken]
        if len(left) >= least:
            kept.append(left)
            taken.update(left)
    return sorted(kept, key=len, reverse=True)


@pytest.mark.parametrize(
    ("threshold", "least"), [(0.75, 10), (0.9, 3), (0.97, 2), (0.5, 1), (-1.0, 4), (0.2, 100), (1.5, 1), (-2, 1)]
)
def test_communities(threshold, least):
    scores = DEFINITIONS["cos_sim"](CROWDS, CROWDS)
    np.fill_diagonal(scores, 1)
    found = ours.community_detection(CROWDS, threshold, least)
    assert found == communities(scores, threshold, least)
    assert all(type(j) is int for members in found for j in members)
    assert threshold != 0.75 or len(found) == 1


def test_communities_of_nothing():
    assert ours.community_detection(np.zeros((0, 3))) == []
    assert ours.community_detection(np.zeros((2, 3)), min_community_size=1) == []


REFUSED = [
    (lambda: ours.semantic_search(QUERIES, ROWS, top_k=0), ValueError, "top_k must be at least 1"),
    (lambda: ours.semantic_search(QUERIES[:, :2], ROWS), ValueError, "features"),
    (lambda: ours.semantic_search(QUERIES, ROWS * np.nan), ValueError, "finite"),
    (lambda: ours.semantic_search("text", ROWS), TypeError, "query_embeddings must be"),
    (lambda: ours.paraphrase_mining_embeddings(ROWS, max_pairs=0), ValueError, "max_pairs must be at least 1"),
    (lambda: ours.community_detection(ROWS, math.nan), ValueError, "threshold must be finite"),
    (lambda: ours.community_detection(ROWS, 0.5, 0), ValueError, "min_community_size must be at least 1"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), REFUSED)
def test_what_is_refused(call, kind, sentence):
    with pytest.raises(kind, match=sentence):
        call()


def odd_score(a, b):
    return a @ b.T


@pytest.mark.skipif(PEER is not None, reason="sentence_transformers is installed")
@pytest.mark.parametrize(
    "call",
    [
        lambda: ours.semantic_search(QUERIES, ROWS, score_function=odd_score),
        lambda: ours.paraphrase_mining_embeddings(ROWS, score_function=odd_score),
        lambda: ours.paraphrase_mining(Model(), ["a", "b"], score_function=odd_score),
    ],
)
def test_a_score_of_ones_own_is_left_to_the_library(call):
    with pytest.raises(ModuleNotFoundError, match=r"odd_score.* is left to sentence-transformers, which is not"):
        call()


@needs_peer
def test_beside_the_library():
    util = PEER.util
    for name in ("cos_sim", "dot_score"):
        given = {"top_k": 4, "score_function": getattr(util, name)}
        found, expected = (module.semantic_search(QUERIES, ROWS, **given) for module in (ours, util))
        for mine, theirs in zip(found, expected, strict=True):
            assert [hit["corpus_id"] for hit in mine] == [hit["corpus_id"] for hit in theirs]
            np.testing.assert_allclose([h["score"] for h in mine], [h["score"] for h in theirs], atol=1e-5)
    import torch

    mined = [module.paraphrase_mining_embeddings(torch.from_numpy(ROWS), top_k=3) for module in (ours, util)]
    assert [pair[1:] for pair in mined[0]] == [pair[1:] for pair in mined[1]]
    for least in (2, 5, 10):
        found, expected = (module.community_detection(CROWDS, 0.9, least) for module in (ours, util))
        assert found == expected
    assert ours.semantic_search(QUERIES, ROWS, score_function=odd_score)


@needs_peer
@pytest.mark.parametrize(
    "name", ["semantic_search", "paraphrase_mining", "paraphrase_mining_embeddings", "community_detection"]
)
def test_signatures(name):
    assert parameters(getattr(ours, name)) == parameters(getattr(PEER.util, name))
