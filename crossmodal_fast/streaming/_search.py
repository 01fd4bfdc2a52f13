"""One search of a block of queries over a gallery that comes in parts: the loop that all searches share.

What is kept of the parts, and what comes of it in the end, is an `Epilogue`: a class and a file for each search. Values
are kept as float64 keys (`Order`), by which what parts gave is put in order: the bits of one part.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._config import Config
from .._search import Pairs, Side
from ._restrictions import Order, Restrictions

Array = NDArray[Any]
Arrays = dict[str, Array]
Lines = Callable[[], Arrays]  # makes the columns of a table


class Part(NamedTuple):
    """A block of queries, `rows` of all, and a part of the gallery from `start` on."""

    queries: Side
    gallery: Side
    rows: slice
    start: int
    pairs: Pairs
    order: Order
    settled: Config


class Epilogue(ABC):
    """What a search does with each part, and makes of it in the end. States are named tuples of arrays."""

    operation: str
    state: Any  # the class of the states
    arrays: dict[str, np.dtype[Any]]  # of the result
    query_bytes: int  # of what is kept for a query, the least

    def block_rows(self, most: int) -> int:
        """Queries of the next block."""
        return most

    def part_rows(self, most: int) -> int:
        """Rows of the gallery in its next part."""
        return most

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What a search that is resumed compares, beside rows and restrictions."""

    @abstractmethod
    def begin(self, rows: slice, queries: Array, order: Order, bias: Any) -> Any:
        """The state of a block before the first part."""

    @abstractmethod
    def add(self, state: Any, part: Part) -> Any:
        """The state with a part; of fewer queries where it leaves the last ones to another block."""

    @abstractmethod
    def end(self, state: Any, order: Order, seen: int) -> Arrays:
        """The result of a block after the last of `seen` rows, for the journal."""

    @abstractmethod
    def empty(self) -> Arrays:
        """The result of no queries."""

    @abstractmethod
    def joined(self, blocks: Sequence[Mapping[str, Array]]) -> Any:
        """What is returned."""

    @abstractmethod
    def shapes(self, queries: int, entries: int) -> dict[str, tuple[int, ...]]:
        """Of the arrays that are written."""

    @abstractmethod
    def written(self, blocks: Iterator[tuple[int, Mapping[str, Array]]]) -> Iterator[tuple[Arrays, Lines]]:
        """Of each block, with its first query: pieces of the arrays, and what makes its lines of a table."""


def searched(
    queries: Array,
    first: int,
    parts: Iterator[tuple[int, Array]],
    state: Any,
    epilogue: Epilogue,
    order: Order,
    restrictions: Restrictions,
    settled: Config,
    told: Callable[[Any, int], None],
) -> tuple[Any, int]:
    """(state of the queries from `first` on with all parts, rows of the gallery); `told` hears of both after each."""
    seen = 0
    for start, part in parts:
        seen = start + len(part)
        rows = slice(first, first + state.queries)
        sides = ("queries", queries[: state.queries]), ("gallery", _validate.gallery("gallery", part))
        pairs = restrictions.of(rows, slice(start, seen))
        state = epilogue.add(state, Part(*sides, rows, start, pairs, order, settled))
        told(state, seen)
    return state, seen


def matches(start: int, counts: Array, found: Mapping[str, Array]) -> Arrays:
    """A line for each match of the queries from `start` on, as `crossmodal-fast match` writes them."""
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return {
        "query": np.repeat(start + np.arange(len(counts)), counts),
        "gallery": found["indices"].ravel(),
        "rank": 1 + np.arange(len(first)) - first,
        "distance": found["distances"].ravel(),
    }
