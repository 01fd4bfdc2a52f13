"""Where rows come from: files, stores and iterators of blocks, all read from the first row to the last."""

import mmap
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._gallery import _Held
from .._gallery_file import GalleryFile, GalleryRows
from ..files import READERS, FileError, MissingFileError
from ..files._checks import foreign, path_of, rows_of_numbers
from ..files._handle import Handle, plain
from ..files._sections import begun_by_us
from . import _reading
from ._reading import Ahead
from ._stores import DAMAGE, STORES

Array = NDArray[Any]
SAMPLE = 256  # rows that stand for those of a large store when a search is resumed
ROWS_BROUGHT = 32  # rows of a mapping, each with up to 2 MiB around it: as much as a page cache has in one piece
WHOLE_BYTES = 1 << 28  # of an array in memory all of which is looked at then


class FileRows:
    """Rows in a file, one behind the other in C order. By reads alone: a page fault brings 64 KiB and takes 20 us."""

    def __init__(self, path: Path, mapped: np.memmap[Any, Any]) -> None:
        self.handle, self.dtype, self.offset = Handle(path), mapped.dtype, mapped.offset
        self.shape = (mapped.shape[0], mapped.shape[1])

    def __getitem__(self, part: Any) -> Array:
        width = self.shape[1]
        size = width * self.dtype.itemsize
        if isinstance(part, slice):
            start, stop, _ = part.indices(self.shape[0])
            return self.handle.rows(self.offset + start * size, self.dtype, (stop - start, width))
        found = np.empty((len(part), width), self.dtype)
        self.handle.pieces((self.offset + size * np.asarray(part, np.int64)).tolist(), size, plain(found))
        return found


