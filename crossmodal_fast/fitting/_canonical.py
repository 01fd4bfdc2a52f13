"""Canonical correlation analysis by QR and SVD: exact, in order, signs fixed, rank revealed."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._arguments import brief, number, one_of
from ._pairs import Basis, Pairs
from ._solution import Solution
from ._views import TwoViews, components, optional_whole, turned

Float64 = NDArray[np.float64]

TARGETS = ("mean", "identity")


class CCA(TwoViews):
    """Directions of two views that correlate most: plain, or regularised by either convention.

    With C = X_c^T X_c / (n - 1) of each view, C' = (1 - g) C + g T + lambda I, where g is the shrinkage and T is I or
    tr(C)/d I, U rho V^T = svd(C'_aa^-1/2 C'_ab C'_bb^-1/2) gives the projections C'_aa^-1/2 U and C'_bb^-1/2 V.
    C'_ab is ((1 - g_a) (1 - g_b))^1/2 C_ab, as in a joint covariance that is shrunk: it leaves the projections alone
    and keeps rho at most 1.

    Parameters
    ----------
    n_components : int, optional
        At most the lower rank of the two centred views, which is taken where left out. Singular values at most 1e-6 of
        the largest do not count: they are rounding, and a direction of rounding correlates with anything.
    regularization : float or pair of float, default 0
        lambda of A and of B, in squared units of each (the convention of R's `rcc`).
    shrinkage : float or pair of float in 0..1, default 0
        g of A and of B.
    shrink_to : {"mean", "identity"}, default "mean"
        T: tr(C)/d I, which does not depend on the units of a view, or I.
    correlation_power : float, default 1
        p of the transfer map W = A diag(rho^p) B^+: 1 is the least-squares predictor (at full rank, without
        regularisation), 0 the map of Faruqui and Dyer 2014.

    Attributes
    ----------
    correlations_ : ndarray (k,), descending
    projection_a_, projection_b_ : ndarray (d_in, k), (d_out, k)
        Each column's largest entry of A is positive. Without regularisation the projected training rows have variance 1
        and are uncorrelated but for their counterparts.
    mean_a_, mean_b_ : ndarray (d_in,), (d_out,)
    transfer_map : TransferMap

    Notes
    -----
    Cost: one pass of QR, 2 n (d_in + d_out)^2 flops, and three SVDs. Source: Hotelling 1936; Björck and Golub 1973;
    Vinod 1976 for the ridge.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast.fitting import CCA
    >>> hidden = np.random.default_rng(0).standard_normal((50, 2))
    >>> CCA().fit(hidden @ [[1.0, 2.0], [0.0, 1.0]], hidden @ [[3.0], [0.0]]).correlations_.round(6)
    array([1.])
    """

    _learned: ClassVar[tuple[str, ...]] = (*TwoViews._learned, "correlations_")
    correlations_: Float64

    def __init__(
        self,
        n_components: int | None = None,
        *,
        regularization: Any = 0.0,
        shrinkage: Any = 0.0,
        shrink_to: str = "mean",
        correlation_power: float = 1.0,
    ) -> None:
        optional_whole("n_components", n_components)
        one_of("shrink_to", shrink_to, TARGETS)
        number("correlation_power", correlation_power)
        both("regularization", regularization)
        both("shrinkage", shrinkage, most=1.0)
        self.n_components = n_components
        self.regularization, self.shrinkage, self.shrink_to = regularization, shrinkage, shrink_to
        self.correlation_power = correlation_power

    def solve(self, pairs: Pairs) -> bool:
        weights = []
        sides = (pairs.X, pairs.x_size), (pairs.Y, pairs.y_size)
        bases = [pairs.x_basis, pairs.y_basis]
        for (rows, size), basis, penalty, share in zip(
            sides, bases, both("regularization", self.regularization), both("shrinkage", self.shrinkage, 1.0),
            strict=True,
        ):  # fmt: skip
            weights.append(self._roots(basis, rows.shape[1], pairs.degrees, size, penalty, share))
        (left, right), (root_a, root_b) = bases, weights
        inner = (left.singular / root_a)[:, None] * (left.left.T @ right.left) * (right.singular / root_b)
        U, correlations, Vt = np.linalg.svd(inner, full_matrices=False)
        k = components(self.n_components, len(correlations), "the lower rank of A and B")
        kept = [1 - share for share in both("shrinkage", self.shrinkage, 1.0)]
        self.correlations_ = (correlations[:k] * np.sqrt(kept[0] * kept[1])).clip(max=1.0)
        a, b = left.right / root_a @ U[:, :k], right.right / root_b @ Vt[:k].T
        degrees = np.sqrt(pairs.degrees) or 1.0  # of one pair
        self.projection_a_, self.projection_b_ = turned(degrees * a, degrees * b)
        return True

    def _roots(self, basis: Basis, d: int, degrees: float, size: float, penalty: float, share: float) -> Float64:
        """Square roots of the eigenvalues of C', times those of n - 1: in the units of the singular values."""
        values = np.square(basis.singular)
        unit = values.sum() / d if self.shrink_to == "mean" else degrees / size / size
        regular = (1 - share) * values + share * unit + penalty * degrees / size / size
        if not (np.isfinite(regular).all() and regular.all()):
            raise ValueError(f"regularization must be near the variances of the rows, got {self.regularization}")
        return np.sqrt(regular)

    def across(self) -> Solution:
        Q, R = np.linalg.qr(self.projection_b_)
        return Solution(across(self.projection_a_, self.correlations_**self.correlation_power, Q, R))


def across(a: Float64, weight: Float64, Q: Float64, R: Float64) -> Float64:
    """A diag(weight) B^+ of the first columns of B = Q R, as many as A has; those of CCA are independent."""
    k = a.shape[1]
    found: Float64 = (a * weight) @ np.linalg.solve(R[:k, :k], Q[:, :k].T)
    return found


def both(name: str, value: Any, most: float = np.inf) -> tuple[float, float]:
    """One number for both views, or one for each."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name} must be one number or a pair, got {brief(value)}")
        return number(name, value[0], most=most), number(name, value[1], most=most)
    return number(name, value, most=most), number(name, value, most=most)


def cca(
    pairs: Pairs,
    *,
    n_components: int | None = None,
    regularization: Any = 0.0,
    shrinkage: Any = 0.0,
    shrink_to: str = "mean",
    correlation_power: float = 1.0,
) -> Solution:
    """The transfer map of `CCA`."""
    return CCA(
        n_components,
        regularization=regularization,
        shrinkage=shrinkage,
        shrink_to=shrink_to,
        correlation_power=correlation_power,
    ).fit_pairs(pairs)
