"""Every check of an argument and every sentence about one. `<argument> must <rule>, got <value>`."""

from sys import float_info
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import numpy_dtype, on_device, taken, written
from .kernels.tiles import metrics
from .kernels.tiles.finite import first_unfinite

Array = npt.NDArray[Any]
KEYWORDS = {
    "minkowski": ("p", "w"), "seuclidean": ("V",), "mahalanobis": ("VI",), "jensenshannon": ("base",),
    "dot": (), "hellinger": (),
}  # fmt: skip
LARGEST_ID = np.iinfo(np.int64).max
AXES = ("rows", "columns", "both")
TIES = ("index", "optimistic", "pessimistic", "mean")
WIDENED = "bool, integer, float16, bfloat16, float32 or float64"


def matrix(name: str, value: Any) -> Any:
    """(..., rows, features) numbers: an array, or a two-dimensional store read in slices (memmap, HDF5, zarr)."""
    value = on_device(value) or taken(name, value)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array without masked entries, got a masked array; fill it first")
    if not (
        isinstance(getattr(value, "dtype", None), np.dtype)
        and hasattr(value, "shape")
        and hasattr(value, "__getitem__")
    ):
        try:
            value = np.asarray(value)
        except (ValueError, TypeError, RuntimeError) as problem:
            raise TypeError(f"{name} must be rows of numbers of one length, got {brief(value)}") from problem
    _numbers(name, value.dtype)
    if len(value.shape) < 2:
        raise ValueError(f"{name} must have shape (..., rows, features), got {_shape(value)}")
    if value.shape[-1] == 0:
        raise ValueError(f"{name} must have at least one feature, got shape {_shape(value)}")
    return value


def gallery(name: str, value: Any) -> Any:
    """A matrix with at least one row."""
    value = matrix(name, value)
    if value.shape[-2] == 0:
        raise ValueError(f"{name} must have at least one row, got shape {_shape(value)}")
    return value


def flat(name: str, value: Any) -> Any:
    """A matrix without leading axes; a gallery has at least one row."""
    value = gallery(name, value) if name == "gallery" else matrix(name, value)
    if len(value.shape) != 2:
        raise ValueError(f"{name} must have shape (rows, features), got {_shape(value)}; this result has no batch axes")
    return value


def radius(value: Any, m: int) -> Array:
    value = _array("radius", value)
    if value.dtype.kind not in "biuf":
        raise TypeError(f"radius must be a number or numbers (m,), got dtype {value.dtype}")
    found = _broadcast("radius", value.astype(np.float64), (m,))
    if np.isnan(found).any():
        raise ValueError(f"radius must be a number, got nan for query {int(np.flatnonzero(np.isnan(found))[0])}")
    return found


def tie_policy(ties: Any) -> None:
    if not isinstance(ties, str) or ties not in TIES:
        raise ValueError(f"ties must be one of {list(TIES)}, got {brief(ties)}")


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {brief(value)}")
    return bool(value)


def csr_of(positives: Any) -> tuple[Any, Any] | None:
    """(indptr, indices) where positives are given so."""
    if not isinstance(positives, tuple) or len(positives) != 2:
        return None
    indptr, indices = (taken("positives", part) for part in positives)
    return (indptr, indices) if np.ndim(indptr) == np.ndim(indices) == 1 else None


def positives(value: Any, m: int, n: int) -> tuple[Array, Array]:
    """(row (e,), positive (e,)) int64 of (m,) or CSR (indptr (m + 1,), indices)."""
    csr = csr_of(value)
    indptr, indices = (_whole("positives", part) for part in csr or (np.arange(m + 1), value))
    for part in (indptr, indices):
        if part.dtype.kind not in "iu":
            raise TypeError(f"positives must be whole numbers, got dtype {part.dtype}")
    if csr is None and indices.shape != (m,):
        raise ValueError(f"positives must have shape ({m},), one a query, or be (indptr, indices), got {indices.shape}")
    if indptr.shape != (m + 1,) or indptr[0] != 0 or indptr[-1] != len(indices) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"positives must have an ascending indptr of {m + 1} numbers from 0 to {len(indices)}")
    if indices.size and not (indices.min() >= 0 and indices.max() < n):
        worst = indices.min() if indices.min() < 0 else indices.max()
        raise ValueError(f"positives must be gallery rows in 0..{n - 1}, got {worst}")
    return np.repeat(np.arange(m), np.diff(indptr)), indices.astype(np.int64)


