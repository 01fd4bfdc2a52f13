"""Steps that turn and scale centred rows by a matrix: whitening and PCA."""

import numpy as np

from .._arguments import number, one_of, whole
from ._moments import RANK_CUTOFF, spectrum
from ._rows import Array, Float64
from ._step import Invertible


class Linear(Invertible):
    """(x - mean) forward_^T and back; the two matrices are each other's pseudo-inverse."""

    mean_: Float64  # (d,)
    components_: Float64  # (k, d)
    backward_: Float64  # (d, k)

    def _forward(self, block: Float64) -> Float64:
        return (block - self.mean_) @ self.components_.T

    def _backward(self, block: Float64) -> Float64:
        return block @ self.backward_.T + self.mean_

    def _columns_out(self) -> Array | None:
        return getattr(self, "components_", None)


class Whiten(Linear):
    """Rows with covariance I: directions of equal weight, none correlated with another.

    With C = X_c^T X_c / (n - 1) = V L V^T the regularised eigenvalues are L' = (1 - shrinkage) L + shrinkage tr(C)/d +
    epsilon. Directions whose L' is at most 1e-12 of the largest (singular values: 1e-6) are noise and are dropped.

    Parameters
    ----------
    method : {"zca", "pca"}
        "zca": V L'^-1/2 V^T, the whitening that moves the rows least, d columns. "pca": L'^-1/2 V^T, one column per
        kept direction, largest first, largest-magnitude loading positive.
    epsilon : float, default 0
        Added to each eigenvalue, in squared units of X.
    shrinkage : float in 0..1, default 0
        Share of the mean eigenvalue in each.

    Notes
    -----
    Learns `mean_` (d,), `components_` (columns out, d), `backward_` (d, columns out), `eigenvalues_` (kept, of C).
    Cost: two passes, 2 n d^2 flops, d^2 float64 to fit. Source: Kessy, Lewin, Strimmer 2018.
    """

    _learned = ("mean_", "components_", "backward_", "eigenvalues_")

    def __init__(self, method: str = "zca", *, epsilon: float = 0.0, shrinkage: float = 0.0) -> None:
        one_of("method", method, ("zca", "pca"))
        number("epsilon", epsilon)
        number("shrinkage", shrinkage, most=1.0)
        self.method, self.epsilon, self.shrinkage = method, epsilon, shrinkage

    def _fit(self, rows: Array) -> None:
        found = spectrum(rows)
        average = found.values.sum() / rows.shape[1]
        regular = (1 - self.shrinkage) * found.values + self.shrinkage * average
        regular += self.epsilon / found.scale / found.scale
        if not np.isfinite(regular[0]):
            raise ValueError(f"epsilon must be near the variances of X, got {self.epsilon} and {found.variances[0]:g}")
        kept = regular > RANK_CUTOFF**2 * regular[0]
        vectors, root = found.vectors[:, kept], found.scale * np.sqrt(regular[kept])
        rotation = vectors if self.method == "zca" else np.eye(len(root))
        self.mean_, self.eigenvalues_ = found.mean, found.variances[kept]
        with np.errstate(over="ignore", invalid="ignore"):
            self.components_, self.backward_ = (rotation / root) @ vectors.T, (vectors * root) @ rotation.T
        if not np.isfinite(self.components_).all():
            raise ValueError(f"X must vary by more than float64 needs to divide by it, got {found.scale:g} at most")


class PCA(Linear):
    """The directions of largest variance, as orthonormal coordinates.

    Parameters
    ----------
    n_components : int, optional
        In 1..rank of the centred training rows; None keeps the rank. Singular values at most 1e-6 of the largest do not
        count towards the rank.

    Notes
    -----
    Learns `mean_` (d,), `components_` (k, d) with the largest-magnitude loading positive, `backward_` (d, k),
    `explained_variance_` (k,) (divisor n - 1) and `explained_variance_ratio_` (k,), both descending.
    Cost: two passes, 2 n d^2 flops, d^2 float64 to fit. Source: Hotelling 1933.
    """

    _learned = ("mean_", "components_", "backward_", "explained_variance_", "explained_variance_ratio_")

    def __init__(self, n_components: int | None = None) -> None:
        if n_components is not None:
            whole("n_components", n_components)
        self.n_components = n_components

    def _fit(self, rows: Array) -> None:
        found = spectrum(rows)
        rank = int((found.values > RANK_CUTOFF**2 * found.values[0]).sum())
        k = rank if self.n_components is None else self.n_components
        if k > rank:
            raise ValueError(f"n_components must be in 1..{rank} (the rank of the centred X), got {k}")
        vectors = found.vectors[:, :k]
        self.mean_, self.components_, self.backward_ = found.mean, vectors.T.copy(), vectors.copy()
        self.explained_variance_ = found.variances[:k]
        self.explained_variance_ratio_ = found.values[:k] / found.values.sum()
