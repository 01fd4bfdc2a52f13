"""Transfer maps from pairs in chunks: sums over each, joined in a tree."""

from typing import Any

import numpy as np

from .._arguments import numbers_of
from ..fitting import TransferMap, TransferStatistics
from ..fitting import fit_transfer as fit_sums
from ..fitting._statistics import finite_rows
from ._blocks import beside, blocks, rows_of, tree
from ._needed import needed


def fit_transfer(
    A: Any,
    B: Any,
    method: str = "lstsq",
    *,
    center: bool = True,
    sample_weight: Any = None,
    **options: Any,
) -> TransferMap:
    """`crossmodal_fast.fit_transfer` on the sums over all chunks; computed at once.

    Parameters
    ----------
    A, B : dask arrays (p, d_in) and (p, d_out) of numbers, row i of A paired with row i of B
    method : lstsq, ridge, procrustes, cca, pls, multistep, identity or mean_shift; "auto", leave-one-out and what takes
        rows that are not paired need all rows on one machine
    center, **options : as in `crossmodal_fast.fit_transfer`
    sample_weight : (p,), may be a dask array

    Returns
    -------
    TransferMap, of `crossmodal_fast.fitting.TransferStatistics` over all rows, with the accuracy stated there: singular
    values below 1e-7 of the largest are lost. They are added in the order of the chunks. Cost:
    2 p (d_in + d_out)^2 flops; (d_in + d_out)^2 float64 travel from each chunk.

    Examples
    --------
    >>> import dask.array as da
    >>> A = da.from_array(np.arange(6.0)[:, None], chunks=(2, 1))
    >>> fit_transfer(A, 2 * A + 1).M.round(9)
    array([[2.]])
    """
    A, B = rows_of("A", A), rows_of("B", B)
    if A.shape[0] != B.shape[0]:
        raise ValueError(
            f"A and B must have as many rows, row i of A paired with row i of B, got {len(A)} and {len(B)}"
        )
    B = B.rechunk({0: A.chunks[0]})
    weights = beside("sample_weight", sample_weight, (A.chunks[0],), lambda value: numbers_of("sample_weight", value))
    own = [None] * len(A.chunks[0]) if weights is None else weights.to_delayed()
    summed = needed("dask").delayed(_summed, pure=True)
    found = [summed(a.rows, b.rows, weight, a.start)
             for a, b, weight in zip(blocks("A", A), blocks("B", B), own, strict=True)]  # fmt: skip
    return fit_sums(tree(_joined, found).compute(), None, method, center=center, **options)


def _summed(a: Any, b: Any, weight: Any, start: int) -> TransferStatistics:
    """The sums over a chunk; none where all its weights are 0."""
    for name, rows in (("A", a), ("B", b)):
        finite_rows(name, np.asarray(rows, np.float64), start)
    sums = TransferStatistics()
    return sums if weight is not None and not np.any(weight) else sums.partial_fit(a, b, weight)


def _joined(*sums: TransferStatistics) -> TransferStatistics:
    """A new one: what a task returned may not change."""
    total = TransferStatistics()
    for part in sums:
        total.merge(part)
    return total
