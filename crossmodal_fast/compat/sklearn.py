"""Distances of `sklearn.metrics.pairwise`: exact, near neighbours far from the origin included.

    from crossmodal_fast.compat.sklearn import pairwise_distances_argmin_min

The neighbours estimators of `crossmodal_fast.estimators` have their names here as well.

Left to scikit-learn: functions as metrics, precomputed distances, haversine, nan_euclidean, metrics of booleans,
seuclidean, mahalanobis, weights, and `ensure_all_finite` other than True. It takes sparse rows for euclidean, l1 and
cosine alone. Equal distances go by the lowest index.
`n_jobs` is accepted; threads are those of `crossmodal_fast.config_context`, and so is the memory beside results.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from .. import _operations, _validate
from .._arguments import brief, number
from .._arrays import given_back
from .._search import Within
from ._patch import ESTIMATORS, REDUCTIONS, VOTES
from ._peer import peers_own
from .scipy import without_value

MODULE = "sklearn.metrics.pairwise"
NORMS = ("squared", "X_norm_squared", "Y_norm_squared")
METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "euclidean": ("euclidean", NORMS),
    "l2": ("euclidean", NORMS),
    "l1": ("cityblock", ()),
    "manhattan": ("cityblock", ()),
    "minkowski": ("minkowski", ("p",)),
    **{
        name: (name, ())
        for name in (
            "braycurtis", "canberra", "chebyshev", "cityblock", "correlation", "cosine", "hamming", "sqeuclidean",
        )
    },
}  # fmt: skip
"""Computed here: name there -> name here, and the keywords taken."""

NARROW = ("euclidean", "l2", "cosine")  # float32 for float32; SciPy's, which the others are there, are float64
OF_SPARSE_ROWS = ("euclidean", "l2", "l1", "manhattan", "cityblock", "cosine")
LOADED = dict.fromkeys(ESTIMATORS, "..estimators") | dict.fromkeys(REDUCTIONS + VOTES, "._reductions")
"""What is made of scikit-learn's own classes, which the rest of this module does not need -> where it is."""

WORKING_MEMORY = 1024.0  # MiB, scikit-learn's default