def ready_scores(X: Any, Y: Any, metric: Any, metric_kwargs: Any = None) -> bool:
    """Whether X holds scores; else a metric compares it with Y."""
    if not isinstance(metric, str) or metric != "precomputed":
        metric_name(metric)
        if Y is None:
            raise ValueError(
                f"Y must be given with metric={metric!r}, got None; ready scores go with metric='precomputed'"
            )
        return False
    if Y is not None:
        raise ValueError(f"Y must be None with metric='precomputed', where X holds the scores, got shape {np.shape(Y)}")
    if metric_kwargs is not None:
        raise ValueError(f"metric_kwargs must be None with metric='precomputed', got {brief(metric_kwargs)}")
    return True


def positive(name: str, value: Any) -> float:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not 0 < value < np.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {brief(value)}")
    return float(value)


def axis_name(axis: Any) -> None:
    if not isinstance(axis, str) or axis not in AXES:
        raise ValueError(f"axis must be one of {list(AXES)}, got {brief(axis)}")


def same_features(x_name: str, x: Any, y_name: str, y: Any) -> None:
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{x_name} and {y_name} must have the same number of features, got {x.shape[-1]} and {y.shape[-1]}"
        )


def joined(name: str, dtype: Any, held: Any) -> None:
    """Refuse rows where no dtype holds theirs and those that are there, such as float16 and bfloat16."""
    try:
        np.result_type(dtype, held)
    except TypeError as none:
        raise TypeError(
            f"{name} must have a dtype that goes with {held}, got {dtype}: convert them to float32"
        ) from none


def batch(x_name: str, x: Any, y_name: str, y: Any) -> tuple[int, ...]:
    """The leading axes that both sides broadcast to."""
    if len(x.shape) == len(y.shape) == 2:
        return ()
    try:
        return np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ValueError(
            f"leading axes of {x_name} and {y_name} must broadcast, got shapes {_shape(x)} and {_shape(y)}"
        ) from None


def metric_name(name: Any, allowed: tuple[str, ...] = metrics.NAMES) -> str:
    if not isinstance(name, str) or name not in allowed:
        raise ValueError(f"metric must be one of {sorted(allowed)}, got {brief(name)}")
    return str(name)


class Known(dict[str, Any]):
    """Keywords of a metric that were checked, or made of all rows, which may be too large for finite ones."""


def metric_keywords(name: str, given: Any, d: int) -> dict[str, Any]:
    """`metric_kwargs` for rows of d features."""
    if isinstance(given, Known):
        return given
    if not isinstance(given, dict | None):
        raise TypeError(f"metric_kwargs must be a dict, got {brief(given)}")
    allowed = KEYWORDS.get(name, ("w",))
    checked: dict[str, Any] = {}
    for keyword, value in (given or {}).items():
        if keyword not in allowed:
            raise ValueError(f"metric_kwargs for metric={name!r} must be among {list(allowed)}, got {keyword!r}")
        if keyword in ("p", "base"):
            real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
            least = 0 if keyword == "p" else 1  # entropy to a base below 1 is negative
            if not real or not value > least or (keyword == "base" and value == np.inf):
                raise ValueError(f"metric_kwargs[{keyword!r}] must be a number above {least}, got {value!r}")
            checked[keyword] = float(min(value, int(float_info.max)) if isinstance(value, int) else value)
            continue
        shape = (d, d) if keyword == "VI" else (d,)
        array = _array(f"metric_kwargs[{keyword!r}]", value)
        if array.dtype.kind not in "biuf" or array.shape != shape:
            raise ValueError(f"metric_kwargs[{keyword!r}] must be numbers of shape {shape}, got {brief(value)}")
        if not np.isfinite(array).all() or (keyword != "VI" and (array < 0).any()):
            raise ValueError(f"metric_kwargs[{keyword!r}] must be finite and not negative, got {brief(value)}")
        checked[keyword] = array.astype(np.float64)
    return checked


