"""What all steps have in common."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike

from .._arguments import brief, numbers_of, rows_of
from .._arrays import given_back
from ._moments import Moments
from ._rows import Array, Float64, mapped, row_blocks


class Step:
    """Base of all steps: rows (n, d) in, rows out, in blocks. What `fit` learns ends in an underscore, a plain array.

    Cost: that of `_forward` on blocks of 32 MiB; no source, as it computes nothing by itself (each step names its own).

    Examples
    --------
    >>> class Doubled(Step):
    ...     def _forward(self, block):
    ...         return 2 * block
    >>> Doubled().transform([[1.0, 2.0]])
    array([[2., 4.]])
    """

    _learned: ClassVar[tuple[str, ...]] = ()

    def _fit(self, rows: Array) -> None:
        """Learn from `rows` (n, d)."""

    def _forward(self, block: Float64) -> Float64:
        """Rows (b, d) -> (b, columns out); each step has its own."""
        raise NotImplementedError

    def _columns_out(self) -> int:
        """At least how many columns a block may grow to."""
        return 0

    def fit(self, X: ArrayLike) -> Self:
        """Learn from X (n, d), the training rows. Returns the step itself."""
        rows = rows_of("X", X)
        self._fit(rows)
        return self

    def partial_fit(self, X: ArrayLike) -> Self:
        """Learn from X (n, d) and from what `partial_fit` was given before. Returns the step itself.

        Raises
        ------
        TypeError
            What the step learns cannot be gathered in parts.
        RuntimeError
            The step was fitted by `fit`, or loaded: what it was fitted on is not kept.
        """
        self._refuse_parts()
        rows_of("X", X)
        return self

    def merge(self, other: Any) -> Self:
        """Learn what another step of this kind and of the same parameters has gathered by `partial_fit`, too."""
        self._same_kind(other)
        self._refuse_parts()
        return self

    def _refuse_parts(self) -> None:
        if self._learned:
            name = type(self).__name__
            raise TypeError(f"{name} must be given all rows at once, by fit: it keeps no statistic that can be merged")

    def _same_kind(self, other: Any) -> None:
        if type(other) is not type(self) or other.get_params() != self.get_params():
            raise TypeError(f"other must be another {self!r} to be merged, got {brief(other)}")

    def transform(self, X: ArrayLike) -> Any:
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
            same_columns(rows, self._columns_in(), self)
        return given_back(X, mapped("X", rows, self._forward, self._columns_out()))

    def _columns_in(self) -> int | None:
        """Columns that `fit` saw; None before it."""
        first = getattr(self, self._learned[0], None)
        return None if first is None else len(first)

    def fit_transform(self, X: ArrayLike) -> Any:
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
        """Rows (b, columns out) -> (b, d); each step has its own."""
        raise NotImplementedError

    def _columns_given(self) -> int | None:
        """Columns that `transform` gives; None before `fit`."""
        return self._columns_in()

    def inverse_transform(self, Z: ArrayLike) -> Any:
        """Z (m, columns out) -> (m, d): exact where no direction was dropped, else the nearest kept point."""
        rows = rows_of("Z", Z)
        same_columns(rows, self._columns_given(), self, "Z", "transform gives")
        return given_back(Z, mapped("Z", rows, self._backward))


class Gathering(Step):
    """A step whose statistic is gathered block by block: `partial_fit` and `merge` give what `fit` gives, but rounding.

    What follows from the statistic is computed when it is first asked for, not at every block.
    """

    _gathered: Any = None  # by `partial_fit`: an object with columns and merged(other); not by `fit` or `set_state`

    def _gather(self, block: Float64) -> Any:
        """The statistic of one block."""
        return Moments.of(block, full=False)

    def _settle(self, gathered: Any) -> None:
        """Learn from the statistic of all rows."""
        raise NotImplementedError

    def _fit(self, rows: Array) -> None:
        self._settle(self._seen(rows))

    def _seen(self, rows: Array, before: Any = None) -> Any:
        for _, block in row_blocks("X", rows):
            part = self._gather(block)
            before = part if before is None else before.merged(part)
        return before

    def fit(self, X: ArrayLike) -> Self:
        rows = rows_of("X", X)
        self._fit(rows)
        self._gathered = None
        return self

    def partial_fit(self, X: ArrayLike) -> Self:
        rows = rows_of("X", X)
        self._refuse_unless_begun()
        if self._gathered is not None:
            same_columns(rows, self._columns_gathered(), self, origin="partial_fit saw")
        self._replace(self._seen(rows, self._gathered))
        return self

    def merge(self, other: Any) -> Self:
        self._same_kind(other)
        if other._gathered is None:
            raise RuntimeError(f"other must have been given rows by partial_fit to be merged, got {other!r} without")
        self._refuse_unless_begun()
        if self._gathered is None:
            self._replace(other._gathered)
            return self
        if self._columns_gathered() != other._columns_gathered():
            raise ValueError(
                f"other must have seen {self._columns_gathered()} columns to be merged, got {other._columns_gathered()}"
            )
        self._replace(self._gathered.merged(other._gathered))
        return self

    def set_state(self, state: Mapping[str, ArrayLike]) -> Self:
        self._gathered = None
        return super().set_state(state)

    def _columns_gathered(self) -> int:
        return int(self._gathered.columns)

    def _replace(self, gathered: Any) -> None:
        self._gathered = gathered
        for name in self._learned:
            self.__dict__.pop(name, None)

    def _refuse_unless_begun(self) -> None:
        if self._gathered is None and any(name in self.__dict__ for name in self._learned):
            name = type(self).__name__
            raise RuntimeError(
                f"{name} must be begun by partial_fit to take more rows, got one made by fit or set_state"
            )

    def __getattr__(self, name: str) -> Any:
        if name in type(self)._learned and self._gathered is not None:
            self._settle(self._gathered)
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def same_columns(rows: Array, count: int | None, step: Any, name: str = "X", origin: str = "fit saw") -> None:
    if count is None:
        raise RuntimeError(f"{type(step).__name__} must be fitted before it is applied: call fit(X) first")
    if rows.shape[1] != count:
        raise ValueError(f"{name} must have {count} columns, as {origin}, got shape {rows.shape}")
