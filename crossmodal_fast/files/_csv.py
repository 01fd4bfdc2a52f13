"""``.csv``: comma-separated, with a header or without."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._checks import FileError, foreign, no_key

BLOCK_CELLS = 262_144  # turned into text at a time, some 60 MB
INT64_DIGITS = 18  # so many always fit


def read(source: Path, key: str | None) -> NDArray[Any]:
    no_key(source, key)
    first = next((cells for _, cells in _rows(source) if cells != [""]), [""])
    header = not any(_is_number(cell) for cell in first)
    try:
        # The csv module with float() took five times as long; it only looks for the bad cell.
        with open(source, encoding="utf-8-sig") as stream:
            lines = itertools.islice(filter(str.strip, stream), int(header), None)
            line = next(lines, None)
            if line is None:
                raise FileError(f"'{source}' must have at least one row of numbers, got only {','.join(first)[:40]!r}")
            array = np.loadtxt(itertools.chain([line], lines), delimiter=",", comments=None, quotechar='"', ndmin=2)
    except FileError:
        raise
    except ValueError as error:
        _find_bad_cell(source, header)
        raise foreign(source, error) from error
    width = array.shape[1]
    if width > 1 and first == [str(column) for column in range(width)] and (array % 1).any():
        raise FileError(
            f"'{source}' must not begin with the row 0, 1, .. {width - 1}, which may be column numbers or data: "
            "name the columns, or write it as 0.0, 1.0 .."
        )
    return array


def read_columns(source: Path) -> dict[str, NDArray[Any]]:
    """Columns of numbers by the names in the first row."""
    array = read(source, None)
    header = next(cells for _, cells in _rows(source) if cells != [""])
    if all(_is_number(cell) for cell in header):
        raise FileError(f"'{source}' must begin with a row of column names, got {','.join(header)[:40]!r}")
    if len(header) != array.shape[1]:
        raise FileError(f"'{source}' must name its {array.shape[1]} columns in the first row, got {len(header)} names")
    return dict(zip(header, array.T, strict=True))


def read_words(source: Path, count: int) -> NDArray[Any]:
    """One word a line, whole numbers as such; a line more than `count` is a header."""
    words = [",".join(cells) for _, cells in _rows(source)]
    words = words[1:] if len(words) == count + 1 else words
    whole = all(word.removeprefix("-").isdecimal() and len(word) <= INT64_DIGITS for word in words)
    return np.array(words, dtype=np.int64 if whole else None)


def _rows(source: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the row in the file, counted from 1, and its cells; empty lines are passed over."""
    try:
        with open(source, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise foreign(source, error) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell  # float() takes 1_000 and the digits of other scripts


def _find_bad_cell(source: Path, header: bool) -> None:
    width = None
    rows = (numbered for numbered in _rows(source) if numbered[1] != [""])  # of blanks only: NumPy is not given it
    for row, cells in itertools.islice(rows, int(header), None):
        for column, cell in enumerate(cells, start=1):
            if not _is_number(cell):
                raise FileError(
                    f"'{source}' must hold comma-separated numbers, got {cell[:40]!r} in row {row}, column {column} "
                    "(counted from 1)"
                )
        width = width or len(cells)
        if len(cells) != width:
            raise FileError(f"'{source}' must have {width} numbers in every row, got {len(cells)} in row {row}")


def write(file: BinaryIO, array: NDArray[Any]) -> None:
    _write(file, list(array.view(np.uint8).T if array.dtype == bool else array.T))


def write_table(file: BinaryIO, columns: Mapping[str, NDArray[Any]]) -> None:
    _write(file, list(columns.values()), columns)


def _write(file: BinaryIO, columns: list[NDArray[Any]], header: Iterable[str] = ()) -> None:
    """The shortest decimals that read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(header)
    rows = max(1, BLOCK_CELLS // len(columns))
    for begin in range(0, max(1, len(columns[0])), rows):
        writer.writerows(zip(*(column[begin : begin + rows].astype(str).tolist() for column in columns), strict=True))
        file.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()
