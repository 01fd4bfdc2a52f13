"""Fusing embeddings: side by side, or multiplied."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import rows_of, several
from .._arrays import given_back
from ..preprocess import normalize, result_dtype, unit_rows
from ._weights import weights_of

Array = NDArray[Any]


def views_of(views: Any) -> list[Array]:
    """At least one array (n, d_v), all with equally many rows."""
    arrays = [rows_of(f"views[{v}]", view) for v, view in enumerate(several("views", views))]
    lengths = [len(array) for array in arrays]
    if not lengths:
        raise ValueError("at least one modality must be given to be fused, got none")
    if len(set(lengths)) != 1:
        raise ValueError(f"views must have one row per item in each, got {lengths} rows")
    return arrays


def has_view(rows: Array) -> NDArray[np.bool_]:
    """(n,): which items have this view, whose row is not zero."""
    return np.asarray(np.any(np.asarray(rows) != 0, axis=1))


def common_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    return np.result_type(*(result_dtype(array.dtype) for array in arrays))


def concatenate(views: Sequence[ArrayLike], weights: ArrayLike | None = None) -> Any:
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
        float32 if float32 holds all views without loss, else float64. Cost: one pass. Source: direct from the identity.

    Notes
    -----
    cos(concatenate(q), concatenate(g)) = sum_v w_v cos(q_v, g_v) / sum_v w_v where nothing is missing, so exact top-k
    by the weighted mean needs no score matrix. The square root makes the weights those of `weighted_sum`.

    Examples
    --------
    >>> concatenate([[[3.0, 0.0]], [[0.0, 5.0]]], weights=[0.36, 0.64])
    array([[0.6, 0. , 0. , 0.8]])
    """
    views = several("views", views)
    arrays = views_of(views)
    weight, dtype = weights_of(weights, len(arrays)), common_dtype(arrays)
    scaled = [
        (np.sqrt(w) * unit_rows(f"views[{v}]", array)).astype(dtype, copy=False)
        for v, (w, array) in enumerate(zip(weight, arrays, strict=True))
    ]
    return given_back(views[0], normalize(np.concatenate(scaled, axis=1)))


def hadamard(views: Sequence[ArrayLike]) -> Any:
    """One embedding of all views: the product of their unit rows, entry by entry, brought to length 1.

    Parameters
    ----------
    views : sequence of array_like, each (n, d)
        Row i of every view describes item i, in one space. A zero row says that the item lacks this view.

    Returns
    -------
    ndarray, shape (n, d)
        Of the views that the item has; zero where it has none, or where no entry is common to its views. float32 if
        float32 holds all views without loss, else float64. Cost: one pass.

    Notes
    -----
    Large where all views are large at once: an "and", where `concatenate` and the mean are an "or". The sign of an even
    number of views is lost.

    Examples
    --------
    >>> hadamard([[[0.6, 0.8]], [[0.8, 0.6]]])
    array([[0.70710678, 0.70710678]])
    """
    views = several("views", views)
    arrays = views_of(views)
    if len({array.shape for array in arrays}) > 1:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ValueError(f"views must have one shape to be multiplied, got {shapes}")
    product = np.ones(arrays[0].shape)
    has_any = np.zeros(len(product), dtype=bool)
    for v, array in enumerate(arrays):
        unit = unit_rows(f"views[{v}]", array).astype(np.float64, copy=False)
        has = has_view(unit)
        has_any |= has
        # brought to length 1 each time, so that a product of many views does not vanish
        product = np.asarray(normalize(np.where(has[:, None], product * unit, product)))
    product[~has_any] = 0.0
    return given_back(views[0], product.astype(common_dtype(arrays), copy=False))
