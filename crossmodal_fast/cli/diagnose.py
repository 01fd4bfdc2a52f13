"""`crossmodal-fast diagnose`."""

import json
from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253 - only the command line imports this module

from .. import diagnose as diagnose_spaces
from .._progress import bar
from ..files import check_output
from ._options import Backend, FirstFile, Key, MaxBytes, SecondFile, Threads, read_pair, speaking_of, whole

PICTURES = (".png", ".pdf", ".svg")


def diagnose(
    a: FirstFile,
    b: SecondFile,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Row i of A does not belong to row i of B")] = False,
    k: Annotated[int, typer.Option("-k", parser=whole, metavar="COUNT", help="Neighbours of hubness and CSLS")] = 10,
    sample: Annotated[int, typer.Option(parser=whole, metavar="COUNT", help="Rows used at most")] = 10_000,
    seed: Annotated[int, typer.Option(parser=whole, metavar="NUMBER", help="Of the sample and the split")] = 0,
    plot: Annotated[Path | None, typer.Option(help="A picture to write: .png, .pdf or .svg")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text")] = False,
    key: Key = None,
    backend: Backend = "auto",
    max_bytes: MaxBytes = None,
    threads: Threads = None,
) -> None:
    """Say what is wrong between A and B, and what would help: gap, hubs, rank, and gains on pairs held out."""
    if plot is not None:
        check_output(plot, PICTURES)
    x, y = read_pair(a, b, key)
    with speaking_of(X=a, Y=b), bar("diagnosing"):
        found = diagnose_spaces(
            x, y, paired=not unpaired, k=k, sample=sample, seed=seed,
            backend=backend, max_bytes=max_bytes, n_threads=threads,
        )  # fmt: skip
    if plot is not None:
        found.plot(plot)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