def neighbours(name: str, k: Any, rows: int, side: str) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {k!r}")
    if not 1 <= k <= rows:
        raise ValueError(f"{name} must be in 1..{rows} (the rows of {side}), got {k}")
    return int(k)


def both_neighbours(k: Any, columns: int, rows: int) -> tuple[int, int]:
    """k of topk_both: one number, or (k of the rows, k of the columns)."""
    if isinstance(k, tuple | list):
        if len(k) != 2:
            raise ValueError(f"k must be one number or (k_rows, k_columns), got {k!r}")
        return neighbours("k[0]", k[0], columns, "Y"), neighbours("k[1]", k[1], rows, "X")
    return neighbours("k", k, columns, "Y"), neighbours("k", k, rows, "X")


def output_dtype(dtype: Any, *inputs: Any) -> np.dtype[Any]:
    """`dtype`, or float32 where that holds every input, else float64."""
    if dtype is None:
        from .kernels.tiles.rows import holding_all

        held: np.dtype[Any] = holding_all(*(value.dtype for value in inputs))
        return held
    try:
        found: np.dtype[Any] = np.dtype(numpy_dtype(dtype))
    except TypeError:
        raise TypeError(f"dtype must be float16, float32 or float64, got {dtype!r}") from None
    if found.name not in ("float16", "float32", "float64"):
        raise TypeError(f"dtype must be float16, float32 or float64, got {found}")
    return found


def output(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], **inputs: Any) -> Array:
    """`out` as given, or a new array; one that shares memory with an input would be read after it was written."""
    if out is None:
        return np.empty(shape, dtype)
    out = written(out)
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and isinstance(out, np.ndarray) and np.may_share_memory(out, value):
            raise ValueError(f"out must not share memory with {name}, got an array that overlaps it")
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        found = f"{_shape(out)} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        if isinstance(out, np.ndarray) and not out.flags.writeable:
            found = f"a read-only {found}"
        raise ValueError(f"out must be a writeable array of shape {shape} and dtype {dtype}, got {found}")
    return out


def exclusion(exclude_self: Any, exclude: Any, lead: tuple[int, ...], m: int, n: int) -> Array | None:
    """(..., m) int64: the gallery row that each query may not match, -1 for none."""
    exclude_self = flag("exclude_self", exclude_self)
    if exclude_self and exclude is not None:
        raise ValueError("exclude_self must be False where exclude is given, got both; put arange(m) into exclude")
    if exclude_self:
        if m != n:
            raise ValueError(f"exclude_self must have as many queries as gallery rows, got {m} and {n}; use exclude=")
        return np.broadcast_to(np.arange(m), (*lead, m))
    if exclude is None:
        return None
    exclude = _whole("exclude", exclude)
    if exclude.dtype.kind not in "iu":
        raise TypeError(f"exclude must be whole numbers, got dtype {exclude.dtype}")
    if exclude.size and not (exclude.min() >= -1 and exclude.max() < n):
        worst = exclude.min() if exclude.min() < -1 else exclude.max()
        raise ValueError(f"exclude must be -1 (none) or a gallery row in 0..{n - 1}, got {worst}")
    return _broadcast("exclude", exclude.astype(np.int64), (*lead, m))


def allowance(mask: Any, lead: tuple[int, ...], m: int, n: int) -> Any:
    """(n,) or (..., m, n) bool, True = may match. A two-dimensional store stays one."""
    if mask is None:
        return None
    mask = taken("mask", mask)
    if not isinstance(getattr(mask, "dtype", None), np.dtype) or isinstance(mask, np.ma.MaskedArray):
        mask = _array("mask", mask)
    if mask.dtype.kind != "b":
        raise TypeError(f"mask must be bool, got dtype {mask.dtype}")
    if len(mask.shape) == 0:
        raise ValueError(f"mask must have shape {(n,)} or {(*lead, m, n)}, got {np.asarray(mask[()]).item()}")
    if mask.shape == (n,):
        return np.asarray(mask[:])
    if mask.shape == (m, n) and not lead:
        return mask
    return _broadcast("mask", np.asarray(mask[:]), (*lead, m, n))


