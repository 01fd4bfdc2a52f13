"""One search in blocks of queries and parts of the gallery: what it depends on, what it keeps, how far it is."""

import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._config import Config
from .._progress import bar
from .._search import Progress
from ..kernels.tiles import metrics
from ..kernels.tiles.rows import Rows
from ._destinations import Block
from ._journal import Journal, Memory
from ._reading import ahead
from ._search import Best, Restrictions, nothing, order_of, searched
from ._sources import SAMPLE, Source

Array = NDArray[Any]
SHARES = {"part": 1 / 8, "queries": 1 / 16, "results": 1 / 8, "engine": 1 / 2}  # of max_bytes; two parts at a time
KEPT_SECONDS = 20.0  # of work that a kill may cost, beside the part that it falls into
STRETCH_BYTES = 1 << 31  # of a gallery in a file, searched at once: what is kept then can be resumed
LIST_BYTES = 40_000  # of candidates of a query while the engine searches
STATE_BYTES = 96  # of one of the k best while parts are merged: value and index, twice, their order and the keys
LARGEST = int(np.iinfo(np.int64).max)
FROM_ALL_ROWS = {"seuclidean": "V", "mahalanobis": "VI"}  # which a part alone would give otherwise


class Run:
    """The blocks of a search, each searched or taken over from a journal."""

    def __init__(
        self,
        x: Source,
        y: Source,
        k: int,
        metric: str,
        settled: Config,
        *,
        metric_kwargs: dict[str, Any] | None = None,
        exclude_self: bool = False,
        exclude: Any = None,
        mask: Any = None,
        bias: Any = None,
        dtype: Any = None,
    ) -> None:
        self.x, self.y, self.settled, self.resumed = x, y, settled, 0
        _validate.metric_name(metric)
        _validate.same_features("queries", x, "gallery", y)
        self.dtype = _validate.output_dtype(dtype, x, y)
        self.k = _validate.neighbours("k", k, LARGEST if y.once else y.shape[0], "gallery")
        given = _validate.metric_keywords(metric, metric_kwargs, x.shape[1])
        pairs = {"exclude_self": exclude_self or None, "exclude": exclude, "mask": mask, "bias": bias}
        if x.once or y.once:
            self._refuse_what_needs_all(metric, given, pairs)
            self.restrictions = Restrictions(None, None, None)
        else:
            m, n = x.shape[0], y.shape[0]
            self.restrictions = Restrictions(
                _validate.exclusion(exclude_self, exclude, (), m, n),
                _validate.allowance(mask, (), m, n),
                _validate.biases(bias, (), m, n),
            )
            if metric in FROM_ALL_ROWS and FROM_ALL_ROWS[metric] not in given:
                sides = (Rows(side.name, side.rows, settled.check_finite) for side in (x, y))
                given = metrics.keywords(metric, given, *sides)
        self.order = order_of(metric, given, x.shape[1], bias is not None)
        room = {name: max(1, int(share * settled.max_bytes)) for name, share in SHARES.items()}
        most = room["engine"] // (2 * (LIST_BYTES + STATE_BYTES * self.k))  # in one pass of the engine
        rows = min(room["queries"] // x.row_bytes, room["results"] // (STATE_BYTES * self.k), most)
        self.query_rows, self.part_rows = max(1, rows), max(1, room["part"] // y.row_bytes)
        self.stretch_rows = max(1, STRETCH_BYTES // y.row_bytes)
        self.engine_bytes = room["engine"]
        if y.once and (x.once or x.shape[0] > self.query_rows):
            held = "an iterator" if x.once else f"{x.shape[0]} of which {self.query_rows} fit into max_bytes"
            raise ValueError(f"queries must fit into memory where gallery is an iterator, read once, got {held}")

    def _refuse_what_needs_all(self, metric: str, given: dict[str, Any], pairs: dict[str, Any]) -> None:
        name = next((name for name, value in pairs.items() if value is not None), None)
        if name is not None:
            raise ValueError(
                f"{name} must be left out where a side is an iterator, whose rows are not known beforehand"
            )
        if metric in FROM_ALL_ROWS and FROM_ALL_ROWS[metric] not in given:
            wanted = FROM_ALL_ROWS[metric]
            raise ValueError(
                f"metric_kwargs must have {wanted} where a side is an iterator, got metric={metric!r} alone"
            )

    def settings(self) -> dict[str, Any]:
        """All that the results of a block depend on, as a resumed search compares it."""
        return {
            "queries": self.x.known_by(),
            "gallery": self.y.known_by(),
            "k": self.k,
            "metric": self.order.metric,
            "metric_kwargs": {name: np.asarray(value).tolist() for name, value in self.order.keywords.items()},
            "exclude": _crc_of(self.restrictions.exclude),
            "mask": _crc_of(self.restrictions.mask),
            "bias": [_crc_of(side) for side in self.restrictions.bias or ()],
            "dtype": self.dtype.name,
            "check_finite": self.settled.check_finite,
            "max_bytes": self.settled.max_bytes,  # which the blocks depend on
        }

    def empty(self) -> tuple[Array, Array]:
        """Of no queries at all."""
        return np.empty((0, self.k), self.dtype), np.empty((0, self.k), np.int64)

    def blocks(self, journal: Journal | Memory) -> Iterator[tuple[int, int]]:
        """(number, queries) of each block, once it is in the journal."""
        queries = self.x.parts(self.query_rows)
        with self._telling() as tick:
            for number, (start, block) in enumerate(queries):
                if journal.get(f"block.{number}") is None:
                    best = self._block(number, start, block, journal, tick)
                    distances = self.order.distances(best.values, self.dtype)
                    journal.put(f"block.{number}", {"distances": distances, "indices": self._named(best.indices)})
                    journal.drop(f"state.{number}")
                else:
                    self.resumed += len(block)
                yield number, len(block)

    def written(self, number: int, journal: Journal | Memory) -> tuple[Array, Array]:
        found = journal.get(f"block.{number}")
        if found is None:
            raise RuntimeError(f"block {number} of the results must stay while they are written, got none: resume")
        return found["distances"], found["indices"]

    def results(self, journal: Journal | Memory, count: int) -> Iterator[Block]:
        """At least one block, of which writers learn what they write."""
        start = 0
        if not count:
            yield Block(0, *self.empty())
        for number in range(count):
            distances, indices = self.written(number, journal)
            yield Block(start, distances, indices)
            start += len(indices)

    def _block(self, number: int, start: int, block: Array, journal: Journal | Memory, tick: Progress) -> Best:
        name, rows = f"state.{number}", slice(start, start + len(block))
        best, first = nothing(len(block), self.k), 0
        earlier = journal.get(name)
        if earlier is not None:
            best, first = Best(earlier["values"], earlier["indices"]), int(earlier["rows"])
        kept = time.monotonic()

        def told(best: Best, seen: int) -> None:
            nonlocal kept
            if time.monotonic() - kept > KEPT_SECONDS:
                journal.put(name, {**best._asdict(), "rows": np.array(seen)})
                kept = time.monotonic()

        with self._speaking_of(start) as at:
            if self.y.at_random:
                parts = self.y.stretches(self.stretch_rows, first, self.settled.max_bytes)
            else:
                parts = ahead(self.y.parts(self.part_rows, first))
            settled = replace(
                self.settled, max_bytes=self.engine_bytes, progress=self._within(number, at, tick) or False
            )
            given = self.order, self.restrictions, settled, told
            best, seen = searched(block, rows, self._counted(parts, at), best, *given)
        if seen and seen < self.k:
            raise ValueError(f"k must be in 1..{seen} (the rows of gallery), got {self.k}")
        return best

    def _within(self, number: int, at: dict[str, int], tick: Progress) -> Progress:
        """What a search of a part tells, as bytes of the gallery that all blocks of queries read."""
        if tick is None or self.x.once or self.y.once:
            return None
        blocks, size = -(-self.x.shape[0] // self.query_rows), self.y.shape[0] * self.y.row_bytes

        def told(done: int, total: int) -> None:
            inside = at["gallery"] + at["rows"] * done // max(1, total)
            tick(number * size + inside * self.y.row_bytes, blocks * size)

        return told

    def _named(self, index: Array) -> Array:
        return index if self.y.ids is None else np.where(index < 0, -1, self.y.ids[index])

    @staticmethod
    def _counted(parts: Iterator[Any], at: dict[str, int]) -> Iterator[Any]:
        for start, part in parts:
            at |= {"gallery": start, "rows": len(part)}
            yield start, part

    @contextmanager
    def _speaking_of(self, start: int) -> Iterator[dict[str, int]]:
        """Sentences about a row of a part, or the share of the engine, as sentences about all of it."""
        at = {"queries": start, "gallery": 0, "rows": 0}
        try:
            yield at
        except ValueError as error:
            told = str(error)
            if found := re.match(r"(queries|gallery) must be finite, got (\S+) in row (\d+)(.*)", told):
                told = f"{found[1]} must be finite, got {found[2]} in row {int(found[3]) + at[found[1]]}{found[4]}"
            elif found := re.match(r"max_bytes must be at least (\d+)(.*), got \d+", told):
                least = int(int(found[1]) / SHARES["engine"])
                told = f"max_bytes must be at least {least}{found[2]}, got {self.settled.max_bytes}"
            else:
                raise
            raise ValueError(told) from error

    @contextmanager
    def _telling(self) -> Iterator[Progress]:
        if self.settled.progress is True:
            with bar("matching", in_bytes=True) as tick:
                yield tick
        else:
            yield self.settled.progress or None


def _crc_of(array: Any) -> int | None:
    """Of all bits of an array, of a sample of the rows of a mask of pairs."""
    if array is None:
        return None
    if len(array.shape) == 1:
        part = np.asarray(array[:])
    else:
        rows = np.linspace(0, len(array) - 1, SAMPLE).astype(int).tolist()
        part = np.concatenate([np.asarray(array[row : row + 1]) for row in rows])
    return zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
