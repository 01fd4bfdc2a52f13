"""Where results go: blocks of the k best, in order, into a file or a folder that appears whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
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
    """Queries from `start` on: distances (b, k) and indices (b, k)."""

    start: int
    distances: Array
    indices: Array


Blocks = Iterator[Block]
Shape = tuple[int, int]
CHUNK_BYTES = 1 << 20  # of HDF5 and zarr
NAMES = ("distances", "indices")


def _npy(path: Path, blocks: Blocks, shape: Shape, dtype: np.dtype[Any]) -> None:
    """<name>.distances.npy and <name>.indices.npy."""
    with ExitStack() as stack:
        files = [stack.enter_context(atomic(each)) for each in _pair(path)]
        for file, kind in zip(files, (dtype, np.dtype(np.int64)), strict=True):
            header = {"descr": layout.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            layout.write_array_header_1_0(file, header)
        for block in blocks:
            for file, part in zip(files, block[1:], strict=True):
                file.write(np.ascontiguousarray(part).data)


def _pair(path: Path) -> list[Path]:
    return [path.with_suffix(f".{name}.npy") for name in NAMES]


def _hdf5(path: Path, blocks: Blocks, shape: Shape, dtype: np.dtype[Any]) -> None:
    def write(opened: Any, target: Target) -> None:
        _fill(opened.create_dataset, target.unless_failed(blocks), shape, dtype)

    hdf5_written(path, needed("h5py", path), write)


def _zarr(path: Path, blocks: Blocks, shape: Shape, dtype: np.dtype[Any]) -> None:
    library = needed("zarr", path)
    target = Path(os.path.realpath(path))
    new, old = (target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial") for _ in range(2))
    try:
        _fill(library.open_group(new, mode="w").create_array, blocks, shape, dtype)
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


def _fill(make: Callable[..., Any], blocks: Blocks, shape: Shape, dtype: np.dtype[Any]) -> None:
    rows = max(1, min(shape[0], CHUNK_BYTES // (8 * shape[1])))
    chunks = {"chunks": (rows, shape[1])} if shape[0] else {}
    kinds = zip(NAMES, (dtype, np.dtype(np.int64)), strict=True)
    targets = [make(name, shape=shape, dtype=kind, **chunks) for name, kind in kinds]
    for block in blocks:
        for target, part in zip(targets, block[1:], strict=True):
            target[block.start : block.start + len(part)] = part


def _parquet(path: Path, blocks: Blocks, shape: Shape, dtype: np.dtype[Any]) -> None:
    """A row group for each block."""
    pyarrow, parquet = needed("pyarrow", path), needed("pyarrow.parquet", path)
    with atomic(path) as file, ExitStack() as stack:
        writer: Any = None
        for block in blocks:
            table = pyarrow.table(columns_of(block))
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(file, table.schema))
            writer.write_table(table)


def _table(path: Path, blocks: Blocks, shape: Shape, dtype: np.dtype[Any]) -> None:
    """All columns are in memory before they are written."""
    parts = [columns_of(block) for block in blocks]
    with atomic(path) as file:
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        TABLE_WRITERS[path.suffix.lower()](file, columns)


def columns_of(block: Block) -> Columns:
    """A line for each match, as `crossmodal-fast match` writes them."""
    rows, k = block.indices.shape
    return {
        "query": np.repeat(block.start + np.arange(rows), k),
        "gallery": block.indices.ravel(),
        "rank": np.tile(np.arange(1, k + 1), rows),
        "distance": block.distances.ravel(),
    }


WRITERS: dict[str, Callable[[Path, Blocks, Shape, np.dtype[Any]], None]] = {
    ".npy": _npy,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".zarr": _zarr,
    ".parquet": _parquet,
    ".npz": _table,
    ".csv": _table,
}


def written_to(output: Path) -> list[str]:
    """The files, or the folder, that take the results."""
    return [os.path.realpath(path) for path in (_pair(output) if output.suffix.lower() == ".npy" else [output])]


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
