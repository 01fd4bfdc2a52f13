"""Float64 keys of pairs, `metrics.ordered` values: what merges results of parts, shards of Dask or stretches of a file.

Of euclidean the key is the square: two distances that are equal only after the root stay apart, as on one machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .kernels.tiles import metrics
from .kernels.tiles.rows import Rows

Array = npt.NDArray[Any]
PAIR_BYTES = 1 << 22  # of rows valued at a time


def keys_of(
    metric: metrics.Metric, x: Rows, y: Rows, row: Array, column: Array, bias: tuple[Array, Array] | None
) -> Array:
    """(e,) keys of pairs of a row of x and a row of y."""
    value, step = np.empty(len(row)), max(1, PAIR_BYTES // (48 * x.shape[1]))
    for at in range(0, len(row), step):
        part = slice(at, at + step)
        value[part] = metrics.pairs(metric, x.take(row[part]), y.take(column[part]))
    with np.errstate(all="ignore"):
        found: Array = metrics.ordered(metric, value, None if bias is None else bias[0][row] + bias[1][column])
    return found


def square_of(radius: Array) -> Array:
    """The largest numbers whose roots, rounded, are not above a radius: the same pairs are inside, by their squares."""
    with np.errstate(all="ignore"):
        square = np.where(radius < 0, radius, radius * radius * (1 + 2.0**-50))
        for _ in range(2):  # where the factor is lost, below the normal numbers
            square = np.where(radius < 0, square, np.nextafter(square, np.inf))
        while (above := np.sqrt(square) > radius).any():
            square[above] = np.nextafter(square[above], -np.inf)
    return square
