"""`fit_transfer` as a regressor."""

from typing import Any, Self

from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .._arguments import about, brief
from .._config import known
from ..fitting import TransferMap, fit_transfer

SIDES = "X is A, y is B"
"""Put before what `fitting` says of its arguments."""


def keywords(name: str, value: Any, taken: tuple[str, ...] = ()) -> dict[str, Any]:
    """A parameter that holds keyword arguments, none of those that are parameters themselves."""
    if not isinstance(value, dict | None):
        raise TypeError(f"{name} must be a dict or None, got {brief(value)}")
    for one in taken:
        if one in (value or {}):
            raise ValueError(f"{name} must be without {list(taken)}, which are parameters, got {one!r}")
    return value or {}


def controls(value: Any) -> dict[str, Any]:
    """The parameter `control`: nothing but what `Control` has, so that no other argument of a call hides in it."""
    return known(keywords("control", value))


class TransferRegressor(RegressorMixin, MultiOutputMixin, BaseEstimator):
    """Linear map from the rows of one modality to those of another, y = M x + bias, by any method of `fit_transfer`.

    Parameters
    ----------
    method : one of `fit_transfer`; "auto" is judged by retrieval, the others by squared error
    center : fit an intercept
    options : dict of the method's options, such as {"regularization": 0.1}; a grid searches over several such dicts
    control : dict of `Control`

    Attributes
    ----------
    transfer_map_ : TransferMap
    coef_ : (d_out, d_in) float64, or (d_in,) where y was (n,)
    intercept_ : (d_out,) float64, or a number

    Notes
    -----
    Cost: that of `fit_transfer`, and 2 m d_in d_out flops in `predict`. Sparse X is made dense in blocks.

    Examples
    --------
    >>> TransferRegressor("lstsq").fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).predict([[3.0]]).round(9)
    array([7.])
    >>> TransferRegressor(options={"regularization": 2.0}).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).coef_
    array([1.])
    """

    transfer_map_: TransferMap

    def __init__(
        self,
        method: str = "ridge",
        *,
        center: bool = True,
        options: dict[str, Any] | None = None,
        control: dict[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.center = center
        self.options = options
        self.control = control

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from pairs, rows of X (n, d_in) and of y (n, d_out) or (n,), n >= 2, with weights (n,) if given."""
        if issparse(y):
            raise TypeError(f"y must be dense, got {type(y).__name__}: y.toarray() is")
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True, ensure_min_samples=2)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        with about(SIDES):
            self.transfer_map_ = fit_transfer(
                X, y.reshape(len(y), -1), self.method, center=self.center, sample_weight=sample_weight,
                **keywords("options", self.options, ("method", "center", "sample_weight")), **controls(self.control),
            )  # fmt: skip
        alone = y.ndim == 1
        self.coef_ = self.transfer_map_.M[0] if alone else self.transfer_map_.M
        self.intercept_ = self.transfer_map_.bias[0] if alone else self.transfer_map_.bias
        return self

    def predict(self, X: Any) -> Any:
        """X (m, d_in) mapped, (m, d_out), or (m,) where y was (n,): float32 for what float32 holds, else float64."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        mapped = self.transfer_map_.apply(X, **controls(self.control))
        return mapped[:, 0] if self.coef_.ndim == 1 else mapped

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
