"""One search in blocks of queries and parts of the gallery: what it depends on, what it keeps, how far it is."""

import itertools
import re
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._config import Config
from .._progress import bar
from .._search import Progress
from ..kernels.tiles import metrics
from ..kernels.tiles.rows import Rows
from ._destinations import Block, Layout
from ._journal import Journal, Memory
from ._reading import ahead
from ._restrictions import Restrictions, order_of
from ._search import Arrays, Epilogue, searched
from ._sources import SAMPLE, WHOLE_BYTES, Source

Array = NDArray[Any]
SHARES = {"part": 1 / 8, "queries": 1 / 16, "results": 1 / 8, "engine": 1 / 2}  # of max_bytes; two parts at a time
KEPT_SECONDS = 20.0  # of work that a kill may cost, beside the part that it falls into
STRETCH_BYTES = 1 << 31  # of a gallery in a file, searched at once: what is kept then can be resumed
LIST_BYTES = 40_000  # of candidates of a query while the engine searches
FROM_ALL_ROWS = {"seuclidean": "V", "mahalanobis": "VI"}  # which a part alone would give otherwise


class Done(NamedTuple):
    """A block that is in the journal: its number, its queries, and the rows of the last array of its result."""

    number: int
    queries: int
    entries: int


class Run:
    """The blocks of a search, each searched or taken over from a journal."""

    def __init__(
        self,
        x: Source,
        y: Source,
        metric: str,
        settled: Config,
        epilogue_of: Callable[[Source, Source, np.dtype[Any], int], Epilogue],
        *,
        metric_kwargs: dict[str, Any] | None = None,
        exclude_self: bool = False,
        exclude: Any = None,
        mask: Any = None,
        bias: Any = None,
        dtype: Any = None,
    ) -> None:
        self.x, self.y, self.settled, self.resumed, self._told = x, y, settled, 0, 0
        _validate.metric_name(metric)
        _validate.same_features("queries", x, "gallery", y)
        room = {name: max(1, int(share * settled.max_bytes)) for name, share in SHARES.items()}
        self.epilogue = epilogue_of(x, y, _validate.output_dtype(dtype, x, y), room["results"])
        given = _validate.metric_keywords(metric, metric_kwargs, x.shape[1])
        pairs = {"exclude_self": exclude_self or None, "exclude": exclude, "mask": mask, "bias": bias}
        if x.once or y.once:
            self._refuse_what_needs_all(metric, given, pairs)
            self.restrictions = Restrictions(None, None, None)
        else:
            m, n = x.shape[0], y.shape[0]
            self.restrictions = Restrictions(
                _validate.exclusion(exclude_self, y.positions("exclude", exclude), (), m, n),
                _validate.allowance(mask, (), m, n),
                _validate.biases(bias, (), m, n),
            )
            if metric in FROM_ALL_ROWS and FROM_ALL_ROWS[metric] not in given:
                sides = (Rows(side.name, side.rows, settled.check_finite) for side in (x, y))
                given = metrics.keywords(metric, given, *sides)
        self.order = order_of(metric, _validate.Known(given), x.shape[1], bias is not None)
        kept = self.epilogue.query_bytes
        most = room["engine"] // (2 * (LIST_BYTES + kept))  # in one pass of the engine
        rows = min(room["queries"] // x.row_bytes, room["results"] // kept, most)
        self.query_rows, self.part_rows = max(1, rows), max(1, room["part"] // y.row_bytes)
        if y.at_random:
            self.part_rows = int(y.shape[0]) if isinstance(y.rows, np.ndarray) else STRETCH_BYTES // y.row_bytes or 1
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
            "search": self.epilogue.operation,
            **{name: _crc_of(value) if isinstance(value, np.ndarray) else value
               for name, value in self.epilogue.settings().items()},
            "metric": self.order.metric,
            "metric_kwargs": {name: _crc_of(np.ravel(value)) for name, value in self.order.keywords.items()},
            "exclude": _crc_of(self.restrictions.exclude),
            "mask": _crc_of(self.restrictions.mask),
            "bias": [_crc_of(side) for side in self.restrictions.bias or ()],
            "check_finite": self.settled.check_finite,
            "max_bytes": self.settled.max_bytes,  # which the blocks depend on
        }  # fmt: skip

    def blocks(self, journal: Journal | Memory) -> Iterator[Done]:
        """The blocks, each once it is in the journal."""
        number = 0
        with self._telling() as tick:
            for start, rows in self.x.parts(lambda: self.query_rows):
                done = 0
                while done < len(rows):
                    found = self._kept(f"block.{number}", start + done, journal)
                    if found is None:
                        found = self._block(number, start + done, rows[done:], journal, tick)
                        journal.put(f"block.{number}", found)
                        journal.drop(f"state.{number}")
                    else:
                        self.resumed += int(found["queries"])
                    yield Done(number, int(found["queries"]), len(found[list(self.epilogue.arrays)[-1]]))
                    done, number = done + int(found["queries"]), number + 1

    def returned(self, journal: Journal | Memory, done: Sequence[Done]) -> Any:
        """All that was found, as arrays."""
        return self.epilogue.joined([self._found(block, journal) for block in done])

    def layouts(self, done: Sequence[Done]) -> dict[str, Layout]:
        """The arrays of all blocks together."""
        shapes = self.epilogue.shapes(sum(block.queries for block in done), sum(block.entries for block in done))
        return {name: Layout(shapes[name], dtype) for name, dtype in self.epilogue.arrays.items()}

    def results(self, journal: Journal | Memory, done: Sequence[Done]) -> Iterator[Block]:
        """At least one block, of which writers learn what they write."""
        return itertools.starmap(Block, self.epilogue.written(self._pieces(journal, done)))

    def _pieces(self, journal: Journal | Memory, done: Sequence[Done]) -> Iterator[tuple[int, Mapping[str, Array]]]:
        start = 0
        if not done:
            yield 0, self.epilogue.empty()
        for block in done:
            yield start, self._found(block, journal)
            start += block.queries

    @staticmethod
    def _found(block: Done, journal: Journal | Memory) -> Mapping[str, Array]:
        found = journal.get(f"block.{block.number}")
        if found is None:
            raise RuntimeError(
                f"block {block.number} of the results must stay while they are written, got none: resume"
            )
        return found

    @staticmethod
    def _kept(name: str, start: int, journal: Journal | Memory) -> Mapping[str, Array] | None:
        """What begins with a query. Of blocks cut where memory ends, one that is made anew may end elsewhere."""
        found = journal.get(name)
        return found if found is not None and int(found["start"]) == start else None

    def _block(self, number: int, start: int, queries: Array, journal: Journal | Memory, tick: Progress) -> Arrays:
        """The result of the first queries, as many of them as make a block."""
        name = f"state.{number}"
        earlier, first = self._kept(name, start, journal), 0
        if earlier is None:
            block = queries[: self.epilogue.block_rows(len(queries))]
        else:
            first = int(earlier["rows"])
            state = self.epilogue.state(*(earlier[field] for field in self.epilogue.state._fields))
            block = queries[: state.queries]
        kept = time.monotonic()

        def told(state: Any, seen: int) -> None:
            nonlocal kept
            if time.monotonic() - kept > KEPT_SECONDS:
                journal.put(name, {**state._asdict(), "rows": np.array(seen), "start": np.array(start)})
                kept = time.monotonic()

        with self._speaking_of(start) as at, closing(self._parts(first)) as parts:  # not when a collector comes by
            rows = slice(start, start + len(block))
            if earlier is None:
                state = self.epilogue.begin(rows, block, self.order, self.restrictions.bias)

            settled = replace(self.settled, max_bytes=self.engine_bytes, progress=self._within(rows, at, tick) or False)
            given = self.epilogue, self.order, self.restrictions, settled, told
            state, seen = searched(block, start, self._counted(parts, at), state, *given)
        found = self.epilogue.end(state, self.order, seen)
        if self.y.ids is not None and "indices" in found:
            found["indices"] = np.where(found["indices"] < 0, -1, self.y.ids[found["indices"]])
        return found | {"queries": np.array(state.queries), "start": np.array(start)}

    def _parts(self, first: int) -> Generator[tuple[int, Any], None, None]:
        """Those of the gallery from a row on; a thread reads what follows."""

        def step() -> int:
            return self.epilogue.part_rows(self.part_rows)

        if self.y.at_random:
            return self.y.stretches(step, first, self.settled.max_bytes)
        return ahead(self.y.parts(step, first))

    def _within(self, rows: slice, at: dict[str, int], tick: Progress) -> Progress:
        """What a search of a part tells, as bytes of the gallery that all blocks of queries read."""
        if tick is None or self.x.once or self.y.once:
            return None
        m, n = self.x.shape[0], self.y.shape[0]
        whole, size = -(-m // self.query_rows) * n * self.y.row_bytes, rows.stop - rows.start

        def told(done: int, total: int) -> None:
            inside = at["gallery"] + at["rows"] * done // max(1, total)
            self._told = max(self._told, whole * (rows.start * n + size * inside) // (m * n))  # not back after a cut
            tick(self._told, whole)

        return told

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
    """Of all bits of an array; of a sample of the rows of a mask of pairs that is large, or in a store."""
    if array is None:
        return None
    if len(array.shape) == 1 or (isinstance(array, np.ndarray) and array.nbytes <= WHOLE_BYTES):
        part = np.asarray(array[:])
    else:
        rows = np.unique(np.linspace(0, len(array) - 1, SAMPLE).astype(int)).tolist()
        part = np.concatenate([np.asarray(array[row : row + 1]) for row in rows])
    return zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
