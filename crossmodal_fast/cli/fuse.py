"""`crossmodal-fast fuse`."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer  # noqa: TID253 - only the command line imports this module

from .. import Matches, fusion
from .._progress import bar
from ..files import TABLE_WRITERS, check_output, read_matches, write_table
from ._options import number, whole

# As the field names them, beside the names of `fusion.METHODS`.
ALIASES = {
    "rrf": "reciprocal_rank",
    "combmed": "median",
    **{f"comb{name}": name for name in ("sum", "mnz", "gmnz", "anz", "max", "min")},
}


def fuse(
    lists: Annotated[
        list[Path], typer.Argument(metavar="MATCHES..", help="Tables that match wrote: .parquet .csv .npz")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The table to write: .parquet, .csv or .npz")],
    method: Annotated[
        str, typer.Option(help="rrf, combsum, combmnz, .., or a method of fusion.fuse: borda, condorcet, isr, rbc ..")
    ] = "rrf",
    normalizer: Annotated[
        str, typer.Option(help="Of each query's list, first: none, minmax, zmuv, sum, max, rank, borda ..")
    ] = "none",
    weights: Annotated[
        str | None, typer.Option(help="One per table, by commas, such as 2,1; equal if left out")
    ] = None,
    k: Annotated[
        float | None, typer.Option("-k", "--k", parser=number, metavar="NUMBER", help="Of rrf: added to each rank")
    ] = None,
    gamma: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="Of gmnz")] = None,
    sigma: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="Of logn_isr")] = None,
    phi: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="Of rbc: persistence")] = None,
    top: Annotated[
        int | None, typer.Option(parser=whole, metavar="COUNT", help="Matches kept per query; all if left out")
    ] = None,
) -> None:
    """Fuse ranked matches of several modalities or searches into one table.

    The tables have columns query, gallery and score; a distance counts as its negative.
    """
    check_output(output, TABLE_WRITERS)
    if top is not None and top < 1:
        raise ValueError(f"--top must be at least 1, got {top}")
    given: dict[str, Any] = {"k": k, "gamma": gamma, "sigma": sigma, "phi": phi}
    options = {name: value for name, value in given.items() if value is not None}
    weight = None if weights is None else _numbers(weights)
    tables = []
    for path in lists:
        with bar(f"reading {path.name}"):
            tables.append(read_matches(path))
    method = ALIASES.get(method, method)
    with bar("fusing"):
        fused: Matches = fusion.fuse(tables, weight, method=method, normalizer=normalizer, **options)
    if top is not None:
        starts = np.searchsorted(fused.rows, fused.rows)  # of each pair's query; rows ascend
        kept = np.arange(len(fused.rows)) - starts < top
        fused = Matches(*(part[kept] for part in fused))
    with bar(f"writing {output.name}"):
        write_table(output, {"query": fused.rows, "gallery": fused.columns, "score": fused.scores})
    typer.echo(f"{output}: {len(fused.rows)} matches of {len(lists)} tables by {method}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--weights must be numbers by commas, such as 2,1, got {text!r}") from None
