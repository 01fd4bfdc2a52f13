"""Arguments and options that several commands share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer  # noqa: TID253 - only the command line imports this module
from numpy.typing import NDArray

from .._progress import bar
from ..files import FileError, read_embeddings, read_labels

UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}


def whole(text: str) -> int:
    """Typer's own refusal leaves out the value in some versions."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"must be a whole number, got {text!r}") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number, got {text!r}") from None


def size(text: str) -> int:
    """256MiB, 1.5 GB or 4096 as a number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?|)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise typer.BadParameter(f"must be a size such as 256MiB, 1.5GB or 1000000, got {text!r}")
    return int(float(found[1]) * UNITS[found[2].upper()])


FirstFile = Annotated[Path, typer.Argument(metavar="A", help="Rows (m, d): .npy .npz .parquet .csv .safetensors")]
SecondFile = Annotated[Path, typer.Argument(metavar="B", help="Rows (n, d), of the same formats")]
Key = Annotated[
    list[str] | None,
    typer.Option(help="Array or column to read where a file holds several; twice for A and B, '' for none"),
]
Metric = Annotated[str, typer.Option(help="cosine, euclidean, sqeuclidean, dot, correlation, cityblock ..")]
Backend = Annotated[str, typer.Option(help="auto, cuda, numba or numpy; a name is a demand")]
MaxBytes = Annotated[int | None, typer.Option(parser=size, metavar="SIZE", help="Cap on the workspace, such as 256MiB")]
Threads = Annotated[int | None, typer.Option(parser=whole, metavar="COUNT", help="Threads to use at most")]


def read_pair(a: Path, b: Path, key: list[str] | None) -> tuple[NDArray[Any], NDArray[Any]]:
    first, second = keys_of(key)
    return read_rows(a, first), read_rows(b, second)


def keys_of(key: list[str] | None) -> tuple[str | None, str | None]:
    """Of A and of B."""
    keys = [name or None for name in key or [""]]
    if len(keys) > 2:
        raise ValueError(f"--key must be given once or twice (for A and B), got {len(keys)} times")
    return keys[0], keys[-1]


def read_rows(path: Path, key: str | None) -> NDArray[Any]:
    """`read_embeddings`, with a bar for what takes long, and `key` by the name that it has here."""
    with _reading(path):
        return read_embeddings(path, key=key)


def read_words(path: Path, count: int, key: str | None) -> NDArray[Any]:
    """`read_labels` likewise."""
    with _reading(path, "--labels-key"):
        return read_labels(path, count, key=key)


def read_weights(path: Path, count: int) -> NDArray[np.float64]:
    """A number for each of `count` rows."""
    words = read_words(path, count, None)
    try:
        return words.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"'{path}' must hold a number for each of {count} rows, got text") from error


@contextmanager
def _reading(path: Path, option: str = "--key") -> Iterator[None]:
    try:
        with bar(f"reading {path.name}"):
            yield
    except FileError as error:
        if not str(error).startswith("key must "):
            raise
        raise FileError(f"{option}{str(error).removeprefix('key')}") from error


@contextmanager
def speaking_of(**files: Path) -> Iterator[None]:
    """Name files where a sentence of the core names the arguments that their rows went into."""
    try:
        yield
    except ValueError as error:
        told, name = str(error), "|".join(files)
        if found := re.match(rf"({name}) (must be finite, got \S+ in row \d+)\b", told):
            told = f"'{files[found[1]]}' {found[2]} (counted from 0): remove or fill such rows first"
        elif found := re.match(rf"({name}) and ({name}) (must have the same number of features, got .*)", told):
            way_out = "transfer fit and transfer apply map one to the other"
            told = f"'{files[found[1]]}' and '{files[found[2]]}' {found[3]}: {way_out}"
        else:
            raise
        raise ValueError(told) from error
