"""The searches inside scikit-learn's estimators and functions, which `patch("sklearn")` swaps too.

They are private there: subclasses of what the installed version has, which is asked where ours do not take a call.
"""

from typing import Any

import numpy as np
from sklearn.metrics import _pairwise_distances_reduction as theirs

from .. import _operations
from .sklearn import parts_of, searched_by, searched_dtype


class ArgKmin(theirs.ArgKmin):
    """`compute`: for each row of X (m, d) the k nearest rows of Y (n, d), (m, k), equal distances by the lowest index.

    Cost and memory of `topk`. `chunk_size` and `strategy` have no effect.
    """

    @classmethod
    def compute(
        cls,
        X: Any,
        Y: Any,
        k: int,
        metric: Any = "euclidean",
        chunk_size: int | None = None,
        metric_kwargs: dict[str, Any] | None = None,
        strategy: str | None = None,
        return_distance: bool = False,
    ) -> Any:
        found = _taken(cls, X, Y, metric, metric_kwargs)
        if found is None or not 1 <= k <= Y.shape[0]:
            return super().compute(X, Y, k, metric, chunk_size, metric_kwargs, strategy, return_distance)
        nearest = _operations.topk(X, Y, int(k), found[0], **found[1])
        return (nearest.distances, nearest.indices) if return_distance else nearest.indices


class RadiusNeighbors(theirs.RadiusNeighbors):
    """`compute`: for each row of X (m, d) all rows of Y (n, d) within the radius, (m,) arrays.

    Cost and memory of `within`. `chunk_size` and `strategy` have no effect.
    """

    @classmethod
    def compute(
        cls,
        X: Any,
        Y: Any,
        radius: float,
        metric: Any = "euclidean",
        chunk_size: int | None = None,
        metric_kwargs: dict[str, Any] | None = None,
        strategy: str | None = None,
        return_distance: bool = False,
        sort_results: bool = False,
    ) -> Any:
        found = _taken(cls, X, Y, metric, metric_kwargs)
        if found is None or not radius >= 0:
            return super().compute(
                X, Y, radius, metric, chunk_size, metric_kwargs, strategy, return_distance, sort_results
            )
        near = _operations.within(X, Y, radius, found[0], **found[1])
        distances, indices = parts_of(near, sort_results)
        return (distances, indices) if return_distance else indices


class ArgKminClassMode(theirs.ArgKminClassMode):
    """The vote that searches by itself: never to be used, so that a classifier searches by `ArgKmin` and votes then."""

    @classmethod
    def is_usable_for(cls, X: Any, Y: Any, metric: Any) -> bool:
        return False


class RadiusNeighborsClassMode(theirs.RadiusNeighborsClassMode):
    """As `ArgKminClassMode`, within a radius."""

    @classmethod
    def is_usable_for(cls, X: Any, Y: Any, metric: Any) -> bool:
        return False


def _taken(
    cls: Any, X: Any, Y: Any, metric: Any, metric_kwargs: dict[str, Any] | None
) -> tuple[str, dict[str, Any]] | None:
    """Metric and keywords of the search; None where scikit-learn is to answer, or to refuse."""
    found = searched_by(metric, metric_kwargs or {})
    if found is None or np.ndim(X) != 2 or np.ndim(Y) != 2 or not cls.is_usable_for(X, Y, "manhattan"):
        return None
    name, keywords = found
    return name, {"metric_kwargs": keywords, "dtype": searched_dtype(name, X, Y), "check_finite": False}
