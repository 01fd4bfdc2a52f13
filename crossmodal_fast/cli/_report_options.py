"""The options of `match` that make a page of the matches."""

from pathlib import Path
from typing import Any

import typer  # noqa: TID253 - only the command line imports this module

from ..files import check_output, read_pairs
from ..report import Items, read_items
from ..report._page import SUFFIXES
from ._groups import flag_of, with_group
from ._options import read_words, whole

OPTIONS = {
    "report": (Path, typer.Option(help="A page to look through the matches: .html")),
    "queries_table": (Path, typer.Option(help="What the rows of A are: .csv .json .npz with text, image, audio")),
    "gallery_table": (Path, typer.Option(help="What the rows of B are, likewise")),
    "media": (Path, typer.Option(help="Folder of the tables' image and audio files; that of the table if left out")),
    "labels_a": (Path, typer.Option(help="A label per row of A; rows of B with the same one are right")),
    "labels_b": (Path, typer.Option(help="A label per row of B")),
    "pairs": (Path, typer.Option(help="Right pairs instead: .csv .npz .parquet with query and gallery")),
    "report_rows": (int, typer.Option(parser=whole, metavar="COUNT", help="Queries on the page: the first 200")),
}

with_report_options = with_group("page", OPTIONS)


def checked_report(page: dict[str, Any]) -> Path | None:
    """Where the page goes, None for none; raises before any file is read."""
    if page and "report" not in page:
        raise ValueError(f"{flag_of(next(iter(page)))} must come with --report, got none")
    if ("labels_a" in page) != ("labels_b" in page):
        raise ValueError("--labels-a and --labels-b must be given together, got one of them")
    if {"labels_a", "pairs"} <= page.keys():
        raise ValueError("--pairs must be left out with --labels-a and --labels-b, got all of them")
    if page.get("report_rows", 1) < 1:
        raise ValueError(f"--report-rows must be at least 1, got {page['report_rows']}")
    return check_output(page["report"], SUFFIXES) if page else None


def report_of(page: dict[str, Any], m: int, n: int) -> dict[str, Any]:
    """The files that belong to the page, read: arguments of `page_of`."""
    read: dict[str, Any] = {}
    for side, name, count in (("queries", "queries_table", m), ("gallery", "gallery_table", n)):
        if name in page:
            read[side] = _items(page[name], page.get("media"), count)
    if "labels_a" in page:
        read["labels"] = read_words(page["labels_a"], m, None), read_words(page["labels_b"], n, None)
    if "pairs" in page:
        read["pairs"] = read_pairs(page["pairs"])
    if "report_rows" in page:
        read["rows"] = page["report_rows"]
    return read


def _items(path: Path, folder: Path | None, count: int) -> Items:
    items = read_items(path, folder)
    if len(items) != count:
        raise ValueError(f"'{path}' must have {count} rows, one per row of the embeddings, got {len(items)}")
    return items
