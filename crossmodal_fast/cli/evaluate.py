"""`crossmodal-fast evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253 - only the command line imports this module

from .. import evaluate as measures
from .._progress import bar
from ._options import (
    Backend,
    FirstFile,
    Key,
    MaxBytes,
    Metric,
    SecondFile,
    Threads,
    read_pair,
    read_words,
    speaking_of,
)


def evaluate(
    a: FirstFile,
    b: SecondFile,
    labels_a: Annotated[
        Path | None, typer.Option(help="A label per row of A; rows of B with the same one are right")
    ] = None,
    labels_b: Annotated[
        Path | None, typer.Option(help="A label per row of B; without labels row i belongs to row i")
    ] = None,
    k: Annotated[str, typer.Option("-k", help="Cut-offs, by commas")] = "1,5,10",
    metric: Metric = "cosine",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table")] = False,
    key: Key = None,
    labels_key: Annotated[str | None, typer.Option(help="Array or column that holds the labels")] = None,
    backend: Backend = "auto",
    max_bytes: MaxBytes = None,
    threads: Threads = None,
) -> None:
    """Search every row of A in B and measure where the right rows come, beside what chance would give."""
    if (labels_a is None) != (labels_b is None):
        raise ValueError("--labels-a and --labels-b must be given together, got one of them")
    cuts = _cuts(k)
    queries, gallery = read_pair(a, b, key)
    labels = None
    if labels_a is not None and labels_b is not None:
        labels = (
            read_words(labels_a, len(queries), labels_key),
            read_words(labels_b, len(gallery), labels_key),
        )
    elif len(queries) != len(gallery):
        raise ValueError(
            f"--labels-a and --labels-b must be given where '{a}' and '{b}' have not equally many rows, "
            f"got {len(queries)} and {len(gallery)}"
        )
    with speaking_of(queries=a, gallery=b), bar("ranking"):
        found = measures.retrieval(
            queries,
            gallery,
            labels=labels,
            metric=metric,
            k=cuts,
            backend=backend,
            max_bytes=max_bytes,
            n_threads=threads,
        )
    by_chance = measures.chance(len(gallery), 1 if labels is None else measures.count_positives(*labels), k=cuts)
    if as_json:
        typer.echo(json.dumps({**found, "chance": by_chance}, indent=2))
    else:
        _print_table(found, by_chance)


def _cuts(text: str) -> list[int]:
    if not all(word.strip().isdecimal() and int(word) > 0 for word in text.split(",")):
        raise ValueError(f"-k must be whole numbers above 0, by commas, such as 1,5,10, got {text!r}")
    return [int(word) for word in text.split(",")]


def _print_table(found: dict[str, float], by_chance: dict[str, float]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", box=SIMPLE)
    for heading in ("found", "by chance"):
        table.add_column(heading, justify="right")
    for name, value in found.items():
        digits = 0 if name == "queries" else 2 if name.endswith("_rank") else 4
        chance = f"{by_chance[name]:.{digits}f}" if name in by_chance else ""
        table.add_row(name, f"{value:.{digits}f}", chance)
    Console().print(table)
