"""Which rows a search may find: FAISS's selectors, as masks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class IDSelector:
    """A set of ids: `members(ids (n,))` says (n,) bool which are in it. Derive from it, or from a subclass."""

    def members(self, ids: Array) -> Array:
        return np.fromiter((bool(self.is_member(int(one))) for one in ids), bool, len(ids))

    def is_member(self, id: int) -> bool:
        return bool(self.members(np.array([id]))[0])


class IDSelectorAll(IDSelector):
    """All ids."""

    def members(self, ids: Array) -> Array:
        return np.ones(len(ids), bool)


class IDSelectorRange(IDSelector):
    """imin <= id < imax."""

    def __init__(self, imin: int, imax: int, assume_sorted: bool = False) -> None:
        self.imin, self.imax = imin, imax

    def members(self, ids: Array) -> Array:
        return (ids >= self.imin) & (ids < self.imax)


class IDSelectorBatch(IDSelector):
    """The ids given."""

    def __init__(self, ids: Iterable[int]) -> None:
        self.ids = np.asarray(ids, np.int64).ravel()

    def members(self, ids: Array) -> Array:
        return np.isin(ids, self.ids)


class IDSelectorArray(IDSelectorBatch):
    """The ids given."""


class IDSelectorBitmap(IDSelector):
    """Bit i % 8 of byte i // 8 says whether id i is in it; what is beyond the bytes is not."""

    def __init__(self, bitmap: Any) -> None:
        self.bits = np.unpackbits(np.asarray(bitmap, np.uint8).ravel(), bitorder="little").astype(bool)

    def members(self, ids: Array) -> Array:
        there = (ids >= 0) & (ids < len(self.bits))
        there[there] = self.bits[ids[there]]
        return there


class IDSelectorNot(IDSelector):
    """All ids but those of another selector."""

    def __init__(self, sel: Any) -> None:
        self.sel = sel

    def members(self, ids: Array) -> Array:
        return ~members(self.sel, ids)


class _Both(IDSelector):
    combine: Callable[[Array, Array], Array]

    def __init__(self, lhs: Any, rhs: Any) -> None:
        self.lhs, self.rhs = lhs, rhs

    def members(self, ids: Array) -> Array:
        return type(self).combine(members(self.lhs, ids), members(self.rhs, ids))


class IDSelectorAnd(_Both):
    """Ids of both."""

    combine = np.logical_and


class IDSelectorOr(_Both):
    """Ids of one or both."""

    combine = np.logical_or


class IDSelectorXOr(_Both):
    """Ids of one and not of both."""

    combine = np.logical_xor


class SearchParameters:
    """Parameters of a search: `sel`, a selector of ours or FAISS's, or a mask (ntotal,) of bool."""

    def __init__(self, sel: Any = None) -> None:
        self.sel = sel


def members(selector: Any, ids: Array) -> Array:
    """(n,) bool of any selector; those of FAISS itself answer one id at a time."""
    return IDSelector.members(selector, ids) if not isinstance(selector, IDSelector) else selector.members(ids)


def mask_of(params: Any, rows: int) -> Array | None:
    """(rows,) bool, which rows the parameters let through; None for all."""
    selector = getattr(params, "sel", None)
    if selector is None:
        return None
    if hasattr(selector, "is_member"):
        return members(selector, np.arange(rows))
    return np.asarray(selector)
