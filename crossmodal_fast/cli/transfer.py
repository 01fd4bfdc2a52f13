"""`crossmodal-fast transfer fit` and `transfer apply`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer  # noqa: TID253 - only the command line imports this module

from .. import TransferMap, fit_transfer
from .._progress import bar
from ..files import ARRAY_WRITERS, check_input, check_output, write_array
from ._fit_options import checked_options, with_files, with_fit_options
from ._options import (
    Backend,
    FirstFile,
    Key,
    MaxBytes,
    SecondFile,
    Threads,
    read_pair,
    read_rows,
    read_weights,
    speaking_of,
)

MAP = (".npz",)


@with_fit_options
def fit(
    a: FirstFile,
    b: SecondFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="The map to write: .npz")],
    method: Annotated[
        str,
        typer.Option(help="auto (what finds most), lstsq, ridge, procrustes, cca, pls, multistep, self_learning .."),
    ] = "auto",
    no_center: Annotated[bool, typer.Option("--no-center", help="Without an intercept")] = False,
    weights: Annotated[Path | None, typer.Option(help="A weight for each pair, at least 0; equal if left out")] = None,
    key: Key = None,
    *,
    options: dict[str, Any],
) -> None:
    """Learn the map from the rows of A to the rows of B.

    Row i of A is paired with row i of B, but with self_learning (from --pairs) and unsupervised.
    """
    check_output(output, MAP)
    checked_options(method, options)
    options = with_files(options)
    source, target = read_pair(a, b, key)
    weight = None if weights is None else read_weights(weights, len(source))
    with speaking_of(A=a, B=b), bar("fitting"):
        found = fit_transfer(source, target, method, center=not no_center, sample_weight=weight, **options)
    found.save(output)
    pairs = found.details.get("pairs", len(source))
    typer.echo(f"{output}: {found!r}, relative error {found.training_residual:.4f} on {pairs} training pairs")
    if method == "auto":
        typer.echo(_contest(found.details))


def _contest(details: Mapping[str, Any]) -> str:
    """What `auto` decided, and the best mean reciprocal rank of each method."""
    best: dict[str, float] = {}
    for tried in details["scores"]:
        best[tried["method"]] = max(tried["mrr"], best.get(tried["method"], 0.0))
    told = ", ".join(f"{name} {value:.4f}" for name, value in sorted(best.items(), key=lambda one: -one[1]))
    return f"{details['verdict']}; mean reciprocal rank on pairs left out: {told}"


def apply(
    map_file: Annotated[Path, typer.Argument(metavar="MAP", help="A map that transfer fit wrote")],
    embeddings: Annotated[Path, typer.Argument(metavar="E", help="Rows to map: .npy .npz .parquet .csv .safetensors")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The rows to write, in any format that can be read")],
    key: Annotated[str | None, typer.Option(help="Array or column to read where the file holds several")] = None,
    backend: Backend = "auto",
    max_bytes: MaxBytes = None,
    threads: Threads = None,
) -> None:
    """Take rows to the other space by a map."""
    check_output(output, ARRAY_WRITERS)
    found = TransferMap.load(check_input(map_file, MAP))
    rows, width = read_rows(embeddings, key), found.M.shape[1]
    if rows.shape[1] != width:
        raise ValueError(f"'{embeddings}' must have the {width} columns that '{map_file}' maps, got {rows.shape[1]}")
    with speaking_of(E=embeddings), bar("applying the map") as progress:
        mapped = found.apply(rows, backend=backend, max_bytes=max_bytes, n_threads=threads, progress=progress)
    with bar(f"writing {output.name}"):
        write_array(output, mapped)
    typer.echo(f"{output}: {len(mapped)} rows of {mapped.shape[1]} numbers")
