"""Preprocessing of embeddings: unit rows, centre, z-score, whiten, PCA. Fit on the training rows, apply anywhere.

A step has `fit`, `transform`, `fit_transform` and, where one exists, `inverse_transform`; a `Chain` is a list of steps
that behaves as one. Everything is computed in float64, block by block, and comes back in float32 for the dtypes that
float32 holds without loss (float16, bfloat16, float32, int8, uint8, bool), else in float64. A new step is a class with
`_fit` and `_forward` (and `_backward`), and a line in `STEPS`.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arguments import number, numbers_of, one_of, rows_of, whole
from .kernels.tiles.rows import EXACT_IN_FLOAT32

__all__ = ["PCA", "STEPS", "Center", "Chain", "Normalize", "Standardize", "Step", "Whiten", "normalize"]

Array = NDArray[Any]
Float64 = NDArray[np.float64]

BLOCK_BYTES = 1 << 25  # of float64 rows in work at a time: 32 MiB
RANK_CUTOFF = 1e-6  # of the largest singular value: float32 rows that sum to 1 leave a ratio of 1e-8, which is noise
CONSTANT_CUTOFF = 1e-12  # of the mean's size: a standard deviation below it is the rounding of the mean


# ---------------------------------------------------------------------------------------------------- rows in blocks


def result_dtype(dtype: Any) -> np.dtype[Any]:
    """float32 for what float32 holds without loss, else float64."""
    return np.dtype(np.float32 if np.dtype(dtype).name in EXACT_IN_FLOAT32 else np.float64)


def row_blocks(name: str, rows: Array) -> Iterator[tuple[slice, Float64]]:
    """(rows taken, float64 copy) over all rows, each checked for NaN and infinity."""
    step = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
    for start in range(0, len(rows), step):
        block = np.array(rows[start : start + step], dtype=np.float64)
        finite = np.isfinite(block)
        if not finite.all():
            row = int(np.argmin(finite.all(axis=1)))
            value = block[row][~finite[row]][0]
            raise ValueError(f"{name} must be finite, got {value} in row {start + row}; remove or fill such rows first")
        yield slice(start, start + len(block)), block


def column_means(name: str, rows: Array, weight: Float64 | None = None) -> Float64:
    """(Weighted) mean of each column (d,), summed about the first row so that data far from the origin lose nothing."""
    rough = np.asarray(rows[0], dtype=np.float64)
    weight = np.ones(len(rows)) if weight is None else weight
    total = np.zeros(rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for taken, block in row_blocks(name, rows):
            total += weight[taken] @ (block - rough)
        mean = cast(Float64, rough + total / weight.sum())
    if not np.isfinite(mean).all():
        raise ValueError(f"{name} must have sums that float64 holds, got more; divide it by 2**100 first")
    return mean


def power_below(largest: Any) -> Any:
    """The power of two in (x/2, x] for each x > 0: dividing by it is exact and keeps squares in range."""
    return np.ldexp(1.0, np.frexp(largest)[1] - 1)


@dataclass(frozen=True)
class _Spectrum:
    """Principal directions of rows: their mean, and the covariance of (rows - mean) / scale as V diag(values) V^T."""

    mean: Float64  # (d,)
    scale: float  # a power of two, so that no square leaves float64
    values: Float64  # (r,), descending
    vectors: Float64  # (d, r)

    @property
    def variances(self) -> Float64:
        """The values in squared units of the rows; infinite where float64 cannot hold them."""
        with np.errstate(over="ignore"):
            return self.values * self.scale * self.scale


def _spectrum(rows: Array) -> _Spectrum:
    """Of the covariance X_c^T X_c / (n - 1)."""
    n, d = rows.shape
    if n < 2:
        raise ValueError(f"X must have at least 2 rows to have a covariance, got {n}")
    mean, scale, covariance = column_means("X", rows), 0.0, np.zeros((0, 0) if n <= d else (d, d))
    for _, gap in row_blocks("X", rows):
        gap -= mean
        if not (largest := np.abs(gap).max()):
            continue
        larger = max(scale, float(power_below(largest)))
        if n > d:
            gap /= larger
            covariance *= (scale / larger) ** 2
            covariance += gap.T @ gap
        scale = larger
    if scale == 0:
        raise ValueError(f"X must vary to have a principal direction, got {n} equal rows")
    if n > d:
        values, vectors = np.linalg.eigh(covariance / (n - 1))
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    else:  # the covariance would be larger than the rows
        _, singular, vectors_t = np.linalg.svd((np.asarray(rows, np.float64) - mean) / scale, full_matrices=False)
        values, vectors = singular**2 / (n - 1), vectors_t.T
    leading = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return _Spectrum(mean, scale, values, vectors * np.where(leading < 0, -1.0, 1.0))


# ---------------------------------------------------------------------------------------------------- steps


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
            _same_columns(rows, getattr(self, self._learned[0], None), self)
        return _mapped("X", rows, self._forward)

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
        _same_columns(rows, self._columns_out(), self, "Z", "transform gives")
        return _mapped("Z", rows, self._backward)


def _same_columns(rows: Array, like: Array | None, step: Step, name: str = "X", origin: str = "fit saw") -> None:
    if like is None:
        raise RuntimeError(f"{type(step).__name__} must be fitted before it is applied: call fit(X) first")
    if rows.shape[1] != len(like):
        raise ValueError(f"{name} must have {len(like)} columns, as {origin}, got shape {rows.shape}")


def _mapped(name: str, rows: Array, function: Callable[[Float64], Float64]) -> Array:
    out: Array | None = None
    dtype = result_dtype(rows.dtype)
    for taken, block in row_blocks(name, rows):
        try:
            with np.errstate(over="raise"):
                result = function(block)
                if out is None:
                    out = np.empty((len(rows), result.shape[1]), dtype=dtype)
                out[taken] = result
        except FloatingPointError:
            raise ValueError(
                f"{name} must give numbers that {dtype} holds, got larger ones in rows {taken.start}..{taken.stop - 1}"
            ) from None
    return cast(Array, out)


def _unit(block: Float64) -> Float64:
    # An exact power of two first, so that rows of 1e-200 or 1e200 neither vanish nor overflow when squared.
    _, exponent = np.frexp(np.abs(block).max(axis=1, keepdims=True))
    block = np.ldexp(block, -exponent)
    length = np.sqrt((block * block).sum(axis=1, keepdims=True))
    return block / np.where(length == 0, 1.0, length)


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
    return _mapped(name, rows, _unit)


class Normalize(Step):
    """`normalize` as a step of a chain: it learns nothing and cannot be undone."""

    def _forward(self, block: Float64) -> Float64:
        return _unit(block)


class Center(Invertible):
    """Subtract the training mean. Learns `mean_` (d,). Cost: one pass to fit."""

    _learned = ("mean_",)
    mean_: Float64

    def _fit(self, rows: Array) -> None:
        self.mean_ = column_means("X", rows)

    def _forward(self, block: Float64) -> Float64:
        return block - self.mean_

    def _backward(self, block: Float64) -> Float64:
        return block + self.mean_


class Standardize(Invertible):
    """Subtract the training mean, divide by the standard deviation (ddof 0); a constant column is divided by 1.

    Learns `mean_` (d,) and `scale_` (d,). Cost: two passes to fit.
    """

    _learned = ("mean_", "scale_")
    mean_: Float64
    scale_: Float64

    def _fit(self, rows: Array) -> None:
        self.mean_ = column_means("X", rows)
        total, scale = np.zeros((2, rows.shape[1]))  # of each column: sum of squares in units of scale**2
        for _, gap in row_blocks("X", rows):
            gap -= self.mean_
            largest = np.abs(gap).max(axis=0)
            larger = np.where(largest > 0, np.maximum(scale, power_below(largest)), scale)
            unit = np.where(larger > 0, larger, 1.0)
            total = total * np.square(scale / unit) + np.square(gap / unit).sum(axis=0)
            scale = larger
        deviation = scale * np.sqrt(total / len(rows))
        self.scale_ = np.where(deviation <= CONSTANT_CUTOFF * np.abs(self.mean_), 1.0, deviation)

    def _forward(self, block: Float64) -> Float64:
        return (block - self.mean_) / self.scale_

    def _backward(self, block: Float64) -> Float64:
        return block * self.scale_ + self.mean_


class _Linear(Invertible):
    """(x - mean) forward_^T and back; the two matrices are each other's pseudo-inverse."""

    mean_: Float64  # (d,)
    components_: Float64  # (k, d)
    backward_: Float64  # (d, k)

    def _forward(self, block: Float64) -> Float64:
        return (block - self.mean_) @ self.components_.T

    def _backward(self, block: Float64) -> Float64:
        return block @ self.backward_.T + self.mean_

    def _columns_out(self) -> Array | None:
        return getattr(self, "components_", None)


