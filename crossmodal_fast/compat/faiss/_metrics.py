"""FAISS's numbers of metrics, and its form of results: float32, and fillers where there is no neighbour."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arguments import whole
from ..._search import TopK

Array = NDArray[Any]

METRIC_INNER_PRODUCT = 0
METRIC_L2 = 1
METRIC_L1 = 2
METRIC_Linf = 3
METRIC_Lp = 4
METRIC_Canberra = 20
METRIC_BrayCurtis = 21

METRICS = {
    METRIC_INNER_PRODUCT: "dot",
    METRIC_L2: "sqeuclidean",
    METRIC_L1: "cityblock",
    METRIC_Linf: "chebyshev",
    METRIC_Lp: "minkowski",  # without the root, as `powered` has it
    METRIC_Canberra: "canberra",
    METRIC_BrayCurtis: "braycurtis",
}
LARGEST = np.finfo(np.float32).max  # what slots without a neighbour hold, negative for inner products


def metric_of(metric: Any, metric_arg: Any) -> tuple[str, dict[str, Any]]:
    """Our name of a metric, and its keywords."""
    if not isinstance(metric, Integral) or metric not in METRICS:
        raise ValueError(
            f"metric must be one of {sorted(METRICS)} in FAISS's numbers, got {metric}: the others, Jaccard and "
            "Jensen-Shannon among them, are defined otherwise here"
        )
    return METRICS[int(metric)], {"p": float(metric_arg)} if metric == METRIC_Lp else {}


def powered(values: Array, metric: int, metric_arg: float) -> Array:
    """Distances as FAISS has them: those of Lp are sums of powers, without the root."""
    return np.power(values, metric_arg) if metric == METRIC_Lp else values


def best_of(
    search: Callable[..., TopK], queries: Array, k: Any, rows: int, metric: int, metric_arg: float, mask: Any = None
) -> tuple[Array, Array]:
    """(distances (m, k) float32, ids (m, k) int64) of `search`, -1 where no finite distance is left.

    NaN, and what is infinite in float32, is no neighbour; an inner product of +inf is one, the best.
    """
    k = whole("k", k)
    filler = -LARGEST if metric == METRIC_INNER_PRODUCT else LARGEST
    distances = np.full((len(queries), k), filler, np.float32)
    ids = np.full((len(queries), k), -1, np.int64)
    if rows and len(queries):
        found = search(queries, min(k, rows), mask=mask, dtype=np.float64, check_finite=False)
        with np.errstate(all="ignore"):
            values = powered(found.distances, metric, metric_arg).astype(np.float32)
        there = values > filler if metric == METRIC_INNER_PRODUCT else values < filler
        there &= found.indices >= 0
        part = np.s_[:, : there.shape[1]]
        distances[part] = np.where(there, values, filler)
        ids[part] = np.where(there, found.indices, -1)
    return distances, ids
