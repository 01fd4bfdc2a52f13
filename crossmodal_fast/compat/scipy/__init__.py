"""`scipy.spatial.distance.cdist` and `pdist`: float64, exact to 1e-13 where SciPy is.

    from crossmodal_fast.compat.scipy import cdist, pdist

The folder is one so that no file is called as the library is.
"""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _operations, _validate
from .._peer import peers_own

Array = NDArray[Any]

METRICS = (
    "braycurtis", "canberra", "chebyshev", "cityblock", "correlation", "cosine", "euclidean", "hamming", "jaccard",
    "jensenshannon", "minkowski", "sqeuclidean",
)  # fmt: skip
"""What is computed here, without weights; any other call is SciPy's own."""

BLOCK = 1 << 22  # entries of the matrix that `pdist` makes at a time: 32 MB


def cdist(XA: Any, XB: Any, metric: Any = "euclidean", *, out: Any = None, **kwargs: Any) -> Any:
    """`scipy.spatial.distance.cdist`: distances (m, n) float64 between rows of XA (m, d) and XB (n, d).

    Passed on to SciPy: functions, weights, short names of metrics, seuclidean, mahalanobis, the metrics of booleans but
    jaccard, rows without columns, negative entries of jensenshannon. As in SciPy NaN gives NaN, and so does a row of
    zeros (cosine) or a constant one (correlation). Errors and cost as in `crossmodal_fast.pairwise_distances`.

    >>> cdist([[0, 0], [3, 4]], [[0, 0]])
    array([[0.],
           [5.]])
    """
    name = own(metric, kwargs)
    if name is None or not (_is_taken(name, XA) and _is_taken(name, XB)):
        return peers_own("scipy.spatial.distance", "cdist", f"metric={metric!r}")(XA, XB, metric, out=out, **kwargs)
    return distances(_validate.flat("XA", XA), _validate.flat("XB", XB), name, kwargs, _contiguous(out))


def pdist(X: Any, metric: Any = "euclidean", *, out: Any = None, **kwargs: Any) -> Any:
    """`scipy.spatial.distance.pdist`: distances (m (m - 1) / 2,) float64 between the rows of X (m, d), i < j by rows.

    Passed on as by `cdist`. Beside the result 32 MB are held, or one row of the matrix.

    >>> pdist([[0, 0], [3, 4], [0, 4]])
    array([5., 4., 3.])
    """
    name = own(metric, kwargs)
    if name is None or not _is_taken(name, X):
        return peers_own("scipy.spatial.distance", "pdist", f"metric={metric!r}")(X, metric, out=out, **kwargs)
    rows = _validate.flat("X", X)
    m = rows.shape[0]
    condensed = _validate.output(_contiguous(out), (m * (m - 1) // 2,), np.dtype(np.float64), X=rows)
    at, step = 0, max(1, BLOCK // m)
    for first in range(0, m - 1, step):
        block = distances(rows[first : first + step], rows[first:], name, kwargs)
        for i in range(min(len(block), m - 1 - first)):
            condensed[at : at + m - 1 - first - i] = block[i, i + 1 :]
            at += m - 1 - first - i
    return condensed


def own(metric: Any, keywords: dict[str, Any]) -> str | None:
    """Our name of a metric with these keywords; None where it is left to SciPy."""
    name = metric.lower() if isinstance(metric, str) else None
    if name == "minkowski" and set(keywords) == {"p"}:
        return name if isinstance(keywords["p"], Real) and float(keywords["p"]) > 0 else None
    return name if name in METRICS and not keywords else None


def distances(x: Any, y: Any, name: str, keywords: dict[str, Any], out: Any = None) -> Any:
    """(m, n) float64, NaN where SciPy divides 0 by 0."""
    found = _operations.pairwise_distances(
        x, y, name, metric_kwargs=keywords, dtype=np.float64, out=out, check_finite=False
    )
    return without_value(found, x, y, name)


def without_value(found: Any, x: Any, y: Any, name: str) -> Any:
    """Distances (m, n), NaN where rows have no direction: those of zeros (cosine), constant ones (correlation)."""
    if name in ("cosine", "correlation"):
        for axis, rows in enumerate((x, y)):
            values = np.asarray(rows[:])
            least = values[:, :1] if name == "correlation" else values.dtype.type(0)
            found[(slice(None),) * axis + ((values == least).all(axis=1),)] = np.nan
    return found


def _contiguous(out: Any) -> Any:
    if isinstance(out, np.ndarray) and not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous, got strides {out.strides}")
    return out


def _is_taken(name: str, rows: Any) -> bool:
    """Whether rows have entries, and those of jensenshannon no negative ones, which are infinite there."""
    shape = np.shape(rows)
    if len(shape) == 2 and 0 in shape:
        return False
    return name != "jensenshannon" or bool((np.asarray(rows) >= 0).all())
