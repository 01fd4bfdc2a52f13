"""Dask arrays taken apart into blocks of rows, and put together again from delayed results."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from .. import _validate
from .._arguments import brief
from ..kernels.tiles.rows import Rows
from ._needed import needed

FAN_IN = 8  # results that one task joins: a thousand shards make four levels, and no task holds more than eight


class Block(NamedTuple):
    """Rows start..stop - 1 of an array, computed when they are needed."""

    start: int
    stop: int
    rows: Any  # delayed

    @property
    def size(self) -> int:
        return self.stop - self.start


def rows_of(name: str, value: Any, filled: bool = False) -> Any:
    """A dask array (n, d) of numbers, each chunk whole rows; without chunks that hold no row, unless all do.

    filled: there has to be a row.
    """
    array = needed("dask.array")
    if not isinstance(value, array.Array):
        raise TypeError(
            f"{name} must be a dask array, got {type(value).__module__.partition('.')[0]}.{type(value).__qualname__}; "
            f"dask.array.from_array({name}, chunks=...) makes one"
        )
    if np.isnan(value.shape).any():
        raise ValueError(
            f"{name} must have known chunk sizes, got shape {value.shape}; compute_chunk_sizes() finds them"
        )
    alike = np.broadcast_to(np.zeros((), value.dtype), value.shape)
    _validate.flat(name, _validate.gallery(name, alike) if filled else alike)
    if value.shape[0] == 0:
        return value.rechunk(value.shape)
    return value.rechunk({0: tuple(size for size in value.chunks[0] if size), 1: -1})


def blocks(name: str, value: Any, check_finite: bool = False) -> list[Block]:
    """The chunks of rows, checked where they are computed if wanted."""
    stops = list(accumulate(value.chunks[0]))
    delayed = needed("dask").delayed
    found = []
    for stop, size, part in zip(stops, value.chunks[0], value.to_delayed().reshape(len(stops), -1), strict=True):
        rows = delayed(checked, pure=True)(name, part[0], stop - size) if check_finite else part[0]
        found.append(Block(stop - size, stop, rows))
    return found


def checked(name: str, rows: Any, first: int) -> Any:
    """Rows without NaN and infinity; the first that has some is named by its number in the whole."""
    Rows(name, _validate.matrix(name, rows), True, first).refuse_unfinite()
    return rows


def beside(name: str, value: Any, chunks: tuple[tuple[int, ...], ...], check: Callable[[Any], Any]) -> Any:
    """An argument beside the rows in the chunks of those: an array of dask, its values checked later, or checked now.

    What is in memory passes `check`, which gives it the shape.
    """
    if value is None:
        return None
    array, shape = needed("dask.array"), tuple(map(sum, chunks))
    if not isinstance(value, array.Array):
        return array.from_array(check(value), chunks=chunks)
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    return value.rechunk(chunks)


def in_memory(value: Any) -> Any:
    """Numbers of which there is one a query, or a tuple of such, computed now where they are Dask's."""
    if isinstance(value, tuple):
        return tuple(in_memory(part) for part in value)
    return value.compute() if isinstance(value, needed("dask.array").Array) else value


def parts(value: Any) -> Any:
    """The delayed chunks of an array, an object array of as many axes; None for None."""
    return None if value is None else value.to_delayed()


def tree(join: Callable[..., Any], found: Sequence[Any]) -> Any:
    """All results joined, FAN_IN neighbours at a time: in the order of the chunks, whoever is done first."""
    found, joined = list(found), needed("dask").delayed(join, pure=True)
    while len(found) > 1:
        found = [joined(*found[at : at + FAN_IN]) for at in range(0, len(found), FAN_IN)]
    return found[0]


def whole(found: Sequence[Any], shapes: Sequence[tuple[Any, ...]], dtype: Any) -> Any:
    """One array of delayed blocks of rows."""
    array = needed("dask.array")
    made = [array.from_delayed(part, shape, dtype) for part, shape in zip(found, shapes, strict=True)]
    return array.concatenate(made)


def no_progress(value: Any) -> None:
    if value:
        raise ValueError(
            f"progress must be False with dask arrays, got {brief(value)}; dask.diagnostics and the dashboard show it"
        )
