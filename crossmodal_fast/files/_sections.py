"""A file of sections opened for reading: named arrays, read in slices, each block checked when it is first read."""

import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _layout as layout
from ._checks import FileError, path_of
from ._handle import Handle, plain

Array = NDArray[Any]


class Sections:
    """The state of a file at the moment it was opened; later changes to the file do not show.

    Opening reads the slots and the directory. Any number of processes may read, and one may change it meanwhile.
    `kind` is who writes such files, for the sentence that refuses others.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self.handle, self.kind = Handle(path), kind
        self.path = self.handle.path
        try:
            self.slots = layout.slots_of(self._bytes(0, layout.FIRST_SECTION))
            self.slot = layout.current(self.slots)
            layout.check_slot(self.slot, self.handle.nbytes)
            directory = self._bytes(self.slot.offset, self.slot.nbytes)
            self.about, self.entries = layout.directory_of(self.slot, directory)
        except (layout.Foreign, OSError) as error:
            self.handle.close()
            raise self.foreign(error) from error

    def foreign(self, reason: object) -> FileError:
        return FileError(
            f"'{self.path}' must be a whole file that {self.kind}.save wrote, got other content ({reason})"
        )

    def array(self, name: str) -> "Stored":
        if name not in self.entries:
            raise self.foreign(f"without {name!r}")
        return Stored(self, name, self.entries[name])

    def verify(self) -> None:
        """Read everything, in blocks."""
        for name in self.entries:
            for _ in self.array(name).blocks():
                pass

    def _bytes(self, offset: int, most: int) -> bytes:
        return self.handle.rows(offset, np.dtype(np.uint8), (max(0, min(most, self.handle.nbytes - offset)),)).tobytes()


class Stored:
    """An array of the file as a sliceable store: `shape`, `dtype`, rows by slices or by ascending positions.

    What was read is the caller's. Reads go through the file, not a mapping of it, whose pages would count as memory.
    """

    def __init__(self, file: Sections, name: str, entry: layout.Entry) -> None:
        self.file, self.name, self.entry = file, name, entry
        self.shape = entry.shape
        try:
            self.dtype = layout.dtype_of(entry.dtype)
        except ImportError as missing:
            needed = "is bfloat16 and needs ml_dtypes: pip install 'crossmodal-fast[bf16]'"
            raise FileError(f"{name!r} in '{file.path}' {needed}") from missing
        sums = file.handle.rows(entry.sums, np.dtype("<u4"), (entry.blocks,))
        if zlib.crc32(plain(sums)) != entry.sums_crc:
            raise self._damaged("the table of its checksums")
        self._sums, self._seen = sums, np.zeros(entry.blocks, bool)

    def __len__(self) -> int:
        return self.entry.rows

    def __getitem__(self, part: Any) -> Array:
        if isinstance(part, slice):
            start, stop, step = part.indices(len(self))
            return self.rows(start, max(start, stop)) if step == 1 else self[np.arange(start, stop, step)]
        return picked(self.rows, np.asarray(part), (0, *self.shape[1:]), self.dtype)

    def whole(self) -> Array:
        return self.rows(0, len(self)).reshape(self.shape)

    def blocks(self, step_bytes: int = 1 << 24) -> Any:
        """All rows in parts of about so many bytes."""
        step = max(1, step_bytes // max(1, self.entry.row_bytes))
        return (self.rows(start, min(start + step, len(self))) for start in range(0, len(self), step))

    def rows(self, start: int, stop: int) -> Array:
        entry = self.entry
        first, last = start // entry.rows_per_block, -(-stop // entry.rows_per_block)
        if self._seen[first:last].all():
            return self._read(start, stop)
        begin = first * entry.rows_per_block
        read = self._read(begin, min(last * entry.rows_per_block, entry.rows))
        for block in (first + np.flatnonzero(~self._seen[first:last])).tolist():
            at = block * entry.rows_per_block - begin
            if zlib.crc32(plain(read[at : at + entry.rows_per_block])) != self._sums[block]:
                row = block * entry.rows_per_block
                raise self._damaged(f"rows {row} to {min(row + entry.rows_per_block, entry.rows) - 1}")
            self._seen[block] = True
        return read[start - begin : stop - begin]

    def _read(self, start: int, stop: int) -> Array:
        place = self.entry.offset + start * self.entry.row_bytes
        return self.file.handle.rows(place, self.dtype, (stop - start, *self.shape[1:]))

    def _damaged(self, what: str) -> FileError:
        return FileError(
            f"'{self.file.path}' must hold the bytes that were written, got others in {what} of {self.name!r}: "
            "restore it from a copy"
        )


def picked(rows: Callable[[int, int], Array], at: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Rows at positions, neighbours read together."""
    cuts = np.flatnonzero(np.diff(at) != 1) + 1
    runs = [rows(int(run[0]), int(run[-1]) + 1) for run in np.split(at, cuts) if len(run)]
    return np.concatenate([np.empty((0, *shape[1:]), dtype), *runs])


def create(path: str | os.PathLike[str], about: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write a file of sections, whole or not at all; an array is one, or a store that is read in slices."""
    from ._append import Appending  # the other half, which few readers need
    from ._atomic import atomic

    with atomic(path) as file:
        new = Appending(file, None, {})
        for name, array in arrays.items():
            new.add(name, array)
        new.commit(dict(about))


def begun_by_us(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as one of sections does, spoiled or not."""
    source = path_of(path)
    try:
        with open(source, "rb") as file:
            head = file.read(layout.FIRST_SECTION)
    except OSError:
        return False
    return any(head[place:].startswith(layout.MAGIC) for place in layout.SLOT_PLACES)
