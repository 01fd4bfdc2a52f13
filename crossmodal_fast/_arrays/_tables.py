"""Columns of numbers: pandas and Arrow."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def pandas(name: str, value: Any) -> Any:
    """A frame (n, columns) of numbers, or a Series, an Index or an extension array of anything."""
    if not hasattr(value, "to_numpy"):
        return value
    if value.ndim == 1:
        dtype = _held(value.dtype)
        return np.asarray(value) if dtype is None else _without_missing(name, value).to_numpy(dtype=dtype)
    held = []
    for at, label in enumerate(value.columns):
        column = _without_missing(f"{name}[{label!r}]", value.iloc[:, at])
        held.append(_held(column.dtype))
        if held[-1] is None:
            raise TypeError(f"{name} must have columns of numbers, got dtype {column.dtype} in {label!r}")
    return value.to_numpy(dtype=np.result_type(*held)) if held else value.to_numpy()


def _held(dtype: Any) -> Any:
    """The dtype of numbers in a column, plain, nullable, of Arrow or sparse; None where they are none."""
    plain = dtype.subtype if type(dtype).__name__ == "SparseDtype" else getattr(dtype, "numpy_dtype", dtype)
    return plain if isinstance(plain, np.dtype) and plain.kind in "biufc" else None


def _without_missing(name: str, column: Any) -> Any:
    """The column itself. NaN in a column of NumPy's is a value like any other."""
    if hasattr(column.dtype, "numpy_dtype") and not isinstance(column.dtype, np.dtype):
        refuse_missing(name, int(column.isna().sum()))
    return column


def refuse_missing(name: str, count: int) -> None:
    if count:
        raise ValueError(f"{name} must have no missing values, got {count}; fill them or leave such rows out")


def pyarrow(name: str, value: Any) -> Any:
    """A table (n, columns) of numbers, or a column."""
    module = sys.modules["pyarrow"]
    if isinstance(value, module.Array | module.ChunkedArray):
        return _column(name, value)
    if not isinstance(value, module.Table | module.RecordBatch):
        return value
    columns = []
    for field, column in zip(value.schema, value.columns, strict=True):
        columns.append(_column(f"{name}[{field.name!r}]", column))
        if columns[-1].ndim != 1 or columns[-1].dtype.kind not in "biuf":
            raise TypeError(
                f"{name} must have columns of numbers, got {field.type} in {field.name!r}; give lists by themselves"
            )
    return np.column_stack(columns) if columns else np.empty((value.num_rows, 0))


def _column(name: str, column: Any) -> Array:
    """Values (n,), or the values of lists that have one length (n, d)."""
    module = sys.modules["pyarrow"]
    if isinstance(column, module.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    refuse_missing(name, column.null_count)
    if isinstance(column, module.FixedSizeListArray):
        length = column.type.list_size
    elif isinstance(column, module.ListArray | module.LargeListArray):
        lengths = np.diff(column.offsets.to_numpy())
        length = int(lengths.max(initial=0))
        if (lengths != length).any():
            raise ValueError(f"{name} must be rows of one length, got lists of {lengths.min()} and of {length}")
    else:
        found: Array = column.to_numpy(zero_copy_only=False)
        return found
    inside = _column(name, column.flatten())
    return inside.reshape(len(column), length, *inside.shape[1:])
