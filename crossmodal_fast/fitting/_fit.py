"""Fitting e_j = M e_i + b from paired rows.

One pass of QR over the rows turns any number of pairs into at most d_in + d_out equivalent ones, so memory stays
bounded and nothing is squared before the small decompositions. A new method is a function (X, Y, options) -> W, row
form, and a line in `METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import number, numbers_of, one_of, rows_of
from ..preprocess import RANK_CUTOFF, column_means, power_below
from ._map import TransferMap

Array = NDArray[Any]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class _Options:
    regularization: float
    rotation_only: bool
    scale: bool


def _shrunk(X: Float64, Y: Float64, penalty: float) -> Float64:
    """W of the least ||Y - X W||^2 + penalty ||W||^2, from one SVD; noise directions of X are left out."""
    left, singular, right_t = np.linalg.svd(X, full_matrices=False)
    kept = singular > RANK_CUTOFF * singular[0]
    left, singular, right_t = left[:, kept], singular[kept], right_t[kept]
    return cast(Float64, (right_t.T * (singular / (singular**2 + penalty))) @ (left.T @ Y))


def _lstsq(X: Float64, Y: Float64, options: _Options) -> Float64:
    return _shrunk(X, Y, 0.0)


def _ridge(X: Float64, Y: Float64, options: _Options) -> Float64:
    return _shrunk(X, Y, options.regularization)


def _procrustes(X: Float64, Y: Float64, options: _Options) -> Float64:
    left, singular, right_t = np.linalg.svd(X.T @ Y)
    # Directions that no pair determines turn as little as they can. Left to the SVD they are rounding noise: 250 pairs
    # of clip500 in 512 dimensions gave hit_rate@1 of .256 to .292 by accident, .320 by this rule.
    rank = int((singular > RANK_CUTOFF**2 * singular[0]).sum())
    free = left[:, rank:].T @ np.eye(*(X.T @ Y).shape) @ right_t[rank:].T
    near_left, _, near_right = np.linalg.svd(free, full_matrices=False)
    left = np.hstack([left[:, :rank], left[:, rank:] @ near_left])
    right_t = np.vstack([right_t[:rank], near_right @ right_t[rank:]])
    if options.rotation_only and np.linalg.slogdet(left @ right_t)[0] < 0:
        left[:, -1] *= -1
    W: Float64 = left @ right_t
    return W * (np.sum(Y * (X @ W)) / np.square(X @ W).sum()) if options.scale else W


METHODS: dict[str, Callable[[Float64, Float64, _Options], Float64]] = {
    "lstsq": _lstsq,
    "ridge": _ridge,
    "procrustes": _procrustes,
}


def fit_transfer(
    A: ArrayLike,
    B: ArrayLike,
    method: str = "lstsq",
    *,
    center: bool = True,
    regularization: float = 1.0,
    rotation_only: bool = False,
    scale: bool = False,
    sample_weight: ArrayLike | None = None,
) -> TransferMap:
    """Learn the map that takes the rows of A to the rows of B: b_i = M a_i + bias.

    Parameters
    ----------
    A : array_like, shape (p, d_in)
        Source rows; row i is paired with row i of B. Memory maps are read in blocks.
    B : array_like, shape (p, d_out)
        Target rows.
    method : {"lstsq", "ridge", "procrustes"}, default "lstsq"
        "lstsq": least squares of least norm, rank-revealing: directions of A with singular values at most 1e-6 of the
        largest are noise, left out. "ridge": least squares plus `regularization` ||M||_F^2 (Hoerl and Kennard 1970).
        "procrustes": the orthogonal map that fits best, semi-orthogonal where d_in != d_out (Schönemann 1966);
        directions that the pairs leave open, as with p < d, stay as near to the identity as they can.
    center : bool, default True
        Fit an intercept, never penalised: both sides are centred by their (weighted) means. False: bias is zero.
    regularization : float, default 1.0
        Ridge only: lambda >= 0, in squared units of A summed over the rows, so it means less the more rows there are.
    rotation_only : bool, default False
        Procrustes only: determinant +1, no reflection (Kabsch 1976). Needs d_in == d_out.
    scale : bool, default False
        Procrustes only: times the one factor that fits best.
    sample_weight : array_like, shape (p,), optional
        Non-negative weight of each pair.

    Returns
    -------
    TransferMap
        M (d_out, d_in) and bias (d_out,), float64 whatever the dtype of A and B.

    Raises
    ------
    ValueError
        Unequal numbers of rows, non-finite rows, a constant A, an unknown method, an option of another method, weights
        that are negative or all zero.
    TypeError
        Rows that are no real numbers.

    Notes
    -----
    Cost: about 2 p (d_in + d_out)^2 flops in float64 and two passes over the rows; some 10 (d_in + d_out)^2 float64 of
    memory.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast import fit_transfer
    >>> fit_transfer([[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]]).M
    array([[2.]])
    """
    one_of("method", method, METHODS)
    source, target = rows_of("A", A), rows_of("B", B)
    if len(source) != len(target):
        raise ValueError(f"B must have one row for each of the {len(source)} rows of A, got {len(target)}")
    number("regularization", regularization)
    if method != "procrustes" and (rotation_only or scale):
        raise ValueError(f"rotation_only and scale must be False but for method='procrustes', got {method!r}")
    if rotation_only and source.shape[1] != target.shape[1]:
        raise ValueError(
            f"rotation_only must be False between spaces of {source.shape[1]} and {target.shape[1]} columns, got True"
        )
    weight = _weights(sample_weight, len(source))
    source_mean, target_mean = column_means("A", source, weight), column_means("B", target, weight)
    if not center:
        source_mean, target_mean = np.zeros_like(source_mean), np.zeros_like(target_mean)
    X, Y = _compressed(source, target, weight, source_mean, target_mean)
    if not X.any():
        rule, kind = ("rows that differ", "equal") if center else ("a row other than zero", "zero")
        got = f"{len(source)} {kind} rows" if len(source) > 1 else "1 row"
        raise ValueError(f"A must hold {rule}, got {got}")
    x_size, y_size = (float(power_below(np.abs(side).max())) if side.any() else 1.0 for side in (X, Y))
    X, Y = X / x_size, Y / y_size  # so that no square leaves float64
    singular = np.linalg.svd(X, compute_uv=False)
    W = METHODS[method](X, Y, _Options(regularization / x_size / x_size, rotation_only, scale))
    sized = method != "procrustes" or scale  # a mere rotation takes X to the size of X
    with np.errstate(over="ignore", invalid="ignore"):
        M = W.T * (y_size / x_size if sized else 1.0)
    if not np.isfinite(M).all():
        raise ValueError(f"A and B must be of sizes whose ratio float64 holds, got {x_size:g} and {y_size:g}")
    stretch = 1.0 if sized else x_size / y_size
    missed = _norm(Y - X @ W * stretch) if stretch <= 1 else stretch * _norm(Y / stretch - X @ W)
    size = _norm(Y)
    return TransferMap(
        M,
        target_mean - source_mean @ M.T,
        method,
        int((singular > RANK_CUTOFF * singular[0]).sum()),
        missed / size if size else 0.0,
    )


def _norm(values: Float64) -> float:
    """Frobenius, without squares that leave float64."""
    if not values.any():
        return 0.0
    size = float(power_below(np.abs(values).max()))
    return size * float(np.linalg.norm(values / size))


def _weights(sample_weight: ArrayLike | None, count: int) -> Float64:
    if sample_weight is None:
        return np.ones(count)
    weight = numbers_of("sample_weight", sample_weight)
    if weight.shape != (count,):
        raise ValueError(f"sample_weight must have shape ({count},), one for each pair, got {weight.shape}")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not (np.isfinite(total) and total > 0 and (weight >= 0).all()):
        raise ValueError(
            f"sample_weight must be at least 0 with a finite sum above 0, got {weight.min()} to {weight.max()}"
        )
    return weight


def _compressed(
    source: Array, target: Array, weight: Float64, source_mean: Float64, target_mean: Float64
) -> tuple[Float64, Float64]:
    """At most d_in + d_out rows X, Y with the X^T X, X^T Y, Y^T Y of all centred, weighted pairs: R of a running QR."""
    d_in, d_out = source.shape[1], target.shape[1]
    triangle: Float64 = np.empty((0, d_in + d_out))
    step = max(4 * (d_in + d_out), 1024)  # rows: 2 to 4 widths at a time cost within 10 % of the best
    for start in range(0, len(source), step):
        taken = slice(start, start + step)
        root = np.sqrt(weight[taken])[:, None]
        pairs = np.hstack(
            [
                root * (np.asarray(source[taken], dtype=np.float64) - source_mean),
                root * (np.asarray(target[taken], dtype=np.float64) - target_mean),
            ]
        )
        triangle = cast(Float64, np.linalg.qr(np.vstack([triangle, pairs]), mode="r"))
    return triangle[:, :d_in], triangle[:, d_in:]
