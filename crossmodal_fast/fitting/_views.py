"""Two views projected into one space: what CCA, PLS and VecMap's steps have in common."""

import inspect
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import numbers_of, one_of, rows_of, whole
from .._arrays import given_back
from .._saved import read_saved, write_saved
from ..preprocess import result_dtype
from ._map import TransferMap
from ._pairs import Pairs, informative
from ._solution import Solution, map_of
from ._sources import pairs_of

Array = NDArray[Any]
Float64 = NDArray[np.float64]

TINY = 1e-12  # of the largest singular value: what a pseudo-inverse of kept directions still takes for zero


class TwoViews:
    """Base: `fit` learns one projection for each side, `transform` applies them, `transfer_map` goes across.

    Learned: mean_a_ (d_in,), mean_b_ (d_out,), projection_a_ (d_in, k), projection_b_ (d_out, k).
    """

    _learned: ClassVar[tuple[str, ...]] = ("mean_a_", "mean_b_", "projection_a_", "projection_b_")
    mean_a_: Float64
    mean_b_: Float64
    projection_a_: Float64
    projection_b_: Float64

    def solve(self, pairs: Pairs) -> bool:
        """Learn projections in the units of the pairs, and nothing else. True: projected rows have no unit."""
        raise NotImplementedError

    def across(self) -> Solution:
        """From the space of A to that of B, in the units of the pairs."""
        raise NotImplementedError

    def fit(self, A: Any, B: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from pairs, rows of A (n, d_in) and B (n, d_out), n >= 2; or from TransferStatistics alone.

        Raises ValueError for equal rows, non-finite rows, unequal numbers of rows, more components than there are.
        """
        fresh = type(self)(**self.get_params())
        fresh.fit_pairs(pairs_of(A, B, True, sample_weight))
        self.__dict__.update(fresh.__dict__)  # all of it or, where something is refused, nothing
        return self

    def fit_pairs(self, pairs: Pairs) -> Solution:
        """`fit` on pairs that are gathered already; the way across in their units."""
        for name in ("A", "B"):
            informative(pairs, name)
        whitened = self.solve(pairs)
        found = self.across()
        self._map = map_of(pairs, found, type(self).__name__.lower())
        if whitened:
            with np.errstate(over="ignore", invalid="ignore"):
                self.projection_a_ = self.projection_a_ / pairs.x_size
                self.projection_b_ = self.projection_b_ / pairs.y_size
            if not (np.isfinite(self.projection_a_).all() and np.isfinite(self.projection_b_).all()):
                raise ValueError(
                    f"A and B must be of sizes that float64 divides by, got {pairs.x_size:g} and {pairs.y_size:g}"
                )
        self.mean_a_, self.mean_b_ = pairs.x_mean, pairs.y_mean
        return found

    def transform(self, A: ArrayLike | None = None, B: ArrayLike | None = None) -> Any:
        """Project one side or both into the common space.

        Parameters
        ----------
        A : array_like, shape (m, d_in), optional
        B : array_like, shape (n, d_out), optional

        Returns
        -------
        ndarray (m, k) or (n, k), or the pair of both
            float32 where float32 holds the dtype of the rows without loss, else float64.
        """
        if not hasattr(self, "mean_a_"):
            raise RuntimeError(f"{type(self).__name__} must be fitted before it is applied: call fit(A, B) first")
        sides = [
            _projected(name, rows, mean, projection)
            for name, rows, mean, projection in (
                ("A", A, self.mean_a_, self.projection_a_),
                ("B", B, self.mean_b_, self.projection_b_),
            )
            if rows is not None
        ]
        if not sides:
            raise ValueError("A or B must be given, got neither")
        return sides[0] if len(sides) == 1 else tuple(sides)

    def fit_transform(self, A: ArrayLike, B: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """`fit(A, B)`, then `transform(A, B)`: the pair of both sides, (n, k) each."""
        return self.fit(A, B, sample_weight).transform(A, B)

    @property
    def transfer_map(self) -> TransferMap:
        """The map from the space of A (d_in,) to that of B (d_out,)."""
        if not hasattr(self, "_map"):
            raise RuntimeError(f"{type(self).__name__} must be fitted before it is applied: call fit(A, B) first")
        return self._map

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this was made with; `deep` is there for scikit-learn."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> Self:
        """Change arguments, checked as when it was made; takes effect at the next `fit`."""
        for name in parameters:
            one_of("parameters", name, self.get_params())
        type(self)(**self.get_params() | parameters)
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def get_state(self) -> dict[str, Array]:
        """What `fit` learned, as named arrays; empty before it."""
        if not hasattr(self, "mean_a_"):
            return {}
        learned = {name: getattr(self, name) for name in self._learned}
        return learned | {f"map.{name}": array for name, array in self._map.to_arrays().items()}

    def set_state(self, state: Mapping[str, ArrayLike]) -> Self:
        """Put back what `get_state` gave."""
        for name in self._learned:
            if name in state:
                setattr(self, name, numbers_of(name, state[name]))
        inner = {name.removeprefix("map."): np.asarray(array) for name, array in state.items() if name[:4] == "map."}
        if inner:
            self._map = TransferMap.from_arrays(inner)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to `path` (.npz of plain arrays), whole or not at all."""
        write_saved(path, self.get_state())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, with the default arguments. Nothing is unpickled."""
        return read_saved(path, cls.__name__, lambda arrays: cls().set_state(arrays))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"


def components(wanted: int | None, available: int, kind: str) -> int:
    """How many to keep: all where none are named."""
    if wanted is not None and wanted > available:
        raise ValueError(f"n_components must be in 1..{available} ({kind}), got {wanted}")
    return available if wanted is None else wanted


def optional_whole(name: str, value: Any) -> None:
    """None, or a whole number of at least 1."""
    if value is not None:
        whole(name, value)


def turned(left: Float64, right: Float64) -> tuple[Float64, Float64]:
    """Paired columns, the largest entry of each of the first made positive, the second turned with it."""
    leading = left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])]
    sign = np.where(leading < 0, -1.0, 1.0)
    return left * sign, right * sign


def _projected(name: str, value: ArrayLike, mean: Float64, projection: Float64) -> Array:
    rows = rows_of(name, value)
    if rows.shape[1] != len(mean):
        raise ValueError(f"{name} must have {len(mean)} columns, as fit saw, got shape {rows.shape}")
    if not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ValueError(f"{name} must be finite, got NaN or infinity in row {row}")
    found: Array = (np.asarray(rows, np.float64) - mean) @ projection
    return given_back(value, found.astype(result_dtype(rows.dtype)))
