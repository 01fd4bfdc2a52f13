"""Whitening: all of it is a rotation of the principal coordinates, each divided by its deviation."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._arguments import number, one_of
from ._linear import Linear
from ._moments import RANK_CUTOFF, Spectrum
from ._rows import Float64


def _least_moving(vectors: Float64, root: Float64) -> Float64:
    return vectors


def _principal(vectors: Float64, root: Float64) -> Float64:
    return np.eye(len(root))


def _triangular(vectors: Float64, root: Float64) -> Float64:
    """Q^T of (V / root)^T = Q R: then R whitens, and R^T R is the inverse covariance (its Cholesky factor, upper)."""
    if len(root) < len(vectors):
        raise ValueError(
            f"X must have full rank for method='cholesky', got {len(root)} of {len(vectors)}; epsilon or shrinkage help"
        )
    Q, R = np.linalg.qr((vectors / root).T)
    return (Q * np.where(np.diagonal(R) < 0, -1.0, 1.0)).T


class _Kind(NamedTuple):
    rotation: Callable[[Float64, Float64], Float64]
    centered: bool = True
    correlation: bool = False


METHODS = {
    "zca": _Kind(_least_moving),
    "pca": _Kind(_principal),
    "cholesky": _Kind(_triangular),
    "zca_cor": _Kind(_least_moving, correlation=True),
    "pca_cor": _Kind(_principal, correlation=True),
    "vecmap": _Kind(_least_moving, centered=False),
}


class Whiten(Linear):
    """Rows with covariance I: directions of equal weight, none correlated with another.

    With C = X_c^T X_c / (n - 1) = V L V^T the regularised eigenvalues are L' = (1 - shrinkage) L + shrinkage tr(C)/d +
    epsilon. Directions whose L' is at most 1e-12 of the largest (singular values: 1e-6) are noise and are dropped.

    Parameters
    ----------
    method : {"zca", "pca", "cholesky", "zca_cor", "pca_cor", "vecmap"}
        "zca": V L'^-1/2 V^T, the whitening that moves the rows least, d columns. "pca": L'^-1/2 V^T, one column per
        kept direction, largest first, largest-magnitude loading positive. "cholesky": the upper triangular factor R of
        C'^-1 = R^T R; needs full rank. "zca_cor", "pca_cor": the same of the columns divided by their deviations, with
        the correlation in place of C: moves the standardised rows least. "vecmap": (X^T X)^-1/2, neither centred nor
        divided by the number of rows, so that Z^T Z = I.
    epsilon : float, default 0
        Added to each eigenvalue, in squared units of X (of a correlation: in 1).
    shrinkage : float in 0..1, default 0
        Share of the mean eigenvalue in each.

    Notes
    -----
    Learns `mean_` (d,), `components_` (columns out, d), `backward_` (d, columns out), `eigenvalues_` (kept, of C).
    `inverse_transform` de-whitens. Cost: two passes, 2 n d^2 flops, d^2 float64 to fit. Source: Kessy, Lewin, Strimmer
    2018; Artetxe, Labaka, Agirre 2018 ("vecmap").

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((50, 2)) @ [[3.0, 1.0], [0.0, 2.0]]
    >>> np.cov(Whiten().fit_transform(rows).T).round(12) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """

    _learned = ("mean_", "components_", "backward_", "eigenvalues_")
    eigenvalues_: Float64

    def __init__(self, method: str = "zca", *, epsilon: float = 0.0, shrinkage: float = 0.0) -> None:
        one_of("method", method, METHODS)
        number("epsilon", epsilon)
        number("shrinkage", shrinkage, most=1.0)
        self.method, self.epsilon, self.shrinkage = method, epsilon, shrinkage
        _, self._centered, self._correlation = METHODS[method]

    def _learn(self, found: Spectrum) -> None:
        values, vectors = found.values, found.vectors
        if self.epsilon or self.shrinkage:
            values, vectors = _completed(values, vectors)
        average = values.sum() / len(vectors)
        regular = (1 - self.shrinkage) * values + self.shrinkage * average
        regular += self.epsilon / found.scale / found.scale
        if not np.isfinite(regular[0]):
            raise ValueError(f"epsilon must be near the variances of X, got {self.epsilon} and {found.variances[0]:g}")
        kept = regular > RANK_CUTOFF**2 * regular[0]
        vectors, root = vectors[:, kept], found.scale * np.sqrt(regular[kept])
        rotation = METHODS[self.method].rotation(vectors, np.sqrt(regular[kept]))
        deviation = found.deviation
        with np.errstate(over="ignore", invalid="ignore"):
            components = (rotation / root) @ vectors.T / deviation
            backward = (vectors * root) @ rotation.T * deviation[:, None]
            variances = values[kept] * found.scale * found.scale
        if not np.isfinite(components).all():
            raise ValueError(f"X must vary by more than float64 needs to divide by it, got {found.scale:g} at most")
        self.mean_, self.components_, self.backward_, self.eigenvalues_ = found.mean, components, backward, variances


def _completed(values: Float64, vectors: Float64) -> tuple[Float64, Float64]:
    """With the directions in which few rows do not vary, whose eigenvalue 0 regularisation raises."""
    missing = len(vectors) - len(values)
    if not missing:
        return values, vectors
    whole, _ = np.linalg.qr(vectors, mode="complete")
    return np.append(values, np.zeros(missing)), np.hstack([vectors, whole[:, len(values) :]])
