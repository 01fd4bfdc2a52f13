"""Partial least squares: directions of largest covariance, by one SVD or by deflation."""

from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from .._arguments import one_of
from ..preprocess import RANK_CUTOFF
from ._pairs import Pairs
from ._solution import Solution
from ._views import TwoViews, components, optional_whole, turned

Float64 = NDArray[np.float64]

MODES = ("regression", "canonical", "svd")


class PLS(TwoViews):
    """Directions of two views whose scores have the largest covariance.

    Parameters
    ----------
    n_components : int, optional
        As many as carry covariance where left out; those below 1e-12 of the first do not.
    mode : {"regression", "canonical", "svd"}, default "regression"
        "regression": PLS2, both views deflated by the scores of A. "canonical": each view by its own scores. "svd": the
        singular vectors of X_c^T Y_c at once, without deflation.

    Attributes
    ----------
    covariances_ : ndarray (k,)
        Of the scores of each component, X_c^T Y_c / (n - 1) at the time it was found.
    projection_a_, projection_b_ : ndarray (d_in, k), (d_out, k)
        The rotations: scores are centred rows times these. Each column's largest entry of A is positive. In
        "regression" those of B are in units of A and depend on how many components there are.
    mean_a_, mean_b_ : ndarray (d_in,), (d_out,)
    transfer_map : TransferMap
        "regression": R Q^T, the PLS regression. Otherwise the least-squares map from the scores of A to those of B, and
        from there by the loadings of B.

    Notes
    -----
    Views are centred, not scaled: standardise them first where their columns have unlike units. Cost: one pass of QR,
    then an eigenproblem of the narrower width for each component ("svd": one SVD).
    Source: Wold 1975; Wegelin 2000, whose PLS2, PLS mode A and PLS-SVD these are.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast.fitting import PLS
    >>> A = np.random.default_rng(0).standard_normal((50, 3))
    >>> PLS(1).fit(A, A[:, :1]).covariances_.shape
    (1,)
    """

    _learned: ClassVar[tuple[str, ...]] = (*TwoViews._learned, "covariances_")
    covariances_: Float64

    def __init__(self, n_components: int | None = None, *, mode: str = "regression") -> None:
        optional_whole("n_components", n_components)
        one_of("mode", mode, MODES)
        self.n_components, self.mode = n_components, mode

    def solve(self, pairs: Pairs) -> bool:
        if self.mode == "svd":
            a, covariances, b_t = np.linalg.svd(pairs.X.T @ pairs.Y, full_matrices=False)
            k = self._count(int((covariances > RANK_CUTOFF**2 * covariances[0]).sum()))
            a, b = turned(a[:, :k], b_t[:k].T)
            self._loadings, covariances = b, covariances[:k]
        else:
            a, b, covariances = self._deflated(pairs)
        self.projection_a_ = a
        self.projection_b_ = b * (pairs.x_size / pairs.y_size) if self.mode == "regression" else b
        scores = pairs.X @ a
        aim = pairs.Y if self.mode == "regression" else pairs.Y @ b
        inner = np.linalg.lstsq(scores, aim, rcond=None)[0]
        self._W = a @ inner if self.mode == "regression" else a @ inner @ self._loadings.T
        with np.errstate(over="ignore"):
            self.covariances_ = covariances / (pairs.degrees or 1.0) * pairs.x_size * pairs.y_size
        return False

    def _deflated(self, pairs: Pairs) -> tuple[Float64, Float64, Float64]:
        X, Y = pairs.X.copy(), pairs.Y.copy()
        covariances: list[float] = []
        columns: list[list[Float64]] = [[], [], [], []]  # weights of A and B, loadings of A and B
        most = min(*pairs.shape, len(X)) if self.mode == "canonical" else min(pairs.shape[0], len(X))
        for _ in range(most if self.n_components is None else self.n_components):
            w, c, covariance = _leading(X.T @ Y)
            if not covariance > RANK_CUTOFF**2 * max([covariance, *covariances]):
                break
            t = X @ w
            u = t if self.mode == "regression" else Y @ c
            p, q = X.T @ t / (t @ t), Y.T @ u / (u @ u)
            X -= np.outer(t, p)
            Y -= np.outer(u, q)
            covariances.append(covariance)
            for kept, column in zip(columns, (w, c, p, q), strict=True):
                kept.append(column)
        self._count(len(covariances))
        W, C, P, Q = (np.column_stack(kept) for kept in columns)
        self._loadings = Q
        a = cast(Float64, np.linalg.solve((P.T @ W).T, W.T).T)
        b: Float64 = C @ np.linalg.pinv(Q.T @ C)
        return a, b, np.array(covariances)

    def _count(self, available: int) -> int:
        if available == 0:
            raise ValueError("A and B must covary to have a component, got no covariance")
        return components(self.n_components, available, "the components that carry covariance")

    def across(self) -> Solution:
        return Solution(self._W)


def _leading(cross: Float64) -> tuple[Float64, Float64, float]:
    """The first singular vectors and value of (d_in, d_out), from an eigenvector of the narrower side."""
    from scipy.linalg import eigh

    wide = cross.shape[0] > cross.shape[1]
    gram = cross.T @ cross if wide else cross @ cross.T
    last = len(gram) - 1
    near = eigh(gram, subset_by_index=[last, last])[1][:, 0]
    far = cross @ near if wide else cross.T @ near
    value = float(np.linalg.norm(far))
    far = far / (value or 1.0)
    w, c = (far, near) if wide else (near, far)
    sign = -1.0 if w[np.abs(w).argmax()] < 0 else 1.0
    return sign * w, sign * c, value


def pls(pairs: Pairs, *, n_components: int | None = None, mode: str = "regression") -> Solution:
    """The transfer map of `PLS`."""
    return PLS(n_components, mode=mode).fit_pairs(pairs)
