"""The sentences that the formats share."""

import importlib.util
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import brief

# Bytes of numbers that a byte of a file can stand for: five million equal ones in Parquet are 2,000 for one, and in row
# groups of a million, each of 200 bytes, could be 40,000.
MOST_PACKED = 1 << 17


class FileError(ValueError):
    """A file that cannot be read or written as asked; the text is one sentence that names it."""


class MissingFileError(FileError, FileNotFoundError):
    """The file, or the folder it should go into, is not there."""


def path_of(path: Any) -> Path:
    """`path` as a Path, if it is one or the text of one."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be the name of a file, got {brief(path)}")
    return Path(path)


def check_input(path: str | os.PathLike[str], suffixes: Iterable[str]) -> Path:
    """Raise unless `path` is a file that can be opened, with bytes in it and one of the `suffixes`."""
    source = path_of(path)
    if not source.exists():
        raise MissingFileError(f"'{source}' must be an existing file: there is none of this name")
    if not source.is_file():
        raise FileError(f"'{source}' must be a file, got a folder or a device: name one file")
    check_suffix(source, suffixes)
    try:
        with open(source, "rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise FileError(f"'{source}' could not be read ({error.strerror})") from error
    if empty:
        raise FileError(f"'{source}' must not be empty, got 0 bytes: write it again")
    return source


def check_suffix(path: Path, suffixes: Iterable[str]) -> None:
    allowed, suffix = list(suffixes), path.suffix.lower()
    if suffix not in allowed:
        raise FileError(f"'{path}' must end in {' or '.join(filter(None, [', '.join(allowed[:-1]), allowed[-1]]))}")
    if suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise FileError(f"'{path}' needs pyarrow: pip install 'crossmodal-fast[cli]'")


def no_key(source: Path, key: str | None) -> None:
    if key is not None:
        raise FileError(f"key must be left out for '{source}', which holds one array, got {key!r}")


def choose(source: Path, key: str | None, names: Iterable[str]) -> str:
    """The name that `key` stands for: itself, or the only one."""
    names = list(names)
    if key is None and len(names) == 1:
        return names[0]
    if not names:
        raise FileError(f"'{source}' must hold at least one array, got none: write it again")
    if key not in names:
        raise FileError(f"key must be one of {names} in '{source}', got {key!r}")
    return key


def foreign(source: Path, reason: object) -> FileError:
    detail = " ".join(str(reason).split()).rstrip(".") or type(reason).__name__
    return FileError(
        f"'{source}' must be a whole {source.suffix.lower()} file, got other or damaged content ({detail[:160]})"
    )


def check_size(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], held_bytes: int) -> None:
    """The shape that a header states against the bytes that are there."""
    if 0 in shape:
        raise FileError(f"{name} must have at least one row and one column, got shape {shape}")
    needed_bytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=1) < 0 or needed_bytes != held_bytes:
        raise FileError(
            f"{name} must hold the {needed_bytes} bytes that its header states (shape {shape}, {dtype}), "
            f"got {held_bytes}: write it again"
        )


def check_stated(name: str, stated_bytes: int, held_bytes: int) -> None:
    """Bytes that packed numbers become, by what a header states, against those of the file that holds them."""
    if not 0 <= stated_bytes <= MOST_PACKED * held_bytes:
        raise FileError(
            f"{name} must fit into its file, got {stated_bytes} bytes stated in {held_bytes}: write it again"
        )


def rows_of_numbers(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """`array` itself, if it is (n, d) of a dtype that the operations take."""
    if array.ndim != 2:
        raise FileError(f"{name} must be 2-D, one row per item, got shape {array.shape}: reshape it")
    if 0 in array.shape:
        raise FileError(f"{name} must have at least one row and one column, got shape {array.shape}")
    if array.dtype.name != "bfloat16" and (array.dtype.kind not in "fiub" or array.dtype.itemsize > 8):
        raise FileError(f"{name} must hold real numbers of at most 64 bits, got {array.dtype}: convert it to float32")
    return array
