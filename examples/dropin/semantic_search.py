"""sentence-transformers' semantic search over 20,000 sentences, and the same code inside one `patch`.

The embeddings are stored ones, of all-MiniLM-L6-v2: `--data` is the folder of `docstrings_20k_x384.npy` and
`docstrings_20k.txt`, by default beside the project. Without them the script says so and ends.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import compare, options, searches_agree

from crossmodal_fast.compat import patch

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "minilm"
SHOWN = 3


def call_site(queries: np.ndarray, corpus: np.ndarray) -> list[list[dict[str, Any]]]:
    """As its users wrote it."""
    from sentence_transformers import util

    return util.semantic_search(queries, corpus, top_k=10)


def main() -> tuple[float, float, float] | None:
    """Compare and time both, show some hits; (seconds before, seconds after, ratio)."""
    chosen = options(__doc__, data=BESIDE, queries=1000)
    stored, texts = chosen.data / "docstrings_20k_x384.npy", chosen.data / "docstrings_20k.txt"
    if not stored.exists():
        print(f"{stored} is not there: name the folder of the stored embeddings by --data")
        return None
    embeddings = np.load(stored)
    queries, corpus = embeddings[: chosen.queries], embeddings[chosen.queries :]

    def after() -> list[list[dict[str, Any]]]:
        with patch("sentence_transformers"):
            return call_site(queries, corpus)

    def scores_and_ids(hits: list[list[dict[str, Any]]]) -> tuple[Any, Any]:
        return tuple(np.array([[hit[name] for hit in found] for found in hits]) for name in ("score", "corpus_id"))

    sentences = texts.read_text(encoding="utf-8").splitlines()
    for query, found in zip(sentences[:SHOWN], after(), strict=False):
        print(f"{query[:60]!r} -> {sentences[chosen.queries + found[0]['corpus_id']][:60]!r}, {found[0]['score']:.3f}")
    return compare(
        "sentence-transformers, semantic_search", lambda: call_site(queries, corpus), after,
        lambda one, other: searches_agree(scores_and_ids(one), scores_and_ids(other)), chosen.rounds,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main() is None and 1)
