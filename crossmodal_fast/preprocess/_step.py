"""What all steps have in common."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike

from .._arguments import numbers_of, rows_of
from ._rows import Array, Float64, mapped


class Step:
    """Base of all steps: rows in, rows out, in blocks. What `fit` learns ends in an underscore and is a plain array."""

    _learned: ClassVar[tuple[str, ...]] = ()

    def _fit(self, rows: Array) -> None:
        """Learn from `rows` (n, d)."""

    def _forward(self, block: Float64) -> Float64:
        raise NotImplementedError

    def fit(self, X: ArrayLike) -> Self:
        """Learn from X (n, d), the training rows. Returns the step itself."""
        rows = rows_of("X", X)
        self._fit(rows)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """X (m, d) -> (m, columns out), float32 or float64 as the module states.

        Raises
        ------
        RuntimeError
            Before `fit`.
        ValueError
            X is not (m, d) with the d of `fit`, or is not finite.
        """
        rows = rows_of("X", X)
        if self._learned:
            same_columns(rows, getattr(self, self._learned[0], None), self)
        return mapped("X", rows, self._forward)

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit(X)`, then `transform(X)`."""
        return self.fit(X).transform(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this step was made with; `deep` is there for scikit-learn."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def get_state(self) -> dict[str, Array]:
        """What `fit` learned, as named arrays; empty before it."""
        return {name: getattr(self, name) for name in self._learned if hasattr(self, name)}

    def set_state(self, state: Mapping[str, ArrayLike]) -> Self:
        """Put back what `get_state` gave."""
        for name in self._learned:
            if name in state:
                setattr(self, name, numbers_of(name, state[name]))
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"


class Invertible(Step):
    """A step that can be undone."""

    def _backward(self, block: Float64) -> Float64:
        raise NotImplementedError

    def _columns_out(self) -> Array | None:
        return getattr(self, self._learned[0], None)

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Z (m, columns out) -> (m, d): exact where no direction was dropped, else the nearest kept point."""
        rows = rows_of("Z", Z)
        same_columns(rows, self._columns_out(), self, "Z", "transform gives")
        return mapped("Z", rows, self._backward)


def same_columns(rows: Array, like: Array | None, step: Step, name: str = "X", origin: str = "fit saw") -> None:
    if like is None:
        raise RuntimeError(f"{type(step).__name__} must be fitted before it is applied: call fit(X) first")
    if rows.shape[1] != len(like):
        raise ValueError(f"{name} must have {len(like)} columns, as {origin}, got shape {rows.shape}")
