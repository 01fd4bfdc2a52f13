"""Sections written behind those of a file, and the slots that make them count."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from . import _layout as layout
from ._checks import FileError
from ._handle import plain
from ._sections import Sections

PART_BYTES = 1 << 24  # of a store that is read and written at a time


class Appending:
    """A change of a file in the making: nothing of it counts before `commit`."""

    def __init__(self, file: BinaryIO, before: Sections | None, entries: dict[str, layout.Entry]) -> None:
        self.file, self.before, self.entries = file, before, dict(entries)
        self.end = before.slot.end if before else layout.FIRST_SECTION

    def add(self, name: str, array: Any) -> None:
        """An array, or rows of a store in parts, and the CRCs of its blocks."""
        shape, dtype = tuple(map(int, array.shape)), np.dtype(array.dtype)
        row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        per_block = max(1, layout.BLOCK_BYTES // max(1, row_bytes))
        step = per_block * max(1, PART_BYTES // max(1, per_block * row_bytes))
        offset, sums = self._begin(), []
        for start in range(0, shape[0] if shape else 1, step):
            part = np.asarray(array[start : start + step] if shape else array)
            little = np.ascontiguousarray(part, dtype if dtype.name == "bfloat16" else dtype.newbyteorder("<"))
            content = plain(little)
            block_bytes = max(1, per_block * row_bytes)
            sums += [zlib.crc32(content[at : at + block_bytes]) for at in range(0, len(content), block_bytes)]
            self._write(content)
        table = np.array(sums, "<u4")
        place = self._begin()
        self._write(plain(table))
        self.entries[name] = layout.Entry(dtype.name, shape, offset, per_block, place, zlib.crc32(plain(table)))

    def commit(self, about: dict[str, Any]) -> None:
        """Let what was added count, with what the directory says about it."""
        content, offset = memoryview(layout.directory_bytes(about, self.entries)), self._begin()
        if len(content) > layout.DIRECTORY_BYTES:
            raise FileError(f"the parts of a file must be fewer, got {len(self.entries)}: save the gallery anew")
        self._write(content)
        generation = self.before.slot.generation + 1 if self.before else 1
        slot = layout.Slot(generation, offset, len(content), zlib.crc32(content))
        self._flush()
        for place in self._stale_first():
            self.file.seek(place)
            self.file.write(slot.packed())
            self._flush()

    def _stale_first(self) -> list[int]:
        """Places of the slots; the one that holds what counts until now is written last."""
        if self.before is None:
            return list(layout.SLOT_PLACES)
        kept = self.before.slot
        order = sorted(zip(self.before.slots, layout.SLOT_PLACES, strict=True), key=lambda at: at[0] == kept)
        return [place for _, place in order]

    def _begin(self) -> int:
        self.end += -self.end % layout.ALIGNMENT
        return self.end

    def _write(self, content: memoryview) -> None:
        self.file.seek(self.end)
        self.file.write(content)
        self.end += len(content)

    def _flush(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())


@contextmanager
def changing(path: str | os.PathLike[str], kind: str) -> Iterator[tuple[Sections, Appending]]:
    """(the file as it is, a change of it) while nobody else changes it; without a `commit` the file stays as it was."""
    try:
        with _opened(path) as file:  # closing it writes what a failed write has left, and fails again
            before = Sections(path, kind)
            if not os.path.sameopenfile(file.fileno(), before.handle.number):  # saved anew between the two openings
                raise FileError(f"'{path}' must be changed by one process at a time, got a second")
            yield before, Appending(file, before, before.entries)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        reason = error.strerror or error
        raise FileError(f"'{path}' was not changed ({reason}): make room or choose another folder") from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    try:
        file = open(path, "r+b")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        Sections(path, "")  # which has the sentence
        raise
    except OSError as error:
        raise FileError(f"'{path}' must be writable, got {error.strerror}") from error
    with file:
        try:
            import fcntl
        except ImportError:  # Windows: a second writer is the caller's to keep away
            yield file
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileError(f"'{path}' must be changed by one process at a time, got a second") from error
        yield file
