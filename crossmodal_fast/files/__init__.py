"""Embeddings and tables on disk: five formats in, each file out whole or not at all. Nothing is ever unpickled."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of
from . import _csv, _npy, _parquet, _safetensors
from ._atomic import atomic, check_output
from ._checks import FileError, MissingFileError, check_input, no_key, rows_of_numbers
from ._matches import read_matches, read_pairs

READERS = {
    ".npy": _npy.read_npy,
    ".npz": _npy.read_npz,
    ".parquet": _parquet.read,
    ".csv": _csv.read,
    ".safetensors": _safetensors.read,
}
TABLE_WRITERS = {".parquet": _parquet.write_table, ".csv": _csv.write_table, ".npz": _npy.write_table}
ARRAY_WRITERS = {
    ".npy": _npy.write_npy,
    ".npz": _npy.write_npz,
    ".parquet": _parquet.write,
    ".csv": _csv.write,
    ".safetensors": _safetensors.write,
}

__all__ = [
    "ARRAY_WRITERS",
    "READERS",
    "TABLE_WRITERS",
    "FileError",
    "MissingFileError",
    "atomic",
    "check_input",
    "check_output",
    "read_embeddings",
    "read_labels",
    "read_matches",
    "read_pairs",
    "write_array",
    "write_table",
]


def read_embeddings(path: str | os.PathLike[str], *, key: str | None = None) -> NDArray[Any]:
    """Read the rows of a ``.npy``, ``.npz``, ``.parquet``, ``.csv`` or ``.safetensors`` file.

    Parameters
    ----------
    path : path
        ``.npy`` and ``.safetensors`` are memory-mapped read-only. ``.parquet`` holds one column of lists, or columns of
        numbers only (an index that pandas wrote is left out). ``.csv`` is comma-separated; a first row without any
        number is taken for a header.
    key : str, optional
        Which array of an ``.npz`` or ``.safetensors``, which column of a ``.parquet``; needed where there are several.

    Returns
    -------
    array (n, d)
        In the dtype of the file; float64 for ``.csv``.

    Examples
    --------
    >>> from crossmodal_fast.files import read_embeddings
    >>> images = read_embeddings("images.npy")  # doctest: +SKIP
    """
    source = check_input(path, READERS)
    return rows_of_numbers(f"'{source}'", READERS[source.suffix.lower()](source, key))


def read_labels(path: str | os.PathLike[str], count: int, *, key: str | None = None) -> NDArray[Any]:
    """Read `count` labels, numbers or words: a 1-D array, one column, or a ``.csv`` with one a line, header or not."""
    source = check_input(path, READERS)
    if source.suffix.lower() == ".csv":
        no_key(source, key)
        labels = _csv.read_words(source, count)
    else:
        labels = READERS[source.suffix.lower()](source, key)
    if labels.shape not in ((count,), (count, 1)):
        raise FileError(f"'{source}' must hold {count} labels, one per row of the embeddings, got shape {labels.shape}")
    return labels.reshape(count)


def write_table(path: str | os.PathLike[str], columns: Mapping[str, ArrayLike]) -> None:
    """Write 1-D columns of one length to a ``.parquet``, ``.csv`` or ``.npz`` file, whole or not at all."""
    arrays = {name: array_of(f"columns[{name!r}]", column) for name, column in columns.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(array.ndim != 1 for array in arrays.values()):
        raise ValueError(f"columns must be 1-D and of one length, got {shapes}")
    target = check_output(path, TABLE_WRITERS)
    with atomic(target) as file:
        TABLE_WRITERS[target.suffix.lower()](file, arrays)


def write_array(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write a 2-D array to any format that `read_embeddings` reads, whole or not at all."""
    rows = rows_of_numbers("array", array_of("array", array))
    target = check_output(path, ARRAY_WRITERS)
    suffix = target.suffix.lower()
    if rows.dtype.name == "bfloat16" and suffix != ".safetensors":
        rows = rows.astype(np.float32)  # exact; .npy would keep the bytes and lose the type
    with atomic(target) as file:
        ARRAY_WRITERS[suffix](file, rows)
