"""`torch.cdist`, and products or distances with their `topk`, never stored.

    from crossmodal_fast.compat.torch import cdist, cdist_topk, matmul_topk

Tensors come back as tensors, on their device and of their dtype; what has no kernel for that device is computed on the
host. Gradients do not pass: `cdist` of tensors that require them is torch's own, and the others refuse them.
"""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from .. import _operations, _validate
from .._arguments import brief, one_of
from .._arrays import given_back
from ._peer import peers_own

METRICS = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}
MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


class Top(NamedTuple):
    """What `torch.topk` returns: values (..., m, k), and indices (..., m, k) int64."""

    values: Any
    indices: Any


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = MODES[0]) -> Any:
    """`torch.cdist`: p-norm distances (..., m, n) between rows of x1 (..., m, d) and x2 (..., n, d).

    With p = 0 the number of features that differ. Nothing cancels in any mode of computing, so that none is needed; NaN
    gives NaN. Tensors that require gradients, and those without rows or features, are torch's own. Errors, accuracy and
    cost of `crossmodal_fast.pairwise_distances`.

    >>> cdist(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), p=1)
    array([[7.]])
    """
    one_of("compute_mode", compute_mode, MODES)
    if any(getattr(x, "requires_grad", False) or 0 in getattr(x, "shape", ()) for x in (x1, x2)):
        return peers_own("torch", "cdist", "what is empty or requires gradients")(x1, x2, p, compute_mode)
    metric, keywords = _metric(p)
    rows, others = _validate.matrix("x1", x1), _validate.matrix("x2", x2)
    found = _operations.pairwise_distances(rows, others, metric, metric_kwargs=keywords, check_finite=False)
    if metric == "hamming":
        found = np.rint(found * found.dtype.type(rows.shape[-1]))
    return _in_dtype(x1, given_back(x1, found))


def cdist_topk(x1: Any, x2: Any, k: int, p: float = 2.0) -> Top:
    """`torch.topk(torch.cdist(x1, x2, p), k, largest=False)`: the k nearest rows of x2 (..., n, d) to each of x1.

    Exact, equal distances by the lowest index; never stored. Errors and cost of `crossmodal_fast.topk`.

    >>> cdist_topk(np.array([[0.0, 1.0]]), np.array([[0.0, 3.0], [0.0, 1.0]]), 1)
    Top(values=array([[0.]]), indices=array([[1]]))
    """
    metric, keywords = _metric(p)
    if metric == "hamming":
        raise ValueError(
            "p must be above 0 where the nearest are asked for, got 0; metric='hamming' of topk finds them"
        )
    values, indices = _operations.topk(x1, x2, k, metric, metric_kwargs=keywords)
    return Top(_in_dtype(x1, values), indices)


def matmul_topk(input: Any, other: Any, k: int, largest: bool = True) -> Top:
    """`torch.topk(torch.matmul(input, other), k, largest=largest)` of (..., m, d) and (..., d, n), sorted.

    Exact, equal products by the lowest index; never stored. NaN is a ValueError. Errors and cost of
    `crossmodal_fast.topk`.

    >>> matmul_topk(np.array([[1.0, 0.0]]), np.array([[3.0, 5.0], [0.0, 0.0]]), 1)
    Top(values=array([[5.]]), indices=array([[1]]))
    """
    queries, gallery = _validate.matrix("input", input), np.asarray(_validate.matrix("other", other)).swapaxes(-1, -2)
    if not _validate.flag("largest", largest):
        queries = np.negative(queries.astype(np.float64) if queries.dtype.kind in "biu" else queries)
    values, indices = _operations.topk(queries, gallery, k, "dot")
    found: Top = given_back(input, Top(values if largest else np.negative(values), indices))
    return found._replace(values=_in_dtype(input, found.values))


def _metric(p: Any) -> tuple[str, dict[str, float]]:
    if isinstance(p, bool) or not isinstance(p, Real) or not float(p) >= 0:
        raise ValueError(f"p must be a number of at least 0, got {brief(p)}")
    if p == 0:
        return "hamming", {}
    return (METRICS[float(p)], {}) if p in METRICS else ("minkowski", {"p": float(p)})


def _in_dtype(like: Any, found: Any) -> Any:
    """Tensors of half the length stay such; torch has no others to compare with."""
    narrow = str(getattr(like, "dtype", "")) in ("torch.float16", "torch.bfloat16")
    return found.to(like.dtype) if narrow else found
