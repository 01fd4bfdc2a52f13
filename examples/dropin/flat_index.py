"""A script that builds a flat index with FAISS and searches it, and the same script with one import changed.

`python examples/dropin/flat_index.py [--rows 50000] [--queries 1000] [--features 128] [--rounds 5]`
"""

from types import ModuleType
from typing import Any

import numpy as np
from side_by_side import compare, options, searches_agree


def script(faiss: ModuleType | Any, rows: np.ndarray, queries: np.ndarray) -> tuple[Any, Any]:
    """As its users wrote it."""
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    distances, ids = index.search(queries, 10)
    return distances, ids


def main() -> tuple[float, float, float]:
    """Compare and time both; (seconds before, seconds after, ratio)."""
    chosen = options(__doc__, rows=50_000, queries=1000, features=128)
    random = np.random.default_rng(0)
    rows, queries = (
        random.standard_normal((n, chosen.features), dtype=np.float32) for n in (chosen.rows, chosen.queries)
    )

    def before() -> tuple[Any, Any]:
        import faiss

        return script(faiss, rows, queries)

    def after() -> tuple[Any, Any]:
        from crossmodal_fast.compat import faiss

        return script(faiss, rows, queries)

    return compare("FAISS, IndexFlatL2", before, after, searches_agree, chosen.rounds)


if __name__ == "__main__":
    main()
