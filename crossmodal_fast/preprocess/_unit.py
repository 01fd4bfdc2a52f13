"""Steps that take each row by itself and learn nothing."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import rows_of, whole
from .._arrays import given_back
from ._rows import Array, Float64, mapped
from ._step import Step


def normalize(X: ArrayLike) -> Any:
    """Rows of length 1; a zero row stays zero.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Finite rows of any real dtype.

    Returns
    -------
    ndarray, shape (n, d)
        X / ||X||, float32 or float64 as the module states; scaled by a power of two first, so that no length overflows.
        Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return given_back(X, unit_rows("X", rows_of("X", X)))


def unit_rows(name: str, rows: Array) -> Array:
    """`normalize` for rows that a caller knows by another name."""
    return mapped(name, rows, unit)


def unit(block: Float64) -> Float64:
    """Each row divided by its length; a zero row stays zero."""
    block = _scaled(block)
    length = np.sqrt((block * block).sum(axis=1, keepdims=True))
    return block / np.where(length == 0, 1.0, length)


def _scaled(block: Float64) -> Float64:
    # An exact power of two first, so that rows of 1e-200 or 1e200 neither vanish nor overflow when squared.
    _, exponent = np.frexp(np.abs(block).max(axis=1, keepdims=True))
    scaled: Float64 = np.ldexp(block, -exponent)
    return scaled


class Normalize(Step):
    """`normalize` of rows (n, d) as a step of a chain: it learns nothing and cannot be undone.

    Cost: one pass. Source: direct from the definition, x / ||x||.

    Examples
    --------
    >>> Normalize().transform([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """

    def _forward(self, block: Float64) -> Float64:
        return unit(block)


class CenterRows(Step):
    """Subtract from each row (n, d) its own mean (centeremb of VecMap): cosine becomes Pearson's correlation.

    It learns nothing and cannot be undone. Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> CenterRows().transform([[1.0, 2.0, 6.0]])
    array([[-2., -1.,  3.]])
    """

    def _forward(self, block: Float64) -> Float64:
        return _centered(block)


def _centered(block: Float64) -> Float64:
    gap = block - block[:, :1]  # first, so that rows far from the origin lose nothing and constant rows become 0
    mean: Float64 = gap.mean(axis=1, keepdims=True)
    return gap - mean


class StandardizeRows(Step):
    """Subtract from each row its own mean, divide by its own standard deviation (ddof 0); a constant row becomes 0.

    Rows (n, d). It learns nothing and cannot be undone. Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> StandardizeRows().transform([[1.0, 3.0], [2.0, 2.0]])
    array([[-1.,  1.],
           [ 0.,  0.]])
    """

    def _forward(self, block: Float64) -> Float64:
        return unit(_centered(_scaled(block))) * float(np.sqrt(block.shape[1]))


class MinMaxRows(Step):
    """(x - min) / (max - min) of each row (n, d): 0..1; a constant row becomes 0.

    It learns nothing and cannot be undone. Cost: one pass. Source: direct from the definition.

    Examples
    --------
    >>> MinMaxRows().transform([[1.0, 2.0, 5.0]])
    array([[0.  , 0.25, 1.  ]])
    """

    def _forward(self, block: Float64) -> Float64:
        block = _scaled(block)
        low = block.min(axis=1, keepdims=True)
        spread = block.max(axis=1, keepdims=True) - low
        found: Float64 = (block - low) / np.where(spread == 0, 1.0, spread)
        return found


class Hellinger(Step):
    """Histograms as sqrt(x / sum x): unit rows whose dot product is the Bhattacharyya coefficient.

    Entries (n, d) must be at least 0; a row of zeros stays. It learns nothing and cannot be undone (the sums are lost).
    Cost: one pass. Source: Bhattacharyya 1943; direct from the definition.

    Examples
    --------
    >>> Hellinger().transform([[1.0, 0.0, 3.0]]).round(3)
    array([[0.5  , 0.   , 0.866]])
    """

    def _forward(self, block: Float64) -> Float64:
        if (block < 0).any():
            raise ValueError(f"X must be at least 0 for Hellinger, got {block[block < 0][0]:g}")
        block = _scaled(block)
        total = block.sum(axis=1, keepdims=True)
        found: Float64 = np.sqrt(block / np.where(total == 0, 1.0, total))
        return found


class Truncate(Step):
    """The first columns, brought to length 1 again: for embeddings that hold the most important ones first.

    Rows (n, d) -> (n, n_components). It learns nothing and cannot be undone. Cost: one pass. Source: Kusupati et al.
    2022 (Matryoshka).

    Parameters
    ----------
    n_components : int
        How many columns are kept.

    Examples
    --------
    >>> Truncate(2).transform([[3.0, 4.0, 12.0]])
    array([[0.6, 0.8]])
    """

    def __init__(self, n_components: int) -> None:
        self.n_components = whole("n_components", n_components)

    def _forward(self, block: Float64) -> Float64:
        if block.shape[1] < self.n_components:
            raise ValueError(f"X must have at least {self.n_components} columns to be truncated, got {block.shape[1]}")
        return unit(block[:, : self.n_components])
