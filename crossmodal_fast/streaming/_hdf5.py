"""A file for HDF5 to write into, which never fails: h5py loses exceptions there, and then rows, or ends the process.

Where a data set ends, h5py 3.16 writes what it still holds from a destructor. An OSError or a Ctrl-C there was printed
and forgotten: the file had other numbers, and nothing was raised. Raised at the first write, it was a segmentation
fault at `close`. So the first fault is kept here, nothing is written behind it, and it is raised when HDF5 has come to
its end; and HDF5 runs in a thread, as Ctrl-C reaches the main thread alone.
"""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..files import atomic

Given = TypeVar("Given")


class Target(io.RawIOBase):
    """A file, and the first fault that was met there."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.file = file
        self.fault: BaseException | None = None

    def _tried(self, function: Callable[..., int | None], *given: Any) -> int | None:
        if self.fault is None:
            try:
                return function(*given)
            except (MemoryError, OSError, ValueError) as fault:
                self.fault = fault
        return None

    def write(self, content: Any) -> int:
        self._tried(self.file.write, content)
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        return self._tried(self.file.truncate, size) or 0

    def flush(self) -> None:
        self._tried(self.file.flush)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return self._tried(self.file.seek, place, whence) or 0

    def readinto(self, room: Any) -> int:
        return self._tried(self.file.readinto, room) or 0  # type: ignore[attr-defined]

    def unless_failed(self, blocks: Iterator[Given]) -> Iterator[Given]:
        """The blocks, up to a fault, which is raised."""
        for block in blocks:
            self.check()
            yield block

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault


def hdf5_written(path: Path, library: Any, write: Callable[[Any, Target], None]) -> None:
    """What `write(file of h5py, target)` writes, whole or not at all."""
    with atomic(path) as file, ThreadPoolExecutor(1, "fast-write") as thread:
        target = Target(file)

        def work() -> None:
            with library.File(target, "w") as opened:
                write(opened, target)

        done = thread.submit(work)
        try:
            fault = done.exception()
        except KeyboardInterrupt as stop:
            target.fault = stop  # the thread, which the end of this block waits for, ends at its next block
            raise
        target.fault = target.fault or fault
        target.check()
