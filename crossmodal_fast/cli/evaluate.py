"""`crossmodal-fast evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer  # noqa: TID253 - only the command line imports this module

from .. import evaluate as measures
from .. import matching
from .._progress import bar
from ..evaluate._chosen import chosen_measures
from ._method_options import checked_correction, with_correction_options, with_files
from ._options import (
    Backend,
    Key,
    MaxBytes,
    Metric,
    Threads,
    read_pair,
    read_words,
    speaking_of,
)


@with_correction_options
def evaluate(
    a: Annotated[
        Path | None, typer.Argument(metavar="A", help="Rows (m, d): .npy .npz .parquet .csv .safetensors")
    ] = None,
    b: Annotated[Path | None, typer.Argument(metavar="B", help="Rows (n, d), of the same formats")] = None,
    run: Annotated[Path | None, typer.Option(help="A ranking in TREC's format, instead of A and B")] = None,
    qrels: Annotated[Path | None, typer.Option(help="Judgements in TREC's format, for --run")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="By commas: hit_rate@1,mrr,map,ndcg@10 .., or trec_eval's names: P_5,ndcg_cut_10")
    ] = None,
    labels_a: Annotated[
        Path | None, typer.Option(help="A label per row of A; rows of B with the same one are right")
    ] = None,
    labels_b: Annotated[
        Path | None, typer.Option(help="A label per row of B; without labels row i belongs to row i")
    ] = None,
    k: Annotated[str, typer.Option("-k", help="Cut-offs, by commas, where --metrics is left out")] = "1,5,10",
    ties: Annotated[
        str | None,
        typer.Option(help="Equal scores: index, optimistic, pessimistic, mean, expected; docid for --run"),
    ] = None,
    empty: Annotated[str, typer.Option(help="Queries without a right answer: error, skip, neg or pos")] = "error",
    missing: Annotated[str, typer.Option(help="Judged queries that --run leaves out: error, skip or neg")] = "error",
    metric: Metric = "cosine",
    correction: Annotated[
        str | None, typer.Option(help="Of hubs, for A and B: csls, nnn, inverted_softmax or dual_softmax")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table")] = False,
    key: Key = None,
    labels_key: Annotated[str | None, typer.Option(help="Array or column that holds the labels")] = None,
    backend: Backend = "auto",
    max_bytes: MaxBytes = None,
    threads: Threads = None,
    *,
    options: dict[str, Any],
) -> None:
    """Search every row of A in B and measure where the right rows come, beside what chance would give.

    With --run and --qrels instead of A and B: measure a ready ranking against judgements.
    """
    checked_correction(correction, options)
    if run is not None and qrels is not None and a is None and b is None:
        if correction is not None:
            raise ValueError(f"--correction must be left out with --run, which is ranked already, got {correction}")
        with bar(f"reading {run.name}"):
            sides = measures.read_run(run), measures.read_qrels(qrels)
        found = measures.rankings(*sides, metrics, ties=ties or "docid", empty=empty, missing=missing)
        _print(found, None, as_json)
        return
    if a is None or b is None or run is not None or qrels is not None:
        given = {"A": a, "B": b, "--run": run, "--qrels": qrels}
        told = ", ".join(name for name, path in given.items() if path is not None) or "none"
        raise ValueError(f"A and B must be given, or --run and --qrels, got {told}")
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
    options = with_files(options, len(queries), len(gallery))
    control: dict[str, Any] = {"backend": backend, "max_bytes": max_bytes, "n_threads": threads}
    with speaking_of(queries=a, gallery=b, X=a, Y=b), bar("ranking"):
        bias = None
        if correction is not None:
            bias = matching.correction(queries, gallery, correction, metric=metric, **options, **control)
        found = measures.retrieval(
            queries, gallery, labels=labels, metric=metric, k=cuts, metrics=metrics, ties=ties or "index", empty=empty,
            bias=bias, **control,
        )  # fmt: skip
    counts = 1 if labels is None else measures.count_positives(*labels)
    _print(found, _by_chance(found, len(gallery), counts, empty), as_json)


def _by_chance(found: dict[str, float], n: int, counts: Any, empty: str) -> dict[str, float]:
    """Of the measures found, those that have an expected value; not the median, which has none in closed form."""
    asked = chosen_measures(name for name in found if name != "queries")
    names = [one.name for one in asked if one.measure.ties and one.measure.aggregate != "median"]
    return measures.chance(n, counts, metrics=names, empty=empty) if names else {}


def _cuts(text: str) -> list[int]:
    if not all(word.strip().isdecimal() and int(word) > 0 for word in text.split(",")):
        raise ValueError(f"-k must be whole numbers above 0, by commas, such as 1,5,10, got {text!r}")
    return [int(word) for word in text.split(",")]


def _print(found: dict[str, float], by_chance: dict[str, float] | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found if by_chance is None else {**found, "chance": by_chance}, indent=2))
    else:
        _print_table(found, by_chance)


def _print_table(found: dict[str, float], by_chance: dict[str, float] | None) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", box=SIMPLE)
    for heading in ("found",) if by_chance is None else ("found", "by chance"):
        table.add_column(heading, justify="right")
    for name, value in found.items():
        whole = name.startswith("num_") or name == "queries"
        digits = 0 if whole else 2 if name.endswith("_rank") else 4
        row = [name, f"{value:.{digits}f}"]
        if by_chance is not None:
            row.append(f"{by_chance[name]:.{digits}f}" if name in by_chance else "")
        table.add_row(*row)
    Console().print(table)
