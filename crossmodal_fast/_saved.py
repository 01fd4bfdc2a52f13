"""An object on disk as an .npz of plain arrays: written whole or not at all, read without unpickling anything."""

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .files import FileError, MissingFileError, atomic
from .files._npy import read_columns, write_table

Array = NDArray[Any]
Made = TypeVar("Made")


def write_saved(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """`path` is taken as it stands, whatever its ending."""
    with atomic(path) as file:
        write_table(file, {name: np.asarray(array) for name, array in arrays.items()})


def read_saved(path: str | os.PathLike[str], kind: str, make: Callable[[dict[str, Array]], Made]) -> Made:
    """What `make` makes of the arrays that `kind`.save wrote to `path`."""
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not an .npz archive")
        return make(read_columns(Path(path)))
    except FileNotFoundError as missing:
        raise MissingFileError(f"'{path}' must be an existing file: there is none of this name") from missing
    except Exception as error:  # zipfile, json and `make` raise many kinds for one fact
        reason = f"without {error}" if isinstance(error, KeyError) else f"({error})"
        raise FileError(f"'{path}' must be a whole file that {kind}.save wrote, got other content {reason}") from error
