"""``.npy``, memory-mapped, and ``.npz``."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as layout
from numpy.typing import NDArray

from ._checks import FileError, check_size, choose, foreign, no_key

LONGEST_HEADER = 10_000  # bytes, NumPy's own limit
DEFLATE_RATIO = 1032  # deflate packs no tighter than this: a member that claims more is a lie


def _check_header(source: Path, name: str, stream: IO[bytes], stream_bytes: int) -> None:
    try:
        first = layout.read_magic(stream) == (1, 0)
        size = stream.read(2 if first else 4)
        header = size + stream.read(_fitting(int.from_bytes(size, "little")))
        shape, _, dtype = (layout.read_array_header_1_0 if first else layout.read_array_header_2_0)(BytesIO(header))
    except Exception as error:  # damaged bytes reach tokenize, ast and dtype(), each with exceptions of its own
        raise foreign(source, error) from error
    if dtype.hasobject:
        raise FileError(f"{name} must hold plain numbers, got Python objects, which are never unpickled: save float32")
    check_size(name, shape, dtype, stream_bytes - stream.tell())


def _fitting(size: int) -> int:
    """A file asked for more sets that much memory aside first."""
    if size > LONGEST_HEADER:
        raise ValueError(f"a header of {size} bytes")
    return size


def read_npy(source: Path, key: str | None) -> NDArray[Any]:
    no_key(source, key)
    with open(source, "rb") as stream:
        _check_header(source, f"'{source}'", stream, source.stat().st_size)
    array: NDArray[Any] = np.load(source, mmap_mode="r", allow_pickle=False)
    return array


def read_npz(source: Path, key: str | None) -> NDArray[Any]:
    with _members(source) as (members, read):
        return read(members[choose(source, key, members)])


def read_columns(source: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz``."""
    with _members(source) as (members, read):
        stated = sum(member.file_size for member in members.values())  # members may share their bytes
        if stated > DEFLATE_RATIO * source.stat().st_size:
            raise FileError(f"'{source}' must fit into its file, got {stated} bytes stated: write it again")
        return {name: read(member) for name, member in members.items()}


@contextmanager
def _members(source: Path) -> Iterator[tuple[dict[str, zipfile.ZipInfo], Callable[[zipfile.ZipInfo], NDArray[Any]]]]:
    """The members by name, and what reads one; damage is told in one sentence."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield (
                {info.filename.removesuffix(".npy"): info for info in archive.infolist()},
                partial(_read_member, source, archive),
            )
    except FileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise foreign(source, error) from error


def _read_member(source: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = f"'{member.filename}' in '{source}'"
    if member.file_size > DEFLATE_RATIO * source.stat().st_size:
        raise FileError(f"{name} must fit into its file, got {member.file_size} bytes stated: write it again")
    with archive.open(member) as stream:
        _check_header(source, name, stream, member.file_size)
    with archive.open(member) as stream:
        array: NDArray[Any] = layout.read_array(stream, allow_pickle=False)
        return array


def write_npy(file: BinaryIO, array: NDArray[Any]) -> None:
    layout.write_array(file, array, allow_pickle=False)


def write_npz(file: BinaryIO, array: NDArray[Any]) -> None:
    write_table(file, {"embeddings": array})


def write_table(file: BinaryIO, columns: Mapping[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:  # np.savez would pickle objects, and takes no column "file"
        for name, column in columns.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                layout.write_array(stream, column, allow_pickle=False)
