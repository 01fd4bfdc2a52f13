"""Ranked matches in a table: columns query, gallery, and score or distance."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..matching import Matches
from . import _csv, _npy, _parquet
from ._checks import FileError, check_input

Columns = dict[str, NDArray[Any]]

COLUMNS: dict[str, Callable[[Path], Columns]] = {
    ".parquet": _parquet.read_columns,
    ".csv": _csv.read_columns,
    ".npz": _npy.read_columns,
}
SCORES = ("score", "distance")  # the first that is there
LARGEST = 2**53  # whole numbers up to here are exact in float64, which .csv is read as


def read_matches(path: str | os.PathLike[str]) -> Matches:
    """Read a table of matches, as `crossmodal-fast match` writes it.

    Parameters
    ----------
    path : path
        A ``.parquet``, ``.csv`` or ``.npz`` with the columns query, gallery and score; or distance in place of score,
        which counts as score -distance. Other columns are passed over.

    Returns
    -------
    Matches
        rows (p,) int64, columns (p,) int64 and scores (p,) float64, in the order of the file.

    Examples
    --------
    >>> from crossmodal_fast.files import read_matches
    >>> matches = read_matches("matches.parquet")  # doctest: +SKIP
    """
    source = check_input(path, COLUMNS)
    columns = COLUMNS[source.suffix.lower()](source)
    kind = next((name for name in SCORES if name in columns), "score")
    rows, partners, scores = _side_by_side(source, columns, ("query", "gallery", kind))
    found = _numbers(source, kind, scores)
    return Matches(
        _whole(source, "query", rows), _whole(source, "gallery", partners), -found if kind == "distance" else found
    )


def read_pairs(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Read pairs of rows, (p, 2), from the columns query and gallery of such a table."""
    source = check_input(path, COLUMNS)
    names = ("query", "gallery")
    columns = _side_by_side(source, COLUMNS[source.suffix.lower()](source), names)
    return np.column_stack([_whole(source, name, column) for name, column in zip(names, columns, strict=True)])


def _side_by_side(source: Path, columns: Columns, names: tuple[str, ...]) -> list[NDArray[Any]]:
    missing = [name for name in names if name not in columns]
    if missing:
        got = ", ".join(columns) or "none"
        raise FileError(f"'{source}' must have the columns {', '.join(names)}, got {got[:160]}")
    shapes = {name: columns[name].shape for name in names}
    if len(set(shapes.values())) > 1 or columns[names[0]].ndim != 1 or not columns[names[0]].size:
        raise FileError(f"'{source}' must have 1-D columns of one length, at least 1, got shapes {shapes}")
    return [columns[name] for name in names]


def _numbers(source: Path, name: str, column: NDArray[Any]) -> NDArray[np.float64]:
    if column.dtype.kind not in "fiu":
        raise FileError(f"column {name!r} of '{source}' must hold numbers without gaps, got {column.dtype}")
    numbers = column.astype(np.float64)
    if not np.isfinite(numbers).all():
        line = int(np.argmin(np.isfinite(numbers)))
        raise FileError(f"column {name!r} of '{source}' must be finite, got {numbers[line]} in row {line}")
    return numbers


def _whole(source: Path, name: str, column: NDArray[Any]) -> NDArray[np.int64]:
    numbers = _numbers(source, name, column)
    bad = (numbers < 0) | (numbers > LARGEST) | (numbers % 1 != 0)
    if bad.any():
        line = int(np.argmax(bad))
        raise FileError(
            f"column {name!r} of '{source}' must hold row numbers from 0, got {numbers[line]:g} in row {line}"
        )
    return column.astype(np.int64)
