"""HDF5, zarr and Parquet as stores that are read in slices. Their libraries are imported when a file needs them."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import FileError
from ..files._checks import check_stated, choose, foreign
from ..files._parquet import check_footer, columns_of, values_of

Array = NDArray[Any]
DAMAGE = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError)  # what libraries make of it
WORDS = ("attributes", "dimension_names")  # of zarr's metadata, which the writer is free to choose


def needed(library: str, path: Path) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as missing:
        raise FileError(f"'{path}' needs {library}: pip install 'crossmodal-fast[stores]'") from missing


def hdf5(path: Path, key: str | None) -> Any:
    """A data set of two dimensions, the only one where no key is given."""
    library = needed("h5py", path)
    try:
        file = library.File(path, "r")
        found: dict[str, Any] = {}
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, library.Dataset) else None)
    except DAMAGE as error:
        raise foreign(path, error) from error
    if key is None:
        found = {name: item for name, item in found.items() if item.ndim == 2}
    name = choose(path, plain_key(key), found)
    _check_data_set(path, name, found[name])
    return found[name]


def _check_data_set(path: Path, name: str, item: Any) -> None:
    """All rows in the file itself, and no more than its bytes could make; what was never written is one value."""
    place = f"{name!r} in '{path}'"
    if item.shape is None:
        raise FileError(f"{place} must be 2-D, one row per item, got nothing: write rows")
    if item.is_virtual or item.external:  # which may name any file that the reader may open
        raise FileError(f"{place} must have its rows in the file itself, got rows in others")
    for sizes in (item.shape, item.chunks or ()):
        check_stated(place, math.prod(sizes) * item.dtype.itemsize, path.stat().st_size)


def plain_key(key: str | None) -> str | None:
    """A name as h5py and zarr list it: without the slash that stands for the root, which users write before it."""
    return key if key is None else "/".join(filter(None, key.split("/")))


def zarr(path: Path, key: str | None) -> Any:
    """An array, or the only one of two dimensions in a group and those inside it."""
    library = needed("zarr", path)
    if path.is_file():
        raise FileError(f"'{path}' must be a folder, got a file; a store in a zip file must be unpacked first")
    try:
        node = library.open(path, mode="r")
        found = dict(node.members(max_depth=None)) if isinstance(node, library.Group) else {}
    except DAMAGE as error:
        raise foreign(path, error) from error
    if isinstance(node, library.Group):
        found = {name: item for name, item in found.items() if isinstance(item, library.Array)}
        found = {name: item for name, item in found.items() if key is not None or item.ndim == 2}
        node = found[choose(path, plain_key(key), found)]
    codecs = {name: value for name, value in node.metadata.to_dict().items() if name not in WORDS}
    if "pickle" in str(codecs).lower():  # a codec of the earlier format: older versions of zarr would run what it holds
        raise FileError(f"'{path}' must hold plain numbers, got a codec that unpickles: save float32")
    held = sum(file.stat().st_size for file in path.rglob("*") if file.exists())  # a link may lead nowhere
    for sizes in (node.shape, node.chunks, getattr(node, "shards", None) or ()):  # what is missing reads as one value
        check_stated(f"'{path}'", math.prod(sizes) * node.dtype.itemsize, held)
    return node


class ParquetRows:
    """Rows of a Parquet file; a row group is held in memory while it is read."""

    def __init__(self, path: Path, key: str | None) -> None:
        self._path, parquet = path, needed("pyarrow.parquet", path)
        try:
            self._file = parquet.ParquetFile(path)
            self._names = columns_of(path, self._file, key)
            footer = check_footer(path, self._names)
        except FileError:
            raise
        except DAMAGE as error:
            raise foreign(path, error) from error
        if not footer.rows or not self._names:
            raise FileError(f"'{path}' must have at least one row and one column, got none")
        self._ends = np.cumsum([group.rows for group in footer.groups])
        self._held: tuple[int, Array] = (-1, np.empty((0, 0)))
        first = self._group(0)
        self.shape, self.dtype, self.ndim = (int(self._ends[-1]), first.shape[1]), first.dtype, 2

    def __getitem__(self, part: slice) -> Array:
        start, stop, _ = part.indices(self.shape[0])
        found = [np.empty((0, self.shape[1]), self.dtype)]
        while start < stop:
            group = int(np.searchsorted(self._ends, start, "right"))
            begin = int(self._ends[group - 1]) if group else 0
            rows = self._group(group)[start - begin : stop - begin]
            found.append(rows)
            start += len(rows)
        return np.concatenate(found)

    def _group(self, number: int) -> Array:
        if self._held[0] != number:
            self._held = (-1, np.empty((0, 0)))  # not two at a time
            try:
                table = self._file.read_row_group(number, columns=self._names)
            except DAMAGE as error:
                raise foreign(self._path, error) from error
            place = f"of row group {number} of '{self._path}'"
            values = [values_of(f"column {name!r} {place}", table.column(name)) for name in self._names]
            self._held = number, np.concatenate(values, axis=1) if len(values) > 1 else values[0]
        return self._held[1]


STORES: dict[str, Callable[[Path, str | None], Any]] = {
    ".h5": hdf5,
    ".hdf5": hdf5,
    ".zarr": zarr,
    ".parquet": ParquetRows,
}
