"""`sentence_transformers.util`: search, paraphrases and communities, exact, without a matrix of scores.

    from crossmodal_fast.compat.sentence_transformers import semantic_search

Embeddings are arrays or tensors (n, d), one row (d,), or lists of rows. Scores are Python floats, the float64 value;
equal ones go by the lowest index. Score functions known by name, here and there: cos_sim, dot_score, euclidean_sim and
manhattan_sim (negative distances); with any other the call is passed on. Sizes of chunks are accepted and not needed:
`crossmodal_fast.config_context(max_bytes=..)` bounds the memory beside results.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _operations, _validate
from .._arguments import brief, number, whole
from .._arrays import given_back, taken
from ._peer import peers_own

Array = NDArray[Any]
Score = Callable[[Any, Any], Any]
MODULE = "sentence_transformers.util"


def cos_sim(a: Any, b: Any) -> Any:
    """Cosine similarities (m, n) of a (m, d) and b (n, d), of the type of a."""
    return _scores("cos_sim", a, b)


def dot_score(a: Any, b: Any) -> Any:
    """Inner products (m, n) of a (m, d) and b (n, d), of the type of a."""
    return _scores("dot_score", a, b)


def euclidean_sim(a: Any, b: Any) -> Any:
    """Negative Euclidean distances (m, n) of a (m, d) and b (n, d), of the type of a."""
    return _scores("euclidean_sim", a, b)


def manhattan_sim(a: Any, b: Any) -> Any:
    """Negative sums of absolute differences (m, n) of a (m, d) and b (n, d), of the type of a."""
    return _scores("manhattan_sim", a, b)


METRICS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "cos_sim": ("cosine", lambda distance: 1 - distance),
    "pytorch_cos_sim": ("cosine", lambda distance: 1 - distance),
    "dot_score": ("dot", lambda product: product),
    "euclidean_sim": ("euclidean", np.negative),
    "manhattan_sim": ("cityblock", np.negative),
}
"""Name of a score function -> our metric, and the score that its value is."""


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: Score = cos_sim,
) -> list[list[dict[str, int | float]]]:
    """`util.semantic_search`: for each query (m, d) its best rows of the corpus (n, d), best first.

    Returns m lists of min(top_k, n) dicts {"corpus_id": int, "score": float}. Errors and cost: `crossmodal_fast.topk`.

    >>> semantic_search([[1.0, 0.0]], [[0.0, 1.0], [2.0, 0.0]], top_k=1)
    [[{'corpus_id': 1, 'score': 1.0}]]
    """
    name = _known(score_function)
    if name is None:
        there = _theirs("semantic_search", score_function)
        return there(  # type: ignore[no-any-return]  # the peer's own answer
            query_embeddings, corpus_embeddings, query_chunk_size, corpus_chunk_size, top_k, score_function
        )
    queries, corpus = _rows("query_embeddings", query_embeddings), _rows("corpus_embeddings", corpus_embeddings)
    k = min(whole("top_k", top_k), corpus.shape[0])
    if not k:
        return [[] for _ in range(queries.shape[0])]
    indices, scores = _best(name, queries, corpus, k)
    return [
        [{"corpus_id": at, "score": score} for at, score in zip(*row, strict=True)]
        for row in zip(indices.tolist(), scores.tolist(), strict=True)
    ]


def paraphrase_mining(
    model: Any,
    sentences: list[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Score = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """`util.paraphrase_mining`: `paraphrase_mining_embeddings` of what `model.encode` makes of n sentences, (n, d)."""
    given = {"truncate_dim": truncate_dim, "prompt_name": prompt_name, "prompt": prompt}
    given = {name: value for name, value in given.items() if value is not None}  # models before 5.0 have fewer
    embeddings = model.encode(
        sentences,
        show_progress_bar=show_progress_bar,
        batch_size=batch_size,
        convert_to_tensor=_known(score_function) is None,
        **given,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Any,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Score = cos_sim,
) -> list[list[float | int]]:
    """`util.paraphrase_mining_embeddings`: the pairs of rows (n, d) that score best, [score, i, j] with i < j.

    The `top_k` best other rows of each row, every pair once, the `max_pairs` best of them; best first, then by i and j.
    There the k are of each chunk of the corpus, pairs count twice towards max_pairs, and scores below -1 are left out.

    >>> paraphrase_mining_embeddings([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], top_k=1)[0]
    [1.0, 0, 2]
    """
    name = _known(score_function)
    if name is None:
        there = _theirs("paraphrase_mining_embeddings", score_function)
        return there(  # type: ignore[no-any-return]  # the peer's own answer
            embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
        )
    rows = _rows("embeddings", embeddings)
    k, most, n = whole("top_k", top_k), whole("max_pairs", max_pairs), rows.shape[0]
    if n < 2:
        return []
    others, scores = _best(name, rows, rows, min(k, n - 1), exclude_self=True)
    row = np.arange(n)[:, None]
    first, second, scores = np.minimum(row, others).ravel(), np.maximum(row, others).ravel(), scores.ravel()
    once = np.unique(first * n + second, return_index=True)[1]
    order = once[np.lexsort((second[once], first[once], -scores[once]))][:most]
    return [
        list(pair) for pair in zip(scores[order].tolist(), first[order].tolist(), second[order].tolist(), strict=True)
    ]


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """`util.community_detection`: groups of rows (n, d) around a row each, largest first, no row in two of them.

    A row's community are all rows at a cosine distance of at most 1 - threshold, nearest first, itself included; those
    of at least `min_community_size` rows (at most n) are gone through from the largest on, and kept if as many rows are
    left that no kept one has. Memory: 16 bytes for each pair within the threshold. Errors of `crossmodal_fast.within`.

    >>> community_detection([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], min_community_size=2)
    [[0, 1]]
    """
    rows = _rows("embeddings", embeddings)
    least = min(whole("min_community_size", min_community_size), rows.shape[0])
    radius = 1 - number("threshold", threshold, -math.inf)
    if not rows.shape[0]:
        return []
    indptr, members, _ = _operations.within(
        rows, rows, radius, "cosine", progress=bool(show_progress_bar), check_finite=True
    )
    sizes = np.diff(indptr)
    free, kept = np.ones(rows.shape[0], bool), []
    for row in np.argsort(-sizes, kind="stable")[: int((sizes >= least).sum())]:
        community = members[indptr[row] : indptr[row + 1]]
        community = community[free[community]]
        if len(community) >= least:
            free[community] = False
            kept.append(community.tolist())
    return sorted(kept, key=len, reverse=True)


def _known(score_function: Any) -> str | None:
    """The name of a score function of ours or of theirs; None for one of the caller's own."""
    name, module = getattr(score_function, "__name__", ""), getattr(score_function, "__module__", "") or ""
    own = module == __name__ or module.partition(".")[0] == "sentence_transformers"
    return name if own and name in METRICS else None


def _theirs(function: str, score_function: Any) -> Any:
    return peers_own(MODULE, function, f"score_function={brief(score_function)}")


def _scores(name: str, a: Any, b: Any) -> Any:
    metric, score = METRICS[name]
    return given_back(a, score(_operations.pairwise_distances(_rows("a", a), _rows("b", b), metric)))


def _best(name: str, queries: Array, rows: Array, k: int, **given: Any) -> tuple[Array, Array]:
    """(indices (m, k), scores (m, k) float64)."""
    metric, score = METRICS[name]
    found = _operations.topk(queries, rows, k, metric, dtype=np.float64, check_finite=True, **given)
    return found.indices, score(found.distances)


def _rows(name: str, value: Any) -> Any:
    """(n, d) of rows, of a list of rows, or of one."""
    if isinstance(value, list) and value and hasattr(value[0], "shape"):
        value = np.stack([taken(name, row) for row in value])
    else:
        value = taken(name, value)
    value = np.asarray(value) if isinstance(value, list) else value
    return _validate.flat(name, value[None] if len(getattr(value, "shape", ())) == 1 and value.shape[0] else value)