def __getattr__(name: str) -> Any:
    if name in LOADED:
        return getattr(import_module(LOADED[name], __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pairwise_distances(
    X: Any,
    Y: Any = None,
    metric: Any = "euclidean",
    *,
    n_jobs: Any = None,
    ensure_all_finite: Any = True,
    **kwds: Any,
) -> Any:
    """`sklearn.metrics.pairwise_distances`: (m, n) between X (m, d) and Y (n, d), or (m, m) within X.

    float32 for euclidean and cosine of two float32 arrays, else float64. NaN and infinity are a ValueError. Accuracy,
    cost and errors as in `crossmodal_fast.pairwise_distances`.

    >>> pairwise_distances([[0, 0], [3, 4]], metric="l1")
    array([[0., 7.],
           [7., 0.]])
    """
    found = _own(metric, kwds)
    sparse = hasattr(X, "tocsr") or hasattr(Y, "tocsr")
    if found is None or ensure_all_finite is not True or (sparse and metric not in OF_SPARSE_ROWS):
        there = _theirs("pairwise_distances", metric)
        return there(X, Y, metric, n_jobs=n_jobs, ensure_all_finite=ensure_all_finite, **kwds)
    name, keywords = found
    x, y = _sides(X, Y)
    distances = _operations.pairwise_distances(
        x, y, name, metric_kwargs=keywords, dtype=_dtype(metric, x, y), check_finite=True
    )
    if name == "cosine" and y is None:
        np.fill_diagonal(distances, 0)  # of rows of zeros as well
    if name == "correlation":
        without_value(distances, x, x if y is None else y, name)
    return _returned(X, distances)


def euclidean_distances(
    X: Any, Y: Any = None, *, Y_norm_squared: Any = None, squared: bool = False, X_norm_squared: Any = None
) -> Any:
    """`sklearn.metrics.pairwise.euclidean_distances`: (m, n), squared if asked. The norms are not needed."""
    for norms, rows in ((X_norm_squared, X), (Y_norm_squared, X if Y is None else Y)):
        if norms is not None and np.size(norms) != np.shape(rows)[0]:  # it has a sentence for that
            there = peers_own(MODULE, "euclidean_distances", "norms of other rows")
            return there(X, Y, Y_norm_squared=Y_norm_squared, squared=squared, X_norm_squared=X_norm_squared)
    return pairwise_distances(X, Y, squared=squared)


def manhattan_distances(X: Any, Y: Any = None) -> Any:
    """`sklearn.metrics.pairwise.manhattan_distances`: (m, n) float64."""
    return pairwise_distances(X, Y, "manhattan")


def cosine_distances(X: Any, Y: Any = None) -> Any:
    """`sklearn.metrics.pairwise.cosine_distances`: (m, n), 1 for rows of zeros."""
    return pairwise_distances(X, Y, "cosine")


def cosine_similarity(X: Any, Y: Any = None, dense_output: bool = True) -> Any:
    """`sklearn.metrics.pairwise.cosine_similarity`: (m, n), 0 for rows of zeros. Sparse results are scikit-learn's."""
    if not dense_output:
        return peers_own(MODULE, "cosine_similarity", "dense_output=False")(X, Y, dense_output=False)
    x, y = _sides(X, Y)
    distances = _operations.pairwise_distances(x, y, "cosine", dtype=_dtype("cosine", x, y), check_finite=True)
    return _returned(X, np.subtract(1, distances, out=distances))


def pairwise_distances_argmin_min(
    X: Any, Y: Any, *, axis: int = 1, metric: Any = "euclidean", metric_kwargs: dict[str, Any] | None = None
) -> Any:
    """`sklearn.metrics.pairwise_distances_argmin_min`: for each row of X (m, d) the nearest row of Y (n, d).

    Returns (indices (m,) int64, distances (m,)), float64 but for cosine of float32; with axis=0 for the rows of Y. Cost
    and errors of `crossmodal_fast.topk`: the distances of all pairs are not stored.

    >>> pairwise_distances_argmin_min([[0, 0], [3, 3]], [[3, 4], [0, 1]])
    (array([1, 0]), array([1., 1.]))
    """
    found = searched(metric, metric_kwargs or {})
    if found is None:
        there = _theirs("pairwise_distances_argmin_min", metric)
        return there(X, Y, axis=axis, metric=metric, metric_kwargs=metric_kwargs)
    if axis not in (0, 1):
        raise ValueError(f"axis must be 0 or 1, got {brief(axis)}")
    name, keywords = found
    x, y = _sides(*((X, Y) if axis else (Y, X)))
    y = x if y is None else y
    dtype = searched_dtype(name, x, y)
    nearest = _operations.topk(x, y, 1, name, metric_kwargs=keywords, dtype=dtype, check_finite=True)
    return _returned(X, (nearest.indices[:, 0], nearest.distances[:, 0]))


def pairwise_distances_argmin(
    X: Any, Y: Any, *, axis: int = 1, metric: Any = "euclidean", metric_kwargs: dict[str, Any] | None = None
) -> Any:
    """`sklearn.metrics.pairwise_distances_argmin`: the indices (m,) of `pairwise_distances_argmin_min`."""
    return pairwise_distances_argmin_min(X, Y, axis=axis, metric=metric, metric_kwargs=metric_kwargs)[0]


def pairwise_distances_chunked(
    X: Any,
    Y: Any = None,
    *,
    reduce_func: Callable[[Any, int], Any] | None = None,
    metric: Any = "euclidean",
    n_jobs: Any = None,
    working_memory: float | None = None,
    **kwds: Any,
) -> Iterator[Any]:
    """`sklearn.metrics.pairwise_distances_chunked`: the distances (rows, n) of consecutive rows of X (m, d), reduced.

    As many rows at a time as fit into `working_memory` MiB as float64, at least one; None: what scikit-learn is
    configured to, 1024 where it is not loaded. `reduce_func(distances, start)` returns None, or sequences of as many
    items as rows, alone or in a tuple.

    >>> [part.shape for part in pairwise_distances_chunked(np.eye(3), working_memory=6 * 8 / 2**20)]
    [(2, 3), (1, 3)]
    """
    if _own(metric, kwds) is None:
        there = _theirs("pairwise_distances_chunked", metric)
        more = {"reduce_func": reduce_func, "n_jobs": n_jobs, "working_memory": working_memory}
        yield from there(X, Y, metric=metric, **more, **kwds)
        return
    x, y = _sides(X, Y)
    step = _chunk_rows(working_memory, x.shape[0] if y is None else y.shape[0])
    for start in range(0, x.shape[0], step):
        part = x[start : start + step]
        whole = len(part) == x.shape[0]
        distances = pairwise_distances(part, y if whole or y is not None else x, metric, **kwds)
        if reduce_func is None:
            yield distances
        else:
            yield _checked(reduce_func(distances, start), len(part))


def _own(metric: Any, keywords: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Our name and keywords for a metric; None where it is left to scikit-learn."""
    name, taken = METRICS.get(metric, ("", ())) if isinstance(metric, str) else ("", ())
    if not name or not set(keywords) <= set(taken):
        return None
    if name == "euclidean":
        return "sqeuclidean" if keywords.get("squared") else name, {}
    return name, keywords


def searched(metric: Any, keywords: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Our name and keywords for the metric of a search: those divide braycurtis by |x| + |y|, distances by |x + y|."""
    return None if isinstance(metric, str) and metric == "braycurtis" else _own(metric, keywords)


def searched_by(metric: Any, keywords: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """`searched` for estimators: keywords without a value count for nothing, and neither does `squared` there."""
    dropped = ("squared",) if metric in ("euclidean", "l2") else ()
    return searched(metric, {key: value for key, value in keywords.items() if value is not None and key not in dropped})


def searched_dtype(name: str, x: Any, y: Any) -> Any:
    """Of the distances that a search there returns: it makes only those of cosine as matrices of the rows' dtype."""
    return _dtype(name, x, y) if name == "cosine" else np.float64


def parts_of(found: Within, nearest_first: bool) -> tuple[Any, Any]:
    """Distances and indices, (m,) arrays of arrays, by distance or else by index, as its searches by radius do it."""
    m = len(found.indptr) - 1
    rows = np.repeat(np.arange(m), np.diff(found.indptr))
    order = slice(None) if nearest_first else np.lexsort((found.indices, rows))
    distances, indices = np.empty(m, dtype=object), np.empty(m, dtype=object)
    for parts, values in ((distances, found.distances), (indices, found.indices)):
        parts[:] = np.split(values[order], found.indptr[1:-1])
    return distances, indices


def _theirs(function: str, metric: Any) -> Any:
    return peers_own(MODULE, function, f"metric={brief(metric)} with these arguments")


def _sides(X: Any, Y: Any) -> tuple[Any, Any]:
    return _validate.flat("X", X), None if Y is None or Y is X else _validate.flat("Y", Y)


def _returned(like: Any, found: Any) -> Any:
    """NumPy's as they are; as `like` where scikit-learn is told to return what it is given."""
    there = sys.modules.get("sklearn")
    return given_back(like, found) if there and there.get_config()["array_api_dispatch"] else found


def _dtype(metric: str, x: Any, y: Any) -> Any:
    narrow = metric in NARROW and x.dtype == np.float32 and (y is None or y.dtype == np.float32)
    return np.float32 if narrow else np.float64


def _chunk_rows(working_memory: float | None, columns: int) -> int:
    if working_memory is None:
        there = sys.modules.get("sklearn")
        working_memory = there.get_config()["working_memory"] if there else WORKING_MEMORY
    memory = number("working_memory", working_memory)
    rows = int(memory * 2**20 // (8 * columns))
    if rows < 1:
        needed = 8 * columns / 2**20
        warnings.warn(
            f"Could not adhere to working_memory config. Currently {memory:.0f}MiB, {np.ceil(needed):.0f}MiB required.",
            stacklevel=3,
        )
    return max(1, rows)


def _checked(reduced: Any, rows: int) -> Any:
    parts = reduced if isinstance(reduced, tuple) else () if reduced is None else (reduced,)
    for part in parts:
        if isinstance(part, tuple) or not hasattr(part, "__iter__"):
            raise TypeError(f"reduce_func returned {brief(reduced)}. Expected sequence(s) of length {rows}.")
    counts = tuple(part.shape[0] if hasattr(part, "shape") else len(part) for part in parts)
    if any(count != rows for count in counts):
        told = counts if isinstance(reduced, tuple) else counts[0]
        raise ValueError(f"reduce_func returned object of length {told}. Expected same length as input: {rows}.")
    return reduced
