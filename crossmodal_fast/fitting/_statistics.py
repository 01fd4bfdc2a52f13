"""Sums over pairs that can be taken in blocks, on several machines, and put together afterwards."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import brief
from .._saved import read_saved, write_saved
from ..preprocess import BLOCK_BYTES
from ._pairs import Pairs, Rows, paired_rows, sized

Array = NDArray[Any]
Float64 = NDArray[np.float64]


class _Sums(NamedTuple):
    n_pairs: int
    total: float
    mean: Float64  # (d_in + d_out,)
    moments: Float64  # (d_in + d_out, d_in + d_out), about the mean


class TransferStatistics:
    """Sums over any number of pairs: n, means, X^T X, X^T Y and Y^T Y, all that most methods look at.

    `fit_transfer(statistics, method=...)`, `CCA().fit(statistics)` and the others take it in place of the rows: lstsq,
    ridge (also with selection="gcv"), procrustes, cca, pls and multistep. Leave-one-out and "auto" need the rows.

    Attributes
    ----------
    n_pairs_ : int, pairs of a weight above 0
    weight_ : float, sum of weights
    mean_a_, mean_b_ : ndarray (d_in,), (d_out,), float64, weighted means
    moments_ : ndarray (d_in + d_out, d_in + d_out), float64
        Weighted sums of products of the centred columns, those of A first.
    width_a_ : int, d_in

    Notes
    -----
    Cost: one pass, 2 n (d_in + d_out)^2 flops and blocks of 32 MiB; (d_in + d_out)^2 float64 are kept. Squares halve
    the digits: singular values below 1e-7 of the largest are lost, where rows keep them to 1e-15; all methods leave
    out what is below 1e-6. Merging is exact but for rounding. Source: Chan, Golub, LeVeque 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast import fit_transfer
    >>> from crossmodal_fast.fitting import TransferStatistics
    >>> A = np.arange(6.0)[:, None]
    >>> early, late = (TransferStatistics().partial_fit(part, 2 * part + 1) for part in (A[:4], A[4:]))
    >>> fit_transfer(early.merge(late), method="lstsq").M.round(9)
    array([[2.]])
    """

    n_pairs_: int
    weight_: float
    mean_a_: Float64
    mean_b_: Float64
    moments_: Float64
    width_a_: int

    def partial_fit(self, A: ArrayLike, B: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Take in more pairs, rows of A (n, d_in) and B (n, d_out); all of them or, where some are refused, none."""
        rows = paired_rows(A, B, sample_weight)
        self._check_widths(rows.source.shape[1], rows.target.shape[1], "A and B", "as before")
        self._take(_summed(rows), rows.source.shape[1])
        return self

    def merge(self, other: "TransferStatistics") -> Self:
        """Take in the pairs that another one has seen. Returns this one; the other is left alone."""
        if not isinstance(other, TransferStatistics):
            raise TypeError(f"other must be TransferStatistics, got {brief(other)}")
        if hasattr(other, "moments_"):
            self._check_widths(len(other.mean_a_), len(other.mean_b_), "other", "as this one")
            self._take(other._sums(), other.width_a_)
        return self

    def pairs(self, center: bool = True) -> Pairs:
        """Few rows of these second moments."""
        if not hasattr(self, "moments_"):
            raise ValueError("A must hold pairs, got TransferStatistics without any; call partial_fit first")
        d_in, root = self.width_a_, np.sqrt(self.moments_.diagonal())
        unit = np.empty(len(root))
        for side in (slice(None, d_in), slice(d_in, None)):
            unit[side] = root[side].max() or 1.0
        values, vectors = np.linalg.eigh(self.moments_ / unit / unit[:, None])
        joint = np.sqrt(values.clip(min=0))[:, None] * vectors.T * unit
        joint[:, root == 0] = 0  # the eigenvectors fill constant columns with rounding
        x_mean, y_mean = self.mean_a_, self.mean_b_
        if not center:
            joint = np.vstack([joint, np.sqrt(self.weight_) * np.hstack([x_mean, y_mean])])
            x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
        return sized(joint[:, :d_in], joint[:, d_in:], x_mean, y_mean, self.weight_, self.n_pairs_, center)

    def to_arrays(self) -> dict[str, Array]:
        """What was summed, as named plain arrays."""
        names = ("n_pairs_", "weight_", "mean_a_", "mean_b_", "moments_") if hasattr(self, "moments_") else ()
        return {"n_pairs_": np.array(0)} | {name: np.asarray(getattr(self, name)) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Put back what `to_arrays` gave."""
        made = cls()
        if int(arrays["n_pairs_"]):
            mean_a, mean_b = arrays["mean_a_"], arrays["mean_b_"]
            mean = np.hstack([mean_a, mean_b])
            made._take(_Sums(int(arrays["n_pairs_"]), float(arrays["weight_"]), mean, arrays["moments_"]), len(mean_a))
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to `path` (.npz of plain arrays), whole or not at all."""
        write_saved(path, self.to_arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Nothing is unpickled."""
        return read_saved(path, "TransferStatistics", cls.from_arrays)

    def _sums(self) -> _Sums:
        return _Sums(self.n_pairs_, self.weight_, np.hstack([self.mean_a_, self.mean_b_]), self.moments_)

    def _take(self, more: _Sums, d_in: int) -> None:
        found = _joined(self._sums(), more) if hasattr(self, "moments_") else more
        self.n_pairs_, self.weight_, self.moments_, self.width_a_ = found.n_pairs, found.total, found.moments, d_in
        self.mean_a_, self.mean_b_ = found.mean[:d_in], found.mean[d_in:]

    def _check_widths(self, d_in: int, d_out: int, name: str, origin: str) -> None:
        if hasattr(self, "moments_") and (d_in, d_out) != (known := (len(self.mean_a_), len(self.mean_b_))):
            raise ValueError(f"{name} must have {known[0]} and {known[1]} columns, {origin}, got {d_in} and {d_out}")

    def __repr__(self) -> str:
        if not hasattr(self, "moments_"):
            return "TransferStatistics(no pairs)"
        return f"TransferStatistics({self.n_pairs_} pairs, {len(self.mean_a_)} -> {len(self.mean_b_)})"


def _joined(one: _Sums, other: _Sums) -> _Sums:
    total = one.total + other.total
    gap = other.mean - one.mean
    moments = one.moments + other.moments + (one.total * (other.total / total)) * np.outer(gap, gap)
    return _Sums(one.n_pairs + other.n_pairs, total, one.mean + gap * (other.total / total), moments)


def _summed(rows: Rows) -> _Sums:
    source, target, weight = rows
    step = max(1, BLOCK_BYTES // (8 * (source.shape[1] + target.shape[1])))
    found: _Sums | None = None
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(source), step):
            taken = slice(start, start + step)
            block = np.hstack(
                [
                    finite_rows("A", np.asarray(source[taken], np.float64), start),
                    finite_rows("B", np.asarray(target[taken], np.float64), start),
                ]
            )
            share = weight[taken]
            if not share.any():
                continue
            mean = block[0] + share @ (block - block[0]) / share.sum()
            block = np.sqrt(share)[:, None] * (block - mean)
            part = _Sums(int((share > 0).sum()), float(share.sum()), mean, block.T @ block)
            found = part if found is None else _joined(found, part)
    if found is None or not np.isfinite(found.moments).all():
        raise ValueError("A and B must have squares that float64 holds, got larger ones; divide them by 2**100 first")
    return found


def finite_rows(name: str, block: Float64, start: int) -> Float64:
    finite = np.isfinite(block)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        value = block[row][~finite[row]][0]
        raise ValueError(f"{name} must be finite, got {value} in row {start + row}; remove or fill such rows first")
    return block
