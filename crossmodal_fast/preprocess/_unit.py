"""Rows of length one."""

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import rows_of
from ._rows import Array, Float64, mapped
from ._step import Step


def normalize(X: ArrayLike) -> Array:
    """Rows of length 1; a zero row stays zero.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Finite rows of any real dtype.

    Returns
    -------
    ndarray, shape (n, d)
        X / ||X||, float32 or float64 as the module states.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return unit_rows("X", rows_of("X", X))


def unit_rows(name: str, rows: Array) -> Array:
    """`normalize` for rows that a caller knows by another name."""
    return mapped(name, rows, unit)


def unit(block: Float64) -> Float64:
    """Each row divided by its length; a zero row stays zero."""
    # An exact power of two first, so that rows of 1e-200 or 1e200 neither vanish nor overflow when squared.
    _, exponent = np.frexp(np.abs(block).max(axis=1, keepdims=True))
    block = np.ldexp(block, -exponent)
    length = np.sqrt((block * block).sum(axis=1, keepdims=True))
    return block / np.where(length == 0, 1.0, length)


class Normalize(Step):
    """`normalize` as a step of a chain: it learns nothing and cannot be undone."""

    def _forward(self, block: Float64) -> Float64:
        return unit(block)
