"""The shape of embedding clouds: gap, cone, spread, rank, and how alike two spaces are. All in blocks of rows."""

from itertools import combinations_with_replacement
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import number, rows_of, whole
from .._validate import flag
from ..preprocess import column_means, normalize, power_below, row_blocks

Array = NDArray[Any]
Float64 = NDArray[np.float64]

BLOCK_ROWS = 1024  # rows in work at a time: 8 MiB of distances in `uniformity`


def modality_gap(X: ArrayLike, Y: ArrayLike) -> float:
    """Distance of the means of two clouds: X (m, d), Y (n, d) -> ||mean(X) - mean(Y)||. Liang et al. 2022.

    The rows are taken as they are; the gap of CLIP and its like is that of unit rows (`preprocess.normalize`).
    Cost: one pass.

    Examples
    --------
    >>> modality_gap([[1.0, 0.0], [3.0, 0.0]], [[2.0, 1.0]])
    1.0
    """
    x, y = _two(X, Y)
    return float(_lengths((column_means("X", x) - column_means("Y", y))[None])[0])


def alignment(X: ArrayLike, Y: ArrayLike, a: float = 2.0) -> float:
    """Mean of ||x_i - y_i||^a over pairs of rows: X (n, d), Y (n, d), a >= 0. 0 is best. Wang and Isola 2020.

    Cost: one pass.

    Examples
    --------
    >>> alignment([[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [0.0, 1.0]])
    2.0
    """
    x, y = _pairs(X, Y)
    power, total = number("a", a), 0.0
    with np.errstate(over="ignore"):  # a power that float64 cannot hold is infinite
        for (_, left), (_, right) in zip(row_blocks("X", x), row_blocks("Y", y), strict=True):
            total += float((_lengths(left - right) ** power).sum())
    return total / len(x)


def _lengths(rows: Float64) -> Float64:
    """Of each row (n,), without squares that leave float64."""
    largest = np.abs(rows).max(axis=1)
    unit = np.where(largest > 0, power_below(largest), 1.0)
    found: Float64 = unit * np.linalg.norm(rows / unit[:, None], axis=1)
    return found


def uniformity(X: ArrayLike, t: float = 2.0, **control: Any) -> float:
    """Logarithm of the mean of e^(-t ||x - x'||^2) over pairs of different rows: the lower, the more even the spread.

    Parameters
    ----------
    X : array_like, shape (n, d), n >= 2
    t : float, default 2.0
    **control
        As in `pairwise_distances`.

    Returns
    -------
    float
        Cost: n^2 d flops and an exponential a pair; memory for blocks of 1024 x 1024. Source: Wang and Isola 2020.

    Examples
    --------
    >>> round(uniformity([[1.0, 0.0], [-1.0, 0.0]]), 6)
    -8.0
    """
    from .._operations import pairwise_distances

    rows = _several("X", X)
    factor, count, total = number("t", t), len(rows), 0.0
    starts = range(0, count, BLOCK_ROWS)
    for first, second in combinations_with_replacement(starts, 2):
        left, right = (rows[start : start + BLOCK_ROWS] for start in (first, second))
        squared = pairwise_distances(left, right, "sqeuclidean", dtype=np.float64, **control)
        terms = np.exp(np.multiply(squared, -factor, out=squared), out=squared)
        if first == second:
            np.fill_diagonal(terms, 0.0)  # a row is no pair with itself; taking off its 1 would drown small terms
        summed = float(terms.sum())
        total += summed if first == second else 2 * summed
    return float(np.log(total / (count * (count - 1)))) if total > 0 else -np.inf


def mean_cosine(X: ArrayLike) -> float:
    """Mean cosine of two different rows of X (n, d): near 1 in a narrow cone, 0 for an even spread.

    (||sum of unit rows||^2 - n) / (n (n - 1)). Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> round(mean_cosine([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]), 6)
    -0.333333
    """
    rows = _several("X", X)
    count, total = len(rows), np.zeros(rows.shape[1])
    for taken, block in row_blocks("X", rows):
        filled = block.any(axis=1)
        if not filled.all():
            raise ValueError(f"X must have no row of zeros, got one in row {taken.start + int(filled.argmin())}")
        total += normalize(block).sum(axis=0)
    return float((np.square(total).sum() - count) / (count * (count - 1)))


def singular_values(X: ArrayLike, *, center: bool = True) -> Float64:
    """Singular values of the (centred) rows X (n, d), descending, (min(n, d),): by QR in blocks, nothing is squared.

    Cost: 2 n d^2 flops, two passes. Source: Golub and Kahan 1965.

    Examples
    --------
    >>> singular_values([[3.0, 0.0], [0.0, 4.0]], center=False)
    array([4., 3.])
    """
    rows = rows_of("X", X)
    mean = column_means("X", rows) if flag("center", center) else np.zeros(rows.shape[1])
    triangle: Float64 = np.empty((0, rows.shape[1]))
    for _, block in row_blocks("X", rows):
        triangle = np.vstack([triangle, block - mean])
        if len(triangle) > rows.shape[1]:
            triangle = cast(Float64, np.linalg.qr(triangle, mode="r"))
    return cast(Float64, np.linalg.svd(triangle, compute_uv=False))