class Whiten(_Linear):
    """Rows with covariance I: directions of equal weight, none correlated with another.

    With C = X_c^T X_c / (n - 1) = V L V^T the regularised eigenvalues are L' = (1 - shrinkage) L + shrinkage tr(C)/d +
    epsilon. Directions whose L' is at most 1e-12 of the largest (singular values: 1e-6) are noise and are dropped.

    Parameters
    ----------
    method : {"zca", "pca"}
        "zca": V L'^-1/2 V^T, the whitening that moves the rows least, d columns. "pca": L'^-1/2 V^T, one column per
        kept direction, largest first, largest-magnitude loading positive.
    epsilon : float, default 0
        Added to each eigenvalue, in squared units of X.
    shrinkage : float in 0..1, default 0
        Share of the mean eigenvalue in each.

    Notes
    -----
    Learns `mean_` (d,), `components_` (columns out, d), `backward_` (d, columns out), `eigenvalues_` (kept, of C).
    Cost: two passes, 2 n d^2 flops, d^2 float64 to fit. Source: Kessy, Lewin, Strimmer 2018.
    """

    _learned = ("mean_", "components_", "backward_", "eigenvalues_")

    def __init__(self, method: str = "zca", *, epsilon: float = 0.0, shrinkage: float = 0.0) -> None:
        one_of("method", method, ("zca", "pca"))
        number("epsilon", epsilon)
        number("shrinkage", shrinkage, most=1.0)
        self.method, self.epsilon, self.shrinkage = method, epsilon, shrinkage

    def _fit(self, rows: Array) -> None:
        found = _spectrum(rows)
        average = found.values.sum() / rows.shape[1]
        regular = (1 - self.shrinkage) * found.values + self.shrinkage * average
        regular += self.epsilon / found.scale / found.scale
        if not np.isfinite(regular[0]):
            raise ValueError(f"epsilon must be near the variances of X, got {self.epsilon} and {found.variances[0]:g}")
        kept = regular > RANK_CUTOFF**2 * regular[0]
        vectors, root = found.vectors[:, kept], found.scale * np.sqrt(regular[kept])
        rotation = vectors if self.method == "zca" else np.eye(len(root))
        self.mean_, self.eigenvalues_ = found.mean, found.variances[kept]
        with np.errstate(over="ignore", invalid="ignore"):
            self.components_, self.backward_ = (rotation / root) @ vectors.T, (vectors * root) @ rotation.T
        if not np.isfinite(self.components_).all():
            raise ValueError(f"X must vary by more than float64 needs to divide by it, got {found.scale:g} at most")


