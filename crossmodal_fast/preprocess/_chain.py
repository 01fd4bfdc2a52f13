"""All steps by name, and a list of steps that behaves as one."""

import copy
import inspect
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import brief, rows_of
from .._arrays import given_back
from ._audio import LogMel
from ._columns import Center, MinMax, Standardize, UnitColumns
from ._linear import PCA, AllButTheTop
from ._relative import RandomProjection, Relative
from ._rows import Array
from ._step import Step
from ._unit import CenterRows, Hellinger, MinMaxRows, Normalize, StandardizeRows, Truncate
from ._whitening import Whiten

STEPS: dict[str, type[Step]] = {
    "normalize": Normalize,
    "center": Center,
    "standardize": Standardize,
    "whiten": Whiten,
    "pca": PCA,
    "min_max": MinMax,
    "unit_columns": UnitColumns,
    "center_rows": CenterRows,
    "standardize_rows": StandardizeRows,
    "min_max_rows": MinMaxRows,
    "hellinger": Hellinger,
    "truncate": Truncate,
    "all_but_the_top": AllButTheTop,
    "relative": Relative,
    "random_projection": RandomProjection,
    "log_mel": LogMel,
}


class Chain:
    """Steps applied one after another; each is fitted on what the steps before it give.

    Parameters
    ----------
    steps : str, step, or sequence of them
        Names of `STEPS` (such as "normalize", "center", "standardize", "whiten", "pca") or objects with `fit` and
        `transform`. They are copied: fitting the chain leaves the caller's objects alone.

    Notes
    -----
    Rows (n, d) in, (n, columns of the last step) out. Cost and source: those of the steps, and one copy for each.

    Examples
    --------
    >>> Chain(["center", PCA(1), "normalize"]).fit_transform([[1.0, 0.0], [3.0, 0.0], [5.0, 1.0]]).ravel()
    array([-1., -1.,  1.])
    """

    def __init__(self, steps: Any = ()) -> None:
        if isinstance(steps, str) or not isinstance(steps, Iterable) or getattr(steps, "ndim", 1) == 0:
            steps = [steps]
        self.steps: Sequence[Any] = [_step(step) for step in steps]

    def fit(self, X: ArrayLike) -> Self:
        """Fit each step on X (n, d) as the steps before it leave it. Returns the chain itself."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike) -> Any:
        """`fit(X)` and the transformed rows, in one go."""
        rows = rows_of("X", X)
        for step in self.steps:
            rows = _given_by(step, step.fit(rows).transform(rows), len(rows))
        return given_back(X, np.asarray(rows))

    def partial_fit(self, X: ArrayLike) -> Self:
        """Learn from X (n, d) and from what `partial_fit` was given before. Returns the chain itself.

        Raises
        ------
        TypeError
            More than one step learns (what a later one sees would change with the earlier), or one cannot in parts.
        """
        rows, learning = rows_of("X", X), [step for step in self.steps if getattr(step, "_learned", True)]
        if len(learning) > 1:
            names = " and ".join(type(step).__name__ for step in learning)
            raise TypeError(f"steps must hold at most one that learns to be fitted in parts, got {names}")
        for step in self.steps:
            if step in learning:
                if not hasattr(step, "partial_fit"):
                    raise TypeError(
                        f"steps must have partial_fit to be fitted in parts, got {type(step).__name__} without"
                    )
                step.partial_fit(rows)
                break
            rows = _given_by(step, step.transform(rows), len(rows))
        return self

    def merge(self, other: Any) -> Self:
        """Learn what another chain of the same steps has gathered by `partial_fit`, too. Returns the chain itself."""
        if not isinstance(other, Chain) or [type(step) for step in other.steps] != [type(step) for step in self.steps]:
            raise TypeError(f"other must be a Chain of the same steps to be merged, got {brief(other)}")
        merged = copy.deepcopy(self.steps)
        for mine, theirs in zip(merged, other.steps, strict=True):
            if not hasattr(mine, "merge"):
                raise TypeError(f"steps must have merge to be merged, got {type(mine).__name__} without")
            mine.merge(theirs)
        self.steps = merged
        return self

    def transform(self, X: ArrayLike) -> Any:
        """X (m, d) -> (m, columns out of the last step); with no step, X itself."""
        rows = rows_of("X", X)
        for step in self.steps:
            rows = _given_by(step, step.transform(rows), len(rows))
        return given_back(X, np.asarray(rows))

    def inverse_transform(self, Z: ArrayLike) -> Any:
        """Undo the steps, last first. Raises TypeError where one has no inverse."""
        rows = rows_of("Z", Z)
        for step in reversed(self.steps):
            if not hasattr(step, "inverse_transform"):
                raise TypeError(
                    f"steps must all have an inverse to be undone, got {type(step).__name__}, which has none"
                )
            rows = step.inverse_transform(rows)
        return given_back(Z, np.asarray(rows))

    def __repr__(self) -> str:
        return f"Chain({list(self.steps)!r})"


def _given_by(step: Any, given: Any, count: int) -> Array:
    """What a step, which may be anybody's, made of `count` rows."""
    name = f"the result of {type(step).__name__}"
    rows = rows_of(name, given)
    if len(rows) != count:
        raise ValueError(f"{name} must have the {count} rows that it was given, got {len(rows)}")
    return rows


def _step(step: Any) -> Any:
    if isinstance(step, str):
        if step not in STEPS:
            raise ValueError(
                f"step must be one of {', '.join(STEPS)} or an object with fit and transform, got {step!r}"
            )
        kind = STEPS[step]
        needed = [name for name, one in inspect.signature(kind).parameters.items() if one.default is one.empty]
        if needed:
            raise ValueError(f"step {step!r} must be given as {kind.__name__}({', '.join(needed)}), got the name alone")
        return kind()
    if isinstance(step, type) or not (hasattr(step, "fit") and hasattr(step, "transform")):
        raise TypeError(f"step must be a name or an object with fit and transform, got {step!r}; () stands for none")
    return copy.deepcopy(step)