def biases(bias: Any, lead: tuple[int, ...], m: int, n: int) -> tuple[Array, Array] | None:
    """(u, v) as float64 (..., m) and (..., n)."""
    if bias is None:
        return None
    if not isinstance(bias, tuple | list) or len(bias) != 2:
        raise TypeError(f"bias must be a pair (per query, per gallery row), got {brief(bias)}")
    sides = []
    for name, side, size in (("bias[0]", bias[0], m), ("bias[1]", bias[1], n)):
        side = _array(name, side)
        if side.dtype.kind not in "biuf":
            raise TypeError(f"{name} must be numbers, got dtype {side.dtype}")
        side = _broadcast(name, side.astype(np.float64), (*lead, size))
        if not np.isfinite(side).all():
            raise ValueError(f"{name} must be finite, got {side[~np.isfinite(side)][0]}; mask= leaves pairs out")
        sides.append(side)
    return sides[0], sides[1]


def maps(E: Any, M: Any, bias: Any, which: Any, check_finite: bool) -> tuple[Any, Any, Array | None, Array | None]:
    """The arguments of `transfer`, checked: E (..., n, d_in), M (..., d_out, d_in), with which (g, d_out, d_in)."""
    E, M = matrix("E", E), matrix("M", M)
    if E.shape[-1] != M.shape[-1]:
        raise ValueError(
            f"E and M must agree in d_in, their last axis, got {E.shape[-1]} and {M.shape[-1]}; rows are e_j = M e_i"
        )
    if which is None:
        lead = batch("E", E, "M", M)
        return E, M, _shift(bias, (*lead, M.shape[-2]), check_finite), None
    if len(M.shape) != 3 or len(E.shape) != 2:
        raise ValueError(f"which must come with E (n, d_in) and M (g, d_out, d_in), got {_shape(E)} and {_shape(M)}")
    which = _whole("which", which)
    if which.dtype.kind not in "iu":
        raise TypeError(f"which must be whole numbers, got dtype {which.dtype}")
    which = _broadcast("which", which, E.shape[:1])
    if which.size and not (which.min() >= 0 and which.max() < M.shape[0]):
        worst = which.min() if which.min() < 0 else which.max()
        raise ValueError(f"which must name a matrix in 0..{M.shape[0] - 1}, got {worst}")
    return E, M, _shift(bias, M.shape[:2], check_finite), which.astype(np.int64, copy=False)


def _shift(bias: Any, shape: tuple[int, ...], check_finite: bool) -> Array | None:
    if bias is None:
        return None
    given = _array("bias", bias)
    _numbers("bias", given.dtype)
    spread = _broadcast("bias", given, shape)
    if check_finite and (at := first_unfinite(given)) is not None:
        raise ValueError(f"bias must be finite, got {given[at]}")
    return spread


def _numbers(name: str, dtype: np.dtype[Any]) -> None:
    if (dtype.kind not in "biuf" or dtype.itemsize > 8) and dtype.name != "bfloat16":
        raise TypeError(f"{name} must be {WIDENED}, got dtype {dtype}")


def _broadcast(name: str, value: Array, shape: tuple[int, ...]) -> Array:
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}") from None


def _array(name: str, value: Any) -> Array:
    """An array of one of the arguments beside the matrices."""
    value = taken(name, value)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array without masked or missing entries, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        raise TypeError(f"{name} must be an array, got {brief(value)}") from None


def _whole(name: str, value: Any) -> Array:
    """`_array`; the empty list, which NumPy takes for floats, as whole numbers."""
    array = _array(name, value)
    return array if array.size else array.astype(np.int64)


def ids(name: str, value: Any) -> Array:
    """Whole numbers, int64."""
    array = _whole(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, got dtype {array.dtype}")
    if array.size and array.max() > LARGEST_ID:
        raise ValueError(f"{name} must be at most {LARGEST_ID}, got {array.max()}")
    return array.astype(np.int64)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in value.shape)


def brief(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
