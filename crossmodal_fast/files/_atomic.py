"""A file that appears whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ._checks import FileError, MissingFileError, check_suffix, path_of


def check_output(path: str | os.PathLike[str], suffixes: Iterable[str] = ()) -> Path:
    """Raise now what would keep `path` from being written later; `suffixes` are the endings allowed, none for any."""
    target = path_of(path)
    if suffixes:
        check_suffix(target, suffixes)
    if not target.parent.is_dir():
        raise MissingFileError(f"the folder of '{target}' must exist: make it first, mkdir -p '{target.parent}'")
    if not os.access(target.parent, os.W_OK):
        raise FileError(f"the folder of '{target}' must be writable: choose another folder")
    if target.exists() and not target.is_file():
        raise FileError(f"'{target}' must be a new or a regular file, got a folder or a device")
    return target


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path`, whole, when the block ends well; otherwise nothing changes there.

    Examples
    --------
    >>> import numpy as np
    >>> from crossmodal_fast.files import atomic
    >>> with atomic("pair.npz") as file:  # doctest: +SKIP
    ...     np.savez(file, rows=np.arange(3), columns=np.arange(3))
    """
    target = Path(os.path.realpath(check_output(path)))  # through a link, to the file it stands for
    beside = target.with_name(f".{target.name[:50]}.{secrets.token_hex(4)}.partial")
    try:
        # "x+b", not "xb": NumPy hands a write-only file to C stdio, which loses errno, the reason, on a full disk.
        with open(beside, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise unwritten(path, error) from error
        raise


def unwritten(path: str | os.PathLike[str], error: OSError) -> FileError:
    return FileError(f"'{path}' was not written ({error.strerror or error}): make room or choose another folder")