class Source:
    """Rows (n, d) of an argument: `shape`, `dtype`, `ids` or None, and what they are known by when a search is resumed.

    Of an iterator n is None, and its blocks are read once.
    """

    def __init__(self, name: str, given: Any) -> None:
        self.name, self.ids, self._blocks = name, None, None
        self.path, key = _path_and_key(name, given)
        if self.path is not None:
            self.rows, self.ids = _opened(self.path, key)
        elif isinstance(given, Iterator):
            self._blocks = _alike(name, given)
            self._first: Any = next(self._blocks, None)
            if self._first is None:
                raise ValueError(f"{name} must have at least one block, got an iterator at its end")
            self.rows = self._first
        else:
            self.rows = _validate.flat(name, given)
            if isinstance(self.rows, np.memmap):
                self.rows = Mapped(self.rows)
        shape = self.rows.shape
        self.shape: tuple[Any, int] = (None if self._blocks else int(shape[0]), int(shape[1]))
        self.dtype: np.dtype[Any] = np.dtype(self.rows.dtype)
        self.row_bytes = self.shape[1] * self.dtype.itemsize

    @property
    def once(self) -> bool:
        """Whether the rows can be read once only."""
        return self._blocks is not None

    def parts(self, step: Callable[[], int], first: int = 0) -> Iterator[tuple[int, Array]]:
        """(number of the first row, rows) from a row on, `step` of them; of an iterator its blocks, cut where large."""
        if self._blocks is None:
            for start, stop in _spans(first, int(self.rows.shape[0]), step):
                yield start, self.read(start, stop)
            return
        begin, block = 0, self._first
        self._first = self.rows = None
        while block is not None:
            for start, stop in _spans(0, len(block), step):
                yield begin + start, block[start:stop]
            begin, block = begin + len(block), next(self._blocks, None)

    @property
    def at_random(self) -> bool:
        """Whether single rows are read as quickly as they are there."""
        return not self.once and isinstance(self.rows, np.ndarray | Mapped | FileRows | GalleryRows)

    def stretches(self, step: Callable[[], int], first: int, max_bytes: int) -> Generator[tuple[int, Any], None, None]:
        """(number of the first row, store) for rows that can be read at random, `step` of them."""
        n = int(self.rows.shape[0])
        for start, stop in _spans(first, n, step):
            if isinstance(self.rows, np.ndarray):
                yield start, self.rows[start:stop]
                continue
            with Ahead(self, start, stop, max_bytes) as store:
                yield start, store

    def read(self, start: int, stop: int) -> Array:
        """Rows in memory: where they are if they are there already, else a copy that is the caller's."""
        return self._part(slice(start, stop))

    def _part(self, part: Any) -> Array:
        """Rows as the file has them; damage that h5py, pyarrow or zarr meets there is told in our words."""
        try:
            return np.asarray(self.rows[part])
        except FileError:
            raise
        except DAMAGE as error:
            if self.path is None:  # a store of the caller's
                raise
            raise foreign(self.path, error) from error

    def take(self, at: Array) -> Array:
        if isinstance(self.rows, GalleryRows):
            distinct, inverse = np.unique(at, return_inverse=True)
            return self._part(distinct)[inverse]
        return self._part(at)

    def __getitem__(self, at: Array) -> Array:
        """Rows at ascending numbers. Few libraries pick rows quickly: what they read is read in slices."""
        if self.at_random:
            return self.take(at)
        step = max(1, _reading.CHUNK_BYTES // self.row_bytes)
        found = np.empty((len(at), self.shape[1]), self.dtype)
        edges = [0, *(np.flatnonzero(np.diff(at // step)) + 1).tolist(), len(at)]
        for start, stop in pairwise(edges):
            if stop > start:
                found[start:stop] = self.read(int(at[start]), int(at[stop - 1]) + 1)[at[start:stop] - at[start]]
        return found

    def positions(self, name: str, given: Any) -> Any:
        """Numbers of rows that are named by ids where there are ids, of -1 and None themselves."""
        return given if self.ids is None else _Held(self.rows, self.ids, None, False).positions(name, given)

    def known_by(self) -> dict[str, Any]:
        """What changes if the rows do: size and time of a file; the bits of all rows in memory, or of a sample."""
        rows, n = self.rows, int(self.rows.shape[0])
        whole = isinstance(rows, np.ndarray) and n * self.row_bytes <= WHOLE_BYTES
        at = range(0, n, 1 << 12) if whole else sorted(set(np.linspace(0, n - 1, SAMPLE).astype(int).tolist()))
        crc = 0
        for start in at:
            part = np.ascontiguousarray(self.read(start, min(n, start + (1 << 12 if whole else 1))))
            crc = zlib.crc32(part.reshape(-1).view(np.uint8).data, crc)
        known = {"shape": list(self.shape), "dtype": self.dtype.name, "rows": crc}
        return known | (_stamp(self.path) if self.path else {})


def _spans(start: int, stop: int, step: Callable[[], int]) -> Iterator[tuple[int, int]]:
    while start < stop:
        yield start, (start := min(stop, start + step()))


def _stamp(path: Path) -> dict[str, int]:
    """Bytes and time of the last change, of a folder of all in it."""
    facts = [file.stat() for file in ([path] if path.is_file() else path.rglob("*"))]
    return {"bytes": sum(fact.st_size for fact in facts), "changed": max(fact.st_mtime_ns for fact in facts)}


def _path_and_key(name: str, given: Any) -> tuple[Path | None, str | None]:
    pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str | os.PathLike)
    path, key = given if pair else (given, None)
    if not isinstance(path, str | os.PathLike):
        return None, None
    if key is not None and not isinstance(key, str):
        raise TypeError(f"{name} must be (path, name of the array in it), got {_validate.brief(key)} for the name")
    return path_of(path), key


def read_in_parts(path: Path) -> bool:
    """Whether rows (n, d) of a file are read here alone: HDF5, zarr, and what `Gallery.save` wrote."""
    suffix = path.suffix.lower()
    return (suffix in STORES and suffix not in READERS) or (path.is_file() and begun_by_us(path))


def _opened(path: Path, key: str | None) -> tuple[Any, Array | None]:
    """(rows, ids or None) of a file."""
    if not path.exists():
        raise MissingFileError(f"'{path}' must be an existing file: there is none of this name")
    if path.is_file() and begun_by_us(path):
        gallery = GalleryFile(path)
        return gallery.rows, gallery.ids
    suffix = path.suffix.lower()
    if suffix in STORES:
        return rows_of_numbers(f"'{path}'", STORES[suffix](path, key)), None
    if suffix not in READERS:
        known = ", ".join({**READERS, **STORES})
        raise FileError(f"'{path}' must be a gallery that was saved, or end in {known}")
    from ..files import read_embeddings

    rows = read_embeddings(path, key=key)
    if isinstance(rows, np.memmap) and rows.flags.c_contiguous and rows.flags.aligned:
        return FileRows(path, rows), None
    return rows, None


def _alike(name: str, blocks: Iterator[Any]) -> Iterator[Array]:
    """Blocks of rows of one width and dtype; empty ones are left out."""
    width = dtype = None
    for given in blocks:
        block = np.asarray(_validate.flat(f"a block of {name}", given)[:])
        if not len(block):
            continue
        width, dtype = width or block.shape[1], dtype or block.dtype
        if (block.shape[1], block.dtype) != (width, dtype):
            got = f"{block.shape[1]} of {block.dtype}"
            raise ValueError(f"{name} must have blocks of {width} features of {dtype}, got {got}")
        yield block


class Mapped:
    """A mapping of rows that gives its pages back, for they count as memory until it does.

    Slices are given back at once. A single row brings 64 KiB of a file that was written by pages, and 2 MiB of one that
    was written by large blocks (Linux 6.18): 1.8 GB of 20, when a thousand rows were waited for. To give back takes a
    third of the time to read. Pages of a private mapping hold what was written to it, and stay.
    """

    def __init__(self, rows: np.memmap[Any, Any]) -> None:
        self.rows, self.shape, self.dtype, self._taken = rows, rows.shape, rows.dtype, 0
        pages: Any = getattr(rows, "_mmap", None)
        shared = rows.mode in ("r", "r+", "w+") and hasattr(mmap, "MADV_DONTNEED")
        self._give_back: Callable[..., None] | None = getattr(pages, "madvise", None) if shared else None

    def __getitem__(self, part: Any) -> Array:
        if isinstance(part, slice):
            found = np.array(self.rows[part], subok=False)
            self._read(ROWS_BROUGHT)
            return found
        found = np.empty((len(part), self.shape[1]), self.dtype)
        for start in range(0, len(part), ROWS_BROUGHT):
            some = slice(start, start + ROWS_BROUGHT)
            found[some] = self.rows[part[some]]
            self._read(len(part[some]))
        return found

    def _read(self, count: int) -> None:
        self._taken += count
        if self._give_back is not None and self._taken >= ROWS_BROUGHT:
            self._give_back(mmap.MADV_DONTNEED)
            self._taken = 0
