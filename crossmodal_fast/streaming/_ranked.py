"""`ranks` in parts: the values of the positives are made first, then what is better is counted."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._keys import keys_of
from .._search import counted, ranked
from ..kernels.tiles import metrics
from ..kernels.tiles.rows import Rows
from ._restrictions import Order
from ._search import Arrays, Epilogue, Lines, Part

Array = NDArray[Any]
STATE_BYTES = 96  # of a positive: its value and three counts, twice, and its rank


class Standing(NamedTuple):
    """Of each positive of a block: its value, the rows better than it, equal and before it, equal; `size` queries."""

    values: Array
    better: Array
    before: Array
    equal: Array
    size: Array

    @property
    def queries(self) -> int:
        return int(self.size)


class Ranked(Epilogue):
    """`ranks`: what is better than given rows, counted. Those rows are read first, by their numbers."""

    operation, state = "ranks", Standing

    def __init__(self, row: Array, positive: Array, ties: str, gallery: Any) -> None:
        self.row, self.positive, self.ties, self.gallery = row, positive, ties, gallery
        self.query_bytes = STATE_BYTES * int(np.bincount(row).max(initial=1))
        self.arrays = {"ranks": np.dtype(np.float64 if ties == "mean" else np.int64)}

    def settings(self) -> dict[str, Any]:
        return {"positives": np.stack([self.row, self.positive]), "ties": self.ties}

    def _of(self, rows: slice) -> tuple[Array, Array]:
        """(query of the block (e,), positive (e,)) of some queries."""
        part = slice(*np.searchsorted(self.row, [rows.start, rows.stop]))
        return self.row[part] - rows.start, self.positive[part]

    def begin(self, rows: slice, queries: Array, order: Order, bias: Any) -> Standing:
        row, positive = self._of(rows)
        at = np.argsort(positive, kind="stable")  # a file is read from its first row to its last
        name, keywords = order.kept_as
        x, y = Rows("", queries, False), Rows("", self.gallery, False)
        added, values = None if bias is None else (bias[0][rows], bias[1]), np.empty(len(row))
        values[at] = keys_of(metrics.metric(name, queries.shape[1], keywords), x, y, row[at], positive[at], added)
        none = np.zeros(len(row), np.int64)
        return Standing(values, none, none, none, np.array(len(queries)))

    def add(self, found: Standing, part: Part) -> Standing:
        row, positive = self._of(part.rows)
        better, before, equal = counted(
            part.queries, part.gallery, (row, positive - part.start), found.values, *part.order.kept_as, part.pairs,
            part.settled,
        )  # fmt: skip
        return found._replace(better=found.better + better, before=found.before + before, equal=found.equal + equal)

    def end(self, found: Standing, order: Order, seen: int) -> Arrays:
        return {"ranks": ranked(self.ties, (found.better, found.before, found.equal))}

    def empty(self) -> Arrays:
        return {"ranks": np.empty(0, self.arrays["ranks"])}

    def joined(self, blocks: Sequence[Mapping[str, Array]]) -> Array:
        return np.concatenate([block["ranks"] for block in (self.empty(), *blocks)])

    def shapes(self, queries: int, entries: int) -> dict[str, tuple[int, ...]]:
        return {"ranks": (entries,)}

    def written(self, blocks: Iterator[tuple[int, Mapping[str, Array]]]) -> Iterator[tuple[Arrays, Lines]]:
        at = 0
        for _, found in blocks:
            part = slice(at, at + len(found["ranks"]))
            positive = self.positive[part] if self.gallery.ids is None else self.gallery.ids[self.positive[part]]
            columns = {"query": self.row[part], "gallery": positive, "rank": found["ranks"]}
            yield dict(found), partial(dict, columns)
            at = part.stop
