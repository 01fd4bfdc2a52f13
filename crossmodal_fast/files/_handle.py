"""A file opened for reading at given places: by many threads and, after a fork, processes, and without a mapping."""

import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._checks import FileError, MissingFileError, path_of

Array = NDArray[Any]


class Handle:
    """Closed with the object. Pages of a mapping would count as memory of the process; what is read here does not."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = path_of(path)
        try:
            self.number = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as missing:
            raise MissingFileError(f"'{path}' must be an existing file: there is none of this name") from missing
        except OSError as error:
            raise FileError(f"'{path}' could not be read ({error.strerror})") from error
        self.close = weakref.finalize(self, os.close, self.number)
        self._turn = threading.Lock()

    @property
    def nbytes(self) -> int:
        return os.fstat(self.number).st_size

    def fill(self, offset: int, part: memoryview) -> None:
        """Read from a place in the file until `part` is full."""
        done = 0
        while done < len(part):
            if hasattr(os, "preadv"):
                count = os.preadv(self.number, [part[done:]], offset + done)
            else:  # Windows, where nothing forks
                with self._turn:
                    os.lseek(self.number, offset + done, os.SEEK_SET)
                    content = os.read(self.number, len(part) - done)
                part[done : done + len(content)], count = content, len(content)
            if not count:
                raise FileError(f"'{self.path}' must stay as it is while it is read, got its end at {offset + done}")
            done += count

    def pieces(self, offsets: list[int], size: int, room: memoryview) -> None:
        """Fill `room` with the bytes that begin at each offset; 4 us each where the system has them."""
        read, file = getattr(os, "preadv", None), self.number
        for at, offset in zip(range(0, len(room), size), offsets, strict=True):
            part = room[at : at + size]
            if read is None or read(file, (part,), offset) < size:
                self.fill(offset, part)

    def rows(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """An array that begins there; the caller has checked that it is there."""
        found = np.empty(shape, dtype)
        self.fill(offset, plain(found))
        return found


def plain(array: Array) -> memoryview:
    """The bytes of a contiguous array, which are written to through it."""
    return array.reshape(-1).view(np.uint8).data
