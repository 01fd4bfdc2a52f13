"""Arguments and options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer  # noqa: TID253 - only the command line imports this module
from numpy.typing import NDArray

from ..files import read_embeddings

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
    keys = [name or None for name in key or [""]]
    if len(keys) > 2:
        raise ValueError(f"--key must be given once or twice (for A and B), got {len(keys)} times")
    return read_embeddings(a, key=keys[0]), read_embeddings(b, key=keys[-1])
