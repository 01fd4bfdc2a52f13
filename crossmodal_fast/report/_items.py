"""What the rows of one side are: texts, pictures and sounds, by row."""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._arguments import brief, whole
from ..files import FileError, check_input
from ..files._npy import read_columns

KINDS = ("text", "image", "audio")
HIGHEST_RATE = 384_000  # of what is recorded anywhere
RATE = 16_000  # samples per second of a sound that is an array, where none is told


@dataclass(frozen=True)
class Items:
    """What the rows of one side are, each part by row; a part, or the value of a row, may be missing (None or "").

    Parameters
    ----------
    text : sequence of str, length n, optional
    image : sequence, length n, optional
        Paths of picture files, or arrays (h, w), (h, w, 3) or (h, w, 4): uint8 as they are, others from their least to
        their largest value.
    audio : sequence, length n, optional
        Paths of sound files (.wav, .mp3, .ogg, .flac), or arrays (samples,) in -1..1.
    rate : int, default 16000
        Samples per second of the arrays.
    folder : path, optional
        Paths start from here and must not lead out of it; None: any path will do.

    Raises
    ------
    ValueError
        Parts of several lengths, or none at all.

    Examples
    --------
    >>> len(Items(text=["a dog barks", "rain"]))
    2
    """

    text: Sequence[Any] | None = None
    image: Sequence[Any] | None = None
    audio: Sequence[Any] | None = None
    rate: int = RATE
    folder: Path | None = None

    def __post_init__(self) -> None:
        for name in KINDS:
            part = getattr(self, name)
            if part is not None and (isinstance(part, str) or not hasattr(part, "__len__")):
                raise TypeError(f"{name} must be a sequence with a value for each row, got {brief(part)}")
        lengths = {name: len(part) for name in KINDS if (part := getattr(self, name)) is not None}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"text, image and audio must be of one length, at least one of them, got {lengths}")
        if whole("rate", self.rate) > HIGHEST_RATE:
            raise ValueError(f"rate must be at most {HIGHEST_RATE} samples per second, got {self.rate}")

    def __len__(self) -> int:
        return next(len(part) for name in KINDS if (part := getattr(self, name)) is not None)

    def value(self, kind: str, row: int) -> Any:
        """Text, path or array of a row, None where there is none."""
        part = getattr(self, kind)
        found = None if part is None else part[row]
        return None if isinstance(found, str) and not found else found


def read_items(path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> Items:
    """Read what rows are from a table with some of the columns text, image and audio; others are passed over.

    Parameters
    ----------
    path : path
        A ``.csv`` with a header, a ``.json`` (a list of objects, or an object of lists), both with paths in image and
        audio; or an ``.npz`` with texts (n,), images (n, h, w) or (n, h, w, c), sounds (n, samples) and rate ().
    folder : path, optional
        That relative paths start from, and that no path may lead out of; the folder of the table where left out.

    Returns
    -------
    Items
        n rows, in the order of the table.

    Raises
    ------
    FileError
        A ValueError: no such file, damaged content, no such column.

    Examples
    --------
    >>> from crossmodal_fast.report import read_items
    >>> items = read_items("photographs.csv")  # doctest: +SKIP
    """
    source = check_input(path, READERS)
    columns = READERS[source.suffix.lower()](source)
    known = {name: columns[name] for name in KINDS if name in columns}
    if not known:
        got = ", ".join(str(name)[:40] for name in columns) or "none"
        raise FileError(f"'{source}' must have a column text, image or audio, got {got[:160]}")
    lengths = {name: len(column) for name, column in known.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        raise FileError(f"'{source}' must have columns of one length, at least 1, got {lengths}")
    rate = columns["rate"].item() if getattr(columns.get("rate"), "shape", None) == () else RATE  # of an .npz
    return Items(**known, rate=rate, folder=Path(folder) if folder is not None else source.parent)


def _csv(source: Path) -> Mapping[str, Sequence[Any]]:
    try:
        with open(source, encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream, strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _damaged(source, error) from error
    names = [name.strip() for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise FileError(f"'{source}' must have {len(names)} cells in every row, got {len(row)} in row {number}")
    return dict(zip(names, ([row[column] for row in rows[1:]] for column in range(len(names))), strict=True))


def _json(source: Path) -> Mapping[str, Sequence[Any]]:
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _damaged(source, error) from error
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        names = sorted({name for row in content for name in row} & set(KINDS))
        content = {name: [row.get(name) for row in content] for name in names}
    if not isinstance(content, dict):
        raise FileError(f"'{source}' must be a list of objects, or an object of lists, got {brief(content)}")
    for name in set(KINDS) & content.keys():
        column = content[name]
        if not isinstance(column, list) or not all(value is None or isinstance(value, str) for value in column):
            raise FileError(f"column {name!r} of '{source}' must be a list of texts, got {brief(column)}")
    return content


def _npz(source: Path) -> Mapping[str, Any]:
    arrays = read_columns(source)
    for name, axes in {"text": (1,), "image": (1, 3, 4), "audio": (1, 2)}.items():
        column = arrays.get(name)
        if column is not None and (column.ndim not in axes or (column.ndim == 1) != (column.dtype.kind == "U")):
            told = " or ".join(WHAT[name])
            raise FileError(f"column {name!r} of '{source}' must hold {told}, got shape {column.shape}, {column.dtype}")
    return {name: array.tolist() if array.dtype.kind == "U" else array for name, array in arrays.items()}


WHAT = {
    "text": ("texts (n,)",),
    "image": ("paths (n,)", "arrays (n, h, w) or (n, h, w, c)"),
    "audio": ("paths (n,)", "arrays (n, samples)"),
}
READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {".csv": _csv, ".json": _json, ".npz": _npz}


def _damaged(source: Path, error: Exception) -> FileError:
    return FileError(f"'{source}' must be a whole {source.suffix.lower()} file, got other or damaged content ({error})")
