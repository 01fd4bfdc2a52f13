"""Pairs of rows for the tests of fitting, and what brute force makes of them."""

import numpy as np


def pairs(n=60, d_in=6, d_out=4, noise=0.5, seed=0):
    """Rows that a linear map with noise takes to each other, far from the origin."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d_in)) + 3
    return A, A @ rng.standard_normal((d_in, d_out)) + 5 + noise * rng.standard_normal((n, d_out))


def two_views(n=80, d_in=7, d_out=5, hidden=3, noise=0.4, seed=0):
    """Views of the same hidden things."""
    rng = np.random.default_rng(seed)
    things = rng.standard_normal((n, hidden)) * [2.0, 1.0, 0.7][:hidden]
    return tuple(
        things @ rng.standard_normal((hidden, d)) + noise * rng.standard_normal((n, d)) + 2 for d in (d_in, d_out)
    )


def orthogonal(d, seed=0, determinant=1):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    if np.linalg.det(Q) * determinant < 0:
        Q[:, 0] *= -1
    return Q


def ridge_by_hand(A, B, penalty, prior=None, weight=None, center=True):
    """(W, bias) from the normal equations."""
    weight = np.ones(len(A)) if weight is None else weight
    a, b = (weight @ side / weight.sum() if center else np.zeros(side.shape[1]) for side in (A, B))
    X, Y = A - a, B - b
    prior = np.zeros((A.shape[1], B.shape[1])) if prior is None else prior
    XD = X.T * weight
    W = prior + np.linalg.solve(XD @ X + penalty * np.eye(A.shape[1]), XD @ (Y - X @ prior))
    return W, b - a @ W


def refits(A, B, penalty, prior=None, weight=None, center=True):
    """What each target is predicted to be by a refit without its pair: (n, d_out)."""
    weight = np.ones(len(A)) if weight is None else weight
    found = np.empty_like(B)
    for i in range(len(A)):
        others = np.arange(len(A)) != i
        W, bias = ridge_by_hand(A[others], B[others], penalty, prior, weight[others], center)
        found[i] = A[i] @ W + bias
    return found