class PCA(_Linear):
    """The directions of largest variance, as orthonormal coordinates.

    Parameters
    ----------
    n_components : int, optional
        In 1..rank of the centred training rows; None keeps the rank. Singular values at most 1e-6 of the largest do not
        count towards the rank.

    Notes
    -----
    Learns `mean_` (d,), `components_` (k, d) with the largest-magnitude loading positive, `backward_` (d, k),
    `explained_variance_` (k,) (divisor n - 1) and `explained_variance_ratio_` (k,), both descending.
    Cost: two passes, 2 n d^2 flops, d^2 float64 to fit. Source: Hotelling 1933.
    """

    _learned = ("mean_", "components_", "backward_", "explained_variance_", "explained_variance_ratio_")

    def __init__(self, n_components: int | None = None) -> None:
        if n_components is not None:
            whole("n_components", n_components)
        self.n_components = n_components

    def _fit(self, rows: Array) -> None:
        found = _spectrum(rows)
        rank = int((found.values > RANK_CUTOFF**2 * found.values[0]).sum())
        k = rank if self.n_components is None else self.n_components
        if k > rank:
            raise ValueError(f"n_components must be in 1..{rank} (the rank of the centred X), got {k}")
        vectors = found.vectors[:, :k]
        self.mean_, self.components_, self.backward_ = found.mean, vectors.T.copy(), vectors.copy()
        self.explained_variance_ = found.variances[:k]
        self.explained_variance_ratio_ = found.values[:k] / found.values.sum()


STEPS: dict[str, type[Step]] = {
    "normalize": Normalize,
    "center": Center,
    "standardize": Standardize,
    "whiten": Whiten,
    "pca": PCA,
}


class Chain:
    """Steps applied one after another; each is fitted on what the steps before it give.

    Parameters
    ----------
    steps : str, step, or sequence of them
        Names of `STEPS` ("normalize", "center", "standardize", "whiten", "pca") or objects with `fit` and `transform`.
        They are copied: fitting the chain leaves the caller's objects alone.

    Examples
    --------
    >>> Chain(["center", PCA(1), "normalize"]).fit_transform([[1.0, 0.0], [3.0, 0.0], [5.0, 1.0]]).ravel()
    array([-1., -1.,  1.])
    """

    def __init__(self, steps: Any = ()) -> None:
        if isinstance(steps, str) or not isinstance(steps, Iterable):
            steps = [steps]
        self.steps: Sequence[Any] = [_step(step) for step in steps]

    def fit(self, X: ArrayLike) -> Self:
        """Fit each step on X (n, d) as the steps before it leave it. Returns the chain itself."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike) -> Array:
        """`fit(X)` and the transformed rows, in one go."""
        rows = rows_of("X", X)
        for step in self.steps:
            rows = _given_by(step, step.fit(rows).transform(rows), len(rows))
        return rows

    def transform(self, X: ArrayLike) -> Array:
        """X (m, d) -> (m, columns out of the last step); with no step, X itself."""
        rows = rows_of("X", X)
        for step in self.steps:
            rows = _given_by(step, step.transform(rows), len(rows))
        return rows

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Undo the steps, last first. Raises TypeError where one has no inverse."""
        rows = rows_of("Z", Z)
        for step in reversed(self.steps):
            if not hasattr(step, "inverse_transform"):
                raise TypeError(
                    f"steps must all have an inverse to be undone, got {type(step).__name__}, which has none"
                )
            rows = step.inverse_transform(rows)
        return rows

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
        return STEPS[step]()
    if isinstance(step, type) or not (hasattr(step, "fit") and hasattr(step, "transform")):
        raise TypeError(f"step must be a name or an object with fit and transform, got {step!r}; () stands for none")
    return copy.deepcopy(step)
