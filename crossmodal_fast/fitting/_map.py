"""An affine map between two embedding spaces: apply, invert, compose, save, and say what it keeps."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import brief, numbers_of, rows_of
from .._arrays import given_back, taken
from .._saved import read_saved, write_saved
from .._validate import matrix
from ..preprocess import RANK_CUTOFF, result_dtype

Array = NDArray[Any]
Float64 = NDArray[np.float64]


@dataclass(eq=False, repr=False)
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
    details : mapping of plain values
        What a method tells beside the map, such as the scores of "auto".

    Examples
    --------
    >>> turn = TransferMap(np.array([[0.0, -1.0], [1.0, 0.0]]), np.zeros(2))
    >>> turn.apply([[1.0, 0.0]]), turn.compose(turn.inverse()).M.round(12) + 0.0
    (array([[0., 1.]]), array([[1., 0.],
           [0., 1.]]))
    """

    M: Float64
    bias: Float64
    method: str = "given"
    training_rank: int | None = None
    training_residual: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        M, bias = numbers_of("M", self.M).copy(), numbers_of("bias", self.bias).copy()
        if M.ndim != 2 or 0 in M.shape or bias.shape != M.shape[:1]:
            raise ValueError(
                f"M must have shape (d_out, d_in) and bias (d_out,), got {M.shape} and {bias.shape}; "
                "a map without an intercept has a bias of zeros"
            )
        if not (np.isfinite(M).all() and np.isfinite(bias).all()):
            raise ValueError("M and bias must be finite, got NaN or infinity in them")
        if not isinstance(self.method, str):
            raise TypeError(f"method must be a text, got {brief(self.method)}")
        try:
            details = json.loads(json.dumps(dict(self.details)))
        except (TypeError, ValueError) as problem:
            raise TypeError(f"details must be a dict of plain values, got {brief(self.details)}") from problem
        for array in (M, bias):
            array.setflags(write=False)
        for name, value in (("M", M), ("bias", bias), ("details", details)):
            self.__dict__[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        # Not a frozen dataclass: scikit-learn's pipelines leave attributes of their own on what they hold.
        if name in self.__dict__ and name in self.get_params():
            raise AttributeError(f"{name} must stay as it was fitted, got {brief(value)}; make another TransferMap")
        super().__setattr__(name, value)

    @property
    def W(self) -> Float64:
        """M^T, shape (d_in, d_out): the row form, predicted = E W + bias."""
        return self.M.T

    def apply(self, E: ArrayLike, **control: Any) -> Any:
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
        return given_back(E, np.asarray(transfer(rows, self.M.astype(dtype), self.bias.astype(dtype), **control)))

    def inverse(self) -> "TransferMap":
        """The map back, by the pseudo-inverse: e_i = M^+ (e_j - bias). For an orthogonal M it is M^T."""
        with np.errstate(over="ignore", invalid="ignore"):
            back = cast(Float64, np.linalg.pinv(self.M, rcond=RANK_CUTOFF))
        if not np.isfinite(back).all():
            raise ValueError(f"M must have an inverse that float64 holds, got entries up to {np.abs(self.M).max():g}")
        return TransferMap(back, -back @ self.bias, f"inverse of {self.method}")

    def compose(self, other: "TransferMap") -> "TransferMap":
        """This map, then `other`, as one: e_k = M_other (M e_i + bias) + bias_other."""
        if not isinstance(other, TransferMap):
            raise TypeError(f"other must be a TransferMap, got {brief(other)}")
        if other.M.shape[1] != self.M.shape[0]:
            raise ValueError(f"other must take {self.M.shape[0]} columns, as this map gives, got {other.M.shape[1]}")
        return TransferMap(other.M @ self.M, other.M @ self.bias + other.bias, f"{self.method} then {other.method}")

    def report(
        self,
        back: "TransferMap | None" = None,
        *,
        rows: ArrayLike | None = None,
        targets: ArrayLike | None = None,
        metric: str = "cosine",
        **control: Any,
    ) -> dict[str, Any]:
        """What the map keeps, how well it fitted and, given rows and targets, where it is ambiguous.

        Parameters
        ----------
        back : TransferMap, optional
            The way back; the inverse of this map where left out. For a cycle over several spaces compose it first.
        rows : array_like, shape (m, d_in), optional
            Source rows to be mapped and searched in `targets`.
        targets : array_like, shape (n, d_out), n >= 2, optional
        metric : str, default "cosine"
            As in `topk`.
        **control
            As in `topk`.

        Returns
        -------
        dict
            method : str
            rank : int, of M (singular values above 1e-6 of the largest)
            singular_values : ndarray (min(d_out, d_in),), descending
            condition_number : float, largest over smallest singular value, inf for a singular M
            round_trip_error : float, ||M_back M - I||_F / sqrt(d_in): how much of the space is lost there and back
            training_rank, training_residual, details : as the attributes
            nearest : ndarray (m,), int64, with rows and targets: the best target of each row
            margins : ndarray (m,), float64, with rows and targets: how much better the best target scores than the
                second best, 0 for a tie; exact, by `topk`

        Examples
        --------
        >>> TransferMap(np.eye(2), np.zeros(2)).report(rows=[[1.0, 0.0]], targets=[[1.0, 1.0], [2.0, 0.0]])["margins"]
        array([0.29289322])
        """
        singular = np.linalg.svd(self.M, compute_uv=False)
        if back is None:
            back = self.inverse()
        cycle = self.compose(back).M
        if cycle.shape[0] != cycle.shape[1]:
            raise ValueError(f"back must give {self.M.shape[1]} columns, as this map takes, got {back.M.shape[0]}")
        found = {
            "method": self.method,
            "rank": int((singular > RANK_CUTOFF * singular[0]).sum()),
            "singular_values": singular,
            "condition_number": float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf"),
            "round_trip_error": float(np.linalg.norm(cycle - np.eye(len(cycle))) / np.sqrt(len(cycle))),
            "training_rank": self.training_rank,
            "training_residual": self.training_residual,
            "details": self.details,
        }
        if (rows is None) != (targets is None):
            missing = "rows" if rows is None else "targets"
            raise ValueError(f"rows and targets must both be given or both be left out, got no {missing}")
        return found if rows is None else found | self._ambiguity(rows, targets, metric, control)

    def _ambiguity(self, rows: ArrayLike, targets: Any, metric: str, control: dict[str, Any]) -> dict[str, Array]:
        from .._operations import topk

        if len(rows_of("targets", targets)) < 2:
            raise ValueError(f"targets must be at least 2 for a second best, got {len(targets)}")
        mapped = self.apply(taken("rows", rows), **control)
        best, nearest = topk(mapped, targets, 2, metric, dtype=np.float64, **control)[:2]
        return {"nearest": nearest[:, 0], "margins": np.abs(best[:, 0] - best[:, 1])}

    # ---- as a fitted transformer

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Leave the map as it is: it has been fitted."""
        return self

    def transform(self, X: ArrayLike) -> Any:
        """`apply`, under the name that chains of steps call: (n, d_in) -> (n, d_out)."""
        return self.apply(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the map is made of; `deep` is there for scikit-learn."""
        return {part.name: getattr(self, part.name, None) for part in fields(self)}

    def set_params(self, **parameters: Any) -> Self:
        """The map itself, where every parameter is what it is already; a fitted map does not change."""
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise ValueError(f"parameters must be among {', '.join(known)}, got {brief(name)}")
            if value is not known[name]:
                raise ValueError(f"{name} must stay as it was fitted, got {brief(value)}; make another TransferMap")
        return self

    def __sklearn_clone__(self) -> Self:
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(None, TargetTags(required=False), TransformerTags(), requires_fit=False)

    def to_arrays(self) -> dict[str, Array]:
        """The map as named plain arrays, NaN for what is None."""
        return {
            "M": self.M,
            "bias": self.bias,
            "method": np.array(self.method),
            "training": np.array([self.training_rank, self.training_residual], dtype=np.float64),
            "details": np.array(json.dumps(self.details)),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Put back what `to_arrays` gave, of this version or of 0.2.0."""
        rank, residual = np.asarray(arrays["training"], dtype=np.float64).tolist()
        return cls(
            arrays["M"],
            arrays["bias"],
            str(arrays["method"]),
            None if np.isnan(rank) else int(rank),
            None if np.isnan(residual) else residual,
            json.loads(str(arrays.get("details", "{}"))),
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
