"""Where results go: blocks of them, in order, into a file or a folder that appears whole or not at all."""

import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as layout
from numpy.typing import NDArray

from ..files import TABLE_WRITERS, FileError, MissingFileError, atomic, check_output
from ..files._atomic import unwritten
from ..files._checks import check_suffix, path_of
from ._hdf5 import Target, hdf5_written
from ._stores import needed

Array = NDArray[Any]
Columns = dict[str, Array]


class Block(NamedTuple):
    """Of some queries: the next pieces of the arrays, and what makes their lines of a table."""

    arrays: Columns
    columns: Callable[[], Columns]


class Layout(NamedTuple):
    """An array of the result as a whole."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


Blocks = Iterator[Block]
Layouts = dict[str, Layout]  # by the names of the arrays
CHUNK_BYTES = 1 << 20  # of HDF5 and zarr


def _npy(path: Path, blocks: Blocks, layouts: Layouts) -> None:
    """<name>.distances.npy, <name>.indices.npy, ..: a file for each array."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(atomic(_part(path, name))) for name in layouts}
        for name, (shape, dtype) in layouts.items():
            header = {"descr": layout.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            layout.write_array_header_1_0(files[name], header)
        for block in blocks:
            for name, file in files.items():
                file.write(np.ascontiguousarray(block.arrays[name]).data)


def _part(path: Path, name: str) -> Path:
    return path.with_suffix(f".{name}.npy")


def _hdf5(path: Path, blocks: Blocks, layouts: Layouts) -> None:
    def write(opened: Any, target: Target) -> None:
        _fill(opened.create_dataset, target.unless_failed(blocks), layouts)

    hdf5_written(path, needed("h5py", path), write)


def _zarr(path: Path, blocks: Blocks, layouts: Layouts) -> None:
    library = needed("zarr", path)
    target = Path(os.path.realpath(path))
    new, old = (target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial") for _ in range(2))
    try:
        _fill(library.open_group(new, mode="w").create_array, blocks, layouts)
        if target.exists():
            os.replace(target, old)  # a folder cannot take the place of another that is not empty
        os.replace(new, target)
    except OSError as error:
        raise error if isinstance(error, FileError) else unwritten(path, error) from error
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def _fill(make: Callable[..., Any], blocks: Blocks, layouts: Layouts) -> None:
    targets, done = {}, dict.fromkeys(layouts, 0)
    for name, (shape, dtype) in layouts.items():
        rows = max(1, min(shape[0], CHUNK_BYTES // (8 * math.prod(shape[1:]))))
        chunks = {"chunks": (rows, *shape[1:])} if shape[0] else {}
        targets[name] = make(name, shape=shape, dtype=dtype, **chunks)
    for block in blocks:
        for name, target in targets.items():
            part = block.arrays[name]
            target[done[name] : done[name] + len(part)] = part
            done[name] += len(part)


def _parquet(path: Path, blocks: Blocks, layouts: Layouts) -> None:
    """A row group for each block."""
    pyarrow, parquet = needed("pyarrow", path), needed("pyarrow.parquet", path)
    with atomic(path) as file, ExitStack() as stack:
        writer: Any = None
        for block in blocks:
            table = pyarrow.table(block.columns())
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(file, table.schema))
            writer.write_table(table)


def _table(path: Path, blocks: Blocks, layouts: Layouts) -> None:
    """All columns are in memory before they are written."""
    parts = [block.columns() for block in blocks]
    with atomic(path) as file:
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        TABLE_WRITERS[path.suffix.lower()](file, columns)


WRITERS: dict[str, Callable[[Path, Blocks, Layouts], None]] = {
    ".npy": _npy,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".zarr": _zarr,
    ".parquet": _parquet,
    ".npz": _table,
    ".csv": _table,
}


def written_to(output: Path, names: Iterable[str]) -> list[str]:
    """The files, or the folder, that take the arrays of a result."""
    npy = output.suffix.lower() == ".npy"
    return [os.path.realpath(path) for path in ([_part(output, name) for name in names] if npy else [output])]


def check_destination(output: Any) -> Path:
    """Raise now what would keep the results from being written later."""
    path = path_of(output)
    if path.suffix.lower() != ".zarr":
        found = check_output(path, WRITERS)
    else:
        check_suffix(path, WRITERS)
        if not path.parent.is_dir():
            raise MissingFileError(f"the folder of '{path}' must exist: make it first, mkdir -p '{path.parent}'")
        if path.exists() and not ((path / "zarr.json").is_file() or (path / ".zgroup").is_file()):
            raise FileError(f"'{path}' must be a new folder or one of zarr, got another: choose another name")
        found = path
    library = {".h5": "h5py", ".hdf5": "h5py", ".zarr": "zarr"}.get(path.suffix.lower())
    if library:
        needed(library, path)
    return found