def effective_rank(X: ArrayLike, *, center: bool = True) -> float:
    """How many directions the rows use: exp of the entropy of their singular values. X (n, d) -> 1..min(n, d).

    exp(-sum p log p) with p = s / sum(s) over the singular values s of the rows, centred unless center is False; 0 for
    rows that are all equal. Cost: 2 n d^2 flops. Source: Roy and Vetterli 2007.

    Examples
    --------
    >>> effective_rank([[1.0, 0.0], [-1.0, 0.0]])
    1.0
    """
    return entropy_rank(singular_values(X, center=center))


def entropy_rank(singular: Float64) -> float:
    """`effective_rank` of singular values one has."""
    if not singular.any():
        return 0.0
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def cka(X: ArrayLike, Y: ArrayLike) -> float:
    """Linear centred kernel alignment of paired rows X (n, d), Y (n, e): 1 for spaces equal up to rotation and size.

    ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F) of centred rows; the spaces may differ in width. Cost: n (d + e)^2 flops
    and (d + e)^2 float64. Source: Kornblith et al. 2019.

    Examples
    --------
    >>> cka([[0.0], [1.0], [5.0]], [[0.0], [-3.0], [-15.0]])
    1.0
    """
    x, y = _pairs(X, Y, same_width=False)
    (d, e), (x_mean, x_unit), (y_mean, y_unit) = (x.shape[1], y.shape[1]), _origin("X", x), _origin("Y", y)
    both, left, right = np.zeros((e, d)), np.zeros((d, d)), np.zeros((e, e))
    for start in range(0, len(x), BLOCK_ROWS):
        a = (np.asarray(x[start : start + BLOCK_ROWS], dtype=np.float64) - x_mean) / x_unit
        b = (np.asarray(y[start : start + BLOCK_ROWS], dtype=np.float64) - y_mean) / y_unit
        both += b.T @ a
        left += a.T @ a
        right += b.T @ b
    return float(np.square(both).sum() / (np.linalg.norm(left) * np.linalg.norm(right)))


def _origin(name: str, rows: Array) -> tuple[Float64, float]:
    """Mean of the rows (d,), and a power of two to divide by so that no fourth power leaves float64."""
    mean = column_means(name, rows)
    size = max(float(np.abs(block - mean).max()) for _, block in row_blocks(name, rows))
    if size == 0:
        raise ValueError(f"{name} must hold rows that differ, got {len(rows)} equal rows")
    return mean, float(power_below(size))


def mutual_neighbours(X: ArrayLike, Y: ArrayLike, k: int = 10, metric: str = "cosine", **control: Any) -> float:
    """Share of the k nearest neighbours of a row that it has in both spaces, mean over rows.

    Parameters
    ----------
    X : array_like, shape (n, d)
    Y : array_like, shape (n, e)
        Row i of both is the same thing; the widths may differ.
    k : int, default 10
        In 1..n - 1: a row is no neighbour of itself.
    metric : str, default "cosine"
    **control
        As in `topk`.

    Returns
    -------
    float
        In 0..1; k / (n - 1) is chance. Cost: one `topk` in each space. Source: Huh et al. 2024.

    Examples
    --------
    >>> mutual_neighbours([[0.0], [1.0], [5.0]], [[9.0], [8.0], [1.0]], k=1, metric="euclidean")
    1.0
    """
    from .._operations import topk

    x, y = _pairs(X, Y, same_width=False)
    if not 1 <= whole("k", k) <= len(x) - 1:
        raise ValueError(f"k must be in 1..{len(x) - 1} (the other rows), got {k}")
    found = (topk(side, side, k, metric, exclude_self=True, **control).indices for side in (x, y))
    left, right = (np.asarray(indices) + np.arange(len(x))[:, None] * len(x) for indices in found)
    return float(np.isin(left, right).mean())


def _several(name: str, value: ArrayLike) -> Array:
    rows = rows_of(name, value)
    if len(rows) < 2:
        raise ValueError(f"{name} must have at least 2 rows, got {len(rows)}")
    return rows


def _two(X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    x, y = rows_of("X", X), rows_of("Y", Y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"X and Y must have the same number of columns, got {x.shape[1]} and {y.shape[1]}")
    return x, y


def _pairs(X: ArrayLike, Y: ArrayLike, same_width: bool = True) -> tuple[Array, Array]:
    x, y = _two(X, Y) if same_width else (rows_of("X", X), rows_of("Y", Y))
    if len(x) != len(y):
        raise ValueError(f"Y must have one row for each of the {len(x)} rows of X, got {len(y)}")
    return x, y
