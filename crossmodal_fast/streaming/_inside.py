"""`within` in parts: what is inside is kept, of as many queries as there is room for."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._keys import square_of
from .._search import Within, search_within
from ._restrictions import Order
from ._search import Arrays, Epilogue, Lines, Part, matches

Array = NDArray[Any]
PAIR_BYTES = 64  # of a pair that is kept: row, value, index, and what their order takes
GROWTH = 8  # rows of the next part by those of the last where few of them were inside
FILLED = 0.75  # of the room, by blocks after the first: queries differ


class Found(NamedTuple):
    """Pairs inside, in any order: queries of the block (r,), values and indices; `size` queries are searched."""

    row: Array
    values: Array
    indices: Array
    size: Array

    @property
    def queries(self) -> int:
        return int(self.size)


class Inside(Epilogue):
    """`within`: all inside a radius.

    What a block of queries has found stays in memory until its end. Where that is more than `room` bytes the last
    queries of the block are left to the next, which reads the gallery again, but for one that is read once. A part is
    made no longer than what the part before it tells will fit.
    """

    operation, state = "within", Found

    def __init__(self, radius: Array, dtype: np.dtype[Any], room: int, once: bool) -> None:
        self.radius, self.once, self._mean = radius, once, 0.0  # pairs of a query, in the block before
        self.room, self.query_bytes = max(1, room // PAIR_BYTES), PAIR_BYTES
        self._next = 1  # rows, of a block that is gone on with
        self.arrays = {"indptr": np.dtype(np.int64), "indices": np.dtype(np.int64), "distances": dtype}

    def settings(self) -> dict[str, Any]:
        return {"radius": self.radius, "dtype": self.arrays["distances"].name}

    def begin(self, rows: slice, queries: Array, order: Order, bias: Any) -> Found:
        self._next = max(1, self.room // max(1, len(queries)))
        return Found(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.array(len(queries)))

    def block_rows(self, most: int) -> int:
        return max(1, min(most, int(FILLED * self.room / self._mean))) if self._mean else most

    def part_rows(self, most: int) -> int:
        return min(most, self._next)

    def add(self, found: Found, part: Part) -> Found:
        radius = self._radius_of(part.rows)
        inside = search_within(
            part.queries, part.gallery, square_of(radius) if part.order.rooted else radius,
            *part.order.kept_as, part.pairs, np.float64, part.settled,
        )  # fmt: skip
        size = len(part.gallery[1])
        self._next = max(1, min(GROWTH * size, size * self.room // max(1, 2 * len(inside.indices))))
        row = np.repeat(np.arange(found.queries), np.diff(inside.indptr))
        more = Found(row, part.order.values(inside.distances), inside.indices + part.start, found.size)
        return self._fitting(
            found._replace(
                **{
                    name: np.concatenate([getattr(found, name), getattr(more, name)])
                    for name in ("row", "values", "indices")
                }
            )
        )

    def _radius_of(self, rows: slice) -> Array:
        return self.radius[rows] if self.radius.ndim else np.full(rows.stop - rows.start, float(self.radius))

    def _fitting(self, found: Found) -> Found:
        """Without the last queries where there is no room for all."""
        if len(found.row) <= self.room or found.queries == 1 or self.once:
            return found
        ends = np.cumsum(np.bincount(found.row, minlength=found.queries))
        size = max(1, int(np.searchsorted(ends, self.room / 2, side="right")))
        kept = found.row < size
        return Found(found.row[kept], found.values[kept], found.indices[kept], np.array(size))

    def end(self, found: Found, order: Order, seen: int) -> Arrays:
        self._mean = len(found.row) / found.queries
        at = np.lexsort((found.indices, found.values, found.row))
        return {
            "counts": np.bincount(found.row, minlength=found.queries),
            "indices": found.indices[at],
            "distances": order.distances(found.values[at], self.arrays["distances"]),
        }

    def empty(self) -> Arrays:
        return {
            "counts": np.empty(0, np.int64),
            "indices": np.empty(0, np.int64),
            "distances": np.empty(0, self.arrays["distances"]),
        }

    def joined(self, blocks: Sequence[Mapping[str, Array]]) -> Within:
        empty = self.empty()
        counts, *found = (np.concatenate([block[name] for block in (empty, *blocks)]) for name in empty)
        return Within(np.concatenate([[0], np.cumsum(counts)]), *found)

    def shapes(self, queries: int, entries: int) -> dict[str, tuple[int, ...]]:
        return {"indptr": (queries + 1,), "indices": (entries,), "distances": (entries,)}

    def written(self, blocks: Iterator[tuple[int, Mapping[str, Array]]]) -> Iterator[tuple[Arrays, Lines]]:
        last = np.zeros(1, np.int64)
        for start, found in blocks:
            counts = found["counts"]
            indptr = np.cumsum(np.concatenate([last, counts]))
            yield (
                {"indptr": indptr[bool(start) :], "indices": found["indices"], "distances": found["distances"]},
                partial(matches, start, counts, found),
            )
            last = indptr[-1:]
