"""An affine map between two embedding spaces: apply, invert, compose, save, and say what it keeps."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import brief, numbers_of
from .._saved import read_saved, write_saved
from .._validate import matrix
from ..preprocess import RANK_CUTOFF, result_dtype

Array = NDArray[Any]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class TransferMap:
    """An affine map between two embedding spaces, rows e_j = M e_i + bias.

    Parameters
    ----------
    M : ndarray, shape (d_out, d_in), float64
    bias : ndarray, shape (d_out,), float64
        Zeros where no intercept was fitted.
    method : str
        How it was made: a method of `fit_transfer`, or "inverse of ..", ".. then ..".
    training_rank : int, optional
        Rank of the (centred) training rows; None for maps that were not fitted.
    training_residual : float, optional
        ||Y - predicted||_F / ||Y||_F over the training pairs, Y centred if an intercept was fitted: 0 is perfect, 1 no
        better than the mean. None for maps that were not fitted.
    """

    M: Float64
    bias: Float64
    method: str = "given"
    training_rank: int | None = None
    training_residual: float | None = None

    def __post_init__(self) -> None:
        M, bias = numbers_of("M", self.M).copy(), numbers_of("bias", self.bias).copy()
        if M.ndim != 2 or 0 in M.shape or bias.shape != M.shape[:1]:
            raise ValueError(
                f"M must have shape (d_out, d_in) and bias (d_out,), got {M.shape} and {bias.shape}; "
                "a map without an intercept has a bias of zeros"
            )
        if not (np.isfinite(M).all() and np.isfinite(bias).all()):
            raise ValueError("M and bias must be finite, got NaN or infinity in them")
        object.__setattr__(self, "M", M)
        object.__setattr__(self, "bias", bias)

    @property
    def W(self) -> Float64:
        """M^T, shape (d_in, d_out): the row form, predicted = E W + bias."""
        return self.M.T

    def apply(self, E: ArrayLike, **control: Any) -> Array:
        """Map rows.

        Parameters
        ----------
        E : array_like, shape (..., n, d_in)
        **control
            As in `transfer`, and its `normalize`: rows of length 1.

        Returns
        -------
        ndarray, shape (..., n, d_out)
            float32 where float32 holds the dtype of E without loss, else float64. Cost: 2 n d_in d_out flops.
        """
        from .._operations import transfer

        rows = matrix("E", E)
        dtype = result_dtype(rows.dtype)
        return np.asarray(transfer(rows, self.M.astype(dtype), self.bias.astype(dtype), **control))

    def inverse(self) -> "TransferMap":
        """The map back, by the pseudo-inverse: e_i = M^+ (e_j - bias). For an orthogonal M it is M^T."""
        back = cast(Float64, np.linalg.pinv(self.M, rcond=RANK_CUTOFF))
        return TransferMap(back, -back @ self.bias, f"inverse of {self.method}")

    def compose(self, other: "TransferMap") -> "TransferMap":
        """This map, then `other`, as one: e_k = M_other (M e_i + bias) + bias_other."""
        if not isinstance(other, TransferMap):
            raise TypeError(f"other must be a TransferMap, got {brief(other)}")
        if other.M.shape[1] != self.M.shape[0]:
            raise ValueError(f"other must take {self.M.shape[0]} columns, as this map gives, got {other.M.shape[1]}")
        return TransferMap(other.M @ self.M, other.M @ self.bias + other.bias, f"{self.method} then {other.method}")

    def report(self, back: "TransferMap | None" = None) -> dict[str, Any]:
        """What the map keeps and how well it fitted.

        Parameters
        ----------
        back : TransferMap, optional
            The way back; the inverse of this map where left out.

        Returns
        -------
        dict
            method : str
            rank : int, of M (singular values above 1e-6 of the largest)
            singular_values : ndarray (min(d_out, d_in),), descending
            condition_number : float, largest over smallest singular value, inf for a singular M
            round_trip_error : float, ||M_back M - I||_F / sqrt(d_in): how much of the space is lost there and back
            training_rank, training_residual : as the attributes
        """
        singular = np.linalg.svd(self.M, compute_uv=False)
        if back is None:
            back = self.inverse()
        cycle = self.compose(back).M
        if cycle.shape[0] != cycle.shape[1]:
            raise ValueError(f"back must give {self.M.shape[1]} columns, as this map takes, got {back.M.shape[0]}")
        return {
            "method": self.method,
            "rank": int((singular > RANK_CUTOFF * singular[0]).sum()),
            "singular_values": singular,
            "condition_number": float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf"),
            "round_trip_error": float(np.linalg.norm(cycle - np.eye(len(cycle))) / np.sqrt(len(cycle))),
            "training_rank": self.training_rank,
            "training_residual": self.training_residual,
        }

    def to_arrays(self) -> dict[str, Array]:
        """The map as named plain arrays, NaN for what is None."""
        return {
            "M": self.M,
            "bias": self.bias,
            "method": np.array(self.method),
            "training": np.array([self.training_rank, self.training_residual], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Put back what `to_arrays` gave."""
        rank, residual = np.asarray(arrays["training"], dtype=np.float64).tolist()
        return cls(
            arrays["M"],
            arrays["bias"],
            str(arrays["method"]),
            None if np.isnan(rank) else int(rank),
            None if np.isnan(residual) else residual,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map to `path` (.npz of plain arrays), whole or not at all."""
        write_saved(path, self.to_arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a map that `save` wrote. Nothing is unpickled."""
        return read_saved(path, "TransferMap", cls.from_arrays)

    def __repr__(self) -> str:
        return f"TransferMap({self.M.shape[1]} -> {self.M.shape[0]}, method={self.method!r})"
