"""A search backend for MTEB's retrieval and reranking tasks.

    from mteb.models.search_wrappers import SearchEncoderWrapper
    from crossmodal_fast.compat.mteb import ExactSearchIndex

    model = SearchEncoderWrapper(encoder, index_backend=ExactSearchIndex(encoder))

Rankings are exact, and the same for every batch and machine: equal scores keep the order of the corpus, where
embeddings of low precision otherwise make ties that fall as they will.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _operations, _validate
from .._arguments import brief, one_of, whole
from .._gallery import Gallery
from .sentence_transformers import METRICS

Array = NDArray[Any]
SIMILARITIES = {
    "cosine": "cos_sim",
    "dot": "dot_score",
    "euclidean": "euclidean_sim",
    "manhattan": "manhattan_sim",
}
"""MTEB's `ScoringFunction` -> the score of `compat.sentence_transformers`."""


class ExactSearchIndex:
    """MTEB's `IndexEncoderSearchProtocol`.

    Parameters
    ----------
    model : an encoder of MTEB: `model.mteb_model_meta.similarity_fn_name` says cosine, dot, euclidean or manhattan; or
        one of these four names
    """

    _gallery: Gallery | None
    _positions: dict[str, int]
    idxs: list[str]

    def __init__(self, model: Any) -> None:
        about = getattr(model, "mteb_model_meta", None)
        name = model if isinstance(model, str) else getattr(about, "similarity_fn_name", None)
        score = SIMILARITIES[one_of("similarity", getattr(name, "value", name), SIMILARITIES)]
        self._metric, self._score = METRICS[score]
        self.clear()

    def add_documents(self, embeddings: Any, idxs: list[str]) -> None:
        """Append documents: embeddings (n, d), and their n ids."""
        rows, ids = _validate.flat("embeddings", embeddings), list(idxs)
        if rows.shape[0] != len(ids):
            raise ValueError(f"idxs must be {rows.shape[0]}, one a row of embeddings, got {len(ids)}")
        if not ids:
            return
        if self._gallery is None:
            self._gallery = Gallery(rows, self._metric)
        else:
            self._gallery.add(rows)
        self.idxs.extend(ids)

    add_document = add_documents  # before 2.2

    def search(
        self,
        embeddings: Any,
        top_k: int,
        similarity_fn: Any = None,
        top_ranked: Any = None,
        query_idx_to_id: dict[int, str] | None = None,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """The best documents of each query (m, d): scores, and positions in the corpus, best first.

        With `top_ranked`, a list of document ids for each query id, only those compete, and positions are in that list.
        `similarity_fn` is not called: it is the model's, which is known by name. Errors and cost of
        `crossmodal_fast.topk`.
        """
        if self._gallery is None:
            raise ValueError("documents must be added before a search, got none")
        queries, k = _validate.flat("embeddings", embeddings), whole("top_k", top_k)
        if top_ranked is None:
            found = self._gallery.topk(queries, min(k, len(self._gallery)), dtype=np.float64)
            return self._score(found.distances).tolist(), found.indices.tolist()
        if query_idx_to_id is None:
            raise ValueError("query_idx_to_id must be given with top_ranked, got None")
        ranked = [list(top_ranked.get(query_idx_to_id[at]) or ()) for at in range(queries.shape[0])]
        both = [self._reranked(queries[at : at + 1], ids, k) for at, ids in enumerate(ranked)]
        return [scores for scores, _ in both], [positions for _, positions in both]

    def clear(self) -> None:
        """Forget all documents."""
        self._gallery, self._positions, self.idxs = None, {}, []

    def _reranked(self, query: Array, ids: list[str], k: int) -> tuple[list[float], list[int]]:
        if not ids or self._gallery is None:
            return [], []
        if len(self._positions) != len(self.idxs):
            self._positions = {name: at for at, name in enumerate(self.idxs)}
        unknown = [name for name in ids if name not in self._positions]
        if unknown:
            raise ValueError(f"top_ranked must hold ids of documents that were added, got {brief(unknown[0])}")
        rows = self._gallery.vectors[[self._positions[name] for name in ids]]
        found = _operations.topk(query, rows, min(k, len(ids)), self._metric, dtype=np.float64)
        return self._score(found.distances[0]).tolist(), found.indices[0].tolist()
