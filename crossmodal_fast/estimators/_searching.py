"""What makes a neighbours estimator of scikit-learn search here."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _gallery, _operations
from ..compat.sklearn import parts_of, searched_by, searched_dtype
from ._transfer import controls

HERE = "crossmodal_fast"
"""`_fit_method` of what is searched here: scikit-learn's shortcuts past `kneighbors` are for its own "brute" alone."""


def _held(rows: Any) -> Any:
    """Rows in float64 if their numbers are objects, which lists of `Decimal` come as, or longer than that."""
    return rows.astype(np.float64, copy=False) if rows.dtype.kind == "O" or rows.dtype == np.longdouble else rows


class Searching(BaseEstimator):
    """Base in front of a class of `sklearn.neighbors`: `fit` plants no tree, and neighbours are exact.

    Dense rows are held as a `Gallery`, which is encoded by the first search; sparse ones are made dense in blocks. With
    a metric that is not computed here all is left to scikit-learn's brute force, and so is what it refuses.
    """

    _fit_X: Any
    algorithm: str

    def _fit(self, X: Any, y: Any = None) -> Self:
        asked, self.algorithm = self.algorithm, "brute"
        try:
            super()._fit(X, y)
        finally:
            self.algorithm = asked
        self._gather()
        return self

    def _gather(self) -> None:
        """What is searched, after `fit` and after unpickling."""
        self._metric = searched_by(self.effective_metric_, self.effective_metric_params_)
        self._fit_method = "brute" if self._metric is None else HERE
        self._gallery = None
        if not issparse(self._fit_X):
            self._fit_X = _held(np.asarray(self._fit_X))  # a memory view, if a tree was given
            if self._metric is not None:
                name, own_keywords = self._metric
                self._gallery = _gallery.Gallery(self._fit_X, name, copy=False, metric_kwargs=own_keywords)

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """The nearest fitted rows of each query, nearest first, equal distances by the lowest index.

        Parameters
        ----------
        X : (m, d) queries; None: the fitted rows, each of which is no neighbour of itself
        n_neighbors : k, at most the rows that there are to find; default that of the constructor
        return_distance : also return the distances

        Returns
        -------
        distances (m, k) float64 (float32 for cosine of float32), if wanted, and indices (m, k) int64
        """
        check_is_fitted(self, "_fit_method")
        k: Any = self.n_neighbors if n_neighbors is None else n_neighbors
        most = self.n_samples_fit_ - (X is None)
        if self._fit_method != HERE or not isinstance(k, Integral) or not 1 <= int(k) <= most:
            return super().kneighbors(X, n_neighbors, return_distance)
        found = self._found("topk", X, int(k))
        return (found.distances, found.indices) if return_distance else found.indices

    def radius_neighbors(
        self, X: Any = None, radius: Any = None, return_distance: bool = True, sort_results: bool = False
    ) -> Any:
        """All fitted rows within a radius of each query, inclusive.

        Parameters
        ----------
        X : (m, d) queries; None: the fitted rows, each of which is no neighbour of itself
        radius : number or (m,); default that of the constructor
        return_distance : also return the distances
        sort_results : nearest first, else by index; needs return_distance, as in scikit-learn

        Returns
        -------
        distances, if wanted, and indices: (m,) arrays of arrays (r,)
        """
        check_is_fitted(self, "_fit_method")
        if self._fit_method != HERE or (sort_results and not return_distance):
            return super().radius_neighbors(X, radius, return_distance, sort_results)
        found = self._found("within", X, self.radius if radius is None else radius)
        distances, indices = parts_of(found, sort_results)
        return (distances, indices) if return_distance else indices

    def _found(self, operation: str, X: Any, amount: Any) -> Any:
        """`topk` or `within` of the queries."""
        queries = self._fit_X
        if X is not None:
            queries = _held(validate_data(self, X, accept_sparse="csr", reset=False, order="C"))
        name, keywords = self._metric or ("", {})
        given: dict[str, Any] = {
            "dtype": searched_dtype(name, queries, self._fit_X),
            "exclude": np.arange(queries.shape[0]) if X is None else None,
            **controls(self.control),
        }
        if self._gallery is not None:
            return getattr(self._gallery, operation)(queries, amount, **given)
        return getattr(_operations, operation)(queries, self._fit_X, amount, name, metric_kwargs=keywords, **given)

    def __getstate__(self) -> dict[str, Any]:
        """The state without what a search has encoded, which is made again."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_gallery"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_fit_method" in state:
            self._gather()
