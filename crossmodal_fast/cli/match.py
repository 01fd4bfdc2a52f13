"""`crossmodal-fast match`."""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer  # noqa: TID253 - only the command line imports this module

from .. import match as match_pairs
from .. import topk
from .._progress import bar
from ..files import TABLE_WRITERS, check_output, write_table
from ._options import Backend, FirstFile, Key, MaxBytes, Metric, SecondFile, Threads, read_pair, speaking_of, whole

NEIGHBOURS = 10  # of topk where -k is left out; other methods have their own


def match(
    a: FirstFile,
    b: SecondFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="The table to write: .parquet, .csv or .npz")],
    k: Annotated[
        int | None, typer.Option("-k", parser=whole, metavar="COUNT", help="Matches per row of A: 10, or 1 for mutual")
    ] = None,
    metric: Metric = "cosine",
    method: Annotated[str, typer.Option(help="topk: the k best rows of B; mutual: best for each other; ..")] = "topk",
    key: Key = None,
    backend: Backend = "auto",
    max_bytes: MaxBytes = None,
    threads: Threads = None,
) -> None:
    """Find the best rows of B for every row of A, exactly.

    The table has a line per match: query and gallery are row numbers from 0.

    With topk, rank counts from 1 beside the distance; other methods give a score, higher is better.
    """
    check_output(output, TABLE_WRITERS)
    queries, gallery = read_pair(a, b, key)
    start = time.perf_counter()
    with speaking_of(queries=a, gallery=b, X=a, Y=b), bar("matching") as progress:
        if method == "topk":
            k = NEIGHBOURS if k is None else k
            distances, indices, stats = topk(
                queries, gallery, k, metric, return_stats=True,
                backend=backend, max_bytes=max_bytes, n_threads=threads, progress=progress,
            )  # fmt: skip
            columns = {
                "query": np.repeat(np.arange(len(indices)), k),
                "gallery": indices.ravel(),
                "rank": np.tile(np.arange(1, k + 1), len(indices)),
                "distance": distances.ravel(),
            }
            ran = f" on {stats.backend}"
        else:
            pairs = match_pairs(
                queries, gallery, method, k=k, metric=metric,
                backend=backend, max_bytes=max_bytes, n_threads=threads, progress=progress,
            )  # fmt: skip
            columns = {"query": pairs.rows, "gallery": pairs.columns, "score": pairs.scores}
            ran = ""
    seconds = time.perf_counter() - start
    with bar(f"writing {output.name}"):
        write_table(output, columns)
    typer.echo(f"{output}: {len(columns['query'])} matches by {metric}{ran} in {seconds:.2f} s")
