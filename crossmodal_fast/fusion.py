"""Fusing modalities: early, by concatenating embeddings; late, by adding scores or reciprocal ranks.

Late fusion takes score matrices (higher is better, all of one shape) and gives a score matrix, or takes ranked lists
(`Matches`, as `match` gives) and gives `Matches`. A missing modality is a zero row (early), a NaN score (matrices) or a
row without entries (lists): the weights of the others are renormalised. A new normaliser is a function of (values,
present) and a line in `NORMALIZERS`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arguments import array_of, brief, number, numbers_of, one_of, rows_of, several
from ._match import Matches
from .preprocess import normalize, result_dtype, unit_rows

__all__ = ["NORMALIZERS", "concatenate", "reciprocal_rank_fusion", "weighted_sum"]

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Normalizer = Callable[[Float64, Mask], Any]

BLOCK_SCORES = 1 << 21  # of one modality in work at a time: 16 MiB of float64
SMALLEST_RANGE = 1e-9  # divisor where a list has no spread, as the ranking literature has it


# ---------------------------------------------------------------------------------------------------- early


def concatenate(views: Sequence[ArrayLike], weights: ArrayLike | None = None) -> Array:
    """One embedding of all views, whose cosine is the weighted mean of the views' cosines.

    Parameters
    ----------
    views : sequence of array_like, each (n, d_v)
        Row i of every view describes item i. A zero row says that the item lacks this view.
    weights : array_like, shape (views,), optional
        Non-negative; equal where left out.

    Returns
    -------
    ndarray, shape (n, sum of d_v)
        Unit rows [sqrt(w_1) x_1/||x_1||, .., sqrt(w_v) x_v/||x_v||] / sqrt(sum of w over the views the item has);
        float32 if float32 holds all views without loss, else float64. Cost: one pass.

    Notes
    -----
    cos(concatenate(q), concatenate(g)) = sum_v w_v cos(q_v, g_v) / sum_v w_v where nothing is missing, so exact top-k
    by the weighted mean needs no score matrix. The square root makes the weights those of `weighted_sum`.

    Examples
    --------
    >>> concatenate([[[3.0, 0.0]], [[0.0, 5.0]]], weights=[0.36, 0.64])
    array([[0.6, 0. , 0. , 0.8]])
    """
    arrays = [rows_of(f"views[{v}]", view) for v, view in enumerate(several("views", views))]
    weight = _weights(weights, len(arrays))
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(f"views must have one row per item in each, got {lengths} rows")
    dtype = np.result_type(*(result_dtype(array.dtype) for array in arrays))
    scaled = [
        (np.sqrt(w) * unit_rows(f"views[{v}]", array)).astype(dtype, copy=False)
        for v, (w, array) in enumerate(zip(weight, arrays, strict=True))
    ]
    return normalize(np.concatenate(scaled, axis=1))


# ---------------------------------------------------------------------------------------------------- normalisers
# values, present (rows, n) -> values of the same shape; what is not present is neither read nor meant


def _lowest(values: Float64, present: Mask) -> Any:
    return np.min(values, axis=1, keepdims=True, where=present, initial=np.inf)


def _highest(values: Float64, present: Mask) -> Any:
    return np.max(values, axis=1, keepdims=True, where=present, initial=-np.inf)


def _minmax(values: Float64, present: Mask) -> Any:
    lowest = _lowest(values, present)
    return (values - lowest) / np.maximum(_highest(values, present) - lowest, SMALLEST_RANGE)


def _max(values: Float64, present: Mask) -> Any:
    return values / np.maximum(_highest(values, present), SMALLEST_RANGE)


def _sum(values: Float64, present: Mask) -> Any:
    raised = values - _lowest(values, present)
    return raised / np.maximum(np.sum(raised, axis=1, keepdims=True, where=present), SMALLEST_RANGE)


def _zmuv(values: Float64, present: Mask) -> Any:
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    gap = values - np.sum(values, axis=1, keepdims=True, where=present) / count
    deviation = np.sqrt(np.sum(gap * gap, axis=1, keepdims=True, where=present) / count)
    return gap / np.maximum(deviation, SMALLEST_RANGE)


def _rank(values: Float64, present: Mask) -> Any:
    return 1 - (_ranks(values, present) - 1) / np.maximum(present.sum(axis=1, keepdims=True), 1)


def _ranks(values: Float64, present: Mask) -> Float64:
    """1-based, best first, ties by lowest column; what is not present comes after all the rest."""
    order = np.argsort(np.where(present, -values, np.inf), axis=1, kind="stable")
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, values.shape[1] + 1)[None], axis=1)
    return ranks


NORMALIZERS: dict[str, Normalizer] = {
    "none": lambda values, present: values,
    "minmax": _minmax,
    "zmuv": _zmuv,
    "sum": _sum,
    "max": _max,
    "rank": _rank,
}


# ---------------------------------------------------------------------------------------------------- late


def weighted_sum(scores: Sequence[Any], weights: ArrayLike | None = None, *, normalizer: str = "none") -> Any:
    """Weighted mean of the modalities' scores (CombSUM, linear combination).

    Parameters
    ----------
    scores : sequence of array_like (m, n), or sequence of Matches
        One per modality. NaN in a matrix: this modality has no score for the pair.
    weights : array_like, shape (modalities,), optional
        Non-negative; scaled to sum to 1 over the modalities that are there. Equal where left out.
    normalizer : {"none", "minmax", "zmuv", "sum", "max", "rank"}, default "none"
        Applied first to each row (each query's list) of each modality. minmax: (x - min) / (max - min). zmuv: zero
        mean, unit variance (divisor n). sum: (x - min) / sum(x - min). max: x / max. rank: 1 - (rank - 1) / n. A
        divisor below 1e-9 becomes 1e-9.

    Returns
    -------
    ndarray (m, n) float64, or Matches
        For matrices the mean over the modalities that score the pair, NaN where none does. For lists, items that a list
        does not hold add 0 from it; the union of the lists, best first, ties by lowest column.

    Notes
    -----
    Cost: a few passes over the scores, a sort for "rank". Definitions: Fox and Shaw 1994 (CombSUM); Renda and Straccia
    2003 (normalisers).

    Examples
    --------
    >>> weighted_sum([[[0.0, 1.0]], [[0.5, 0.25]]], weights=[3, 1])
    array([[0.125 , 0.8125]])
    """
    return _fused(scores, weights, NORMALIZERS[one_of("normalizer", normalizer, NORMALIZERS)], renormalize=True)


def reciprocal_rank_fusion(scores: Sequence[Any], weights: ArrayLike | None = None, *, k: float = 60.0) -> Any:
    """Sum over the modalities of weight / (k + rank): blind to the scale of the scores.

    Parameters
    ----------
    scores : sequence of array_like (m, n), or sequence of Matches
        One per modality; only the order within a row counts, ties by lowest column. NaN: not ranked.
    weights : array_like, shape (modalities,), optional
        Non-negative; 1 each where left out.
    k : float, default 60
        At least 0. The larger, the less the first ranks stand out.

    Returns
    -------
    ndarray (m, n) float64, or Matches
        What no modality ranks has score 0 in a matrix and is absent from a list. Lists are best first, ties by lowest
        column.

    Notes
    -----
    Cost: one sort per row. Source: Cormack, Clarke, Büttcher 2009; ranks start at 1.

    Examples
    --------
    >>> reciprocal_rank_fusion([[[0.9, 0.1]], [[0.8, 0.3]]], k=1)
    array([[1.        , 0.66666667]])
    """
    number("k", k)
    return _fused(scores, weights, lambda values, present: 1 / (k + _ranks(values, present)), renormalize=False)


def _fused(scores: Sequence[Any], weights: ArrayLike | None, shape_row: Normalizer, *, renormalize: bool) -> Any:
    scores = several("scores", scores)
    lists = [isinstance(score, Matches) for score in scores]
    if any(lists) and not all(lists):
        raise TypeError("scores must be all matrices or all Matches, got both")
    weight = _weights(weights, len(lists))
    if lists and all(lists):
        checked = [_checked_matches(f"scores[{v}]", part) for v, part in enumerate(scores)]
        return _fused_lists(checked, weight, shape_row, renormalize)
    return _fused_matrices(scores, weight, shape_row, renormalize)


def _fused_matrices(scores: Sequence[Any], weight: Float64, shape_row: Normalizer, renormalize: bool) -> Float64:
    matrices = [rows_of(f"scores[{v}]", matrix) for v, matrix in enumerate(scores)]
    shapes = [matrix.shape for matrix in matrices]
    if len(set(shapes)) > 1:
        raise ValueError(f"scores must be matrices of one shape, got {' and '.join(map(str, shapes))}")
    fused: Float64 = np.zeros(shapes[0])
    for taken in _row_slices(*shapes[0]):
        there = np.zeros_like(fused[taken])
        for v, (w, matrix) in enumerate(zip(weight, matrices, strict=True)):
            values = np.asarray(matrix[taken], dtype=np.float64)
            if np.isinf(values).any():
                row = int(np.isinf(values).any(axis=1).argmax())
                raise ValueError(
                    f"scores[{v}] must be finite, or NaN where missing, got infinity in row {taken.start + row}"
                )
            present = ~np.isnan(values)
            fused[taken] += np.where(present, w * shape_row(values, present), 0.0)
            there += w * present
        if renormalize:
            with np.errstate(invalid="ignore"):
                fused[taken] /= there  # 0 / 0: NaN where no modality scores the pair
    return fused


def _checked_matches(name: str, given: Matches) -> Matches:
    """In order of row and column, once it is sure that they can be added up."""
    rows, columns, scores = array_of(name, given.rows), array_of(name, given.columns), numbers_of(name, given.scores)
    shapes = rows.shape, columns.shape, scores.shape
    if rows.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"{name} must hold rows, columns and scores of one length, got shapes {shapes}")
    for part in (rows, columns):
        if part.size and part.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold whole numbers as rows and columns, got dtype {part.dtype}")
        if part.size and part.min() < 0:
            raise ValueError(f"{name} must hold rows and columns from 0, got {part.min()}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must hold finite scores, got {scores[~np.isfinite(scores)][0]}; leave such pairs out")
    order = np.lexsort((columns, rows))  # by column within a row, so that ties go to the lowest
    found = Matches(rows[order].astype(np.int64), columns[order].astype(np.int64), scores[order])
    again = np.flatnonzero((np.diff(found.rows) == 0) & (np.diff(found.columns) == 0))
    if again.size:
        row, column = found.rows[again[0]], found.columns[again[0]]
        raise ValueError(f"{name} must hold each pair once, got row {row} with column {column} twice")
    return found


def _fused_lists(scores: Sequence[Matches], weight: Float64, shape_row: Normalizer, renormalize: bool) -> Matches:
    n = 1 + max((int(part.columns.max()) for part in scores if len(part.columns)), default=0)
    m = 1 + max((int(part.rows.max()) for part in scores if len(part.rows)), default=0)
    codes, values, there = [], [], np.zeros(m)
    for w, part in zip(weight, scores, strict=True):
        counts = np.bincount(part.rows, minlength=m)
        present = np.arange(counts.max(initial=0)) < counts[:, None]
        padded = np.zeros(present.shape)
        padded[present] = part.scores
        codes.append(part.rows * n + part.columns)
        values.append(w * shape_row(padded, present)[present])
        there += w * (counts > 0)
    pairs, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    fused = np.bincount(inverse, weights=np.concatenate(values), minlength=len(pairs)).astype(np.float64)
    rows, columns = np.divmod(pairs, n)
    if renormalize:
        with np.errstate(invalid="ignore"):
            fused /= there[rows]
    order = np.lexsort((columns, -fused, rows))
    return Matches(rows[order], columns[order], fused[order])


def _row_slices(m: int, n: int) -> Iterator[slice]:
    step = max(1, BLOCK_SCORES // n)
    return (slice(start, min(start + step, m)) for start in range(0, m, step))


def _weights(weights: ArrayLike | None, count: int) -> Float64:
    if count == 0:
        raise ValueError("at least one modality must be given to be fused, got none")
    weight = np.ones(count) if weights is None else numbers_of("weights", weights)
    with np.errstate(over="ignore"):
        sound = weight.shape == (count,) and (weight >= 0).all() and 0 < weight.sum() < np.inf
    if not sound:
        raise ValueError(
            f"weights must be {count} finite numbers, at least 0 and not all 0, one for each modality, "
            f"got {brief(weights)}"
        )
    return weight
