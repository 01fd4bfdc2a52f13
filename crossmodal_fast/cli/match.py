"""`crossmodal-fast match`."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer  # noqa: TID253 - only the command line imports this module

from .. import Matches, topk
from .. import match as match_pairs
from .._progress import bar
from ..files import TABLE_WRITERS, atomic, check_output, write_table
from ..matching import METHODS, scores_of
from ..report import page_of
from ..streaming import WRITERS, read_in_parts
from ..streaming import topk as streamed_topk
from ._method_options import checked_options, with_files, with_method_options
from ._options import (
    Backend,
    FirstFile,
    Key,
    MaxBytes,
    Metric,
    SecondFile,
    Threads,
    keys_of,
    read_pair,
    speaking_of,
    whole,
)
from ._report_options import checked_report, report_of, with_report_options

OTHERS = [name for name in METHODS if name not in ("topk", "mutual")]
ARRAYS = [ending for ending in WRITERS if ending not in TABLE_WRITERS]
NEIGHBOURS = 10  # of topk where -k is left out; other methods have their own


@with_report_options
@with_method_options
def match(
    a: FirstFile,
    b: SecondFile,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help=f"The table to write: {', '.join(TABLE_WRITERS)}; or {', '.join(ARRAYS)}"),
    ],
    k: Annotated[
        int | None,
        typer.Option("-k", "--k", parser=whole, metavar="COUNT", help="Matches per row of A: 10 for topk, else 1"),
    ] = None,
    metric: Metric = "cosine",
    method: Annotated[
        str,
        typer.Option(help=f"topk: the k best rows of B; mutual: best for each other; or {', '.join(OTHERS)}"),
    ] = "topk",
    key: Key = None,
    backend: Backend = "auto",
    max_bytes: MaxBytes = None,
    threads: Threads = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where a killed run of the same command was; it is kept in OUTPUT.partial"),
    ] = False,
    *,
    options: dict[str, Any],
    page: dict[str, Any],
) -> None:
    """Find the best rows of B for every row of A, exactly.

    The table has a line per match: query and gallery are row numbers from 0.

    With topk, rank counts from 1 beside the distance; other methods give a score, higher is better.

    With --report, a page to look through and listen to the matches is written as well.

    Files of .h5 and .zarr and saved galleries are read in parts, as are all with --resume or an output of such arrays.
    """
    checked_options(method, k, options)
    report = checked_report(page)
    control: dict[str, Any] = {"backend": backend, "max_bytes": max_bytes, "n_threads": threads}
    if resume or output.suffix.lower() in ARRAYS or read_in_parts(a) or read_in_parts(b):
        if method != "topk" or report is not None:
            raise ValueError("--method must be topk, without --report, where rows are read in parts, got another")
        _streamed(a, b, output, NEIGHBOURS if k is None else k, metric, key, resume, control)
        return
    check_output(output, TABLE_WRITERS)
    queries, gallery = read_pair(a, b, key)
    options = with_files(options, len(queries), len(gallery))
    shown = report_of(page, len(queries), len(gallery))
    start = time.perf_counter()
    with speaking_of(queries=a, gallery=b, X=a, Y=b), bar("matching") as progress:
        if method == "topk":
            k = NEIGHBOURS if k is None else k
            distances, indices, stats = topk(
                queries, gallery, k, metric, return_stats=True, progress=progress, **control
            )
            columns = {
                "query": np.repeat(np.arange(len(indices)), k),
                "gallery": indices.ravel(),
                "rank": np.tile(np.arange(1, k + 1), len(indices)),
                "distance": distances.ravel(),
            }
            ran = f" on {stats.backend}"
        else:
            pairs = match_pairs(queries, gallery, method, k=k, metric=metric, progress=progress, **options, **control)
            columns = {"query": pairs.rows, "gallery": pairs.columns, "score": pairs.scores}
            ran = ""
    seconds = time.perf_counter() - start
    told = f"{output}: {len(columns['query'])} matches by {metric}{ran} in {seconds:.2f} s"
    if report is None:
        with bar(f"writing {output.name}"):
            write_table(output, columns)
        typer.echo(told)
        return
    scores = columns["score"] if "score" in columns else scores_of(columns["distance"].copy(), metric)
    with bar(f"writing {report.name}"):
        title = f"{a.name} against {b.name}: {method} by {metric}"
        made = page_of(Matches(columns["query"], columns["gallery"], scores), title=title, **shown)
        with atomic(report) as file:
            file.write(made.html)
            file.flush()
            os.fsync(file.fileno())  # a full disk is met before the table appears: neither file without the other
            write_table(output, columns)
    typer.echo(f"{told}\n{report}: {made.told}")


def _streamed(
    a: Path, b: Path, output: Path, k: int, metric: str, key: list[str] | None, resume: bool, control: dict[str, Any]
) -> None:
    """The k best, read in parts and written in blocks."""
    first, second = keys_of(key)
    start = time.perf_counter()
    with speaking_of(queries=a, gallery=b):
        found = streamed_topk(
            (a, first), (b, second), k, metric, output=output, resume=resume, progress=True, **control
        )  # fmt: skip
    rows = found.shape[0]
    again = f", {found.resumed} of {rows} rows taken over" if found.resumed else ""
    seconds = time.perf_counter() - start
    typer.echo(f"{output}: {rows * k} matches by {metric} in {seconds:.2f} s{again}")
