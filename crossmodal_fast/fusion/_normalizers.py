"""What makes the scores of modalities comparable, one list at a time.

A normaliser takes values (modalities, queries, n) and works along the last axis. They are NaN where the modality has no
score, and stay so unless the normaliser gives such items a value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Normalizer = Callable[[Float64], Any]

SMALLEST_RANGE = 1e-9  # divisor where a list has no spread, as the ranking literature has it


def lowest(values: Float64) -> Any:
    return np.fmin.reduce(values, axis=-1, keepdims=True, initial=np.inf)


def highest(values: Float64) -> Any:
    return np.fmax.reduce(values, axis=-1, keepdims=True, initial=-np.inf)


def total(values: Float64) -> Any:
    plain = np.sum(values, axis=-1, keepdims=True)  # NaN where anything is missing: nansum copies all
    return np.nansum(values, axis=-1, keepdims=True) if np.isnan(plain).any() else plain


def held(values: Float64) -> Any:
    """How many items each list holds."""
    return np.sum(~np.isnan(values), axis=-1, keepdims=True)


def ranks(values: Float64) -> Float64:
    """1-based, best first, ties by lowest column; NaN for what is missing."""
    order = np.argsort(-values, axis=-1, kind="stable")  # NaN comes last
    found = np.empty(values.shape)
    np.put_along_axis(found, order, np.broadcast_to(np.arange(1.0, values.shape[-1] + 1), values.shape), axis=-1)
    found[np.isnan(values)] = np.nan
    return found


def _minmax(values: Float64) -> Any:
    low = lowest(values)
    return (values - low) / np.maximum(highest(values) - low, SMALLEST_RANGE)


def _inverted_minmax(values: Float64) -> Any:
    high = highest(values)
    return (high - values) / np.maximum(high - lowest(values), SMALLEST_RANGE)


def _max(values: Float64) -> Any:
    return values / np.maximum(highest(values), SMALLEST_RANGE)


def _sum(values: Float64) -> Any:
    raised = values - lowest(values)
    return raised / np.maximum(total(raised), SMALLEST_RANGE)


def _zmuv(values: Float64) -> Any:
    count = np.maximum(held(values), 1)
    gap = values - total(values) / count
    return gap / np.maximum(np.sqrt(total(gap * gap) / count), SMALLEST_RANGE)


def _rank(values: Float64) -> Any:
    return 1 - (ranks(values) - 1) / np.maximum(held(values), 1)


def _borda(values: Float64) -> Any:
    """Items that the list leaves out, but another holds, share the places behind it."""
    candidates = ~np.isnan(values).all(axis=0)
    count, among = held(values), np.maximum(candidates.sum(axis=-1, keepdims=True), 1)
    left_out = np.where(candidates & (count > 0), 0.5 - (count - 1) / (2 * among), np.nan)
    return np.where(np.isnan(values), left_out, 1 - (ranks(values) - 1) / among)


NORMALIZERS: dict[str, Normalizer] = {
    "none": lambda values: values,
    "minmax": _minmax,
    "zmuv": _zmuv,
    "sum": _sum,
    "max": _max,
    "rank": _rank,
    "inverted_minmax": _inverted_minmax,
    "borda": _borda,
}
