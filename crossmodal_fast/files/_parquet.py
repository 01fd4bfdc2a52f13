"""``.parquet`` through pyarrow: one column of lists, or columns of numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._checks import FileError, check_stated, choose, foreign
from ._footer import Footer, footer_of

VALUE_BYTES = 8  # at most, of a number


def read(source: Path, key: str | None) -> NDArray[Any]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source) as file:
            names = columns_of(source, file, key)
            check_footer(source, names)
            table = file.read(columns=names)
    except FileError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise foreign(source, error) from error
    if 0 in table.shape:
        raise FileError(f"'{source}' must have at least one row and one column, got shape {table.shape}")
    columns = [values_of(f"column {name!r} of '{source}'", table.column(name)) for name in names]
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)


def columns_of(source: Path, file: Any, key: str | None) -> list[str]:
    """The column of lists that an open file is read from, or the columns of numbers."""
    schema = file.schema_arrow
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    names = [name for name in schema.names if name not in index]
    if len(set(names)) < len(names):
        raise FileError(f"'{source}' must have columns of different names, got {names}")
    lists = [name for name in names if _is_list(schema.field(name).type)]
    return [choose(source, key, lists if key is None else names)] if key is not None or lists else names


def check_footer(source: Path, names: list[str]) -> Footer:
    """What the footer states of some columns against the size of the file, before anything is set aside for it."""
    footer = footer_of(source)
    stated = footer.rows + sum(group.values.get(name, 0) for group in footer.groups for name in set(names))
    check_stated(f"'{source}'", stated * VALUE_BYTES, source.stat().st_size)
    return footer


def read_columns(source: Path) -> dict[str, NDArray[Any]]:
    """All columns by name."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source) as file:
            check_footer(source, file.schema_arrow.names)
            table = file.read()
    except FileError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise foreign(source, error) from error
    return {name: column.to_numpy() for name, column in zip(table.column_names, table.columns, strict=True)}


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def values_of(place: str, column: Any) -> NDArray[Any]:
    """(n, width): the lists of a column, or its numbers as a width of 1."""
    if column.null_count:
        row = np.argmax(column.is_null().to_numpy())
        raise FileError(f"{place} must have a value in every row, got none in row {row} (counted from 0)")
    width = 1
    if _is_list(column.type):
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        widths = np.concatenate([chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in chunks])
        row = np.argmax(widths != widths[0])
        if widths[row] != widths[0]:
            raise FileError(
                f"{place} must hold lists of one length, got {widths[0]} in row 0 and {widths[row]} in row {row}"
            )
        width = int(widths[0])
        parts = [chunk.flatten() for chunk in chunks]
        if sum(part.null_count for part in parts):
            raise FileError(f"{place} must hold lists without gaps, got an empty value in one")
        values = np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts])
    else:
        values = column.to_numpy()
    if values.dtype.kind not in "fiub":
        raise FileError(f"{place} must hold numbers, got {column.type}: drop it, or name the column to read by key")
    return values.reshape(len(column), width)


def write(file: BinaryIO, array: NDArray[Any]) -> None:
    import pyarrow

    values = pyarrow.array(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).ravel())
    write_table(file, {"embedding": pyarrow.FixedSizeListArray.from_arrays(values, array.shape[1])})


def write_table(file: BinaryIO, columns: Mapping[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(dict(columns)), file)
