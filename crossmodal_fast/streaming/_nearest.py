"""`topk` in parts: the k best are kept."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._search import TopK, select
from ._restrictions import Order
from ._search import Arrays, Epilogue, Lines, Part, matches

Array = NDArray[Any]
STATE_BYTES = 96  # of one of the k best while parts are merged: value and index, twice, their order and the keys


class Best(NamedTuple):
    """The k best so far: values (m, k) float64, ascending as they are ordered, and indices (m, k), -1 for none."""

    values: Array
    indices: Array

    @property
    def queries(self) -> int:
        return len(self.values)

    def limit(self) -> Array:
        """(m,) the value that a row from behind must be below; +inf where there are fewer than k."""
        last = self.values[:, -1]
        return np.where((self.indices[:, -1] < 0) | np.isnan(last), np.inf, last)

    def with_others(self, values: Array, indices: Array) -> "Best":
        k = self.values.shape[1]
        both, partners = np.hstack([self.values, values]), np.hstack([self.indices, indices])
        order = np.lexsort((partners, both, partners < 0), axis=1)[:, :k]
        return Best(np.take_along_axis(both, order, 1), np.take_along_axis(partners, order, 1))


def nothing(m: int, k: int) -> Best:
    return Best(np.full((m, k), np.inf), np.full((m, k), -1, np.int64))


class Nearest(Epilogue):
    """`topk`: the k best."""

    operation, state = "topk", Best

    def __init__(self, k: int, dtype: np.dtype[Any]) -> None:
        self.k, self.query_bytes = k, STATE_BYTES * k
        self.arrays = {"distances": dtype, "indices": np.dtype(np.int64)}

    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "dtype": self.arrays["distances"].name}

    def begin(self, rows: slice, queries: Array, order: Order, bias: Any) -> Best:
        return nothing(len(queries), self.k)

    def add(self, best: Best, part: Part) -> Best:
        wanted = min(self.k, len(part.gallery[1])), 0
        ((distances, indices),), _ = select(
            part.queries, part.gallery, wanted, *part.order.kept_as, part.pairs, np.float64, part.settled,
            limit=best.limit(),
        )  # fmt: skip
        return best.with_others(part.order.values(distances), np.where(indices < 0, -1, indices + part.start))

    def end(self, best: Best, order: Order, seen: int) -> Arrays:
        if seen and seen < self.k:
            raise ValueError(f"k must be in 1..{seen} (the rows of gallery), got {self.k}")
        return {"distances": order.distances(best.values, self.arrays["distances"]), "indices": best.indices}

    def empty(self) -> Arrays:
        return {name: np.empty((0, self.k), dtype) for name, dtype in self.arrays.items()}

    def joined(self, blocks: Sequence[Mapping[str, Array]]) -> TopK:
        return TopK(*(np.concatenate([block[name] for block in (self.empty(), *blocks)]) for name in self.arrays))

    def shapes(self, queries: int, entries: int) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(self.arrays, (queries, self.k))

    def written(self, blocks: Iterator[tuple[int, Mapping[str, Array]]]) -> Iterator[tuple[Arrays, Lines]]:
        for start, found in blocks:
            counts = np.full(len(found["indices"]), self.k)
            yield dict(found), partial(matches, start, counts, found)
