"""Checks of arguments that the toolkit shares; those of the operations are in `_validate`."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import SparseRows, taken
from ._validate import WIDENED

Array = NDArray[Any]
Float64 = NDArray[np.float64]

LONGEST_VALUE = 60  # signs of a value that a sentence repeats


def brief(value: Any) -> str:
    """A value as a sentence repeats it: on one line, cut where it is long; of an array the shape."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def array_of(name: str, value: ArrayLike) -> Array:
    """`value` as an array of any dtype; a memory map stays one."""
    if isinstance(value, np.memmap):
        return value
    if type(value).__module__.startswith("scipy.sparse"):
        raise TypeError(f"{name} must be dense, got a SciPy sparse matrix; .toarray() makes it so")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array without masked entries, got a masked array; fill it first")
    value = taken(name, value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise TypeError(f"{name} must be an array, or lists of one length, got {brief(value)}") from problem


def rows_of(name: str, value: ArrayLike) -> Array:
    """`value` as an (n, d) array of a dtype that the operations take, n, d >= 1; a memory map stays one.

    A sparse matrix becomes a store that has all that is asked of rows here: slices, shape, dtype, and `np.asarray`.
    """
    read = taken(name, value)
    rows = cast(Array, read) if isinstance(read, SparseRows) else array_of(name, read)
    if (rows.dtype.kind not in "biuf" or rows.dtype.itemsize > 8) and rows.dtype.name != "bfloat16":
        raise TypeError(f"{name} must be {WIDENED}, got dtype {rows.dtype}")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name} must have shape (n, d) with n, d >= 1, got {rows.shape}")
    return rows


def numbers_of(name: str, value: ArrayLike) -> Float64:
    """`value` as a float64 array of any shape."""
    array = array_of(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}")
    return np.asarray(array, dtype=np.float64)


def number(name: str, value: Any, least: float = 0.0, most: float = math.inf) -> float:
    """A finite number in least..most."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {brief(value)}")
    found = float(value)
    if not (math.isfinite(found) and least <= found <= most):
        rule = f"in {least:g}..{most:g}" if math.isfinite(most) else f"finite and at least {least:g}"
        raise ValueError(f"{name} must be {rule}, got {value}")
    return found


def whole(name: str, value: Any, least: int | None = 1) -> int:
    """A whole number, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {brief(value)}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def several(name: str, value: Any) -> list[Any]:
    """The items of any iterable that is no text."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a sequence, got {brief(value)}")
    return list(value)


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """One of some names."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {brief(value)}")
    return value


def labels_of(name: str, value: ArrayLike) -> Array:
    """`value` as (n,) labels that can be compared: all text or all numbers, no NaN."""
    labels = array_of(name, value)
    if labels.dtype == object and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(str)  # as pandas holds them
    if labels.dtype.kind not in "biufSU":
        raise TypeError(f"{name} must be all text or all numbers, got dtype {labels.dtype}")
    if labels.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), one for each row, got {labels.shape}")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"{name} must not be NaN, got it in row {int(np.isnan(labels).argmax())}; leave such rows out")
    return labels


def label_pair(*sides: tuple[str, ArrayLike]) -> list[Array]:
    """Labels of several sides, (name, value) each, all of one kind: NumPy would take the text "1" for the number 1."""
    found = [labels_of(name, value) for name, value in sides]
    if len({"number" if labels.dtype.kind in "biuf" else labels.dtype.kind for labels in found}) > 1:
        kinds = " and ".join(f"{labels.dtype} in {name}" for (name, _), labels in zip(sides, found, strict=True))
        raise TypeError(f"labels must be of one kind on all sides, text or numbers, got {kinds}")
    return found


@contextmanager
def about(what: str) -> Iterator[None]:
    """Put in front of a sentence what it is about, where the arguments it names are not the caller's."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what}: {error}") from error
