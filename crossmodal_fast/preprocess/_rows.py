"""Rows in blocks of float64, and what comes back of them."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..kernels.tiles.rows import EXACT_IN_FLOAT32

Array = NDArray[Any]
Float64 = NDArray[np.float64]

BLOCK_BYTES = 1 << 25  # of float64 rows in work at a time: 32 MiB


def result_dtype(dtype: Any) -> np.dtype[Any]:
    """float32 for what float32 holds without loss, else float64."""
    return np.dtype(np.float32 if np.dtype(dtype).name in EXACT_IN_FLOAT32 else np.float64)


def row_blocks(name: str, rows: Array, columns: int = 0) -> Iterator[tuple[slice, Float64]]:
    """(rows taken, float64 copy) over all rows, each checked for NaN and infinity, small enough to become `columns`."""
    step = max(1, BLOCK_BYTES // (8 * max(rows.shape[1], columns)))
    for start in range(0, len(rows), step):
        with np.errstate(invalid="ignore"):  # a signalling NaN, which is refused below like any other
            block = np.array(rows[start : start + step], dtype=np.float64)
        finite = np.isfinite(block)
        if not finite.all():
            row = int(np.argmin(finite.all(axis=1)))
            value = block[row][~finite[row]][0]
            raise ValueError(f"{name} must be finite, got {value} in row {start + row}; remove or fill such rows first")
        yield slice(start, start + len(block)), block


def power_below(largest: Any) -> Any:
    """The power of two in (x/2, x] for each x > 0: dividing by it is exact and keeps squares in range."""
    return np.ldexp(1.0, np.frexp(largest)[1] - 1)


def mapped(name: str, rows: Array, function: Callable[[Float64], Float64], columns: int = 0) -> Array:
    """What `function` makes of each block, in the dtype of results; ValueError where that cannot hold it."""
    out: Array | None = None
    dtype = result_dtype(rows.dtype)
    for taken, block in row_blocks(name, rows, columns):
        try:
            with np.errstate(over="raise"):
                result = function(block)
                if out is None:
                    out = np.empty((len(rows), result.shape[1]), dtype=dtype)
                out[taken] = result
        except FloatingPointError:
            raise ValueError(
                f"{name} must give numbers that {dtype} holds, got larger ones in rows {taken.start}..{taken.stop - 1}"
            ) from None
    return cast(Array, out)
