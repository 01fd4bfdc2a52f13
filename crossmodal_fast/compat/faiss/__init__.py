"""FAISS's exact searches: `knn`, `pairwise_distances`, the flat indexes, their selectors and files.

    from crossmodal_fast.compat import faiss

Indexes that are approximate, compressed or on a GPU are FAISS's own, and so is all that is built around an index.
"""

from typing import Any

import numpy as np

from ... import _operations
from ..._arrays import given_back, taken
from ._files import read_index, write_index
from ._flat import IndexFlat, IndexFlatIP, IndexFlatL2, float32_rows
from ._metrics import (
    METRIC_INNER_PRODUCT,
    METRIC_L1,
    METRIC_L2,
    METRIC_BrayCurtis,
    METRIC_Canberra,
    METRIC_Linf,
    METRIC_Lp,
    best_of,
    metric_of,
    powered,
)
from ._selectors import (
    IDSelector,
    IDSelectorAll,
    IDSelectorAnd,
    IDSelectorArray,
    IDSelectorBatch,
    IDSelectorBitmap,
    IDSelectorNot,
    IDSelectorOr,
    IDSelectorRange,
    IDSelectorXOr,
    SearchParameters,
)

Float32, Float16, Int8 = 0, 1, 3  # FAISS's numbers of them, for `numeric_type`

__all__ = [
    "METRIC_INNER_PRODUCT",
    "METRIC_L1",
    "METRIC_L2",
    "Float16",
    "Float32",
    "IDSelector",
    "IDSelectorAll",
    "IDSelectorAnd",
    "IDSelectorArray",
    "IDSelectorBatch",
    "IDSelectorBitmap",
    "IDSelectorNot",
    "IDSelectorOr",
    "IDSelectorRange",
    "IDSelectorXOr",
    "IndexFlat",
    "IndexFlatIP",
    "IndexFlatL2",
    "Int8",
    "METRIC_BrayCurtis",
    "METRIC_Canberra",
    "METRIC_Linf",
    "METRIC_Lp",
    "SearchParameters",
    "knn",
    "normalize_L2",
    "pairwise_distances",
    "read_index",
    "write_index",
]


def knn(xq: Any, xb: Any, k: int, metric: int = METRIC_L2, metric_arg: float = 0.0) -> tuple[Any, Any]:
    """`faiss.knn`: the k best rows of xb (n, d) for each of xq (m, d), read as float32.

    Returns (distances (m, k) float32, ids (m, k) int64) as `IndexFlat.search` does, errors included.

    >>> knn([[0, 2]], [[0, 0], [0, 2]], 2)
    (array([[0., 4.]], dtype=float32), array([[1, 0]]))
    """
    queries, rows = _sides(xq, xb)
    name, keywords = metric_of(metric, metric_arg)

    def search(queries: Any, k: int, **given: Any) -> Any:
        return _operations.topk(queries, rows, k, name, metric_kwargs=keywords, **given)

    return given_back(xq, best_of(search, queries, k, len(rows), metric, metric_arg))


def pairwise_distances(xq: Any, xb: Any, metric: int = METRIC_L2, metric_arg: float = 0) -> Any:
    """`faiss.pairwise_distances`: (m, n) float32 between xq (m, d) and xb (n, d), read as float32."""
    queries, rows = _sides(xq, xb)
    name, keywords = metric_of(metric, metric_arg)
    if not (len(rows) and len(queries)):
        return given_back(xq, np.zeros((len(queries), len(rows)), np.float32))
    found = _operations.pairwise_distances(queries, rows, name, metric_kwargs=keywords, check_finite=False)
    return given_back(xq, powered(found, metric, metric_arg))


def normalize_L2(x: Any) -> None:
    """`faiss.normalize_L2`: divide rows (n, d) of float32 by their length, in place; rows of zeros stay."""
    rows = taken("x", x)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.float32 or rows.ndim != 2:
        raise TypeError(f"x must be an (n, d) array of float32 to be normalised in place, got {type(x).__name__}")
    lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    np.divide(rows, lengths, out=rows, where=lengths > 0, casting="same_kind")


def _sides(xq: Any, xb: Any) -> tuple[Any, Any]:
    rows = float32_rows("xb", xb)
    return float32_rows("xq", xq, rows.shape[1]), rows
