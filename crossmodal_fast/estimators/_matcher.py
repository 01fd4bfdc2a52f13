"""Matching across modalities as an estimator."""

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .. import evaluate
from .._arguments import about
from ..fitting import TransferMap, fit_transfer
from ..matching import Matches, match
from ._transfer import SIDES, controls, keywords


class CrossModalMatcher(BaseEstimator):
    """Rows of one modality matched with those of another that `fit` has seen.

    `fit(X, Y)` takes pairs: it learns the map from X to Y, and Y is the gallery that is matched with. `fit(Y)` takes
    the gallery alone, in whose space queries lie already.

    Parameters
    ----------
    method : one of `match`; those that are transductive look at all queries of a call at once
    transfer : method of `fit_transfer` from X to Y; None: both lie in one space already
    metric : as in `topk`
    n_neighbors : k of the method, where it takes one; None for its own
    match_options, transfer_options : dicts of the options of either method
    control : dict of `Control`

    Attributes
    ----------
    gallery_ : (n, d_out), the rows as given
    transfer_map_ : TransferMap, or None

    Notes
    -----
    Cost: that of `fit_transfer`, and of `match` in every call. Exact: equal scores by the lowest gallery row.

    Examples
    --------
    >>> words, sounds = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[5.0, 0.0], [0.0, 5.0], [5.0, 5.0]]
    >>> CrossModalMatcher(transfer="lstsq").fit(words, sounds).predict([[0.9, 0.1]])
    array([1])
    >>> CrossModalMatcher().fit(sounds).match([[4.0, 4.1]]).columns
    array([2])
    """

    transfer_map_: TransferMap | None

    def __init__(
        self,
        method: str = "topk",
        *,
        transfer: str | None = "ridge",
        metric: str = "cosine",
        n_neighbors: int | None = None,
        match_options: dict[str, Any] | None = None,
        transfer_options: dict[str, Any] | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.transfer = transfer
        self.metric = metric
        self.n_neighbors = n_neighbors
        self.match_options = match_options
        self.transfer_options = transfer_options
        self.control = control

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from pairs, rows of X (n, d_in) and of y (n, d_out); or take X (n, d) as the gallery."""
        if y is None:
            self.gallery_, self.transfer_map_ = validate_data(self, X, accept_sparse="csr"), None
            return self
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True, ensure_min_samples=2)
        y = y if issparse(y) else y.reshape(len(y), -1)
        if self.transfer is None and X.shape[1] != y.shape[1]:
            raise ValueError(
                f"X and y must have as many columns as each other where transfer is None, "
                f"got {X.shape[1]} and {y.shape[1]}"
            )
        with about(f"transfer ({SIDES})"):
            options = keywords("transfer_options", self.transfer_options, ("method",)) | controls(self.control)
            self.transfer_map_ = None if self.transfer is None else fit_transfer(X, y, self.transfer, **options)
        self.gallery_ = y
        return self

    def match(self, X: Any) -> Matches:
        """Pairs of X (m, d_in) with the gallery: (row of X, row of the gallery, score), best first in each row."""
        given = {"k": self.n_neighbors, "metric": self.metric} | keywords(
            "match_options", self.match_options, ("method",)
        )
        return match(self._mapped(X), self.gallery_, self.method, **given, **controls(self.control))

    def predict(self, X: Any) -> Any:
        """(m,) int64, the best gallery row of each row of X (m, d_in); -1 for those that the method leaves alone."""
        found = self.match(X)
        rows, first = np.unique(found.rows, return_index=True)
        best = np.full(X.shape[0] if hasattr(X, "shape") else len(X), -1)
        best[rows] = found.columns[first]
        return best

    def score(self, X: Any, y: Any) -> float:
        """Share of the rows of X (m, d_in) for which, among y (m, d_out), their own is the nearest: hit_rate@1."""
        mapped = self._mapped(X)
        y = check_array(y, accept_sparse="csr", ensure_2d=False)
        y = y if issparse(y) else y.reshape(len(y), -1)
        found = evaluate.retrieval(mapped, y, metric=self.metric, metrics="hit_rate@1", **controls(self.control))
        return float(found["hit_rate@1"])

    def _mapped(self, X: Any) -> Any:
        check_is_fitted(self, "gallery_")
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        return X if self.transfer_map_ is None else self.transfer_map_.apply(X, **controls(self.control))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
