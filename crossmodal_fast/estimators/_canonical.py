"""`fitting.CCA` with the interface of scikit-learn's."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .. import fitting
from .._arguments import about
from .._config import config_context
from .._validate import flag
from ._transfer import SIDES, controls

Float64 = NDArray[np.float64]


class CCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, MultiOutputMixin, BaseEstimator):
    """Canonical correlation analysis with the methods of `sklearn.cross_decomposition.CCA`, solved at once.

    Parameters
    ----------
    n_components : at most the lower rank of the centred X and y, which None takes
    scale : divide columns by their standard deviations; without regularisation no correlation depends on it
    max_iter, tol, copy : accepted and not needed: nothing is iterated, and X is not written to
    regularization, shrinkage, shrink_to, correlation_power : as in `fitting.CCA`
    control : dict of `Control`

    Attributes
    ----------
    correlations_ : (k,) descending
    x_rotations_, y_rotations_ : (d_in, k), (d_out, k), of centred and scaled columns; x_weights_ and y_weights_ are the
        same, since nothing is deflated
    x_loadings_, y_loadings_ : (d_in, k), (d_out, k), least squares of the columns on the projected rows
    coef_, intercept_ : (d_out, d_in), (d_out,): y = X coef_^T + intercept_
    n_iter_ : (k,) ones
    cca_ : the `fitting.CCA` of the scaled columns

    Notes
    -----
    The projected training rows have variance 1, where scikit-learn's have what its deflation leaves, and the first of
    several components is not moved by the tolerance of an iteration. `predict` is the least-squares predictor from the
    components (correlation_power=1); scikit-learn's leaves the correlations out (0). A column of equal entries counts
    for nothing. Cost: that of `fitting.CCA`, and float64 copies of X and y.

    Examples
    --------
    >>> hidden = np.random.default_rng(0).standard_normal((50, 2))
    >>> found = CCA().fit(hidden @ [[1.0, 2.0], [0.0, 1.0]], hidden)
    >>> found.correlations_.round(6), found.score(hidden @ [[1.0, 2.0], [0.0, 1.0]], hidden)
    (array([1., 1.]), 1.0)
    """

    def __init__(
        self,
        n_components: int | None = 2,
        *,
        scale: bool = True,
        max_iter: int = 500,
        tol: float = 1e-06,
        copy: bool = True,
        regularization: Any = 0.0,
        shrinkage: Any = 0.0,
        shrink_to: str = "mean",
        correlation_power: float = 1.0,
        control: dict[str, Any] | None = None,
    ) -> None:
        self.n_components = n_components
        self.scale = scale
        self.max_iter = max_iter
        self.tol = tol
        self.copy = copy
        self.regularization = regularization
        self.shrinkage = shrinkage
        self.shrink_to = shrink_to
        self.correlation_power = correlation_power
        self.control = control

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from pairs, rows of X (n, d_in) and of y (n, d_out) or (n,), n >= 2."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        scaled, self._alone = flag("scale", self.scale), y.ndim == 1
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        self._x_scale, self._y_scale = (_deviations(rows) if scaled else np.ones(rows.shape[1]) for rows in (X, y))
        x, y = X / self._x_scale, y / self._y_scale
        with about(SIDES), config_context(**controls(self.control)):
            self.cca_ = fitting.CCA(
                self.n_components, regularization=self.regularization, shrinkage=self.shrinkage,
                shrink_to=self.shrink_to, correlation_power=self.correlation_power,
            ).fit(x, y)  # fmt: skip
            scores = self.cca_.transform(x, y)
        self.correlations_ = self.cca_.correlations_
        self.x_weights_ = self.x_rotations_ = self.cca_.projection_a_
        self.y_weights_ = self.y_rotations_ = self.cca_.projection_b_
        self.x_loadings_ = _loadings(scores[0], x - self.cca_.mean_a_)
        self.y_loadings_ = _loadings(scores[1], y - self.cca_.mean_b_)
        across = self.cca_.transfer_map
        self.coef_ = self._y_scale[:, None] * across.M / self._x_scale
        self.intercept_ = self._y_scale * across.bias
        self._n_features_out = self.x_rotations_.shape[1]
        self.n_iter_ = np.ones(self._n_features_out, int)
        return self

    def transform(self, X: Any, y: Any = None, copy: bool = True) -> Any:
        """X (m, d_in) projected, (m, k); with y (p, d_out) the pair of both."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        with config_context(**controls(self.control)):
            if y is None:
                return self.cca_.transform(X / self._x_scale)
            y = _columns(y)
            return self.cca_.transform(X / self._x_scale, y / self._y_scale)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """`fit`, then `transform` of both: (n, k) each."""
        return self.fit(X, y).transform(X, y)

    def inverse_transform(self, X: Any, y: Any = None) -> Any:
        """Rows (m, d_in) from projected ones (m, k), as far as the components tell; with projected y the pair."""
        check_is_fitted(self)
        back = (_columns(X) @ self.x_loadings_.T + self.cca_.mean_a_) * self._x_scale
        if y is None:
            return back
        return back, (_columns(y) @ self.y_loadings_.T + self.cca_.mean_b_) * self._y_scale

    def predict(self, X: Any, copy: bool = True) -> Any:
        """y (m, d_out), or (m,) where y was (n,), of X (m, d_in), float64."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        predicted = X @ self.coef_.T + self.intercept_
        return predicted[:, 0] if self._alone else predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # few components, as there
        return tags


def _columns(rows: Any) -> Float64:
    """(n, d) float64; (n,) is one column."""
    found: Float64 = check_array(rows, ensure_2d=False, dtype=np.float64)
    return found.reshape(len(found), -1)


def _deviations(rows: Float64) -> Float64:
    """(d,) standard deviations of the columns, 1 for those that do not vary."""
    largest = abs(rows).max(axis=0)  # by which they are divided first: no square leaves the range of float64
    largest[largest == 0] = 1
    found: Float64 = largest * (rows / largest).std(axis=0, ddof=1)
    found[found == 0] = 1
    return found


def _loadings(scores: Float64, rows: Float64) -> Float64:
    """(d, k): the columns (n, d) by the scores (n, k)."""
    return np.asarray(np.linalg.lstsq(scores, rows, rcond=None)[0].T, np.float64)
