"""Rows are read while those before them are worked on."""

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CHUNK_BYTES, SHARE = 1 << 23, 64  # read at once, and no more than that part of max_bytes
COMING, BEHIND = 8, 2  # chunks that are held: a block of the engine ahead, and where its threads are


def ahead(parts: Iterator[Any]) -> Generator[Any, None, None]:
    """The same parts, each asked for by a thread before the one in front of it has been given back: two at a time.

    >>> list(ahead(iter([1, 2, 3])))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="crossmodal-fast-read") as thread:
        waiting = thread.submit(next, parts, None)
        while (found := waiting.result()) is not None:
            waiting = thread.submit(next, parts, None)
            yield found


class Ahead:
    """Rows start..stop of a source as a store for a search that goes from the first to the last, more or less.

    Slices come out of chunks, and a thread reads those that follow. Rows at positions, of which a search wants few, are
    taken out of the chunks as well, or read at once. Thresholds of a search hold for the whole of a store: in parts of
    64 MiB it took 1.8 times as long.
    """

    any_order = True  # of positions, some of them twice
    many_readers = True  # at once

    def __init__(self, source: Any, start: int, stop: int, max_bytes: int) -> None:
        self._source, self._start = source, start
        self.shape, self.dtype = (stop - start, source.shape[1]), source.dtype
        self._step = max(1, min(CHUNK_BYTES, max_bytes // SHARE) // source.row_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="crossmodal-fast-read")
        self._turn, self._held = threading.Lock(), dict[int, Future[Array]]()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._held.clear()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: Any) -> Array:
        if not isinstance(part, slice):
            return self._picked(np.asarray(part))
        start, stop, _ = part.indices(len(self))
        inside = []
        for number in range(start // self._step, -(-stop // self._step)):
            first = number * self._step
            inside.append(self._chunk(number)[max(0, start - first) : stop - first])
        return inside[0] if len(inside) == 1 else np.concatenate([np.empty((0, self.shape[1]), self.dtype), *inside])

    def _picked(self, at: Array) -> Array:
        number = at // self._step
        with self._turn:
            held = [(one, coming) for one, coming in self._held.items() if coming.done() and not coming.cancelled()]
        found, missing = np.empty((len(at), self.shape[1]), self.dtype), np.ones(len(at), bool)
        for one, coming in held:
            mine = np.flatnonzero(number == one)
            if len(mine) and coming.exception() is None:
                found[mine], missing[mine] = coming.result()[at[mine] - one * self._step], False
        if missing.any():
            found[missing] = self._source.take(self._start + at[missing])
        return found

    def _chunk(self, number: int) -> Array:
        with self._turn:
            last = -(-len(self) // self._step)
            for wanted in range(number, min(number + 1 + COMING, last)):
                if wanted not in self._held:
                    self._held[wanted] = self._thread.submit(self._read, wanted * self._step)
            for old in [old for old in self._held if not number - BEHIND <= old <= number + COMING]:
                self._held.pop(old).cancel()
            coming = self._held[number]
        try:
            return coming.result()
        except CancelledError:  # another reader is far from here, and took it for one that nobody waits for
            return self._read(number * self._step)

    def _read(self, first: int) -> Array:
        start = self._start + first
        found: Array = self._source.read(start, min(start + self._step, self._start + len(self)))
        return found
